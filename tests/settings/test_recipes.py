"""Recipes: found, read, overridden, checked, written back; and every shipped one."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from bertkit.errors import BertkitError
from bertkit.settings import recipes
from bertkit.settings.recipes import Override, dump, load, parse_set, recipe_folder, recipe_names, recipe_path
from bertkit.settings.schema import FinetuneRecipe, PretrainRecipe

SHIPPED = sorted((recipe_folder() / "pretrain").rglob("*.toml"))
# Layers and width by Devlin et al. 2018 and Turc et al. 2019.
SIZES = {
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    "base": (12, 768),
    "large": (24, 1024),
    "base-paper": (12, 768),
    "large-paper": (24, 1024),
    "demo": (2, 128),
    "embedded": (4, 256),
}


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a recipe ``r.toml`` in the current folder and loads it with overrides."""
    monkeypatch.chdir(tmp_path)

    def read(text: str, *given: Override | str) -> recipes.Resolved[PretrainRecipe]:
        Path("r.toml").write_text(text, encoding="utf-8")
        overrides = [parse_set(one) if isinstance(one, str) else one for one in given]
        return load(PretrainRecipe, "pretrain", "r.toml", overrides)

    return read


def refusal(recipe: Any, text: str, *given: Override | str) -> str:
    with pytest.raises(BertkitError) as caught:
        recipe(text, *given)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_shipped_pretraining_recipe_is_known() -> None:
    assert recipe_names("pretrain") == sorted([*SIZES, "adapt"]) == sorted(path.stem for path in SHIPPED)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipe_loads_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    resolved = load(PretrainRecipe, "pretrain", path.stem, [])
    assert set(resolved.origins.values()) == {f"recipes/pretrain/{path.name}"}
    again = tmp_path / "recipe.toml"
    again.write_text(dump(resolved.settings), encoding="utf-8")
    assert load(PretrainRecipe, "pretrain", str(again), []).settings == resolved.settings


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipe_says_how_to_launch_it(path: Path) -> None:
    header = path.read_text(encoding="ascii").partition("\n[")[0]
    assert header.startswith(f"# {path.stem}: ")
    for command in ("bertkit pretrain", "torchrun --nproc_per_node 8 -m bertkit", "accelerate launch"):
        assert command in header
    assert header.count(f"--recipe {path.stem}") >= 3


