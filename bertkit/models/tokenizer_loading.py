"""Loads tokenizers from files or the hub, so that they do what their files say."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.console import one_line
from bertkit.errors import BertkitError, is_library_failure
from bertkit.io.hub import model_folder
from bertkit.io.structured import read_json
from bertkit.models.tokenizer import (
    CONTINUATION,
    SPECIAL_TOKENS,
    as_written,
    build_tokenizer,
    check_special_tokens,
    numbered,
    without_programs,
)
from bertkit.models.tokenizer_rules import check_rules

if TYPE_CHECKING:
    from transformers import BertTokenizer, PreTrainedTokenizerFast

# The files that may stand beside a vocabulary, and belong to it.
_SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# Classes that use tokenizer.json as it is. (A BertTokenizer is rebuilt from tokenizer_config.json.)
_LITERAL = ("PreTrainedTokenizerFast", "TokenizersBackend")
_TO_THE_LETTER = "is followed to the letter: transformers may read that folder otherwise, not those that bertkit saves"
_WORDPIECE = (None, "BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "DistilBertTokenizerFast",
              "ElectraTokenizer", "ElectraTokenizerFast")  # fmt: skip


def load_tokenizer(name_or_path: str) -> "PreTrainedTokenizerFast":
    """Loads a tokenizer; the padding and truncation that its files may ask for are switched off.

    Args:
        name_or_path: a folder with tokenizer.json or vocab.txt, a vocab.txt itself, or a name on the hub. A vocab.txt is
            read by the rules of the files beside it; without any it is taken as cased if it contains upper-case words.

    Raises:
        BertkitError: there is no tokenizer, it cannot be read, or it lacks one of BERT's special tokens.
    """
    path = Path(name_or_path)
    if path.is_file() and path.suffix == ".txt":
        return without_programs(_from_vocab(path))
    folder = path.parent if path.is_file() and path.name == "tokenizer.json" else None
    folder = folder or model_folder(name_or_path, weights=False)
    if (folder / "tokenizer.json").is_file():
        return without_programs(_from_tokenizer_json(folder))
    if (folder / "vocab.txt").is_file():
        return without_programs(_from_vocab_and_settings(folder / "vocab.txt"))
    raise BertkitError(f"no tokenizer in {name_or_path}: it has neither tokenizer.json nor vocab.txt")


def _read_vocab(path: Path) -> dict[str, int]:
    """The word pieces of a vocab.txt with their ids, in order."""
    try:
        # Split at \n only: real vocabularies contain U+2028 as a piece, at which str.splitlines() would split too.
        lines = path.read_bytes().decode("utf-8-sig").rstrip("\r\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BertkitError(f"{path} is no vocabulary in UTF-8, one piece a line: {error}") from None
    return numbered([line.removesuffix("\r") for line in lines], str(path))


def _from_vocab(path: Path) -> "PreTrainedTokenizerFast":
    """Builds a tokenizer from a vocabulary that was named itself, by the rules of the files beside it, where there are any.

    Raises:
        BertkitError: a tokenizer.json beside it has other pieces, so that its rules may be those of another vocabulary.
    """
    folder, vocab = path.parent, _read_vocab(path)
    if (folder / "tokenizer.json").is_file():
        tokenizer = _from_tokenizer_json(folder)
        ids = tokenizer.added_tokens_decoder.keys()
        known = {as_written(piece, id_ in ids): id_ for piece, id_ in tokenizer.get_vocab().items()}
        # Only what was added may be missing in vocab.txt.
        if not (vocab.items() <= known.items() and {known[piece] for piece in known.keys() - vocab.keys()} <= ids):
            raise BertkitError(
                f"{path} and the tokenizer.json beside it have other pieces, or other ids for them: give the folder "
                f"{folder} for the one, or a copy of {path.name} elsewhere, with its tokenizer_config.json, for the other"
            )
        return tokenizer
    if any((folder / name).is_file() for name in _SETTINGS):
        return _from_vocab_and_settings(path)
    check_special_tokens(vocab, SPECIAL_TOKENS, str(path))
    _say_case(vocab, path)
    return build_tokenizer(list(vocab), not _is_cased(vocab))


def _from_vocab_and_settings(path: Path) -> "BertTokenizer":
    """Builds a `BertTokenizer` from a vocabulary and the files beside it (tokenizer_config.json, added_tokens.json, …)."""
    from transformers import BertTokenizer

    folder = path.parent
    config = _settings(folder)
    if config.get("tokenizer_class") not in _WORDPIECE:
        raise BertkitError(f"{folder} has a {config['tokenizer_class']}, and no tokenizer.json: bertkit cannot read it")
    ids = _read_vocab(path)
    names = {name: _content(config.get(name) or token) for name, token in SPECIAL_TOKENS.items()}
    added = _json_object(folder / "added_tokens.json")
    check_special_tokens({**ids, **added}, names, str(path))
    if "do_lower_case" not in config:
        _say_case(ids, path, config.get("strip_accents"))
    lowercase = config.get("do_lower_case", not _is_cased(ids))
    try:
        tokenizer = BertTokenizer.from_pretrained(folder, vocab=ids, do_lower_case=bool(lowercase))
    except BaseException as error:  # a broken file may make the libraries raise anything
        if not is_library_failure(error):
            raise
        raise BertkitError(f"{folder} has no tokenizer that can be read: {one_line(error)}") from error
    for token, id_ in added.items():
        if tokenizer.convert_tokens_to_ids(token) != id_:
            raise BertkitError(
                f"{folder / 'added_tokens.json'}: the id {id_} of '{token}' does not follow the {len(ids)} pieces of {path.name}"
            )
    return tokenizer


def _say_case(vocab: Iterable[str], path: Path, strip_accents: bool | None = None) -> None:
    """Says what a vocabulary is taken for that has no settings of case beside it; they may yet speak of accents."""
    is_cased = _is_cased(vocab)
    holds, read = ("upper-case words", "cased") if is_cased else ("no upper-case words", "uncased")
    stripped = not is_cased if strip_accents is None else strip_accents
    if stripped or not is_cased:
        read += f" and {'without' if stripped else 'with'} accents"
    _say(f"{path} holds {holds}, and nothing beside it speaks of case: texts are read {read}")


def _is_cased(vocab: Iterable[str]) -> bool:
    return any(_is_upper(piece) for piece in vocab)


def _settings(folder: Path) -> dict[str, Any]:
    """The settings in the files beside a vocabulary."""
    return _json_object(folder / "special_tokens_map.json") | _json_object(folder / "tokenizer_config.json")


def _is_upper(piece: str) -> bool:
    word = piece.removeprefix(CONTINUATION)
    return word.isalpha() and word != word.lower()


def _from_tokenizer_json(folder: Path) -> "PreTrainedTokenizerFast":
    """Loads a tokenizer.json, so that it does exactly what the file says.

    transformers rebuilds the normalizer of a `BertTokenizer` from tokenizer_config.json, or else from its own defaults.
    Where the configuration says nothing, the rules of tokenizer.json are passed on to it.
    """
    path = folder / "tokenizer.json"
    content = _json_object(path)
    config = _settings(folder)
    check_rules(content, path)
    try:
        added = {token["content"]: token["id"] for token in content.get("added_tokens") or []}
        vocab = content["model"]["vocab"]
        if isinstance(vocab, list):  # a Unigram model lists its pieces with their scores
            vocab = {piece: id_ for id_, (piece, _) in enumerate(vocab)}
        ids = dict(vocab) | added
        names = {name: _content(config.get(name) or token) for name, token in SPECIAL_TOKENS.items()}
        check_special_tokens(ids, names, str(path))
        if sorted(ids.values()) != list(range(len(ids))):
            raise BertkitError(f"{path}: the ids of its {len(ids)} pieces are not 0 to {len(ids) - 1}")
        tokenizer = _bert_tokenizer(folder, content, config) or _other_tokenizer(folder, content, names)
        tokenizer.backend_tokenizer.encode(names["mask_token"])
    except BertkitError:
        raise
    except BaseException as error:  # a broken file may make the libraries raise anything
        if not is_library_failure(error):
            raise
        raise BertkitError(f"{path} is no tokenizer that can be read: {one_line(error)}") from error
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.backend_tokenizer.no_truncation()
    return tokenizer


def _bert_tokenizer(folder: Path, content: Mapping[str, Any], config: Mapping[str, Any]) -> "BertTokenizer | None":
    """A `BertTokenizer`, which every tool can load, if it does exactly what tokenizer.json says; else None."""
    from transformers import BertTokenizer

    rules = content.get("normalizer") or {}
    kinds = (rules.get("type"), (content.get("pre_tokenizer") or {}).get("type"))
    prefix = content["model"].get("continuing_subword_prefix")
    if kinds != ("BertNormalizer", "BertPreTokenizer") or prefix != CONTINUATION:
        return None
    told = {
        "do_lower_case": rules["lowercase"],
        "strip_accents": rules["strip_accents"],
        "tokenize_chinese_chars": rules["handle_chinese_chars"],
    }
    if config.get("tokenizer_class") in _LITERAL:
        is_plain = rules["clean_text"] and content["model"].get("max_input_chars_per_word", 100) == 100
        return BertTokenizer.from_pretrained(folder, **told) if is_plain else None
    silent = {name: value for name, value in told.items() if name not in config}
    built = {name: config.get(name, usual) for name, usual in zip(told, (True, None, True), strict=True)}
    if _effects(**built) != _effects(**(built | silent)):
        _say(f"the tokenizer.json of {folder} {_TO_THE_LETTER}")
    return BertTokenizer.from_pretrained(folder, **silent)


def _effects(do_lower_case: bool, strip_accents: bool | None, tokenize_chinese_chars: bool) -> tuple[bool, bool, bool]:
    """What a BertNormalizer does with these settings: if ``strip_accents`` is None, lower-casing removes accents too."""
    return do_lower_case, do_lower_case if strip_accents is None else strip_accents, tokenize_chinese_chars


def _other_tokenizer(folder: Path, content: Mapping[str, Any], names: Mapping[str, str]) -> "PreTrainedTokenizerFast":
    """Loads any other tokenizer as it is; if it adds no special tokens of its own, it is made to add BERT's."""
    from tokenizers.decoders import ByteLevel
    from tokenizers.processors import Sequence as Processors
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    if _settings(folder).get("tokenizer_class") not in _LITERAL:
        _say(f"the tokenizer.json of {folder} {_TO_THE_LETTER}")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, **names)
    backend = tokenizer.backend_tokenizer
    if backend.decoder is None and (content.get("pre_tokenizer") or {}).get("type") == "ByteLevel":
        backend.decoder = ByteLevel()  # otherwise the pieces of a decoded text would stand apart
    if backend.num_special_tokens_to_add(is_pair=False) == 0:
        cls, sep = names["cls_token"], names["sep_token"]
        ours = TemplateProcessing(
            single=f"{cls} $A {sep}",
            pair=f"{cls} $A {sep} $B:1 {sep}:1",
            special_tokens=[(cls, tokenizer.cls_token_id), (sep, tokenizer.sep_token_id)],
        )
        kind = (content.get("post_processor") or {}).get("type")
        # A ByteLevel post-processor only corrects offsets, and is kept.
        backend.post_processor = Processors([backend.post_processor, ours]) if kind == "ByteLevel" else ours
    return tokenizer


@cache  # a command may load the same folder several times
def _say(line: str) -> None:
    console.note(console.plain(line))


def _content(token: Any) -> str:
    """The text of a special token, which configurations give as a string or as an object with flags."""
    return str(token["content"] if isinstance(token, Mapping) else token)


def _json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is no file."""
    return read_json(path) if path.is_file() else {}
