"""The colours of pages and plots, in a light and a dark theme."""

import re

COLOURS = {
    "page": ("#ffffff", "#15181c"),
    "card": ("#f6f7f9", "#1d2126"),
    "line": ("#d5d9df", "#3a4149"),
    "ink": ("#1c2127", "#e4e7eb"),
    "quiet": ("#59626d", "#a3acb7"),
    "accent": ("#0b62a8", "#6db3f2"),
    # The colours of runs, in their order. Each has a contrast of at least 4.5:1 against page and card (WCAG 2.2, 1.4.3), as
    # labels have it too. Colour-blind people cannot tell some of the first three from some of the last: see `run_dashes`.
    "run-0": ("#0a66b1", "#5aa9f0"),
    "run-1": ("#c2410b", "#f58b54"),
    "run-2": ("#0a7a5b", "#3cc29a"),
    "run-3": ("#93489f", "#d08fdb"),
    "run-4": ("#7d6608", "#d3b43c"),
    "run-5": ("#4b5563", "#a9b4c2"),
}
"""Colours by name: in the light theme, in the dark theme."""
RUNS = [name for name in COLOURS if name.startswith("run-")]


def run_colour(number: int) -> str:
    """The name of the colour of a run, by its number; after the last colour the first one follows again."""
    return RUNS[number % len(RUNS)]


def run_dashes(number: int) -> list[float]:
    """The dashes and gaps of the lines of a run, by its number; empty for whole lines.

    They change after every third run: so two runs never look the same, and colour-blind people can tell all of them apart.

    Example:
        >>> [run_dashes(number) for number in (0, 3, 6)]
        [[], [6, 2], [6, 2, 1.5, 2]]
    """
    turn = number // 3
    return [6, 2] + [1.5, 2] * (turn - 1) if turn else []


def as_variables(svg: str) -> str:
    """Makes a drawing in the colours of the light theme follow the page's theme; its texts stay as they are.

    Example:
        >>> as_variables('<text style="fill: #0b62a8">#0b62a8</text>')
        '<text style="fill: var(--accent)">#0b62a8</text>'
    """
    variables = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}
    colour = re.compile("|".join(map(re.escape, variables)))
    return re.sub(r"<[^>]*>", lambda tag: colour.sub(lambda found: variables[found[0]], tag[0]), svg)