@pytest.mark.parametrize("name", SIZES)
def test_shipped_recipe_has_the_shape_of_its_name(name: str) -> None:
    settings = load(PretrainRecipe, "pretrain", name, []).settings
    layers, width = SIZES[name]
    model = settings.model
    assert (model.num_hidden_layers, model.hidden_size) == (layers, width)
    assert (model.num_attention_heads, model.intermediate_size) == (width // 64, 4 * width)
    train = settings.train
    assert train.max_steps is not None
    assert train.logging_steps <= (train.eval_steps or 0) <= train.max_steps
    assert train.save_steps <= train.max_steps


@pytest.mark.parametrize("name", ["base-paper", "large-paper"])
def test_paper_recipes_hold_the_papers_settings(name: str) -> None:
    """Devlin et al. 2018, A.2; epsilon by google-research/bert, optimization.py."""
    settings = load(PretrainRecipe, "pretrain", name, []).settings
    train = settings.train
    assert (train.batch_size, train.max_steps, train.learning_rate, train.warmup) == (
        256,
        1_000_000,
        1e-4,
        10_000,
    )
    assert (train.adam_beta1, train.adam_beta2, train.adam_epsilon, train.weight_decay) == (
        0.9,
        0.999,
        1e-6,
        0.01,
    )
    assert settings.data.phases == ((0.9, 128), (0.1, 512))
    assert settings.data.mlm_probability == 0.15
    assert settings.model.hidden_dropout_prob == settings.model.attention_probs_dropout_prob == 0.1
    assert settings.tokenizer.vocab_size == 30_522
    assert settings.tokenizer.lowercase
    assert settings.tokenizer.strip_accents  # as bert-base-uncased


def test_packaged_recipes_come_before_the_repositorys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "bertkit"
    monkeypatch.setattr(recipes, "_ROOT", package)
    assert recipe_folder() == tmp_path / "recipes"
    (package / "recipes").mkdir(parents=True)
    assert recipe_folder() == package / "recipes"


def test_a_name_behind_a_colon_is_a_part_of_the_tasks_dataset() -> None:
    def subset(task: str) -> str | None:
        return load(FinetuneRecipe, "finetune", task, []).settings.task.subset

    assert [subset(task) for task in ("wikiann:de", "pos:de_gsd", "xquad:es", "xquad:xquad.es", "xquad")] == [
        *("de", "de_gsd", "xquad.es", "xquad.es", "xquad.en")
    ]
    with pytest.raises(BertkitError, match="the task sst2 has no parts: leave ':de' out"):
        subset("sst2:de")


@pytest.mark.parametrize("name", ["../pretrain/tiny", "pretrain/tiny", "..", "", "/etc/passwd", "tiny\\..\\tiny"])
def test_a_name_cannot_leave_the_folder(name: str) -> None:
    with pytest.raises(BertkitError, match="no pretrain recipe"):
        recipe_path("pretrain", name)


def test_unknown_recipe_names_the_nearest_and_all() -> None:
    with pytest.raises(BertkitError) as caught:
        recipe_path("pretrain", "tinny")
    names = ", ".join(recipe_names("pretrain"))
    assert str(caught.value) == (
        f"no pretrain recipe 'tinny'. Did you mean 'tiny'? There are: {names}; or give the path of a .toml file"
    )
    with pytest.raises(BertkitError, match=r"no recipe file nope\.toml\. There are: adapt"):
        recipe_path("pretrain", "nope.toml")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("lr=1e-4", "lr", 1e-4),
        ("train.seed = 7", "train.seed", 7),
        ("a=true", "a", True),
        ("a=no", "a", "no"),
        ("a=[[0.9, 128], [0.1, 512]]", "a", [[0.9, 128], [0.1, 512]]),
        ("a=x=y", "a", "x=y"),
        ('a="7"', "a", "7"),
        ("a=", "a", ""),
        ("a=1\nb = 2", "a", "1\nb = 2"),
    ],
)
def test_set_reads_toml_else_a_bare_string(text: str, key: str, value: object) -> None:
    assert parse_set(text) == Override(key, value, f"--set {text}")


@pytest.mark.parametrize("text", ["lr", "=3", ""])
def test_set_wants_a_key_and_a_value(text: str) -> None:
    with pytest.raises(BertkitError, match="--set wants KEY=VALUE, got"):
        parse_set(text)


def test_order_is_default_recipe_override(recipe: Any) -> None:
    text = "[train]\nseed = 1\nbatch_size = 64"
    resolved = recipe(text, "batch_size=32", Override("train.learning_rate", 1, "--lr"))
    train = resolved.settings.train
    assert (train.seed, train.batch_size, train.learning_rate, train.save_steps) == (1, 32, 1.0, 1_000)
    assert resolved.origins == {
        "train.seed": "r.toml",
        "train.batch_size": "--set batch_size=32",
        "train.learning_rate": "--lr",
    }


def test_a_byte_order_mark_is_no_error(recipe: Any) -> None:
    assert recipe("\ufeff[train]\nseed = 1").settings.train.seed == 1


def test_override_of_the_length_replaces_all_phases(recipe: Any) -> None:
    text = "[data]\nmax_seq_length = [[0.9, 128], [0.1, 512]]"
    assert recipe(text).settings.data.phases == ((0.9, 128), (0.1, 512))
    assert recipe(text, Override("data.max_seq_length", 64, "--seq-len")).settings.data.phases == ((1.0, 64),)


