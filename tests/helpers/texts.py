"""Plain English for tests that begin with text: sixty short documents of four to six sentences."""

SENTENCES = [
    "The cat sat on the mat.",
    "A dog ran to the house!",
    "She has a red hat.",
    "They went home.",
    "It rained.",
]
TEXT = "\n\n".join("\n".join(SENTENCES[(i + j) % 5] for j in range(4 + i % 3)) for i in range(60))
