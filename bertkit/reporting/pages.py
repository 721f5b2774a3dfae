"""Renders the templates of this folder into self-contained pages, and writes them."""

from pathlib import Path
from typing import Any

from bertkit import __version__
from bertkit.io.outputs import check_output, new_output
from bertkit.reporting.palette import COLOURS

_MARK = b'<meta name="generator" content="bertkit'
_TEMPLATES = Path(__file__).parent / "templates"


def check_target(path: Path, overwrite: bool = False) -> None:
    """Checks that a page can be written to a path.

    Raises:
        BertkitError: there is a file that is not a page of bertkit's (unless ``overwrite``), or see ``check_output``.
    """
    check_output(path, lambda sample: _MARK in sample, what="page", overwrite=overwrite, flag="--out")


def write_page(path: Path, template: str, **content: Any) -> None:
    """Renders a template of this folder and writes the page. Its values are escaped unless they are ``Markup``.

    Raises:
        BertkitError: the disk is full or cannot be written.
    """
    # Lone surrogates (bytes of a file name that are not UTF-8) cannot be encoded.
    page = render_page(template, **content).encode("utf-8", "replace")
    with new_output(path) as file:
        file.write(page)


def render_page(template: str, **content: Any) -> str:
    """Renders a template of this folder, as for ``write_page``."""
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
