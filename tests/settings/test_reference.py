"""Every setting printed with its meaning, as TOML that reads back to the same recipe."""

import tomllib

import pytest

from bertkit.settings.recipes import load, recipe_names
from bertkit.settings.reference import as_commented_toml, settings_of
from bertkit.settings.schema import FinetuneRecipe, PretrainRecipe

SCHEMAS = {"pretrain": PretrainRecipe, "finetune": FinetuneRecipe}
EVERY = [(kind, name) for kind in SCHEMAS for name in recipe_names(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_what_is_printed_reads_back_to_the_same_recipe(tmp_path, kind, name):
    recipe = load(SCHEMAS[kind], kind, name, ()).settings
    path = tmp_path / "again.toml"
    path.write_text(as_commented_toml(recipe), encoding="utf-8")
    assert load(SCHEMAS[kind], kind, str(path), ()).settings == recipe


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_setting_has_its_meaning(kind):
    assert [f"{one.table}.{one.name}" for one in settings_of(SCHEMAS[kind]()) if not one.about] == []


def test_what_is_not_set_is_commented_out_and_words_are_listed():
    lines = as_commented_toml(PretrainRecipe()).splitlines()
    assert "# micro_batch_size =" in lines
    assert lines[lines.index('mixed_precision = "auto"') - 1] == "# One of: auto, no, bf16, fp16."
    assert tomllib.loads("\n".join(lines))["train"]["batch_size"] == 256


def test_remarks_fit_80_columns():
    lines = as_commented_toml(PretrainRecipe()).splitlines() + as_commented_toml(FinetuneRecipe()).splitlines()
    assert max(len(line) for line in lines if line.startswith("#")) <= 80


def test_an_overridden_default_keeps_the_meaning_it_inherits():
    (batch_size,) = [one for one in settings_of(FinetuneRecipe()) if one.name == "batch_size"]
    assert (batch_size.value, batch_size.about) == (32, "Sequences per optimizer step, over all devices together.")
