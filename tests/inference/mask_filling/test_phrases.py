"""Words and phrases of any number of pieces at one place: worked by hand over plain transformers, and right."""

import logging
import math
from pathlib import Path

import pytest
import torch
from transformers import BertForMaskedLM, BertTokenizer, pipeline

from bertkit.errors import BertkitError
from bertkit.inference.mask_filling import phrases
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.inference.mask_filling.phrases import log_probabilities, shares
from bertkit.inference.scoring import Scorer
from bertkit.runtime.base import Reader
from bertkit.runtime.load import open_reader
from bertkit.runtime.text import Encoding


@pytest.fixture(scope="module")
def reader(taught_model: Path) -> Reader:
    return open_reader(str(taught_model), "words", None, 1)


@pytest.fixture(scope="module")
def filler(taught_model: Path) -> MaskFiller:
    return MaskFiller(taught_model, texts=1)


def by_hand(model: Path, tokens: list[str], masked: list[list[int]]) -> list[float]:
    """The log-probability of the first place of each group, with all places of the group masked."""
    bert, tokenizer = BertForMaskedLM.from_pretrained(model).eval(), BertTokenizer.from_pretrained(model)
    ids = torch.tensor([tokenizer.convert_tokens_to_ids(tokens)])
    logs = []
    for group in masked:
        copy = ids.clone()
        copy[0, group] = tokenizer.mask_token_id
        with torch.no_grad():
            logs.append(float(bert(copy).logits[0, group[0]].log_softmax(-1)[ids[0, group[0]]]))
    return logs


def ids_of(reader: Reader, tokens: list[str]) -> Encoding:
    return Encoding([reader.text_encoder.vocab[token] for token in tokens], [0] * len(tokens))


def test_later_pieces_of_the_filling_and_of_words_are_masked(reader: Reader, taught_model: Path) -> None:
    # "cat ##s sat" fills the place; "cat ##s ##s" is a word beside it.
    tokens = ["[CLS]", "a", "cat", "##s", "sat", "cat", "##s", "##s", "[MASK]", "[SEP]"]
    [found] = log_probabilities(reader.bert, reader.text_encoder, [(ids_of(reader, tokens), (2, 3, 4))])
    masked = [[1], [2, 3, 4], [3, 4], [4], [5, 6, 7], [6, 7], [7]]
    assert found == pytest.approx(by_hand(taught_model, tokens, masked), abs=1e-4)


def test_a_share_is_what_the_texts_would_have_at_one_length(reader: Reader, taught_model: Path) -> None:
    short, long = ["[CLS]", "a", "cat", "[SEP]"], ["[CLS]", "a", "cat", "##s", "[SEP]"]
    found = shares(reader.bert, reader.text_encoder, [(ids_of(reader, short), (2,)), (ids_of(reader, long), (2, 3))])
    one = by_hand(taught_model, short, [[1], [2]])
    other = by_hand(taught_model, long, [[1], [2, 3], [3]])
    weights = [math.exp(2 * sum(one) / 2), math.exp(2 * sum(other) / 3)]
    assert found.tolist() == pytest.approx([weight / sum(weights) for weight in weights], rel=1e-4)


def test_words_are_ranked_as_their_texts_are_scored(filler: MaskFiller, taught_model: Path) -> None:
    words = ["cats", "cat", "the", "catss", "sat", "gs"]
    [[found]] = filler.fill(["b the [MASK] sat ."], top_k=9, targets=words)
    scores = Scorer(taught_model, texts=1).score([f"b the {word} sat ." for word in words])
    by_score = sorted(zip(words, scores, strict=True), key=lambda pair: -(pair[1].per_token or 0))
    assert [guess.token_str for guess in found] == [word for word, _ in by_score]


def test_words_that_begin_alike_are_told_apart_where_the_pipeline_cuts_them(
    filler: MaskFiller, taught_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut = pipeline("fill-mask", str(taught_model), device="cpu")
    caplog.set_level(logging.ERROR)
    for text, right, wrong in [("a the [MASK] sat .", "cats", "cat"), ("b the [MASK] sat .", "cat", "cats")]:
        theirs = cut(text, targets=["cat", "cats"])
        assert [guess["token_str"] for guess in theirs] == ["cat"]  # both cut to one and the same piece
        [[ours]] = filler.fill([text], targets=["cat", "cats"])
        assert [guess.token_str for guess in ours] == [right, wrong]
        assert ours[0].score > 0.9
        assert sum(guess.score for guess in ours) == pytest.approx(1)
        assert ours[0].sequence == text.replace("[MASK]", right).replace(" .", ".")
        vocab = filler.reader.text_encoder.vocab
        assert {guess.token for guess in ours} == {vocab["cat"], (vocab["cat"], vocab["##s"])}


def test_phrases_compete_with_words(filler: MaskFiller) -> None:
    [[found]] = filler.fill(["g [MASK] d ."], targets=["c h", "c", "cats sat"])
    assert found[0].token_str == "c h"
    [[after_c], [after_e]] = filler.fill(["g c h [MASK] .", "g e h [MASK] ."], targets=["d", "f", "d d"])
    assert (after_c[0].token_str, after_e[0].token_str) == ("d", "f")


def test_each_mask_of_a_text_gets_its_comparison(filler: MaskFiller) -> None:
    [masks] = filler.fill(["a the [MASK] sat [MASK]"], targets=["cats", "."], top_k=1)
    assert [guesses[0].token_str for guesses in masks] == ["cats", "."]
    assert masks[1][0].sequence == "[CLS] a the [MASK] sat. [SEP]"


def test_far_context_does_not_count(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phrases, "CONTEXT", 2)
    tokens = ["[CLS]", *"abcdefghij", "[SEP]"]
    [found] = log_probabilities(reader.bert, reader.text_encoder, [(ids_of(reader, tokens), (4, 5))])
    assert len(found) == 6


def test_a_target_that_makes_the_text_too_long_is_one_line(filler: MaskFiller) -> None:
    with pytest.raises(BertkitError, match=r"'a a a .*…' has 35 tokens, and .* reads 32 at most"):
        filler.fill(["a " * 28 + "[MASK]"], targets=["a", "cats cats a"])
