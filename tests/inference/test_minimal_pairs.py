"""Minimal pairs read from each form, and right answers counted against transformers' own scores."""

import gzip
import json
import math

import pytest
import torch
from helpers.loud import loud
from transformers import AutoTokenizer, BertForMaskedLM, BertForPreTraining

from bertkit.errors import BertkitError
from bertkit.inference.minimal_pairs import MinimalPair, evaluate_minimal_pairs, read_pairs
from bertkit.inference.scoring import Score, Scorer

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
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / name, text)
    assert read_pairs(tmp_path) == wanted
    said = " ".join(capsys.readouterr().err.split())
    assert "as no files of pairs: LICENSE, README.md" in said
    assert "as no files of pairs: LICENSE, README.md, more/" in said


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["agr.easy.jsonl", "agr.hard.jsonl"], ["agr.easy", "agr.hard"]),
        (["a.jsonl", "a.tsv", "b.tsv"], ["a.jsonl", "a.tsv", "b"]),
        (["a.jsonl", "a.jsonl.gz"], ["a.jsonl", "a.jsonl.gz"]),
        (["v1.0.tsv.GZ", "v1.1.tsv"], ["v1.0", "v1.1"]),
    ],
)
def test_files_of_other_names_have_figures_of_their_own(tmp_path, names, files):
    good, bad = PAIRS[0]
    for name in names:
        text = json.dumps({"good": good, "bad": bad}) if "jsonl" in name else f"good\tbad\n{good}\t{bad}\n"
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.lower().endswith("gz") else text.encode())
    assert [pair.file for pair in read_pairs(tmp_path)] == files


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "one\ntwo\nthree\n", "3 lines, an odd number, and so no pairs"),
        ("a.txt", "", "no pairs"),
        ("a.jsonl", '{"sentence": "x"}', r"a.jsonl:1 has no 'good' and 'bad', only sentence"),
        ("a.tsv", "one\ttwo\nx\ty\n", "only one, two"),
        ("a.tsv", "good\tbad\nx\ty\n\tz\n", "a.tsv:3 has an empty sentence 'good'"),
        ("a.jsonl", '{"good": "x", "bad": " "}', "a.jsonl:1 has an empty sentence 'bad'"),
        ("a.jsonl", '{"good": "x", "bad": 3}', "a.jsonl:1: 'bad' is not text but int; store it as text"),
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


def test_pairs_without_a_phenomenon_are_counted_beside_the_others(taught_model, tmp_path):
    """The model has learned "b the cat sat ." by heart; of a phenomenon are 3 pairs, 2 of them the wrong way round."""
    right, wrong = ("b the cat sat .", "b cat the sat ."), ("b cat the sat .", "b the cat sat .")
    rows = [(right, "order"), (wrong, "order"), (wrong, "agreement"), (right, None), (right, "")]
    text = "".join(json.dumps({"good": a, "bad": b, "linguistics_term": term}) + "\n" for (a, b), term in rows)
    figures = evaluate_minimal_pairs(str(taught_model), write(tmp_path / "a.jsonl", text), None)
    assert {name: (one["accuracy"], one["pairs"]) for name, one in figures["by_phenomenon"].items()} == {
        "agreement": (0.0, 1),
        "order": (0.5, 2),
    }
    assert figures["without_phenomenon"] == 2
    assert (figures["accuracy"], figures["pairs"]) == (0.6, 5)


def test_equal_scores_are_not_right(tiny_model, tmp_path):
    path = write(tmp_path / "a.txt", "the zebra sat\nthe giraffe sat\n")  # both are [UNK]
    figures = evaluate_minimal_pairs(str(tiny_model), path, None)
    assert (figures["accuracy"], figures["equal"]) == (0.0, 1)


def test_a_sentence_of_which_nothing_is_read_is_refused(tiny_model, tmp_path):
    path = write(tmp_path / "a.txt", "the cat\nsat .\n\nthe cat\n\u200b\n")
    with pytest.raises(BertkitError, match="a.txt:4 has a sentence of which the model reads no word piece"):
        evaluate_minimal_pairs(str(tiny_model), path, None)


def test_pairs_of_the_same_pieces_are_equal_however_they_are_computed(tiny_model, tmp_path, monkeypatch):
    pairs = [
        ("the Cat", "the cat"),
        ("A B", "a b"),
        ("the zebra", "the giraffe"),
        ("a " * 31, "a " * 32),
        ("a b", "b a"),
    ]
    path = write(tmp_path / "a.txt", "".join(f"{bad}\n{good}\n" for good, bad in pairs))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    read = [[tokenizer(text, truncation=True, max_length=32)["input_ids"] for text in pair] for pair in pairs]
    plain = Scorer.score

    def score(self, texts):
        return [Score(one.score - 1e-6 * number, one.tokens) for number, one in enumerate(plain(self, texts))]

    monkeypatch.setattr(Scorer, "score", score)
    figures = evaluate_minimal_pairs(str(tiny_model), path, None)
    assert figures["equal"] == sum(good == bad for good, bad in read) == 4
