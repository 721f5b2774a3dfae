"""A pretrained encoder with a head for a task, either a new head or one that was trained before.

Shapes: B texts of L tokens, W of them read by the head.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.console import one_line
from bertkit.errors import BertkitError, is_library_failure, rules_applied
from bertkit.io.structured import read_json
from bertkit.models.bert import own_tokenizer
from bertkit.models.folder import FEATURES, checked_folder, is_bert, read_config
from bertkit.models.foreign_fields import left_out
from bertkit.models.linear_heads import LINEAR_HEADS
from bertkit.models.loading import load_quietly, seeded
from bertkit.models.tokenizer_rules import check_rules

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def new_headed(
    auto_class: str,
    name_or_path: str,
    config: dict[str, Any],
    dropout: float | None,
    seed: int,
    from_scratch: bool = False,
) -> "tuple[PreTrainedModel, Any, list[str]]":
    """Loads a pretrained encoder and gives it a head, which is new unless the model's own has the same labels.

    Args:
        auto_class: an auto class of transformers, such as ``AutoModelForTokenClassification``.
        name_or_path: the folder or hub name of a BERT, or of another encoder that the class supports.
        config: fields of the configuration that describe the head: ``num_labels`` and the like.
        dropout: the rate for hidden states, attention and head; None keeps the model's own.
        seed: of the weights that are created.
        from_scratch: use only the sizes and the tokenizer of the model; all weights are random.

    Returns:
        The model, its tokenizer, and lines that say what was created or left out.

    Raises:
        BertkitError: the model or its tokenizer cannot be loaded, or weights of the encoder are missing.
    """
    import transformers

    folder, cls = checked_folder(name_or_path), getattr(transformers, auto_class)
    rates = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
    # transformers would take bertkit's own fields for arguments of the model's class.
    own = {name: value for name, value in config.items() if name.startswith("bertkit_")}
    theirs = {name: value for name, value in config.items() if name not in own}
    theirs |= {} if dropout is None else dict.fromkeys(rates, dropout)
    model, missing = load_quietly(cls, folder, name_or_path, seed, True, **theirs)
    model.config.update(own)
    if from_scratch:
        with seeded(seed):
            model = cls.from_config(model.config)
        notes = ["all weights are random: the pretrained ones are left out", *left_out(folder, name_or_path)]
        return model, encoder_tokenizer(folder, name_or_path), notes
    encoder = f"{model.base_model_prefix}."
    lacking = [name for name in missing if name.startswith(encoder) and "pooler" not in name]
    if lacking:
        raise BertkitError(f"the model {name_or_path} has no weights for {lacking[0]}: give a pretrained encoder")
    notes = [f"the pooler is new: {name_or_path} has none"] if any("pooler" in name for name in missing) else []
    head = {name for name, _ in model.named_parameters() if not name.startswith(encoder)} - {*missing}
    if head and _is_for_others(read_config(folder), config):
        with seeded(seed):
            fresh = cls.from_config(model.config)
        model.load_state_dict({name: one for name, one in fresh.state_dict().items() if name in head}, strict=False)
        notes.append(f"the head is new: that of {name_or_path} was trained for other labels")
    elif not head and type(model).__name__ in (read_config(folder).get("architectures") or ()):
        notes.append(f"the head is new: that of {name_or_path} has other sizes, for other labels")
    elif head:
        notes.append(f"the head of {name_or_path} is kept and learns on: it was trained for the same labels")
    if getattr(model.config, "type_vocab_size", None) == 1 and is_bert(read_config(folder)):
        notes.append(f"{name_or_path} knows one segment alone (type_vocab_size is 1): both texts of a pair are of it")
    return model, encoder_tokenizer(folder, name_or_path), notes + left_out(folder, name_or_path)


def _is_for_others(there: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a head of the right size was trained for other labels: other classes, the same in another order, or numbers
    (whose scale is learned anew)."""
    if wanted.get("problem_type") == "regression":
        return True
    known = {int(id_): name for id_, name in (there.get("id2label") or {}).items()}
    return "id2label" in wanted and known != wanted["id2label"]


def load_headed(auto_class: str, name_or_path: str) -> "tuple[PreTrainedModel, Any]":
    """Loads a fine-tuned model and its tokenizer.

    Raises:
        BertkitError: the model cannot be loaded, or has no weights for the head.
    """
    import transformers

    folder = checked_folder(name_or_path, features=True)
    if FEATURES in read_config(folder, name_or_path):
        from bertkit.models.features import load_features

        model = load_features(getattr(transformers, auto_class), folder, name_or_path)
        return model, encoder_tokenizer(folder, name_or_path)
    model, missing = load_quietly(getattr(transformers, auto_class), folder, name_or_path, seed=0)
    if missing:
        raise BertkitError(
            f"{name_or_path} was not fine-tuned: it has no weights for {missing[0]}; run bertkit finetune --model "
            f"{name_or_path} first"
        )
    return model, encoder_tokenizer(folder, name_or_path)


