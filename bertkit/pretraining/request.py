"""The arguments of pretraining, and the recipe, corpus, folder and device that they stand for, resolved once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.assets import EMBEDDED_CORPUS
from bertkit.console import listed
from bertkit.corpus.merge import source_names
from bertkit.corpus.sources import Source, find_sources
from bertkit.corpus.store import IDS_FILE, CorpusStore, read_info
from bertkit.errors import BertkitError
from bertkit.models.folder import bert_folder, check_pairs, max_positions
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining.prepare import is_prepared, prepare_for_training
from bertkit.pretraining.texts import AskedText, Prepared
from bertkit.settings.recipes import Override, given, load
from bertkit.settings.schema import ModelSettings, PretrainRecipe, TokenizerSettings
from bertkit.training.record import RunRecord, read_record

_ANY_LENGTH = 2**31


@dataclass(frozen=True)
class PretrainRequest:
    """The arguments of ``bertkit pretrain``; see its options."""

    corpus: Sequence[str] = ()
    out: Path | None = None
    recipe: str | None = None
    overrides: Sequence[Override] = ()
    model: str | None = None
    tokenizer: str | None = None
    add_words: int | None = None
    """How many words of the corpus are added to the vocabulary of the model that the run continues from."""
    keep: tuple[str, float] | None = None
    """General text to mix in, named like ``corpus``, and its share of the examples."""
    validation: Sequence[str] = ()
    device: str = "auto"
    budget_s: float | None = None
    """Seconds from the call to the end of the run, with those that earlier calls of it have trained; decides the number of
    steps."""
    dry_run: bool = False
    """Whether only to print what would be trained and how long it would take."""
    resume: bool = False
    overwrite: bool = False

    @property
    def inputs(self) -> list[str]:
        """The corpus, or the embedded one if none is given."""
        return list(self.corpus) or [str(EMBEDDED_CORPUS)]

    @property
    def folder(self) -> Path:
        """The run's folder: ``--out``, or ``runs/pretrain-`` and the corpus's name."""
        name = "stdin" if self.inputs[0] == "-" else Path(self.inputs[0]).name.split(".")[0]
        name = name.replace("*", "").encode(errors="ignore").decode()  # without bytes that are not UTF-8
        return self.out or Path("runs") / f"pretrain-{name.strip('-_ ') or 'corpus'}"

    @property
    def given(self) -> dict[str, Any]:
        """The options that are no settings and decide what is learned from, for the run's record (``RunRecord.given``)."""
        keep = list(self.keep) if self.keep else None
        budget = None if self.budget_s is None else True  # a resume may have more time, or less
        return {"--tokenizer": self.tokenizer, "--add-words": self.add_words, "--keep": keep, "--budget": budget}


@dataclass(frozen=True)
class ResolvedRequest:
    """A request whose names have been resolved and checked: all that a run needs to know.

    Attributes:
        asked: the request.
        recipe_name: the name of the recipe that was asked for, or that was chosen for the device and the model.
        recipe: the recipe with all overrides.
        before: the record of the run that is resumed; an empty one for a new run.
    """

    asked: PretrainRequest
    recipe_name: str
    recipe: PretrainRecipe
    before: RunRecord

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.asked.folder

    @property
    def texts(self) -> list[AskedText]:
        """The texts of the run with their shares: the corpus or the texts of ``data.mix``, and with ``--keep`` general text."""
        mix, keep = self.recipe.data.mix or (), self.asked.keep
        of_all = sum(text.weight for text in mix)
        texts = [AskedText([text.source], text.weight / of_all) for text in mix] or [AskedText(self.asked.inputs)]
        if keep is None:
            return texts
        own = [replace(one, share=one.share * (1 - keep[1])) for one in texts]
        return [*own, AskedText([keep[0]], keep[1], is_kept=True)]

    @property
    def names(self) -> list[str]:
        """The names of all files and data sets of the texts, as the run's record has them (``RunRecord.corpus``)."""
        return [name for text in self.texts for name in _names_of(text.inputs)]

    @property
    def validation_names(self) -> list[str]:
        """The same of ``--validation`` (``RunRecord.validation``)."""
        return _names_of(self.asked.validation) if self.asked.validation else []

    @cached_property
    def device(self) -> str:
        """The device type: "cpu", "cuda" or "mps". Imports torch, and is therefore computed only when it is needed."""
        from bertkit import hardware

        return hardware.choose_device(self.asked.device)

    def prepared(self) -> Prepared:
        """The prepared corpus; it is prepared now if it was not before.

        Raises:
            BertkitError: it cannot be prepared, or two texts of the run are the same.
        """
        asked = self.asked
        given = asked.tokenizer or (str(bert_folder(asked.model)) if asked.model else None)
        tokenizer = load_tokenizer(given) if given else None
        words = asked.add_words or 0
        prepared = prepare_for_training(self.texts, asked.validation, tokenizer, self.recipe, words)
        _check_different(self.texts, asked.validation, prepared)
        return prepared


