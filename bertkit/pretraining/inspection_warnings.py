"""Warnings of what commonly ruins a pretraining run, from the figures of its corpus and examples."""

from collections.abc import Iterator

from bertkit.corpus.statistics import TextReport
from bertkit.pretraining.corpus_report import DUPLICATES_LOOKED_AT, CorpusReport
from bertkit.pretraining.example_report import ExampleReport

_LITTLE_TOKENS = 1_000_000


def warnings(
    corpus: CorpusReport,
    examples: ExampleReport,
    objective: str,
    text: TextReport | None = None,
    goes_on: bool = False,
) -> list[str]:
    """The warnings, a line each.

    Args:
        corpus, examples: the figures.
        objective: ``data.sentence_objective``.
        text: what the tokenizer does to the text, where it was read now.
        goes_on: whether the run goes on from a model.
    """
    told = [*_of_repeats(corpus), *_of_unknown(corpus, goes_on), *_of_pairs(corpus, examples, objective)]
    if examples.length_use < 0.5:
        told.append(
            f"sequences fill {examples.length_use:.0%} of their length (documents have {corpus.tokens_per_document_median:.0f} "
            "tokens in the middle): a lower --seq-len loses nothing and is faster"
        )
    if text is not None:
        changes = text.changes()
        told += [*([changes] if changes else []), *text.advice(), *text.on_spaces()]
    if corpus.tokens < _LITTLE_TOKENS and not goes_on:
        told.append(f"{corpus.tokens:,} tokens are few for pretraining: consider going on from a model with --model")
    return told


def _of_repeats(corpus: CorpusReport) -> Iterator[str]:
    if corpus.duplicate_sentences > 0.3:
        yield (
            f"{corpus.duplicate_sentences:.0%} of the sentences have occurred before: a model learns duplicates by heart "
            "and its loss gets stuck or lies; remove repeated lines, headers and boilerplate (--set data.deduplicate=lines)"
        )
    if corpus.duplicate_documents > 0.1:
        yield (
            f"{corpus.duplicate_documents:.0%} of the documents have occurred before: remove the copies (--set "
            "data.deduplicate=documents)"
        )
    if corpus.sentences > DUPLICATES_LOOKED_AT:
        yield (
            f"duplicates were looked for among the first {DUPLICATES_LOOKED_AT:,} of {corpus.sentences:,} sentences: the shares "
            "are of those"
        )


def _of_unknown(corpus: CorpusReport, goes_on: bool) -> Iterator[str]:
    if corpus.unknown_tokens > 0.01:
        other = "train one on it (leave out --tokenizer), or raise --vocab-size"
        to_do = "give frequent words tokens of their own (pretrain --add-words N)" if goes_on else other
        yield (
            f"{corpus.unknown_tokens:.1%} of the tokens are [UNK], and sentences with such a token are not among the duplicates "
            f"that are counted: the tokenizer does not fit this text; {to_do}"
        )


def _of_pairs(corpus: CorpusReport, examples: ExampleReport, objective: str) -> Iterator[str]:
    if objective == "none":
        return
    if corpus.documents == 1 and objective == "nsp":
        yield (
            "the corpus is a single document (a blank line ends a document): a random second segment comes from a far "
            "part of it, which makes next-sentence prediction harder and less clear"
        )
    elif corpus.one_sentence_documents > 0.5:
        yield (
            f"{corpus.one_sentence_documents:.0%} of the documents have one sentence and so no next one: put a blank line "
            "between documents only, or use --set sentence_objective=none"
        )
    if examples.without_pair > 0.5:
        yield f"{examples.without_pair:.0%} of the examples have no second segment to judge"
