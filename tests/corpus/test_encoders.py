"""The fast ways to the ids against tokenizers itself, and what becomes of one that is wrong."""

import json
import sys
import unicodedata

import numpy as np
import pytest
from helpers.stores import SPECIAL
from tokenizers import AddedToken

from bertkit.corpus import encoders, writing
from bertkit.corpus.encoders import ChunkEncoder, LibraryEncoder, suitable_encoders
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sentences import has_rules, split_sentences
from bertkit.corpus.sources import find_sources
from bertkit.models.tokenizer import build_tokenizer

STORE = ("ids.bin", "sentences.bin", "documents.bin", "counts.bin", "corpus.json", "tokenizer.json")
SENTENCES = [
    "The unaffable cats' cat [SEP] sat, didn't it? Caf\u00e9s CAF\u00c9S cafe\u0301!",
    "\u6211\u559c\u6b22\u5317\u4eac\u3002cat\u5f88\u5927\u201ccat\u201d\u2014sat\u2026",
    "   ",
    "a" * 300 + " " + "b" * 100,
    "\u0416\u0443\u043a \u0438 \u0436\u0443\u043a\u0438 \U0001f468\u200d\U0001f469 x\u0338=\u0338 \u2260 \u037e",
    "",
]


def vocabulary():
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\u0436\u0443\u043a\u00e9\u00c9"
    marks = ".,!?'[]\u201c\u201d\u2014\u2026=;\u0338\u0301\u6211\u4eac\u5927\u3002"
    words = ["the", "cat", "un", "##aff", "##able", "sat", "##fe", "##\u0443\u043a", "caf"]
    return [*SPECIAL, *letters, *("##" + letter for letter in letters), *marks, *words]


def tokenizer_json(lowercase=True, strip_accents=None):
    return build_tokenizer(vocabulary(), lowercase, strip_accents=strip_accents).backend_tokenizer.to_str()


def fast_encoder(name, text):
    if name == "nanotoken":
        pytest.importorskip("nanotoken")
        return encoders.NanotokenEncoder(text)
    return encoders.WordsEncoder(text)


def assert_same(encode, text, sentences):
    for found, true in zip(encode(sentences), LibraryEncoder(text)(sentences), strict=True):
        assert found.tolist() == true.tolist()


RULES = [(True, None), (True, False), (False, None), (False, True)]


@pytest.mark.parametrize(("lowercase", "strip_accents"), RULES)
@pytest.mark.parametrize("name", ["words", "nanotoken"])
def test_the_ids_are_those_of_tokenizers(name, lowercase, strip_accents):
    text = tokenizer_json(lowercase, strip_accents)
    encode = fast_encoder(name, text)
    assert_same(encode, text, SENTENCES)
    assert_same(encode, text, SENTENCES[::-1] * 3)  # what it remembers by now
    assert_same(encode, text, [])
    assert_same(encode, text, list(encoders._HARD))


def characters(step):
    codes = (code for code in range(1, sys.maxunicode + 1, step) if not 0xD800 <= code < 0xE000)
    # As sentences come: the reader ends lines at line ends, and other spaces than plain ones are replaced.
    return [chr(code) for code in codes if not chr(code).isspace()]


@pytest.mark.parametrize("name", ["words", "nanotoken"])
@pytest.mark.parametrize("step", [211, pytest.param(1, marks=pytest.mark.slow)])
def test_the_ids_are_those_of_tokenizers_with_any_character(name, step):
    for lowercase, strip_accents in RULES:
        # Each is a piece of its own too, where its normal form is one character: else all of them were [UNK].
        form = "NFC" if strip_accents is False else "NFD"
        pieces = {unicodedata.normalize(form, one) for one in characters(211)} - set(vocabulary())
        pieces = sorted(one for one in pieces if len(one) == 1)
        text = build_tokenizer([*vocabulary(), *pieces, *("##" + one for one in pieces)], lowercase, strip_accents)
        text = text.backend_tokenizer.to_str()
        encode = fast_encoder(name, text)
        for shape in ("{}", "a{}b", "cat.{}\u0301s x{}y!"):
            sentences = [shape.replace("{}", one) for one in characters(step)]
            for start in range(0, len(sentences), 20_000):  # all at once takes 2 GB
                assert_same(encode, text, sentences[start : start + 20_000])


