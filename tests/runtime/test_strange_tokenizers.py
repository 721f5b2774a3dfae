"""Tokenizers of strangers whose ids the model lacks, or whose rules come to no end: read as transformers does, or one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, decoders
from transformers import BertTokenizer, DistilBertConfig, DistilBertModel

from bertkit.errors import BertkitError
from bertkit.finetuning.windows import RowEncoder
from bertkit.inference.attention import read_attention
from bertkit.models.headed import encoder_tokenizer
from bertkit.runtime.load import open_reader
from bertkit.runtime.text import UnsupportedError, any_text_encoder, light_text_encoder
from bertkit.settings.schema import FinetuneDataSettings

Change = Callable[[dict[str, Any]], object]
NESTED = {"Regex": "(a+)+$"}


def changed(folder: Path, *changes: Change) -> Path:
    """The folder, after changes of its tokenizer.json."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    for change in changes:
        change(content)
    path.write_text(json.dumps(content))
    return folder


def replace(times: int, pattern: dict[str, str] | None = None) -> dict[str, Any]:
    """A rule that makes each "a" so many times as long; the forms of normalizers and decoders are the same."""
    return {"type": "Replace", "pattern": pattern or {"String": "a"}, "content": "a" * times}


def gap(content: dict[str, Any]) -> None:
    content["model"]["vocab"]["zebra"] = 1_000_000


def segments(content: dict[str, Any]) -> None:
    for one in content["post_processor"]["pair"]:
        next(iter(one.values()))["type_id"] = 7


def first_segment(content: dict[str, Any]) -> None:
    for one in content["post_processor"]["pair"]:
        next(iter(one.values()))["type_id"] = 0


def strange_token(content: dict[str, Any]) -> None:
    content["post_processor"]["special_tokens"]["[SEP]"]["ids"] = [1_000_000]


def strange_pair(content: dict[str, Any]) -> None:
    content["post_processor"]["special_tokens"]["[X]"] = {"id": "[X]", "ids": [1_000_000], "tokens": ["[X]"]}
    content["post_processor"]["pair"].append({"SpecialToken": {"id": "[X]", "type_id": 1}})


def by_blanks(content: dict[str, Any]) -> None:
    """So that it is no BertTokenizer, and transformers follows its template and its decoder."""
    content["pre_tokenizer"] = {"type": "WhitespaceSplit"}


def decoder(*rules: dict[str, Any]) -> Change:
    return lambda content: content.update(decoder={"type": "Sequence", "decoders": list(rules)})


@pytest.mark.parametrize("change", [segments, first_segment, strange_token, strange_pair, decoder(replace(3))])
def test_what_a_bert_tokenizer_does_not_do_is_left_to_transformers(
    tiny_model: Path, tmp_path: Path, change: Change
) -> None:
    folder = changed(shutil.copytree(tiny_model, tmp_path / "model"), change)
    with pytest.raises(UnsupportedError):
        light_text_encoder(folder)
    read, theirs = open_reader(str(folder), "words", None, 1).text_encoder, BertTokenizer.from_pretrained(folder)
    expected = theirs("a cat", "the cats")
    ours = read.encode("a cat", "the cats")
    assert (ours.ids, ours.type_ids) == (expected["input_ids"], expected["token_type_ids"])
    assert read.decode(ours.ids) == theirs.decode(ours.ids)


def test_ids_with_a_gap_are_one_line(tiny_model: Path, tmp_path: Path) -> None:
    folder = changed(shutil.copytree(tiny_model, tmp_path / "model"), gap)
    with pytest.raises(UnsupportedError, match="gaps"):
        light_text_encoder(folder)
    with pytest.raises(BertkitError, match="the ids of its 22 pieces are not 0 to 21"):
        open_reader(str(folder), "words", None, 1)


