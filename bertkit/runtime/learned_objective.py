"""What the next-sentence head of a model has learned."""

import tomllib
from pathlib import Path

from bertkit.errors import BertkitError
from bertkit.training.record import read_record
from bertkit.training.run_folder import RECIPE


def learned_objective(folder: Path) -> str | None:
    """``nsp``, ``sop``, ``none``, or None where the folder of the model does not tell.

    By the record of its run, or of one from before that was recorded, by its recipe. What a run goes on from may have learned
    pairs where the run itself did not.
    """
    try:
        run = read_record(folder)
        if run.learned_objective:
            return run.learned_objective
        objective = str(tomllib.loads((folder / RECIPE).read_text(encoding="utf-8"))["data"]["sentence_objective"])
    except (BertkitError, OSError, ValueError, KeyError, TypeError):  # no run, or one of fine-tuning, or not bertkit's
        return None
    if objective == "none" or run.documents_with_pairs == 0:
        return None if run.base_model else "none"
    return objective
