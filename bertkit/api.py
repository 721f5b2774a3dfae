"""What ``import bertkit`` offers: each function takes keywords and plain data, and is imported when it is first used."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import cores
from bertkit.errors import BertkitError
from bertkit.settings.recipes import Override

if TYPE_CHECKING:
    from bertkit.finetuning.predict import Predictor
    from bertkit.inference.bert import Bert
    from bertkit.io.memory import MemoryRows, Table
    from bertkit.training.record import RunRecord

cores.share_cores()

Name = str | PathLike[str]
"""A path, or the name of a model or a data set on the Hugging Face hub."""


def pretrain(
    corpus: Name | Sequence[Name] = (),
    *,
    recipe: str | None = None,
    out: Name | None = None,
    settings: Mapping[str, Any] | None = None,
    validation: Name | Sequence[Name] = (),
    model: Name | None = None,
    tokenizer: Name | None = None,
    add_words: int | None = None,
    keep: tuple[Name, float] | None = None,
    device: str = "auto",
    budget_s: float | None = None,
    dry_run: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> "RunRecord":
    """Pretrains a BERT and leaves a folder that transformers loads.

    Args:
        corpus: files, folders, globs, URLs, prepared folders or a dataset of the hub; nothing takes the embedded stories.
        recipe: a name of ``bertkit recipes``, or a TOML file; None suits the device.
        out: the run's folder; None is ``runs/pretrain-`` and the corpus's name.
        settings: of the recipe, by dotted key: ``{"train.max_steps": 3000}``.
        validation: held-out text, instead of a share of the corpus.
        model: the BERT to go on from.
        tokenizer: a folder, vocab.txt or hub name, instead of learning word pieces.
        add_words: so many frequent words of the corpus that ``model`` cuts into three word pieces or more get rows of
            their own, begun as the mean of these word pieces'.
        keep: general text that is mixed in, so that less is forgotten, and its share of the examples.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        budget_s: seconds from the call to the end of the run; decides the number of steps.
        dry_run: only say what would be trained, and how long it would take.
        resume: go on from the newest whole checkpoint in ``out``.
        overwrite: replace the run in ``out``.

    Returns:
        The record of the run: ``folder``, ``results`` and all else of its run.json.

    Raises:
        BertkitError: anything a person can mend.
        Interrupted: a signal came, and a checkpoint was written.
    """
    from bertkit.pretraining.request import PretrainRequest
    from bertkit.pretraining.run import pretrain as run

    return run(
        PretrainRequest(
            corpus=_names(corpus),
            out=None if out is None else Path(out),
            recipe=recipe,
            overrides=_overrides(settings),
            model=_name(model),
            tokenizer=_name(tokenizer),
            add_words=add_words,
            keep=None if keep is None else (str(keep[0]), keep[1]),
            validation=_names(validation),
            device=device,
            budget_s=budget_s,
            dry_run=dry_run,
            resume=resume,
            overwrite=overwrite,
        )
    )


def inspect(
    corpus: Name | Sequence[Name] = (),
    *,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    model: Name | None = None,
    tokenizer: Name | None = None,
    examples: int = 2_000,
) -> dict[str, Any]:
    """What ``pretrain`` would train on, without training.

    Args:
        corpus, recipe, settings, model, tokenizer: as for ``pretrain``.
        examples: how many are looked at.

    Returns:
        The figures of the ``corpus`` and of its ``examples``, and ``warnings`` in plain words.

    Raises:
        BertkitError: as ``pretrain`` before its first step.
    """
    from bertkit.pretraining.inspection import inspect as look
    from bertkit.pretraining.request import PretrainRequest

    seen = look(
        PretrainRequest(
            corpus=_names(corpus),
            recipe=recipe,
            overrides=_overrides(settings),
            model=_name(model),
            tokenizer=_name(tokenizer),
        )
    )
    return seen.report(list(seen.examples(examples)))


def finetune(
    task: str | None = None,
    *,
    train: "Name | Table | None" = None,
    validation: "Name | float | Table | None" = None,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
    head: str | None = None,
    model: Name | None = None,
    data: Name | None = None,
    out: Name | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: int = 1,
    grid: Mapping[str, Sequence[Any]] | None = None,
    device: str = "auto",
    skip_bad_rows: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> "RunRecord":
    """Fine-tunes a BERT on labelled rows and leaves a folder that transformers loads.

    Args:
        task: a task of ``bertkit recipes``; or rows of one's own with ``train``; neither takes bertkit's own texts.
        train: a file, a dataset of the hub, a list of dictionaries, a ``datasets.Dataset`` or a ``pandas.DataFrame``.
        validation: held-out rows likewise, or the share of the rows to hold out.
        text: the column of the text, or of both texts of a pair; None is guessed where plain.
        label: the column of the label, or several for multi-label data.
        head: the kind of task; None is found from the rows.
        model: a folder, a hub name or "embedded"; None is bert-base-uncased.
        data: folder with GLUE's own TSVs, instead of the hub.
        out: the run's folder; None is ``runs/finetune-`` and the task's name.
        settings: of the recipe, by dotted key: ``{"train.epochs": 2}``.
        seeds: so many runs; the best becomes the model, their spread is in ``results["sweep"]``.
        grid: settings to try, each with its values: ``{"learning_rate": [5e-5, 3e-5]}``.
        device, resume, overwrite: as for ``pretrain``.
        skip_bad_rows: leave out rows without a text or label, and count them.

    Returns:
        The record of the run: ``folder``, ``results``, ``metrics`` and all else of its run.json.

    Raises:
        BertkitError: anything a person can mend.
        Interrupted: a signal came, and a checkpoint was written.
    """
    from bertkit.finetuning.run import FinetuneRequest
    from bertkit.finetuning.sweep import finetune_all

    share, held_out = (validation, None) if isinstance(validation, float) else (None, validation)
    request = FinetuneRequest(
        task=task,
        data=None if data is None else Path(data),
        train=_rows("train", train),
        validation=_rows("validation", held_out),
        overrides=[*_columns(share, text, label, head), *_overrides(settings)],
        model=_name(model) or "",
        out=None if out is None else Path(out),
        device=device,
        resume=resume,
        overwrite=overwrite,
        skip_bad_rows=skip_bad_rows,
    )
    tried = None if grid is None else {name: list(values) for name, values in grid.items()}
    return finetune_all(request, seeds, tried)


def _columns(
    share: float | None, text: str | Sequence[str] | None, label: str | Sequence[str] | None, head: str | None
) -> list[Override]:
    """The arguments of ``finetune`` that are settings."""
    named = {
        "data.validation_split": share,
        "task.text": [text] if isinstance(text, str) else text,
        "task.label": [label] if isinstance(label, str) else label,
        "task.head": head,
    }
    return [Override(key, value, key.rpartition(".")[2]) for key, value in named.items() if value is not None]


def evaluate(
    model: Name,
    *,
    task: str | None = None,
    validation: "Name | Table | None" = None,
    data: Name | None = None,
    cloze: Name | bool = False,
    corpus: Name | Sequence[Name] = (),
    minimal_pairs: Name | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """The figures of a fine-tuned model on labelled rows, or of a pretrained one by one of three other tests.

    Args:
        model: its folder or hub name.
        task: a task of ``bertkit recipes``; None is the one it was fine-tuned on.
        validation: rows of one's own, as ``finetune`` takes them.
        data, settings, device: as for ``finetune``.
        cloze: of a pretrained model how often it guesses a missing word: True takes the sentences that come with
            bertkit, a path a table with the columns ``sentence`` and ``answers``.
        corpus: of a pretrained model the held-out figures on text.
        minimal_pairs: of a pretrained model how often it prefers the right one of two sentences, in a file or folder.

    Returns:
        ``eval_loss``, a figure ``eval_…`` for each metric with its 95 % interval, and ``metrics``, their names; of the
        other tests what ``bertkit evaluate --json`` prints.

    Raises:
        BertkitError: the model or the rows cannot be had, or do not fit each other; more than one kind of test.
    """
    names, rows = _names(corpus), (task, validation, data)
    if sum((cloze is not False, bool(names), minimal_pairs is not None, any(one is not None for one in rows))) > 1:
        raise BertkitError("give one of labelled rows (task, validation, data), cloze, corpus and minimal_pairs")
    if cloze is not False:
        from bertkit.inference.cloze import evaluate_cloze

        return evaluate_cloze(str(model), None if isinstance(cloze, bool) else Path(cloze), device)
    if minimal_pairs is not None:
        from bertkit.inference.minimal_pairs import evaluate_minimal_pairs

        return evaluate_minimal_pairs(str(model), Path(minimal_pairs), device)
    if names:
        from bertkit.pretraining.corpus_evaluation import CorpusRequest, evaluate_corpus

        return evaluate_corpus(CorpusRequest(str(model), names, overrides=_overrides(settings), device=device))
    from bertkit.finetuning.predict import evaluate as run

    folder = None if data is None else Path(data)
    return run(str(model), task, folder, _rows("validation", validation), _overrides(settings), device)


def predict(
    model: Name, rows: Sequence[str | Mapping[str, Any]], *, device: str = "auto", abstain_below: float = 0.0
) -> list[dict[str, Any]]:
    """What a fine-tuned model says of a few texts or rows; for more than once, see ``load_predictor``.

    Args:
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        abstain_below: rows whose likeliest class has less than this probability get None for a prediction.

    Raises:
        BertkitError: the model cannot be had, or does not fit the rows.
    """
    from bertkit.finetuning.predict import open_predictor

    return open_predictor(str(model), device, len(rows)).abstaining(abstain_below)(rows)


def load(name: Name = "embedded", *, device: str = "auto") -> "Bert":
    """A pretrained BERT to be asked: ``fill``, ``score`` and ``embed``.

    Args:
        name: a folder, also one of ``bertkit export``, a name on the hub, or "embedded".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        BertkitError: the model cannot be had.
    """
    from bertkit.inference.bert import Bert

    return Bert(str(name), device)


def load_predictor(model: Name, *, device: str = "auto", abstain_below: float = 0.0) -> "Predictor":
    """A fine-tuned model to be called with lists of texts or rows.

    Args:
        device, abstain_below: as for ``predict``.

    Raises:
        BertkitError: the model cannot be had, or was not fine-tuned.
    """
    from bertkit.finetuning.predict import open_predictor

    return open_predictor(str(model), device).abstaining(abstain_below)


def _overrides(settings: Mapping[str, Any] | None) -> list[Override]:
    return [Override(key, value, f"settings {key}") for key, value in (settings or {}).items()]


def _name(given: Name | None) -> str | None:
    return None if given is None else str(given)


def _names(given: Name | Sequence[Name]) -> list[str]:
    return [str(given)] if isinstance(given, str | PathLike) else [str(one) for one in given]


def _rows(name: str, given: "Name | Table | None") -> "str | MemoryRows | None":
    if given is None or isinstance(given, str | PathLike):
        return _name(given)
    from bertkit.io.memory import memory_rows

    return memory_rows(f"the rows of {name}", given)
