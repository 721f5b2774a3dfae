"""The commands as a person runs them, end to end on small text, in processes of their own."""

import json
import math
import os
import re
import subprocess
import sys
import tomllib

import pyarrow
import pyarrow.parquet
import pytest
from helpers.texts import SENTENCES, TEXT
from typer.testing import CliRunner

from bertkit.cli import app
from bertkit.training import loop, step_cost

SMALL = ["--set", "model.num_hidden_layers=1", "--set", "hidden_size=32", "--set", "num_attention_heads=2",
        "--set", "intermediate_size=32", "--seq-len", "24", "--batch-size", "16", "--set", "save_steps=5",
        "--set", "logging_steps=1"]  # fmt: skip
TINY = [*SMALL, "--set", "validation_split=0.2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    (folder / "corpus.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(bertkit, home):
    bertkit(home, "pretrain", "corpus.txt", "--out", "run", "--max-steps", "10", *TINY)
    return home / "run"


def test_the_folder_holds_what_it_should_and_loads_with_plain_transformers(run):
    import transformers

    expected = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "README.md",
                "recipe.toml", "run.json", "metrics.jsonl", "checkpoint-10"}  # fmt: skip
    assert expected <= {path.name for path in run.iterdir()}
    for auto in ("AutoModelForPreTraining", "AutoModelForMaskedLM", "AutoModel", "AutoTokenizer"):
        getattr(transformers, auto).from_pretrained(run)
    fill = transformers.pipeline("fill-mask", model=str(run))
    assert len(fill("the [MASK] sat on the mat .")) == 5
    record = json.loads((run / "run.json").read_text())
    assert (record["finished"], record["num_processes"], record["max_steps"]) == (True, 1, 10)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert {"step", "epoch", "tokens", "loss", "lr", "grad_norm", "tokens_per_second", "seconds", "mlm_loss",
            "nsp_loss", "mlm_accuracy", "nsp_accuracy"} <= lines[0].keys()  # fmt: skip
    assert {"eval_loss", "eval_mlm_loss", "eval_nsp_loss", "eval_mlm_accuracy", "eval_nsp_accuracy",
            "eval_perplexity"} <= lines[-1].keys()  # fmt: skip


def test_places_that_were_not_learned_are_said_and_not_read(bertkit, home, run):
    from transformers import AutoTokenizer

    assert json.loads((run / "config.json").read_text())["max_position_embeddings"] == 512
    assert AutoTokenizer.from_pretrained(run).model_max_length == 24
    long = " ".join(["the cat sat ."] * 30)
    read = bertkit(home, "embed", "--model", str(run), long)
    assert "1 text is longer than the 24 tokens that" in read.stderr
    assert "reads 24 at most" in bertkit(home, "mask-fill", "--model", str(run), f"{long} [MASK]", check=False).stderr
    rows = "".join(f"{long} {'abcd'[n % 4]},{n % 2}\n" for n in range(40))
    (home / "long.csv").write_text("text,label\n" + rows)
    options = ["--train", "long.csv", "--validation-split", "0.2", "--max-steps", "2", "--out", "longer", "--seq-len"]
    tuned = bertkit(home, "finetune", "--model", str(run), *options, "48")
    assert (
        "reads 24 tokens, as many as it was pretrained on: its positions from there to 47 begin as they are"
        in tuned.stderr
    )
    assert AutoTokenizer.from_pretrained(home / "longer").model_max_length == 48


def test_the_resolved_recipe_reproduces_the_run(bertkit, home, run):
    bertkit(home, "pretrain", "corpus.txt", "--out", "again", "--recipe", str(run / "recipe.toml"))
    assert (run / "model.safetensors").read_bytes() == (home / "again" / "model.safetensors").read_bytes()


def test_a_dry_run_says_what_it_would_do_and_leaves_nothing(bertkit, home):
    result = bertkit(home, "pretrain", "corpus.txt", "--out", "dry", "--dry-run", "--max-steps", "10", *TINY)
    said = result.stderr.splitlines()[-1]
    for part in (
        "tiny: ",
        " parameters on CPU",
        "10 steps of 16 sequences, 24 tokens long",
        " tokens/s",
        "GiB",
        "until",
    ):
        assert part in said
    assert not (home / "dry").exists()


