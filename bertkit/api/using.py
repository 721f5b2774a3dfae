"""The functions of ``import bertkit`` that use a trained model."""

from collections.abc import Iterable, Mapping, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.api.given import (
    Name,
    count_of,
    device_of,
    given_name,
    given_names,
    given_path,
    given_rows,
    name_of,
    number_of,
    overrides_of,
)
from bertkit.errors import BertkitError
from bertkit.settings.recipes import Override

if TYPE_CHECKING:
    from bertkit.finetuning.predictor import Predictor
    from bertkit.inference.bert import Bert
    from bertkit.inference.explaining import Explanation
    from bertkit.inference.exporting.compare import Exported
    from bertkit.io.memory import Table
    from bertkit.models.import_tf import Imported


def evaluate(
    model: Name,
    *,
    task: str | None = None,
    validation: "Name | Table | None" = None,
    data: Name | None = None,
    cloze: Name | bool = False,
    corpus: Name | Iterable[Name] | None = None,
    minimal_pairs: Name | None = None,
    seq_len: int | None = None,
    max_examples: int | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Evaluates a fine-tuned model on labelled rows, or a pretrained one by one of three tests.

    Args:
        model: the model's folder or hub name.
        task: a task of ``bertkit recipes``; None is the one that the model was fine-tuned on.
        validation: rows of your own, in the forms that ``finetune`` takes.
        data, settings, device: as for ``finetune``.
        cloze: test how often a pretrained model guesses a missing word: True uses the sentences that come with bertkit,
            a path names a table with the columns ``sentence`` and ``answers``.
        corpus: measure a pretrained model's loss and accuracy on held-out text.
        minimal_pairs: a file or folder; test how often a pretrained model prefers the right one of two sentences.
        seq_len: tokens per sequence, for ``corpus``; None is the length at the end of the model's run, or 128.
        max_examples: examples to evaluate at most, for ``corpus``; None is 2,000.

    Returns:
        ``eval_loss``, a figure ``eval_…`` with a 95 % interval for each metric, and their names in ``metrics``; for the
        three tests what ``bertkit evaluate --json`` prints.

    Raises:
        BertkitError: the model or the rows cannot be read, do not fit each other, or more than one test is asked for.
    """
    name, kind = name_of("model", model), device_of(device)
    names, rows = given_names("corpus", corpus), (task, validation, data)
    if sum((cloze is not False, bool(names), minimal_pairs is not None, any(one is not None for one in rows))) > 1:
        raise BertkitError("give one of labelled rows (task, validation, data), cloze, corpus and minimal_pairs")
    if settings and (cloze is not False or minimal_pairs is not None):
        raise BertkitError("settings are for labelled rows and for corpus: cloze and minimal_pairs have none")
    asked = {"seq_len": ("data.max_seq_length", seq_len), "max_examples": ("data.max_eval_examples", max_examples)}
    sizes = [Override(key, value, argument) for argument, (key, value) in asked.items() if value is not None]
    if sizes and not names:
        raise BertkitError(f"{sizes[0].origin} is for corpus: give a corpus, or leave it out")
    if cloze is not False:
        from bertkit.inference.cloze import evaluate_cloze

        return evaluate_cloze(name, None if isinstance(cloze, bool) else Path(name_of("cloze", cloze)), kind)
    if minimal_pairs is not None:
        from bertkit.inference.minimal_pairs import evaluate_minimal_pairs

        return evaluate_minimal_pairs(name, Path(name_of("minimal_pairs", minimal_pairs)), kind)
    if names:
        from bertkit.pretraining.corpus_evaluation import CorpusRequest, evaluate_corpus

        overrides = [*sizes, *overrides_of(settings)]
        return evaluate_corpus(CorpusRequest(name, names, overrides=overrides, device=kind))
    from bertkit.finetuning.predict import evaluate as run

    held_out = given_rows("validation", validation)
    return run(name, given_name("task", task), given_path("data", data), held_out, overrides_of(settings), kind)


def predict(
    model: Name,
    rows: "Iterable[str | Mapping[str, Any]] | Table",
    *,
    device: str = "auto",
    abstain_below: float = 0.0,
) -> list[dict[str, Any]]:
    """Applies a fine-tuned model to a few texts or rows. To call a model more than once, use ``load_predictor``.

    Args:
        model: the model's folder or hub name.
        rows: texts, or rows with the columns that the model was fine-tuned on: a list or another iterable, which is read
            to its end, a dictionary of columns, a ``datasets.Dataset`` or a ``pandas.DataFrame``.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        abstain_below: rows whose most likely class has a lower probability than this get None as prediction.

    Raises:
        BertkitError: the model cannot be loaded, or does not fit the rows.
    """
    from bertkit.finetuning.predictor import check_are_rows, open_predictor

    check_are_rows(rows)
    below = number_of("abstain_below", abstain_below)
    count = len(rows) if isinstance(rows, Sized) and not isinstance(rows, Mapping) else None
    return open_predictor(name_of("model", model), device_of(device), count).abstaining(below)(rows)


def load(name: Name = "embedded", *, device: str = "auto") -> "Bert":
    """Gives a pretrained BERT, with the methods ``fill``, ``score`` and ``embed``.

    Args:
        name: a folder (also one that ``bertkit export`` wrote), a name on the hub, or "embedded".
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        BertkitError: the model cannot be loaded.
    """
    from bertkit.inference.bert import Bert

    return Bert(name_of("name", name), device_of(device))


def load_predictor(model: Name, *, device: str = "auto", abstain_below: float = 0.0) -> "Predictor":
    """Loads a fine-tuned model, which can be called with lists of texts or rows.

    Args:
        model: the model's folder or hub name.
        device, abstain_below: as for ``predict``.

    Raises:
        BertkitError: the model cannot be loaded, or was not fine-tuned.
    """
    from bertkit.finetuning.predictor import open_predictor

    below = number_of("abstain_below", abstain_below)
    return open_predictor(name_of("model", model), device_of(device)).abstaining(below)


def explain(
    model: Name,
    text: str,
    text_b: str | None = None,
    *,
    answer: str | None = None,
    baseline: str = "mask",
    device: str = "auto",
) -> "Explanation":
    """Computes which words speak for a model's answer, and which against it, by integrated gradients (captum).

    Args:
        model: a classifier of texts, or a model that fills masks.
        text: the text; for a model that fills masks with one ``[MASK]``.
        text_b: the second text of a pair.
        answer: the class or the word to explain; None takes the model's own answer.
        baseline: the token that the words are compared with: "mask" or "pad".
        device: as for ``predict``.

    Returns:
        ``answer``; ``words`` with their contributions; ``output`` for the text and ``baseline_output`` for the baseline,
        whose difference the contributions add up to, except for ``error``.

    Raises:
        BertkitError: captum is not installed; the model cannot be loaded, or is neither of the two kinds; the text does
            not suit the model; or the model has no such answer.
    """
    from bertkit.inference.explaining import explain as explained

    said = None if answer is None else str(answer)  # a class may be called 1
    return explained(name_of("model", model), text, text_b, said, baseline, device_of(device))


def export(
    model: Name, *, format: str = "onnx", out: Name | None = None, int8: bool = False, pooling: str = "mean"
) -> "Exported":
    """Exports a model, and compares the export with the original.

    Args:
        model: the model's folder or hub name, or "embedded".
        format: "onnx", one graph that onnxruntime runs without torch; "half", a folder of half the size; or
            "sentence-transformers", a folder that ``SentenceTransformer(...)`` loads.
        out: a new or empty folder; None adds the format to the name of the model's folder.
        int8: for "onnx", store the weights as 8-bit numbers, which take a quarter to a half of the space.
        pooling: for "sentence-transformers", how a text's vector is made: "mean" of all tokens, or "cls", the first one.

    Returns:
        ``folder``, ``weights``, the number of ``texts`` that were compared, and the ``differences`` from the original.

    Raises:
        BertkitError: the model cannot be loaded, the folder is not empty, or the export differs too much from the
            original. Nothing is written then.
    """
    from bertkit.inference.exporting.export import export as write

    return write(name_of("model", model), format, given_path("out", out), int8, pooling)


def import_checkpoint(
    checkpoint: Name, *, out: Name, config: Name | None = None, vocab: Name | None = None
) -> "Imported":
    """Converts a TensorFlow checkpoint, or an old PyTorch one, into a plain Hugging Face folder, without TensorFlow.

    Args:
        checkpoint: a folder with one checkpoint; a TensorFlow checkpoint by its prefix (the path without ".index"); or a
            ``pytorch_model.bin``.
        out: a new or empty folder.
        config: bert_config.json (or config.json); None takes the one beside the checkpoint.
        vocab: vocab.txt; None takes the one beside the checkpoint.

    Returns:
        The ``folder``, the model's class (``cls_name``), the number of its ``parameters``, how many tensors of the optimizer
        were ``left_out``, and which parts are ``missing``.

    Raises:
        BertkitError: a file is missing or damaged, or the files do not fit each other. Nothing is written then.
    """
    from bertkit.models.import_tf import import_checkpoint as write

    beside = given_path("config", config), given_path("vocab", vocab)
    return write(Path(name_of("checkpoint", checkpoint)), Path(name_of("out", out)), *beside)


def serve(
    model: Name = "embedded",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    timeout_s: float = 60.0,
    device: str = "auto",
) -> None:
    """Serves a model over HTTP until a signal ends it; requests that have arrived before are still answered.

    Args:
        model: the model's folder or hub name, or "embedded".
        host: the address to listen at; "0.0.0.0" is all addresses of this machine.
        port: the port; 0 takes a free one.
        timeout_s: how long a request may wait for its answer, in seconds.
        device: as for ``predict``.

    Raises:
        BertkitError: the libraries are not installed, the model cannot be served, the address is in use, or a notebook
            calls this function outside of a thread.
    """
    from bertkit.serving.server import serve as run

    run(name_of("model", model), str(host), count_of("port", port), device_of(device), timeout_s)
