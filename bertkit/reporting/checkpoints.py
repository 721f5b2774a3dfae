"""What the checkpoints of a pretraining run can do: how they fill sample sentences, the cloze test, and minimal pairs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bertkit import console
from bertkit.assets import EMBEDDED_CLOZE
from bertkit.errors import BertkitError
from bertkit.inference.cloze import Cloze, cloze_figures, read_cloze, unknown_answers
from bertkit.inference.mask_filling.filler import MASK, MaskFiller
from bertkit.inference.minimal_pairs import MinimalPair, pair_figures
from bertkit.inference.scoring import Scorer
from bertkit.reporting.checkpoint_figures import CheckpointFigure
from bertkit.reporting.runs import Run, model_folders
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


@dataclass(frozen=True)
class Fill:
    """How the model of a run, at some step, fills the masks of a sentence.

    Attributes:
        guesses: for each mask the words with their probabilities, the best first.
    """

    step: int
    is_final: bool
    text: str
    guesses: list[list[tuple[str, float]]]


@dataclass(frozen=True)
class Look:
    """What was found in a run.

    Attributes:
        fills: sample sentences as its checkpoints fill them.
        figures: the figures of its checkpoints in the tests that they took.
    """

    fills: Sequence[Fill] = ()
    figures: Sequence[CheckpointFigure] = ()


def look(run: Run, asked: Sequence[str], pairs: Mapping[str, Sequence[MinimalPair]]) -> Look:
    """Has each checkpoint of a run, and its final model, fill sentences and take the tests.

    Args:
        run: a run of pretraining.
        asked: sentences with masks; where empty, those of bertkit that the run can read.
        pairs: minimal pairs by their name. The cloze test is taken, too, by a run in English that knows the words.
    """
    fills: list[Fill] = []
    figures: list[CheckpointFigure] = []
    given: _Given | None = None
    has_said = False
    clozes = read_cloze(EMBEDDED_CLOZE) if _language(run).startswith("en") else []
    folders = model_folders(run)
    with console.progress(f"testing {run.name}", len(folders), "model") as line:
        for number, (step, folder) in enumerate(folders, 1):
            try:
                filler = MaskFiller(folder, texts=len(asked or _ENGLISH) + len(clozes))
                scorer = Scorer(folder, texts=2 * sum(map(len, pairs.values()))) if pairs else None
                given = given or _given(run, asked, clozes, filler)  # the vocabulary is that of all checkpoints
                if not (given.texts or given.clozes or pairs):
                    break
                filled = filler.fill(given.texts, GUESSES) if given.texts else []
                figures += _cloze(step, filler, given.clozes)
            except BertkitError as error:  # a checkpoint may be damaged, or removed while its run goes on
                console.warn(console.plain(f"step {step:,} takes no test: {error}"))
                continue
            if scorer is not None:
                figures += _minimal_pairs(step, scorer, pairs, says_misread=not has_said)
                has_said = True
            guesses = [[[(guess.token_str, guess.score) for guess in mask] for mask in masks] for masks in filled]
            is_final = folder == run.folder
            fills += [Fill(step, is_final, text, masks) for text, masks in zip(given.texts, guesses, strict=True)]
            line.update(number)
    return Look(fills, figures)


def _cloze(step: int, filler: MaskFiller, clozes: Sequence[Cloze]) -> list[CheckpointFigure]:
    if not clozes:
        return []
    told = cloze_figures(filler, clozes)
    title, interval = "Cloze test: everyday words, right at once", tuple(told["top_1_interval_95"])
    return [CheckpointFigure("cloze", title, "accuracy", step, told["top_1"], interval)]


def _minimal_pairs(
    step: int, scorer: Scorer, pairs: Mapping[str, Sequence[MinimalPair]], says_misread: bool
) -> Iterator[CheckpointFigure]:
    """``says_misread``: whether to say what the model misreads or cuts, which all checkpoints do alike.

    Raises:
        BertkitError: the model reads nothing of a sentence.
    """
    for name, some in pairs.items():
        scorer.texts.cut = 0
        told = pair_figures(scorer, some)
        if says_misread:
            scorer.say_misread()
            scorer.texts.say_cut(f" ({name})")
        if told["equal"]:
            equal = console.counted(told["equal"], "pair has", "pairs have")
            console.note(
                console.plain(
                    f"step {step:,}: {equal} equal scores in {name}, and {'count' if told['equal'] > 1 else 'counts'} as wrong"
                )
            )
        title, interval = f"Minimal pairs of {name}, right", tuple(told["accuracy_interval_95"])
        yield CheckpointFigure(f"minimal_pairs_{name}", title, "accuracy", step, told["accuracy"], interval)


class _Given(NamedTuple):
    """What the models of a run are asked."""

    texts: Sequence[str]
    clozes: Sequence[Cloze]


def _language(run: Run) -> str:
    """As its settings say; "en" is the default, and so may be what nobody said."""
    return str(run.settings.get("data.language", "en"))


def _given(run: Run, asked: Sequence[str], clozes: Sequence[Cloze], filler: MaskFiller) -> _Given:
    is_known = 2 * unknown_answers(filler, clozes) < len(clozes)
    return _Given(asked or _examples(run, filler.reader.text_encoder), clozes if is_known else ())


def _examples(run: Run, text_encoder: TextEncoder) -> list[str]:
    """The sentences of bertkit that a run can read: in its language, as far as that is told, and of pieces that it knows."""
    chinese = sum("\u4e00" <= piece.removeprefix("##")[:1] <= "\u9fff" for piece in text_encoder.vocab)
    sentences, language = (_CHINESE, "zh") if chinese > len(text_encoder.vocab) / 4 else (_ENGLISH, "en")
    unk_id = text_encoder.vocab[text_encoder.unk_token]
    is_read = _language(run).startswith(("en", language))
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
