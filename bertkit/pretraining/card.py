"""The model card of a pretrained BERT, made from the record of its run."""

from pathlib import Path
from typing import Any

from bertkit.assets import EMBEDDED_CORPUS
from bertkit.models.card import LOADS, CardFacts, evaluation, model_card, python_text
from bertkit.pretraining.before_after import comparison
from bertkit.pretraining.mix import line_of
from bertkit.settings.recipes import flat
from bertkit.settings.schema import PretrainRecipe
from bertkit.training.record import RunRecord

_TASK = "fill-mask"
_OBJECTIVES = {"nsp": " and next-sentence prediction", "sop": " and sentence-order prediction", "none": ""}
_RESULTS = {
    "eval_mlm_loss": "held-out MLM loss (nats)",
    "eval_perplexity": "held-out MLM perplexity",
    "eval_mlm_accuracy": "held-out MLM accuracy",
    "eval_nsp_loss": "held-out {pairs} loss (nats)",
    "eval_nsp_accuracy": "held-out {pairs} accuracy",
}


def text_to_fill(run: RunRecord) -> str:
    """A text to try the model of a run with: a real one where the language of its corpus is known."""
    is_english = run.corpus == [str(EMBEDDED_CORPUS)]
    return "i [MASK] a little boy" if is_english else "a sentence with one [MASK] in it"


def pretraining_card(out: Path, run: RunRecord, recipe: PretrainRecipe) -> str:
    """The card of the model in the folder ``out``, as Markdown with front matter."""
    held_out = ", ".join(run.validation or run.corpus)
    labels = {name: label.format(pairs=recipe.data.sentence_objective.upper()) for name, label in _RESULTS.items()}
    # Not finite, and so None in its JSON, in a run that an earlier version finished although it had diverged.
    labels = {name: label for name, label in labels.items() if run.results.get(name) is not None}
    results = {label: run.results[name] for name, label in labels.items()}
    return model_card(
        CardFacts(
            name=out.resolve().name,
            pipeline_tag=_TASK,
            what=_what(run, recipe.data.sentence_objective) + LOADS,
            usage=(
                "from transformers import pipeline\n\n"
                f'fill = pipeline("fill-mask", model={python_text(out.as_posix())})\n'
                f'print(fill("{text_to_fill(run)}"))'
            ),
            command=run.command,
            device=f"{run.device}, {run.num_processes} process(es), mixed precision: {run.mixed_precision}",
            seconds=run.seconds,
            versions=run.versions,
            base_model=run.base_model,
            data=_data(run),
            settings={name: str(value) for name, value in flat(recipe.model_dump(exclude_none=True)).items()},
            results=results,
            compared=comparison(run.results),
            evaluations=[
                evaluation(
                    _TASK, (held_out, None, None), "validation", name.removeprefix("eval_"), run.results[name], label
                )
                for name, label in labels.items()
            ],
        )
    )


def _what(run: RunRecord, objective: str) -> str:
    """A sentence on what the model is."""
    pairs = _OBJECTIVES[objective]
    if run.documents_with_pairs == 0:
        learned = "nothing new" if run.base_model else "nothing"
        pairs = f", on text without sentence pairs, so that its next-sentence head learned {learned}"
    began = f"gone on from {run.base_model} and " if run.base_model else ""
    return (
        f"A BERT of {run.parameters / 1e6:.1f} million parameters, {began}pretrained with bertkit by masked language "
        f"modelling{pairs} (Devlin et al. 2018)."
    )


def _data(run: RunRecord) -> dict[str, Any]:
    """What the model learned from, by the names on the card."""
    return {
        "sources": ", ".join(run.corpus),
        **({"held-out text": ", ".join(run.validation)} if run.validation else {}),
        "documents": run.documents,
        "sentences": run.sentences,
        "tokens": run.tokens_in_corpus,
        **{f"text {n}": line_of(text) for n, text in enumerate(run.mix, 1)},
        "fingerprint": run.data_fingerprint,
        "unigram entropy (nats): the loss of knowing only how often a token occurs": run.unigram_entropy,
        "most frequent token: the accuracy of always guessing it": run.most_frequent_token_share,
    }
