"""``bertkit recipes``: lists and prints the recipes."""

from typing import TYPE_CHECKING, Annotated

import typer

from bertkit import console, streams
from bertkit.cli.options import Json, epilog
from bertkit.errors import BertkitError, did_you_mean
from bertkit.settings.recipes import KINDS, load, recipe_names, recipe_path

if TYPE_CHECKING:
    from bertkit.settings.schema import Settings

app = typer.Typer(rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
@streams.reader_may_leave()
def recipes(context: typer.Context, as_json: Json = False) -> None:
    """List the recipes, or show one."""
    if context.invoked_subcommand is not None:
        return
    names = {kind: recipe_names(kind) for kind in KINDS}
    if as_json:
        rows = [{"kind": kind, "name": name, "about": _about(kind, name)} for kind in KINDS for name in names[kind]]
        console.print_json(rows, indent=2)
        return
    width = max(len(name) for kind in KINDS for name in names[kind])
    for kind in KINDS:
        console.out.print(f"[bold]{kind}[/]")
        for name in names[kind]:
            console.hanging(f"  {name:<{width}}  ", console.plain(_about(kind, name)))
    console.note("Print one with: bertkit recipes show NAME")


@app.command(epilog=epilog("bertkit recipes show tiny > mine.toml", "bertkit recipes show own --all"))
@streams.reader_may_leave()
def show(
    name: Annotated[str, typer.Argument(help="A name of the list, or kind/name if both kinds have it.")],
    every: Annotated[
        bool,
        typer.Option("--all", help="Print every setting with its meaning, including those at their default."),
    ] = False,
) -> None:
    """Print a recipe, to save and change it."""
    known = {f"{kind}/{bare}": (kind, bare) for kind in KINDS for bare in recipe_names(kind)}
    matches = [full for full, (_, bare) in known.items() if name in (full, bare)]
    if not matches:
        hint = did_you_mean(name, [*known, *(bare for _, bare in known.values())])
        raise BertkitError(f"no recipe '{name}'.{hint} There are: {', '.join(known)}")
    if len(matches) > 1:
        raise BertkitError(f"'{name}' may be {' or '.join(matches)}: say which")
    kind, bare = known[matches[0]]
    if every:
        from bertkit.settings.reference import as_commented_toml
        from bertkit.settings.schema import FinetuneRecipe, PretrainRecipe

        schema: type[Settings] = PretrainRecipe if kind == "pretrain" else FinetuneRecipe
        typer.echo(as_commented_toml(load(schema, kind, bare, ()).settings), nl=False)
        return
    typer.echo(recipe_path(kind, bare).read_text(encoding="utf-8"), nl=False)


def _about(kind: str, name: str) -> str:
    """A recipe's first line, without ``# name:``."""
    first = recipe_path(kind, name).read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip().removeprefix(f"{name}:").strip()
