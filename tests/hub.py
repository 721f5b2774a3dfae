"""A stand-in for the Hugging Face hub on loopback: folders served as repositories, over real HTTP.

It answers what is asked when reading: what a repository holds (info, tree, paths-info), and its files (HEAD, GET,
ranges). A test adds folders to ``models`` and ``datasets``, or makes every request fail with ``status``.
"""

import hashlib
import json
import os
import re
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "5" * 40
_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/[^/]+)?(?:/(.*))?")
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)")


class Hub:
    """The server; a context manager. ``requests`` lists what was asked for."""

    def __init__(self) -> None:
        self.models: dict[str, Path] = {}
        self.datasets: dict[str, Path] = {}
        self.status: int | None = None
        self.requests: list[str] = []
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def env(self, home: Path) -> dict[str, str]:
        """The environment for a child process that knows this hub alone, with its cache under ``home``."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
        return kept | {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:  # noqa: N802 (the server's name)
        self._answer(b"")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:  # noqa: N802
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _answer(self, body: bytes) -> None:
        url = urllib.parse.urlparse(self.path)
        path = urllib.parse.unquote(url.path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.status is not None:
            gated = {401: "GatedRepo", 403: "GatedRepo"}.get(self.hub.status, "")
            self._send(b"{}", status=self.hub.status, **({"X-Error-Code": gated} if gated else {}))
        elif match := _FILE.fullmatch(path):
            self._send_file(self._repo("datasets" if match[1] else "models", match[2]), match[3])
        elif match := _API.fullmatch(path):
            wanted = urllib.parse.parse_qs(body.decode()).get("paths", []) if body[:1] != b"{" else None
            wanted = json.loads(body)["paths"] if wanted is None else wanted
            self._send_api(match[2], self._repo(match[1], match[2]), match[3], match[4] or "", url.query, wanted)
        else:
            self._missing("RepoNotFound")

    def _repo(self, kind: str, name: str) -> Path | None:
        return getattr(self.hub, kind).get(name)

    def _send_api(
        self, name: str, repo: Path | None, what: str | None, sub: str, query: str, wanted: list[str]
    ) -> None:
        if repo is None:
            self._missing("RepoNotFound")
            return
        found = sorted((repo / sub).rglob("*"))
        if what == "tree" and not found:
            self._missing("EntryNotFound")
            return
        if what == "tree" and "recursive=true" not in query.lower():
            found = [path for path in found if path.parent == repo / sub]
        if what == "paths-info":
            found = [repo / path for path in wanted if (repo / path).exists()]
        entries = [_entry(path, repo) for path in found]
        info = {
            "id": name,
            "modelId": name,
            "sha": COMMIT,
            "private": False,
            "gated": False,
            "disabled": False,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "siblings": [{"rfilename": entry["path"]} for entry in entries if entry["type"] == "file"],
        }
        listing = what in ("tree", "paths-info")
        self._send(json.dumps(entries if listing else info).encode(), **{"Content-Type": "application/json"})

    def _send_file(self, repo: Path | None, name: str) -> None:
        if repo is None or not (repo / name).is_file():
            self._missing("RepoNotFound" if repo is None else "EntryNotFound")
            return
        content = (repo / name).read_bytes()
        headers = {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self._send(content[first : last + 1], 206, **headers)
        else:
            self._send(content, **headers)

    def _missing(self, code: str) -> None:
        self._send(b"{}", 404, **{"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _entry(path: Path, repo: Path) -> dict[str, Any]:
    name = path.relative_to(repo).as_posix()
    size = path.stat().st_size if path.is_file() else 0
    return {
        "type": "file" if path.is_file() else "directory",
        "path": name,
        "size": size,
        "oid": _digest(name.encode()),
    }


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
