"""Writes tiny checkpoints as google-research/bert and TensorFlow's model garden leave them, with the logits of TensorFlow.

    python tests/helpers/tensorflow_bert.py tests/models/tensorflow     # where TensorFlow 2 is installed

The forward pass is written anew from google-research/bert's modeling.py in TensorFlow's own operations: it knows nothing of
transformers' names or layouts, so that equal logits mean equal weights in equal places.
"""

import json
import sys
from pathlib import Path

VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghij", "the", "cat", "##s", "sat", "."]
CONFIG = {
    "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 8,
    "initializer_range": 0.02, "intermediate_size": 16, "max_position_embeddings": 12, "num_attention_heads": 2,
    "num_hidden_layers": 2, "type_vocab_size": 2, "vocab_size": len(VOCAB),
}  # fmt: skip
IDS, TYPES = [[2, 15, 16, 4, 18, 19, 3, 5, 6, 3]], [[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]]


def shapes(classes=0):
    """Name → shape of all weights, by the names of google-research/bert."""
    h, wide = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    names = {
        "bert/embeddings/word_embeddings": (len(VOCAB), h),
        "bert/embeddings/token_type_embeddings": (2, h),
        "bert/embeddings/position_embeddings": (CONFIG["max_position_embeddings"], h),
        "bert/embeddings/LayerNorm/gamma": (h,),
        "bert/embeddings/LayerNorm/beta": (h,),
        "bert/pooler/dense/kernel": (h, h),
        "bert/pooler/dense/bias": (h,),
    }
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"bert/encoder/layer_{layer}"
        dense = {f"attention/self/{one}": (h, h) for one in ("query", "key", "value")}
        dense |= {"attention/output/dense": (h, h), "intermediate/dense": (h, wide), "output/dense": (wide, h)}
        for name, (rows, columns) in dense.items():
            names |= {f"{at}/{name}/kernel": (rows, columns), f"{at}/{name}/bias": (columns,)}
        for name in ("attention/output", "output"):
            names |= {f"{at}/{name}/LayerNorm/gamma": (h,), f"{at}/{name}/LayerNorm/beta": (h,)}
    if classes:
        return names | {"output_weights": (classes, h), "output_bias": (classes,)}
    return names | {
        "cls/predictions/transform/dense/kernel": (h, h),
        "cls/predictions/transform/dense/bias": (h,),
        "cls/predictions/transform/LayerNorm/gamma": (h,),
        "cls/predictions/transform/LayerNorm/beta": (h,),
        "cls/predictions/output_bias": (len(VOCAB),),
        "cls/seq_relationship/output_weights": (2, h),
        "cls/seq_relationship/output_bias": (2,),
    }


