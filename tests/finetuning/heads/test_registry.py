"""What the config.json of a stranger says of a head: read as transformers does, or one line."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

from bertkit.errors import BertkitError
from bertkit.finetuning.heads.registry import head_for, head_of_model
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.heads.token import TokenHead
from bertkit.models.folder import read_config
from bertkit.settings.schema import TaskSettings

SIZES = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8, "vocab_size": 8}


def config_of(cls: Any, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    cls(BertConfig(**SIZES, id2label={0: "x", 1: "y"}, num_labels=2)).save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return read_config(folder)


@pytest.mark.parametrize("cls", [BertForSequenceClassification, BertForTokenClassification])
def test_the_labels_of_a_model_of_transformers_are_read(cls: Any, tmp_path: Path) -> None:
    head: Any = head_of_model("model", config_of(cls, tmp_path, {}), TaskSettings())
    assert dict(enumerate(head.label_names)) == cls.from_pretrained(tmp_path).config.id2label


@pytest.mark.parametrize(
    ("cls", "changes", "said"),
    [
        (BertForSequenceClassification, {"id2label": ["a", "b"]}, "AttributeError"),
        (BertForSequenceClassification, {"id2label": {"one": "a"}}, "ValueError"),
        (BertForTokenClassification, {"id2label": ["a", "b"]}, "AttributeError"),
        (BertForTokenClassification, {"id2label": {"0": 1}}, "AttributeError"),
    ],
)
def test_outputs_without_a_meaning_are_one_line(cls: Any, changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    config = config_of(cls, tmp_path, changes)
    with pytest.raises(BertkitError, match=f"the config.json of model does not say .* of a {cls.__name__} .*{said}"):
        head_of_model("model", config, TaskSettings())


@pytest.mark.parametrize("kind", ["ranking", ["x"]])
def test_a_kind_of_problem_that_nobody_reads_is_named(kind: Any, tmp_path: Path) -> None:
    config = config_of(BertForSequenceClassification, tmp_path, {"problem_type": kind})
    with pytest.raises(
        BertkitError, match="the config.json of model has the problem_type .*, which nobody reads: it is one"
    ):
        head_of_model("model", config, TaskSettings())


def test_classes_without_names_are_called_as_transformers_calls_them():
    for number in (2, 3):
        names = list(BertConfig(num_labels=number).id2label.values())
        assert SequenceHead.of_model({"num_labels": number}).label_names == names


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"id2label": {"0": "x", "1": "x"}}, "number them from 0 on, and give each a name of its own"),
        ({"id2label": {"0": "x", "2": "y"}}, "number them from 0 on, and give each a name of its own"),
        ({"num_labels": 3, "problem_type": "regression"}, "regression of 3 numbers, and bertkit reads one alone"),
    ],
)
def test_classes_that_would_be_lost_are_refused(config, said):
    with pytest.raises(BertkitError, match=said):
        SequenceHead.of_model(config)


def test_a_list_of_words_with_a_number_among_them_is_still_tagging():
    rows = [("a.jsonl:1", {"tokens": ["a", 7], "ner_tags": ["O", "O"]})]
    assert head_for(TaskSettings(), rows) is TokenHead
    with pytest.raises(BertkitError, match="the token 7 is no text"):
        TokenHead.check_row(rows[0], {"text": ("tokens",), "label": ("ner_tags",)}, TaskSettings())


@pytest.mark.parametrize(
    ("row", "task", "said"),
    [
        (
            {"question": "q", "choices": ["a", "b"], "answer": 0},
            {"labels": ("a", "b")},
            "task.labels is not read by the head choice, which is recognised in the rows",
        ),
        (
            {"tokens": ["a"], "ner_tags": ["O"]},
            {"head": "token", "problem_type": "regression"},
            "task.problem_type is not",
        ),
        ({"tokens": ["a"], "ner_tags": ["O"]}, {"labels": ("O", "B-X")}, ""),
        ({"text": "a", "label": "1"}, {"problem_type": "regression"}, ""),
    ],
)
def test_settings_of_other_heads_are_refused(row: Any, task: dict[str, Any], said: str) -> None:
    rows = [("a.jsonl:1", row)]
    if not said:
        head_for(TaskSettings(**task), rows)
        return
    with pytest.raises(BertkitError, match=said):
        head_for(TaskSettings(**task), rows)
