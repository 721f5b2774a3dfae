"""From a prepared corpus to a pretrained BERT: pairs, masks, collator, loss."""
