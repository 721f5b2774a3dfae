"""What a bad hub does with a request: functions for ``Hub.faults``, which say whether they have answered it."""

import contextlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from helpers.hub import COMMIT

Fault = Callable[[BaseHTTPRequestHandler], bool]
HTML = b"<!DOCTYPE html><html><body>Please log in to the network of this hotel.</body></html>"


def silent(request: BaseHTTPRequestHandler) -> bool:
    """Takes the request and says nothing."""
    hub(request).over.wait()
    return True


def dripping_headers(request: BaseHTTPRequestHandler) -> bool:
    """An answer whose headers come byte by byte, without an end."""
    _drip(request, b"HTTP/1.1 200 OK\r\nX-Endless: ")
    return True


def dripping_body(request: BaseHTTPRequestHandler) -> bool:
    """A file of a megabyte that comes byte by byte."""
    if request.command != "GET":
        return False
    _head(request, 200, {"Content-Length": "1000000"})
    _drip(request, b"")
    return True


def slow_body(count: int, every_s: float) -> Fault:
    """A file as it is, so many bytes at a time."""

    def answer(request: BaseHTTPRequestHandler) -> bool:
        if request.command != "GET":
            return False
        name = request.path.rsplit("/", 1)[1]
        content = (hub(request).models["org/tiny"] / name).read_bytes()
        _head(request, 200, {"Content-Length": str(len(content))})
        for start in range(0, len(content), count):
            request.wfile.write(content[start : start + count])
            hub(request).over.wait(every_s)
        return True

    return answer


def _drip(request: BaseHTTPRequestHandler, first: bytes) -> None:
    request.close_connection = True
    with contextlib.suppress(OSError):
        request.wfile.write(first)
        while not hub(request).over.wait(0.1):
            request.wfile.write(b".")


def answering(status: int, body: bytes = b"", **headers: str) -> Fault:
    """Always the same answer."""

    def answer(request: BaseHTTPRequestHandler) -> bool:
        _head(request, status, {"Content-Length": str(len(body)), **headers})
        if request.command != "HEAD":
            request.wfile.write(body)
        return True

    return answer


def echoing_token(request: BaseHTTPRequestHandler) -> bool:
    """Sends back in an error what was sent as authorization."""
    sent = request.headers.get("Authorization") or "none"
    body = f'{{"error": "not with {sent}"}}'.encode()
    return answering(403, body, **{"X-Error-Message": f"not with {sent}", "X-HF-Warning": f"odd; {sent}"})(request)


def half(request: BaseHTTPRequestHandler) -> bool:
    """Breaks off in the middle of a file, again and again, wherever it was asked to go on from."""
    if request.command != "GET":
        return False
    _head(request, 200, {"Content-Length": "1000"})
    request.wfile.write(b"x" * 500)
    request.close_connection = True
    return True


def short(request: BaseHTTPRequestHandler) -> bool:
    """A whole answer that is smaller than the file was said to be."""
    return request.command == "GET" and answering(200, b"{")(request)


def html_for_files(request: BaseHTTPRequestHandler) -> bool:
    """Every file is a page, under its right name and with a size that fits."""
    headers = {"ETag": '"page"', "X-Repo-Commit": COMMIT, "Content-Type": "text/html"}
    return "/resolve/" in request.path and answering(200, HTML, **headers)(request)


def redirecting(request: BaseHTTPRequestHandler) -> bool:
    """From one address to the next, without an end."""
    return answering(302, Location=f"{request.path.split('?')[0]}?{len(hub(request).requests)}")(request)


def hub(request: BaseHTTPRequestHandler) -> Any:
    return request.hub  # type: ignore[attr-defined]


def _head(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.end_headers()
