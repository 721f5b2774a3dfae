"""``python -m benchmarks experiment``: pretraining done in several ways, some seeds each, and what came of them."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import bertkit
from benchmarks.glue import glue_figure
from benchmarks.left_to_right import left_to_right
from benchmarks.variants import averaged_weights, embedding_rate, z_loss
from bertkit import console
from bertkit.errors import BertkitError
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import PretrainRecipe

_GLUE = ("sst2", "mrpc")
# Every model is looked at by the paper's masks, however it was trained.
_PAPERS_MASKS = {
    "data.mlm_probability": 0.15,
    "data.mask_replace_prob": 0.8,
    "data.random_replace_prob": 0.1,
    "data.whole_word_mask": False,
}
_FIGURES = {
    "eval_mlm_loss": "held-out MLM loss",
    "eval_nsp_accuracy": "NSP, %",
    "cloze": "cloze, %",
    "sst2": "SST-2, %",
    "mrpc": "MRPC F1, %",
    "seconds": "seconds",
}


@dataclass(frozen=True)
class Arm:
    """One of the ways.

    Attributes:
        settings: what differs from the recipe and from what the person gave.
        longer: factor of the steps, for an arm whose steps are cheaper.
        parts: runs one after another, each from the weights of the one before: their share of the steps, and what is set
            in them. The rate rises in the first of them alone, and falls to 0 in the last; the optimizer starts anew.
        changed: what has to be changed in the program itself while it is trained, evaluated and fine-tuned.
        fills_masks: whether the cloze test, which reads in numpy, can read it.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    longer: float = 1.0
    parts: Sequence[tuple[float, Mapping[str, Any]]] = ()
    changed: Callable[[], AbstractContextManager[None]] = nullcontext
    fills_masks: bool = True


def _masks(mask: int, random: int) -> Arm:
    kept = 100 - mask - random
    shares = {"data.mask_replace_prob": mask / 100, "data.random_replace_prob": random / 100}
    return Arm(f"{mask} % mask, {random} % random, {kept} % kept", shares)


def _optimizer(name: str, rate: float, longer: float = 1.0) -> Arm:
    steps = f", {longer:g} times the steps" if longer != 1 else ""
    return Arm(f"{name}, {rate:g}{steps}", {"train.optimizer": name.lower(), "train.learning_rate": rate}, longer)


_TUNED = _optimizer("AdamW", 2e-3)
_CONSTANT = {"train.lr_scheduler_type": "constant"}

EXPERIMENTS = {
    # Devlin et al. 2018, appendix C.2, Table 8.
    "masks": [_masks(*both) for both in ((80, 10), (100, 0), (80, 0), (80, 20), (0, 20), (0, 100))],
    # The same, 5.1, Table 5.
    "sentences": [
        Arm("MLM and NSP"),
        Arm("no NSP", {"data.sentence_objective": "none"}),
        Arm("no NSP, left to right", {"data.sentence_objective": "none"}, changed=left_to_right, fills_masks=False),
    ],
    "rates": [_TUNED, *(_optimizer("AdamW", rate) for rate in (1e-3, 3e-3, 4e-3))],
    "rates-256": [_optimizer("AdamW", rate) for rate in (7e-4, 4e-4, 1e-3)],
    "muon": [_TUNED, _optimizer("AdamW", 2e-3, 1.25), *(_optimizer("Muon", r) for r in (2e-3, 4e-3))],
    "decay": [Arm("adam_beta2 0.98"), *(Arm(f"adam_beta2 {b}", {"train.adam_beta2": b}) for b in (0.95, 0.99, 0.999))],
    "predicted": [
        Arm("15 % predicted"),
        *(Arm(f"{p} % predicted", {"data.mlm_probability": p / 100}) for p in (20, 30)),
    ],
    "warmup": [
        _TUNED,
        *(Arm(f"AdamW, warm-up {w}", {**_TUNED.settings, "train.warmup": w}) for w in (0.02, 0.05, 0.2)),
    ],
    "embeddings": [
        _TUNED,
        *(Arm(f"AdamW, embeddings × {f:g}", _TUNED.settings, changed=partial(embedding_rate, f)) for f in (0.3, 3)),
    ],
    "parts": [
        Arm("MLM and NSP", parts=((0.8, {}), (0.2, {}))),
        Arm("no NSP, pairs in the last fifth", parts=((0.8, {"data.sentence_objective": "none"}), (0.2, {}))),
        Arm("30 % predicted, 15 % in the last fifth", parts=((0.8, {"data.mlm_probability": 0.3}), (0.2, {}))),
        Arm("half as many examples a step first", parts=((0.8, {"train.batch_size": 64}), (0.4, {}), (0.2, {}))),
    ],
    "averages": [
        Arm("last weights"),
        *(Arm(f"average, {d}", changed=partial(averaged_weights, d)) for d in (0.9, 0.98)),
        Arm("level rate, last weights", _CONSTANT),
        Arm("level rate, average, 0.98", _CONSTANT, changed=partial(averaged_weights, 0.98)),
    ],
    "z-loss": [Arm("as it is"), *(Arm(f"z-loss, {w:g}", changed=partial(z_loss, w)) for w in (1e-4, 1e-3))],
}
"""By name; the first arm is what the others are held against."""


@dataclass(frozen=True)
class Setup:
    """What all arms have in common.

    Attributes:
        corpus, validation: texts to learn from, and to be looked at.
        settings: of the recipe.
        glue: folder with SST-2 and MRPC; None leaves them out.
        out: the models, and ``results.jsonl``, by which the same command goes on.
        model: whose weights all arms begin with; None begins with random ones, and with ``tokenizer``.
    """

    corpus: Sequence[str]
    validation: Sequence[str]
    recipe: str
    settings: Mapping[str, Any]
    tokenizer: str
    glue: Path | None
    seeds: int
    out: Path
    model: str | None = None


