"""The embedded model: small enough, whole, and as good as the README says."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import AutoModelForPreTraining, AutoTokenizer

from bertkit.assets import EMBEDDED_CLOZE
from bertkit.inference.cloze import evaluate_cloze
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.io.hub import model_folder

FOLDER = model_folder("embedded")
TWO_WORDS = Path(__file__).parents[1] / "benchmarks" / "two_words.txt"


def test_it_is_small_and_in_half_precision():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 15_000_000
    assert {weight.dtype for weight in load_file(FOLDER / "model.safetensors").values()} == {np.dtype(np.float16)}


def test_plain_transformers_loads_all_of_it():
    model, told = AutoModelForPreTraining.from_pretrained(FOLDER, output_loading_info=True)
    assert not told["missing_keys"]
    assert (model.config.num_hidden_layers, model.config.hidden_size) == (4, 256)
    assert len(AutoTokenizer.from_pretrained(FOLDER)) == 12_288


@pytest.mark.parametrize("text", ["i [MASK] a little boy", "i [MASK] a little boy ."])
def test_it_knows_what_a_little_boy_says(text):
    [[guesses]] = MaskFiller("embedded", texts=1).fill([text], top_k=1)
    assert guesses[0].token_str == "am"


JOINED = """the snow is cold and, the soup is hot and, the boy is tired and, her hair is long and, the night was dark and,
the room is small and, the bread was dry and, he is old and, the dog is big and, the water is clear and, the grass is green and,
she was kind and, the road is long and, the stone is hard and, the house was warm and, the story is sad and, the apple is red and,
the king was rich and, the wind is strong and, the cat is soft and"""


def test_it_does_not_repeat_the_word_before_and():
    texts = [" ".join(text.split()) for text in JOINED.split(",")]
    guesses = [
        masks[0][0].token_str for masks in MaskFiller("embedded").fill([f"{one} [MASK] ." for one in texts], top_k=1)
    ]
    assert guesses[0] != "cold"
    assert sum(text.split()[-2] == guess for text, guess in zip(texts, guesses, strict=True)) <= 2
    taught = {line.partition(":")[0] for line in TWO_WORDS.read_text(encoding="utf-8").splitlines()}
    assert not taught & {word for text in texts for word in text.split()}


def test_everyday_sentences():
    figures = evaluate_cloze("embedded", None, None)
    assert figures["sentences"] == 200
    assert figures["unknown"] == 0
    # What was measured when it was made; numbers of a CPU's library may tip one sentence or another.
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    for k, at_least in ((1, 0.38), (5, 0.65)):
        told = re.search(rf"top-{k} \| ([\d.]+) %", card)
        assert told
        assert figures[f"top_{k}"] == pytest.approx(float(told[1]) / 100, abs=0.011)
        assert figures[f"top_{k}"] >= at_least


def test_the_card_credits_every_story():
    with (FOLDER / "CREDITS.tsv").open(encoding="utf-8", newline="") as file:
        credits = list(csv.DictReader(file, delimiter="\t"))
    assert len(credits) == 702
    assert all(row["title"] and row["text"] and row["licence"] for row in credits)


def test_the_sentences_are_not_those_it_was_trained_on():
    corpus = (Path(EMBEDDED_CLOZE).parent / "corpus.txt").read_text(encoding="utf-8").lower()
    with EMBEDDED_CLOZE.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            for answer in row["answers"].split("|"):
                assert row["sentence"].replace("[MASK]", answer).lower() not in corpus
