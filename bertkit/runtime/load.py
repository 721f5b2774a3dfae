"""Loads a trained BERT for inference: its tokenizer, and a forward pass in numpy, torch or onnxruntime."""

from typing import TYPE_CHECKING

from bertkit.errors import BertkitError
from bertkit.models.folder import bert_folder, check_rows, own_length
from bertkit.runtime.base import Bert, Head, Reader

if TYPE_CHECKING:
    from pathlib import Path

    from bertkit.runtime.text import TextEncoder

FEW_TEXTS = 32
"""For up to so many texts, importing torch would take longer than computing them in numpy."""


def open_reader(name: str, head: Head, device: str | None = None, texts: int | None = None) -> Reader:
    """Loads a model with what is fastest: onnxruntime for an export, numpy for a few texts on no named device, else torch.

    Args:
        name: a folder (also one that `bertkit export` wrote), a name on the hub, or "embedded".
        head: the head that will be used.
        device: "cpu", "cuda", "cuda:1" or "mps"; None or "auto" takes the best one available.
        texts: about how many texts will be read; None where that is unknown, and taken for many.

    Raises:
        BertkitError: the model cannot be loaded, or was trained without the head; or the device is unknown.
    """
    folder = bert_folder(name)
    light = light_reader(name, folder, head, device, texts)
    if light is not None:
        return light
    from bertkit.runtime.text import any_text_encoder
    from bertkit.runtime.torch_bert import TorchBert

    return _reader(name, folder, any_text_encoder(folder, name), TorchBert(name, head, device))


def light_reader(name: str, folder: "Path", head: Head, device: str | None, texts: int | None) -> Reader | None:
    """Loads a model without importing torch, if that is possible: an export by onnxruntime, or a few texts by numpy.

    Args:
        folder: the model's folder.
        name, head, device, texts: as for ``open_reader``.

    Returns:
        The reader; None where torch is needed, be it only to say what is wrong with the model.

    Raises:
        BertkitError: an export cannot be run, or not on this device.
    """
    from bertkit.runtime.onnx_bert import is_exported

    if is_exported(folder):
        return _open_exported(name, folder, head, device)
    if texts is None or texts > FEW_TEXTS or device not in (None, "auto"):
        return None
    from bertkit.runtime.numpy_bert import NumpyBert
    from bertkit.runtime.text import UnsupportedError, light_text_encoder

    try:
        return _reader(name, folder, light_text_encoder(folder), NumpyBert(folder, head))
    except UnsupportedError:
        return None


def _open_exported(name: str, folder: "Path", head: Head, device: str | None) -> Reader:
    from bertkit.runtime.onnx_bert import OnnxBert
    from bertkit.runtime.text import UnsupportedError, any_text_encoder, light_text_encoder

    if device not in (None, "auto", "cpu"):
        raise BertkitError(
            f"{name} is an export, and runs on the CPU: leave --device {device} out, or give its original"
        )
    bert = OnnxBert(folder, head)
    try:
        text_encoder = light_text_encoder(folder)
    except UnsupportedError:
        text_encoder = any_text_encoder(folder, name)
    return _reader(name, folder, text_encoder, bert)


def _reader(name: str, folder: "Path", text_encoder: "TextEncoder", bert: Bert) -> Reader:
    check_rows(name, len(text_encoder.vocab), bert.rows)
    return Reader(name, text_encoder, bert, own_length(folder) or 512)
