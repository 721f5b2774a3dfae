"""The pretraining data of a run, step by step, and its fixed evaluation set."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, groupby, pairwise
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from bertkit import console
from bertkit.corpus.store import check_ids
from bertkit.draws import Permutation, key
from bertkit.models.bert import IGNORE
from bertkit.pretraining.collator import DataCollatorForBertPretraining
from bertkit.pretraining.extent import longest_example
from bertkit.pretraining.mix import examples_of, seed_of
from bertkit.pretraining.pairs import Example, PairSampler
from bertkit.pretraining.texts import RunText
from bertkit.settings.schema import DataSettings
from bertkit.training.schedule import Course

_EVALUATION = 0xE7A1
"""Tells the draws of the evaluation set from those of training."""


class Reference(NamedTuple):
    """An example by what it is a function of."""

    phase: int
    epoch: int
    number: int
    text: int = 0
    """The number of the text that the example comes from."""


@dataclass(frozen=True)
class _Phase:
    sampler: PairSampler
    first: int
    """How many examples of the text come before this phase."""
    end: int
    """How many come before the next one."""
    first_epoch: int


def sampler_for(text: RunText, data: DataSettings, max_seq_length: int, seed: int) -> PairSampler:
    """The examples of one sequence length under the settings of a recipe."""
    return PairSampler(text.store, text.documents, max_seq_length, data.sentence_objective, data.short_seq_prob, seed)


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


def _features(texts: Sequence[RunText], drawn: Iterable[tuple[int, Example]]) -> list[dict[str, Any]]:
    """Examples as the collator takes them, of which no id is beyond the vocabulary.

    Args:
        texts: the texts.
        drawn: examples, each with the number of its text.

    Raises:
        BertkitError: one is: the store is damaged.
    """
    features = []
    for number, examples in groupby(drawn, key=itemgetter(0)):
        some = [feature(example) for _, example in examples]
        segments = [one[name] for one in some for name in ("a", "b") if one[name] is not None]
        check_ids(texts[number].store, np.concatenate(segments))
        features += some
    return features


class _Stream:
    """The examples of one text in the order of training.

    Example ``n`` of a phase is at position ``n mod len`` of the shuffled order of epoch ``n div len``. Phases differ in sequence
    length; the numbers of the epochs continue from one phase to the next.
    """

    def __init__(self, text: RunText, number: int, data: DataSettings, seed: int) -> None:
        self._number, self._static = number, data.static_masking
        self._samplers = [sampler_for(text, data, tokens, seed_of(seed, number)) for _, tokens in data.phases]
        self._orders: dict[tuple[int, int], Permutation] = {}
        self._phases: list[_Phase] = []

    def divide(self, ends: Sequence[int]) -> None:
        """Sets the phases: ``ends`` are the numbers of examples of this text before each phase and, last, in the whole run."""
        self._phases, epoch = [], 0
        for sampler, (first, end) in zip(self._samplers, pairwise(ends), strict=True):
            self._phases.append(_Phase(sampler, first, end, epoch))
            epoch += -(-(end - first) // max(1, len(sampler)))

    def epoch_lengths(self) -> list[int]:
        """The number of examples of an epoch, by phase."""
        return list(map(len, self._samplers))

    def passes(self, met: float = inf) -> float:
        """How many times the text is read by its first ``met`` examples, or in the whole run."""
        return sum((min(met, one.end) - one.first) / len(one.sampler) for one in self._phases if one.first < met)

    def references(self, number: int, examples: range) -> list[Reference]:
        """References to examples of phase ``number``; each is given by how many examples of this text come before it."""
        phase = self._phases[number]
        found = []
        for n in examples:
            epoch, position = divmod(n - phase.first, len(phase.sampler))
            epoch += phase.first_epoch
            found.append(Reference(number, epoch, self._order(number, epoch)(position), self._number))
        return found

    def example(self, reference: Reference) -> Example:
        sampler = self._samplers[reference.phase]
        return sampler.example(0 if self._static else reference.epoch, reference.number)

    def _order(self, phase: int, epoch: int) -> Permutation:
        if (phase, epoch) not in self._orders:
            self._orders = {(phase, epoch): self._samplers[phase].epoch_order(epoch)}
        return self._orders[phase, epoch]


class PretrainingPlan:
    """Which examples each optimizer step sees (a ``training.steps.StepPlan``).

    Each text keeps its share of the examples at every step (see ``mix.examples_of``) and is read epoch after epoch. A position in
    the run is given by the step alone.

    Args:
        texts: the texts, prepared with the same tokenizer. The first one's epochs are those of the run.
        batch_size: examples a step.
    """

    def __init__(
        self,
        texts: Sequence[RunText],
        data: DataSettings,
        collate: DataCollatorForBertPretraining,
        batch_size: int,
        total_steps: int,
        seed: int,
        micro_batch_size: Callable[[int], int],
    ) -> None:
        self._texts, self._data, self._shares = texts, data, [text.share for text in texts]
        self._streams = [_Stream(text, number, data, seed) for number, text in enumerate(texts)]
        self.batch_size = batch_size
        self._collate, self._micro_batch_size = collate, micro_batch_size
        self._lengths = [tokens for _, tokens in data.phases]
        ends = accumulate(share for share, _ in data.phases[:-1])
        self._starts: list[float] = [0, *(round(end * total_steps) for end in ends)]
        self.refit(Course(total_steps))

    def refit(self, course: Course) -> None:
        """Gives the steps that are left another number; those before stay as they are."""
        self.course, self.total_steps = course, course.total_steps
        every_step = range(self.total_steps + 1)
        self._first_steps = [bisect_left(every_step, start, key=course.position) for start in self._starts]
        met = [self._met(step) for step in (*self._first_steps, self.total_steps)]
        for stream, ends in zip(self._streams, zip(*met, strict=True), strict=True):
            stream.divide(ends)

    def _met(self, step: int) -> list[int]:
        """The number of examples of each text before a step."""
        return examples_of(self._shares, step * self.batch_size)

    def passes(self) -> list[float]:
        """How many times each text is read in the whole run."""
        return [stream.passes() for stream in self._streams]

    def say_few_examples(self) -> None:
        """Warns of each text that is read more than once in a single step."""
        for text, stream in zip(self._texts, self._streams, strict=True):
            tokens, examples = min(zip(self._lengths, stream.epoch_lengths(), strict=True), key=itemgetter(1))
            if (times := self.batch_size * text.share / examples) > 1:
                which, other = (text.name, " or its share") if text.name else ("the corpus", "")
                console.warn(
                    f"{console.plain(which)} has {text.documents.tokens:,} tokens to train on, which are "
                    f"{console.counted(examples, 'example', 'examples')} of {tokens}: a batch of {self.batch_size} reads it "
                    f"{times:.1f} times; give more text, or lower --batch-size{other}"
                )

    def phase(self, step: int) -> int:
        """The phase that a step belongs to."""
        return max(number for number, first in enumerate(self._first_steps) if first <= step)

    def stretches(self) -> list[range]:
        """The steps of each phase that has any."""
        found = [range(first, end) for first, end in pairwise((*self._first_steps, self.total_steps))]
        return [steps for steps in found if steps]

    def max_seq_length(self, step: int) -> int:
        """Tokens a sequence in this step."""
        return self._lengths[self.phase(step)]

    def longest_example(self) -> int:
        """The most tokens that an example of the run can have, by the steps of the phases and by the documents."""
        lengths = [self.max_seq_length(steps.start) for steps in self.stretches()]
        return max(longest_example(text, self._data, tokens) for text in self._texts for tokens in lengths)

    def micro_batch_size(self, step: int) -> int:
        return self._micro_batch_size(self.max_seq_length(step))

    def epoch(self, step: int) -> float:
        return self._streams[0].passes(self._met(step)[0])

    def examples(self, step: int) -> list[Reference]:
        phase, references = self.phase(step), []
        for stream, first, end in zip(self._streams, self._met(step), self._met(step + 1), strict=True):
            references += stream.references(phase, range(first, end))
        return references

    def example(self, reference: Reference) -> Example:
        """One example before masking."""
        return self._streams[reference.text].example(reference)

    def fetch(self, references: Sequence[Reference]) -> dict[str, Any]:
        drawn = ((reference.text, self.example(reference)) for reference in references)
        return self._collate(_features(self._texts, drawn))


class HeldOutExamples:
    """A fixed set of examples of one sequence length.

    Args:
        texts: the texts. Each has its share of the examples; a text with too few of them is read several times.
        data: the settings of the examples.
        max_seq_length: tokens per sequence.
        seed: the seed of all draws.
        most: the largest number of examples. There are never more than all texts have in one reading.
    """

    def __init__(self, texts: Sequence[RunText], data: DataSettings, max_seq_length: int, seed: int, most: int) -> None:
        self._texts = texts
        self._samplers = [
            sampler_for(text, data, max_seq_length, seed_of(seed, number)) for number, text in enumerate(texts)
        ]
        self.there = sum(map(len, self._samplers))
        self._ends = [0, *accumulate(examples_of([text.share for text in texts], min(most, self.there)))]
        self._order = lru_cache(len(texts))(lambda text, epoch: self._samplers[text].epoch_order(epoch))

    def __len__(self) -> int:
        return self._ends[-1]

    def example(self, position: int) -> tuple[int, Example]:
        """The example at a position (0 … len - 1), after the number of its text."""
        text = bisect_right(self._ends, position) - 1
        epoch, place = divmod(position - self._ends[text], len(self._samplers[text]))
        return text, self._samplers[text].example(epoch, self._order(text, epoch)(place))


class EvaluationSet(HeldOutExamples):
    """A fixed set of held-out examples with fixed masks, for one sequence length."""

    def __init__(
        self,
        texts: Sequence[RunText],
        data: DataSettings,
        collate: DataCollatorForBertPretraining,
        max_seq_length: int,
        seed: int,
    ) -> None:
        super().__init__(texts, data, max_seq_length, key(seed, _EVALUATION), data.max_eval_examples)
        self._collate = collate

    def say_share(self, flag: str) -> None:
        """Says of how many held-out examples these are some, where they are not all; ``flag`` takes more of them.

        Of several texts it says how many examples of each there are, where a share is not what there is.
        """
        if len(self) < self.there:
            console.note(f"evaluated: {len(self):,} of {self.there:,} held-out examples ({flag} takes more)")
        drawn = [end - begin for begin, end in pairwise(self._ends)]
        there = list(map(len, self._samplers))
        if len(drawn) > 1 and drawn != there:
            each = ", ".join(
                f"{text.name} {some:,} of {all_:,}" + (f", read {some / all_:.1f} times" if some > all_ else "")
                for text, some, all_ in zip(self._texts, drawn, there, strict=True)
            )
            console.note(console.plain(f"each text has its share of the evaluated examples: {each}"))

    def has_predictions(self) -> bool:
        """Whether a token is predicted in any of the examples; none is in text that is all unknown to the tokenizer."""
        return any(bool((self.fetch([number])["labels"] != IGNORE).any()) for number in range(len(self)))

    def fetch(self, positions: Sequence[int]) -> dict[str, Any]:
        """The collated batch of some of its examples (0 … len - 1)."""
        return self._collate(_features(self._texts, map(self.example, positions)))
