"""A hash of labelled rows, by which a resumed run recognises its data."""

import hashlib
import json
from dataclasses import fields
from typing import Any

import numpy as np

from bertkit.finetuning.labelled import LabelledData


def data_fingerprint(data: LabelledData, tokenizer: Any) -> str:
    """The hash of the rows and of everything that decides their ids."""
    digest = hashlib.blake2b(digest_size=16)
    for split in [data.train, *data.validation]:
        if split is not None:
            digest.update(json.dumps(split.texts, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            labels = split.labels
            is_array = isinstance(labels, np.ndarray)
            digest.update(
                labels.tobytes()
                if is_array
                else b""
                if labels is None
                else json.dumps(labels, default=_without_place).encode()
            )
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    return digest.hexdigest()


def _without_place(label: Any) -> dict[str, Any]:
    """A label that is an object, without the place that it was read from."""
    return {one.name: getattr(label, one.name) for one in fields(label) if one.name != "place"}
