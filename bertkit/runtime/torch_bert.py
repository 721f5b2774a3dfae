"""BERT's forward pass with torch and transformers: for many texts, on any device."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.errors import BertkitError
from bertkit.models.folder import bert_folder, read_config
from bertkit.models.headed import pooled_logits, token_logits
from bertkit.models.linear_heads import LINEAR_HEADS, linear_class
from bertkit.models.loading import load_for
from bertkit.runtime.base import finite
from bertkit.runtime.batches import TOKENS_AT_ONCE, of_like_length, padded
from bertkit.runtime.text import Encoding

if TYPE_CHECKING:
    import torch

    from bertkit.runtime.base import Head

_CLASSES = {
    "words": "BertForMaskedLM",
    "pairs": "BertForNextSentencePrediction",
    "none": "BertModel",
}


def _task_class(name: str) -> str:
    cls = linear_class(read_config(bert_folder(name), name))
    if cls is None:
        raise BertkitError(f"{name} has no linear head of a task: it is one of {', '.join(LINEAR_HEADS)} that has")
    return cls


class TorchBert:
    """A BERT in torch (a ``base.Bert``).

    Args:
        name: a folder, or a name on the hub.
        head: the head that will be used.
        device: "cpu", "cuda", "cuda:1" or "mps"; None or "auto" takes the best one available.

    Raises:
        BertkitError: the model cannot be loaded, or was trained without the head; or the device is unknown.
    """

    def __init__(self, name: str, head: "Head", device: str | None) -> None:
        from bertkit.hardware import choose_device
        from bertkit.models.fast.attention import attend_unpadded
        from bertkit.models.fast.products import lay_out_for_reading

        kind = choose_device(device)
        cls = _CLASSES[head] if head != "task" else _task_class(name)
        loaded, _ = load_for(cls, name, optional=("pooler.",) if head == "none" else ())
        self._model: Any = loaded.to(kind).eval()
        self._encoder: Any = self._model if head == "none" else self._model.bert
        attend_unpadded(self._encoder)
        if kind == "cpu":
            lay_out_for_reading(self._encoder)
        self._pad_id: int = self._model.config.pad_token_id or 0
        self._tokens_at_once = TOKENS_AT_ONCE[kind]
        self.config: dict[str, Any] = self._model.config.to_dict()
        self.rows: int = self._model.config.vocab_size

    @finite
    def word_log_probabilities(self, texts: Sequence[Encoding], places: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """As in ``base.Bert``."""
        from bertkit.models.fast.attention import encode

        def answer(numbers: list[int], batch: dict[str, "torch.Tensor"]) -> list["torch.Tensor"]:
            import torch

            rows = [row for row, number in enumerate(numbers) for _ in places[number]]
            columns = [place for number in numbers for place in places[number]]
            wanted = torch.zeros_like(batch["attention_mask"], dtype=torch.bool)
            wanted[rows, columns] = True
            which = (wanted.flatten().cumsum(0) - 1).view_as(wanted)[rows, columns]
            # The last layer and the vocabulary's logits, most of the work of a small model, are computed here only.
            logs = self._model.cls(encode(self._encoder, **batch, wanted=wanted)[which]).log_softmax(dim=-1)
            return list(logs.split([len(places[number]) for number in numbers]))

        return self._answers(texts, answer)

    @finite
    def next_sentence_logits(self, texts: Sequence[Encoding]) -> np.ndarray:
        """As in ``base.Bert``."""
        return np.stack(self._answers(texts, lambda _, batch: list(self._model(**batch).logits)))

    @finite
    def head_logits(self, texts: Sequence[Encoding]) -> list[np.ndarray]:
        """As in ``base.Bert``."""

        def answer(numbers: list[int], batch: dict[str, "torch.Tensor"]) -> list["torch.Tensor"]:
            if LINEAR_HEADS[type(self._model).__name__].is_pooled:
                return list(pooled_logits(self._model, batch))
            logits = token_logits(self._model, batch, batch["attention_mask"].bool())
            return list(logits.split([len(texts[number].ids) for number in numbers]))

        return self._answers(texts, answer)

    @finite
    def hidden_states(self, texts: Sequence[Encoding], layers: Sequence[int]) -> list[np.ndarray]:
        """As in ``base.Bert``."""

        def answer(numbers: list[int], batch: dict[str, "torch.Tensor"]) -> list["torch.Tensor"]:
            import torch

            states = self._encoder(**batch, output_hidden_states=True).hidden_states
            wanted = torch.stack([states[layer] for layer in layers], dim=1)
            return [wanted[row, :, : len(texts[number].ids)] for row, number in enumerate(numbers)]

        return self._answers(texts, answer)

    def _answers(
        self,
        texts: Sequence[Encoding],
        answer: Callable[[list[int], dict[str, "torch.Tensor"]], list["torch.Tensor"]],
    ) -> list[np.ndarray]:
        """Calls ``answer`` with each batch: the numbers of its texts, and its padded tensors. Returns the answers by text."""
        import torch

        answers: list[np.ndarray] = [np.empty(0)] * len(texts)
        with torch.inference_mode():
            for numbers in of_like_length(texts, self._tokens_at_once):
                arrays = padded([texts[number] for number in numbers], self._pad_id)
                batch = {name: torch.from_numpy(array).to(self._model.device) for name, array in arrays.items()}
                for number, one in zip(numbers, answer(numbers, batch), strict=True):
                    answers[number] = one.float().cpu().numpy()
        return answers
