"""Rows of one's own and of GLUE's files, by hand."""

import dataclasses
import json

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning import row_sources, task_rows
from bertkit.finetuning.alignment import head_of_task
from bertkit.finetuning.data import load_labelled, load_table
from bertkit.finetuning.heads.number import Number
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.token import TokenHead
from bertkit.finetuning.labelled import DataRequest
from bertkit.finetuning.row_sources import check_inputs
from bertkit.finetuning.task_rows import load_split
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
        no_row = "1 class has no row in train but in validation, so the model learns not to give it: z"
        assert (no_row in data.notes) is held


@pytest.mark.parametrize(
    ("rare", "told"),
    [
        (["p"] * 3, []),  # 18 and 3 rows, of which 11 and 3 are trained on
        (["p"] * 2 + ["q"] * 2, ["y is 2 of 13 rows"]),  # 18 and 4, of which 11 and 2 are
    ],
)
def test_weights_are_advised_by_the_rows_to_train_on_alone(tmp_path, rare, told):
    rows = [f"t{n},x\n" for n in range(18)] + [f"{text},y\n" for text in rare]
    data = load_labelled(request(write(tmp_path, "a.csv", "text,label\n" + "".join(rows)), split=0.4))
    weighs = "--set train.class_weights=balanced weighs them alike"
    assert [note for note in data.notes if "class_weights" in note] == [
        f"uneven classes, {one}: {weighs}" for one in told
    ]


def test_columns_that_a_head_has_not_are_refused_with_what_it_reads(tmp_path):
    row = {"question": "who?", "context": "Ana left", "answers": {"text": ["Ana"], "answer_start": [0]}}
    path = write(tmp_path, "a.jsonl", json.dumps(row) + "\n")
    asked = TaskSettings(text=("context", "question"), label=("answers",))
    with pytest.raises(
        BertkitError, match="--text does not fit: the rows are taken for those of the head span, which reads question"
    ):
        load_labelled(request(path, path, task=asked))
    with pytest.raises(BertkitError, match="--text does not fit: there is no such thing with the head span"):
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
        (TAGGED, ["tokens"], ["tokens"], "the column 'tokens' is named for the text and for the label"),
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


def test_what_is_read_differently_is_counted_in_each_split(tmp_path):
    entities = [{"text": "Ana ran to New York", "entities": [[0, 3, "PER"], [11, 19, "LOC"]]}] * 2
    overlapping = {"text": "Ana ran to New York", "entities": [[0, 3, "PER"], [11, 19, "LOC"], [11, 14, "PER"]]}
    asked = {"question": "who?", "context": "so Ana ran", "answers": {"text": ["Ana"], "answer_start": [3]}}
    moved = asked | {"answers": {"text": ["Ana"], "answer_start": [0]}}
    tags = {"tokens": ["Ana", "ran"], "tags": ["B-PER", "O"]}
    stray = {"tokens": ["so", "Ana"], "tags": ["O", "I-PER"]}
    for good, held, said in (
        (entities, overlapping, "entities that overlap a longer one, left out in validation: 1"),
        ([asked], moved, "answers that stand elsewhere than validation says, and were found: 1"),
        ([tags] * 3, stray, "tags that go on with nothing, read as beginnings in validation: 1"),
    ):
        data = own(tmp_path, jsonl(*good), jsonl(*good, held), name="a.jsonl")
        assert said in data.notes
        alone = load_labelled(request(validation=tmp_path / "va.jsonl", head=data.head))
        assert said in alone.notes


def test_a_question_that_a_row_lacks_is_refused_as_an_empty_one_is(tmp_path):
    row = {"question": "who?", "choices": ["a", "b"], "label": 0}
    for lacking in ({"choices": ["a", "b"], "label": 0}, row | {"question": None}):
        with pytest.raises(BertkitError, match="1 of 3 rows has no text in column 'question': .*:3"):
            own(tmp_path, jsonl(row, row, lacking), jsonl(row), name="a.jsonl")