def test_words_are_forgotten_when_they_are_many(monkeypatch):
    text = tokenizer_json()
    encode = encoders.WordsEncoder(text)
    monkeypatch.setattr(encoders, "_KEPT_BYTES", 1_000)
    for start in range(0, 200, 20):
        assert_same(encode, text, [f"the cat{n:04} sat cat{n:04} \u0436{n}\u0443" for n in range(start, start + 20)])
        assert len(encode._numbers) < 100


def test_ours_is_for_plain_bert_only():
    tokenizer = build_tokenizer(vocabulary(), True)
    names = ["words", "tokenizers"]
    assert suitable_encoders(tokenizer.backend_tokenizer.to_str(), names) == names
    changed = json.loads(tokenizer_json())
    changed["normalizer"]["handle_chinese_chars"] = False
    assert suitable_encoders(json.dumps(changed), names) == ["tokenizers"]
    changed["normalizer"] = None
    assert suitable_encoders(json.dumps(changed), names) == ["tokenizers"]
    for prefix in ("", "a1", "["):  # a word may begin with it, or be [UNK]
        changed = json.loads(tokenizer_json())
        changed["model"]["continuing_subword_prefix"] = prefix
        assert suitable_encoders(json.dumps(changed), names) == ["tokenizers"]
    tokenizer.add_tokens([AddedToken("the cat")])
    assert suitable_encoders(tokenizer.backend_tokenizer.to_str(), names) == ["tokenizers"]


def test_sentences_without_a_token_are_none_and_documents_end_where_they_did():
    encode = ChunkEncoder("tokenizers", tokenizer_json(), "en")
    piece = encode(["\u200b", None, "The cat. Sat.", "cat", None, None, "\u200b", "sat"])
    assert piece.lengths.tolist() == [3, 2, 1, 1]
    assert piece.document_ends.tolist() == [0, 3, 3]
    assert len(piece.ids) == 7
    assert piece.text_bytes == len("\u200b\nThe cat. Sat.\ncat\n\u200b\nsat\n".encode())


def test_the_splitter_s_panics_are_survived():
    assert split_sentences("A cat.\u00a0It sat.\u3000B.", "en") == ["A cat. ", "It sat. ", "B."]
    assert "".join(split_sentences("x\u2003.\u2028 y\tz", "de")) == "x .  y z"


@pytest.mark.parametrize(
    "sentences",
    [
        ["នេះជាប្រយោគ។ ", "នេះ ៥ ។ ", "«ចប់។» ", "ទេ៕"],
        ["ឆ្កែ ឆ្មា ។ល។ ហើយ។", "ចប់"],
        ["བོད་སྐད་ཡིན། ", "ང་ཡིན༎ ༎ ", "ཡིན"],
        ["Hello. ", "នេះ។ ", "Yes!"],
        ["မြန်မာ၊ ထိုင်း၊ လာအို တို့။ ", "ဟုတ်တယ်။"],
        ["ꦲꦏ꧈ ꦲꦏ꧉ ", "ꦲꦏ꧉"],
        ["रामः वनं गच्छति॥१॥ ", "ततः सीता। ", "सः॥ २ ॥ ", "अथ।"],
        ["12. ", "१२॥ ", "अथ॥"],
    ],
    ids=["Khmer", "Khmer etc.", "Tibetan", "mixed", "Burmese", "Javanese", "Sanskrit", "a number that is no verse's"],
)
def test_sentences_in_scripts_whose_marks_sentencex_does_not_know(sentences):
    """As a reader of the script splits them; a mark, what closes a quotation and a verse's number stay with their sentence."""
    assert split_sentences("".join(sentences), "en") == sentences


@pytest.mark.parametrize(
    ("language", "text", "sentences"),
    [
        ("de", "Bzw. Garten. Haus.", 2), ("nl", "Dhr. Jansen kwam. Huis.", 2), ("fi", "Esim. Talo. Koti.", 2),
        ("ru", "Г. Иванов. Дом.", 2), ("ar", "م. علي. ذهب.", 2), ("ml", "ഡോ. രാജ്. വന്നു.", 2), ("my", "U. Ba. Dr. X", 2),
        ("el", "Τι είναι; Ναι.", 2),
        ("xx", "Mr. Smith came. Abb. Eins.", 3), ("deu", "Mr. Smith came. Abb. Eins.", 3),
    ],
)  # fmt: skip
def test_a_language_has_rules_where_its_abbreviations_are_known(language, text, sentences):
    assert (len(split_sentences(text, language)), has_rules(language)) == (sentences, language not in ("xx", "deu"))
    assert not has_rules("en")


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(writing, "CHUNK_CHARACTERS", 600)
    monkeypatch.setattr(writing, "usable_cores", lambda: 2)
    path = tmp_path / "corpus.txt"
    lines = ["\n", *(sentence + f" cat{n % 13} sat. The x{n}.\n" for n in range(9) for sentence in SENTENCES)]
    path.write_text("".join(line + "\n" * (n % 4 == 0) for n, line in enumerate(lines)), encoding="utf-8")
    return Preparation(find_sources([str(path)]))


