"""The loop's two promises: the maths does not depend on the micro-batch, and a resume is exact to the bit."""

import contextlib
import dataclasses
import json
import math
import os
import shutil
import signal
import threading

import pytest
import torch
from accelerate import Accelerator
from helpers.toy import toy_job
from safetensors import safe_open

from bertkit.errors import BertkitError, Interrupted
from bertkit.signals import answered_meanwhile, stopped_cleanly
from bertkit.training import checkpoint, loop
from bertkit.training.loop import fit
from bertkit.training.metrics_log import MetricsLog, read_metrics
from bertkit.training.run_folder import check_checkpoints_fit


def run(tmp_path, name, resume_from=None, **options):
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / name, accelerator, **options)
    fit(job, accelerator, resume_from)
    return job


def weights(job):
    return {name: parameter.detach().clone() for name, parameter in job.objective.model.named_parameters()}


def training_lines(out):
    return [line for line in read_metrics(out) if "loss" in line]


@pytest.mark.parametrize("micro_batch", [1, 3, 8])
def test_losses_gradients_and_weights_do_not_depend_on_the_micro_batch(tmp_path, micro_batch):
    whole = run(tmp_path, "whole")
    parts = run(tmp_path, "parts", micro_batch=micro_batch)
    for one, other in zip(training_lines(whole.out), training_lines(parts.out), strict=True):
        for figure in ("loss", "mlm_loss", "nsp_loss", "grad_norm"):
            assert one[figure] == pytest.approx(other[figure], rel=1e-5), (one["step"], figure)
        assert one["tokens"] == other["tokens"]
    for name, parameter in weights(whole).items():
        difference = torch.linalg.norm(weights(parts)[name] - parameter)
        assert difference <= 1e-5 * torch.linalg.norm(parameter) + 1e-7, name


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # dynamo's own looking
def test_compiled_steps_are_the_same_to_rounding(tmp_path, monkeypatch):
    plain = run(tmp_path, "plain", steps=2)
    compile_, asked = torch.nn.Module.compile, []

    def without_a_compiler(module, **options):  # captured and differentiated as ever; only C++ is not made of it
        asked.append(options)
        compile_(module, backend="aot_eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", without_a_compiler)
    compiled = run(tmp_path, "compiled", steps=2, torch_compile=True)
    assert asked == [{"dynamic": True}]
    for one, other in zip(training_lines(plain.out), training_lines(compiled.out), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5), one["step"]
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4), one["step"]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # of more workers than cores
@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_change_nothing_at_all(tmp_path, num_workers):
    alone = run(tmp_path, "alone", dropout=0.1)
    helped = run(tmp_path, "helped", dropout=0.1, num_workers=num_workers)
    assert all(torch.equal(weights(helped)[name], value) for name, value in weights(alone).items())


def test_a_resume_with_another_micro_batch_goes_on_with_the_same_losses(tmp_path):
    whole = run(tmp_path, "whole", save_total_limit=9)
    resumed = run(tmp_path, "resumed", resume_from=whole.out / "checkpoint-3", micro_batch=5)
    assert [line["step"] for line in training_lines(resumed.out)] == list(range(4, 11))
    for one, other in zip(training_lines(whole.out)[3:], training_lines(resumed.out), strict=True):
        assert other["tokens"] == one["tokens"]
        for figure in ("loss", "grad_norm"):
            assert other[figure] == pytest.approx(one[figure], rel=1e-5), (one["step"], figure)


@pytest.mark.parametrize("options", [{}, {"dropout": 0.1}, {"dropout": 0.1, "num_workers": 1}, {"optimizer": "muon"}])
def test_a_resumed_run_ends_with_the_very_same_weights(tmp_path, options):
    whole = run(tmp_path, "whole", save_total_limit=9, **options)
    for step in (3, 6, 9):
        resumed = run(tmp_path, "resumed", resume_from=whole.out / f"checkpoint-{step}", save_total_limit=9, **options)
        for name, parameter in weights(whole).items():
            assert torch.equal(weights(resumed)[name], parameter), (step, name)


