"""``bertkit bench pretrain``: our loop beside transformers' Trainer, on the same examples, model and precision."""

import dataclasses
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import BertForPreTraining, DataCollatorForLanguageModeling

from bertkit.bench.machine import peak_flops, step_flops
from bertkit.bench.rounds import Turn, compare
from bertkit.bench.trainer import TRAINER, trainer_seconds
from bertkit.models.bert import choose_attention, new_bert, save_model
from bertkit.pretraining.dataset import PretrainingPlan
from bertkit.pretraining.objective import BertPretrainingObjective
from bertkit.pretraining.prepare import Prepared
from bertkit.pretraining.run import PretrainRequest, inspect
from bertkit.settings.schema import PretrainRecipe
from bertkit.training import hardware
from bertkit.training.log import read_metrics
from bertkit.training.loop import Job, fit

OURS = "bertkit"


def bench_pretrain(request: PretrainRequest, steps: int, rounds: int) -> dict[str, Any]:
    """Tokens a second (real ones, padding not counted) of both, and the share of the machine's matrix peak.

    The Trainer gets the examples of the same steps, ready in memory, with its own masking collator; we draw, mask
    and collate ours within the time that is measured. The first step of each is left out.
    """
    device = hardware.choose_device(request.device)
    plan, corpus, recipe = inspect(request)
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    batches = [plan.fetch(plan.examples(step)) for step in range(steps)]
    tokens = sum(int(batch["attention_mask"].sum()) for batch in batches[1:])
    masked = sum(int((batch["labels"] != -100).sum()) for batch in batches[1:])
    rows = [_row(plan.example(one), corpus.tokenizer) for step in range(steps) for one in plan.examples(step)]
    build = partial(new_bert, recipe.model, corpus.tokenizer, recipe.train.seed)
    contestants: dict[str, Callable[[], Turn]] = {
        OURS: partial(_ours, build, plan, corpus, recipe, steps, device, precision),
        TRAINER: partial(_trainer, build, rows, corpus.tokenizer, recipe, steps, device, precision, tokens),
    }
    figures = compare(contestants, rounds)
    config = build().config
    peak = peak_flops(device, precision)
    asked = step_flops(config, tokens, plan.max_seq_length(0), masked) / tokens
    return {
        "work": f"pretrain {config.num_hidden_layers}/{config.hidden_size}, length {plan.max_seq_length(0)}, batch "
        f"{recipe.train.batch_size}, vocabulary {config.vocab_size:,}, {'fp32' if precision == 'no' else precision}",
        "unit": "tokens/s",
        "device": hardware.describe_device(device),
        "peak_tflops": peak / 1e12,
        "figures": [{**one.as_json(), "share_of_peak": one.speed * asked / peak} for one in figures],
    }


def _ours(
    build: Callable[[], BertForPreTraining],
    plan: PretrainingPlan,
    corpus: Prepared,
    recipe: PretrainRecipe,
    steps: int,
    device: str,
    precision: str,
) -> Turn:
    model = build()
    choose_attention(model, device, precision, plan.max_seq_length(0))
    timed = recipe.train.model_copy(
        update={"logging_steps": steps, "save_steps": 10 * steps, "eval_steps": 0, "max_steps": steps}
    )
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
        out = Path(folder)
        job = Job(
            objective=BertPretrainingObjective(model, recipe.data.sentence_objective != "none"),
            plan=_First(plan, steps),
            settings=timed,
            out=out,
            save_model=lambda model, where: save_model(model, corpus.tokenizer, where),
        )
        fit(job, hardware.build_accelerator(device, precision, (), folder), None)
        first, last = read_metrics(out)
    tokens = last["tokens"] - first["tokens"]
    return Turn(tokens, tokens / last["tokens_per_second"])


@dataclasses.dataclass
class _First:
    """The first steps of a plan."""

    plan: PretrainingPlan
    total_steps: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plan, name)


def _trainer(
    build: Callable[[], BertForPreTraining],
    rows: list[dict[str, Any]],
    tokenizer: Any,
    recipe: PretrainRecipe,
    steps: int,
    device: str,
    precision: str,
    tokens: int,
) -> Turn:
    collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=recipe.data.mlm_probability)
    seconds = trainer_seconds(build(), collate, rows, recipe.train, steps, device, precision)
    return Turn(tokens, seconds)


def _row(example: Any, tokenizer: Any) -> dict[str, Any]:
    """An example as transformers' collators take it."""
    a, b = list(map(int, example.a)), [] if example.b is None else list(map(int, example.b))
    second = [*b, tokenizer.sep_token_id] if b else []
    return {
        "input_ids": [tokenizer.cls_token_id, *a, tokenizer.sep_token_id, *second],
        "token_type_ids": [0] * (len(a) + 2) + [1] * len(second),
        "next_sentence_label": max(0, int(example.next_sentence_label)),
    }
