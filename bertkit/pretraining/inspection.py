"""``bertkit inspect``: figures of a corpus, warnings, and examples with their masks, as training would see them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.corpus.statistics import TextReport
from bertkit.corpus.store import CorpusStore, is_store
from bertkit.corpus.words import WordCuts, is_word_by_word, word_cuts
from bertkit.draws import mix_array
from bertkit.models.bert import IGNORE
from bertkit.models.tokenizer import special_ids
from bertkit.pretraining.dataset import PretrainingPlan
from bertkit.pretraining.job import plan_of, sequences
from bertkit.pretraining.mix import facts_of
from bertkit.pretraining.prepare import preparation_of
from bertkit.pretraining.request import PretrainRequest, ResolvedRequest, resolve
from bertkit.pretraining.texts import Prepared

_BATCH = 256
_WORST_SHOWN = 50
_ADDED = (100, 1_000)
"""For these numbers of added words the savings are computed."""
_DUPLICATES_LOOKED_AT = 5_000_000
"""At most so many sentences and documents are searched for duplicates: that is enough to know the share."""


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


@dataclass(frozen=True)
class CorpusReport:
    """Figures of a corpus. Shares are between 0 and 1; lengths are in tokens."""

    documents: int
    sentences: int
    tokens: int
    training_tokens: int
    held_out_tokens: int
    vocab_size: int
    tokens_per_document_mean: float
    tokens_per_document_median: float
    one_sentence_documents: float
    unknown_tokens: float
    duplicate_sentences: float
    duplicate_documents: float
    unigram_entropy: float
    most_frequent_token: float


@dataclass(frozen=True)
class ExampleReport:
    """Figures of examples as training sees them."""

    examples: int
    mean_length: float
    length_use: float
    """The tokens of the examples, as a share of the ``max_seq_length`` tokens that each has room for in its step."""
    without_pair: float
    random_b: float
    """The share of random pairs (label 1) among the pairs."""
    predicted: float
    """The share of the tokens, without special tokens, that are predicted."""
    shown_as_mask: float
    shown_as_random: float
    shown_as_is: float


def corpus_report(prepared: Prepared) -> CorpusReport:
    """The figures of a prepared corpus; of a mix, those of all its texts as they are, without their shares."""
    stores, baseline, tokens = prepared.stores, prepared.baseline, prepared.total("tokens")
    unknown: int = prepared.tokenizer.unk_token_id
    starts = [np.asarray(store.document_starts) for store in stores]
    tokens_per_document = np.concatenate(
        [np.diff(np.asarray(store.sentence_starts)[own]) for store, own in zip(stores, starts, strict=True)]
    )
    hashes: list[np.ndarray] = []
    for store in stores:
        hashes.append(_sentence_hashes(store, _DUPLICATES_LOOKED_AT - sum(map(len, hashes)), unknown))
    documents = [
        _document_hashes(some, own[: np.searchsorted(own, len(some), side="right")])
        for some, own in zip(hashes, starts, strict=True)
    ]
    return CorpusReport(
        documents=prepared.total("documents"),
        sentences=prepared.total("sentences"),
        tokens=tokens,
        training_tokens=sum(text.documents.tokens for text in prepared.training),
        held_out_tokens=sum(text.documents.tokens for text in prepared.validation),
        vocab_size=stores[0].info.vocab_size,
        tokens_per_document_mean=float(tokens_per_document.mean()),
        tokens_per_document_median=float(np.median(tokens_per_document)),
        one_sentence_documents=float((np.concatenate([np.diff(own) for own in starts]) == 1).mean()),
        unknown_tokens=sum(int(store.token_counts[unknown]) for store in stores) / tokens,
        duplicate_sentences=_duplicates(np.concatenate(hashes)),
        duplicate_documents=_duplicates(np.concatenate(documents)),
        unigram_entropy=baseline.entropy,
        most_frequent_token=baseline.most_frequent,
    )


def _sentence_hashes(store: CorpusStore, most: int, unknown: int) -> np.ndarray:
    """A hash of each sentence, from its tokens and their order, for at most ``most`` sentences: uint64.

    An unknown token may stand for any word, so it is taken for another one wherever it occurs.
    """
    n = min(store.info.sentences, most)
    starts = np.asarray(store.sentence_starts[: n + 1])
    ids = np.asarray(store.ids[: starts[-1]], dtype=np.uint64)
    is_unknown = ids == unknown
    ids[is_unknown] = store.info.vocab_size + np.flatnonzero(is_unknown)
    place = np.arange(len(ids), dtype=np.uint64) - np.repeat(starts[:-1], np.diff(starts)).astype(np.uint64)
    return _folded(ids, place, starts[:-1])


def _document_hashes(sentence_hashes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    if len(starts) < 2:
        return sentence_hashes[:1]
    hashes = sentence_hashes[: starts[-1]]
    place = np.arange(len(hashes), dtype=np.uint64) - np.repeat(starts[:-1], np.diff(starts)).astype(np.uint64)
    return _folded(hashes, place, starts[:-1])


def _folded(values: np.ndarray, place: np.ndarray, starts: np.ndarray) -> np.ndarray:
    if not len(starts):
        return values[:0]
    with np.errstate(over="ignore"):
        return np.add.reduceat(mix_array(mix_array(values + np.uint64(1)) + place), starts)


def _duplicates(hashes: np.ndarray) -> float:
    """The share of hashes that have occurred before."""
    return 1 - len(np.unique(hashes)) / max(1, len(hashes))


def _lengths(plan: PretrainingPlan) -> Iterator[int]:
    """The ``max_seq_length`` of each example of a run."""
    return (plan.max_seq_length(step) for step in range(plan.total_steps) for _ in range(plan.batch_size))


def dumped(plan: PretrainingPlan, tokenizer: Any, n: int) -> Iterator[dict[str, Any]]:
    """The first ``n`` examples that training would see, or all if they are fewer, in their order, masked and without padding.

    Yields:
        ``input_ids``, ``labels``, ``token_type_ids`` (lists of int), ``next_sentence_label`` (int) and ``tokens`` (the
        word pieces of ``input_ids``).
    """
    references = (reference for step in range(plan.total_steps) for reference in plan.examples(step))
    left = min(n, plan.total_steps * plan.batch_size)
    while left > 0:
        batch = plan.fetch(list(islice(references, min(_BATCH, left))))
        arrays = {name: tensor.numpy() for name, tensor in batch.items()}
        for row, length in enumerate(arrays["attention_mask"].sum(axis=1).tolist()):
            ids = arrays["input_ids"][row, :length].tolist()
            yield {
                "input_ids": ids,
                "labels": arrays["labels"][row, :length].tolist(),
                "token_type_ids": arrays["token_type_ids"][row, :length].tolist(),
                "next_sentence_label": int(arrays["next_sentence_label"][row]),
                "tokens": tokenizer.convert_ids_to_tokens(ids),
            }
        left -= _BATCH


def example_report(examples: list[dict[str, Any]], room: int, special: list[int], mask_id: int) -> ExampleReport:
    """The figures of some dumped examples, which have room for so many tokens together."""
    ids = np.concatenate([example["input_ids"] for example in examples])
    labels = np.concatenate([example["labels"] for example in examples])
    pairs = np.array([example["next_sentence_label"] for example in examples])
    predicted = labels != IGNORE
    true_ids = np.where(predicted, labels, ids)
    shown, total = ids[predicted], max(1, int(predicted.sum()))
    as_mask, as_is = (shown == mask_id).sum() / total, (shown == labels[predicted]).sum() / total
    return ExampleReport(
        examples=len(examples),
        mean_length=len(ids) / len(examples),
        length_use=len(ids) / room,
        without_pair=float((pairs == IGNORE).mean()),
        random_b=float((pairs == 1).sum() / max(1, (pairs != IGNORE).sum())),
        predicted=float(predicted.sum() / max(1, (~np.isin(true_ids, special)).sum())),
        shown_as_mask=float(as_mask),
        shown_as_random=float(1 - as_mask - as_is),
        shown_as_is=float(as_is),
    )


def warnings(
    corpus: CorpusReport,
    examples: ExampleReport,
    objective: str,
    text: TextReport | None = None,
    goes_on: bool = False,
) -> list[str]:
    """Warnings of what commonly ruins a run; ``goes_on`` is whether it goes on from a model."""
    lines = []
    if corpus.duplicate_sentences > 0.3:
        lines.append(
            f"{corpus.duplicate_sentences:.0%} of the sentences have occurred before: a model learns duplicates by heart "
            "and its loss gets stuck or lies; remove repeated lines, headers and boilerplate (--set data.deduplicate=lines)"
        )
    if corpus.duplicate_documents > 0.1:
        lines.append(
            f"{corpus.duplicate_documents:.0%} of the documents have occurred before: remove the copies (--set "
            "data.deduplicate=documents)"
        )
    if corpus.sentences > _DUPLICATES_LOOKED_AT:
        lines.append(
            f"duplicates were looked for among the first {_DUPLICATES_LOOKED_AT:,} of {corpus.sentences:,} sentences: the shares "
            "are of those"
        )
    if corpus.unknown_tokens > 0.01:
        other = "train one on it (leave out --tokenizer), or raise --vocab-size"
        lines.append(
            f"{corpus.unknown_tokens:.1%} of the tokens are [UNK], and sentences with such a token are not among the duplicates "
            "that are counted: the tokenizer does not fit this text; "
            + ("give frequent words tokens of their own (pretrain --add-words N)" if goes_on else other)
        )
    wants_pairs = objective != "none"
    if corpus.documents == 1 and objective == "nsp":
        lines.append(
            "the corpus is a single document (a blank line ends a document): a random second segment comes from a far "
            "part of it, which makes next-sentence prediction harder and less clear"
        )
    elif corpus.one_sentence_documents > 0.5 and wants_pairs:
        lines.append(
            f"{corpus.one_sentence_documents:.0%} of the documents have one sentence and so no next one: put a blank line "
            "between documents only, or use --set sentence_objective=none"
        )
    if wants_pairs and examples.without_pair > 0.5:
        lines.append(f"{examples.without_pair:.0%} of the examples have no second segment to judge")
    if examples.length_use < 0.5:
        lines.append(
            f"sequences fill {examples.length_use:.0%} of their length (documents have {corpus.tokens_per_document_median:.0f} "
            "tokens in the middle): a lower --seq-len loses nothing and is faster"
        )
    if text is not None:
        changes = text.changes()
        lines += [*([changes] if changes else []), *text.advice(), *text.on_spaces()]
    if corpus.tokens < 1_000_000 and not goes_on:
        lines.append(
            f"{corpus.tokens:,} tokens are little for pretraining: consider going on from a model with --model"
        )
    return lines


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
