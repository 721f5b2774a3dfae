"""BERTs: created with random weights, loaded from a folder or the hub, and saved as plain Hugging Face folders."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bertkit.console import counted, one_line
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors
from bertkit.models.folder import (
    FINE_TUNED,
    bert_folder,
    check_known_type,
    check_no_export,
    check_rows,
    is_bert,
    read_config,
    what_it_is,
)
from bertkit.models.foreign_fields import left_out
from bertkit.models.new_words import begin_as_means, new_words
from bertkit.models.tokenizer import UNUSED, load_tokenizer, save_tokenizer

if TYPE_CHECKING:
    from transformers import BertForPreTraining, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from bertkit.settings.schema import ModelSettings

IGNORE = -100
"""The label of a token that is not predicted (the ``ignore_index`` of cross-entropy)."""
# Matrix products are fastest on multiples of 64 (NVIDIA's matrix multiplication guide).
VOCAB_MULTIPLE = 64
PAIRS_HEAD = "next-sentence head"
# Parts of a BERT that a checkpoint may lack, by the prefix of their weights' names.
_HEADS = {
    "cls.predictions.": "masked-word head",
    "cls.seq_relationship.": PAIRS_HEAD,
    "bert.pooler.": "pooler",
    "classifier.": "classification head",
}


def new_bert(settings: "ModelSettings", tokenizer: "PreTrainedTokenizerFast", seed: int) -> "BertForPreTraining":
    """A BERT with random weights, determined by the seed. Its vocabulary is padded to a multiple of 64 rows."""
    from transformers import BertConfig, BertForPreTraining

    config = BertConfig(
        **settings.model_dump(),
        vocab_size=_padded(len(tokenizer)),
        type_vocab_size=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    with seeded(seed):
        return BertForPreTraining(config)


class LoadedBert(NamedTuple):
    """A BERT to go on from, in fp32."""

    model: "BertForPreTraining"
    tokenizer: "PreTrainedTokenizerFast"
    notes: list[str]
    """Lines that say what was created or left out."""
    new_parts: list[str]
    """The parts that the files lacked and that were created, such as "next-sentence head"."""


def load_bert_for_pretraining(
    name_or_path: str, tokenizer: "PreTrainedTokenizerFast | None" = None, seed: int = 0, positions: int = 0
) -> LoadedBert:
    """Loads a BERT to continue its pretraining, in fp32.

    Args:
        name_or_path: the folder or hub name of any BERT. Heads and a pooler that it lacks are created.
        tokenizer: used in place of the model's own; None takes that. It must have the same word pieces under the same ids,
            and may have more after them, or in place of the model's ``[unusedN]`` pieces. The embedding table grows to a
            multiple of 64 rows where it is too small. The rows of whole new words (see ``models.new_words``) start as
            the mean of the rows of the pieces that the model's own tokenizer makes of them.
        seed: of all weights that are created.
        positions: the number of tokens that the model should be able to read; see ``lengthen``.

    Raises:
        BertkitError: the model cannot be loaded, or the tokenizer does not belong to it.
    """
    folder = bert_folder(name_or_path)
    own = _own_tokenizer(folder, tokenizer)
    tokenizer = own if tokenizer is None else tokenizer
    words = new_words(tokenizer, own)
    _check_same_vocabulary(tokenizer, own, words, name_or_path)
    optional = ("cls.predictions.", "cls.seq_relationship.", "bert.pooler.")
    model, new = load_for("BertForPreTraining", name_or_path, optional, seed)
    notes = [f"the {part} is new: {name_or_path} has none" for part in new] + left_out(folder, name_or_path)
    kind = next(iter(read_config(folder, name_or_path).get("architectures") or ()), "")
    if kind.endswith(FINE_TUNED):
        notes.append(f"the head of {name_or_path} for its task ({kind}) is left out")
    rows = model.config.vocab_size
    read_segments(tokenizer, model.config.type_vocab_size)
    if len(tokenizer) > rows:
        with quiet(), seeded(seed):
            model.resize_token_embeddings(_padded(len(tokenizer)), mean_resizing=False)
    # The rows that pad the model's vocabulary have learned nothing either.
    learned = min(len(own), rows)
    if more := sum(id_ not in words for id_ in range(learned, len(tokenizer))):
        told = counted(more, "word piece is new, and its row", "word pieces are new, and their rows")
        notes.append(f"{told} untrained: {name_or_path} was trained with {learned:,}")
    begin_as_means(model, words, own)
    return LoadedBert(model, tokenizer, notes + lengthen(model, positions, name_or_path), new)


def lengthen(model: Any, positions: int, name: str) -> list[str]:
    """Adds position embeddings, where a BERT reads fewer tokens than wanted.

    The new positions start as copies of the old ones, repeated in order, so that neighbours stay neighbours (Beltagy et
    al. 2020, section 5).

    Args:
        model: a BERT with any head or none; changed in place.
        positions: the number of tokens that it should read.
        name: the model's name, for the message.

    Returns:
        A line that says what was added; an empty list where the model reads enough already.
    """
    import torch
    from torch import nn

    if positions <= (has := model.config.max_position_embeddings):
        return []
    embeddings = model.base_model.embeddings
    known = embeddings.position_embeddings.weight.detach()
    longer = known.repeat(-(-positions // has), 1)[:positions].clone()
    embeddings.position_embeddings = nn.Embedding.from_pretrained(longer, freeze=False)
    places = torch.arange(positions).unsqueeze(0)
    embeddings.position_ids = nn.Buffer(places, persistent=False)
    embeddings.token_type_ids = nn.Buffer(torch.zeros_like(places), persistent=False)
    model.config.max_position_embeddings = positions
    return [f"the positions {has} to {positions - 1} are new, copied from the first: {name} has {has}"]


def load_for(
    cls_name: str, name_or_path: str, optional: tuple[str, ...] = (), seed: int = 0
) -> "tuple[PreTrainedModel, list[str]]":
    """Loads a BERT as a given class of transformers, in fp32, from safetensors or pickled tensors; no foreign code is run.

    Args:
        cls_name: a class such as ``BertForMaskedLM``.
        name_or_path: a folder or a hub name.
        optional: prefixes of the weights that the files may lack (see ``_HEADS``); they are created.
        seed: of the weights that are created.

    Returns:
        The model, and the names of the parts that were created, such as "pooler".

    Raises:
        BertkitError: there is no such model, it is no BERT, or it lacks weights that are not optional.
    """
    import transformers

    folder = bert_folder(name_or_path)
    model, missing = load_quietly(getattr(transformers, cls_name), folder, name_or_path, seed)
    lacking = [name for name in missing if not name.startswith(optional)]
    if lacking:
        parts = _parts(lacking)
        what = " and ".join(f"no {part}" for part in parts) if parts else f"no weights for {lacking[0]}"
        told = what_it_is(read_config(folder, name_or_path), name_or_path) or "give a model that was trained with it"
        raise BertkitError(f"the model {name_or_path} has {what}: {told}")
    return model, _parts(missing)


def load_quietly(
    cls: Any, folder: Path, name: str, seed: int, new_head: bool = False, **config: Any
) -> "tuple[PreTrainedModel, list[str]]":
    """Loads a model from a folder, in fp32, without the messages of transformers; no code is run, no object unpickled.

    Args:
        cls: a model class or an auto class of transformers.
        folder: the model's folder.
        name: the model's name, for messages.
        seed: of the weights that the files lack.
        new_head: where the head in the files has other sizes, it is created instead of loaded.
        config: fields that replace those of config.json.

    Returns:
        The model, and the names of the weights that were created.

    Raises:
        BertkitError: the files cannot be loaded, or the weights do not fit the configuration.
    """
    import torch

    check_no_export(folder, name)
    try:
        with quiet(), seeded(seed):
            own = configuration(folder, config)
            # Weights of other sizes are reported below, with their names: transformers would only refer to its report.
            model, info = cls.from_pretrained(
                folder,
                config=own,
                dtype=torch.float32,
                weights_only=True,
                local_files_only=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                key_mapping={r"^module\.": ""},  # the prefix with which data-parallel training saves weights
            )
    except Exception as error:  # the files come from outside, and may make the library raise anything
        raise BertkitError(f"cannot load the model {name}: {_why(error)}") from error
    if any(key.endswith("word_embeddings.weight") for key in info["missing_keys"]):
        _check_not_nested(folder / "pytorch_model.bin", name)
    encoder = f"{model.base_model_prefix}."
    other_head = {key[0] for key in info["mismatched_keys"] if new_head and not key[0].startswith(encoder)}
    _check_fit({key for key in info["mismatched_keys"] if key[0] not in other_head}, name)
    check_finite(model, name)
    return model, sorted({*info["missing_keys"], *other_head})


def check_finite(model: Any, name: str) -> None:
    """Raises a BertkitError where a weight of a model is infinite or NaN; ``name`` is the model's, for the message."""
    for weight, values in model.named_parameters():
        if not bool(values.isfinite().all()):
            raise BertkitError(f"the weights of {name} are not finite ({weight}): give a model that was saved whole")


