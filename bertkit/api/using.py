"""What a trained model is asked, and where it goes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.api.given import Name, given_names, given_rows, overrides_of
from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from bertkit.finetuning.predict import Predictor
    from bertkit.inference.bert import Bert
    from bertkit.inference.explaining import Explanation
    from bertkit.inference.exporting.compare import Exported
    from bertkit.io.memory import Table


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
    names, rows = given_names(corpus), (task, validation, data)
    if sum((cloze is not False, bool(names), minimal_pairs is not None, any(one is not None for one in rows))) > 1:
        raise BertkitError("give one of labelled rows (task, validation, data), cloze, corpus and minimal_pairs")
    if settings and (cloze is not False or minimal_pairs is not None):
        raise BertkitError("settings are for labelled rows and for corpus: cloze and minimal_pairs have none")
    if cloze is not False:
        from bertkit.inference.cloze import evaluate_cloze

        return evaluate_cloze(str(model), None if isinstance(cloze, bool) else Path(cloze), device)
    if minimal_pairs is not None:
        from bertkit.inference.minimal_pairs import evaluate_minimal_pairs

        return evaluate_minimal_pairs(str(model), Path(minimal_pairs), device)
    if names:
        from bertkit.pretraining.corpus_evaluation import CorpusRequest, evaluate_corpus

        return evaluate_corpus(CorpusRequest(str(model), names, overrides=overrides_of(settings), device=device))
    from bertkit.finetuning.predict import evaluate as run

    folder = None if data is None else Path(data)
    return run(str(model), task, folder, given_rows("validation", validation), overrides_of(settings), device)


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


def explain(
    model: Name,
    text: str,
    text_b: str | None = None,
    *,
    answer: str | None = None,
    baseline: str = "mask",
    device: str = "auto",
) -> "Explanation":
    """Which words speak for a model's answer, and which against it: integrated gradients, by captum.

    Args:
        model: a classifier of texts, or a model that fills masks.
        text: with one ``[MASK]`` where the model fills masks.
        text_b: the second text of a pair.
        answer: the class, or the word, to explain; None takes the model's own.
        baseline: what the words are compared with in their places: "mask" or "pad".
        device: as for ``predict``.

    Returns:
        ``words``, each with what it adds; ``output`` of the text and ``baseline_output`` without its words, whose
        difference the words make up but for ``error``; and ``answer``.

    Raises:
        BertkitError: captum is not installed; the model cannot be had, or answers something else; the text does not
            suit it; it has no such answer.
    """
    from bertkit.inference.explaining import explain as explained

    return explained(str(model), text, text_b, answer, baseline, device)


def export(
    model: Name, *, format: str = "onnx", out: Name | None = None, int8: bool = False, pooling: str = "mean"
) -> "Exported":
    """Writes a model in another form, checked against the original.

    Args:
        format: "onnx", one graph that onnxruntime runs without torch; "half", a folder of half the size; or
            "sentence-transformers", the folder that ``SentenceTransformer(...)`` loads.
        out: a new folder; None is the model's with the format behind its name.
        int8: ONNX with weights of 8 bits, a quarter to a half of the size.
        pooling: what a text's vector is for sentence-transformers: "mean" of all tokens, or "cls", the first.

    Returns:
        ``folder``, ``weights``, and the ``differences`` from the original over so many ``texts``.

    Raises:
        BertkitError: the model cannot be had; the folder is not empty; what was written says something else than the
            original. Nothing is left behind.
    """
    from bertkit.inference.exporting.export import export as write

    return write(str(model), format, None if out is None else Path(out), int8, pooling)


def serve(
    model: Name = "embedded",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    timeout_s: float = 60.0,
    device: str = "auto",
) -> None:
    """Serves a model over HTTP until a signal ends it; what was asked before is answered.

    Args:
        host: the address to listen at; "0.0.0.0" is all of this machine.
        port: 0 takes one that is free.
        timeout_s: how long a request may wait for its answer, in seconds.
        device: as for ``predict``.

    Raises:
        BertkitError: the libraries are not installed; the model cannot be served; the address is taken; a notebook
            calls this outside of a thread.
    """
    from bertkit.serving.server import serve as run

    run(str(model), host, port, device, timeout_s)
