"""MaxSim over ragged documents: each query row takes its best document row, and the score is their sum.

Khattab and Zaharia, *ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
BERT* (SIGIR 2020), equation 3. Documents are packed end to end, so padding never exists and can never win.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

# Rows to multiply at a time: the product of 32 query rows stays in the L2 cache (512 KiB), which keeps MaxSim
# with winners within 1.2x of the bare product at 384 dimensions; smaller blocks and one product were slower.
_BLOCK_ROWS = 4096
# A GPU wants more work at a time, within bounded memory: 32 query rows take 0.1 GB, with winners 0.6 GB.
_TORCH_BLOCK_ROWS = 1 << 20


@dataclass(frozen=True, eq=False)
class PackedEmbeddings:
    """Documents laid end to end.

    Attributes
    ----------
    values
        (rows, dim) float32, a numpy array or a torch tensor on any device.
    offsets
        (documents + 1,) int64: document ``i`` owns rows ``offsets[i]:offsets[i + 1]``, never none.
    """

    values: NDArray[np.float32] | torch.Tensor
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def to(self, device: str) -> PackedEmbeddings:
        """Copy the rows to a torch device such as ``"cuda"``; `maxsim` then runs there."""
        import torch

        return PackedEmbeddings(torch.as_tensor(self.values).to(device), self.offsets)


@dataclass(frozen=True, eq=False)
class MaxSim:
    """Scores of one query against each document.

    Attributes
    ----------
    scores
        (documents,) float64: the sum of the row maxima.
    similarities
        (documents, query rows) float32: the maximum of each query row.
    rows
        (documents, query rows) int64: the document row that won, counted inside its document, the first of
        equals; None where winners were not asked for.
    """

    scores: NDArray[np.float64]
    similarities: NDArray[np.float32]
    rows: NDArray[np.int64] | None


def pack(documents: Sequence[NDArray[np.float32]]) -> PackedEmbeddings:
    """Lay documents, each (rows, dim) float32, end to end.

    >>> packed = pack([np.eye(2, dtype=np.float32), np.ones((1, 2), dtype=np.float32)])
    >>> packed.offsets.tolist()
    [0, 2, 3]
    """
    lengths = [len(document) for document in documents]
    if 0 in lengths:
        raise ValueError(f"document {lengths.index(0)} has no rows, so it has no MaxSim; leave it out")
    dims = {document.shape[1] for document in documents}
    if len(dims) > 1:
        raise ValueError(f"documents mix dimensions {sorted(dims)}; encode all of them with one model")
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.concatenate(documents) if documents else np.empty((0, 0), dtype=np.float32)
    return PackedEmbeddings(np.ascontiguousarray(values, dtype=np.float32), offsets)


def maxsim(query: NDArray[np.float32], documents: PackedEmbeddings, *, winners: bool = False) -> MaxSim:
    """Score one query, (query rows, dim) float32, against packed documents.

    Similarities are float32 and their sums float64. ``winners=True`` also says which document row won.
    Packed documents that lie on a torch device are scored there (equal to 1e-4).

    >>> query = np.array([[1, 0], [0, 1]], dtype=np.float32)
    >>> result = maxsim(query, pack([np.array([[0.6, 0.8], [1, 0]], dtype=np.float32)]), winners=True)
    >>> round(float(result.scores[0]), 3), result.rows.tolist()
    (1.8, [[1, 0]])
    """
    if len(documents) and query.shape[1] != documents.values.shape[1]:
        raise ValueError(
            f"the query has dimension {query.shape[1]} and the documents {documents.values.shape[1]}; "
            "encode both with one model"
        )
    if isinstance(documents.values, np.ndarray):
        best, rows = _maxsim_numpy(query, documents.values, documents.offsets, winners)
    else:
        best, rows = _maxsim_torch(query, documents.values, documents.offsets, winners)
    return MaxSim(best.sum(axis=1, dtype=np.float64), best, rows)


def _maxsim_numpy(
    query: NDArray[np.float32], values: NDArray[np.float32], offsets: NDArray[np.int64], winners: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    best = np.empty((len(offsets) - 1, len(query)), dtype=np.float32)  # (documents, query rows)
    rows = np.empty(best.shape, dtype=np.int64) if winners else None
    query_rows = np.arange(len(query))
    for first, last in blocks(offsets, _BLOCK_ROWS):
        similarity = query @ values[offsets[first] : offsets[last]].T  # (query rows, block's rows) float32
        edges = offsets[first : last + 1] - offsets[first]
        if rows is None:
            best[first:last] = np.maximum.reduceat(similarity, edges[:-1], axis=1).T
            continue
        for document, (start, end) in enumerate(pairwise(edges.tolist()), first):
            similarity[:, start:end].argmax(axis=1, out=rows[document])
        best[first:last] = similarity[query_rows, rows[first:last] + edges[:-1, None]]
    return best, rows


def blocks(offsets: NDArray[np.int64], block_rows: int) -> Iterator[tuple[int, int]]:
    """Ranges of whole documents with at most `block_rows` rows, or of one document that has more."""
    first, documents = 0, len(offsets) - 1
    while first < documents:
        last = int(np.searchsorted(offsets, offsets[first] + block_rows, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def _maxsim_torch(
    query: NDArray[np.float32], values: torch.Tensor, offsets: NDArray[np.int64], winners: bool
) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    import torch

    best = np.empty((len(offsets) - 1, len(query)), dtype=np.float32)  # (documents, query rows)
    rows = np.empty(best.shape, dtype=np.int64) if winners else None
    asked = torch.tensor(query, device=values.device)  # a copy: a cached query may be read-only
    for first, last in blocks(offsets, _TORCH_BLOCK_ROWS):
        similarity = asked @ values[offsets[first] : offsets[last]].T  # (query rows, rows of the block)
        edges = torch.as_tensor(offsets[first : last + 1] - offsets[first]).to(values.device)
        owner = torch.repeat_interleave(edges.diff()).expand(len(query), -1)
        found = similarity.new_full((len(query), last - first), -torch.inf)
        found.scatter_reduce_(1, owner, similarity, reduce="amax")
        best[first:last] = found.T.cpu().numpy()
        if rows is not None:
            rows[first:last] = (_first_equal(similarity, found, owner).T - edges[:-1, None]).cpu().numpy()
    return best, rows


def _first_equal(similarity: torch.Tensor, best: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """Find the first column that equals its document's maximum, (query rows, documents) int64."""
    import torch

    n = similarity.shape[1]
    column = torch.arange(n, device=similarity.device).expand_as(similarity)
    column = torch.where(similarity == best.gather(1, owner), column, n)  # the others go past the end
    return torch.full_like(best, n, dtype=torch.int64).scatter_reduce_(1, owner, column, reduce="amin")
