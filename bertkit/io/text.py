"""Reads lines of text from streams, with any line ends and of any length, in bounded memory."""

import codecs
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from bertkit import console
from bertkit.errors import BertkitError

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, which JSON may escape and no tokenizer accepts."""
BLOCK_BYTES = 2**20
MAX_LINE_CHARS = 100_000
"""Longer lines are returned in stretches, so that memory stays bounded."""
MAX_REPLACED_SHARE = 0.005
"""The share of characters that are not UTF-8 above which a file counts as in another encoding, rather than damaged."""
_JUDGED_FROM_CHARS = 65_536
_BEGINNING_BYTES = 4_096
"""What the encoding of a file is told by."""
# Characters that BERT's cleaning drops although they separate words or lines.
_SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"
_SPACES = " \t\u3000"
INVISIBLE = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
"""Soft hyphens, joiners, marks of direction, annotations and tags, as ranges of a regular expression: nothing to people and to
BERT's cleaning."""
_VISIBLE = re.compile(rf"[^\s\x00-\x1f\x7f-\x9f{INVISIBLE}]")


@dataclass
class ReadReport:
    """Counts of what was noticed while reading."""

    replaced_characters: int = 0
    first_replaced_at: str | None = None
    """The place of the first replaced character, FILE:LINE."""
    empty_files: list[str] = field(default_factory=list)
    empty_rows: int = 0
    """Empty rows of tables and datasets."""
    dropped_nuls: int = 0
    """NUL characters in cells of tables and datasets."""
    repeated: int = 0
    """Lines or documents that were left out because they had occurred before."""
    repeated_characters: int = 0
    """The characters of these."""


def read_lines(stream: BinaryIO, name: str, report: ReadReport | None = None) -> Iterator[tuple[int, str]]:
    """Yields pairs (line number from 1, text without its line end); a very long line comes in several stretches.

    Line ends are ``\\n``, ``\\r\\n`` or ``\\r``, as in Python's universal newlines. A BOM is dropped. Bytes that are not
    UTF-8 become U+FFFD and are counted.

    Args:
        stream: the bytes.
        name: the name of the stream, for messages.
        report: takes the counts; if it is None, a warning at the end says what was replaced.

    Raises:
        BertkitError: there is a NUL byte (as in binary files and UTF-16), or too much is not UTF-8.
    """
    counts = ReadReport() if report is None else report
    decoder = _Decoder(name, counts)
    number, unended = 1, ""
    for block in _blocks(stream):
        *lines, unended = _split(decoder.text(block, number))
        if max(map(len, lines), default=0) <= MAX_LINE_CHARS:
            yield from enumerate(lines, number)
        else:
            for long_number, line in enumerate(lines, number):
                yield from ((long_number, stretch) for stretch in _stretches(line))
        number += len(lines)
        if unended:
            yield from ((number, stretch) for stretch in _stretches(unended))
    decoder.judge(final=True)
    if report is None and counts.replaced_characters:
        console.warn(console.plain(replaced(counts.replaced_characters, counts.first_replaced_at)))


