"""Tagging: a tag for each word, for names, parts of speech or chunks (Devlin et al. 2018, section 5.3).

The tag of a word is predicted at its first word piece. Shapes: N features in a batch, L tokens of the longest, W words
read, C tags.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import ne
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bertkit import console
from bertkit.console import counted, listed
from bertkit.errors import BertkitError
from bertkit.finetuning.entities import (
    OUTSIDE,
    are_like_entities,
    entities,
    repaired,
    scheme_of,
    split_tag,
    tags_of,
)
from bertkit.finetuning.features import Batch, Columns, Features, Row, Split
from bertkit.finetuning.heads.at_tokens import AtTokens
from bertkit.finetuning.heads.base import label_config
from bertkit.finetuning.rows.tagged_columns import column_rows
from bertkit.finetuning.rows.tagged_rows import (
    TaggedRow,
    holds_unread,
    in_bioes,
    marked_entities,
    tag_names,
    tagged_row,
    words_in,
)
from bertkit.finetuning.rows.unfolded import looks_like_list, unfolded
from bertkit.finetuning.tag_figures import details_of, figure
from bertkit.finetuning.tagged_features import TagTargets, named_entities, tagged_features, what_is_lost
from bertkit.models.card import python_text
from bertkit.models.folder import class_names
from bertkit.runtime.numpy_bert import softmax

if TYPE_CHECKING:
    import torch

    from bertkit.finetuning.windows import RowEncoder
    from bertkit.settings.schema import TaskSettings

_SHOWN_TYPES = 12
_LABELS = ("ner_tags", "pos_tags", "chunk_tags", "tags", "entities", "spans", "labels", "label", "annotations")


class TokenHead(AtTokens):
    """Tags on words.

    Args:
        label_names: the tags by id, "O" first if there is one.
        scheme: "BIO", "IOB1" or "BIOES"; "" if the tags do not mark entities.
        numbered: the names of the tags that rows give as numbers; the tags by id if empty.
    """

    name = "token"
    auto_class = "AutoModelForTokenClassification"
    pipeline_tag = "token-classification"
    overflow = "windows"
    counts_words = True
    roles: ClassVar = {
        "text": (("tokens",), ("words",), ("text",), ("data",)),
        "label": tuple((name,) for name in _LABELS),
    }

    def __init__(self, label_names: Sequence[str], scheme: str, numbered: Sequence[str] = ()) -> None:
        self.label_names, self.scheme = list(label_names), scheme
        self.numbered = list(numbered) or self.label_names
        self.metric_names = ("f1", "precision", "recall", "accuracy") if scheme else ("accuracy", "macro_f1")

    # From rows, or from a saved model.

    @classmethod
    def rows_of(cls, path: Path) -> Iterator[Row] | None:
        return column_rows(path)

    @classmethod
    def takes(cls, row: dict[str, Any], task: "TaskSettings") -> bool:  # noqa: ARG003
        texts = [(name, row.get(name)) for (name,) in cls.roles["text"]]
        given = [words for text in texts if (words := words_in(*text)) is not None]
        are_words = (
            any(isinstance(one, str) for one in given[0]) if given else any(holds_unread(*text) for text in texts)
        )
        tags = [row.get(name) for name in _LABELS]
        tagged = any(looks_like_list(cell) or isinstance(unfolded(cell), list) for cell in tags)
        return bool(marked_entities(row)) or (are_words and tagged)

    @classmethod
    def check_row(cls, row: Row, columns: Columns, task: "TaskSettings") -> None:
        tagged_row(row, columns, task.labels)

    @classmethod
    def fit(cls, rows: Sequence[Row], columns: Columns, task: "TaskSettings") -> "TokenHead":
        tagged = [tagged_row(row, columns, task.labels) for row in rows]
        scheme = "BIO" if any(row.marked for row in tagged) else scheme_of(row.tags or [] for row in tagged)
        names = list(dict.fromkeys(map(in_bioes, task.labels))) or tag_names(tagged, scheme)
        if len(names) < 2:
            raise BertkitError(
                f"a single tag, '{(names or [OUTSIDE])[0]}', in all rows: there is nothing to tell apart"
            )
        return cls(names, scheme, task.labels)

    @classmethod
    def of_model(cls, config: dict[str, Any]) -> "TokenHead":
        written = class_names(config)
        tags = list(map(in_bioes, written))
        return cls(tags, config.get("bertkit_scheme", scheme_of([tags])) if tags == written else scheme_of([tags]))

    def model_config(self) -> dict[str, Any]:
        return {**label_config(self.label_names), "bertkit_scheme": self.scheme}

    # From rows to batches.

    def input(self, row: Row, columns: Columns) -> Any:
        read = tagged_row(row, {"text": columns["text"]}, ())
        return read.text if read.words is None else [read.text[begin:end] for begin, end in read.words]

    def labels(self, rows: Sequence[Row], columns: Columns) -> list[TaggedRow]:
        """The rows with their tags as they are written, which ``left_out`` counts; ``features`` has them as they are learned."""
        tagged = [tagged_row(row, columns, self.numbered) for row in rows]
        self._as_learned(tagged)  # which refuses unknown tags
        return tagged

    def _as_learned(self, rows: Sequence[TaggedRow]) -> tuple[list[TaggedRow], str]:
        """Rows with the tags that the model is to say: those that go on with nothing as beginnings, and those in another
        scheme than the model's, as entities of strings may be, in its own; and the name of that scheme, else empty.

        Raises:
            BertkitError: the model has no such tag, or no entities of such a type.
        """
        scheme = scheme_of(row.tags or () for row in rows)
        other = scheme if self.scheme and scheme != self.scheme else ""
        known, begins, learned = set(self.label_names), "I" if self.scheme == "IOB1" else "B", []
        for row in rows:
            given = row.tags or ()
            tags = tags_of(entities(given), len(given), self.scheme) if other else repaired(given, self.scheme)
            if unknown := sorted({*tags, *(f"{begins}-{one.label}" for one in row.marked or ())} - known):
                there = ", ".join(self.label_names[:20])
                read = f" (as tags in {other} are read in {self.scheme})" if other else ""
                raise BertkitError(f"{row.place}: unknown tag '{unknown[0]}'{read}; training has {there}")
            learned.append(replace(row, tags=tags))
        return learned, other

    def left_out(self, rows: Sequence[Row], columns: Columns, split: Split) -> list[str]:  # noqa: ARG002
        tagged: list[TaggedRow] = split.labels or []
        tags = [row.tags or [] for row in tagged]
        is_repaired = {self.scheme, scheme_of(tags)} <= {"BIO", "BIOES"}
        begun = sum(sum(map(ne, given, repaired(given, self.scheme))) for given in tags) if is_repaired else 0
        counts = {
            "tags that go on with nothing, read as beginnings": begun,
            "entities that overlap a longer one, left out": sum(row.overlapping for row in tagged),
            "marks of further annotators, or second labels, left out": sum(row.further for row in tagged),
        }
        return [f"{what} in {split.name}: {number:,}" for what, number in counts.items() if number]

    def features(self, split: Split, encoder: "RowEncoder") -> Features:
        made = tagged_features(split, encoder, self.overflow)
        if split.labels is None:
            return made
        rows, other = self._as_learned(made.targets.rows)
        if other:
            console.note(f"the tags of {split.name} are in {other}, and are read in {self.scheme}, as the model's are")
        targets: TagTargets = replace(made.targets, rows=rows)
        for told in what_is_lost(targets, made, split.name):
            console.note(told)
        numbered = {name: id_ for id_, name in enumerate(self.label_names)}
        tags = [np.array([numbered[tag] for tag in row.tags or ()], dtype=np.int64) for row in rows]
        ids = [tags[row][own] for row, own in zip(made.rows, targets.words, strict=True)]
        return replace(made, targets=replace(targets, ids=ids))

    def tokens_read(self, features: Features) -> Sequence[np.ndarray]:
        targets: TagTargets = features.targets
        return targets.places

    def tensors(self, features: Features, units: Sequence[int]) -> Batch:
        """``wanted``, and ``labels``: int64 ``[W]``, the tags, text after text."""
        import torch

        batch, ids = super().tensors(features, units), features.targets.ids
        return batch if ids is None else batch | {"labels": torch.from_numpy(np.concatenate([ids[n] for n in units]))}

    # From batches to a loss. Logits are ``[W, C]``.

    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, batch["labels"], reduction="sum")

    # From logits to answers.

    def chosen(
        self, logits: Sequence[np.ndarray], features: Features
    ) -> Iterator[tuple[TaggedRow, list[str], np.ndarray]]:
        """For each row its words, their predicted tags, and the probabilities of these tags, float64 ``[words]``."""
        targets: TagTargets = features.targets
        # A word that the model does not see, such as one of characters that its tokenizer drops, gets the tag "O".
        unseen = self.label_names.index(OUTSIDE) if OUTSIDE in self.label_names else 0
        chosen = [np.full(len(row.words or ()), unseen, dtype=np.int64) for row in targets.rows]
        certain = [np.zeros(len(ids)) for ids in chosen]
        for row, words, said in zip(features.rows, targets.words, logits, strict=True):
            if len(words):
                shares = softmax(said.astype(np.float64))
                chosen[row][words], certain[row][words] = said.argmax(axis=1), shares.max(axis=1)
        for row, ids, scores in zip(targets.rows, chosen, certain, strict=True):
            yield row, [self.label_names[id_] for id_ in ids], scores

    def decode(self, logits: Sequence[np.ndarray], features: Features, split: Split) -> list[dict[str, Any]]:
        answers = []
        for index, (row, tags, scores) in enumerate(self.chosen(logits, features)):
            answer: dict[str, Any] = {"index": index, "tags": tags}
            answer |= {"entities": named_entities(row, tags, scores)} if self.scheme else {}
            if split.labels is not None:
                answer |= {"label": row.tags} | (
                    {"label_entities": named_entities(row, row.tags or [])} if self.scheme else {}
                )
            answers.append(answer)
        return answers

    def shown(self, text: Any) -> dict[str, Any]:
        return {"text": text} if isinstance(text, str) else {"tokens": text}

    # How good the answers are.

    def score(self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str]) -> dict[str, float]:  # noqa: ARG002
        return {name: figure(predictions, name) for name in metrics}

    def details(
        self,
        predictions: list[dict[str, Any]],
        split: Split,  # noqa: ARG002
        metrics: Sequence[str],
        seed: int,
    ) -> dict[str, Any]:
        return details_of(predictions, metrics[0], bool(self.scheme), seed)

    # What people are told.

    def described(self, split: Split) -> str:  # noqa: ARG002
        types = self._types
        kinds = counted(len(types), "type of entities", "types of entities")
        what = f"{kinds} in {self.scheme}" if self.scheme else f"{len(types)} tags"
        alike = not self.scheme and are_like_entities(self.label_names)
        told = (
            "; no entities, as these are not written PREFIX-TYPE, like B-PER: only so is their F1 counted"
            if alike
            else ""
        )
        return f"{what}: {listed(types, _SHOWN_TYPES)}{told}"

    @property
    def _types(self) -> list[str]:
        return list(dict.fromkeys(split_tag(name)[1] for name in self.label_names if name != OUTSIDE))

    @property
    def purpose(self) -> str:
        return f" to tag {'entities' if self.scheme else 'words'}: {', '.join(self._types[:20])}"

    def usage(self, folder: str) -> str:
        if self.scheme == "BIOES":  # the pipeline joins an entity of one word to the next one, and cuts one of several
            return self.own_usage(folder)
        return (
            "from transformers import pipeline\n\n"
            f'tag = pipeline("token-classification", model={python_text(folder)}, aggregation_strategy="first")\n'
            'print(tag("Ana moved to New York."))'
        )
