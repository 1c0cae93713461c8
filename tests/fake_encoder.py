"""A ten-line encoder for logic: one row a word, equal words match with 1, others with 0."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from latelens import TokenEmbeddings
from latelens.text.characters import words


class FakeEncoder:
    """Each lower-cased word is a unit vector; counts what it encodes."""

    def __init__(self, name: str = "fake", dim: int = 4096) -> None:
        self.name, self.fingerprint, self.dim = name, f"{name}-{dim}", dim
        self.encoded: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return [self._encode(text) for text in texts]

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        self.encoded.extend(texts)
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> TokenEmbeddings:
        spans = np.concatenate([[[-1, -1]], words(text)]).astype(np.int32)  # the first row plays [CLS]
        tokens = ("[CLS]", *(text[start:end].lower() for start, end in spans[1:]))
        vectors = np.zeros((len(tokens), self.dim), dtype=np.float32)
        for row, token in enumerate(tokens):
            vectors[row, int(hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest(), 16) % self.dim] = 1
        kinds = np.array([1] + [0] * (len(tokens) - 1), dtype=np.uint8)
        return TokenEmbeddings(text, vectors, tokens, spans, kinds)
