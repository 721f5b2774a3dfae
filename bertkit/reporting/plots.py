"""Curves and confusion matrices drawn by matplotlib, as SVG that follows the page's theme and as PNG."""

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.io.outputs import check_output, new_output
from bertkit.reporting.palette import COLOURS, as_variables, run_colour, run_dashes
from bertkit.reporting.panels import OF_TRAINING, Curve, Panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (4.5, 2.75)  # inches: text of 9 points is still legible on a phone, where a plot is 330 pixels wide
_PIXELS_PER_INCH, _MOST_PIXELS = 220, 4_000
_SMOOTHED_FROM = 60
"""Curves with fewer points are not smoothed."""
_MOST_LABELS, _MOST_IN_AXES = 8, 6
"""The most labels of curves' ends, and the most lines of a legend within the axes."""
_LABEL_HEIGHT = 0.085  # of the axes' height
_MOST_CELL_FIGURES = 12
_MOST_CLASSES, _MOST_CONFUSED = 150, 30
"""The most classes of a whole confusion matrix, which then takes 40 inches; of more classes only so many are shown."""
_MADE_BY = "bertkit, by matplotlib"
_LETTER = 0.078  # inches: the width of a letter at 9 points; a Chinese one takes two
_LEVEL: dict[str, Any] = {"color": COLOURS["quiet"][0], "linewidth": 0.9, "linestyle": (0, (1, 2.5))}
_STYLE = {
    "svg.fonttype": "none",  # text stays text, which can be searched, copied and read aloud
    "svg.hashsalt": "bertkit",  # so that the same runs give the same file
    "text.parse_math": False,  # a run may be called $HOME$
    "font.family": ["DejaVu Sans", "Noto Sans CJK SC", "sans-serif"],
    "font.size": 9,
    "axes.linewidth": 0.8,
    "lines.solid_capstyle": "round",
}


def curve_figure(panel: Panel, names: Sequence[str] | None = None) -> "Figure":
    """Draws a panel in the light theme. With the ``names`` of the runs the drawing has a legend and a title."""
    with _style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=_SIZE)
        top = 0.86 if names else 0.96
        axes = figure.add_axes((0.14, 0.16, 0.72, top - 0.16))
        _dress(axes, panel)
        for curve in panel.curves:
            _draw(axes, curve)
        if panel.level is not None:
            axes.axhline(panel.level, **_LEVEL, zorder=1)
        _label_ends(axes, panel)
        _make_room(axes, figure.bbox.width)
        if names:
            axes.set_title(_drawable(panel.title), loc="left", fontsize=10, color=_light("ink"))
            _legend(axes, panel, names)
        return figure


def _dress(axes: "Axes", panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_light("line"))
    axes.tick_params(colors=_light("quiet"), length=3, width=0.8)
    axes.grid(axis="y", color=_light("line"), linewidth=0.6)
    axes.set_axisbelow(True)
    along = "million tokens read" if panel.is_over_tokens else "step"
    axes.set_xlabel(along, color=_light("quiet"), labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=not panel.is_over_tokens))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 100 else f"{value:g}"))
    values = [value for curve in panel.curves for value in curve.values]
    if panel.name == "perplexity" and min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if panel.is_share:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    elif panel.name != "lr":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    if panel.name in OF_TRAINING:
        axes.set_ylim(0, 1.08 * max(values) or 1)


def _tick(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:g}"


def _draw(axes: "Axes", curve: Curve) -> None:
    line = _line(curve.run)
    if curve.held_out:
        few = len(curve.places) <= 30
        axes.plot(curve.places, curve.values, **line, linewidth=2, marker="o" if few else "", markersize=4)
        for place, (low, high) in zip(curve.places, curve.intervals, strict=False):
            axes.vlines(place, low, high, color=line["color"], linewidth=1)
        return
    if not is_smoothed(curve):
        alone = "o" if len(curve.places) == 1 else ""
        axes.plot(curve.places, curve.values, **line, linewidth=0.9, alpha=0.8, marker=alone, markersize=3)
        return
    axes.plot(curve.places, curve.values, color=line["color"], linewidth=0.5, alpha=0.3)
    axes.plot(curve.places, _smoothed(curve.values), **line, linewidth=0.9)


def _line(run: int) -> dict[str, Any]:
    """The colour and the dashes of a run."""
    return {"color": _light(run_colour(run)), "linestyle": (0, run_dashes(run) or None)}


