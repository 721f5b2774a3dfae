"""What of a text a tokenizer does not know, against counts by hand."""

from bertkit.corpus import looking
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.sources import find_sources
from bertkit.corpus.unknown import UnknownText, unknown_text
from bertkit.models.tokenizer import build_tokenizer

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "a", "##a", "b", ".", ","]


def unknown_of(text: str, tmp_path) -> UnknownText:
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    tokenizer = build_tokenizer(VOCAB, lowercase=True, strip_accents=False)
    return unknown_text(Preparation(find_sources([str(path)])), tokenizer.backend_tokenizer, tokenizer.unk_token_id)


def test_words_and_characters_without_a_word_piece_by_hand(tmp_path) -> None:
    # Seven words. Unknown: Ŋa, twice, of which the comma is known; ab, as there is no ##b, though there is a b.
    seen = unknown_of("The cat Ŋa, Ŋa b ab .\n", tmp_path)
    assert seen.word_share == 3 / 7
    assert seen.character_share == (2 + 2 + 2) / len("ThecatŊa,Ŋabab.")
    assert (seen.without_piece, seen.too_long, seen.most_frequent) == (3, 0, ["ab", "Ŋa", "Ŋa,"])
    assert "42.9% of the words and 40.0% of the characters, as ab, Ŋa, Ŋa,: characters of theirs" in seen.told()
    assert "--add-words" in seen.told()


def test_words_that_are_too_long_are_told_from_those_without_a_word_piece(tmp_path) -> None:
    longest, longer = "a" * 100, "a" * 101
    seen = unknown_of(f"the {longest} {longer}\n", tmp_path)
    assert (seen.without_piece, seen.too_long, seen.most_frequent) == (0, 1, [longer])
    assert seen.character_share == 101 / 204
    assert "as aaaaaaaaaaaaaaaaaaaaaaaa: they have more than 100 characters" in seen.told()
    assert "--add-words" not in seen.told()
    both = unknown_of(f"the é é {longer}\n", tmp_path).told()
    assert "2 words have characters without a word piece" in both
    assert "1 has more than 100 characters" in both


def test_empty_files_are_not_what_is_looked_at(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(looking, "_LOOKED_AT_SOURCES", 2)
    tokenizer = build_tokenizer(VOCAB, lowercase=True, strip_accents=False)

    def unknown(*texts: str) -> UnknownText:
        for number, text in enumerate(texts):
            (tmp_path / f"{number}.txt").write_text(text, encoding="utf-8")
        return unknown_text(Preparation(find_sources([str(tmp_path)])), tokenizer.backend_tokenizer, 1)

    seen = unknown("", "the cat é .\n", "", "the cat é .\n")  # every second one is looked at
    assert (seen.word_share, seen.most_frequent) == (1 / 4, ["é"])
    assert unknown(" \n", "the cat é .\n", " \n", "the cat é .\n").word_share == 0  # blanks alone were looked at


def test_unknown_words_behind_what_is_looked_at_are_said_without_figures(tmp_path) -> None:
    seen = unknown_of("the cat .\n" * 300_000 + "é\n", tmp_path)
    assert seen.word_share == 0
    assert seen.told().startswith("none of them in the first 2,000,00")
