"""``eval_results.json``: the figures, how sure they are, and where the errors lie."""

from typing import Any

from bertkit.finetuning.data import LabelledData
from bertkit.finetuning.evaluation import Scored
from bertkit.finetuning.predictor import decide


def evaluation_results(
    figures: dict[str, float], scored: list[Scored], data: LabelledData, metrics: list[str], seed: int
) -> dict[str, Any]:
    """The figures (``eval_loss``, ``eval_<metric>``), with a bootstrap interval for the headline one.

    For classes also the share of the most frequent class, the confusion matrix and each class's figures.
    """
    from bertkit.finetuning.metrics import bootstrap_interval, confusion, majority_baseline

    results: dict[str, Any] = dict(figures)
    if not scored or scored[0].split.labels is None:
        return results
    labels = scored[0].split.labels
    predictions = decide(scored[0].logits, data.problem_type)
    results["eval_rows"] = len(labels)
    results[f"eval_{metrics[0]}_interval_95"] = list(bootstrap_interval(metrics[0], predictions, labels, seed))
    if data.problem_type == "single_label_classification":
        results["majority_baseline"] = majority_baseline(labels)
        results["confusion"] = confusion(predictions, labels, data.label_names)
    return results
