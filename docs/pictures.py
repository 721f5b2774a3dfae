"""Draws the README's pictures into docs/pictures: what `mask-fill` prints, and the report of `make demo`'s runs.

`make demo && make pictures` draws them anew. It needs Chromium, as `make test-browser` installs it.
"""

import io
import shutil
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from bertkit import console
from bertkit.cli.mask_fill import mask_fill
from bertkit.cli.report import report

FOLDER = Path(__file__).parent / "pictures"
SENTENCES = ["i [MASK] a little boy", "she opened the [MASK] and looked outside ."]
RUNS = [Path("runs", name) for name in ("demo", "demo-classifier", "demo-control")]
WIDTH, HEIGHT = 1_100, 1_095
"""Of the report's page, in pixels: down to the first curves."""


def draw_terminal() -> None:
    """What the embedded model guesses in two sentences, as a terminal of 80 columns shows it."""
    how = {"width": 80, "force_terminal": True, "color_system": "truecolor", "highlight": False, "emoji": False}
    console.out = Console(record=True, file=io.StringIO(), **how)
    command = " \\\n    ".join(["bertkit mask-fill --top-k 4", *(f'"{sentence}"' for sentence in SENTENCES)])
    console.out.print(f"$ {command}", markup=False)
    mask_fill(SENTENCES, top_k=4)
    (FOLDER / "mask-fill.svg").write_text(console.out.export_svg(title="bertkit", theme=MONOKAI), encoding="utf-8")


def draw_report() -> None:
    """The upper part of the report's page, in its light theme."""
    chromium = shutil.which("chromium") or "chromium"
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        report(RUNS, page)
        how = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"]
        picture = FOLDER / "report.png"
        subprocess.run([chromium, *how, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    draw_terminal()
    draw_report()
