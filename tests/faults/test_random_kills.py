"""Commands that are killed again and again, by any signal at any moment: nothing is lost, nothing left, equal to the bit.

``BERTKIT_KILLS`` says how often each command is struck, ``BERTKIT_KILLS_SEED`` which signals and moments are drawn. The last
line of each case (``pytest -s``) tells what was done.
"""

import collections
import json
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
from cli.test_kill_sweep import figures
from cli.test_pretrain import TEXT
from helpers.forked import Forked

from bertkit.training import checkpoint

KILLS = int(os.environ.get("BERTKIT_KILLS", "6"))
SEED = int(os.environ.get("BERTKIT_KILLS_SEED", "1"))
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")
OFTEN = ["--set", "logging_steps=1", "--set", "save_total_limit=2", "--set", "save_steps=3", "--set", "eval_steps=4",
         "--batch-size", "8", "--device", "cpu", "--resume"]  # fmt: skip
TINY = ["--set", "model.num_hidden_layers=1", "--set", "hidden_size=16", "--set", "num_attention_heads=2", "--set",
        "intermediate_size=16", "--set", "hidden_dropout_prob=0.1", "--seq-len", "16", "--set", "validation_split=0.2",
        "--max-steps", "25"]  # fmt: skip
FINETUNE = ["finetune", "--validation-split", "0.2", "--set", "train.dropout=0.1", "--epochs", "3", "--model", "model", "--out",
            "OUT", *OFTEN]  # fmt: skip
EXPORT = ["export", "model", "--out", "OUT", "--format"]
COMMANDS = {
    "prepare": ["prepare", "corpus.txt", "--out", "OUT"],
    "pretrain": ["pretrain", "corpus.txt", "--out", "OUT", *TINY, *OFTEN],
    "finetune": [*FINETUNE, "--train", "rows.csv", "--seq-len", "16"],
    "finetune-tags": [*FINETUNE, "--train", "tags.jsonl", "--seq-len", "16"],
    "finetune-answers": [*FINETUNE, "--train", "answers.jsonl", "--seq-len", "24", "--set", "data.stride=8"],
    "finetune-choices": [*FINETUNE, "--train", "choices.jsonl", "--seq-len", "16"],
    "export-half": [*EXPORT, "half"],
    "export-onnx": [*EXPORT, "onnx"],
    "export-int8": [*EXPORT, "onnx", "--int8"],
    "export-sentences": [*EXPORT, "sentence-transformers"],
}
RESUMED = tuple(name for name, command in COMMANDS.items() if "--resume" in command)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_at_any_moment_loses_nothing_and_leaves_nothing(tmp_path, tiny_model, name):
    if "onnx" in COMMANDS[name]:
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: pip install 'bertkit[onnx]'")
    (tmp_path / "model").symlink_to(tiny_model)
    (tmp_path / "corpus.txt").write_text(TEXT[:20_000])
    write_rows(tmp_path)
    draw, done, answered_s = random.Random(f"{SEED} {name}"), collections.Counter(), [0.0]
    with Forked(tmp_path) as commands:
        whole = tmp_path / "whole"
        run(commands, name, whole)
        forget(tmp_path, but="whole")
        seconds = run(commands, name, whole.with_name("timed"))
        number = 0
        while done.total() - done["finished"] - done["unheard"] < KILLS:
            number += 1
            out = tmp_path / f"killed-{number}"
            forget(tmp_path, but="whole")
            while strike(commands, name, out, seconds, draw, done, answered_s):
                seconds *= 1.1
                if done.total() - done["finished"] - done["unheard"] >= KILLS:
                    if name in RESUMED or not out.exists():
                        run(commands, name, out)
                    break
            else:
                seconds *= 0.8  # it was faster than before
            assert made(out) == made(whole)
            left = [path for path in tmp_path.rglob("*") if path.name.startswith((".tmp-", "bertkit-"))]
            assert left == []
    print(f"\n{name}: seed {SEED}, {number} results, {dict(done)}, signals answered within {max(answered_s):.1f} s")


