"""What ``import bertkit`` offers, as a notebook uses it: on a corpus of a minute's typing, on a CPU, without network."""

import inspect
import json
import sys
from pathlib import Path

import evaluate
import numpy as np
import pandas
import pytest
import torch
from huggingface_hub import ModelCard

import bertkit
from bertkit.errors import BertkitError
from bertkit.finetuning.metrics import METRICS
from bertkit.finetuning.sweep import PAPER_GRID

SENTENCES = ["the cat sat on the mat .", "a dog ran to the house .", "she has a red hat .", "they went home ."]
TEXT = "\n\n".join("\n".join(SENTENCES[(i + j) % 4] for j in range(3 + i % 3)) for i in range(80))
SIZE = {"model.num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32,
        "data.max_seq_length": 24, "train.batch_size": 16, "train.mixed_precision": "no"}  # fmt: skip
STEPS = {"train.max_steps": 8, "logging_steps": 4, "save_steps": 8, "eval_steps": 8}
REVIEWS = [{"review": f"{good} film {number}", "stars": stars} for number in range(24)
           for good, stars in (("good", "five"), ("bad", "one"))]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BERTKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> bertkit.RunRecord:
    out = tmp_path_factory.mktemp("runs") / "mine"
    return bertkit.pretrain(corpus, recipe="tiny", out=out, settings=SIZE | STEPS, device="cpu")


@pytest.fixture(scope="module")
def classifier(run: bertkit.RunRecord, tmp_path_factory: pytest.TempPathFactory) -> bertkit.RunRecord:
    return bertkit.finetune(
        train=REVIEWS,
        validation=0.25,
        text="review",
        label="stars",
        model=run.folder,
        out=tmp_path_factory.mktemp("runs") / "stars",
        settings={"train.max_steps": 40, "train.batch_size": 8, "train.learning_rate": 5e-3, "max_seq_length": 16},
        device="cpu",
    )


def test_the_cards_list_what_the_runs_measured(run: bertkit.RunRecord, classifier: bertkit.RunRecord) -> None:
    card = ModelCard.load(run.folder / "README.md").data
    listed = {f"eval_{one.metric_type}": one.metric_value for one in card.eval_results}
    assert set(listed) == {
        "eval_mlm_loss",
        "eval_perplexity",
        "eval_mlm_accuracy",
        "eval_nsp_loss",
        "eval_nsp_accuracy",
    }
    assert listed.items() <= run.results.items()
    card = ModelCard.load(classifier.folder / "README.md").data
    saved = json.loads((classifier.folder / "eval_results.json").read_text())
    assert {one.metric_type: one.metric_value for one in card.eval_results} == {
        name: saved[f"eval_{name}"] for name in classifier.metrics
    }


def test_a_pretrained_model_is_asked(run: bertkit.RunRecord) -> None:
    assert run.finished
    assert run.kind == "pretrain"
    assert run.max_steps == 8
    assert 0 <= run.results["eval_mlm_accuracy"] <= 1
    bert = bertkit.load(run.folder)
    [guesses] = bert.fill("the [MASK] sat on the mat .", top_k=3)
    assert [one.score for one in guesses] == sorted((one.score for one in guesses), reverse=True)
    assert len(guesses) == 3
    [score] = bert.score(["the cat sat ."])
    assert score.tokens == 4
    assert score.score < 0
    assert bert.embed(["the cat sat .", "home"]).shape == (2, 32)
    assert bert.embed([]).shape == (0, 32)
    np.testing.assert_array_equal(bert.embed(["home"], layers=-1), bert.embed(["home"]))


def test_texts_of_a_generator_are_asked_about_as_those_of_a_list() -> None:
    bert, texts = bertkit.load("embedded"), ["the cat sat .", "home"]
    assert bert.score(iter(texts)) == bert.score(texts)
    np.testing.assert_array_equal(bert.embed(pandas.Series(texts)), bert.embed(texts))


def test_all_targets_are_answered_and_those_that_are_one_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    bert, targets = bertkit.load("embedded", device="cpu"), ["dog", "cat", "girl", "boy", "man", "king", "bird"]
    [all_of_them] = bert.fill("the [MASK] sat .", targets=targets)
    assert {one.token_str for one in all_of_them} == {*targets}
    assert capsys.readouterr().err == ""
    assert len(bert.fill("the [MASK] sat .")[0]) == len(bert.fill("the [MASK] sat .", targets=targets, top_k=5)[0]) == 5
    [one] = bert.fill("the [MASK] sat .", targets=["Dog", "dog", "DOG"])
    assert [guess.token_str for guess in one] == ["dog"]
    assert "share its row: 2" in " ".join(capsys.readouterr().err.split())


