"""A trained BERT ready to be asked: its word pieces, and a forward pass in numpy, torch or onnxruntime."""

from typing import TYPE_CHECKING

from bertkit.errors import BertkitError
from bertkit.models.folder import bert_folder, check_rows
from bertkit.runtime.base import Head, Reader

if TYPE_CHECKING:
    from pathlib import Path

FEW_TEXTS = 32
"""Up to so many texts, starting torch would take longer than reading them in numpy."""


def open_reader(name: str, head: Head, device: str | None = None, texts: int | None = None) -> Reader:
    """What reads so many texts soonest: numpy for a few where no device is named, else torch; an export, onnxruntime.

    Args:
        name: a folder, also one of `bertkit export`, a name on the hub, or "embedded".
        device: "cpu", "cuda", "cuda:1", "mps"; None or "auto" takes the best there is.
        texts: about how many will be read, where that is known.

    Raises:
        BertkitError: the model cannot be had, or was trained without the head; an unknown device.
    """
    folder = bert_folder(name)
    light = light_reader(name, folder, head, device, texts)
    if light is not None:
        return light
    from bertkit.runtime.text import any_pieces
    from bertkit.runtime.torch_bert import TorchBert

    return _checked(Reader(name, any_pieces(folder, name), TorchBert(name, head, device)))


def light_reader(name: str, folder: "Path", head: Head, device: str | None, texts: int | None) -> Reader | None:
    """What needs no torch: onnxruntime for an export, numpy for a few texts; None where torch is needed, or says better
    why it cannot be.

    Args:
        folder: of the model.
        name, head, device, texts: as for ``open_reader``.

    Raises:
        BertkitError: an export that cannot be run, or not on the device.
    """
    from bertkit.runtime.onnx_bert import is_exported

    if is_exported(folder):
        return _checked(_open_exported(name, folder, head, device))
    if texts is None or texts > FEW_TEXTS or device not in (None, "auto"):
        return None
    from bertkit.runtime.numpy_bert import NumpyBert
    from bertkit.runtime.text import UnsupportedError, light_pieces

    try:
        return _checked(Reader(name, light_pieces(folder), NumpyBert(folder, head)))
    except UnsupportedError:
        return None


def _open_exported(name: str, folder: "Path", head: Head, device: str | None) -> Reader:
    from bertkit.runtime.onnx_bert import OnnxBert
    from bertkit.runtime.text import UnsupportedError, any_pieces, light_pieces

    if device not in (None, "auto", "cpu"):
        raise BertkitError(
            f"{name} is an export, and runs on the CPU: leave --device {device} out, or give its original"
        )
    bert = OnnxBert(folder, head)
    try:
        return Reader(name, light_pieces(folder), bert)
    except UnsupportedError:
        return Reader(name, any_pieces(folder, name), bert)


def _checked(reader: Reader) -> Reader:
    check_rows(reader.name, len(reader.pieces.vocab), reader.bert.rows)
    return reader
