"""What ``--help`` says, of every command, at 80 columns."""

import shlex
from collections.abc import Iterator

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bertkit.cli import app
from bertkit.settings.recipes import recipe_names

TREE = get_command(app)


def paths(command=TREE, path=()) -> Iterator[tuple[str, ...]]:
    for name, inner in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from paths(inner, (*path, name))


def command_of(path):
    command = TREE
    for name in path:
        command = command.commands[name]
    return command


EVERY = sorted(paths())


def test_there_are_commands():
    assert ("recipes", "show") in EVERY
    assert len(EVERY) > 14


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_fits_80_columns_and_ends_with_examples(path, monkeypatch):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    said = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80", "TERM": "dumb"}).output
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said.replace("1/8 … 8/8", "")  # what typer cuts ends so
    _, _, examples = said.rpartition("\n Example")
    lines = [line.strip() for line in examples.splitlines()[1:] if line.strip()]
    assert 1 <= len(lines) <= 2
    assert all(line.startswith(f"bertkit {path[0]}") for line in lines)


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_examples_are_what_the_commands_take(path):
    for example in command_of(path).epilog.split("\n\n")[1:]:
        words = shlex.split(example.partition(" > ")[0])[1:]
        named = next(words[:end] for end in (2, 1) if tuple(words[:end]) in EVERY)
        given = command_of(named).make_context(named[-1], words[len(named) :]).params
        assert given.get("recipe") in (None, *recipe_names("pretrain"))
        assert given.get("task") in (None, *recipe_names("finetune"))


@pytest.mark.parametrize(
    ("path", "option", "default"),
    [
        (("pretrain",), "recipe", "tiny; on a GPU base"),
        (("finetune",), "model", "google-bert/bert-base-uncased"),
        (("mask-fill",), "model", "embedded"),
        (("export",), "out", "MODEL-FORMAT"),
    ],
)
def test_defaults_that_matter_are_shown(path, option, default):
    said = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    line = next(line for line in said.splitlines() if f" --{option} " in line)
    assert f"[default: {default}" in line.replace("default: (", "default: ")
