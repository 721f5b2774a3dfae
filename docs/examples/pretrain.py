"""A BERT of one's own, in a minute: pretrained on the embedded stories, looked at, and read by plain transformers."""

from transformers import AutoModelForMaskedLM

import bertkit

run = bertkit.pretrain(recipe="tiny", out="runs/stories", settings={"train.max_steps": 100, "data.max_seq_length": 32})
print("held-out masked words right:", f"{run.results['eval_mlm_accuracy']:.1%}")
print(bertkit.load(run.folder).fill("the dog [MASK] .", top_k=1)[0][0].sequence)

model = AutoModelForMaskedLM.from_pretrained(run.folder)
print(f"{model.num_parameters() / 1e6:.1f} million parameters in {run.folder}")
