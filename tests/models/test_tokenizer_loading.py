import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from bertkit.errors import BertkitError
from bertkit.models.tokenizer_loading import _say, load_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_vocab(path: Path, pieces: list[str], end: str = "\n") -> Path:
    path.write_bytes("".join(piece + end for piece in pieces).encode())
    return path


def write_tokenizer_json(folder: Path, normalizer: normalizers.Normalizer, pieces: list[str]) -> Tokenizer:
    """A tokenizer made with the tokenizers library alone: no configuration, no post-processor."""
    model = models.WordPiece({piece: id_ for id_, piece in enumerate(pieces)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.enable_padding(length=9)
    tokenizer.enable_truncation(3)
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


@pytest.mark.parametrize(
    ("pieces", "text", "expected"),
    [
        (["the", "cat", "é"], "The CAT é", ["the", "cat", "[UNK]"]),  # uncased: accents are stripped as well
        (["the", "The", "é"], "The the é", ["The", "the", "é"]),
        (["the", "cat", "[unused1]", "<S>"], "The cat", ["the", "cat"]),  # as in bert-base-chinese
    ],
)
def test_a_bare_vocabulary_is_cased_if_it_holds_upper_case_words(
    tmp_path: Path, pieces: list[str], text: str, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_vocab(tmp_path / "vocab.txt", SPECIAL + pieces)
    read = "cased" if "The" in pieces else "uncased and without accents"
    for source in (file, tmp_path):
        _say.cache_clear()
        assert load_tokenizer(str(source)).tokenize(text) == expected
        assert f"nothing beside it speaks of case: texts are read {read}\n" in capsys.readouterr().err


def test_what_the_configuration_says_of_case_comes_first(tmp_path: Path) -> None:
    write_vocab(tmp_path / "vocab.txt", [*SPECIAL, "the", "The"])
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 77}')
    tokenizer = load_tokenizer(str(tmp_path))
    assert tokenizer.tokenize("The") == ["the"]
    assert tokenizer.model_max_length == 77


@pytest.mark.parametrize("name", ["vocab.txt", "mine.txt"])
@pytest.mark.parametrize(
    ("settings", "expected", "said"),
    [
        ({"do_lower_case": False}, ["[UNK]", "café"], None),
        ({"do_lower_case": True, "strip_accents": False}, ["café", "café"], None),
        ({"do_lower_case": True, "strip_accents": None}, ["cafe", "cafe"], None),
        ({"strip_accents": False}, ["café", "café"], "read uncased and with accents"),
        ({"model_max_length": 9}, ["cafe", "cafe"], "read uncased and without accents"),
    ],
)
def test_a_vocabulary_that_is_named_itself_is_read_by_the_rules_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, settings: Any, expected: list[str], said: str | None
) -> None:
    write_vocab(tmp_path / "vocab.txt", [*SPECIAL, "another"])
    file = write_vocab(tmp_path / name, [*SPECIAL, "cafe", "café"])
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    _say.cache_clear()
    tokenizer = load_tokenizer(str(file))
    assert (tokenizer.tokenize("Café café"), len(tokenizer)) == (expected, 7)
    told = capsys.readouterr().err
    assert (
        "nothing beside it" not in told
        if said is None
        else f"nothing beside it speaks of case: texts are {said}\n" in told
    )


def test_a_tokenizer_json_beside_a_named_vocabulary_is_followed_where_its_pieces_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = [*SPECIAL, "cafe", "café", "<url>"]
    rules = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    backend = write_tokenizer_json(tmp_path, rules, pieces[:-1])
    backend.add_tokens(["<url>"])
    backend.save(str(tmp_path / "tokenizer.json"))
    for there in (pieces, pieces[:-1]):  # older versions of transformers wrote added tokens to other files
        tokenizer = load_tokenizer(str(write_vocab(tmp_path / "vocab.txt", there)))
        assert tokenizer.tokenize("Café <url>") == ["café", "<url>"]
    assert "nothing beside it" not in capsys.readouterr().err
    for others in (pieces[:-2], [*pieces, "new"], [*SPECIAL, "café", "cafe", "<url>"]):
        write_vocab(tmp_path / "vocab.txt", others)
        with pytest.raises(BertkitError, match=r"vocab\.txt and the tokenizer\.json beside it have other pieces"):
            load_tokenizer(str(tmp_path / "vocab.txt"))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_vocabulary_lines_end_at_newlines_only(tmp_path: Path, end: str) -> None:
    file = write_vocab(tmp_path / "vocab.txt", [*SPECIAL, "\u2028", "\x85", "cat"], end)
    assert load_tokenizer(str(file)).get_vocab()["cat"] == 7


def test_padding_and_truncation_of_the_file_are_off(tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path, normalizers.BertNormalizer(lowercase=True), [*SPECIAL, "a"])
    tokenizer = load_tokenizer(str(tmp_path))
    for text in ("a a a a a", "a"):
        expected = [2, *[5] * len(text.split()), 3]
        assert tokenizer.backend_tokenizer.encode(text).ids == expected
        assert tokenizer(text)["input_ids"] == expected


@pytest.mark.parametrize(
    "normalizer",
    [
        normalizers.BertNormalizer(lowercase=False),
        normalizers.BertNormalizer(lowercase=True),
        normalizers.BertNormalizer(lowercase=True, strip_accents=False),
        normalizers.NFKC(),
    ],
    ids=["cased", "uncased", "accents", "nfkc"],
)
def test_tokenizer_json_alone_is_followed_to_the_letter(tmp_path: Path, normalizer: normalizers.Normalizer) -> None:
    pieces = [*SPECIAL, "the", "The", "é", "e", "##e", "１", "1"]
    theirs = write_tokenizer_json(tmp_path, normalizer, pieces)
    theirs.no_padding()
    theirs.no_truncation()
    text = "The the é ée １"
    assert load_tokenizer(str(tmp_path))(text)["input_ids"] == [2, *theirs.encode(text).ids, 3]
    pair = load_tokenizer(str(tmp_path / "tokenizer.json"))("the", "é", return_token_type_ids=True)
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1]


