"""Recipe files: found by name, read, overridden, checked against a schema, and written back.

The order is default < recipe < flags and ``--set KEY=VALUE``. Each value carries its origin, so that an error
blames the place it came from.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from bertkit.errors import BertkitError, did_you_mean
from bertkit.io.structured import read_toml

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

KINDS = ("pretrain", "finetune")
T = TypeVar("T", bound="BaseModel")
# Two ways to say how long a run is: an override of one replaces the recipe's other.
_EITHER_OR = {"train.max_steps": "train.epochs", "train.epochs": "train.max_steps"}
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Override:
    """A value given besides the recipe; ``origin`` is what was typed: ``--lr``, ``--set seed=1``."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """Checked settings; by dotted key, the origin of each value that is no default."""

    settings: T
    origins: dict[str, str]


def given(overrides: Sequence[Override], *settings: str) -> Override | None:
    """The first override of one of the settings, which are full names; an override may name one by its end (``seed=1``)."""
    return next((one for one in overrides if any(f".{name}".endswith(f".{one.key}") for name in settings)), None)


def recipe_folder() -> Path:
    """The recipes inside the installed package, else those of the repository."""
    packaged = _ROOT / "recipes"
    return packaged if packaged.is_dir() else _ROOT.parent / "recipes"


def recipe_names(kind: str) -> list[str]:
    """Names of the shipped recipes of a kind, ``pretrain`` or ``finetune``, sorted."""
    return sorted(path.stem for path in (recipe_folder() / kind).glob("*.toml"))


def recipe_path(kind: str, name_or_path: str) -> Path:
    """The file of a shipped recipe (``tiny``), or the user's own (``mine/tiny.toml``).

    Raises:
        BertkitError: no such file, or no shipped recipe of that name.
    """
    names = recipe_names(kind)
    choices = f"There are: {', '.join(names)}; or give the path of a .toml file"
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        if not path.is_file():
            raise BertkitError(f"no recipe file {name_or_path}. {choices}")
        return path
    if name_or_path not in names:
        hint = did_you_mean(name_or_path, names)
        raise BertkitError(f"no {kind} recipe '{name_or_path}'.{hint} {choices}")
    return recipe_folder() / kind / f"{name_or_path}.toml"


def parse_set(text: str) -> Override:
    """Reads ``KEY=VALUE``. The value is TOML (``1e-4``, ``true``, ``[1, 2]``), else a bare string (``bf16``).

    Raises:
        BertkitError: there is no ``=``, or no key before it.
    """
    key, equals, value = text.partition("=")
    if not key.strip() or not equals:
        raise BertkitError(f"--set wants KEY=VALUE, got '{text}'")
    try:
        table = tomllib.loads(f"x = {value}")
    except ValueError:
        table = {}
    # A line break in the value could smuggle in further keys.
    return Override(key.strip(), table["x"] if table.keys() == {"x"} else value, f"--set {text}")


def load(schema: type[T], kind: str, name_or_path: str, overrides: Sequence[Override]) -> Resolved[T]:
    """Reads a recipe, lays the overrides over it, and checks the whole against the schema.

    A task may be given with a subset of its data, as in "wikiann:de".

    Raises:
        BertkitError: no such recipe, broken TOML, an unknown, ambiguous or doubly given key, or a value that
            the schema refuses.
    """
    name, _, part = name_or_path.partition(":")
    has_part = bool(part) and kind == "finetune" and name in recipe_names(kind)
    path = recipe_path(kind, name if has_part else name_or_path)
    label = name_or_path if name_or_path.endswith(".toml") else f"recipes/{kind}/{path.name}"
    rules = dict(_rules(schema.model_json_schema()))
    values = dict(_flatten(read_toml(path, label), rules, label))
    if has_part:
        overrides = [Override("task.subset", _subset(name, part, values), name_or_path), *overrides]
    origins = dict.fromkeys(values, label)
    for key, override in _resolve(overrides, rules).items():
        other = _EITHER_OR.get(key)
        if other in origins:
            del values[other], origins[other]
        values[key], origins[key] = override.value, override.origin
    return Resolved(_validate(schema, values, origins, rules, label), origins)


def _subset(task: str, part: str, values: dict[str, Any]) -> str:
    """The configuration of a task's dataset that a name behind a colon means: "es" is "xquad.es" beside a recipe's "xquad.en".

    Raises:
        BertkitError: the task is one part of its dataset.
    """
    if any(key.startswith("task.tsv.") for key in values):
        raise BertkitError(f"the task {task} has no parts: leave ':{part}' out")
    family = values.get("task.subset", "").rpartition(".")[0]
    return part if not family or part.startswith(f"{family}.") else f"{family}.{part}"


def dump(settings: "BaseModel") -> str:
    """TOML text that loads back to equal settings. TOML has no null: a setting that is None is left out."""
    import tomli_w

    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


def _rules(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every setting of a JSON schema, by its dotted key, with the rule that holds for it."""

    def walk(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, rule in table["properties"].items():
            references = [option["$ref"] for option in rule.get("anyOf", [rule]) if "$ref" in option]
            if references:
                yield from walk(schema["$defs"][references[0].rpartition("/")[2]], f"{prefix}{name}.")
            else:
                yield prefix + name, rule

    return walk(schema, "")


def _flatten(table: dict[str, Any], rules: dict[str, Any], label: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A recipe's values by dotted key. Inside a file every key stands in full, in its own table."""
    for name, value in table.items():
        key = prefix + name
        if key in rules:
            yield key, value
        elif not any(rule.startswith(f"{key}.") for rule in rules):
            raise _no_setting(key, rules, label)
        elif isinstance(value, dict):
            yield from _flatten(value, rules, label, f"{key}.")
        else:
            raise BertkitError(f"{key} must be a table, got {value!r} ({label})")


def _resolve(overrides: Sequence[Override], rules: dict[str, Any]) -> dict[str, Override]:
    """The overrides by full dotted key, each given once."""
    given: dict[str, Override] = {}
    for override in overrides:
        key = _full_key(override, rules)
        if key in given:
            raise BertkitError(f"{key} is given twice: {given[key].origin} and {override.origin}")
        other = _EITHER_OR.get(key)
        if other in given:
            raise BertkitError(f"give {given[other].origin} or {override.origin}, not both")
        given[key] = override
    return given


def _full_key(override: Override, rules: dict[str, Any]) -> str:
    if override.key in rules:
        return override.key
    matches = [key for key in rules if _last(key) == override.key]
    if not matches:
        inside = [key for key in rules if key.startswith(f"{override.key}.")]
        if inside:
            raise _table(override, inside)
        raise _no_setting(override.key, rules, override.origin)
    if len(matches) > 1:
        raise BertkitError(f"'{override.key}' may be {' or '.join(matches)}: say which ({override.origin})")
    return matches[0]


def _table(override: Override, inside: Sequence[str]) -> BertkitError:
    """What to write where the name of a table was given, as in ``settings={"train": {"epochs": 2}}``."""
    named = [f"{override.key}.{name}" for name in override.value] if isinstance(override.value, dict) else []
    known = ", ".join(f"'{name}'" for name in named if name in inside)
    write = f"write {known}" if known else f"it has {', '.join(inside)}"
    return BertkitError(f"'{override.key}' is a table of settings, not one (in {override.origin}): {write}")


def _no_setting(key: str, rules: Iterable[str], where: str) -> BertkitError:
    def nearness(candidate: str) -> float:
        pairs = ((key, candidate), (_last(key), _last(candidate)))
        return max(difflib.SequenceMatcher(None, a, b).ratio() for a, b in pairs)

    tables = {rule.rpartition(".")[0] for rule in rules} - {""}
    nearest = max([*rules, *sorted(tables)], key=nearness)
    hint = f"Did you mean '{nearest}'?" if nearness(nearest) >= 0.6 else f"There are: {', '.join(rules)}"
    return BertkitError(f"no setting '{key}' (in {where}). {hint}")


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _validate(schema: type[T], values: dict[str, Any], origins: dict[str, str], rules: dict[str, Any], label: str) -> T:
    from pydantic import ValidationError

    nested: dict[str, Any] = {}
    for key, value in values.items():
        try:
            json.dumps(value, default=str, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise BertkitError(f"{key} has bytes that are not UTF-8 ({origins[key]}): rename what it names") from None
        *tables, name = key.split(".")
        table = nested
        for part in tables:
            table = table.setdefault(part, {})
        table[name] = value
    try:
        # Strict, as JSON: no string or bool passes for a number, yet 3 is a float and a list a tuple.
        return schema.model_validate_json(json.dumps(nested, default=str), strict=True)
    except ValidationError as error:
        raise _refusal(error, values, origins, rules, label) from None


def _refusal(
    error: "ValidationError",
    values: dict[str, Any],
    origins: dict[str, str],
    rules: dict[str, Any],
    label: str,
) -> BertkitError:
    """The first thing that pydantic objects to, in one line that blames the origin."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    # Inside a list or a union pydantic's place goes on below the setting.
    setting = next((rule for rule in rules if f"{key}.".startswith(f"{rule}.")), key)
    if first["type"] == "value_error":
        message = str(first["ctx"]["error"])
        # Not within the name of a file, such as column.txt.
        named = [
            origin
            for at, origin in origins.items()
            if re.search(rf"(?<![\w./])({at}|{_last(at)})(?!\w|[./]\w)", message)
        ]
        return BertkitError(f"{message} ({', '.join(dict.fromkeys(named)) or label})")
    if setting not in values:
        return BertkitError(f"{setting} is missing ({label})")
    wanted = f"{setting} must be {_expected(rules[setting])}"
    return BertkitError(f"{wanted}, got {values[setting]!r} ({origins[setting]})")


_TYPES = {"integer": "an integer", "number": "a number", "string": "a string", "boolean": "true or false"}
_BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def _expected(rule: dict[str, Any]) -> str:
    """A JSON schema's rule in words: ``an integer >= 1``, ``one of no, bf16``."""
    alike = f" such as {', '.join(rule['examples'])}" if "examples" in rule else ""
    if "anyOf" in rule:
        return " or ".join(_expected(option) for option in rule["anyOf"] if option.get("type") != "null") + alike
    if "enum" in rule:
        return f"one of {', '.join(map(str, rule['enum']))}"
    if "const" in rule:
        return str(rule["const"])
    if "prefixItems" in rule:
        return f"[{', '.join(map(_expected, rule['prefixItems']))}]"
    if "items" in rule:
        return f"a list, each {_expected(rule['items'])}"
    bounds = " and ".join(f"{sign} {rule[name]}" for name, sign in _BOUNDS.items() if name in rule)
    return " ".join(filter(None, [_TYPES.get(rule.get("type", ""), "a table"), bounds])) + alike


def flat(tables: dict[str, Any]) -> dict[str, Any]:
    """Nested tables with dotted keys: ``{"train": {"seed": 1}}`` → ``{"train.seed": 1}``."""
    values: dict[str, Any] = {}
    # Without recursion: the file may be anybody's, and dotted keys nest tables as deeply as they like.
    waiting = list(reversed(tables.items()))
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{inner}", one) for inner, one in reversed(value.items())]
        else:
            values[name] = value
    return values