def test_a_budget_is_turned_into_steps_that_a_resume_keeps(home, monkeypatch):
    # Steps that are said to take 1,000 s, and do by their clock, so that it does not matter how long the start takes: an
    # evaluation of 16 examples, a batch, a third of that; (20,800 - 333) / (1,000 + 333 / 500) are 20.5.
    monkeypatch.setattr(
        step_cost,
        "step_costs",
        lambda _, __, stretches, *___: [step_cost.StepCost(one, 1_000.0, 300) for one in stretches],
    )

    class SlowSteps(loop.Timing):
        made = 0

        def step_made(self, tokens):
            self.made += 1
            return 1_000.0

        seconds = property(lambda self: 1_000.0 * self.made)

    monkeypatch.setattr(loop, "Timing", SlowSteps)
    monkeypatch.setenv("BERTKIT_CACHE", str(home / "cache"))
    out = home / "timed"
    command = ["pretrain", str(home / "corpus.txt"), "--out", str(out), *TINY, "--set", "max_eval_examples=16",
               "--device", "cpu", "--mixed-precision", "no", "--budget"]  # fmt: skip
    assert CliRunner().invoke(app, [*command, "20800s"], catch_exceptions=False).exit_code == 0
    record = json.loads((out / "run.json").read_text())
    recipe = tomllib.loads((out / "recipe.toml").read_text())
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert recipe["train"]["max_steps"] == record["max_steps"] == lines[-1]["step"] == 20
    assert lines[-2]["lr"] < lines[10]["lr"]  # the schedule has come down by then

    (out / "run.json").write_text(json.dumps({**record, "finished": False}))
    again = CliRunner().invoke(app, [*command, "1h", "--resume"], catch_exceptions=False)
    assert f"resuming from {out}/checkpoint-20" in again.stderr
    assert json.loads((out / "run.json").read_text())["max_steps"] == 20


def test_a_budget_and_a_number_of_steps_exclude_each_other(bertkit, home):
    result = bertkit(home, "pretrain", "corpus.txt", "--budget", "1h", "--epochs", "2", check=False)
    assert result.returncode == 1
    assert result.stderr == "error: --budget chooses the number of steps: leave --epochs out, or --budget\n"


def test_mask_fill_reads_the_result(bertkit, home, run):
    result = bertkit(home, "mask-fill", "--model", str(run), "the [MASK] sat .", "--json", "--top-k", "2")
    answer = json.loads(result.stdout)
    assert [len(mask) for mask in answer["predictions"]] == [2]
    assert answer["predictions"][0][0].keys() == {"score", "token", "token_str", "sequence"}


def test_an_existing_folder_is_refused_resumed_or_replaced(bertkit, home, run):
    again = ["pretrain", "corpus.txt", "--out", "run", "--max-steps", "10", *TINY]
    refused = bertkit(home, *again, check=False)
    assert refused.returncode == 1
    assert "run is not empty" in refused.stderr
    assert "is finished" in bertkit(home, *again, "--resume").stderr
    other = bertkit(home, *again[:4], "--max-steps", "10", "--lr", "0.5", *TINY, "--resume", check=False)
    assert other.returncode == 1
    assert "cannot resume run with train.learning_rate = 0.5: it was begun with" in other.stderr


def test_overwriting_removes_nothing_where_the_new_run_cannot_begin(bertkit, home, run):
    before = (run / "model.safetensors").read_bytes()
    for more in (["--mixed-precision", "fp16"], ["--vocab-size", "20000"]):
        result = bertkit(home, "pretrain", "corpus.txt", "--out", "run", "--overwrite", *TINY, *more, check=False)
        assert result.returncode == 1
        assert (run / "model.safetensors").read_bytes() == before
        assert (run / "run.json").is_file()


