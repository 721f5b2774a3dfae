"""How bertkit is used from Python: type-checked strictly by ``tests/test_face.py``, and never run."""

from pathlib import Path

import bertkit


def pretraining() -> float:
    run = bertkit.pretrain(
        ["a.txt", Path("b.txt")], recipe="tiny", out="runs/mine", settings={"train.max_steps": 3000}, validation="c.txt"
    )
    again = bertkit.pretrain("corpus.txt", model=run.folder, resume=True, device="cpu", budget_s=3600.0)
    steps: int = again.max_steps
    warnings: list[str] = bertkit.inspect("corpus.txt")["warnings"]
    warnings += bertkit.inspect(train=[{"text": "good", "label": 1}], validation="held.csv")["warnings"]
    return float(run.results["eval_mlm_accuracy"]) + steps + len(warnings)


def asking() -> list[str]:
    bert = bertkit.load("runs/mine")
    guesses = bert.fill("she opened the [MASK] .", top_k=3)[0]
    scores = [one.score for one in bert.score(["the cat sat ."])]
    features = bert.embed(["the cat sat ."], pooling="cls")
    return [one.token_str for one in guesses if one.score > scores[0] * features.shape[1]]


def finetuning() -> str:
    rows = [{"review": "good", "stars": 5}, {"review": "bad", "stars": 1}]
    run = bertkit.finetune(train=rows, validation=0.1, text="review", label="stars", model="embedded")
    bertkit.finetune("sst2", model=Path("runs/mine"), seeds=5, grid={"learning_rate": [5e-5, 3e-5]})
    predict = bertkit.load_predictor(run.folder)
    answers = [*predict(["a good one"]), *bertkit.predict(run.folder, ["a bad one"])]
    figure: float = bertkit.evaluate(run.folder, validation=rows)[f"eval_{run.metrics[0]}"]
    return f"{answers[0]['prediction']} {figure}"


def elsewhere() -> float:
    why: bertkit.Explanation = bertkit.explain("embedded", "she ate an [MASK] .", answer="apple")
    word, share = max(why.words, key=lambda one: one[1])
    exported: bertkit.Exported = bertkit.export(Path("runs/mine"), format="onnx", out="there", int8=True)
    bertkit.serve(exported.folder, port=0, timeout_s=10.0)
    return share + len(word) + why.output - why.baseline_output + exported.differences[0].largest


def mistakes() -> None:
    try:
        bertkit.pretrain("nowhere.txt")
    except bertkit.BertkitError as error:
        print(error)