def test_metrics_have_no_gap_and_no_double_after_a_resume(tmp_path):
    whole = run(tmp_path, "run", dropout=0.1)
    before = [(line["step"], line.get("loss"), line.get("eval_loss")) for line in read_metrics(whole.out)]
    again = run(tmp_path, "run", resume_from=whole.out / "checkpoint-6", dropout=0.1)
    after = [(line["step"], line.get("loss"), line.get("eval_loss")) for line in read_metrics(again.out)]
    assert after == before
    assert [step for step, loss, _ in after if loss is not None] == list(range(1, 11))
    assert [step for step, _, eval_loss in after if eval_loss is not None] == [4, 8, 10]


def test_the_loss_falls(tmp_path):
    lines = training_lines(run(tmp_path, "run", steps=60, learning_rate=1e-2).out)
    assert lines[0]["mlm_loss"] == pytest.approx(math.log(128), abs=0.3)  # 100 pieces, padded to 128 rows
    assert lines[-1]["mlm_loss"] < math.log(100)


def test_each_step_has_the_rate_of_its_place_in_the_schedule(tmp_path):
    """Three steps up to the peak and seven down to 0, which the step after the last would have."""
    lines = training_lines(run(tmp_path, "run", warmup=3, learning_rate=7e-3, eval_steps=0).out)
    up, down = [7e-3 / 3, 14e-3 / 3, 7e-3], [7e-3, 6e-3, 5e-3, 4e-3, 3e-3, 2e-3, 1e-3]
    assert [line["lr"] for line in lines] == pytest.approx(up + down)


def test_each_micro_batch_of_each_step_draws_dropout_of_its_own_on_each_rank(tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr(loop, "seed_torch", lambda _, seed: seeds.append(seed))
    for rank in (0, 1):
        monkeypatch.setattr(Accelerator, "process_index", rank)
        run(tmp_path, f"rank{rank}", micro_batch=4, steps=3, eval_steps=0)
    assert len(set(seeds)) == len(seeds) == 2 * 3 * 4


def test_gradients_are_clipped_and_the_norm_before_is_logged(tmp_path):
    free = training_lines(run(tmp_path, "free", max_grad_norm=0.0, steps=1).out)[0]
    clipped = training_lines(run(tmp_path, "clipped", max_grad_norm=1e-3, steps=1).out)[0]
    assert free["grad_norm"] == pytest.approx(clipped["grad_norm"], rel=1e-6)
    assert free["grad_norm"] > 1e-3


def test_checkpoints_rotate_and_the_last_step_is_kept(tmp_path):
    out = run(tmp_path, "run", save_total_limit=2).out
    assert sorted(path.name for path in out.glob("checkpoint-*")) == ["checkpoint-10", "checkpoint-9"]


def test_a_torn_checkpoint_is_skipped_and_said(tmp_path, capsys):
    out = run(tmp_path, "run").out
    weights_file = out / "checkpoint-10" / "model.safetensors"
    weights_file.write_bytes(weights_file.read_bytes()[:-1])
    assert checkpoint.newest_checkpoint(out).name == "checkpoint-9"
    assert "skipped checkpoint-10: model.safetensors" in capsys.readouterr().err
    (out / "checkpoint-9" / "manifest.json").write_text("{")
    assert checkpoint.newest_checkpoint(out).name == "checkpoint-6"


@pytest.mark.parametrize("is_missing", [False, True])
def test_a_checkpoint_whose_best_weights_are_not_what_was_written_is_not_gone_on_from(tmp_path, capsys, is_missing):
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, save_total_limit=9)
    falling = iter([3.0, 2.0, 1.0])  # after steps 4, 8 and 10: the best is step 4
    fit(dataclasses.replace(job, better=lambda _: next(falling)), accelerator, None)
    assert checkpoint.newest_checkpoint(job.out).name == "checkpoint-10"
    best, model = job.out / "checkpoint-4", job.objective.model
    checkpoint.load_best_weights(best, model)
    whole = (best / "model.safetensors").read_bytes()
    if is_missing:
        shutil.rmtree(best)
    else:  # one bit of one weight: the file still loads
        (best / "model.safetensors").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert checkpoint.newest_checkpoint(job.out).name == "checkpoint-3"
    why = "nothing is there" if is_missing else "model.safetensors is not what was written"
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"skipped checkpoint-10: the best weights until then are those of checkpoint-4, and of that one {why}" in said
    )
    with pytest.raises(
        BertkitError, match=f"checkpoint-4, which has the best weights .*: {why}; the same command with"
    ):
        checkpoint.load_best_weights(best, model)