def pooled_logits(model: Any, batch: "dict[str, torch.Tensor]") -> "torch.Tensor":
    """The logits of a head on the pooled state, ``[B, outputs]``.

    Of a BERT's last layer only the state of ``[CLS]`` is computed, as the head reads nothing else. That saves 42 % of the
    multiplications of a BERT of two layers, and 7 % of one of twelve. Other models are called as they are.

    Args:
        model: a model of transformers; a BERT has to be prepared by ``attend_unpadded``.
        batch: ids, mask and segments as the model takes them, int64 ``[B, L]`` each.
    """
    from bertkit.models.features import states_of

    if not _is_linear(model, pooled=True):
        logits: torch.Tensor = model(**inputs_of(batch)).logits
        return logits
    wanted = first_tokens(batch)
    first = states_of(model, batch, wanted)
    if FEATURES in vars(model.config):
        features: torch.Tensor = model.classifier(first, wanted.sum(dim=1))
        return features
    assert model.bert.pooler is not None
    pooled: torch.Tensor = model.classifier(model.dropout(model.bert.pooler(first.unsqueeze(1))))
    return pooled


def token_logits(model: Any, batch: "dict[str, torch.Tensor]", wanted: "torch.Tensor") -> "torch.Tensor":
    """The logits of a head on each token, at some tokens only: ``[W, outputs]``, text after text.

    The last layer of a BERT is computed at these tokens only.

    Args:
        model, batch: as for ``pooled_logits``.
        wanted: bool ``[B, L]``: the tokens, all within the mask.
    """
    import torch

    from bertkit.models.features import states_of

    if not _is_linear(model, pooled=False):
        output = model(**inputs_of(batch))
        each = output.logits if "logits" in output else torch.stack([output.start_logits, output.end_logits], dim=-1)
        at_tokens: torch.Tensor = each[wanted]
        return at_tokens
    states = states_of(model, batch, wanted)
    head = getattr(model, LINEAR_HEADS[type(model).__name__].layer)
    if FEATURES in vars(model.config):
        features: torch.Tensor = head(states, wanted.sum(dim=1))
        return features
    logits: torch.Tensor = head(model.dropout(states) if hasattr(model, "dropout") else states)
    return logits


def last_layer(model: Any) -> "torch.nn.Linear | None":
    """The last linear layer outside the encoder that has a single output; None where there is none, or it has no bias."""
    layers = [layer for layer in _linear_layers(model) if layer.out_features == 1]
    return layers[-1] if layers and layers[-1].bias is not None else None


def divide_logits(model: Any, by: float) -> None:
    """Divides the logits of a model by a number, by changing the weights of the last layer outside the encoder."""
    for weight in _linear_layers(model)[-1].parameters():
        weight.data.div_(by)


def _linear_layers(model: Any) -> "list[torch.nn.Linear]":
    """The linear layers outside the encoder."""
    from torch.nn import Linear

    encoder = f"{model.base_model_prefix}."
    return [one for name, one in model.named_modules() if isinstance(one, Linear) and not name.startswith(encoder)]


def inputs_of(batch: "dict[str, torch.Tensor]") -> "dict[str, torch.Tensor]":
    """The tensors of a batch that a model takes as inputs."""
    return {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}


def first_tokens(batch: "dict[str, torch.Tensor]") -> "torch.Tensor":
    """A mask of the ``[CLS]`` of each text: bool ``[B, L]``."""
    import torch

    wanted = torch.zeros_like(batch["attention_mask"], dtype=torch.bool)
    wanted[:, 0] = True
    return wanted


def _is_linear(model: Any, pooled: bool) -> bool:
    """Whether a model is a BERT with one of ``LINEAR_HEADS``, on the pooled state or on each token as asked for."""
    known = LINEAR_HEADS.get(type(model).__name__)
    return known is not None and known.is_pooled == pooled and not model.config.is_decoder


def encoder_tokenizer(folder: Path, name: str) -> Any:
    """The tokenizer of an encoder: a BERT's as bertkit reads it, any other by ``AutoTokenizer``.

    Raises:
        BertkitError: it cannot be read, has no fast form, has rules that may come to no end, or adds tokens that the model
            lacks.
    """
    from transformers import AutoTokenizer

    config = read_config(folder, name)
    if is_bert(config):
        own = own_tokenizer(folder, name)
        _check_added(own.backend_tokenizer, config, name)
        return own
    path = folder / "tokenizer.json"
    if path.is_file():
        check_rules(read_json(path), path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except BaseException as error:  # the files come from outside, and may make the library raise anything
        if not is_library_failure(error):
            raise
        raise BertkitError(f"no tokenizer in {folder}: {one_line(error)}") from error
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise BertkitError(f"the tokenizer of {folder} has no fast form (tokenizer.json)")
    return tokenizer


def _check_added(backend: Any, config: dict[str, Any], name: str) -> None:
    """Raises a BertkitError where the tokens that a BERT's tokenizer adds to a pair have no rows in the model."""
    with rules_applied():
        added = backend.encode("", "")
    for what, ids, rows in (
        ("the id", added.ids, config.get("vocab_size", 0)),
        ("the segment", added.type_ids, config.get("type_vocab_size", 2)),
    ):
        if rows > 1 and max(ids, default=0) >= rows:  # of one segment alone, none is read
            raise BertkitError(
                f"the tokenizer of {name} adds a token with {what} {max(ids):,}, and the model knows {rows:,}, counted from "
                "0: give it the tokenizer that it was trained with"
            )


def positions_of(model: Any) -> int | None:
    """The most tokens that a model can read; None where there is no limit."""
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    padding = [
        module.padding_idx
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]
    # RoBERTa's positions start after the id of its padding token.
    return positions - (padding[0] + 1) if positions is not None and padding else positions
