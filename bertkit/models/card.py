"""The model card: what a model is, what it was made from and how, for people and for the hub."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bertkit import __version__, console

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~!&$])")
# What makes a list, a rule or a heading of a line that begins with it.
_LINE_START = re.compile(r"^(\d*)([-+=.)])(?=[\s\-+=]|$)")


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. Texts may come from outside: none can bring in markup or front matter."""

    title: str
    pipeline_tag: str
    """The hub's name of the task, as ``fill-mask`` or ``text-classification``."""
    what: str
    """What the model is, in a sentence or two."""
    usage: str
    """Lines of Python that use it."""
    command: str
    """The command that made it."""
    device: str
    seconds: float
    versions: Mapping[str, str]
    """Of the libraries that matter, by name."""
    base_model: str | None = None
    """The hub name or folder of the model that this one goes on from."""
    language: str | None = None
    tags: Sequence[str] = ()
    data: Mapping[str, object] = field(default_factory=dict)
    """Of the training data: sources, fingerprint, documents, tokens and the like."""
    settings: Mapping[str, object] = field(default_factory=dict)
    results: Mapping[str, float] = field(default_factory=dict)
    """Measured figures only, by the name of the metric."""


def model_card(facts: CardFacts) -> str:
    """The card as Markdown with YAML front matter. The licence is left for the author to fill in."""
    sections = [
        _front_matter(facts),
        f"# {_text(facts.title)}\n\n{_text(facts.what)}",
        f"## How to use\n\n{_code(facts.usage, 'python')}",
        _table_section("Training data", ("", ""), facts.data),
        _table_section("Settings", ("setting", "value"), facts.settings),
        _table_section("Results", ("metric", "value"), facts.results),
        _made(facts),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(facts: CardFacts) -> str:
    lines = ["---", "library_name: transformers", f"pipeline_tag: {_quoted(facts.pipeline_tag)}"]
    if facts.language:
        lines.append(f"language: {_quoted(facts.language)}")
    # The hub takes names of its own repositories only.
    if facts.base_model and re.fullmatch(r"[\w.-]+/[\w.-]+", facts.base_model):
        lines.append(f"base_model: {_quoted(facts.base_model)}")
    lines += ["tags:", *(f"- {_quoted(tag)}" for tag in ("bert", "bertkit", *facts.tags)), "---"]
    return "\n".join(lines)


def _made(facts: CardFacts) -> str:
    lines = [f"## How it was made\n\n{_code(facts.command, 'bash')}\n"]
    if facts.base_model:
        lines.append(f"- Goes on from: {_text(facts.base_model)}")
    versions = ", ".join(f"{_text(name)} {_text(version)}" for name, version in facts.versions.items())
    lines.append(f"- Device: {_text(facts.device)}")
    lines.append(f"- Time: {console.duration(facts.seconds)}")
    lines.append(f"- Versions: bertkit {__version__}" + (f", {versions}" if versions else ""))
    return "\n".join(lines)


def _table_section(title: str, head: tuple[str, str], rows: Mapping[str, object]) -> str:
    if not rows:
        return ""
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    lines += [f"| {_text(name)} | {_value(value)} |" for name, value in rows.items()]
    return f"## {title}\n\n" + "\n".join(lines)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return _text(str(value))


def _one_line(text: str) -> str:
    """The text on one line, without control characters (line separators of all kinds count as blanks)."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _text(text: str) -> str:
    """Text from outside as Markdown that shows just that."""
    return _LINE_START.sub(r"\1\\\2", _MARKDOWN.sub(r"\\\1", _one_line(text)))


def _quoted(text: str) -> str:
    """A YAML string: a JSON string is one, and nothing on its single line can end it."""
    return json.dumps(_one_line(text), ensure_ascii=False)


def _code(code: str, language: str) -> str:
    """A code block whose fence is longer than any row of backticks in it."""
    lines = [line.rstrip() for line in code.strip().splitlines()]
    longest = max((len(row) for row in re.findall(r"`+", code)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *lines, fence])
