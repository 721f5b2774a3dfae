"""The pretraining data of a run, step by step, and its fixed evaluation set."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from bertkit import console
from bertkit.corpus.store import CorpusStore, check_ids
from bertkit.draws import Permutation, key
from bertkit.pretraining.collator import DataCollatorForBertPretraining
from bertkit.pretraining.pairs import Example, PairSampler
from bertkit.pretraining.split import DocumentSet
from bertkit.settings.schema import DataSettings
from bertkit.training.schedule import Course

_EVALUATION = 0xE7A1
"""Tells the draws of the evaluation set from those of training."""


class Reference(NamedTuple):
    """An example by what it is a function of."""

    phase: int
    epoch: int
    number: int
    is_kept: bool = False
    """Of the text that is mixed in (see ``PretrainingPlan``)."""


@dataclass(frozen=True)
class _Phase:
    sampler: PairSampler
    first_step: int
    first_epoch: int


def sampler_for(
    store: CorpusStore, documents: DocumentSet, data: DataSettings, max_seq_length: int, seed: int
) -> PairSampler:
    """The examples of one sequence length under the settings of a recipe."""
    return PairSampler(store, documents, max_seq_length, data.sentence_objective, data.short_seq_prob, seed)


def collator_for(tokenizer: Any, data: DataSettings) -> DataCollatorForBertPretraining:
    """The collator under the settings of a recipe."""
    return DataCollatorForBertPretraining(
        tokenizer,
        mlm_probability=data.mlm_probability,
        mask_replace_prob=data.mask_replace_prob,
        random_replace_prob=data.random_replace_prob,
        whole_word_mask=data.whole_word_mask,
    )


def feature(example: Example) -> dict[str, Any]:
    """An example as the collator takes it."""
    return example._asdict()


def _features(store: CorpusStore, examples: Iterable[Example]) -> list[dict[str, Any]]:
    """Examples as the collator takes them, of which no id is beyond the vocabulary.

    Raises:
        BertkitError: one is: the store is damaged.
    """
    features = [feature(example) for example in examples]
    segments = [one[part] for one in features for part in ("a", "b") if one[part] is not None]
    check_ids(store, np.concatenate(segments))
    return features


class PretrainingPlan:
    """Which examples each optimizer step sees (a ``training.steps.StepPlan``).

    Example number ``n`` of a phase is position ``n mod len`` of the shuffled order of epoch ``n div len``: a
    position in the run is the step alone. Phases differ in sequence length; the epochs count on through them.

    Args:
        batch_size: examples a step, without those of ``kept``.
        kept: the plan of another text with the same phases, prepared with the same tokenizer: its examples of a step
            come behind the step's own.
    """

    def __init__(
        self,
        store: CorpusStore,
        documents: DocumentSet,
        data: DataSettings,
        collate: DataCollatorForBertPretraining,
        batch_size: int,
        total_steps: int,
        seed: int,
        micro_batch_size: Callable[[int], int],
        kept: "PretrainingPlan | None" = None,
    ) -> None:
        self._kept = kept
        self.batch_size = batch_size
        self._store = store
        self._collate, self._static, self._micro_batch_size = collate, data.static_masking, micro_batch_size
        self._lengths = [tokens for _, tokens in data.phases]
        self._samplers = [sampler_for(store, documents, data, tokens, seed) for tokens in self._lengths]
        ends = accumulate(share for share, _ in data.phases[:-1])
        self._starts: list[float] = [0, *(round(end * total_steps) for end in ends)]
        self._orders: dict[tuple[int, int], Permutation] = {}
        self.refit(Course(total_steps))

    def refit(self, course: Course) -> None:
        """Gives the steps that are left another number; those before stay as they are."""
        self.course, self.total_steps = course, course.total_steps
        if self._kept is not None:
            self._kept.refit(course)
        every_step = range(self.total_steps + 1)
        first_steps = [bisect_left(every_step, start, key=course.position) for start in self._starts]
        self._phases, epoch = [], 0
        for sampler, first_step, end in zip(
            self._samplers, first_steps, [*first_steps[1:], self.total_steps], strict=True
        ):
            self._phases.append(_Phase(sampler, first_step, epoch))
            epoch += -(-(end - first_step) * self.batch_size // max(1, len(sampler)))

    def phase(self, step: int) -> int:
        """The phase that a step belongs to."""
        return max(number for number, phase in enumerate(self._phases) if phase.first_step <= step)

    def stretches(self) -> list[range]:
        """The steps of each phase that has any."""
        ends = [phase.first_step for phase in self._phases[1:]] + [self.total_steps]
        found = [range(phase.first_step, end) for phase, end in zip(self._phases, ends, strict=True)]
        return [steps for steps in found if steps]

    def max_seq_length(self, step: int) -> int:
        """Tokens a sequence in this step."""
        return self._lengths[self.phase(step)]

    def micro_batch_size(self, step: int) -> int:
        return self._micro_batch_size(self.max_seq_length(step))

    def epoch(self, step: int) -> float:
        phase = self._phases[self.phase(max(0, step - 1))]
        return phase.first_epoch + (step - phase.first_step) * self.batch_size / len(phase.sampler)

    def examples(self, step: int) -> list[Reference]:
        number = self.phase(step)
        phase = self._phases[number]
        first = (step - phase.first_step) * self.batch_size
        references = []
        for n in range(first, first + self.batch_size):
            epoch, position = divmod(n, len(phase.sampler))
            epoch += phase.first_epoch
            references.append(Reference(number, epoch, self._order(number, epoch)(position)))
        if self._kept is not None:
            references += [reference._replace(is_kept=True) for reference in self._kept.examples(step)]
        return references

    def example(self, reference: Reference) -> Example:
        """One example before masking."""
        phase, epoch, number, is_kept = reference
        if is_kept and self._kept is not None:
            return self._kept.example(reference._replace(is_kept=False))
        return self._phases[phase].sampler.example(0 if self._static else epoch, number)

    def fetch(self, references: Sequence[Reference]) -> dict[str, Any]:
        return self._collate(_features(self._store, map(self.example, references)))

    def _order(self, phase: int, epoch: int) -> Permutation:
        if (phase, epoch) not in self._orders:
            self._orders = {(phase, epoch): self._phases[phase].sampler.epoch_order(epoch)}
        return self._orders[phase, epoch]


class EvaluationSet:
    """A fixed set of held-out examples with fixed masks, for one sequence length."""

    def __init__(
        self,
        store: CorpusStore,
        documents: DocumentSet,
        data: DataSettings,
        collate: DataCollatorForBertPretraining,
        max_seq_length: int,
        seed: int,
    ) -> None:
        self._store = store
        self._sampler = sampler_for(store, documents, data, max_seq_length, key(seed, _EVALUATION))
        self._order = self._sampler.epoch_order(0)
        self._collate = collate
        self._size = min(data.max_eval_examples, len(self._sampler))

    def __len__(self) -> int:
        return self._size

    def say_share(self, flag: str) -> None:
        """Says of how many held-out examples these are some, where they are not all; ``flag`` takes more of them."""
        if self._size < len(self._sampler):
            console.note(f"evaluated: {self._size:,} of {len(self._sampler):,} held-out examples ({flag} takes more)")

    def fetch(self, positions: Sequence[int]) -> dict[str, Any]:
        """The collated batch of some of its examples (0 … len - 1)."""
        return self._collate(
            _features(self._store, (self._sampler.example(0, self._order(position)) for position in positions))
        )
