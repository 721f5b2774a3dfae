"""WordPiece tokenizers: built from a vocabulary, read from wherever they lie, and saved whole."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.errors import BertkitError, is_library_failure
from bertkit.io.hub import model_folder

if TYPE_CHECKING:
    from transformers import BertTokenizer, PreTrainedTokenizerFast

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_CONTINUATION = "##"
_UNUSED = re.compile(r"\[unused\d+\]")


def load_tokenizer(name_or_path: str) -> "PreTrainedTokenizerFast":
    """Reads a tokenizer; padding and truncation that its files carry are switched off.

    Args:
        name_or_path: a folder with tokenizer.json or vocab.txt, a vocab.txt itself, or a name on the hub. A
            bare vocabulary is taken as cased where it holds upper-case words.

    Raises:
        BertkitError: nothing is there, it cannot be read, or it lacks one of BERT's special tokens.
    """
    path = Path(name_or_path)
    if path.is_file() and path.suffix == ".txt":
        return _from_vocab_file(path, {})
    folder = path.parent if path.is_file() and path.name == "tokenizer.json" else None
    folder = folder or model_folder(name_or_path, weights=False)
    if (folder / "tokenizer.json").is_file():
        return _from_tokenizer_json(folder)
    if (folder / "vocab.txt").is_file():
        return _from_vocab_file(folder / "vocab.txt", _json_object(folder / "tokenizer_config.json"))
    raise BertkitError(f"no tokenizer in {name_or_path}: it has neither tokenizer.json nor vocab.txt")


def build_tokenizer(vocab: Sequence[str], lowercase: bool, model_max_length: int | None = None) -> "BertTokenizer":
    """A BERT tokenizer over word pieces whose ids are their positions.

    Args:
        vocab: word pieces, BERT's five special tokens among them.
        lowercase: lower-case the text and strip its accents.
        model_max_length: tokens that the model can read at most; None where no model is known.

    Raises:
        BertkitError: a special token is missing, or a piece stands there twice.
    """
    from transformers import BertTokenizer

    ids = _numbered(vocab, "the vocabulary")
    _check_special_tokens(ids, SPECIAL_TOKENS, "the vocabulary")
    options = {} if model_max_length is None else {"model_max_length": model_max_length}
    return BertTokenizer(vocab=ids, do_lower_case=lowercase, **options)


def save_tokenizer(tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and vocab.txt (one piece a line, by id)."""
    tokenizer.save_pretrained(folder)
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    with (Path(folder) / "vocab.txt").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{piece}\n" for piece in pieces)


def special_ids(tokenizer: "PreTrainedTokenizerFast") -> list[int]:
    """Ids of all special tokens, in order."""
    added = (id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special)
    return sorted({*tokenizer.all_special_ids, *added})


def replacement_ids(tokenizer: "PreTrainedTokenizerFast") -> np.ndarray:
    """Ids that may stand in as random tokens: all but special and ``[unusedN]`` ones, int64, ascending."""
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(special_ids(tokenizer))
    kept = [id_ for id_, piece in enumerate(pieces) if id_ not in special and not _UNUSED.fullmatch(piece)]
    return np.array(kept, dtype=np.int64)


def continuation_mask(tokenizer: "PreTrainedTokenizerFast") -> np.ndarray:
    """For every id whether its piece goes on with a word (``##ing``), bool ``[len(tokenizer)]``."""
    prefix: str = getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None) or ""
    special = set(special_ids(tokenizer))
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    marks = [
        bool(prefix) and id_ not in special and len(piece) > len(prefix) and piece.startswith(prefix)
        for id_, piece in enumerate(pieces)
    ]
    return np.array(marks, dtype=np.bool_)


