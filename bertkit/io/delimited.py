"""Reads rows of .csv and .tsv files; separator, quoting and header are recognised from the beginning of the file."""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, dropwhile
from typing import Any

from bertkit import console
from bertkit.console import counted
from bertkit.errors import BertkitError
from bertkit.io.remote import AnyFile
from bertkit.io.text import holds_nul

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
LONGEST_VALUE_CHARS = 2**24
"""Longer lines, and longer values in quotes, are refused, as they would be in memory several times."""
_SAMPLE_LINES = 1_000
_SAMPLE_CHARS = 2**20
_EXCEL = re.compile(r'"?sep=(.)"?\s*')
_QUOTED = re.compile(r'"(?:[^"]|"")*"')

Row = tuple[str, dict[str, Any]]
"""A row: its place FILE:LINE, and its values by column."""
Refuse = Callable[[str], None]
"""Called with a message about a row that cannot be used; it raises, or counts the row."""


@dataclass(frozen=True)
class Delimited:
    """A file of separated values that is open for reading.

    Attributes:
        names: the names of the columns.
        remarks: what was recognised that the suffix does not say, in words.
    """

    path: AnyFile
    names: list[str]
    remarks: list[str]
    _reader: Any
    _lines_before: int = 0
    """Lines of the file before the header: blank ones, and Excel's ``sep=;``."""
    _separator: str = field(default=",")
    _is_quoted: bool = True

    def rows(self, refuse: Refuse) -> Iterator[Row]:
        """The rows in order, without blank lines.

        Raises:
            BertkitError: quotes do not match, or a value is too long.
        """
        begin, doubled = self._reader.line_num + 1, list[str]()
        try:
            for values in self._reader:
                place = f"{self.path}:{begin + self._lines_before}"
                begin = self._reader.line_num + 1
                if not values:
                    continue
                if len(values) != len(self.names):
                    hint = f"; a value with a '{self._separator}' needs quotes" if len(values) > len(self.names) else ""
                    refuse(
                        f"{place} has {counted(len(values), 'field', 'fields')}, the first line has {len(self.names)}{hint}"
                    )
                elif values == self.names:
                    refuse(f"{place} repeats the header: take the line out")
                else:
                    doubled += [place] if not self._is_quoted and any(map(_is_doubled, values)) else []
                    yield place, dict(zip(self.names, values, strict=True))
        except csv.Error as error:
            raise _not_matching(self.path, begin + self._lines_before, error) from error
        if doubled:
            rows = counted(len(doubled), "row has values", "rows have values")
            console.warn(
                console.plain(
                    f"{rows} in quotes with doubled quotes in them, as a csv writer writes them, and are read with these, as the "
                    f"beginning of the file is not written so: {console.listed(doubled, 3)}; as .csv they are read without"
                )
            )


def open_delimited(lines: Iterator[str], path: AnyFile, usual: str) -> Delimited:
    """Recognises separator, quoting and header from the beginning of a file.

    The separator is ``usual``, unless the beginning is a table only with another one. The header is the first line that is
    neither blank nor ``sep=;``, as Excel writes it. A tsv has no quoting (as in GLUE's files), unless its header is in
    quotes, or all values in quotes need them, or have a comma where others have doubled quotes, as Excel writes them.

    Raises:
        BertkitError: two columns have the same name, or the file is no text in UTF-8.
    """
    csv.field_size_limit(LONGEST_VALUE_CHARS)
    beginning, whole = _beginning(lines)
    sample = list(dropwhile(_is_blank, beginning))
    excel = _EXCEL.fullmatch(sample[0]) if sample else None
    if excel:
        sample = list(dropwhile(_is_blank, sample[1:]))
    lines_before = len(beginning) - len(sample)
    separator = excel[1] if excel else _separator(sample, whole, usual)
    quoted = separator != "\t" or _is_quoted(sample, whole)
    remarks = _remarks(separator, usual, quoted, sample)
    options = _options(separator, quoted)
    names = next(_parsed(sample, whole, options), [])
    if len(names) > 1 and all(name.startswith(" ") for name in names[1:]):
        options["skipinitialspace"] = True  # if each separator has a blank behind it, the blank belongs to it
    reader = csv.reader(chain(sample, lines), **options)
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise _not_matching(path, 1 + lines_before, error) from error
    if any("\0" in name for name in names):
        raise holds_nul(path, 1 + lines_before, "".join(beginning).encode())
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise BertkitError(f"{path} has two columns '{twice}': rename one, or take it out")
    return Delimited(path, names, remarks, reader, lines_before, separator, quoted)


def _remarks(separator: str, usual: str, quoted: bool, sample: list[str]) -> list[str]:
    """What was recognised that the suffix does not say."""
    remarks = [] if separator == usual else [f"as separated by {SEPARATORS.get(separator, repr(separator))}"]
    if separator == usual == "\t" and quoted:
        remarks.append("with values in quotes")
    elif not quoted and (wrapped := _wrapped(sample)):
        kept = counted(wrapped, "value begins and ends", "values begin and end")
        remarks.append(
            f"with quotes that are kept: {kept} with them (a .csv loses them, if a spreadsheet has added them)"
        )
    return remarks


