"""A run's folder: what is not of a run stays as it is, whatever flag is given."""

from pathlib import Path

import pytest

from bertkit.errors import BertkitError
from bertkit.training.run_folder import claimed


def made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    return folder


TRAINERS = ("checkpoint-500/model.safetensors", "checkpoint-500/trainer_state.json")


@pytest.mark.parametrize("names", [TRAINERS, (*TRAINERS, "thesis.md", ".tmp-notes"), ("config.json",)])
def test_a_resume_does_not_begin_in_a_folder_of_others(tmp_path: Path, names: tuple[str, ...]) -> None:
    out = made(tmp_path / "out", *names)
    with pytest.raises(BertkitError, match="holds no run of bertkit to resume"), claimed(out, True, False):
        pass
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {*names}


def test_a_folder_of_another_programs_checkpoints_is_not_overwritten(tmp_path: Path) -> None:
    out = made(tmp_path / "out", *TRAINERS)
    with (
        pytest.raises(BertkitError, match="'checkpoint-500', which no run of bertkit wrote"),
        claimed(out, False, True),
    ):
        pass
    assert (out / TRAINERS[0]).is_file()


@pytest.mark.parametrize(
    "names",
    [
        (),
        (".tmp-recipe.toml-1",),
        ("recipe.toml",),
        ("metrics.jsonl", ".tmp-checkpoint-5/x"),
        ("checkpoint-5/manifest.json",),
        ("seed=1/run.json",),
    ],
)
def test_a_resume_goes_on_with_what_a_killed_run_left(tmp_path: Path, names: tuple[str, ...]) -> None:
    out = made(tmp_path / "out", *names)
    with claimed(out, True, False):
        pass
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        Path(name).name for name in names if ".tmp-" not in name
    }
