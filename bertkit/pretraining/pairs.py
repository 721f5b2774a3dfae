"""Sentence pairs drawn from a prepared corpus: every example a pure function of (seed, epoch, index).

As in the paper (Devlin et al. 2018, 3.1 and A.2) and its ``create_pretraining_data.py``: segments of
consecutive sentences that fill the target length, B truly next or from another document with probability
one half each. What differs from the script, and why:

* Nothing is listed or shuffled in memory. A document of ``n`` tokens owns ``ceil(n / room)`` examples; an index
  finds its document by bisection, and the window's start moves from epoch to epoch.
* **The label is drawn last.** Both candidates for B are found first, and B's length is drawn within what both
  of them have to come. The label then decides only which of the two is copied, so that neither the lengths nor
  the way a segment ends can tell it. (The script lets a true B end with its document while a random B fills up
  freely: a random forest on the lengths alone then guesses the label at 70 to 75 %.)
* The label is balanced on short documents too, and a corpus of a single document draws its random B from a far
  part of it.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from bertkit.corpus.by_document import chunks_of, computed_once, tokens_of
from bertkit.corpus.store import CorpusStore
from bertkit.draws import Draws, Permutation
from bertkit.pretraining.split import DocumentSet

IS_NEXT, NOT_NEXT, NO_PAIR = 0, 1, -100
Objective = Literal["nsp", "sop", "none"]
_TRIES = 32


class Example(NamedTuple):
    """One sequence before masking: ``[CLS] a [SEP]`` or ``[CLS] a [SEP] b [SEP]``."""

    a: np.ndarray
    """Token ids of segment A, never empty."""
    b: np.ndarray | None
    """Token ids of segment B."""
    next_sentence_label: int
    """0 B follows A (SOP: the order is right), 1 it does not, -100 there is no B to judge."""
    key: int
    """64-bit key of the example's further draws (its masks)."""


class _SegmentA(NamedTuple):
    """The first segment of a pair, in tokens of the corpus."""

    begin: int
    end: int
    """The first token after it, where a true B begins."""
    left: int
    """How many tokens are left for B."""
    is_inside: bool
    """Whether a true B begins inside an over-long sentence, rather than with a sentence."""