def test_nothing_in_the_place_of_names_is_none_of_them(corpus: Path, run: bertkit.RunRecord, tmp_path: Path) -> None:
    from bertkit.api.given import given_names

    assert given_names("corpus", None) == []
    bertkit.pretrain(corpus, recipe="tiny", out=tmp_path / "run", validation=None, dry_run=True,
                     settings=SIZE | STEPS, device="cpu")  # fmt: skip
    few = {"max_seq_length": 24}
    assert bertkit.inspect(None, model=run.folder, settings=few, examples=9)["examples"]["examples"] == 9


def test_a_grid_is_given_as_the_command_takes_it_or_by_setting() -> None:
    from bertkit.api.given import given_grid

    assert given_grid("paper") == PAPER_GRID
    rates = {"learning_rate": [5e-5, 3e-5]}
    assert (
        given_grid("lr=5e-5,3e-5")
        == given_grid(rates)
        == given_grid({"learning_rate": np.array([5e-5, 3e-5])})
        == given_grid({"learning_rate": [np.float64(5e-5), np.array(3e-5)]})
        == rates
    )
    assert given_grid({"epochs": 2, "mixed_precision": "no"}) == {"epochs": [2], "mixed_precision": ["no"]}


def test_a_device_may_be_one_of_torch() -> None:
    bert = bertkit.load("embedded", device=torch.device("cpu"))
    assert bert.device == "cpu"
    assert bert.score(["home"]) == bertkit.load("embedded", device="cpu").score(["home"])


def test_an_answer_is_explained_as_the_command_does(run: bertkit.RunRecord, capsys: pytest.CaptureFixture[str]) -> None:
    from bertkit.cli.explain import explain as command

    pytest.importorskip("captum", reason="captum is not installed: pip install 'bertkit[explain]'")
    text = "the [MASK] sat on the mat ."
    why = bertkit.explain(run.folder, text, answer="cat", device="cpu")
    assert isinstance(why, bertkit.Explanation)
    assert (why.answer, [word for word, _ in why.words]) == ("cat", ["the", "sat", "on", "the", "mat", "."])
    assert sum(share for _, share in why.words) == pytest.approx(why.output - why.baseline_output + why.error, abs=1e-6)
    command(str(run.folder), text, answer="cat", device="cpu", as_json=True)
    assert json.loads(capsys.readouterr().out)["words"] == [list(one) for one in why.words]


