"""Exports of a trained BERT: in half precision, as ONNX, or as a folder for sentence-transformers."""
