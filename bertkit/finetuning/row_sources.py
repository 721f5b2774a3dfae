"""Where labelled rows come from: files, data sets of the hub, and memory."""

from collections.abc import Iterator
from pathlib import Path

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Row
from bertkit.finetuning.heads.registry import rows_of
from bertkit.finetuning.labelled import DataRequest
from bertkit.io.cells import class_names, decoded, with_class_ids
from bertkit.io.connection import ensure_hub
from bertkit.io.hub import dataset_part, hub_errors, may_be_hub_name
from bertkit.io.memory import MemoryRows
from bertkit.io.tables import FILE_SUFFIXES, TABLE_SUFFIXES, form, read_rows

VALIDATION_SPLITS = ("validation", "test", "train")
"""The splits of a hub dataset to validate on: the first one that it has."""


def check_inputs(request: DataRequest) -> None:
    """Checks what can be checked without reading a row.

    Raises:
        BertkitError: a file or folder does not exist, or a file has an unknown format.
    """
    for source in (request.train, request.validation):
        if isinstance(source, str) and not is_hub_name(source):
            _check_table(source)
    if request.data is not None and not request.data.is_dir():
        raise BertkitError(f"no folder {request.data}: give the folder of GLUE's TSVs with --data")


def _check_table(source: str) -> None:
    if not Path(source).is_file():
        raise BertkitError(f"no file {source}: give a .csv, .tsv, .jsonl or .parquet file, or a hub dataset org/name")
    if rows_of(Path(source)) is None and form(Path(source)) == "txt":
        raise BertkitError(f"{source} has no columns: give a table ({', '.join(TABLE_SUFFIXES)})")


def is_hub_name(source: str) -> bool:
    name = source.split(":")[0]
    is_file_name = Path(name).suffix.lower() in FILE_SUFFIXES
    return not Path(source).exists() and "/" in name and may_be_hub_name(name) and not is_file_name


def rows_without_a_hub(dataset: str) -> str:
    """What a person can do if a dataset cannot be fetched from the hub, as the end of a message."""
    glue = (
        "--data with the folder of GLUE's files, from https://gluebenchmark.com/tasks, or " if "glue" in dataset else ""
    )
    return (
        f"give {glue}--train and --validation with files of your own; for a first try, `bertkit finetune` alone takes "
        "bertkit's own labelled texts"
    )


def hub_rows(name: str, subset: str | None, *splits: str) -> Iterator[Row]:
    ensure_hub()
    import datasets

    datasets.disable_progress_bars()
    with hub_errors(what=f"dataset '{name}'", ways_on=rows_without_a_hub(name)), dataset_part(name, subset):
        there = datasets.get_dataset_split_names(name, subset) if len(splits) > 1 else splits
        split = next((one for one in splits if one in there), splits[0])
        rows = datasets.load_dataset(name, subset, split=split)
    if len(splits) > 1:
        console.note(console.plain(f"{name}: validating on its split '{split}'"))
    names = class_names(rows.features)
    for number, row in enumerate(rows):
        place = f"{name}, {split}, row {number}"
        yield place, with_class_ids(decoded(place, row), names)


def rows_of_source(source: str | MemoryRows, unusable: list[str] | None, splits: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a file, or of the first of these splits that a hub dataset has."""
    if isinstance(source, MemoryRows):
        return source.placed()
    if not is_hub_name(source):
        _check_table(source)
        return rows_of(Path(source)) or read_rows(Path(source), unusable)
    name, _, subset = source.partition(":")
    return hub_rows(name, subset or None, *splits)
