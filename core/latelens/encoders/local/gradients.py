"""Encoding with gradients, for training: what an encoder computes, without its batching and labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from latelens.encoders.labels import clean_surrogates
from latelens.encoders.local.sentence_transformers import SentenceTransformersEncoder


def first_window_ends(encoder: SentenceTransformersEncoder, texts: Sequence[str], task: str) -> list[int]:
    """How many characters of each text one window holds: all of them, for most."""
    with encoder._lock:
        spans = encoder._tokenize([clean_surrogates(text) for text in texts], task)
    limit = encoder._limit(task)  # of which the last place is a control token's
    return [
        len(text) if len(tokens) <= limit else int(tokens[: limit - 1, 1].max())
        for text, tokens in zip(texts, spans, strict=True)
    ]


def differentiable_rows(encoder: SentenceTransformersEncoder, texts: Sequence[str], task: str) -> list[torch.Tensor]:
    """Rows of texts that one window holds, (rows, dim) float32 each, as the encoder gives them."""
    features = {
        key: value.to(encoder.model.device) if isinstance(value, torch.Tensor) else value
        for key, value in encoder._preprocess([clean_surrogates(text) for text in texts], task).items()
    }
    output = encoder.model(features, task=task)
    scoring = output["attention_mask"].bool()
    return [rows[kept].float() for rows, kept in zip(output["token_embeddings"], scoring, strict=True)]
