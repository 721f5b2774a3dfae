"""Docs that cannot drift: every shown command exists with its options, and generated pages are those of the code."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bertkit.cli import app

ROOT = Path(__file__).parent.parent
DOCS = [f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md") if path.name != "commands.md"]
COMMAND = re.compile(r"(?:^|\s)(?:-m )?bertkit (?P<rest>[a-z].*)")


def shown_commands():
    for name in ("README.md", "CONTRIBUTING.md", *DOCS):
        for block in re.findall(r"^```[a-z]*\n(.*?)^```", (ROOT / name).read_text(encoding="utf-8"), re.M | re.S):
            for line in block.replace("\\\n", " ").split("\n"):
                match = COMMAND.search(line.split("  #")[0].split("|")[-1])
                if match and "import" not in line:
                    yield match["rest"].strip()


COMMANDS = sorted(set(shown_commands()))


def test_commands_are_found():
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("shown", COMMANDS)
def test_a_shown_command_exists_with_its_options(shown):
    words = shlex.split(shown)
    result = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, shown
    for option in (word.split("=")[0] for word in words[1:] if word.startswith("--")):
        assert re.search(rf"{re.escape(option)}\b", result.output), (shown, option)


def test_the_folder_map_names_every_package():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    packages = [path.parent.name for path in (ROOT / "bertkit").glob("*/__init__.py")]
    assert all(f"\n  {name}/" in text for name in packages)


def test_the_readme_has_its_pictures_and_none_is_large():
    pictures = re.findall(r"!\[.+?\]\((.+?)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert pictures == ["docs/pictures/mask-fill.svg", "docs/pictures/report.png"]
    assert all(0 < (ROOT / picture).stat().st_size < 200_000 for picture in pictures)


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", ["settings", "commands"])
def test_generated_pages_are_those_of_the_code(page):
    specification = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    generate = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(generate)
    written = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert written == getattr(generate, f"{page}_page")(), "run: python docs/generate.py"