@pytest.mark.parametrize(
    ("change", "said"), [(segments, "the segment 7"), (strange_token, "the id 1,000,000"), (strange_pair, "the id 1,000,000")]
)  # fmt: skip
def test_tokens_that_the_model_lacks_are_one_line(tiny_model: Path, tmp_path: Path, change: Change, said: str) -> None:
    folder = changed(shutil.copytree(tiny_model, tmp_path / "model"), by_blanks, change)
    for read in (
        lambda: open_reader(str(folder), "words", None, 1).text_encoder.encode("a", "b"),
        lambda: encoder_tokenizer(folder, "model"),
        lambda: read_attention(str(folder), "a", "b"),
    ):
        with pytest.raises(BertkitError, match=said):
            read()


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([replace(100)] * 3, "of its decoder let a text grow 1,000,000 times"),
        ([replace(1, NESTED)], r"the pattern '\(a\+\)\+\$' repeats what is repeated"),
    ],
)
def test_decoders_that_come_to_no_end_are_one_line(
    tiny_model: Path, tmp_path: Path, rules: list[dict[str, Any]], said: str
) -> None:
    folder = changed(shutil.copytree(tiny_model, tmp_path / "model"), decoder(*rules))
    with pytest.raises(BertkitError, match=said):
        open_reader(str(folder), "words", None, 1)


def test_a_decoder_that_gives_up_is_one_line(tiny_model: Path) -> None:
    pieces = any_text_encoder(tiny_model)
    pieces.tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace(Regex(r"(\h|a)*$"), "b")])
    ids = pieces.spelt("a " * 40 + ".")
    with pytest.raises(BaseException, match="retry-limit"):  # what the library itself says
        Tokenizer.from_str(pieces.tokenizer.to_str()).decode(ids)
    with pytest.raises(BertkitError, match="the tokenizer cannot read .*retry-limit"):
        pieces.decode(ids)


@pytest.fixture
def distilbert(tiny_model: Path, tmp_path: Path) -> Path:
    """An encoder that is no BERT, which AutoTokenizer reads."""
    folder = shutil.copytree(tiny_model, tmp_path / "other")
    DistilBertModel(DistilBertConfig(vocab_size=64, dim=16, n_layers=1, n_heads=2, hidden_dim=32)).save_pretrained(
        folder
    )
    told = json.loads((folder / "tokenizer_config.json").read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.update(normalizer={"type": "Sequence", "normalizers": [replace(100)] * 3}),
         "of its normalizer let a text grow 1,000,000 times"),
        (lambda content: content.update(pre_tokenizer={"type": "Split", "pattern": NESTED, "behavior": "Isolated",
                                                       "invert": False}), "repeats what is repeated"),
        (decoder(*[replace(100)] * 3), "of its decoder let a text grow 1,000,000 times"),
        (lambda content: content.update(model={}), "no tokenizer in .*: data did not match any variant"),
    ],
    ids=["normalizer", "pattern", "decoder", "broken"],
)  # fmt: skip
def test_rules_of_another_encoder_are_bounded_too(distilbert: Path, change: Change, said: str) -> None:
    assert encoder_tokenizer(distilbert, "other")("the cat")["input_ids"] == [2, 16, 17, 3]
    with pytest.raises(BertkitError, match=said):
        encoder_tokenizer(changed(distilbert, change), "other")


class PanicException(BaseException):
    """As pyo3 raises it where Rust code panics."""


@pytest.mark.parametrize("error", [PanicException("no entry\nfound"), ValueError(""), ValueError("\n")])
def test_an_error_of_the_library_is_one_line_whatever_it_says(
    distilbert: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", fails)
    with pytest.raises(BertkitError, match="no tokenizer in .*: (no entry found|ValueError)$"):
        encoder_tokenizer(distilbert, "other")


def test_a_signal_is_no_error_of_the_library(distilbert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", stopped)
    with pytest.raises(KeyboardInterrupt):
        encoder_tokenizer(distilbert, "other")


def test_a_model_of_one_segment_reads_any_template(tiny_model: Path, tmp_path: Path) -> None:
    folder = changed(shutil.copytree(tiny_model, tmp_path / "model"), by_blanks, segments)
    config = json.loads((folder / "config.json").read_text()) | {"type_vocab_size": 1}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = encoder_tokenizer(folder, "model")
    rows = RowEncoder.of(tokenizer, FinetuneDataSettings())([("a", "b")])
    assert list(rows.ids[0]) == any_text_encoder(folder).encode("a", "b").ids