def configuration(folder: Path, changes: dict[str, Any]) -> "PreTrainedConfig":
    """A model's configuration with some changes, without the fields that are unknown to models of its kind.

    So neither foreign code (``auto_map``) nor options that change the form of the outputs are used or saved.

    Raises:
        BertkitError: the model needs code that comes with it.
    """
    from transformers import AutoConfig, BertConfig

    said = read_config(folder)
    check_known_type(said)
    how = {"local_files_only": True, "trust_remote_code": False}
    config = (BertConfig if is_bert(said) else AutoConfig).from_pretrained(folder, **how, **changes)
    for field in config.to_dict().keys() - type(config)().to_dict().keys():
        delattr(config, field)
    config.return_dict, config.output_attentions, config.output_hidden_states = True, False, False
    return config


def own_tokenizer(folder: Path, name: str) -> "PreTrainedTokenizerFast":
    """The tokenizer of a BERT, as ``load_tokenizer`` reads it; it gives segment ids only where the model has segments.

    Raises:
        BertkitError: the tokenizer cannot be read, or has more word pieces than the model has rows.
    """
    config = read_config(folder, name)
    tokenizer = load_tokenizer(str(folder))
    check_rows(name, len(tokenizer), config.get("vocab_size", len(tokenizer)))
    read_segments(tokenizer, config.get("type_vocab_size", 2))
    return tokenizer


