import base64
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from helpers.loud import overflowing
from transformers import AutoTokenizer, BertConfig, BertModel
from typer.testing import CliRunner

from bertkit.cli.attention import attention
from bertkit.errors import BertkitError
from bertkit.inference.attention import Attention, read_attention, strongest_links
from bertkit.reporting.attention import write_attention

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(attention)


def by_transformers(folder: Path, *texts: str) -> np.ndarray:
    """``[layers, heads, from, to]``, without any of our code."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    with torch.no_grad():
        read = model(**AutoTokenizer.from_pretrained(folder)(*texts, return_tensors="pt"), output_attentions=True)
    return torch.stack(read.attentions)[:, 0].numpy()


@pytest.mark.parametrize("texts", [("the cat sat .",), ("the cats sat", "a [MASK] .")])
def test_weights_are_those_of_transformers(texts: tuple[str, ...], tiny_model: Path) -> None:
    found = read_attention(str(tiny_model), *texts)
    np.testing.assert_allclose(found.weights, by_transformers(tiny_model, *texts), atol=1e-7)
    np.testing.assert_allclose(found.weights.sum(axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("told", [True, False])
def test_a_model_of_one_segment_reads_pairs_as_well(tiny_model: Path, tmp_path: Path, told: bool) -> None:
    """Its tokenizer says that it has no segments, or as one that was taken from another model counts two."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    bert = BertModel(BertConfig.from_pretrained(tiny_model, type_vocab_size=1)).eval()
    bert.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    if told:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
        tokenizer.save_pretrained(folder)
    bert.set_attn_implementation("eager")
    ids = tokenizer("the cats", "sat .", return_tensors="pt").input_ids
    with torch.no_grad():
        expected = torch.cat(bert(input_ids=ids, output_attentions=True).attentions).numpy()
    np.testing.assert_allclose(read_attention(str(folder), "the cats", "sat .").weights, expected, atol=1e-6)


def test_tokens_are_named_and_the_special_ones_known(tiny_model: Path) -> None:
    found = read_attention(str(tiny_model), "the cats", "[MASK]")
    assert found.tokens == ["[CLS]", "the", "cat", "##s", "[SEP]", "[MASK]", "[SEP]"]
    assert found.is_special == [True, False, False, False, True, False, True]


def test_places_that_were_never_learned_are_not_read(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_max_length": 8}))
    assert read_attention(str(folder), "the cat sat .").tokens
    with pytest.raises(BertkitError, match="has 9 tokens, and .* reads 8 at most"):
        read_attention(str(folder), "a b c d e f g")


def test_one_layer_and_one_head_of_it(tiny_model: Path) -> None:
    every = read_attention(str(tiny_model), "the cat sat .").weights
    one = read_attention(str(tiny_model), "the cat sat .", layer=2, head=1)
    assert (one.layers, one.heads) == ([2], [1])
    np.testing.assert_array_equal(one.weights, every[1:2, 0:1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "the text is empty"),
        (("a", " "), "the text is empty"),
        (("a " * 40,), "the text has 42 tokens, and .* reads 32 at most"),
        (("a", None, 3), "has no layer 3: it has layers 1 to 2"),
        (("a", None, 0), "has no layer 0"),
        (("a", None, 1, 9), "has no head 9: it has heads 1 to 2"),
    ],
)
def test_what_cannot_be_read_is_one_line(arguments: tuple, message: str, tiny_model: Path) -> None:
    with pytest.raises(BertkitError, match=message):
        read_attention(str(tiny_model), *arguments)


def test_weights_that_are_not_finite_are_one_line(tiny_model: Path, tmp_path: Path) -> None:
    folder = overflowing(shutil.copytree(tiny_model, tmp_path / "model"))
    assert np.isnan(by_transformers(folder, "the cat sat .")).any()
    with pytest.raises(BertkitError, match="the answers of the model are not finite"):
        read_attention(str(folder), "the cat sat .")


def by_hand() -> Attention:
    """Two layers of one head, four tokens: the two in the middle are words."""
    weights = np.zeros((2, 1, 4, 4), dtype=np.float32)
    weights[0, 0, 1] = [0.7, 0.1, 0.2, 0]
    weights[0, 0, 2] = [0, 0.25, 0.75, 0]
    weights[1, 0, 1] = [0.1, 0, 0.9, 0]
    weights[1, 0, 3] = [0, 1, 0, 0]
    return Attention("m", ["[CLS]", "a", "b", "[SEP]"], [True, False, False, True], weights, [1, 2], [1])


def test_the_strongest_links_are_between_words() -> None:
    links = strongest_links(by_hand(), 3)
    assert [(link.layer, link.from_token, link.to_token) for link in links] == [
        (2, "a", "b"),
        (1, "b", "a"),
        (1, "a", "b"),
    ]
    assert [link.weight for link in links] == pytest.approx([0.9, 0.25, 0.2])


def test_all_links_hold_the_trivial_ones_as_well() -> None:
    links = strongest_links(by_hand(), 4, every=True)
    assert [(link.from_index, link.to_index) for link in links] == [(3, 1), (1, 2), (2, 2), (1, 0)]


def test_more_links_are_asked_for_than_there_are(tiny_model: Path) -> None:
    assert len(strongest_links(by_hand(), 1000)) == 4  # a to b and b to a, in two layers
    assert strongest_links(read_attention(str(tiny_model), "a"), 10) == []


def test_the_page_holds_the_weights(tmp_path: Path, tiny_model: Path) -> None:
    found = read_attention(str(tiny_model), "the cat <sat>")
    write_attention(found, tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1])
    assert data["tokens"] == found.tokens
    weights = np.frombuffer(base64.b64decode(data["weights"]), dtype="<u2").reshape(found.weights.shape) / 65_535
    np.testing.assert_allclose(weights, found.weights, atol=1e-5)


def test_too_much_for_a_page_is_one_line(tmp_path: Path) -> None:
    found = by_hand()
    huge = Attention("m", ["a"] * 512, [False] * 512, np.zeros((12, 12, 512, 512), np.float16), [1], [1])
    with pytest.raises(BertkitError, match="512 tokens in 12 layers of 12 heads are too much for one page"):
        write_attention(huge, tmp_path / "a.html")
    assert not any(tmp_path.iterdir())
    write_attention(found, tmp_path / "a.html")


def test_the_command_prints_links_and_says_what_it_leaves_out(tiny_model: Path) -> None:
    result = CliRunner().invoke(app, [str(tiny_model), "the cat sat ."])
    assert result.exit_code == 0
    assert "[CLS] the cat sat . [SEP]" in result.stdout
    assert "left out: links with [CLS] and [SEP]" in result.stderr
    rows = [line for line in result.stdout.splitlines() if "→" in line]
    assert rows
    assert not any("[CLS]" in row or "[SEP]" in row for row in rows)


def test_json_of_one_head_has_its_weights(tiny_model: Path) -> None:
    arguments = [str(tiny_model), "the cat", "--layer", "1", "--head", "2", "--json"]
    told = json.loads(CliRunner().invoke(app, arguments).stdout)
    np.testing.assert_allclose(told["weights"], by_transformers(tiny_model, "the cat")[0, 1], atol=1e-7)
    best = told["links"][0]
    assert told["weights"][best["from_index"]][best["to_index"]] == best["weight"]