@pytest.mark.parametrize("skip_bad_rows", [False, True])
def test_choices_counted_from_1_are_refused_and_not_learned_with_the_next_one(tmp_path, skip_bad_rows):
    def table(*labels):
        return "question,choice1,choice2,choice3,label\n" + "".join(f"q{n},a,b,c,{n}\n" for n in labels)

    good = own(tmp_path, table(0, 1, 2), table(1, 2))
    assert good.validation[0].labels.tolist() == [1, 2]  # a few rows may lack a 0
    for train, held, name in ((table(1, 2, 3), table(1, 2), "a.csv"), (table(0, 1), table(1, 3, 3), "va.csv")):
        with pytest.raises(
            BertkitError, match=rf"{name} seems to count choices from 1: no row has the label 0, and \d row"
        ):
            own(tmp_path, train, held, skip_bad_rows=skip_bad_rows)
    data = own(tmp_path, table(0, 3, 2), table(1), skip_bad_rows=True)
    assert data.train.labels.tolist() == [0, 2]
    assert len(data.left_out) == 1


def test_rows_without_a_text_are_refused_or_left_out_and_counted(tmp_path):
    rows = [{"text": text, "label": "xy"[n % 2]} for n, text in enumerate(["a", None, "", "b", float("nan"), "c"])]
    rows.append({"text": "d", "label": float("nan")})
    table = "\n".join(map(json.dumps, rows))
    with pytest.raises(
        BertkitError, match=r"2 of 7 rows have no text in column 'text': .*:2, 5; fill them in.*; --skip-bad"
    ):
        own(tmp_path, table, name="a.jsonl")
    with pytest.raises(BertkitError, match="fill them in, or leave them out$"):  # which evaluate has no option for
        load_labelled(request(validation=tmp_path / "a.jsonl", head=OneClass(["x", "y"])))
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


@pytest.mark.parametrize(("column", "bad"), [("text", b"\xff"), ("label", b"\xff"), ("image", b"\x89PNG\xff")])
def test_bytes_that_are_no_text_matter_in_columns_that_are_read(tmp_path, column, bad):
    rows = [{"text": f"row {n}".encode(), "label": b"xy"[n % 2 :][:1], "image": b"GIF"} for n in range(4)]
    rows[2][column] = bad
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    asked = request(train=str(path))
    if column != "image":
        with pytest.raises(BertkitError, match=rf"a\.parquet:3: '{column}' holds bytes that are not UTF-8"):
            load_table(asked)
        asked = dataclasses.replace(asked, skip_bad_rows=True)
    data = load_table(asked)
    assert data.train.texts == [(f"row {n}",) for n in range(4) if n != 2 or column == "image"]
    assert len(data.left_out) == (column != "image")


def test_a_model_is_evaluated_on_the_validation_rows_of_a_hub_dataset(monkeypatch):
    asked = []

    def rows(name, subset, *splits):
        asked.append((name, splits))
        return iter([("r 0", {"text": "a", "label": "x"}), ("r 1", {"text": "b", "label": "y"})])

    for module in (row_sources, task_rows):
        monkeypatch.setattr(module, "hub_rows", rows)
    load_labelled(request(validation="org/name"))
    load_labelled(request(train="org/name", validation="org/other"))
    held = ("validation", "test", "train")
    assert asked == [("org/name", held), ("org/name", ("train",)), ("org/other", held)]


def test_numbers_in_the_validation_rows_are_said_to_be_classes_by_their_place(tmp_path):
    data = own(tmp_path, "text,label\none,no\ntwo,yes\n", "text,label\nthree,1\n")
    assert data.validation[0].labels.tolist() == [1]
    assert any("taken in the order of the model's classes: 0 is no, 1 is yes" in one for one in data.notes)


TAGS_OF_MODEL = ["O", "B-ORG", "I-ORG", "B-PER", "I-PER"]
TAGS_OF_ROWS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")


def jsonl(*rows):
    return "\n".join(map(json.dumps, rows)) + "\n"


def test_tags_that_are_numbers_are_those_of_the_task_and_the_order_is_said(tmp_path):
    rows = write(tmp_path, "n.jsonl", jsonl({"tokens": ["Ana", "ran", "Acme"], "ner_tags": [1, 0, 3]}))
    model = TokenHead(TAGS_OF_MODEL, "BIO")
    data = load_labelled(request(validation=rows, head=model, task=TaskSettings(labels=TAGS_OF_ROWS)))
    assert data.validation[0].labels[0].tags == ["B-PER", "O", "B-ORG"]
    said = "the tags are numbers and are taken in the order of"
    assert f"{said} task.labels: 0 is O, 1 is B-PER, 2 is I-PER, …" in data.notes
    data = load_labelled(request(validation=rows, head=model))
    assert data.validation[0].labels[0].tags == ["B-ORG", "O", "B-PER"]
    assert (
        f"{said} the model's tags (--set task.labels=… names another): 0 is O, 1 is B-ORG, 2 is I-ORG, …" in data.notes
    )
    named = jsonl({"tokens": ["Ana", "Acme"], "ner_tags": ["B-PER", "B-ORG"]})
    data = load_labelled(request(write(tmp_path, "t.jsonl", named), rows))
    assert any(f"{said} the model's tags (--set task.labels=… names another): 0 is O" in told for told in data.notes)


