"""Folders of runs, written as bertkit writes them, without training anything."""

import json
from pathlib import Path
from typing import Any

SCRIPT = "<script>document.title = 'owned'</script>"
LABELS = ["negative", "positive <b>"]


def pretraining_run(folder: Path, steps: int = 100, lr: float = 1e-3, finished: bool = True, **facts: Any) -> Path:
    """A run that logged every tenth of its steps, and was evaluated twice."""
    folder.mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for step in range(steps // 10, steps + 1, steps // 10):
        figures = {"loss": 8 - 2 * step / steps, "mlm_loss": 7 - 2 * step / steps, "nsp_loss": 1.0}
        shares = {"mlm_accuracy": 0.3 * step / steps, "nsp_accuracy": 0.5}
        times = {"lr": lr, "grad_norm": 1.5, "tokens_per_second": 12_345.0, "seconds": step / 10}
        lines.append({"step": step, "epoch": step / 50, "tokens": 1000 * step, **figures, **shares, **times})
        if step % (steps // 2) == 0:
            evaluated = {f"eval_{name}": value for name, value in {**figures, **shares, "perplexity": 42.5}.items()}
            lines.append({"step": step, **evaluated, "max_seq_length": 32})
    _write(folder / "metrics.jsonl", lines)
    run = {
        "command": f"bertkit pretrain --out {folder.name}",
        "kind": "pretrain",
        "recipe": "demo",
        "corpus": ["stories.txt"],
        "documents": 700,
        "tokens_in_corpus": 71_684,
        "unigram_entropy": 6.0659,
        "parameters": 760_322,
        "device": "CPU, 2 threads",
        "seed": 42,
        "max_steps": steps,
        **({"finished": True, "results": lines[-1]} if finished else {}),
        **facts,
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    recipe = f"[model]\nhidden_size = 128\n[train]\nlearning_rate = {lr}\nseed = 42\n"
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    return folder


def finetuning_run(folder: Path) -> Path:
    """A classifier of two classes with three errors in ten rows."""
    folder.mkdir(parents=True)
    _write(
        folder / "metrics.jsonl",
        [
            {"step": 5, "loss": 0.7, "lr": 1e-5, "eval_loss": 0.7, "eval_accuracy": 0.5},
            {"step": 10, "loss": 0.5, "lr": 1e-6, "eval_loss": 0.6, "eval_accuracy": 0.7},
        ],
    )
    truths, shares = [0] * 5 + [1] * 5, [0.1, 0.2, 0.6, 0.3, 0.96, 0.9, 0.8, 0.05, 0.7, 0.6]  # of class 1
    rows = []
    for index, (truth, share) in enumerate(zip(truths, shares, strict=True)):
        probabilities = dict(zip(LABELS, (1 - share, share), strict=True))
        row = {"index": index, "prediction": LABELS[share > 0.5], "probabilities": probabilities}
        rows.append({**row, "label": LABELS[truth], "text": [f"row {index} {SCRIPT}", "其二"]})
    _write(folder / "predictions.jsonl", rows)
    figures = {"precision": 0.75, "recall": 0.6, "f1": 2 / 3, "support": 5}
    confusion = {"labels": LABELS, "matrix": [[3, 2], [1, 4]], "per_class": dict.fromkeys(LABELS, figures)}
    results = {
        "eval_loss": 0.6,
        "eval_accuracy": 0.7,
        "eval_accuracy_interval_95": [0.4, 0.9],
        "majority_baseline": 0.5,
        "confusion": confusion,
    }
    (folder / "eval_results.json").write_text(json.dumps(results), encoding="utf-8")
    run = {"kind": "finetune", "task": SCRIPT, "best_step": 10, "finished": True, "max_steps": 10}
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
