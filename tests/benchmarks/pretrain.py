"""``python -m benchmarks pretrain``: our loop beside transformers' Trainer, on the same examples, model and precision."""

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertForPreTraining, DataCollatorForLanguageModeling

from benchmarks.apart import apart
from benchmarks.machine import TRAINING, forward_flops, peak_flops
from benchmarks.rounds import OURS, Turn, compare
from benchmarks.trainer import TRAINER, trainer_turn
from bertkit import hardware
from bertkit.models.bert import IGNORE, new_bert, save_model
from bertkit.models.fast.attention import choose_attention
from bertkit.pretraining.dataset import PretrainingPlan
from bertkit.pretraining.inspection import inspect
from bertkit.pretraining.objective import BertPretrainingObjective
from bertkit.pretraining.request import PretrainRequest
from bertkit.pretraining.texts import Prepared
from bertkit.settings.schema import DataSettings, PretrainRecipe
from bertkit.training.job import Job
from bertkit.training.loop import fit
from bertkit.training.metrics_log import read_metrics


@dataclasses.dataclass(frozen=True)
class Work:
    """What both sides are to do."""

    plan: PretrainingPlan
    corpus: Prepared
    recipe: PretrainRecipe
    device: str
    precision: str

    def model(self) -> BertForPreTraining:
        return new_bert(self.recipe.model, self.corpus.tokenizer, self.recipe.train.seed)

    def __str__(self) -> str:
        config = self.model().config
        return (
            f"pretrain {config.num_hidden_layers}/{config.hidden_size}, length {self.plan.max_seq_length(0)}, batch "
            f"{self.recipe.train.batch_size}, vocabulary {config.vocab_size:,}, "
            f"{'fp32' if self.precision == 'no' else self.precision}"
        )


def bench_pretrain(request: PretrainRequest, steps: int, rounds: int) -> dict[str, Any]:
    """Tokens a second (real ones, padding not counted) of both, and the share of the machine's matrix peak.

    The Trainer gets the examples of the same steps, ready in memory, with its own masking collator; we draw, mask
    and collate ours within the time that is measured. The first step of each is left out.
    """
    work = work_of(request)
    prepared = on_prepared(request, work.corpus)
    with apart({OURS: partial(ours, prepared, steps), TRAINER: partial(trainer, prepared, steps)}) as contestants:
        figures = compare(contestants, rounds)
    peak, asked = peak_flops(work.device, work.precision), flops_a_token(work, steps)
    return {
        "work": str(work),
        "unit": "tokens/s",
        "device": hardware.describe_device(work.device),
        "peak_tflops": peak / 1e12,
        "figures": [{**one.as_json(), "share_of_peak": one.speed * asked / peak} for one in figures],
    }


def work_of(request: PretrainRequest) -> Work:
    """The corpus prepared, and the plan of the steps."""
    device = hardware.choose_device(request.device)
    seen = inspect(request)
    precision = hardware.choose_precision(seen.request.recipe.train.mixed_precision, device)
    return Work(seen.plan, seen.corpus, seen.request.recipe, device, precision)


def on_prepared(request: PretrainRequest, corpus: Prepared) -> PretrainRequest:
    """The same request on the corpus as it is prepared already, for the contestants' own processes."""
    return dataclasses.replace(request, corpus=[str(store.folder) for store in corpus.stores], tokenizer=None)


def flops_a_token(work: Work, steps: int) -> float:
    """Operations for a real token, forward and backward, on average over all steps but the first."""
    batches = [work.plan.fetch(work.plan.examples(step)) for step in range(1, steps)]
    lengths = np.concatenate([batch["attention_mask"].sum(dim=1).numpy() for batch in batches])
    masked = np.concatenate([(batch["labels"] != IGNORE).sum(dim=1).numpy() for batch in batches])
    wanted = masked + (work.recipe.data.sentence_objective != "none")  # and [CLS]
    return TRAINING * forward_flops(work.model().config, lengths, wanted, masked.sum()) / float(lengths.sum())


def ours(request: PretrainRequest, steps: int) -> Callable[[], Turn]:
    """Our loop, which draws, masks and collates its examples as it goes."""
    return partial(_our_turn, work_of(request), steps)


def _our_turn(work: Work, steps: int) -> Turn:
    model = work.model()
    choose_attention(model, work.device, work.precision, work.plan.max_seq_length(0))
    timed = work.recipe.train.model_copy(
        update={"logging_steps": steps, "save_steps": 10 * steps, "eval_steps": 0, "max_steps": steps}
    )
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
        out = Path(folder)
        job = Job(
            objective=BertPretrainingObjective(model, work.recipe.data.sentence_objective != "none"),
            plan=_First(work.plan, steps),
            settings=timed,
            out=out,
            save_model=lambda model, where: save_model(model, work.corpus.tokenizer, where),
        )
        fit(job, hardware.build_accelerator(work.device, work.precision, (), folder), None)
        return Turn(*after_the_first_step(read_metrics(out)))


def after_the_first_step(logged: Sequence[Mapping[str, Any]]) -> tuple[int, float, float]:
    """Tokens, seconds and seconds of waiting for data between the first and the last line that a run logged."""
    first, *_, last = (line for line in logged if "tokens_per_second" in line)
    tokens = last["tokens"] - first["tokens"]
    seconds = tokens / last["tokens_per_second"]
    return tokens, seconds, last["data_wait"] * seconds


@dataclasses.dataclass
class _First:
    """The first steps of a plan."""

    plan: PretrainingPlan
    total_steps: int

    def __getattr__(self, name: str) -> Any:
        if name == "plan":  # not there yet while it is unpickled in a data worker
            raise AttributeError(name)
        return getattr(self.plan, name)


def trainer(request: PretrainRequest, steps: int) -> Callable[[], Turn]:
    """The Trainer on the examples of the same steps, ready in memory."""
    work = work_of(request)
    by_step = [
        [as_row(work.plan.example(one), work.corpus.tokenizer) for one in work.plan.examples(step)]
        for step in range(steps)
    ]
    tokens = sum(len(row["input_ids"]) for rows in by_step[1:] for row in rows)
    return partial(_their_turn, work, [row for rows in by_step for row in rows], steps, tokens)


def _their_turn(work: Work, rows: list[dict[str, Any]], steps: int, tokens: int) -> Turn:
    train, collate = work.recipe.train, their_collator(work.corpus.tokenizer, work.recipe.data)
    torch.manual_seed(train.seed)
    return trainer_turn(work.model(), collate, rows, train, steps, work.device, work.precision, tokens)


def their_collator(tokenizer: Any, data: DataSettings) -> DataCollatorForLanguageModeling:
    """transformers' collator for masked language modelling."""
    return DataCollatorForLanguageModeling(tokenizer, mlm_probability=data.mlm_probability)


def as_row(example: Any, tokenizer: Any) -> dict[str, Any]:
    """An example as transformers' collators take it."""
    a, b = list(map(int, example.a)), [] if example.b is None else list(map(int, example.b))
    second = [*b, tokenizer.sep_token_id] if b else []
    return {
        "input_ids": [tokenizer.cls_token_id, *a, tokenizer.sep_token_id, *second],
        "token_type_ids": [0] * (len(a) + 2) + [1] * len(second),
        "next_sentence_label": max(0, int(example.next_sentence_label)),
    }