@pytest.mark.parametrize(("given", "dropped"), [("epochs", "max_steps"), ("max_steps", "epochs")])
def test_override_of_one_measure_of_length_drops_the_recipes_other(recipe: Any, given: str, dropped: str) -> None:
    resolved = recipe(f"[train]\n{dropped} = 100", Override(f"train.{given}", 2, "--flag"))
    assert getattr(resolved.settings.train, given) == 2
    assert getattr(resolved.settings.train, dropped) is None
    assert resolved.origins == {f"train.{given}": "--flag"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["train.seed=1", Override("train.seed", 1, "--seed")],
            "train.seed is given twice: --set train.seed=1 and --seed",
        ),
        (["train.seed=1", "seed=2"], "train.seed is given twice: --set train.seed=1 and --set seed=2"),
        (
            [Override("train.max_steps", 5, "--max-steps"), "epochs=2"],
            "give --max-steps or --set epochs=2, not both",
        ),
        (
            ["train.batchsize=3"],
            "no setting 'train.batchsize' (in --set train.batchsize=3). Did you mean 'train.batch_size'?",
        ),
        (
            ["data.batch_size=3"],
            "no setting 'data.batch_size' (in --set data.batch_size=3). Did you mean 'train.batch_size'?",
        ),
        (
            ["precision=no"],
            "no setting 'precision' (in --set precision=no). Did you mean 'train.mixed_precision'?",
        ),
        (
            ["mixed_precision=fp8"],
            "train.mixed_precision must be one of auto, no, bf16, fp16, got 'fp8' (--set mixed_precision=fp8)",
        ),
        (
            ["batch_size=many"],
            "train.batch_size must be an integer >= 1 and <= 1000000, got 'many' (--set batch_size=many)",
        ),
        (["batch_size=0"], "train.batch_size must be an integer >= 1 and <= 1000000, got 0 (--set batch_size=0)"),
        (["batch_size=8.0"], "train.batch_size must be an integer >= 1 and <= 1000000, got 8.0 (--set batch_size=8.0)"),
        (
            ["batch_size=true"],
            "train.batch_size must be an integer >= 1 and <= 1000000, got True (--set batch_size=true)",
        ),
        (
            ['batch_size="8"'],
            "train.batch_size must be an integer >= 1 and <= 1000000, got '8' (--set batch_size=\"8\")",
        ),
        (
            ["learning_rate=nan"],
            "train.learning_rate must be a number > 0 and <= 1000, got nan (--set learning_rate=nan)",
        ),
        *(
            ([f"{name}=1e38"], f"train.{name} must be a number {least} and <= 1000, got 1e+38 (--set {name}=1e38)")
            for name, least in (("learning_rate", "> 0"), ("weight_decay", ">= 0"), ("adam_epsilon", "> 0"))
        ),
        (
            ["learning_rate=true"],
            "train.learning_rate must be a number > 0 and <= 1000, got True (--set learning_rate=true)",
        ),
        (
            [Override("train", {"epochs": 2, "seed": 1}, "settings train")],
            "'train' is a table of settings, not one (in settings train): write 'train.epochs', 'train.seed'",
        ),
        (["lowercase=1"], "tokenizer.lowercase must be true or false, got 1 (--set lowercase=1)"),
        (["column=3"], "data.column must be a string, got 3 (--set column=3)"),
        (
            ["language=englsh"],
            "data.language must be a string such as en, de, pt-br, got 'englsh' (--set language=englsh)",
        ),
        (
            ["mlm_probability=1.5"],
            "data.mlm_probability must be a number > 0 and <= 1, got 1.5 (--set mlm_probability=1.5)",
        ),
        (
            ["max_seq_length=[[1, 4]]"],
            "data.max_seq_length must be an integer >= 8 or a list, each [a number > 0 and <= 1, "
            "an integer >= 8], got [[1, 4]] (--set max_seq_length=[[1, 4]])",
        ),
        (
            [Override("data.max_seq_length", 1024, "--seq-len")],
            "data.max_seq_length 1024 is over model.max_position_embeddings 512 (--seq-len)",
        ),
    ],
)
def test_refused_overrides_say_what_where_and_what_is_allowed(
    recipe: Any, given: list[Override | str], message: str
) -> None:
    assert refusal(recipe, "", *given) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[train]\nbatchsize = 3",
            "no setting 'train.batchsize' (in r.toml). Did you mean 'train.batch_size'?",
        ),
        ("[trian]\nseed = 3", "no setting 'trian' (in r.toml). Did you mean 'train'?"),
        ("batch_size = 3", "no setting 'batch_size' (in r.toml). Did you mean 'train.batch_size'?"),
        ("train = 3", "train must be a table, got 3 (r.toml)"),
        (
            "[train]\nbatch_size = 'many'",
            "train.batch_size must be an integer >= 1 and <= 1000000, got 'many' (r.toml)",
        ),
        (
            "[train]\nbatch_size = 1000001",
            "train.batch_size must be an integer >= 1 and <= 1000000, got 1000001 (r.toml)",
        ),
        ("[train]\nmax_steps = 3\nepochs = 1", "give max_steps or epochs, not both (r.toml)"),
        ("[train]\nseed = 1979-05-27", "train.seed must be an integer >= 0 and < 9223372036854775808, "),
        ("[train]\n\nseed = \n", "r.toml is not valid TOML: Invalid value (at line 3, column 8)"),
        (f"[train]\nseed = {'9' * 5000}", "r.toml is not valid TOML: "),
    ],
)
def test_refused_recipes_say_what_where_and_what_is_allowed(recipe: Any, text: str, message: str) -> None:
    assert refusal(recipe, text).startswith(message)


