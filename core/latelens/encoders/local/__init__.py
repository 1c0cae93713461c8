"""Encoders that run here: sentence-transformers and PyLate, over one way of reading texts."""
