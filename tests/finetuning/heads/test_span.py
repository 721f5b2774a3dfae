"""Where answers are learned: blanks and characters that the tokenizer drops at their ends, texts of which nothing is read."""

import json

import numpy as np
import pytest
import transformers

from bertkit.errors import BertkitError
from bertkit.finetuning.answer_features import BEST_PLACES, SpanTargets, likeliest_spans
from bertkit.finetuning.features import Features, Split
from bertkit.finetuning.heads.span import SpanHead
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.finetuning.windows import RowEncoder
from bertkit.io.memory import memory_rows
from bertkit.settings.recipes import Override
from bertkit.settings.schema import FinetuneDataSettings, TaskSettings

COLUMNS = {"question": ("question",), "context": ("context",), "label": ("answers",)}


def row_of(context, answer):
    answers = (
        {"text": [answer], "answer_start": [context.index(answer)]} if answer else {"text": [], "answer_start": []}
    )
    return "rows:1", {"question": "the", "context": context, "answers": answers}


def learned(tiny_model, context, answer, **settings):
    """The text at the place that is learned, in each window that holds it."""
    row = row_of(context, answer)
    head = SpanHead(may_be_unanswered=False)
    split = Split("train", [head.input(row, COLUMNS)], head.labels([row], COLUMNS))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    features = head.features(split, RowEncoder.of(tokenizer, FinetuneDataSettings(**settings)))
    found = []
    for offsets, read, (begin, end) in zip(
        features.offsets, features.targets.read, features.targets.places, strict=True
    ):
        if begin:
            found.append(context[offsets[read[begin]][0] : offsets[read[end]][1]])
    return found


@pytest.mark.parametrize(
    ("context", "answer"),
    [
        ("a cat sat", "cat "),
        ("a cat sat", " cat"),
        ("a cat", " cat"),
        ("a\xa0cat\xa0sat", "\xa0cat\xa0"),
        ("a \u200bcat\u200b sat", "\u200bcat\u200b"),
        ("\u200b\ufeffcat\xad sat", "\u200b\ufeffcat\xad"),
        ("a cat\u200b \u200b", "cat\u200b \u200b"),
        ("a cat sat", "cat"),
        ("a cats sat", "cat"),
    ],
)
def test_what_the_tokenizer_drops_at_the_ends_of_an_answer_is_no_part_of_it(tiny_model, capsys, context, answer):
    assert learned(tiny_model, context, answer, max_seq_length=32) == ["cat"]
    assert capsys.readouterr().err == ""


def test_a_window_that_begins_or_ends_at_such_a_character_holds_the_answer(tiny_model, capsys):
    """Windows of one token, which do not overlap: [CLS] the [SEP] a [SEP]."""
    for context in ("a \u200bcat\u200b sat", "\u200bcat\u200b", "a\xa0cat"):
        answer = context.replace("a", "", 1).replace(" sat", "") if context[0] == "a" else context
        assert learned(tiny_model, context, answer, max_seq_length=5, stride=0) == ["cat"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("length", "found"), [(5, []), (6, ["cat sat"]), (9, ["cat sat"])])
def test_an_answer_that_the_text_is_cut_in_is_not_learned(tiny_model, capsys, length, found):
    """[CLS] the [SEP] cat sat [SEP]: of 5 tokens the second word is lost."""
    assert learned(tiny_model, "cat sat a b c", "cat sat ", max_seq_length=length, overflow="truncate") == found
    told = " ".join(capsys.readouterr().err.split())
    assert ("no window holds whole, so that none is learned or found there: 1" in told) is (not found)


def test_no_rows_are_one_line():
    with pytest.raises(BertkitError, match="^no question of the training rows has an answer"):
        SpanHead.fit([], COLUMNS, TaskSettings())


def refuse_constant(name):
    raise ValueError(name)


@pytest.mark.parametrize("context", ["\u200b", "a cat"])
def test_a_text_of_which_nothing_is_read_is_counted_and_written_as_json(tiny_model, tmp_path, capsys, context):
    """The three kinds: without an answer in a text that is read and in one that is not, and with one."""
    rows = [row_of("a cat sat", "cat")[1], row_of(context, "")[1], row_of("b", "")[1]] * 4
    settings = {"data.max_seq_length": 16, "train.max_steps": 1, "train.mixed_precision": "no"}
    request = FinetuneRequest(
        train=memory_rows("rows", rows), validation=memory_rows("held", rows), model=str(tiny_model),
        out=tmp_path / "run", device="cpu", overrides=[Override(key, value, key) for key, value in settings.items()],
    )  # fmt: skip
    finetune(request)
    told = " ".join(capsys.readouterr().err.split())
    for split in ("train", "validation"):
        line = f"texts in {split} of which the tokenizer reads nothing, so that nothing answers the question: 4"
        assert (line in told) is (context == "\u200b")
    config = json.loads((tmp_path / "run" / "config.json").read_text(), parse_constant=refuse_constant)
    assert np.isfinite(config["bertkit_no_answer_threshold"])
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    said = [json.loads(line, parse_constant=refuse_constant) for line in lines]
    assert [row["no_answer"] is None for row in said] == [row["context"] == "\u200b" for row in said]


