"""Writes a BERT as a folder that ``SentenceTransformer(...)`` of the library sentence-transformers loads.

Its files name the modules that a text passes: the encoder, in the folder itself, and the pooling of its states. They have
the form of the library's versions 2 to 5, which its versions 2 to 6 read.
"""

import json
import shlex
import time
from pathlib import Path

import numpy as np

from bertkit import console
from bertkit.inference.embedding import Embedder
from bertkit.inference.exporting.compare import Exported, check_texts, difference, refuse_if_far
from bertkit.io.atomic import new_folder, write_text
from bertkit.io.space import check_space
from bertkit.models.bert import own_tokenizer, save_model
from bertkit.models.card import CardFacts, copy_credits, model_card, rights_of
from bertkit.models.folder import bert_folder, read_config
from bertkit.models.foreign_fields import left_out
from bertkit.models.loading import load_for, quiet

FORMAT = "sentence-transformers"
POOLINGS = ("mean", "cls")
# The library's names for the two kinds of pooling.
_POOLING_FIELDS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
_USAGE = """
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{name}")
model.similarity(model.encode(["a cat sat there ."]), model.encode(["there was a cat ."]))
"""


def export_sentences(model: str, out: Path, pooling: str) -> Exported:
    """Writes the folder, in fp32, and checks that its vectors are those of ``bertkit embed``.

    Args:
        model: a folder, a name on the hub, or "embedded".
        out: a new folder.
        pooling: "mean" of all tokens, including ``[CLS]`` and ``[SEP]``, or "cls", the state of the first token.

    Raises:
        BertkitError: the model cannot be loaded, or its vectors differ. Nothing is written then.
    """
    began = time.monotonic()
    folder = bert_folder(model)
    encoder, new = load_for("BertModel", model, optional=("pooler.",))
    if new:
        encoder.pooler = None
    check_space(out, 4 * encoder.num_parameters())
    tokenizer = own_tokenizer(folder, model)
    for told in left_out(folder, model):
        console.note(console.plain(told))
    if {*read_config(folder)["architectures"]} - {"BertModel"}:
        console.note("left out: the heads, which vectors do not need")
    texts = check_texts()
    embedder = Embedder(model, pooling=pooling, device="cpu")
    expected = np.concatenate([one.rows for chunk in embedder.chunks(texts) for one in chunk])
    with new_folder(out) as fresh:
        save_model(encoder, tokenizer, fresh)
        most = min(encoder.config.max_position_embeddings, tokenizer.model_max_length)
        for name, content in sentence_files(encoder.config.hidden_size, most, pooling).items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        write_text(fresh / "README.md", _card(model, out, pooling, began))
        copy_credits(bert_folder(model), fresh)
        vectors, lengths = _vectors(fresh, texts, pooling)
        apart = difference("sentences", vectors, expected)
        refuse_if_far(apart, FORMAT)
    return Exported(out, out / "model.safetensors", len(texts), (min(lengths), max(lengths)), [apart])


def sentence_files(hidden_size: int, most: int, pooling: str) -> dict[str, object]:
    """The files that sentence-transformers needs beside those of the encoder: their JSON, by name.

    Args:
        hidden_size: of the encoder.
        most: the most tokens that are read.
        pooling: one of ``POOLINGS``.
    """
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    return {
        "modules.json": [
            {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for number, (path, kind) in enumerate(kinds.items())
        ],
        "sentence_bert_config.json": {"max_seq_length": most, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": hidden_size}
        | {field: mode == pooling for mode, field in _POOLING_FIELDS.items()},
        "config_sentence_transformers.json": {"model_type": "SentenceTransformer", "similarity_fn_name": "cosine"},
    }


def _vectors(folder: Path, texts: list[str], pooling: str) -> tuple[np.ndarray, list[int]]:
    """The vectors of texts by the files of a folder, computed by plain transformers as sentence-transformers does.

    Returns:
        The vectors, fp32 ``[texts, H]``, and the number of tokens of each text.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    most = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))["max_seq_length"]
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, model_max_length=most
        )
        encoder = AutoModel.from_pretrained(folder, local_files_only=True, trust_remote_code=False).eval()
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        states = encoder(**batch).last_hidden_state
    inside = batch["attention_mask"].unsqueeze(-1)
    pooled = states[:, 0] if pooling == "cls" else (states * inside).sum(1) / inside.sum(1)
    return pooled.numpy(), inside.sum((1, 2)).tolist()


def _card(model: str, out: Path, pooling: str, began: float) -> str:
    import torch
    import transformers

    command = ["bertkit", "export", model, "--format", FORMAT, "--pooling", pooling, "--out", str(out)]
    how = "the mean of its tokens' last states" if pooling == "mean" else "the last state of its first token, [CLS]"
    return model_card(
        CardFacts(
            name=out.resolve().name,
            pipeline_tag="sentence-similarity",
            library=FORMAT,
            what=f"The encoder of a BERT; a text's vector is {how}. bertkit trains no "
            "vectors: train it on pairs of your own, with sentence-transformers.",
            usage=_USAGE.format(name=out.resolve().name),
            command=shlex.join(command),
            device="cpu",
            seconds=time.monotonic() - began,
            versions={"torch": torch.__version__, "transformers": transformers.__version__},
            base_model=model,
            tags=(FORMAT, "feature-extraction"),
            rights=rights_of(bert_folder(model)),
        )
    )
