"""The Hugging Face hub: whether it can be reached, a model's files from it, and one line where that fails."""

import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from bertkit import console
from bertkit.assets import EMBEDDED_MODEL
from bertkit.errors import BertkitError
from bertkit.io.structured import read_json

EMBEDDED = "embedded"
ANSWER_TIMEOUT_S = 3.0
_TRUE = {"1", "ON", "YES", "TRUE"}
# Answers after which the libraries would try again for half a minute.
_BROKEN = {500, 502, 503, 504}
_HUB_NAME = re.compile(r"(?![.-])[\w.-]+(/(?![.-])[\w.-]+)?(?<!\.git)", re.ASCII)
_FILE_SUFFIXES = (".safetensors", ".bin", ".json", ".txt", ".ckpt", ".index", ".pt", ".pth", ".onnx", ".h5", ".toml")
_TOKENIZER_FILES = (
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.txt",
    "special_tokens_map.json",
    "added_tokens.json",
)
# Safetensors first: a pickled file is read only where there is nothing better, and never unpickled freely.
_WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
_problem: str | None = None


class NotFetchedError(BertkitError):
    """Something that the hub has cannot be had from it."""


def may_be_hub_name(name: str) -> bool:
    """Whether a name could be one on the hub, and does not look like a path: ``./x``, ``x/``, ``/x``, ``x.bin``."""
    return bool(_HUB_NAME.fullmatch(name)) and not name.lower().endswith(_FILE_SUFFIXES)


def endpoint() -> str:
    """The hub's address: ``HF_ENDPOINT``, else the public hub."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def is_offline() -> bool:
    """Whether the hub is not to be asked, by the user's wish or because `ensure_hub` found nobody there."""
    return any(os.environ.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def ensure_hub() -> None:
    """Turns offline mode on, for this process and its children, where the hub does not answer.

    Cached files then still load, and nothing is tried again for minutes. Call it before anything is fetched.
    """
    global _problem
    if is_offline():
        return
    _problem = _ask_hub()
    if _problem is None:
        return
    os.environ["HF_HUB_OFFLINE"] = "1"
    # These read the environment once, when they are imported; transformers asks huggingface_hub.
    for module in ("huggingface_hub.constants", "datasets.config"):
        if module in sys.modules:
            sys.modules[module].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]


def why_offline() -> str:
    """What keeps the hub from being asked, where `is_offline`."""
    return _problem or "HF_HUB_OFFLINE is set"


def _ask_hub() -> str | None:
    """What keeps the hub from being used; None where it answers, whatever it is that it says."""
    from huggingface_hub.utils import get_session

    session = get_session()  # its imports and certificates take a while on a busy machine: no part of the wait
    problem: str | None = f"no hub reachable at {endpoint()} (no answer within {ANSWER_TIMEOUT_S:.0f} s)"

    def ask() -> None:
        nonlocal problem
        try:
            answer = session.head(endpoint(), timeout=ANSWER_TIMEOUT_S, follow_redirects=False)
        except Exception as error:  # no name, no route, no certificate: nothing would fare better
            problem = f"no hub reachable at {endpoint()} ({one_line(error)})"
        else:
            broken = answer.status_code in _BROKEN
            problem = f"the hub at {endpoint()} answers with HTTP status {answer.status_code}" if broken else None

    # A thread, for looking up a name has no timeout of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_TIMEOUT_S)
    return problem


@contextmanager
def hub_errors(what: str, ways_on: str) -> Iterator[None]:
    """Turns every failure to fetch something into one line.

    Args:
        what: what is fetched, as in ``model 'org/name'``.
        ways_on: what the user can do instead, as in ``give a folder with --model DIR``.

    Raises:
        NotFetchedError: ``cannot fetch WHAT: REASON; WAYS_ON``.
    """
    try:
        yield
    except BertkitError:
        raise
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise NotFetchedError(f"cannot fetch {what}: {reason}; {ways_on}") from error


def _reason(error: Exception) -> str | None:
    """Why fetching failed, in a few words; None for an error that fetching does not raise."""
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
    if is_offline() and isinstance(error, OSError) and error.errno is None:
        return f"{why_offline()} and it is not in the cache"
    if status is not None and "RemoteEntryNotFoundError" not in kinds:
        return f"the hub at {endpoint()} answered with HTTP status {status}"
    # errors.HTTPError is the base class of the HTTP library that huggingface_hub is built on.
    lost = next((c for c in chain if isinstance(c, (errors.HTTPError, ConnectionError, TimeoutError))), None)
    if lost is not None and status is None:
        return f"the connection to {endpoint()} failed ({one_line(lost)})"
    if isinstance(error, (OSError, ValueError)) or type(error).__module__.startswith("datasets."):
        return one_line(error)
    return None


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, the outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def one_line(error: BaseException) -> str:
    """What an error says, short and on one line."""
    return " ".join(str(error).split())[:200].rstrip(" .") or type(error).__name__


def model_folder(name_or_path: str, weights: bool = True) -> Path:
    """The folder of a model: the path itself, or the cached copy of what the hub has under that name.

    Args:
        name_or_path: a folder, a hub name such as ``google-bert/bert-base-uncased``, or ``embedded``: the model
            that comes with bertkit (a folder of that name is ``./embedded``).
        weights: whether the weights are needed, or only configuration and tokenizer.

    Raises:
        BertkitError: there is no such folder, or it cannot be fetched.
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
    ways_on = f"{beside}give the folder of a model instead, or {EMBEDDED}, the BERT in the box"
    with hub_errors(f"model '{name_or_path}'", ways_on):
        return _fetch_model(name_or_path, weights)


@cache
def _fetch_model(name: str, weights: bool) -> Path:
    """The cached copy of a repository, asked for once a process: what is read belongs together."""
    with hub_bars(False):
        folder = _fetch_files(name, ("config.json", *_TOKENIZER_FILES))
    if folder is None:
        raise FileNotFoundError("it has neither a config.json nor a tokenizer")
    if weights:
        # Hundreds of megabytes: the hub's own bar, and none in a log file.
        with hub_bars(console.err.is_terminal):
            _fetch_weights(name, folder)
    return folder


@contextmanager
def hub_bars(on: bool) -> Iterator[None]:
    """The progress bars of huggingface_hub, shown or not while the block runs."""
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


def _fetch_files(name: str, files: Iterable[str], revision: str | None = None) -> Path | None:
    """Fetches those of the files that the repository has; returns their folder, or None where it has none.

    The folder's name is the commit, by which all later files are asked for: they belong together.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    folder, missing = None, None
    for file in files:
        try:
            fetched = hf_hub_download(name, file, revision=revision, etag_timeout=ANSWER_TIMEOUT_S)
        except EntryNotFoundError as error:
            # Not in the cache is "the repository has it not" only where the hub could not be asked.
            if isinstance(error, LocalEntryNotFoundError) and not is_offline():
                raise
            missing = error
            continue
        folder = Path(fetched).parent
        revision = folder.name
    if folder is None and revision is None and is_offline() and missing is not None:
        raise missing
    return folder
