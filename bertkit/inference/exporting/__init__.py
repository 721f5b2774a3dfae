"""A trained BERT in other forms: half precision, ONNX, or the folder of sentence-transformers."""
