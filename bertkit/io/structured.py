"""Reads JSON and TOML files, which anybody may have written or a crash may have cut off; errors are one line."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        BertkitError: the file cannot be read, is not JSON in UTF-8, is nested too deeply, or holds no object.
    """
    content = _read(path, "JSON", json.loads)
    if not isinstance(content, dict):
        raise BertkitError(f"{path} holds no JSON object")
    return content


def read_toml(path: Path, name: str | None = None) -> dict[str, Any]:
    """The tables of a TOML file; messages call it ``name``, or by its path.

    Raises:
        BertkitError: the file cannot be read, is not TOML in UTF-8, or is nested too deeply.
    """
    tables: dict[str, Any] = _read(path, "TOML", tomllib.loads, name)
    return tables


def read_json_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The objects in a file of JSON lines (none if there is no file), and how many other lines it has, as those that are damaged.

    The last line is not counted if it is cut off, as after a crash or while it is being written.

    Raises:
        BertkitError: the file cannot be read.
    """
    if not path.is_file():
        return [], 0
    *lines, last = _read(path, "JSON lines", lambda text: text.split("\n"), errors="surrogateescape")
    read = [_object(line) for line in lines]
    objects = [one for one in (*read, _object(last)) if one is not None]
    return objects, sum(one is None and bool(line.strip()) for one, line in zip(read, lines, strict=True))


def parsed_json(text: str | bytes) -> Any:
    """``json.loads`` with a single kind of error.

    Raises:
        ValueError: the text is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = parsed_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _read(path: Path, form: str, parse: Callable[[str], Any], name: str | None = None, errors: str = "strict") -> Any:
    name = name or str(path)
    try:
        return parse(path.read_text(encoding="utf-8-sig", errors=errors))
    except OSError as error:
        raise BertkitError(f"cannot read {name}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BertkitError(f"{name} is not UTF-8 text") from error
    except RecursionError as error:
        raise BertkitError(f"{name} is nested too deeply for {form}") from error
    except ValueError as error:  # another format, or a number with thousands of digits
        raise BertkitError(f"{name} is not valid {form}: {str(error)[:200]}") from error
