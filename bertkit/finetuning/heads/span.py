"""Question answering: the answer is a stretch of a text (Devlin et al. 2018, sections 4.2 and 4.3).

The model reads question and text as a pair, and gives each token of the text two logits: for the answer to begin there, and
to end there. ``[CLS]`` stands for no answer. Shapes: N features in a batch, L tokens of the longest, W tokens read.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bertkit import console
from bertkit.console import counted
from bertkit.errors import BertkitError
from bertkit.finetuning.answer_features import answer_features, likeliest_spans, what_is_lost
from bertkit.finetuning.answers import METRICS, best_threshold, figures, interval_of
from bertkit.finetuning.baseline import beside
from bertkit.finetuning.features import Batch, Columns, Features, Row, Split
from bertkit.finetuning.heads.at_tokens import AtTokens
from bertkit.finetuning.rows.cells import is_missing, is_whole
from bertkit.finetuning.rows.question_rows import Answers, answers_of, are_alone, nested_rows, stands_in
from bertkit.finetuning.rows.unfolded import looks_like_object, unfolded
from bertkit.runtime.numpy_bert import softmax

if TYPE_CHECKING:
    import torch

    from bertkit.finetuning.windows import RowEncoder
    from bertkit.settings.schema import TaskSettings

_SHOWN_ANSWERS = 5


class SpanHead(AtTokens):
    """Answers in a text.

    Args:
        may_be_unanswered: whether the text may have no answer, as in SQuAD 2.0.
        threshold: "no answer" is predicted if its logits exceed those of the best answer by more than this.
    """

    name = "span"
    auto_class = "AutoModelForQuestionAnswering"
    pipeline_tag = "question-answering"
    overflow = "windows"
    roles: ClassVar = {
        "question": (("question",),),
        "context": (("context",), ("passage",), ("text",)),
        "id": (("id",), ()),
        "start": (("answer_start",), ()),
        "label": (("answers",), ("answer",)),
    }
    metric_names = tuple(METRICS)

    def __init__(self, may_be_unanswered: bool, threshold: float = 0.0) -> None:
        self.may_be_unanswered, self.threshold, self.label_names = may_be_unanswered, threshold, []

    # From rows, or from a saved model.

    @classmethod
    def rows_of(cls, path: Path) -> Iterator[Row] | None:
        return nested_rows(path)

    @classmethod
    def takes(cls, row: dict[str, Any], task: "TaskSettings") -> bool:  # noqa: ARG003
        plain = {name.strip().lower(): cell for name, cell in row.items()}
        given, context = plain.get("answers", plain.get("answer")), plain.get("context")
        if not isinstance(plain.get("question"), str) or not isinstance(context, str):
            return False
        alone = isinstance(given, str) and stands_in(given, context)
        return alone or isinstance(given, (dict, list)) or _are_written_answers(given)

    @classmethod
    def check_row(cls, row: Row, columns: Columns, task: "TaskSettings") -> None:  # noqa: ARG003
        _answers(row, columns)

    @classmethod
    def fit(cls, rows: Sequence[Row], columns: Columns, task: "TaskSettings") -> "SpanHead":  # noqa: ARG003
        answers = [_answers(row, columns) for row in rows]
        if not any(one.texts for one in answers):
            where = f"{answers[0].place}: " if answers else ""
            raise BertkitError(f"{where}no question of the training rows has an answer: there is nothing to learn")
        return cls(not all(one.texts for one in answers))

    @classmethod
    def of_model(cls, config: dict[str, Any]) -> "SpanHead":
        return cls(config.get("bertkit_may_be_unanswered", False), config.get("bertkit_no_answer_threshold", 0.0))

    def model_config(self) -> dict[str, Any]:
        return {"bertkit_may_be_unanswered": self.may_be_unanswered, "bertkit_no_answer_threshold": self.threshold}

    # From rows to batches.

    @property
    def needs(self) -> str:
        return "a question and a context"

    def input(self, row: Row, columns: Columns) -> dict[str, str]:
        place, values = row
        texts = {role: values.get(columns[role][0]) for role in ("question", "context")}
        for role, text in texts.items():
            if not isinstance(text, str) or not text.strip():
                raise BertkitError(f"{place} has no {role}: '{columns[role][0]}' must be a text that is not empty")
        id_ = values.get(columns["id"][0]) if "id" in columns else None
        named = {} if id_ is None else {"id": str(id_)}
        return named | {role: str(text) for role, text in texts.items()}

    def labels(self, rows: Sequence[Row], columns: Columns) -> list[Answers]:
        return [_answers(row, columns) for row in rows]

    def left_out(self, rows: Sequence[Row], columns: Columns, split: Split) -> list[str]:  # noqa: ARG002
        moved, unplaced, ambiguous = (
            sum(getattr(one, name) for one in split.labels or ()) for name in ("moved", "unplaced", "ambiguous")
        )
        further = sum(len(set(one.texts)) > 1 for one in split.labels or ()) if split.name.startswith("train") else 0
        more = f"; {ambiguous:,} of them stand there more than once" if ambiguous else ""
        several = f"rows in {split.name} with several different answers, of which the first is learned: {further:,}"
        elsewhere = f"answers that stand elsewhere than {split.name} says, and were found: {moved:,}{more}"
        where = f"answers in {split.name} without a position (answer_start), taken where they stand first: {unplaced:,}{more}"
        return [elsewhere] * bool(moved) + [several] * bool(further) + [where] * bool(unplaced)

    def features(self, split: Split, encoder: "RowEncoder") -> Features:
        made = answer_features(split, encoder, self.overflow)
        for told in what_is_lost(split, made):
            console.note(told)
        return made

    def tokens_read(self, features: Features) -> Sequence[np.ndarray]:
        read: Sequence[np.ndarray] = features.targets.read
        return read

    def tensors(self, features: Features, units: Sequence[int]) -> Batch:
        """``wanted``, and ``labels``: int64 ``[N, 2]``, where the answers begin and end."""
        import torch

        batch, places = super().tensors(features, units), features.targets.places
        return batch if places is None else batch | {"labels": torch.from_numpy(places[list(units)])}

    # From batches to a loss. Logits are ``[W, 2]``: for the answer to begin, and to end, at each token.

    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        """The mean of the cross-entropies of beginning and end, each over ``[CLS]`` and the tokens of the text."""
        import torch
        from torch.nn.functional import cross_entropy
        from torch.nn.utils.rnn import pad_sequence

        parts = logits.split(batch["wanted"].sum(dim=1).tolist())
        padded = pad_sequence(
            list(parts), batch_first=True, padding_value=torch.finfo(logits.dtype).min
        )  # [N, most, 2]
        return cross_entropy(padded.transpose(1, 2).flatten(0, 1), batch["labels"].flatten(), reduction="sum") / 2

    # From logits to answers.

    def decode(self, logits: Sequence[np.ndarray], features: Features, split: Split) -> list[dict[str, Any]]:
        best, none = likeliest_spans(logits, features, len(split.texts))
        answers = [self._answer(split.texts[row], best[row], float(none[row])) for row in range(len(split.texts))]
        answers = [{"index": row, **answer} for row, answer in enumerate(answers)]
        for answer, right in zip(answers, split.labels or (), strict=False):
            answer |= {"label": right.texts, "label_starts": right.starts}
        return answers

    def _answer(self, text: dict[str, str], ranked: list[tuple[float, int, int]], none: float) -> dict[str, Any]:
        scores = np.array([*(score for score, _, _ in ranked), *([none] if self.may_be_unanswered else [])])
        shares = softmax(scores) if len(scores) else scores
        n_best = [
            {"text": text["context"][begin:end], "start": begin, "end": end, "score": float(share)}
            for share, (_, begin, end) in zip(shares, ranked, strict=False)
        ]
        excess = none - ranked[0][0] if ranked else None
        named = {"id": text["id"]} if "id" in text else {}
        score = float(shares[-1]) if len(shares) else 0.0
        chosen: dict[str, Any] = {"text": "", "start": None, "end": None, "score": score}
        if excess is not None and not (self.may_be_unanswered and excess > self.threshold):
            chosen = n_best[0]
        answer = {"prediction": chosen["text"], **{name: chosen[name] for name in ("start", "end", "score")}}
        answer |= {"no_answer": excess} if self.may_be_unanswered else {}
        return named | answer | {"n_best": n_best[:_SHOWN_ANSWERS]}

    def tuned(self, predictions: list[dict[str, Any]], split: Split) -> "SpanHead":
        """The same head with the threshold that gives the best F1 on these rows."""
        if not self.may_be_unanswered:
            return self
        other = copy(self)
        # A row of whose text nothing is read gets no answer whatever the threshold.
        rows = [(row, one) for row, one in zip(predictions, split.labels, strict=True) if row["n_best"]]
        said, right = [row["n_best"][0]["text"] for row, _ in rows], [one.texts for _, one in rows]
        scores = [row["no_answer"] for row, _ in rows]
        other.threshold = best_threshold(scores, said, right)[0]
        return other

    def shown(self, text: Any) -> dict[str, Any]:
        return {name: text[name] for name in ("question", "context")}

    # How good the answers are.

    def score(self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str]) -> dict[str, float]:
        said, right = _answers_of(predictions, split)
        return {name: float(np.mean(figures(name, said, right))) if said else 0.0 for name in metrics}

    def details(
        self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str], seed: int
    ) -> dict[str, Any]:
        each = figures(metrics[0], *_answers_of(predictions, split))
        answered = np.array([bool(one.texts) for one in split.labels])
        interval = interval_of(metrics[0], each, seed)
        details = beside(metrics[0], interval, "never answering", float((~answered).mean()))
        if self.may_be_unanswered:
            # The threshold may have been fitted on the same rows.
            untuned = self.score([_untuned(row) for row in predictions], split, metrics)
            details |= {f"eval_{name}_untuned": value for name, value in untuned.items()}
        for name, rows in (("with_answer", answered), ("without_answer", ~answered)):
            if self.may_be_unanswered and rows.any():
                details[name] = {metrics[0]: float(each[rows].mean()), "rows": int(rows.sum())}
        return details

    # What people are told.

    def described(self, split: Split) -> str:
        none = sum(not one.texts for one in split.labels)
        questions = f"of {len(split.labels):,} questions"
        unanswered = counted(
            none, f"{questions} has no answer in its text", f"{questions} have no answer in their text"
        )
        return unanswered if none else "every question has an answer"

    @property
    def purpose(self) -> str:
        return " to answer questions out of a text" + (", or to say that it does not" if self.may_be_unanswered else "")

    def usage(self, folder: str) -> str:
        return self.own_usage(folder)  # transformers has no such pipeline any more

    def example(self, columns: Sequence[str]) -> Any:  # noqa: ARG002
        return {"question": "Where did Ana move?", "context": "Ana moved to Oslo."}


def _are_written_answers(cell: Any) -> bool:
    """Whether a cell has the text of an object, or of a list of objects."""
    found = unfolded(cell)
    return looks_like_object(cell) or (isinstance(found, list) and all(isinstance(one, dict) for one in found))


def _answers(row: Row, columns: Columns) -> Answers:
    place, values = row
    context = values.get(columns["context"][0])
    given = values.get(columns["label"][0])
    if "start" in columns and are_alone(unfolded(given)):
        start = unfolded(values.get(columns["start"][0]))
        if is_whole(start):  # a .csv has text, and pandas floats where some are missing
            start = int(float(start))
        given = given if is_missing(start) else {"text": unfolded(given), "answer_start": start}
    return answers_of(place, context if isinstance(context, str) else "", given)


def _untuned(row: dict[str, Any]) -> dict[str, Any]:
    """The prediction of a row without a threshold: "no answer" only if it is more likely than the best answer."""
    best = row["n_best"][0]["text"] if row["n_best"] and row["no_answer"] <= 0 else ""
    return {**row, "prediction": best}


def _answers_of(predictions: Sequence[dict[str, Any]], split: Split) -> tuple[list[str], list[list[str]]]:
    """The predicted answers, and the right ones."""
    return [row["prediction"] for row in predictions], [one.texts for one in split.labels]