def test_a_missing_special_token_is_named(tmp_path: Path) -> None:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]
    write_tokenizer_json(tmp_path, normalizers.NFKC(), pieces)
    bare = write_vocab(tmp_path / "bare.txt", pieces)
    for source in (tmp_path, bare):
        with pytest.raises(BertkitError, match=r"has no \[MASK\]: a BERT's vocabulary holds"):
            load_tokenizer(str(source))


def test_a_piece_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = write_vocab(tmp_path / "vocab.txt", [*SPECIAL, "a", "b", "a"])
    with pytest.raises(BertkitError, match=r"vocab\.txt: piece 'a' stands in lines 6 and 8"):
        load_tokenizer(str(file))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", "{", "tokenizer.json is not valid JSON"),
        ("tokenizer.json", "[]", "tokenizer.json holds no JSON object"),
        ("tokenizer.json", '{"model": {}}', "tokenizer.json is no tokenizer that can be read"),
        ("vocab.txt", b"\xff\xfe", "is no vocabulary in UTF-8"),
        ("readme.md", "", "no tokenizer in .*: it has neither tokenizer.json nor vocab.txt"),
    ],
)
def test_what_is_no_tokenizer_is_one_line(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BertkitError, match=said) as raised:
        load_tokenizer(str(tmp_path))
    assert "\n" not in str(raised.value)


def test_ids_with_holes_are_refused(tmp_path: Path) -> None:
    write_tokenizer_json(tmp_path, normalizers.NFKC(), [*SPECIAL, "a"])
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"]["a"] = 9
    file.write_text(json.dumps(content))
    with pytest.raises(BertkitError, match="the ids of its 6 pieces are not 0 to 5"):
        load_tokenizer(str(tmp_path))
