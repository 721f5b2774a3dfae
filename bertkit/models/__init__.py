"""Building, loading and saving BERTs and their tokenizers."""
