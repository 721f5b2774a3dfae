"""Puts a pretraining run together: model and loss, the plan of the steps, the evaluation, and the job of the loop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.models.bert import load_bert_for_pretraining, new_bert, save_model
from bertkit.models.folder import bert_folder, own_length
from bertkit.models.loading import PAIRS_HEAD
from bertkit.pretraining.dataset import EvaluationSet, PretrainingPlan, collator_for, sampler_for
from bertkit.pretraining.evaluation import Evaluator, as_read
from bertkit.pretraining.extent import documents_with_pairs
from bertkit.pretraining.learning_watch import LearningWatch
from bertkit.pretraining.mix import facts_of
from bertkit.pretraining.pair_notes import say_no_held_out_pairs, say_pairs
from bertkit.pretraining.request import ResolvedRequest
from bertkit.pretraining.text_notes import say_changes
from bertkit.pretraining.texts import Prepared
from bertkit.runtime.learned_objective import learned_objective
from bertkit.settings.recipes import flat
from bertkit.settings.schema import MOST_STEPS, PretrainRecipe
from bertkit.training.metrics_log import read_metrics

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import BertForPreTraining

    from bertkit.pretraining.objective import BertPretrainingObjective
    from bertkit.training.forecast import Forecast
    from bertkit.training.job import Job

# Tokens that a device computes at a time by default: enough to keep it busy, few enough for its memory. On a GPU it is
# tried out how many fit.
MICRO_BATCH_TOKENS = {"cpu": 4_096, "mps": 8_192}


@dataclass(frozen=True)
class Setup:
    """A run that is ready to start."""

    request: ResolvedRequest
    recipe: PretrainRecipe
    """The recipe of the request, with the sizes of the model that it goes on from; for a budget with the number of steps, once
    that is known."""
    corpus: Prepared
    objective: "BertPretrainingObjective"
    accelerator: "Accelerator"
    new_parts: Sequence[str]
    """Parts of the model that the base model lacks; of a new model they are not listed."""
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

    def evaluation_set(self, max_seq_length: int) -> EvaluationSet:
        """The held-out examples that the model is evaluated on while it reads so many tokens."""
        data, length = as_read(self.recipe.data, max_seq_length, self.learned_objective != "none")
        collate = collator_for(self.corpus.tokenizer, data)
        return EvaluationSet(self.corpus.validation, data, collate, length, self.recipe.train.seed)

    def job(self, plan: PretrainingPlan, forecast: "Forecast") -> "Job":
        """The job of the loop: the model with its loss, the steps, and how they are evaluated and saved."""
        from bertkit.training.job import Job

        recipe, corpus = self.recipe, self.corpus

        @cache
        def evaluation_set(max_seq_length: int) -> EvaluationSet:
            examples = self.evaluation_set(max_seq_length)
            examples.say_share("--set data.max_eval_examples=N")
            return examples

        first = evaluation_set(plan.max_seq_length(0))
        if len(first) and not first.has_predictions():
            raise BertkitError(
                f"none of the {len(first):,} held-out examples has a word piece that could be predicted: all of them are unknown "
                "to the tokenizer; give other held-out text with --validation FILE, or none with --set data.validation_split=0"
            )
        longest = max(plan.max_seq_length(steps.start) for steps in plan.stretches())
        say_no_held_out_pairs(corpus.validation, *as_read(recipe.data, longest, self.learned_objective != "none"))
        watch = LearningWatch(corpus.baseline, plan, corpus.training[0].name)
        watch.remember(read_metrics(self.request.folder) if self.request.asked.resume else ())
        evaluator = Evaluator(self.accelerator, evaluation_set, plan.max_seq_length, self.micro_batch_size)
        return Job(
            objective=self.objective,
            plan=plan,
            settings=recipe.train,
            out=self.request.folder,
            save_model=lambda model, where: save_model(model, corpus.tokenizer, where),
            evaluate=evaluator if len(first) else None,
            forecast=forecast,
            watch=watch,
        )

    @property
    def documents_with_pairs(self) -> int:
        """Of the documents to train on."""
        return documents_with_pairs(self.corpus.training, self.recipe.data)

    @property
    def learned_objective(self) -> str | None:
        """What the next-sentence head has learned at the end of the run; None where nothing tells what the base model had."""
        if self.documents_with_pairs:
            return self.recipe.data.sentence_objective
        base = self.request.asked.model
        return "none" if base is None or PAIRS_HEAD in self.new_parts else learned_objective(bert_folder(base))

    def settle_length(self, plan: PretrainingPlan) -> None:
        """Has the tokenizer say how many tokens the model reads: no more than are learned, here or by the model before.

        A line says which positions are left out by that.
        """
        base, longest = self.request.asked.model, plan.longest_example()
        positions = self.objective.model.config.max_position_embeddings
        known = (own_length(bert_folder(base)) or positions) if base else 0
        self.corpus.tokenizer.model_max_length = reads = max(longest, known)
        if reads >= positions:
            return
        asked = max(tokens for _, tokens in self.recipe.data.phases)
        reached = max(plan.max_seq_length(steps.start) for steps in plan.stretches())
        if longest < reached - 1:
            why = ", as no document to train on is longer (a blank line ends a document, and so does a row)"
        elif reached < asked:
            more = "--budget" if self.request.asked.budget_s else "--max-steps"
            why = f", as no step is left for examples of {asked} ({more} gives more)"
        else:
            why = " (--seq-len)"
        leave_out = (
            f" (--set max_position_embeddings={longest} leaves them out)" if longest == asked and not base else ""
        )
        console.note(
            f"no example has more than {longest} tokens{why}, so the positions {reads} to {positions - 1} are not learned, and "
            f"the model will read {reads} tokens{leave_out}"
        )

    def same_on_all_ranks(self) -> dict[str, Any]:
        """What must be the same on all ranks, by its name in messages."""
        corpus, asked = self.corpus, self.request.asked
        return {
            **flat(self.recipe.model_dump()),
            "precision": self.accelerator.mixed_precision,
            "the tokenizer": f"{len(corpus.tokenizer):,} word pieces ({corpus.stores[0].info.tokenizer_fingerprint})",
            "the data": f"{corpus.total('tokens'):,} tokens ({corpus.fingerprint})",
            "the held-out text": f"{corpus.held_out_tokens:,} tokens ({corpus.validation_fingerprint})",
            "--resume": asked.resume,
            "--budget": asked.budget_s,
        }

    def facts(self, plan: PretrainingPlan) -> dict[str, Any]:
        """The fields of the run's record that are known before the first step (see ``RunRecord``)."""
        from bertkit import hardware

        corpus, accelerator = self.corpus, self.accelerator
        return {
            "kind": "pretrain",
            "out": str(self.request.folder),
            "recipe": self.request.recipe_name,
            "corpus": [name for store in corpus.stores for name in store.info.sources],
            "given": self.request.asked.given,
            "validation": corpus.validation_names,
            "validation_fingerprint": corpus.validation_fingerprint,
            **facts_of(corpus.training, plan.passes()),
            "data_fingerprint": corpus.fingerprint,
            "base_model": self.request.asked.model,
            "device": hardware.describe_device(accelerator.device.type),
            "num_processes": accelerator.num_processes,
            "mixed_precision": accelerator.mixed_precision,
            "batch_size": self.recipe.train.batch_size,
            "micro_batch_tokens": self.micro_batch_tokens,
            "seed": self.recipe.train.seed,
            "parameters": self.objective.model.num_parameters(),
            "documents": corpus.total("documents"),
            "sentences": corpus.total("sentences"),
            "tokens_in_corpus": corpus.total("tokens"),
            "training_tokens": sum(text.documents.tokens for text in corpus.training),
            "held_out_tokens": corpus.held_out_tokens,
            "documents_with_pairs": self.documents_with_pairs if self.objective.sentence_pairs else None,
            "learned_objective": self.learned_objective,
            "learned_length": plan.longest_example(),
            "added_words": corpus.added_words,
            "unigram_entropy": corpus.baseline.entropy,
            "most_frequent_token_share": corpus.baseline.most_frequent,
            "max_steps": plan.course.planned_steps,
        }


