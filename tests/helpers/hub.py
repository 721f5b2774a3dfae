"""A stand-in for the Hugging Face hub on loopback: folders served as repositories, over real HTTP.

It answers what is asked when reading: what a repository holds (info, tree, paths-info), and its files (HEAD, GET,
ranges). A test adds folders to ``models`` and ``datasets``, or makes every request fail with ``status``.

And what is asked when writing models, once ``accept_pushes`` was called: a repository is made, each file asked about,
weights sent by the protocol of git-lfs, all others within the commit. What was committed is served like the rest.

It stalls, lies and breaks where a test puts a fault of ``helpers.hub_faults`` into ``faults``.
"""

import base64
import hashlib
import json
import os
import re
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "5" * 40
_API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/[^/]+)?(?:/(.*))?")
_PREUPLOAD = re.compile(r"/api/models/([^/]+/[^/]+)/preupload/main")
_COMMIT = re.compile(r"/api/models/([^/]+/[^/]+)/commit/main")
_LFS_BATCH = re.compile(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch")
_LFS_OBJECT = re.compile(r"/lfs/([0-9a-f]{64})(/verify)?")
_FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)")


class Hub:
    """The server; a context manager. ``requests`` lists what was asked for."""

    def __init__(self) -> None:
        self.models: dict[str, Path] = {}
        self.datasets: dict[str, Path] = {}
        self.status: int | None = None
        self.requests: list[str] = []
        self.private: set[str] = set()
        """Names of the models that only their owner sees."""
        self.fail_at: dict[str, int] = {}
        """What a path contains, and the status that requests for it are answered with."""
        self.faults: dict[str, Callable[[BaseHTTPRequestHandler], bool]] = {}
        """What "METHOD PATH" contains, and what answers in place of the hub (if it says so)."""
        self.over = threading.Event()
        """Set at the end, for faults that wait."""
        self.pushed: Path | None = None
        self.token, self.owner = "", ""
        self.lfs: dict[str, bytes] = {}
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def accept_pushes(self, folder: Path, owner: str, token: str) -> None:
        """Takes models of an owner from whoever has the token, and keeps them below a folder."""
        self.pushed, self.owner, self.token = folder, owner, token

    def env(self, home: Path) -> dict[str, str]:
        """The environment for a child process that knows this hub alone, with its cache under ``home``."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
        return kept | {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
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

    do_PUT = do_POST  # noqa: N815

    def _answer(self, body: bytes) -> None:
        url = urllib.parse.urlparse(self.path)
        path = urllib.parse.unquote(url.path)
        self.hub.requests.append(f"{self.command} {path}")
        for part, fault in self.hub.faults.items():
            if part in f"{self.command} {path}" and fault(self):
                return
        failing = [status for part, status in self.hub.fail_at.items() if part in path]
        if failing:
            self._send(b'{"error": "as the test wants it"}', failing[0])
        elif self.hub.pushed is not None and self._take(path, body, self.hub.pushed):
            return
        elif self.hub.status is not None:
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

    def _take(self, path: str, body: bytes, pushed: Path) -> bool:
        """Answers a request that writes; whether this was one."""
        if match := _LFS_OBJECT.fullmatch(path):
            # Addresses for uploads carry their own permission: clients send no token there.
            if not match[2] and hashlib.sha256(body).hexdigest() == match[1]:
                self.hub.lfs[match[1]] = body
            self._send(b"", 200 if match[1] in self.hub.lfs else 422)
        elif path in ("/api/repos/create", "/api/validate-yaml"):
            if self._is_allowed():
                wanted = json.loads(body)
                self._create(wanted, pushed) if path.endswith("create") else self._send_json({"warnings": []})
        elif match := _PREUPLOAD.fullmatch(path) or _LFS_BATCH.fullmatch(path) or _COMMIT.fullmatch(path):
            if self._is_allowed():
                self._write(match.re, match[1], pushed / match[1], body)
        else:
            return False
        return True

    def _is_allowed(self) -> bool:
        allowed = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if not allowed:
            self._send(b"{}", 401)
        return allowed

    def _create(self, wanted: dict[str, Any], pushed: Path) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if wanted["organization"] != self.hub.owner:
            self._send_json({"error": "not yours"}, 403)
        elif name in self.hub.models:
            self._send_json({"url": f"{self.hub.url}/{name}"}, 409)
        else:
            self.hub.models[name] = pushed / name
            self.hub.models[name].mkdir(parents=True)
            if wanted.get("private") or wanted.get("visibility") == "private":
                self.hub.private.add(name)
            self._send_json({"url": f"{self.hub.url}/{name}"})

    def _write(self, kind: re.Pattern[str], name: str, repo: Path, body: bytes) -> None:
        if kind is _PREUPLOAD:
            paths = [file["path"] for file in json.loads(body)["files"]]
            modes = ["lfs" if path.endswith(".safetensors") else "regular" for path in paths]
            self._send_json(
                {
                    "files": [
                        {"path": path, "uploadMode": mode, "shouldIgnore": False}
                        for path, mode in zip(paths, modes, strict=True)
                    ]
                }
            )
        elif kind is _LFS_BATCH:
            self._send_json(
                {"transfer": "basic", "objects": [self._lfs_actions(o) for o in json.loads(body)["objects"]]}
            )
        else:
            for line in body.splitlines():
                entry = json.loads(line)
                file = entry["value"]
                if entry["key"] == "file":
                    (repo / file["path"]).write_bytes(base64.b64decode(file["content"]))
                elif entry["key"] == "lfsFile":
                    (repo / file["path"]).write_bytes(self.hub.lfs[file["oid"]])
            self._send_json({"commitUrl": f"{self.hub.url}/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    def _lfs_actions(self, wanted: dict[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.hub.lfs:
            return wanted
        href = f"{self.hub.url}/lfs/{wanted['oid']}"
        return wanted | {"actions": {"upload": {"href": href}, "verify": {"href": f"{href}/verify"}}}

    def _send_json(self, value: object, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), status, **{"Content-Type": "application/json"})

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
            "private": name in self.hub.private,
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
        known = {"X-Repo-Commit": COMMIT} if code == "EntryNotFound" else {}
        self._send(b"{}", 404, **{"X-Error-Code": code, "X-Error-Message": code, **known})

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
