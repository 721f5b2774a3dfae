"""A classifier from rows in memory: trained, evaluated on what was held out, and asked."""

import bertkit

GOOD = [
    "a lovely day by the lake",
    "the best cake we ever had",
    "she smiled and was happy",
    "what a warm and kind friend",
]
BAD = ["it rained and we were cold", "the soup was bad and old", "he cried and was sad", "what a dark and ugly house"]
rows = [{"text": f"{text} {more}", "mood": mood}
        for mood, texts in (("good", GOOD), ("bad", BAD)) for text in texts
        for more in (".", "!", "today .", "again .", "they said .", "this time .")]  # fmt: skip

run = bertkit.finetune(train=rows, validation=0.25, label="mood", model="embedded", out="runs/mood",
                       settings={"train.epochs": 8, "train.learning_rate": 5e-4})  # fmt: skip
print("accuracy on held-out rows:", f"{run.results['eval_accuracy']:.1%}")
for answer in bertkit.predict(run.folder, ["such a happy friend .", "a cold and sad house ."]):
    print(answer["prediction"], answer["probabilities"])
