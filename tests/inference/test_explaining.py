"""What each word adds to an answer, beside sums and integrals taken by hand."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from helpers.loud import louder, overflowing
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertForTokenClassification,
)
from typer.testing import CliRunner

import bertkit
from bertkit.cli.explain import explain as command
from bertkit.errors import BertkitError
from bertkit.inference.explaining import explain

pytest.importorskip("captum", reason="captum is not installed: pip install 'bertkit[explain]'")

TEXT = "the cats sat a b . c"
WORDS = ["the", "cats", "sat", "a", "b", ".", "c"]


def made(tiny_model: Path, folder: Path, kind: type, **config: object) -> Path:
    """A model with weights that are large enough to have opinions, and none of it linear."""
    shutil.copytree(tiny_model, folder)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        kind(BertConfig.from_pretrained(tiny_model, **config)).save_pretrained(folder)
    return louder(folder, times=25)


@pytest.fixture(scope="module")
def classifier(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {0: "bad", 1: "so so", 2: "good"}
    folder = tmp_path_factory.mktemp("explain") / "classifier"
    return made(tiny_model, folder, BertForSequenceClassification, id2label=names, num_labels=3)


@pytest.fixture(scope="module")
def filler(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tiny_model, tmp_path_factory.mktemp("explain") / "filler", BertForMaskedLM)


def probability(model: torch.nn.Module, ids: list[int], place: int | None, answer: int, embeddings=None):
    """By plain transformers; of a class, or of a word at a place."""
    inputs = {"inputs_embeds": embeddings} if embeddings is not None else {"input_ids": torch.tensor([ids])}
    logits = model(**inputs).logits
    return (logits if place is None else logits[:, place]).softmax(dim=-1)[:, answer]


@pytest.mark.parametrize("baseline", ["mask", "pad"])
@pytest.mark.parametrize("kind", ["class", "word"])
def test_words_add_up_to_the_difference_of_the_outputs(classifier, filler, kind, baseline):
    """Completeness; the two outputs and each word's share by plain transformers and a midpoint rule of 2,000 steps."""
    folder = classifier if kind == "class" else filler
    text = TEXT if kind == "class" else TEXT.replace("sat", "[MASK]")
    found = explain(str(folder), text, baseline=baseline, device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    loaded = (BertForSequenceClassification if kind == "class" else BertForMaskedLM).from_pretrained(folder).eval()
    ids = tokenizer(text)["input_ids"]
    place = None if kind == "class" else ids.index(tokenizer.mask_token_id)
    answer = {"bad": 0, "so so": 1, "good": 2}[found.answer] if kind == "class" else tokenizer.vocab[found.answer]
    hide = tokenizer.mask_token_id if baseline == "mask" else tokenizer.pad_token_id
    hidden = [id_ if id_ in tokenizer.all_special_ids and id_ != tokenizer.unk_token_id else hide for id_ in ids]
    with torch.no_grad():
        outputs = [probability(loaded, one, place, answer).item() for one in (ids, hidden)]
    assert (found.output, found.baseline_output) == pytest.approx(outputs, abs=1e-6)
    assert abs(outputs[0] - outputs[1]) > 1e-3
    total = sum(share for _, share in found.words)
    assert total == pytest.approx(outputs[0] - outputs[1], abs=abs(found.error) + 1e-6)
    assert abs(found.error) <= max(0.01 * abs(outputs[0] - outputs[1]), 1e-6)

    words = loaded.bert.embeddings.word_embeddings.weight.detach()
    begin, end = words[hidden], words[ids]
    gradients = torch.zeros_like(end)
    for steps in ((torch.arange(2_000) + 0.5) / 2_000).split(100):
        on_the_way = (begin + steps[:, None, None] * (end - begin)).requires_grad_()
        probability(loaded, ids, place, answer, on_the_way).sum().backward()
        gradients += on_the_way.grad.sum(0) / 2_000
    shares = ((end - begin) * gradients).sum(-1).tolist()
    tokens = [(ids[at], share) for at, share in enumerate(shares) if ids[at] not in (hide, *hidden)]
    by_word = []  # "cats" has two word pieces, of which the second goes on
    for id_, share in tokens:
        piece = tokenizer.convert_ids_to_tokens(id_)
        by_word = [*by_word[:-1], by_word[-1] + share] if piece.startswith("##") else [*by_word, share]
    assert [word for word, _ in found.words] == [word for word in WORDS if kind == "class" or word != "sat"]
    np.testing.assert_allclose([share for _, share in found.words], by_word, atol=0.02 * max(map(abs, by_word)))


def test_what_is_explained_is_what_is_predicted(classifier, filler):
    found = explain(str(classifier), "the cat", "sat .")
    one = bertkit.load_predictor(str(classifier))([{"sentence1": "the cat", "sentence2": "sat ."}])[0]
    assert (found.answer, found.output) == (one["prediction"], pytest.approx(max(one["probabilities"].values())))
    guess = bertkit.load(str(filler)).fill("the [MASK] sat", top_k=1)[0][0]
    found = explain(str(filler), "the [MASK] sat")
    assert (found.answer, found.output) == (guess.token_str, pytest.approx(guess.score, abs=1e-6))
    # The probabilities of all classes add up to 1, and so what a word adds to them to nothing.
    by_class = [explain(str(classifier), TEXT, answer=name).words for name in ("bad", "so so", "good")]
    np.testing.assert_allclose(np.sum([[share for _, share in words] for words in by_class], axis=0), 0, atol=0.02)


@pytest.mark.parametrize("pair", [(), ("d e",)])
@pytest.mark.parametrize("length", [None, 8, 200])
def test_of_a_text_that_is_too_long_what_predict_reads_is_explained(classifier, tmp_path, capsys, length, pair):
    """The recipe's length, or that of the model (32) where it is less or there is no recipe."""
    folder = shutil.copytree(classifier, tmp_path / "model")
    if length is not None:
        (folder / "recipe.toml").write_text(f"[data]\nmax_seq_length = {length}\n")
    text = "the cat " + "sat a b c d . " * 8
    row = {"sentence1": text, "sentence2": pair[0]} if pair else text
    one = bertkit.load_predictor(str(folder))([row])[0]
    capsys.readouterr()
    found = explain(str(folder), text, *pair)
    assert found.answer == one["prediction"]
    assert found.output == pytest.approx(one["probabilities"][found.answer], abs=1e-6)
    read = min(length or 32, 32)
    assert len(found.words) == read - (3 if pair else 2)
    assert found.tokens_cut == len(text.split()) + (5 if pair else 2) - read
    assert f"reads {read}: the end is cut, as by bertkit predict" in " ".join(capsys.readouterr().err.split())


def test_a_text_that_is_read_in_windows_is_not_explained_by_one_of_them(classifier, tmp_path):
    folder = shutil.copytree(classifier, tmp_path / "model")
    (folder / "recipe.toml").write_text('[data]\nmax_seq_length = 8\noverflow = "windows"\n')
    assert len(explain(str(folder), "the d sat .").words) == 4
    with pytest.raises(BertkitError, match=r"has 10 tokens, and .* answers from several windows of 8 .*: shorten it"):
        explain(str(folder), "the d sat . a b c d")


def test_numbers_and_several_labels(tiny_model, tmp_path):
    number = made(tiny_model, tmp_path / "n", BertForSequenceClassification, num_labels=1, problem_type="regression")
    found = explain(str(number), TEXT)
    loaded = BertForSequenceClassification.from_pretrained(number).eval()
    inputs = AutoTokenizer.from_pretrained(number)(TEXT, return_tensors="pt")
    assert (found.answer, found.output) == ("", pytest.approx(loaded(**inputs).logits.item(), abs=1e-4))
    scaled = json.loads((number / "config.json").read_text()) | {"bertkit_scale": [10.0, 2.0]}  # as in a checkpoint
    (number / "config.json").write_text(json.dumps(scaled))
    assert explain(str(number), TEXT).output == pytest.approx(10 + 2 * found.output, abs=1e-4)
    kind = "multi_label_classification"
    alone = made(
        tiny_model, tmp_path / "a", BertForSequenceClassification, id2label={0: "good"}, num_labels=1, problem_type=kind
    )
    loaded = BertForSequenceClassification.from_pretrained(alone).eval()
    found = explain(str(alone), TEXT)
    assert (found.answer, found.output) == ("good", pytest.approx(loaded(**inputs).logits.sigmoid().item(), abs=1e-5))
    several = made(tiny_model, tmp_path / "s", BertForSequenceClassification, num_labels=3, problem_type=kind)
    loaded = BertForSequenceClassification.from_pretrained(several).eval()
    found = explain(str(several), TEXT, answer="LABEL_1")
    assert found.output == pytest.approx(loaded(**inputs).logits[0, 1].sigmoid().item(), abs=1e-5)


@pytest.mark.parametrize(
    ("model", "text", "more", "said"),
    [
        ("classifier", "the cat", {"answer": "fine"}, "no class 'fine': it has bad, so so, good"),
        ("classifier", " ", {}, "has no word to explain by"),
        ("filler", "the [MASK] " * 30, {}, "has 62 tokens, and .* reads 32 at most: shorten it"),
        ("classifier", "the cat", {"baseline": "zero"}, "--baseline must be mask or pad"),
        ("filler", "the cat", {}, r"no \[MASK\] in 'the cat'"),
        ("filler", "[MASK] the [MASK]", {}, r"has 2 \[MASK\]: leave one"),
        ("filler", "the [MASK]", {"answer": "zebra"}, "'zebra' is not one word piece"),
        ("filler", "the [MASK]", {"answer": "cats"}, "'cats' is not one word piece"),
        ("tags", "the cat", {}, "and .* is a BertForTokenClassification: give a classifier of texts, or a pretrained"),
    ],
)
def test_what_cannot_be_explained_is_one_line(request, tiny_model, tmp_path, model, text, more, said):
    if model == "tags":
        folder = made(tiny_model, tmp_path / "tags", BertForTokenClassification)
    else:
        folder = request.getfixturevalue(model)
    with pytest.raises(BertkitError, match=said):
        explain(str(folder), text, **more)


def test_a_classifier_reads_as_many_texts_as_it_was_trained_on(classifier, tmp_path):
    for texts, given, said in (
        (2, ("the cat",), "takes two texts, and one is given: give the second as well"),
        (1, ("the cat", "sat ."), "takes one text, and two are given: leave the second"),
    ):
        folder = shutil.copytree(classifier, tmp_path / str(texts))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"bertkit_texts": texts}))
        with pytest.raises(BertkitError, match=said):
            explain(str(folder), *given)
        fitting = ("the cat", "sat .")[:texts]
        assert explain(str(folder), *fitting).words == explain(str(classifier), *fitting).words


