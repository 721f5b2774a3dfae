"""The cloze test (Taylor 1953): how often a BERT's guess at a ``[MASK]`` is a right word."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.assets import EMBEDDED_CLOZE
from bertkit.errors import BertkitError
from bertkit.inference.mask_filling.filler import MASK, Candidate, MaskFiller
from bertkit.intervals import wilson_interval
from bertkit.io.cells import text_of
from bertkit.io.tables import TABLE_SUFFIXES, form, read_rows

SHOWN_GUESSES = 5
_RANKED = 100
"""How many guesses are searched for a right one. A later one would add less than 0.01 to a sentence's reciprocal rank."""
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Cloze:
    """A sentence with one ``[MASK]`` and the words that are right there."""

    sentence: str
    answers: tuple[str, ...]


def read_cloze(path: Path) -> list[Cloze]:
    """Reads a table with the columns ``sentence`` and ``answers`` (such as ``am|was``).

    Raises:
        BertkitError: the file cannot be read, is no such table or has no rows; or a sentence does not have exactly one
            ``[MASK]`` and at least one answer.
    """
    if not path.is_file():
        raise BertkitError(f"no file {path}: give a table with the columns sentence and answers")
    if form(path) == "txt":
        raise BertkitError(f"{path} has no columns: give a table ({', '.join(TABLE_SUFFIXES)})")
    sentences = [_cloze(place, row) for place, row in read_rows(path)]
    if not sentences:
        raise BertkitError(f"{path} has no rows: give sentences with one {MASK} each, and their answers")
    return sentences


def _cloze(place: str, row: dict[str, Any]) -> Cloze:
    missing = [name for name in ("sentence", "answers") if name not in row]
    if missing:
        there = ", ".join(map(str, row)) or "nothing"
        raise BertkitError(f"{place} has no '{missing[0]}', only {there}: the columns are sentence and answers")
    sentence = text_of(place, row, "sentence")
    joined = text_of(place, row, "answers", "write words with | between them (am|was)")
    answers = [word.strip() for word in joined.split("|")]
    if sentence.count(MASK) != 1:
        raise BertkitError(
            f"{place} has {sentence.count(MASK)} {MASK} in its sentence: put one where a word is missing"
        )
    if not all(answers):
        raise BertkitError(f"{place} has an empty answer: give words, with | between them (am|was)")
    return Cloze(sentence, tuple(answers))


def rank_of(answers: Sequence[str], guesses: Sequence[str]) -> int | None:
    """The rank, from 1, of the first right guess, upper or lower case; None where no guess is right.

    Example:
        >>> rank_of(["am", "was"], ["is", "Was", "am"])
        2
    """
    right = {answer.lower() for answer in answers}
    return next((rank for rank, guess in enumerate(guesses, start=1) if guess.lower() in right), None)


def evaluate_cloze(model: str, path: Path | None, device: str | None) -> dict[str, Any]:
    """Runs the cloze test on a model.

    Args:
        model: a folder, a hub name, or "embedded".
        path: the sentences, as for ``read_cloze``; None takes the 200 that come with bertkit.
        device: as for ``MaskFiller``.

    Returns:
        ``top_1`` and ``top_5`` (shares, each with a 95 % interval); ``mean_reciprocal_rank`` (ranks beyond 100 count as
        0); ``unknown`` (sentences that the model cannot get right, as none of their answers is a single word piece to
        it); and ``guesses``, an object per sentence.

    Raises:
        BertkitError: the sentences or the model cannot be read, or a sentence is too long for the model.
    """
    clozes = read_cloze(path or EMBEDDED_CLOZE)
    filler = MaskFiller(model, device, texts=len(clozes))
    figures = cloze_figures(filler, clozes)
    filler.misread.say("read alike", "the cloze sentences")
    return {"model": model, "cloze": str(path or EMBEDDED_CLOZE.name), **figures}


def cloze_figures(filler: MaskFiller, clozes: Sequence[Cloze]) -> dict[str, Any]:
    """The figures of ``evaluate_cloze`` on some sentences, with how many they are.

    Raises:
        BertkitError: a sentence is too long for the model.
    """
    ranked = _ranked(filler, [cloze.sentence for cloze in clozes])
    read = [_as_read(filler, cloze.answers) for cloze in clozes]
    ranks = [
        rank_of(answers, [guess.token_str for guess in guesses]) for answers, guesses in zip(read, ranked, strict=True)
    ]
    figures: dict[str, Any] = {"sentences": len(clozes)}
    for k in (1, 5):
        hits = sum(rank is not None and rank <= k for rank in ranks)
        figures[f"top_{k}"] = hits / len(ranks)
        figures[f"top_{k}_interval_95"] = list(wilson_interval(hits, len(ranks)))
    figures["mean_reciprocal_rank"] = sum(1 / rank for rank in ranks if rank) / len(ranks)
    figures["unknown"] = sum(not answers for answers in read)
    figures["guesses"] = [
        {
            "sentence": cloze.sentence,
            "answers": list(cloze.answers),
            "rank": rank,
            "predictions": [{"score": guess.score, "token_str": guess.token_str} for guess in guesses[:SHOWN_GUESSES]],
        }
        for cloze, rank, guesses in zip(clozes, ranks, ranked, strict=True)
    ]
    return figures


def unknown_answers(filler: MaskFiller, clozes: Sequence[Cloze]) -> int:
    """How many sentences a model cannot get right, as none of their answers is a single word piece to it."""
    return sum(not _as_read(filler, cloze.answers) for cloze in clozes)


def _ranked(filler: MaskFiller, sentences: Sequence[str]) -> list[list[Candidate]]:
    """The best guesses for the single mask of each sentence."""
    ranked: list[list[Candidate]] = []
    with console.progress("filling", len(sentences), "sentence") as line:
        for start in range(0, len(sentences), _AT_ONCE):
            filled = filler.fill(sentences[start : start + _AT_ONCE], _RANKED)
            ranked += [masks[0] for masks in filled]
            line.update(len(ranked))
    return ranked


def _as_read(filler: MaskFiller, answers: Sequence[str]) -> list[str]:
    """The answers that are a single word piece to the model, as it reads them: perhaps without capitals and accents."""
    text_encoder = filler.reader.text_encoder
    spelt = [text_encoder.spelt(answer) for answer in answers]
    return [
        text_encoder.decode(ids)
        for ids in spelt
        if len(ids) == 1 and ids[0] != text_encoder.vocab[text_encoder.unk_token]
    ]
