"""Writes settings.md and commands.md from the code: ``python docs/generate.py`` (a test holds them against it)."""

from pathlib import Path

import typer.cli
from typer.main import get_command

from bertkit.cli import app
from bertkit.settings.reference import Setting, settings_of, toml_value
from bertkit.settings.schema import FinetuneRecipe, GlueTsv, PretrainRecipe, TaskSettings

FOLDER = Path(__file__).parent
# The table of a GLUE task, which plain recipes lack.
_TSV = GlueTsv(folder="", text=(), label=0, test_text=())


def settings_page() -> str:
    """Every setting of both kinds of recipe, as one table for each of their tables."""
    parts = [
        "# Settings",
        "Written by `python docs/generate.py` from `bertkit/settings/schema.py`. A recipe is a TOML file of these; `--set "
        "TABLE.NAME=VALUE` changes one of them for a run; `bertkit recipes show NAME --all` prints a recipe with all of them.",
    ]
    for title, recipe in (
        ("Pretraining", PretrainRecipe()),
        ("Fine-tuning", FinetuneRecipe(task=TaskSettings(tsv=_TSV))),
    ):
        parts.append(f"## {title}")
        by_table: dict[str, list[Setting]] = {}
        for setting in settings_of(recipe):
            by_table.setdefault(setting.table, []).append(setting)
        for table, settings in by_table.items():
            rows = [f"| `{one.name}` | {_default(one)} | {_meaning(one)} |" for one in settings]
            parts += [f"### [{table}]", "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows])]
    return "\n\n".join(parts) + "\n"


def _default(setting: Setting) -> str:
    return "" if setting.value is None or setting.table == "task.tsv" else f"`{toml_value(setting.value)}`"


def _meaning(setting: Setting) -> str:
    words = f" One of: {', '.join(f'`{word}`' for word in setting.allowed)}." if setting.allowed else ""
    return (setting.about.replace("``", "`") + words).replace("|", "\\|")


def commands_page() -> str:
    """Every command with its options, by Typer's own writer of such pages."""
    command = get_command(app)
    context = command.make_context("bertkit", [], resilient_parsing=True)
    page = typer.cli.get_docs_for_click(obj=command, ctx=context, name="bertkit", title="Commands")
    return "\n".join(line.rstrip() for line in page.strip().split("\n")) + "\n"


if __name__ == "__main__":
    (FOLDER / "settings.md").write_text(settings_page(), encoding="utf-8")
    (FOLDER / "commands.md").write_text(commands_page(), encoding="utf-8")
