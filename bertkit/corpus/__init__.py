"""Text, documents, sentences, token ids on disk."""