def test_inspect_dumps_what_training_sees(bertkit, home):
    dumped = bertkit(home, "inspect", "corpus.txt", "--dump", "40", "--seq-len", "24", "--batch-size", "16").stdout
    examples = [json.loads(line) for line in dumped.splitlines()]
    assert len(examples) == 40
    for example in examples:
        assert example.keys() == {"input_ids", "labels", "token_type_ids", "next_sentence_label", "tokens"}
        assert len({len(example[name]) for name in ("input_ids", "labels", "token_type_ids", "tokens")}) == 1
        assert example["tokens"][0] == "[CLS]"
        assert example["tokens"][-1] == "[SEP]"
    report = json.loads(
        bertkit(home, "inspect", "corpus.txt", "--json", "--seq-len", "24", "--batch-size", "16").stdout
    )
    assert report["corpus"]["documents"] == 60
    assert report["corpus"]["sentences"] == sum(4 + i % 3 for i in range(60))
    assert report["corpus"]["duplicate_sentences"] == pytest.approx(1 - 5 / 300)
    assert any("occurred before" in warning for warning in report["warnings"])


def test_held_out_text_of_ones_own_is_what_is_evaluated(bertkit, home):
    (home / "held_out.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    more = ["--validation", "held_out.txt", "--max-steps", "2"]
    bertkit(home, "pretrain", "corpus.txt", "--out", "validated", *more, *SMALL)
    last = json.loads((home / "validated" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["eval_perplexity"] == pytest.approx(math.exp(last["eval_mlm_loss"]))


def test_a_dataset_of_the_hub_is_streamed(hub, home, tmp_path):
    (tmp_path / "stories").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"body": TEXT.split("\n\n")}), tmp_path / "stories" / "train.parquet")
    hub.datasets["org/stories"] = tmp_path / "stories"
    environment = {**hub.env(tmp_path), "BERTKIT_CACHE": str(tmp_path / "cache"), "COLUMNS": "300"}
    command = [sys.executable, "-m", "bertkit", "prepare", "org/stories", "--out", str(tmp_path / "out"), "--column"]
    wrong = subprocess.run([*command, "text"], env=environment, capture_output=True, text=True)
    assert "has no column 'text': use --column with one of body" in wrong.stderr
    right = subprocess.run([*command, "body"], env=environment, capture_output=True, text=True)
    assert right.returncode == 0, right.stderr
    info = json.loads((tmp_path / "out" / "corpus.json").read_text())
    assert (info["documents"], info["sentences"]) == (60, 300)


def test_going_on_from_a_model_takes_its_tokenizer(bertkit, home, run):
    text = ["--recipe", "adapt", "--max-steps", "2", "--seq-len", "24", "--batch-size", "8"]
    result = bertkit(home, "pretrain", "corpus.txt", "--model", str(run), "--out", "adapted", *text)
    assert (home / "adapted" / "vocab.txt").read_bytes() == (run / "vocab.txt").read_bytes()
    assert "learning rate 1.2e-03, as the model is 32 wide: the recipe's 5e-05 is for 768" in result.stderr
    assert tomllib.loads((home / "adapted" / "recipe.toml").read_text())["train"]["learning_rate"] == 5e-5 * 768 / 32
    same = bertkit(home, "pretrain", "corpus.txt", "--model", str(run), "--out", "at-a-rate", *text, "--lr", "1e-5")
    assert "learning rate" not in same.stderr