def test_a_checkpoint_of_which_a_byte_has_changed_is_not_resumed_from(tmp_path, capsys):
    out = run(tmp_path, "run").out
    weights_file = out / "checkpoint-10" / "model.safetensors"
    content = bytearray(weights_file.read_bytes())
    content[-1] ^= 1
    weights_file.write_bytes(content)
    assert checkpoint.newest_checkpoint(out).name == "checkpoint-9"
    assert "skipped checkpoint-10: model.safetensors is not what was written" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="a limit on file sizes stands in for a full disk")
@pytest.mark.parametrize("kilobytes", [8, 48, 100])  # in the weights, the tokenizer, the optimizer
def test_a_disk_that_fills_up_ends_in_one_line_and_leaves_the_last_checkpoint_whole(tmp_path, kilobytes):
    import resource

    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, dropout=0.1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def save_model(model, where):
        if "checkpoint-6" in where.name:
            resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, before[1]))
        job.save_model(model, where)

    try:
        with pytest.raises(BertkitError, match="cannot write .*larger than"):
            fit(dataclasses.replace(job, save_model=save_model), accelerator, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sorted(path.name for path in job.out.iterdir()) == ["checkpoint-3", "metrics.jsonl"]
    assert checkpoint.newest_checkpoint(job.out).name == "checkpoint-3"
    whole = run(tmp_path, "whole", dropout=0.1)
    resumed = run(tmp_path, "run", resume_from=job.out / "checkpoint-3", dropout=0.1)
    assert all(torch.equal(weights(resumed)[name], value) for name, value in weights(whole).items())


def test_weights_of_another_model_are_refused(tmp_path):
    out = run(tmp_path, "run").out
    other = toy_job(tmp_path / "store", tmp_path / "x", Accelerator(cpu=True)).objective.model
    del other.cls.seq_relationship
    with pytest.raises(BertkitError, match="checkpoint of another model: 'cls.seq_relationship"):
        checkpoint.load_weights(out / "checkpoint-10", other)


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 138)])
def test_a_signal_saves_and_the_resume_is_exact(tmp_path, capsys, number, code):
    if not hasattr(signal, number):
        pytest.skip("no such signal here")
    whole = run(tmp_path, "whole", dropout=0.1)
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "stopped", accelerator, dropout=0.1)
    fetched = []
    fetch = job.plan.fetch

    def fetch_and_stop(references):
        fetched.append(references)
        if len(fetched) == 5:
            for _ in range(2):  # from the batch system, and passed on by a launcher
                os.kill(os.getpid(), getattr(signal, number))
        return fetch(references)

    job.plan.fetch = fetch_and_stop
    with pytest.raises(Interrupted) as ending:
        fit(job, accelerator, None)
    assert ending.value.exit_code == code
    assert capsys.readouterr().err.count("finishing step 5, saving …") == 1
    assert threading.current_thread() is threading.main_thread()
    newest = checkpoint.newest_checkpoint(job.out)
    assert newest.name == "checkpoint-5"
    assert json.loads((newest / "state.json").read_text())["step"] == 5
    resumed = run(tmp_path, "stopped", resume_from=newest, dropout=0.1)
    assert all(torch.equal(weights(resumed)[name], value) for name, value in weights(whole).items())


@pytest.mark.parametrize("eval_steps", [4, 5])  # the second: in the evaluation at the end of the run
def test_a_signal_breaks_off_an_evaluation_and_the_resume_repeats_it(tmp_path, capsys, eval_steps):
    options = {"dropout": 0.1, "eval_steps": eval_steps, "save_steps": 3}
    whole = run(tmp_path, "whole", **options)
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "stopped", accelerator, **options)
    batches, at = [], 8 if eval_steps == 4 else 10

    def stopped_in_the_second_batch(objective, step, between):
        def counted():
            batches.append(step)
            if batches.count(at) == 2:
                signal.raise_signal(signal.SIGTERM)
            between()

        return job.evaluate(objective, step, counted)

    with pytest.raises(Interrupted, match=f"stopped after step {at} of 10"):
        fit(dataclasses.replace(job, evaluate=stopped_in_the_second_batch), accelerator, None)
    assert batches.count(at) == 2
    assert f"leaving the evaluation of step {at}, saving …" in capsys.readouterr().err
    newest = checkpoint.newest_checkpoint(job.out)
    assert (newest.name, checkpoint.read_progress(newest).owes_evaluation) == (f"checkpoint-{at}", True)
    for _ in range(2):  # as if it had been killed after the evaluation, too
        resumed = run(tmp_path, "stopped", resume_from=newest, **options)
        assert all(torch.equal(weights(resumed)[name], value) for name, value in weights(whole).items())
        assert figures(job.out) == figures(whole.out)


