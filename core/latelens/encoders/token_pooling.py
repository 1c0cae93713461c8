"""Fewer rows a document: rows of one sentence that are alike become their mean, which knows the words it stands for.

Clavié, Chaffin and Adams, *Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance Impact via Token
Pooling* (arXiv 2409.14683); a fixed number of rows after MacAvaney, Mallia and Tonellotto, *Efficient Constant-Space
Multi-Vector Retrieval* (arXiv 2504.01818), here without training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import PooledSpans, TokenEmbeddings
from latelens.encoders.calibration import Calibration
from latelens.encoders.pooled import PooledEncoder
from latelens.refusals import check_count
from latelens.text.sentences import split_sentences

# Ward's clustering compares all pairs: a longer run of rows without a sentence's end is pooled in parts.
_RUN = 512


@dataclass(frozen=True)
class TokenPooling(PooledEncoder):
    """An encoder whose documents have fewer rows; an `Encoder` itself, for rerankers, caches and indexes.

    Queries keep all their rows. Rows are pooled within a sentence, so evidence stays exact to the character; what a row
    stands for is in `TokenEmbeddings.pooled`, and a match says "one of these words" (`Match.one_of`).

    Parameters
    ----------
    encoder
        What encodes.
    factor
        Tokens a row, on average, from 1 (nothing is pooled).
    rows
        A fixed number of content rows a document instead: no document then has more. With more sentences than
        rows, neighbouring sentences share rows and come back as one piece of evidence.
    calibration
        What makes a relevance of a score. Scores of pooled rows are lower, so the encoder's own does not hold:
        `latelens.evaluation.calibrate` makes one.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another type or below 1.

    >>> from latelens import load_encoder
    >>> encoder = TokenPooling(load_encoder("offline/all-MiniLM-L6-v2"), factor=2)
    >>> document, = encoder.encode_documents(["Elephants eat grass and bark."])
    >>> len(document), encoder.name
    (3, 'offline/all-MiniLM-L6-v2, 2 tokens a row')
    """

    factor: int = 2
    rows: int | None = None
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("factor", self.factor)
        if self.rows is not None:
            check_count("rows", self.rows)

    @property
    def _how(self) -> str:
        return f"{self.factor} tokens a row" if self.rows is None else f"{self.rows} rows a text"

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode documents and pool their rows; one result each, in order."""
        documents = self.encoder.encode_documents(texts, show_progress=show_progress)
        return [pool_rows(document, factor=self.factor, rows=self.rows) for document in documents]


def pool_rows(document: TokenEmbeddings, *, factor: int = 2, rows: int | None = None) -> TokenEmbeddings:
    """Pool the rows of one document, as `TokenPooling` does; rows without visible text stay as they are."""
    content = document.content_rows()
    if not len(content) or (rows is None and factor == 1):
        return document
    groups = _by_sentence(document, content)
    sizes = [math.ceil(len(group) / factor) for group in groups]
    if rows is not None:
        groups = _at_most(groups, rows)
        sizes = _shares([len(group) for group in groups], rows)
    others = np.setdiff1d(np.arange(len(document)), content)
    clusters = [np.array([row]) for row in others.tolist()]
    for group, size in zip(groups, sizes, strict=True):
        clusters += _clusters(document.vectors, group, size)
    return _pooled(document, clusters)


def _by_sentence(document: TokenEmbeddings, content: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Content rows by the sentence that they end in; what lies before the first belongs to it."""
    starts = np.array([start for start, _ in split_sentences(document.text)], dtype=np.int32)
    owner = np.maximum(starts.searchsorted(document.spans[content, 1]) - 1, 0)
    order = content[owner.argsort(kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(np.sort(owner))) + 1)


def _at_most(groups: list[NDArray[np.intp]], most: int) -> list[NDArray[np.intp]]:
    """Neighbouring sentences together where there are more than `most`, in parts of about as many rows each."""
    if len(groups) <= most:
        return groups
    lengths = np.array([len(group) for group in groups])
    middle = lengths.cumsum() - lengths / 2
    part = (middle * most / lengths.sum()).astype(int)  # rising, below `most`
    return [np.concatenate([groups[i] for i in np.flatnonzero(part == found)]) for found in np.unique(part)]


def _shares(lengths: Sequence[int], rows: int) -> list[int]:
    """Rows for each group, one at least, by its length (d'Hondt); no more than it has."""
    shares = [1] * len(lengths)
    for _ in range(min(rows, sum(lengths)) - len(lengths)):
        open_groups = [i for i, length in enumerate(lengths) if shares[i] < length]
        shares[max(open_groups, key=lambda i: lengths[i] / shares[i])] += 1
    return shares


def _clusters(vectors: NDArray[np.float32], group: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    """Rows in at most `size` clusters, by Ward's method on unit vectors."""
    if size >= len(group):
        return [np.array([row]) for row in group.tolist()]
    parts = -(-len(group) // _RUN)
    if 1 < parts <= size:
        runs = np.array_split(group, parts)
        shares = _shares([len(run) for run in runs], size)
        return [found for run, share in zip(runs, shares, strict=True) for found in _clusters(vectors, run, share)]
    if size == 1:
        return [group]
    from scipy.cluster.hierarchy import fcluster, linkage

    labels = fcluster(linkage(vectors[group], method="ward"), size, criterion="maxclust")
    return [group[labels == label] for label in np.unique(labels).tolist()]


def _pooled(document: TokenEmbeddings, clusters: Sequence[NDArray[np.intp]]) -> TokenEmbeddings:
    """One row a cluster, in the order of the rows that are most like their cluster's mean."""
    means = np.stack([_mean(document.vectors[cluster]) for cluster in clusters])
    like = [
        int(cluster[(document.vectors[cluster] @ mean).argmax()]) for cluster, mean in zip(clusters, means, strict=True)
    ]
    order = np.argsort(like, kind="stable").tolist()
    kept = [like[i] for i in order]
    behind = [document.spans[np.sort(clusters[i])] for i in order]
    return TokenEmbeddings(
        text=document.text,
        vectors=np.ascontiguousarray(means[order], dtype=np.float32),
        tokens=tuple(document.tokens[row] for row in kept),
        spans=document.spans[kept],
        kinds=document.kinds[kept],
        complete=document.complete,
        pooled=PooledSpans(np.concatenate(behind), np.cumsum([0, *map(len, behind)], dtype=np.int32)),
    )


def _mean(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of rows, as long as they are on average: a unit row where they are unit rows."""
    if len(rows) == 1:
        alone: NDArray[np.float32] = rows[0]
        return alone
    mean = rows.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    scale = float(np.linalg.norm(rows, axis=1).mean()) / length if length > 1e-9 else 1.0
    scaled: NDArray[np.float32] = (mean * scale).astype(np.float32)
    return scaled
