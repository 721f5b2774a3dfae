"""Scores of sentences and pairs, beside loops written by hand over plain transformers."""

import math
import shutil
from pathlib import Path

import pytest
import torch
from helpers.loud import loud
from transformers import BertForMaskedLM, BertForNextSentencePrediction, BertForPreTraining, BertTokenizer

import bertkit
from bertkit.errors import BertkitError
from bertkit.inference import scoring
from bertkit.inference.scoring import PairScorer, Score, Scorer
from bertkit.runtime.numpy_bert import NumpyBert
from bertkit.runtime.torch_bert import TorchBert

DEVICES = [None, "cpu"]  # numpy and torch
SENTENCES = ["the cat sat .", "a", "The cats sat. a b c d e f", "zebra cat", "the cat sat on the cats"]


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger weights, so that what it says differs."""
    folder = tmp_path_factory.mktemp("score") / "model"
    loud(tiny_model, folder, BertForPreTraining, seed=1, std=1.0)
    return folder


@pytest.fixture(scope="module", params=DEVICES)
def scorer(model: Path, request: pytest.FixtureRequest) -> Scorer:
    scorer = Scorer(model, request.param, texts=1)
    assert isinstance(scorer.texts.reader.bert, TorchBert if request.param else NumpyBert)
    return scorer


def by_hand(model: Path, tokens: list[str], masked: list[list[int]]) -> float:
    """The log-probability of the first place of each group, with all places of the group masked; added up."""
    bert, tokenizer = BertForMaskedLM.from_pretrained(model).eval(), BertTokenizer.from_pretrained(model)
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(["[CLS]", *tokens, "[SEP]"])])
    total = 0.0
    for group in masked:
        copy = ids.clone()
        copy[0, group] = tokenizer.mask_token_id
        with torch.no_grad():
            logs = bert(copy).logits[0, group[0]].log_softmax(-1)
        total += float(logs[ids[0, group[0]]])
    return total


def test_pieces_of_one_word_are_masked_from_left_to_right(model: Path, scorer: Scorer) -> None:
    [found] = scorer.score(["The catss sat"])
    tokens = ["the", "cat", "##s", "##s", "sat"]
    expected = by_hand(model, tokens, [[1], [2, 3, 4], [3, 4], [4], [5]])
    assert found.tokens == 5
    assert found.score == pytest.approx(expected, abs=1e-5)
    # What is not meant: each piece with the rest of its word in sight (Salazar et al.), or the whole word masked.
    for other in ([[1], [2], [3], [4], [5]], [[1], [2, 3, 4], [3, 2, 4], [4, 2, 3], [5]]):
        assert abs(found.score - by_hand(model, tokens, other)) > 1e-3


def test_words_of_one_piece_have_the_plain_pseudo_log_likelihood(model: Path, scorer: Scorer) -> None:
    tokens = ["the", "cat", "sat", "."]
    [found] = scorer.score(["the cat sat."])
    assert found.score == pytest.approx(by_hand(model, tokens, [[1], [2], [3], [4]]), abs=1e-5)
    assert found.per_token == pytest.approx(found.score / 4)
    assert found.perplexity == pytest.approx(math.exp(-found.score / 4))


@pytest.mark.parametrize("at_once", [1, 3, 512])
def test_company_and_order_change_nothing(scorer: Scorer, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    alone = [scorer.score([text])[0] for text in SENTENCES]
    monkeypatch.setattr(scoring, "_COPIES_AT_ONCE", at_once)
    together = scorer.score(SENTENCES)
    assert [one.tokens for one in together] == [one.tokens for one in alone] == [4, 1, 11, 2, 7]
    assert [one.score for one in together] == pytest.approx([one.score for one in alone], abs=1e-5)


def test_special_tokens_are_read_and_not_scored(model: Path, scorer: Scorer) -> None:
    found, empty = scorer.score(["a [MASK] b [SEP]", ""])
    expected = by_hand(model, ["a", "[MASK]", "b", "[SEP]"], [[1], [3]])
    assert (found.tokens, found.score) == (2, pytest.approx(expected, abs=1e-5))
    assert (empty, empty.per_token, empty.perplexity) == (Score(None, 0), None, None)


def test_unknown_pieces_are_counted(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["the zebra sat", "giraffe cats", "a [MASK] b"]
    ids = BertTokenizer.from_pretrained(model)(texts, add_special_tokens=False)["input_ids"]
    scorer = Scorer(model, texts=1)
    scorer.score(texts)
    assert scorer.misread.count == sum(row.count(BertTokenizer.from_pretrained(model).unk_token_id) for row in ids) == 2
    scorer.say_misread()
    assert "of 8 word pieces 2 are unknown to" in " ".join(capsys.readouterr().err.split())
    scorer.score(["the cat"])
    scorer.say_misread()
    bertkit.load(model).score(["the cat", "zebra"])
    assert " ".join(capsys.readouterr().err.split()).startswith("of 3 word pieces 1 is unknown to")


def test_a_long_text_is_cut_and_counted(model: Path) -> None:
    scorer = Scorer(model, texts=1)
    whole, cut = scorer.score(["a " * 30, "a " * 31])  # 32 tokens with [CLS] and [SEP] are the most
    assert whole == cut
    assert (cut.tokens, scorer.texts.cut) == (30, 1)


PAIRS = [("the cat sat .", "a cat"), ("a", "b c d e f g"), ("", "the cats"), ("a " * 9, "b c " * 20), ("b " * 40, "a")]


@pytest.mark.parametrize("device", DEVICES)
def test_next_sentences_are_as_likely_as_transformers_says(model: Path, device: str | None) -> None:
    scorer = PairScorer(model, device, texts=1)
    bert, tokenizer = BertForNextSentencePrediction.from_pretrained(model).eval(), BertTokenizer.from_pretrained(model)
    expected = []
    for pair in PAIRS:
        inputs = tokenizer(*pair, truncation="longest_first", max_length=32, return_tensors="pt")
        with torch.no_grad():
            expected.append(float(bert(**inputs).logits.softmax(-1)[0, 0]))
    assert scorer.probabilities(PAIRS) == pytest.approx(expected, abs=1e-5)
    assert scorer.texts.cut == 2
    assert max(expected) - min(expected) > 0.01


def test_a_model_without_the_head_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "words")
    BertForMaskedLM.from_pretrained(folder).save_pretrained(folder)
    Scorer(folder, texts=1)
    with pytest.raises(BertkitError, match="has no .*next-sentence head"):
        PairScorer(folder, texts=1)