def test_the_tags_of_a_task_are_numbered_by_the_task_and_not_by_the_model(monkeypatch):
    row = {"tokens": ["Ana", "ran", "Acme"], "ner_tags": [1, 0, 3]}
    for module in (row_sources, task_rows):
        monkeypatch.setattr(module, "hub_rows", lambda *_: iter([("r 0", row)]))
    conll = task("conll2003")
    head, places = head_of_task(
        TokenHead([*TAGS_OF_MODEL, "B-LOC", "I-LOC", "B-MISC", "I-MISC"], "BIO"), conll, "conll"
    )
    assert places is None
    assert load_split(conll, None, "validation", head).labels[0].tags == ["B-PER", "O", "B-ORG"]
    nameless, _ = head_of_task(TokenHead([f"LABEL_{n}" for n in range(9)], ""), conll, "conll")
    assert load_split(conll, None, "validation", nameless).labels[0].tags == ["LABEL_1", "LABEL_0", "LABEL_3"]


@pytest.mark.parametrize(
    ("head", "asked", "said"),
    [
        (None, {"label": ("a", "b"), "problem_type": "regression"},
         r"2 columns are named for the label \('a', 'b'\), of which the head sequence with task.problem_type=regression reads 1"),
        (None, {"label": ("a", "b"), "problem_type": "single_label_classification"}, "2 columns are named for the label"),
        (Number(), {"label": ("a", "b")}, "2 columns are named for the label"),
        (OneClass(["0", "1"]), {"label": ("a", "b")}, "2 columns are named for the label"),
        (None, {"text": ("text", "t", "u"), "label": ("a",)}, "3 columns are named for the text .* reads 2 at most"),
        (None, {"label": ("a", "A ")}, "the column 'a' is named twice for the label: name another with --label"),
        (None, {"text": ("t", "t"), "label": ("a",)}, "the column 't' is named twice for the text"),
        (None, {"text": ("a",), "label": ("a",)}, "the column 'a' is named for the text and for the label"),
        (None, {"head": "token", "text": ("t", "u"), "label": ("a",)}, "of which the head token reads 1 at most"),
        (None, {"head": "token", "text": ("t",), "label": ("a", "b")}, "of which the head token reads 1 at most"),
    ],
)  # fmt: skip
def test_columns_that_would_not_be_read_are_refused(tmp_path, head, asked, said):
    rows = write(tmp_path, "a.csv", "text,t,u,a,b\nx,y,z,0,1\nx,y,z,1,0\n")
    rows = {"train": rows, "validation": rows} if head is None else {"validation": rows}
    with pytest.raises(BertkitError, match=said):
        load_labelled(request(**rows, head=head, task=TaskSettings(**asked)))


def test_columns_that_are_read_are_not_refused(tmp_path):
    table = "text,t,u,a,b\nx,y,z,0,1\nx,y,z,1,0\n"
    several = {"label": ("a", "b"), "problem_type": "multi_label_classification"}
    for asked in ({"label": ("a", "b")}, several):
        assert own(tmp_path, table, task=TaskSettings(**asked)).head.label_names == ["a", "b"]
    assert own(tmp_path, table, task=TaskSettings(text=("t", "u"), label=("a",))).train.texts[0] == ("y", "z")
    asked = TaskSettings(head="choice", text=("text", "t", "u"), label=("a",))
    data = own(tmp_path, "text,t,u,ending0,ending1,a\nx,y,z,no,yes,1\n", task=asked)
    assert data.train.texts == [{"question": "x y z", "choices": ["no", "yes"]}]


