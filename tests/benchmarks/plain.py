"""Rows as the example scripts of transformers give them to the Trainer: run_glue, run_ner, run_qa and run_swag."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transformers import (
    DataCollatorForMultipleChoice,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    default_data_collator,
)

from bertkit.errors import BertkitError
from bertkit.finetuning.entities import repaired
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.base import Head

Encoded = dict[str, Any]


@dataclass(frozen=True)
class Plain:
    """How plain transformers reads the rows of a head.

    Attributes:
        tokenizer: a fast one.
        most: tokens of a row, or of a window.
        stride: tokens that two windows share, where there are any.
        padded: to ``most``; else to the longest row of a batch.
    """

    head: Head
    tokenizer: Any
    most: int
    stride: int
    padded: bool = False

    def rows(self, split: Split) -> list[Encoded]:
        """Of a split with labels: a row of the Trainer's data each; several where a text is read in windows."""
        if self.head.name not in _READERS:
            raise BertkitError(f"no way of plain transformers is written down for the head {self.head.name}")
        return _READERS[self.head.name](self, split)

    def encoded(self, *texts: list[Any], **more: Any) -> Any:
        """Columns of what the tokenizer says of texts, or of pairs of them."""
        padding = "max_length" if self.padded else False
        return self.tokenizer(*texts, **{"truncation": True, "max_length": self.most, "padding": padding, **more})

    @property
    def collate(self) -> Callable[..., Any]:
        """The scripts' own collator."""
        if self.padded and self.head.name != "choice":  # run_swag's is used either way
            return default_data_collator
        return _COLLATORS.get(self.head.name, DataCollatorWithPadding)(self.tokenizer)


def _by_row(columns: Any, labels: list[Any]) -> list[Encoded]:
    return [
        {**{name: values[row] for name, values in columns.items()}, "labels": label} for row, label in enumerate(labels)
    ]


def _texts(plain: Plain, split: Split) -> list[Encoded]:
    """As run_glue."""
    return _by_row(plain.encoded(*map(list, zip(*split.texts, strict=True))), split.labels.tolist())


def _words(plain: Plain, split: Split) -> list[Encoded]:
    """As run_ner: the tag at the first word piece of a word, -100 elsewhere."""
    if not all(isinstance(text, list) for text in split.texts):
        raise BertkitError("run_ner reads lists of words: give rows of tokens and tags")
    numbered = {name: number for number, name in enumerate(plain.head.label_names)}
    columns = plain.encoded(split.texts, is_split_into_words=True)
    labels = []
    for row, tagged in enumerate(split.labels):
        tags, words = repaired(tagged.tags, plain.head.scheme), columns.word_ids(row)  # type: ignore[attr-defined]
        first = [word is not None and word not in words[:place] for place, word in enumerate(words)]
        labels.append([numbered[tags[word]] if is_first else -100 for word, is_first in zip(words, first, strict=True)])
    return _by_row(columns, labels)


def _questions(plain: Plain, split: Split) -> list[Encoded]:
    """As run_qa: windows over the context; one that does not hold the whole answer points to ``[CLS]``."""
    asked, contexts = ([text[role] for text in split.texts] for role in ("question", "context"))
    columns = plain.encoded(
        asked,
        contexts,
        truncation="only_second",
        stride=plain.stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    offsets, row_of = columns.pop("offset_mapping"), columns.pop("overflow_to_sample_mapping")
    made = []
    for number, row in enumerate(row_of):
        right, within = split.labels[row], columns.sequence_ids(number)
        places = [place for place, text in enumerate(within) if text == 1]
        begin = end = 0
        if right.texts:
            first, last = right.starts[0], right.starts[0] + len(right.texts[0])
            if offsets[number][places[0]][0] <= first and offsets[number][places[-1]][1] >= last:
                begin = max(place for place in places if offsets[number][place][0] <= first)
                end = min(place for place in places if offsets[number][place][1] >= last)
        one = {name: values[number] for name, values in columns.items()}
        made.append({**one, "start_positions": begin, "end_positions": end})
    return made


def _choices(plain: Plain, split: Split) -> list[Encoded]:
    """As run_swag, which knows rows of equally many choices alone."""
    if len(sizes := Counter(len(text["choices"]) for text in split.texts)) > 1:
        raise BertkitError(f"run_swag reads rows of equally many choices, and here are {sorted(sizes)}: leave some out")
    pairs = [(text["question"], choice) for text in split.texts for choice in text["choices"]]
    asked = any(question for question, _ in pairs)
    columns = plain.encoded(*map(list, zip(*pairs, strict=True))) if asked else plain.encoded([one for _, one in pairs])
    many = next(iter(sizes))
    grouped = {
        name: [values[begin : begin + many] for begin in range(0, len(values), many)]
        for name, values in columns.items()
    }
    return _by_row(grouped, split.labels.tolist())


_READERS: dict[str, Callable[[Plain, Split], list[Encoded]]] = {
    "sequence": _texts,
    "token": _words,
    "span": _questions,
    "choice": _choices,
}
_COLLATORS: dict[str, Any] = {
    "token": DataCollatorForTokenClassification,
    "choice": DataCollatorForMultipleChoice,
}