def forward(w, tf):
    """(sequence output, pooled output) of the weights ``w`` for ``IDS``."""
    h, heads = CONFIG["hidden_size"], CONFIG["num_attention_heads"]

    def norm(x, name):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        return tf.nn.batch_normalization(
            x, mean, variance, w[f"{name}/LayerNorm/beta"], w[f"{name}/LayerNorm/gamma"], 1e-12
        )

    def dense(x, name):
        return tf.matmul(x, w[f"{name}/kernel"]) + w[f"{name}/bias"]

    x = tf.gather(w["bert/embeddings/word_embeddings"], IDS[0])
    x += tf.gather(w["bert/embeddings/token_type_embeddings"], TYPES[0])
    x = norm(x + w["bert/embeddings/position_embeddings"][: len(IDS[0])], "bert/embeddings")
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"bert/encoder/layer_{layer}"
        q, k, v = (
            tf.transpose(tf.reshape(dense(x, f"{at}/attention/self/{one}"), [-1, heads, h // heads]), [1, 0, 2])
            for one in ("query", "key", "value")
        )
        weights = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / (h // heads) ** 0.5)
        context = tf.reshape(tf.transpose(tf.matmul(weights, v), [1, 0, 2]), [-1, h])
        x = norm(dense(context, f"{at}/attention/output/dense") + x, f"{at}/attention/output")
        inner = tf.nn.gelu(dense(x, f"{at}/intermediate/dense"), approximate=False)
        x = norm(dense(inner, f"{at}/output/dense") + x, f"{at}/output")
    return x, tf.tanh(dense(x[:1], "bert/pooler/dense"))


def logits(w, tf):
    """The model's answers as arrays by name: words and next sentence, or classes."""
    states, pooled = forward(w, tf)
    if "output_weights" in w:
        return {"classes": tf.matmul(pooled, w["output_weights"], transpose_b=True) + w["output_bias"]}
    answers = {"states": states}
    if "cls/predictions/output_bias" in w:
        at = "cls/predictions/transform"
        x = tf.nn.gelu(tf.matmul(states, w[f"{at}/dense/kernel"]) + w[f"{at}/dense/bias"], approximate=False)
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        gamma, beta = w[f"{at}/LayerNorm/gamma"], w[f"{at}/LayerNorm/beta"]
        x = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-12)
        words = tf.matmul(x, w["bert/embeddings/word_embeddings"], transpose_b=True) + w["cls/predictions/output_bias"]
        pairs = tf.matmul(pooled, w["cls/seq_relationship/output_weights"], transpose_b=True)
        answers |= {"words": words, "pairs": pairs + w["cls/seq_relationship/output_bias"]}
    return answers


def garden(w, tf):
    """The encoder as the model garden tracks it: layers by number, attention by head."""
    h, heads = CONFIG["hidden_size"], CONFIG["num_attention_heads"]

    def module(**children):
        one = tf.Module()
        for name, child in children.items():
            setattr(one, name, child)
        return one

    def variable(name, *shape):
        return tf.Variable(tf.reshape(w[name], shape) if shape else w[name])

    def norm(name):
        return module(gamma=variable(f"{name}/gamma"), beta=variable(f"{name}/beta"))

    model = tf.Module()
    for number, name in enumerate(("word_embeddings", "position_embeddings", "token_type_embeddings")):
        setattr(model, f"layer_with_weights-{number}", module(embeddings=variable(f"bert/embeddings/{name}")))
    setattr(model, "layer_with_weights-3", norm("bert/embeddings/LayerNorm"))
    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"bert/encoder/layer_{layer}"
        attention = module(
            **{
                f"_{one}_dense": module(
                    kernel=variable(f"{at}/attention/self/{one}/kernel", h, heads, h // heads),
                    bias=variable(f"{at}/attention/self/{one}/bias", heads, h // heads),
                )
                for one in ("query", "key", "value")
            },
            _output_dense=module(
                kernel=variable(f"{at}/attention/output/dense/kernel", heads, h // heads, h),
                bias=variable(f"{at}/attention/output/dense/bias"),
            ),
        )
        block = module(
            _attention_layer=attention,
            _attention_layer_norm=norm(f"{at}/attention/output/LayerNorm"),
            _intermediate_dense=module(
                kernel=variable(f"{at}/intermediate/dense/kernel"), bias=variable(f"{at}/intermediate/dense/bias")
            ),
            _output_dense=module(
                kernel=variable(f"{at}/output/dense/kernel"), bias=variable(f"{at}/output/dense/bias")
            ),
            _output_layer_norm=norm(f"{at}/output/LayerNorm"),
        )
        setattr(model, f"layer_with_weights-{4 + layer}", block)
    pooler = module(kernel=variable("bert/pooler/dense/kernel"), bias=variable("bert/pooler/dense/bias"))
    setattr(model, f"layer_with_weights-{4 + CONFIG['num_hidden_layers']}", pooler)
    return model


def write(folder, kind):
    """A checkpoint of a kind, "pretraining" (with Adam's slots), "classifier" or "garden", and its logits."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(["pretraining", "classifier", "garden"].index(kind))
    arrays = {
        name: random.normal(1.0 if name.endswith("gamma") else 0.0, 0.4, shape).astype(np.float32)
        for name, shape in shapes(3 if kind == "classifier" else 0).items()
    }
    if kind == "garden":
        arrays = {name: array for name, array in arrays.items() if not name.startswith("cls/")}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bert_config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCAB) + "\n", encoding="utf-8")
    tensors = {name: tf.constant(array) for name, array in arrays.items()}
    # In float64, so that what differs is not rounding.
    wide = {name: tf.cast(tensor, tf.float64) for name, tensor in tensors.items()}
    np.savez(folder / "logits.npz", **{name: one.numpy() for name, one in logits(wide, tf).items()})
    if kind == "garden":
        tf.train.Checkpoint(model=garden(tensors, tf)).write(str(folder / "bert_model.ckpt"))
        return
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        for name, array in arrays.items():
            v1.get_variable(name, initializer=array)
            if kind == "pretraining" and array.ndim == 1:  # a few of Adam's slots are enough
                v1.get_variable(f"{name}/adam_m", initializer=np.zeros_like(array))
        v1.get_variable("global_step", initializer=np.int64(1234))
        session.run(v1.global_variables_initializer())
        name = "model.ckpt-1234" if kind == "pretraining" else "bert_model.ckpt"
        v1.train.Saver().save(session, str(folder / name), write_meta_graph=False)


if __name__ == "__main__":
    for kind in ("pretraining", "classifier", "garden"):
        write(Path(sys.argv[1]) / kind, kind)