def test_numbers_among_the_names_of_classes_are_unknown(tmp_path):
    train, held = "text,label\na,neg\nb,pos\n", "text,label\na,neg\nb,pos\nc,1\nd,0\n"
    with pytest.raises(BertkitError, match=r"va\.csv:4: unknown label '1'; training has neg, pos"):
        own(tmp_path, train, held)
    data = own(tmp_path, train, held, skip_bad_rows=True)
    assert data.validation[0].texts == [("a",), ("b",)]
    assert len(data.left_out) == 2
    assert "va.csv:4: unknown label '1'" in data.left_out[0]
    # Where no row has a name, the number is what is known, and the word is not.
    with pytest.raises(BertkitError, match=r"va\.csv:3: unknown label 'x'"):
        own(tmp_path, train, "text,label\nc,1\nd,x\n")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            [{"text": None, "label": label} for label in "xyxyxy"],
            r"none of 6 rows can be used; the first: .*a\.jsonl:1 has no text",
        ),
        (
            [{"question": "who?", "context": "Ana", "answers": ["Bo"]}] * 3,
            r"none of 3 rows can .*a\.jsonl:1: the answer 'Bo'",
        ),
        ([5, "x"], r"none of 2 rows can be used; the first: .*a\.jsonl:1"),
    ],
    ids=["texts", "answers", "lines"],
)
def test_rows_of_which_none_can_be_used_are_refused_with_the_first_reason(tmp_path, rows, said):
    path = write(tmp_path, "a.jsonl", jsonl(*rows))
    with pytest.raises(BertkitError, match=said):
        load_table(request(path, skip_bad_rows=True))


def test_validation_rows_of_which_none_can_be_used_are_refused_with_the_first_reason(tmp_path):
    train = jsonl({"text": "a", "label": "x"}, {"text": "b", "label": "y"})
    with pytest.raises(BertkitError, match=r"none of 2 rows can be used; the first: .*va\.jsonl:1 has no text"):
        own(tmp_path, train, jsonl(*[{"text": None, "label": "x"}] * 2), name="a.jsonl", skip_bad_rows=True)
    with pytest.raises(BertkitError, match=r"none of 2 rows can be used; the first: .*va\.jsonl:1"):
        own(tmp_path, train, "5\n6\n", name="a.jsonl", skip_bad_rows=True)


def test_columns_that_are_not_read_are_named(tmp_path):
    train = "No.,What they wrote,Mood,c,d,e,f\n" + "".join(
        f"{n},this is the long text number {n},{'good' if n % 2 else 'bad'},{n},{n},{n},{n}\n" for n in range(40)
    )
    assert own(tmp_path, train).notes[0].endswith("; not read: 'No.', c, d, e and 1 more")
    choices = "question,choice0,choice1,answer,id\nwhat,a,b,1,x\nwhy,so,not so,so,y\n"
    data = own(tmp_path, choices)
    assert data.notes[0] == "text: question; label: answer; not read: id"
    assert data.train.labels.tolist() == [1, 0]
    assert "not read" not in str(own(tmp_path, "text,label\na,x\nb,y\n").notes)


def test_a_question_about_a_text_with_classes_is_a_pair(tmp_path):
    """As in BoolQ."""
    rows = [{"question": f"is {n}", "passage": f"it is {n} so", "label": bool(n % 2)} for n in range(4)]
    data = own(tmp_path, jsonl(*rows), name="a.jsonl")
    assert (data.head.name, data.columns["text"]) == ("sequence", ("question", "passage"))


def test_answers_without_a_position_are_learned_and_counted(tmp_path):
    rows = "id,question,context,answer\n1,who?,Ana met Bo,Ana\n2,whom?,Bo saw Bo,Bo\n"
    data = own(tmp_path, rows)
    assert (data.head.name, [one.starts for one in data.train.labels]) == ("span", [[0], [0]])
    told = "answers in train without a position (answer_start), taken where they stand first: 2; 1 of them stand there"
    assert any(note.startswith(told) for note in data.notes)


def test_positions_may_stand_in_a_column_of_their_own(tmp_path):
    rows = "ID,Question,Context,Answer,answer_start\n1,who?,Bo saw Bo,Bo,7\n2,whom?,Ana met Bo,Bo,8\n"
    data = own(tmp_path, rows)
    assert (data.head.name, [one.starts for one in data.train.labels]) == ("span", [[7], [8]])
    assert not any("without a position" in note or "not read" in note for note in data.notes)


def test_a_label_column_of_lists_is_found_in_any_form(tmp_path):
    rows = [
        {"words of it": f"this is the long text {n}", "topics": ["a", "b"] if n % 2 else ["b"], "n": n}
        for n in range(30)
    ]
    data = own(tmp_path, jsonl(*rows), name="a.jsonl")
    assert (data.columns["label"], data.head.label_names) == (("topics",), ["a", "b"])


