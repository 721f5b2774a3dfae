"""Words of unknown numbers of pieces, found where they belong."""

import math
from pathlib import Path

import pytest

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.inference.mask_filling.joint import Gaps, log_probabilities
from bertkit.inference.mask_filling.words import WordPieces, search, widened
from bertkit.runtime.text import Encoding


@pytest.fixture(scope="module")
def filler(taught_model: Path) -> MaskFiller:
    return MaskFiller(taught_model, texts=1)


def test_masks_are_widened_where_they_stand() -> None:
    text = Encoding([2, 4, 6, 4, 3], [0, 0, 0, 1, 1])
    wide, places = widened(text, [1, 3], [2, 3])
    assert wide == Encoding([2, 4, 4, 6, 4, 4, 4, 3], [0, 0, 0, 0, 1, 1, 1, 1])
    assert places == (1, 2, 4, 5, 6)
    assert widened(text, [1, 3], [1, 1]) == (text, (1, 3))


def test_the_word_has_the_number_of_pieces_that_fits(filler: MaskFiller) -> None:
    [[many], [one]] = filler.fill(["a the [MASK] sat .", "b the [MASK] sat ."], max_pieces=3)
    # Of two pieces the model has seen nothing else after "a", and two words after "b".
    assert {guess.token_str: guess for guess in many}["cats"].score > 0.9
    assert {guess.token_str: guess for guess in many}["cats"].sequence == "a the cats sat."
    assert one[0].token_str == "cat"
    assert all(guess.score < 0.1 for guess in one[1:])


def test_words_of_one_piece_keep_their_probability(filler: MaskFiller) -> None:
    text = "b the [MASK] sat ."
    [[plain]] = filler.fill([text], top_k=21)
    [[wide]] = filler.fill([text], top_k=50, max_pieces=2)
    of_one = {guess.token: guess.score for guess in plain}
    assert [g.score for g in wide if isinstance(g.token, int)] == pytest.approx(
        [of_one[g.token] for g in wide if isinstance(g.token, int)], abs=1e-5
    )


def test_a_score_is_the_probability_of_all_pieces_in_as_many_masks(filler: MaskFiller) -> None:
    [[found]] = filler.fill(["a the [MASK] sat ."], max_pieces=3, top_k=20)
    reader = filler.reader
    for guess in found:
        word = (guess.token,) if isinstance(guess.token, int) else guess.token
        text = reader.text_encoder.encode(f"a the {'[MASK] ' * len(word)} sat .")
        [log] = log_probabilities(reader.bert, [(Gaps(text, range(3, 3 + len(word))), word)])
        assert guess.score == pytest.approx(math.exp(log), rel=1e-3)


def test_pieces_make_whole_words_spelled_as_in_training(filler: MaskFiller) -> None:
    kinds, text_encoder = WordPieces(filler.reader.text_encoder), filler.reader.text_encoder
    assert {text_encoder.decode([id_]) for id_ in kinds.continuing.tolist()} == {"##s"}
    assert len(kinds.any) == 16
    assert len(kinds.beginning) == 15
    text = text_encoder.encode("[MASK] the [MASK] .")
    found = search(filler.reader, kinds, text, [1, 3], 3, beam=12)
    assert {len(word) for _, filling in found for word in filling.words} == {1, 2, 3}
    for _, filling in found:
        for word in filling.words:
            assert tuple(text_encoder.spelt(text_encoder.decode(word))) == word
    assert [log for log, _ in found] == sorted((log for log, _ in found), reverse=True)


def test_several_masks_are_filled_together_with_words(filler: MaskFiller) -> None:
    [found] = filler.fill_jointly(["[MASK] the [MASK] sat ."], max_pieces=2)
    vocab = filler.reader.text_encoder.vocab
    assert {one.token_strs for one in found[:2]} == {("a", "cats"), ("b", "cat")}
    by_words = {one.token_strs: one for one in found}
    assert by_words["a", "cats"].tokens == (vocab["a"], (vocab["cat"], vocab["##s"]))
    assert by_words["a", "cats"].sequence == "a the cats sat."


def test_no_text_is_made_too_long(filler: MaskFiller) -> None:
    [[found]] = filler.fill(["a " * 29 + "[MASK]"], max_pieces=8, top_k=50)  # 32 tokens with one mask
    assert all(isinstance(guess.token, int) for guess in found)
    [many] = filler.fill_jointly(["[MASK] " * 9], max_pieces=8)
    assert all(isinstance(token, int) for one in many for token in one.tokens)


def test_words_that_are_shorter_than_asked_for_are_said(filler: MaskFiller, capsys: pytest.CaptureFixture[str]) -> None:
    console.note_once.cache_clear()
    for _ in range(2):
        filler.fill_jointly(["[MASK] [MASK] [MASK] [MASK] sat ."], max_pieces=5)
    said = " ".join(capsys.readouterr().err.split())
    assert said == (
        "words of up to 4 word pieces are searched, not 5, as at 4 masks there are too many combinations of longer ones"
    )  # 5 ** 4 is 625, and 256 are read
    filler.fill_jointly(["[MASK] [MASK] [MASK] [MASK] sat ."], max_pieces=4)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a " * 29 + "[MASK]", "words of up to 1 word pieces are searched, not 3"),  # 32 tokens are the most
        ("a " * 28 + "[MASK]", "words of up to 2 word pieces are searched, not 3"),
        ("a " * 26 + "[MASK] [MASK]", "not all words of up to 3 word pieces are searched together"),
        ("a " * 27 + "[MASK]", ""),
    ],
)
def test_words_for_which_a_text_has_no_room_are_said(
    filler: MaskFiller, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    console.note_once.cache_clear()
    for _ in range(2):
        filler.fill_jointly([text], max_pieces=3) if text.count("[MASK]") > 1 else filler.fill([text], max_pieces=3)
    ending = ", as the text fills the 32 tokens that the model reads"
    assert " ".join(capsys.readouterr().err.split()) == (said + ending if said else "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_pieces": 9}, "max_pieces must be 1 to 8, got 9"),
        ({"max_pieces": 0}, "max_pieces must be 1 to 8, got 0"),
        ({"max_pieces": 2, "targets": ["cat"]}, "leave max_pieces out"),
    ],
)
def test_wrong_options_are_one_line(filler: MaskFiller, options: dict[str, object], said: str) -> None:
    with pytest.raises(BertkitError, match=said):
        filler.fill(["[MASK]"], **options)
