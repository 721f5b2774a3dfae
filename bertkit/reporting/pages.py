"""Pages that need nothing but themselves: their template, and where they are written."""

from pathlib import Path
from typing import Any

from bertkit import __version__
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors, write_text
from bertkit.reporting.palette import COLOURS

_MARK = '<meta name="generator" content="bertkit'
_TEMPLATES = Path(__file__).parent / "templates"


def check_target(path: Path) -> None:
    """Refuses to write a page over a file that is none of ours.

    Raises:
        BertkitError: there is such a file.
    """
    if not path.exists():
        return
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            ours = _MARK in file.read(1_000)
    except OSError as error:
        raise BertkitError(f"cannot write {path}: {error.strerror}") from None
    if not ours:
        raise BertkitError(f"{path} is there and no page of bertkit: name another file with --out")


def write_page(path: Path, template: str, **content: Any) -> None:
    """Fills a template of this folder and writes the page. What goes in is escaped unless it is ``Markup``.

    Raises:
        BertkitError: the disk is full or cannot be written; a file is in the way that is no page of ours.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    check_target(path)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A lone surrogate (a byte of a file name that is no UTF-8) cannot be written as a character.
    page = environment.get_template(template).render(version=__version__, colours=COLOURS, **content)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page.encode("utf-8", "replace").decode())
