"""``bertkit pretrain``: corpus → tokenizer → prepared store → steps → model folder, in that order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.corpus.prepare import Preparation
from bertkit.corpus.reader import find_sources
from bertkit.corpus.store import CorpusStore, is_store, open_store
from bertkit.errors import BertkitError
from bertkit.pretraining.dataset import EvaluationSet, PretrainingPlan, collator_for, sampler_for
from bertkit.pretraining.evaluation import Evaluator, LearningWatch, Unigrams, unigrams
from bertkit.pretraining.pairs import DocumentSet, split_documents
from bertkit.pretraining.prepare import prepare_corpus
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import PretrainRecipe
from bertkit.training import folder

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import BertForPreTraining

EMBEDDED_CORPUS = Path(__file__).parent.parent / "assets" / "corpus.txt"
# Tokens a device computes at a time where nothing else is said: enough to keep it busy, little enough to fit.
_MICRO_BATCH_TOKENS = {"cpu": 4_096, "mps": 8_192, "cuda": 32_768}


@dataclass(frozen=True)
class PretrainRequest:
    """What a person asks of ``bertkit pretrain``; see its options."""

    corpus: Sequence[str] = ()
    out: Path | None = None
    recipe: str | None = None
    overrides: Sequence[Override] = ()
    model: str | None = None
    tokenizer: str | None = None
    validation: Sequence[str] = ()
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Prepared:
    """The text of a run as training sees it."""

    store: CorpusStore
    training: DocumentSet
    validation_store: CorpusStore
    validation: DocumentSet
    tokenizer: Any
    baseline: Unigrams
    names: list[str] = field(default_factory=list)


def pretrain(request: PretrainRequest) -> dict[str, Any]:
    """Pretrains a BERT and leaves a model folder; returns what ``run.json`` holds.

    Raises:
        BertkitError: anything a person can mend: see «What bad input gets» in CONTRIBUTING.md.
        Interrupted: a signal came, and a checkpoint was written.
    """
    inputs = list(request.corpus) or [str(EMBEDDED_CORPUS)]
    if not request.corpus:
        console.note(f"no corpus given: using the embedded one, {EMBEDDED_CORPUS.name}, simple stories in English")
    _check_inputs(inputs, request)
    out = request.out or Path("runs") / f"pretrain-{_short_name(inputs)}"
    with folder.claimed(out, request.resume, request.overwrite):
        if request.resume and folder.is_finished(out):
            console.note(f"{out} is finished: nothing to resume")
            return folder.read_run(out)
        return _pretrain(inputs, out, request)


def inspect(request: PretrainRequest) -> tuple[PretrainingPlan, Prepared, PretrainRecipe]:
    """What ``pretrain`` would train on, without training: the plan of its steps, the corpus and the recipe.

    Raises:
        BertkitError: as ``pretrain`` before its first step.
    """
    from bertkit.training import hardware

    inputs = list(request.corpus) or [str(EMBEDDED_CORPUS)]
    _check_inputs(inputs, request)
    recipe = _recipe(request, hardware.choose_device("auto"))[1]
    corpus = prepare_for_run(inputs, request, recipe)
    return _plan(recipe, corpus, lambda _: recipe.train.batch_size), corpus, recipe


def _check_inputs(inputs: list[str], request: PretrainRequest) -> None:
    """All that can be known to be wrong before anything heavy is imported."""
    load(PretrainRecipe, "pretrain", request.recipe or "tiny", request.overrides)
    if request.recipe == "adapt" and request.model is None:
        raise BertkitError("the recipe adapt goes on from a model: give --model with a folder or a hub name")
    if not _is_prepared(inputs):
        find_sources(inputs)
    if request.validation:
        find_sources(request.validation)
    if request.model and request.tokenizer is None:
        from bertkit.models.bert import bert_folder

        bert_folder(request.model)


def _short_name(inputs: Sequence[str]) -> str:
    name = Path(inputs[0]).name if inputs[0] != "-" else "stdin"
    short = name.split(".")[0].replace("*", "").strip("-_ ")
    return short or "corpus"


def _is_prepared(inputs: Sequence[str]) -> bool:
    return len(inputs) == 1 and is_store(Path(inputs[0]))


def _pretrain(inputs: list[str], out: Path, request: PretrainRequest) -> dict[str, Any]:
    from bertkit.training import hardware

    device = hardware.choose_device(request.device)
    name, recipe = _recipe(request, device)
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    corpus = prepare_for_run(inputs, request, recipe)
    accelerator = hardware.build_accelerator(device, precision, recipe.train.report_to, str(out))
    model, notes = _build_model(request, recipe, corpus)
    for told in notes:
        console.note(told)
    return _train(out, request, recipe, name, corpus, model, accelerator)


def _recipe(request: PretrainRequest, device: str) -> tuple[str, PretrainRecipe]:
    """The recipe that was asked for, or the one that suits the device, with what was overridden."""
    name = request.recipe or ("adapt" if request.model else "base" if device == "cuda" else "tiny")
    return name, load(PretrainRecipe, "pretrain", name, request.overrides).settings


def _plan(recipe: PretrainRecipe, corpus: Prepared, micro_batch_size: Callable[[int], int]) -> PretrainingPlan:
    return PretrainingPlan(
        corpus.store,
        corpus.training,
        recipe.data,
        collator_for(corpus.tokenizer, recipe.data),
        recipe.train.batch_size,
        total_steps(recipe, corpus),
        recipe.train.seed,
        micro_batch_size,
    )


def prepare_for_run(inputs: Sequence[str], request: PretrainRequest, recipe: PretrainRecipe) -> Prepared:
    """The corpus as training sees it: prepared, and split into training and validation documents."""
    from bertkit.models.bert import bert_folder
    from bertkit.models.tokenizer import load_tokenizer, special_ids

    given = request.tokenizer or (str(bert_folder(request.model)) if request.model else None)
    tokenizer = load_tokenizer(given) if given else None
    data = recipe.data
    if _is_prepared(inputs):
        store = open_store(Path(inputs[0]))
        tokenizer = tokenizer or load_tokenizer(inputs[0])
        _check_prepared_with(store, tokenizer, inputs[0])
    else:
        preparation = Preparation(find_sources(inputs), data.column, data.language)
        store, tokenizer = prepare_corpus(preparation, recipe.tokenizer, tokenizer)
    if request.validation:
        held_out = Preparation(find_sources(request.validation), data.column, data.language)
        validation_store, _ = prepare_corpus(held_out, recipe.tokenizer, tokenizer)
        training, _ = split_documents(store, 0, recipe.train.seed)
        validation, _ = split_documents(validation_store, 0, recipe.train.seed)
    else:
        validation_store = store
        training, validation = split_documents(store, data.validation_split, recipe.train.seed)
    baseline = unigrams(store.token_counts, special_ids(tokenizer))
    return Prepared(store, training, validation_store, validation, tokenizer, baseline, store.info.sources)


def _check_prepared_with(store: CorpusStore, tokenizer: Any, name: str) -> None:
    from bertkit.corpus.prepare import tokenizer_fingerprint

    if tokenizer_fingerprint(tokenizer) != store.info.tokenizer_fingerprint:
        raise BertkitError(
            f"{name} was prepared with another tokenizer: prepare the text with this one, or leave it out"
        )


def _build_model(
    request: PretrainRequest, recipe: PretrainRecipe, corpus: Prepared
) -> tuple["BertForPreTraining", list[str]]:
    from bertkit.models.bert import load_bert_for_pretraining, new_bert

    if request.model is None:
        corpus.tokenizer.model_max_length = recipe.model.max_position_embeddings
        return new_bert(recipe.model, corpus.tokenizer, recipe.train.seed), []
    model, _, notes = load_bert_for_pretraining(request.model, corpus.tokenizer, recipe.train.seed)
    longest = max(tokens for _, tokens in recipe.data.phases)
    if longest > model.config.max_position_embeddings:
        raise BertkitError(
            f"data.max_seq_length {longest} is over the {model.config.max_position_embeddings} positions of "
            f"{request.model}: use --seq-len {model.config.max_position_embeddings} or less"
        )
    model.config.hidden_dropout_prob = recipe.model.hidden_dropout_prob
    return model, notes


def total_steps(recipe: PretrainRecipe, corpus: Prepared) -> int:
    """``max_steps``, or the steps that ``epochs`` passes over the training documents take.

    Raises:
        BertkitError: the corpus has fewer examples than one batch.
    """
    batch_size, epochs_a_step = recipe.train.batch_size, 0.0
    for share, tokens in recipe.data.phases:
        examples = len(sampler_for(corpus.store, corpus.training, recipe.data, tokens, recipe.train.seed))
        if examples < batch_size:
            raise BertkitError(
                f"the corpus has {corpus.store.info.tokens:,} tokens, which are {examples:,} examples of {tokens}: "
                f"fewer than one batch of {batch_size}; give more text, or lower --batch-size"
            )
        epochs_a_step += share * batch_size / examples
    if recipe.train.max_steps is not None:
        return recipe.train.max_steps
    return max(1, round((recipe.train.epochs or 1) / epochs_a_step))


def _train(
    out: Path,
    request: PretrainRequest,
    recipe: PretrainRecipe,
    recipe_name: str,
    corpus: Prepared,
    model: "BertForPreTraining",
    accelerator: "Accelerator",
) -> dict[str, Any]:
    from bertkit.models.bert import save_model
    from bertkit.pretraining.objective import BertPretrainingObjective
    from bertkit.training import checkpoint, hardware
    from bertkit.training.loop import Job, fit

    seed, batch_size = recipe.train.seed, recipe.train.batch_size
    device = accelerator.device.type

    def micro_batch_size(max_seq_length: int) -> int:
        share = -(-batch_size // accelerator.num_processes)
        return min(share, recipe.train.micro_batch_size or max(1, _MICRO_BATCH_TOKENS[device] // max_seq_length))

    collate = collator_for(corpus.tokenizer, recipe.data)
    plan = _plan(recipe, corpus, micro_batch_size)
    steps = plan.total_steps

    @cache
    def evaluation_set(max_seq_length: int) -> EvaluationSet:
        return EvaluationSet(corpus.validation_store, corpus.validation, recipe.data, collate, max_seq_length, seed)

    fingerprint = f"{corpus.store.info.fingerprint}-{corpus.store.info.tokenizer_fingerprint}"
    found = checkpoint.newest_checkpoint(out) if request.resume else None
    if request.resume:
        folder.check_same_maths(out, recipe, fingerprint)
        console.note(f"resuming from {found}" if found else f"no checkpoint in {out}: starting fresh")
    facts = {
        "kind": "pretrain",
        "out": str(out),
        "recipe": recipe_name,
        "corpus": corpus.names,
        "data_fingerprint": fingerprint,
        "base_model": request.model,
        "device": hardware.describe_device(device),
        "num_processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "seed": seed,
        "parameters": model.num_parameters(),
        "documents": corpus.store.info.documents,
        "sentences": corpus.store.info.sentences,
        "tokens_in_corpus": corpus.store.info.tokens,
        "unigram_entropy": corpus.baseline.entropy,
        "most_frequent_token_share": corpus.baseline.most_frequent,
        "max_steps": steps,
    }
    if accelerator.is_main_process:
        folder.record(out, recipe, facts)
    accelerator.init_trackers("bertkit", config={"recipe": recipe_name}) if recipe.train.report_to else None
    _say_what_starts(facts, recipe, out)
    job = Job(
        objective=BertPretrainingObjective(model, recipe.data.sentence_objective != "none"),
        plan=plan,
        settings=recipe.train,
        out=out,
        save_model=lambda where: save_model(model, corpus.tokenizer, where),
        evaluate=Evaluator(accelerator, evaluation_set, plan.max_seq_length, micro_batch_size)
        if len(evaluation_set(plan.max_seq_length(0)))
        else None,
        watch=LearningWatch(corpus.baseline, steps),
    )
    progress = fit(job, accelerator, found)
    accelerator.end_training()
    return _finish(out, recipe, facts, progress.seconds, model, corpus, accelerator)


def _say_what_starts(facts: dict[str, Any], recipe: PretrainRecipe, out: Path) -> None:
    lengths = " then ".join(str(tokens) for _, tokens in recipe.data.phases)
    console.note(
        f"[bold]{facts['recipe']}[/]: {facts['parameters'] / 1e6:,.1f}M parameters on {facts['device']} "
        f"({'fp32' if facts['mixed_precision'] == 'no' else facts['mixed_precision']}"
        f"{', ' + str(facts['num_processes']) + ' processes' if facts['num_processes'] > 1 else ''})"
    )
    console.note(
        f"corpus: {facts['documents']:,} documents, {facts['sentences']:,} sentences, "
        f"{facts['tokens_in_corpus']:,} tokens"
    )
    console.note(
        f"{facts['max_steps']:,} steps of {recipe.train.batch_size} sequences, {lengths} tokens long → {console.plain(str(out))}"
    )


def _finish(
    out: Path,
    recipe: PretrainRecipe,
    facts: dict[str, Any],
    seconds: float,
    model: "BertForPreTraining",
    corpus: Prepared,
    accelerator: "Accelerator",
) -> dict[str, Any]:
    """Writes the model folder; on the main process only."""
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return facts
    from bertkit.models.bert import save_model
    from bertkit.pretraining.card import pretraining_card
    from bertkit.training.log import read_metrics

    save_model(model, corpus.tokenizer, out)
    evaluations = [line for line in read_metrics(out) if "eval_loss" in line]
    results = evaluations[-1] if evaluations else {}
    run = folder.record(out, recipe, {**facts, "seconds": seconds, "results": results, "finished": True})
    (out / "README.md").write_text(pretraining_card(out, run, recipe), encoding="utf-8")
    return run
