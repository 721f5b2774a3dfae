"""What does a BERT know? Guesses at a mask, the likelier of two sentences, and vectors of texts."""

import bertkit

bert = bertkit.load("embedded")
for guess in bert.fill("she opened the [MASK] .", top_k=3)[0]:
    print(f"{guess.score:6.1%}  {guess.sequence}")

right, wrong = bert.score(["the children play in the garden .", "the children plays in the garden ."])
print(f"log-likelihoods: {right.score:.1f} and {wrong.score:.1f}")

vectors = bert.embed(["the boat is on the lake .", "the ship is on the sea .", "she likes cake ."])
print("shape of the vectors:", vectors.shape)