def write_rows(folder: Path) -> None:
    """Labelled rows for each kind of task."""
    rows = "".join(f"{'the cat' if i % 2 else 'a dog'} {'abcdefgh'[i % 8]},{i % 2}\n" for i in range(120))
    (folder / "rows.csv").write_text("text,label\n" + rows)
    for name, made in {
        "tags": lambda a, b: {"tokens": ["the", a, "sat", b], "tags": ["O", "B-CAT", "O", "B-DOG"]},
        "answers": lambda a, b: {
            "question": f"{a} sat",
            "context": f"the cat sat {b} . {a} {b} the cats sat .",
            "answers": {"text": [b], "answer_start": [12]},
        },
        "choices": lambda a, b: {"question": f"the {a}", "choices": [a, b], "answer": int(a > b)},
    }.items():
        pairs = [("abcdefgh"[i % 8], "cdefgab"[i % 7]) for i in range(60)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(made(a, b)) + "\n" for a, b in pairs))


def run(commands: Forked, name: str, out: Path) -> float:
    """A command from its start, or from where it was left, to its end; seconds."""
    began_at_s = time.monotonic()
    code, said = commands.ending(commands.start([out.name if one == "OUT" else one for one in COMMANDS[name]]))
    assert code == 0, said
    return time.monotonic() - began_at_s


def strike(
    commands: Forked,
    name: str,
    out: Path,
    seconds: float,
    draw: random.Random,
    done: collections.Counter,
    answered_s: list[float],
) -> bool:
    """Starts a command and sends it a signal after a part of the time that it takes; whether it was ended by it."""
    if name not in RESUMED and out.exists():
        return False  # struck when all was made
    known, chosen = newest_step(out), draw.choice(SIGNALS)
    process = commands.start([out.name if one == "OUT" else one for one in COMMANDS[name]])
    time.sleep(seconds * draw.uniform(0, 1.1))
    os.kill(process, getattr(signal, chosen))
    sent_at_s = time.monotonic()
    code, said = commands.ending(process)
    done["finished" if code == 0 else chosen] += 1
    number = getattr(signal, chosen)
    assert code in (0, -number) or (code == 128 + number and chosen != "SIGKILL"), (chosen, code, said)
    # Python itself says and drops what is raised in a weak reference's callback: such a signal goes unheard.
    unheard = code == 0 and said.startswith("Exception ignored in")
    done["unheard"] += unheard
    assert unheard or "Traceback" not in said, said
    assert "error:" not in said, said
    if code == 128 + number:
        answered_s.append(time.monotonic() - sent_at_s)
    assert max(answered_s) < 60
    saved = re.search(r"stopped after step ([\d,]+) .*saved in", said.replace("\n", " "))
    assert newest_step(out) >= (int(saved[1].replace(",", "")) if saved else known)
    return code != 0


def newest_step(out: Path) -> int:
    """Of the newest checkpoint; each that has its name is whole."""
    folders = [path for path in out.glob("checkpoint-*") if path.is_dir()]
    newest = checkpoint.newest_checkpoint(out) if folders else None
    last = max((int(path.name.rpartition("-")[2]) for path in folders), default=0)
    assert newest is None or newest.name == f"checkpoint-{last}"
    return last


def made(out: Path) -> dict[str, object]:
    """What a command made, without what tells of its place and time."""
    if (out / "metrics.jsonl").is_file():
        names = ["model.safetensors", "config.json", "tokenizer.json", "eval_results.json", "predictions.jsonl"]
        files: dict[str, object] = {one: (out / one).read_bytes() for one in names if (out / one).is_file()}
        return {**files, "metrics": figures(out), "finished": json.loads((out / "run.json").read_text())["finished"]}
    files = [
        path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "README.md"
    ]  # which tells the time
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def forget(folder: Path, but: str) -> None:
    """Removes the cache and all that the commands made, but for one of them."""
    import shutil

    for path in [folder / "cache", *folder.glob("killed-*"), folder / "timed", folder / "whole"]:
        if path.name != but:
            shutil.rmtree(path, ignore_errors=True)
