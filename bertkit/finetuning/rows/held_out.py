"""A share of one's own rows held out: seeded, stratified, and no text on both sides."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertkit.console import listed
from bertkit.errors import BertkitError
from bertkit.finetuning.rows.table_check import SHOWN_CLASSES, identity


def held_out(texts: Sequence[Any], labels: Any, share: float, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of the rows to train on and of those held out, ascending.

    Stratified for classes where each has two rows or more. Rows of equal texts go to one side together; the share is
    then kept, in each class, to within half of the largest such group.

    Args:
        texts: of each row, plain values.
        labels: int64 ``[rows]`` of class ids; anything else is not stratified.

    Raises:
        BertkitError: there are too few rows, or too few different texts.
    """
    from sklearn.model_selection import train_test_split

    classes = labels if isinstance(labels, np.ndarray) and labels.dtype == np.int64 else None
    if classes is not None and np.bincount(classes).min() < 2:
        classes = None
    rows = np.arange(len(texts))
    groups = _groups(texts)
    if len(groups) < len(texts):
        held = _grouped(groups, classes, share, seed)
        if not 0 < len(held) < len(texts):
            raise BertkitError(
                f"cannot hold out {share:g} of {len(texts)} rows: of different texts there are only {len(groups)}"
            )
        return sorted(set(rows.tolist()) - set(held)), sorted(held)
    try:
        kept, held_rows = train_test_split(rows, test_size=share, random_state=seed % 2**32, stratify=classes)
    except ValueError as error:
        raise BertkitError(f"cannot hold out {share:g} of {len(rows)} rows: {error}") from error
    return sorted(kept.tolist()), sorted(held_rows.tolist())


def not_trained(kept: Any, held: Any, names: Sequence[str]) -> list[str]:
    """A line that counts and names the classes of which all rows were held out; an empty list if there are none.

    Args:
        kept: the labels of the rows to train on, as ``held_out`` takes them.
        held: the labels of the rows that are held out.
        names: the names of the classes by id; empty where labels are no classes.
    """
    if not names or not isinstance(held, np.ndarray) or held.dtype != np.int64:
        return []
    lacking = [names[id_] for id_ in sorted({*held.tolist()} - {*kept.tolist()})]
    shown = listed(lacking, SHOWN_CLASSES)
    return [f"classes held out whole, of which no row is trained on: {len(lacking):,}, {shown}"] if lacking else []


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
