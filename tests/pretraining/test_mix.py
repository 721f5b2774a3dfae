"""Texts in shares of one's own: how many examples of each, drawn how, learned by what, and said."""

import itertools
import json
import math
import random
import shutil
from fractions import Fraction

import pytest
import torch
from helpers.stores import random_documents, toy_tokenizer, write_store
from helpers.texts import SENTENCES, TEXT
from typer.testing import CliRunner

import bertkit
from bertkit.cli import app
from bertkit.corpus.vocabulary import reading, readings
from bertkit.errors import BertkitError
from bertkit.pretraining.dataset import EvaluationSet, PretrainingPlan, collator_for, sampler_for
from bertkit.pretraining.mix import examples_of, line_of, seed_of
from bertkit.pretraining.split import split_documents
from bertkit.pretraining.texts import RunText
from bertkit.settings.schema import DataSettings
from bertkit.training.schedule import Course

WIKI = TEXT + "\n"
STORIES = "\n\n".join("\n".join(SENTENCES[(2 * i + j) % 4] for j in range(5)) for i in range(30)) + "\n"
SETTINGS = {"model.num_hidden_layers": 1, "model.hidden_size": 32, "model.num_attention_heads": 2, "train.save_steps": 4,
            "model.intermediate_size": 32, "data.max_seq_length": 24, "train.batch_size": 16, "train.max_steps": 10,
            "train.logging_steps": 1, "train.mixed_precision": "no", "train.seed": 3}  # fmt: skip


@pytest.mark.parametrize(
    ("times", "told"),
    [
        (0.0, "never read: no example is of its share"),
        (0.004, "0.4% of it read"),
        (0.05, "read 0.1 times"),
        (12.4, "read 12 times"),
    ],
)
def test_a_text_that_is_hardly_read_or_not_at_all_is_said(times, told) -> None:
    text = {
        "source": "a",
        "documents": 2,
        "tokens": 9,
        "training_tokens": 8,
        "text_bytes": 40,
        "share": 0.1,
        "passes": times,
    }
    assert f"10.0% of the examples, {told}" in line_of(text)


def test_examples_by_hand() -> None:
    """0.5, 0.3 and 0.2 of 10: halves are rounded up, then three fifths of what is left, then the rest."""
    assert [examples_of((5, 3, 2), n) for n in range(6)] == [
        [0, 0, 0], [1, 0, 0], [1, 1, 0], [2, 1, 0], [2, 1, 1], [3, 1, 1],
    ]  # fmt: skip
    assert examples_of((5, 3, 2), 10) == [5, 3, 2]
    assert examples_of((0.1,), 7) == [7]


@pytest.mark.parametrize("texts", [2, 3, 7])
def test_one_text_an_example_and_all_shares_held_at_any_time(texts: int) -> None:
    """By exact fractions; a draw for each example would be off by sqrt(n · p · (1 - p)), 50 of 10,000."""
    draws = random.Random(texts)
    for _ in range(20):
        shares = [draws.choice((draws.random(), 1e-3 * draws.random(), 100.0)) for _ in range(texts)]
        exact = [Fraction(share) / sum(map(Fraction, shares)) for share in shares]
        for first in (0, draws.randrange(10**9)):
            before = examples_of(shares, first)
            for n in range(first + 1, first + 2_000):
                counts = examples_of(shares, n)
                assert sorted(after - one for one, after in zip(before, counts, strict=True)) == [0] * (texts - 1) + [1]
                before = counts
            slack = texts / 2 + texts * n / 2**32  # half an example for each that is rounded, and shares known to 2^-32
            assert all(abs(one - n * share) < slack for one, share in zip(before, exact, strict=True))


def texts_of(tmp_path, *shares, documents=(12, 5, 9)):
    stores = [write_store(tmp_path / str(n), random_documents(documents[n], seed=n)) for n in range(len(shares))]
    return [
        RunText(store, split_documents(store, 0, 1)[0], share, str(n))
        for n, (store, share) in enumerate(zip(stores, shares, strict=True))
    ]


