"""Words added to a tokenizer: read whole, every other text as before, and begun as the mean of what they were."""

import random
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from bertkit.assets import EMBEDDED_MODEL
from bertkit.errors import BertkitError
from bertkit.models.bert import load_bert_for_pretraining, new_bert, save_model
from bertkit.models.new_words import new_words, save_with_words
from bertkit.models.tokenizer import build_tokenizer, continuation_mask, replacement_ids, save_tokenizer
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.settings.schema import ModelSettings

WORDS = ["photosynthesis", "tachycardia", "tachycardias", "ångström", "kwh2", "σίσυφος"]
VOCAB = [
    "[PAD]",
    "[unused0]",
    "[UNK]",
    "[CLS]",
    "[unused1]",
    "[SEP]",
    "[MASK]",
    *"abcdef",
    *(f"##{one}" for one in "abcdef"),
]
SHAPE = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def grown(tokenizer, words, folder: Path):
    save_with_words(tokenizer, words, folder)
    return load_tokenizer(str(folder))


def all_ids(tokenizer, texts: list[str]) -> list[list[int]]:
    return [one.ids for one in tokenizer.encode_batch_fast(texts)]


@pytest.mark.parametrize(("lowercase", "unused"), [(True, 4), (False, 0)])
def test_100_000_other_words_keep_their_ids_here_and_in_transformers(tmp_path, lowercase, unused) -> None:
    pieces = (EMBEDDED_MODEL / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    own = build_tokenizer([*(f"[unused{n}]" for n in range(unused)), *pieces], lowercase, strip_accents=False)
    (tmp_path / "new").mkdir()
    new = grown(own, WORDS, tmp_path / "new")
    draws = random.Random(7)
    parts = [*WORDS, *(word[:5] for word in WORDS), "s", "like", "é", "'s", "2", "ß", "中", "न", "a" * 40]
    made = ["".join(draws.choices(parts, k=draws.randint(1, 3))) for _ in range(60_000)]
    letters = ["".join(draws.choices("aeioustrnlphyäşж", k=draws.randint(1, 12))) for _ in range(40_000)]
    others = [word for word in made + letters if not reads_a_new_word(word.lower() if lowercase else word)]
    assert len(others) > 85_000
    others += [f"{before}{word}" for word, before in product(WORDS, "x_2é\u0301")]
    others += [f"{word}{after}" for word, after in product(WORDS, "x_2é\u0301")]
    save_tokenizer(new, tmp_path / "saved")
    expected = all_ids(own.backend_tokenizer, others)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")
    plain = Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    for one in (new.backend_tokenizer, theirs.backend_tokenizer, plain):
        assert all_ids(one, others) == expected
    ids = [*range(unused), *range(len(own), len(own) + len(WORDS) - unused)]
    for one in (new, theirs):
        assert [one(word, add_special_tokens=False)["input_ids"] for word in WORDS] == [[id_] for id_ in ids]
        assert one.decode(ids) == " ".join(WORDS)
    assert list(new_words(new, own).values()) == WORDS
    assert new_words(new, new) == new_words(own, own) == {}


def reads_a_new_word(text: str) -> bool:
    """Whether a new word stands in a text with no letter, mark, digit or underscore beside it, as Python's re sees it."""
    spaced = re.sub("([中])", r" \1 ", text).replace("न", "x")
    return any(re.search(rf"(?<!\w){word}(?!\w)", spaced) for word in WORDS)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Tachycardia's", "tachycardia ' s"),
        ("(tachycardia),tachycardia", "( tachycardia ) , tachycardia"),
        ("中tachycardia中", "中 tachycardia 中"),
        (
            "tachy\u00adcardia \u2060tachycardia",
            "tachycardia tachycardia",
        ),  # a soft hyphen and a joiner are cleaned away
    ],
)
def test_where_a_new_word_is_read(tmp_path, text, read) -> None:
    own = load_tokenizer(str(EMBEDDED_MODEL))
    new = grown(own, ["tachycardia"], tmp_path)
    assert new.convert_ids_to_tokens(new(text, add_special_tokens=False)["input_ids"]) == read.split()


