"""Fetching from the hub: child processes against a stand-in, for the libraries read the environment once."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.hub import COMMIT, Hub

FETCH = """
from bertkit.errors import BertkitError
from bertkit.io import hub
try:
    print(hub.model_folder("org/tiny"))
except BertkitError as error:
    print(error)
"""
LOAD_DATASET = """
from bertkit.errors import BertkitError
from bertkit.io import connection, hub
try:
    with hub.hub_errors("dataset 'org/corpus'", "give files"):
        connection.ensure_hub()
        import datasets
        datasets.load_dataset("org/corpus", streaming=True)
except BertkitError as error:
    print(error)
"""


def run(code: str, env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, encoding="utf-8", check=True
    )
    return done.stdout.strip()


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def dead_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    for name in ("config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin", "other.bin"):
        (folder / name).write_text(f"{{}} {name}", encoding="utf-8")
    return folder


def test_a_model_is_fetched_and_then_found_in_the_cache_without_a_hub(
    hub: Hub, repo: Path, dead_url: str, tmp_path: Path
) -> None:
    hub.models["org/tiny"] = repo
    env = hub.env(tmp_path / "home")
    fetched = Path(run(FETCH, env))
    assert fetched.name == COMMIT
    assert sorted(p.name for p in fetched.iterdir()) == ["config.json", "model.safetensors", "vocab.txt"]
    assert (fetched / "vocab.txt").read_bytes() == (repo / "vocab.txt").read_bytes()
    assert Path(run(FETCH, env | {"HF_ENDPOINT": dead_url})) == fetched
    assert Path(run(FETCH, env | {"HF_HUB_OFFLINE": "1"})) == fetched


def test_pickled_weights_are_fetched_only_without_safetensors(hub: Hub, repo: Path, tmp_path: Path) -> None:
    (repo / "model.safetensors").unlink()
    hub.models["org/tiny"] = repo
    assert (Path(run(FETCH, hub.env(tmp_path / "home"))) / "pytorch_model.bin").is_file()


def test_all_shards_are_fetched(hub: Hub, repo: Path, tmp_path: Path) -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (repo / "model.safetensors").unlink()
    for shard in shards:
        (repo / shard).write_text(shard, encoding="utf-8")
    index = {"weight_map": {"a": shards[0], "b": shards[1], "c": shards[0]}}
    (repo / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    hub.models["org/tiny"] = repo
    fetched = Path(run(FETCH, hub.env(tmp_path / "home")))
    assert [(fetched / shard).read_text(encoding="utf-8") for shard in shards] == shards


def test_nobody_there_is_one_line(hub: Hub, dead_url: str, tmp_path: Path) -> None:
    said = run(FETCH, hub.env(tmp_path) | {"HF_ENDPOINT": dead_url})
    assert said.startswith(f"cannot fetch model 'org/tiny': no hub reachable at {dead_url} (")
    assert said.endswith(
        ") and it is not in the cache; give the folder of a model instead, or embedded, the BERT that comes with bertkit"
    )
    assert "\n" not in said
    assert hub.requests == []


def test_the_users_own_offline_mode_is_named(hub: Hub, tmp_path: Path) -> None:
    said = run(FETCH, hub.env(tmp_path) | {"HF_HUB_OFFLINE": "1"})
    assert "HF_HUB_OFFLINE is set and it is not in the cache" in said
    assert hub.requests == []


def test_a_silent_server_is_one_line(hub: Hub, silent_url: str, tmp_path: Path) -> None:
    said = run(FETCH, hub.env(tmp_path) | {"HF_ENDPOINT": silent_url})
    assert said.startswith(f"cannot fetch model 'org/tiny': no hub reachable at {silent_url} (")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (None, "nothing of that name is here, and the hub at URL has no such repository"),
        (403, "it is gated: accept its terms"),
        (503, "the hub at URL answers with HTTP status 503 and it is not in the cache"),
        (418, "the hub at URL answered with HTTP status 418"),
    ],
)
def test_what_the_hub_answers_is_one_line(hub: Hub, status: int | None, reason: str, tmp_path: Path) -> None:
    hub.status = status
    said = run(FETCH, hub.env(tmp_path))
    assert said.startswith(f"cannot fetch model 'org/tiny': {reason.replace('URL', hub.url)}")
    assert "\n" not in said


def test_a_repository_without_a_model_says_so(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    hub.models["org/tiny"] = tmp_path / "empty"
    assert "neither a config.json nor a tokenizer" in run(FETCH, hub.env(tmp_path / "home"))


def test_the_proxy_on_the_way_is_what_must_answer(hub: Hub, repo: Path, dead_url: str, tmp_path: Path) -> None:
    hub.models["org/tiny"] = repo
    env = hub.env(tmp_path / "home") | {"http_proxy": dead_url}
    assert "no hub reachable" in run(FETCH, env)
    assert Path(run(FETCH, env | {"no_proxy": "127.0.0.1"})).name == COMMIT


def test_an_endpoint_that_is_no_address_is_named(hub: Hub, tmp_path: Path) -> None:
    said = run(FETCH, hub.env(tmp_path) | {"HF_ENDPOINT": "localhost:99"})
    assert "no hub reachable at localhost:99 (" in said


@pytest.mark.parametrize(
    "name", ["./nope", "a/b/c", "/nope", "-x", "runs/nope/", "../nope", r"runs\nope", "runs/model.safetensors"]
)
def test_what_cannot_be_a_hub_name_is_no_folder(hub: Hub, name: str, tmp_path: Path) -> None:
    said = run(FETCH.replace('"org/tiny"', repr(name)), hub.env(tmp_path))
    assert said.startswith(f"no folder '{name}': give the folder of a model")
    assert hub.requests == []


def test_a_name_beside_a_folder_that_is_here_is_told_to_be_missing_there(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    code = f"import os; os.chdir({str(tmp_path)!r})" + FETCH.replace("org/tiny", "runs/mine")
    said = run(code, hub.env(tmp_path) | {"HF_HUB_OFFLINE": "1"})
    assert "the folder runs that is here has no 'mine'" in said


def test_libraries_imported_before_learn_of_offline_mode(hub: Hub, dead_url: str, tmp_path: Path) -> None:
    code = """
