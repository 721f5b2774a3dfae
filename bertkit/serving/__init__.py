"""A model as a server: JSON in the shapes of the Hugging Face inference API, and a page to try it."""
