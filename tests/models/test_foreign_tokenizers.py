"""Tokenizers as other tools leave them: ids are those of AutoTokenizer, or one line says that they are not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from bertkit.corpus.encoders import LibraryEncoder
from bertkit.errors import BertkitError
from bertkit.finetuning.windows import RowEncoder
from bertkit.inference.embedding import Embedder
from bertkit.inference.exporting.export import export
from bertkit.models.bert import load_bert_for_pretraining, own_tokenizer, save_model
from bertkit.models.tokenizer import save_tokenizer
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining.collator import DataCollatorForBertPretraining
from bertkit.runtime.text import any_text_encoder
from bertkit.settings.schema import FinetuneDataSettings

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "The", "cafe", "café", "cat", "##s", "中", "文", "##文", "co", "##vid", "##19", "!", "."]
TEXTS = ["The café cats!", "the CAT 中文 covid19 .", "covid19covid19 <url> [MASK] the", ""]
BERT_TEMPLATE = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
FLAGS = {"tokenizer_class": "BertTokenizer", "model_max_length": 16}


def write_config(folder: Path, rows: int, **changes: Any) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = BertConfig(vocab_size=rows, max_position_embeddings=32, **(sizes | changes))
    BertForMaskedLM(config).save_pretrained(folder)


def vocab_folder(folder: Path, settings: dict[str, Any], added: dict[str, int] | None = None) -> None:
    pieces = [*SPECIAL, *WORDS]
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    if added:
        (folder / "added_tokens.json").write_text(json.dumps(added), encoding="utf-8")
    write_config(folder, len(pieces) + len(added or {}))


def save(folder: Path, backend: Tokenizer, kind: str = "PreTrainedTokenizerFast", **settings: Any) -> None:
    backend.add_special_tokens(SPECIAL)
    backend.save(str(folder / "tokenizer.json"))
    names = {f"{token[1:-1].lower()}_token": token for token in SPECIAL}
    told = {"tokenizer_class": kind, **names, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
    write_config(folder, backend.get_vocab_size())


def wordpiece(**rules: Any) -> Tokenizer:
    ids = {piece: id_ for id_, piece in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(**rules)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = template(*BERT_TEMPLATE)
    return backend


def short_words() -> Tokenizer:
    """In which a word of three letters is unknown; a BertTokenizer reads up to 100."""
    backend = wordpiece(lowercase=False)
    backend.model.max_input_chars_per_word = 2
    return backend


def template(single: str, pair: str) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(single=single, pair=pair, special_tokens=[("[CLS]", 2), ("[SEP]", 3)])


def byte_level(post_processor: processors.PostProcessor | None) -> Tokenizer:
    pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({piece: id_ for id_, piece in enumerate(pieces)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if post_processor is not None:
        backend.post_processor = post_processor
    return backend


def unigram(post_processor: processors.PostProcessor | None) -> Tokenizer:
    pieces = [*((token, 0.0) for token in SPECIAL), *((letter, -1.0) for letter in "▁thecafs!."), ("▁the", -2.0)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=1))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    if post_processor is not None:
        backend.post_processor = post_processor
    return backend


FORMS = {
    "vocab.txt": lambda folder: vocab_folder(folder, FLAGS | {"do_lower_case": True}),
    "strip_accents": lambda folder: vocab_folder(folder, FLAGS | {"do_lower_case": True, "strip_accents": False}),
    "stripped, cased": lambda folder: vocab_folder(folder, FLAGS | {"do_lower_case": False, "strip_accents": True}),
    "do_lower_case": lambda folder: vocab_folder(folder, FLAGS | {"do_lower_case": False}),
    "Chinese": lambda folder: vocab_folder(folder, {"do_lower_case": True, "tokenize_chinese_chars": False}),
    "added_tokens": lambda folder: vocab_folder(folder, {"do_lower_case": True}, {"covid19": 19, "<url>": 20}),
    "cased tokenizer.json": lambda folder: save(
        folder, wordpiece(lowercase=False), "BertTokenizer", do_lower_case=False
    ),
    "told otherwise": lambda folder: save(folder, wordpiece(lowercase=False), "BertTokenizer", do_lower_case=True),
    "literal": lambda folder: save(folder, wordpiece(lowercase=False), do_lower_case=True),
    "literal, dirty": lambda folder: save(folder, wordpiece(clean_text=False, lowercase=True)),
    "short words": lambda folder: save(folder, short_words(), "BertTokenizer", do_lower_case=False),
    "literal, short words": lambda folder: save(folder, short_words()),
    "BPE": lambda folder: save(folder, byte_level(template(*BERT_TEMPLATE))),
    "Unigram": lambda folder: save(folder, unigram(template(*BERT_TEMPLATE))),
}
# AutoTokenizer adds nothing for these: the special tokens are ours.
BARE = {
    "BPE, empty template": lambda folder: save(folder, byte_level(template("$A", "$A $B:1"))),
    "BPE, offsets": lambda folder: save(folder, byte_level(processors.ByteLevel())),
    "BPE, nothing": lambda folder: save(folder, byte_level(None)),
    "Unigram, empty template": lambda folder: save(folder, unigram(template("$A", "$A $B:1"))),
    "Unigram, nothing": lambda folder: save(folder, unigram(None)),
}


@pytest.mark.parametrize("form", FORMS)
def test_ids_are_those_of_transformers(form, tmp_path, capsys):
    FORMS[form](tmp_path)
    capsys.readouterr()
    theirs, pieces = AutoTokenizer.from_pretrained(tmp_path), any_text_encoder(tmp_path)
    ours = load_tokenizer(str(tmp_path))
    for text in TEXTS:
        assert ours(text)["input_ids"] == theirs(text)["input_ids"] == pieces.encode(text).ids
    pair = theirs(TEXTS[0], TEXTS[1], return_token_type_ids=True)
    assert pieces.encode(TEXTS[0], TEXTS[1])[:2] == (pair["input_ids"], pair["token_type_ids"])
    assert capsys.readouterr().err == ""
    save_tokenizer(ours, tmp_path / "saved")
    again = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert [again(text)["input_ids"] for text in TEXTS] == [ours(text)["input_ids"] for text in TEXTS]


def test_what_transformers_would_read_otherwise_is_said(tmp_path, capsys):
    save(tmp_path, wordpiece(lowercase=False), "BertTokenizer")  # silent: transformers lower-cases by default
    assert load_tokenizer(str(tmp_path)).tokenize("The") == ["The"]
    assert AutoTokenizer.from_pretrained(tmp_path).tokenize("The") == ["the"]
    assert "is followed to the letter" in capsys.readouterr().err


@pytest.mark.parametrize("form", BARE)
def test_tokenizers_that_add_nothing_are_given_special_tokens_everywhere(form, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    BARE[form](folder)
    bare = AutoTokenizer.from_pretrained(folder)("the cat", "cats")["input_ids"]
    one, other = (AutoTokenizer.from_pretrained(folder)(text)["input_ids"] for text in ("the cat", "cats"))
    assert bare == one + other
    expected = [2, *one, 3, *other, 3]
    model, tokenizer, *_ = load_bert_for_pretraining(str(folder))
    save_model(model, tokenizer, tmp_path / "saved")
    export(str(folder), "onnx", tmp_path / "onnx")
    for written in (folder, tmp_path / "saved", tmp_path / "onnx"):
        read = any_text_encoder(written).encode("the cat", "cats")
        assert (read.ids, read.type_ids) == (expected, [0] * (len(one) + 2) + [1] * (len(other) + 1))
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")("the cat", "cats", return_token_type_ids=True)
    assert (theirs["input_ids"], theirs["token_type_ids"]) == (read.ids, read.type_ids)


@pytest.mark.parametrize("form", ["vocab.txt", "BPE", "Unigram, nothing"])
def test_words_are_those_between_blanks(form, tmp_path):
    (FORMS | BARE)[form](tmp_path)
    [[features]] = Embedder(tmp_path, pooling="word").chunks(["the cafe"])
    assert features.tokens == ["the", "cafe"]
    [[tokens]] = Embedder(tmp_path, pooling="none").chunks(["the cafe"])
    assert features.rows[1] == pytest.approx(tokens.rows[-1 - _pieces_of_cafe(tmp_path) : -1].mean(axis=0), abs=1e-6)


def _pieces_of_cafe(folder: Path) -> int:
    pieces = any_text_encoder(folder)
    return len(pieces.encode("the cafe").ids) - len(pieces.encode("the").ids)


@pytest.mark.parametrize("form", ["BPE", "Unigram"])
def test_whole_words_of_pieces_without_marks_are_refused(form, tmp_path):
    FORMS[form](tmp_path)
    tokenizer = load_tokenizer(str(tmp_path))
    DataCollatorForBertPretraining(tokenizer)
    with pytest.raises(BertkitError, match="whole_word_mask needs a tokenizer that marks"):
        DataCollatorForBertPretraining(tokenizer, whole_word_mask=True)


def test_a_tokenizer_larger_than_its_model_is_one_line(tmp_path):
    vocab_folder(tmp_path, FLAGS, {"covid19": 19})
    write_config(tmp_path, 19)
    for read in (any_text_encoder, lambda folder: own_tokenizer(folder, str(folder))):
        with pytest.raises(BertkitError, match="20 word pieces in its tokenizer, and 19 in its model"):
            read(tmp_path)
    notes = load_bert_for_pretraining(str(tmp_path)).notes
    assert any("1 word piece is new" in note for note in notes)


@pytest.mark.parametrize(
    ("settings", "added", "said"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, {}, "has a BertJapaneseTokenizer, and no tokenizer.json"),
        ({}, {"covid19": 77}, "the id 77 of 'covid19' does not follow the 19 pieces"),
    ],
)
def test_a_vocabulary_that_cannot_be_read_so_is_one_line(tmp_path, settings, added, said):
    vocab_folder(tmp_path, settings, added)
    with pytest.raises(BertkitError, match=said):
        load_tokenizer(str(tmp_path))


AMBIGUOUS = ["(a|a)*$", r"(\w|\d)*$", "(ab|a|b)+$", r"(?:\p{L}|[a-z]){2,}$", "x(?i:é|É|.)*y", r"(\s| )+$"]


@pytest.mark.parametrize(
    ("normalizer", "said"),
    [
        (normalizers.Replace(Regex("(a+)+$"), "b"), r"the pattern '\(a\+\)\+\$' repeats what is repeated"),
        (normalizers.Sequence([normalizers.Replace("a", "aa")] * 40), r"let a text grow 1,099,511,627,776 times"),
        *((normalizers.Replace(Regex(one), "b"), "of which two ways begin alike") for one in AMBIGUOUS),
        # What Python cannot read is told by the tokenizer alone, once there is no end.
        (normalizers.Replace(Regex(r"(\h|a)*$"), "b"), r"cannot read 'a{30}"),
    ],
)
def test_rules_that_come_to_no_end_are_one_line(tmp_path, normalizer, said):
    backend = byte_level(None)
    backend.normalizer = normalizer
    save(tmp_path, backend)
    with pytest.raises(BertkitError, match=said):
        any_text_encoder(tmp_path).encode("a" * 40 + "!")


def test_every_way_to_encode_says_so_in_one_line():
    backend = byte_level(None)
    backend.normalizer = normalizers.Replace(Regex(r"(\h|a)*$"), "b")
    text = "a" * 40 + "!"
    rows = RowEncoder(backend, pad_id=0, has_types=True, settings=FinetuneDataSettings(), unk_id=None)
    for encode in (
        lambda: LibraryEncoder(backend.to_str())([text]),
        lambda: rows([(text,)]),
        lambda: rows([(text, "b")], shortened="only_second"),
    ):
        with pytest.raises(BertkitError, match="the tokenizer cannot read .*retry-limit"):
            encode()


@pytest.mark.parametrize(
    "pattern", [r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", r"[^(a+)+]\(b+\)+", " {2,}",
                r"(?:[a-z]|[0-9]|_)+", r"(?:'s|'t|\p{N})*x", r"(a|b)?c|d", r"(?:\.|,)+"]
)  # fmt: skip
def test_patterns_in_use_are_read(tmp_path, pattern):
    backend = byte_level(None)
    backend.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(use_regex=False),
    ])  # fmt: skip
    save(tmp_path, backend)
    assert any_text_encoder(tmp_path).encode("a  b").ids[0] == 2


def test_nothing_of_a_stranger_is_saved(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    strange = {
        "auto_map": {"AutoModel": "other.Other"},
        "trust_remote_code": True,
        "custom_pipelines": {"x": {}},
    }
    for name, changes in (
        ("config.json", strange | {"own": 1, "return_dict": False}),
        (
            "tokenizer_config.json",
            strange | {"auto_map": {"AutoTokenizer": ["other.Other", None]}, "chat_template": "{{ x }}"},
        ),
    ):
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | changes))
    model, tokenizer, notes, _ = load_bert_for_pretraining(str(folder))
    assert notes == [
        f"left out of what {folder} says of itself: auto_map, chat_template, custom_pipelines, own, trust_remote_code"
    ]
    save_model(model, tokenizer, tmp_path / "saved")
    for written in (tmp_path / "saved", export(str(folder), "half", tmp_path / "half").folder):
        text = "".join((written / name).read_text() for name in ("config.json", "tokenizer_config.json"))
        assert not any(name in text for name in ("auto_map", "trust_remote_code", "custom_pipelines", '"own"'))
        assert not (written / "chat_template.jinja").exists()
