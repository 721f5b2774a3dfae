"""A share of one's own rows held out: seeded, stratified, and no text on both sides."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertkit import console
from bertkit.console import listed
from bertkit.errors import BertkitError
from bertkit.finetuning.rows.table_check import SHOWN_CLASSES, identity

_WITHOUT_CLASSES = "held out without regard to classes: with one of each to train on, too few rows would be left"


def held_out(texts: Sequence[Any], labels: Any, share: float, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of the rows to train on and of those held out, ascending.

    Stratified for classes; the row of a class that has no other is trained on. Where that leaves too few rows to hold out
    for so many classes, classes are disregarded, and a note says so. Rows of equal texts go to one side together; the share
    is then kept, in each class, to within half of the largest such group.

    Args:
        texts: of each row, plain values.
        labels: int64 ``[rows]`` of class ids; anything else is not stratified.

    Raises:
        BertkitError: there are too few rows, or too few different texts.
    """
    classes = labels if isinstance(labels, np.ndarray) and labels.dtype == np.int64 else None
    rows, groups = range(len(texts)), _groups(texts)
    alone = set() if classes is None else set(np.flatnonzero(np.bincount(classes)[classes] == 1).tolist())
    if len(groups) < len(texts):
        held = _grouped([group for group in groups if not alone.issuperset(group)], classes, share, seed)
        if not held and alone:
            console.note(_WITHOUT_CLASSES)
            held = _grouped(groups, None, share, seed)
        if not 0 < len(held) < len(texts):
            raise BertkitError(
                f"cannot hold out {share:g} of {len(texts)} rows, whose different texts are {len(groups)}: give a larger share "
                "(--validation-split), more rows, or --validation FILE"
            )
        console.note("rows of equal texts are held out together, or not at all")
    else:
        held = _drawn([row for row in rows if row not in alone], classes, share, seed, is_needed=not alone)
        held = held or _drawn(list(rows), None, share, seed)
    return sorted(set(rows) - set(held)), sorted(held)


def _drawn(rows: list[int], classes: np.ndarray | None, share: float, seed: int, is_needed: bool = True) -> list[int]:
    """The rows held out of those of different texts. If scikit-learn refuses to draw them, and they are not needed, none."""
    from sklearn.model_selection import train_test_split

    stratify = None if classes is None else classes[rows]
    try:
        held: list[int] = train_test_split(rows, test_size=share, random_state=seed % 2**32, stratify=stratify)[1]
    except ValueError as error:
        if is_needed:
            raise BertkitError(f"cannot hold out {share:g} of {len(rows)} rows: {error}") from error
        console.note(_WITHOUT_CLASSES)
        return []
    return held


def never_held_out(kept: Any, held: Any, names: Sequence[str]) -> str:
    """A line that counts and names the classes whose only row is trained on; empty if there are none.

    Args:
        kept: the labels of the rows to train on, as ``held_out`` takes them.
        held: the labels of the rows that are held out.
        names: the names of the classes by id; empty where labels are no classes.
    """
    if not names or not isinstance(held, np.ndarray):
        return ""
    several = held.ndim == 2  # 0 and 1 by class
    here, there = (Counter((one.nonzero()[1] if several else one).tolist()) for one in (kept, held))
    alone = [names[id_] for id_, rows in sorted(here.items()) if rows == 1 and id_ not in there]
    told = f"classes of a single row, which is trained on, so that none is held out ({len(alone):,})"
    return f"{told}: {listed(alone, SHOWN_CLASSES)}" if alone else ""


def _groups(texts: Sequence[Any]) -> list[list[int]]:
    """The rows of each different text, in the order of the first ones."""
    groups: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        groups.setdefault(identity(text), []).append(row)
    return list(groups.values())


def _grouped(groups: list[list[int]], classes: np.ndarray | None, share: float, seed: int) -> list[int]:
    """Whole groups, in a seeded order, as long as they bring a class nearer to its share; its class is its first row's."""
    strata: dict[int, list[list[int]]] = {}
    for group in groups:
        strata.setdefault(0 if classes is None else int(classes[group[0]]), []).append(group)
    generator = np.random.default_rng(seed)
    held: list[int] = []
    wanted = taken = 0.0
    for stratum in sorted(strata):
        # What one class has too little or too much, the next makes up for.
        wanted += share * sum(map(len, strata[stratum]))
        for number in generator.permutation(len(strata[stratum])):
            group = strata[stratum][number]
            if taken + len(group) / 2 <= wanted:
                held += group
                taken += len(group)
    return held
