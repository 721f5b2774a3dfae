"""Self-contained web pages: the report about runs with its plots, and the attention in a text."""
