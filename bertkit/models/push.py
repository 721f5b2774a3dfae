"""Uploads a model with its card to the Hugging Face hub: only the files that make the model."""

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bertkit import console
from bertkit.console import masked, one_line
from bertkit.errors import BertkitError
from bertkit.io.connection import endpoint, ensure_hub, is_offline, patiently, why_offline
from bertkit.io.hub import causes, hub_bars
from bertkit.io.structured import parsed_json, read_json
from bertkit.models.folder import FEATURE_WEIGHTS, WEIGHTS
from bertkit.models.foreign_fields import fields_of_others, said_left_out
from bertkit.models.saved import INDEX, check_saved, indexed, shapes_in
from bertkit.models.tokenizer import CODE_OF_OTHERS

_REPOSITORY = re.compile(r"(?![.-])[\w.-]+/(?![.-])[\w.-]+(?<!\.git)", re.ASCII)
_CARD = "README.md"
_MODULES = "modules.json"
_READ_BY_BERTKIT = ("config.json", "tokenizer_config.json", _MODULES)
_CODE_OF_VECTORS = {*CODE_OF_OTHERS, "model_args", "config_args", "tokenizer_args"}
# Its modules that have weights of their own, in a folder of theirs.
_WITH_WEIGHTS = ("cnn", "dense", "layernorm", "lstm", "staticembedding", "weightedlayerpooling", "wordembeddings")
# The files that are uploaded. Checkpoints, optimizer states, logs and predictions stay on this machine.
_FILES = (
    "config.json",
    WEIGHTS,
    FEATURE_WEIGHTS,
    "model-*-of-*.safetensors",
    INDEX,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    # Those of sentence-transformers.
    _MODULES,
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "[0-9]_*/config.json",
    f"[0-9]_*/{WEIGHTS}",
    _CARD,
)


