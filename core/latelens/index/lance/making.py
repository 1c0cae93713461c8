"""How `Lists` are made of a table's rows and put on disk: in two readings, in bounded memory."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import header_data_from_array_1_0, write_array_header_1_0
from numpy.typing import NDArray

from latelens.index.exact.folder import sync
from latelens.index.exact.stored_rows import StoredRows
from latelens.index.lance.clusters import centroids_for, learn, sampled_for
from latelens.index.lance.columns import ROWS, unpack
from latelens.index.lance.lists import LISTS, UNFINISHED
from latelens.index.lance.rows import fetched
from latelens.index.lance.table import Snapshot

_BATCH = 512  # chunks to read at a time
# Entries (centroid, chunk) to sort at a time.
_SORTED = 1 << 22


def make_lists(snapshot: Snapshot, folder: Path) -> Path:
    """Write lists of all chunks of a snapshot, of which there is one, and return where they are.

    Everything is on disk before it gets its name, so lists with a name are whole.
    """
    name = f"{LISTS}{snapshot.version:012d}-{time.time_ns():020d}"
    unfinished = folder / f"{name}{UNFINISHED}"
    unfinished.mkdir()
    try:
        _write(snapshot, unfinished)
        for file in unfinished.iterdir():
            with file.open("r+b") as written:
                os.fsync(written.fileno())
        sync(unfinished)
        unfinished.rename(folder / name)
        sync(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder / name


def _write(snapshot: Snapshot, folder: Path) -> None:
    clusters = learn(_sample(snapshot), centroids_for(snapshot.row_count))
    count = len(clusters.fine)
    numbers, lengths = [], []
    sums, sizes = np.zeros((count, snapshot.dim)), np.zeros(count, dtype=np.int64)
    entries = _Entries(count)
    with ExitStack() as stack:
        small = [stack.enter_context(_Small(folder, "coarse", snapshot.dim))]
        if snapshot.row_type != "int8":
            small.append(stack.enter_context(_Small(folder, "fine", snapshot.dim)))
        chunks = 0
        for batch, offsets, rows in _batches(snapshot):
            exact = rows.exact()
            own = clusters.nearest(exact)
            entries.add(own, np.repeat(np.arange(chunks, chunks + len(batch)), np.diff(offsets)))
            order = np.argsort(own, kind="stable")
            present, starts = np.unique(own[order], return_index=True)
            sums[present] += np.add.reduceat(exact[order], starts, axis=0)
            sizes += np.bincount(own, minlength=count)
            for part in small:
                exact = part.append(exact, offsets)
            numbers.append(batch)
            lengths.append(np.diff(offsets))
            chunks += len(batch)
    means = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], clusters.fine)
    starts, members = entries.lists()
    arrays: dict[str, NDArray[Any]] = {
        "numbers": np.concatenate(numbers),
        "offsets": np.cumsum(np.concatenate([[0], *lengths]), dtype=np.int64),
        "centroids": means.astype(np.float32),
        "starts": starts,
        "members": members,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def _batches(snapshot: Snapshot) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], StoredRows]]:
    """Numbers of chunks, where the rows of each begin and end, and the rows."""
    for batch in snapshot.batches(["number", *ROWS], _BATCH):
        yield batch["number"].to_numpy(), *unpack(batch, snapshot.dim, snapshot.row_type)


def _sample(snapshot: Snapshot) -> NDArray[np.float32]:
    """Rows of chunks that are drawn by chance, (n, dim) float32; the same of the same table."""
    share = min(1.0, sampled_for(snapshot.row_count) / snapshot.row_count)
    draw = np.random.default_rng(0)
    chosen = np.sort(draw.choice(snapshot.ids, max(1, round(share * len(snapshot.ids))), replace=False))
    return np.concatenate([np.asarray(part.block.packed.values) for part in fetched(snapshot, chosen)])


class _Entries:
    """Which chunks have a row at which centroid: kept sorted, in little more memory than they take."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._loose: list[NDArray[np.int64]] = []
        self._size = 0
        self._sorted: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []  # sizes by centroid, and chunks

    def add(self, centroids: NDArray[np.int32], chunks: NDArray[np.intp]) -> None:
        """Rows of further chunks, by row."""
        pairs = np.unique(chunks.astype(np.int64) * self._count + centroids)
        self._loose.append(pairs)
        self._size += len(pairs)
        if self._size >= _SORTED:
            self._sort()

    def lists(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Where the list of each centroid begins, (centroids + 1,), and the chunks in all lists."""
        self._sort()
        total = sum((sizes for sizes, _ in self._sorted), np.zeros(self._count, dtype=np.int64))
        starts = np.cumsum([0, *total], dtype=np.int64)
        members, free = np.empty(starts[-1], dtype=np.int32), starts[:-1].copy()
        for sizes, chunks in self._sorted:
            begins = np.cumsum(sizes) - sizes
            members[np.repeat(free - begins, sizes) + np.arange(len(chunks))] = chunks
            free += sizes
        return starts, members

    def _sort(self) -> None:
        if self._loose:
            pairs = np.concatenate(self._loose)
            centroids = pairs % self._count
            order = np.argsort(centroids, kind="stable")
            sizes = np.bincount(centroids, minlength=self._count)
            self._sorted.append((sizes, (pairs[order] // self._count).astype(np.int32)))
        self._loose, self._size = [], 0


class _Small:
    """The files of `SmallRows`, as they are made."""

    def __init__(self, folder: Path, name: str, dim: int) -> None:
        self._values = _Array(folder / f"{name}_values.npy", np.int8, (dim,))
        self._steps = _Array(folder / f"{name}_steps.npy", np.float32, ())
        self._lost = _Array(folder / f"{name}_lost.npy", np.float32, ())

    def __enter__(self) -> _Small:
        return self

    def append(self, rows: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """Keep further rows of whole chunks, and return what that leaves of them, (rows, dim) float32."""
        small = StoredRows(rows).as_type("int8")
        assert small.steps is not None
        left = rows - small.exact()
        lengths = np.linalg.norm(left, axis=1)
        self._values.append(small.values)
        self._steps.append(small.steps)
        self._lost.append(np.maximum.reduceat(lengths, offsets[:-1]))
        return left

    def __exit__(self, *error: object) -> None:
        for array in (self._values, self._steps, self._lost):
            array.close()


class _Array:
    """A .npy file that grows by its first dimension; its length is written when it is closed."""

    def __init__(self, file: Path, dtype: Any, shape: tuple[int, ...]) -> None:
        self._out = file.open("xb")
        self._dtype, self._shape, self._length = np.dtype(dtype), shape, 0
        self._header()

    def append(self, array: NDArray[Any]) -> None:
        """Further elements."""
        self._out.write(np.ascontiguousarray(array, dtype=self._dtype).data)
        self._length += len(array)

    def close(self) -> None:
        """Say how many there are."""
        self._out.seek(0)
        self._header()
        self._out.close()

    def _header(self) -> None:
        described = header_data_from_array_1_0(np.empty((0, *self._shape), dtype=self._dtype))
        write_array_header_1_0(self._out, {**described, "shape": (self._length, *self._shape)})
