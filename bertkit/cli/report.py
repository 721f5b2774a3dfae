"""``bertkit report``: writes a page about one or several runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertkit import console
from bertkit.cli.options import ReplaceFile
from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from bertkit.reporting.report import Fill
    from bertkit.reporting.runs import Run
    from bertkit.runtime.text import TextEncoder

GUESSES = 5
_ENGLISH = (
    "i [MASK] a little boy .",
    "she went to the [MASK] .",
    "the dog was very [MASK] .",
    "he opened the [MASK] and looked inside .",
    "one day , a girl [MASK] her mother .",
)
_CHINESE = ("我是一个小男[MASK]。", "她很高[MASK]。", "今天[MASK]气很好。", "他打开了[MASK]。", "小狗在[MASK]里玩。")


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs, finished or not.")],
    out: Annotated[Path, typer.Option("--out", help="The page to write.", dir_okay=False)] = Path("report.html"),
    png: Annotated[bool, typer.Option("--png", help="Write the plots as PNG files beside it, too.")] = False,
    fill: Annotated[
        list[str] | None,
        typer.Option("--fill", metavar="TEXT", help="A sentence with [MASK] for the checkpoints; may be repeated."),
    ] = None,
    overwrite: ReplaceFile = False,
) -> None:
    """Show runs on one page: curves, settings and their differences, sample fills, errors."""
    from bertkit.inference.mask_filling.filler import check_text
    from bertkit.reporting.pages import check_target
    from bertkit.reporting.runs import read_runs

    for text in fill or ():
        check_text(text)
    check_target(out, overwrite)
    shown = read_runs(runs)
    _say_without_fills(shown, fill or ())
    fills = {run.name: _fills(run, fill or ()) for run in shown if run.is_pretraining}
    from bertkit.reporting.report import write_report

    for path in write_report(shown, fills, out, png, overwrite):
        console.out.print(str(path), markup=False)


def _say_without_fills(runs: Sequence["Run"], asked: Sequence[str]) -> None:
    """Says which runs do not fill the sentences that somebody gave; an error where no run does."""
    others = [run.name for run in runs if asked and not run.is_pretraining]
    if not others:
        return
    told = f"--fill is for runs of pretraining, and not for {console.listed(others, 3)}"
    if len(others) == len(runs):
        raise BertkitError(f"{told}: leave it out")
    console.note(console.plain(told))


def _fills(run: "Run", asked: Sequence[str]) -> list["Fill"]:
    """Sentences with masks, as each checkpoint of a run, and its final model, fills them; by default those of bertkit."""
    from bertkit.inference.mask_filling.filler import MaskFiller
    from bertkit.reporting.report import Fill
    from bertkit.reporting.runs import model_folders

    fills, texts = [], asked
    folders = model_folders(run)
    with console.progress(f"filling masks with {run.name}", len(folders), "model") as line:
        for number, (step, folder) in enumerate(folders, 1):
            try:
                filler = MaskFiller(folder, texts=len(asked or _ENGLISH))
                # The vocabulary is that of all checkpoints.
                if not texts and not (texts := _examples(run, filler.reader.text_encoder)):
                    break
                filled = filler.fill(texts, GUESSES)
            except BertkitError as error:  # a checkpoint may be damaged, or removed while its run goes on
                console.warn(console.plain(f"no fills of step {step:,}: {error}"))
                continue
            guesses = [[[(guess.token_str, guess.score) for guess in mask] for mask in masks] for masks in filled]
            is_final = folder == run.folder
            fills += [Fill(step, is_final, text, masks) for text, masks in zip(texts, guesses, strict=True)]
            line.update(number)
    return fills


def _examples(run: "Run", text_encoder: "TextEncoder") -> list[str]:
    """The sentences of bertkit that a run can read: in its language, as far as that is told, and of pieces that it knows."""
    from bertkit.inference.mask_filling.filler import MASK

    chinese = sum("\u4e00" <= piece.removeprefix("##")[:1] <= "\u9fff" for piece in text_encoder.vocab)
    sentences, language = (_CHINESE, "zh") if chinese > len(text_encoder.vocab) / 4 else (_ENGLISH, "en")
    told, unk_id = str(run.settings.get("data.language", "en")), text_encoder.vocab[text_encoder.unk_token]
    is_read = told.startswith(("en", language))  # "en" is the default, and so may be what nobody said
    known = [
        text
        for text in sentences
        if is_read and unk_id not in text_encoder.spelt(text.replace(MASK, text_encoder.mask_token))
    ]
    if len(known) < len(sentences):
        console.note_once(
            f"{run.name}: of {len(sentences)} example sentences {len(sentences) - len(known)} left out, as "
            "they are in another language, or of pieces that it does not know: --fill TEXT gives sentences of your own"
        )
    return known
