"""``bertkit inspect``: figures of a corpus, warnings, and examples with their masks, as training would see them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

from bertkit.corpus.statistics import TextReport
from bertkit.corpus.store import is_store
from bertkit.corpus.words import WordCuts, is_word_by_word, word_cuts
from bertkit.models.tokenizer import special_ids
from bertkit.pretraining.corpus_report import CorpusReport, corpus_report
from bertkit.pretraining.dataset import PretrainingPlan
from bertkit.pretraining.example_report import ExampleReport, dumped, example_report
from bertkit.pretraining.inspection_warnings import warnings
from bertkit.pretraining.job import plan_of, sequences
from bertkit.pretraining.mix import facts_of
from bertkit.pretraining.prepare import preparation_of
from bertkit.pretraining.request import PretrainRequest, ResolvedRequest, resolve
from bertkit.pretraining.texts import Prepared

_WORST_SHOWN = 50
_ADDED = (100, 1_000)
"""For these numbers of added words the savings are computed."""


@dataclass(frozen=True)
class Inspection:
    """What a run would train on: its steps, its corpus, and the request."""

    plan: PretrainingPlan
    corpus: Prepared
    request: ResolvedRequest

    @cached_property
    def words(self) -> WordCuts | None:
        """How the given tokenizer cuts the words of the text. None if the tokenizer is learned on the text, if it does not
        work word by word, or if the text was prepared before."""
        asked, rules = self.request.asked, self.corpus.tokenizer.backend_tokenizer
        inputs = [one for text in self.request.texts if not text.is_kept for one in text.inputs]
        if not (asked.model or asked.tokenizer) or any(map(is_store, map(Path, inputs))) or not is_word_by_word(rules):
            return None
        return word_cuts(preparation_of(inputs, self.request.recipe), rules)

    def examples(self, n: int) -> Iterator[dict[str, Any]]:
        """The first examples of training; see ``dumped``."""
        return dumped(self.plan, self.corpus.tokenizer, n)

    def report(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """The figures of the corpus and of some of its examples, and warnings."""
        tokenizer = self.corpus.tokenizer
        corpus = corpus_report(self.corpus)
        room = sum(islice(_lengths(self.plan), len(examples)))
        seen = example_report(examples, room, special_ids(tokenizer), tokenizer.mask_token_id)
        objective = self.request.recipe.data.sentence_objective
        told = warnings(corpus, seen, objective, self.corpus.report, self.request.asked.model is not None)
        mix = facts_of(self.corpus.training, self.plan.passes())
        return mix | as_json(corpus, seen, told, self.corpus.report, self.words)


def inspect(request: PretrainRequest) -> Inspection:
    """Prepares what ``pretrain`` would train on, without training.

    Raises:
        BertkitError: the errors that ``pretrain`` would raise before its first step.
    """
    resolved = resolve(request)
    corpus, recipe = resolved.prepared(), resolved.recipe
    whole = recipe.train.batch_size
    plan = plan_of(recipe, corpus, partial(sequences, whole, whole, 1))
    plan.say_few_examples()
    return Inspection(plan, corpus, resolved)


def _lengths(plan: PretrainingPlan) -> Iterator[int]:
    """The ``max_seq_length`` of each example of a run."""
    return (plan.max_seq_length(step) for step in range(plan.total_steps) for _ in range(plan.batch_size))


def as_json(
    corpus: CorpusReport,
    examples: ExampleReport,
    told: list[str],
    text: TextReport | None = None,
    words: WordCuts | None = None,
) -> dict[str, Any]:
    """The whole report as plain values for JSON."""
    seen: dict[str, Any] = {"text": asdict(text)} if text is not None else {}
    if words is not None:
        seen["words"] = {
            "words": words.words,
            "unknown_words": words.unknown,
            "word_pieces": words.word_pieces,
            "word_pieces_a_word": words.pieces_a_word(),
            "word_pieces_a_word_after": {str(n): words.pieces_a_word(n) for n in _ADDED},
            "unknown_or_cut_into_three_or_more": len(words.worst),
            "worst": [asdict(one) for one in words.worst[:_WORST_SHOWN]],
        }
    return {"corpus": asdict(corpus), **seen, "examples": asdict(examples), "warnings": told}
