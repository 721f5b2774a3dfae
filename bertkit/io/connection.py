"""The connection to the Hugging Face hub: whether somebody is there, and how long it may keep us waiting.

The libraries try again for minutes, sleep for as long as a server asks them to, and wait without an end for a file that
another process fetches. Within `patiently` their HTTP client and their locks are watched: waiting ends where for a minute no
bytes pass, and the hub then counts as unreachable, so that what is in the cache is used and all else fails at once.
"""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from bertkit.console import one_line
from bertkit.signals import answered_meanwhile

T = TypeVar("T")
ANSWER_TIMEOUT_S = 3.0
PATIENCE_S = 50.0
"""Waiting without progress. The libraries sleep up to 8 s between two tries, so that all ends within a minute."""
LONGEST_SLEEP_S = 8.0
PROGRESS_BYTES = 65_536
"""What has to pass within `PATIENCE_S`, or a whole answer: 1.3 kB/s, a tenth of a bad telephone line."""
LARGEST_BREAKS = 30
"""Transfers in a row that end in their middle: a server that always cuts off makes progress for ever."""
_TRUE = {"1", "ON", "YES", "TRUE"}
# Answers after which the libraries try again.
_BUSY = {408, 429, 500, 502, 503, 504}
_problem: str | None = None


def endpoint() -> str:
    """The hub's address: ``HF_ENDPOINT``, else the public hub."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def is_offline() -> bool:
    """Whether the hub is not to be asked, by the user's wish or because nobody was there, or let us wait."""
    return any(os.environ.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def why_offline() -> str:
    """What keeps the hub from being asked, where `is_offline`."""
    return _problem or "HF_HUB_OFFLINE is set"


def ensure_hub() -> None:
    """Turns offline mode on, for this process and its children, where the hub does not answer.

    Cached files then still load, and nothing is tried again for minutes. Call it before anything is fetched.
    """
    if not is_offline() and (problem := _ask_hub()) is not None:
        _go_offline(problem)


def _go_offline(problem: str) -> None:
    global _problem
    _problem = problem
    os.environ["HF_HUB_OFFLINE"] = "1"
    # These read the environment once, when they are imported; transformers asks huggingface_hub.
    for module in ("huggingface_hub.constants", "datasets.config"):
        if module in sys.modules:
            sys.modules[module].HF_HUB_OFFLINE = True  # type: ignore[attr-defined]


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
            broken = answer.status_code in _BUSY
            problem = f"the hub at {endpoint()} answers with HTTP status {answer.status_code}" if broken else None

    # A thread, for looking up a name has no timeout of its own.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_TIMEOUT_S)
    return problem


@contextmanager
def patiently() -> Iterator[None]:
    """While the block runs the hub's client ends waiting that leads nowhere, and its libraries say nothing of it."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http, close_session

    wait, over, factory, before = _Wait(), threading.Event(), _http._GLOBAL_CLIENT_FACTORY, _problem

    def watched() -> Any:
        client = factory()
        for kind, hook in (("request", wait.asked), ("response", wait.answered)):
            client.event_hooks[kind].append(hook)
        return client

    def watch() -> None:
        # For what no timeout sees: headers that come byte by byte.
        while not over.wait(PATIENCE_S / 50):
            if wait.left_s() < 0:
                _go_offline(wait.nothing_came())
                close_session()
                return

    threading.Thread(target=watch, daemon=True).start()
    set_client_factory(watched)
    try:
        with _short_and_quiet(wait):
            yield
    finally:
        over.set()
        set_client_factory(factory)
        if _problem != before:
            _go_offline(_problem or "")  # anew, for datasets puts the environment back


@contextmanager
def _short_and_quiet(wait: "_Wait") -> Iterator[None]:
    """The libraries' own settings while something is fetched, but for those that the user made, and what else they wait for."""
    from filelock import BaseFileLock
    from huggingface_hub import constants

    changes: list[tuple[Any, str, object]] = [
        (BaseFileLock, "acquire", wait.acquiring(BaseFileLock.acquire)),
        (socket, "getaddrinfo", wait.looking_up(socket.getaddrinfo)),
    ]
    if "HF_HUB_DISABLE_XET" not in os.environ:
        # Xet's client knows no such limit. What it brings comes by HTTP as well.
        changes.append((constants, "HF_HUB_DISABLE_XET", True))
    if config := sys.modules.get("datasets.config"):
        changes += [(config, name, LONGEST_SLEEP_S) for name in dir(config) if name.endswith("_RETRY_INTERVAL")]
    talks = {"huggingface_hub": "HF_HUB_VERBOSITY", "datasets": "DATASETS_VERBOSITY"}
    logs = [logging.getLogger(name) for name, variable in talks.items() if variable not in os.environ]
    before = [getattr(owner, name) for owner, name, _ in changes]
    levels = [log.level for log in logs]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        for log in logs:
            log.setLevel(logging.ERROR)
        yield
    finally:
        for (owner, name, _), value in zip(changes, before, strict=True):
            setattr(owner, name, value)
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


class _Wait:
    """How long we have waited for the hub since it last came forward: while it computes nobody waits."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._waited_s = 0.0
        self._bytes = self._breaks = 0
        self._who = endpoint()
        self._fetched = ("", 0)

    def left_s(self) -> float:
        """What is left of the patience, in seconds."""
        now = time.monotonic()
        return PATIENCE_S - self._waited_s - (now - (self._since_s or now))

    def nothing_came(self) -> str:
        return f"{self._who} let us wait for {PATIENCE_S:.0f} s"

    def asked(self, request: Any) -> None:
        """Before a request is sent."""
        self._who = _address(request.url)
        self._start()
        left_s = self.left_s()
        if is_offline() or left_s <= 0:
            _give_up(why_offline() if is_offline() else self.nothing_came())
        known = request.extensions.get("timeout") or {}
        most_s = left_s + PATIENCE_S / 25  # the watch, which says why, comes first
        limits = {kind: min(known.get(kind) or most_s, most_s) for kind in ("connect", "read", "write", "pool")}
        request.extensions = {**request.extensions, "timeout": limits}
        request.stream = _stream(request.stream, self._sent)

    def answered(self, response: Any) -> None:
        """Once the headers of an answer are here."""
        status, wait_s = response.status_code, _asked_to_wait_s(response)
        if status in _BUSY:
            asks = f" and asks to wait for {wait_s:,} s" if wait_s else ""
            if max(wait_s + 1, LONGEST_SLEEP_S) > self.left_s():
                _give_up(f"{self._who} answers with HTTP status {status}{asks}")
            return
        self._stop()
        response.stream = _stream(response.stream, lambda stream: self._received(stream, status))

    def looking_up(self, lookup: Callable[..., T]) -> Callable[..., T]:
        """Gives ``socket.getaddrinfo``, which knows no timeout and handles no signals, the timeout that is left."""

        def looked_up(*name: Any, **how: Any) -> T:
            try:
                return answered_meanwhile(lambda: lookup(*name, **how), max(self.left_s(), 0.0))
            except TimeoutError as error:
                raise socket.gaierror(socket.EAI_AGAIN, "no name server answers") from error

        return looked_up

    def acquiring(self, acquire: Callable[..., Any]) -> Callable[..., Any]:
        """Limits a file lock's ``acquire``: waiting for another process that has the lock is like waiting for the hub."""
        from filelock import Timeout

        def acquired(lock: Any, timeout: float | None = None, **how: Any) -> Any:
            allowed_s = lock.timeout if timeout is None else timeout
            if 0 <= allowed_s < 1 or how.get("blocking") is False:
                return acquire(lock, timeout, **how)
            began_at_s, self._who = time.monotonic(), f"the process that has {lock.lock_file}"
            self._start()
            try:
                while True:
                    try:
                        return acquire(lock, PATIENCE_S / 50, **how)
                    except Timeout:
                        self._see_others(lock.lock_file)
                        if 0 <= allowed_s < time.monotonic() - began_at_s:
                            raise
            finally:
                self._stop()

        return acquired

    def _see_others(self, lock: str) -> None:
        """Notes between two tries to get a lock whether the process that has it makes progress; gives up if not."""
        fetched = (lock, _fetched_bytes(Path(lock)))
        if fetched != self._fetched:
            self._fetched, self._waited_s, self._since_s = fetched, 0.0, time.monotonic()
        elif self.left_s() <= 0:
            _give_up(self.nothing_came())

    def _received(self, stream: Any, status: int) -> Iterator[bytes]:
        chunks, received = iter(stream), 0
        try:
            while True:
                self._start()
                chunk = next(chunks)
                self._stop()
                self._passed(len(chunk))
                received += len(chunk)
                yield chunk
        except StopIteration:
            self._stop()
            if not 300 <= status < 400:
                self._waited_s = self._bytes = 0
            self._breaks = 0 if received else self._breaks
        except Exception as error:
            self._breaks += 1
            if self._breaks > LARGEST_BREAKS:
                _give_up(f"{self._who} cut off {self._breaks} transfers in a row ({one_line(error)})")
            raise

    def _sent(self, stream: Any) -> Iterator[bytes]:
        for chunk in stream:
            yield chunk
            self._passed(len(chunk))

    def _passed(self, count: int) -> None:
        self._bytes += count
        if self._bytes >= PROGRESS_BYTES:
            self._waited_s = self._bytes = 0
            self._since_s = self._since_s and time.monotonic()

    def _start(self) -> None:
        if self._since_s is None:
            self._since_s = time.monotonic()

    def _stop(self) -> None:
        if self._since_s is not None:
            self._waited_s += time.monotonic() - self._since_s
            self._since_s = None


def _give_up(problem: str) -> NoReturn:
    """Ends every try: for the libraries it is as if the user were offline."""
    from huggingface_hub.errors import OfflineModeIsEnabled

    _go_offline(problem)
    raise OfflineModeIsEnabled(problem)


def _fetched_bytes(lock: Path) -> int:
    """Counts the bytes of unfinished files that the process with a lock of the libraries has written so far."""
    of_the_hub = lock.parent.parent.parent / lock.parent.name / "blobs"  # its lock is .locks/REPOSITORY/FILE.lock
    unfinished = [*of_the_hub.glob("*.incomplete"), *lock.parent.glob("*.incomplete/*")]
    sizes = 0
    for path in unfinished:
        with suppress(OSError):  # finished meanwhile
            sizes += path.stat().st_size
    return sizes


def _address(url: Any) -> str:
    return f"{url.scheme}://{url.netloc.decode()}"


def _asked_to_wait_s(response: Any) -> int:
    """Seconds that the libraries would sleep for, because the answer says so."""
    from huggingface_hub.utils import parse_ratelimit_headers

    limit = parse_ratelimit_headers(response.headers) if response.status_code == 429 else None
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds
    asked = response.headers.get("Retry-After", "").strip()
    return int(asked) if asked.isdecimal() and len(asked) < 10 else 0


def _stream(stream: Any, passing: Callable[[Any], Iterator[bytes]]) -> Any:
    """A stream of the HTTP library whose bytes pass through a function."""
    from huggingface_hub import errors

    http = sys.modules[errors.HTTPError.__module__]

    class Watched(http.SyncByteStream):  # type: ignore[name-defined]
        def __iter__(self) -> Iterator[bytes]:
            return passing(stream)

        def close(self) -> None:
            stream.close()

    return Watched()