def test_the_threshold_is_fitted_to_the_rows_that_may_be_answered():
    head = SpanHead(may_be_unanswered=True)
    answered = {"no_answer": 1.0, "n_best": [{"text": "cat"}]}
    unread = {"no_answer": None, "n_best": []}
    labels = [head.labels([row_of("a cat sat", "cat")], COLUMNS)[0], head.labels([row_of("\u200b", "")], COLUMNS)[0]]
    both = head.tuned([answered, unread], Split("held", [], labels))
    assert both.threshold == head.tuned([answered], Split("held", [], labels[:1])).threshold
    assert head.tuned([unread], Split("held", [], labels[1:])).threshold == 0.0


def test_an_answer_that_two_windows_hold_stands_once_among_the_best(tiny_model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    encoder = RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=14, stride=4))
    context = "the cat sat . " * 6
    head = SpanHead(may_be_unanswered=False)
    features = head.features(Split("", [{"question": "the", "context": context}], None), encoder)
    draw = np.random.default_rng(4)
    of_place = draw.normal(size=(len(context), 2))  # the same for a token in whichever window
    logits = []
    for offsets, read in zip(features.offsets, features.targets.read, strict=True):
        logits.append(np.stack([of_place[offsets[place][0]] if place else np.full(2, -9.0) for place in read]))
    ranked, _ = likeliest_spans(logits, features, 1)
    places = [(begin, end) for _, begin, end in ranked[0]]
    assert len(set(places)) == len(places) == BEST_PLACES
    scores = [score for score, _, _ in ranked[0]]
    assert scores == sorted(scores, reverse=True)
    # By hand: the best of all pairs of a beginning and an end within a window.
    pairs = [
        (
            logits[window][a, 0] + logits[window][b, 1],
            features.offsets[window][read[a]][0],
            features.offsets[window][read[b]][1],
        )
        for window, read in enumerate(features.targets.read)
        for a in range(1, len(read))
        for b in range(a, len(read))
    ]
    assert scores[0] == pytest.approx(max(pairs)[0])
    assert places[0] == max(pairs)[1:]


def test_rows_with_further_answers_are_counted_where_the_first_is_learned():
    columns = {"question": ("question",), "context": ("context",), "label": ("answers",)}
    texts = [["cat", "sat"], ["cat", "cat"], ["cat"], []]
    rows = [
        (
            "rows:1",
            {
                "question": "the",
                "context": "cat sat",
                "answers": [{"text": one, "answer_start": "cat sat".index(one)} for one in some],
            },
        )
        for some in texts
    ]
    head = SpanHead(may_be_unanswered=True)
    for name, said in (
        ("train", ["rows in train with several different answers, of which the first is learned: 1"]),
        ("validation", []),
    ):
        split = Split(name, [head.input(row, columns) for row in rows], head.labels(rows, columns))
        assert head.left_out(rows, columns, split) == said


def read_of(windows, tokens):
    """Features of one row in windows that all read [CLS] and its text, which has tokens of one character and blanks between."""
    places, offsets = np.arange(tokens + 1), [(0, 0), *((2 * number, 2 * number + 1) for number in range(tokens))]
    return Features([[1] * (tokens + 1)] * windows, None, np.zeros(windows, np.int64), offsets=[offsets] * windows,
                    targets=SpanTargets([places] * windows, None))  # fmt: skip


@pytest.mark.parametrize(("tokens", "is_said"), [(30, True), (31, False)])
def test_no_answer_has_more_than_30_tokens(tokens, is_said):
    """max_answer_length of Google's run_squad.py."""
    logits = np.zeros((41, 2))
    logits[1, 0] = logits[tokens, 1] = 9.0
    ranked, _ = likeliest_spans([logits], read_of(1, 40), 1)
    assert (ranked[0][0] == (18.0, 0, 2 * tokens - 1)) is is_said


def test_the_score_of_no_answer_is_the_least_of_all_windows():
    """score_null of Google's run_squad.py."""
    logits = [np.array([[none, 0.0], [0.0, 0.0]]) for none in (3.0, 1.0, 2.0)]
    assert likeliest_spans(logits, read_of(3, 1), 1)[1].tolist() == [1.0]


@pytest.mark.parametrize(("none", "said", "score"), [(np.log(3), "", 0.75), (0.0, "a", 0.5)], ids=["likelier", "equal"])
def test_no_answer_is_said_where_it_is_likelier_than_the_best_with_its_own_share(none, said, score):
    """Of two that are equal the answer is said: evaluate-v2.0.py leaves it out only where na_prob > na_prob_thresh."""
    logits = np.array([[none, 0.0], [0.0, 0.0]])
    [row] = SpanHead(True).decode([logits], read_of(1, 1), Split("", [{"question": "q", "context": "a"}], None))
    assert (row["prediction"], row["no_answer"]) == (said, none)
    assert row["score"] == pytest.approx(score)


@pytest.mark.parametrize(("excess", "f1"), [(-1e-9, 1.0), (0.0, 1.0), (1e-9, 0.0)])
def test_without_a_threshold_an_answer_counts_unless_none_is_likelier(excess, f1):
    """evaluate-v2.0.py with a difference of 0 as na_prob_thresh, whatever threshold was fitted."""
    head = SpanHead(True, threshold=-5.0)
    split = Split("held", [{}], head.labels([row_of("a cat sat", "cat")], COLUMNS))
    rows = [{"prediction": "", "no_answer": excess, "n_best": [{"text": "cat"}]}]
    assert head.details(rows, split, ["f1"], seed=1)["eval_f1_untuned"] == f1
