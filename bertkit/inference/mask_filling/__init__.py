"""Filling masks: one at a time, several together, whole words, and phrases of one's own."""
