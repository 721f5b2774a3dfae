"""Fields of a model's files that bertkit does not know and therefore drops, and the line that says so."""

from collections.abc import Mapping
from pathlib import Path

from bertkit.io.structured import read_json
from bertkit.models.folder import is_bert, read_config
from bertkit.models.tokenizer import CODE_OF_OTHERS

FIELDS_OF_OLD = {
    *("architectures", "torch_dtype", "gradient_checkpointing", "directionality", "num_labels", "output_past"),
    *("pooler_fc_size", "pooler_type", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head"),
}
"""Fields of Google's configurations and of old ones of transformers that say nothing of what a model computes."""


def left_out(folder: Path, name: str) -> list[str]:
    """A line that names the fields of a model's files that bertkit drops; an empty list where there are none.

    They are the fields of config.json that no BERT has (see ``configuration``), and those of tokenizer_config.json that
    lead to foreign code (see ``save_tokenizer``).
    """
    return said_left_out(fields_of_others(folder, name), name)


def said_left_out(fields_by_file: Mapping[str, set[str]], name: str) -> list[str]:
    """The line of ``left_out``, for fields by file as ``fields_of_others`` gives them."""
    fields = set().union(*fields_by_file.values())
    return [f"left out of what {name} says of itself: {', '.join(sorted(fields))}"] if fields else []


def fields_of_others(folder: Path, name: str) -> dict[str, set[str]]:
    """For config.json and tokenizer_config.json, the fields that no BERT has, or that lead to foreign code."""
    from transformers import BertConfig

    config, path = read_config(folder, name), folder / "tokenizer_config.json"
    tokenizer = read_json(path) if path.is_file() else {}
    # A kind of position that bertkit does not compute is refused when the model is read.
    of_berts = {*BertConfig().to_dict(), *FIELDS_OF_OLD, "position_embedding_type"}
    known = of_berts if is_bert(config) else config.keys() - {*CODE_OF_OTHERS}
    strange = {field for field in config.keys() - known if not field.startswith("bertkit_")}
    return {"config.json": strange, path.name: tokenizer.keys() & {*CODE_OF_OTHERS}}
