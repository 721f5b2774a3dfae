"""A saved classifier asked for a few rows, without torch, and for many: the same answers, those of transformers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_imports import MAIN, modules_after
from transformers import (
    BertForSequenceClassification,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

import bertkit
from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning import predict
from bertkit.finetuning.features import Split
from bertkit.finetuning.predictor import Predictor, open_predictor, predictions
from bertkit.models.fast.attention import attend_unpadded
from bertkit.models.headed import pooled_logits
from bertkit.settings.recipes import Override

ROWS = [
    ("the cat sat .",),
    ("",),
    ("a b c d e f g h i j the cats",),
    ("the cat", "sat on the cats ."),
    ("a", "b c d e f g h i j a b c d e f"),
    ("中文 cats",),
]
Make = Callable[..., Path]


@pytest.fixture
def make(tiny_model: Path, tmp_path: Path) -> Make:
    """Writes a classifier with random weights that `bertkit finetune` could have written, of 12 tokens at most."""

    def make(**settings: Any) -> Path:
        folder = shutil.copytree(tiny_model, tmp_path / "classifier")
        torch.manual_seed(3)
        model = BertForSequenceClassification.from_pretrained(tiny_model, **settings)
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_(std=0.5)
        model.save_pretrained(folder)
        (folder / "recipe.toml").write_text("[data]\nmax_seq_length = 12\n")
        return folder

    return make


def logits(predictor: Predictor, rows: list[tuple[str, ...]]) -> list[np.ndarray]:
    return predictor.logits(predictor.head.features(Split("", rows, None), predictor.encoder))


KINDS: list[dict[str, Any]] = [
    {"id2label": {0: "bad", 1: "good", 2: "so so"}, "problem_type": "single_label_classification"},
    {"id2label": {0: "bad", 1: "good"}},
    {"num_labels": 3, "problem_type": "multi_label_classification"},
    {},
    {"num_labels": 1},
    {"num_labels": 1, "num_hidden_layers": 1, "hidden_act": "relu"},
]


@pytest.mark.parametrize("settings", KINDS)
def test_a_few_rows_get_what_transformers_says(make: Make, settings: dict[str, Any]) -> None:
    folder = make(**settings)
    few, many = open_predictor(str(folder), "auto", len(ROWS)), open_predictor(str(folder), "cpu")
    assert (few.reader is None, many.reader is None) == (False, True)
    assert (type(few.head), few.head.label_names) == (type(many.head), many.head.label_names)
    model, tokenizer = (
        BertForSequenceClassification.from_pretrained(folder).eval(),
        BertTokenizer.from_pretrained(folder),
    )
    expected = []
    for row in ROWS:
        with torch.no_grad():
            inputs = tokenizer(*row, truncation="longest_first", max_length=12, return_tensors="pt")
            expected.append(model(**inputs).logits[0].numpy())
    assert np.ptp(expected, axis=0).min() > 0.01
    for one in (few, many):
        assert np.stack(logits(one, ROWS)) == pytest.approx(np.stack(expected), abs=2e-6)


@pytest.mark.parametrize("rows", [None, 6])
def test_answers_that_are_no_numbers_are_one_line(make: Make, rows: int | None) -> None:
    folder = make(id2label={0: "bad", 1: "good"})
    weights = load_file(folder / "model.safetensors")
    weights["bert.encoder.layer.0.intermediate.dense.weight"] *= 1e38  # finite, but not what is computed with it
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    predictor = open_predictor(str(folder), "auto" if rows else "cpu", rows)
    with pytest.raises(BertkitError, match="the answers of the model are not finite"):
        predictor(["the cat sat ."])


@pytest.mark.parametrize("settings", KINDS)
def test_predictions_are_the_same_from_both(make: Make, settings: dict[str, Any]) -> None:
    folder = make(**settings)
    few, many = (list(predictions(open_predictor(str(folder), "auto", rows), iter(ROWS))) for rows in (6, 33))
    assert [list(row) for row in few] == [list(row) for row in many]
    for one, other in zip(few, many, strict=True):
        if "probabilities" not in one:
            assert one.pop("prediction") == pytest.approx(other.pop("prediction"), abs=2e-6)
            continue
        assert one.pop("probabilities") == pytest.approx(other.pop("probabilities"), abs=2e-6)
        assert one == other


def test_the_last_layer_at_the_first_token_is_the_whole_model(make: Make) -> None:
    model = BertForSequenceClassification.from_pretrained(make()).eval()
    ids = torch.tensor([[2, 6, 7, 8, 3], [2, 9, 3, 0, 0], [2, 3, 0, 0, 0]])
    batch = {"input_ids": ids, "attention_mask": (ids > 0).long(), "token_type_ids": torch.zeros_like(ids)}
    expected = model(**batch).logits.detach()
    attend_unpadded(model)
    for attention in ("sdpa", "eager"):
        model.set_attn_implementation(attention)
        with torch.no_grad():
            assert pooled_logits(model, batch) == pytest.approx(expected, abs=2e-6)
            assert model(**batch).logits == pytest.approx(expected, abs=2e-6)  # reads padded batches as before


def test_rows_are_cut_to_what_the_model_reads(make: Make) -> None:
    folder = make()
    (folder / "recipe.toml").unlink()  # what is left is its own length, 32
    for rows in (1, None):
        classifier = open_predictor(str(folder), "auto", rows)
        cut, whole = logits(classifier, [("a " * 99,), ("a " * 30,)])
        assert cut == pytest.approx(whole, abs=2e-6)


def test_more_tokens_than_the_model_reads_are_refused_where_they_are_asked_for(make: Make) -> None:
    folder = str(make())
    for rows in (1, None):
        for asked, read in ((20, 20), (33, None)):
            overrides = [Override("data.max_seq_length", asked, f"--set max_seq_length={asked}")]
            if read:
                assert open_predictor(folder, "auto", rows, overrides).encoder.max_length == read
            else:
                with pytest.raises(BertkitError, match=r"reads at most 32 tokens: .* \(--set max_seq_length=33\)"):
                    open_predictor(folder, "auto", rows, overrides)


def test_another_encoder_goes_to_torch(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "other")
    (folder / "config.json").unlink()
    config = DistilBertConfig(vocab_size=64, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=32)
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    told = json.loads((folder / "tokenizer_config.json").read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    classifier = open_predictor(str(folder), "auto", 1)
    assert classifier.reader is None
    assert [one.shape for one in logits(classifier, ROWS[:1])] == [(2,)]


def test_a_model_that_was_not_fine_tuned_is_refused_alike(tiny_model: Path) -> None:
    for rows in (1, None):
        with pytest.raises(BertkitError, match="was not fine-tuned"):
            open_predictor(str(tiny_model), "auto", rows)


def test_a_few_rows_are_predicted_without_torch(make: Make, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("the cat\n\nsat .\n")
    loaded = modules_after(MAIN.format(arguments=["predict", str(make()), str(tmp_path / "lines.txt")]))
    assert "numpy" in loaded
    assert loaded & {"torch", "transformers", "scipy", "sklearn", "datasets", "accelerate", "pyarrow"} == set()


def test_a_model_without_a_recipe_is_read_at_its_own_length(make):
    folder = make()
    assert open_predictor(str(folder), "cpu").encoder.max_length == 12
    (folder / "recipe.toml").unlink()
    for rows in (1, None):
        assert open_predictor(str(folder), "auto", rows).encoder.max_length == 32


def test_a_pretrained_run_is_told_from_a_fine_tuned_one_both_ways(make: Make, tiny_model: Path, tmp_path: Path) -> None:
    run = shutil.copytree(tiny_model, tmp_path / "run")
    (run / "recipe.toml").write_text("[model]\nhidden_size = 32\n")
    (run / "run.json").write_text('{"kind": "pretrain"}')
    for asked in (
        lambda: list(predict.predict_rows(str(run), ["a"], (), "auto")),
        lambda: predict.evaluate(str(run), None, None, None, [], "cpu"),
    ):
        with pytest.raises(BertkitError, match=f"it is pretrained .*finetune --model {run} first.*--corpus"):
            asked()
    classifier = make()
    with pytest.raises(BertkitError, match=f"no masked-word head: it is fine-tuned .*bertkit predict {classifier}"):
        bertkit.load(classifier).fill("the [MASK]")


@pytest.mark.parametrize(("texts", "columns"), [(2, ["text"]), (1, ["sentence1", "sentence2"])])
def test_a_model_is_not_asked_with_fewer_or_more_texts_than_it_learned_from(
    make: Make, tmp_path: Path, texts: int, columns: list[str]
) -> None:
    folder = make()
    config = json.loads((folder / "config.json").read_text()) | {"bertkit_texts": texts}
    (folder / "config.json").write_text(json.dumps(config))
    table = tmp_path / "rows.jsonl"
    table.write_text(json.dumps(dict.fromkeys(columns, "the cat")) + "\n")
    with pytest.raises(
        BertkitError, match=f"rows.jsonl is read by {len(columns)} columns?.*{'two' if texts == 2 else 'one'}"
    ):
        list(predict.predict_rows(str(folder), [str(table)], (), "auto"))
    if texts == 2:
        with pytest.raises(BertkitError, match="the text is a text alone, and the model takes two texts"):
            list(predict.predict_rows(str(folder), ["the cat"], (), "auto"))
    else:
        assert len(list(predict.predict_rows(str(folder), ["the cat"], (), "auto"))) == 1


@pytest.mark.parametrize(
    ("auto_class", "needed"), [("ForQuestionAnswering", "a question and a context"), ("ForMultipleChoice", "choices")]
)
def test_a_text_alone_is_refused_where_a_model_needs_more(
    tiny_model: Path, tmp_path: Path, auto_class: str, needed: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | {"architectures": [f"Bert{auto_class}"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(BertkitError, match=f"a text alone, and the model takes .*{needed}"):
        list(predict.predict_rows(str(folder), ["the cat"], (), "auto"))


def test_rows_in_every_form_get_the_answers_of_their_texts(make: Make) -> None:
    folder = make()
    ask = bertkit.load_predictor(folder, device="cpu")
    texts = ["the cat sat .", "a b c", "cats"]
    frame = pandas.DataFrame({"text": texts})
    expected = ask(texts)
    assert len({row["probabilities"]["LABEL_0"] for row in expected}) == 3
    generators = (iter(texts), (row for row in frame.to_dict("records")))
    for form in (frame, datasets.Dataset.from_pandas(frame), frame["text"], *generators):
        assert ask(form) == expected
    light = bertkit.predict(folder, frame)
    assert [row["prediction"] for row in light] == [row["prediction"] for row in expected]


def test_what_is_no_list_of_rows_is_refused(make: Make) -> None:
    ask = bertkit.load_predictor(make())
    assert ask({"text": ["a", "b"]}) == ask(["a", "b"])
    for rows, said in (({"text": "a"}, r"no list: .* of a single row \[row\]"), (5, "the rows cannot be of type int")):
        with pytest.raises(BertkitError, match=said):
            ask(rows)  # type: ignore[arg-type]


def test_a_row_without_a_text_is_refused_with_its_place(make: Make, tmp_path: Path) -> None:
    folder, table = make(), tmp_path / "rows.jsonl"
    for missing in ("null", "NaN"):
        table.write_text(f'{{"text": "a"}}\n{{"text": {missing}}}\n{{"text": ""}}\n')
        with pytest.raises(BertkitError, match=r"rows.jsonl:2 has no text in column 'text'"):
            list(predict.predict_rows(str(folder), [str(table)], (), "auto"))
    rows: list[Any] = [{"text": "a"}, {"text": None}]
    for form in (rows, [{"text": "a"}, {"text": float("nan")}], pandas.DataFrame(rows), ["a", {"text": None}]):
        with pytest.raises(BertkitError, match="the rows, row 1 has no text in column 'text'"):
            bertkit.load_predictor(folder)(form)
    with pytest.raises(BertkitError, match="give a list of texts or rows, not the path .*rows.jsonl"):
        bertkit.load_predictor(folder)(table)


def test_columns_that_were_guessed_are_said_once(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    console.note_once.cache_clear()
    folder, table = str(make()), tmp_path / "rows.csv"
    capsys.readouterr()
    table.write_text("title,what\na,the cats sat . the cat sat .\nb,the cat sat . the cats sat .\n")
    for _ in range(2):
        list(predict.predict_rows(folder, [str(table)], (), "auto"))
    said = "text: what (the only column of long texts; --text names another)"
    assert " ".join(capsys.readouterr().err.split()) == said
    list(predict.predict_rows(folder, [str(table)], ("title",), "auto"))
    assert capsys.readouterr().err == ""


def test_columns_of_what_has_none_are_refused(make: Make, tmp_path: Path) -> None:
    folder, plain, table = str(make()), tmp_path / "lines.txt", tmp_path / "rows.csv"
    plain.write_text("the cat\n")
    table.write_text("body\nthe cat\n")
    for source in ("a text", "-", str(plain)):
        with pytest.raises(BertkitError, match="--text does not go with texts and plain lines: it is for tables"):
            predict.predict_rows(folder, [source], ("body",), "auto")
    assert len(list(predict.predict_rows(folder, [str(table), str(plain)], ("body",), "auto"))) == 2


def test_texts_of_a_leaderboard_file_that_are_cut_are_counted(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(id2label={0: "negative", 1: "positive"})
    (tmp_path / "SST-2").mkdir()
    # 12 tokens with [CLS] and [SEP] are read; GLUE's test set has 1,821 rows.
    sentences = ["a " * 11, "b " * 10, "c " * 20] + ["the cat sat"] * 1818
    lines = ["index\tsentence", *(f"{number}\t{text}" for number, text in enumerate(sentences))]
    (tmp_path / "SST-2" / "test.tsv").write_text("\n".join(lines) + "\n")
    predictor = open_predictor(str(folder), "cpu")
    [written] = predict.write_task_submission(predictor, "sst2", tmp_path, tmp_path / "out")
    assert len(written.read_text().splitlines()) == 1822
    assert "2 of 1,821 rows in test are longer than 12 tokens and lost their end" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_folder_of_data_does_not_go_with_rows_of_ones_own(make: Make, tmp_path: Path) -> None:
    with pytest.raises(BertkitError, match="--data does not go with --validation.*it is for --task"):
        predict.evaluate(str(make()), None, tmp_path, str(tmp_path / "rows.csv"), [], "cpu")