def resolve(request: PretrainRequest) -> ResolvedRequest:
    """Resolves what a request names, and makes all checks that need to read neither text nor model.

    Raises:
        BertkitError: a corpus, recipe or model does not exist, or settings are wrong or do not go together.
    """
    if request.budget_s is not None and (steps := given(request.overrides, "train.max_steps", "train.epochs")):
        raise BertkitError(f"--budget chooses the number of steps: leave {steps.origin} out, or --budget")
    if request.recipe == "adapt" and request.model is None:
        raise BertkitError("the recipe adapt goes on from a model: give --model with a folder or a hub name")
    if request.add_words is not None:
        _check_add_words(request, request.add_words)
    if request.keep is not None and not 0 < request.keep[1] < 1:
        raise BertkitError(
            f"--keep {request.keep[0]} takes a share of the examples above 0 and below 1, got {request.keep[1]}"
        )
    for inputs in (request.inputs, request.validation):
        if inputs and not is_prepared(inputs):
            find_sources(inputs)
    name = request.recipe or ("adapt" if request.model else _recipe_for(request.device))
    recipe = _recipe(request, name)
    _check_decided(request)
    if recipe.data.mix is not None:
        if request.corpus:
            raise BertkitError(
                f"data.mix names the texts of the run, and {request.corpus[0]} is given as well: leave one of them out, or "
                "make it a part of the mix"
            )
        request = replace(request, out=request.out or Path("runs") / "pretrain-mix")
    before = read_record(request.folder) if request.resume else RunRecord()
    if request.budget_s is not None and before.max_steps:
        recipe = with_steps(recipe, before.max_steps)  # the steps of a budget are chosen only once
    resolved = ResolvedRequest(request, name, recipe, before)
    inputs = [one for text in resolved.texts for one in text.inputs]
    check_effect(request.overrides, [*inputs, *request.validation], _word_pieces_of(request, resolved.texts))
    if request.add_words is not None:
        _check_words_are_there(resolved.texts)
    if recipe.data.mix is not None or request.keep is not None:
        _check_apart(resolved.texts)
    if request.validation:
        _check_held_out(resolved.texts, request.validation)
    if not request.corpus and recipe.data.mix is None:
        console.note(f"no corpus given: using the embedded one, {EMBEDDED_CORPUS.name}, simple stories in English")
    return resolved


def _check_apart(texts: Sequence[AskedText]) -> None:
    """Raises a BertkitError if a text of the mix does not exist, or if an input belongs to two texts."""
    found: dict[str, AskedText] = {}
    for text in texts:
        for source in _sources_of(text.inputs):
            if (other := found.setdefault(source.key, text)) is not text:
                raise BertkitError(
                    f"{source.name} is in two texts of the mix, {other.name} and {text.name}: name it once, or one would "
                    "train on what the other holds out"
                )


def _check_held_out(texts: Sequence[AskedText], validation: Sequence[str]) -> None:
    """Raises a BertkitError if a validation text is in a text of the run as well."""
    held_out = {source.key: source.name for source in _sources_of(validation)}
    for text in texts:
        for source in _sources_of(text.inputs):
            if source.key in held_out:
                raise BertkitError(
                    f"{held_out[source.key]} is validation text and in {text.name} as well, which is trained on: move it out of "
                    "there, or leave --validation out, and a share of the text is held out"
                )


def _check_different(texts: Sequence[AskedText], validation: Sequence[str], prepared: Prepared) -> None:
    """Raises a BertkitError if two texts of the run, or one and the validation text, are the same word pieces throughout."""
    known: dict[str, AskedText] = {}
    for text, store in zip(texts, prepared.stores, strict=True):
        if (ids := _hash_of_ids(store)) and (other := known.setdefault(ids, text)) is not text:
            raise BertkitError(f"{other.name} and {text.name} of the mix are the same text: leave one of them out")
    for held_out in prepared.validation if prepared.has_own_validation else ():
        if (trained_on := known.get(_hash_of_ids(held_out.store))) is not None:
            raise BertkitError(
                f"{listed(validation, 3)} is validation text and the same as {trained_on.name}, which is trained on: give other "
                "text, or leave --validation out, and a share of the text is held out"
            )


def _hash_of_ids(store: CorpusStore) -> str:
    """Of all word pieces of a text, in order; empty for a store of before checksums were kept."""
    return store.info.files[IDS_FILE]["whole"] if IDS_FILE in store.info.files else ""


def _sources_of(inputs: Sequence[str]) -> list[Source]:
    return [Source(one, Path(one)) for one in inputs] if is_prepared(inputs) else find_sources(inputs)


