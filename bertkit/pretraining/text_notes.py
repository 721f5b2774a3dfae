"""What is said of a prepared text: what was left out, what its tokenizer changes or does not know, what is held out."""

from collections.abc import Sequence
from typing import Any

from bertkit import console
from bertkit.console import counted, listed
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.sentences import GENERAL, has_rules
from bertkit.corpus.statistics import TextReport
from bertkit.corpus.store import CorpusInfo, CorpusStore
from bertkit.corpus.unknown import MORE_PIECES, unknown_text
from bertkit.pretraining.split import DocumentSet

_SOME_UNKNOWN, _MANY_UNKNOWN = 0.001, 0.005
"""Shares of the tokens from which on they are said, and warned of; ``inspect`` shows any."""


def say_repeated(info: CorpusInfo, names: Sequence[str]) -> None:
    """Says what was left out because it had occurred before; nothing if nothing was looked for."""
    if not info.repeated:
        return
    what = next(one for one in info.repeated if one != "characters")
    told = "near duplicates of earlier documents" if what == "near-duplicates" else f"{what} that had occurred before"
    console.note(
        console.plain(
            f"{listed(names, 1)}: {info.repeated[what]:,} {told} are left out, {info.repeated['characters']:,} characters "
            f"(data.deduplicate={what}; without it they stay)"
        )
    )


def say_language(language: str) -> None:
    """Says, once for all texts of a run, where a language has no rules of its own, or is no language's code."""
    if language != GENERAL and not has_rules(language):
        console.note_once(
            f"data.language {language}: sentencex has no other rules for it than those of English, by which the sentences are "
            "split (most languages go by two letters, as de)"
        )


def say_changes(report: TextReport) -> None:
    """Says what the tokenizer changes in the text; nothing where it changes nothing."""
    told = report.changes()
    if told is not None:
        (console.warn if report.is_harmful else console.note)(console.plain(told))
    for line in report.advice():
        console.warn(console.plain(line))


def say_unknown(store: CorpusStore, tokenizer: Any, of: str, preparation: Preparation | None = None) -> None:
    """Says how much of a text the tokenizer does not know, and why; of a text that was prepared before, in tokens alone."""
    if tokenizer.unk_token_id is None:
        return
    unknown, tokens = int(store.token_counts[tokenizer.unk_token_id]), store.info.tokens
    if unknown <= _SOME_UNKNOWN * tokens:
        return
    told = f"{of}{counted(unknown, f'of {tokens:,} tokens is', f'of {tokens:,} tokens are')} [UNK] ({unknown / tokens:.2%})"
    if preparation is None:
        told += f": characters without a word piece ({MORE_PIECES}), or words too long for one"
    else:
        told += f", {unknown_text(preparation, tokenizer.backend_tokenizer, tokenizer.unk_token_id).told()}"
    (console.warn if unknown > _MANY_UNKNOWN * tokens else console.note)(console.plain(told))


def say_what_is_held_out(training: DocumentSet, held_out: DocumentSet, asked: float, of: str = "") -> None:
    """Says how much of a text is held out of it, where ``asked`` of it was to be; ``of`` names it among others."""
    share = held_out.tokens / (training.tokens + held_out.tokens)
    if share:
        is_least = share > 1.25 * asked
        more = f", more than the {asked:.1%} asked for: less would give no figure" if is_least else ""
        other = "0 (none)" if is_least else "0.1"
        console.note(
            f"{console.plain(of)}{training.tokens:,} tokens to train on, {held_out.tokens:,} held out for validation "
            f"({share:.1%}{more}; change it with --validation FILE or --set data.validation_split={other})"
        )