def stored(preparation, out, encoders):
    folder = prepare(preparation, build_tokenizer(vocabulary(), True), out, encoders).folder
    return {name: (folder / name).read_bytes() for name in STORE}


def test_the_store_is_the_same_to_the_byte_with_every_encoder_and_with_processes(corpus, tmp_path, monkeypatch):
    installed = suitable_encoders(tokenizer_json())
    many = {name: stored(corpus, tmp_path / f"many-{name}", [name]) for name in installed}
    monkeypatch.setattr(writing, "usable_cores", lambda: 1)
    one = {name: stored(corpus, tmp_path / f"one-{name}", [name]) for name in installed}
    assert len(installed) >= 2
    assert all(store == one["tokenizers"] for store in (*many.values(), *one.values()))


@pytest.mark.parametrize("prefix", ["", "a", "["])
def test_a_word_piece_whose_prefix_begins_words_is_prepared_as_well(corpus, tmp_path, monkeypatch, prefix):
    monkeypatch.setattr(writing, "usable_cores", lambda: 1)
    tokenizer = build_tokenizer(vocabulary(), True)
    tokenizer.backend_tokenizer.model.continuing_subword_prefix = prefix
    made = {
        names: prepare(corpus, tokenizer, tmp_path / "-".join(names), names).folder
        for names in (("words", "tokenizers"), ("tokenizers",))
    }
    assert len({(folder / "ids.bin").read_bytes() for folder in made.values()}) == 1


class Wrong(encoders.WordsEncoder):
    """Right but for the word "x7"."""

    def __call__(self, sentences):
        ids, lengths = super().__call__(sentences)
        for number, sentence in enumerate(sentences):
            if self.trap in sentence:
                ids = ids.copy()
                ids[lengths[:number].sum()] += 1
        return ids, lengths


@pytest.mark.parametrize(("trap", "checked"), [("x7", 1), ("\u1e9e", 256)])
def test_an_encoder_that_differs_is_given_up(corpus, tmp_path, monkeypatch, capsys, trap, checked):
    right = stored(corpus, tmp_path / "right", ["tokenizers"])
    monkeypatch.setattr(writing, "usable_cores", lambda: 1)
    monkeypatch.setattr(encoders, "_CHECKED", checked)
    monkeypatch.setattr(encoders, "WordsEncoder", Wrong)
    Wrong.trap = trap
    assert stored(corpus, tmp_path / "found", ["words", "tokenizers"]) == right
    told = capsys.readouterr().err
    assert told == "warning: words gave other ids than tokenizers: preparing without it\n"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "cache", "corpus.txt", "found", "right"]  # fmt: skip
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_fast_encoder_that_does_not_know_the_tokenizer_is_given_up(corpus, tmp_path, monkeypatch, capsys):
    def refuse(_):
        raise ValueError("unsupported normalizer\nPrecompiled")

    monkeypatch.setattr(encoders, "NanotokenEncoder", refuse)
    monkeypatch.setattr(encoders, "find_spec", lambda _: True)
    monkeypatch.setattr(writing, "usable_cores", lambda: 1)
    assert stored(corpus, tmp_path / "a", ["nanotoken", "words"]) == stored(corpus, tmp_path / "b", ["tokenizers"])
    told = capsys.readouterr().err
    assert told == "warning: nanotoken cannot read this tokenizer (unsupported normalizer): preparing without it\n"


def test_the_arrays_of_a_piece_have_the_types_that_the_store_takes():
    for name in suitable_encoders(tokenizer_json()):
        piece = ChunkEncoder(name, tokenizer_json(), "en")(["The cat.", None])
        assert (piece.ids.dtype, piece.lengths.dtype) == (np.uint32, np.int64)
