"""``bertkit.pretrain``, ``bertkit.finetune`` and ``bertkit.inspect``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bertkit.api.given import (
    Name,
    count_of,
    device_of,
    given_grid,
    given_keep,
    given_name,
    given_names,
    given_path,
    given_rows,
    overrides_of,
    share_or_rows,
)
from bertkit.errors import BertkitError, check_seconds
from bertkit.settings.recipes import Override

if TYPE_CHECKING:
    from bertkit.io.memory import Table
    from bertkit.training.record import RunRecord


def pretrain(
    corpus: Name | Iterable[Name] | None = None,
    *,
    recipe: Name | None = None,
    out: Name | None = None,
    settings: Mapping[str, Any] | None = None,
    validation: Name | Iterable[Name] | None = None,
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
    """Pretrains a BERT and writes a folder that transformers can load.

    Args:
        corpus: files, folders, globs, URLs, prepared folders or a dataset on the hub; None is the embedded stories.
        recipe: a name of ``bertkit recipes``, or a TOML file; None chooses one for the device.
        out: the run's folder; None is ``runs/pretrain-`` and the corpus's name.
        settings: settings of the recipe by dotted key, such as ``{"train.max_steps": 3000}``. Several texts, in place of a
            corpus: ``{"data.mix": [{"source": "wiki/", "weight": 80}, {"source": "stories.txt", "weight": 20}]}``.
        validation: held-out text; None holds out a share of the corpus, the setting ``data.validation_split``.
        model: a BERT to continue from.
        tokenizer: a folder, vocab.txt or hub name; None learns word pieces from the corpus, or takes those of ``model``.
        add_words: how many words to add to the vocabulary of ``model``: frequent words of the corpus that it does not
            know, or cuts into at least three word pieces. Their rows start as the mean of those of the pieces.
        keep: general text to mix in, so that less is forgotten, and its share of the examples.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        budget_s: seconds from the call to the end of the run; decides the number of steps.
        dry_run: only print what would be trained, and how long it would take.
        resume: continue from the newest intact checkpoint in ``out``.
        overwrite: replace the run in ``out``.

    Returns:
        The record of the run: ``folder``, ``results`` and the other fields of its run.json.

    Raises:
        BertkitError: an error that a person can correct.
        Interrupted: a signal arrived, and a checkpoint was written.
    """
    from bertkit.pretraining.request import PretrainRequest
    from bertkit.pretraining.run import pretrain as run

    if budget_s is not None:
        check_seconds("budget_s", budget_s)
    return run(
        PretrainRequest(
            corpus=given_names("corpus", corpus),
            out=given_path("out", out),
            recipe=given_name("recipe", recipe),
            overrides=overrides_of(settings),
            model=given_name("model", model),
            tokenizer=given_name("tokenizer", tokenizer),
            add_words=None if add_words is None else count_of("add_words", add_words),
            keep=given_keep(keep),
            validation=given_names("validation", validation),
            device=device_of(device),
            budget_s=budget_s,
            dry_run=dry_run,
            resume=resume,
            overwrite=overwrite,
        )
    )


def inspect(
    corpus: Name | Iterable[Name] | None = None,
    *,
    recipe: Name | None = None,
    settings: Mapping[str, Any] | None = None,
    model: Name | None = None,
    tokenizer: Name | None = None,
    examples: int = 2_000,
    train: "Name | Table | None" = None,
    validation: "Name | Table | None" = None,
    text: str | Sequence[str] | None = None,
    label: str | Sequence[str] | None = None,
) -> dict[str, Any]:
    """Examines what ``pretrain`` would train on, or with ``train`` what ``finetune`` would train on.

    Args:
        corpus, recipe, settings, model, tokenizer: as for ``pretrain``.
        examples: how many examples to examine.
        train, validation, text, label: labelled rows, as for ``finetune`` (but no share as ``validation``). Only
            ``settings`` and ``model`` go with them.

    Returns:
        For a corpus: figures of the ``corpus`` and of its ``examples``, and ``warnings``. For labelled rows: figures of
        each of the ``splits``, ``warnings``, and ``notes`` of what was guessed.

    Raises:
        BertkitError: the errors that ``pretrain`` or ``finetune`` would raise before the first step.
    """
    names = given_names("corpus", corpus)
    if train is not None:
        if names or recipe or tokenizer:
            raise BertkitError("give a corpus, with recipe and tokenizer, or labelled rows with train, not both")
        return _inspect_rows(train, validation, [*_columns(None, text, label, None), *overrides_of(settings)], model)
    for name, given in {"validation": validation, "text": text, "label": label}.items():
        if given is not None:
            fitting = "train (of a corpus it is the setting data.column that names the text)"
            raise BertkitError(f"{name} does not go with corpus: it is for {fitting}")
    number = count_of("examples", examples)
    if number < 1:
        raise BertkitError(f"examples must be 1 or more, got {examples}")
    from bertkit.pretraining.inspection import inspect as look
    from bertkit.pretraining.request import PretrainRequest

    seen = look(
        PretrainRequest(
            corpus=names,
            recipe=given_name("recipe", recipe),
            overrides=overrides_of(settings),
            model=given_name("model", model),
            tokenizer=given_name("tokenizer", tokenizer),
        )
    )
    return seen.report(list(seen.examples(number)))


def _inspect_rows(
    train: "Name | Table", validation: "Name | Table | None", overrides: list[Override], model: Name | None
) -> dict[str, Any]:
    from bertkit.finetuning.inspection import inspect as look
    from bertkit.finetuning.request import FinetuneRequest

    rows, held_out = given_rows("train", train), given_rows("validation", validation)
    name = given_name("model", model) or "embedded"
    seen, notes = look(FinetuneRequest(train=rows, validation=held_out, overrides=overrides, model=name))
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
    grid: Mapping[str, Sequence[Any]] | str | None = None,
    device: str = "auto",
    skip_bad_rows: bool = False,
    resume: bool = False,
    overwrite: bool = False,
) -> "RunRecord":
    """Fine-tunes a BERT on labelled rows and writes a folder that transformers can load.

    Args:
        task: a task of ``bertkit recipes``. Without ``task`` and ``train`` texts that come with bertkit are used.
        train: rows of your own: a file, a dataset on the hub, a list (or another iterable, which is read to its end) of
            dictionaries, a dictionary of columns, a ``datasets.Dataset`` or a ``pandas.DataFrame``.
        validation: held-out rows in any of these forms, or the share of the rows to hold out.
        text: the column of the text, or the columns of both texts of a pair; None recognises them.
        label: the column of the label, or several columns for multi-label data; None recognises it.
        head: the kind of task; None recognises it from the rows.
        model: a folder, a hub name or "embedded"; None is bert-base-uncased, or "embedded" without ``task`` and ``train``.
        data: a folder with GLUE's own TSVs, to be used instead of the hub.
        out: the run's folder; None is ``runs/finetune-`` and the task's name.
        settings: settings of the recipe by dotted key, such as ``{"train.epochs": 2}``.
        seeds: the number of runs with different seeds. The best becomes the model; ``results["sweep"]`` has their spread.
        grid: settings to try, each with its values, such as ``{"learning_rate": [5e-5, 3e-5]}``; or a text as ``--grid``
            takes it, such as "paper".
        device, resume, overwrite: as for ``pretrain``.
        skip_bad_rows: leave out rows without a text or label, and count them.

    Returns:
        The record of the run: ``folder``, ``results``, ``metrics`` and the other fields of its run.json.

    Raises:
        BertkitError: an error that a person can correct.
        Interrupted: a signal arrived, and a checkpoint was written.
    """
    from bertkit.finetuning.request import FinetuneRequest
    from bertkit.finetuning.sweep import finetune_all

    share, held_out = share_or_rows("validation", validation)
    request = FinetuneRequest(
        task=given_name("task", task),
        data=given_path("data", data),
        train=given_rows("train", train),
        validation=held_out,
        overrides=[*_columns(share, text, label, head), *overrides_of(settings)],
        model=given_name("model", model) or "",
        out=given_path("out", out),
        device=device_of(device),
        resume=resume,
        overwrite=overwrite,
        skip_bad_rows=skip_bad_rows,
    )
    return finetune_all(request, count_of("seeds", seeds), given_grid(grid))


def _columns(
    share: float | None, text: str | Sequence[str] | None, label: str | Sequence[str] | None, head: str | None
) -> list[Override]:
    """The arguments of ``finetune`` that are settings of the recipe, as overrides."""
    named = {
        "data.validation_split": share,
        "task.text": [text] if isinstance(text, str) else text,
        "task.label": [label] if isinstance(label, str) else label,
        "task.head": head,
    }
    return [Override(key, value, key.rpartition(".")[2]) for key, value in named.items() if value is not None]
