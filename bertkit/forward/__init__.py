"""A BERT's forward pass: in numpy for a few texts, in torch for many, behind one interface (``reader.py``)."""
