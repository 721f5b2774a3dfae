"""Hostile tokenizers, texts and names: loaded or refused in one line; nothing they say reaches the terminal raw."""

import io
import re
import shutil
from contextlib import suppress
from dataclasses import replace

import pytest
import yaml
from helpers.mutate import ends_well, mutations
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from models.test_card import PLAIN
from rich.console import Console

from bertkit import console
from bertkit.cli.mask_fill import _print_table
from bertkit.errors import BertkitError
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.models.card import model_card
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.runtime.numpy_bert import NumpyBert
from bertkit.runtime.text import UnsupportedError, light_text_encoder

pytestmark = pytest.mark.slow
HUNDREDS = settings(max_examples=500, deadline=None, derandomize=True)
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json", "tokenizer_config.json"])
def test_damaged_tokenizers(tmp_path, tiny_model, name):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    if name == "vocab.txt":
        (folder / "tokenizer.json").unlink()
    for number, data in enumerate(mutations((folder / name).read_bytes(), 500, seed=1)):
        (folder / name).write_bytes(data)
        ends_well(lambda: load_tokenizer(str(folder)), (number, data[:300]))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
def test_damaged_models_are_left_to_torch(tmp_path, tiny_model, name):
    folder = shutil.copytree(tiny_model, tmp_path / "model")

    def read():
        try:
            pieces, bert = light_text_encoder(folder), NumpyBert(folder, "words")
        except UnsupportedError:
            return
        if len(pieces.vocab) <= bert.rows:
            with suppress(BertkitError):  # damaged weights may overflow, and are then not finite
                bert.word_log_probabilities([pieces.encode("the cat [MASK] .")], [[3]])

    for number, data in enumerate(mutations((folder / name).read_bytes(), 500, seed=1)):
        (folder / name).write_bytes(data)
        assert ends_well(read, (number, data[:300]))


@pytest.fixture(scope="module")
def filler(tiny_model):
    return MaskFiller(tiny_model, texts=1)


@HUNDREDS
@given(text=st.lists(st.text(max_size=9) | st.sampled_from(["[MASK]", "[/]", "[bold]", "\x1b[31m", "\ud800", "[SEP]"])))
def test_any_text_is_filled_and_shown_plainly(filler, text):
    text = " ".join(text)
    with pytest.MonkeyPatch.context() as patch:
        shown = io.StringIO()
        patch.setattr(console, "out", Console(file=shown, width=200, soft_wrap=True))
        ends_well(lambda: _print_table(text, filler.fill([text], top_k=2)[0]), text)
        assert not CONTROL.search(shown.getvalue()), text


@HUNDREDS
@given(evil=st.text() | st.sampled_from(["---\n---", "# h", "<script>", "`" * 9, "|a|b|\n|-|-|", "![x](y)", "\x1b[2J"]))
def test_any_name_stays_in_its_place_on_a_model_card(evil):
    card = model_card(replace(PLAIN, name=evil, what=evil, device=evil, language=evil, data={evil: evil}))
    _, front, body = card.split("---\n", 2)
    assert set(yaml.safe_load(front)) >= {"library_name", "pipeline_tag", "tags"}
    tokens = MarkdownIt().enable("table").parse(body)
    assert not [token for token in tokens if token.type.startswith(("html", "hr", "code"))], evil
    assert {child.type for token in tokens for child in token.children or []} <= {"text", "softbreak"}, evil
    assert not CONTROL.search(card), evil
