"""A served model over real HTTP: the shapes by the Hugging Face client, the numbers by the other commands."""

import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.loud import louder
from helpers.served import answer_of, asked, sent, served
from huggingface_hub import InferenceClient
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    pipeline,
)

import bertkit
from bertkit.errors import BertkitError
from bertkit.serving.app import MOST_BYTES, Service
from bertkit.serving.asking import open_task, task_name
from bertkit.serving.server import serve
from bertkit.serving.tasks import Item, Vectors

for name in ("starlette", "uvicorn"):
    pytest.importorskip(name, reason=f"{name} is not installed: pip install 'bertkit[serve]'")


def made(tiny_model: Path, folder: Path, kind: type, **config: object) -> Path:
    """A model with a new head, and weights that are large enough to have opinions."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        kind(BertConfig.from_pretrained(tiny_model, **config)).save_pretrained(folder)
    louder(folder, times=20)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def filling(tiny_model):
    with served(tiny_model) as (address, service):
        yield address, service


@pytest.fixture(scope="module")
def classifier(tiny_model, tmp_path_factory):
    names = {0: "bad", 1: "so so", 2: "good"}
    folder = tmp_path_factory.mktemp("classifier")
    return made(tiny_model, folder, BertForSequenceClassification, num_labels=3, id2label=names)


def test_masks_as_the_client_and_the_pipeline_have_them(filling, tiny_model):
    client, text = InferenceClient(model=filling[0]), "the [MASK] sat ."
    theirs = pipeline("fill-mask", model=str(tiny_model), device="cpu")
    pieces = set(theirs.tokenizer.vocab.values())  # theirs names rows that pad the vocabulary, too
    expected = [one for one in theirs(text, top_k=64) if one["token"] in pieces]
    for found, one in zip(client.fill_mask(text, top_k=3), expected, strict=False):
        assert (found.token, found.token_str, found.sequence) == (one["token"], one["token_str"], one["sequence"])
        assert found.score == pytest.approx(one["score"], abs=1e-6)
    (only,) = client.fill_mask(text, targets=["cat"], top_k=1)
    assert only.token_str == "cat"
    targets = list("abcdefg")
    status, all_of_them = asked(filling[0], {"inputs": text, "parameters": {"targets": targets}})
    assert (status, sorted(one["token_str"] for one in all_of_them)) == (200, targets)
    assert len(asked(filling[0], {"inputs": text})[1]) == 5
    status, both = asked(filling[0], {"inputs": "a [MASK] b [MASK]", "parameters": {"top_k": 2}})
    assert status == 200
    assert [len(guesses) for guesses in both] == [2, 2]


def test_vectors_are_those_of_embed_of_every_model(filling, tiny_model, classifier):
    texts = ["the cat", "sat . a b"]
    expected = bertkit.load(str(tiny_model)).embed(texts)
    client = InferenceClient(model=f"{filling[0]}/pipeline/feature-extraction")
    np.testing.assert_allclose(client.feature_extraction(texts[0]), expected[0], atol=1e-6)
    np.testing.assert_allclose(client.feature_extraction(texts), expected, atol=1e-6)
    assert np.linalg.norm(client.feature_extraction(texts[0], normalize=True)) == pytest.approx(1)
    with served(classifier) as (address, _):
        (vector,) = asked(address, {"inputs": ["the cat"]}, "/pipeline/feature-extraction")[1]
    np.testing.assert_allclose(vector, bertkit.load(str(classifier)).embed(["the cat"])[0], atol=1e-5)


def test_classes_of_texts_and_pairs(classifier):
    with served(classifier) as (address, _):
        found = InferenceClient(model=address).text_classification("the cat sat")
        (expected,) = pipeline("text-classification", model=str(classifier), top_k=None, device="cpu")("the cat sat")
        assert [one.label for one in found] == [one["label"] for one in expected]
        assert [one.score for one in found] == pytest.approx([one["score"] for one in expected], abs=1e-6)
        predict = bertkit.load_predictor(str(classifier))
        mixed = ["the cat", {"text": "a b", "text_pair": "sat ."}, "c"]
        status, many = asked(address, {"inputs": mixed, "parameters": {"top_k": 1}}, f"/models/{classifier.name}")
        said = [predict(["the cat"])[0], predict([{"sentence1": "a b", "sentence2": "sat ."}])[0], predict(["c"])[0]]
        assert status == 200
        assert [one["label"] for (one,) in many] == [one["prediction"] for one in said]
        for part, error in (
            ({"text": "a"}, 'an object as input has a text and a text_pair: {"text": "…", "text_pair": "…"}'),
            ({"text": 3, "text_pair": "b"}, "text must be a text"),
            ({"text": "a", "text_pair": ["b"]}, "text_pair must be a text"),
        ):
            assert asked(address, {"inputs": part}) == (400, {"error": error})


@pytest.mark.parametrize("scheme", ["BIO", ""])
def test_tags(tiny_model, tmp_path, scheme):
    names = dict(enumerate(["O", "B-PER", "I-PER"] if scheme else ["NOUN", "VERB"]))
    config = {"num_labels": len(names), "id2label": names, "bertkit_scheme": scheme}
    folder = made(tiny_model, tmp_path, BertForTokenClassification, **config)
    text = "the cats sat . a b"
    with served(folder) as (address, _):
        found = InferenceClient(model=address).token_classification(text)
    said = bertkit.load_predictor(str(folder))([text])[0]
    assert found
    assert all(text[one.start : one.end] == one.word and 0 < one.score <= 1 for one in found)
    if scheme:
        expected = [(one["label"], one["start"], one["end"], one["score"]) for one in said["entities"]]
        assert [(one.entity_group, one.start, one.end) for one in found] == [one[:3] for one in expected]
        assert [one.score for one in found] == pytest.approx([one[3] for one in expected], abs=1e-6)
    else:
        assert [one.entity_group for one in found] == said["tags"]
        theirs = pipeline("token-classification", model=str(folder), device="cpu", aggregation_strategy="none")(text)
        first = [one for one in theirs if not one["word"].startswith("##")]
        assert [one.score for one in found] == pytest.approx([one["score"] for one in first], abs=1e-6)


def test_answers_out_of_a_text(tiny_model, tmp_path):
    folder = made(tiny_model, tmp_path, BertForQuestionAnswering)
    asks = {"question": "a b", "context": "the cat sat . c d e " * 8}  # longer than the model: in windows
    with served(folder) as (address, _):
        found = InferenceClient(model=address).question_answering(**asks)
        status, several = asked(address, {"inputs": [asks, asks]})
        assert asked(address, {"inputs": "a text"})[0] == 400
    said = bertkit.load_predictor(str(folder))([asks])[0]
    assert (found.answer, found.start, found.end) == (said["prediction"], said["start"], said["end"])
    assert found.score == pytest.approx(said["score"], abs=1e-6)
    assert (status, len(several)) == (200, 2)


def test_what_arrives_together_is_read_together_and_one_bad_text_harms_nobody(filling, monkeypatch):
    address, service = filling
    answered, batches = service.batcher._answered, []
    monkeypatch.setattr(service.batcher, "_answered", lambda *batch: batches.append(batch) or answered(*batch))
    texts = [f"the [MASK] sat {'abcdefghij'[n % 10]}" for n in range(200)]
    texts[77], texts[150] = "no mask", "[MASK] " + "the cat " * 40
    with ThreadPoolExecutor(50) as threads:
        found = list(threads.map(lambda text: asked(address, {"inputs": text}), texts))
    assert [number for number, (status, _) in enumerate(found) if status != 200] == [77, 150]
    assert "no [MASK] in 'no mask'" in found[77][1]["error"]
    assert "reads 32 at most" in found[150][1]["error"]
    alone = asked(address, {"inputs": texts[3]})[1]
    assert found[13][1][0]["score"] == pytest.approx(alone[0]["score"], abs=1e-6)
    assert len(batches) < 150


@pytest.mark.parametrize(
    ("content", "path", "status", "said"),
    [
        (b"{", "/", 400, "the request is no JSON"),
        (b"[" * 100_000, "/", 400, "the request is no JSON (too deep)"),
        (b"\xff\xfe\x00", "/", 400, "the request is no JSON"),
        ([1], "/", 400, "has no inputs"),
        ({"inputs": 3}, "/", 400, "inputs must be a text"),
        ({"inputs": "[MASK]", "parameters": {"temperature": 1}}, "/", 400, "unknown parameter 'temperature'"),
        ({"inputs": "[MASK]", "parameters": {"top_k": 0}}, "/", 400, "top_k must be a whole number from 1"),
        ({"inputs": "[MASK]", "parameters": {"targets": "cat"}}, "/", 400, "targets must be a list"),
        ({"inputs": "[MASK]", "parameters": [1]}, "/", 400, "parameters must be an object"),
        ({"inputs": "[MASK]", "parameters": []}, "/", 400, "parameters must be an object"),
        ({"inputs": "[MASK]", "parameters": False}, "/", 400, "parameters must be an object"),
        ({"inputs": "[MASK]"}, "/models/other", 404, "no model 'other' here"),
        ({"inputs": "[MASK]"}, "/pipeline/translation", 404, "no task 'translation' here"),
        ({"inputs": "[MASK]"}, "/nowhere", 404, "no POST /nowhere here"),
        (b" " * (MOST_BYTES + 1), "/", 413, "larger than 1,000,000 bytes"),
        (["a"] * 2, "/", 400, "has no inputs"),
        (
            {"inputs": "a", "parameters": {"normalize": "no"}},
            "/pipeline/feature-extraction",
            400,
            "must be true or false",
        ),
        ({"inputs": "the cat " * 40}, "/pipeline/feature-extraction", 400, "longer than the 32 tokens"),
    ],
)
def test_bad_requests_get_one_line_of_json(filling, content, path, status, said):
    found, answer = asked(filling[0], content, path)
    assert (found, list(answer)) == (status, ["error"])
    assert said in answer["error"]
    assert "\n" not in answer["error"]
    assert asked(filling[0], {"inputs": "a [MASK]"})[0] == 200
    assert asked(filling[0], {"inputs": []}) == (200, [])
    assert asked(filling[0], {"inputs": "a [MASK]", "parameters": None})[0] == 200


def test_a_request_waits_no_longer_than_it_may(tiny_model, monkeypatch):
    over = threading.Event()
    with served(tiny_model, timeout_s=0.2) as (address, service):
        monkeypatch.setattr(service.batcher, "_answered", lambda _, items: over.wait(60) and [0] * len(items))
        told = [asked(address, {"inputs": "a [MASK]"}), asked(address, "", "/attention?text=the+cat", "GET")]
        over.set()
    assert told == [(503, {"error": "no answer within 0.2 s: ask again later, or for less"})] * 2


@pytest.mark.parametrize("timeout_s", [0, -1.0, float("nan"), float("inf"), "60"])
def test_a_time_in_which_nothing_can_be_answered_is_refused(timeout_s):
    with pytest.raises(
        BertkitError, match="timeout_s must be a number of seconds, more than 0 and 1,000,000,000 at most, got"
    ):
        Service("embedded", "cpu", timeout_s)


def test_targets_that_are_one_to_the_model_are_counted(filling, capsys):
    status, found = asked(filling[0], {"inputs": "a [MASK]", "parameters": {"targets": ["Cat", "cat", "CAT"]}})
    assert (status, [one["token_str"] for one in found]) == (200, ["cat"])
    assert "share its row: 2" in " ".join(capsys.readouterr().err.split())


def test_a_bug_of_ours_is_no_answer_but_a_line(tiny_model, monkeypatch, capfd):
    with served(tiny_model) as (address, service):
        monkeypatch.setattr(service.batcher, "_answered", lambda _, items: [ZeroDivisionError("x")] * len(items))
        monkeypatch.setattr("bertkit.serving.app.read_attention", lambda *_: 1 / 0)
        for told in (asked(address, {"inputs": "a [MASK]"}), asked(address, "", "/attention?text=a", "GET")):
            assert told == (500, {"error": "the server failed: its log says how"})
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_of_a_client_that_hangs_up_nothing_is_printed(filling, capfd):
    host, port = filling[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 1000\r\n\r\n{")
    assert asked(filling[0], {"inputs": "a [MASK]"})[0] == 200  # it has come after the one that is gone
    assert capfd.readouterr().err == ""


def test_requests_that_come_together_open_a_model_once(tiny_model, monkeypatch):
    opened = []
    with served(tiny_model) as (address, _):
        monkeypatch.setattr("bertkit.serving.app.open_task", lambda *asked: opened.append(asked) or open_task(*asked))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: asked(address, {"inputs": "a"}, "/pipeline/feature-extraction"), range(8)))
    assert len(opened) == 1


def test_a_text_is_not_refused_for_the_length_of_one_before(tiny_model, monkeypatch):
    vectors = Vectors(str(tiny_model), "cpu")
    monkeypatch.setattr(vectors._embedder.texts.reader.bert, "hidden_states", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        vectors.answers([Item("cat " * 1_000, {})])
    monkeypatch.undo()
    assert len(vectors.answers([Item("a cat", {})])) == 1


def test_a_text_that_is_too_long_is_not_explained(classifier):
    pytest.importorskip("captum", reason="captum is not installed: pip install 'bertkit[explain]'")
    with served(classifier) as (address, _):
        status, told = asked(address, "", f"/explain?text={'the+' * 200}cat", "GET")
    longest = BertConfig.from_pretrained(classifier).max_position_embeddings
    assert (status, told) == (
        400,
        {"error": f"the text has {203 - longest} tokens more than the model reads: give a shorter one"},
    )


def test_an_answer_is_explained_as_the_command_does(filling, tiny_model):
    import dataclasses

    pytest.importorskip("captum", reason="captum is not installed: pip install 'bertkit[explain]'")
    from bertkit.inference.explaining import explain

    status, told = asked(filling[0], "", "/explain?text=the+%5BMASK%5D+sat", "GET")
    assert (status, told["answer"]) == (200, explain(str(tiny_model), "the [MASK] sat").answer)
    assert told.keys() == {field.name for field in dataclasses.fields(explain(str(tiny_model), "the [MASK] sat"))}
    assert [word for word, _ in told["words"]] == ["the", "sat"]
    assert asked(filling[0], "", "/explain?text=the", "GET")[0] == 400


def test_whatever_predict_asks_is_served(tiny_model, tmp_path):
    """A classifier on a frozen encoder's states, which plain transformers does not know."""
    rows = [{"text": f"{word} {letter}", "label": word} for word in ("cat", "sat") for letter in "abcdefghij"]
    settings = {
        "train.encoder": "frozen",
        "data.max_seq_length": 32,
        "data.layers": "weighted",
        "train.epochs": 1,
        "train.learning_rate": 1e-3,
    }
    run = bertkit.finetune(train=rows, validation=0.5, model=str(tiny_model), out=tmp_path / "run", settings=settings)
    with served(run.folder) as (address, _):
        status, ((best, _),) = asked(address, {"inputs": "the cat"})
    said = bertkit.load_predictor(str(run.folder))(["the cat"])[0]
    assert (status, best["label"]) == (200, said["prediction"])
    assert best["score"] == pytest.approx(said["probabilities"][best["label"]], abs=1e-6)


