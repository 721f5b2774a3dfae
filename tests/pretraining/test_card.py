from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from bertkit.assets import EMBEDDED_CORPUS
from bertkit.pretraining.card import pretraining_card
from bertkit.settings.schema import PretrainRecipe
from bertkit.training.record import RunRecord

RESULTS = {"eval_loss": 3.0, "eval_mlm_loss": 2.1 + 1e-15, "eval_mlm_accuracy": 0.31, "eval_nsp_accuracy": 0.75}


@pytest.mark.parametrize("name", ["mine", "a: 'b' # c", "---"])
def test_the_hub_reads_the_figures_to_the_last_digit(name: str) -> None:
    run = RunRecord(out=f"runs/{name}", corpus=["books/*.txt", "wiki.jsonl"], parameters=4_400_000, results=RESULTS)
    data = ModelCard(pretraining_card(Path(run.out), run, PretrainRecipe())).data
    assert (data.model_name, data.pipeline_tag) == (name, "fill-mask")
    assert {one.metric_type: one.metric_value for one in data.eval_results} == {
        "mlm_loss": RESULTS["eval_mlm_loss"],
        "mlm_accuracy": 0.31,
        "nsp_accuracy": 0.75,
    }
    assert {(one.dataset_name, one.dataset_split) for one in data.eval_results} == {
        ("books/*.txt, wiki.jsonl", "validation")
    }


@pytest.mark.parametrize(("objective", "other"), [("nsp", "SOP"), ("sop", "NSP")])
def test_figures_of_pairs_have_the_name_of_what_was_learned(objective, other) -> None:
    recipe = PretrainRecipe.model_validate({"data": {"sentence_objective": objective}})
    card = pretraining_card(Path("runs/mine"), RunRecord(out="runs/mine", results=RESULTS), recipe)
    assert f"| held-out {objective.upper()} accuracy | 0.75" in card
    assert other not in card


def test_a_run_without_held_out_documents_lists_no_figures() -> None:
    data = ModelCard(pretraining_card(Path("runs/mine"), RunRecord(), PretrainRecipe())).data
    assert data.eval_results is None


def test_figures_that_were_no_numbers_are_left_out() -> None:
    run = RunRecord(out="runs/mine", results=RESULTS | {"eval_mlm_loss": None, "eval_perplexity": None})
    card = ModelCard(pretraining_card(Path("runs/mine"), run, PretrainRecipe()))
    assert {one.metric_type for one in card.data.eval_results} == {"mlm_accuracy", "nsp_accuracy"}
    assert "None" not in card.content.partition("## Results")[2]


def test_what_was_gained_and_what_was_forgotten_stands_in_the_card() -> None:
    """Figures worked by hand; a figure that one side lacks is left out, and a new model has no such table."""
    names = ("held_out_bits_per_character", "general_bits_per_character", "cloze_top_1", "cloze_top_5")
    before, after = (
        dict(zip(names, (2.5, 1.25, 0.5, 0.75), strict=True)),
        dict(zip(names, (1.75, 1.375, 0.4375, 0.75), strict=True)),
    )
    run = RunRecord(out="runs/mine", base_model="org/base", results=RESULTS | {"before": before, "after": after})
    section = pretraining_card(Path(run.out), run, PretrainRecipe()).partition("## Before and after\n\n")[2]
    assert section.partition("\n\n")[0].splitlines() == [
        "|  | before | after | change |",
        "| --- | --- | --- | --- |",
        "| held-out text, bits a character | 2.500 | 1.750 | -0.750 |",
        "| embedded stories, bits a character | 1.250 | 1.375 | +0.125 |",
        "| cloze, right at once | 50.0% | 43.8% | -6.2 points |",
        "| cloze, among five | 75.0% | 75.0% | +0.0 points |",
    ]
    del before["general_bits_per_character"]
    assert "embedded stories" not in pretraining_card(Path(run.out), run, PretrainRecipe())
    assert "Before and after" not in pretraining_card(Path("new"), RunRecord(results=RESULTS), PretrainRecipe())


def test_an_english_text_to_fill_stands_on_the_card_of_the_stories_model_alone() -> None:
    def filled(corpus: str) -> bool:
        return "little boy" in pretraining_card(Path("runs/mine"), RunRecord(corpus=[corpus]), PretrainRecipe())

    assert filled(str(EMBEDDED_CORPUS))
    assert not filled("lao.txt")
