"""A folder that was not written whole is never said to hold a model."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import BertForPreTraining

from bertkit.errors import BertkitError
from bertkit.models.saved import check_saved


def cut(folder: Path) -> None:
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-100])


def without_a_weight(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["bert.pooler.dense.bias"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def of_another_shape(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["bert.pooler.dense.bias"] = weights["bert.pooler.dense.bias"][:3].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def of_other_sizes(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 8}))


def without_a_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()


def in_parts(tiny_model: Path, folder: Path) -> list[Path]:
    """A model whose weights lie in several files; returns those."""
    shutil.copytree(tiny_model, folder, ignore=shutil.ignore_patterns("model.safetensors"))
    BertForPreTraining.from_pretrained(tiny_model).save_pretrained(folder, max_shard_size="5KB")
    parts = sorted(folder.glob("model-*.safetensors"))
    assert len(parts) > 1
    return parts


def test_weights_in_parts_are_checked_by_their_index(tmp_path: Path, tiny_model: Path) -> None:
    folder = tmp_path / "model"
    *_, last = in_parts(tiny_model, folder)
    check_saved(folder)
    check_saved(folder, BertForPreTraining.from_pretrained(tiny_model))
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2])
    with pytest.raises(BertkitError, match=rf"{last.name} was not written whole"):
        check_saved(folder)
    last.unlink()
    with pytest.raises(BertkitError, match=rf"{last.name} was not written whole"):
        check_saved(folder)
    save_file({"other": load_file(tiny_model / "model.safetensors")["cls.predictions.bias"]}, last)
    with pytest.raises(
        BertkitError, match=rf"{last.name} has no .*, which model\.safetensors\.index\.json says it has"
    ):
        check_saved(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": 1}}')
    with pytest.raises(BertkitError, match="does not say which file has which weight"):
        check_saved(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut, r"model\.safetensors"),
        (without_a_weight, r"bert\.pooler\.dense\.bias is not there"),
        (of_another_shape, r"bert\.pooler\.dense\.bias is \[3\], not \[16\]"),
        (of_other_sizes, "hidden_size"),
        (without_a_tokenizer, "tokenizer"),
        (lambda folder: (folder / "config.json").unlink(), r"config\.json"),
        (shutil.rmtree, "no folder"),
    ],
)
def test_a_damaged_folder_is_refused(
    tmp_path: Path, tiny_model: Path, damage: Callable[[Path], None], said: str
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    model = BertForPreTraining.from_pretrained(folder)
    check_saved(folder, model)
    check_saved(folder)
    damage(folder)
    with pytest.raises(BertkitError, match=said):
        check_saved(folder, model)
