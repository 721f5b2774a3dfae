"""Names in a text, from sentences whose words are tagged: the entities come back with their characters."""

import itertools

import bertkit

NAMES, PLACES = ["ana", "ben", "chidi", "devi", "emil"], ["oslo", "lima", "kyoto", "accra", "quito"]
rows = [{"tokens": [name, "moved", "to", place, "in", "week", week], "ner_tags": ["B-PER", "O", "O", "B-LOC", "O", "O", "O"]}
        for name, place, week in itertools.product(NAMES, PLACES, "123")]  # fmt: skip

run = bertkit.finetune(train=rows, validation=0.2, model="embedded", out="runs/names",
                       settings={"train.epochs": 15, "train.learning_rate": 5e-4})  # fmt: skip
print("F1 of the entities:", f"{run.results['eval_f1']:.1%}")
tag = bertkit.load_predictor(run.folder)
for entity in tag([{"tokens": ["devi", "moved", "to", "oslo"]}])[0]["entities"]:
    print(entity["label"], entity["text"], entity["start"], entity["end"])
