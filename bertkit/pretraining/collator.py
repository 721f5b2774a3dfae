"""``DataCollatorForBertPretraining``: sentence pairs in, masked batches out."""

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.errors import BertkitError
from bertkit.models.bert import IGNORE
from bertkit.models.tokenizer import continuation_mask, marks_words, replacement_ids, special_ids
from bertkit.pretraining.masking import MaskingRates, Vocabulary, mask_tokens

if TYPE_CHECKING:
    import torch


class DataCollatorForBertPretraining:
    """Builds batches for masked language modelling and next-sentence prediction (Devlin et al. 2018, 3.1).

    It stands alone: give it to a ``torch.utils.data.DataLoader`` or to ``transformers.Trainer`` as ``data_collator``
    (with ``remove_unused_columns=False``). Its output has the names of transformers' own collators and fits
    ``BertForPreTraining``. The whole batch is masked at once in NumPy.

    Args:
        tokenizer: a BERT tokenizer of transformers.
        mlm_probability: share of the tokens to predict; special tokens never are.
        mask_replace_prob: share of the predicted tokens shown as [MASK].
        random_replace_prob: share of them shown as a random token (never a special or an unused one, nor a
            padding row of the embedding); the rest is shown as it is.
        whole_word_mask: choose whole words; the way a piece is shown is still drawn for each piece.
        max_predictions_per_seq: at most so many predicted tokens in a sequence; None sets no limit. With whole words, one
            whose words are all longer has none.
        pad_to: pad to this many tokens; None pads to the longest sequence of the batch.

    Raises:
        BertkitError: the tokenizer has no [MASK], or does not say where words begin though ``whole_word_mask`` asks for
            it; the rates do not fit together.

    Example:
        >>> collate = DataCollatorForBertPretraining(tokenizer)
        >>> collate([{"a": [2023, 2003, 1037], "b": [3231], "next_sentence_label": 0, "key": 7}])
        {'input_ids':           [[101,  103, 2003, 1037,  102, 3231,  102]],   # [CLS] [MASK] is a [SEP] test [SEP]
         'attention_mask':      [[  1,    1,    1,    1,    1,    1,    1]],
         'token_type_ids':      [[  0,    0,    0,    0,    0,    1,    1]],
         'labels':              [[-100, 2023, -100, -100, -100, -100, -100]],
         'next_sentence_label': [0]}

    A feature holds either the segments ``a`` and ``b`` (ids without special tokens; ``b`` may be None) or, as a
    tokenizer's output does, ``input_ids`` (with special tokens), ``token_type_ids`` and ``attention_mask`` (without
    it, all but [PAD] is read); optional are ``next_sentence_label`` (0 is next, 1 random, -100 no pair: the default) and
    ``key``. The masks are a pure function of the key; without keys they are drawn from torch's generator, so that
    ``torch.manual_seed`` governs them and DataLoader workers differ.

    Returns (on call):
        ``input_ids``, ``attention_mask``, ``token_type_ids`` and ``labels``, int64 tensors ``[batch, length]``,
        labels -100 where nothing is predicted; ``next_sentence_label``, int64 ``[batch]``, if any feature has one.
        A BertkitError is raised for a feature without ids, and for ids that the tokenizer does not have.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        mlm_probability: float = 0.15,
        mask_replace_prob: float = 0.8,
        random_replace_prob: float = 0.1,
        whole_word_mask: bool = False,
        max_predictions_per_seq: int | None = None,
        pad_to: int | None = None,
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise BertkitError("the tokenizer has no [MASK] token: masked language modelling needs one")
        shown = (mask_replace_prob, random_replace_prob)
        are_numbers = all(isinstance(rate, Real) for rate in (mlm_probability, *shown))
        if not are_numbers or not 0 < mlm_probability <= 1 or not min(shown) >= 0 or not sum(shown) <= 1 + 1e-9:
            raise BertkitError(
                f"mlm_probability must be in (0, 1], and is {mlm_probability}; mask_replace_prob and random_replace_prob must be "
                f"in [0, 1] and add up to at most 1, and are {mask_replace_prob} and {random_replace_prob}"
            )
        if whole_word_mask and not marks_words(tokenizer):
            raise BertkitError(
                "whole_word_mask needs a tokenizer that marks what goes on with a word, as the ## pieces of BERT's do, "
                "and this one does not: --set data.whole_word_mask=false"
            )
        self._cls, self._sep, self._pad = (
            tokenizer.cls_token_id,
            tokenizer.sep_token_id,
            tokenizer.pad_token_id,
        )
        special = np.zeros(len(tokenizer), dtype=bool)
        special[special_ids(tokenizer)] = True
        self._vocabulary = Vocabulary(
            mask_id=tokenizer.mask_token_id,
            special=special,
            continues=continuation_mask(tokenizer),
            replacements=replacement_ids(tokenizer),
        )
        self._rates = MaskingRates(mlm_probability, mask_replace_prob, random_replace_prob)
        self._whole_word_mask = whole_word_mask
        self._max_predictions_per_seq = max_predictions_per_seq
        self._pad_to = pad_to

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> "dict[str, torch.Tensor]":
        import torch

        sequences = [self._sequence(feature) for feature in features]
        input_ids, token_type_ids, attention_mask = self._padded(sequences)
        pieces = len(self._vocabulary.special)
        if strange := next(
            (id_ for id_ in (input_ids.min(initial=0), input_ids.max(initial=0)) if not 0 <= id_ < pieces), None
        ):
            raise BertkitError(
                f"a feature has the id {strange:,}, and the tokenizer has those from 0 to {pieces - 1:,}: give the tokenizer "
                "that the ids come from"
            )
        shown, labels = mask_tokens(
            input_ids,
            self._keys(features),
            self._vocabulary,
            self._rates,
            self._max_predictions_per_seq,
            self._whole_word_mask,
        )
        batch = {
            "input_ids": shown,
            "attention_mask": attention_mask,
            "token_type_ids": token_type_ids,
            "labels": labels,
        }
        if any("next_sentence_label" in feature for feature in features):
            nsp = [feature.get("next_sentence_label", IGNORE) for feature in features]
            batch["next_sentence_label"] = np.array(nsp, dtype=np.int64)
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def _sequence(self, feature: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """The ids with special tokens, without padding, and their segments."""
        if "input_ids" not in feature and "a" not in feature:
            raise BertkitError(
                f"a feature holds neither input_ids nor a, but {', '.join(map(str, feature)) or 'nothing'}: give token ids (and "
                "with transformers.Trainer remove_unused_columns=False, or it takes them away)"
            )
        if "input_ids" in feature:
            ids = np.asarray(feature["input_ids"])
            inside = np.asarray(feature.get("attention_mask", ids != self._pad), dtype=bool)
            types = np.asarray(feature.get("token_type_ids", np.zeros_like(ids)))
            return ids[inside], types[inside]
        a, b = feature["a"], feature.get("b")
        second = [] if b is None else [b, [self._sep]]
        ids = np.concatenate([[self._cls], a, [self._sep], *second])
        return ids, (np.arange(len(ids)) >= len(a) + 2).astype(np.int64)

    def _padded(self, sequences: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """int64 ``[batch, length]``: input_ids, token_type_ids, attention_mask."""
        lengths = np.array([len(ids) for ids, _ in sequences])
        inside = np.arange(max(self._pad_to or 0, int(lengths.max()))) < lengths[:, None]
        input_ids = np.full(inside.shape, self._pad, dtype=np.int64)
        input_ids[inside] = np.concatenate([ids for ids, _ in sequences])
        token_type_ids = np.zeros_like(input_ids)
        token_type_ids[inside] = np.concatenate([types for _, types in sequences])
        return input_ids, token_type_ids, inside.astype(np.int64)

    @staticmethod
    def _keys(features: Sequence[Mapping[str, Any]]) -> np.ndarray:
        if "key" in features[0]:
            return np.array([feature["key"] for feature in features], dtype=np.uint64)
        import torch

        return torch.randint(-(2**63), 2**63 - 1, (len(features),)).numpy().view(np.uint64)
