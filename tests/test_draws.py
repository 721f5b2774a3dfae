"""The generator against its published numbers, and its array form against its plain one."""

import numpy as np
import pytest

from bertkit.draws import Draws, Permutation, key, uniform_grid


def test_draws_are_splitmix64_by_its_published_test_vector():
    # The first outputs for the seed 1234567, as in the reference implementation's test (prng.di.unimi.it).
    draws = Draws()
    draws._state = 1234567
    assert [draws.bits() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_array_form_equals_plain_form():
    keys = np.array([0, 1, 2**64 - 1, 12345678901234567890], dtype=np.uint64)
    grid = uniform_grid(keys, stream=3, n=5)
    from bertkit.draws import MASK64, mix

    for row, one in zip(grid, keys.tolist(), strict=True):
        draws = Draws()
        draws._state = mix((one + mix(3)) & MASK64)
        assert row.tolist() == [draws.uniform() for _ in range(5)]


def test_keys_depend_on_every_part_and_on_the_order():
    assert len({key(1, 2, 3), key(3, 2, 1), key(1, 2), key(1, 2, 4), key(0, 1, 2, 3)}) == 5


@pytest.mark.parametrize("n", [1, 2, 3, 7, 64, 1000])
def test_permutation_visits_each_place_once(n):
    order = Permutation(n, 7, 1)
    assert sorted(order(i) for i in range(n)) == list(range(n))


def test_permutations_of_two_epochs_differ():
    first, second = Permutation(1000, 7, 1), Permutation(1000, 7, 2)
    same = sum(first(i) == second(i) for i in range(1000))
    assert same < 10  # one is expected


def test_below_is_uniform():
    draws = Draws(11)
    counts = np.bincount([draws.below(6) for _ in range(60_000)], minlength=6)
    chi_square = ((counts - 10_000) ** 2 / 10_000).sum()
    assert chi_square < 20.5  # 99.9 % quantile with five degrees of freedom
