"""`ExactIndex`: brute force, in memory or in a folder; exact, and the fastest there is below some thousand chunks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.arguments import check_ids
from latelens.index.exact.folder import Folder
from latelens.index.exact.live_parts import LiveParts
from latelens.index.exact.live_segments import LiveSegment, Place
from latelens.index.exact.scoring import Chosen, RoundedSegments, best_of, candidates
from latelens.index.exact.segments import draft_of
from latelens.index.exact.stored_rows import ROW_TYPES, RowType
from latelens.index.filters import Condition, matches
from latelens.index.protocol import Chunk, EncodedChunk, Hit
from latelens.index.token_index import TokenIndex, digest, refuse_changed
from latelens.paths import checked_folder
from latelens.refusals import check_one_of

# Queries to score at a time: bounds the memory that scores take.
_TOGETHER = 32


class ExactIndex(TokenIndex):
    """Scores every chunk, so that nothing is missed; the default below some thousand chunks.

    In memory without a path. With one, it opens the folder or starts it anew, and whatever `add`, `upsert` or `delete`
    has done is on disk when they return. Vectors are memory-mapped, nothing is pickled. Any number of processes may
    read the folder, and see what others write at their next search; one writes at a time, and others wait. A process
    may be killed at any moment. The folder holds the texts in the clear, so guard it as you guard them.

    Threads may share one index: a search sees the chunks of one moment.

    On processors that compute with bfloat16 (AVX-512 BF16), rows that are searched again and again are kept rounded
    beside the exact ones, which takes half as much memory as these, 1 GiB at most. Rounded scores with a proven bound
    on their error then rule out most chunks in half the time, and the others are scored exactly: hits, scores and
    order are the same to the bit.

    Parameters
    ----------
    encoder
        From `load_encoder`; a folder can be opened only with the encoder that filled it.
    path
        The folder, made at the first write; None keeps everything in memory.
    rows
        How rows are kept: "float32", or at half the size as "float16", or at a little more than a quarter as "int8",
        each row with a step of its own. Scores, evidence and `rows` are then exactly those of the kept rows, and no
        longer those of the encoder's. None keeps what the folder has, and "float32" otherwise.

    Raises
    ------
    ValueError
        If the folder holds another kind of index, another encoder's vectors, rows of another type, or is damaged.
    """

    def __init__(
        self,
        encoder: Encoder,
        path: str | os.PathLike[str] | None = None,
        *,
        rows: RowType | None = None,
    ) -> None:
        super().__init__(encoder)
        if rows is not None:
            check_one_of("rows", rows, ROW_TYPES)
        self.path = None if path is None else _folder_named(path)
        self._live = LiveParts(encoder, None if self.path is None else Folder(self.path), rows)
        self._rounded = RoundedSegments()

    @property
    def row_type(self) -> str:
        """How rows are kept: "float32", "float16" or "int8"."""
        return self._live.row_type

    @classmethod
    def open(cls, path: str | os.PathLike[str], encoder: Encoder) -> ExactIndex:
        """Open a folder that must hold an index."""
        index = cls(encoder, path)
        if not index._live.started:
            raise FileNotFoundError(
                f"there is no index in {str(path)!r}; ExactIndex(encoder, path) starts one, or correct the path"
            )
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied, a folder is opened again, and what is in memory goes along with its rows."""
        if self.path is not None:
            return partial(ExactIndex, rows=self._live.asked_rows), (self.encoder, self.path)
        chunks = list(self.chunks())
        rows = self.rows([chunk.id for chunk in chunks])
        return _in_memory, (self.encoder, list(zip(chunks, rows, strict=True)), self.row_type)

    def __repr__(self) -> str:
        path = None if self.path is None else str(self.path)
        return f"ExactIndex({self.encoder.name!r}, path={path!r}, count={self.count()})"

    def persist(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write a copy to a folder, which then holds these chunks and no others.

        Without a path it does nothing if the index lies in a folder: every write already is on disk.

        Raises
        ------
        ValueError
            If there is no path and the index is in memory, or the folder holds another kind of index or another
            encoder's.
        """
        if path is None:
            if self.path is None:
                raise ValueError("this index is in memory; name a folder: index.persist(path)")
            return
        folder = _folder_named(path)
        if self.path is None or folder.resolve() != self.path.resolve():
            self._live.copy_to(Folder(folder))

    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks and return how many there were; unknown ids are skipped."""
        check_ids(ids)
        with self._live.writing():
            doomed = {id_ for id_, place in zip(ids, self._live.places_of(ids), strict=True) if place is not None}
            self._live.put(doomed, None)
        return len(doomed)

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The chunks with these ids, None where there is none."""
        return [None if place is None else place[0].chunk(place[1]) for place in self._places_of(ids)]

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The stored rows of the chunks with these ids, with the text that they are of; None where there are none."""
        return [None if place is None else place[0].document(place[1]) for place in self._places_of(ids)]

    def count(self) -> int:
        """How many chunks there are."""
        return sum(part.count for part in self._live.now())

    def _digests(self, ids: Sequence[str]) -> dict[str, str]:
        return {chunk.id: digest(chunk) for chunk in self.get(ids) if chunk is not None}

    def _write(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], *, replace: bool) -> None:
        draft = draft_of(chunks, rows)
        with self._live.writing():
            if not replace:  # another writer may have come first since `add` looked
                known = self._digests(draft.ids)
                refuse_changed(chunks, known)
                draft = draft_of(*_unknown(chunks, rows, known)) if known else draft
            if draft.ids:
                self._live.put(set(), draft)

    def _exchange(
        self, document_id: str, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], kept: Mapping[str, str]
    ) -> int | None:
        draft = draft_of(chunks, rows)
        with self._live.writing():
            if self._digests(list(kept)) != kept:
                return None
            doomed = {part.segment.ids[i] for part in self._live.now() for i in _of_document(part, document_id)}
            doomed -= {*kept, *draft.ids}
            self._live.put(doomed, draft if draft.ids else None)
        return len(doomed)

    def _chunks(self, condition: Condition | None) -> Iterator[Chunk]:
        for segment, positions in self._chosen(condition):
            for i in positions.tolist():
                yield segment.chunk(i)

    def _search(self, query: TokenEmbeddings, k: int, condition: Condition | None) -> list[Hit]:
        return self._search_many([query], k, condition)[0]

    def _search_many(self, queries: Sequence[TokenEmbeddings], k: int, condition: Condition | None) -> list[list[Hit]]:
        chosen = self._chosen(condition)
        hits: list[list[Hit]] = []
        for first in range(0, len(queries), _TOGETHER):
            some = queries[first : first + _TOGETHER]
            found = candidates(some, chosen, k, self._rounded)
            hits.extend(best_of(query, found[i], chosen, k) for i, query in enumerate(some))
        return hits

    def _chosen(self, condition: Condition | None) -> list[Chosen]:
        """The positions of the chunks to score, by segment: those of one moment."""
        chosen = []
        for part in self._live.now():
            positions = part.live
            if condition is not None:
                known = part.segment.fields
                positions = np.array([i for i in positions.tolist() if matches(condition, known[i])], dtype=np.intp)
            if len(positions):
                chosen.append((part.segment, positions))
        return chosen

    def _places_of(self, ids: Sequence[str]) -> list[Place | None]:
        check_ids(ids)
        return self._live.places_of(ids)


def _unknown(
    chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], known: dict[str, Any]
) -> tuple[list[Chunk], list[TokenEmbeddings]]:
    pairs = [(chunk, encoded) for chunk, encoded in zip(chunks, rows, strict=True) if chunk.id not in known]
    return [chunk for chunk, _ in pairs], [encoded for _, encoded in pairs]


def _of_document(part: LiveSegment, document_id: str) -> list[int]:
    documents = part.segment.documents
    return [i for i in part.live.tolist() if documents[i] == document_id]


def _folder_named(path: str | os.PathLike[str]) -> Path:
    return checked_folder(path, none="keeps the index in memory")


def _in_memory(encoder: Encoder, held: Sequence[tuple[Chunk, TokenEmbeddings]], rows: RowType) -> ExactIndex:
    """Called by pickle."""
    index = ExactIndex(encoder, rows=rows)
    fingerprint = encoder.fingerprint if held else ""
    index.add(
        EncodedChunk(chunk.id, chunk.text, chunk.metadata, chunk.document_id, rows=rows, fingerprint=fingerprint)
        for chunk, rows in held
    )
    return index
