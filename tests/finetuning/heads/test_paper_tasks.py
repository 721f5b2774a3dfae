"""Tags, spans and choices against transformers: the same loss, the same answers from its classes and its pipelines."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from helpers.interrupted import cut_off
from helpers.stores import toy_tokenizer
from huggingface_hub import ModelCard

from bertkit.errors import BertkitError
from bertkit.finetuning import predict
from bertkit.finetuning.batches import collate
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads import registry
from bertkit.finetuning.heads.choice import ChoiceHead
from bertkit.finetuning.heads.span import SpanHead
from bertkit.finetuning.heads.token import TokenHead
from bertkit.finetuning.predictor import open_predictor, predictions
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.finetuning.windows import RowEncoder
from bertkit.inference.exporting.export import export
from bertkit.models.fast.attention import attend_unpadded
from bertkit.reporting.marked import marked_mistakes
from bertkit.runtime.onnx_bert import OnnxBert
from bertkit.settings.recipes import Override
from bertkit.settings.schema import FinetuneDataSettings, TaskSettings

WORDS = ["the", "cat", "sat", "a", "b", "c", "d", "e", "cats"]


def tagged(draw):
    """ "cat" is an animal, with the word before it; "a" a letter."""
    tokens = draw.choice(WORDS, draw.integers(2, 24)).tolist()
    tags = ["B-LETTER" if token == "a" else "O" for token in tokens]
    for place in range(1, len(tokens)):
        if tokens[place] == "cat" and tags[place - 1] == "O":
            tags[place - 1 : place + 1] = ["B-ANIMAL", "I-ANIMAL"]
    return {"tokens": tokens, "ner_tags": tags}


def asked(draw):
    """Which letter is it? The text has one, or none."""
    words = draw.choice(["the", "cat", "sat", "."], draw.integers(4, 30)).tolist()
    letter = str(draw.choice(list("abcdef"))) if draw.random() < 0.7 else ""
    if letter:
        words.insert(int(draw.integers(len(words))), letter)
    context = " ".join(words)
    found = [context.index(f" {letter} ") + 1 if f" {letter} " in context else context.index(letter)] if letter else []
    return {
        "question": "the letter",
        "context": context,
        "answers": {"text": [letter] if letter else [], "answer_start": found},
    }


def chosen(draw):
    """The choice that has a cat; two to four of them."""
    choices = [" ".join(draw.choice(["a", "b", "the", "sat"], 4)) for _ in range(draw.integers(2, 5))]
    right = int(draw.integers(len(choices)))
    choices[right] = "the cat sat"
    return {"question": "the sat .", "choices": choices, "label": right}


ROWS = {"token": tagged, "span": asked, "choice": chosen}
HEADS = {"token": TokenHead, "span": SpanHead, "choice": ChoiceHead}
COLUMNS = {
    "token": {"text": ("tokens",), "label": ("ner_tags",)},
    "span": {"question": ("question",), "context": ("context",), "label": ("answers",)},
    "choice": {"text": ("question",), "choices": ("choices",), "label": ("label",)},
}


def rows_of(kind, number, seed=3):
    draw = np.random.default_rng(seed)
    return [(f"rows:{at}", ROWS[kind](draw)) for at in range(number)]


def split_of(kind, rows):
    head = HEADS[kind].fit(rows, COLUMNS[kind], TaskSettings())
    return head, Split("train", [head.input(row, COLUMNS[kind]) for row in rows], head.labels(rows, COLUMNS[kind]))


def model_of(head, tiny_model):
    config = {name: one for name, one in head.model_config().items() if not name.startswith("bertkit_")}
    torch.manual_seed(5)
    model = getattr(transformers, head.auto_class).from_pretrained(tiny_model, **config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # loud enough to tell answers apart
    return model


def theirs(kind, model, batch, features):
    """The loss as transformers computes it, over the same rows."""
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    if kind == "token":
        labels = torch.full_like(batch["input_ids"], -100)
        labels[batch["wanted"]] = batch["labels"]
        return model(**inputs, labels=labels).loss
    if kind == "span":
        said = model(**inputs)
        sides = (
            said.start_logits.masked_fill(~batch["wanted"], -1e9),
            said.end_logits.masked_fill(~batch["wanted"], -1e9),
        )
        numbers = batch["wanted"].cumsum(1) - 1  # a place within what is read, from a token
        labels = [
            (numbers == batch["labels"][:, side : side + 1]).logical_and(batch["wanted"]).int().argmax(1)
            for side in (0, 1)
        ]
        return sum(torch.nn.functional.cross_entropy(one, label) for one, label in zip(sides, labels, strict=True)) / 2
    losses, begin = [], 0
    for size, label in zip(batch["sizes"].tolist(), batch["labels"], strict=True):
        some = {name: one[begin : begin + size].unsqueeze(0) for name, one in inputs.items()}
        losses.append(model(**some, labels=label.unsqueeze(0)).loss)
        begin += size
    return torch.stack(losses).mean()


@pytest.mark.parametrize("kind", ROWS)
def test_the_loss_is_that_of_transformers(kind, tiny_model):
    head, split = split_of(kind, rows_of(kind, 12))
    model = model_of(head, tiny_model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    features = head.features(split, RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=16)))
    batch = collate(features, range(len(features.units)), 0, head)
    expected = theirs(kind, model, batch, features)
    attend_unpadded(model)
    with torch.no_grad():
        logits = head.logits(model, batch)
        torch.testing.assert_close(head.loss(logits, batch) / head.count(batch), expected, atol=2e-6, rtol=1e-5)
        assert sum(map(len, head.parted(logits, batch))) == len(logits)


@pytest.mark.parametrize("kind", ROWS)
def test_each_label_of_long_rows_is_read_exactly_once(kind, tiny_model):
    """Rows of up to 31 words in windows of 16 tokens."""
    head, split = split_of(kind, rows_of(kind, 30))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    features = head.features(split, RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=16, stride=4)))
    if kind == "token":
        read = [
            (row, word)
            for row, words in zip(features.rows.tolist(), features.targets.words, strict=True)
            for word in words
        ]
        assert sorted(read) == [(row, word) for row, text in enumerate(split.texts) for word in range(len(text))]
        for row, words, ids in zip(features.rows, features.targets.words, features.targets.ids, strict=True):
            assert [head.label_names[id_] for id_ in ids] == [split.labels[row].tags[word] for word in words]
    elif kind == "span":
        assert len(features.rows) > len(split.texts)
        for row, answers in enumerate(split.labels):
            spans = [
                features.offsets[number][features.targets.read[number][begin]][0]
                for number in np.flatnonzero(features.rows == row)
                for begin, _ in [features.targets.places[number]]
                if begin
            ]
            assert set(spans) == set(answers.starts)
    else:
        assert [len(unit) for unit in features.units] == [len(text["choices"]) for text in split.texts]


@pytest.fixture(params=ROWS, scope="module")
def run(request, tiny_model, tmp_path_factory):
    """A short run of each head on rows of a table: what was asked for, and its record."""
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for _, row in rows_of(kind, 160)))
    settings = {"data.validation_split": 0.25, "data.max_seq_length": 32, "train.batch_size": 16, "train.max_steps": 60,
                "train.learning_rate": 3e-3, "train.mixed_precision": "no", "train.dropout": 0.1}  # fmt: skip
    asked_for = FinetuneRequest(
        train=str(path), overrides=[Override(key, value, key) for key, value in settings.items()],
        model=str(tiny_model), out=folder / "run", device="cpu",
    )  # fmt: skip
    return kind, asked_for, finetune(asked_for)


def test_a_resumed_run_ends_in_the_same_bytes(run, tmp_path):
    _, asked_for, record = run
    out = shutil.copytree(asked_for.folder, tmp_path / "run")
    first = min(int(path.name.rpartition("-")[2]) for path in out.glob("checkpoint-*"))
    assert first < record.max_steps
    whole = cut_off(out, after=first)
    again = finetune(replace(asked_for, out=out, resume=True))
    assert (out / "model.safetensors").read_bytes() == whole
    assert again.results == record.results


def test_an_export_to_onnx_says_the_same(run, tmp_path):
    pytest.importorskip("onnxruntime")
    kind, asked_for, _ = run
    exported = export(str(asked_for.folder), "onnx", tmp_path / "onnx")
    assert exported.differences[0].largest < 1e-5 * exported.differences[0].scale
    texts = [row for _, row in rows_of(kind, 30, seed=9)]
    if kind == "token":
        texts = [row["tokens"] for row in texts]
    else:
        texts = [
            {name: value for name, value in row.items() if name in ("question", "context", "choices")} for row in texts
        ]
    original = open_predictor(str(asked_for.folder), "cpu")
    graph = open_predictor(str(exported.folder), "auto", len(texts))
    assert isinstance(graph.reader.bert, OnnxBert)
    key = "tags" if kind == "token" else "prediction"
    for one, other in zip(predictions(original, iter(texts)), predictions(graph, iter(texts)), strict=True):
        assert one[key] == other[key]


def test_a_run_from_a_table_to_a_pipeline(run, tmp_path):
    kind, asked_for, record = run
    folder = asked_for.folder
    results = record.results
    headline = {"token": "eval_f1", "span": "eval_f1", "choice": "eval_accuracy"}[kind]
    low, high = results[f"{headline}_interval_95"]
    assert low <= results[headline] <= high
    assert results[headline] > {"token": 0.5, "span": 0.25, "choice": 0.6}[kind]  # it has learned something
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == results["eval_rows"] == 40
    card = ModelCard.load(folder / "README.md").data
    assert (card.pipeline_tag, card.model_name) == (HEADS[kind].pipeline_tag, "run")
    saved = json.loads((folder / "eval_results.json").read_text())
    listed = {one.metric_type: one.metric_value for one in card.eval_results}
    assert listed == {name: saved[f"eval_{name}"] for name in record.metrics}
    if kind == "token":
        texts = [line["tokens"] for line in lines]
    elif kind == "span":
        texts = [{name: line[name] for name in ("question", "context")} for line in lines]
    else:
        texts = [{name: line[name] for name in ("question", "choices")} for line in lines]
    by_torch = open_predictor(str(folder), "cpu")
    by_numpy = open_predictor(str(folder), "auto", 5)
    assert by_numpy.reader is not None
    key = "tags" if kind == "token" else "prediction"
    for one, other, line in zip(
        predictions(by_torch, iter(texts)), predictions(by_numpy, iter(texts)), lines, strict=True
    ):
        assert one[key] == other[key] == line[key]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for line in [line for line in lines if len(line.get("context", "").split()) < 26][:8]:
        assert PLAIN[kind](folder, tokenizer, line) == line[key]


def plain_tags(folder, _, line):
    pipeline = transformers.pipeline("token-classification", model=str(folder), device="cpu")
    words = [word for word in pipeline(" ".join(line["tokens"])) if not word["word"].startswith("##")]
    said = {word["start"]: word["entity"] for word in words}
    begins = np.cumsum([0, *(len(token) + 1 for token in line["tokens"])])
    for entity in line["entities"]:
        assert " ".join(line["tokens"])[entity["start"] : entity["end"]] == entity["text"]
    return [said.get(int(begin), "O") for begin in begins[:-1]]


def plain_answer(folder, tokenizer, line):
    """The best span of the text by both logits, or no answer where ``[CLS]`` has more than the threshold above it."""
    model = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    encoded = tokenizer(line["question"], line["context"], return_tensors="pt", return_offsets_mapping=True)
    offsets, texts = encoded.pop("offset_mapping")[0].tolist(), encoded.sequence_ids(0)
    with torch.no_grad():
        said = model(**encoded)
    begins, ends = said.start_logits[0], said.end_logits[0]
    spans = [(float(begins[a] + ends[b]), a, b) for a, one in enumerate(texts) if one == 1
             for b in range(a, min(a + 30, len(texts))) if texts[b] == 1]  # fmt: skip
    score, first, last = max(spans)
    none = float(begins[0] + ends[0]) - score > model.config.bertkit_no_answer_threshold
    return "" if none else line["context"][offsets[first][0] : offsets[last][1]]


def plain_choice(folder, tokenizer, line):
    model = transformers.AutoModelForMultipleChoice.from_pretrained(folder).eval()
    pairs = tokenizer([line["question"]] * len(line["choices"]), line["choices"], return_tensors="pt", padding=True)
    with torch.no_grad():
        return int(model(**{name: one.unsqueeze(0) for name, one in pairs.items()}).logits.argmax())


PLAIN = {"token": plain_tags, "span": plain_answer, "choice": plain_choice}


def test_a_run_on_entities_that_are_marked_in_texts(tiny_model, tmp_path):
    """Beside the same rows as tokens and tags: the same figures to the bit."""
    marked = [
        {"text": "the cat sat . a", "entities": [[0, 7, "ANIMAL"], [14, 15, "LETTER"]]},
        {"text": "b c d", "entities": []},
    ]
    tags = [["B-ANIMAL", "I-ANIMAL", "O", "O", "B-LETTER"], ["O", "O", "O"]]
    tagged_rows = [{"tokens": row["text"].split(), "tags": own} for row, own in zip(marked, tags, strict=True)]
    settings = {"train.max_steps": 3, "train.mixed_precision": "no", "train.batch_size": 4}
    overrides = [Override(key, value, key) for key, value in settings.items()]
    figures = []
    for name, rows in (("marked", marked), ("tagged", tagged_rows)):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows * 8))
        record = finetune(
            FinetuneRequest(
                train=str(path), validation=str(path), model=str(tiny_model), out=tmp_path / name, device="cpu",
                overrides=[*overrides, Override("data.max_seq_length", 16, "")],
            )
        )  # fmt: skip
        figures.append({key: value for key, value in record.results.items() if key.startswith("eval_")})
    assert "eval_f1" in figures[0]
    assert figures[0] == figures[1]


def test_a_label_that_is_read_as_a_beginning_is_right_where_it_is_said(tiny_model):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    encoder = RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=16))
    rows = [("a:1", {"tokens": ["the", "cat"], "ner_tags": ["B-X", "I-X"]})] * 2
    rows += [("a:3", {"tokens": ["a", "cat"], "ner_tags": ["I-X", "O"]})]
    head, split = split_of("token", rows)
    assert head.left_out(rows, COLUMNS["token"], split) == [
        "tags that go on with nothing, read as beginnings in train: 1"
    ]
    features = head.features(split, encoder)
    logits = [np.eye(len(head.label_names))[ids] for ids in features.targets.ids]
    answers = head.decode(logits, features, split)
    assert answers[2]["tags"] == answers[2]["label"] == ["B-X", "O"]
    assert head.score(answers, split, ["accuracy", "f1"]) == {"accuracy": 1.0, "f1": 1.0}
    lacking = TokenHead(["O", "B-Y", "I-Y", "I-X"], "BIO")
    with pytest.raises(BertkitError, match="a:3: unknown tag 'B-X'.*; training has O"):
        lacking.features(Split("validation", split.texts[2:], lacking.labels(rows[2:], COLUMNS["token"])), encoder)


def test_words_that_the_tokenizer_drops_are_counted(tiny_model, capsys):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    encoder = RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=5))
    rows = [("a:1", {"tokens": ["the", "\u200b", "cat"], "ner_tags": ["O", "B-X", "O"]})]
    rows += [("a:2", {"tokens": ["a"] * 9, "ner_tags": ["O"] * 9})]  # in windows all are read
    head, split = split_of("token", rows)
    head.features(split, encoder)
    told = " ".join(capsys.readouterr().err.split())
    assert (
        "words in train of which the tokenizer reads nothing, so that no tags are learned or found for them: 1" in told
    )


def test_what_is_read_of_a_row_of_choices_depends_on_it_alone(tiny_model, capsys):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    encoder = RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=8))
    rows = [{"question": question, "choices": ["a cat", "a b c"]} for question in ("", "the cat sat . a b c d", "")]
    together = ChoiceHead().features(Split("", rows, None), encoder)
    alone = [ChoiceHead().features(Split("", [row], None), encoder) for row in rows]
    assert together.ids == [ids for one in alone for ids in one.ids]
    assert together.types == [types for one in alone for types in one.types]
    assert together.rows.tolist() == [0, 0, 1, 1, 2, 2]
    assert together.cut == {1: alone[1].cut[0]}
    assert together.ids[0] == tokenizer("a cat")["input_ids"]
    assert (
        together.ids[2]
        == tokenizer("the cat sat . a b c d", "a cat", truncation="only_first", max_length=8)["input_ids"]
    )
    ChoiceHead().check_texts({"choices": ("choices",)}, "rows [a].jsonl")
    assert "rows [a].jsonl: no column of questions, so that choices are read alone" in " ".join(
        capsys.readouterr().err.split()
    )


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"tokens": ["a"], "ner_tags": ["O"]}, "token"),
        ({"text": "a b", "entities": [{"start": 0, "end": 1, "label": "X"}]}, "token"),
        ({"question": "a", "context": "b", "answers": {"text": [], "answer_start": []}}, "span"),
        ({"question": "a", "choices": ["b", "c"], "answer": "B"}, "choice"),
        ({"sent1": "a", "sent2": "b", "ending0": "c", "ending1": "d", "label": 1}, "choice"),
        ({"ending0": "c", "ending1": "d", "label": 1}, "choice"),
        ({"text": "a", "label": ["x", "y"]}, "sequence"),
        ({"text": "a", "label": "x"}, "sequence"),
        ({"question": "a", "sentence": "b", "label": 1}, "sequence"),
    ],
)
def test_the_kind_of_task_is_told_from_a_row(row, kind):
    assert registry.head_for(TaskSettings(), [("a:1", row)]).name == kind


@pytest.mark.parametrize(
    ("kind", "changed", "said"),
    [
        ("token", {"ner_tags": ["O"]}, "tokens and 1 tag:"),
        ("span", {"answers": {"text": ["zebra"], "answer_start": [0]}}, "'zebra' is not in its text"),
        ("span", {"question": ""}, "has no question"),
        ("choice", {"choices": ["one"]}, "has 1 choice:"),
        ("choice", {"label": 9}, "the label '9' is none of"),
        ("choice", {"label": "Z"}, "the label 'Z' is none of"),
        ("choice", {"label": "1" * 5_000}, "the label '1{60}' is none of"),
        ("choice", {"choices": "a, b"}, "must be a list of choices"),
    ],
)
def test_what_cannot_be_learned_is_one_line_with_its_place(kind, changed, said):
    rows = rows_of(kind, 3)
    rows[1] = ("rows.jsonl:2", rows[1][1] | changed)
    with pytest.raises(BertkitError, match=said) as error:
        split_of(kind, rows)
    assert str(error.value).startswith("rows.jsonl:2")


def test_a_type_that_training_has_not_is_refused():
    head, _ = split_of("token", rows_of("token", 8))
    row = ("dev:7", {"tokens": ["a"], "ner_tags": ["B-PLANT"]})
    with pytest.raises(BertkitError, match="dev:7: unknown tag 'B-PLANT'; training has O, B-ANIMAL"):
        head.labels([row], COLUMNS["token"])


def test_the_threshold_for_no_answer_is_kept_in_the_config(run):
    kind, asked_for, _ = run
    folder = asked_for.folder
    if kind != "span":
        return
    config = json.loads((folder / "config.json").read_text())
    assert config["bertkit_may_be_unanswered"] is True
    head = registry.head_of_model(str(folder), config, TaskSettings())
    assert head.threshold == config["bertkit_no_answer_threshold"]


def test_the_figures_without_the_threshold_are_those_of_a_model_that_has_none(run, tmp_path):
    kind, asked_for, _ = run
    if kind != "span":
        return
    plain = shutil.copytree(asked_for.folder, tmp_path / "plain")
    config = json.loads((plain / "config.json").read_text())
    assert config["bertkit_no_answer_threshold"] != 0
    (plain / "config.json").write_text(json.dumps(config | {"bertkit_no_answer_threshold": 0.0}))
    tuned, untuned = (
        predict.evaluate(str(folder), None, None, asked_for.train, [], "cpu") for folder in (asked_for.folder, plain)
    )
    for name in ("eval_f1", "eval_exact_match"):
        assert tuned[f"{name}_untuned"] == untuned[name] == untuned[f"{name}_untuned"]
    assert tuned["baseline"]["f1"] == tuned["without_answer"]["rows"] / tuned["eval_rows"]


@pytest.mark.parametrize("kind", ["token", "span"])
def test_a_report_marks_what_was_got_wrong_and_nothing_else(kind, tiny_model):
    head, split = split_of(kind, rows_of(kind, 12))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model)
    features = head.features(split, RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=32)))

    def marked(logits):  # of the rows of predictions.jsonl
        answers = zip(head.decode(logits, features, split), map(head.shown, split.texts), strict=True)
        return marked_mistakes([answer | text for answer, text in answers])

    if kind == "token":
        right = [9 * np.eye(len(head.label_names))[ids] for ids in features.targets.ids]
        outside = [0 * one - 9 * np.eye(len(head.label_names))[1:].sum(axis=0) for one in right]
        missed = [number for number, row in enumerate(split.labels) if set(row.tags) != {"O"}]
        found = marked(outside)
        assert sorted(row.index for row in found) == missed
        assert all(one.label is None for row in found for one in row.said)
    else:
        right = [np.zeros((len(read), 2)) for read in features.targets.read]
        for one, places in zip(right, features.targets.places, strict=True):
            one[places, [0, 1]] = 9
    assert marked(right) == []


def test_answers_that_are_not_learned_or_never_said_are_counted(capsys):
    """Of one beyond the end of a text that is cut, one longer than a window, one of 31 tokens and one of 30."""
    rows = []
    for words, begin, end in ((60, 50, 51), (60, 0, 60), (60, 1, 32), (60, 1, 31)):
        context = " ".join("the" for _ in range(words))
        answer = {"text": [context[4 * begin : 4 * end - 1]], "answer_start": [4 * begin]}
        rows.append((f"a:{words}", {"question": "cat", "context": context, "answers": answer}))
    head, split = split_of("span", rows)

    def said(**settings):
        head.features(split, RowEncoder.of(toy_tokenizer(), FinetuneDataSettings(**settings)))
        return " ".join(capsys.readouterr().err.split())

    over = "answers in train of over 30 tokens, of which as long ones are never said"
    assert said(max_seq_length=40, overflow="truncate") == (
        f"answers in train that no window holds whole, so that none is learned or found there: 2 {over}: 1"
    )
    assert said(max_seq_length=64) == f"{over}: 2"
    assert said(max_seq_length=16).startswith("answers in train that no window holds whole")