def _from_vocab_file(path: Path, config: Mapping[str, Any]) -> "BertTokenizer":
    try:
        # By \n alone: U+2028, at which str.splitlines() breaks too, is a piece of real vocabularies.
        lines = path.read_bytes().decode("utf-8-sig").rstrip("\r\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BertkitError(f"{path} is no vocabulary in UTF-8, one piece a line: {error}") from None
    vocab = [line.removesuffix("\r") for line in lines]
    _check_special_tokens(_numbered(vocab, str(path)), SPECIAL_TOKENS, str(path))
    lowercase = config.get("do_lower_case", not any(_is_upper(piece) for piece in vocab))
    return build_tokenizer(vocab, bool(lowercase), config.get("model_max_length"))


def _is_upper(piece: str) -> bool:
    word = piece.removeprefix(_CONTINUATION)
    return word.isalpha() and word != word.lower()


def _numbered(vocab: Sequence[str], where: str) -> dict[str, int]:
    ids: dict[str, int] = {}
    for id_, piece in enumerate(vocab):
        if ids.setdefault(piece, id_) != id_:
            raise BertkitError(f"{where}: piece '{piece}' stands in lines {ids[piece] + 1} and {id_ + 1}")
    return ids


def _check_special_tokens(pieces: Mapping[str, Any], names: Mapping[str, str], where: str) -> None:
    missing = [token for token in names.values() if token not in pieces]
    if missing:
        raise BertkitError(
            f"{where} has no {', '.join(missing)}: a BERT's vocabulary holds {', '.join(names.values())}"
        )


def _from_tokenizer_json(folder: Path) -> "PreTrainedTokenizerFast":
    """Reads tokenizer.json as it stands.

    transformers rebuilds the normalizer of a `BertTokenizer` from tokenizer_config.json, or from its own
    defaults; where the configuration is silent, what tokenizer.json says is handed to it.
    """
    path = folder / "tokenizer.json"
    content = _json_object(path)
    config = _json_object(folder / "special_tokens_map.json") | _json_object(folder / "tokenizer_config.json")
    try:
        added = {token["content"]: token["id"] for token in content.get("added_tokens") or []}
        ids = dict(content["model"]["vocab"]) | added
        names = {name: _content(config.get(name) or token) for name, token in SPECIAL_TOKENS.items()}
        _check_special_tokens(ids, names, str(path))
        if sorted(ids.values()) != list(range(len(ids))):
            raise BertkitError(f"{path}: the ids of its {len(ids)} pieces are not 0 to {len(ids) - 1}")
        tokenizer = _bert_tokenizer(folder, content, config) or _other_tokenizer(folder, content, names)
        tokenizer.backend_tokenizer.encode(names["mask_token"])
    except BertkitError:
        raise
    except BaseException as error:  # whatever a broken file makes the libraries raise
        if not is_library_failure(error):
            raise
        raise BertkitError(f"{path} is no tokenizer that can be read: {_first_line(error)}") from error
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return tokenizer


def _bert_tokenizer(folder: Path, content: Mapping[str, Any], config: Mapping[str, Any]) -> "BertTokenizer | None":
    """A `BertTokenizer`, which every tool loads, where it does just what tokenizer.json says; else None."""
    from transformers import BertTokenizer

    rules = content.get("normalizer") or {}
    kinds = (rules.get("type"), (content.get("pre_tokenizer") or {}).get("type"))
    prefix = content["model"].get("continuing_subword_prefix")
    if kinds != ("BertNormalizer", "BertPreTokenizer") or prefix != _CONTINUATION:
        return None
    told = {
        "do_lower_case": rules["lowercase"],
        "strip_accents": rules["strip_accents"],
        "tokenize_chinese_chars": rules["handle_chinese_chars"],
    }
    silent = {name: value for name, value in told.items() if name not in config}
    return BertTokenizer.from_pretrained(folder, **silent)


def _other_tokenizer(folder: Path, content: Mapping[str, Any], names: Mapping[str, str]) -> "PreTrainedTokenizerFast":
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, **names)
    if content.get("post_processor") is None:
        cls, sep = names["cls_token"], names["sep_token"]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(cls, tokenizer.cls_token_id), (sep, tokenizer.sep_token_id)],
        )
    return tokenizer


def _content(token: Any) -> str:
    """The text of a special token as configurations hold it: a string, or an object with flags."""
    return str(token["content"] if isinstance(token, Mapping) else token)


def _json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BertkitError(f"{path} is not JSON: {_first_line(error)}") from None
    if not isinstance(content, dict):
        raise BertkitError(f"{path} holds no JSON object")
    return content


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
