"""A complete toy pretraining run for tests of the loop: a small corpus, a small BERT, a few steps."""

from pathlib import Path

from bertkit.models.bert import new_bert, save_model
from bertkit.pretraining.dataset import EvaluationSet, PretrainingPlan, collator_for
from bertkit.pretraining.evaluation import Evaluator
from bertkit.pretraining.objective import BertPretrainingObjective
from bertkit.pretraining.split import split_documents
from bertkit.pretraining.texts import RunText
from bertkit.settings.schema import DataSettings, ModelSettings, TrainSettings
from bertkit.training.job import Job
from helpers.stores import random_documents, toy_tokenizer, write_store

MODEL = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}


def toy_job(
    folder: Path, out: Path, accelerator, *, micro_batch: int = 16, dropout: float = 0.0, steps: int = 10, **train
) -> Job:
    """A job of ``steps`` steps of 16 sequences; phases of 16 and 24 tokens."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = toy_tokenizer()
    store = write_store(folder, random_documents(40))
    data = DataSettings(max_seq_length=((0.5, 16), (0.5, 24)), validation_split=0.2)
    training, validation = split_documents(store, 0.2, 1)
    collate = collator_for(tokenizer, data)
    settings = TrainSettings(**{"batch_size": 16, "max_steps": steps, "learning_rate": 1e-3, "logging_steps": 1,
                                "eval_steps": 4, "save_steps": 3, "mixed_precision": "no", **train})  # fmt: skip
    model = new_bert(
        ModelSettings(**MODEL, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout), tokenizer, seed=5
    )
    plan = PretrainingPlan([RunText(store, training)], data, collate, 16, steps, settings.seed, lambda _: micro_batch)
    return Job(
        objective=BertPretrainingObjective(model),
        plan=plan,
        settings=settings,
        out=out,
        save_model=lambda model, where: save_model(model, tokenizer, where),
        evaluate=Evaluator(
            accelerator,
            lambda length: EvaluationSet([RunText(store, validation)], data, collate, length, 1),
            plan.max_seq_length,
            lambda _: 7,
        ),
    )
