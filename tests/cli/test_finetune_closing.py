"""The last lines of `bertkit finetune`."""

import pytest

from bertkit.cli.finetune import _say_sweep


@pytest.mark.parametrize(
    ("best", "order"), [(0.9, ["0.9000", "0.5000", "0.2000"]), (0.2, ["0.2000", "0.5000", "0.9000"])]
)
def test_a_sweep_ends_in_a_table_the_best_first_with_its_settings(capsys, best, order):
    runs = [
        {"learning_rate": rate, "seed": 42, "eval_mse": mse} for rate, mse in ((1e-4, 0.5), (5e-5, 0.9), (3e-5, 0.2))
    ]
    _say_sweep(
        {"metric": "eval_mse", "mean": 0.533, "standard_deviation": 0.35, "best": best, "collapsed": 0, "runs": runs}
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].split() == ["learning", "rate", "seed", "mse"]
    assert [line.split()[-1] for line in lines[2:5]] == order
    won = {0.9: "5e-05", 0.2: "3e-05"}[best]
    assert f"learning rate {won}, seed 42" in " ".join(lines[5:])