def is_smoothed(curve: Curve) -> bool:
    """Whether a curve is drawn as a moving mean, over a pale line of the values themselves."""
    return not curve.held_out and len(curve.places) >= _SMOOTHED_FROM


def _smoothed(values: Sequence[float]) -> Any:
    """The mean of each value and its neighbours, up to a fortieth of the curve on both sides."""
    import numpy as np

    reach = max(1, len(values) // 40)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    begins, ends = np.maximum(0, places - reach), np.minimum(len(values), places + reach + 1)
    return (sums[ends] - sums[begins]) / (ends - begins)


def _label_ends(axes: "Axes", panel: Panel) -> None:
    """Writes the last figure of each curve at the right edge; labels that would overlap are moved apart."""
    by_look: dict[tuple[str, bool], Curve] = {}  # a label shows its run by the colour alone: each has one
    for curve in panel.curves:
        by_look.setdefault((run_colour(curve.run), curve.held_out), curve)
    curves = list(by_look.values())
    if len(curves) > _MOST_LABELS:
        curves = [curve for curve in curves if curve.held_out] or curves
    curves = sorted(curves[:_MOST_LABELS], key=lambda curve: curve.values[-1])
    axes.set_xlim(left=0)
    axes.get_ylim()  # settles the limits of the axes, which positions depend on
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = [float(to_axes.transform((curve.places[-1], curve.values[-1]))[1]) for curve in curves]
    for curve, height in zip(curves, apart(heights, _LABEL_HEIGHT), strict=True):
        axes.text(
            1.015,
            height,
            panel.shown(curve.values[-1]),
            transform=axes.transAxes,
            color=_light(run_colour(curve.run)),
            fontweight="bold" if curve.held_out else "normal",
            verticalalignment="center",
        )


def _make_room(axes: "Axes", width: float) -> None:
    """Narrows the axes where a figure beside them would be cut off at the edge of the drawing, ``width`` pixels wide."""
    drawn, place = axes.get_tightbbox(), axes.get_position()
    assert drawn is not None  # the axes are visible
    left, right = max(0.0, -drawn.x0 / width), max(0.0, drawn.x1 / width - 1)
    axes.set_position((place.x0 + left, place.y0, place.width - left - right, place.height))


def apart(heights: Sequence[float], least: float) -> list[float]:
    """Moves ascending positions between 0 and 1 as little as needed to be at least ``least`` apart.

    Example:
        >>> apart([0.5, 0.5], 0.25)
        [0.5, 0.75]
    """
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + least) if moved else height)
    ceiling = 1.0
    for place in reversed(range(len(moved))):
        moved[place] = min(moved[place], ceiling)
        ceiling = moved[place] - least
    return moved


def _legend(axes: "Axes", panel: Panel, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    runs = sorted({curve.run for curve in panel.curves})
    lines = [Line2D([], [], **_line(run), linewidth=1.5) for run in runs]
    labels = [_drawable(names[run]) for run in runs]
    if len({curve.held_out for curve in panel.curves}) > 1:
        quiet = _light("quiet")
        lines += [
            Line2D([], [], color=quiet, linewidth=0.9),
            Line2D([], [], color=quiet, linewidth=2, marker="o", markersize=4),
        ]
        labels += ["training, smoothed" if any(map(is_smoothed, panel.curves)) else "training", "held-out"]
    if panel.level is not None:
        lines.append(Line2D([], [], **_LEVEL))
        labels.append("knowing only what is frequent")
    # A long one is below the axes, as it would hide the curves.
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0, -0.2)} if len(lines) > _MOST_IN_AXES else {}
    axes.legend(lines, labels, frameon=False, fontsize=7.5, labelcolor=_light("ink"), handlelength=4, **where)