def figures(out):
    clocks = ("seconds", "tokens_per_second", "data_wait")
    return [{name: value for name, value in line.items() if name not in clocks} for line in read_metrics(out)]


def test_a_signal_that_comes_too_late_for_the_loop_is_passed_on(tmp_path):
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, save_steps=100)

    def save_model(model, where):
        signal.raise_signal(signal.SIGUSR1)
        job.save_model(model, where)

    with stopped_cleanly("go on"), pytest.raises(Interrupted, match="stopped by SIGUSR1: .*; go on") as ending:
        fit(dataclasses.replace(job, save_model=save_model), accelerator, None)
    assert ending.value.exit_code == 138
    assert checkpoint.newest_checkpoint(job.out).name == "checkpoint-10"


def test_a_gradient_that_is_no_number_stops_the_run_and_keeps_its_batch(tmp_path):
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator)
    with torch.no_grad():
        job.objective.model.bert.pooler.dense.weight[0, 0] = float("nan")
    with pytest.raises(BertkitError, match=r"the gradient of step 1 is nan .*not-finite-step-1.safetensors"):
        fit(job, accelerator, None)
    with safe_open(job.out / "not-finite-step-1.safetensors", "pt") as kept:
        examples = json.loads(kept.metadata()["examples"])
        assert examples == [list(reference) for reference in job.plan.examples(0)]
        assert torch.equal(kept.get_tensor("input_ids"), job.plan.fetch(job.plan.examples(0))["input_ids"])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_no_setting_that_is_allowed_is_beyond_what_the_optimizer_can_compute(tmp_path, optimizer):
    most = {"learning_rate": 1e3, "weight_decay": 1e3, "adam_epsilon": 1e3, "max_grad_norm": 1e300}
    with contextlib.suppress(BertkitError):  # it may diverge
        run(tmp_path, "run", steps=2, optimizer=optimizer, **most)


@pytest.mark.parametrize("is_held_out", [True, False])
def test_a_run_that_ends_in_no_numbers_is_not_finished(tmp_path, is_held_out):
    """The gradient of its only step is finite; a rate that no recipe may have stands for a training that diverges."""
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, steps=1)
    rate = 1e30 if is_held_out else 3e38  # the weights are finite, and the loss is not; neither is
    settings = job.settings.model_copy(update={"learning_rate": rate})
    job = dataclasses.replace(job, settings=settings, evaluate=job.evaluate if is_held_out else None)
    with pytest.raises(
        BertkitError, match=r"the training has diverged: after its last step, 1, \S+ is not finite; lower --lr"
    ):
        fit(job, accelerator, None)
    assert not list(job.out.glob("checkpoint-*"))


def test_a_step_without_a_finite_gradient_is_skipped_on_request(tmp_path):
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, skip_nonfinite_steps=True, eval_steps=0)
    forward, calls = job.objective.forward, []

    def nan_in_the_third(**batch):
        calls.append(job.objective.model.training)
        factor = math.nan if sum(calls) == 3 else 1.0
        return {name: value * factor for name, value in forward(**batch).items()}

    job.objective.forward = nan_in_the_third
    progress, _ = fit(dataclasses.replace(job, evaluate=None), accelerator, None)
    assert (progress.step, progress.skipped_steps) == (10, 1)
    assert all(torch.isfinite(parameter).all() for parameter in weights(job).values())
    assert (job.out / "not-finite-step-3.safetensors").is_file()


