"""The model card: what a model is, what it was made from, and how; for people and for the hub."""

import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bertkit import __version__, console

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")
# What would turn a line that begins with it into a list, a rule or a heading.
_LINE_START = re.compile(r"^(\d*)([-+=.)])(?=[\s\-+=]|$)")

_FRONT, _TITLE = re.compile(r"---\n.*?^---\n+", re.MULTILINE | re.DOTALL), re.compile(r"^# .*$", re.MULTILINE)
LOADS = " It loads with plain transformers."
"""A sentence of cards that that of an ONNX graph does without."""
_USAGE = re.compile(r"^## How to use\n\n(`{3,})python\n.*?^\1$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class CardFacts:
    """The contents of a card. Its texts may come from outside: they are escaped, and cannot bring in markup."""

    name: str
    """The model's name, which is that of its folder."""
    pipeline_tag: str
    """The hub's name of the task, such as ``fill-mask`` or ``text-classification``."""
    what: str
    """What the model is, in one or two sentences."""
    usage: str
    """Lines of Python that use the model."""
    command: str
    """The command that made the model."""
    device: str
    seconds: float
    versions: Mapping[str, str]
    """The versions of the libraries that matter, by name."""
    library: str = "transformers"
    """The library that loads the model, by the hub's name for it."""
    base_model: str | None = None
    """The hub name or folder of the model that this one was trained from."""
    rights: Mapping[str, str] = field(default_factory=dict)
    """"license" and "language", by the hub's codes (see ``rights_of``)."""
    tags: Sequence[str] = ()
    data: Mapping[str, object] = field(default_factory=dict)
    """Facts of the training data: sources, fingerprint, documents, tokens and the like."""
    settings: Mapping[str, object] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)
    """Measured figures, by the name of the metric."""
    compared: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    """Figures of the base model before and after the training: (before, after, change) by name."""
    evaluations: Sequence["EvalResult"] = ()
    """The results that the hub lists beside the model; made by ``evaluation``."""


_CREDITS = ("CREDITS.tsv", "LICENSE", "NOTICE")
"""Files of a model folder that go with every copy of it."""


def copy_credits(original: Path, copy: Path) -> None:
    """Copies what is owed to others: the files of a model folder with credits and licences."""
    for name in _CREDITS:
        if (original / name).is_file():
            shutil.copyfile(original / name, copy / name)


def rights_of(folder: Path) -> dict[str, str]:
    """The licence and the language that the card of a model folder names, as ``CardFacts`` takes them."""
    from huggingface_hub import metadata_load

    try:
        said = metadata_load(folder / "README.md") or {}
    except Exception:  # no card, or anybody's
        return {}
    return {name: said[name] for name in ("license", "language") if isinstance(said.get(name), str)}


