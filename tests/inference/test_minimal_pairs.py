"""Minimal pairs read from each form, and right answers counted against transformers' own scores."""

import json
import math

import pytest
import torch
from helpers.loud import loud
from transformers import AutoTokenizer, BertForMaskedLM, BertForPreTraining

from bertkit.errors import BertkitError
from bertkit.inference.minimal_pairs import MinimalPair, evaluate_minimal_pairs, read_pairs

PAIRS = [("the cat sat .", "the sat cat ."), ("a b c", "c b a"), ("the d e .", "d the e ."), ("j i h", "h i j")]
ALTERNATING = "".join(f"{bad}\n{good}\n" for good, bad in PAIRS)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text", "phenomenon"),
    [
        ("order.txt", ALTERNATING, ""),
        ("order-of_words.txt", ALTERNATING, "order"),
        ("order.tsv", "good\tbad\n" + "".join(f"{good}\t{bad}\n" for good, bad in PAIRS), ""),
        ("order.csv", "bad,good\n" + "".join(f"{bad},{good}\n" for good, bad in PAIRS), ""),
        (
            "order.jsonl",
            "".join(
                json.dumps({"sentence_good": good, "sentence_bad": bad, "linguistics_term": "word_order"}) + "\n"
                for good, bad in PAIRS
            ),
            "word_order",
        ),
    ],
)
def test_each_form_gives_the_same_pairs(tmp_path, capsys, name, text, phenomenon):
    stem = name.split(".")[0]
    wanted = [MinimalPair(good, bad, stem, phenomenon) for good, bad in PAIRS]
    assert read_pairs(write(tmp_path / name, text)) == wanted
    write(tmp_path / "README.md", "# Pairs\n\nof words\n")
    write(tmp_path / "LICENSE", "MIT\n")
    assert read_pairs(tmp_path) == wanted
    assert "as no files of pairs: LICENSE, README.md" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "one\ntwo\nthree\n", "3 lines, an odd number, and so no pairs"),
        ("a.txt", "", "no pairs"),
        ("a.jsonl", '{"sentence": "x"}', r"a.jsonl:1 has no texts 'good' and 'bad', only sentence"),
        ("a.tsv", "one\ttwo\nx\ty\n", "only one, two"),
    ],
)
def test_what_holds_no_pairs_is_refused(tmp_path, name, text, said):
    with pytest.raises(BertkitError, match=said):
        read_pairs(write(tmp_path / name, text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(BertkitError, match="no file or folder"):
        read_pairs(tmp_path / "nowhere")


def plain_score(model, tokenizer, text):
    """PLL-word-l2r, one masked copy after another, in transformers."""
    ids = tokenizer(text)["input_ids"]
    total = 0.0
    for place in range(1, len(ids) - 1):
        masked = list(ids)
        masked[place] = tokenizer.mask_token_id
        for later in range(place + 1, len(ids) - 1):
            if not tokenizer.convert_ids_to_tokens(ids[later]).startswith("##"):
                break
            masked[later] = tokenizer.mask_token_id
        with torch.no_grad():
            logs = model(input_ids=torch.tensor([masked])).logits[0, place].log_softmax(dim=-1)
        total += float(logs[ids[place]])
    return total


def test_accuracy_is_that_of_scores_by_transformers(tiny_model, tmp_path):
    folder = tmp_path / "model"
    loud(tiny_model, folder, BertForPreTraining, seed=5, std=1.0)
    model, tokenizer = BertForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    more = [(f"the {a} cats {b} .", f"{b} the {a} . cats") for a in "abcdef" for b in "ghij"]
    files = {"one": PAIRS, "two": more}
    for name, pairs in files.items():
        write(tmp_path / f"{name}.txt", "".join(f"{bad}\n{good}\n" for good, bad in pairs))
    right = {
        name: [plain_score(model, tokenizer, good) > plain_score(model, tokenizer, bad) for good, bad in pairs]
        for name, pairs in files.items()
    }
    source = tmp_path / "pairs"
    source.mkdir()
    for name in files:
        (tmp_path / f"{name}.txt").rename(source / f"{name}.txt")
    figures = evaluate_minimal_pairs(str(folder), source, None)
    assert {name: one["accuracy"] for name, one in figures["by_file"].items()} == {
        name: pytest.approx(sum(rights) / len(rights)) for name, rights in right.items()
    }
    assert 0 < sum(right["two"]) < len(more)  # neither trivial way round
    assert figures["pairs"] == 28
    assert math.isclose(figures["accuracy"], sum(map(sum, right.values())) / 28)
    assert "by_phenomenon" not in figures


def test_equal_scores_are_not_right(tiny_model, tmp_path):
    path = write(tmp_path / "a.txt", "the zebra sat\nthe giraffe sat\n")  # both are [UNK]
    figures = evaluate_minimal_pairs(str(tiny_model), path, None)
    assert (figures["accuracy"], figures["equal"]) == (0.0, 1)
