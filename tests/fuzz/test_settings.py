"""Hostile recipes and overrides: taken, or refused in one line; names do not leave the recipes' folder."""

import pytest
from helpers.mutate import ends_well, mutations
from hypothesis import given, settings
from hypothesis import strategies as st

from bertkit.errors import BertkitError
from bertkit.settings.recipes import KINDS, load, parse_set, recipe_folder, recipe_path
from bertkit.settings.schema import FinetuneRecipe, PretrainRecipe

pytestmark = pytest.mark.slow
HUNDREDS = settings(max_examples=500, deadline=None, derandomize=True)
SCHEMAS = {"pretrain": PretrainRecipe, "finetune": FinetuneRecipe}


@pytest.mark.parametrize(("kind", "name"), [("pretrain", "tiny"), ("pretrain", "base-paper"), ("finetune", "mrpc")])
def test_damaged_recipes(tmp_path, kind, name):
    real = recipe_path(kind, name).read_bytes()
    path = tmp_path / "mine.toml"
    for number, data in enumerate(mutations(real, 500, seed=1)):
        path.write_bytes(data)
        ends_well(lambda: load(SCHEMAS[kind], kind, str(path), []), (number, data[:300]))


KEYS = ["train.learning_rate", "max_seq_length", "seed", "warmup", "report_to", "model.hidden_size", "nope"]


@HUNDREDS
@given(text=st.text() | st.builds("{}={}".format, st.sampled_from(KEYS), st.text()))
def test_any_override(text):
    ends_well(lambda: load(PretrainRecipe, "pretrain", "tiny", [parse_set(text)]), text)


@HUNDREDS
@given(name=st.text(alphabet="./\\abc~\0*tiny", max_size=12))
def test_any_name(name):
    ends_well(lambda: load(PretrainRecipe, "pretrain", name, []), name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../finetune/own", "../../README", "/etc/passwd", "..", ".", "", "a/../tiny"])
def test_names_do_not_leave_the_folder(kind, name):
    try:
        path = recipe_path(kind, name)
    except BertkitError:
        return
    assert path.resolve().parent == (recipe_folder() / kind).resolve()
