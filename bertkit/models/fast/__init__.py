"""What makes BERT's layers fast without changing their numbers: no padding, few logits, cheap dropout."""
