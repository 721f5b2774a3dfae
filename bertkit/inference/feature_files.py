"""Features of texts in .npy and .parquet files."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.inference.embedding import TextVectors
from bertkit.io.atomic import disk_errors
from bertkit.io.outputs import PARQUET_MARK, check_output, is_our_parquet, new_output
from bertkit.io.rows import escaped

FILES = (".npy", ".parquet")
_TOKENS_HEADER = b"text_index\ttoken\n"
_NPY_HEADER_BYTES = 512
"""Of bertkit's .npy files, by which they are known: NumPy itself gives a matrix 128."""


def write_features(path: Path, chunks: Iterable[list[TextVectors]], width: int, by_token: bool) -> None:
    """Writes features, as they are computed, into a .npy or .parquet file; the file appears only once it is complete.

    A .npy file holds one fp32 array ``[rows, width]``; with a row per word or token, a table beside it (``tokens_path``)
    names them, and escapes tabs, line ends and backslashes by a backslash. With a row per text, such a table that an
    earlier file left is removed, which a note says. A .parquet file has the columns ``text`` and
    ``embedding``, or ``text_index``, ``token`` and ``embedding``.

    Args:
        path: the file to write.
        chunks: the features, as ``Embedder.chunks`` gives them.
        width: numbers per feature.
        by_token: whether there is a row per word or token, rather than per text.

    Raises:
        BertkitError: the suffix is another one, or the file cannot be written.
    """
    check_suffix(path)
    with new_output(path) as file:
        if path.suffix == ".parquet":
            _write_parquet(file, chunks, width, by_token)
        elif by_token:
            with new_output(tokens_path(path)) as tokens:
                tokens.write(_TOKENS_HEADER)
                _write_npy(file, _noting_tokens(chunks, tokens), width)
        else:
            _write_npy(file, chunks, width)
    if path.suffix == ".npy" and not by_token:
        _remove_tokens(path)


def _remove_tokens(path: Path) -> None:
    """Removes the table of tokens of an earlier file under this name, whose rows it named."""
    tokens = tokens_path(path)
    if not tokens.is_file():
        return
    with disk_errors(tokens):
        with tokens.open("rb") as file:
            is_ours = file.read(len(_TOKENS_HEADER)) == _TOKENS_HEADER
        if is_ours:
            tokens.unlink()
            console.note(console.plain(f"removed {tokens}: it named the rows of the features that were in {path.name}"))


def check_suffix(path: Path) -> None:
    """Raises a BertkitError unless the path ends with .npy or .parquet."""
    if path.suffix not in FILES:
        raise BertkitError(f"cannot write {path}: give --output a name that ends in {' or '.join(FILES)}")


def check_place(path: Path, by_token: bool, overwrite: bool) -> None:
    """Checks, before the features are computed, that ``write_features`` may write to a path.

    Raises:
        BertkitError: the suffix is another one, or ``check_output`` refuses the path.
    """
    check_suffix(path)
    is_ours = partial(is_our_parquet, column="embedding") if path.suffix == ".parquet" else _is_npy
    check_output(path, is_ours, what="features", overwrite=overwrite, needs_file=True)
    if by_token and path.suffix == ".npy":
        check_output(tokens_path(path), lambda sample: sample.startswith(_TOKENS_HEADER), overwrite=overwrite)


def _is_npy(sample: bytes) -> bool:
    """Whether a file begins like those of ``write_features``."""
    shape = re.search(rb"'shape': \((\d+), (\d+)\)", sample[:_NPY_HEADER_BYTES])
    return shape is not None and sample.startswith(_npy_header(int(shape[1]), int(shape[2])))


def tokens_path(path: Path) -> Path:
    """The path of the table that names the word or token of each row of a .npy file."""
    return path.with_suffix(".tokens.tsv")


def _noting_tokens(chunks: Iterable[list[TextVectors]], file: BinaryIO) -> Iterator[list[TextVectors]]:
    number = 0
    for chunk in chunks:
        for one in chunk:
            file.writelines(f"{number}\t{escaped(token)}\n".encode() for token in one.tokens or ())
            number += 1
        yield chunk


def _write_npy(file: BinaryIO, chunks: Iterable[list[TextVectors]], width: int) -> None:
    file.write(_npy_header(0, width))
    count = 0
    for chunk in chunks:
        rows = np.concatenate([one.rows for one in chunk])
        file.write(np.ascontiguousarray(rows, dtype="<f4").data)
        count += len(rows)
    file.seek(0)
    file.write(_npy_header(count, width))


def _npy_header(count: int, width: int) -> bytes:
    """The header of a matrix of fp32 (format 1.0 of numpy.lib.format), padded beyond what NumPy needs."""
    described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {width}), }}"
    begin = b"\x93NUMPY\x01\x00" + (_NPY_HEADER_BYTES - 10).to_bytes(2, "little")
    return begin + described.encode().ljust(_NPY_HEADER_BYTES - 11) + b"\n"


def _write_parquet(file: BinaryIO, chunks: Iterable[list[TextVectors]], width: int, by_token: bool) -> None:
    import pyarrow
    import pyarrow.parquet

    named = [("text_index", pyarrow.int64()), ("token", pyarrow.string())] if by_token else [("text", pyarrow.string())]
    schema = pyarrow.schema([*named, ("embedding", pyarrow.list_(pyarrow.float32(), width))], PARQUET_MARK)
    begin = 0
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for chunk in chunks:
            rows = np.concatenate([one.rows for one in chunk])
            embedding = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(rows.reshape(-1)), width)
            columns: list[Any] = [[one.text for one in chunk]]
            if by_token:
                indices = [begin + number for number, one in enumerate(chunk) for _ in one.tokens or ()]
                columns = [indices, [token for one in chunk for token in one.tokens or ()]]
            columns = [pyarrow.array(column, kind) for column, (_, kind) in zip(columns, named, strict=True)]
            writer.write_batch(pyarrow.record_batch([*columns, embedding], schema=schema))
            begin += len(chunk)
