"""Two CPU ranks: the same losses and weights as one process, and one voice."""

import json

import numpy as np
import pytest
from cli.test_pretrain import TEXT, TINY
from safetensors.numpy import load_file

MIX = 'data.mix=[{source="corpus.txt", weight=0.7}, {source="other.txt", weight=0.3}]'


@pytest.mark.parametrize(("micro_batch", "text"), [("8", ["corpus.txt"]), ("3", ["corpus.txt"]), ("5", ["--set", MIX])])
def test_two_ranks_pretrain_as_one(commands, tmp_path, micro_batch, text):
    (tmp_path / "corpus.txt").write_text(TEXT)
    (tmp_path / "other.txt").write_text(TEXT.replace("cat", "horse").replace("red", "blue"))
    arguments = ["pretrain", *text, "--max-steps", "8", *TINY, "--mixed-precision", "no", "--lr", "1e-4",
                 "--set", "hidden_dropout_prob=0.0", "--set", "attention_probs_dropout_prob=0.0"]  # fmt: skip
    if micro_batch == "3":  # and with fewer held-out examples than ranks
        arguments += ["--set", "data.max_eval_examples=1"]
    one = commands.run(tmp_path, *arguments, "--out", "one")
    ranks = commands.start_ranks([*arguments, "--out", "two", "--micro-batch", micro_batch], 2, tmp_path)
    codes, said = zip(*map(commands.ending, ranks), strict=True)
    assert codes == (0, 0), said
    assert one.stderr.count("Your BERT is in") == "".join(said).count("Your BERT is in") == 1
    assert json.loads((tmp_path / "two" / "run.json").read_text())["num_processes"] == 2
    logs = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    for one, two in zip(*logs, strict=True):
        for figure in one.keys() & {"loss", "mlm_loss", "nsp_loss", "grad_norm", "eval_loss"}:
            assert two[figure] == pytest.approx(one[figure], rel=1e-5), (one["step"], figure)
        assert one.get("tokens") == two.get("tokens")
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    for key, value in weights[0].items():
        assert np.linalg.norm(weights[1][key] - value) <= 1e-5 * np.linalg.norm(value) + 1e-7, key
