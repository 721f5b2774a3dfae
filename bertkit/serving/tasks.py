"""The tasks of a served model, with the requests and answers of the Hugging Face inference API.

A task turns the inputs of a request into items, and the items of any requests into answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from bertkit.errors import BertkitError
from bertkit.finetuning.features import Features, Split
from bertkit.finetuning.heads.token import TokenHead
from bertkit.runtime.text import sound

if TYPE_CHECKING:
    from bertkit.finetuning.predictor import Predictor

VECTORS = "feature-extraction"


@dataclass(frozen=True)
class Item:
    """A checked input, with the parameters of its request."""

    content: Any
    parameters: dict[str, Any]


class Task(Protocol):
    """A task that a model can do."""

    name: str
    """The name of the task in the inference API."""
    parameters: tuple[str, ...]
    """The names of the parameters that the task knows."""

    def content(self, given: Any) -> Any:
        """Checks an input; returns what the model reads of it.

        Raises:
            BertkitError: the input does not fit the task.
        """

    def answers(self, items: Sequence[Item]) -> list[Any]:
        """The answers to items, in order, as values for JSON.

        Raises:
            BertkitError: an item cannot be answered, as it is too long, for example.
        """


def _text(given: Any, part: str = "") -> str:
    """A text that is an input, or the part of an input with a name of its own."""
    if not isinstance(given, str):
        raise BertkitError(
            f"{part} must be a text"
            if part
            else 'inputs must be a text, or a list of texts, as in {"inputs": "a text"}'
        )
    return sound(given)


class FillMask:
    """Guesses for each ``[MASK]``; for several masks a list each."""

    name = "fill-mask"
    parameters: tuple[str, ...] = ("top_k", "targets")

    def __init__(self, model: str, device: str | None) -> None:
        from bertkit.inference.mask_filling.filler import MaskFiller

        self._filler = MaskFiller(model, device)

    def content(self, given: Any) -> str:
        return _text(given)

    def answers(self, items: Sequence[Item]) -> list[Any]:
        # Items with the same parameters are read together.
        groups: dict[str, list[int]] = {}
        for number, item in enumerate(items):
            groups.setdefault(repr(sorted(item.parameters.items())), []).append(number)
        answers: list[Any] = [None] * len(items)
        for numbers in groups.values():
            asked = items[numbers[0]].parameters
            texts = [items[number].content for number in numbers]
            filled = self._filler.fill(texts, asked.get("top_k"), asked.get("targets"))
            if "targets" in asked:
                self._filler.say_merged(asked["targets"])
            for number, masks in zip(numbers, filled, strict=True):
                said = [[self._guess(one) for one in guesses] for guesses in masks]
                answers[number] = said[0] if len(said) == 1 else said
        return answers

    @staticmethod
    def _guess(one: Any) -> dict[str, Any]:
        return {name: getattr(one, name) for name in ("score", "token", "token_str", "sequence")}


class Vectors:
    """The mean of the last states of a text's tokens, as from `bertkit embed`."""

    name = VECTORS
    parameters: tuple[str, ...] = ("normalize",)

    def __init__(self, model: str, device: str | None) -> None:
        from bertkit.inference.embedding import Embedder

        self._embedder = Embedder(model, device=device)

    def content(self, given: Any) -> str:
        return _text(given)

    def answers(self, items: Sequence[Item]) -> list[Any]:
        self._embedder.texts.cut = 0
        chunks = self._embedder.chunks([item.content for item in items])
        rows = [one.rows[0] for chunk in chunks for one in chunk]
        if self._embedder.texts.cut:
            raise _too_long(self._embedder.texts.reader.max_tokens)
        return [
            (row / max(float(np.linalg.norm(row)), 1e-12) if item.parameters.get("normalize") else row).tolist()
            for item, row in zip(items, rows, strict=True)
        ]


def _too_long(max_tokens: int) -> BertkitError:
    return BertkitError(
        f"a text is longer than the {max_tokens} tokens that are read: send its parts as texts of their own"
    )


