"""Rows of one's own and of GLUE's files, by hand."""

import dataclasses
import json

import numpy as np
import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning import data as module
from bertkit.finetuning.data import DataRequest, check_inputs, load_labelled, load_split
from bertkit.settings.recipes import load, recipe_names
from bertkit.settings.schema import FinetuneRecipe, TaskSettings


def request(train=None, validation=None, split=None, task=None, **more):
    return DataRequest(
        task or TaskSettings(), None, train and str(train), validation and str(validation), split, 1, **more
    )


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def own(tmp_path, train, validation=None, name="a.csv", **more):
    one = write(tmp_path, name, train)
    other = write(tmp_path, "v" + name, validation or train)
    return load_labelled(request(one, other, **more))


def test_words_become_classes_in_alphabetical_order(tmp_path):
    data = own(tmp_path, "text,label\none,sad\ntwo,happy\n", "text,label\nthree,happy\n")
    assert data.head.label_names == ["happy", "sad"]
    assert data.train.labels.tolist() == [1, 0]
    assert data.validation[0].texts == [("three",)]
    assert data.head.problem_type == "single_label_classification"
    assert data.notes == ["text: text; label: label", "2 classes, one label a row: happy (1), sad (1)"]


def test_whole_numbers_become_classes_in_numerical_order(tmp_path):
    data = own(
        tmp_path, "review,stars\n" + "".join(f"x,{n}\n" for n in (10, 2, 1) * 4), task=TaskSettings(label=("stars",))
    )
    assert data.head.label_names == ["1", "2", "10"]
    assert data.train.labels[:3].tolist() == [2, 1, 0]


def test_other_numbers_are_a_regression(tmp_path):
    data = own(tmp_path, "text,score\na,0.5\nb,2\n")
    assert (data.head.problem_type, data.head.label_names) == ("regression", [])
    assert data.train.labels.dtype == np.float32


def test_lists_and_flag_columns_are_several_labels_a_row(tmp_path):
    listed = "\n".join(json.dumps({"text": "x", "label": row}) for row in (["b", "a"], [], ["c"]))
    data = own(tmp_path, listed, name="a.jsonl")
    assert data.head.label_names == ["a", "b", "c"]
    assert data.train.labels.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    flags = own(tmp_path, "text,x,y\none,0,1\n", task=TaskSettings(label=("x", "y")))
    assert (flags.head.problem_type, flags.train.labels.tolist()) == ("multi_label_classification", [[0, 1]])


def test_pairs_are_found_by_their_usual_names(tmp_path):
    data = own(tmp_path, "premise\thypothesis\tlabel\na\tb\tx\nc\td\ty\n", name="a.tsv")
    assert data.train.texts == [("a", "b"), ("c", "d")]


