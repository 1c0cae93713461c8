"""`LanceIndex`: chunks on disk in LanceDB, candidates from an index, scores by exact MaxSim."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.arguments import check_count, check_ids
from latelens.index.exact.stored_rows import ROW_TYPES, RowType
from latelens.index.filters import Condition
from latelens.index.lance.build import index_vectors, index_words, many_files, merge_files, pays
from latelens.index.lance.columns import CHUNK, ROWS, chunk_of, unpack
from latelens.index.lance.search import Search
from latelens.index.lance.table import Snapshot, Table, among, has_text_index, of_document
from latelens.index.protocol import Chunk, Filter, Hit
from latelens.index.token_index import TokenIndex, refuse_changed
from latelens.paths import checked_folder
from latelens.refusals import check_one_of, shown
from latelens.serialize import from_bytes

_SLICE = 1000  # chunks to read at a time


class LanceIndex(TokenIndex):
    """Keeps chunks in a folder, in LanceDB, and searches them with an index once there are many.

    While their rows take less than `index_from` bytes every chunk is scored, which is fast then, and misses nothing.
    Beyond, an index of centroids (as in PLAID and WARP) chooses candidates, whose scores are computed from rows in a
    byte a value with a proven bound on their error; the few that may be among the best are scored exactly from the
    stored rows. So a score never is an approximation, but a chunk may be missed. Chunks that came after the index was
    made are scored one by one beside it, from memory.

    Whatever `add`, `upsert` or `delete` has done is on disk when they return, and a process may be killed at any
    moment. Any number of processes may search the folder, and see at their next search what others wrote; one writes
    at a time, and others wait. Threads may share one object. The folder holds the texts in the clear.

    A filter is a dict, as for every index, or SQL over the columns ``id``, ``document_id``, ``text`` and ``metadata``,
    the latter with LanceDB's functions for JSON: ``"json_get_string(metadata, 'lang') = 'en' AND id LIKE 'faq-%'"``.

    Parameters
    ----------
    encoder
        From `load_encoder`; a folder can be opened only with the encoder that filled it.
    path
        The folder, made at the first write.
    mode
        "hybrid" also takes candidates that share words with the query (BM25): an exact name or code is then found
        whatever the encoder makes of it. The order is that of MaxSim all the same. `Hit.stages` says where a hit
        comes from. The first search makes the index of words, if the folder has none.
    rows
        How rows are kept: "float32", or at half the size as "float16", or at a little more than a quarter as "int8",
        each row with a step of its own. Scores, evidence and `rows` are then exactly those of the kept rows, and no
        longer those of the encoder's. None keeps what the folder has, and "float32" otherwise.
    index_from
        How many bytes of rows that no index knows, counted as float32, are scored one by one: 5,000 chunks of 100 rows
        of 96 dimensions by default. The `add`, `upsert` or `persist` that finds more, and at least a fifth of what the
        index knows, makes the index anew before it returns: 30 s of processor time for 20,000 such chunks. None leaves
        it to `build_index`. Rows without an index are kept in memory, up to 1 GiB.
    candidates
        How many chunks the index chooses for a search; at least 2 `k`. None takes 1,000, beyond 20,000 chunks more, as
        their fourth root. In "hybrid" mode as many are taken from BM25, 100 for None.
    probes
        How many of the index's lists to look through for each row of a query: of the best 10 of 20,000 chunks, 1,000
        candidates held 98.5 % with 64 and 99.4 % with 128, which takes 2 ms more.

    Raises
    ------
    ImportError
        If LanceDB is missing: ``pip install 'latelens[lancedb]'``.
    ValueError
        If the folder holds another kind of index or another encoder's vectors.
    """

    def __init__(
        self,
        encoder: Encoder,
        path: str | os.PathLike[str],
        *,
        mode: Literal["dense", "hybrid"] = "dense",
        rows: RowType | None = None,
        index_from: int | None = 200_000_000,
        candidates: int | None = None,
        probes: int = 128,
    ) -> None:
        super().__init__(encoder)
        check_one_of("mode", mode, ["dense", "hybrid"])
        check_count("probes", probes)
        if candidates is not None:
            check_count("candidates", candidates)
        if index_from is not None:
            check_count("index_from", index_from)
        if rows is not None:
            check_one_of("rows", rows, ROW_TYPES)
        self.path, self.mode, self.index_from = _checked(path), mode, index_from
        self.candidates, self.probes = candidates, probes
        self._asked_rows = rows
        self._table = Table(self.path, encoder, rows)
        self._searching = Search(candidates, probes, words=mode == "hybrid")
        self._building = threading.Lock()
        self._table.snapshot()  # refuses another encoder's folder

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled or copied, the folder is opened again."""
        opened = partial(
            LanceIndex,
            mode=self.mode,
            rows=self._asked_rows,
            index_from=self.index_from,
            candidates=self.candidates,
            probes=self.probes,
        )
        return opened, (self.encoder, self.path)

    @classmethod
    def open(cls, path: str | os.PathLike[str], encoder: Encoder) -> LanceIndex:
        """Open a folder that must hold an index."""
        index = cls(encoder, path)
        if index._table.snapshot() is None:
            raise FileNotFoundError(
                f"there is no index in {str(path)!r}; LanceIndex(encoder, path) starts one, or correct the path"
            )
        return index

    def __repr__(self) -> str:
        return f"LanceIndex({self.encoder.name!r}, path={str(self.path)!r}, mode={self.mode!r}, count={self.count()})"

    def search(self, query: str, k: int = 10, *, filter: Filter | str | None = None) -> list[Hit]:
        """The best `k` chunks, best first; equal scores in the order of their ids. `filter` is a dict or SQL."""
        return self.search_many([query], k, filter=filter)[0]

    def search_many(
        self, queries: Sequence[str], k: int = 10, *, filter: Filter | str | None = None
    ) -> list[list[Hit]]:
        """`search` for each query, encoding all of them at once."""
        return super().search_many(queries, k, filter=filter)  # type: ignore[arg-type]

    def build_index(self) -> None:
        """Make the index anew from all chunks, however few; searches and writes go on meanwhile.

        Of two threads that ask at once, one makes it.
        """
        if self._table.snapshot() is None or not self._building.acquire(blocking=False):
            return
        try:
            if self.count():
                index_vectors(self._table)
                if self.mode == "hybrid" or has_text_index(self._table.fresh()):
                    index_words(self._table, anew=True)
        finally:
            self._building.release()

    def persist(self) -> None:
        """Make the index anew if that pays; every write is on disk already."""
        self._tidy()

    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks and return how many there were; unknown ids are skipped."""
        check_ids(ids)
        if not ids or self._table.snapshot() is None:
            return 0
        with self._table.folder.locked():
            known = self._digests(ids)
            if known:
                self._table.writable().delete(among("id", known))
        return len(known)

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The chunks with these ids, None where there is none."""
        check_ids(ids)
        found = {row["id"]: chunk_of(row) for row in self._rows_of(ids, CHUNK)}
        return [found.get(id_) for id_ in ids]

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The stored rows of the chunks with these ids, with the text that they are of; None where there are none."""
        check_ids(ids)
        snapshot = self._table.snapshot()
        if snapshot is None or not ids:
            return [None for _ in ids]
        columns = snapshot.table.search().where(among("id", dict.fromkeys(ids)))
        found = columns.select(["id", "text", "labels", *ROWS]).to_arrow()
        offsets, stored = unpack(found, self.encoder.dim, self.row_type)
        kept = found.select(["id", "text", "labels"]).to_pylist()
        rows = {
            row["id"]: from_bytes(row["labels"], row["text"], vectors=stored[start:end])
            for row, start, end in zip(kept, offsets[:-1], offsets[1:], strict=True)
        }
        return [rows.get(id_) for id_ in ids]

    def replace_document(self, document_id: str, chunks: Iterable[Chunk]) -> int:
        """As in every index; then the index is made anew if that pays."""
        written = super().replace_document(document_id, chunks)
        self._tidy()
        return written

    def ids(self, filter: Filter | str | None = None) -> Iterator[str]:
        """The ids of all chunks, or of those that fulfil a filter, a dict or SQL; in no particular order."""
        return super().ids(filter)  # type: ignore[arg-type]  # `_condition` lets SQL through

    def chunks(self, filter: Filter | str | None = None) -> Iterator[Chunk]:
        """All chunks, or those that fulfil a filter, a dict or SQL; streamed, in no particular order."""
        return super().chunks(filter)  # type: ignore[arg-type]

    @property
    def row_type(self) -> str:
        """How rows are kept: "float32", "float16" or "int8"."""
        return self._table.row_type

    def count(self) -> int:
        """How many chunks there are."""
        snapshot = self._table.snapshot()
        return 0 if snapshot is None else int(snapshot.table.count_rows())

    def _load(self, chunks: Iterable[Chunk], batch_size: int, show_progress: bool, *, replace: bool) -> int:
        written = super()._load(chunks, batch_size, show_progress, replace=replace)
        self._tidy()
        return written

    def _tidy(self) -> None:
        snapshot = self._table.snapshot()
        if snapshot is None:
            return
        if many_files(snapshot):
            merge_files(self._table)
        if pays(snapshot, self.index_from):
            self.build_index()

    def _rows_of(self, ids: Sequence[str], columns: list[str]) -> list[dict[str, str]]:
        snapshot = self._table.snapshot()
        if snapshot is None or not ids:
            return []
        wanted = among("id", dict.fromkeys(ids))
        found: list[dict[str, str]] = snapshot.table.search().where(wanted).select(columns).to_arrow().to_pylist()
        return found

    def _digests(self, ids: Sequence[str]) -> dict[str, str]:
        return {row["id"]: row["digest"] for row in self._rows_of(ids, ["id", "digest"])}

    def _write(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], *, replace: bool) -> None:
        with self._table.folder.locked():
            known = self._digests([chunk.id for chunk in chunks])
            pairs = list(zip(chunks, rows, strict=True))
            if not replace:  # another writer may have come first since `add` looked
                refuse_changed(chunks, known)
                pairs = [pair for pair in pairs if pair[0].id not in known]
            if not pairs:
                return
            table = self._table.writable()
            batch = self._table.batch(pairs, version=table.version)
            if known and replace:
                table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(batch)
            else:
                table.add(batch)

    def _exchange(
        self, document_id: str, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], kept: Mapping[str, str]
    ) -> int | None:
        if self._table.snapshot() is None and not chunks:
            return 0
        with self._table.folder.locked():
            if self._digests(list(kept)) != kept:
                return None
            table = self._table.writable()
            new = {chunk.id for chunk in chunks}
            old = table.search().where(of_document(document_id, list(kept))).select(["id"]).to_arrow()["id"].to_pylist()
            gone = sorted({*old} - new)
            if gone and not chunks:
                table.delete(among("id", gone))
            elif chunks:  # one version of the table for both
                batch = self._table.batch(list(zip(chunks, rows, strict=True)), version=table.version)
                merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
                if gone:
                    merge = merge.when_not_matched_by_source_delete(among("id", gone))
                merge.execute(batch)
        return len(gone)

    def _chunks(self, condition: Condition | str | None) -> Iterator[Chunk]:
        if (snapshot := self._table.snapshot()) is None:
            return
        ids = snapshot.ids if condition is None else self._searching.allowed(snapshot, condition).ids
        for first in range(0, len(ids), _SLICE):
            yield from map(chunk_of, snapshot.take(ids[first : first + _SLICE], CHUNK).to_pylist())

    def _condition(self, filter: Filter | str | None) -> Condition | str | None:  # type: ignore[override]
        return filter if isinstance(filter, str) else super()._condition(filter)

    def _search(self, query: TokenEmbeddings, k: int, condition: Condition | None) -> list[Hit]:
        return self._find([query], k, condition)[0]

    def _search_many(self, queries: Sequence[TokenEmbeddings], k: int, condition: Condition | None) -> list[list[Hit]]:
        return self._find(queries, k, condition)

    def _find(self, queries: Sequence[TokenEmbeddings], k: int, condition: Condition | str | None) -> list[list[Hit]]:
        for last in (False, False, True):
            if (snapshot := self._readable()) is None:
                break
            try:
                return self._searching.find(snapshot, queries, k, condition)
            except (OSError, RuntimeError, ValueError):
                # Another process may have merged this version's files and removed them.
                if last or snapshot is self._table.snapshot():
                    raise
        return [[] for _ in queries]

    def _readable(self) -> Snapshot | None:
        snapshot = self._table.snapshot()
        if snapshot is not None and self.mode == "hybrid" and not has_text_index(snapshot.table):
            index_words(self._table, anew=False)
            snapshot = self._table.snapshot()
        return snapshot


def _checked(path: str | os.PathLike[str]) -> Path:
    if isinstance(path, str) and "://" in path:
        raise ValueError(f"path must name a folder on this machine, got {shown(path)}")
    return checked_folder(path)
