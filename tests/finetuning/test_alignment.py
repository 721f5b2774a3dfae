"""Models whose classes stand in another order, or are others, than a task's."""

import shutil

import datasets
import pytest
import torch
from transformers import BertForSequenceClassification

from bertkit.errors import BertkitError
from bertkit.finetuning import predict, task_rows
from bertkit.finetuning.alignment import head_of_task, taken_by_number
from bertkit.finetuning.data import load_labelled, load_table
from bertkit.finetuning.glue import GLUE_ROWS
from bertkit.finetuning.heads.number import Number
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.several_classes import SeveralClasses
from bertkit.finetuning.heads.token import TokenHead
from bertkit.finetuning.labelled import DataRequest
from bertkit.finetuning.task_rows import load_split
from bertkit.io.memory import memory_rows
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import FinetuneRecipe, TaskSettings

PAIRS = [("the cat sat", "a b c", 1), ("a", "cat .", 0), ("d e", "the cats", 1), ("f g h", "i j", 1), ("sat", "b", 0)]
HEADER = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"


@pytest.fixture
def glue(tmp_path):
    folder = tmp_path / "glue" / "MRPC"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").write_text(HEADER + "".join(f"{label}\t1\t2\t{a}\t{b}\n" for a, b, label in PAIRS * 8))
    rows = "".join(f"{n}\t1\t2\t{PAIRS[n % 5][0]}\t{PAIRS[n % 5][1]}\n" for n in range(GLUE_ROWS["MRPC.tsv"]))
    (folder / "test.tsv").write_text("index\t#1 ID\t#2 ID\t#1 String\t#2 String\n" + rows)
    return folder


@pytest.fixture
def make(tiny_model, tmp_path):
    """The very same classifier under names of its classes, with its rows in the order given."""

    def make(names, order):
        folder = shutil.copytree(tiny_model, tmp_path / "-".join(names), dirs_exist_ok=True)
        torch.manual_seed(5)
        ids = {"id2label": dict(enumerate(names)), "label2id": {name: n for n, name in enumerate(names)}}
        model = BertForSequenceClassification.from_pretrained(tiny_model, **ids)
        with torch.no_grad():
            for weight in model.bert.parameters():
                weight.normal_(std=0.3)
            model.classifier.weight.copy_(torch.randn(4, 16)[order])
            model.classifier.bias.copy_(torch.tensor([0.3, -0.2, 0.0, 0.0])[order])
        model.save_pretrained(folder)
        return str(folder)

    return make


def test_a_model_with_its_classes_in_another_order_has_the_same_figures(make, glue, tmp_path, capsys):
    models = [
        make(["not_equivalent", "equivalent"], [0, 1]),
        make(["Equivalent", "Not equivalent"], [1, 0]),
        make(["LABEL_0", "LABEL_1"], [0, 1]),
        make(["1", "0"], [1, 0]),
    ]
    found = [predict.evaluate(model, "mrpc", glue, None, [], "cpu") for model in models]
    assert 0 < found[0]["eval_accuracy"] < 1
    assert found[0]["eval_f1"] != found[0]["eval_accuracy"]
    assert all(one == found[0] for one in found[1:])  # the f1 is that of the same class, too
    said = capsys.readouterr().err.replace("\n", " ")
    assert "taken by their numbers: LABEL_0 is not_equivalent, LABEL_1 is equivalent" in said

    written = []
    for model in models[:2]:
        out = tmp_path / f"out{len(written)}"
        (path,) = predict.write_task_submission(predict.open_predictor(model, "cpu"), "mrpc", glue, out)
        written.append(path.read_text())
    assert written[0] == written[1]


def test_rows_that_number_classes_in_another_order_are_read_by_the_names_that_are_given(make, tmp_path):
    model = make(["neg", "pos"], [0, 1])
    named, numbered = tmp_path / "named.csv", tmp_path / "numbered.csv"
    header = "text,text2,label\n"
    named.write_text(header + "".join(f"{a},{b},{'neg' if label else 'pos'}\n" for a, b, label in PAIRS * 4))
    numbered.write_text(header + "".join(f"{a},{b},{label}\n" for a, b, label in PAIRS * 4))
    columns = [Override("task.text", ["text", "text2"], "--text")]
    order = [Override("task.labels", ["pos", "neg"], "--set")]
    right = predict.evaluate(model, None, None, str(named), columns, "cpu")
    found = predict.evaluate(model, None, None, str(numbered), [*columns, *order], "cpu")
    assert 0 < right["eval_accuracy"] < 1
    assert found["eval_accuracy"] == right["eval_accuracy"]
    assert found["eval_loss"] == pytest.approx(right["eval_loss"], rel=1e-6)
    by_number = predict.evaluate(model, None, None, str(numbered), columns, "cpu")
    assert by_number["eval_accuracy"] == pytest.approx(1 - right["eval_accuracy"])
    other = [Override("task.labels", ["good", "bad"], "--set")]
    with pytest.raises(
        BertkitError, match=r"the model's classes \(neg, pos\) are not those of task.labels \(good, bad\)"
    ):
        predict.evaluate(model, None, None, str(named), [*columns, *other], "cpu")


