"""Held-out loss and accuracy in pretraining."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bertkit.settings.schema import DataSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

    from bertkit.pretraining.dataset import EvaluationSet


def as_read(data: DataSettings, max_seq_length: int, has_pairs: bool) -> tuple[DataSettings, int]:
    """With which settings and length a model is evaluated: one that met no pairs reads the single segments of its training."""
    if has_pairs or data.sentence_objective == "none":
        return data, max_seq_length
    # A token less, as its training left room for the [SEP] of a second segment.
    return data.model_copy(update={"sentence_objective": "none"}), max_seq_length - 1


class Evaluator:
    """Evaluates a pretraining objective on the held-out examples, with all ranks, and each example exactly once."""

    def __init__(
        self,
        accelerator: "Accelerator",
        sets: "Callable[[int], EvaluationSet]",
        max_seq_length: Callable[[int], int],
        micro_batch_size: Callable[[int], int],
    ) -> None:
        self._accelerator, self._sets = accelerator, sets
        self._max_seq_length, self._micro_batch_size = max_seq_length, micro_batch_size

    def __call__(
        self, objective: Any, steps_done: int, between: Callable[[], object] = lambda: None
    ) -> dict[str, float]:
        """``eval_loss``, ``eval_mlm_loss``, ``eval_nsp_loss``, both accuracies and ``eval_perplexity``.

        Args:
            objective: the model with its loss.
            steps_done: optimizer steps that are done; they decide the sequence length.
            between: called before each batch, equally often on all ranks; an exception in it ends the evaluation.
        """
        import torch
        from accelerate.utils import gather_object

        from bertkit.training.sums import means

        length = self._max_seq_length(max(0, steps_done - 1))
        examples, size = self._sets(length), self._micro_batch_size(length)
        accelerator = self._accelerator
        mine = range(accelerator.process_index, len(examples), accelerator.num_processes)
        sums: dict[str, float] = {}
        with torch.inference_mode(), accelerator.autocast():
            for begin in range(0, -(-len(examples) // accelerator.num_processes), size):
                between()
                if begin >= len(mine):  # another rank has one example more
                    continue
                batch = examples.fetch(mine[begin : begin + size])
                counts = {f"{part}_count": n for part, n in objective.counts(batch).items()}
                batch = {name: tensor.to(accelerator.device) for name, tensor in batch.items()}
                for name, value in {**objective(**batch), **counts}.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
        # A rank may have no examples at all.
        totals: dict[str, float] = {}
        for part in gather_object([sums]):
            totals = {name: totals.get(name, 0.0) + value for name, value in part.items()} | (
                totals if not part else {}
            )
        counted = {name[:-6]: totals.pop(name) for name in list(totals) if name.endswith("_count")}
        figures = {f"eval_{name}": value for name, value in means(totals, counted).items()}
        if (loss := figures.get("eval_mlm_loss")) is not None:
            figures["eval_perplexity"] = math.exp(min(loss, 700))
        return {**figures, "max_seq_length": length}
