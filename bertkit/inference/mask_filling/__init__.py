"""Filling masks: one at a time, several together, with whole words, or with given phrases."""