def test_a_held_out_share_is_seeded_stratified_and_whole(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\n" + "".join(f"t{n},{'ab'[n % 4 == 0]}\n" for n in range(80)))
    data = load_labelled(request(path, split=0.25))
    assert [split.labels.mean() for split in (data.train, data.validation[0])] == [0.25, 0.25]
    texts = [text for split in (data.train, data.validation[0]) for (text,) in split.texts]
    assert sorted(texts) == sorted(f"t{n}" for n in range(80))
    assert load_labelled(request(path, split=0.25)).validation[0].texts == data.validation[0].texts


@pytest.mark.parametrize(
    ("train", "validation", "task", "message"),
    [
        ("text,label\na,x\nb,y\n", "text,label\na,z\n", {}, r"va\.csv:2: unknown label 'z'; training has x, y"),
        ("text,label\na,x\nb,x\n", None, {}, "a single class, 'x'"),
        ("text,label\na,x\nb,\nc,y\n", None, {}, r"1 of 3 rows has no label in column 'label': .*a\.csv:3"),
        ("body,label\na,x\n", None, {"text": ("text",)}, "no column 'text': use --text with one of 'body', 'label'"),
        ("foo,label\na,x\n", None, {}, r"which column of .* is the text\? use --text"),
        ("text,foo\na,x\n", None, {}, r"which column of .* is the label\? use --label"),
        (
            "text,score\na,1.5\nb,much\n",
            None,
            {"problem_type": "regression"},
            r"a\.csv:3: the label 'much' is no number",
        ),
        ("text,x,y\na,0,2\n", None, {"label": ("x", "y")}, r"a\.csv:2: column 'y' must be 0 or 1, got '2'"),
        ("text,label\n", None, {}, r"a\.csv has no rows"),
    ],
)
def test_unusable_rows_are_named(tmp_path, train, validation, task, message):
    with pytest.raises(BertkitError, match=message):
        own(tmp_path, train, validation, task=TaskSettings(**task))


def test_a_class_without_a_row_to_train_on_is_named(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\n" + "".join(f"t{n},{'xy'[n % 2]}\n" for n in range(8)) + "alone,z\n")
    for seed in range(8):
        data = load_labelled(dataclasses.replace(request(path, split=0.3), seed=seed))
        held = 2 in data.validation[0].labels
        assert any("held out whole" in told and told.endswith(": 1, z") for told in data.notes) is held


def test_columns_that_a_head_has_not_are_refused_with_what_it_reads(tmp_path):
    row = {"question": "who?", "context": "Ana left", "answers": {"text": ["Ana"], "answer_start": [0]}}
    path = write(tmp_path, "a.jsonl", json.dumps(row) + "\n")
    asked = TaskSettings(text=("context", "question"), label=("answers",))
    with pytest.raises(
        BertkitError, match="'text' does not fit: the rows are taken for those of the head span, which reads question"
    ):
        load_labelled(request(path, path, task=asked))
    with pytest.raises(BertkitError, match="'text' does not fit: there is no such thing with the head span"):
        load_labelled(request(path, path, task=asked.model_copy(update={"head": "span"})))


def test_a_column_that_is_called_nearly_so_is_said(tmp_path):
    table = "Review,label\na,x\nb,y\n"
    for asked, said in (("review", "text: Review; label: label"), ("Review", None)):
        data = own(tmp_path, table, task=TaskSettings(text=(asked,), label=("label",)))
        assert (data.notes[0] == said) is (said is not None)


def test_empty_texts_are_allowed_and_counted(tmp_path):
    assert "1 empty text in train" in own(tmp_path, "text,label\n,x\nb,y\n").notes


def test_inputs_are_checked_before_anything_is_read(tmp_path):
    with pytest.raises(BertkitError, match=r"no file nope\.csv"):
        check_inputs(request("nope.csv"))
    with pytest.raises(BertkitError, match="has no columns"):
        check_inputs(request(write(tmp_path, "a.txt", "x")))
    with pytest.raises(BertkitError, match="nothing to validate on"):
        load_labelled(request(write(tmp_path, "a.csv", "text,label\na,x\nb,y\n")))


def task(name):
    return load(FinetuneRecipe, "finetune", name, []).settings.task


def test_glues_own_files_with_their_quirks(tmp_path):
    files = {
        "CoLA/train.tsv": 'gj04\t1\t\tShe said "yes.\ngj04\t0\t*\tHim left.\n',
        "CoLA/test.tsv": "index\tsentence\n0\tA test.\n",
        "MRPC/dev.tsv": "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tone\ttwo\n",
        "STS-B/dev.tsv": "index\t" * 7 + "sentence1\tsentence2\tscore\n" + "x\t" * 7 + "a\tb\t3.250\n",
        "MNLI/dev_matched.tsv": "h\n" + "x\t" * 8 + "p\th" + "\tneutral" * 6 + "\n",
        "QNLI/train.tsv": "index\tquestion\tsentence\tlabel\n0\tq\ts\tnot_entailment\n",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path, name, content)
    cola = load_split(task("cola"), tmp_path, "train")
    assert (cola.texts, cola.labels.tolist()) == ([('She said "yes.',), ("Him left.",)], [1, 0])
    test = load_split(task("cola"), tmp_path, "test")
    assert (test.texts, test.labels) == ([("A test.",)], None)
    assert load_split(task("mrpc"), tmp_path, "validation").texts == [("one", "two")]
    assert load_split(task("stsb"), tmp_path, "validation").labels.tolist() == [3.25]
    assert load_split(task("mnli"), tmp_path, "validation_matched").labels.tolist() == [1]
    assert load_split(task("qnli"), tmp_path, "train").labels.tolist() == [1]
    with pytest.raises(BertkitError, match=r"no file .*SST-2"):
        load_split(task("sst2"), tmp_path, "train")


def test_every_task_of_glue_is_there():
    names = {"cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli", "ax"}
    assert names < set(recipe_names("finetune"))
    for name in names:
        settings = task(name)
        assert settings.tsv is not None
        assert len(settings.submission) == len(settings.test_splits)
        assert set(settings.test_splits) <= settings.tsv.files.keys()
        assert set(settings.validation_splits) <= settings.tsv.files.keys()


TAGGED = {"tokens": ["ana", "moved", "to", "oslo"], "ner_tags": ["B-PER", "O", "O", "B-LOC"]}
ASKED = {"context": "ana moved to oslo", "question": "where?", "answers": {"text": ["oslo"], "answer_start": [13]}}
CHOSEN = {"question": "what did she buy?", "choices": ["a lamp", "a boat"], "label": 1}
SWAG = {"sent1": "she opened the shop", "ending0": "it rained", "ending1": "a lamp fell", "label": 0}


@pytest.mark.parametrize(
    ("row", "text", "label", "said"),
    [
        (TAGGED, ["tokens"], ["ner_tags"], "a label for each of the 4 tokens"),
        (TAGGED, ["tokens"], ["tokens"], "a label for each"),
        (ASKED, ["context", "question"], ["answers"], "the label 'answers' is an object"),
        (CHOSEN, ["question"], ["choices"], "multiple choice"),
        (CHOSEN, [], [], "multiple choice"),
        (SWAG, ["sent1"], ["label"], "multiple choice"),
        ({"text": ["a", "b"], "label": "x"}, [], [], "'text' is a list of 2, not a text"),
        ({"text": {"en": "a"}, "label": "x"}, [], [], "'text' is an object, not a text"),
        ({"text": "a", "label": {"x": 1}}, [], [], "the label 'label' is an object"),
        ({"text": "a", "label": [{"x": 1}]}, [], [], "a label in 'label' is an object, not a name"),
    ],
)
def test_lists_and_objects_are_no_texts_and_no_classes(tmp_path, row, text, label, said):
    table = "\n".join(
        json.dumps(one)
        for one in (row, row, row | {"label": "y"} if isinstance(row.get("text"), (list, dict)) else row)
    )
    with pytest.raises(BertkitError, match=said):
        own(tmp_path, table, name="a.jsonl", task=TaskSettings(head="sequence", text=tuple(text), label=tuple(label)))


def test_a_list_among_words_is_no_class(tmp_path):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": ["x"]}, {"text": "c", "label": "y"}]
    with pytest.raises(BertkitError, match=r"a.jsonl:2: the label 'label' is a list of 1, not a class"):
        own(tmp_path, "\n".join(json.dumps(row) for row in rows), name="a.jsonl")


def test_rows_without_a_text_are_refused_or_left_out_and_counted(tmp_path):
    rows = [{"text": text, "label": "xy"[n % 2]} for n, text in enumerate(["a", None, "", "b", float("nan"), "c"])]
    rows.append({"text": "d", "label": float("nan")})
    table = "\n".join(map(json.dumps, rows))
    with pytest.raises(BertkitError, match=r"2 of 7 rows have no text in column 'text': .*a\.jsonl:2, 5; fill them in"):
        own(tmp_path, table, name="a.jsonl")
    data = own(tmp_path, table, name="a.jsonl", skip_bad_rows=True)
    assert data.train.texts == [("a",), ("",), ("b",), ("c",)]
    assert len(data.left_out) == 6  # three of the training and three of the validation rows
    assert any("left out: 6; " in told and "a.jsonl:2 has no text" in told for told in data.notes)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ({"tokens": ["Ana", "ran"], "tags": ["B-PER", "O"]}, {"tokens": ["Ana"], "tags": ["O", "O"]}, "1 token and 2 tags"),
        ({"question": "who?", "context": "Ana ran", "answers": {"text": ["Ana"], "answer_start": [0]}},
         {"question": "who?", "context": "Ana ran", "answers": {"text": ["Bob"], "answer_start": [0]}}, "'Bob' is not in"),
        ({"question": "what?", "choices": ["a", "b"], "label": 0}, {"question": "what?", "choices": ["a"], "label": 0},
         "has 1 choice"),
    ],
    ids=["tags", "answers", "choices"],
)  # fmt: skip
def test_unusable_rows_of_every_kind_are_left_out_and_counted(tmp_path, good, bad, said):
    table = "\n".join(json.dumps(row) for row in (good, bad, good))
    with pytest.raises(BertkitError, match=said):
        own(tmp_path, table, json.dumps(good), name="a.jsonl")
    data = own(tmp_path, table, json.dumps(good), name="a.jsonl", skip_bad_rows=True)
    assert len(data.train.texts) == 2
    assert len(data.left_out) == 1
    assert "a.jsonl:2" in data.left_out[0]
    assert said in data.left_out[0]


def test_a_model_is_evaluated_on_the_validation_rows_of_a_hub_dataset(monkeypatch):
    asked = []

    def rows(name, subset, *splits):
        asked.append((name, splits))
        return iter([("r 0", {"text": "a", "label": "x"}), ("r 1", {"text": "b", "label": "y"})])

    monkeypatch.setattr(module, "_hub_rows", rows)
    load_labelled(request(validation="org/name"))
    load_labelled(request(train="org/name", validation="org/other"))
    held = ("validation", "test", "train")
    assert asked == [("org/name", held), ("org/name", ("train",)), ("org/other", held)]


def test_numbers_in_the_validation_rows_are_said_to_be_classes_by_their_place(tmp_path):
    data = own(tmp_path, "text,label\none,no\ntwo,yes\n", "text,label\nthree,1\n")
    assert data.validation[0].labels.tolist() == [1]
    assert any("taken in the order of the model's classes: 0 is no, 1 is yes" in one for one in data.notes)