def set_up(request: ResolvedRequest) -> Setup:
    """Prepares the corpus, and creates or loads the model.

    Raises:
        BertkitError: the corpus or the model cannot be read, or they do not fit each other.
    """
    from bertkit import hardware
    from bertkit.models.fast.attention import choose_attention
    from bertkit.pretraining.objective import BertPretrainingObjective

    recipe, device = request.recipe, request.device
    if recipe.train.deterministic:
        hardware.be_deterministic()
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    corpus = request.prepared()
    if corpus.report is not None:
        say_changes(corpus.report)
    say_pairs(corpus.training, recipe.data)
    model, new_parts = _model(request, corpus)
    sizes = {name: getattr(model.config, name) for name in type(recipe.model).model_fields}
    recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update=sizes)})
    choose_attention(model, device, precision, max(tokens for _, tokens in recipe.data.phases))
    accelerator = hardware.build_accelerator(device, precision, recipe.train.report_to, str(request.folder))
    objective = BertPretrainingObjective(model, recipe.data.sentence_objective != "none")
    # A resume computes with the same micro-batches as its run, so that it is the same to the bit.
    tokens = request.before.micro_batch_tokens or MICRO_BATCH_TOKENS.get(device)
    return Setup(request, recipe, corpus, objective, accelerator, new_parts, tokens)