def model_card(facts: CardFacts) -> str:
    """The card as Markdown with YAML front matter. The author has to add the licence."""
    sections = [
        _front_matter(facts),
        f"# {_text(facts.name)}\n\n{_text(facts.what)}",
        _how_to_use(facts.usage),
        _table_section("Training data", ("", ""), facts.data),
        _table_section("Settings", ("setting", "value"), facts.settings),
        _table_section("Results", ("metric", "value"), facts.results),
        _table_section("Before and after", ("", "before", "after", "change"), facts.compared),
        _made(facts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def exported_card(card: str, folder: str, told: str, usage: str | None = None) -> str:
    """The card of an export, made from its original's: below the title it says what it is.

    Args:
        card: the original's; it may be empty.
        folder: the export's.
        told: what the export is, in a sentence.
        usage: lines of Python that use it, where transformers does not load it. Without them those of the original stay, with
            the export's folder for the original's.
    """
    front = matter[0] if (matter := _FRONT.match(card)) else ""
    card = card[len(front) :]
    if not _TITLE.search(card):
        card = f"# {_text(Path(folder).resolve().name)}\n\n{card.lstrip()}"
    card = _TITLE.sub(lambda title: f"{title[0]}\n\n{_text(told)}", card, count=1)
    if usage is None:
        load = re.compile(r'(?<=, model=)"(?:[^"\\]|\\.)*"')
        card = _USAGE.sub(lambda found: load.sub(lambda _: python_text(folder), found[0]), card, count=1)
        return front + card.rstrip() + "\n"
    front, card = re.sub(r"(?m)^library_name: .*\n", "", front), card.replace(LOADS, "")
    changed, found = _USAGE.subn(lambda _: _how_to_use(usage), card, count=1)
    return front + (changed if found else f"{card.rstrip()}\n\n{_how_to_use(usage)}").rstrip() + "\n"


def python_text(text: str) -> str:
    """A text as it is written in a line of Python."""
    return json.dumps(text, ensure_ascii=False)


def _how_to_use(usage: str) -> str:
    return f"## How to use\n\n{_code(usage, 'python')}"


def evaluation(
    task: str,
    dataset: tuple[str, str | None, str | None],
    split: str,
    metric: str,
    value: float,
    label: str | None = None,
) -> "EvalResult":
    """A figure in the form in which the hub lists it.

    Args:
        task: as ``CardFacts.pipeline_tag``.
        dataset: the data set's name for people; its name on the hub, None where it is not there; and its configuration
            on the hub, if it has several.
        split: the split that was evaluated.
        metric: the metric's short name, such as ``accuracy``.
        value: the figure.
        label: the metric's name for people, where the short one does not explain itself.
    """
    from huggingface_hub import EvalResult

    name, hub_name, config = dataset
    # The hub accepts word characters, dots and dashes only.
    own = re.sub(r"[^\w.-]+", "-", _one_line(name).rsplit("/")[-1], flags=re.ASCII).strip("-") or "own"
    return EvalResult(
        task_type=task,
        dataset_type=hub_name or own,
        dataset_name=_one_line(name) or own,
        dataset_config=config,
        dataset_split=_one_line(split),
        metric_type=metric,
        metric_value=float(value),
        metric_name=label,
    )


def _front_matter(facts: CardFacts) -> str:
    from huggingface_hub import ModelCardData

    # The hub reads them as JSON, which cannot express an infinite perplexity.
    listed = [one for one in facts.evaluations if math.isfinite(one.metric_value)]
    # The hub accepts names of its own repositories only.
    on_hub = facts.base_model and re.fullmatch(r"[\w.-]+/[\w.-]+", facts.base_model)
    data = ModelCardData(
        library_name=facts.library,
        license=facts.rights.get("license"),
        language=facts.rights.get("language"),
        pipeline_tag=_one_line(facts.pipeline_tag),
        base_model=facts.base_model if on_hub else None,
        tags=[_one_line(tag) for tag in ("bert", "bertkit", *facts.tags)],
        model_name=(_one_line(facts.name) or "model") if listed else None,
        eval_results=listed or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _made(facts: CardFacts) -> str:
    lines = [f"## How it was made\n\n{_code(facts.command, 'bash')}\n"]
    if facts.base_model:
        lines.append(f"- Goes on from: {_text(facts.base_model)}")
    versions = ", ".join(f"{_text(name)} {_text(version)}" for name, version in facts.versions.items())
    lines.append(f"- Device: {_text(facts.device)}")
    lines.append(f"- Time: {console.duration(facts.seconds)}")
    lines.append(f"- Versions: bertkit {__version__}" + (f", {versions}" if versions else ""))
    return "\n".join(lines)


def _table_section(title: str, head: Sequence[str], rows: Mapping[str, object]) -> str:
    """A section with a table; a row has a name and a value, or several values where they are a tuple."""
    if not rows:
        return ""
    lines = [head, ["---"] * len(head)]
    lines += [
        [_text(name), *map(_value, value if isinstance(value, tuple) else (value,))] for name, value in rows.items()
    ]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return _text(str(value))


def _one_line(text: str) -> str:
    """The text on one line, without control characters; line separators of all kinds become blanks."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _text(text: str) -> str:
    """Text from outside, escaped so that Markdown shows it as it is."""
    return _LINE_START.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", _one_line(text)))


def _code(code: str, language: str) -> str:
    """A code block, whose fence is longer than any row of backticks in the code."""
    lines = [line.rstrip() for line in code.strip().splitlines()]
    longest = max((len(row) for row in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])
