"""Vectors fitted so that a dot product comes close to MaxSim."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.refusals import check_count, check_texts
from latelens.single_vector.protocol import documents_within, questions_beside

_FORMAT = "latelens least squares 1"
_RIDGE = 1e-2  # of the mean diagonal
_SILENT = 0.9  # the share of rows for which a number of the hidden layer is 0
_ROOM = 2.0  # the radius, over the longest vector of the texts that it was fitted on
_DOCUMENTS = 64  # at a time
_ROWS_A_TEXT = 3


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """A document's vector is fitted so that its dot product with a question's vector comes close to MaxSim.

    MaxSim is a sum over the rows of the question, and each row's part is a function of that row alone. That function is
    taken to be linear in the row and in a hidden layer of it, which is drawn at random from your corpus. A document's
    weights, by least squares over some thousand rows of the corpus, are its vector; a question's is the sum over its
    rows. Documents that come later need no new fit: each has its own weights.

    Attributes
    ----------
    rows
        (rows, row dim) float32, of the texts it was fitted on.
    layer, bias
        (row dim, hidden) and (hidden,) float32; a vector has ``row dim + hidden + 2`` numbers.
    radius
        No document's weights may be longer.
    model, fingerprint
        Of the encoder; vectors of another are refused.
    """

    rows: NDArray[np.float32]
    layer: NDArray[np.float32]
    bias: NDArray[np.float32]
    radius: float
    model: str
    fingerprint: str

    source: ClassVar[str] = "after LEMUR: Jääsaari, Hyvönen and Roos, ICML 2026 (arXiv:2601.21853)"

    @classmethod
    def fit(
        cls, encoder: Encoder, texts: Sequence[str], *, dim: int = 1024, rows: int = 6144, seed: int = 0
    ) -> LeastSquares:
        """Fit to a corpus.

        Parameters
        ----------
        dim
            Length of a vector, more than the encoder's by 3 or more.
        rows
            How many rows to fit on, about 3 of a text: with the default, 2,048 texts are drawn and encoded, if there
            are so many. Fewer texts find less.

        Raises
        ------
        ValueError
            If `dim` is too small, or the texts have fewer than `dim` rows.
        """
        check_texts("texts", texts)
        check_count("rows", rows)
        hidden = dim - encoder.dim - 2
        if hidden < 1:
            raise ValueError(f"dim must be at least {encoder.dim + 3} for rows of {encoder.dim} numbers, got {dim}")
        draw = np.random.default_rng(seed)
        encoded = _encode_some(encoder, [texts[i] for i in draw.permutation(len(texts))], rows)
        known = (
            np.concatenate([text.vectors for text in encoded]) if encoded else np.empty((0, encoder.dim), np.float32)
        )
        if len(known) < dim:
            raise ValueError(
                f"{len(texts)} texts with {len(known)} rows are too few to fit {dim} numbers; give more texts"
            )
        some = known[draw.permutation(len(known))[:rows]]
        layer = (known[draw.permutation(len(known))[:hidden]] - some.mean(axis=0)).T
        bias = -np.quantile(some @ layer, _SILENT, axis=0).astype(np.float32)
        unbounded = cls(some, layer, bias, 1.0, encoder.name, encoder.fingerprint)
        longest = np.linalg.norm(unbounded._weights(encoded), axis=1).max()
        return replace(unbounded, radius=_ROOM * float(longest))

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return sum(map(int, self.layer.shape)) + 2

    def __repr__(self) -> str:
        return f"LeastSquares({self.model!r}, dim={self.dim}, digest={_digest(self._arrays, {})[:8]!r})"

    def check_encoder(self, encoder: Encoder) -> None:
        """Refuse another encoder than it was fitted for."""
        if encoder.fingerprint != self.fingerprint:
            raise ValueError(
                f"the method was fitted for {self.model!r} (fingerprint {self.fingerprint[:12]}), and the encoder is "
                f"{encoder.name!r} (fingerprint {encoder.fingerprint[:12]}); fit it anew with LeastSquares.fit"
            )

    def queries(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The vectors of questions, (texts, dim) float32."""
        return questions_beside(np.stack([self._hidden(text.vectors).sum(axis=0) for text in texts]))

    def documents(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The vectors of documents, (texts, dim) float32."""
        return documents_within(self._weights(texts), self.radius)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a safetensors file, whole or not at all."""
        about = {"format": _FORMAT, "model": self.model, "fingerprint": self.fingerprint, "radius": repr(self.radius)}
        target = Path(path)
        temporary = target.with_name(f"{target.name}.{secrets.token_hex(8)}.tmp")
        try:
            temporary.write_bytes(save(self._arrays, {**about, "digest": _digest(self._arrays, about)}))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LeastSquares:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is another one, or damaged.
        """
        arrays, about = _read(Path(path))
        if about.get("format") != _FORMAT:
            raise ValueError(f"{str(path)!r} is no file of LeastSquares.save; its format is {about.get('format')!r}")
        if about.pop("digest", None) != _digest(arrays, about):
            raise ValueError(f"{str(path)!r} is damaged; fit anew with LeastSquares.fit and encode again")
        return cls(**arrays, radius=float(about["radius"]), model=about["model"], fingerprint=about["fingerprint"])

    @cached_property
    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        arrays = {"rows": self.rows, "layer": self.layer, "bias": self.bias}
        return {name: np.ascontiguousarray(array) for name, array in arrays.items()}  # safetensors ignores strides

    def _hidden(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vectors of rows, (rows, dim - 1): the row, its hidden layer, and 1."""
        hidden = np.maximum(rows @ self.layer + self.bias, 0)
        return np.hstack([rows, hidden, np.ones((len(rows), 1), np.float32)])

    def _weights(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The weights of documents, (texts, dim - 1)."""
        parts = [self._solver @ self._best(some).T for some in _slices(texts, _DOCUMENTS)]
        return np.concatenate([part.T for part in parts])

    def _best(self, texts: Sequence[TokenEmbeddings]) -> NDArray[np.float32]:
        """The highest similarity of each fitted row to each text, (texts, rows); 0 for a text without rows."""
        return np.stack(
            [
                (self.rows @ text.vectors.T).max(axis=1) if len(text) else np.zeros(len(self.rows), np.float32)
                for text in texts
            ]
        )

    @cached_property
    def _solver(self) -> NDArray[np.float32]:
        """What turns targets at the fitted rows into weights, (dim - 1, rows)."""
        hidden = self._hidden(self.rows).astype(np.float64)
        gram = hidden.T @ hidden
        gram[np.diag_indices_from(gram)] += _RIDGE * np.trace(gram) / len(gram)
        solved: NDArray[np.float32] = np.linalg.solve(gram, hidden.T).astype(np.float32)
        return solved


def _encode_some(encoder: Encoder, texts: Sequence[str], rows: int) -> list[TokenEmbeddings]:
    """Enough texts for so many rows, a few of each: rows of 92 texts found .64 of the first 10, of 2,067 texts .71."""
    encoded: list[TokenEmbeddings] = []
    for some in _slices(texts, _DOCUMENTS):
        encoded += encoder.encode_documents(some)
        if len(encoded) * _ROWS_A_TEXT >= rows and sum(map(len, encoded)) >= rows:
            break
    return encoded


def _slices(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _digest(arrays: dict[str, NDArray[np.float32]], about: dict[str, str]) -> str:
    digest = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
    for name in sorted(arrays):
        digest.update(arrays[name].data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{str(path)!r} is no safetensors file, or damaged ({error})") from error
