"""Masks filled together: probabilities worked out over plain transformers, and a search beside all there is."""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertForMaskedLM

from bertkit.inference.mask_filling import joint
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.inference.mask_filling.joint import Gaps, best_fillings, log_probabilities, orders
from bertkit.runtime.numpy_bert import NumpyBert
from bertkit.runtime.text import light_text_encoder

PIECES = np.arange(5, 21)  # all that are no special tokens


def random_model(tiny_model: Path, folder: Path, seed: int) -> NumpyBert:
    """The tiny model with weights in which what stands at one mask matters for the other."""
    weights = load_file(tiny_model / "model.safetensors")
    random = np.random.default_rng(seed)
    for name, weight in weights.items():
        if "LayerNorm" not in name:
            std = 0.3 if "word_embeddings" in name else 0.5
            weights[name] = random.normal(scale=std, size=weight.shape).astype(np.float32)
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    return NumpyBert(folder, "words")


def gaps_of(tiny_model: Path, text: str) -> Gaps:
    pieces = light_text_encoder(tiny_model)
    encoding = pieces.encode(text)
    return Gaps(encoding, tuple(place for place, id_ in enumerate(encoding.ids) if id_ == pieces.mask_id))


def by_hand(bert: BertForMaskedLM, gaps: Gaps, pieces: Sequence[int], some_orders: list[tuple[int, ...]]) -> float:
    """The mean over the orders, one reading after another."""
    total = 0.0
    for order in some_orders:
        ids, probability = torch.tensor([gaps.text.ids]), 1.0
        for mask in order:
            with torch.no_grad():
                shares = bert(ids).logits[0, gaps.places[mask]].softmax(-1)
            probability *= float(shares[pieces[mask]])
            ids[0, gaps.places[mask]] = pieces[mask]
        total += probability / len(some_orders)
    return total


@pytest.mark.parametrize("masks", [1, 2, 3, 5])
def test_the_probability_is_the_mean_over_orders(tiny_model: Path, tmp_path: Path, masks: int) -> None:
    ours = random_model(tiny_model, tmp_path / "model", seed=masks)
    theirs = BertForMaskedLM.from_pretrained(tmp_path / "model").eval()
    gaps = gaps_of(tiny_model, "the cat" + " [MASK]" * masks + " .")
    round_ = [(0, 1, 2, 3, 4), (1, 2, 3, 4, 0), (2, 3, 4, 0, 1), (3, 4, 0, 1, 2)]
    some_orders = round_ if masks == 5 else list(permutations(range(masks)))
    fillings = [list(range(6, 6 + masks)), [20] * masks]
    found = log_probabilities(ours, [(gaps, pieces) for pieces in fillings])
    expected = [by_hand(theirs, gaps, pieces, some_orders) for pieces in fillings]
    assert np.exp(found) == pytest.approx(expected, rel=1e-4)


def test_the_probabilities_of_all_fillings_sum_to_one(tiny_model: Path, tmp_path: Path) -> None:
    bert = random_model(tiny_model, tmp_path / "model", seed=9)
    gaps = gaps_of(tiny_model, "[MASK] cat [MASK]")
    everything = [(gaps, (one, other)) for one in range(bert.rows) for other in range(bert.rows)]
    assert np.exp(log_probabilities(bert, everything)).sum() == pytest.approx(1, abs=1e-4)


def test_of_many_masks_some_orders_are_taken() -> None:
    assert orders(4) == list(permutations(range(4)))
    assert len(orders(20)) == joint.SOME_ORDERS
    assert orders(20)[1] == (*range(5, 20), *range(5))
    assert all(sorted(order) == list(range(20)) for order in orders(20))


