"""Puts a fine-tuning run together: the model with its head, the features, the evaluation, and the job of the loop."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.batches import FinetunePlan
from bertkit.finetuning.evaluation import SplitEvaluator
from bertkit.finetuning.features import Features
from bertkit.finetuning.fingerprint import data_fingerprint
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.kept_states import with_states
from bertkit.finetuning.labelled import LabelledData
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.unread import Reach, Unread
from bertkit.finetuning.windows import RowEncoder
from bertkit.models.bert import lengthen, save_model
from bertkit.models.headed import new_headed
from bertkit.models.layers import freeze, rate_factors
from bertkit.runtime.batches import TOKENS_AT_ONCE
from bertkit.settings.schema import FinetuneRecipe, FinetuneTrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator

    from bertkit.training.job import Job


@dataclass(frozen=True)
class Setup:
    """A run that is ready to start.

    Attributes:
        facts: the fields of ``run.json`` that are known before the first step.
    """

    job: "Job"
    evaluator: SplitEvaluator
    facts: dict[str, Any]
    tokenizer: Any


def set_up(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest, accelerator: "Accelerator") -> Setup:
    """Sets up a run on labelled data; notes say what is created, cut or not trained.

    Raises:
        BertkitError: the model cannot be loaded, or does not fit the recipe or the rows.
    """
    from bertkit.finetuning.objective import FinetuneObjective
    from bertkit.models.fast.attention import choose_attention
    from bertkit.training.job import Job

    assert data.train is not None
    train, metrics = recipe.train, data.head.metrics(recipe.task.metrics)
    if train.calibrate and not (data.validation and data.head.says_one_class):
        raise BertkitError("train.calibrate needs one class a row, and validation rows: leave it out, or give them")
    model, tokenizer, notes = _model(data, recipe, request)
    head = data.head.for_training(data.train, model)
    learned = head.balanced(data.train) if train.class_weights == "balanced" else head
    model.config.update(head.model_config())
    encoder = RowEncoder.of(tokenizer, recipe.data)
    features = head.features(data.train, encoder)
    evaluator = SplitEvaluator(accelerator, data.validation, encoder, metrics, head)
    for told in notes:
        console.note(console.plain(told))
    for split, made in zip([data.train, *data.validation], [features, *evaluator.features], strict=True):
        Unread(encoder, Reach.of(model)).add(made, len(split.texts)).say(split.name)
    choose_attention(model, accelerator.device.type, accelerator.mixed_precision, features.longest)
    objective = FinetuneObjective(model, learned)
    if train.encoder == "frozen":
        splits = [features, *evaluator.features]
        (features, *evaluator.features), told = with_states(model, head, splits, encoder.pad_id, accelerator.device)
        console.note(told)
    plan = _plan(features, head, encoder.pad_id, train, accelerator)
    settings = train.model_copy(update={"eval_steps": train.eval_steps or plan.steps_per_epoch})
    facts = _facts(data, request, train, accelerator, tokenizer, model)
    job = Job(
        objective=objective,
        plan=plan,
        settings=settings,
        out=request.folder,
        save_model=lambda model, where: save_model(model, tokenizer, where),
        evaluate=evaluator if data.validation else None,
        better=(lambda results: head.goodness(metrics[0], results)) if data.validation else None,
        patience=train.early_stopping_patience,
        rate_factors=rate_factors(model, train.layerwise_lr_decay),
    )
    return Setup(job, evaluator, facts | {"metrics": list(metrics), "max_steps": plan.total_steps}, tokenizer)


def _model(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest) -> tuple[Any, Any, list[str]]:
    """The model with its head, its tokenizer, and lines that describe it."""
    from bertkit.models.features import Reading, read_features

    head, train = data.head, recipe.train
    model, tokenizer, notes = new_headed(
        head.auto_class, request.model, head.model_config(), train.dropout, train.seed, train.from_scratch
    )
    notes += _with_positions(model, tokenizer, recipe, request.model)
    if recipe.reads_features:
        read_features(model, Reading(recipe.data.layers, train.classifier), train.seed)
    if _are_embeddings_frozen(train):
        notes.append(freeze(model, train.frozen_layers))  # counts the parameters of the classifier that is trained
    return model, tokenizer, notes


def _plan(
    features: Features, head: Head, pad_id: int, train: FinetuneTrainSettings, accelerator: "Accelerator"
) -> FinetunePlan:
    steps_per_epoch = -(-len(features.units) // train.batch_size)
    steps = train.max_steps or max(1, math.ceil((train.epochs or 3) * steps_per_epoch))
    share = -(-train.batch_size // accelerator.num_processes)
    fits = max(1, TOKENS_AT_ONCE[accelerator.device.type] // int(features.tokens.max()))
    micro_batch_size = min(share, train.micro_batch_size or fits)
    return FinetunePlan(features, head, pad_id, train.batch_size, steps, train.seed, micro_batch_size)


def _facts(
    data: LabelledData,
    request: FinetuneRequest,
    train: FinetuneTrainSettings,
    accelerator: "Accelerator",
    tokenizer: Any,
    model: Any,
) -> dict[str, Any]:
    from bertkit import hardware

    assert data.train is not None
    return {
        "kind": "finetune",
        "out": str(request.folder),
        "task": request.task or str(request.train),
        "base_model": request.model,
        "data_fingerprint": data_fingerprint(data, tokenizer),
        "rows": {split.name: len(split.texts) for split in [data.train, *data.validation]},
        "device": hardware.describe_device(accelerator.device.type),
        "num_processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "seed": train.seed,
        "parameters": model.num_parameters(),
    }


def _with_positions(model: Any, tokenizer: Any, recipe: FinetuneRecipe, name: str) -> list[str]:
    """Adds the positions that the recipe asks for, and has the tokenizer say how many tokens the model reads; returns lines
    that say so.

    Raises:
        BertkitError: the model has more positions already, is no BERT, or has too few for ``data.max_seq_length``.
    """
    wanted, read, reach = recipe.model.max_position_embeddings, recipe.data.max_seq_length, Reach.of(model)
    is_frozen = _are_embeddings_frozen(recipe.train)
    has, notes = reach.tokens, []
    if wanted is not None:
        if has is None or not reach.can_grow:
            raise BertkitError(f"{name} is no BERT: leave model.max_position_embeddings out, which is for BERTs alone")
        if wanted < has:
            raise BertkitError(
                f"model.max_position_embeddings {wanted} is under the {has} positions of {name}, which are kept: give {has} "
                "or more, and --seq-len for shorter rows"
            )
        notes = lengthen(model, wanted, name)
        if notes and is_frozen:
            notes.append("they stay copies: the embeddings are not trained")
        elif notes and read < wanted:
            notes.append(
                f"the positions {max(read, has)} to {wanted - 1} stay copies: no row has over {read} tokens (--seq-len)"
            )
        tokenizer.model_max_length = has = wanted
    if has is not None and read > has:
        more = f", or --set model.max_position_embeddings={read}" if reach.can_grow else ""
        raise BertkitError(
            f"data.max_seq_length {read} is over the {has} positions of {name}: use --seq-len {has} or less{more}"
        )
    if read > tokenizer.model_max_length:
        learned, what_becomes = tokenizer.model_max_length, "begin as they are (--seq-len)"
        if is_frozen:
            what_becomes = (
                f"were never learned, and stay so, as the embeddings are not trained: use --seq-len {learned}"
            )
        told = f"{name} reads {learned} tokens, as many as it was pretrained on"
        notes.append(f"{told}: its positions from there to {read - 1} {what_becomes}")
        tokenizer.model_max_length = read
    return notes


def _are_embeddings_frozen(train: FinetuneTrainSettings) -> bool:
    return train.encoder == "frozen" or train.frozen_layers is not None