def confusion_figure(labels: Sequence[str], matrix: Sequence[Sequence[int]]) -> "Figure":
    """Draws a confusion matrix: rows are true classes, columns predicted ones, and shades the shares of the true class.

    If there are more than 150 classes, it shows the 30 that are most often confused with others, and says so.
    """
    import numpy as np
    from rich.cells import cell_len

    counts = np.array(matrix, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    left_out = ""
    if len(labels) > _MOST_CLASSES:
        wrong = counts * (1 - np.eye(len(labels)))
        chosen = np.sort(np.argsort(-wrong.sum(axis=0) - wrong.sum(axis=1), kind="stable")[:_MOST_CONFUSED])
        left_out = f", the {_MOST_CONFUSED} most confused of {len(labels):,} classes"
        counts, shares = counts[np.ix_(chosen, chosen)], shares[np.ix_(chosen, chosen)]
        labels = [labels[number] for number in chosen]
    short = [_drawable(label if len(label) <= 18 else f"{label[:17]}…") for label in labels]
    name_width = _LETTER * max(map(cell_len, short))
    cell = max(0.22, min(0.95, 4.5 / len(short)))  # inches
    turned = name_width > cell
    left, bottom, side = name_width + 0.45, (name_width if turned else 0.15) + 0.45, cell * len(short)
    with _style():
        from matplotlib.figure import Figure

        width, height = left + side + 0.05, bottom + side + 0.05
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((left / width, bottom / height, side / width, side / height))
        _draw_cells(axes, shares)
        for row, column in np.ndindex(counts.shape) if len(short) <= _MOST_CELL_FIGURES else ():
            axes.text(column, row, f"{counts[row, column]:,.0f}", color=_light("ink"), ha="center", va="center")
        _frame(axes, short, turned, left_out)
        return figure


def _draw_cells(axes: "Axes", shares: Any) -> None:
    """Draws a square for each cell of a matrix. Cells of the same shade, in hundredths, are one path."""
    import numpy as np
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    # At most half of the accent colour: so the count on it has a contrast of 4.5:1 in both themes.
    shades = np.round(0.05 + 0.45 * shares, 2)
    corners = 0.48 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)])
    codes = [Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY]
    for shade in np.unique(shades):
        places = np.argwhere(shades == shade)[:, None, ::-1]  # x is the column
        outline = Outline((places + corners).reshape(-1, 2), np.tile(codes, len(places)))
        # add_patch would compute the bounds of each of thousands of squares.
        axes.add_artist(PathPatch(outline, facecolor=_light("accent"), linewidth=0, alpha=float(shade)))


def _frame(axes: "Axes", labels: Sequence[str], turned: bool, left_out: str) -> None:
    places = range(len(labels))
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xticks(places, labels, rotation=90 if turned else 0)
    axes.set_yticks(places, labels)
    axes.tick_params(colors=_light("ink"), length=0)
    axes.set_xlabel("predicted", color=_light("quiet"))
    axes.set_ylabel(f"true{left_out}", color=_light("quiet"))
    for spine in axes.spines.values():
        spine.set_visible(False)


def as_svg(figure: "Figure", label: str) -> str:
    """A drawing as an ``<svg>`` element whose colours follow the page's theme; screen readers read the ``label``."""
    from markupsafe import escape

    with _style():
        written = io.StringIO()
        figure.savefig(
            written, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    svg = written.getvalue()
    drawing = svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
    return as_variables(drawing)


def check_png(path: Path, overwrite: bool) -> None:
    """Raises a BertkitError where ``write_png`` would replace another program's picture (see ``check_output``)."""
    check_output(path, lambda sample: _MADE_BY.encode() in sample, what="plot", overwrite=overwrite, flag="--out")


def write_png(figure: "Figure", path: Path) -> None:
    """Writes a drawing in the light theme, in a size fit for a slide.

    Raises:
        BertkitError: the disk is full or cannot be written. An older file stays as it was.
    """
    from matplotlib.transforms import Bbox

    with _style(), new_output(path) as file:
        dpi = min(_PIXELS_PER_INCH, _MOST_PIXELS / max(figure.get_size_inches()))
        figure.set_dpi(dpi)  # the width of text depends on it
        whole = Bbox.union([figure.bbox_inches, figure.get_tightbbox()])  # with what stands out, as a long legend
        figure.savefig(
            file, format="png", dpi=dpi, bbox_inches=whole, facecolor=_light("page"), metadata={"Software": _MADE_BY}
        )


def _drawable(text: str) -> str:
    """The text without lone surrogates (bytes of a file name that are not UTF-8), which matplotlib refuses."""
    return text.encode("utf-8", "replace").decode()


def _light(name: str) -> str:
    return COLOURS[name][0]


@contextmanager
def _style() -> Iterator[None]:
    """Sets matplotlib's style while the block runs; letters that its fonts lack become boxes, but only in a PNG."""
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    import matplotlib

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