def _model(request: ResolvedRequest, corpus: Prepared) -> "tuple[BertForPreTraining, Sequence[str]]":
    """A new BERT, or the one that the run continues from, with the parts that it lacks."""
    recipe, name = request.recipe, request.asked.model
    if name is None:
        return new_bert(recipe.model, corpus.tokenizer, recipe.train.seed), ()
    positions = recipe.model.max_position_embeddings
    loaded = load_bert_for_pretraining(name, corpus.tokenizer, recipe.train.seed, positions)
    for told in loaded.notes:
        console.note(console.plain(told))
    return loaded.model, loaded.new_parts


def plan_of(recipe: PretrainRecipe, corpus: Prepared, micro_batch_size: Callable[[int], int]) -> PretrainingPlan:
    """Which examples belong to each step of a run.

    Args:
        recipe: the recipe.
        corpus: the prepared corpus.
        micro_batch_size: returns, for a length, how many sequences a device computes at a time.
    """
    steps, train = _total_steps(recipe, corpus), recipe.train
    collate = collator_for(corpus.tokenizer, recipe.data)
    return PretrainingPlan(corpus.training, recipe.data, collate, train.batch_size, steps, train.seed, micro_batch_size)


def sequences(given: int | None, share: int, budget_tokens: int, max_seq_length: int) -> int:
    """How many sequences of a length a device computes at a time. (A module-level function can be sent to data workers.)"""
    return min(share, given or max(1, budget_tokens // max_seq_length))


def _total_steps(recipe: PretrainRecipe, corpus: Prepared) -> int:
    """``max_steps``, or the number of steps in ``epochs`` passes over the training documents of the first text.

    Raises:
        BertkitError: a text has no example, or there are more than ``MOST_STEPS``.
    """
    epochs_a_step = 0.0
    for number, text in enumerate(corpus.training):
        of_a_step = recipe.train.batch_size * text.share
        for share, tokens in recipe.data.phases:
            examples = len(sampler_for(text, recipe.data, tokens, recipe.train.seed))
            if not examples:
                raise BertkitError(
                    f"{text.name or 'the corpus'} has no text to train on beside what is held out; give more"
                )
            epochs_a_step += 0.0 if number else share * of_a_step / examples
    if recipe.train.max_steps is not None:
        return recipe.train.max_steps
    steps = max(1, round((recipe.train.epochs or 1) / epochs_a_step))
    if steps > MOST_STEPS:
        raise BertkitError(
            f"{recipe.train.epochs or 1:g} epochs of this text are {steps:,} steps, and a run has at most {MOST_STEPS:,}: lower "
            "--epochs"
        )
    return steps
