"""Every example of a step is computed exactly once, whatever the ranks and micro-batches."""

import os
import signal

import pytest
import torch

from bertkit.errors import BertkitError
from bertkit.training.steps import shares, step_batches


class ToyPlan:
    total_steps = 3

    def examples(self, step):
        return list(range(step * 10, step * 10 + (10 if step < 2 else 1)))

    def fetch(self, references):
        return {"attention_mask": torch.ones(len(references), 1), "ids": torch.tensor(references)}

    def epoch(self, step):
        return step / 3

    def micro_batch_size(self, step):  # noqa: ARG002
        return 3


@pytest.mark.parametrize("ranks", [1, 2, 3, 16])
@pytest.mark.parametrize("micro", [1, 3, 64])
def test_shares_cover_a_step_once(ranks, micro):
    references = list(range(10))
    parts = [shares(references, rank, ranks, micro) for rank in range(ranks)]
    assert sorted(x for part in parts for batch in part for x in batch) == references
    assert all(len(batch) <= micro for part in parts for batch in part)
    sizes = [sum(map(len, part)) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_follow_the_plan_from_any_step_on(workers):
    whole = list(step_batches(ToyPlan(), 0, 1, 2, workers, False))
    later = list(step_batches(ToyPlan(), 1, 1, 2, workers, False))
    assert [[b["ids"].tolist() for b, _ in step] for step in whole[1:]] == [
        [b["ids"].tolist() for b, _ in step] for step in later
    ]
    assert [b["ids"].tolist() for b, _ in whole[0]] == [[1, 3, 5], [7, 9]]


def test_a_rank_without_examples_takes_part_with_one_that_does_not_count():
    last = list(step_batches(ToyPlan(), 0, 1, 2, 0, False))[-1]
    assert [(batch["ids"].tolist(), real) for batch, real in last] == [([20], False)]


class DamagedPlan(ToyPlan):
    def fetch(self, references):
        raise BertkitError(f"ids.bin is damaged, said of {references}")


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_data_worker_refuses_is_one_line_without_its_traceback(workers):
    with pytest.raises(BertkitError) as refusal:
        next(step_batches(DamagedPlan(), 0, 0, 1, workers, False))
    assert str(refusal.value) == "ids.bin is damaged, said of [0, 1, 2]"


class _Dying:
    total_steps = 3

    def examples(self, step):
        return [step]

    def micro_batch_size(self, _):
        return 1

    def fetch(self, references):
        if references == [1]:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"input_ids": torch.tensor([references])}


@pytest.mark.skipif(os.name == "nt", reason="a worker is killed by a signal")
def test_a_data_worker_that_is_killed_ends_the_run_in_one_line():
    with pytest.raises(
        BertkitError, match=r"the 1 data workers cannot go on \(DataLoader worker .*train.num_workers=0"
    ):
        list(step_batches(_Dying(), 0, 0, 1, num_workers=1, pin_memory=False))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # torch's half-made loader, collected
@pytest.mark.skipif(os.name == "nt", reason="limits are of POSIX")
def test_workers_that_cannot_start_for_want_of_descriptors_are_one_line():
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = os.open(os.devnull, os.O_RDONLY)
    os.close(used)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, before[1]))
        with pytest.raises(BertkitError, match=r"data workers cannot go on .*Too many open files.*train.num_workers=0"):
            next(step_batches(_Dying(), 0, 0, 1, num_workers=2, pin_memory=False))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
