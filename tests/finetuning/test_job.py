"""How many places a model reads when it is fine-tuned."""

import json
import shutil

import pytest
from safetensors.torch import load_file

from bertkit.errors import BertkitError
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.io.memory import memory_rows
from bertkit.models.folder import read_config
from bertkit.settings.recipes import Override

PLACES = "bert.embeddings.position_embeddings.weight"


def run(model, out, **settings):
    given = {
        "train.max_steps": 1,
        "train.batch_size": 8,
        "train.frozen_layers": 0,
        "data.validation_split": 0.25,
        **settings,
    }
    rows = memory_rows(
        "rows", [{"text": "the cat sat " * (1 + number), "label": "xy"[number % 2]} for number in range(24)]
    )
    overrides = [Override(name, value, name) for name, value in given.items()]
    finetune(FinetuneRequest(train=rows, model=str(model), out=out, device="cpu", overrides=overrides))


def test_places_beyond_a_model_s_begin_as_copies_of_the_first_and_are_counted(tiny_model, tmp_path, capsys):
    run(tiny_model, tmp_path / "run", **{"model.max_position_embeddings": 70, "data.max_seq_length": 64})
    had, has = (load_file(folder / "model.safetensors")[PLACES] for folder in (tiny_model, tmp_path / "run"))
    assert len(had) == 32
    assert len(has) == 70
    # By hand: 70 = 32 + 32 + 6, so place 33 is place 1 again, 64 is 0, and 69 is 5. The embeddings are frozen.
    for new, old in ((0, 0), (31, 31), (32, 0), (33, 1), (63, 31), (64, 0), (69, 5)):
        assert has[new].tolist() == had[old].tolist()
    told = " ".join(capsys.readouterr().err.split())
    assert "the positions 32 to 69 are new, copied from the first" in told
    assert "they stay copies: the embeddings are not trained" in told
    assert read_config(tmp_path / "run")["max_position_embeddings"] == 70
    trained = {"model.max_position_embeddings": 70, "data.max_seq_length": 64, "train.frozen_layers": None}
    run(tiny_model, tmp_path / "trained", **trained)
    told = " ".join(capsys.readouterr().err.split())
    assert "the positions 64 to 69 stay copies: no row has over 64 tokens (--seq-len)" in told
    assert "not trained" not in told


@pytest.mark.parametrize(
    ("frozen", "said"),
    [
        ({"train.frozen_layers": None}, "to 31 begin as they are (--seq-len)"),
        (
            {"train.frozen_layers": 0},
            "to 31 were never learned, and stay so, as the embeddings are not trained: use --seq-len 24",
        ),
        (
            {"train.frozen_layers": None, "train.encoder": "frozen"},
            "to 31 were never learned, and stay so, as the embeddings are",
        ),
    ],
)
def test_places_that_were_never_learned_are_said_to_stay_so_if_they_are_frozen(
    tiny_model, tmp_path, capsys, frozen, said
):
    model = shutil.copytree(tiny_model, tmp_path / "model")
    about = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps(about | {"model_max_length": 24}))
    run(model, tmp_path / "run", **{"data.max_seq_length": 32}, **frozen)
    assert f"as many as it was pretrained on: its positions from there {said}" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"data.max_seq_length": 64},
            r"over the 32 positions .* --seq-len 32 or less, or --set model.max_position_emb",
        ),
        ({"data.max_seq_length": 64, "model.max_position_embeddings": 40}, "over the 40 positions"),
        ({"data.max_seq_length": 16, "model.max_position_embeddings": 16}, "16 is under the 32 positions"),
    ],
)
def test_places_that_do_not_do_are_refused(tiny_model, tmp_path, settings, said):
    with pytest.raises(BertkitError, match=said):
        run(tiny_model, tmp_path / "run", **settings)
    assert not (tmp_path / "run" / "config.json").exists()
