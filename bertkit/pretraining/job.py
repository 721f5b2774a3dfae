"""Puts a pretraining run together: model and loss, the plan of the steps, the evaluation, and the job of the loop."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.corpus.store import CorpusStore
from bertkit.errors import BertkitError
from bertkit.pretraining.dataset import EvaluationSet, PretrainingPlan, collator_for, sampler_for
from bertkit.pretraining.evaluation import Evaluator, LearningWatch
from bertkit.pretraining.prepare import Kept, Prepared, say_changes
from bertkit.pretraining.request import ResolvedRequest
from bertkit.pretraining.split import DocumentSet
from bertkit.settings.schema import PretrainRecipe
from bertkit.training.run_folder import flat

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import BertForPreTraining

    from bertkit.pretraining.objective import BertPretrainingObjective
    from bertkit.training.forecast import Forecast
    from bertkit.training.job import Job

# Tokens that a device computes at a time by default: enough to keep it busy, few enough for its memory. On a GPU it is
# tried out how many fit.
_MICRO_BATCH_TOKENS = {"cpu": 4_096, "mps": 8_192}


@dataclass(frozen=True)
class Setup:
    """A run that is ready to start."""

    request: ResolvedRequest
    recipe: PretrainRecipe
    """The recipe of the request; for a budget with the number of steps, once that is known."""
    corpus: Prepared
    objective: "BertPretrainingObjective"
    accelerator: "Accelerator"
    micro_batch_tokens: int | None
    """Tokens that a device computes at a time; None if that has yet to be tried out."""

    @property
    def micro_batch_size(self) -> Callable[[int], int]:
        """Returns, for a length, how many sequences of that length a device computes at a time."""
        train = self.recipe.train
        share = -(-train.batch_size // self.accelerator.num_processes)
        # Until that is known, sequences are computed one at a time.
        return partial(sequences, train.micro_batch_size, share, self.micro_batch_tokens or 1)

    def plan(self) -> PretrainingPlan:
        """Which examples belong to each step."""
        return plan_of(self.recipe, self.corpus, self.micro_batch_size)

    def job(self, plan: PretrainingPlan, forecast: "Forecast") -> "Job":
        """The job of the loop: the model with its loss, the steps, and how they are evaluated and saved."""
        from bertkit.models.bert import save_model
        from bertkit.training.job import Job

        recipe, corpus = self.recipe, self.corpus

        @cache
        def evaluation_set(max_seq_length: int) -> EvaluationSet:
            collate = collator_for(corpus.tokenizer, recipe.data)
            examples = EvaluationSet(
                corpus.validation_store, corpus.validation, recipe.data, collate, max_seq_length, recipe.train.seed
            )
            examples.say_share("--set data.max_eval_examples=N")
            return examples

        evaluator = Evaluator(self.accelerator, evaluation_set, plan.max_seq_length, self.micro_batch_size)
        return Job(
            objective=self.objective,
            plan=plan,
            settings=recipe.train,
            out=self.request.folder,
            save_model=lambda model, where: save_model(model, corpus.tokenizer, where),
            evaluate=evaluator if len(evaluation_set(plan.max_seq_length(0))) else None,
            forecast=forecast,
            watch=LearningWatch(corpus.baseline, plan),
        )

    def same_on_all_ranks(self) -> dict[str, Any]:
        """What must be the same on all ranks, by its name in messages."""
        info, asked = self.corpus.store.info, self.request.asked
        return {
            **flat(self.recipe.model_dump()),
            "precision": self.accelerator.mixed_precision,
            "the tokenizer": f"{len(self.corpus.tokenizer):,} word pieces ({info.tokenizer_fingerprint})",
            "the data": f"{info.tokens:,} tokens ({self.corpus.fingerprint})",
            "--resume": asked.resume,
            "--budget": asked.budget_s,
        }

    def facts(self, plan: PretrainingPlan) -> dict[str, Any]:
        """The fields of the run's record that are known before the first step (see ``RunRecord``)."""
        from bertkit import hardware

        info, accelerator = self.corpus.store.info, self.accelerator
        return {
            "kind": "pretrain",
            "out": str(self.request.folder),
            "recipe": self.request.recipe_name,
            "corpus": info.sources,
            "data_fingerprint": self.corpus.fingerprint,
            "base_model": self.request.asked.model,
            "device": hardware.describe_device(accelerator.device.type),
            "num_processes": accelerator.num_processes,
            "mixed_precision": accelerator.mixed_precision,
            "batch_size": self.recipe.train.batch_size,
            "micro_batch_tokens": self.micro_batch_tokens,
            "seed": self.recipe.train.seed,
            "parameters": self.objective.model.num_parameters(),
            "documents": info.documents,
            "sentences": info.sentences,
            "tokens_in_corpus": info.tokens,
            "training_tokens": self.corpus.training.tokens,
            "held_out_tokens": self.corpus.validation.tokens,
            "added_words": self.corpus.added_words,
            **({"kept": kept.store.info.sources, "kept_share": kept.share} if (kept := self.corpus.kept) else {}),
            "unigram_entropy": self.corpus.baseline.entropy,
            "most_frequent_token_share": self.corpus.baseline.most_frequent,
            "max_steps": plan.course.planned_steps,
        }


