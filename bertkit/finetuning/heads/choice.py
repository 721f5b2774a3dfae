"""Multiple choice (Devlin et al. 2018, section 4.4).

Each choice is read as a pair with the question and gets one logit. The softmax goes over the choices of a row, which may
have any number. Shapes: N features (choices) in a batch, of R rows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.baseline import beside
from bertkit.finetuning.features import Batch, Columns, Features, Row, Split, joined
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.rows.choice_rows import (
    are_choices,
    choices_of,
    numbered,
    numbered_choices,
    refuse_missing_labels,
    refuse_numbers_from_1,
    refuse_two_readings,
    right_choice,
    told_empty,
)
from bertkit.finetuning.rows.columns import Command, option
from bertkit.finetuning.rows.kinds import CHOICE_LISTS, as_text
from bertkit.intervals import wilson_interval
from bertkit.runtime.numpy_bert import softmax

if TYPE_CHECKING:
    import torch

    from bertkit.finetuning.windows import RowEncoder
    from bertkit.settings.schema import TaskSettings

_QUESTIONS = (
    *(("article", "question"), ("context", "question"), ("sent1", "sent2"), ("premise", "question")),
    *((name,) for name in ("question", "premise", "ctx", "sent1", "context")),
    (),
)


class ChoiceHead(Head):
    """One of several choices."""

    name = "choice"
    auto_class = "AutoModelForMultipleChoice"
    pipeline_tag = "multiple-choice"
    roles: ClassVar = {
        "text": _QUESTIONS,
        "choices": (*((name,) for name in CHOICE_LISTS), ()),
        "label": (("label",), ("answer",), ("answerKey",)),
    }
    metric_names = ("accuracy",)

    def __init__(self) -> None:
        self.label_names = []

    @classmethod
    def takes(cls, row: dict[str, Any], task: "TaskSettings") -> bool:  # noqa: ARG003
        listed = any(are_choices(row.get(name)) for name in CHOICE_LISTS)
        return (listed or any(len(family) > 1 for family in numbered(row))) and any(
            name in row for (name,) in cls.roles["label"]
        )

    @classmethod
    def most_columns(cls, task: "TaskSettings") -> dict[str, int]:
        most = super().most_columns(task)
        del most["text"]  # they are joined
        return most

    @classmethod
    def columns_read(cls, columns: Columns, row: dict[str, Any]) -> set[str]:
        read = super().columns_read(columns, row)
        return read if "choices" in columns else read.union(*numbered(row))

    @classmethod
    def check_row(cls, row: Row, columns: Columns, task: "TaskSettings") -> None:  # noqa: ARG003
        choices_of(row, columns)

    @classmethod
    def fit(cls, rows: Sequence[Row], columns: Columns, task: "TaskSettings") -> "ChoiceHead":  # noqa: ARG003
        for row in rows:
            choices_of(row, columns)
        return cls()

    @classmethod
    def of_model(cls, config: dict[str, Any]) -> "ChoiceHead":  # noqa: ARG003
        return cls()

    def model_config(self) -> dict[str, Any]:
        return {}

    # From rows to batches.

    @property
    def needs(self) -> str:
        return "a question and its choices"

    def check_texts(self, columns: Columns, source: str, command: Command = "finetune") -> None:
        if not columns.get("text"):
            way = option("text", command)
            console.note_once(f"{source}: no column of questions, so that choices are read alone ({way} names one)")

    def input(self, row: Row, columns: Columns) -> dict[str, Any]:
        place, values = row
        # "Ana opened the door. She" and "sat down.": the second part begins each choice, as in SWAG.
        texts = [as_text(values.get(name), place, name) for name in columns.get("text", ())]
        begun = texts.pop() if columns.get("text") == ("sent1", "sent2") else ""
        choices = [f"{begun} {choice}".strip() for choice in choices_of(row, columns)]
        if "choices" not in columns:
            console.note_once(f"choices: {', '.join(numbered_choices(place, values)[:2])}, …")
        return {"question": " ".join(text for text in texts if text), "choices": choices}

    def left_out(self, rows: Sequence[Row], columns: Columns, split: Split) -> list[str]:
        return told_empty(rows, columns, split.name)

    def check_labels(self, rows: Sequence[Row], columns: Columns, source: str) -> None:
        refuse_two_readings(rows, columns)
        refuse_numbers_from_1(rows, columns, source)

    def labels(self, rows: Sequence[Row], columns: Columns) -> np.ndarray:
        refuse_missing_labels(rows, columns)
        return np.array([right_choice(row, columns) for row in rows], dtype=np.int64)

    def features(self, split: Split, encoder: "RowEncoder") -> Features:
        if encoder.overflow == "windows":
            raise BertkitError(
                "data.overflow=windows does not fit choices, each of which is read as a whole and gets one number: leave it "
                "out, and read more tokens with --seq-len"
            )
        texts = [(text["question"], choice) for text in split.texts for choice in text["choices"]]
        made = joined([self._of_kind(texts, is_asked, encoder) for is_asked in (False, True)])
        rows = np.array([row for row, text in enumerate(split.texts) for _ in text["choices"]], dtype=np.int64)
        cut = dict[int, int]()
        for pair, tokens in made.cut.items():
            cut[int(rows[pair])] = max(tokens, cut.get(int(rows[pair]), 0))
        characters = Counter[str]()  # those of a question once
        for text in split.texts:
            characters.update(text["question"] + "".join(text["choices"]))
        kept = {"targets": split.labels, "characters": characters, "cut": cut}
        return replace(made, rows=rows[made.rows], together=True, windows=None, **kept)

    def _of_kind(self, texts: Sequence[tuple[str, str]], is_asked: bool, encoder: "RowEncoder") -> Features:
        """The features of the choices that have a question, or of those that have none: what is read of a row depends on it
        alone."""
        own = [number for number, (question, _) in enumerate(texts) if bool(question) is is_asked]
        given = [texts[number] if is_asked else texts[number][1:] for number in own]
        return encoder(given, self.overflow, shortened="only_first" if is_asked else "longest_first").of_rows(own)

    def tensors(self, features: Features, units: Sequence[int]) -> Batch:
        """``sizes``: int64 ``[R]``, the number of choices of each row; ``labels``: int64 ``[R]``, the right choice."""
        import torch

        batch = {"sizes": torch.tensor([len(features.units[unit]) for unit in units])}
        return batch if features.targets is None else batch | super().tensors(features, units)

    # From batches to a loss.

    def logits(self, model: Any, batch: Batch) -> "torch.Tensor":
        """``[N]``."""
        from bertkit.models.headed import pooled_logits

        return pooled_logits(model, batch).flatten()

    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        import torch
        from torch.nn.functional import cross_entropy
        from torch.nn.utils.rnn import pad_sequence

        least = torch.finfo(logits.dtype).min
        padded = pad_sequence(list(logits.split(batch["sizes"].tolist())), batch_first=True, padding_value=least)
        return cross_entropy(padded, batch["labels"], reduction="sum")

    # From logits to answers.

    def parted(self, logits: "torch.Tensor", batch: Batch) -> "list[torch.Tensor]":
        return list(logits.split(batch["sizes"].tolist()))

    def picked(self, arrays: Sequence[np.ndarray], features: Features) -> list[np.ndarray]:
        return [np.concatenate([arrays[number].reshape(-1) for number in unit]) for unit in features.units]

    def joined(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(logits)

    def decode(self, logits: Sequence[np.ndarray], features: Features, split: Split) -> list[dict[str, Any]]:  # noqa: ARG002
        answers = []
        for index, (text, numbers) in enumerate(zip(split.texts, logits, strict=True)):
            chosen = int(numbers.argmax())
            answer = {"index": index, "prediction": chosen, "choice": text["choices"][chosen]}
            answer["probabilities"] = softmax(numbers.astype(np.float64)).tolist()
            answers.append(answer if split.labels is None else answer | {"label": int(split.labels[index])})
        return answers

    def shown(self, text: Any) -> dict[str, Any]:
        return dict(text)

    # How good the answers are.

    def score(self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str]) -> dict[str, float]:
        rights = [row["prediction"] == label for row, label in zip(predictions, split.labels, strict=True)]
        return {name: float(np.mean(rights)) if rights else 0.0 for name in metrics}

    def details(
        self,
        predictions: list[dict[str, Any]],
        split: Split,
        metrics: Sequence[str],
        seed: int,  # noqa: ARG002 (Wilson's interval needs none)
    ) -> dict[str, Any]:
        rights = sum(row["prediction"] == label for row, label in zip(predictions, split.labels, strict=True))
        chance = float(np.mean([1 / len(text["choices"]) for text in split.texts]))
        return beside(metrics[0], wilson_interval(rights, len(predictions)), "guessing", chance) | {"chance": chance}

    # What people are told.

    def described(self, split: Split) -> str:
        sizes = sorted({len(text["choices"]) for text in split.texts})
        return f"{' to '.join(map(str, dict.fromkeys([sizes[0], sizes[-1]])))} choices a row" if sizes else ""

    @property
    def purpose(self) -> str:
        return " to choose one of several answers"

    def usage(self, folder: str) -> str:
        return (
            "from transformers import AutoModelForMultipleChoice, AutoTokenizer\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("{folder}")\n'
            f'model = AutoModelForMultipleChoice.from_pretrained("{folder}")\n'
            'choices = ["he slept .", "he ate an apple ."]\n'
            'pairs = tokenizer(["he was hungry ."] * 2, choices, return_tensors="pt", padding=True)\n'
            "print(model(**{name: one.unsqueeze(0) for name, one in pairs.items()}).logits.softmax(dim=-1))"
        )

    def example(self, columns: Sequence[str]) -> Any:  # noqa: ARG002
        return {"question": "he was hungry .", "choices": ["he slept .", "he ate an apple ."]}