class PairSampler:
    """Draws the examples of one length from one side of a corpus.

    Args:
        store: the prepared corpus.
        documents: the side's documents.
        max_seq_length: tokens a sequence, special tokens included.
        objective: "nsp", "sop" (the two segments in order or swapped; Lan et al. 2019) or "none" (one segment).
        short_seq_prob: share of the examples with a random shorter target length.
        seed: of all draws.
    """

    def __init__(
        self,
        store: CorpusStore,
        documents: DocumentSet,
        max_seq_length: int,
        objective: Objective = "nsp",
        short_seq_prob: float = 0.1,
        seed: int = 0,
    ) -> None:
        self._store = store
        self._documents = documents.starts
        self._objective, self._short_seq_prob, self._seed = objective, short_seq_prob, seed
        self.room = max_seq_length - (2 if objective == "none" else 3)
        self._first_window = _first_windows(store, documents, self.room)
        self._alone = documents.count == 1

    def __len__(self) -> int:
        """Examples an epoch."""
        return int(self._first_window[-1])

    def epoch_order(self, epoch: int) -> Permutation:
        """The shuffled order of an epoch: position → index."""
        return Permutation(len(self), self._seed, epoch, 0)

    def example(self, epoch: int, index: int) -> Example:
        """Example ``index`` (0 … len - 1) of an epoch."""
        draws = Draws(self._seed, epoch, index, 1)
        mask_key = draws.bits()
        room = self.room
        if draws.uniform() < self._short_seq_prob:
            room = 2 + draws.below(room - 1)  # 2 … room: a token for A and one for B at least
        document, token = self._window(epoch, index)
        if self._objective != "none" and self._sentences_of(document) > 1:
            if self._objective == "sop":
                drawn: tuple[np.ndarray, np.ndarray, int] | None = self._ordered(document, token, room, draws)
            else:
                drawn = self._pair(epoch, document, token, room, draws)
            if drawn is not None:
                return Example(*drawn, mask_key)
        return Example(self._segment(document, token, room), None, NO_PAIR, mask_key)

    def _window(self, epoch: int, index: int) -> tuple[int, int]:
        """The document of an index and the token that its window starts at in this epoch.

        The windows of a document are spaced evenly; where there are several, all of them move together by up
        to half a window either way, so that over the epochs no sentence is always at an edge.
        """
        document = self._document_of(index)
        first_window, next_window = self._first_window[document : document + 2].tolist()
        begin, end = self._tokens_of(document)
        windows = next_window - first_window
        if windows == 1:
            return document, begin
        # 300 tokens in 3 windows begin at 0, 100 and 200; in an epoch whose shift is -0.3 at 0, 70 and 170.
        shift = Draws(self._seed, epoch, document, 2).uniform() - 0.5
        return document, begin + int(max(0.0, index - first_window + shift) * (end - begin) / windows)

    def _segment(self, document: int, token: int, room: int) -> np.ndarray:
        """One segment: from the start of the window's sentence, or from within it where it is over-long."""
        sentence = self._sentence_at(document, token)
        begin, next_begin = self._store.sentence_starts[sentence : sentence + 2].tolist()
        end = self._tokens_of(document)[1]
        if next_begin - begin > room:
            begin = max(begin, min(token, end - room))
        return self._store.ids[begin : min(begin + room, end)]

    def _segment_a(self, document: int, token: int, room: int, draws: Draws) -> "_SegmentA":
        """Segment A; a sentence, or more of one, follows it.

        A is the whole sentences from the window's start on that reach a length drawn beforehand. Where A ends is
        thus decided by A alone. (Ending it at the last sentence that still fits would make the next one a
        sentence that does not fit, and a true B known by never ending with a full stop.) An A that leaves no
        room is to be cut to the length that was drawn.

        In a sentence too long for a sequence, as a paragraph without full stops, A begins where the window does, and
        ends at the length that was drawn. With its start and end alone, only the first tokens of such a sentence at
        the end of a document would ever be read.
        """
        starts, final = self._store.sentence_starts, self._documents.item(document + 1) - 1
        after = starts.item(final + 1)
        first = self._sentence_at(document, token)
        begin = min(token, after - 2) if self._is_over_long(first) else starts.item(min(first, final - 1))
        wanted = 1 + draws.below(room - 1)
        end = min(begin + wanted, after - 1)
        last = self._sentence_at(document, end - 1)
        is_inside = self._is_over_long(last) and end < starts.item(last + 1)
        if not is_inside:
            end = starts.item(min(last + 1, final))
        return _SegmentA(begin, end, room - (end - begin) if end - begin < room else room - wanted, is_inside)

    def _pair(
        self, epoch: int, document: int, token: int, room: int, draws: Draws
    ) -> tuple[np.ndarray, np.ndarray, int] | None:
        """A, B and the NSP label; None where the corpus has no random B to offer."""
        segment_a = self._segment_a(document, token, room, draws)
        begin, end, left, _ = segment_a
        true_to_come = self._tokens_of(document)[1] - end  # what a true B has, up to the end of its document
        random_b = self._random_b(epoch, document, segment_a, room, true_to_come >= left, draws)
        if random_b is None:
            return None
        random_begin, random_end = random_b
        # Both candidates can have `length` tokens: B tells nothing by its length, and neither does where it ends.
        most = min(true_to_come, random_end - random_begin)
        length = left if left <= most else 1 + draws.below(most)
        a = _shorten(self._store.ids[begin:end], room - length, draws)
        label = draws.below(2)
        b_begin = end if label == IS_NEXT else random_begin
        return a, self._store.ids[b_begin : b_begin + length], label

    def _random_b(
        self, epoch: int, document: int, a: "_SegmentA", room: int, fills: bool, draws: Draws
    ) -> tuple[int, int] | None:
        """Where a random B begins and where its document ends, in tokens; ``fills`` is whether the true B fills what is left.

        It is what the true B of another random example would be, so that it begins no differently: inside an over-long
        sentence or not, as the true one; without such a one there is no pair. It is drawn until it, too, has (or has
        not) the tokens to fill what is left: otherwise one of the two would more often be near the end of its
        document. Where one document is most of the corpus, a far part of it serves. A document of one sentence serves
        only where nothing else was found: it begins as no true B does, with its document.
        """
        found: tuple[int, int] | None = None
        best = False, False
        for number in range(_TRIES):
            other, other_token = self._window(epoch, draws.below(len(self)))
            begin, end = self._tokens_of(other)
            is_inside, has_several = False, self._sentences_of(other) > 1
            if has_several:
                if self._alone:
                    other_token = begin + draws.below(end - begin)
                _, begin, _, is_inside = self._segment_a(other, other_token, room, draws)
            if is_inside != a.is_inside:
                continue
            if other == document:
                far = not a.begin - 2 * self.room < begin < a.begin + 2 * self.room
                if not far or not (self._alone or number >= _TRIES // 2):
                    continue
            alike = has_several, (end - begin >= a.left) == fills
            if alike >= best:
                best, found = alike, (begin, end)
            if all(best):
                break
        return found

    def _ordered(self, document: int, token: int, room: int, draws: Draws) -> tuple[np.ndarray, np.ndarray, int]:
        """Two segments and the SOP label: the whole sentences that fit, parted at random, so that neither part
        differs from the other in length or in how it ends. Where both are cut, a coin gives the odd token to one of them.
        A window that starts in a sentence too long for a sequence is filled by that sentence alone.
        """
        starts, after = self._store.sentence_starts, int(self._documents[document + 1])
        first = self._sentence_at(document, token)
        if self._is_over_long(first):
            return self._ordered_inside(first, token, room, draws)
        first = min(first + (int(starts[first]) < token), after - 2)
        begin = int(starts[first])
        stop = self._sentence_at(document, begin + room)
        if stop == after - 1 and int(starts[after]) - begin <= room:
            stop = after
        stop = max(stop, first + 2)
        middle = int(starts[first + 1 + draws.below(stop - first - 1)])
        a, b = self._store.ids[begin:middle], self._store.ids[middle : int(starts[stop])]
        half = room // 2
        if room % 2 and min(len(a), len(b)) > half:
            half += draws.below(2)
        a_length = min(len(a), max(room - len(b), half))
        b = _shorten(b, room - a_length, draws)
        a = _shorten(a, a_length, draws)
        return (a, b, 0) if draws.below(2) == 0 else (b, a, 1)

    def _ordered_inside(self, sentence: int, token: int, room: int, draws: Draws) -> tuple[np.ndarray, np.ndarray, int]:
        """Two segments and the SOP label from within one sentence, around a token: all of it but its first and last one, as
        a capital or a full stop there would tell which segment comes first.
        """
        begin, end = (self._store.sentence_starts[sentence : sentence + 2] + np.array([1, -1])).tolist()
        begin = max(begin, min(token - draws.below(room), end - room))
        end = min(begin + room, end)
        middle = begin + 1 + draws.below(end - begin - 1)
        a, b = self._store.ids[begin:middle], self._store.ids[middle:end]
        return (a, b, 0) if draws.below(2) == 0 else (b, a, 1)

    def _document_of(self, index: int) -> int:
        return int(np.searchsorted(self._first_window, index, side="right")) - 1

    def _sentences_of(self, document: int) -> int:
        return int(self._documents.item(document + 1) - self._documents.item(document))

    def _is_over_long(self, sentence: int) -> bool:
        """Whether a sentence is longer than any sequence."""
        starts = self._store.sentence_starts
        return bool(starts.item(sentence + 1) - starts.item(sentence) > self.room)

    def _tokens_of(self, document: int) -> tuple[int, int]:
        """Where a document begins and ends, in tokens."""
        starts, documents = self._store.sentence_starts, self._documents
        return starts.item(documents.item(document)), starts.item(documents.item(document + 1))

    def _sentence_at(self, document: int, token: int) -> int:
        """The sentence of a document that holds a token (its last one where the token lies beyond)."""
        first, after = int(self._documents.item(document)), self._documents.item(document + 1)
        return first + int(np.searchsorted(self._store.sentence_starts[first + 1 : after], token, side="right"))


def _first_windows(store: CorpusStore, documents: DocumentSet, room: int) -> np.ndarray:
    """Which example is the first of each document, int64 ``[documents + 1]``: the last number is how many there are."""

    def counted() -> Iterator[dict[str, np.ndarray]]:
        before = 0
        yield {"first_window": np.zeros(1, np.int64)}
        for chunk in chunks_of(len(documents.mine)):
            tokens = tokens_of(store, documents.starts, chunk)
            windows = np.where(documents.mine[chunk.start : chunk.stop], -(-tokens // room), 0)
            until = before + np.cumsum(windows)
            before = int(until[-1])
            yield {"first_window": until}

    what = ("windows", *documents.origin, room)
    return computed_once(store, what, {"first_window": "<i8"}, counted)["first_window"]


def _shorten(segment: np.ndarray, length: int, draws: Draws) -> np.ndarray:
    """Cuts a segment that is too long, in front and at the back at random (``truncate_seq_pair``)."""
    excess = len(segment) - length
    if excess <= 0:
        return segment
    front = draws.below(excess + 1)
    return segment[front : front + length]
