"""`ExactIndex`: brute force, in memory or in a folder; exact, and the fastest there is below some thousand chunks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.arguments import check_ids
from latelens.index.exact.folder import Folder
from latelens.index.exact.live_segments import LiveSegment, Place, drafted, without
from latelens.index.exact.merging import grouped, next_merge
from latelens.index.exact.scoring import Chosen, RoundedSegments, best_of, candidates
from latelens.index.exact.segment_file import damaged
from latelens.index.exact.segments import Draft, draft_of, in_memory
from latelens.index.exact.stored_rows import ROW_TYPES, RowType
from latelens.index.filters import Condition, matches
from latelens.index.protocol import Chunk, EncodedChunk, Hit
from latelens.index.token_index import TokenIndex, check_manifest, digest, manifest_of, refuse_changed
from latelens.paths import checked_folder
from latelens.refusals import check_one_of

_KIND = "exact"
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
        self._asked_rows = rows
        self.row_type: str = rows or "float32"
        self.path = None if path is None else _folder_named(path)
        self._folder = None if self.path is None else Folder(self.path)
        self._writer = threading.RLock()  # held through a whole write
        self._state = threading.RLock()  # held while the three below change
        self._parts: tuple[LiveSegment, ...] = ()
        self._places: dict[str, Place] | None = {}
        self._manifest: bytes | None = None  # that the parts are of
        self._rounded = RoundedSegments()
        self._refresh()

    @classmethod
    def open(cls, path: str | os.PathLike[str], encoder: Encoder) -> ExactIndex:
        """Open a folder that must hold an index."""
        index = cls(encoder, path)
        if index._manifest is None:
            raise FileNotFoundError(
                f"there is no index in {str(path)!r}; ExactIndex(encoder, path) starts one, or correct the path"
            )
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied, a folder is opened again, and what is in memory goes along with its rows."""
        if self.path is not None:
            return partial(ExactIndex, rows=self._asked_rows), (self.encoder, self.path)
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
        if path is None and self._folder is None:
            raise ValueError("this index is in memory; name a folder: index.persist(path)")
        if path is None or (self.path is not None and _folder_named(path).resolve() == self.path.resolve()):
            return
        folder, parts = Folder(_folder_named(path)), self._current()
        with folder.locked():
            self._start(folder)
            written = [
                folder.write(drafted(group), self.row_type) for group in grouped([part for part in parts if part.count])
            ]
            folder.replace(self._head(), written)
            folder.sweep(written)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks and return how many there were; unknown ids are skipped."""
        check_ids(ids)
        with self._writing():
            doomed = {id_ for id_ in ids if id_ in self._where()}
            self._put(doomed, None)
        return len(doomed)

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The chunks with these ids, None where there is none."""
        return [None if place is None else place[0].chunk(place[1]) for place in self._places_of(ids)]

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The stored rows of the chunks with these ids, with the text that they are of; None where there are none."""
        return [None if place is None else place[0].document(place[1]) for place in self._places_of(ids)]

    def count(self) -> int:
        """How many chunks there are."""
        return sum(part.count for part in self._current())

    def _digests(self, ids: Sequence[str]) -> dict[str, str]:
        return {chunk.id: digest(chunk) for chunk in self.get(ids) if chunk is not None}

    def _write(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], *, replace: bool) -> None:
        draft = draft_of(chunks, rows)
        with self._writing():
            if not replace:  # another writer may have come first since `add` looked
                known = self._digests(draft.ids)
                refuse_changed(chunks, known)
                draft = draft_of(*_unknown(chunks, rows, known)) if known else draft
            if draft.ids:
                self._put(set(), draft)

    def _exchange(
        self, document_id: str, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], kept: Mapping[str, str]
    ) -> int | None:
        draft = draft_of(chunks, rows)
        with self._writing():
            if self._digests(list(kept)) != kept:
                return None
            doomed = {part.segment.ids[i] for part in self._parts for i in _of_document(part, document_id)}
            doomed -= {*kept, *draft.ids}
            self._put(doomed, draft if draft.ids else None)
        return len(doomed)

    def _chunks(self, condition: Condition | None) -> Iterator[Chunk]:
        for segment, positions in self._chosen(condition):
            for i in positions.tolist():
                yield segment.chunk(i)

    def _put(self, doomed: set[str], draft: Draft | None) -> None:
        """Take chunks out and put others in, which may replace some; for readers at one moment."""
        if not doomed and draft is None:
            return
        where, part = self._where(), None if draft is None else self._store(draft)
        gone = [where[id_] for id_ in {*doomed, *(draft.ids if draft else ())} if id_ in where]
        with self._state:
            self._commit((*without(self._parts, gone), *([part] if part else [])))
            for id_ in doomed:
                where.pop(id_)
            self._locate([part] if part else [])
        self._tidy()

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
        for part in self._current():
            positions = part.live
            if condition is not None:
                known = part.segment.fields
                positions = np.array([i for i in positions.tolist() if matches(condition, known[i])], dtype=np.intp)
            if len(positions):
                chosen.append((part.segment, positions))
        return chosen

    def _current(self) -> tuple[LiveSegment, ...]:
        self._refresh()
        return self._parts

    def _refresh(self) -> None:
        """Take in what other processes wrote."""
        if self._folder is None or self._folder.manifest() == self._manifest:
            return
        with self._state:
            while (manifest := self._folder.manifest()) != self._manifest:
                if manifest is None:
                    raise damaged(self._folder.path / "manifest.json", "it has disappeared")
                found = self._folder.read(manifest)
                check_manifest(found, self.encoder, _KIND, repr(str(self.path)))
                self._check_rows(found)
                try:
                    parts = self._folder.parts(found, self._parts)
                except FileNotFoundError as error:
                    if manifest == self._folder.manifest():
                        raise damaged(Path(error.filename), "it is missing") from error
                    continue  # a writer has merged and swept meanwhile
                self._manifest, self._parts, self._places = manifest, parts, None

    def _head(self) -> dict[str, Any]:
        """What the manifest says beside the segments."""
        head = manifest_of(self.encoder, _KIND)
        return head if self.row_type == "float32" else {**head, "rows": self.row_type}

    def _check_rows(self, manifest: Mapping[str, Any]) -> None:
        """Keep rows as the folder does, or refuse it."""
        kept = str(manifest.get("rows", "float32"))
        if self._asked_rows not in (None, kept):
            raise ValueError(
                f"{str(self.path)!r} keeps its rows as {kept}, and rows={self._asked_rows!r} was asked for: leave rows "
                "out, or fill a new folder"
            )
        self.row_type = kept

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._writer:
            if self._folder is None:
                yield
                return
            with self._folder.locked():
                if self._manifest is None:
                    self._start(self._folder)
                self._refresh()
                yield

    def _start(self, folder: Folder) -> None:
        """See to a manifest before there is any segment: segments without one are then known to be damaged."""
        manifest = folder.manifest()
        if manifest is None:
            folder.replace(self._head(), [])
        else:
            check_manifest(folder.read(manifest), self.encoder, _KIND, repr(str(folder.path)))

    def _store(self, draft: Draft) -> LiveSegment:
        if self._folder is not None:
            return self._folder.write(draft, self.row_type)
        segment = in_memory(draft, self.row_type)
        return LiveSegment(segment, np.zeros(len(segment), dtype=bool))

    def _commit(self, parts: Sequence[LiveSegment]) -> None:
        """Make these parts the ones that count; the ids of new ones are then to be located."""
        parts = tuple(part for part in parts if part.count)
        with self._state:
            if self._folder is not None:
                self._manifest = self._folder.replace(self._head(), parts)
            self._parts = parts

    def _tidy(self) -> None:
        """Merge what should be merged, one step after the other, and delete old files; nothing visible changes."""
        while group := next_merge(self._parts):
            part = self._store(drafted(group))
            self._commit((*(part for part in self._parts if part not in group), part))
            self._locate([part])
        if self._folder is not None:
            self._folder.sweep(self._parts)

    def _places_of(self, ids: Sequence[str]) -> list[Place | None]:
        check_ids(ids)
        self._refresh()
        with self._state:
            where = self._where()
            return [where.get(id_) for id_ in ids]

    def _where(self) -> dict[str, Place]:
        """The place of each chunk that counts, by id."""
        with self._state:
            if self._places is None:
                self._places = {}
                self._locate(self._parts)
            return self._places

    def _locate(self, parts: Iterable[LiveSegment]) -> None:
        places = self._where()
        for part in parts:
            for i in part.live.tolist():
                places[part.segment.ids[i]] = part.segment, i


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
