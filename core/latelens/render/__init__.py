"""Renderers read explanations and evidence, and compute nothing."""