def replaced(count: int, first: str | None) -> str:
    """The message about a number of replaced bytes that were not UTF-8."""
    return f"{console.counted(count, 'byte was not UTF-8 and was', 'bytes were not UTF-8 and were')} replaced, first at {first}"


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: it has blanks, control characters and invisible marks alone."""
    return _VISIBLE.search(text) is None


def holds_nul(name: object, line: int, beginning: bytes = b"") -> BertkitError:
    """The error for a file that is not text, or that is in another encoding, which its beginning tells."""
    encoding = _wide_encoding(beginning) or "utf-16"
    return BertkitError(
        f"{name}:{line} holds a NUL byte: this is a binary file, or text in {encoding.upper()}; give text in UTF-8 "
        f"(iconv -f {encoding} -t utf-8)"
    )


def _wide_encoding(beginning: bytes) -> str | None:
    """The encoding of two or four bytes a character that a file is in, by its beginning; None for others.

    A BOM tells it, or where the NULs are: in each character of UTF-32 the highest byte, in UTF-16 that of blanks and line ends,
    or of Latin letters. (Other letters may have one in their lower byte, as the Chinese one.)

    Example:
        >>> _wide_encoding("кошка спит\\n".encode("utf-16be"))
        'utf-16be'
    """
    if beginning.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    fours = len(beginning) // 4
    nuls = [beginning[place : 4 * fours : 4].count(0) for place in range(4)]
    if not any(nuls):
        return None
    if nuls[3] == fours and nuls[2] > fours / 2:  # the second highest byte is not 0 in emoji and other rare characters
        return "utf-32le"
    if nuls[0] == fours and nuls[1] > fours / 2:
        return "utf-32be"
    twos = Counter(zip(beginning[::2], beginning[1::2], strict=False))
    low_first, high_first = sum(twos[one, 0] for one in b" \t\r\n"), sum(twos[0, one] for one in b" \t\r\n")
    if low_first == high_first:
        low_first, high_first = nuls[1] + nuls[3], nuls[0] + nuls[2]
    return "utf-16le" if low_first >= high_first else "utf-16be"


def conversion(sample: bytes, beginning: bytes) -> str:
    """The command that converts a file to UTF-8, by its beginning, and by bytes of it that are not UTF-8.

    These do not tell which 8-bit encoding it has.
    """
    if encoding := _wide_encoding(beginning):
        return f"iconv -f {encoding} -t utf-8"
    others = "cp1250, cp1251 or gb18030"
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:  # of its 256 bytes five mean nothing
        return f"iconv -f ENCODING -t utf-8, with the encoding that it was saved in, such as {others}"
    return f"iconv -f cp1252 -t utf-8 is a guess; it may have been saved in another encoding, such as {others}"


def lines_of(text: str) -> Iterator[str]:
    """The lines of a text in memory, cleaned and cut into stretches as by `read_lines`."""
    for line in _split(_separated(text)):
        yield from _stretches(line)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """The content of a stream in blocks. A block ends at the end of a line or, in a very long line, if possible at a space.

    It never ends between ``\\r`` and ``\\n``, or inside a UTF-8 character.
    """
    rest = b""
    while data := stream.read(BLOCK_BYTES):
        rest += data
        cut = rest.rfind(b"\n") + 1
        if not cut:
            cut = rest.rfind(b"\r", 0, -1) + 1
        if not cut and len(rest) >= 4 * MAX_LINE_CHARS:
            cut = max(rest.rfind(b" "), rest.rfind(b"\t")) + 1 or _character_end(rest)
        if cut:
            yield rest[:cut]
            rest = rest[cut:]
    if rest:
        yield rest


def _character_end(data: bytes) -> int:
    """The last position, at most three bytes before the end, that cuts neither a UTF-8 character nor a ``\\r\\n``."""
    if data.endswith(b"\r"):
        return len(data) - 1
    for back in range(1, 4):
        if data[-back] >= 0xC0:
            return len(data) - back
        if data[-back] < 0x80:
            break
    return len(data)


def _split(text: str) -> list[str]:
    """The lines of a text; the last one is the rest after the last line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _stretches(line: str) -> Iterator[str]:
    start = 0
    while len(line) - start > MAX_LINE_CHARS:
        end = start + MAX_LINE_CHARS
        cut = max(line.rfind(space, start, end) for space in _SPACES) + 1 or end
        yield line[start:cut]
        start = cut
    yield line[start:]


def _separated(text: str) -> str:
    for separator in _SEPARATORS:
        text = text.replace(separator, " ")
    return text


def _lines_before(block: bytes, place: int) -> int:
    head = block[:place]
    return head.count(b"\n") + head.count(b"\r") - head.count(b"\r\n")


class _Decoder:
    """Decodes bytes, and counts what is not UTF-8."""

    def __init__(self, name: str, report: ReadReport) -> None:
        self._name, self._report = name, report
        self._characters = self._replaced = 0
        self._first_line = 0
        self._first_bytes = b""
        """Those that were not UTF-8, with what stands around them."""
        self._at_start = True
        self._beginning = b""

    def text(self, block: bytes, first_line: int) -> str:
        """Decodes a block; ``first_line`` is the number of the line in which it begins."""
        if b"\0" in block:
            line = first_line + _lines_before(block, block.index(b"\0"))
            raise holds_nul(self._name, line, block if self._at_start else b"")
        if self._at_start:
            self._beginning = block[:_BEGINNING_BYTES]
            block = block.removeprefix(b"\xef\xbb\xbf")
            self._at_start = False
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            text = self._replacing(block, first_line + _lines_before(block, error.start))
        self._characters += len(text)
        self.judge()
        return _separated(text)

    def _replacing(self, block: bytes, line: int) -> str:
        text = block.decode("utf-8", errors="replace")
        replaced = text.count("\ufffd") - block.count("\ufffd".encode())
        if not self._replaced:
            self._first_line, self._first_bytes = line, block
            self._report.first_replaced_at = self._report.first_replaced_at or f"{self._name}:{line}"
        self._replaced += replaced
        self._report.replaced_characters += replaced
        return text

    def judge(self, final: bool = False) -> None:
        """Raises a BertkitError if a file is in another encoding; it judges once enough of the file was read."""
        enough = final or self._characters >= _JUDGED_FROM_CHARS
        if enough and self._replaced > MAX_REPLACED_SHARE * self._characters:
            raise BertkitError(
                f"{self._name} is not UTF-8: {self._replaced:,} of {self._characters:,} characters, first in line "
                f"{self._first_line}; convert it ({conversion(self._first_bytes, self._beginning)})"
            )
