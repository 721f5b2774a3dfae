"""Runs from end to end: what a resume is held to, what they record, and what they say of what was not learned."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from helpers.texts import SENTENCES, TEXT
from huggingface_hub import ModelCard
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.inference.scoring import PairScorer
from bertkit.pretraining.corpus_evaluation import CorpusRequest, evaluate_corpus
from bertkit.pretraining.request import PretrainRequest
from bertkit.pretraining.run import pretrain
from bertkit.settings.recipes import Override
from bertkit.training import forecast, loop
from bertkit.training.metrics_log import read_metrics
from bertkit.training.record import RunRecord
from bertkit.training.schedule import Course

TINY = {"model.num_hidden_layers": 1, "model.hidden_size": 32, "model.num_attention_heads": 2, "train.save_steps": 2,
        "model.intermediate_size": 32, "data.max_seq_length": 24, "train.batch_size": 8, "train.max_steps": 4,
        "train.mixed_precision": "no", "train.learning_rate": 1e-3}  # fmt: skip
UNKNOWN = "\n\n".join("北京\n上海" for _ in range(300))
ROWS = "".join(json.dumps({"text": SENTENCES[n % 5]}) + "\n" for n in range(200))


@pytest.fixture(autouse=True)
def here(tmp_path, own_cache, monkeypatch):
    """A folder of texts."""
    monkeypatch.chdir(tmp_path)
    turned = "\n\n".join("\n".join(SENTENCES[(2 * i + j) % 5] for j in range(5)) for i in range(30))
    texts = {"a.txt": TEXT, "b.txt": turned, "c.txt": turned[: len(turned) // 2], "rows.jsonl": ROWS}
    for name, text in {**texts, "unknown.txt": UNKNOWN, "nearly.txt": f"The cat.\n\n{UNKNOWN}"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(*corpus, out="run", settings=None, **how):
    sizes_of_its_own = "model" in how
    tiny = {name: value for name, value in TINY.items() if not (sizes_of_its_own and name.startswith("model."))}
    given = {**tiny, **(settings or {})}
    if "train.epochs" in given or "budget_s" in how:
        del given["train.max_steps"]
    overrides = [Override(name, value, name) for name, value in given.items()]
    return pretrain(PretrainRequest(corpus or ["a.txt"], Path(out), "tiny", overrides, device="cpu", **how))


def interrupted(folder, *unknown):
    """Takes a run back to its first checkpoint; ``unknown`` are fields that its version did not record. Returns its weights."""
    record, path = json.loads((folder / "run.json").read_text()), folder / "model.safetensors"
    record = {name: value for name, value in record.items() if name not in ("results", *unknown)}
    (folder / "run.json").write_text(json.dumps({**record, "finished": False}))
    shutil.rmtree(folder / "checkpoint-4")
    weights = path.read_bytes()
    path.unlink()
    return weights


def said(capsys):
    return " ".join(capsys.readouterr().err.split())


def test_a_resume_has_the_held_out_text_that_the_run_began_with(here):
    run(validation=["b.txt"])
    weights, lines = interrupted(here / "run"), len(read_metrics(here / "run"))
    with pytest.raises(
        BertkitError, match=r"run without --validation: it was begun with --validation b\.txt; give the"
    ):
        run(resume=True)
    with pytest.raises(
        BertkitError, match=r"run with --validation c\.txt: it was begun with --validation b\.txt; give"
    ):
        run(resume=True, validation=["c.txt"])
    shutil.copy("b.txt", "moved.txt")
    (here / "b.txt").write_text(TEXT[: len(TEXT) // 2], encoding="utf-8")
    with pytest.raises(BertkitError, match=r"was begun with --validation b\.txt, whose text was another"):
        run(resume=True, validation=["b.txt"])
    assert len(read_metrics(here / "run")) == lines
    assert run(resume=True, validation=["moved.txt"]).validation == ["moved.txt"]  # the same text
    assert (here / "run" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(
    "unknown", [(), ("validation", "validation_fingerprint", "documents_with_pairs", "learned_length")]
)
def test_a_run_that_holds_out_a_share_takes_no_other_text_as_well_where_it_is_an_old_one(here, unknown):
    run()
    weights = interrupted(here / "run", *unknown)
    was = r"2\d\d tokens held out, and these are" if unknown else r"a share of the text held out \(no --validation\)"
    with pytest.raises(BertkitError, match=rf"run with --validation b\.txt: it was begun with {was}"):
        run(resume=True, validation=["b.txt"])
    run(resume=True)
    assert (here / "run" / "model.safetensors").read_bytes() == weights


def test_a_resume_goes_on_from_the_model_that_the_run_began_with(here):
    for name, seed in (("base", 1), ("other", 2)):
        run(out=name, settings={"train.seed": seed})
    run(model="base")
    weights = interrupted(here / "run")
    with pytest.raises(
        BertkitError, match="cannot resume run with --model other: it was begun with --model base; give the same"
    ):
        run(model="other", resume=True)
    with pytest.raises(BertkitError, match="cannot resume run without --model: it was begun with --model base"):
        run(tokenizer="base", resume=True)
    assert json.loads((here / "run" / "run.json").read_text())["base_model"] == "base"
    run(model=str(here / "base"), resume=True)
    assert (here / "run" / "model.safetensors").read_bytes() == weights


def test_a_finished_run_is_not_taken_for_one_of_other_settings_model_or_kind(here, capsys):
    run(out="base")
    made = run(model="base", validation=["b.txt"])
    weights = (here / "run" / "model.safetensors").read_bytes()
    said(capsys)
    assert run(model="base", validation=["b.txt"], resume=True) == made
    assert said(capsys) == "run is finished: nothing to resume"
    with pytest.raises(BertkitError, match=r"cannot resume run with train\.max_steps = 5: it was begun with 4"):
        run(model="base", validation=["b.txt"], resume=True, settings={"train.max_steps": 5})
    with pytest.raises(BertkitError, match="cannot resume run without --model: it was begun with --model base"):
        run(tokenizer="base", validation=["b.txt"], resume=True)
    run("rows.jsonl", model="base", validation=["c.txt"], resume=True)
    heard = said(capsys)
    assert "it was made with other text: a.txt, not rows.jsonl, which is not read" in heard
    assert "it was made with other held-out text: b.txt, not c.txt, which is not read" in heard
    with pytest.raises(
        BertkitError, match="cannot resume run by finetune: it was begun by bertkit pretrain; name another"
    ):
        finetune(FinetuneRequest(model="base", out=Path("run"), device="cpu", resume=True))
    assert (here / "run" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_is_not_resumed_with_other_word_pieces(here, finished):
    run(out="base")
    run(out="other", settings={"tokenizer.vocab_size": 64})
    run(tokenizer="base")
    if not finished:
        interrupted(here / "run")
    record = json.loads((here / "run" / "run.json").read_text())
    began = "it was begun with --tokenizer base; give the same, or start anew with --overwrite"
    with pytest.raises(BertkitError, match=f"cannot resume run without --tokenizer: {began}"):
        run(resume=True)
    with pytest.raises(BertkitError, match=f"cannot resume run with --tokenizer other: {began}"):
        run(tokenizer="other", resume=True)
    assert record["given"] == {"--tokenizer": "base", "--add-words": None, "--keep": None, "--budget": None}
    assert run(tokenizer=str(here / "base"), resume=True).finished


def test_a_resume_with_other_text_names_both(here):
    run()
    interrupted(here / "run")
    with pytest.raises(
        BertkitError, match=r"with the text b\.txt, c\.txt: it was begun with a\.txt; give the same, or start"
    ):
        run("b.txt", "c.txt", resume=True)
    shutil.copy("a.txt", "copy.txt")
    assert run("copy.txt", resume=True).finished


def test_a_budget_counts_on_as_many_held_out_examples_as_there_are(here, monkeypatch):
    """A small text has fewer than data.max_eval_examples, whose time would be taken from the training."""
    counted = []
    monkeypatch.setattr(forecast.Forecast, "steps_within", lambda self, *_: counted.append(self._evaluation_steps) or 2)
    run(budget_s=60.0, dry_run=True)
    run("b.txt", budget_s=60.0, dry_run=True, settings={"data.max_eval_examples": 3}, out="other")
    examples = [round(3 * steps * TINY["train.batch_size"]) for steps in counted]
    assert 3 < examples[0] < 100
    assert examples[1] == 3


def test_a_budget_that_leaves_no_time_is_said(here, capsys):
    run(budget_s=1e-3, dry_run=True)
    assert "--budget leaves no time to train" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_run_that_is_to_go_on_and_to_be_replaced_is_refused(here, dry_run):
    with pytest.raises(BertkitError, match="--overwrite replaces it: leave one of them out"):
        run(resume=True, overwrite=True, dry_run=dry_run)


def test_a_dry_run_is_refused_where_the_run_would_be_and_leaves_its_folder_as_it_was(here):
    (here / "run").mkdir()
    (here / "run" / ".tmp-recipe.toml-1").write_text("")  # of a run that was killed
    (here / "run" / "recipe.toml").write_text("")
    with pytest.raises(BertkitError, match="run is not empty: --resume goes on with its run, --overwrite replaces it"):
        run(dry_run=True)
    with FileLock(here / "run" / ".lock"), pytest.raises(BertkitError, match="another run is at work in run"):
        run(dry_run=True, overwrite=True)
    assert run(dry_run=True, overwrite=True).max_steps == 4
    assert {path.name for path in (here / "run").iterdir()} == {".tmp-recipe.toml-1", "recipe.toml"}
    run(dry_run=True, out="new/run")
    assert not (here / "new").exists()


def test_an_evaluation_whose_line_was_lost_is_made_again(here):
    figures = run(settings={"train.eval_steps": 2}).results
    log, record = here / "run" / "metrics.jsonl", json.loads((here / "run" / "run.json").read_text())
    (here / "run" / "run.json").write_text(json.dumps({**record, "results": {}, "finished": False}))
    (here / "run" / "model.safetensors").unlink()
    log.write_bytes(log.read_bytes()[:-30])
    assert run(settings={"train.eval_steps": 2}, resume=True).results == pytest.approx(figures)
    assert [line["step"] for line in read_metrics(here / "run") if "eval_loss" in line] == [2, 4]


def test_a_damaged_log_is_counted_and_resumed(here, capsys):
    run()
    interrupted(here / "run")
    log = here / "run" / "metrics.jsonl"
    log.write_bytes(b"\xff\xfe\n" + b'{"step": 1, "eval_mlm_loss": "x"}\n' + log.read_bytes())
    assert run(resume=True).finished
    assert "1 line is no figures of a step, and is left out" in said(capsys)


@pytest.mark.parametrize("began", [None, True])
def test_a_resume_has_a_budget_where_the_run_began_with_one(here, began):
    (here / "run").mkdir()
    (here / "run" / "run.json").write_text(RunRecord(kind="pretrain", given={"--budget": began}).model_dump_json())
    now, was = ("with", "without") if began is None else ("without", "with")
    with pytest.raises(BertkitError, match=f"cannot resume run {now} --budget: it was begun {was} --budget; give the"):
        run(resume=True, **({"budget_s": 60.0} if began is None else {}))


def test_a_name_that_is_not_utf_8_is_refused_before_the_first_step_or_left_out_of_the_folder_s(here):
    with pytest.raises(BertkitError, match="bytes that are not UTF-8, under which no tokenizer can be saved"):
        run(out="r\udcfcn")
    assert PretrainRequest(["B\udcfccher.txt"], None).folder == Path("runs/pretrain-Bcher")


def test_held_out_text_that_the_tokenizer_does_not_know_is_said(here, capsys):
    (here / "held.txt").write_text(TEXT + "\n\n北京" * 100, encoding="utf-8")
    run(validation=["held.txt"], dry_run=True)
    told = " ".join(capsys.readouterr().err.split())
    assert told.count("held-out text: ") == 1
    assert "are [UNK]" in told
    assert "of the words and" in told


def test_a_finished_run_of_a_budget_is_finished_for_the_same_command(here, capsys):
    made = run(budget_s=3.0, settings={"train.batch_size": 64})
    said(capsys)
    again = run(budget_s=3.0, settings={"train.batch_size": 64}, resume=True)
    assert (again, said(capsys)) == (made, "run is finished: nothing to resume")


def test_a_resume_in_another_precision_says_so(here, capsys):
    run(settings={"train.mixed_precision": "auto"})
    interrupted(here / "run")
    path = here / "run" / "run.json"
    now = json.loads(path.read_text())["mixed_precision"]
    before = "bf16" if now == "no" else "no"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"mixed_precision": before}))
    said(capsys)
    run(resume=True, settings={"train.mixed_precision": "auto"})
    names = {"no": "fp32", "bf16": "bf16"}
    assert f"warning: run was begun in {names[before]} and goes on in {names[now]} (--mixed" in said(capsys)
    run(resume=True, settings={"train.mixed_precision": "auto"})
    assert "was begun in" not in said(capsys)


@pytest.mark.parametrize("name", ["recipe.toml", "run.json"])
def test_checkpoints_without_what_they_were_begun_with_are_not_resumed(here, name):
    run()
    interrupted(here / "run")
    (here / "run" / name).unlink()
    with pytest.raises(
        BertkitError, match=rf"cannot resume run: it has checkpoint-2, but no {name}, which says what it was"
    ):
        run("b.txt", resume=True, settings={"train.learning_rate": 5e-4})
    assert not (here / "run" / "model.safetensors").exists()


def test_the_sizes_that_are_recorded_are_those_of_the_model_that_the_run_goes_on_from(here):
    run(out="base")
    run(model="base")
    recorded = tomllib.loads((here / "run" / "recipe.toml").read_text())["model"]
    config = BertConfig.from_pretrained("run")
    assert recorded == {name: getattr(config, name) for name in recorded}
    assert (recorded["hidden_size"], recorded["num_hidden_layers"]) == (32, 1)
    assert r"| model.hidden\_size | 32 |" in (here / "run" / "README.md").read_text()

    weights, path = interrupted(here / "run"), here / "run" / "recipe.toml"  # earlier versions recorded the recipe's
    path.write_text(path.read_text().replace("hidden_size = 32", "hidden_size = 768"))
    run(model="base", resume=True)
    assert (here / "run" / "model.safetensors").read_bytes() == weights


def test_a_model_is_not_overwritten_by_the_run_that_goes_on_from_it(here):
    run(out="base")
    for flag, given in (("model", "base"), ("model", "base/checkpoint-4"), ("tokenizer", "base/vocab.txt")):
        with pytest.raises(BertkitError, match=f"--overwrite would remove base, and --{flag} {given} is there"):
            run(out="base", overwrite=True, **{flag: given})
    assert (here / "base" / "model.safetensors").is_file()
    assert (here / "base" / "checkpoint-4").is_dir()


def test_a_head_without_pairs_is_said_recorded_and_not_called_trained(here, capsys):
    record = run("rows.jsonl", validation=["a.txt"])
    assert "no document to train on has two sentences" in said(capsys)
    assert record.documents_with_pairs == 0
    assert "eval_mlm_accuracy" in record.results
    assert not [line for line in read_metrics(here / "run") if any("nsp" in name for name in line)]
    card = (here / "run" / "README.md").read_text(encoding="utf-8")
    assert "on text without sentence pairs, so that its next-sentence head learned nothing" in card
    assert "NSP" not in card
    results = evaluate_corpus(CorpusRequest("run", ["a.txt"], device="cpu"))
    assert "pretrained without sentence pairs: masked words only" in said(capsys)
    assert results["sentence_objective"] == "none"
    for name, value in results.items():
        if name.startswith("eval_"):
            assert value == pytest.approx(record.results[name], rel=1e-6)
    record = run(out="pairs")
    assert (
        record.documents_with_pairs
        == json.loads((here / "pairs" / "run.json").read_text())["documents_with_pairs"]
        > 50
    )
    assert "and next-sentence prediction" in (here / "pairs" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(BertkitError, match="run was pretrained without sentence pairs"):
        PairScorer("run")


def test_why_there_are_no_figures_of_pairs_is_said(here, capsys):
    (here / "short.txt").write_text(" ".join(SENTENCES[:2]))
    results = run(validation=["short.txt"]).results
    assert "eval_nsp_accuracy" not in results
    assert "the text held out is a single document, too short for a random next sentence" in said(capsys)


def test_a_head_that_a_run_without_pairs_does_not_train_keeps_what_it_had_learned(here, capsys):
    run(out="pairs")
    BertForMaskedLM.from_pretrained("pairs").save_pretrained(shutil.copytree("pairs", "words"))
    capsys.readouterr()
    record = run("rows.jsonl", validation=["a.txt"], model="pairs", out="further")
    assert (record.documents_with_pairs, record.learned_objective) == (0, "nsp")
    card = (here / "further" / "README.md").read_text(encoding="utf-8")
    assert "so that its next-sentence head learned nothing new" in card
    results = evaluate_corpus(CorpusRequest("further", ["a.txt"], device="cpu"))
    assert "masked words only" not in said(capsys)
    assert "eval_nsp_accuracy" in results
    for name, value in results.items():
        if name.startswith("eval_"):
            assert value == pytest.approx(record.results[name], rel=1e-6)
    assert PairScorer("further", texts=1).learned == "nsp"
    # One that goes on from a model without such a head has it at random.
    record = run("rows.jsonl", validation=["a.txt"], model="words", out="random")
    assert record.learned_objective == "none"
    assert "eval_nsp_accuracy" not in record.results
    with pytest.raises(BertkitError, match="random was pretrained without sentence pairs"):
        PairScorer("random")


TWO_PHASES = {"data.max_seq_length": [[0.9, 16], [0.1, 64]], "train.max_steps": 3}


@pytest.mark.parametrize(
    ("corpus", "settings", "longest", "told"),
    [
        (["rows.jsonl"], {"data.max_seq_length": 64}, None, "as no document to train on is longer"),
        (["a.txt"], TWO_PHASES, 16, "as no step is left for examples of 64"),
        (["a.txt"], {}, 24, "no example has more than 24 tokens (--seq-len), so"),
    ],
)
def test_the_model_reads_as_many_tokens_as_it_has_learned(here, capsys, corpus, settings, longest, told):
    record = run(*corpus, settings=settings)
    heard = said(capsys)
    if longest is None:  # a row by itself, with [CLS] and [SEP]
        tokenizer = AutoTokenizer.from_pretrained("run")
        longest = max(len(tokenizer(sentence)["input_ids"]) for sentence in SENTENCES)
    assert told in heard
    assert f"so the positions {longest} to 511 are not learned" in heard
    assert record.learned_length == longest
    assert AutoTokenizer.from_pretrained("run").model_max_length == longest
    assert evaluate_corpus(CorpusRequest("run", ["b.txt"], device="cpu"))["eval_mlm_loss"]
    assert ("were never learned" in said(capsys)) is (corpus == ["rows.jsonl"])


def test_a_phase_that_a_budget_leaves_out_is_not_read(here, capsys, monkeypatch):
    def fit_of_a_machine_that_became_slow(job, *rest):
        fitted = fit(job, *rest)
        job.plan.refit(Course(4, ((2, 3),)))  # the last step of four, the only one of 24 tokens, is not made
        return fitted

    fit = loop.fit
    monkeypatch.setattr(loop, "fit", fit_of_a_machine_that_became_slow)
    record = run(settings={"data.max_seq_length": [[0.75, 16], [0.25, 24]]})
    assert "the positions 24 to 511 are not learned" in (heard := said(capsys))
    assert "the positions 16 to 511 are not learned" in heard
    assert record.learned_length == AutoTokenizer.from_pretrained("run").model_max_length == 16


def test_a_base_model_keeps_the_length_that_it_had_learned(here, capsys):
    run(out="base")
    said(capsys)
    run("rows.jsonl", model="base", settings={"data.max_seq_length": 16})
    assert "so the positions 24 to 511 are not learned, and the model will read 24 tokens" in said(capsys)
    assert AutoTokenizer.from_pretrained("run").model_max_length == 24


@pytest.mark.parametrize(("warmup", "share"), [(8, "50%"), (4, "100%"), (3, ""), (0.9, "100%"), (0.5, "")])
def test_a_warmup_that_takes_the_whole_run_is_said(here, capsys, warmup, share):
    """Of 4 steps; 0.9 of them is 4 when rounded, and 8 steps of warm-up would go on as long again."""
    run(dry_run=True, settings={"train.warmup": warmup})
    warnings = [line for line in " ".join(capsys.readouterr().err.split()).split("warning: ") if "train.warmup" in line]
    assert len(warnings) == (1 if share else 0)
    assert all(f"and the run 4: the learning rate only rises, to {share} of its peak" in line for line in warnings)


def test_a_budget_that_is_shorter_than_the_warmup_is_said(here, capsys):
    record = run(dry_run=True, budget_s=1.0, settings={"train.warmup": 10**9})
    told = " ".join(capsys.readouterr().err.split())
    assert told.count(f"the warm-up is 1,000,000,000 steps long (train.warmup) and the run {record.max_steps:,}") == 1


def test_the_baselines_are_those_of_the_held_out_text(here):
    """Of one of the sentences of the corpus alone, counted by hand."""
    Path("one.txt").write_text("\n\n".join([SENTENCES[0]] * 20))
    record = run(validation=["one.txt"], dry_run=True)
    run(out="for_tokens")
    pieces = AutoTokenizer.from_pretrained("for_tokens").tokenize(SENTENCES[0])
    shares = np.unique(pieces, return_counts=True)[1] / len(pieces)
    assert record.most_frequent_token_share == pytest.approx(shares.max())
    assert record.unigram_entropy == pytest.approx(-(shares * np.log(shares)).sum())


def test_names_are_those_of_this_run_and_figures_those_of_its_held_out_text(here):
    run(out="first", validation=["b.txt"])
    shutil.copy("a.txt", "moved.txt")
    record = run("moved.txt", validation=["b.txt"])
    assert (record.corpus, record.validation) == (["moved.txt"], ["b.txt"])
    card = ModelCard.load(here / "run" / "README.md")
    assert {(one.dataset_name, one.dataset_split) for one in card.data.eval_results} == {("b.txt", "validation")}
    assert "| held-out text | b.txt |" in card.content
    for name in ("one.txt", "other.txt"):
        (here / name).write_text("The cat sat on it.\n", encoding="utf-8")
        with pytest.raises(BertkitError, match=rf"one document with 1 sentence \({name}\) cannot hold out"):
            run(name, out="none")


@pytest.mark.parametrize(
    ("corpus", "how", "message"),
    [
        ("unknown.txt", {}, "what is trained on of unknown.txt has no word piece that could be predicted"),
        ("nearly.txt", {}, "what is held out of nearly.txt has no word piece that could be predicted"),
        ("a.txt", {"validation": ["unknown.txt"]}, "unknown.txt has no word piece that could be predicted"),
    ],
)
def test_text_that_is_all_unknown_is_refused_before_training(here, corpus, how, message):
    run(out="base")
    with pytest.raises(BertkitError, match=message.replace(".", r"\.")):
        run(corpus, model="base", **how)
    assert not (here / "run").exists()


def test_held_out_examples_of_which_no_word_piece_is_known(here):
    run(out="base")
    (here / "held.txt").write_text(f"{UNKNOWN}\n\nThe cat.\n", encoding="utf-8")
    with pytest.raises(BertkitError, match="none of the 1 held-out examples has a word piece that could be predicted"):
        run(model="base", validation=["held.txt"], settings={"data.max_eval_examples": 1})
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train.max_steps": 10**20}, "train.max_steps must be an integer >= 1 and <= 100000000, got 1000"),
        ({"train.epochs": 1e308}, "train.epochs must be a number > 0 and <= 1000000, got 1e"),
        ({"train.epochs": 1e6, "train.batch_size": 1}, r"1e\+06 epochs of this text are 126,000,000 steps, and a run has"),
    ],
)  # fmt: skip
def test_more_steps_than_can_be_counted(here, settings, message):
    with pytest.raises(BertkitError, match=message):
        run(settings=settings)
    assert not (here / "run").exists()


def test_what_was_replaced_or_left_out_is_said_each_time_and_once(here, capsys):
    (here / "old.txt").write_bytes(b"A caf\xe9 in the house.\nIt rained.\n\n" + TEXT.encode())
    (here / "none.txt").write_text("")
    for names in (("old.txt", "none.txt"), ("old.txt", "none.txt"), ("new.txt", "no.txt")):
        if names[0] == "new.txt":
            shutil.move("old.txt", "new.txt")
            shutil.move("none.txt", "no.txt")
        run(*names, out=f"of-{names[0]}", overwrite=True)
        heard = said(capsys)
        assert heard.count("was not UTF-8") == heard.count("empty file") == 1
        assert f"1 byte was not UTF-8 and was replaced, first at {names[0]}:1" in heard
        assert f"1 empty file, first {names[1]}" in heard
    evaluate_corpus(CorpusRequest("of-new.txt", ["new.txt", "no.txt"], device="cpu"))
    assert said(capsys).count("was not UTF-8") == 1
    tokenizer = AutoTokenizer.from_pretrained("of-new.txt")
    prepare(Preparation(find_sources(["new.txt"])), tokenizer, here / "store")
    said(capsys)
    run("store", out="of-store")
    assert said(capsys).count("1 byte was not UTF-8 and was replaced, first at new.txt:1") == 1