class _Predicted:
    """The predictions of a fine-tuned model, as from `bertkit predict`."""

    parameters: tuple[str, ...] = ()

    def __init__(self, model: str, device: str | None) -> None:
        from bertkit.finetuning.predictor import open_predictor

        self.predictor: Predictor = open_predictor(model, device or "auto")

    def answers(self, items: Sequence[Item]) -> list[Any]:
        split, features, logits = self._read(items)
        said = self.predictor.head.decode(logits, features, split)
        return [self._shaped(item, one) for item, one in zip(items, said, strict=True)]

    def _read(self, items: Sequence[Item]) -> tuple[Split, Features, list[np.ndarray]]:
        predictor, split = self.predictor, Split("", [item.content for item in items], None)
        features = predictor.head.features(split, predictor.encoder)
        if features.cut:
            raise _too_long(predictor.encoder.max_length)
        return split, features, predictor.logits(features)

    def _shaped(self, item: Item, said: dict[str, Any]) -> Any:
        raise NotImplementedError


class Classification(_Predicted):
    """Classes with their probabilities, the most likely first, or a number; for a text or a pair."""

    name = "text-classification"
    parameters: tuple[str, ...] = ("top_k",)

    def content(self, given: Any) -> tuple[str, ...]:
        pair = isinstance(given, dict)
        if pair and given.keys() != {"text", "text_pair"}:
            raise BertkitError('an object as input has a text and a text_pair: {"text": "…", "text_pair": "…"}')
        texts = tuple(_text(given[role], role) for role in ("text", "text_pair")) if pair else (_text(given),)
        wanted = getattr(self.predictor.head, "texts", 0)
        if wanted and len(texts) != wanted:
            learned = (
                'two texts a row: give {"text": "…", "text_pair": "…"}'
                if wanted == 2
                else "one text a row: give a text"
            )
            raise BertkitError(f"the model was trained on {learned} as inputs")
        return texts

    def answers(self, items: Sequence[Item]) -> list[Any]:
        if len({len(item.content) for item in items}) == 1:
            return super().answers(items)
        alike = [[n for n, item in enumerate(items) if len(item.content) == texts] for texts in (1, 2)]
        said = [super(Classification, self).answers([items[n] for n in numbers]) for numbers in alike]
        by_number = dict(zip(sum(alike, []), sum(said, []), strict=True))
        return [by_number[number] for number in range(len(items))]

    def _shaped(self, item: Item, said: dict[str, Any]) -> list[dict[str, Any]]:
        shares = said.get("probabilities") or {"LABEL_0": said["prediction"]}
        ranked = sorted(shares.items(), key=lambda one: -one[1])[: item.parameters.get("top_k", len(shares))]
        return [{"label": label, "score": float(score)} for label, score in ranked]


class Tags(_Predicted):
    """Entities with their places in the text; if the tags do not mark entities, the words that have a tag."""

    name = "token-classification"

    def content(self, given: Any) -> str:
        return _text(given)

    def answers(self, items: Sequence[Item]) -> list[Any]:
        head = self.predictor.head
        if not isinstance(head, TokenHead) or head.scheme:
            return super().answers(items)
        _, features, logits = self._read(items)
        return [
            [
                {"entity_group": tag, "score": float(score), "word": row.text[begin:end], "start": begin, "end": end}
                for (begin, end), tag, score in zip(row.words or (), tags, scores, strict=True)
                if score  # it is 0 for a word that the model does not see
            ]
            for row, tags, scores in head.chosen(logits, features)
        ]

    def _shaped(self, item: Item, said: dict[str, Any]) -> list[dict[str, Any]]:  # noqa: ARG002
        return [
            {"entity_group": one["label"], "score": one["score"], "word": one["text"]}
            | {"start": one["start"], "end": one["end"]}
            for one in said["entities"]
        ]


class Answers(_Predicted):
    """The answer to a question in a text; empty if there is none."""

    name = "question-answering"

    def content(self, given: Any) -> dict[str, str]:
        if not isinstance(given, dict) or not {"question", "context"} <= given.keys():
            raise BertkitError('inputs must be {"question": "…", "context": "…"}, or a list of these')
        texts = {role: _text(given[role], role) for role in ("question", "context")}
        for role, text in texts.items():
            if not text.strip():
                raise BertkitError(f"the {role} is empty")
        return texts

    def _shaped(self, item: Item, said: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        places = {"start": said["start"] or 0, "end": said["end"] or 0}
        return {"answer": said["prediction"], "score": said["score"], **places}
