"""The cloze test: its ranks by hand, its intervals from SciPy, its guesses from transformers' pipeline, its sentences."""

import re
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from helpers.loud import loud
from transformers import AutoTokenizer, BertForPreTraining, pipeline

from bertkit.assets import EMBEDDED_CLOZE
from bertkit.errors import BertkitError
from bertkit.inference import cloze as module
from bertkit.inference.cloze import evaluate_cloze, rank_of, read_cloze
from bertkit.intervals import wilson_interval

ROWS = [("the [MASK] sat .", "cat|a"), ("a b [MASK] d", "c"), ("[MASK] cat sat", "the|zebra"), ("g h [MASK]", "zebra")]


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    lines = ["sentence\tanswers", *("\t".join(row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger weights, so that its guesses differ."""
    folder = tmp_path_factory.mktemp("cloze") / "model"
    loud(tiny_model, folder, BertForPreTraining, seed=3, std=0.5)
    return folder


@pytest.mark.parametrize(
    ("answers", "guesses", "rank"),
    [
        (["am", "was"], ["am", "was", "is"], 1),
        (["am", "was"], ["is", "Was", "am"], 2),
        (["Paris"], ["london", "rome", "paris"], 3),
        (["am"], ["is", "##am"], None),
        (["am"], [], None),
        (["Maße"], ["masse", "Masse", "maße"], 3),
    ],
)
def test_the_rank_is_that_of_the_first_right_guess(answers: list[str], guesses: list[str], rank: int | None) -> None:
    assert rank_of(answers, guesses) == rank


def ordered_by_pipeline(model: Path, sentence: str) -> list[dict[str, object]]:
    """All 21 word pieces, the likeliest first; the pipeline ranks the rows that pad the vocabulary as well."""
    guesses = pipeline("fill-mask", str(model), device="cpu")(sentence, top_k=64)
    return [guess for guess in guesses if guess["token"] < 21]


def test_guesses_and_ranks_are_those_of_the_pipeline(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    found = evaluate_cloze(str(model), write(tmp_path / "own.tsv", ROWS), "cpu")
    for one, (sentence, answers) in zip(found["guesses"], ROWS, strict=True):
        ordered = ordered_by_pipeline(model, sentence)
        right = [rank for rank, guess in enumerate(ordered, 1) if guess["token_str"] in answers.split("|")]
        assert one["rank"] == (right[0] if right else None)
        assert (one["sentence"], one["answers"]) == (sentence, answers.split("|"))
        assert [guess["token_str"] for guess in one["predictions"]] == [guess["token_str"] for guess in ordered[:5]]
        scores = [guess["score"] for guess in ordered[:5]]
        assert [guess["score"] for guess in one["predictions"]] == pytest.approx(scores, abs=1e-5)
    assert (found["sentences"], found["unknown"]) == (4, 1)


def test_figures_of_known_ranks(model: Path, tmp_path: Path) -> None:
    ranks = [1, 1, 2, 5, 6, 20]
    sentences = [f"{letters} [MASK] ." for letters in ("a b", "c d", "e f", "g h", "i j", "the cat")]
    answers = [
        str(ordered_by_pipeline(model, sentence)[rank - 1]["token_str"])
        for sentence, rank in zip(sentences, ranks, strict=True)
    ]
    rows = [*zip(sentences, answers, strict=True), ("j [MASK] a", "zebra"), ("a [MASK] j", "zebra")]
    found = evaluate_cloze(str(model), write(tmp_path / "own.tsv", rows), "cpu")
    assert [one["rank"] for one in found["guesses"]] == [*ranks, None, None]
    assert (found["top_1"], found["top_5"]) == (2 / 8, 4 / 8)
    assert found["mean_reciprocal_rank"] == pytest.approx((1 + 1 + 1 / 2 + 1 / 5 + 1 / 6 + 1 / 20) / 8)
    assert found["top_1_interval_95"] == list(wilson_interval(2, 8))
    assert found["top_5_interval_95"] == list(wilson_interval(4, 8))


def test_a_table_of_another_form_is_read_alike(tmp_path: Path) -> None:
    tsv = read_cloze(write(tmp_path / "own.tsv", ROWS))
    (tmp_path / "own.jsonl").write_text(
        "".join(f'{{"answers": "{answers}", "sentence": "{sentence}"}}\n' for sentence, answers in ROWS)
    )
    assert read_cloze(tmp_path / "own.jsonl") == tsv
    assert [(one.sentence, "|".join(one.answers)) for one in tsv] == ROWS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.tsv", None, "no file .*none.tsv: give a table with the columns sentence and answers"),
        ("own.txt", "a [MASK]", "own.txt has no columns: give a table"),
        ("own.tsv", "", "own.tsv has no rows"),
        ("own.tsv", "sentence\tanswers\n", "own.tsv has no rows"),
        ("own.tsv", "the [MASK] sat\tcat\na [MASK]\tb\n", "own.tsv:2 has no 'sentence', only the .MASK. sat, cat"),
        ("own.tsv", "sentence\tanswers\nno mask\tcat\n", r"own.tsv:2 has 0 \[MASK\] in its sentence: put one"),
        ("own.tsv", "sentence\tanswers\n[MASK] [MASK]\tcat\n", r"own.tsv:2 has 2 \[MASK\] in its sentence"),
        ("own.tsv", "sentence\tanswers\na [MASK]\tcat||dog\n", "own.tsv:2 has an empty answer"),
        ("own.tsv", "sentence\tanswers\na [MASK]\t\n", "own.tsv:2 has an empty answer"),
        ("own.tsv", "sentence\tanswers\na [MASK]\n", "own.tsv:2 has 1 field, the first line has 2"),
        (
            "own.jsonl",
            '{"sentence": "a [MASK]", "answers": ["b"]}\n',
            "own.jsonl:1: 'answers' is not text but list; write words",
        ),
        ("own.jsonl", '{"sentence": null, "answers": "b"}\n', "own.jsonl:1: 'sentence' is empty; fill it in"),
        ("own.tsv", b"\x89PNG\r\n\x1a\n\xff\xfe", "own.tsv:1 is not UTF-8"),
    ],
)
def test_what_is_no_cloze_test_is_one_line(tmp_path: Path, name: str, content: str | bytes | None, said: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BertkitError, match=said):
        read_cloze(path)


def test_a_cell_of_other_bytes_than_text_is_named(tmp_path: Path) -> None:
    table = pyarrow.table({"sentence": [b"a [MASK]", b"\xff [MASK]"], "answers": ["b", "c"]})
    pyarrow.parquet.write_table(table, tmp_path / "own.parquet")
    with pytest.raises(BertkitError, match="own.parquet.*2: 'sentence' holds bytes that are not UTF-8"):
        read_cloze(tmp_path / "own.parquet")


def test_the_sentences_that_come_with_bertkit() -> None:
    clozes = read_cloze(EMBEDDED_CLOZE)
    assert len({one.sentence for one in clozes}) == len(clozes) == 200
    for one in clozes:
        assert 5 <= len(one.sentence.split()) <= 14, one
        assert all(re.fullmatch("[a-z]+", answer) for answer in one.answers), one
        assert len(set(one.answers)) == len(one.answers), one
    answers = [answer for one in clozes for answer in one.answers]
    assert len(set(answers)) > 200
    assert sum(len(one.answers) <= 2 for one in clozes) > 100


def test_no_sentence_stands_in_the_corpus_that_comes_with_bertkit() -> None:
    def words(text: str) -> str:
        return f" {' '.join(re.findall('[a-z0-9]+', text.lower()))} "

    corpus = words((EMBEDDED_CLOZE.parent / "corpus.txt").read_text(encoding="utf-8"))
    assert words("Chocolate grows on trees, at least in a way.") in corpus
    filled = [
        words(one.sentence.replace("[MASK]", answer)) for one in read_cloze(EMBEDDED_CLOZE) for answer in one.answers
    ]
    assert [sentence for sentence in filled if sentence in corpus] == []


def test_answers_are_compared_as_the_model_reads_them(model: Path, tmp_path: Path) -> None:
    sentence = "the [MASK] sat ."
    plain, accented = (
        evaluate_cloze(str(model), write(tmp_path / "own.tsv", [(sentence, answers)]), "cpu")
        for answers in ("cat", "C\u00e4t|zebra")
    )
    ids = AutoTokenizer.from_pretrained(model)("C\u00e4t", add_special_tokens=False)["input_ids"]
    ordered = ordered_by_pipeline(model, sentence)
    assert [accented["guesses"][0]["rank"]] == [[guess["token"] for guess in ordered].index(ids[0]) + 1]
    assert accented["guesses"][0]["rank"] == plain["guesses"][0]["rank"]
    assert accented["unknown"] == 0
