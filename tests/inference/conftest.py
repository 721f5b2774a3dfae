"""A BERT that has learned a few sentences by heart, and so has right answers."""

from pathlib import Path

import pytest
import torch
from transformers import BertForPreTraining, BertTokenizer

# After "a" come "cats", after "b" a "cat" or "g cat"; "c" and "d" go together, and "e" and "f".
SENTENCES = ("a the cats sat .", "b the cat sat .", "b the g cat sat .", "g c h d .", "g e h f .")

STEPS = 300


@pytest.fixture(scope="session")
def taught_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model after some seconds on ``SENTENCES``, any of their pieces masked."""
    tokenizer = BertTokenizer.from_pretrained(tiny_model)
    bert = BertForPreTraining.from_pretrained(tiny_model).eval()  # so small a model learns nothing with dropout
    ids = tokenizer(list(SENTENCES) * 8, padding=True, return_tensors="pt")
    optimizer = torch.optim.Adam(bert.parameters(), lr=1e-2)
    randomness = torch.Generator().manual_seed(1)
    text = ids["attention_mask"].bool() & (ids["input_ids"] != tokenizer.cls_token_id)
    with torch.no_grad():
        for name, weight in bert.named_parameters():
            if "LayerNorm" not in name:
                weight.mul_(10)  # attention that looks somewhere from the start
    for step in range(STEPS):
        masked = text & (torch.rand(text.shape, generator=randomness) < torch.rand(len(text), 1, generator=randomness))
        inputs = ids | {"input_ids": ids["input_ids"].masked_fill(masked, tokenizer.mask_token_id)}
        loss = torch.nn.functional.cross_entropy(bert(**inputs).prediction_logits[masked], ids["input_ids"][masked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / STEPS)
    folder = tmp_path_factory.mktemp("taught")
    bert.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
