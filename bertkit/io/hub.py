"""Fetches models from the Hugging Face hub, and turns its failures into one line."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bertkit import console
from bertkit.assets import EMBEDDED_MODEL
from bertkit.console import one_line
from bertkit.errors import BertkitError, did_you_mean
from bertkit.io.connection import ANSWER_TIMEOUT_S, endpoint, ensure_hub, is_offline, patiently, why_offline
from bertkit.io.structured import read_json

EMBEDDED = "embedded"
_HUB_NAME = re.compile(r"(?![.-])[\w.-]+(/(?![.-])[\w.-]+)?(?<!\.git)", re.ASCII)
_FILE_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".ckpt", ".index", ".pt", ".pth", ".onnx", ".h5", ".toml")
_TOKENIZER_FILES = (
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
_SHOWN_PARTS = 20
# Safetensors first: a pickled file is read only if there is nothing better, and then only its tensors are unpickled.
_WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin", "features.safetensors")


class NotFetchedError(BertkitError):
    """Something could not be fetched from the hub."""


def may_be_hub_name(name: str) -> bool:
    """Whether a name could be one on the hub, rather than a path such as ``./x``, ``x/``, ``/x`` or ``x.bin``."""
    return bool(_HUB_NAME.fullmatch(name)) and not name.lower().endswith(_FILE_SUFFIXES)


@contextmanager
def hub_errors(what: str, ways_on: str) -> Iterator[None]:
    """Turns every failure to fetch something into a ``NotFetchedError``.

    Args:
        what: what is fetched, such as ``model 'org/name'``.
        ways_on: what the user can do instead, such as ``give a folder with --model DIR``.

    Raises:
        NotFetchedError: ``cannot fetch WHAT: REASON; WAYS_ON``.
    """
    try:
        with patiently():
            yield
    except BertkitError:
        raise
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise NotFetchedError(f"cannot fetch {what}: {reason}; {ways_on}") from error


def _reason(error: Exception) -> str | None:
    """Why fetching failed, in a few words; None if the error has nothing to do with fetching."""
    from huggingface_hub import errors

    chain = list(causes(error))
    kinds = {kind.__name__ for cause in chain for kind in type(cause).__mro__}
    status = next((c.response.status_code for c in chain if isinstance(c, errors.HfHubHTTPError)), None)
    if "GatedRepoError" in kinds:
        return "it is gated: accept its terms on its page, then `hf auth login` or set HF_TOKEN"
    if kinds & {"RepositoryNotFoundError", "DatasetNotFoundError"} and not is_offline():
        return (
            f"nothing of that name is here, and the hub at {endpoint()} has no such repository "
            "(if it is private: `hf auth login` or set HF_TOKEN)"
        )
    # errors.HTTPError is the base class of the HTTP library that huggingface_hub is built on.
    lost = next((c for c in chain if isinstance(c, (errors.HTTPError, ConnectionError, TimeoutError))), None)
    lacks_it = isinstance(error, OSError) and error.errno is None
    if is_offline() and (lacks_it or lost is not None):
        return f"{why_offline()} and it is not in the cache"
    if status is not None and "RemoteEntryNotFoundError" not in kinds:
        return f"the hub at {endpoint()} answered with HTTP status {status}"
    if lost is not None and status is None:
        return f"the connection to {endpoint()} failed ({one_line(lost)})"
    if isinstance(error, (OSError, ValueError)) or type(error).__module__.startswith("datasets."):
        return one_line(error)
    return None


@contextmanager
def dataset_part(dataset: str, part: str | None) -> Iterator[None]:
    """While a part (a configuration) of a dataset is fetched: where that fails as it has none of this name, says which it has.

    Args:
        part: None where none was named.

    Raises:
        BertkitError: there is no such part, or one has to be chosen.
    """
    try:
        yield
    except ValueError as error:
        if "Config" not in str(error):  # "BuilderConfig 'x' not found", or "Config name is missing"
            raise
        import datasets

        parts = datasets.get_dataset_config_names(dataset)
        if part in parts or (part is None and len(parts) < 2):
            raise
        more = f" and {len(parts) - _SHOWN_PARTS:,} more" if len(parts) > _SHOWN_PARTS else ""
        there = f"there are {', '.join(parts[:_SHOWN_PARTS])}{more}"
        if part is None:
            raise BertkitError(f"the dataset {dataset} has parts: name one, as {dataset}:{parts[0]}; {there}") from None
        raise BertkitError(
            f"the dataset {dataset} has no part '{part}'.{did_you_mean(part, parts)} T{there[1:]}"
        ) from None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def model_folder(name_or_path: str, weights: bool = True) -> Path:
    """The folder of a model: the path itself, or the cached copy of a model on the hub.

    Args:
        name_or_path: a folder, a hub name such as ``google-bert/bert-base-uncased``, or ``embedded`` for the model that
            comes with bertkit (a folder with that name is ``./embedded``).
        weights: whether the weights are needed, or only configuration and tokenizer.

    Raises:
        BertkitError: there is no such folder, or the model cannot be fetched.
    """
    if name_or_path == EMBEDDED:
        return EMBEDDED_MODEL
    path = Path(name_or_path)
    if path.is_dir():
        return path
    if path.exists():
        raise BertkitError(f"{path} is a file: give the folder of a model, or a name on the hub")
    if not may_be_hub_name(name_or_path):
        raise BertkitError(
            f"no folder '{name_or_path}': give the folder of a model, {EMBEDDED}, "
            "or a name on the hub such as google-bert/bert-base-uncased"
        )
    ensure_hub()
    is_beside = "/" in name_or_path and path.parent.is_dir()
    beside = f"the folder {path.parent} that is here has no '{path.name}'; " if is_beside else ""
    ways_on = f"{beside}give the folder of a model instead, or {EMBEDDED}, the BERT that comes with bertkit"
    with hub_errors(f"model '{name_or_path}'", ways_on):
        return _fetch_model(name_or_path, weights)


@cache
def _fetch_model(name: str, weights: bool) -> Path:
    """The cached copy of a repository; it is fetched once per process, so that all files that are read belong together."""
    with hub_bars(False):
        folder = _fetch_files(name, ("config.json", *_TOKENIZER_FILES))
    if folder is None:
        raise FileNotFoundError("it has neither a config.json nor a tokenizer")
    if weights:
        # For hundreds of megabytes the hub's own progress bar is shown, but not in a log file.
        with hub_bars(console.err.is_terminal):
            _fetch_weights(name, folder)
    return folder


@contextmanager
def hub_bars(on: bool) -> Iterator[None]:
    """Shows or hides the progress bars of huggingface_hub while the block runs."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if on or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _fetch_weights(name: str, folder: Path) -> None:
    for file in _WEIGHTS_FILES:
        if _fetch_files(name, [file], folder.name) is not None:
            return
        index = f"{file}.index.json"
        if _fetch_files(name, [index], folder.name) is not None:
            shards = read_json(folder / index).get("weight_map")
            if not (isinstance(shards, dict) and all(isinstance(shard, str) for shard in shards.values())):
                raise BertkitError(f"the {index} of '{name}' does not say where its weights are: give another model")
            _fetch_files(name, sorted({*shards.values()}), folder.name)
            return
    if is_offline():
        raise FileNotFoundError("its weights")


