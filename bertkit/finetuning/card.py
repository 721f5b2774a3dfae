"""The model card of a fine-tuned model, from the record of its run."""

from pathlib import Path
from typing import TYPE_CHECKING

from bertkit.finetuning.heads.base import Head
from bertkit.models.card import CardFacts, evaluation, model_card
from bertkit.settings.schema import FinetuneRecipe
from bertkit.training.record import RunRecord

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def finetuned_card(out: Path, run: RunRecord, recipe: FinetuneRecipe, head: Head) -> str:
    """The card of the model in the folder ``out``, as Markdown with front matter."""
    results = {name: value for name, value in run.results.items() if isinstance(value, float)}
    headline, folder = run.metrics[0], out.as_posix()
    interval = run.results.get(f"eval_{headline}_interval_95")
    if interval:
        results[f"eval_{headline}, 95 % interval from"] = interval[0]
        results[f"eval_{headline}, 95 % interval to"] = interval[1]
    return model_card(
        CardFacts(
            name=out.resolve().name,
            pipeline_tag=head.pipeline_tag,
            what=(
                f"{run.base_model}, fine-tuned with bertkit on {run.task}{head.purpose}. "
                f"Seed {run.seed}; the weights are those of the best evaluation (step {run.best_step})."
                f"{_reading(recipe, str(run.base_model))}"
            ),
            usage=head.own_usage(folder, recipe.task.text) if recipe.reads_features else head.usage(folder),
            library="bertkit" if recipe.reads_features else "transformers",
            command=run.command,
            device=f"{run.device}, {run.num_processes} process(es), mixed precision: {run.mixed_precision}",
            seconds=run.seconds,
            versions=run.versions,
            base_model=run.base_model,
            data={
                **{f"rows in {name}": rows for name, rows in run.rows.items()},
                "fingerprint": run.data_fingerprint,
            },
            settings={
                f"{table}.{name}": str(value)
                for table in ("data", "train")
                for name, value in getattr(recipe, table).model_dump(exclude_none=True).items()
            },
            results=results,
            evaluations=_evaluations(run, recipe, head),
        )
    )


def _reading(recipe: FinetuneRecipe, base_model: str) -> str:
    """What a card says about an encoder that was not trained; empty for other models."""
    if not recipe.reads_features:
        return f" The encoder is that of {base_model}, unchanged." if recipe.train.encoder == "frozen" else ""
    by = "a two-layer BiLSTM" if recipe.train.classifier == "bilstm" else "a linear layer"
    return (
        f" The encoder is that of {base_model}, unchanged: {by} reads its layers ({recipe.data.layers}), which bertkit alone "
        "can load; transformers refuses the folder."
    )


def _evaluations(run: RunRecord, recipe: FinetuneRecipe, head: Head) -> "list[EvalResult]":
    """The metrics of each validation split, as the hub lists them."""
    dataset = (run.task or "", recipe.task.dataset, recipe.task.subset)
    _, *splits = run.rows
    return [
        evaluation(head.pipeline_tag, dataset, split, metric, run.results[name])
        for number, split in enumerate(splits)
        for metric in run.metrics
        if isinstance(run.results.get(name := f"eval_{metric}_{split}" if number else f"eval_{metric}"), float | int)
    ]
