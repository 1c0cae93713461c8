"""Encoders without torch: a folder that ``encoder.export(folder)`` wrote, on ONNX Runtime."""
