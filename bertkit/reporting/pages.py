"""Pages that need nothing but themselves: their template, and where they are written."""

from pathlib import Path
from typing import Any

from bertkit import __version__
from bertkit.io.outputs import check_output, new_output
from bertkit.reporting.palette import COLOURS

_MARK = b'<meta name="generator" content="bertkit'
_TEMPLATES = Path(__file__).parent / "templates"


def check_target(path: Path, overwrite: bool = False) -> None:
    """Refuses to write a page over a file that is none of ours (unless ``overwrite``), or where none can be written.

    Raises:
        BertkitError: there is such a file; see ``check_output``.
    """
    check_output(path, lambda sample: _MARK in sample, what="page", overwrite=overwrite, flag="--out")


def write_page(path: Path, template: str, **content: Any) -> None:
    """Fills a template of this folder and writes the page. What goes in is escaped unless it is ``Markup``.

    Raises:
        BertkitError: the disk is full or cannot be written.
    """
    # A lone surrogate (a byte of a file name that is no UTF-8) cannot be written as a character.
    page = render_page(template, **content).encode("utf-8", "replace")
    with new_output(path) as file:
        file.write(page)


def render_page(template: str, **content: Any) -> str:
    """A template of this folder, filled, as ``write_page`` writes it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page: str = environment.get_template(template).render(version=__version__, colours=COLOURS, **content)
    return page
