"""What the functions of ``import bertkit`` say of arguments that they cannot take."""

from pathlib import Path

import pandas
import pytest

import bertkit
from bertkit.errors import BertkitError

REVIEWS = [{"review": f"{good} film {number}", "stars": stars} for number in range(24)
           for good, stars in (("good", "five"), ("bad", "one"))]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: bertkit.pretrain("nowhere.txt"), "nowhere.txt"),
        (lambda: bertkit.pretrain(recipe="tiny", settings={"train.max_step": 3}), "settings train.max_step"),
        (lambda: bertkit.pretrain(recipe="tiny", settings={"seed": "x"}), "settings seed"),
        (lambda: bertkit.finetune("sst2", train=[{"text": "a", "label": "b"}]), "not both"),
        (lambda: bertkit.finetune(train=["a text"]), "row 0 is of type str"),
        (
            lambda: bertkit.finetune(train=[{"text": "a"}], validation=0.5, model="embedded", out="never"),
            "the table train",
        ),
        (lambda: bertkit.finetune(train=REVIEWS, validation=0.5, model="embedded", seeds=0), "no run at all"),
        (
            lambda: bertkit.finetune(train=REVIEWS, validation=0.5, model="embedded", grid={"epochs": 0}),
            "epochs must be",
        ),
        (lambda: bertkit.inspect("nowhere.txt", examples=0), "examples must be 1 or more"),
        (lambda: bertkit.load("embedded").fill(["a [MASK]"]), "give one text, not a list"),
        (
            lambda: bertkit.load("embedded").fill("a [MASK]", targets="door"),
            "targets must be a list of words: ['door']",
        ),
        (
            lambda: bertkit.load("embedded").fill("a [MASK]", targets=["door", 3]),
            "targets must be a list of words, got",
        ),
        (lambda: bertkit.load("embedded").fill("a [MASK]", targets=3), "targets must be a list of words, got 3"),
        (
            lambda: bertkit.load("embedded").fill("a [MASK]", top_k="3"),
            "top_k must be at least 1, a whole number, got '3'",
        ),
        (lambda: bertkit.load("embedded").fill("a [MASK]", max_pieces="3"), "max_pieces must be 1 to 8, got '3'"),
        (lambda: bertkit.load("no-such-folder/at/all"), "no-such-folder"),
        (lambda: bertkit.evaluate("embedded", corpus=[]), "corpus names no text: give a path"),
        (lambda: bertkit.evaluate("embedded", corpus=(), cloze=True), "corpus names no text: give a path"),
        (lambda: bertkit.evaluate("embedded", corpus=None), "was not fine-tuned for a task"),
        (
            lambda: bertkit.pretrain(budget_s=float("nan")),
            "budget_s must be a number of seconds, more than 0 and finite",
        ),
        (lambda: bertkit.pretrain(budget_s=-3), "more than 0 and finite, got -3"),
        (lambda: bertkit.pretrain(budget_s="90m"), "more than 0 and finite, got '90m'"),
        (lambda: bertkit.pretrain(3), "or a list of them, not an object of type int"),
        (
            lambda: bertkit.pretrain(recipe="tiny", settings={"train": {"seed": 2}}),
            "settings train): write 'train.seed'",
        ),
        (lambda: bertkit.predict("anything", Path("v.tsv")), "give a list of texts or rows, not the path v.tsv"),
        (lambda: bertkit.explain("embedded", ["a [MASK]"]), "text must be a single text, not of type list"),
        (lambda: bertkit.explain("embedded", "a [MASK]", ["b"]), "text_b must be a single text, not of type list"),
        (lambda: bertkit.load("embedded").score("one text"), "a list of texts"),
        (lambda: bertkit.load("embedded").score(pandas.DataFrame(REVIEWS)), "not an object of type DataFrame"),
        (lambda: bertkit.load("embedded").embed(["good", None]), "text 1 is of type NoneType"),
        (
            lambda: bertkit.inspect("corpus.txt", validation=REVIEWS),
            "validation does not go with corpus: it is for train",
        ),
        (lambda: bertkit.inspect("corpus.txt", text="review"), "text does not go with corpus: it is for train"),
        (lambda: bertkit.explain("no-such-folder/at/all", "a [MASK]"), "no-such-folder"),
        (lambda: bertkit.export("embedded", format="gguf"), "format must be one of"),
        (lambda: bertkit.serve("no-such-folder/at/all", port=0), "no-such-folder"),
    ],
)
def test_mistakes_are_one_line(call, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BertkitError) as error:
        call()
    assert said in str(error.value)
    assert not list(tmp_path.iterdir())
