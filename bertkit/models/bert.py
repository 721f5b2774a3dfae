"""BERTs: created with random weights, loaded from a folder or the hub, and saved as plain Hugging Face folders."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bertkit.console import counted
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors
from bertkit.models.folder import FINE_TUNED, bert_folder, check_rows, read_config
from bertkit.models.foreign_fields import left_out
from bertkit.models.loading import load_for, quiet, seeded
from bertkit.models.new_words import begin_as_means, new_words
from bertkit.models.tokenizer import UNUSED, save_tokenizer
from bertkit.models.tokenizer_loading import load_tokenizer

if TYPE_CHECKING:
    from transformers import BertForPreTraining, PreTrainedModel, PreTrainedTokenizerFast

    from bertkit.settings.schema import ModelSettings

IGNORE = -100
"""The label of a token that is not predicted (the ``ignore_index`` of cross-entropy)."""
# Matrix products are fastest on multiples of 64 (NVIDIA's matrix multiplication guide).
VOCAB_MULTIPLE = 64


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
