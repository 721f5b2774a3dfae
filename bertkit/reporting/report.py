"""The report about one or several runs, as one page."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.reporting import plots
from bertkit.reporting.checkpoint_figures import fine_tuned, panels_of_tests
from bertkit.reporting.checkpoints import Fill, Look
from bertkit.reporting.marked import marked_mistakes
from bertkit.reporting.pages import check_target, write_page
from bertkit.reporting.palette import run_colour, run_dashes
from bertkit.reporting.panels import HELD_OUT, Panel, panels_of, shown, title
from bertkit.reporting.runs import Run, is_number, mistakes, shares_of

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

MOST_MISTAKES = 20
_CORPUS = {
    "corpus": "texts",
    "documents": "documents",
    "sentences": "sentences",
    "tokens_in_corpus": "word pieces",
    "unigram_entropy": "entropy of single pieces (nats)",
    "most_frequent_token_share": "share of the most frequent piece",
    "task": "task",
    "rows": "rows",
    "data_fingerprint": "fingerprint",
}
_FACTS = {
    "command": "command",
    "base_model": "begun from",
    "parameters": "parameters",
    "device": "device",
    "num_processes": "processes",
    "mixed_precision": "precision",
    "seed": "seed",
    "seconds": "training took",
    "skipped_steps": "skipped steps",
    "best_step": "best step",
    "bertkit": "bertkit",
    "python": "Python",
    "versions": "libraries",
}


@dataclass(frozen=True)
class Table:
    """A table with a row per figure or setting and a column per run; ``differs`` marks the rows in which runs differ."""

    rows: list[tuple[str, list[str]]]

    def differs(self, values: Sequence[str]) -> bool:
        return len(set(values)) > 1


def write_report(
    runs: Sequence[Run], looks: Mapping[str, Look], out: Path, png: bool = False, overwrite: bool = False
) -> list[Path]:
    """Writes the page and, if asked for, its plots beside it; returns the paths of the files.

    Args:
        runs: the runs to show, in this order.
        looks: what the checkpoints of pretraining runs can do, by the name of the run.
        out: the path of the page.
        png: also write each plot as ``<page's name>-<plot>.png``.
        overwrite: replace files that bertkit did not write.

    Raises:
        BertkitError: the disk is full or cannot be written, or there is a file that bertkit did not write.
    """
    check_target(out, overwrite)
    panels = panels_of(runs)
    tuned = fine_tuned(runs)
    tests = panels_of_tests(runs, {name: [*looks.get(name, Look()).figures, *tuned[name]] for name in tuned})
    pngs = _pngs(runs, [*panels, *tests], out) if png else {}
    for path in pngs:
        plots.check_png(path, overwrite)
    names = [run.name for run in runs]
    settings = _table([run.settings for run in runs])
    write_page(
        out,
        "report.html",
        title=" · ".join(names),
        runs=[_overview(run, number) for number, run in enumerate(runs)],
        figures=_figures(runs),
        curves=_drawn(panels, names),
        tested=_drawn(tests, names),
        keeps_best=any(run.facts.get("best_step") for run in runs),
        smoothed=any(plots.is_smoothed(curve) for panel in panels for curve in panel.curves),
        held_out=any(curve.held_out for panel in panels for curve in panel.curves),
        fills=[(name, _by_text(look.fills)) for name, look in looks.items() if look.fills],
        classifiers=[_classifier(run) for run in runs if run.confusion or run.predictions],
        sweeps=[(run.name, run.sweep) for run in runs if run.sweep],
        corpus=_named(runs, _CORPUS),
        facts=_named(runs, _FACTS),
        settings=settings,
        differences=[(name, values) for name, values in settings.rows if settings.differs(values)],
        shown=shown,
        titled=_title,
    )
    for path, figure in pngs.items():
        plots.write_png(figure, path)
    return [out, *pngs]


def _drawn(panels: Sequence[Panel], names: Sequence[str]) -> list[tuple[Panel, "Markup"]]:
    """The panels, each with its drawing for the page."""
    from markupsafe import Markup

    return [(panel, Markup(plots.as_svg(plots.curve_figure(panel), _described(panel, names)))) for panel in panels]


def _described(panel: Panel, names: Sequence[str]) -> str:
    """A plot in words, for people who cannot see it."""
    ends = [
        f"{names[curve.run]} {'held-out ' if curve.held_out and not panel.is_over_tokens else ''}"
        f"{panel.shown(curve.values[-1])} "
        f"at {panel.at(curve.places[-1])}"
        for curve in panel.curves
    ]
    return f"{panel.title}: {'; '.join(ends)}"


def _overview(run: Run, number: int) -> dict[str, Any]:
    total = run.last("max_steps") or run.facts.get("max_steps")  # a run with a budget logs each change of the plan
    steps = f"{run.step:,}" if run.is_finished or not is_number(total) else f"{run.step:,} of {total:,}"
    tokens, seconds, parameters = run.last("tokens"), run.last("seconds"), run.facts.get("parameters")
    return {
        "name": run.name,
        "colour": run_colour(number),
        "dashes": " ".join(map(str, run_dashes(number))) or "none",
        "kind": {"pretrain": "pretraining", "finetune": "fine-tuning"}.get(str(run.facts.get("kind")), "—"),
        "what": str(run.facts.get("recipe") or run.facts.get("task") or "—"),
        "parameters": _millions(parameters),
        "device": str(run.facts.get("device") or "—"),
        "steps": steps,
        "tokens": _millions(tokens),
        "time": console.duration(seconds) if is_number(seconds) else "—",
        "state": "finished" if run.is_finished else "not finished",
    }


def _millions(count: Any) -> str:
    return console.in_millions(count) if is_number(count) else "—"


def _figures(runs: Sequence[Run]) -> Table:
    """The held-out figures at the end of each run; those of its best weights, if it keeps these."""
    names = {name: None for run in runs for name, value in run.results.items() if _is_figure(name, value)}
    rows = []
    for name in names:
        values = []
        for run in runs:
            value = run.results.get(name)
            interval = run.results.get(f"{name}_interval_95")
            text = shown(name, value) if is_number(value) else "—"
            if is_number(value) and isinstance(interval, list) and all(map(is_number, interval)):
                text += " (95 %: " + " to ".join(shown(name, bound) for bound in interval) + ")"
            values.append(text)
        rows.append((_title(name), values))
    return Table(rows)


def _title(name: str) -> str:
    return title(name.removeprefix(HELD_OUT))


def _is_figure(name: str, value: Any) -> bool:
    return is_number(value) and (name.startswith(HELD_OUT) or name == "majority_baseline")


def _by_text(fills: Sequence[Fill]) -> list[tuple[str, list[Fill]]]:
    texts = dict.fromkeys(fill.text for fill in fills)
    return [(text, [fill for fill in fills if fill.text == text]) for text in texts]


def _classifier(run: Run) -> dict[str, Any]:
    """The errors of a classifier: its confusion matrix as a drawing, the figures of each class, and the worst rows."""
    from markupsafe import Markup

    confusion, drawn = run.confusion, None
    if confusion:
        figure = plots.confusion_figure(confusion["labels"], confusion["matrix"])
        drawn = Markup(plots.as_svg(figure, f"Confusion matrix of {run.name}: rows true, columns predicted"))
    marked = marked_mistakes(run.predictions)
    worst = [_mistake(row) for row in mistakes(run, MOST_MISTAKES)] if marked is None else []
    wrong = sum(row.get("label") != row.get("prediction") for row in run.predictions if "label" in row)
    return {
        "name": run.name,
        "matrix": drawn,
        "per_class": (confusion or {}).get("per_class", {}),
        "mistakes": worst,
        "has_texts": any(row["texts"] for row in worst),
        "has_shares": any(row["share"] for row in worst),
        "marked": (marked or [])[:MOST_MISTAKES],
        # Numbers are all off by something, so that there is nothing to count.
        "wrong": len(marked) if marked is not None else None if _are_numbers(run.predictions) else wrong,
        "rows": len(run.predictions),
    }


def _are_numbers(predictions: Sequence[Mapping[str, Any]]) -> bool:
    return any(is_number(row.get("prediction")) and "probabilities" not in row for row in predictions)


def _mistake(row: Mapping[str, Any]) -> dict[str, Any]:
    text, shares = row.get("text"), shares_of(row)
    share = shares.get(row["label"]) if shares is not None and isinstance(row["label"], str | int) else None
    return {
        "index": row.get("index", "—"),
        "texts": [str(part) for part in text] if isinstance(text, list) else [] if text is None else [str(text)],
        "label": _plain(row["label"]),
        "prediction": _plain(row.get("prediction")),
        "share": shown("share", share) if is_number(share) else "",
    }


def _named(runs: Sequence[Run], names: Mapping[str, str]) -> Table:
    """Some facts of the runs as a table; ``names`` gives the names for people."""
    facts = [{**run.facts, "seconds": _duration(run)} for run in runs]
    kept = [{title: fact[key] for key, title in names.items() if fact.get(key) is not None} for fact in facts]
    table = _table(kept)
    order = list(names.values())
    return Table(sorted(table.rows, key=lambda row: order.index(row[0])))


def _duration(run: Run) -> str | None:
    seconds = run.last("seconds")
    return console.duration(seconds) if is_number(seconds) else None


def _table(columns: Sequence[Mapping[str, Any]]) -> Table:
    names = dict.fromkeys(name for column in columns for name in column)
    return Table([(name, [_plain(column[name]) if name in column else "—" for column in columns]) for name in names])


def _plain(value: Any) -> str:
    """A value from JSON or TOML, written for people; "…" for one that is nested too deeply, or a number too long."""
    try:
        return _written(value)
    except (RecursionError, ValueError):
        return "…"


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return ", ".join(f"{name} {_written(one)}" for name, one in value.items())
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "—"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if value >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, ensure_ascii=False, default=str)  # TOML has dates


def _pngs(runs: Sequence[Run], panels: Sequence[Panel], out: Path) -> dict[Path, "Figure"]:
    """The plots that are written beside a page, by the path of their file."""
    names = [run.name for run in runs]
    drawings = [(panel.name, plots.curve_figure(panel, names)) for panel in panels]
    for number, run in enumerate(runs, 1):
        if confusion := run.confusion:
            suffix = f"-{number}" if len(runs) > 1 else ""
            drawings.append((f"confusion{suffix}", plots.confusion_figure(confusion["labels"], confusion["matrix"])))
    pngs: dict[Path, Figure] = {}
    for name, drawing in drawings:
        plain = re.sub(r"[\W_]", "-", name)  # the file may be anybody's: a name may hold a slash
        while (path := out.with_name(f"{out.stem}-{plain}.png")) in pngs:
            plain += "-2"
        pngs[path] = drawing
    return pngs
