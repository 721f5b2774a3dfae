from pathlib import Path

import pytest
from huggingface_hub import EvalResult, ModelCard

from bertkit.finetuning.card import finetuned_card
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.choice import ChoiceHead
from bertkit.finetuning.heads.number import Number
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.several_classes import SeveralClasses
from bertkit.finetuning.heads.span import SpanHead
from bertkit.finetuning.heads.token import TokenHead
from bertkit.settings.recipes import load
from bertkit.settings.schema import FinetuneRecipe
from bertkit.training.record import RunRecord

HEADS = {
    "one class": OneClass(["no", "yes"]),
    "several classes": SeveralClasses(["a", "b"]),
    "a number": Number(),
    "tags": TokenHead(["O", "B-PER", "I-PER"], "BIO"),
    "spans": SpanHead(may_be_unanswered=True),
    "choices": ChoiceHead(),
}


def listed(run: RunRecord, task: str, head: Head) -> list[EvalResult]:
    recipe = load(FinetuneRecipe, "finetune", task, []).settings
    data = ModelCard(finetuned_card(Path("runs/mine"), run, recipe, head)).data
    assert (data.model_name, data.pipeline_tag) == ("mine", head.pipeline_tag)
    assert {one.task_type for one in data.eval_results} == {head.pipeline_tag}
    return data.eval_results


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_metrics_of_each_head_are_listed_to_the_last_digit(head: Head) -> None:
    names = head.metrics(())
    results = {f"eval_{name}": 1 / (number + 3) for number, name in enumerate(names)}
    run = RunRecord(task="my reviews.csv", metrics=list(names), rows={"train": 8, "validation": 2},
                    results={"eval_loss": 0.5, "eval_rows": 2, **results})  # fmt: skip
    evaluations = listed(run, "own", head)
    assert {f"eval_{one.metric_type}": one.metric_value for one in evaluations} == results
    assert {(one.dataset_type, one.dataset_name, one.dataset_split) for one in evaluations} == {
        ("my-reviews.csv", "my reviews.csv", "validation")
    }


def test_each_validation_split_of_a_task_is_listed_by_its_name_on_the_hub() -> None:
    first, second = "validation_matched", "validation_mismatched"
    run = RunRecord(task="mnli", metrics=["accuracy"], rows={"train": 8, first: 2, second: 2},
                    results={"eval_accuracy": 0.84, f"eval_accuracy_{second}": 0.83})  # fmt: skip
    evaluations = listed(run, "mnli", OneClass(["entailment", "neutral", "contradiction"]))
    assert [(one.dataset_type, one.dataset_config, one.dataset_split, one.metric_value) for one in evaluations] == [
        ("nyu-mll/glue", "mnli", first, 0.84),
        ("nyu-mll/glue", "mnli", second, 0.83),
    ]