def plan_of(texts, steps=200, batch_size=8, **settings):
    data = DataSettings(**{"max_seq_length": ((0.75, 16), (0.25, 24)), **settings})
    return PretrainingPlan(texts, data, collator_for(toy_tokenizer(), data), batch_size, steps, 1, lambda _: batch_size)


def test_each_text_is_gone_through_whole_in_each_of_its_epochs(tmp_path) -> None:
    plan = plan_of(texts_of(tmp_path, 0.6, 0.3, 0.1))
    references = [reference for step in range(150) for reference in plan.examples(step)]  # the first phase
    assert [sum(one.text == text for one in references) for text in range(3)] == [720, 360, 120]
    for text in range(3):
        own = [one for one in references if one.text == text]
        size = max(one.number for one in own) + 1
        epochs = [list(group) for _, group in itertools.groupby(own, key=lambda one: one.epoch)]
        assert [group[0].epoch for group in epochs] == list(range(len(epochs)))
        assert len(epochs) > 1
        for group in epochs[:-1]:
            assert sorted(one.number for one in group) == list(range(size))
        assert [one.number for one in epochs[0]] != [one.number for one in epochs[1]][: len(epochs[0])]
        # The second phase goes on with epochs that the first has not begun.
        later = [one for step in range(150, 200) for one in plan.examples(step) if one.text == text]
        assert min(one.epoch for one in later) > epochs[-1][0].epoch
    passes = [sum(one.text == text and one.phase == 0 for one in references) for text in range(3)]
    longer = [50 * 8 * share for share in (0.6, 0.3, 0.1)]
    for text, (first, second, told) in enumerate(zip(passes, longer, plan.passes(), strict=True)):
        sizes = [len(sampler_for(texts_of(tmp_path, 0.6, 0.3, 0.1)[text], DataSettings(), n, 1)) for n in (16, 24)]
        assert told == pytest.approx(first / sizes[0] + second / sizes[1])


def test_an_example_of_a_mix_is_what_its_text_alone_would_give(tmp_path) -> None:
    """With the seed of its place: the mix decides when an example comes, and nothing else of it."""
    texts = texts_of(tmp_path, 0.7, 0.3)
    plan = plan_of(texts)
    data = DataSettings(max_seq_length=16)
    samplers = [sampler_for(text, data, 16, seed_of(1, number)) for number, text in enumerate(texts)]
    seen = set()
    for reference in (one for step in range(60) for one in plan.examples(step)):
        example = plan.example(reference)
        alone = samplers[reference.text].example(reference.epoch, reference.number)
        assert all(map(lambda a, b: (a == b).all() if hasattr(a, "all") else a == b, example, alone))
        seen.add(example.key)
    assert len(seen) == 60 * 8  # no two have their masks in common, of whatever text and epoch


def test_a_small_text_is_drawn_anew_in_each_epoch_unless_static(tmp_path) -> None:
    for static in (False, True):
        plan = plan_of(texts_of(tmp_path, 0.9, 0.1), static_masking=static)
        first = next(one for one in plan.examples(1) + plan.examples(2) if one.text == 1)
        batches = [plan.fetch([first._replace(epoch=epoch)]) for epoch in (0, 1)]
        shapes = {batch["labels"].shape for batch in batches}
        assert (len(shapes) == 1 and torch.equal(*(batch["labels"] for batch in batches))) is static


def test_steps_are_fitted_anew_in_a_mix_as_well(tmp_path) -> None:
    plan = plan_of(texts_of(tmp_path, 0.7, 0.3), steps=40)
    before = [plan.examples(step) for step in range(40)]
    plan.refit(Course(40, ((10, 30),)))
    assert [plan.examples(step) for step in range(20)] == before[:20]
    assert plan.stretches() == [range(24), range(24, 30)]