@pytest.mark.parametrize("kind", ["classifier", "filler", "number"])
def test_an_answer_that_is_not_finite_is_one_line(request, tiny_model, tmp_path, kind):
    if kind == "number":
        one = {"num_labels": 1, "problem_type": "regression"}
        folder = made(tiny_model, tmp_path / "model", BertForSequenceClassification, **one)
    else:
        folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / "model")
    with pytest.raises(BertkitError, match="the answers of the model are not finite"):
        explain(str(overflowing(folder)), "the [MASK]" if kind == "filler" else TEXT)


def test_the_command_keeps_to_80_columns(classifier):
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(classifier), "the " + "cat" * 9 + " 中 sat .", "--answer", "good"])
    lines = done.stdout.splitlines()
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in lines[2:]] == ["the", "[UNK]", "[UNK]", "sat", "."]
    assert all(len(line) <= 80 for line in lines[1:])
    assert max(line.count("█") + line.count("░") for line in lines[2:]) == 40
    assert "of 5 word pieces 2 are unknown to" in " ".join(done.stderr.split())
    as_json = CliRunner().invoke(app, [str(classifier), "the cat", "--json"])
    assert set(json.loads(as_json.stdout)) == {
        *("model", "answer", "output", "baseline", "baseline_output", "words", "steps", "error", "tokens_cut")
    }
