from pathlib import Path

import pytest
from huggingface_hub import ModelCard

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


def test_a_run_without_held_out_documents_lists_no_figures() -> None:
    data = ModelCard(pretraining_card(Path("runs/mine"), RunRecord(), PretrainRecipe())).data
    assert data.eval_results is None
