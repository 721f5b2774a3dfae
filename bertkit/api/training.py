"""Training: a BERT from text, and a model from labelled rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.api.given import Name, given_name, given_names, given_rows, overrides_of
from bertkit.errors import BertkitError
from bertkit.settings.recipes import Override

if TYPE_CHECKING:
    from bertkit.io.memory import Table
    from bertkit.training.record import RunRecord


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
            corpus=given_names(corpus),
            out=None if out is None else Path(out),
            recipe=recipe,
            overrides=overrides_of(settings),
            model=given_name(model),
            tokenizer=given_name(tokenizer),
            add_words=add_words,
            keep=None if keep is None else (str(keep[0]), keep[1]),
            validation=given_names(validation),
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
    train: "Name | Table | None" = None,
    validation: "Name | Table | None" = None,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
) -> dict[str, Any]:
    """What ``pretrain`` would train on, or with ``train`` what ``finetune`` would, without training.

    Args:
        corpus, recipe, settings, model, tokenizer: as for ``pretrain``.
        examples: how many are looked at.
        train, validation, text, label: labelled rows, as for ``finetune``; with them only ``settings`` and ``model``.

    Returns:
        The figures of the ``corpus`` and of its ``examples``, and ``warnings`` in plain words; of labelled rows those of
        each of the ``splits``, ``warnings``, and ``notes`` of what was guessed.

    Raises:
        BertkitError: as ``pretrain`` or ``finetune`` before the first step.
    """
    if train is not None:
        if given_names(corpus) or recipe or tokenizer:
            raise BertkitError("give a corpus, with recipe and tokenizer, or labelled rows with train, not both")
        return _inspect_rows(train, validation, [*_columns(None, text, label, None), *overrides_of(settings)], model)
    if examples < 1:
        raise BertkitError(f"examples must be 1 or more, got {examples}")
    from bertkit.pretraining.inspection import inspect as look
    from bertkit.pretraining.request import PretrainRequest

    seen = look(
        PretrainRequest(
            corpus=given_names(corpus),
            recipe=recipe,
            overrides=overrides_of(settings),
            model=given_name(model),
            tokenizer=given_name(tokenizer),
        )
    )
    return seen.report(list(seen.examples(examples)))


def _inspect_rows(
    train: "Name | Table", validation: "Name | Table | None", overrides: list[Override], model: Name | None
) -> dict[str, Any]:
    from bertkit.finetuning.inspection import inspect as look
    from bertkit.finetuning.run import FinetuneRequest

    rows, held_out = given_rows("train", train), given_rows("validation", validation)
    seen, notes = look(
        FinetuneRequest(train=rows, validation=held_out, overrides=overrides, model=given_name(model) or "embedded")
    )
    return {"notes": notes, **seen.as_json()}


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
        train=given_rows("train", train),
        validation=given_rows("validation", held_out),
        overrides=[*_columns(share, text, label, head), *overrides_of(settings)],
        model=given_name(model) or "",
        out=None if out is None else Path(out),
        device=device,
        resume=resume,
        overwrite=overwrite,
        skip_bad_rows=skip_bad_rows,
    )
    tried = (
        None
        if grid is None
        else {
            name: [values] if isinstance(values, str | float | int) else list(values) for name, values in grid.items()
        }
    )
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
