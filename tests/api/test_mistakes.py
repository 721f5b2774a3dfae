"""What the functions of ``import bertkit`` say of arguments that they cannot take."""

from pathlib import Path

import datasets
import pandas
import pytest

import bertkit
from bertkit.errors import BertkitError

TEXTS = ["good film", "bad film"]
REVIEWS = [{"review": f"{good} film {number}", "stars": stars} for number in range(24)
           for good, stars in (("good", "five"), ("bad", "one"))]  # fmt: skip
FRAME = pandas.DataFrame(REVIEWS)
SPLITS = datasets.DatasetDict({name: datasets.Dataset.from_list(REVIEWS) for name in "ab"})


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
            "budget_s must be a number of seconds, more than 0 and 1,000,000,000 at most",
        ),
        (lambda: bertkit.pretrain(budget_s=-3), "more than 0 and 1,000,000,000 at most, got -3"),
        (lambda: bertkit.pretrain(budget_s="90m"), "more than 0 and 1,000,000,000 at most, got '90m'"),
        (lambda: bertkit.pretrain(3), "corpus must be a path or a name, or a list of them, got 3"),
        (lambda: bertkit.pretrain([]), "corpus names no text: give a path, or a list of them, or leave it out"),
        (lambda: bertkit.pretrain("x.txt", validation=()), "validation names no text: give a path"),
        (lambda: bertkit.inspect([]), "corpus names no text: give a path"),
        (lambda: bertkit.inspect([], train=REVIEWS), "corpus names no text: give a path"),
        (lambda: bertkit.inspect(FRAME), "or a list of them, got an object of type DataFrame: write texts"),
        (lambda: bertkit.pretrain(FRAME["review"]), "or a list of them, got an object of type Series: write texts"),
        (lambda: bertkit.pretrain(REVIEWS), "each of corpus must be a name or a path, got an object of type dict"),
        (
            lambda: bertkit.pretrain(keep="x.txt"),
            "keep must be a text and its share, such as ('general.txt', 0.3), got",
        ),
        (lambda: bertkit.pretrain(keep=("x.txt",)), "such as ('general.txt', 0.3), got ('x.txt',)"),
        (lambda: bertkit.pretrain(keep=("x.txt", "0.3")), "the share of keep must be a number, got '0.3'"),
        (lambda: bertkit.pretrain(keep=(["x.txt"], 0.3)), "the text of keep must be a name or a path, got an object"),
        (lambda: bertkit.pretrain(add_words=2.5), "add_words must be a whole number, got 2.5"),
        (lambda: bertkit.pretrain(add_words=True), "add_words must be a whole number, got True"),
        (lambda: bertkit.pretrain(budget_s=True), "more than 0 and 1,000,000,000 at most, got True"),
        (lambda: bertkit.pretrain(recipe=["tiny"]), "recipe must be a name or a path, got an object of type list"),
        (lambda: bertkit.pretrain(settings=["a"]), "settings must be a dictionary by the names of settings"),
        (lambda: bertkit.inspect(settings="train.epochs=2"), "{'train.epochs': 2}, got 'train.epochs=2'"),
        (lambda: bertkit.finetune(settings={3: 1}), "settings must have the names of settings as its keys, got 3"),
        (lambda: bertkit.inspect("x.txt", examples="3"), "examples must be a whole number, got '3'"),
        (lambda: bertkit.finetune(FRAME), "task must be a name or a path, got an object of type DataFrame"),
        (lambda: bertkit.finetune(train=REVIEWS, seeds=1.5), "seeds must be a whole number, got 1.5"),
        (
            lambda: bertkit.finetune(train=REVIEWS, seeds=[1, 2]),
            "seeds must be a whole number, got an object of type list",
        ),
        (lambda: bertkit.finetune(train=REVIEWS, grid=["a"]), "grid must be a dictionary by the names of settings"),
        (lambda: bertkit.finetune(train=REVIEWS, grid="lr"), "--grid 'lr' is not NAME=VALUE,VALUE"),
        (lambda: bertkit.finetune(train=REVIEWS, validation=1), "which lies between 0 and 1, got 1"),
        (lambda: bertkit.finetune(train=REVIEWS, validation=True), "which lies between 0 and 1, got True"),
        (lambda: bertkit.finetune(train=REVIEWS, out=3), "out must be a name or a path, got 3"),
        (
            lambda: bertkit.finetune(train=SPLITS),
            "the table train has several splits: give one of them, by its name (a, b)",
        ),
        (lambda: bertkit.finetune(train={"text": TEXTS, "label": [1]}), "different lengths, 'text' 2, 'label' 1: give"),
        (lambda: bertkit.finetune(train=REVIEWS[0]), "the table train is a dictionary whose 'review' is no list: give"),
        (lambda: bertkit.finetune(train=3), "the table train cannot be of type int: give a list of dictionaries"),
        (lambda: bertkit.inspect(train=REVIEWS, validation=0.5), "the table validation cannot be of type float: give"),
        (lambda: bertkit.evaluate("embedded", cloze=3), "cloze must be a name or a path, got 3"),
        (lambda: bertkit.evaluate("embedded", minimal_pairs=3), "minimal_pairs must be a name or a path, got 3"),
        (lambda: bertkit.predict("m", TEXTS, abstain_below="x"), "abstain_below must be a number, got 'x'"),
        (lambda: bertkit.load_predictor("m", abstain_below=None), "abstain_below must be a number, got None"),
        (lambda: bertkit.predict(FRAME, TEXTS), "model must be a name or a path, got an object of type DataFrame"),
        (lambda: bertkit.load("embedded", device=3).embed(TEXTS), "no device '3': use auto, cpu, cuda"),
        (lambda: bertkit.export("embedded", out=3), "out must be a name or a path, got 3"),
        (lambda: bertkit.import_checkpoint("c", out=None), "out must be a name or a path, got None"),
        (lambda: bertkit.serve("embedded", port="x"), "port must be a whole number, got 'x'"),
        (lambda: bertkit.serve("embedded", host=3, port=0), "cannot listen at 3:0"),
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