def test_the_name_of_a_file_is_not_taken_for_a_setting(recipe: Any) -> None:
    mix = '[data]\nmix = [{ source = "q/column.txt", weight = 0 }]'
    assert refusal(recipe, mix, Override("data.column", "body", "--column")).endswith("got 0 (r.toml)")


def test_a_clash_of_two_settings_blames_both_origins(recipe: Any) -> None:
    message = refusal(recipe, "[model]\nhidden_size = 100", "num_attention_heads=3")
    assert message == (
        "hidden_size 100 must be a multiple of num_attention_heads 3 (r.toml, --set num_attention_heads=3)"
    )


def test_a_table_without_a_name_that_it_has_lists_them(recipe: Any) -> None:
    message = refusal(recipe, "", "tokenizer=1")
    assert message.startswith("'tokenizer' is a table of settings, not one (in --set tokenizer=1): it has tokenizer.")


def test_unlike_any_setting_lists_all(recipe: Any) -> None:
    message = refusal(recipe, "", "zzz=1")
    assert message.startswith("no setting 'zzz' (in --set zzz=1). There are: model.num_hidden_layers, ")
    assert message.endswith("train.report_to")


def test_unreadable_bytes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xff\xfe[\x00")
    with pytest.raises(BertkitError, match="is not UTF-8 text"):
        load(PretrainRecipe, "pretrain", str(path), [])


class Left(BaseModel):
    size: int
    name: str = ""


class TwoTables(BaseModel):
    left: Left
    right: Left | None = None


def test_ambiguous_and_missing_settings(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("[right]\nsize = 1\n", encoding="utf-8")
    with pytest.raises(BertkitError) as caught:
        load(TwoTables, "pretrain", str(path), [parse_set("size=1")])
    assert str(caught.value) == "'size' may be left.size or right.size: say which (--set size=1)"
    with pytest.raises(BertkitError, match="^left is missing"):
        load(TwoTables, "pretrain", str(path), [])
    resolved = load(TwoTables, "pretrain", str(path), [parse_set("left.size=3")])
    assert tomllib.loads(dump(resolved.settings)) == {
        "left": {"size": 3, "name": ""},
        "right": {"size": 1, "name": ""},
    }


def test_a_class_that_is_named_twice_is_refused() -> None:
    with pytest.raises(BertkitError, match="labels names the class '0' more than once"):
        load(FinetuneRecipe, "finetune", "own", [Override("task.labels", ["0", "0"], "--set")])