def test_a_model_with_other_classes_is_refused(make, glue):
    with pytest.raises(BertkitError, match=r"classes \(a, b, c\) are not those of mrpc \(not_equivalent, equivalent\)"):
        predict.evaluate(make(["a", "b", "c"], [0, 1, 2]), "mrpc", glue, None, [], "cpu")
    other = make(["bad", "good"], [0, 1])
    with pytest.raises(BertkitError, match="--set 'task.labels="):
        predict.evaluate(other, "mrpc", glue, None, [], "cpu")
    task = load(FinetuneRecipe, "finetune", "stsb", []).settings.task
    with pytest.raises(BertkitError, match="fine-tuned for another kind of task"):
        head_of_task(OneClass(["bad", "good"]), task, "stsb")
    assert head_of_task(Number(), task, "stsb")[1] is None


def test_several_labels_are_aligned_too():
    task = TaskSettings(labels=("a", "b", "c"), problem_type="multi_label_classification")
    head, places = head_of_task(SeveralClasses(["c", "a", "b"]), task, "x")
    assert (head.label_names, places) == (["a", "b", "c"], [1, 2, 0])


@pytest.mark.parametrize(
    ("names", "values", "said"),
    [
        (["bad", "good"], [0, "1"], "taken in the order of the model's classes: 0 is bad, 1 is good"),
        (["bad", "good"], [0, "good"], ""),
        (["0", "1"], [0, 1], ""),
    ],
)
def test_rows_that_number_named_classes_are_said(names, values, said):
    found = taken_by_number(OneClass(names), values)
    assert found.endswith(said)
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("names", "values", "is_said"),
    [
        (["bad", "good"], [[0, 1], "[1, 0]"], True),
        (["bad", "good"], [["bad"], [], [0, 1]], True),
        (["bad", "good"], [["bad"], []], False),
        (["0", "1"], [[0, 1], [1, 0]], False),
        (["LABEL_0", "LABEL_1"], [[0, 1], [1, 0]], False),
    ],
)
def test_lists_of_0_and_1_are_said_to_follow_the_model(names, values, is_said):
    found = taken_by_number(SeveralClasses(names), values)
    assert found.endswith("the classes (--set task.labels=… names another): 0 is bad, 1 is good") == is_said
    assert bool(found) == is_said


def dataset(names, ids, text="text"):
    label = datasets.ClassLabel(names=names)
    listed = isinstance(ids[0], list)
    features = datasets.Features({text: [datasets.Value("string")] if listed else datasets.Value("string"),
                                  "label": datasets.Sequence(label) if listed else label})  # fmt: skip
    texts = [["a"] * len(one) for one in ids] if listed else [f"a {n}" for n in range(len(ids))]
    return memory_rows("rows", datasets.Dataset.from_dict({text: texts, "label": ids}, features=features))


def read(rows, head=None, **task):
    return load_table(DataRequest(TaskSettings(**task), None, rows if head is None else None, rows, None, 1, head))


def test_the_classes_of_a_dataset_are_those_that_it_names():
    rows = dataset(["positive", "negative"], [0, 1, 1, 0])
    trained = read(rows)
    assert trained.head.label_names == ["positive", "negative"]  # with the numbers that they have there
    assert trained.train.labels.tolist() == trained.validation[0].labels.tolist() == [0, 1, 1, 0]
    numbers = memory_rows("rows", {"text": ["a", "b"], "label": [0, 1]})
    assert read(numbers, trained.head).validation[0].labels.tolist() == [0, 1]
    for names, labels in ((["negative", "positive"], [1, 0, 0, 1]), (["other", "Positive", "NEGATIVE"], [1, 2, 2, 1])):
        evaluated = read(rows, OneClass(names))
        assert evaluated.validation[0].labels.tolist() == labels
        assert not any("numbers" in told for told in evaluated.notes)
    # Classes with other names are taken by their numbers, which is said, as are those that are renamed.
    nameless = read(rows, OneClass(["LABEL_0", "LABEL_1"]))
    assert nameless.validation[0].labels.tolist() == [0, 1, 1, 0]
    assert read(rows, labels=("good", "negative")).train.labels.tolist() == [0, 1, 1, 0]
    assert "0 is neg, 1 is pos" in " ".join(read(rows, OneClass(["neg", "pos"])).notes)
    with pytest.raises(BertkitError, match="row 2: unknown label 'so so'; training has negative, positive"):
        read(dataset(["so so", "negative", "positive"], [1, 2, 0]), OneClass(["negative", "positive"]))
    stars = dataset(["1 star", "2 stars"], [0, 1])
    assert read(stars, problem_type="regression").train.labels.tolist() == [0, 1]
    with pytest.raises(BertkitError, match="no label in column 'label'"):
        read(dataset(["positive", "negative"], [0, -1, 1]))