import datasets, huggingface_hub
from bertkit.io.connection import ensure_hub
ensure_hub()
print(huggingface_hub.is_offline_mode(), datasets.config.HF_HUB_OFFLINE)
"""
    assert run(code, hub.env(tmp_path) | {"HF_ENDPOINT": dead_url}) == "True True"
    assert run(code, hub.env(tmp_path)) == "False False"


def test_a_dataset_that_is_not_there_is_one_line(hub: Hub, dead_url: str, tmp_path: Path) -> None:
    env = hub.env(tmp_path)
    assert "has no such repository" in run(LOAD_DATASET, env)
    said = run(LOAD_DATASET, env | {"HF_ENDPOINT": dead_url})
    assert said.startswith(f"cannot fetch dataset 'org/corpus': no hub reachable at {dead_url} (")
    assert said.endswith(") and it is not in the cache; give files")


LOAD_PART = """
import sys
from bertkit.corpus.paragraphs import read_paragraphs
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.finetuning.task_rows import load_split
from bertkit.io.text import ReadReport
from bertkit.settings.schema import TaskSettings
name, _, part = sys.argv[1].partition(":")
for read in (
    lambda: load_split(TaskSettings(dataset=name, subset=part or None, label=("label",)), None, "train").texts,
    lambda: list(read_paragraphs(find_sources([sys.argv[1]])[0], "text", ReadReport())),
):
    try:
        print(read())
    except BertkitError as error:
        print(error)
"""


def test_a_part_that_a_dataset_has_not_is_named_with_those_that_it_has(hub: Hub, tmp_path: Path) -> None:
    folder, parts = tmp_path / "data", ["xx.de", "xx.en", *(f"xx.{n}" for n in range(20))]
    folder.mkdir()
    (folder / "rows.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n')
    listed = "".join(f"- config_name: {part}\n  data_files: rows.jsonl\n" for part in parts)
    (folder / "README.md").write_text(f"---\nconfigs:\n{listed}---\n")
    hub.datasets["org/rows"] = folder

    def said(part: str) -> list[str]:
        command = [sys.executable, "-c", LOAD_PART, f"org/rows{part}"]
        return subprocess.run(
            command, env=hub.env(tmp_path), capture_output=True, text=True, check=True
        ).stdout.splitlines()

    there = ", ".join(parts[:20]) + " and 2 more"
    assert said(":xx.de") == ["[('a',), ('b',)]", "['a', None, 'b', None]"]
    assert said(":xx.dd") == [f"the dataset org/rows has no part 'xx.dd'. Did you mean 'xx.de'? There are {there}"] * 2
    assert said("") == [f"the dataset org/rows has parts: name one, as org/rows:xx.de; there are {there}"] * 2


def test_a_bug_keeps_its_traceback() -> None:
    from bertkit.io.hub import hub_errors

    with pytest.raises(ZeroDivisionError), hub_errors("x", "y"):
        print(1 / 0)
