"""Words of a corpus counted, and how they are cut, against counts by hand."""

from collections import Counter

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bertkit.corpus.preparation import Preparation
from bertkit.corpus.sources import find_sources
from bertkit.corpus.words import is_word_by_word, word_cuts
from bertkit.models.tokenizer import build_tokenizer

VOCAB = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "ab",
    "cab",
    *"abcde.'",
    *(f"##{one}" for one in "abcdé2"),
    "##bc",
]


def cuts_of(text: str, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    tokenizer = build_tokenizer(VOCAB, lowercase=True, strip_accents=False)
    return word_cuts(Preparation(find_sources([str(path)])), tokenizer.backend_tokenizer)


def test_words_and_their_word_pieces_by_hand(tmp_path) -> None:
    text = "Cabcd, (cabcd) cab.\n\n" + "aab AAB's 22 . cabcd_a a_cabcd\n" * 6 + "dada dada daé2\n"
    cuts = cuts_of(text, tmp_path)
    # aab = a ##a ##b; cabcd = cab ##c ##d; dada = d ##a ##d ##a; daé2 = d ##a ##é ##2; s is unknown
    pieces = {"cabcd": 3, "cab": 1, "aab": 3, "s": 1, "dada": 4, "daé2": 4}
    counts = Counter({"cabcd": 2, "cab": 1, "aab": 12, "s": 6, "dada": 2, "daé2": 1})
    assert cuts.words == counts.total()
    assert cuts.word_pieces == sum(pieces[word] * times for word, times in counts.items())
    assert [(one.word, one.times, one.word_pieces) for one in cuts.worst] == [
        ("aab", 12, ["a", "##a", "##b"]),
        ("_", 12, ["[UNK]"]),
        ("s", 6, ["[UNK]"]),
    ]
    assert cuts.unknown == 6
    assert cuts.pieces_a_word() == cuts.word_pieces / cuts.words
    assert cuts.pieces_a_word(1) == cuts.pieces_a_word(100) == (cuts.word_pieces - 24) / cuts.words


def test_an_unknown_word_counts_as_cut_into_its_characters(tmp_path) -> None:
    cuts = cuts_of("ɓaɓa dad cab\n" * 6 + "aɗ\n" * 5 + "ƙab\n" * 4, tmp_path)
    # ɓaɓa: 4 characters, 6 times; dad = d ##a ##d; aɗ: 2 characters; ƙab is met four times only
    assert [(one.word, one.word_pieces, one.saved) for one in cuts.worst] == [
        ("ɓaɓa", ["[UNK]"], 6 * 3),
        ("dad", ["d", "##a", "##d"], 6 * 2),
        ("aɗ", ["[UNK]"], 5 * 1),
    ]
    assert (cuts.words, cuts.unknown, cuts.word_pieces) == (27, 15, 6 * (4 + 3 + 1) + 5 * 2 + 4 * 3)


def test_an_unknown_sign_is_met_wherever_it_stands_and_is_no_word(tmp_path) -> None:
    cuts = cuts_of("cab። «dad»\n" * 5 + "dad,cab.'\n" * 2 + "a—b\n" * 4, tmp_path)
    # "," and "—" are met too rarely, "." and "'" are known
    assert [(one.word, one.times, one.word_pieces, one.saved) for one in cuts.worst] == [
        ("dad", 7, ["d", "##a", "##d"], 14),
        ("«", 5, ["[UNK]"], 0),
        ("»", 5, ["[UNK]"], 0),
        ("።", 5, ["[UNK]"], 0),
    ]
    assert (cuts.words, cuts.unknown, cuts.word_pieces) == (22, 0, 7 + 7 * 3 + 8)
    assert cuts.pieces_a_word(100) == 1


def test_marks_at_which_the_rules_do_not_cut_are_signs_as_well(tmp_path) -> None:
    cuts = cuts_of("aab\U0001e95f cab\n" * 5, tmp_path)  # a mark of Adlam, of Unicode 9
    assert [(one.word, one.times) for one in cuts.worst] == [("aab", 5), ("\U0001e95f", 5)]
    assert (cuts.words, cuts.unknown, cuts.word_pieces) == (10, 0, 5 * (3 + 1))


def test_what_saves_most_comes_first(tmp_path) -> None:
    cuts = cuts_of("dad dadad add. bad\n" * 5 + "dad " * 5, tmp_path)
    # add = a ##d ##d, bad = b ##a ##d: the same, by the alphabet
    assert [(one.word, one.saved) for one in cuts.worst] == [("dad", 20), ("dadad", 20), ("add", 10), ("bad", 10)]


@pytest.mark.parametrize("written", ["aab", "\u00adaab", "a\u200bab"])
def test_a_word_is_counted_as_the_rules_read_it(tmp_path, written) -> None:
    assert [(one.word, one.times) for one in cuts_of(f"{written} " * 7, tmp_path).worst] == [("aab", 7)]


def test_which_tokenizers_cut_word_by_word() -> None:
    bert = build_tokenizer(VOCAB, lowercase=True).backend_tokenizer
    assert is_word_by_word(bert)
    other = Tokenizer(models.BPE())
    other.normalizer, other.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    assert not is_word_by_word(other)
    bert.pre_tokenizer = pre_tokenizers.Whitespace()
    assert not is_word_by_word(bert)
