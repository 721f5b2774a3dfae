"""Columns of tables as people have them."""

import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.rows.columns import choose_columns


def rows_of(names, *values, times=10):
    rows = [dict(zip(names, row, strict=True)) for row in values for _ in range(times)]
    return [(f"a.csv:{line}", row) for line, row in enumerate(rows, 2)]


def chosen(names, *values, **asked):
    columns, notes = choose_columns(SequenceHead.roles, asked, rows_of(names, *values), "a.csv")
    return columns["text"], columns["label"], notes


def test_usual_names_fit_whatever_their_case_blanks_and_punctuation():
    assert chosen([" Text ", "LABEL?"], ["x", "y"])[:2] == ((" Text ",), ("LABEL?",))
    assert chosen(["Sentence_1", "sentence 2", "Class"], ["x", "y", "z"])[0] == ("Sentence_1", "sentence 2")
    assert chosen(["Text", "text", "label"], ["x", "y", "z"])[0] == ("text",)
    assert chosen(["My Text", "label"], ["x", "y"], text=("my_text",))[0] == ("My Text",)
    composed, apart = "\u1ecd\u0300r\u1ecd\u0300", "o\u0323\u0300ro\u0323\u0300"  # NFC, NFD
    assert chosen([apart, "label"], ["x", "y"], text=(composed,))[0] == (apart,)


def test_the_column_of_long_text_and_the_one_of_few_values_are_taken_and_said():
    names = ["No.", "What they wrote", "Mood"]
    values = [[n, f"this is the long text number {n}", "good" if n % 2 else "bad"] for n in range(40)]
    columns, notes = choose_columns(
        SequenceHead.roles,
        {},
        [(f"a:{n}", dict(zip(names, row, strict=True))) for n, row in enumerate(values)],
        "a.csv",
    )
    assert columns == {"text": ("What they wrote",), "label": ("Mood",)}
    assert notes == [
        "text: 'What they wrote' (the only column of long texts; --text names another); "
        "label: Mood (the only column of few values; --label names another)"
    ]


def test_nothing_is_said_of_columns_that_were_asked_for():
    assert chosen(["a", "b"], ["x", "y"], text=("a",), label=("b",)) == (("a",), ("b",), [])


@pytest.mark.parametrize(
    ("names", "values", "asked", "message"),
    [
        ([" a", "b"], ["x", "y"], {"text": ("c",)}, r"a\.csv has no column 'c': use --text with one of ' a', 'b'"),
        (
            ["a", "b"],
            ["two long texts in here", "and no word that is short"],
            {},
            r"which column of a\.csv is the text\?",
        ),
        (["it is a long text", "pos"], ["what a long text this is", "pos"], {}, r"a\.csv has no header"),
        (["it is a long text", "3"], ["what a long text this is", "1"], {}, r"a\.csv has no header"),
    ],
)
def test_what_cannot_be_told_is_asked_with_names_in_quotes(names, values, asked, message):
    with pytest.raises(BertkitError, match=message):
        chosen(names, values, **asked)


MESSAGES = [[f"this is the long message number {n}", "spam" if n % 3 else "ham"] for n in range(30)]


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("message", {}),
        ("message", {"label": ("spam",)}),
        ("message", {"text": ("message",)}),
        ("The message", {"label": ("spam",)}),
        ("The message", {"text": ("The message",)}),
    ],
)
def test_a_column_may_be_called_like_one_of_its_classes(text, asked):
    rows = [(f"a.csv:{n}", dict(zip([text, "spam"], row, strict=True))) for n, row in enumerate(MESSAGES, 2)]
    columns, _ = choose_columns(SequenceHead.roles, asked, rows, "a.csv")
    assert columns == {"text": (text,), "label": ("spam",)}


def test_a_table_without_a_header_is_still_refused_and_the_way_out_named():
    first, *rest = MESSAGES
    for names in (first, ["this is it", "spam"], ["message", "5"]):
        rows = [(f"a.csv:{n}", dict(zip(names, row, strict=True))) for n, row in enumerate(rest, 2)]
        with pytest.raises(
            BertkitError, match="has no header: .*; or, if these are names, say with --text and --label"
        ):
            choose_columns(SequenceHead.roles, {}, rows, "a.csv")


def test_a_model_reads_the_columns_that_it_was_trained_on_where_they_are_there():
    trained_on = {"text": ("review",), "label": ("verdict",)}

    def read(*names, command="evaluate", **asked):
        columns, notes = choose_columns(
            SequenceHead.roles,
            asked,
            rows_of(names, [f"{name} of a row" for name in names]),
            "a.csv",
            trained_on,
            command,
        )
        return columns["text"], columns["label"], notes

    assert read("text", "label", "review", "verdict") == (("review",), ("verdict",), [])
    assert read("review", "Verdict ", "label")[:2] == (("review",), ("Verdict ",))
    assert read("text", "label", "review", "verdict", label=("label",)) == (("review",), ("label",), [])
    told = "text: text (the model was trained on review); label: label (the model was trained on verdict)"
    assert read("text", "label") == (("text",), ("label",), [told])
    assert read("text", "verdict")[2] == ["text: text (the model was trained on review); label: verdict"]
    pair = {"text": ("question", "context")}  # one of two columns is not what the model was trained on
    columns, notes = choose_columns({"text": (("question",), ())}, {}, rows_of(["question"], ["why"]), "a.csv", pair)
    assert (columns, notes) == (
        {"text": ("question",)},
        ["text: question (the model was trained on question, context)"],
    )


@pytest.mark.parametrize(
    ("command", "way"),
    [
        ("finetune", "--label with"),
        ("evaluate", """--set 'task.label=["NAME"]' with"""),
        ("predict", "call one of 'a', 'b' 'label'"),
    ],
)
def test_people_are_sent_to_options_that_the_command_at_hand_has(command, way):
    with pytest.raises(BertkitError) as error:
        choose_columns({"label": (("label",),)}, {}, rows_of(["a", "b"], ["x", "y"]), "a.csv", {}, command)
    assert way in str(error.value)
    one = (command == "predict" and "--text") or (command == "finetune" and "--text") or "--set 'task.text=[\"NAME\"]'"
    with pytest.raises(BertkitError) as error:
        choose_columns({"text": (("text",),)}, {"text": ("c",)}, rows_of(["a"], ["x"]), "a.csv", {}, command)
    assert f"a.csv has no column 'c': use {one} with one of 'a'" in str(error.value)


def test_the_column_that_a_table_lacks_is_named():
    rows = [(f"a.csv:{n}", {"sentence": f"a {n}", "pos": n % 2, "long": n % 2}) for n in range(2, 9)]
    before = {"text": ("sentence",), "label": ("pos", "long", "rare")}
    with pytest.raises(BertkitError, match=r"is the label \(the model was trained on .*: rare is not there\)\?"):
        choose_columns(SequenceHead.roles, {}, rows, "a.csv", before, "evaluate")


def test_the_first_text_of_a_table_of_one_column_is_no_name():
    texts = [(f"a.csv:{n}", {"exploitative garbage": f"what a long text number {n} is"}) for n in range(2, 9)]
    roles = {"text": SequenceHead.roles["text"]}
    with pytest.raises(
        BertkitError, match="one column, whose first line, 'exploitative garbage', is its name or its first"
    ):
        choose_columns(roles, {}, texts, "a.csv", {"text": ("text",)}, "predict")
    assert choose_columns(roles, {"text": ("exploitative garbage",)}, texts, "a.csv")[0]["text"] == (
        "exploitative garbage",
    )
