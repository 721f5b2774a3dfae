"""The colours of pages and plots, light and dark: one list, from which both are made."""

COLOURS = {
    "page": ("#ffffff", "#15181c"),
    "card": ("#f6f7f9", "#1d2126"),
    "line": ("#d5d9df", "#3a4149"),
    "ink": ("#1c2127", "#e4e7eb"),
    "quiet": ("#59626d", "#a3acb7"),
    "accent": ("#0b62a8", "#6db3f2"),
    # Of runs. Told apart by the colour-blind as well, each at least 3:1 against page and card (WCAG 2.2, 1.4.11) and
    # the first ones far apart; the order is that of the runs.
    "run-0": ("#0a66b1", "#5aa9f0"),
    "run-1": ("#c2410b", "#f58b54"),
    "run-2": ("#0a7a5b", "#3cc29a"),
    "run-3": ("#93489f", "#d08fdb"),
    "run-4": ("#7d6608", "#d3b43c"),
    "run-5": ("#4b5563", "#a9b4c2"),
}
"""By name: the light theme's and the dark theme's."""
RUNS = [name for name in COLOURS if name.startswith("run-")]


def run_colour(number: int) -> str:
    """The name of a run's colour; after the last one they begin anew."""
    return RUNS[number % len(RUNS)]


def as_variables(svg: str) -> str:
    """A drawing in the light theme's colours, made to follow the page's theme.

    Example:
        >>> as_variables("stroke: #0b62a8")
        'stroke: var(--accent)'
    """
    for name, (light, _) in COLOURS.items():
        svg = svg.replace(light, f"var(--{name})")
    return svg
