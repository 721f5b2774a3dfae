"""Schedules against transformers' own and by hand."""

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from bertkit.training.schedule import Course, learning_rate, warmup_steps


@pytest.mark.parametrize(
    ("name", "theirs"), [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)]
)
def test_after_the_warmup_the_rate_is_that_of_transformers(name, theirs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    schedule = theirs(optimizer, num_warmup_steps=10, num_training_steps=100)
    for step in range(100):
        if step >= 10:
            assert learning_rate(step, 100, 1e-3, 10, name) == pytest.approx(schedule.get_last_lr()[0], abs=1e-15)
        optimizer.step()
        schedule.step()


def test_trapezoid_by_hand():
    rates = [learning_rate(step, 20, 1.0, 4, "trapezoid") for step in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4:17] == [1.0] * 13
    # The last fifth of the 16 steps behind the warm-up, 3.2 steps, comes down to 0 at step 20.
    assert rates[17:] == pytest.approx([3 / 3.2, 2 / 3.2, 1 / 3.2])


def test_constant_stays_at_the_peak():
    assert {learning_rate(step, 9, 0.5, 0, "constant") for step in range(9)} == {0.5}


def test_warmup_is_a_share_below_one_and_steps_from_there_on():
    assert (warmup_steps(0.1, 250), warmup_steps(1, 250), warmup_steps(30, 250)) == (25, 1, 30)
    assert (warmup_steps(0.1, 254), warmup_steps(0.1, 257)) == (25, 26)  # the nearest number


def test_a_course_that_is_fitted_anew_goes_on_where_it_is_and_ends_where_it_would():
    # 100 steps planned; at 40 the 60 that are left are to take 30, at 60 the 20 of them (10 steps) are to take 40.
    course = Course(100, ((40, 70), (60, 100)))
    assert course.total_steps == 100
    assert [course.position(step) for step in (0, 39, 40, 41, 60, 61, 100)] == [0, 39, 40, 42, 80, 80.5, 100]
    assert [Course(7).position(step) for step in range(8)] == list(range(8))


def test_a_warmup_that_is_stretched_by_a_budget_never_exceeds_the_peak():
    course = Course(20, ((4, 40),))
    rates = [learning_rate(course.position(step), 20, 1.0, 6, "trapezoid") for step in range(40)]
    assert rates[:4] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6])
    assert max(rates) == 1.0
    assert rates[:10] == sorted(rates[:10])