def _fetch_files(name: str, files: Iterable[str], revision: str | None = None) -> Path | None:
    """Fetches those of the files that the repository has; returns their folder, or None if it has none of them.

    The folder's name is the commit; all later files are fetched by it, so that they belong together. docs/design.md says why
    ``snapshot_download`` is not used.
    """
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    folder, missing, knows_cache_alone = None, None, is_offline()
    for file in files:
        try:
            fetched = Path(hf_hub_download(name, file, revision=revision, etag_timeout=ANSWER_TIMEOUT_S))
        except EntryNotFoundError as error:
            # "Not in the cache" means "not in the repository" only if the hub was unreachable from the start.
            is_known = try_to_load_from_cache(name, file, revision=revision) is _CACHED_NO_EXIST
            if isinstance(error, LocalEntryNotFoundError) and not (knows_cache_alone or is_known):
                raise
            missing = error
            continue
        _refuse_page(fetched)
        folder = fetched.parent
        revision = folder.name
    if folder is None and revision is None and is_offline() and missing is not None:
        raise missing
    return folder


def _refuse_page(path: Path) -> None:
    """Removes a file from the cache, and raises, if it is an HTML page, as from a network that asks for a login."""
    with path.open("rb") as file:
        start = file.read(64).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise ValueError(f"{endpoint()} sent a page (HTML) as {path.name}: see with a browser what stands between")
