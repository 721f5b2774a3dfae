"""A BERT's forward pass: in numpy for a few texts, in torch for many, in onnxruntime for an exported model, behind
one interface (``base.py``)."""