@pytest.mark.parametrize("unused", [0, 4])
def test_a_new_sign_is_read_wherever_it_stands_and_changes_nothing_else(tmp_path, unused) -> None:
    pieces = (EMBEDDED_MODEL / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    own = build_tokenizer([*(f"[unused{n}]" for n in range(unused)), *pieces], True, strip_accents=True)
    signs = ["።", "۔", "‹"]
    new = grown(own, [*signs, "tachycardia"], tmp_path)
    text = "the snow።Is cold። ‹very›۔ tachycardia። (tachycardia) x_tachycardia 2۔5"
    before, after = (one(text, add_special_tokens=False)["input_ids"] for one in (own, new))
    assert new.convert_tokens_to_ids("›") == own.unk_token_id
    back = {id_: own(word, add_special_tokens=False)["input_ids"] for id_, word in new_words(new, own).items()}
    assert list(new_words(new, own).values()) == [*signs, "tachycardia"]
    assert [one for id_ in after for one in back.get(id_, [id_])] == before
    read = [new_words(new, own).get(id_) for id_ in after]
    assert [one for one in read if one] == ["።", "።", "‹", "۔", "tachycardia", "።", "tachycardia", "۔"]
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert theirs(text, add_special_tokens=False)["input_ids"] == after


@pytest.mark.parametrize("unused", [0, 4])
def test_what_made_a_whole_word_unknown_is_read_beside_letters_and_so_is_vocab_txt(tmp_path, unused) -> None:
    pieces = (EMBEDDED_MODEL / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    own = build_tokenizer([*(f"[unused{n}]" for n in range(unused)), *pieces], True, strip_accents=True)
    # The rules set a Chinese character apart with blanks; at U+1E95F, a mark of Adlam, they do not cut.
    words = ["组", "\U0001e95f", "\U0001e936\U0001e922", "kɔŋ"]
    new = grown(own, words, tmp_path)
    text = "a组b 2组组_组 \U0001e936\U0001e922\U0001e95f \U0001e95fb kɔŋ kɔŋa"
    assert list(new_words(new, own).values()) == words
    read = [new_words(new, own).get(id_) for id_ in new(text, add_special_tokens=False)["input_ids"]]
    assert [one for one in read if one] == [*("组" * 4), words[2], words[1], words[1], "kɔŋ"]
    assert new.unk_token_id not in new(text)["input_ids"]
    assert AutoTokenizer.from_pretrained(tmp_path)(text)["input_ids"] == new(text)["input_ids"]
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1] == [
        *(words[:unused] or []),
        *pieces,
        *words[unused:],
    ]
    assert load_tokenizer(str(tmp_path / "vocab.txt"))(text)["input_ids"] == new(text)["input_ids"]


def test_a_piece_of_the_vocabulary_with_a_joiner_or_a_blank_is_written_as_it_is(tmp_path) -> None:
    pieces = [*VOCAB, "##\u2060", "\u2060a"]
    save_tokenizer(build_tokenizer(pieces, lowercase=True), tmp_path)
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1] == pieces
    assert load_tokenizer(str(tmp_path / "vocab.txt")).get_vocab() == {piece: id_ for id_, piece in enumerate(pieces)}


def test_it_is_one_word_to_masking_and_may_stand_in_at_random(tmp_path) -> None:
    own = build_tokenizer(VOCAB, lowercase=True)
    new = grown(own, ["abcd", "cde", "feed"], tmp_path)
    ids = new.convert_tokens_to_ids(["feed"]) + new("abcd cde", add_special_tokens=False)["input_ids"]
    assert ids == [19, 1, 4]
    assert not continuation_mask(new)[ids].any()
    assert set(ids) <= set(replacement_ids(new).tolist())
    assert len(new) == 20
    assert (tmp_path / "vocab.txt").read_text(encoding="utf-8").split("\n")[:5] == [
        "[PAD]",
        "abcd",
        "[UNK]",
        "[CLS]",
        "cde",
    ]


def test_words_are_added_to_added_words(tmp_path) -> None:
    own = build_tokenizer(VOCAB, lowercase=True)
    (tmp_path / "1").mkdir(), (tmp_path / "2").mkdir()
    once = grown(own, ["abcd"], tmp_path / "1")
    twice = grown(once, ["cde", "feed"], tmp_path / "2")
    assert [twice(word, add_special_tokens=False)["input_ids"] for word in ("abcd", "cde", "feed")] == [[1], [4], [19]]
    assert new_words(twice, once) == {4: "cde", 19: "feed"}
    assert new_words(twice, own) == {1: "abcd", 4: "cde", 19: "feed"}


@pytest.mark.parametrize("number", [2, 60])
def test_rows_begin_as_the_mean_of_the_word_pieces_that_a_word_was(tmp_path, number) -> None:
    words = ["".join(letters) for letters in product("abcdef", repeat=3)][:number]
    own = build_tokenizer(VOCAB, lowercase=True)
    model = new_bert(ModelSettings(**SHAPE), own, seed=3)
    with torch.no_grad():
        model.cls.predictions.bias.copy_(torch.arange(64.0))
    save_model(model, own, tmp_path / "model")
    (tmp_path / "new").mkdir()
    new = grown(own, words, tmp_path / "new")
    loaded, _, notes, _ = load_bert_for_pretraining(str(tmp_path / "model"), new, 0)
    before, after = model.get_input_embeddings().weight, loaded.get_input_embeddings().weight
    assert loaded.get_output_embeddings().weight is after
    assert loaded.cls.predictions.bias is loaded.cls.predictions.decoder.bias
    place = new_words(new, own)
    assert list(place.values()) == words
    assert len(after) == loaded.config.vocab_size == {2: 64, 60: 128}[number]
    for id_, word in place.items():
        pieces = [VOCAB.index(word[0]), *(VOCAB.index(f"##{one}") for one in word[1:])]
        np.testing.assert_allclose(after[id_].detach(), before[pieces].mean(0).detach(), atol=1e-7)
        assert float(loaded.cls.predictions.bias[id_].detach()) == pytest.approx(np.mean(pieces))
    kept = [id_ for id_ in range(len(own)) if id_ not in place]
    assert torch.equal(after[kept], before[kept])
    assert notes == []


def test_other_pieces_in_unused_rows_are_still_refused(tmp_path) -> None:
    own = build_tokenizer(VOCAB, lowercase=True)
    save_model(new_bert(ModelSettings(**SHAPE), own, seed=3), own, tmp_path / "model")
    other = build_tokenizer(["[PAD]", "abcd", *VOCAB[2:]], lowercase=True)
    with pytest.raises(BertkitError, match=r"piece '\[unused0\]' has id 1 there and none here"):
        load_bert_for_pretraining(str(tmp_path / "model"), other, 0)
