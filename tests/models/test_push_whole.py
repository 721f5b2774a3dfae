"""What is pushed is whole: all parts of the weights, and all modules of sentence-transformers."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import BertForPreTraining

from bertkit.errors import BertkitError
from bertkit.models.push import model_files


@pytest.fixture
def whole(tiny_model: Path, tmp_path: Path) -> Path:
    """A model with a card."""
    folder = shutil.copytree(tiny_model, tmp_path / "whole")
    (folder / "README.md").write_text("# A model\n", encoding="utf-8")
    return folder


def test_weights_in_parts_are_pushed_whole_or_not_at_all(whole: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(whole, tmp_path / "run")
    (folder / "model.safetensors").unlink()
    BertForPreTraining.from_pretrained(whole).save_pretrained(folder, max_shard_size="5KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    index = folder / "model.safetensors.index.json"
    assert {*parts, index} < {*model_files(folder)}
    parts[1].unlink()
    said = rf"lacks 1 of the {len(parts)} files with weights that model\.safetensors\.index\.json names \({parts[1].name}\)"
    with pytest.raises(BertkitError, match=said):
        model_files(folder)
    index.unlink()
    with pytest.raises(
        BertkitError, match=r"lacks config\.json or model\.safetensors \(of several parts: .*index\.json\)"
    ):
        model_files(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_damaged_model_is_not_pushed(whole: Path, name: str) -> None:
    content = (whole / name).read_bytes()
    (whole / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BertkitError, match=name.replace(".", r"\.")) as caught:
        model_files(whole)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "files", "said"),
    [
        ("2_Dense", ["config.json", "model.safetensors"], None),
        ("2_Dense", ["config.json", "model.safetensors", "pytorch_model.bin"], None),
        ("2_Normalize", [], None),
        ("2_Dense", ["config.json"], "has no 2_Dense/model.safetensors for the Dense of modules.json"),
        ("2_Dense", ["config.json", "pytorch_model.bin"], "weights are pushed in this form alone"),
        ("2_Other", ["config.json", "pytorch_model.bin"], "has no 2_Other/model.safetensors for the Other"),
        ("2_Dense", ["config.json", "cut"], "2_Dense/model.safetensors was not written whole"),
        ("pooling_Pooling", ["config.json"], "has the Pooling of modules.json in pooling_Pooling, which is not pushed"),
    ],
)
def test_a_module_of_sentence_transformers_is_pushed_with_its_weights(
    whole: Path, module: str, files: list[str], said: str | None
) -> None:
    kinds = {"": "Transformer", "1_Pooling": "Pooling", module: module.partition("_")[2]}
    listed = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds.items()]
    (whole / "modules.json").write_text(json.dumps(listed), encoding="utf-8")
    for name in ("1_Pooling", module):
        (whole / name).mkdir()
        (whole / name / "config.json").write_text("{}", encoding="utf-8")
    for name in files:
        if name == "cut":
            (whole / module / "model.safetensors").write_bytes((whole / "model.safetensors").read_bytes()[:-9])
        elif name != "config.json":
            shutil.copy(whole / "model.safetensors", whole / module / name)
    if said is None:
        pushed = {path.relative_to(whole).as_posix() for path in model_files(whole)}
        assert {
            "1_Pooling/config.json",
            *(f"{module}/{name}" for name in files if name != "pytorch_model.bin"),
        } <= pushed
    else:
        with pytest.raises(BertkitError, match=said):
            model_files(whole)
