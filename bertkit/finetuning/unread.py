"""What of rows a model does not read: the ends of long ones, what its word pieces do not know, what its tokenizer changes."""

from dataclasses import dataclass
from typing import Any

from bertkit import console
from bertkit.console import counted
from bertkit.finetuning.features import Features
from bertkit.finetuning.windows import RowEncoder
from bertkit.inference.changed import ChangedCharacters
from bertkit.inference.misread import counted_pieces

_MANY_UNKNOWN = 0.05
"""A larger share of the word pieces is a warning: most texts have names or signs that a model does not know."""


@dataclass(frozen=True)
class Reach:
    """How much a model could read of a row.

    Attributes:
        tokens: at most; None where nothing limits them.
        can_grow: whether it can be given more places (``model.max_position_embeddings``), as BERTs can.
    """

    tokens: int | None
    can_grow: bool

    @staticmethod
    def of(model: Any) -> "Reach":
        """That of a model of transformers."""
        from bertkit.models.headed import positions_of

        return Reach(positions_of(model), model.config.model_type == "bert")


class Unread:
    """Counts what is not read, as features come.

    Args:
        encoder: it makes the features.
        reach: of the model.
    """

    def __init__(self, encoder: RowEncoder, reach: Reach) -> None:
        self._encoder, self._reach = encoder, reach
        self._rows = self._cut = self._longest = self._pieces = self._unknown = 0
        self._windows: bool | None = False
        self._changed = ChangedCharacters(encoder.tokenizer)

    def add(self, features: Features, rows: int) -> "Unread":
        """Takes up the features of so many rows."""
        unknown, pieces = counted_pieces(features.ids, self._encoder.unk_id, self._encoder.special_ids)
        self._unknown += unknown
        self._pieces += pieces
        self._rows += rows
        self._cut += len(features.cut)
        self._longest = max(self._longest, *features.cut.values(), 0)
        self._windows = features.windows
        self._changed.add(features.characters)
        return self

    def say(self, name: str = "") -> None:
        """Says how much there is, and what would read it; nothing if all is read.

        Args:
            name: of the split, if it has one.
        """
        if cut := self.told_cut(name):
            console.note(console.plain(cut))
        if unknown := self.told_unknown(name):
            (console.warn if self._unknown > _MANY_UNKNOWN * self._pieces else console.note)(console.plain(unknown))
        self._changed.say(name)

    def told_cut(self, name: str) -> str:
        """On rows that are longer than what is read of them; empty if there are none."""
        if not self._cut:
            return ""
        read = self._encoder.max_length
        rows = f"of {self._rows:,} rows{name and f' in {name}'}"
        if self._windows:
            what = f"{self._cut:,} {rows} lost the end of the text that is in each window, which is over half of {read} tokens"
        else:
            one, more = (f"{rows} {verb} longer than {read} tokens and lost" for verb in ("is", "are"))
            what = counted(self._cut, f"{one} its end", f"{more} their end")
        return f"{what}: {'; '.join(self._ways(read, self._reach))}"

    def told_misread(self, name: str) -> list[str]:
        """On what is in no word piece, and on what the tokenizer changes."""
        return [told for told in (self.told_unknown(name), self._changed.told(name)) if told]

    def told_unknown(self, name: str) -> str:
        """On what is in no word piece; empty if all is."""
        if not self._unknown:
            return ""
        are, share = counted(self._unknown, "is", "are"), self._unknown / self._pieces
        return (
            f"of {self._pieces:,} word pieces{name and f' in {name}'} {are} unknown to the model ({self._encoder.unk_token}, "
            f"{share:.1%}) and read alike, whatever is written there: a model of the rows' language knows more, or one that "
            "learned words of theirs (pretrain --model MODEL --add-words N)"
        )

    def _ways(self, read: int, reach: Reach) -> list[str]:
        fits = reach.tokens is None or self._longest <= reach.tokens
        whole = [f"--seq-len {self._longest}"] * fits + ["--set data.overflow=windows"] * (self._windows is False)
        them = "it" if self._cut == 1 else "them"
        told = [f"finetune with {' or '.join(whole)} reads {them} whole"] if whole else []
        if not fits:
            farther = f" (--seq-len {reach.tokens})" if read != reach.tokens else ""
            grown = ", and more with --set model.max_position_embeddings=N" if reach.can_grow else ""
            told.append(f"the model reads at most {reach.tokens} tokens{farther}{grown}")
        return told
