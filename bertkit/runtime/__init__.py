"""A BERT's forward pass behind one interface (``base.py``): numpy for a few texts, torch for many, onnxruntime for exports."""
