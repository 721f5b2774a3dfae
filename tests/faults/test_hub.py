"""A hub that stalls, lies and breaks, over real HTTP: exit code 1, one line, and nothing half-written in the cache."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import hub_faults
from helpers.hub import COMMIT, Hub

TOKEN = "hf_" + "abcdefgh" * 4
# Two seconds are the minute of the tests that wait until it is over; the others, which are to end for another reason, have five
# times as much: the library sleeps for one second between two tries.
COMMAND = """
import os
from bertkit.io import connection
connection.PATIENCE_S = float(os.environ.get("PATIENCE_S", "2"))
connection.LONGEST_SLEEP_S, connection.LARGEST_BREAKS = connection.PATIENCE_S - 0.5 if connection.PATIENCE_S > 2 else 0.1, 1
from bertkit.__main__ import main
main()
"""


def run(hub: Hub, home: Path, *arguments: str, said: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A command; ``said`` is what it is to end with."""
    patience = {"PATIENCE_S": "2" if "let us wait" in said else "10"}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        env=hub.env(home) | {"BERTKIT_CACHE": str(home / "bertkit")} | patience | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def error_of(done: subprocess.CompletedProcess[str], home: Path) -> str:
    """The one line of a refusal that left nothing half-written."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert list(home.rglob("*.incomplete")) == []
    return done.stderr


FAULTS: dict[str, tuple[str, hub_faults.Fault, str]] = {
    "silent at files": ("/resolve/", hub_faults.silent, "URL let us wait for 2 s"),
    "silent weights": ("GET /org/tiny/resolve/5", hub_faults.silent, "URL let us wait for 2 s"),
    "dripping headers": ("/resolve/", hub_faults.dripping_headers, "URL let us wait for 2 s"),
    "dripping weights": ("model.safetensors", hub_faults.dripping_body, "URL let us wait for 2 s"),
    "too many requests, wait an hour": (
        "/resolve/",
        hub_faults.answering(429, **{"Retry-After": "3600"}),
        "URL answers with HTTP status 429 and asks to wait for 3,600 s",
    ),
    "the rate limit starts anew in an hour": (
        "/resolve/",
        hub_faults.answering(429, RateLimit='"api";r=0;t=3000'),
        "URL answers with HTTP status 429 and asks to wait for 3,000 s",
    ),
    "unavailable, wait an hour": (
        "model.safetensors",
        hub_faults.answering(503, **{"Retry-After": "3600"}),
        "URL answers with HTTP status 503 and asks to wait for 3,600 s",
    ),
    "unavailable": ("/resolve/", hub_faults.answering(500), "URL answers with HTTP status 500"),
    "a page instead of the hub": ("/resolve/", hub_faults.answering(200, hub_faults.HTML), "does not seem to be"),
    "a page instead of files": ("/resolve/", hub_faults.html_for_files, "URL sent a page (HTML) as config.json"),
    "half weights": ("model.safetensors", hub_faults.half, "URL cut off 2 transfers in a row"),
    "short weights": ("model.safetensors", hub_faults.short, "should be of size"),
    "redirects": ("/resolve/", hub_faults.redirecting, "redirects"),
    "the token in an error": ("/resolve/", hub_faults.echoing_token, "HTTP status 403"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_hub_is_one_line(hub: Hub, tiny_model: Path, tmp_path: Path, name: str) -> None:
    part, fault, said = FAULTS[name]
    hub.models["org/tiny"], hub.faults[part] = tiny_model, fault
    done = run(hub, tmp_path, "mask-fill", "--model", "org/tiny", "the [MASK] .", said=said, HF_TOKEN=TOKEN)
    error = error_of(done, tmp_path)
    assert said.replace("URL", hub.url) in error
    assert TOKEN not in error


@pytest.mark.parametrize("part", ["HEAD /org/tiny/resolve/main/config.json", "HEAD /org/tiny/resolve/5"])
def test_what_is_in_the_cache_is_used_where_the_hub_lets_us_wait(
    hub: Hub, tiny_model: Path, tmp_path: Path, part: str
) -> None:
    hub.models["org/tiny"] = tiny_model
    first = run(hub, tmp_path, "mask-fill", "--model", "org/tiny", "the [MASK] .")
    hub.faults[part] = hub_faults.answering(429, **{"Retry-After": "3600"})
    second = run(hub, tmp_path, "mask-fill", "--model", "org/tiny", "the [MASK] .")
    assert (first.returncode, second.returncode, second.stderr) == (0, 0, "")
    assert second.stdout == first.stdout != ""


@pytest.mark.parametrize("file", ["tokenizer.json", "model.safetensors"])
def test_a_file_that_cannot_be_had_is_not_taken_for_one_that_is_not_there(
    hub: Hub, tiny_model: Path, tmp_path: Path, file: str
) -> None:
    hub.models["org/tiny"] = tiny_model
    hub.faults[f"resolve/{COMMIT}/{file}"] = hub_faults.answering(503)
    done = run(hub, tmp_path, "mask-fill", "--model", "org/tiny", "the [MASK] .")
    assert f"{hub.url} answers with HTTP status 503 and it is not in the cache" in error_of(done, tmp_path)


def test_a_slow_hub_may_take_its_time(hub: Hub, tiny_model: Path, tmp_path: Path) -> None:
    """Four times the patience, with bytes arriving all the while: enough for progress in a quarter of the patience."""
    big = tmp_path / "big"
    shutil.copytree(tiny_model, big)
    with (big / "model.safetensors").open("ab") as file:
        file.write(b"\0" * 16 * 70_000)
    hub.models["org/tiny"], hub.faults["model.safetensors"] = big, hub_faults.slow_body(70_000, every_s=0.5)
    script = "from bertkit.io import hub; print(hub.model_folder('org/tiny'))"
    code = COMMAND.replace("from bertkit.__main__ import main\nmain()", script)
    done = subprocess.run(
        [sys.executable, "-c", code], env=hub.env(tmp_path), capture_output=True, text=True, check=True
    )
    fetched = Path(done.stdout.strip()) / "model.safetensors"
    assert fetched.read_bytes() == (big / "model.safetensors").read_bytes()


DATASET_FAULTS: dict[str, tuple[str, hub_faults.Fault, str]] = {
    "silent": ("/api/datasets/", hub_faults.silent, "URL let us wait for 2 s"),
    "rows that drip": ("GET /datasets/org/rows/resolve", hub_faults.dripping_body, "URL let us wait for 2 s"),
    "rows that never come": ("GET /datasets/org/rows/resolve", hub_faults.silent, "URL let us wait for 2 s"),
    "too many requests, wait an hour": (
        "/resolve/",
        hub_faults.answering(429, **{"Retry-After": "3600"}),
        "URL answers with HTTP status 429 and asks to wait for 3,600 s",
    ),
    "a page instead of the hub": ("/api/datasets/", hub_faults.answering(200, hub_faults.HTML), "dataset 'org/rows'"),
}


@pytest.mark.parametrize("name", DATASET_FAULTS)
def test_a_dataset_of_a_bad_hub_is_one_line(hub: Hub, tmp_path: Path, name: str) -> None:
    part, fault, said = DATASET_FAULTS[name]
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "train.csv").write_text("text,label\n" + "a,b\nc,d\n" * 20, encoding="utf-8")
    hub.datasets["org/rows"], hub.faults[part] = rows, fault
    out = str(tmp_path / "out")
    command = ["prepare", "org/rows", "--out", out] if "rows" in name else ["inspect", "--train", "org/rows"]
    done = run(hub, tmp_path, *command, said=said)
    assert said.replace("URL", hub.url) in error_of(done, tmp_path)
    assert not (tmp_path / "out").exists()


PUSH_FAULTS: dict[str, tuple[str, hub_faults.Fault, str]] = {
    "silent": ("/api/repos/create", hub_faults.silent, "URL let us wait for 2 s"),
    "silent at the end": ("/commit/", hub_faults.silent, "URL let us wait for 2 s"),
    "silent for the weights": ("PUT /lfs/", hub_faults.silent, "URL let us wait for 2 s"),
    "too many requests, wait an hour": (
        "PUT /lfs/",
        hub_faults.answering(429, **{"Retry-After": "3600"}),
        "URL answers with HTTP status 429 and asks to wait for 3,600 s",
    ),
    "the token in an error": ("/preupload/", hub_faults.echoing_token, "not with Bearer <token>"),
}


@pytest.mark.parametrize("name", PUSH_FAULTS)
def test_a_push_to_a_bad_hub_is_one_line(hub: Hub, tiny_model: Path, tmp_path: Path, name: str) -> None:
    part, fault, said = PUSH_FAULTS[name]
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    (folder / "README.md").write_text("# A model\n", encoding="utf-8")
    hub.accept_pushes(tmp_path / "pushed", "org", TOKEN)
    hub.faults[part] = fault
    done = run(hub, tmp_path, "push", str(folder), "org/mine", said=said, HF_TOKEN=TOKEN)
    assert (done.returncode, done.stdout) == (1, "")
    *notes, error = done.stderr.splitlines()
    assert all(note.startswith("pushing 6 files") for note in notes)
    assert error.startswith("error: cannot push to org/mine: ")
    assert said.replace("URL", hub.url) in error
    assert TOKEN not in done.stderr
    assert not (tmp_path / "pushed" / "org" / "mine" / "config.json").exists()


@pytest.mark.parametrize("fault", [hub_faults.silent, hub_faults.dripping_body], ids=["silent", "dripping"])
def test_a_url_of_a_bad_hub_is_one_line(hub: Hub, tmp_path: Path, fault: hub_faults.Fault) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "a.txt").write_text("the cat sat .\n" * 100, encoding="utf-8")
    hub.datasets["org/rows"], hub.faults["GET /datasets/org/rows/resolve"] = rows, fault
    said = f"cannot read hf://datasets/org/rows/a.txt: {hub.url} let us wait for 2 s"
    done = run(hub, tmp_path, "prepare", "hf://datasets/org/rows/a.txt", "--out", str(tmp_path / "out"), said=said)
    assert said in error_of(done, tmp_path)


SILENT_NAMES = """
import socket, threading
known = socket.getaddrinfo
socket.getaddrinfo = lambda host, *how, **more: (
    known(host, *how, **more) if host == "127.0.0.1" else threading.Event().wait()
)
"""


def test_a_name_server_that_never_answers_is_one_line(hub: Hub, tiny_model: Path, tmp_path: Path) -> None:
    """That of the hub itself, and that of the address which the hub sends on to, as for large files."""
    hub.models["org/tiny"] = tiny_model
    command = [sys.executable, "-c", SILENT_NAMES + COMMAND, "mask-fill", "--model", "org/tiny", "the [MASK] ."]
    how: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 120, "check": False}
    done = subprocess.run(command, env=hub.env(tmp_path) | {"HF_ENDPOINT": "http://hub.example"}, **how)
    assert "no hub reachable at http://hub.example (no answer within 3 s)" in error_of(done, tmp_path)
    hub.faults["GET /org/tiny/resolve/5"] = hub_faults.answering(302, Location="http://files.example/weights")
    done = subprocess.run(command, env=hub.env(tmp_path), **how)
    assert "http://files.example let us wait for 2 s" in error_of(done, tmp_path)
