"""``bertkit score``: scores sentences, or how likely one text follows another."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

import typer

from bertkit import console
from bertkit.cli.options import Device, Json, Model, TextColumn, columns
from bertkit.cli.texts import Files, given_rows, not_blank, peeked, single, watched
from bertkit.errors import BertkitError
from bertkit.io.hub import EMBEDDED

# A sentence is read once per word piece, a pair once.
_SENTENCES_AT_ONCE, _PAIRS_AT_ONCE = 64, 1_024
_HOW = "log-probabilities in nats; each piece with the later ones of its word masked (PLL-word-l2r)"


def score(
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Sentences; - reads lines.")] = None,
    files: Files = None,
    text: TextColumn = None,
    text_pair: Annotated[str | None, typer.Option("--text-pair", help="Column of the second text, for --next.")] = None,
    model: Model = EMBEDDED,
    next_: Annotated[
        bool,
        typer.Option("--next", help="How likely B follows A: TEXT_A TEXT_B, lines with a tab between, or two columns."),
    ] = False,
    rank: Annotated[
        bool, typer.Option("--rank", help="Print the most likely first: by the score per word piece, or by --next.")
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Score sentences by their pseudo-log-likelihood, or pairs by next-sentence prediction.

    A sentence's score is the sum of the log-probabilities (nats) of its pieces,
    each masked in turn with the later ones of its word (Kauf & Ivanova 2023).
    Blank lines, which have no score, are left out, and counted.
    """
    if text_pair is not None and not next_:
        raise BertkitError("--text-pair is for pairs: add --next")
    rows = given_rows(texts, files, columns(text, text_pair), pairs=next_)
    # Typed texts are checked before torch is imported, which takes seconds.
    some, few = peeked(_pairs(texts, rows) if next_ else map(single, not_blank(rows)))
    scored = (_scored_pairs if next_ else _scored_sentences)(model, device, some, few, rank)
    if rank:
        scored = iter(sorted(scored, key=_likelihood, reverse=True))
    for number, row in enumerate(scored):
        if number == 0 and not as_json:  # by now the model is loaded, and a note has said what the scores are
            _print_header(next_)
        console.print_json(row) if as_json else _print_row(row)


def _pairs(texts: Sequence[str] | None, rows: Iterator[tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    """The pairs: two columns, or lines with a tab, or the texts of the command line two by two."""
    typed = [text for text in texts or () if text != "-"]
    if typed and len(typed) == len(texts or ()) and not any("\t" in text for text in typed):
        if len(typed) % 2:
            raise BertkitError(f"--next takes texts two and two, got {len(typed)}: give TEXT_A TEXT_B")
        for _ in range(len(typed) // 2):
            yield next(rows)[0], next(rows)[0]
    for row in not_blank(rows):
        parts = tuple(row[0].split("\t")) if len(row) == 1 else row
        if len(parts) == 2:
            yield parts[0], parts[1]
        else:
            raise BertkitError(f"no pair: '{row[0][:60]}' has {len(parts) - 1} tabs; put one between the two texts")


def _scored_sentences(
    name: str, device: str, texts: Iterator[str], few: int | None, rank: bool
) -> Iterator[dict[str, Any]]:
    from bertkit.inference.scoring import Scorer

    scorer = Scorer(name, device, few)
    console.note(f"[dim]{console.plain(name)}: {_HOW}[/]")
    for chunk in watched(_chunks(texts, _SENTENCES_AT_ONCE), "scoring", rank):
        for text, scored in zip(chunk, scorer.score(chunk), strict=True):
            yield {
                "text": text,
                "score": scored.score,
                "tokens": scored.tokens,
                "score_per_token": scored.per_token,
                "perplexity": scored.perplexity,
            }
    scorer.texts.say_cut()
    scorer.say_misread()


def _scored_pairs(
    name: str, device: str, pairs: Iterator[tuple[str, str]], few: int | None, rank: bool
) -> Iterator[dict[str, Any]]:
    from bertkit.inference.scoring import PairScorer

    scorer = PairScorer(name, device, few)
    asked = "two sentences that belong together stand in this order (SOP)"
    asked = asked if scorer.learned == "sop" else "the second text follows the first"
    console.note(f"[dim]{console.plain(name)}: probability that {asked}[/]")
    for chunk in watched(_chunks(pairs, _PAIRS_AT_ONCE), "scoring", rank):
        for (text, pair), share in zip(chunk, scorer.probabilities(chunk), strict=True):
            yield {"text": text, "text_pair": pair, "next": share}
    scorer.texts.say_cut()
    scorer.say_misread()


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(islice(items, size)):
        yield chunk


def _likelihood(row: dict[str, Any]) -> float:
    likelihood = row["next"] if "next" in row else row["score_per_token"]
    return float("-inf") if likelihood is None else float(likelihood)


def _print_header(pairs: bool) -> None:
    names = f"{'next':>7}" if pairs else f"{'score':>9} {'pieces':>6} {'a piece':>8} {'perplexity':>11}"
    console.out.print(f"[dim]{names}  text[/]")


def _print_row(row: dict[str, Any]) -> None:
    text = console.plain(row["text"])
    if "next" in row:
        console.out.print(f"[bold]{row['next']:7.2%}[/]  {text} [dim]│[/] {console.plain(row['text_pair'])}")
        return
    score, a_piece, perplexity = (
        "-" if number is None else f"{number:{form}}"
        for number, form in ((row["score"], ".2f"), (row["score_per_token"], ".3f"), (row["perplexity"], ",.1f"))
    )
    console.out.print(f"[bold]{score:>9}[/] {row['tokens']:6} {a_piece:>8} {perplexity:>11}  {text}")