def test_the_tags_and_labels_of_a_dataset_are_those_that_it_names():
    names = ["O", "B-PER", "I-PER"]
    trained = read(dataset(names, [[0, 1, 2], [1, 0]], "tokens"))
    assert trained.train.labels[0].tags == ["O", "B-PER", "I-PER"]
    evaluated = read(dataset(names, [[0, 1, 2], [1, 0]], "tokens"), TokenHead(["O", "I-PER", "B-PER"], "BIO"))
    assert [row.tags for row in evaluated.validation[0].labels] == [["O", "B-PER", "I-PER"], ["B-PER", "O"]]
    emotions = datasets.Sequence(datasets.ClassLabel(names=["joy", "anger"]))
    features = datasets.Features({"text": datasets.Value("string"), "label": emotions})
    rows = {"text": ["a", "b", "c"], "label": [[0, 1], [1], []]}
    several = memory_rows("rows", datasets.Dataset.from_dict(rows, features=features))
    assert read(several).head.label_names == ["joy", "anger"]
    assert read(several).train.labels.tolist() == [[1, 1], [0, 1], [0, 0]]
    tags = dataset(["I-PER", "O", "B-PER"], [[1, 2, 0], [2, 1]], "tokens")
    assert read(tags).head.label_names == ["I-PER", "O", "B-PER"]


def test_a_class_of_the_dataset_without_a_row_is_said():
    trained = read(dataset(["no", "maybe", "yes"], [0, 2, 2, 0]))
    assert trained.head.label_names == ["no", "maybe", "yes"]
    notes = load_labelled(
        DataRequest(TaskSettings(), None, dataset(["no", "maybe", "yes"], [0, 2] * 9), None, 0.3, 1)
    ).notes
    assert any("1 class has no row in train, so the model learns not to give it: maybe" in told for told in notes)
    with pytest.raises(BertkitError, match="a single class, 'yes'"):
        read(dataset(["no", "yes"], [1, 1]))


def test_choices_are_numbered_however_they_are_called():
    features = datasets.Features({"question": datasets.Value("string"), "choices": [datasets.Value("string")],
                                  "label": datasets.ClassLabel(names=["choice1", "choice2"])})  # fmt: skip
    rows = {"question": ["a", "b"], "choices": [["x", "y"]] * 2, "label": [0, 1]}
    assert read(memory_rows("rows", datasets.Dataset.from_dict(rows, features=features))).train.labels.tolist() == [
        0,
        1,
    ]


@pytest.mark.parametrize("kind", [OneClass, SeveralClasses])
def test_a_head_in_another_order_still_wants_two_texts(kind):
    head = kind(["no", "yes"])
    head.texts = 2
    aligned, _ = head_of_task(head, TaskSettings(labels=("yes", "no")), "task.labels")
    assert aligned.label_names == ["yes", "no"]
    with pytest.raises(BertkitError, match="the model takes two texts a row"):
        aligned.check_texts({"text": ("a",)}, "rows")


def test_the_numbers_of_a_named_task_are_those_of_its_labels(monkeypatch):
    rows = dataset(["neg", "positive"], [0, 1, 1], "sentence")  # as the hub might call them some day
    monkeypatch.setattr(task_rows, "hub_rows", lambda *_: rows.placed())
    sst2 = load(FinetuneRecipe, "finetune", "sst2", []).settings.task
    for head in (None, OneClass(["negative", "positive"])):
        assert load_split(sst2, None, "train", head).labels.tolist() == [0, 1, 1]


def test_thresholds_go_with_their_classes():
    names = {"id2label": {0: "a", 1: "b"}, "problem_type": SeveralClasses.problem_type}
    head = SeveralClasses.of_model({**names, "bertkit_thresholds": [0.3, 0.7]})
    assert head.in_order(["B", "A"], [1, 0]).model_config()["bertkit_thresholds"] == [0.7, 0.3]
