"""TensorFlow's checkpoints against the logits that TensorFlow computed with them (tests/helpers/tensorflow_bert.py)."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from helpers import tensorflow_bert

import bertkit
from bertkit.errors import BertkitError
from bertkit.models.import_tf import import_checkpoint

KEPT = Path(__file__).with_name("tensorflow")
CLASSES = {
    "pretraining": "BertForPreTraining",
    "classifier": "BertForSequenceClassification",
    "garden": "BertModel",
}


def answers(folder, cls_name):
    model = getattr(transformers, cls_name).from_pretrained(folder).double().eval()
    inputs = {"input_ids": tensorflow_bert.IDS, "token_type_ids": tensorflow_bert.TYPES}
    with torch.no_grad():
        out = model(**{name: torch.tensor(value) for name, value in inputs.items()})
        if cls_name == "BertModel":
            return {"states": out.last_hidden_state[0]}
        if cls_name == "BertForSequenceClassification":
            return {"classes": out.logits}
        states = model.bert(**{name: torch.tensor(value) for name, value in inputs.items()}).last_hidden_state[0]
        return {"states": states, "words": out.prediction_logits[0], "pairs": out.seq_relationship_logits}


def assert_same_answers(folder, checkpoint, kind):
    expected = np.load(checkpoint / "logits.npz")
    found = answers(folder, CLASSES[kind])
    assert set(found) == set(expected)
    for name, values in found.items():
        np.testing.assert_allclose(values.numpy(), expected[name], atol=1e-7, rtol=0, err_msg=name)


@pytest.mark.parametrize("kind", CLASSES)
def test_logits_are_those_of_tensorflow(tmp_path, kind):
    imported = import_checkpoint(KEPT / kind, tmp_path / "out")
    assert imported.cls_name == CLASSES[kind]
    assert (imported.left_out > 10) == (kind == "pretraining")  # Adam's slots and the step
    assert_same_answers(tmp_path / "out", KEPT / kind, kind)
    assert (tmp_path / "out" / "vocab.txt").read_text() == (KEPT / kind / "vocab.txt").read_text()


@pytest.mark.skipif(not find_spec("tensorflow"), reason="TensorFlow is not installed")
@pytest.mark.parametrize("kind", CLASSES)
def test_checkpoints_written_now(tmp_path, kind):
    tensorflow_bert.write(tmp_path / kind, kind)
    import_checkpoint(tmp_path / kind, tmp_path / "out")
    assert_same_answers(tmp_path / "out", tmp_path / kind, kind)


def test_a_checkpoint_is_named_by_prefix_index_or_folder(tmp_path):
    for number, name in enumerate(("model.ckpt-1234", "model.ckpt-1234.index", "")):
        import_checkpoint(KEPT / "pretraining" / name, tmp_path / str(number))
    weights = [(tmp_path / str(number) / "model.safetensors").read_bytes() for number in range(3)]
    assert weights[0] == weights[1] == weights[2]


def test_configuration_and_vocabulary_may_lie_elsewhere(tmp_path):
    for path in (KEPT / "pretraining").glob("model.ckpt*"):
        shutil.copy(path, tmp_path)
    with pytest.raises(BertkitError, match="no bert_config.json beside .*--config"):
        import_checkpoint(tmp_path / "model.ckpt-1234", tmp_path / "out")
    config, vocab = KEPT / "pretraining" / "bert_config.json", KEPT / "pretraining" / "vocab.txt"
    with pytest.raises(BertkitError, match="no vocab.txt beside .*--vocab"):
        import_checkpoint(tmp_path / "model.ckpt-1234", tmp_path / "out", config)
    named = bertkit.import_checkpoint(
        tmp_path / "model.ckpt-1234", out=str(tmp_path / "out"), config=str(config), vocab=vocab
    )
    assert (named.folder, named.missing) == (tmp_path / "out", ())
    assert_same_answers(tmp_path / "out", KEPT / "pretraining", "pretraining")


def test_old_pytorch_names_are_read(tmp_path):
    import_checkpoint(KEPT / "pretraining", tmp_path / "new")
    model = transformers.BertForPreTraining.from_pretrained(tmp_path / "new")
    old = {
        "module." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): one
        for name, one in model.state_dict().items()
    }
    folder = tmp_path / "old"
    folder.mkdir()
    torch.save(old, folder / "pytorch_model.bin")
    for name in ("bert_config.json", "vocab.txt"):
        shutil.copy(KEPT / "pretraining" / name, folder)
    import_checkpoint(folder, tmp_path / "out")
    assert_same_answers(tmp_path / "out", KEPT / "pretraining", "pretraining")


def test_objects_are_never_unpickled(tmp_path):
    shutil.copytree(KEPT / "pretraining", tmp_path / "old", ignore=shutil.ignore_patterns("model.ckpt*", "checkpoint"))
    torch.save({"weights": Path("x")}, tmp_path / "old" / "pytorch_model.bin")
    with pytest.raises(BertkitError, match="holds more than weights") as error:
        import_checkpoint(tmp_path / "old", tmp_path / "out")
    assert "weights_only" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_two_names_of_one_weight_are_refused(tmp_path):
    folder = shutil.copytree(
        KEPT / "pretraining", tmp_path / "old", ignore=shutil.ignore_patterns("model.ckpt*", "checkpoint")
    )
    bias = torch.zeros(4)
    torch.save({"bert.pooler.dense.bias": bias, "module.bert.pooler.dense.bias": bias}, folder / "pytorch_model.bin")
    with pytest.raises(
        BertkitError, match=r"holds the weight bert.pooler.dense.bias twice, the second time as module.bert"
    ):
        import_checkpoint(folder, tmp_path / "out")


def changed(tmp_path, name, change, kind="pretraining"):
    folder = tmp_path / "changed"
    shutil.copytree(KEPT / kind, folder)
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    return folder


def flipped(at):
    def flip(data):
        place = at % len(data)
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    return flip


def with_config(**values):
    return lambda data: json.dumps(json.loads(data) | values).encode()


def without(*names, **values):
    """A change of a configuration that takes fields out, and then sets others."""
    return lambda data: json.dumps({n: v for n, v in json.loads(data).items() if n not in names} | values).encode()


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.ckpt-1234.index", lambda data: data[:-9], "damaged, or no index"),
        ("model.ckpt-1234.index", lambda _: b"", "damaged, or no index"),
        ("model.ckpt-1234.index", flipped(40), "checksum is another"),
        ("model.ckpt-1234.data-00000-of-00001", lambda data: data[:4000], "it ends before byte"),
        ("model.ckpt-1234.data-00000-of-00001", flipped(-30), "damaged at '.*': its checksum is another"),
        ("bert_config.json", lambda _: b"{", "no configuration"),
        ("bert_config.json", lambda _: b"[" * 100_000, "no configuration"),
        ("bert_config.json", with_config(num_hidden_layers=10**9), "num_hidden_layers 2, and its configuration 1,000,000,000"),
        ("bert_config.json", with_config(hidden_size=10**9), "hidden_size 8, and its configuration"),
        ("bert_config.json", with_config(max_position_embeddings=10**9), "max_position_embeddings 12, and its"),
        ("bert_config.json", without("num_attention_heads"), "no num_attention_heads, which the weights do not show"),
        ("bert_config.json", with_config(num_attention_heads=3), r"hidden size \(8\) is not a multiple .* heads \(3\)"),
        ("bert_config.json", with_config(num_attention_heads=0), "num_attention_heads must be a whole number above 0, and is 0"),
        ("bert_config.json", with_config(num_hidden_layers="two"), "num_hidden_layers must be a whole number .* is 'two'"),
        ("bert_config.json", with_config(hidden_size=True), "hidden_size must be a whole number above 0, and is True"),
        ("bert_config.json", with_config(hidden_act="swoosh"), "hidden_act 'swoosh' is no activation"),
        ("bert_config.json", with_config(hidden_dropout_prob="a"), "no configuration of a BERT: Validation error"),
        ("bert_config.json", with_config(vocab_size=10**8), "20 rows for word pieces, and its configuration 100000000"),
        ("vocab.txt", lambda data: data + b"dog\nfish\n", "20 rows for word pieces, and its vocabulary 22"),
    ],
)  # fmt: skip
def test_torn_foreign_and_hostile_files_are_one_line(tmp_path, name, change, said):
    with pytest.raises(BertkitError, match=said) as error:
        import_checkpoint(changed(tmp_path, name, change), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"is_decoder": True}, "bert_config.json has is_decoder in its configuration"),
        ({"add_cross_attention": True}, "bert_config.json has add_cross_attention in its configuration"),
        ({"position_embedding_type": "relative_key"}, "bert_config.json has position_embedding_type relative_key"),
    ],
)
def test_a_kind_of_bert_that_no_command_reads_is_not_imported(tmp_path, more, said):
    with pytest.raises(BertkitError, match=said):
        import_checkpoint(changed(tmp_path, "bert_config.json", with_config(**more)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["bert.pooler.dense.bias", "cls.seq_relationship.weight"])
def test_weights_that_are_not_finite_are_not_imported(tmp_path, name, number):
    folder, weights = pickled(tmp_path, None)
    weights[name].view(-1)[3] = number
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(BertkitError, match=f"{name} has numbers that are not finite"):
        import_checkpoint(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_flipped_byte_of_the_index_is_noticed(tmp_path):
    """A checksum covers the blocks, and the footer's handles and magic are held against them."""
    data = (KEPT / "pretraining" / "model.ckpt-1234.index").read_bytes()
    random = np.random.default_rng(3)
    for at in random.choice(len(data) - 48, 40, replace=False):
        folder = changed(tmp_path / str(at), "model.ckpt-1234.index", flipped(int(at)))
        with pytest.raises(BertkitError):
            import_checkpoint(folder, tmp_path / "out")


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path, monkeypatch):
    import_checkpoint(KEPT / "pretraining", tmp_path / "out")
    model = transformers.BertForPreTraining.from_pretrained(tmp_path / "out")
    size = 4 * sum(weight.numel() for weight in model.parameters())
    real = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=size - 1))
    with pytest.raises(BertkitError, match="GB free, and the weights take"):
        import_checkpoint(KEPT / "pretraining", tmp_path / "more" / "out")
    assert not (tmp_path / "more").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=size))
    import_checkpoint(KEPT / "pretraining", tmp_path / "more" / "out")


