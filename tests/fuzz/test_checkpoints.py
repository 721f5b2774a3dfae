"""Hostile checkpoints: skipped or refused in one line, and nothing in them is run."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from helpers.mutate import ends_well, mutations
from helpers.toy import toy_job

from bertkit.errors import BertkitError
from bertkit.models.bert import load_bert_for_pretraining
from bertkit.training import checkpoint
from bertkit.training.loop import fit

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    job = toy_job(folder / "store", folder / "run", Accelerator(cpu=True), steps=3, eval_steps=0)
    fit(job, Accelerator(cpu=True), None)
    return job


@pytest.mark.parametrize("name", ["manifest.json", "state.json", "optimizer.safetensors", "model.safetensors"])
def test_damaged_files_are_never_taken_for_whole(tmp_path, real, name):
    folder = shutil.copytree(real.out, tmp_path / "run") / "checkpoint-3"
    original = (folder / name).read_bytes()
    for number, data in enumerate(mutations(original, 500, seed=1)):
        (folder / name).write_bytes(data)
        assert ends_well(lambda: checkpoint.newest_checkpoint(folder.parent), (number, data[:200]))
        # A manifest with spaces moved about is still the same manifest.
        assert data == original or name == "manifest.json" or checkpoint.newest_checkpoint(folder.parent) is None


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("state.json", lambda folder, _: checkpoint.read_progress(folder)),
        ("optimizer.safetensors", lambda folder, _: checkpoint.load_optimizer_state(folder)),
        ("model.safetensors", lambda folder, job: checkpoint.load_weights(folder, job.objective.model)),
    ],
)
def test_damaged_files_with_a_manifest_that_fits(tmp_path, real, name, read):
    """Somebody else's folder may hold anything, and a manifest for it."""
    folder = shutil.copytree(real.out / "checkpoint-3", tmp_path / "checkpoint-3")
    for number, data in enumerate(mutations((folder / name).read_bytes(), 500, seed=2)):
        (folder / name).write_bytes(data)
        ends_well(lambda: read(folder, real), (number, data[:200]))


class Payload:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self):
        return Path.touch, (self.touched,)


@pytest.mark.parametrize("wrap", [pickle.dumps, None])
def test_a_pickle_is_not_run(tmp_path, real, tiny_model, wrap):
    touched = tmp_path / "it-ran"
    folder = shutil.copytree(real.out / "checkpoint-3", tmp_path / "checkpoint-3")
    model = shutil.copytree(tiny_model, tmp_path / "model")
    (model / "model.safetensors").unlink()
    for path in (folder / "optimizer.safetensors", model / "pytorch_model.bin"):
        if wrap:
            path.write_bytes(wrap(Payload(touched)))
        else:
            torch.save({"bert.pooler.dense.weight": Payload(touched)}, path)
    with pytest.raises(BertkitError):
        checkpoint.load_optimizer_state(folder)
    from bertkit.models.tokenizer_loading import load_tokenizer

    with pytest.raises(BertkitError):
        load_bert_for_pretraining(str(model), load_tokenizer(str(model)), 1)
    assert not touched.exists()
