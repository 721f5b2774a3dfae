"""The colours of pages and plots, in a light and a dark theme."""

import re

COLOURS = {
    "page": ("#ffffff", "#15181c"),
    "card": ("#f6f7f9", "#1d2126"),
    "line": ("#d5d9df", "#3a4149"),
    "ink": ("#1c2127", "#e4e7eb"),
    "quiet": ("#59626d", "#a3acb7"),
    "accent": ("#0b62a8", "#6db3f2"),
    # The colours of runs, in their order. Colour-blind people can tell them apart too; each has a contrast of at least 3:1
    # against page and card (WCAG 2.2, 1.4.11), and the first ones are far apart.
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


def as_variables(svg: str) -> str:
    """Makes a drawing in the colours of the light theme follow the page's theme; its texts stay as they are.

    Example:
        >>> as_variables('<text style="fill: #0b62a8">#0b62a8</text>')
        '<text style="fill: var(--accent)">#0b62a8</text>'
    """
    variables = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}
    colour = re.compile("|".join(map(re.escape, variables)))
    return re.sub(r"<[^>]*>", lambda tag: colour.sub(lambda found: variables[found[0]], tag[0]), svg)