def test_blanks_around_labels_are_counted(tmp_path):
    data = own(tmp_path, "text,label\na,good\nb,good \nc, bad\n", "text,label\nd,bad\n")
    assert data.head.label_names == ["bad", "good"]
    assert "labels in train with blanks around them, read without these: 2" in data.notes


def test_empty_texts_are_counted_where_a_model_is_evaluated(tmp_path):
    head = own(tmp_path, "text,label\na,x\nb,y\n").head
    path = write(tmp_path, "b.csv", "text,label\n,x\nb,y\n")
    assert load_labelled(request(None, path, head=head)).notes[1:] == ["1 empty text in validation"]


@pytest.mark.parametrize("head", [None, "token"])
def test_a_table_with_a_word_and_its_tag_a_row_is_refused_with_what_to_write(tmp_path, head):
    path = write(tmp_path, "a.csv", "Sentence #,Word,POS,Tag\n1,London,NNP,B-geo\n,is,V,O\n")
    with pytest.raises(
        BertkitError, match=r"which column .*; if each row has one word, 'Word', with its tag, 'Tag': .*\.conll"
    ):
        load_table(request(path, task=TaskSettings(head=head)))
    numbered = write(
        tmp_path, "k.csv", "Sentence #,Word,POS,Tag\n" + "Sentence: 1,London,NNP,B-geo\nSentence: 1,is,V,O\n" * 20
    )
    with pytest.raises(BertkitError, match="if each row has one word, 'Word', with its tag, 'Tag'"):
        load_table(request(numbered, task=TaskSettings(head=head)))
    lexicon = "sentence,token,label,source\n" + "the cat sat,cat,easy,I-95\na cat sat,sat,hard,O\n" * 2
    assert own(tmp_path, lexicon).head.label_names == ["easy", "hard"]


def test_the_kind_of_task_is_told_by_more_rows_than_the_first(tmp_path):
    """An empty answer tells nothing, and "yes" may happen to stand in a text."""
    header = "question,context,answer\n"
    path = write(tmp_path, "a.csv", header + "who?,Ana met Bo,\nwhom?,Bo saw Eve,Eve\n")
    data = load_labelled(dataclasses.replace(request(path, path), skip_bad_rows=True))
    assert (data.head.name, data.train.texts) == ("span", [{"question": "whom?", "context": "Bo saw Eve"}])
    rows = "".join(
        f"did {n} go?,{'yes it' if n % 3 == 0 else 'it'} was {n},{['yes', 'no'][n % 2]}\n" for n in range(12)
    )
    path = write(tmp_path, "a.csv", header + rows)
    head = load_labelled(request(path, path)).head
    assert (head.name, head.label_names) == ("sequence", ["no", "yes"])


def test_answers_that_are_not_recognised_are_told_of_their_head(tmp_path):
    path = write(tmp_path, "a.csv", "question,context,answer\nwho?,Ana met Bo,ana\nwhom?,Bo saw Eve,Eve\n")
    with pytest.raises(
        BertkitError, match=r"which column .* is the label.*; answers in a text are read with --head span"
    ):
        load_table(request(path))


def test_rows_without_any_class_are_refused(tmp_path):
    with pytest.raises(BertkitError, match="no row has a class in column label: there is nothing to learn"):
        own(tmp_path, jsonl({"text": "a", "label": []}, {"text": "b", "label": []}), name="a.jsonl")


def test_the_first_row_with_an_entity_tells_what_rows_are(tmp_path):
    doccano = jsonl({"id": 1, "text": "it rains", "label": []}, {"id": 2, "text": "Ana left", "label": [[0, 3, "PER"]]})
    studio = jsonl(*(
        {"data": {"text": text}, "annotations": [{"result": marks}]}
        for text, marks in (("it rains", []), ("Ana left", [{"value": {"start": 0, "end": 3, "labels": ["PER"]}}]))
    ))  # fmt: skip
    for rows in (doccano, studio):
        data = own(tmp_path, rows, name="a.jsonl")
        assert (data.head.name, data.head.label_names) == ("token", ["O", "B-PER", "I-PER"])
        assert [len(row.marked) for row in data.train.labels] == [0, 1]
    several = jsonl({"text": "a", "label": []}, {"text": "b", "label": ["x", "y"]})
    assert own(tmp_path, several, name="a.jsonl").head.label_names == ["x", "y"]
    # What has a label already is not asked again.
    rows = jsonl({"text": "a b", "label": "x", "spans": []}, {"text": "a b", "label": "y", "spans": [[0, 1, "X"]]})
    assert own(tmp_path, rows, name="a.jsonl").head.label_names == ["x", "y"]
    with pytest.raises(
        BertkitError, match="a list of 3, not a name: .*; entities that are marked in texts are read with --head token"
    ):
        own(tmp_path, doccano, name="a.jsonl", task=TaskSettings(head="sequence"))


