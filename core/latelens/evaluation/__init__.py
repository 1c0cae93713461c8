"""Measures on data sets: calibration, evidence, retrieval and answers."""