def test_skipping_ends_where_every_step_is_refused(tmp_path):
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, steps=20, skip_nonfinite_steps=True)
    with torch.no_grad():
        job.objective.model.bert.pooler.dense.weight[0, 0] = float("nan")
    with pytest.raises(
        BertkitError,
        match="the gradient of step 10 is nan.*, as in the 9 steps before it, which were skipped: lower --lr",
    ):
        fit(job, accelerator, None)


def test_a_run_in_a_thread_is_the_same(tmp_path):
    """As in a web server, or in a notebook's worker; Python hands signals to the main thread alone."""
    here = run(tmp_path, "here", steps=2)
    there = answered_meanwhile(lambda: run(tmp_path, "there", steps=2))
    assert all(torch.equal(value, weights(there)[name]) for name, value in weights(here).items())


def scaled_run(tmp_path, monkeypatch, steps, scale, name="run", growth_interval=2000, **options):
    """A run with fp16's gradient scaler, on a CPU, and in fp32: its scale alone makes the first gradients infinite."""
    accelerator = Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=growth_interval)
    unscale = lambda: [accelerator.scaler.unscale_(one.optimizer) for one in accelerator._optimizers]  # noqa: E731
    monkeypatch.setattr(accelerator, "unscale_gradients", unscale)
    job = toy_job(tmp_path / "store", tmp_path / name, accelerator, steps=steps, eval_steps=0, **options)
    return job, accelerator


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_steps_that_fp16_skips_are_counted_as_its_scale_says(tmp_path, monkeypatch, optimizer):
    job, accelerator = scaled_run(tmp_path, monkeypatch, 10, 2.0**127)
    job = dataclasses.replace(job, settings=job.settings.model_copy(update={"optimizer": optimizer}))
    progress, _ = fit(job, accelerator, None)
    assert progress.skipped_steps == 127 - math.log2(accelerator.scaler.get_scale())  # each one halves it
    assert 0 < progress.skipped_steps < 10


def test_fp16_ends_where_no_scale_works(tmp_path, monkeypatch):
    job, accelerator = scaled_run(tmp_path, monkeypatch, 60, 65_536.0)
    with torch.no_grad():
        job.objective.model.bert.pooler.dense.weight[0, 0] = float("nan")
    with pytest.raises(BertkitError, match="fp16 found no finite gradient in the 50 steps up to 50: lower --lr"):
        fit(job, accelerator, None)


def test_a_resume_goes_on_with_the_scale_of_fp16(tmp_path, monkeypatch):
    """It doubles after each four steps, counted from the first one on: after steps 4 and 8, the second of them in the resume."""
    whole, accelerator = scaled_run(tmp_path, monkeypatch, 10, 2.0**20, "whole", growth_interval=4, save_total_limit=9)
    fit(whole, accelerator, None)
    resumed, other = scaled_run(tmp_path, monkeypatch, 10, 2.0**20, "resumed", growth_interval=4)
    fit(resumed, other, whole.out / "checkpoint-6")
    assert other.scaler.get_scale() == accelerator.scaler.get_scale() == 2.0**22


@pytest.mark.parametrize(("patience", "last_step"), [(None, 10), (2, 6)])
def test_the_best_checkpoint_is_kept_and_patience_ends_the_run(tmp_path, capsys, patience, last_step):
    figures = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1])
    accelerator = Accelerator(cpu=True)
    how = {"eval_steps": 1, "save_steps": 100, "save_total_limit": 1, "logging_steps": 100}
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, **how)
    evaluate = lambda *_: {"eval_figure": next(figures)}  # noqa: E731
    job = dataclasses.replace(job, evaluate=evaluate, better=lambda found: found["eval_figure"], patience=patience)
    if patience:
        figures = iter([0.1, 0.5, 0.6, 0.9, 0.4, 0.3])
    progress, _ = fit(job, accelerator, None)
    assert progress.step == last_step
    assert progress.best == (0.5 if patience is None else 0.9)
    lines = [json.loads(line) for line in (job.out / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "tokens" in line][-1] == last_step
    said = " ".join(capsys.readouterr().err.split())
    stopped = "stopped after step 6 of 10: no better figure in the last 2 evaluations (train.early_stopping_patience)"
    assert (stopped in said) == (patience is not None)
    assert (job.out / f"checkpoint-{progress.best_step}").is_dir()


def test_patience_counts_anew_from_each_best_figure(tmp_path):
    """Two in a row without a gain are those of steps 6 and 7."""
    figures = iter([0.1, 0.0, 0.5, 0.4, 0.6, 0.5, 0.5, 0.1, 0.1, 0.1])
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, eval_steps=1, save_steps=100)
    evaluate = lambda *_: {"eval_figure": next(figures)}  # noqa: E731
    job = dataclasses.replace(job, evaluate=evaluate, better=lambda found: found["eval_figure"], patience=2)
    assert fit(job, accelerator, None).progress.step == 7


