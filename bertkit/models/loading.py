"""Loads any BERT, or another encoder, as a class of transformers: quietly, in fp32, and without running code from outside."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.console import one_line
from bertkit.errors import BertkitError
from bertkit.models.folder import bert_folder, check_known_type, check_no_export, is_bert, read_config, what_it_is

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

PAIRS_HEAD = "next-sentence head"
# Parts of a BERT that a checkpoint may lack, by the prefix of their weights' names.
_HEADS = {
    "cls.predictions.": "masked-word head",
    "cls.seq_relationship.": PAIRS_HEAD,
    "bert.pooler.": "pooler",
    "classifier.": "classification head",
}


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


def _parts(weights: list[str]) -> list[str]:
    return [part for prefix, part in _HEADS.items() if any(name.startswith(prefix) for name in weights)]


def _check_fit(mismatched: set[tuple[str, Any, Any]], name_or_path: str) -> None:
    for name, in_file, in_config in sorted(mismatched, key=str):
        raise BertkitError(
            f"the weights of {name_or_path} do not fit its config.json: {name} is {list(in_file)} "
            f"in the file, and {list(in_config)} by the configuration"
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