def bounded(text: Any, path: AnyFile) -> Iterator[str]:
    """The lines of an open text.

    Raises:
        BertkitError: a line has more than ``LONGEST_VALUE_CHARS`` characters.
    """
    number = 0
    while line := text.readline(LONGEST_VALUE_CHARS + 1):
        number += 1
        if len(line) > LONGEST_VALUE_CHARS:
            raise BertkitError(f"{path}:{number} has over {LONGEST_VALUE_CHARS:,} characters: cut it into several rows")
        yield line.removeprefix("\ufeff")  # within a file, of another one that was joined to it


def _beginning(lines: Iterator[str]) -> tuple[list[str], bool]:
    """The first lines, and whether these are all."""
    sample, characters = [], 0
    for line in lines:
        sample.append(line)
        characters += len(line)
        if len(sample) == _SAMPLE_LINES or characters > _SAMPLE_CHARS:
            return sample, False
    return sample, True


def _is_blank(line: str) -> bool:
    return not line.strip(" \r\n")  # tabs may be those between names that are empty


def _options(separator: str, quoted: bool) -> dict[str, Any]:
    if not quoted:
        return {"delimiter": separator, "quoting": csv.QUOTE_NONE}
    # Strict: otherwise a quote that is never closed would swallow the rest of the file without an error.
    return {"delimiter": separator, "strict": True}


def _parsed(sample: list[str], whole: bool, options: dict[str, Any]) -> Iterator[list[str]]:
    """The rows of the sample, up to the first that cannot be parsed; it becomes an empty row unless the sample is cut."""
    reader = csv.reader(iter(sample), **options)
    try:
        for values in reader:
            if values and (whole or reader.line_num < len(sample)):
                yield values
    except csv.Error:
        if whole or reader.line_num < len(sample):
            yield []


def _separator(sample: list[str], whole: bool, usual: str) -> str:
    """The usual separator, or else the one that splits all rows of the sample into the same number of values, at least 2.

    Where none does and the usual one does not even split the header, another that splits it as it splits most rows: the others
    are then refused by their lines.
    """
    counts: dict[str, list[int]] = {}
    for separator in dict.fromkeys([usual, *SEPARATORS]):
        found = [len(values) for values in _parsed(sample, whole, _options(separator, separator != "\t"))]
        if len({*found}) == 1 and found[0] > 1:
            return separator
        counts[separator] = found
    if not counts[usual] or counts[usual][0] > 1:
        return usual
    most = [one for one, found in counts.items() if found and found[0] > 1 and 2 * found.count(found[0]) > len(found)]
    return next(iter(most), usual)


def _is_quoted(sample: list[str], whole: bool) -> bool:
    rows = list(_parsed(sample, whole, _options("\t", quoted=True)))
    if [] in rows or len({len(values) for values in rows}) != 1:
        return False
    names = sample[0].rstrip("\r\n").split("\t")
    if all(_QUOTED.fullmatch(name) for name in names):
        return True
    in_quotes = _in_quotes(sample)
    if all(_needs_quotes(value) for value in in_quotes):
        return bool(in_quotes)
    # Excel's: it puts values with a comma in quotes, too. A double quote tells them from a text that begins and ends with quotes.
    return any(map(_is_doubled, in_quotes)) and all(_needs_quotes(value) or "," in value for value in in_quotes)


def _in_quotes(sample: list[str]) -> list[str]:
    """The values between tabs that begin with a quote."""
    return [value for line in sample for value in line.rstrip("\r\n").split("\t") if value.startswith('"')]


def _is_doubled(value: str) -> bool:
    """Whether a value is written in quotes, with a quote in it that is doubled."""
    return value.startswith('"') and '""' in value[1:-1] and bool(_QUOTED.fullmatch(value))


def _wrapped(sample: list[str]) -> int:
    """How many values of a file without quoting are in quotes as a spreadsheet writes them; 0 if any other begins with one."""
    in_quotes = _in_quotes(sample)
    return len(in_quotes) if all(_QUOTED.fullmatch(value) and "," in value for value in in_quotes) else 0


def _needs_quotes(value: str) -> bool:
    """Whether a value needs its quotes; one that contains a tab or line end is seen only up to that."""
    return '""' in value[1:-1] or not _QUOTED.fullmatch(value)


def _not_matching(path: AnyFile, line: int, error: csv.Error) -> BertkitError:
    if "field larger" in str(error):
        return BertkitError(
            f"{path}:{line} begins a value of over {LONGEST_VALUE_CHARS:,} characters: is a quote never closed?"
        )
    return BertkitError(f"{path}:{line} has quotes that do not match ({error})")
