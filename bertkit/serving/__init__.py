"""Serves a model over HTTP, as the Hugging Face inference API does, with a page to try it."""
