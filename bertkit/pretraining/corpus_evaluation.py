"""``bertkit evaluate MODEL --corpus``: evaluates a pretrained model on a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.models.bert import own_tokenizer
from bertkit.models.folder import bert_folder, max_positions, own_length
from bertkit.models.loading import load_for
from bertkit.pretraining.dataset import EvaluationSet, collator_for
from bertkit.pretraining.evaluation import Evaluator, as_read
from bertkit.pretraining.extent import longest_example
from bertkit.pretraining.job import MICRO_BATCH_TOKENS
from bertkit.pretraining.pair_notes import why_no_pairs
from bertkit.pretraining.prepare import is_prepared, prepare_to_evaluate
from bertkit.pretraining.texts import Prepared
from bertkit.runtime.learned_objective import learned_objective
from bertkit.settings.recipes import Override, given, load
from bertkit.settings.schema import PretrainRecipe
from bertkit.training.record import RunRecord, read_record
from bertkit.training.run_folder import RECIPE

if TYPE_CHECKING:
    from transformers import BertForPreTraining

DEFAULT_LENGTH, DEFAULT_EXAMPLES = 128, 2_000


@dataclass(frozen=True)
class CorpusRequest:
    """The arguments of ``bertkit evaluate --corpus``; see its options."""

    model: str
    corpus: Sequence[str]
    overrides: Sequence[Override] = ()
    """Without ``data.max_seq_length`` among them, the length is that at the end of the model's run, if its folder has the recipe;
    else 128, or what the model reads at most. Without ``data.max_eval_examples`` 2,000 examples are read."""
    device: str = "auto"


def evaluate_corpus(request: CorpusRequest) -> dict[str, Any]:
    """Masked-word and next-sentence figures on all documents of a text.

    The examples and their masks are drawn as those of ``--validation`` in pretraining, with the recipe and the seed in the
    model's folder (or the defaults), and are the same in every call. The computation is in fp32 on every device; a run that
    evaluated itself in bf16 differs by rounding.

    Returns:
        The figures under the names of ``metrics.jsonl`` (``eval_mlm_loss`` in nats, …), those of next sentences only if the
        model has learned them and the text has pairs; and two baselines, ``most_frequent_token_share``, the accuracy of
        always guessing the same piece, and ``unigram_entropy``, the loss of knowing only how often each piece occurs.

    Raises:
        BertkitError: the model or the text cannot be read, the model has no masked-word head, or it cannot read sequences of
            this length.
    """
    recipe, run = _recipe(request)
    if not is_prepared(request.corpus):
        find_sources(request.corpus)
    knows_pairs = learned_objective(bert_folder(request.model)) != "none"
    model, reads_pairs = _model(request.model, recipe, knows_pairs)
    corpus = _corpus(request, recipe)
    data, length = as_read(recipe.data, recipe.data.phases[-1][1], knows_pairs)
    # A model without a sentence objective reads single segments, as in its training.
    read = {"max_seq_length": length} if reads_pairs else {"max_seq_length": length, "sentence_objective": "none"}
    recipe = recipe.model_copy(update={"data": data.model_copy(update=read)})
    _say_unlearned(request.model, run, longest_example(corpus.validation[0], recipe.data, length))
    figures = _figures(model, corpus, recipe, request.device, reads_pairs)
    if reads_pairs and "eval_nsp_loss" not in figures:
        console.note(f"{why_no_pairs(corpus.validation)}: masked words only")
    [store] = corpus.stores
    info = store.info
    return {
        "model": request.model,
        "corpus": info.sources,
        "documents": info.documents,
        "tokens_in_corpus": info.tokens,
        "unknown_token_share": float(store.token_counts[corpus.tokenizer.unk_token_id]) / info.tokens,
        "seed": recipe.train.seed,
        **figures,
        "most_frequent_token_share": corpus.baseline.most_frequent,
        "unigram_entropy": corpus.baseline.entropy,
    }


def _recipe(request: CorpusRequest) -> tuple[PretrainRecipe, RunRecord]:
    """The recipe that the model was pretrained with, or the defaults, with the length and number of examples asked for.

    Beside it the record of its run; an empty one where the defaults are taken.
    """
    folder, positions = bert_folder(request.model), max_positions(request.model)
    kept, record = folder / RECIPE, read_record(folder)
    # The recipe of a fine-tuned model says nothing about pretraining.
    source = str(kept) if kept.is_file() and record.kind in ("pretrain", "") else "tiny"
    is_known = source != "tiny"
    own = [length for _, length in load(PretrainRecipe, "pretrain", source, []).settings.data.phases]
    if (ended_with := record.results.get("max_seq_length")) not in own:  # else the last phase may have had no step
        ended_with = own[-1]
    # A checkpoint has no recipe, but a tokenizer that says what its run reads.
    length = min(ended_with, positions) if is_known else min(DEFAULT_LENGTH, own_length(folder) or positions)
    usual = [
        Override("data.max_seq_length", length, f"--seq-len {length}"),
        Override("data.max_eval_examples", DEFAULT_EXAMPLES, f"--max-examples {DEFAULT_EXAMPLES}"),
    ]
    asked = [
        Override("model.max_position_embeddings", positions, f"the model {request.model}"),
        *(one for one in usual if not given(request.overrides, one.key)),
        Override("data.deduplicate", None, "evaluate --corpus"),  # the text as it is
        *request.overrides,
    ]
    recipe = load(PretrainRecipe, "pretrain", source, asked).settings
    if not is_known:
        return recipe, RunRecord()
    return recipe, record.model_copy(update={"learned_length": record.learned_length or max(own)})


def _say_unlearned(name: str, run: RunRecord, longest: int) -> None:
    """Warns where examples of so many tokens have places that a model has not learned."""
    learned = run.learned_length
    # What the base model of a run had learned before is unknown.
    if learned is not None and run.base_model is None and longest > learned:
        console.warn(
            console.plain(
                f"{name} was pretrained with {learned} tokens at most: its places from {learned} to {longest - 1} were never "
                "learned; a lower --seq-len does without them"
            )
        )


def _model(name: str, recipe: PretrainRecipe, knows_pairs: bool) -> "tuple[BertForPreTraining, bool]":
    """The model, and whether it is to read pairs; ``knows_pairs`` is whether it may have learned them."""
    model, new = load_for("BertForPreTraining", name, ("cls.seq_relationship.", "bert.pooler."))
    if new:
        why = f"has no {' and no '.join(new)}"
    elif recipe.data.sentence_objective == "none" or not knows_pairs:
        why = "was pretrained without sentence pairs"
    elif model.config.type_vocab_size < 2:
        why = "knows one segment alone (type_vocab_size is 1)"
    else:
        return model, True
    console.note(console.plain(f"{name} {why}: masked words only"))
    return model, False


def _corpus(request: CorpusRequest, recipe: PretrainRecipe) -> Prepared:
    """The prepared text, all of it held out."""
    tokenizer = own_tokenizer(bert_folder(request.model), request.model)
    return prepare_to_evaluate(request.corpus, tokenizer, recipe)


class _ShownSet(EvaluationSet):
    """An evaluation set that shows the progress of the evaluation."""

    line: console.ProgressLine

    def fetch(self, positions: Sequence[int]) -> dict[str, Any]:
        self.line.update(positions[0])
        return super().fetch(positions)


def _figures(
    model: "BertForPreTraining", corpus: Prepared, recipe: PretrainRecipe, device: str, reads_pairs: bool
) -> dict[str, Any]:
    from bertkit import hardware
    from bertkit.pretraining.objective import BertPretrainingObjective

    data = recipe.data
    length = data.phases[-1][1]
    collate = collator_for(corpus.tokenizer, data)
    examples = _ShownSet(corpus.validation, data, collate, length, recipe.train.seed)
    examples.say_share("--max-examples N")
    if recipe.train.seed != type(recipe.train)().seed:
        console.note(f"examples and masks are drawn with the seed {recipe.train.seed} (--set train.seed=N)")
    accelerator = hardware.build_accelerator(hardware.choose_device(device), "no", (), ".")
    objective = BertPretrainingObjective(model, reads_pairs).to(accelerator.device).eval()
    # The batches of an evaluation in pretraining on a CPU: the same ones give the same rounding.
    at_once = max(1, MICRO_BATCH_TOKENS["cpu"] // length)
    evaluator = Evaluator(accelerator, lambda _: examples, lambda _: length, lambda _: at_once)
    with console.progress("evaluating", len(examples), "example") as examples.line, hardware.memory_errors():
        if not examples.has_predictions():
            raise BertkitError(
                f"none of the {len(examples):,} examples has a word piece that could be predicted: the text is all "
                "unknown to the tokenizer"
            )
        figures = evaluator(objective, 0)
    return {"sentence_objective": data.sentence_objective, "examples": len(examples), **figures}
