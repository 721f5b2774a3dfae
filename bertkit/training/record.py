"""A run's record, ``run.json``: what was run, on which data and device, and the results. Only this module reads or writes it.

An export keeps a part of it, ``export.json``.
"""

import platform
import shlex
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bertkit import __version__
from bertkit.errors import BertkitError
from bertkit.io.atomic import write_json
from bertkit.io.structured import read_json

RUN, EXPORT = "run.json", "export.json"
"""An export's record has another name, so that its folder is not taken for that of a run and resumed, replaced or reported."""
MANIFEST, STATE = "manifest.json", "state.json"
"""Of a checkpoint: the sizes and hashes of its files, and how far the run was."""
# What tells the commands that use a model what it is and has learned.
_KEPT = ("kind", "base_model", "documents_with_pairs", "learned_objective", "learned_length")
_PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy")


class RunRecord(BaseModel):
    """The contents of ``run.json``; a field that the run has not written (yet) has its default.

    Example:
        >>> RunRecord(out="runs/mine", results={"eval_mlm_accuracy": 0.31}).folder.name
        'mine'
    """

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, use_attribute_docstrings=True)

    kind: str = ""
    """ "pretrain" or "finetune"."""
    out: str = ""
    """The run's folder, as it was named."""
    command: str = ""
    bertkit: str = ""
    """The version of bertkit; ``python`` is that of Python."""
    python: str = ""
    versions: dict[str, str] = {}
    """The versions of the libraries that the run used."""
    base_model: str | None = None
    """The model that the run started from; None for a new one."""
    data_fingerprint: str = ""
    """A hash of the data and the tokenizer."""
    device: str = ""
    num_processes: int = 1
    mixed_precision: str = "no"
    seed: int | None = None
    parameters: int = 0
    max_steps: int = 0
    """Optimizer steps of the whole run: the planned number, and once it has ended those that were made; 0 before it has
    begun."""
    seconds: float = 0.0
    skipped_steps: int = 0
    results: dict[str, Any] = {}
    """The figures of the last evaluation; for fine-tuning those of the best weights."""
    finished: bool = False
    exported_from: str | None = None
    """The model that this one is an export of; its record has no more than what tells what the model is and has learned."""

    recipe: str = ""
    """The recipe's name. From here to ``most_frequent_token_share`` the fields are those of pretraining."""
    corpus: list[str] = []
    """The names of the corpus's sources."""
    given: dict[str, Any] = {}
    """What was given by --tokenizer, --add-words, --keep and --budget, by option; None where it was not. Empty in a run of before
    it was recorded."""
    validation: list[str] = []
    """The names of the held-out text's sources (``--validation``); empty where a share of the corpus is held out."""
    validation_fingerprint: str | None = None
    """A hash of that text, empty where a share of the corpus is held out; None in a run of before it was recorded."""
    batch_size: int = 0
    """Sequences per optimizer step."""
    micro_batch_tokens: int | None = None
    """Tokens that a device computes at a time, unless the recipe gives their number in sequences."""
    documents: int = 0
    sentences: int = 0
    tokens_in_corpus: int = 0
    training_tokens: int = 0
    held_out_tokens: int = 0
    documents_with_pairs: int | None = None
    """Documents to train on that have sentence pairs; at 0 the next-sentence head has learned nothing. None in a run of before
    it was recorded, or without a sentence objective."""
    learned_objective: str | None = None
    """What the next-sentence head has learned in this run or before it: ``nsp``, ``sop``, or ``none``. None where nothing tells
    what the base model had learned, and in a run of before it was recorded."""
    learned_length: int | None = None
    """The most tokens of an example to train on: the places from there on were not learned."""
    added_words: int = 0
    """Words of the corpus that were added to the vocabulary (``--add-words``)."""
    mix: list[dict[str, Any]] = []
    """One entry per text of a mix (``data.mix``, ``--keep``): ``source``, ``share`` of the examples, ``documents``, ``tokens``,
    ``training_tokens``, ``text_bytes``, and ``passes``, how many times it was read."""
    unigram_entropy: float = 0.0
    """Nats per token: the loss of a model that knows only how often each token occurs."""
    most_frequent_token_share: float = 0.0

    task: str | None = None
    """The task's name, or where the rows came from. From here on the fields are those of fine-tuning."""
    metrics: list[str] = []
    """The names of the metrics. The first one chose the weights; ``results["eval_" + metric]`` is its figure."""
    rows: dict[str, int] = {}
    """The number of rows by the name of the split."""
    best_step: int | None = None
    """The step whose weights were kept."""

    @property
    def folder(self) -> Path:
        """The folder with the model, the metrics and the checkpoints of the run."""
        return Path(self.out)

    @property
    def facts(self) -> dict[str, Any]:
        """The fields that the run has written, as plain values."""
        return self.model_dump(exclude_unset=True)


def read_record(out: Path) -> RunRecord:
    """Reads the record of the run in a folder, or of the export; an empty record where there is none.

    Raises:
        BertkitError: the file cannot be read, or does not have the form that bertkit writes.
    """
    path = next((path for path in (out / RUN, out / EXPORT) if path.is_file()), out / RUN)
    try:
        return RunRecord(**(read_json(path) if path.is_file() else {}))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise BertkitError(f"{path} was not written by bertkit: {name} is {str(first['input'])[:40]!r}") from None


def _command() -> str:
    """The command that was typed, quoted for a shell: bertkit's own, or the script that called it.

    A notebook's own command tells nothing.
    """
    program = Path(sys.argv[0])
    is_ours = program.stem == "bertkit" or program.parts[-2:] == ("bertkit", "__main__.py")
    if not is_ours and (not program.name or program.stem == "ipykernel_launcher"):
        return "python  # in a notebook"
    return shlex.join([*(["bertkit"] if is_ours else ["python", program.name]), *sys.argv[1:]])


def write_record(out: Path, facts: Mapping[str, Any]) -> RunRecord:
    """Writes ``run.json``: the facts of a run, its command, and the versions of the libraries."""
    run = {
        "command": _command(),
        "bertkit": __version__,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        **facts,
    }
    write_json(out / RUN, run)
    return RunRecord(**run)


def write_export_record(run: Path, folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes the record of an export, if the model that it is made from has one that bertkit wrote.

    Args:
        run: the folder of the model.
        folder: that of the export.
        facts: of the export itself: ``out`` and ``exported_from``.
    """
    try:
        record = read_record(run)
    except BertkitError:  # the file is another program's
        return
    if record.kind:
        kept = {name: value for name, value in record.facts.items() if name in _KEPT}
        if (length := record.results.get("max_seq_length")) is not None:  # that of its evaluations
            kept["results"] = {"max_seq_length": length}
        write_json(folder / EXPORT, {**kept, **facts, "finished": True})
