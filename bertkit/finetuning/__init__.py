"""Labelled data, heads, metrics and fine-tuning."""
