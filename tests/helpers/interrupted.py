"""A finished run made as if it had been cut off, so that a resume has something to do."""

import json
import shutil
from pathlib import Path


def cut_off(out: Path, after: int, weights: str = "model.safetensors") -> bytes:
    """Takes away all that a run left after a step; returns the weights that it had ended in."""
    whole = (out / weights).read_bytes()
    for name in (weights, "eval_results.json"):
        (out / name).unlink()
    for path in out.glob("checkpoint-*"):
        if int(path.name.rpartition("-")[2]) > after:
            shutil.rmtree(path)
    facts = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(facts | {"finished": False}))
    return whole
