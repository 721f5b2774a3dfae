"""The texts of a run: as they are asked for, and prepared and split into what is trained on and what is held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bertkit.console import listed
from bertkit.corpus.statistics import TextReport
from bertkit.corpus.store import CorpusStore
from bertkit.pretraining.baselines import Unigrams
from bertkit.pretraining.split import DocumentSet


@dataclass(frozen=True)
class AskedText:
    """A text that a run is to read."""

    inputs: Sequence[str]
    """As ``find_sources`` takes them, or prepared folders of the parts of one text."""
    share: float = 1.0
    """Of the run's examples."""
    is_kept: bool = False
    """General text that is mixed in, so that less of it is forgotten: nothing of it is held out."""

    @property
    def name(self) -> str:
        """For people."""
        return listed(self.inputs, 3)


@dataclass(frozen=True)
class RunText:
    """A text of a run.

    Attributes:
        store: the prepared text.
        documents: the documents from which examples are drawn.
        share: the share of the run's examples, 0 to 1.
        name: the name for messages; empty if the run has a single text.
    """

    store: CorpusStore
    documents: DocumentSet
    share: float = 1.0
    name: str = ""


@dataclass(frozen=True)
class Prepared:
    """The text of a run as training sees it."""

    training: Sequence[RunText]
    validation: Sequence[RunText]
    """What is held out of them, or other text."""
    tokenizer: Any
    baseline: Unigrams
    """Of the text that is held out, or of all of which a share is."""
    report: TextReport | None = None
    """What the tokenizer does to the text; None of folders that were prepared before."""
    added_words: int = 0
    """Words that the tokenizer was given beside its own."""
    has_own_validation: bool = False
    """Whether other text is held out, and not a share of the texts."""

    @property
    def stores(self) -> list[CorpusStore]:
        """The texts that are trained on."""
        return [text.store for text in self.training]

    @property
    def held_out_tokens(self) -> int:
        return sum(text.documents.tokens for text in self.validation)

    @property
    def validation_names(self) -> list[str]:
        """The names of other text that is held out; none for a share of the texts."""
        return [name for text in self.validation for name in text.store.info.sources] if self.has_own_validation else []

    @property
    def validation_fingerprint(self) -> str:
        """Of other text that is held out; empty for a share of the texts."""
        return "-".join(text.store.info.fingerprint for text in self.validation) if self.has_own_validation else ""

    def total(self, what: Literal["documents", "sentences", "tokens"]) -> int:
        """Of all texts that are trained on, with what is held out of them."""
        return sum(getattr(store.info, what) for store in self.stores)

    @property
    def fingerprint(self) -> str:
        """Of the texts, their shares, and the tokenizer."""
        shares = "".join(f"-{text.share}" for text in self.training) if len(self.training) > 1 else ""
        texts = "-".join(store.info.fingerprint for store in self.stores)
        return f"{texts}-{self.stores[0].info.tokenizer_fingerprint}{shares}"
