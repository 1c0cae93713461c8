"""An encoder of texts whose scores lie as near to each other as rounding allows, and texts for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from latelens import TokenEmbeddings

_ORDERS = st.integers(0, 3)
DOCUMENTS = st.tuples(st.integers(1, 4) | st.integers(-4, -1), st.integers(1, 9), _ORDERS).map(
    lambda parts: " ".join(map(str, parts))
)
QUERIES = st.tuples(st.sampled_from([1, 2, -3]), st.integers(1, 9), _ORDERS).map(
    lambda parts: " ".join(map(str, parts))
)


class NearTies:
    """A text ``"a b c"``: rows of document a, each moved by 10^-b, in the order c; negative a turns all rows round."""

    name = fingerprint = "near ties"
    dim = 24

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows = rows  # of document a: one, few, or many

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return self.encode_documents(texts)

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        return [self._encode(text) for text in texts]

    def _encode(self, text: str) -> TokenEmbeddings:
        which, digits, order = (int(part) for part in text.split())
        n = self.rows[abs(which) % len(self.rows)]
        vectors = np.random.default_rng(abs(which)).standard_normal((n, self.dim)) + 1  # all on one side
        moved = np.random.default_rng(order)
        vectors = vectors + 10.0**-digits * moved.standard_normal(vectors.shape)
        vectors *= np.sign(which) / np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = moved.permutation(vectors).astype(np.float32)
        spans = np.zeros((n, 2), dtype=np.int32)
        return TokenEmbeddings(text, vectors, ("t",) * n, spans, np.zeros(n, dtype=np.uint8))
