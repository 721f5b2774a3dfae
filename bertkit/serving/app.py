"""The routes of the server: those of the Hugging Face inference API, and a page to try the model."""

import asyncio
import dataclasses
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.errors import BertkitError, check_seconds
from bertkit.inference.attention import read_attention
from bertkit.inference.explaining import explain
from bertkit.reporting.attention import attention_page
from bertkit.reporting.pages import render_page
from bertkit.serving.asking import answered, checked_items, open_task, task_name
from bertkit.serving.batcher import Batcher
from bertkit.serving.tasks import VECTORS, Item, Task

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Respond = Callable[["Request"], Awaitable["Response"]]
MOST_BYTES = 1_000_000
"""The most bytes of a request's body."""
_EXAMPLES = {
    "fill-mask": "she opened the [MASK] and looked into the garden .",
    "text-classification": "what a lovely day it was .",
    "token-classification": "Ana moved from Lisbon to New York .",
    "question-answering": "Ana moved from Lisbon to New York in the spring, and her brother stayed .",
    VECTORS: "the cat sat on the mat .",
}


class RefusedError(BertkitError):
    """A request is refused with an HTTP status of its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Service:
    """A model that is served.

    Args:
        model: a folder, a name on the hub, or "embedded".
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        timeout_s: how long a request may wait for its answer.

    Raises:
        BertkitError: the model cannot be loaded, or was trained for a task that cannot be served; or no request can be
            answered in such a time.
    """

    def __init__(self, model: str, device: str, timeout_s: float) -> None:
        check_seconds("timeout_s", timeout_s)
        self.model, self.task, self._device, self._timeout_s = model, task_name(model), device, timeout_s
        self.batcher = Batcher(self._answered)
        self._tasks: dict[str, Task] = {self.task: self.batcher.begin(lambda: open_task(model, self.task, device))}
        self._page = render_page("serve.html", title=model, task=self.task, example=_EXAMPLES[self.task]).encode(
            "utf-8", "replace"
        )

    def _answered(self, task: str, items: Sequence[Item]) -> list[Any]:
        return answered(self._tasks[task], items)

    def _open(self, name: str) -> None:
        """Loads the model for a task. Of several early requests, which the thread handles in turn, only the first does it."""
        if name not in self._tasks:
            self._tasks[name] = open_task(self.model, name, self._device)

    def app(self) -> "Starlette":
        """The service as an ASGI application."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        ask, post = self._guarded(self._ask), ["POST"]
        return Starlette(
            routes=[
                Route("/", self._show, methods=["GET"]),
                Route("/health", self._health, methods=["GET"]),
                Route("/attention", self._guarded(self._attention), methods=["GET"]),
                Route("/explain", self._guarded(self._explain), methods=["GET"]),
                Route("/", ask, methods=post),
                Route("/pipeline/{task}", ask, methods=post),
                Route("/models/{name:path}/pipeline/{task}", ask, methods=post),
                Route("/models/{name:path}", ask, methods=post),
            ],
            exception_handlers={404: _unknown, 405: _unknown},
        )

    async def _show(self, request: "Request") -> "Response":  # noqa: ARG002
        from starlette.responses import HTMLResponse

        return HTMLResponse(self._page)

    async def _health(self, request: "Request") -> "Response":  # noqa: ARG002
        return _json({"model": self.model, "task": self.task})

    async def _attention(self, request: "Request") -> "Response":
        """The page of ``bertkit attention`` for a text."""
        from starlette.responses import HTMLResponse

        text = request.query_params.get("text", "")
        page = await self.batcher.run(lambda: attention_page(read_attention(self.model, text)))
        return HTMLResponse(page.encode("utf-8", "replace"))

    async def _explain(self, request: "Request") -> "Response":
        """What ``bertkit explain --json`` prints for a text or a pair."""
        text, pair = (request.query_params.get(name) or None for name in ("text", "text_pair"))
        explanation = await self.batcher.run(lambda: explain(self.model, text or "", pair, device=self._device))
        if explanation.tokens_cut:
            raise BertkitError(
                f"the text has {explanation.tokens_cut} tokens more than the model reads: give a shorter one"
            )
        return _json(dataclasses.asdict(explanation))

    def _guarded(self, respond: Respond) -> Respond:
        """Wraps a handler, so that it ends after the timeout, and answers errors with a line of JSON."""

        from starlette.requests import ClientDisconnect

        async def guarded(request: "Request") -> "Response":
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await respond(request)
            except TimeoutError:
                return _refusal(503, f"no answer within {self._timeout_s:g} s: ask again later, or for less")
            except BertkitError as error:
                return _refusal(getattr(error, "status", 400), str(error))
            except ClientDisconnect:  # in the middle of its request: nobody reads this
                return _refusal(400, "the request was not sent to its end")
            except Exception:  # a bug in bertkit: its traceback is printed on the server
                sys.stderr.write(console.masked(traceback.format_exc()))
                return _refusal(500, "the server failed: its log says how")

        return guarded

    async def _ask(self, request: "Request") -> "Response":
        named = request.path_params.get("name", self.model)
        if named not in (self.model, self.model.rstrip("/").rsplit("/", 1)[-1]):
            raise RefusedError(404, f"no model '{named[:100]}' here: this is {self.model}")
        name = request.path_params.get("task", self.task)
        if name not in (self.task, VECTORS):
            raise RefusedError(404, f"no task '{name[:100]}' here: {self.model} answers {self.task} and {VECTORS}")
        asked = _parsed(await _body(request))
        if name not in self._tasks:
            await self.batcher.run(lambda: self._open(name))
        inputs = asked["inputs"]
        items = checked_items(self._tasks[name], inputs, _parameters(asked))
        answers = await self.batcher.ask(name, items) if items else []
        # For a single text the API returns classes as a list of lists, and all other answers as they are.
        return _json(answers if isinstance(inputs, list) or name == "text-classification" else answers[0])


async def _body(request: "Request") -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise RefusedError(413, f"the request is larger than {MOST_BYTES:,} bytes: ask for less at a time")
    return bytes(body)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        reason = "too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())[:100]
        raise BertkitError(f'the request is no JSON ({reason}): send {{"inputs": "a text"}}') from None
    if not isinstance(asked, dict) or "inputs" not in asked:
        raise BertkitError('the request has no inputs: send {"inputs": "a text"}')
    return asked


def _parameters(asked: dict[str, Any]) -> Any:
    """The parameters of a request, which stand in an object of their own, or, for vectors, beside the inputs."""
    given = asked.get("parameters")
    given = {} if given is None else given
    beside = {name: value for name, value in asked.items() if name not in ("inputs", "parameters", "options")}
    return beside | given if isinstance(given, dict) else given


async def _unknown(request: "Request", error: Exception) -> "Response":
    status: int = getattr(error, "status_code", 404)
    path = request.url.path[:100]
    return _refusal(status, f"no {request.method} {path} here: POST / or /models/NAME, or open / in a browser")


def _refusal(status: int, why: str) -> "Response":
    return _json({"error": why}, status)


def _json(content: Any, status: int = 200) -> "Response":
    from starlette.responses import Response

    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json")
