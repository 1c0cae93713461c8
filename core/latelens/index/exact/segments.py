"""Immutable runs of chunks and their rows, in memory or memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.index.exact.stored_rows import StoredRows, in_types, joined
from latelens.index.protocol import Chunk, fields_of
from latelens.serialize import from_bytes, to_bytes
from latelens.shortlist import longest

# Rows to make float32 of at a time.
_SLAB = 1 << 16
COLUMNS = ("labels", "texts", "metadata", "documents")


@dataclass(frozen=True, eq=False)
class Column:
    """One byte string for each chunk, laid end to end.

    Attributes
    ----------
    data
        (bytes,) uint8.
    offsets
        (chunks + 1,) int64: chunk ``i`` owns ``data[offsets[i]:offsets[i + 1]]``.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    def __getitem__(self, i: int) -> bytes:
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes()


@dataclass(frozen=True, eq=False)
class Segment:
    """Chunks that were written together and never change.

    Attributes
    ----------
    ids
        (chunks,) the caller's.
    offsets
        (chunks + 1,) int64: chunk ``i`` owns rows ``offsets[i]:offsets[i + 1]``, never none.
    columns
        ``labels`` (tokens, spans and kinds, by `serialize`), ``texts`` (UTF-8), ``metadata`` (JSON) and ``documents``
        (`Chunk.document_id`, empty where there is none).
    stored
        All rows end to end, unchecked: `checked` are these once they have been found whole.
    norm
        Length of the longest row: bounds how far rounding can move a similarity.
    check
        Raises if `stored` is not what was written; called once.
    """

    ids: tuple[str, ...]
    offsets: NDArray[np.int64]
    columns: Mapping[str, Column]
    stored: StoredRows
    norm: float
    check: Callable[[], None]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def checked(self) -> StoredRows:
        """All rows end to end."""
        self.check()
        return self.stored

    @cached_property
    def fields(self) -> list[dict[str, Any]]:
        """Of all chunks; read once, for filters, and not to be handed out."""
        metadata = self.columns["metadata"]
        return [fields_of(json.loads(metadata[i]), self.ids[i], self.documents[i]) for i in range(len(self))]

    @cached_property
    def documents(self) -> list[str | None]:
        """`Chunk.document_id` of all chunks."""
        return [self.columns["documents"][i].decode() or None for i in range(len(self))]

    def rows(self, i: int) -> NDArray[np.float32]:
        """Rows of chunk `i`, (n, dim) float32."""
        return self.checked[self.offsets[i] : self.offsets[i + 1]]

    def chunk(self, i: int) -> Chunk:
        """Chunk `i` as it was given."""
        text, metadata = self.columns["texts"][i].decode(), json.loads(self.columns["metadata"][i])
        return Chunk(self.ids[i], text, metadata, self.documents[i])

    def document(self, i: int) -> TokenEmbeddings:
        """Chunk `i` as it was encoded."""
        return from_bytes(self.columns["labels"][i], self.columns["texts"][i].decode(), vectors=self.rows(i))


@dataclass(frozen=True)
class Draft:
    """What a new segment will hold; the rows are those of each chunk, of whatever type and wherever they lie now."""

    ids: list[str] = field(default_factory=list)
    rows: list[StoredRows] = field(default_factory=list)
    columns: dict[str, list[bytes]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def take(self, segment: Segment, positions: Iterable[int]) -> None:
        """Add chunks of a segment."""
        for i in positions:
            self.ids.append(segment.ids[i])
            self.rows.append(segment.checked.part(slice(segment.offsets[i], segment.offsets[i + 1])))
            for name, column in self.columns.items():
                column.append(segment.columns[name][i])


def draft_of(chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings]) -> Draft:
    """Chunks that were just encoded."""
    draft = Draft()
    for chunk, encoded in zip(chunks, rows, strict=True):
        draft.ids.append(chunk.id)
        draft.rows.append(StoredRows(encoded.vectors))
        draft.columns["labels"].append(to_bytes(encoded, vectors=False))
        draft.columns["texts"].append(chunk.text.encode())
        draft.columns["metadata"].append(chunk.metadata_json().encode())
        draft.columns["documents"].append((chunk.document_id or "").encode())
    return draft


def in_memory(draft: Draft, row_type: str) -> Segment:
    """A segment of arrays; copies the rows."""
    columns = {
        name: Column(np.frombuffer(b"".join(parts), dtype=np.uint8), offsets_of(parts))
        for name, parts in draft.columns.items()
    }
    rows = joined(in_types(draft.rows, row_type))
    rows.values.flags.writeable = False
    norm = max(longest(part) for part in _slabs(rows))
    return Segment(tuple(draft.ids), offsets_of(draft.rows), columns, rows, norm, check=lambda: None)


def _slabs(rows: StoredRows) -> Iterator[NDArray[np.float32]]:
    return (rows[first : first + _SLAB] for first in range(0, len(rows), _SLAB))


def offsets_of(parts: Sequence[Any]) -> NDArray[np.int64]:
    """Where each part begins when they are laid end to end, and where the last one ends, (parts + 1,) int64."""
    return np.cumsum([0, *map(len, parts)], dtype=np.int64)