def _names_of(inputs: Sequence[str]) -> list[str]:
    if is_prepared(inputs):
        return source_names(read_info(Path(one)) for one in inputs)
    return [source.name for source in find_sources(inputs)]


def _check_words_are_there(texts: Sequence[AskedText]) -> None:
    """Raises a BertkitError if a text was prepared before, so that its words cannot be counted."""
    for text in texts:
        if is_prepared(text.inputs) and not text.is_kept:
            raise BertkitError(
                f"{text.inputs[0]} is prepared: it holds word pieces, and no words to count; give the text to --add-words"
            )


def _word_pieces_of(request: PretrainRequest, texts: Sequence[AskedText]) -> str:
    """What gives the word pieces of a run, for messages; empty if they are learned."""
    given = [f"--{name} {value}" for name in ("tokenizer", "model") if (value := getattr(request, name))]
    prepared = [f"the prepared corpus {text.inputs[0]}" for text in texts if is_prepared(text.inputs)]
    return next(iter([*given, *prepared]), "")


def check_effect(overrides: Sequence[Override], texts: Sequence[str], word_pieces: str) -> None:
    """Refuses settings about reading text, or about learning word pieces, if there is nothing to read or to learn.

    Args:
        overrides: the settings that somebody gave.
        texts: all inputs.
        word_pieces: what gives the word pieces, for messages; empty if they are learned.

    Raises:
        BertkitError: one of the settings would have no effect.
    """
    for one in overrides:
        table, _, name = one.key.rpartition(".")
        if word_pieces and name in TokenizerSettings.model_fields and table in ("", "tokenizer"):
            raise BertkitError(
                f"{one.origin} is about word pieces that are learned, and those of {word_pieces} are given: leave it out"
            )
        if name in ("column", "language", "deduplicate") and is_prepared(texts):
            raise BertkitError(f"{one.origin} is about reading text, and {texts[0]} is prepared already: leave it out")


def decided_already(request: PretrainRequest) -> dict[str, str]:
    """The settings that something else in the request decides, by their full names, and what does."""
    decided: dict[str, str] = {}
    if request.model is not None:
        why = f"--model {request.model} has its own (only model.max_position_embeddings can be raised)"
        decided |= {f"model.{name}": why for name in ModelSettings.model_fields if name != "max_position_embeddings"}
    if request.validation:
        decided["data.validation_split"] = f"--validation {listed(request.validation, 3)} is the text that is held out"
    return decided


def _check_decided(request: PretrainRequest) -> None:
    for name, why in decided_already(request).items():
        if one := given(request.overrides, name):
            raise BertkitError(f"{one.origin} would change nothing, as {why}: leave it out")


def _check_add_words(request: PretrainRequest, words: int) -> None:
    if words < 1:
        raise BertkitError(f"--add-words must be 1 or more, got {words}: leave it out to add none")
    if request.model is None:
        raise BertkitError(
            "--add-words goes with --model, the BERT whose vocabulary lacks them: word pieces that are learned on the "
            "corpus hold its words already"
        )


def _recipe_for(device: str) -> str:
    """The default recipe for a new model; that for a GPU, which takes days, would take months on a CPU."""
    if not device.startswith(("auto", "cuda")):
        return "tiny"
    from bertkit import hardware

    return "base" if hardware.choose_device(device) == "cuda" else "tiny"


def _recipe(request: PretrainRequest, name: str) -> PretrainRecipe:
    """The recipe with the overrides. A model that the run continues from keeps at least the positions that it has."""
    if request.model is None:
        return load(PretrainRecipe, "pretrain", name, request.overrides).settings

    known, places = max_positions(request.model), "model.max_position_embeddings"
    raised = given(request.overrides, places)
    any_length = [] if raised else [Override(places, _ANY_LENGTH, f"--model {request.model}")]
    recipe = load(PretrainRecipe, "pretrain", name, [*any_length, *request.overrides]).settings
    if recipe.data.sentence_objective != "none":
        check_pairs(request.model)
    asked = recipe.model.max_position_embeddings if raised else known
    if raised and asked < known:
        raise BertkitError(
            f"{raised.origin} is under the {known} positions of {request.model}, which are kept: give {known} or more, or "
            "leave it out"
        )
    positions = max(asked, *(tokens for _, tokens in recipe.data.phases))
    model = recipe.model.model_copy(update={"max_position_embeddings": positions})
    return recipe.model_copy(update={"model": model})


def with_steps(recipe: PretrainRecipe, max_steps: int) -> PretrainRecipe:
    """The recipe with another number of steps."""
    train = recipe.train.model_copy(update={"max_steps": max_steps, "epochs": None})
    return recipe.model_copy(update={"train": train})
