"""The figures of predicted tags. Each one but macro_f1 is one sum over the rows divided by another."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bertkit.finetuning.entities import entities, entity_scores
from bertkit.intervals import bootstrap_interval, ratio

Predictions = Sequence[dict[str, Any]]
"""Rows with "tags", the predicted ones, and "label", the right ones."""


def figure(predictions: Predictions, metric: str) -> float:
    """A metric of the predictions: "f1", "precision" or "recall" of entities, or "accuracy" or "macro_f1" of tags."""
    if metric != "macro_f1":
        return float(ratio(_parts(predictions, metric).sum(axis=0)))
    from sklearn.metrics import f1_score

    said, right = ([tag for row in predictions for tag in row[name]] for name in ("tags", "label"))
    return float(f1_score(right, said, average="macro", zero_division=0))


def details_of(predictions: Predictions, headline: str, are_entities: bool, seed: int) -> dict[str, Any]:
    """The interval of the headline metric, and for entities the figures of each type."""
    details: dict[str, Any] = {}
    if headline != "macro_f1":
        details[f"eval_{headline}_interval_95"] = list(bootstrap_interval(_parts(predictions, headline), seed))
    if are_entities:
        said, right = ([entities(row[name]) for row in predictions] for name in ("tags", "label"))
        details["by_type"] = entity_scores(said, right)
    return details


def _parts(predictions: Predictions, metric: str) -> np.ndarray:
    """Numerator and denominator of a metric for each row, int64 ``[R, 2]``; F1 is 2 · both / (predicted + true)."""
    parts = []
    for row in predictions:
        if metric == "accuracy":
            rights = sum(said == right for said, right in zip(row["tags"], row["label"], strict=True))
            parts.append((rights, len(row["tags"])))
            continue
        said, there = set(entities(row["tags"])), set(entities(row["label"]))
        both = len(said & there)
        of = {"f1": (2 * both, len(said) + len(there)), "precision": (both, len(said)), "recall": (both, len(there))}
        parts.append(of[metric])
    return np.array(parts, dtype=np.int64).reshape(-1, 2)