def test_a_prepared_folder_trains_as_its_text_does(bertkit, home, run):
    bertkit(home, "prepare", "corpus.txt", "--out", "prepared")
    bertkit(home, "pretrain", "prepared", "--out", "from-prepared", "--max-steps", "10", *TINY)
    assert (home / "from-prepared" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_an_empty_volume_is_filled_with_a_prepared_corpus(home, tmp_path, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    for name in ("lost+found", ".tmp-out-0123456789ab"):
        (tmp_path / "out" / name).mkdir(parents=True)
    command = ["prepare", str(home / "corpus.txt"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert {"corpus.json", "lost+found"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert not list((tmp_path / "out").glob(".tmp-*"))
    again = CliRunner().invoke(app, command)
    assert "is there already, and not empty: name another folder with --out" in str(again.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pretrain", "nope.txt"], "no corpus at nope.txt: give a text file"),
        (["pretrain", "corpus.txt", "--set", "batchsize=3"], "Did you mean"),
        (["pretrain", "corpus.txt", "--set", "batch_size=many"], "train.batch_size must be"),
        (["pretrain", "corpus.txt", "--seq-len", "1024"], "over model.max_position_embeddings"),
        (["pretrain", "corpus.txt", "--vocab-size", "20000"], "more than this corpus supports"),
        (["pretrain", "corpus.txt", "--vocab-size", "16"], "too small for the"),
        (["pretrain", "corpus.txt", "--mixed-precision", "fp16", "--device", "cpu"], "fp16 needs a GPU"),
        (["pretrain", "corpus.txt", "--tokenizer", "no/where/at/all"], "no/where/at/all"),
        (
            ["prepare", "corpus.txt", "--set", "max_seq_length=20"],
            "data.max_seq_length is of training, and prepare reads",
        ),
        (
            ["prepare", "corpus.txt", "--set", "train.seed=1"],
            "train.seed is of training, and prepare reads tokenizer.*",
        ),
        (["prepare", "corpus.txt", "--set", "hidden_size=64"], "model.hidden_size is of training, and prepare reads"),
        (["pretrain", "corpus.txt", "--recipe", "adapt"], "goes on from a model: give --model"),
        (["mask-fill", "--model", "no/such/folder/here", "a [MASK]"], "no/such/folder/here"),
    ],
)
def test_bad_input_gets_one_clear_line(bertkit, home, arguments, message):
    result = bertkit(home, *arguments, check=False)
    assert result.returncode == 1, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not (home / "runs" / "pretrain-corpus" / "config.json").exists()


def test_a_batch_larger_than_the_corpus_reads_it_more_than_once_and_says_so(bertkit, home):
    args = ("corpus.txt", "--out", "large", "--max-steps", "2", *TINY, "--batch-size", "500")
    result = bertkit(home, "pretrain", *args)
    told = re.search(r"which are (\d+) examples of \d+: a batch of 500 reads it (\d+\.\d) times", result.stderr)
    assert told
    metrics = map(json.loads, (home / "large" / "metrics.jsonl").read_text().splitlines())
    epochs = max(line["epoch"] for line in metrics if "epoch" in line)
    assert epochs == pytest.approx(2 * 500 / int(told[1]), abs=0.01)
    assert float(told[2]) == pytest.approx(500 / int(told[1]), abs=0.05)
    assert "a batch of 500 reads it" in bertkit(home, "inspect", *args[:1], *TINY, "--batch-size", "500").stderr


def test_one_document_is_said_as_one(bertkit, home):
    (home / "one.txt").write_text("it rained .\n", encoding="utf-8")
    said = bertkit(home, "prepare", "one.txt", "--tokenizer", "embedded").stderr
    assert "1 document, 1 sentence, " in said


def test_standard_input_is_a_corpus_like_a_file(bertkit, home, run):
    bertkit(home, "pretrain", "-", "--out", "piped", "--max-steps", "10", *TINY, given=TEXT)
    assert (home / "piped" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()


def test_held_out_text_may_be_prepared_beforehand(bertkit, home):
    (home / "held.txt").write_text(TEXT[: len(TEXT) // 3], encoding="utf-8")
    folder = bertkit(home, "prepare", "corpus.txt").stdout.strip()
    held = bertkit(home, "prepare", "held.txt", "--tokenizer", folder).stdout.strip()
    options = ["--max-steps", "2", *SMALL]
    bertkit(home, "pretrain", folder, "--validation", held, "--out", "prepared-held", *options)
    bertkit(home, "pretrain", folder, "--validation", "held.txt", "--out", "plain-held", *options)
    results = [
        json.loads((home / name / "run.json").read_text())["results"] for name in ("prepared-held", "plain-held")
    ]
    assert results[0] == results[1]


def test_workers_that_are_spawned_as_on_macos_and_windows(home, run):
    script = "import multiprocessing as m; m.set_start_method('spawn'); from bertkit.__main__ import main; main()"
    arguments = ["pretrain", "corpus.txt", "--out", "spawned", "--max-steps", "10", *TINY, "--set", "num_workers=1"]
    environment = {**os.environ, "BERTKIT_CACHE": str(home / "cache"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=home, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert (home / "spawned" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