def set_up(request: ResolvedRequest) -> Setup:
    """Prepares the corpus, and creates or loads the model.

    Raises:
        BertkitError: the corpus or the model cannot be read, or they do not fit each other.
    """
    from bertkit import hardware
    from bertkit.models.bert import choose_attention
    from bertkit.pretraining.objective import BertPretrainingObjective

    recipe, device = request.recipe, request.device
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    corpus = request.prepared()
    if corpus.text is not None:
        say_changes(corpus.text)
    if corpus.kept is not None:
        _say_kept(corpus.kept, kept_examples(recipe, corpus), recipe.train.batch_size)
    model = _model(request, corpus)
    choose_attention(model, device, precision, max(tokens for _, tokens in recipe.data.phases))
    accelerator = hardware.build_accelerator(device, precision, recipe.train.report_to, str(request.folder))
    objective = BertPretrainingObjective(model, recipe.data.sentence_objective != "none")
    # A resume computes with the same micro-batches as its run, so that it is the same to the bit.
    tokens = request.before.micro_batch_tokens or _MICRO_BATCH_TOKENS.get(device)
    return Setup(request, recipe, corpus, objective, accelerator, tokens)


def _model(request: ResolvedRequest, corpus: Prepared) -> "BertForPreTraining":
    """A new BERT, or the one that the run continues from."""
    from bertkit.models.bert import load_bert_for_pretraining, new_bert

    recipe, name = request.recipe, request.asked.model
    positions = recipe.model.max_position_embeddings
    if name is None:
        corpus.tokenizer.model_max_length = positions
        return new_bert(recipe.model, corpus.tokenizer, recipe.train.seed)
    model, _, notes = load_bert_for_pretraining(name, corpus.tokenizer, recipe.train.seed, positions)
    corpus.tokenizer.model_max_length = positions
    for told in notes:
        console.note(console.plain(told))
    return model


def _say_kept(kept: Kept, examples: int, batch: int) -> None:
    info = kept.store.info
    console.note(
        console.plain(
            f"{examples} of the {batch} examples of a step are of {', '.join(info.sources[:3])} ({info.tokens:,} tokens, all of "
            f"them trained on), so that less is forgotten (--keep, share {kept.share:g})"
        )
    )


def plan_of(recipe: PretrainRecipe, corpus: Prepared, micro_batch_size: Callable[[int], int]) -> PretrainingPlan:
    """Which examples belong to each step of a run.

    Args:
        recipe: the recipe.
        corpus: the prepared corpus.
        micro_batch_size: returns, for a length, how many sequences a device computes at a time.
    """
    steps = _total_steps(recipe, corpus)
    kept = kept_examples(recipe, corpus)

    def plan(
        store: CorpusStore, documents: DocumentSet, examples: int, beside: PretrainingPlan | None
    ) -> PretrainingPlan:
        collate, seed = collator_for(corpus.tokenizer, recipe.data), recipe.train.seed
        return PretrainingPlan(store, documents, recipe.data, collate, examples, steps, seed, micro_batch_size, beside)

    beside = plan(corpus.kept.store, corpus.kept.documents, kept, None) if corpus.kept else None
    return plan(corpus.store, corpus.training, recipe.train.batch_size - kept, beside)


def kept_examples(recipe: PretrainRecipe, corpus: Prepared) -> int:
    """How many examples of a step come from the general text that is mixed in: its share, but at least one, and not all.

    Raises:
        BertkitError: a batch has a single example.
    """
    if corpus.kept is None:
        return 0
    batch = recipe.train.batch_size
    if batch < 2:
        raise BertkitError("--keep mixes examples within a batch, and --batch-size is 1: raise it to 2 or more")
    return min(max(1, round(corpus.kept.share * batch)), batch - 1)


def sequences(given: int | None, share: int, budget_tokens: int, max_seq_length: int) -> int:
    """How many sequences of a length a device computes at a time. (A module-level function can be sent to data workers.)"""
    return min(share, given or max(1, budget_tokens // max_seq_length))


def _total_steps(recipe: PretrainRecipe, corpus: Prepared) -> int:
    """``max_steps``, or the number of steps in ``epochs`` passes over the training documents.

    Raises:
        BertkitError: the corpus has fewer examples than one batch.
    """
    batch_size, epochs_a_step = recipe.train.batch_size - kept_examples(recipe, corpus), 0.0
    for share, tokens in recipe.data.phases:
        examples = len(sampler_for(corpus.store, corpus.training, recipe.data, tokens, recipe.train.seed))
        if examples < batch_size:
            raise BertkitError(
                f"the corpus has {corpus.training.tokens:,} tokens to train on, which are {examples:,} examples of "
                f"{tokens}: fewer than one batch of {batch_size}; give more text, or lower --batch-size"
            )
        epochs_a_step += share * batch_size / examples
    if recipe.train.max_steps is not None:
        return recipe.train.max_steps
    return max(1, round((recipe.train.epochs or 1) / epochs_a_step))
