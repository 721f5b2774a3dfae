import itertools
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from helpers.made import finetuning_run, pretraining_run
from numpy.typing import ArrayLike

from bertkit.reporting import plots
from bertkit.reporting.palette import COLOURS, run_colour, run_dashes
from bertkit.reporting.panels import Curve, Panel, panels_of
from bertkit.reporting.runs import read_runs


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of ``#rrggbb``."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_as_the_guidelines_have_it() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["page", "card"])
def test_text_and_curves_stand_out(ground: str, theme: int) -> None:
    for name, colours in COLOURS.items():
        if name not in ("page", "card", "line"):
            assert contrast(colours[theme], COLOURS[ground][theme]) >= 4.5, name


# Machado, Oliveira and Fernandes 2009, table 1, severity 1: what colour-blind people see, in linear RGB.
SEEN = {
    "by most": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def cielab(colour: str, seen: ArrayLike) -> np.ndarray:
    """CIE 1976 L*a*b* of ``#rrggbb`` in sRGB, white D65."""
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.asarray(seen) @ np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(to_xyz @ linear.clip(1e-6, 1) / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("seen", SEEN)
def test_any_two_runs_differ_in_their_dashes_or_by_far_in_colour(seen: str, theme: int) -> None:
    for one, other in itertools.combinations(range(24), 2):
        colours = [cielab(COLOURS[run_colour(run)][theme], SEEN[seen]) for run in (one, other)]
        far = float(np.linalg.norm(colours[0] - colours[1]))
        assert run_dashes(one) != run_dashes(other) or far > 12, (one, other)


def test_more_runs_than_colours_are_told_apart(tmp_path: Path) -> None:
    runs = read_runs([pretraining_run(tmp_path / f"run-{number:02}") for number in range(13)])
    panel = panels_of(runs)[0]
    svg = plots.as_svg(plots.curve_figure(panel), "loss")
    curves = [style for style in re.findall(r'style="(fill: none[^"]*)"', svg) if "stroke-width: 2" in style]
    assert len({style for style in curves if "var(--run-" in style}) == 13
    (axes,) = plots.curve_figure(panel).axes
    assert len({(text.get_color(), text.get_fontweight()) for text in axes.texts}) == len(axes.texts) > 1
    for count in (2, 13):
        plots.write_png(plots.curve_figure(panels_of(runs[:count])[0], [run.name for run in runs]), tmp_path / "a.png")
        height, width, _ = matplotlib.image.imread(tmp_path / "a.png").shape
        assert width == 990
        assert (height > 700) == (count == 13)  # a long legend is below the curves, and whole


def test_the_legend_of_a_plot_names_each_kind_of_line(tmp_path: Path) -> None:
    panels = {panel.name: panel for panel in panels_of(read_runs([pretraining_run(tmp_path / "a")]))}
    long = Panel("loss", [Curve(0, False, [*range(60)], [1.0] * 60), Curve(0, True, [59], [1.0])])
    named = []
    for panel in (panels["mlm_loss"], panels["lr"], long):
        (axes,) = plots.curve_figure(panel, ["a"]).axes
        named.append([text.get_text() for text in axes.get_legend().get_texts()])
    assert named == [
        ["a", "training", "held-out", "knowing only what is frequent"],
        ["a"],
        ["a", "training, smoothed", "held-out"],
    ]


def test_an_svg_says_the_last_figures_and_follows_the_theme(tmp_path: Path) -> None:
    panels = panels_of(read_runs([pretraining_run(tmp_path / "a")]))
    svg = plots.as_svg(plots.curve_figure(panels[1]), 'a "loss" & more')
    root = ElementTree.fromstring(svg)
    assert root.get("aria-label") == 'a "loss" & more'
    texts = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("5") >= 2  # the loss at the end, in training and held out
    assert {"var(--run-0)", "var(--quiet)", "var(--line)"} <= set(re.findall(r"var\(--[\w-]+\)", svg))
    assert not re.findall(r"#[0-9a-f]{6}", svg)


@pytest.mark.parametrize("name", ["$\\frac{$", "中文 run", "<svg onload=x>", "\udcff"])
def test_a_run_may_have_any_name(name: str, tmp_path: Path) -> None:
    runs = read_runs([pretraining_run(tmp_path / "a")])
    plots.write_png(plots.curve_figure(panels_of(runs)[0], [name]), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    ElementTree.fromstring(plots.as_svg(plots.confusion_figure([name, "b"], [[1, 2], [3, 4]]), "x"))


def test_the_label_of_a_curve_is_at_its_height(tmp_path: Path) -> None:
    (run,) = read_runs([pretraining_run(tmp_path / "a")])
    panel = next(panel for panel in panels_of([run]) if panel.name == "perplexity")
    (axes,) = plots.curve_figure(panel).axes
    (label,) = [text for text in axes.texts if text.get_text() == "42.5"]
    low, high = axes.get_ylim()
    assert label.get_position()[1] == pytest.approx((42.5 - low) / (high - low))


@pytest.mark.parametrize("values", [[1.0, 0.0001234], [-0.1, -0.00001234], [-1.000004, -1.000001], [0.2, 0.5]])
def test_figures_beside_a_plot_are_whole(values: list[float]) -> None:
    panel = Panel("loss", [Curve(0, True, [1, 2], values)])
    with plots._style():
        figure = plots.curve_figure(panel)
        (axes,) = figure.axes
        drawn = figure.get_tightbbox()
    assert -1e-6 <= drawn.x0 < drawn.x1 <= figure.get_size_inches()[0] + 1e-6
    if values == [0.2, 0.5]:
        assert axes.get_position().bounds == pytest.approx((0.14, 0.16, 0.72, 0.8))


@pytest.mark.parametrize("seed", range(20))
def test_labels_never_lie_on_each_other(seed: int) -> None:
    heights = sorted(np.random.default_rng(seed).uniform(0, 1, size=8).tolist())
    moved = plots.apart(heights, 0.085)
    assert all(low + 0.085 <= high + 1e-9 for low, high in zip(moved, moved[1:], strict=False))
    assert max(moved) <= 1
    assert plots.apart([0.1, 0.5, 0.9], 0.085) == [0.1, 0.5, 0.9]


def test_smoothing_is_a_mean_of_neighbours() -> None:
    values = np.random.default_rng(0).normal(size=100)
    expected = [values[max(0, place - 2) : place + 3].mean() for place in range(100)]  # 100 // 40 to both sides
    np.testing.assert_allclose(plots._smoothed(values.tolist()), expected)


def test_a_confusion_matrix_shows_its_counts(tmp_path: Path) -> None:
    (run,) = read_runs([finetuning_run(tmp_path / "ft")])
    assert run.confusion is not None
    (axes,) = plots.confusion_figure(run.confusion["labels"], run.confusion["matrix"]).axes
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "3",
        (1, 0): "2",  # column, row: two negatives were called positive
        (0, 1): "1",
        (1, 1): "4",
    }


def test_each_cell_of_a_confusion_matrix_is_a_square_as_dark_as_its_share(tmp_path: Path) -> None:
    plots.write_png(plots.confusion_figure(["a", "b"], [[1, 1], [0, 4]]), tmp_path / "a.png")
    (axes,) = plots.confusion_figure(["a", "b"], [[1, 1], [0, 4]]).axes
    squares = {}
    for patch in axes.patches:
        corners = patch.get_path().vertices.reshape(-1, 5, 2)
        np.testing.assert_allclose(np.ptp(corners, axis=1), 0.96)
        squares |= {tuple(centre.round(6)): patch.get_alpha() for centre in corners[:, :4].mean(axis=1)}
    # By hand: 0.05 + 0.45 × the share of the true class; (column, row).
    assert {place: round(alpha, 2) for place, alpha in squares.items()} == {
        (0, 0): 0.28,
        (1, 0): 0.28,
        (0, 1): 0.05,
        (1, 1): 0.50,
    }


def test_of_very_many_classes_the_most_confused_are_shown() -> None:
    matrix = np.diag(np.full(200, 9))
    wrong = np.arange(30) * 5 + 7  # each taken for the next one of them
    matrix[wrong, np.roll(wrong, 1)] = 3
    labels = [f"class {number}" for number in range(200)]
    (axes,) = plots.confusion_figure(labels, matrix.tolist()).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == [labels[number] for number in wrong]
    assert axes.get_ylabel() == "true, the 30 most confused of 200 classes"
    (axes,) = plots.confusion_figure(labels[:150], matrix[:150, :150].tolist()).axes
    assert len(axes.get_yticklabels()) == 150


def test_names_of_classes_in_chinese_are_whole(tmp_path: Path) -> None:
    figure = plots.confusion_figure(["非常正面的评价和推荐给大家看", "负面"], [[1, 1], [0, 4]])
    with plots._style():
        drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height
