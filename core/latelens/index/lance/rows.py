"""Exact MaxSim over rows of a LanceDB table: fetched for one search, or kept where no index knows them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import explain
from latelens.index.lance.columns import CHUNK, ROWS, chunk_of, unpack
from latelens.index.lance.table import RowIds, Snapshot
from latelens.index.protocol import Hit
from latelens.index.scoring import exact_score, rounding
from latelens.index.token_index import ranked
from latelens.maxsim import PackedEmbeddings, maxsim, pack
from latelens.serialize import from_bytes
from latelens.shortlist import longest, may_be_best

_HIT = [*CHUNK, "labels"]  # what a hit needs beside its rows
_SLICE = 1024  # rows to fetch at a time
_MOST_BLOCKS = 16
_MOST_BYTES = 1 << 30  # of vectors to keep in memory


@dataclass(frozen=True, eq=False)
class Block:
    """Rows of the table with their vectors; some may have been deleted since."""

    ids: RowIds
    packed: PackedEmbeddings
    columns: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)  # of chunks and labels by row, where read

    def rows(self, i: int) -> NDArray[np.float32]:
        """Vectors of one row of the table, (n, dim)."""
        offsets = self.packed.offsets
        vectors: NDArray[np.float32] = np.asarray(self.packed.values[offsets[i] : offsets[i + 1]])
        return vectors

    @property
    def nbytes(self) -> int:
        """Memory of the vectors."""
        return int(np.asarray(self.packed.values).nbytes)

    @cached_property
    def norm(self) -> float:
        """Length of the longest vector."""
        return longest(np.asarray(self.packed.values))


@dataclass(frozen=True, eq=False)
class LiveRows:
    """The rows of a block at some positions."""

    block: Block
    positions: NDArray[np.intp]

    def among(self, ids: RowIds) -> LiveRows:
        """Those of the rows that are among `ids`."""
        return LiveRows(self.block, self.positions[np.isin(self.block.ids[self.positions], ids)])

    def scores(self, query: NDArray[np.float32]) -> NDArray[np.float64]:
        """MaxSim of each row with a query."""
        if 2 * len(self.positions) > len(self.block.ids):  # in place with the others costs less than a copy
            return maxsim(query, self.block.packed).scores[self.positions]
        return maxsim(query, pack([self.block.rows(i) for i in self.positions.tolist()])).scores


class LooseRows:
    """The vectors of rows that no index knows: read once and kept in memory, those beyond it read at each search."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: Snapshot | None = None  # an index may come without a new version
        self._kept: list[LiveRows] = []
        self._rest: RowIds = np.empty(0, dtype=np.uint64)

    def at(self, snapshot: Snapshot) -> Iterator[LiveRows]:
        """The loose rows of a snapshot."""
        with self._lock:
            if self._of is not snapshot:
                self._read(snapshot)
            kept, rest = self._kept, self._rest
        yield from kept
        yield from fetched(snapshot, rest)

    def _read(self, snapshot: Snapshot) -> None:
        kept = [part for known in self._kept if len((part := _living(known.block, snapshot.loose)).positions)]
        known = [part.block.ids for part in kept]
        new = np.setdiff1d(snapshot.loose, np.concatenate(known) if known else np.empty(0, dtype=np.uint64))
        size = sum(part.block.nbytes for part in kept)
        while len(new) and size < _MOST_BYTES:
            kept += fetched(snapshot, new[:_SLICE])
            size += kept[-1].block.nbytes
            new = new[_SLICE:]
        if len(kept) > _MOST_BLOCKS and size < _MOST_BYTES:
            kept = [_merged(kept)]
        self._of, self._kept, self._rest = snapshot, kept, new


def fetched(snapshot: Snapshot, ids: RowIds, *, whole: bool = False) -> Iterator[LiveRows]:
    """Rows of the table, read in slices; `whole` with what hits need, which saves asking for it again."""
    for first in range(0, len(ids), _SLICE):
        found = snapshot.take(ids[first : first + _SLICE], [*_HIT, *ROWS] if whole else ROWS)
        offsets, rows = unpack(found, snapshot.dim, snapshot.row_type)
        columns = {row["_rowid"]: row for row in found.select([*_HIT, "_rowid"]).to_pylist()} if whole else {}
        block = Block(found["_rowid"].to_numpy(), PackedEmbeddings(rows.exact(), offsets), columns)
        yield LiveRows(block, np.arange(len(block.ids)))


@dataclass(frozen=True, eq=False)
class _Scored:
    id: int
    score: float
    block: Block
    position: int

    @property
    def vectors(self) -> NDArray[np.float32]:
        return self.block.rows(self.position)


class Best:
    """Collects the best `k` rows for one query by exact MaxSim."""

    def __init__(self, query: TokenEmbeddings, k: int) -> None:
        self.query, self.k = query, k
        self._found: list[_Scored] = []
        self._norm = 0.0

    def look_at(self, part: LiveRows) -> None:
        """Score some rows; only those that may be among the best are kept."""
        if not len(part.positions):
            return
        scores = part.scores(self.query.vectors)
        self._norm = max(self._norm, part.block.norm)
        chosen = self._may_be_best(scores)
        ids = part.block.ids[part.positions]
        self._found += [
            _Scored(int(ids[i]), float(scores[i]), part.block, int(part.positions[i])) for i in chosen.tolist()
        ]
        kept = self._may_be_best(np.array([row.score for row in self._found]))
        self._found = [self._found[i] for i in kept.tolist()]

    def hits(self, snapshot: Snapshot, stages: Mapping[str, Mapping[int, float]]) -> list[Hit]:
        """The best rows, explained; `stages` are scores by row of what was searched before."""
        found = self._found
        columns = {row.id: row.block.columns[row.id] for row in found if row.id in row.block.columns}
        columns |= _columns(snapshot, [row.id for row in found if row.id not in columns])
        if len(found) > self.k:
            exact = {row.id: exact_score(self.query.vectors, row.vectors) for row in found}
            found = sorted(found, key=lambda row: (-exact[row.id], columns[row.id]["id"]))[: self.k]
        return ranked((_explained(self.query, row, columns[row.id], stages) for row in found), self.k)

    def _may_be_best(self, scores: NDArray[np.float64]) -> NDArray[np.intp]:
        return may_be_best(scores, self.k, rounding(self.query.vectors, self._norm))


def _explained(
    query: TokenEmbeddings, row: _Scored, columns: Mapping[str, Any], stages: Mapping[str, Mapping[int, float]]
) -> Hit:
    chunk = chunk_of(columns)
    # A copy, so that a hit does not keep its neighbours in memory.
    document = from_bytes(columns["labels"], chunk.text, vectors=row.vectors.copy())
    before = {stage: scores[row.id] for stage, scores in stages.items() if row.id in scores}
    return Hit(chunk, explain(query, document), before)


def _columns(snapshot: Snapshot, ids: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    found = snapshot.take(np.array(ids, dtype=np.uint64), _HIT).to_pylist() if ids else []
    return {row["_rowid"]: row for row in found}


def _living(block: Block, ids: RowIds) -> LiveRows:
    return LiveRows(block, np.flatnonzero(np.isin(block.ids, ids)))


def _merged(parts: Sequence[LiveRows]) -> LiveRows:
    ids = np.concatenate([part.block.ids[part.positions] for part in parts])
    packed = pack([part.block.rows(i) for part in parts for i in part.positions.tolist()])
    return LiveRows(Block(ids, packed), np.arange(len(ids)))
