"""Ways of training that bertkit does not have, for experiments: each changes the program while it is open."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch.nn.functional import linear

from bertkit.models.bert import IGNORE
from bertkit.pretraining import objective
from bertkit.training import loop

_WORDS = "bert.embeddings.word_embeddings.weight"


@contextmanager
def embedding_rate(factor: float) -> Iterator[None]:
    """Within it the word embeddings learn at ``factor`` times the learning rate."""
    build = loop.build_optimizer

    def with_factor(module: Any, settings: Any, factors: Mapping[str, float]) -> Any:
        return build(module, settings, {**factors, _WORDS: factor})

    with mock.patch.object(loop, "build_optimizer", with_factor):
        yield


@contextmanager
def z_loss(weight: float) -> Iterator[None]:
    """Within it ``weight * log(s) ** 2`` is added to each predicted token's loss, in training alone.

    s is the sum of the exponentials of its logits (Chowdhery et al. 2022, section 5).
    """
    loss_of = objective.vocabulary_loss

    def with_z(
        hidden: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        loss, correct = loss_of(hidden, weights, bias, labels)
        if torch.is_grad_enabled():
            log_sums = linear(hidden, weights, bias)[labels != IGNORE].float().logsumexp(dim=1)
            loss = loss + weight * log_sums.square().sum()
        return loss, correct

    with mock.patch.object(objective, "vocabulary_loss", with_z):
        yield


@contextmanager
def averaged_weights(decay: float) -> Iterator[None]:
    """Within it a run ends with the exponential moving average of its weights: ``decay`` times the average before, and
    ``1 - decay`` times the weights after each step. One process, without a resume."""
    train_step, end_step = loop._Run._train_step, loop._Run._end_step
    averages: dict[int, list[torch.Tensor]] = {}

    def trained(run: Any, *given: Any) -> str:
        shown = train_step(run, *given)
        weights = [parameter.detach() for parameter in run.module.parameters()]
        if id(run) in averages:
            torch._foreach_lerp_(averages[id(run)], weights, 1 - decay)
        else:
            averages[id(run)] = [one.clone() for one in weights]
        return shown

    def ended(run: Any, *given: Any) -> None:
        if run.progress.step == run.job.plan.total_steps:
            for parameter, average in zip(run.module.parameters(), averages.pop(id(run)), strict=True):
                parameter.data.copy_(average)
        end_step(run, *given)

    with mock.patch.object(loop._Run, "_train_step", trained), mock.patch.object(loop._Run, "_end_step", ended):
        yield