def push(folder: Path, repository: str, private: bool = False) -> str:
    """Uploads a model in one commit and returns its address; the repository is created if there is none.

    Args:
        folder: the model's folder, with its card.
        repository: the name on the hub, such as ``org/name``.
        private: make the repository private. An existing public repository is refused.

    Raises:
        BertkitError: there is no token, or no model or card in the folder (then nothing was sent); or the hub refuses.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise BertkitError(f"'{repository}' is no name of a repository: give ORGANISATION/NAME, or USER/NAME")
    token = _token()
    files = model_files(folder)
    ensure_hub()
    if is_offline():
        raise BertkitError(f"cannot push to {repository}: {why_offline()}")
    from huggingface_hub import CommitOperationAdd, HfApi

    hub = HfApi(endpoint=endpoint(), token=token)
    names = [path.relative_to(folder).as_posix() for path in files]
    foreign = fields_of_others(folder, str(folder)) | _code_of_vectors(folder, names)
    for line in said_left_out(foreign, str(folder)):
        console.note(line, markup=False)
    with _push_errors(repository):
        hub.create_repo(repository, private=private or None, exist_ok=True)
        is_private = bool(hub.model_info(repository).private)
        if private and not is_private:
            raise BertkitError(f"{repository} is on the hub already, and public: name another, or leave --private out")
        megabytes = sum(path.stat().st_size for path in files) / 1e6
        seen_by = "private" if is_private else "public"
        console.note(
            f"pushing {len(files)} files ({megabytes:,.1f} MB) to {repository} ({seen_by}): " + ", ".join(names),
            markup=False,
        )
        additions = [CommitOperationAdd(name, _content(folder / name, foreign.get(name))) for name in names]
        with _quieter(), hub_bars(console.err.is_terminal):
            hub.create_commit(repository, additions, commit_message="Push a model with bertkit")
    return f"{endpoint()}/{repository}"


def model_files(folder: Path) -> list[Path]:
    """The files in a folder that belong to the model.

    Raises:
        BertkitError: the configuration, weights, the tokenizer or the card is missing or damaged, or they do not belong
            together.
    """
    if not folder.is_dir():
        raise BertkitError(f"no folder {folder}: give the folder of a model")
    files = [path for pattern in _FILES for path in sorted(folder.glob(pattern)) if path.is_file()]
    names = {path.relative_to(folder).as_posix() for path in files}
    if "config.json" not in names or not {WEIGHTS, FEATURE_WEIGHTS, INDEX} & names:
        raise BertkitError(
            f"{folder} is no model folder: it lacks config.json or {WEIGHTS} (of several parts: {INDEX})"
        )
    if not {"tokenizer.json", "vocab.txt"} & names:
        raise BertkitError(f"{folder} has no tokenizer: put tokenizer.json or vocab.txt beside the model")
    if _CARD not in names:
        raise BertkitError(f"{folder} has no {_CARD}, the model's card: say there what it is and what made it")
    parts = indexed(folder)
    if lacking := sorted(parts.keys() - names):
        raise BertkitError(
            f"{folder} lacks {len(lacking)} of the {len(parts)} files with weights that {INDEX} names ({lacking[0]}): get the "
            "model whole, or save it anew"
        )
    for module in _modules(folder) if _MODULES in names else []:
        _check_module(folder, module, names)
    check_saved(folder)
    return files


def _modules(folder: Path) -> list[tuple[str, str]]:
    """The modules of sentence-transformers: the folder of each, or "", and its type.

    Raises:
        BertkitError: the file does not list them.
    """
    path = folder / _MODULES
    try:
        return [(str(one.get("path") or "").strip("/"), str(one["type"])) for one in parsed_json(path.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BertkitError(
            f"{path} does not list the modules of sentence-transformers: export the model anew"
        ) from error


def _check_module(folder: Path, module: tuple[str, str], names: set[str]) -> None:
    """Raises a BertkitError where the weights or the settings of a module are not among the files."""
    own, kind = module[0], module[1].rpartition(".")[2]
    if not own:
        return
    weights = f"{own}/{WEIGHTS}"
    if weights in names:
        shapes_in(folder / weights)
    elif kind.lower() in _WITH_WEIGHTS or any(any((folder / own).glob(end)) for end in ("*.safetensors", "*.bin")):
        raise BertkitError(
            f"{folder} has no {weights} for the {kind} of {_MODULES}: weights are pushed in this form alone; save the model "
            "anew with sentence-transformers"
        )
    if f"{own}/config.json" not in names and (folder / own / "config.json").is_file():
        raise BertkitError(
            f"{folder} has the {kind} of {_MODULES} in {own}, which is not pushed: rename it as sentence-transformers does, "
            f"such as 1_{kind}, there too"
        )


def _code_of_vectors(folder: Path, names: list[str]) -> dict[str, set[str]]:
    """The fields that lead to foreign code in the files of sentence-transformers, by file.

    Raises:
        BertkitError: a module is not of that library: who loads the model would run another program.
    """
    if _MODULES not in names:
        return {}
    for _, kind in _modules(folder):
        if not kind.startswith("sentence_transformers."):
            raise BertkitError(
                f"{folder / _MODULES} names '{kind}', which is no module of sentence-transformers: take it out"
            )
    files = [name for name in names if name.endswith(".json") and name not in _READ_BY_BERTKIT]
    return {name: read_json(folder / name).keys() & _CODE_OF_VECTORS for name in files}


def _content(path: Path, foreign: set[str] | None) -> str | bytes:
    """What is uploaded of a file: its path, or, where fields have to be left out, the JSON without them."""
    if not foreign:
        return str(path)
    kept = {name: value for name, value in read_json(path).items() if name not in foreign}
    return (json.dumps(kept, indent=2, ensure_ascii=False) + "\n").encode()


def _token() -> str:
    """The hub's token, from the environment or from `hf auth login`.

    Raises:
        BertkitError: there is no token.
    """
    from huggingface_hub import get_token

    token = get_token()
    if token is None:
        raise BertkitError(
            f"no token for the hub at {endpoint()}: run `hf auth login`, or set HF_TOKEN, with a token that may write"
        )
    return token


@contextmanager
def _push_errors(repository: str) -> Iterator[None]:
    """Turns whatever goes wrong between this machine and the hub into a BertkitError."""
    try:
        with patiently():
            yield
    except BertkitError:
        raise
    except Exception as error:
        raise BertkitError(f"cannot push to {repository}: {_reason(error, repository)}") from error


def _reason(error: Exception, repository: str) -> str:
    from huggingface_hub import errors

    if is_offline():
        return why_offline()
    if type(error) is ValueError:  # raised by the library itself, as for a card with an error
        return one_line(error)
    owner = repository.partition("/")[0]
    for cause in causes(error):
        if isinstance(cause, errors.HfHubHTTPError):
            status = cause.response.status_code
            said = {
                401: "the hub does not accept the token: run `hf auth login` again, or set HF_TOKEN anew",
                403: f"the token may not write there: it needs the role write, and {owner} must be you or yours",
                404: f"the hub at {endpoint()} knows no {owner}, or no such repository that the token may see",
            }.get(status, f"the hub at {endpoint()} answered with HTTP status {status}")
            return said + (f" ({' '.join(masked(cause.server_message).split())[:200]})" if cause.server_message else "")
        if isinstance(cause, (errors.HTTPError, ConnectionError, TimeoutError)):
            return f"the connection to {endpoint()} failed ({one_line(cause)})"
    return one_line(error)


@contextmanager
def _quieter() -> Iterator[None]:
    """Shows the library's warnings (as of the card's front matter) in the form of bertkit's own."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        if issubclass(warning.category, UserWarning):
            console.warn(console.plain(" ".join(str(warning.message).split())))
