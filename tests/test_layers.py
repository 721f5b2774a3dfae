"""Imports go one way: a file may import only from floors below its own, and from its own package."""

import ast
from collections.abc import Iterator
from pathlib import Path

import bertkit

FLOORS = [
    {"cli"},
    {"api"},
    {"serving"},
    {"reporting"},
    {"pretraining", "finetuning"},
    {"inference"},
    {"runtime"},
    {"corpus", "training", "models"},
    {"settings"},
    {"io"},
    {"hardware", "signals"},
    {"assets", "console", "cores", "draws", "extras", "intervals", "streams"},
    {"launcher"},
    {"errors"},
]
LEVEL = {part: level for level, floor in enumerate(FLOORS) for part in floor}
# `__init__` holds names that are imported on first use; `__main__` is the way in.
FREE = {"__init__", "__main__"}


def imported_parts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and part (``corpus``) of every import of bertkit in a file, those inside functions as well."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, *parts = name.split(".")
            if package == "bertkit" and parts and not parts[0].startswith("__"):
                yield node.lineno, parts[0]


def violations(package: Path) -> list[str]:
    found = []
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package).with_suffix("").parts[0]
        if part in FREE:
            continue
        assert part in LEVEL, f"{path}: say in this test on which floor '{part}' is"
        for line, other in imported_parts(ast.parse(path.read_text(encoding="utf-8"))):
            if not (other == part or LEVEL.get(other, -1) > LEVEL[part]):
                found.append(f"{path.relative_to(package).as_posix()}:{line} imports {other}")
    return found


def test_imports_go_one_way() -> None:
    package = Path(bertkit.__file__).parent
    assert len(list(package.rglob("*.py"))) > 10
    assert violations(package) == []


def test_planted_violations_are_found(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from bertkit.cli import app",
        "console.py": "import bertkit.draws\nimport bertkit.errors",
        "errors.py": "import os",
        "io/text.py": "from bertkit.corpus.store import Store",
        "corpus/store.py": "from bertkit import __version__, console\nfrom bertkit.corpus import other",
        "training/loop.py": "def f():\n    import bertkit.corpus.store as store",
        "finetuning/run.py": "from bertkit import draws, pretraining",
        "models/odd.py": "from bertkit import nowhere",
        "cli/train.py": "from bertkit.errors import E\nfrom bertkit.training.loop import f",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert violations(tmp_path) == [
        "console.py:1 imports draws",
        "finetuning/run.py:1 imports pretraining",
        "io/text.py:1 imports corpus",
        "models/odd.py:1 imports nowhere",
        "training/loop.py:2 imports corpus",
    ]