def test_a_model_is_exported_beside_itself_or_elsewhere(run: bertkit.RunRecord, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    made = bertkit.export(run.folder, format="half")
    assert isinstance(made, bertkit.Exported)
    assert made.folder == run.folder.with_name("mine-half")
    there = bertkit.export(run.folder, format="half", out=tmp_path / "there")
    before, after = load_file(run.folder / "model.safetensors"), load_file(there.weights)
    assert all(np.array_equal(weight.astype(np.float16), after[name]) for name, weight in before.items())
    assert there.weights.read_bytes() == made.weights.read_bytes()


def test_a_model_is_served_from_a_thread(run: bertkit.RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a notebook does it; the server is stopped by its own flag, as no signal reaches a thread."""
    import threading
    import time

    from helpers.served import asked

    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'bertkit[serve]'")
    servers: list = []
    begun = uvicorn.Server.run
    monkeypatch.setattr(
        uvicorn.Server, "run", lambda self, sockets: servers.append((self, sockets)) or begun(self, sockets)
    )
    thread = threading.Thread(target=bertkit.serve, args=[run.folder], kwargs={"port": 0, "device": "cpu"})
    thread.start()
    while not (servers and servers[0][0].started):
        assert thread.is_alive()
        time.sleep(0.01)
    server, (listening, *_) = servers[0]
    try:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        status, guesses = asked(address, {"inputs": "the [MASK] sat on the mat ."})
    finally:
        server.should_exit = True
        thread.join()
    [expected] = bertkit.load(run.folder, device="cpu").fill("the [MASK] sat on the mat .")
    assert (status, [one["token_str"] for one in guesses]) == (200, [one.token_str for one in expected])


def test_a_server_within_an_event_loop_is_refused_with_the_way_out() -> None:
    import asyncio

    async def cell() -> None:
        bertkit.serve("embedded", port=0)

    pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'bertkit[serve]'")
    with pytest.raises(BertkitError, match="threading.Thread"):
        asyncio.run(cell())


def test_a_pretrained_model_is_evaluated(run: bertkit.RunRecord, corpus: Path, tmp_path: Path) -> None:
    table = tmp_path / "cloze.csv"
    table.write_text("sentence,answers\nthe [MASK] sat on the mat .,cat|dog\n", encoding="utf-8")
    assert bertkit.evaluate(run.folder, cloze=table)["sentences"] == 1
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("good\tbad\nthe cat sat .\tthe sat cat .\n", encoding="utf-8")
    assert bertkit.evaluate(run.folder, minimal_pairs=pairs)["pairs"] == 1
    assert bertkit.evaluate(run.folder, corpus=corpus, device="cpu")["documents"] == 80
    by_settings = bertkit.evaluate(
        run.folder, corpus=corpus, settings={"data.max_seq_length": 16, "data.max_eval_examples": 5}, device="cpu"
    )
    assert (by_settings["examples"], by_settings["max_seq_length"]) == (5, 16)
    assert bertkit.evaluate(run.folder, corpus=corpus, seq_len=16, max_examples=5, device="cpu") == by_settings
    with pytest.raises(BertkitError, match="is given twice: seq_len and settings max_seq_length"):
        bertkit.evaluate(run.folder, corpus=corpus, seq_len=24, settings={"max_seq_length": 16})
    with pytest.raises(BertkitError, match="max_examples is for corpus"):
        bertkit.evaluate(run.folder, cloze=True, max_examples=5)
    with pytest.raises(BertkitError, match="give one of"):
        bertkit.evaluate(run.folder, cloze=True, corpus=corpus)
    with pytest.raises(BertkitError, match="cloze and minimal_pairs have none"):
        bertkit.evaluate(run.folder, cloze=True, settings={"data.max_seq_length": 16})


def test_the_model_is_read_as_plain_transformers_reads_it(run: bertkit.RunRecord) -> None:
    from transformers import pipeline

    expected = pipeline("fill-mask", model=str(run.folder))("the [MASK] sat on the mat .", top_k=3)
    [guesses] = bertkit.load(run.folder).fill("the [MASK] sat on the mat .", top_k=3)
    assert [one.token_str for one in guesses] == [one["token_str"] for one in expected]
    assert [one.score for one in guesses] == pytest.approx([one["score"] for one in expected], rel=1e-4)


def test_rows_in_memory_are_learned_and_asked_for(classifier: bertkit.RunRecord, tmp_path: Path) -> None:
    assert classifier.metrics[0] == "accuracy"
    assert classifier.rows["train"] == 36
    predict = bertkit.load_predictor(classifier.folder, device="cpu")
    answers = predict(["good film 99", "bad film 99"])
    assert [one["index"] for one in answers] == [0, 1]
    assert predict([{"review": "good film 99"}])[0]["prediction"] == answers[0]["prediction"]
    light = bertkit.predict(classifier.folder, ["good film 99", "bad film 99"])
    assert [one["prediction"] for one in light] == [one["prediction"] for one in answers]
    held = [{"review": "good film 7", "stars": answers[0]["prediction"]}]
    assert bertkit.evaluate(classifier.folder, validation=held, device="cpu")["eval_rows"] == 1
    found = bertkit.evaluate(classifier.folder, validation=REVIEWS, device="cpu")
    said = [row["prediction"] == "one" for row in bertkit.predict(classifier.folder, REVIEWS)]
    ours = evaluate.combine([METRICS[name]() for name in found["metrics"]])
    figures = ours.compute(predictions=said, references=[row["stars"] == "one" for row in REVIEWS])
    assert figures == {name: found[f"eval_{name}"] for name in ("accuracy", "f1")}


def test_the_same_rows_are_the_same_data_in_every_form(tmp_path: Path) -> None:
    import datasets
    import pandas

    from bertkit.finetuning.data import load_labelled
    from bertkit.finetuning.labelled import DataRequest
    from bertkit.io.memory import memory_rows
    from bertkit.settings.schema import TaskSettings

    frame = pandas.DataFrame(REVIEWS)
    path = tmp_path / "reviews.csv"
    frame.to_csv(path, index=False)
    forms = [
        str(path),
        *(
            memory_rows("train", one)
            for one in (REVIEWS, frame, frame.to_dict("list"), datasets.Dataset.from_list(REVIEWS))
        ),
    ]
    loaded = [load_labelled(DataRequest(TaskSettings(), None, form, None, 0.25, 1)) for form in forms]
    first = loaded[0]
    assert first.train is not None
    for other in loaded[1:]:
        assert other.train is not None
        assert other.train.texts == first.train.texts
        assert np.array_equal(other.train.labels, first.train.labels)
        assert other.head.label_names == first.head.label_names


def test_a_missing_cell_of_a_frame_is_missing() -> None:
    import pandas

    from bertkit.io.memory import memory_rows

    frame = pandas.DataFrame({"text": ["a", None], "stars": [1.0, float("nan")], "many": [[1], [2]]})
    rows = memory_rows("train", frame).rows
    assert rows == [{"text": "a", "stars": 1.0, "many": [1]}, {"text": None, "stars": None, "many": [2]}]


def test_a_corpus_is_looked_at(corpus: Path) -> None:
    seen = bertkit.inspect(corpus, recipe="tiny", settings={"data.max_seq_length": 24, "batch_size": 16}, examples=50)
    assert seen["corpus"]["documents"] == 80
    assert seen["examples"]["examples"] == 50
    assert any("few for pretraining" in told for told in seen["warnings"])


def test_labelled_rows_are_looked_at(run: bertkit.RunRecord) -> None:
    rows = [*REVIEWS, REVIEWS[0]]
    seen = bertkit.inspect(train=rows, validation=REVIEWS[:4], text="review", label="stars", model=run.folder)
    train, validation = seen["splits"]["train"], seen["splits"]["validation"]
    assert (train["rows"], train["classes"], train["repeated"]) == (49, {"five": 25, "one": 24}, 1)
    assert (validation["rows"], validation["shared"]) == (4, 4)
    with pytest.raises(BertkitError, match="not both"):
        bertkit.inspect("corpus.txt", train=rows)


def test_all_names_are_there_and_no_others() -> None:
    for name in bertkit.__all__:
        assert getattr(bertkit, name) is not None
        if callable(getattr(bertkit, name)) and name != "BertkitError":
            assert inspect.getdoc(getattr(bertkit, name)), name
    assert dir(bertkit) == sorted(bertkit.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        bertkit.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_a_note_in_a_notebook_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the display of IPython: a note appears there once, and not on stderr as well."""
    import io
    import types

    from rich.console import Console

    from bertkit import console

    shown: list[str] = []
    display = types.ModuleType("IPython.display")
    display.display = lambda *found, **_: shown.extend(
        repr(one._repr_mimebundle_([], [])) for one in found if hasattr(one, "_repr_mimebundle_")
    )  # type: ignore[attr-defined]  # noqa: E501
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(console, "err", Console(force_jupyter=True, file=io.StringIO()))
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    console.note("a note")
    assert sum("a note" in one for one in shown) == 1
    assert stderr.getvalue() == ""


@pytest.mark.slow
def test_usage_is_typed_and_nonsense_is_not(tmp_path: Path) -> None:
    from mypy import api

    nonsense = tmp_path / "nonsense.py"
    nonsense.write_text("import bertkit\nbertkit.pretrain(1, 2, 3, nonsense=True)\nbertkit.nowhere()\n")
    strict = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path)]
    usage = Path(__file__).parent / "helpers" / "usage.py"
    said, _, code = api.run([*strict, str(usage)])
    assert (said.splitlines()[-1:], code) == (["Success: no issues found in 1 source file"], 0), said
    said, _, code = api.run([*strict, str(nonsense)])
    assert code == 1
    assert 'Unexpected keyword argument "nonsense"' in said
    assert "Too many positional arguments" in said
    assert 'has no attribute "nowhere"' in said


def test_settings_may_be_numbers_of_numpy() -> None:
    from bertkit.api.given import overrides_of
    from bertkit.settings.recipes import load
    from bertkit.settings.schema import PretrainRecipe

    given = {
        "train.max_steps": np.int64(2),
        "train.learning_rate": np.float64(1e-3),
        "train.deterministic": np.bool_(True),
    }
    recipe = load(PretrainRecipe, "pretrain", "tiny", overrides_of(given)).settings.train
    assert (recipe.max_steps, recipe.learning_rate, recipe.deterministic) == (2, 1e-3, True)


def test_embed_says_what_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    bertkit.load("embedded").embed(["the \u2603 sat ."])
    assert "of 4 word pieces 1 is unknown to embedded ([UNK])" in " ".join(capsys.readouterr().err.split())
