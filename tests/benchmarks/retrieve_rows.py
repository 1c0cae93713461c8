"""Rows to index: real text encoded once and kept, and synthetic chunks that are put together from real rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from latelens import EmbeddingCache, Encoder, TokenEmbeddings
from latelens.evaluation.data import read_judgements, read_lines
from latelens.index import Chunk

# A synthetic chunk is four runs of 25 neighbouring rows, each run from another paragraph, and noise of this length
# a row: as far from its original as a token in one context is from itself in another (mean cosine .9).
_RUNS, _RUN_ROWS, _NOISE = 4, 25, 0.48
_SYNTHETIC_DIM = 96


@dataclass(frozen=True)
class Collection:
    """Chunks and questions for one table; `encoder` gives their rows without running a model."""

    name: str
    encoder: Encoder
    size: int
    questions: Sequence[str]
    synthetic: bool

    def chunks(self) -> Iterator[Chunk]:
        for i, text in enumerate(self.texts()):
            yield Chunk(f"{i:07d}", text, {"part": i % 10})

    def texts(self) -> Iterator[str]:
        if isinstance(self.encoder, SyntheticRows):
            return (str(i) for i in range(self.size))
        assert isinstance(self.encoder, KnownRows)
        return iter(list(self.encoder.documents)[: self.size])


class KnownRows:
    """An encoder that looks up what a model gave before."""

    def __init__(
        self, model: Encoder, documents: Mapping[str, TokenEmbeddings], queries: Mapping[str, TokenEmbeddings]
    ) -> None:
        self.name, self.fingerprint, self.dim = model.name, model.fingerprint, model.dim
        self.documents, self.queries = documents, queries

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return [self.queries[text] for text in texts]

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        return [self.documents[text] for text in texts]


class SyntheticRows:
    """Chunk ``"123"`` is always the same rows; questions are real ones, in the same space of 96 dimensions."""

    def __init__(self, known: KnownRows, paragraphs: int = 400) -> None:
        self.name, self.fingerprint, self.dim = "synthetic", f"synthetic-{paragraphs}-{_NOISE}", _SYNTHETIC_DIM
        base = [document.vectors for document in list(known.documents.values())[:paragraphs]]
        self._axes = _principal_axes(np.concatenate(base))
        self._base = [_unit(vectors @ self._axes) for vectors in base if len(vectors) >= _RUN_ROWS]
        self._queries = known.queries

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return [_bare(text, _unit(self._queries[text].vectors @ self._axes)) for text in texts]

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        return [_bare(text, self._rows(int(text))) for text in texts]

    def _rows(self, i: int) -> NDArray[np.float32]:
        draw = np.random.default_rng(i)
        runs = []
        for paragraph in draw.integers(len(self._base), size=_RUNS):
            vectors = self._base[paragraph]
            start = draw.integers(len(vectors) - _RUN_ROWS + 1)
            runs.append(vectors[start : start + _RUN_ROWS])
        rows = np.concatenate(runs)
        noise = draw.standard_normal(rows.shape, dtype=np.float32) * np.float32(_NOISE / np.sqrt(_SYNTHETIC_DIM))
        return _unit(rows + noise)


def real(model: Encoder, data: Path, work: Path) -> tuple[KnownRows, dict[str, str], dict[str, dict[str, float]]]:
    """SQuAD's paragraphs, then 2,500 of SciFact's abstracts; encoding takes minutes once and is kept under `work`.

    Also SciFact's document ids by text, and the relevance of documents by the text of a claim.
    """
    squad, scifact = data / "squad_dev" / "norm", data / "scifact" / "norm"
    texts = [row["text"] for row in read_lines(squad / "corpus.jsonl")]
    abstracts = {
        f"{row['title']} {row['text']}": row["id"] for row in read_lines(scifact / "corpus.jsonl")
    }  # title and text, as BEIR does
    claims = {row["id"]: row["text"] for row in read_lines(scifact / "queries.jsonl")}
    questions = [row["text"] for row in read_lines(squad / "queries.jsonl")][::50]
    cache = EmbeddingCache(work / "rows", max_bytes=0)
    documents = dict.fromkeys([*texts, *abstracts])
    encoded = cache.encode_documents(model, list(documents), show_progress=True)
    queries = list(dict.fromkeys([*questions, *claims.values()]))
    known = KnownRows(
        model,
        dict(zip(documents, encoded, strict=True)),
        dict(zip(queries, model.encode_queries(queries), strict=True)),
    )
    relevant = read_judgements(scifact / "qrels_beir.tsv")
    return known, abstracts, {claims[query]: found for query, found in relevant.items()}


def _principal_axes(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The directions of largest variance, (dim, 96) float32; the mean stays in, as models leave it in."""
    values, vectors = np.linalg.eigh((rows.T @ rows).astype(np.float64))
    return np.ascontiguousarray(vectors[:, np.argsort(-values)[:_SYNTHETIC_DIM]], dtype=np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _bare(text: str, vectors: NDArray[np.float32]) -> TokenEmbeddings:
    n = len(vectors)
    spans, kinds = np.full((n, 2), -1, dtype=np.int32), np.zeros(n, dtype=np.uint8)
    return TokenEmbeddings(text, vectors, ("",) * n, spans, kinds)