@pytest.mark.parametrize(
    ("better", "settings", "most"),
    [
        ([1, 2, 0, 0, 0, 0, 0, 0, 0, 0], {"eval_steps": 1, "save_steps": 1, "save_total_limit": 2}, 4),
        ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0], {"eval_steps": 1, "save_steps": 2, "save_total_limit": 3}, 5),
        ([1, 2], {"eval_steps": 5, "save_steps": 100, "save_total_limit": 3}, 2),
        (None, {"eval_steps": 1, "save_steps": 1, "save_total_limit": 2}, 3),
        (None, {"eval_steps": 1, "save_steps": 6, "save_total_limit": 2}, 2),
    ],
)
def test_the_disk_is_checked_for_as_many_checkpoints_as_ever_lie_on_it(tmp_path, monkeypatch, better, settings, most):
    accelerator, there, figures = Accelerator(cpu=True), [], iter(better or [])
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, **settings)

    def save_model(model, where):
        there.append(len(list(job.out.glob("*checkpoint-*"))))  # with the one that is being written
        job.save_model(model, where)

    best = {"evaluate": lambda *_: {"eval_figure": next(figures)}, "better": lambda found: found["eval_figure"]}
    fit(dataclasses.replace(job, save_model=save_model, **(best if better else {"evaluate": None})), accelerator, None)
    assert max(there) == most

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(BertkitError, match=rf"{most} checkpoints with the model take {(12 * most + 4) / 10:.2f} GB"):
        check_checkpoints_fit(tmp_path / "new", 10**8, 10, job.settings, better is not None)


def test_a_resume_of_a_run_that_had_ended_early_trains_no_further(tmp_path):
    accelerator = Accelerator(cpu=True)
    options = {"eval_steps": 1, "save_steps": 100}
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, **options)
    job = dataclasses.replace(
        job, evaluate=lambda *_: {"eval_figure": 0.5}, better=lambda f: f["eval_figure"], patience=2
    )
    assert fit(job, accelerator, None).progress.step == 3
    again = toy_job(tmp_path / "store", tmp_path / "run", accelerator, **options)
    again = dataclasses.replace(again, evaluate=None, patience=2)
    assert fit(again, accelerator, job.out / "checkpoint-3").progress.step == 3


def test_a_launchers_gradient_accumulation_changes_nothing(tmp_path, monkeypatch):
    from bertkit.hardware import build_accelerator

    plain = training_lines(run(tmp_path, "plain", steps=2).out)
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    job = toy_job(tmp_path / "store", tmp_path / "launched", Accelerator(cpu=True), steps=2)
    fit(job, build_accelerator("cpu", "no", (), str(job.out)), None)
    assert [line["grad_norm"] for line in training_lines(job.out)] == [line["grad_norm"] for line in plain]


def test_metrics_are_json_also_where_a_figure_is_no_number(tmp_path):
    accelerator = Accelerator(cpu=True)
    log = MetricsLog(tmp_path, accelerator, checkpoint.Progress())
    log.write({"step": 1, "loss": math.nan, "grad_norm": math.inf, "lr": 0.5})
    assert json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=pytest.fail) == {
        "step": 1, "loss": None, "grad_norm": None, "lr": 0.5,
    }  # fmt: skip


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path):
    plain = training_lines(run(tmp_path, "plain", steps=3).out)
    checkpointed = training_lines(run(tmp_path, "checkpointed", steps=3, gradient_checkpointing=True).out)
    assert [line["loss"] for line in plain] == pytest.approx([line["loss"] for line in checkpointed], rel=1e-6)