def test_an_empty_volume_is_filled(tmp_path):
    for name in ("lost+found", ".tmp-out-0123456789ab"):
        (tmp_path / "out" / name).mkdir(parents=True)
    import_checkpoint(KEPT / "pretraining", tmp_path / "out")
    assert_same_answers(tmp_path / "out", KEPT / "pretraining", "pretraining")
    assert not list((tmp_path / "out").glob(".tmp-*"))
    with pytest.raises(BertkitError, match="is there already, and not empty: name another folder with --out"):
        import_checkpoint(KEPT / "pretraining", tmp_path / "out")


def test_a_folder_without_a_checkpoint_says_what_it_needs(tmp_path):
    with pytest.raises(BertkitError, match="no checkpoint: it needs bert_model.ckpt.index"):
        import_checkpoint(tmp_path, tmp_path / "out")
    for name in ("bert_config.json", "vocab.txt"):
        shutil.copy(KEPT / "pretraining" / name, tmp_path)
    with pytest.raises(BertkitError, match="no checkpoint .*nothing: there is no nothing.index beside it"):
        import_checkpoint(tmp_path / "nothing", tmp_path / "out")


@pytest.mark.parametrize("with_files", [False, True])
@pytest.mark.parametrize("name", ["nothing", "nothing.index", "nothing.bin", "no/thing.bin"])
def test_a_checkpoint_that_is_not_there_is_not_blamed_on_others(tmp_path, name, with_files):
    if with_files:
        for kept in ("bert_config.json", "vocab.txt"):
            shutil.copy(KEPT / "pretraining" / kept, tmp_path)
    with pytest.raises(BertkitError, match=f"^no checkpoint .*{name.removesuffix('.index')}: .* give a folder with"):
        import_checkpoint(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("flag", ["config", "vocab"])
def test_a_given_file_that_is_not_there_is_named_with_its_flag(tmp_path, flag):
    with pytest.raises(BertkitError, match=rf"^no file .*nothing\.txt: give --{flag} one that is there"):
        import_checkpoint(KEPT / "pretraining", tmp_path / "out", **{flag: tmp_path / "nothing.txt"})


@pytest.mark.parametrize("is_given", [False, True])
@pytest.mark.parametrize("settings", [{"do_lower_case": False}, {"do_lower_case": True, "strip_accents": False}])
def test_the_rules_beside_a_vocabulary_are_followed(tmp_path, capsys, settings, is_given):
    folder = changed(tmp_path, "vocab.txt", lambda data: data.replace(b"\ncat\n", "\ncät\n".encode()))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    source = KEPT / "pretraining" if is_given else folder
    import_checkpoint(source, tmp_path / "out", vocab=folder / "vocab.txt" if is_given else None)
    assert "nothing beside it" not in capsys.readouterr().err
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert read.tokenize("cät CÄT") == ["cät", "cät" if settings["do_lower_case"] else "[UNK]"]


def pickled(tmp_path, ties, **changes):
    """A checkpoint of torch with a decoder of its own; of its weights those with a new value are changed, or left out."""
    import_checkpoint(KEPT / "pretraining", tmp_path / "tied")
    weights = transformers.BertForPreTraining.from_pretrained(tmp_path / "tied").state_dict()
    weights = {name: weight.clone() for name, weight in weights.items()}
    for part, change in changes.items():
        name = f"cls.predictions.decoder.{part}"
        weights |= {name: weights[name] + change} if change is not None else {}
        if change is None:
            del weights[name]
    folder = tmp_path / "pickled"
    folder.mkdir()
    torch.save(weights, folder / "pytorch_model.bin")
    shutil.copy(KEPT / "pretraining" / "vocab.txt", folder)
    config = json.loads((KEPT / "pretraining" / "bert_config.json").read_text())
    (folder / "bert_config.json").write_text(
        json.dumps(config | ({} if ties is None else {"tie_word_embeddings": ties}))
    )
    return folder, weights


@pytest.mark.parametrize("ties", [None, True])
@pytest.mark.parametrize(("part", "same"), [("weight", "bert.embeddings.word"), ("bias", "cls.predictions.bias")])
def test_a_decoder_that_differs_is_refused_where_the_configuration_ties(tmp_path, ties, part, same):
    folder, _ = pickled(tmp_path, ties, **{part: 1})
    with pytest.raises(
        BertkitError, match=rf"decoder\.{part} is not {same}.*add the line \"tie_word_embeddings\": false"
    ):
        import_checkpoint(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_a_decoder_that_is_not_there_is_refused_where_the_configuration_has_one(tmp_path, part):
    folder, _ = pickled(tmp_path, False, **{part: None})
    with pytest.raises(BertkitError, match=rf"has no cls\.predictions\.decoder\.{part}.*tie_word_embeddings is false"):
        import_checkpoint(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_decoder_of_its_own_is_kept(tmp_path):
    folder, weights = pickled(tmp_path, False, weight=1, bias=2)
    import_checkpoint(folder, tmp_path / "out")
    read = transformers.BertForPreTraining.from_pretrained(tmp_path / "out").state_dict()
    assert read.keys() == weights.keys()
    assert all(read[name].equal(weight) for name, weight in weights.items())


@pytest.mark.parametrize("changes", [{"weight": 0, "bias": 0}, {"weight": None, "bias": None}, {"bias": None}])
def test_a_decoder_that_is_the_embeddings_may_be_there_or_not(tmp_path, changes):
    folder, _ = pickled(tmp_path, None, **changes)
    import_checkpoint(folder, tmp_path / "out")
    assert_same_answers(tmp_path / "out", KEPT / "pretraining", "pretraining")


def test_the_heads_of_a_garden_checkpoint_are_held_against_its_kernels(tmp_path):
    """4 divides the width of 8 as well, and would give other attention; the kernels are [8, 2, 4]."""
    folder = changed(tmp_path, "bert_config.json", with_config(num_attention_heads=4), "garden")
    with pytest.raises(BertkitError, match="has num_attention_heads 2, and its configuration 4"):
        import_checkpoint(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_fields_that_are_left_out_or_lacking_are_named(tmp_path, capsys):
    change = without(
        "hidden_act", "hidden_dropout_prob", hidden_activation="relu", dropout_rate=0.2, finetuning_task=None
    )
    folder = changed(tmp_path, "bert_config.json", change)
    import_checkpoint(folder, tmp_path / "out")
    path = folder / "bert_config.json"
    told = [line for line in capsys.readouterr().err.splitlines() if str(path) in line]
    assert told == [
        f"left out of what {path} says: dropout_rate, hidden_activation",
        f"{path} lacks what no weight shows: hidden_act is taken to be gelu, hidden_dropout_prob is taken to be 0.1 "
        "(--config names another file)",
    ]


@pytest.mark.parametrize(
    "more",
    [
        {},
        # As in multi_cased_L-12_H-768_A-12, and in the config.json of bert-base-uncased on the hub.
        {"directionality": "bidi", "pooler_fc_size": 768, "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3,
         "pooler_size_per_head": 128, "pooler_type": "first_token_transform"},
        {"architectures": ["BertForMaskedLM"], "gradient_checkpointing": False, "layer_norm_eps": 1e-12, "model_type": "bert",
         "pad_token_id": 0, "position_embedding_type": "absolute", "transformers_version": "4.6.0.dev0", "use_cache": True},
    ],
)  # fmt: skip
def test_configurations_of_google_and_of_the_hub_are_read_without_a_word(tmp_path, capsys, more):
    import_checkpoint(changed(tmp_path, "bert_config.json", with_config(**more)), tmp_path / "out")
    assert "bert_config.json" not in capsys.readouterr().err
    assert_same_answers(tmp_path / "out", KEPT / "pretraining", "pretraining")


def classifier(tmp_path, cls_name, named):
    """A ``pytorch_model.bin`` of a classifier as pytorch-pretrained-bert wrote them, always with a pooler; and its model."""
    folder = tmp_path / "pickled"
    folder.mkdir()
    config = json.loads((KEPT / "pretraining" / "bert_config.json").read_text())
    config |= {} if named is None else {"architectures": [named]}
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(KEPT / "pretraining" / "vocab.txt", folder)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model = getattr(transformers, cls_name)(transformers.BertConfig(**config, num_labels=3)).eval()
        pooler = transformers.BertModel(transformers.BertConfig(**config)).pooler.state_dict(prefix="bert.pooler.")
    torch.save(pooler | model.state_dict(), folder / "pytorch_model.bin")
    return folder, model


@pytest.mark.parametrize(
    ("cls_name", "tag"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("BertForTokenClassification", "token-classification"),
        ("BertForMultipleChoice", "multiple-choice"),
    ],
)
def test_a_classifier_is_of_the_class_that_its_configuration_names(tmp_path, capsys, cls_name, tag):
    """Their weights have the same names, and shapes that may be the same."""
    folder, model = classifier(tmp_path, cls_name, cls_name)
    assert import_checkpoint(folder, tmp_path / "out").cls_name == cls_name
    ids = torch.tensor(tensorflow_bert.IDS)
    ids = ids[None] if cls_name == "BertForMultipleChoice" else ids
    loaded = getattr(transformers, cls_name).from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        # Where a weight lies in memory can change the last bit of a product.
        torch.testing.assert_close(loaded(input_ids=ids).logits, model(input_ids=ids).logits, rtol=1e-5, atol=1e-7)
    assert f"pipeline_tag: {tag}\n" in (tmp_path / "out" / "README.md").read_text()
    said = capsys.readouterr().err
    assert "taken for one of whole texts" not in said
    assert ("left out: the pooler, which a BertForTokenClassification does not read" in said) == ("Token" in cls_name)


@pytest.mark.parametrize("with_pooler", [False, True])
def test_a_masked_word_model_may_have_a_pooler_that_it_does_not_read(tmp_path, capsys, with_pooler):
    """pytorch-pretrained-bert's BertForMaskedLM had one."""
    folder, weights = pickled(tmp_path, None)
    left_out = ("cls.seq_relationship.",) if with_pooler else ("cls.seq_relationship.", "bert.pooler.")
    kept = {name: weight for name, weight in weights.items() if not name.startswith(left_out)}
    torch.save(kept, folder / "pytorch_model.bin")
    capsys.readouterr()
    imported = import_checkpoint(folder, tmp_path / "out")
    assert (imported.cls_name, imported.missing) == ("BertForMaskedLM", ())
    assert ("left out: the pooler, which a BertForMaskedLM does not read" in capsys.readouterr().err) == with_pooler
    inputs = {"input_ids": tensorflow_bert.IDS, "token_type_ids": tensorflow_bert.TYPES}
    with torch.no_grad():
        model = transformers.BertForMaskedLM.from_pretrained(tmp_path / "out").double().eval()
        found = model(**{name: torch.tensor(value) for name, value in inputs.items()}).logits[0]
    expected = np.load(KEPT / "pretraining" / "logits.npz")["words"]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-7, rtol=0)


def test_a_configuration_with_a_byte_order_mark_is_read(tmp_path):
    import_checkpoint(changed(tmp_path, "bert_config.json", lambda data: b"\xef\xbb\xbf" + data), tmp_path / "out")
    assert_same_answers(tmp_path / "out", KEPT / "pretraining", "pretraining")


@pytest.mark.parametrize("named", [None, "BertModel"])
def test_a_classifier_whose_class_is_not_named_is_taken_for_one_of_texts_and_said(tmp_path, capsys, named):
    folder, _ = classifier(tmp_path, "BertForSequenceClassification", named)
    assert import_checkpoint(folder, tmp_path / "out").cls_name == "BertForSequenceClassification"
    said = capsys.readouterr().err
    assert said.count('taken for one of whole texts; for another add the line "architectures"') == 1
