"""What pretraining bought: the same rows learned from pretrained and from random weights (`make demo` ends on it)."""

import json
import sys
from pathlib import Path
from textwrap import fill

pretrained, random = map(Path, sys.argv[1:] or ("runs/demo-classifier", "runs/demo-control"))


def figures(run):
    found = json.loads((run / "eval_results.json").read_text(encoding="utf-8"))
    low, high = found["eval_accuracy_interval_95"]
    return f"{found['eval_accuracy']:6.1%} right, 95 % interval {low:.1%} to {high:.1%} on {found['eval_rows']} rows"


def rows(run):
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


pairs = [(a, b) for a, b in zip(rows(pretrained), rows(random), strict=True) if a["prediction"] != b["prediction"]]
bought = [a for a, _ in pairs if a["prediction"] == a["label"]]
print(f"\nfrom pretrained weights  {figures(pretrained)}\nfrom random weights      {figures(random)}")
print(
    f"right from pretrained weights alone: {len(bought)} rows; from random weights alone: {len(pairs) - len(bought)}\n"
)
bought.sort(key=lambda row: -max(row["probabilities"].values()))  # the surest first
for label in sorted({row["label"] for row in bought}):
    for row in [row for row in bought if row["label"] == label][:2]:
        print(fill(f"{label:<10} {' '.join(row['text'])}", 79, initial_indent="  ", subsequent_indent=" " * 13))
