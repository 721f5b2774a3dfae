"""What is light stays light: no help, list or settings may pay for torch and its like."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    *("torch", "transformers", "datasets", "accelerate", "evaluate", "tokenizers", "huggingface_hub"),
    *("numpy", "scipy", "sklearn", "pandas", "pyarrow", "matplotlib", "jinja2", "onnx", "onnxruntime"),
}
MAIN = """
sys.argv = ["bertkit", *{arguments!r}]
from bertkit.__main__ import main
try:
    main()
except SystemExit as ending:
    assert not ending.code, ending.code
"""


def modules_after(code: str) -> set[str]:
    """Top-level names in ``sys.modules`` once the code has run in a fresh interpreter."""
    script = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert result.returncode == 0, result.stderr
    return {name.partition(".")[0] for name in json.loads(result.stderr.splitlines()[-1])}


@pytest.mark.parametrize(
    "code",
    [
        "import bertkit, bertkit.cli, bertkit.settings.recipes",
        "import bertkit.cli.options, bertkit.settings.schema",
        MAIN.format(arguments=["--help"]),
        MAIN.format(arguments=["--version"]),
        MAIN.format(arguments=["recipes"]),
        MAIN.format(arguments=["recipes", "show", "tiny"]),
    ],
)
def test_nothing_heavy_is_imported(code: str) -> None:
    loaded = modules_after(code)
    assert "bertkit" in loaded
    assert loaded & HEAVY == set()


def test_the_check_sees_a_heavy_import() -> None:
    assert "numpy" in modules_after("import bertkit.cli, numpy")


@pytest.mark.parametrize(
    "arguments",
    [
        ["pretrain", "nothere.txt"],
        ["prepare", "nothere.txt"],
        ["inspect", "nothere.txt"],
        ["finetune", "--train", "nothere.csv"],
        ["predict", "nothere", "a text"],
        ["evaluate", "nothere", "--cloze"],
        ["export", "nothere", "--out", "x"],
        ["serve", "nothere"],
        ["report", "nothere"],
    ],
)
def test_what_is_not_there_is_refused_without_torch(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    loaded = modules_after(MAIN.format(arguments=arguments).replace("assert not", "assert"))
    assert loaded & {"torch", "transformers", "datasets", "accelerate"} == set()


def test_one_mask_is_filled_without_torch(tiny_model: Path) -> None:
    arguments = ["mask-fill", "--model", str(tiny_model), "the cat [MASK] ."]
    loaded = modules_after(MAIN.format(arguments=arguments))
    assert "numpy" in loaded
    assert loaded & {"torch", "transformers", "scipy", "datasets", "accelerate"} == set()