def test_what_is_held_out_is_evaluated_in_the_shares_of_the_mix(tmp_path, capsys) -> None:
    data = DataSettings(max_eval_examples=50)
    texts = texts_of(tmp_path, 0.5, 0.5, documents=(40, 2))
    examples = EvaluationSet(texts, data, collator_for(toy_tokenizer(), data), 24, 1)
    drawn = [examples.example(position) for position in range(len(examples))]
    assert [sum(text == number for text, _ in drawn) for number in (0, 1)] == [25, 25]
    few = len(sampler_for(texts[1], data, 24, 1))
    assert few < 25 < len(sampler_for(texts[0], data, 24, 1))
    assert len({example.key for _, example in drawn}) == 50  # the few are read again with other masks
    batch = examples.fetch(range(20, 30))
    assert torch.equal(batch["labels"], examples.fetch(range(20, 30))["labels"])
    assert len(batch["labels"]) == 10
    named = [RunText(text.store, text.documents, text.share, f"text {number}") for number, text in enumerate(texts)]
    EvaluationSet(named, data, collator_for(toy_tokenizer(), data), 24, 1).say_share("--max-examples N")
    many = len(sampler_for(texts[0], data, 24, 1))
    assert " ".join(capsys.readouterr().err.split()).endswith(
        f"(--max-examples N takes more) each text has its share of the evaluated examples: text 0 25 of {many}, text 1 25 of "
        f"{few}, read {25 / few:.1f} times"
    )


def test_what_a_vocabulary_is_learned_on_by_hand() -> None:
    assert readings([900, 100], [0.8, 0.2]) == [800, 200]
    assert readings([10**12], [1.0]) == [256 * 2**20]
    assert readings([100, 0], [0.25, 0.75]) == [0.25 * 256 * 2**20, 0.75 * 256 * 2**20]
    text = [*("x" * 9 + str(n) for n in range(10)), None]
    assert list(reading(lambda: iter(text), 100, 200)) == text[:-1] * 2
    documents = [one for n in range(4_000) for one in (f"{n:010}", None)]
    read = list(reading(lambda: iter(documents), 40_000, 90_000))
    assert read[:8_000] == [f"{n:010}" for n in range(4_000)] * 2
    assert abs(len(read) - 8_000 - 1_000) < 4 * math.sqrt(4_000 * 0.25 * 0.75)  # a quarter of them, each by a draw
    assert list(reading(lambda: iter(text), 0, 1e6)) == text[:-1]  # of unknown size, and so read once