def test_fillings_are_read_alike_few_at_a_time(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert = random_model(tiny_model, tmp_path / "model", seed=3)
    gaps = gaps_of(tiny_model, "the [MASK] [MASK] [MASK] .")
    together = best_fillings(bert, gaps, [PIECES] * 3)
    monkeypatch.setattr(joint, "_NUMBERS_AT_ONCE", 1)
    alone = best_fillings(bert, gaps, [PIECES] * 3)
    assert [pieces for _, pieces in alone] == [pieces for _, pieces in together]
    assert [log for log, _ in alone] == pytest.approx([log for log, _ in together], abs=1e-5)


def test_only_what_is_allowed_is_found(tiny_model: Path, tmp_path: Path) -> None:
    bert = random_model(tiny_model, tmp_path / "model", seed=4)
    found = best_fillings(bert, gaps_of(tiny_model, "the [MASK] [MASK]"), [np.array([7]), np.array([9, 12])])
    assert {pieces for _, pieces in found} == {(7, 9), (7, 12)}


def all_probabilities(bert: NumpyBert, gaps: Gaps) -> np.ndarray:
    """ln of the probability of every pair of ``PIECES`` at two masks: ``[16, 16]``, without the code under test."""
    first, second = gaps.places
    states = [gaps.text.ids]
    for place in gaps.places:
        states += [[*gaps.text.ids[:place], int(piece), *gaps.text.ids[place + 1 :]] for piece in PIECES]
    readings = [gaps.text._replace(ids=ids) for ids in states]
    logs = bert.word_log_probabilities(readings, [[first, second]] * len(readings))
    one, other = logs[0][:, PIECES]
    other_then = np.stack([row[1, PIECES] for row in logs[1:17]])  # [first, second]
    one_then = np.stack([row[0, PIECES] for row in logs[17:]], axis=1)  # [first, second]
    return np.logaddexp(one[:, None] + other_then, other[None, :] + one_then) - np.log(2)


def test_together_the_best_filling_is_found_more_often_than_one_by_one(tiny_model: Path, tmp_path: Path) -> None:
    gaps = gaps_of(tiny_model, "the [MASK] [MASK]")
    models = 100
    found_together = found_alone = only_together = only_alone = 0
    for seed in range(models):
        bert = random_model(tiny_model, tmp_path / str(seed), seed)
        table = all_probabilities(bert, gaps)
        log, pieces = best_fillings(bert, gaps, [PIECES, PIECES])[0]
        assert log == pytest.approx(table[pieces[0] - 5, pieces[1] - 5], abs=1e-4)
        marginals = bert.word_log_probabilities([gaps.text], [gaps.places])[0][:, PIECES]
        alone = table[tuple(marginals.argmax(axis=1))]
        assert log >= alone - 1e-5
        together_right, alone_right = log > table.max() - 1e-5, alone > table.max() - 1e-5
        found_together += together_right
        found_alone += alone_right
        only_together += together_right and not alone_right
        only_alone += alone_right and not together_right
    print(f"the best of 256 fillings: together {found_together}/{models}, one by one {found_alone}/{models}")
    # Were neither better, each model in which they differ would be a toss of a coin.
    assert only_alone == 0
    assert 0.5**only_together < 1e-6
    assert found_together > 95  # 99 when this was written; seeded, so only rounding can change it


def test_what_belongs_together_is_found_together(taught_model: Path) -> None:
    filler = MaskFiller(taught_model, texts=1)
    text = "g [MASK] h [MASK] ."
    [[first, second]] = filler.fill([text], top_k=1)
    assert (first[0].token_str, second[0].token_str) == ("c", "f")  # the likeliest each, and never seen together
    [found] = filler.fill_jointly([text])
    assert {one.token_strs for one in found[:2]} == {("c", "d"), ("e", "f")}
    assert found[0].sequence in {"g c h d.", "g e h f."}
    vocab = filler.reader.text_encoder.vocab
    assert found[0].tokens == tuple(vocab[piece] for piece in found[0].token_strs)
    assert 0.8 < found[0].score + found[1].score < 1


def test_one_mask_and_very_many_are_not_filled_together(tiny_model: Path) -> None:
    filler = MaskFiller(tiny_model, texts=1)
    texts = ["a [MASK]", "[MASK] " * 17, "[MASK] " * 16]
    assert [len(found) for found in filler.fill_jointly(texts, top_k=1)] == [0, 0, 1]