def read_segments(tokenizer: "PreTrainedTokenizerFast", type_vocab_size: int) -> None:
    """Makes a tokenizer return segment ids if its model has more than one segment, and none otherwise."""
    names = [name for name in tokenizer.model_input_names if name != "token_type_ids"]
    tokenizer.model_input_names = [*names[:1], *(["token_type_ids"] if type_vocab_size > 1 else []), *names[1:]]


def save_model(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Writes config.json, model.safetensors (tied weights once) and the tokenizer's files."""
    with quiet(), disk_errors(folder):
        # With today's names of the weights: those of old checkpoints (gamma, beta) would be used again otherwise.
        model.save_pretrained(folder, save_original_format=False)
        save_tokenizer(tokenizer, folder)
        # safetensors makes files that only their owner can read, whatever the umask says.
        shutil.copymode(folder / "config.json", folder / "model.safetensors")


def _padded(num_pieces: int) -> int:
    return -(-num_pieces // VOCAB_MULTIPLE) * VOCAB_MULTIPLE


def _parts(weights: list[str]) -> list[str]:
    return [part for prefix, part in _HEADS.items() if any(name.startswith(prefix) for name in weights)]


def _check_fit(mismatched: set[tuple[str, Any, Any]], name_or_path: str) -> None:
    for name, in_file, in_config in sorted(mismatched, key=str):
        raise BertkitError(
            f"the weights of {name_or_path} do not fit its config.json: {name} is {list(in_file)} "
            f"in the file, and {list(in_config)} by the configuration"
        )


def _own_tokenizer(folder: Path, given: "PreTrainedTokenizerFast | None") -> "PreTrainedTokenizerFast":
    """The tokenizer in a model's folder; the given one where the folder has none."""
    has_one = any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
    return load_tokenizer(str(folder)) if has_one or given is None else given


def _check_same_vocabulary(
    tokenizer: "PreTrainedTokenizerFast", own: "PreTrainedTokenizerFast", words: dict[int, str], name_or_path: str
) -> None:
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    for id_, piece in enumerate(own.convert_ids_to_tokens(list(range(len(own))))):
        if pieces[id_ : id_ + 1] != [piece] and not (id_ in words and UNUSED.fullmatch(piece)):
            raise BertkitError(
                f"the tokenizer is not that of {name_or_path}: piece '{piece}' has id {id_} there and "
                f"{tokenizer.get_vocab().get(piece, 'none')} here; leave the tokenizer out, or start a new model"
            )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds torch's random numbers while the block runs; afterwards the caller's go on as if nothing had been drawn."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the reports and progress bars of transformers while the block runs; bertkit says itself what matters."""
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _why(error: BaseException) -> str:
    """Why a model cannot be loaded, in one line. (torch's own message advises to unpickle the file, whatever it holds.)"""
    if "weights_only" in str(error) or "nsafe" in type(error).__name__:
        return "its weights are pickled objects that may run code: give weights of tensors alone (model.safetensors)"
    return one_line(error)


def _check_not_nested(path: Path, name: str) -> None:
    """Raises a BertkitError where a pickled file holds the weights one level down, beside a trainer's state."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else {}
    for key in (key for key, value in content.items() if isinstance(value, dict) and value):
        raise BertkitError(
            f"cannot load the model {name}: its weights lie under '{key}' in {path.name}; save what is there alone, with "
            f"torch.save(torch.load('{path.name}')['{key}'], '{path.name}')"
        )