@pytest.fixture
def recipe(own_cache, tmp_path, monkeypatch):
    """A recipe of two texts, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wiki.txt").write_text(WIKI, encoding="utf-8")
    (tmp_path / "stories.txt").write_text(STORIES, encoding="utf-8")
    tables: dict[str, list[str]] = {}
    for name, value in SETTINGS.items():
        table, _, key = name.partition(".")
        tables.setdefault(table, []).append(f"{key} = {json.dumps(value)}")
    mix = "".join(
        f'[[data.mix]]\nsource = "{source}"\nweight = {weight}\n'
        for source, weight in (("wiki.txt", 60), ("stories.txt", 20))
    )
    text = "\n".join("\n".join([f"[{table}]", *lines]) for table, lines in sorted(tables.items(), reverse=True))
    (tmp_path / "my.toml").write_text(f"{text}\n{mix}", encoding="utf-8")
    return tmp_path / "my.toml"


def said(capfd) -> str:
    return " ".join(capfd.readouterr().err.split())


def test_a_run_of_a_mix_says_each_text_and_is_resumed_to_the_bit(recipe, tmp_path, capfd) -> None:
    result = CliRunner().invoke(app, ["pretrain", "--recipe", "my.toml", "--device", "cpu"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    told = " ".join(result.stderr.split())
    run = bertkit.pretrain(recipe="my.toml", out=tmp_path / "runs" / "pretrain-mix", resume=True)  # finished
    wiki, stories = run.mix
    for one in run.mix:
        assert one["training_tokens"] + held_out_of(told, one["source"]) == one["tokens"]
    assert run.held_out_tokens == sum(one["tokens"] - one["training_tokens"] for one in run.mix)
    assert (wiki["share"], stories["share"]) == (0.75, 0.25)
    size = stories["text_bytes"] / 1e3
    assert (
        f"stories.txt: 30 documents, {stories['tokens']:,} tokens ({size:.1f} kB), 25.0% of the examples, read" in told
    )
    # 6 kB and 3 kB: three quarters of 9 are more than one reading of the first, the rest less than one of the second
    assert "the word pieces are learned on the texts in their shares, for which these are read: wiki.txt 1" in told
    # 10 steps of 16 examples, 40 of them stories, each of which is more than one and less than three windows of 21 tokens
    windows = 40 / stories["passes"]
    assert windows == pytest.approx(round(windows))
    assert windows in range(40, 61, 2)

    whole = (run.folder / "model.safetensors").read_bytes()
    shutil.copytree(run.folder, tmp_path / "again")
    for late in ("checkpoint-8", "checkpoint-10", "model.safetensors"):
        remove = tmp_path / "again" / late
        shutil.rmtree(remove) if remove.is_dir() else remove.unlink()
    (tmp_path / "again" / "run.json").write_text(json.dumps({**run.facts, "finished": False}))
    mix = [{"source": "wiki.txt", "weight": 3}, {"source": "stories.txt", "weight": 1}]
    with pytest.raises(BertkitError, match=r"cannot resume again with data.mix = \[\{"):
        bertkit.pretrain(recipe="my.toml", out="again", resume=True, settings={"data.mix": mix})
    bertkit.pretrain(recipe="my.toml", out="again", resume=True)
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == whole
    # Another unit of the weights, from Python, is the same run.
    bertkit.pretrain(recipe="my.toml", out="python", settings={"data.mix": mix})
    assert (tmp_path / "python" / "model.safetensors").read_bytes() == whole


def test_a_dataset_is_counted_for_its_share_of_what_the_word_pieces_are_learned_on(recipe, tmp_path, capfd) -> None:
    import datasets

    datasets.Dataset.from_dict({"text": STORIES.split("\n\n")}).save_to_disk(tmp_path / "saved")
    datasets.Dataset.from_dict({"text": ["", None]}).save_to_disk(tmp_path / "nothing")
    mix = [{"source": "wiki.txt", "weight": 1}, {"source": "saved", "weight": 3}]
    bertkit.pretrain(recipe="my.toml", out="run", settings={"data.mix": mix}, dry_run=True)
    saved, wiki = len(STORIES.replace("\n", "").encode()), len(WIKI.encode())
    times = [share * (saved + wiki) / size for share, size in ((0.25, wiki), (0.75, saved))]
    assert f"these are read: wiki.txt {times[0]:.2g} times, saved {times[1]:.2g} times" in said(capfd)
    mix[1]["source"] = "nothing"
    with pytest.raises(BertkitError, match="no text in nothing: the corpus is empty"):
        bertkit.pretrain(recipe="my.toml", out="run2", settings={"data.mix": mix})
    assert "these are read" not in said(capfd)


def held_out_of(told: str, name: str) -> int:
    """The tokens that are said to be held out of a text."""
    return int(told.partition(f"{name}: ")[2].partition(" to train on, ")[2].partition(" held out")[0].replace(",", ""))


def test_a_mix_of_one_is_the_corpus_alone(recipe, tmp_path) -> None:
    settings = {**SETTINGS, "data.mix": [{"source": "wiki.txt", "weight": 0.1}]}
    one = bertkit.pretrain(recipe="tiny", settings=settings, out="one")
    alone = bertkit.pretrain("wiki.txt", recipe="tiny", settings=SETTINGS, out="alone")
    assert (tmp_path / "one/model.safetensors").read_bytes() == (tmp_path / "alone/model.safetensors").read_bytes()
    assert one.mix == alone.mix == []
    assert one.data_fingerprint == alone.data_fingerprint


def test_a_mix_is_looked_at(recipe) -> None:
    seen = bertkit.inspect(recipe="my.toml", examples=400)
    assert seen["corpus"]["documents"] == 90
    assert [one["share"] for one in seen["mix"]] == [0.75, 0.25]
    result = CliRunner().invoke(app, ["inspect", "--recipe", "my.toml", "--examples", "0"], env={"COLUMNS": "200"})
    assert "stories.txt: 30 documents" in result.stdout
    assert "mix" not in bertkit.inspect("wiki.txt", recipe="tiny", settings=SETTINGS, examples=4)


def test_prepared_texts_and_general_text_are_mixed_as_well(recipe, tmp_path) -> None:
    assert CliRunner().invoke(app, ["prepare", "wiki.txt", "--out", "wiki"]).exit_code == 0
    (tmp_path / "general.txt").write_text(WIKI[::-1], encoding="utf-8")
    mix = [{"source": "wiki", "weight": 1}, {"source": "stories.txt", "weight": 1}]
    run = bertkit.pretrain(
        recipe="my.toml", out="run", settings={"data.mix": mix}, keep=("general.txt", 0.2), dry_run=True
    )
    assert [one["share"] for one in run.mix] == [0.4, 0.4, 0.2]
    assert run.mix[2]["tokens"] == run.mix[2]["training_tokens"]


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ([{"source": "wiki.txt", "weight": -1}], "the weight of wiki.txt in mix must be above 0 and at most 1e18, got -1"),
        ([{"source": "wiki.txt", "weight": 0}], "must be above 0 and at most 1e18, got 0 (settings data.mix)"),
        ([{"source": "wiki.txt", "share": 1}], 'must be a list, each a table such as {source = "wiki/", weight = 80}, got'),
        ([], 'must be a list, each a table such as {source = "wiki/", weight = 80}, got []'),
        ("wiki.txt", 'must be a list, each a table such as {source = "wiki/", weight = 80}, got'),
        ([{"source": "wiki.txt", "weight": 1}, {"source": "nope.txt", "weight": 1}], "no corpus at nope.txt"),
        ([{"source": "wiki.txt", "weight": 1}, {"source": "empty.txt", "weight": 1}], "no text in empty.txt"),
        ([{"source": "wiki.txt", "weight": 1}, {"source": "./wiki.txt", "weight": 1}],
         "./wiki.txt is in two texts of the mix, wiki.txt and ./wiki.txt"),
        ([{"source": "wiki.txt", "weight": 1}, {"source": "one.txt", "weight": 1}],
         "one document with 1 sentence (one.txt) cannot hold out a part"),
    ],
)  # fmt: skip
def test_bad_mixes_get_one_line(recipe, tmp_path, mix, message) -> None:
    (tmp_path / "empty.txt").write_text("\n\n", encoding="utf-8")
    (tmp_path / "one.txt").write_text("The cat sat on the mat.\n", encoding="utf-8")
    with pytest.raises(BertkitError) as caught:
        bertkit.pretrain(recipe="my.toml", out="run", settings={"data.mix": mix})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_text_that_a_batch_reads_more_than_once_is_said(recipe, tmp_path, capsys) -> None:
    (tmp_path / "two.txt").write_text("The cat sat.\nIt ran.\n\nA dog ran.\nIt sat.\n", encoding="utf-8")
    mix = [{"source": "wiki.txt", "weight": 1}, {"source": "two.txt", "weight": 40}]
    run = bertkit.pretrain(recipe="my.toml", out="run", settings={"data.mix": mix, "max_steps": 2})
    # One of its two documents is held out: one example, of which 40 of 41 parts of a batch of 16 are drawn.
    told = " ".join(capsys.readouterr().err.split())
    assert "which are 1 example of" in told
    assert (
        f"a batch of 16 reads it {16 * 40 / 41:.1f} times; give more text, or lower --batch-size or its share" in told
    )
    assert run.finished


def test_a_corpus_beside_a_mix_is_refused(recipe) -> None:
    result = CliRunner().invoke(app, ["pretrain", "wiki.txt", "--recipe", "my.toml"])
    assert str(result.exception) == (
        "data.mix names the texts of the run, and wiki.txt is given as well: leave one of them out, or make it a part of "
        "the mix"
    )
    result = CliRunner().invoke(app, ["prepare", "wiki.txt", "--set", 'data.mix=[{source="a", weight=1}]'])
    assert "data.mix is of pretrain and inspect" in str(result.exception)