def test_what_cannot_be_served_is_said_before_it_is_opened(tiny_model, tmp_path, filling):
    with pytest.raises(BertkitError, match="is a BertForMultipleChoice, which the inference API has no form for"):
        Service(str(made(tiny_model, tmp_path, BertForMultipleChoice)), "cpu", 1)
    port = int(filling[0].rsplit(":", 1)[1])
    with pytest.raises(BertkitError, match=rf"cannot listen at 127.0.0.1:{port} \(address already in use\)"):
        serve(str(tiny_model), "127.0.0.1", port, "cpu", 1)
    assert task_name(str(tiny_model)) == "fill-mask"


def test_sigterm_answers_what_was_asked_and_ends(tiny_model):
    """The command itself, in a process of its own; requests that have arrived are answered, later ones find nobody."""
    command = [sys.executable, "-m", "bertkit", "serve", str(tiny_model), "--port", "0", "--device", "cpu"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        address = said.split(" at ")[1].split(" ")[0]
        assert address.startswith("http://127.0.0.1:")
        waiting = [sent(address, {"inputs": ["the [MASK] sat . a b c"] * 3_000}) for _ in range(4)]
        asked(address, {"inputs": "a [MASK]"})  # connections are accepted in order: the others have arrived
        process.send_signal(signal.SIGTERM)
        assert [(status, len(found)) for status, found in map(answer_of, waiting)] == [(200, 3_000)] * 4
        assert process.wait(timeout=60) in (-signal.SIGTERM, 128 + signal.SIGTERM)
        assert "Traceback" not in process.stderr.read()
    with pytest.raises(ConnectionRefusedError):
        asked(address, {"inputs": "a [MASK]"})