def run(name: str, setup: Setup) -> str:
    """Trains what is not there yet, and gives the table in Markdown.

    Raises:
        BertkitError: there is no such experiment.
    """
    if name not in EXPERIMENTS:
        raise BertkitError(f"no experiment '{name}': choose of {', '.join(EXPERIMENTS)}")
    arms = EXPERIMENTS[name]
    setup.out.mkdir(parents=True, exist_ok=True)
    log = setup.out / "results.jsonl"
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    for seed in range(1, setup.seeds + 1):
        for arm in arms:
            if any((one["arm"], one["seed"]) == (arm.name, seed) for one in known):
                continue
            known.append({"arm": arm.name, "seed": seed, **_figures(arm, setup, seed)})
            with log.open("a") as file:
                file.write(json.dumps(known[-1]) + "\n")
            console.note(console.plain(json.dumps(known[-1])))
    return table([arm.name for arm in arms], known)


def _figures(arm: Arm, setup: Setup, seed: int) -> dict[str, float]:
    folder = setup.out / f"{arm.name.replace(' ', '-').replace('%', '').replace(',', '')}-{seed}"
    settings = {**setup.settings, **arm.settings, "train.seed": seed}
    if arm.longer != 1:
        settings["train.max_steps"] = round(arm.longer * _steps(setup))
    with arm.changed():
        seconds = _train(_in_parts(arm, setup, settings) if arm.parts else [settings], setup, folder)
        held_out = bertkit.evaluate(folder, corpus=setup.validation, settings={**_PAPERS_MASKS, "train.seed": 0})
        figures = {key: held_out[key] for key in ("eval_mlm_loss", "eval_nsp_accuracy") if key in held_out}
        figures["seconds"] = seconds
        if arm.fills_masks:
            figures["cloze"] = bertkit.evaluate(folder, cloze=True)["top_1"]
        for task in _GLUE if setup.glue else ():
            figures[task] = glue_figure(task, folder, setup.glue, seed)
    return figures


def _train(parts: Sequence[Mapping[str, Any]], setup: Setup, folder: Path) -> float:
    """Trains each part from the weights of the one before, the last one into ``folder``; returns the seconds of all."""
    before: str | Path | None = setup.model
    seconds = 0.0
    for number, settings in enumerate(parts, 1):
        own = folder if number == len(parts) else folder.with_name(f"{folder.name}-part-{number}")
        record = bertkit.pretrain(
            setup.corpus,
            validation=setup.validation,
            recipe=setup.recipe,
            model=before,
            tokenizer=None if before else setup.tokenizer,
            settings=settings,
            out=own,
            device="cpu",
            overwrite=True,
        )
        before, seconds = own, seconds + record.seconds
    return seconds


def _in_parts(arm: Arm, setup: Setup, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings of each of an arm's parts."""
    steps, runs = _steps(setup), []
    for number, (share, own) in enumerate(arm.parts, 1):
        last = number == len(arm.parts)
        course = {
            "train.max_steps": round(share * steps),
            "train.warmup": round(0.1 * steps) if number == 1 else 0,
            "train.lr_scheduler_type": "linear" if last else "constant",
            "train.seed": settings["train.seed"] + 1000 * (number - 1),  # other masks and pairs than in the part before
        }
        given = settings if number == 1 else {key: settings[key] for key in settings if not key.startswith("model.")}
        runs.append({**given, **course, **own})
    return runs


def _steps(setup: Setup) -> int:
    given = [Override(key, value, key) for key, value in setup.settings.items()]
    steps = load(PretrainRecipe, "pretrain", setup.recipe, given).settings.train.max_steps
    if steps is None:
        raise BertkitError("an arm has more steps than others, and the recipe counts epochs: give train.max_steps")
    return steps


def table(arms: Sequence[str], results: Sequence[Mapping[str, Any]]) -> str:
    """Means over the seeds ± their standard deviation; a figure is bold that differs from the first arm's by more than
    twice the standard error of the difference."""
    shown = [name for name in _FIGURES if any(name in one for one in results)]
    lines = [f"| | {' | '.join(_FIGURES[name] for name in shown)} |", f"| --- |{' --- |' * len(shown)}"]
    for arm in arms:
        cells = [_cell(_of(results, arms[0], name), _of(results, arm, name), name) for name in shown]
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _of(results: Sequence[Mapping[str, Any]], arm: str, name: str) -> list[float]:
    return [one[name] for one in results if one["arm"] == arm and name in one]


def _cell(base: Sequence[float], own: Sequence[float], name: str) -> str:
    if not own:
        return "–"
    if name == "seconds":
        return f"{statistics.mean(own):.0f}"
    is_loss = name.endswith("loss")
    by, digits = (1.0, 3) if is_loss else (100.0, 1)
    text = f"{by * statistics.mean(own):.{digits}f}"
    if len(own) < 2:
        return text
    text = f"{text} ± {by * statistics.stdev(own):.{digits}f}"
    return f"**{text}**" if _differs(base, own) else text


def _differs(base: Sequence[float], own: Sequence[float]) -> bool:
    if len(base) < 2 or list(base) == list(own):
        return False
    error = (statistics.variance(base) / len(base) + statistics.variance(own) / len(own)) ** 0.5
    return abs(statistics.mean(own) - statistics.mean(base)) > 2 * error
