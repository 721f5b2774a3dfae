"""What of rows is not read: counts by hand, and what is said of it from end to end."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import transformers
from helpers.stores import toy_tokenizer

from bertkit.finetuning import predict
from bertkit.finetuning.features import Features
from bertkit.finetuning.inspection import inspect
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.finetuning.unread import Reach, Unread
from bertkit.finetuning.windows import RowEncoder
from bertkit.settings.recipes import Override
from bertkit.settings.schema import FinetuneDataSettings


def encoder(**settings):
    return RowEncoder.of(toy_tokenizer(), FinetuneDataSettings(**settings))


def toy_tokens(folder, text):
    return transformers.AutoTokenizer.from_pretrained(folder)(text)["input_ids"]


@pytest.mark.parametrize(("known", "is_warned"), [(100, False), (18, True)])
@pytest.mark.parametrize("pair", [False, True])
def test_word_pieces_that_are_unknown_are_counted(capsys, known, is_warned, pair):
    read = encoder()
    rows = [("w1 " * known,), ("ж",)]
    made = read([(*row, "w2") if pair else row for row in rows])
    Unread(read, Reach(512, True)).add(made, 2).say("train")
    said = " ".join(capsys.readouterr().err.split())
    pieces = known + 1 + 2 * pair
    assert f"of {pieces} word pieces in train 1 is unknown to the model ([UNK], {1 / pieces:.1%})" in said
    assert said.startswith("warning: ") is (is_warned and pieces < 20)


WINDOWS = "--set data.overflow=windows"


@pytest.mark.parametrize(
    ("windows", "longest", "reach", "ways"),
    [
        (False, 176, Reach(512, True), f"finetune with --seq-len 176 or {WINDOWS} reads them whole"),
        (False, 9_000, Reach(None, False), f"finetune with --seq-len 9000 or {WINDOWS} reads them whole"),
        (
            False,
            638,
            Reach(512, True),
            f"finetune with {WINDOWS} reads them whole; the model reads at most 512 tokens (--seq-len 512), and more with "
            "--set model.max_position_embeddings=N",
        ),
        (
            False,
            638,
            Reach(128, False),
            f"finetune with {WINDOWS} reads them whole; the model reads at most 128 tokens",
        ),
        (None, 638, Reach(128, False), "the model reads at most 128 tokens"),
        (True, 176, Reach(512, True), "finetune with --seq-len 176 reads them whole"),
    ],
)
def test_what_is_cut_is_said_with_the_ways_to_read_it_that_there_are(windows, longest, reach, ways):
    unread = Unread(encoder(max_seq_length=128), reach)
    for cut in ({1: 130}, {}, {0: longest, 2: 129}):
        unread.add(Features([], None, np.zeros(0), cut=cut, windows=windows), rows=4)
    what = "are longer than 128 tokens and lost their end"
    if windows:
        what = "lost the end of the text that is in each window, which is over half of 128 tokens"
    assert unread.told_cut("train") == f"3 of 12 rows in train {what}: {ways}"
    nothing = Unread(encoder(), reach).add(Features([], None, np.zeros(0), windows=windows), 4)
    assert (nothing.told_cut(""), nothing.told_unknown("")) == ("", "")


@pytest.mark.parametrize(("kind", "can_grow"), [("Bert", True), ("DistilBert", False), ("Electra", False)])
def test_berts_alone_can_be_given_more_places(kind, can_grow):
    config = getattr(transformers, f"{kind}Config")(vocab_size=8, max_position_embeddings=16)
    model = SimpleNamespace(config=config, named_modules=list)
    assert Reach.of(model) == Reach(16, can_grow)


def test_words_keep_their_numbers():
    made = encoder(max_seq_length=8)([(["w0", "w5w10", "w0"],)], are_words=True, with_characters=True)
    assert made.words[0][0] is None
    assert {number for number in made.words[0] if number is not None} == {0, 1, 2}


def test_long_texts_from_end_to_end(tiny_model, tmp_path, capsys):
    """What tells the classes apart stands where a cut text has lost it."""
    ends = [f"{first} {second}" for first in "cdefghij" for second in "cdefghij"]  # no two texts are equal
    rows = [
        {"text": "the cat sat . " * 3 + ("a ", "b ")[row % 2] * 20 + ends[row], "label": "xy"[row % 2]}
        for row in range(60)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(**more):
        settings = {"data.validation_split": 0.3, "data.max_seq_length": 12, "train.max_steps": 60,
                    "train.learning_rate": 1e-2, "train.mixed_precision": "no", **more}  # fmt: skip
        overrides = [Override(key, value, key) for key, value in settings.items()]
        out = tmp_path / f"run{len(more)}"
        record = finetune(
            FinetuneRequest(train=str(path), overrides=overrides, model=str(tiny_model), out=out, device="cpu")
        )
        return out, record.results

    out, results = run()
    assert results["eval_accuracy"] == results["majority_baseline"] == 0.5
    told = capsys.readouterr().err
    assert "42 of 42 rows in train are longer than 12 tokens and lost their end" in told
    assert "18 of 18 rows in validation are longer than 12 tokens" in told
    assert "--set data.overflow=windows" in told

    out, results = run(**{"data.overflow": "windows"})
    assert results["eval_accuracy"] == 1.0
    assert results["eval_rows"] == 18
    again = predict.evaluate(str(out), None, None, str(path), [], "cpu")
    assert again["eval_accuracy"] == 1.0
    assert [row["prediction"] for _, row in predict.predict_rows(str(out), [str(path)], (), "cpu")] == ["x", "y"] * 30
    few = [row["text"] for row in rows[:2]]
    assert [row["prediction"] for _, row in predict.predict_rows(str(out), few, (), "auto")] == ["x", "y"]
    assert "lost their end" not in capsys.readouterr().err
    cut = predict.evaluate(str(out), None, None, str(path), [Override("data.overflow", "truncate", "--set")], "cpu")
    assert cut["eval_accuracy"] == 0.5
    told = capsys.readouterr().err
    assert "60 of 60 rows in validation are longer than 12 tokens" in told
    longest = max(len(toy_tokens(tiny_model, row["text"])) for row in rows)
    assert longest > 32
    ways = "finetune with --set data.overflow=windows reads them whole; the model reads at most 32 tokens (--seq-len 32), and"
    assert ways in " ".join(told.split())
    shorter = [{**row, "text": row["text"][: len("the cat sat . ") * 3 + 20]} for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in shorter))
    longest = max(len(toy_tokens(tiny_model, row["text"])) for row in shorter)
    predict.evaluate(str(out), None, None, str(path), [Override("data.overflow", "truncate", "--set")], "cpu")
    told = " ".join(capsys.readouterr().err.split())
    assert f"finetune with --seq-len {longest} or --set data.overflow=windows reads them whole" in told


@pytest.mark.parametrize("texts", [3, None], ids=["few", "all"])
def test_where_the_model_reads_no_more_no_longer_sequence_is_advised(tiny_model, tmp_path, capsys, texts):
    """The tiny model has 32 places; read by numpy and by torch."""
    rows = [{"text": "the cat sat " * 20 + letter, "label": letter} for letter in "ab" * 10]
    settings = {"data.validation_split": 0.5, "data.max_seq_length": 32, "train.max_steps": 2}
    overrides = [Override(key, value, key) for key, value in settings.items()]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    finetune(
        FinetuneRequest(train=str(path), overrides=overrides, model=str(tiny_model), out=tmp_path / "run", device="cpu")
    )
    list(predict.predict_rows(str(tmp_path / "run"), [row["text"] for row in rows[:texts]], (), "auto"))
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("lost their end") == 3
    assert (
        told.count("finetune with --set data.overflow=windows reads them whole; the model reads at most 32 tokens") == 3
    )
    assert "--seq-len" not in told


def test_characters_that_the_tokenizer_changes_are_said_of_each_split(tmp_path, tiny_model, capsys):
    rows = "text,label\n" + "a résumé,good\na resume,bad\n" * 2
    for name in ("train.csv", "more.csv"):
        (tmp_path / name).write_text(rows)
    asked = FinetuneRequest(
        train=str(tmp_path / "train.csv"),
        validation=str(tmp_path / "more.csv"),
        model=str(tiny_model),
        overrides=[Override("train.max_steps", 1, "test"), Override("data.max_seq_length", 32, "test")],
        device="cpu",
        out=tmp_path / "run",
    )
    finetune(asked)
    told = " ".join(capsys.readouterr().err.split())
    for name in ("train", "validation"):
        assert f"of 28 characters in {name} 4 are changed by the model's tokenizer" in told
    assert inspect(asked)[0].warnings()[-1].startswith("of 28 characters in validation 4 are changed")