def test_validation_rows_need_no_optional_columns(tmp_path):
    asked = {"question": "where?", "context": "Ana is in Oslo", "answers": {"text": ["Oslo"], "answer_start": [10]}}
    data = own(tmp_path, jsonl(asked | {"id": "7"}), jsonl(asked), name="a.jsonl")
    assert ["id" in split.texts[0] for split in (data.train, *data.validation)] == [True, False]
    chosen = {"question": "where?", "choices": ["here", "there"], "label": 1}
    numbered = {"question": "where?", "ending0": "here", "ending1": "there", "label": 1}
    data = own(tmp_path, jsonl(chosen), jsonl(numbered), name="a.jsonl")
    assert data.train.texts == data.validation[0].texts
    del numbered["question"]  # without it the choices are another thing
    with pytest.raises(BertkitError, match="has no column 'question'"):
        own(tmp_path, jsonl(chosen), jsonl(numbered), name="a.jsonl")


def test_choices_that_are_empty_at_the_end_are_left_out_and_counted(tmp_path):
    table = "question,ending0,ending1,ending2,label\nwho?,a,b,c,2\nwhat?,a,b,,1\nwhy?,a,b, ,0\n"
    data = own(tmp_path, table)
    assert [len(row["choices"]) for row in data.train.texts] == [3, 2, 2]
    assert "rows in train whose last choices are empty, and are left out: 2" in data.notes
    assert "rows in validation whose last choices are empty, and are left out: 2" in data.notes


def test_empty_words_are_no_empty_texts(monkeypatch, tmp_path):
    rows = [{"tokens": ["a", "", ""], "ner_tags": ["B-X", "O", "O"]}, {"tokens": [""], "ner_tags": ["O"]}]
    assert "1 empty text in train" in own(tmp_path, jsonl(*rows), name="a.jsonl").notes
    for module in (row_sources, task_rows):
        monkeypatch.setattr(module, "hub_rows", lambda *_: iter([("r 0", rows[0]), ("r 1", rows[0])]))
    names = TaskSettings(head="token", dataset="x/y", text=("tokens",), label=("ner_tags",))
    assert load_labelled(request(task=names)).notes == []


def test_validation_rows_may_have_their_tags_in_another_usual_column(tmp_path):
    """As where those to train on are columns of words, and the others rows of a hub."""
    train = write(tmp_path, "a.conll", "Ana B-PER\nslept O\n\nBo B-PER\n\n")
    validation = write(tmp_path, "b.jsonl", '{"tokens": ["Bo", "ran"], "ner_tags": ["B-PER", "O"]}\n')
    data = load_table(request(train, validation))
    assert data.validation[0].labels[0].tags == ["B-PER", "O"]
    assert f"{validation}: label: ner_tags, as there is no tags" in data.notes
    with pytest.raises(BertkitError, match="no column 'tags'"):
        load_table(request(train, write(tmp_path, "c.jsonl", '{"tokens": ["Bo"], "other": ["O"]}\n')))


def test_counts_of_classes_are_those_of_the_whole_table(tmp_path):
    rows = [f"t{n},{'Good' if n % 2 else 'bad'}\n" for n in range(20)] + [f"u{n},good\n" for n in range(10)]
    data = load_labelled(request(write(tmp_path, "a.csv", "text,label\n" + "".join(rows)), split=0.4))
    assert "3 classes, one label a row: Good (10), bad (10), good (10)" in data.notes
    assert "nearly one class: 'Good' (10), 'good' (10): write them alike if they are one" in data.notes
    ids = "".join(f"t{n},order {n}\n" for n in range(30))
    data = load_labelled(request(write(tmp_path, "b.csv", "text,label\n" + ids), split=0.4))
    assert "30 classes in 30 rows: is this the column of the labels (--label)?" in data.notes
