"""Which classes a classifier takes for which."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike


def confusion(predictions: ArrayLike, labels: ArrayLike, label_names: Sequence[str]) -> dict[str, Any]:
    """The confusion matrix and the figures of each class, as plain JSON values.

    Returns:
        ``labels``: the names; ``matrix``: rows are true classes, columns predicted ones; ``per_class``: for each
        name its ``precision``, ``recall``, ``f1`` (0 where undefined) and ``support`` (true rows).
    """
    from sklearn import metrics as sklearn_metrics

    ids = list(range(len(label_names)))
    matrix = sklearn_metrics.confusion_matrix(labels, predictions, labels=ids)
    figures = sklearn_metrics.precision_recall_fscore_support(labels, predictions, labels=ids, zero_division=0)
    kinds = ("precision", "recall", "f1", "support")
    *shares, support = figures
    # Without a right row sklearn's support is a float.
    columns = [*(share.tolist() for share in shares), support.astype(int).tolist()]
    per_class = [dict(zip(kinds, column, strict=True)) for column in zip(*columns, strict=True)]
    return {
        "labels": list(label_names),
        "matrix": matrix.tolist(),
        "per_class": dict(zip(label_names, per_class, strict=True)),
    }
