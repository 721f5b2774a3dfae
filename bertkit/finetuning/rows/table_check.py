"""Checks labelled rows before training: their figures, and what would make the results worthless."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.console import counted, listed
from bertkit.finetuning.rows import cells
from bertkit.finetuning.rows.labels import SET_KIND
from bertkit.io.text import is_blank

if TYPE_CHECKING:
    from bertkit.finetuning.features import Split

SHOWN_CLASSES = 12
_UNEVEN = 5
_RARE = 20
"""Labels that are no numbers are named if at most one row in so many has such a one."""
_UNTOLD = re.compile(r"[\s_-]|[.,;:!?]+$")
_POINT_ZERO = re.compile(r"(-?[0-9]+)\.0+")

Lengths = Callable[[Sequence[Any]], Sequence[int]]
"""Counts the tokens of the texts of rows, including special tokens."""


@dataclass(frozen=True)
class SplitCheck:
    """Figures of one split.

    Attributes:
        classes: the number of rows by class; empty for numbers.
        without_class: rows without any class, if there may be several.
        repeated: rows whose text occurs in an earlier row.
        shared: rows whose text is also in the training rows; 0 for the training rows themselves.
        over_limit: rows with more tokens than are read; None if tokens were not counted.
        longest: the tokens of the longest row; likewise.
    """

    name: str
    rows: int
    classes: dict[str, int]
    without_class: int = 0
    least: float | None = None
    mean: float | None = None
    largest: float | None = None
    repeated: int = 0
    contradictory: int = 0
    shared: int = 0
    empty: int = 0
    median: int | None = None
    longest: int | None = None
    over_limit: int | None = None


@dataclass(frozen=True)
class TableCheck:
    """Figures of all splits, the one to train on first.

    Attributes:
        nearly_one: classes whose names differ only in case, blanks, hyphens, the last punctuation or ``.0``, or look alike.
        between: the separator, if names look like several classes in one.
        examples: some of the numbers, for a regression.
        limit: how many tokens are read of a row; None if tokens were not counted.
        left_out: for each row that could not be used, its place and the reason.
        misread: lines on what a model's tokenizer does not know or changes in the rows; none if tokens were not counted.
    """

    problem_type: str
    splits: list[SplitCheck]
    nearly_one: list[list[str]] = field(default_factory=list)
    between: str = ""
    examples: list[float] = field(default_factory=list)
    limit: int | None = None
    left_out: list[str] = field(default_factory=list)
    misread: list[str] = field(default_factory=list)

    def described(self) -> str:
        """A line that says what the labels were taken for, and which option changes that."""
        first = self.splits[0]
        if self.problem_type == "regression":
            shown = ", ".join(f"{number:g}" for number in self.examples)
            return (
                f"the labels are numbers such as {shown}, from {first.least:g} to {first.largest:g}: a regression; "
                f"{SET_KIND}single_label_classification makes them classes"
            )
        kind = "several labels a row" if self.problem_type == "multi_label_classification" else "one label a row"
        # In quotes, a name with a comma is no two classes.
        counts = [
            f"{name!r} ({rows:,})" if "," in name else f"{name} ({rows:,})" for name, rows in first.classes.items()
        ]
        shown = listed(counts, SHOWN_CLASSES)
        none = f"; {counted(first.without_class, 'row', 'rows')} with none" if first.without_class else ""
        numbers = self.problem_type == "single_label_classification" and all(map(cells.is_whole, first.classes))
        flag = f"; {SET_KIND}regression reads them as numbers" if numbers and len(counts) > 2 else ""
        if self.problem_type == "multi_label_classification" and list(first.classes) == list(
            map(str, range(len(counts)))
        ):
            flag = "; named by position, --set 'task.labels=[\"NAME\", …]' names them"
        strays = {name: rows for name, rows in first.classes.items() if not cells.is_plain_number(name)}
        if self.problem_type == "single_label_classification" and 0 < _RARE * sum(strays.values()) <= first.rows:
            some = listed([f"'{name}' ({rows:,})" for name, rows in strays.items()], 3)
            flag = f"; all are numbers but {some}: without these rows they are read as numbers are"
        return f"{len(counts)} classes, {kind}: {shown}{none}{flag}"

    def warnings(self, weighed: bool = False) -> list[str]:
        """Warnings, a line each; empty if all is well.

        Args:
            weighed: whether the classes are weighted by the inverse of their shares.
        """
        first = self.splits[0]
        told = [self._said_left_out()] if self.left_out else []
        told += [
            f"nearly one class: {self._counted(names)}{_why_alike(names)}: write them alike if they are one"
            for names in self.nearly_one
        ]
        if self.between:
            told.append(
                f"some labels hold '{self.between}' between other labels: {SET_KIND}multi_label_classification splits them there"
            )
        single = self.problem_type == "single_label_classification"
        there = {name: rows for name, rows in first.classes.items() if rows}
        if unseen := [name for name in first.classes if name not in there]:
            elsewhere = [split.name for split in self.splits[1:] if any(split.classes[name] for name in unseen)]
            but = f" but in {' and '.join(elsewhere)}" if elsewhere else ""
            it = "it" if len(unseen) == 1 else "them"
            told.append(
                f"{counted(len(unseen), 'class has', 'classes have')} no row in {first.name}{but}, so the model learns not to "
                f"give {it}: {listed(unseen, SHOWN_CLASSES)}"
            )
        rows = sum(split.rows for split in self.splits)
        if single and len(first.classes) > 2 and 2 * len(first.classes) > rows:
            told.append(f"{len(first.classes):,} classes in {rows:,} rows: is this the column of the labels (--label)?")
        elif single and not weighed and max(there.values(), default=0) >= _UNEVEN * min(there.values(), default=1):
            rarest = min(there, key=lambda name: there[name])
            told.append(
                f"uneven classes, {rarest} is {there[rarest]:,} of {first.rows:,} rows: "
                "--set train.class_weights=balanced weighs them alike"
            )
        return [*told, *(line for split in self.splits for line in self._of_split(split)), *self.misread]

    def _said_left_out(self) -> str:
        more = f" (and {len(self.left_out) - 1:,} more)" if len(self.left_out) > 1 else ""
        return f"rows that cannot be used, left out: {len(self.left_out):,}; {self.left_out[0]}{more}"

    def _counted(self, names: Sequence[str]) -> str:
        return ", ".join(f"'{name}' ({sum(split.classes[name] for split in self.splits):,})" for name in names)

    def _of_split(self, split: SplitCheck) -> list[str]:
        told, rows = [], f"of {split.rows:,} rows in {split.name}"
        if split.repeated:
            more = f", {split.contradictory:,} of them with another label" if split.contradictory else ""
            told.append(f"{counted(split.repeated, f'{rows} repeats', f'{rows} repeat')} the text of another{more}")
        if split.shared:
            shared = counted(split.shared, f"{rows} is", f"{rows} are")
            told.append(f"{shared} also trained on: {split.name} says little of new texts")
        if split.empty:
            told.append(f"{counted(split.empty, 'empty text', 'empty texts')} in {split.name}")
        if split.over_limit:
            told.append(
                f"{counted(split.over_limit, f'{rows} is', f'{rows} are')} longer than {self.limit} tokens: "
                f"--seq-len {split.longest} reads them whole, where the model has as many positions"
            )
        return told

    def as_json(self) -> dict[str, Any]:
        """All figures and warnings as plain values, without figures that were not computed."""
        splits = [{name: value for name, value in asdict(split).items() if value is not None} for split in self.splits]
        found = {**asdict(self), "splits": {split.pop("name"): split for split in splits}, "warnings": self.warnings()}
        return {name: value for name, value in found.items() if value is not None}


def check_table(
    splits: "Sequence[Split]",
    names: Sequence[str],
    problem_type: str,
    left_out: Sequence[str] = (),
    lengths: Lengths | None = None,
    limit: int | None = None,
) -> TableCheck:
    """Checks splits with labels, of which the first is trained on.

    Args:
        splits: the splits.
        names: the classes by id.
        problem_type: the kind of labels.
        left_out: for each row that could not be used, its place and the reason.
        lengths: counts tokens, which takes a second for some ten thousand rows; None does not count them.
        limit: how many tokens are read of a row.
    """
    trained_on = {identity(text) for text in splits[0].texts}
    checked = [
        _checked(split, names if problem_type else (), trained_on if number else set(), lengths, limit)
        for number, split in enumerate(splits)
    ]
    return TableCheck(
        problem_type,
        checked,
        _nearly_one(names) if problem_type else [],
        _between(names) if problem_type == "single_label_classification" else "",
        list(dict.fromkeys(splits[0].labels.tolist()))[:3] if problem_type == "regression" else [],
        limit if lengths else None,
        list(left_out),
    )


def identity(text: Any) -> str:
    """What is the same for the rows of texts that look equal; the id of a question is not part of its text."""
    return repr(
        _as_seen({name: value for name, value in text.items() if name != "id"} if isinstance(text, dict) else text)
    )


def _as_seen(text: Any) -> Any:
    if isinstance(text, str):
        return cells.as_seen(text)
    if isinstance(text, dict):
        return {name: _as_seen(value) for name, value in text.items()}
    return [*map(_as_seen, text)] if isinstance(text, list | tuple) else text


def empty_texts(rows: Sequence[Any]) -> int:
    """How many texts are empty, of rows as heads read them: one or two texts, or words. (Questions and choices never are.)

    Blanks and invisible marks alone, such as those of the direction of writing, are nothing to read.
    """
    texts = (row if isinstance(row, tuple) else ["".join(row)] for row in rows if not isinstance(row, dict))
    return sum(is_blank(text) for some in texts for text in some)


def _checked(
    split: "Split", names: Sequence[str], trained_on: set[str], lengths: Lengths | None, limit: int | None
) -> SplitCheck:
    texts = [identity(text) for text in split.texts]
    labels = split.labels if isinstance(split.labels, np.ndarray) else None
    first: dict[str, Any] = {}
    repeated = contradictory = 0
    for text, label in zip(texts, split.labels if labels is None else labels.tolist(), strict=True):
        if text in first:
            repeated += 1
            contradictory += first[text] != label
        first.setdefault(text, label)
    tokens = sorted(lengths(split.texts)) if lengths and split.texts else None
    numbers = labels if labels is not None and labels.dtype == np.float32 and labels.ndim == 1 and len(labels) else None
    return SplitCheck(
        name=split.name,
        rows=len(texts),
        classes={} if labels is None or not names else _classes(labels, names),
        without_class=int((labels.sum(axis=1) == 0).sum()) if labels is not None and labels.ndim == 2 else 0,
        least=None if numbers is None else float(numbers.min()),
        mean=None if numbers is None else float(numbers.mean(dtype=np.float64)),
        largest=None if numbers is None else float(numbers.max()),
        repeated=repeated,
        contradictory=contradictory,
        shared=sum(text in trained_on for text in texts),
        empty=empty_texts(split.texts),
        median=tokens[len(tokens) // 2] if tokens else None,
        longest=tokens[-1] if tokens else None,
        over_limit=sum(one > limit for one in tokens) if tokens and limit else None,
    )


def _classes(labels: np.ndarray, names: Sequence[str]) -> dict[str, int]:
    counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def _nearly_one(names: Sequence[str]) -> list[list[str]]:
    alike: dict[str, list[str]] = {}
    for name in names:
        number = _POINT_ZERO.fullmatch(name)
        # Signs distinguish names, as in C, C++ and C#; numbers are only equal to themselves.
        seen = cells.as_seen(name)
        plain = _UNTOLD.sub("", seen).casefold() if re.search(r"[^\W\d_]", seen) else seen
        plain = number[1] if number else plain
        alike.setdefault(plain or name, []).append(name)
    return [group for group in alike.values() if len(group) > 1]


def _why_alike(names: Sequence[str]) -> str:
    """What tells names apart that all look the same on a screen; empty where they do not."""
    if len({cells.as_seen(name) for name in names}) > 1:
        return ""
    return ", which look the same but consist of other characters (in NFC and NFD, or with invisible ones)"


def _between(names: Sequence[str]) -> str:
    """The separator in names that look like several classes, if their parts are also names on their own; else empty."""
    alone = set(names)
    for separator in cells.SEPARATORS:
        parts = Counter(part for name in names if separator in name for part in cells.split(name, separator))
        if any(part in alone for part in parts):
            return separator
    return ""
