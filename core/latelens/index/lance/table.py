"""The table of a `LanceIndex`: its columns, the versions that readers see, and what is asked of LanceDB."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
from lancedb.query import MatchQuery
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.exact.folder import Folder
from latelens.index.exact.stored_rows import RowType, kept_rows
from latelens.index.lance.columns import KEY, schema_of, to_arrow
from latelens.index.lance.lists import LISTS, UNFINISHED, Lists
from latelens.index.protocol import Chunk
from latelens.index.token_index import check_manifest, manifest_of

KIND = "lance"
TEXT_INDEX = "words"
_TABLE = "chunks"

RowIds = NDArray[np.uint64]
GONE = np.uint64(2**64 - 1)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The table at one version, which no writer changes.

    LanceDB's row ids name a row until files are merged, and are never given to another row.

    Attributes
    ----------
    table
        A handle that stays at the version.
    version
        LanceDB's count of changes.
    lists
        The index of the chunks' rows; None without one.
    dim, row_type
        Of the rows.
    """

    table: Any
    version: int
    lists: Lists | None
    dim: int
    row_type: str

    @cached_property
    def ids(self) -> RowIds:
        """All rows, sorted."""
        return self._scanned[0]

    @cached_property
    def loose(self) -> RowIds:
        """Rows that the lists do not know, sorted."""
        return self.ids if self.lists is None else self.ids[self._positions < 0]

    @cached_property
    def listed(self) -> RowIds:
        """The row at each position of the lists, `GONE` where it has been deleted or replaced since."""
        assert self.lists is not None
        rows = np.full(len(self.lists), GONE, dtype=np.uint64)
        known = self._positions >= 0
        rows[self._positions[known]] = self.ids[known]
        return rows

    @cached_property
    def living(self) -> NDArray[np.intp]:
        """The positions of the lists whose rows are still there."""
        return np.flatnonzero(self.listed != GONE)

    @property
    def row_count(self) -> int:
        """How many vectors all rows have."""
        return int(self._scanned[2].sum())

    @property
    def loose_count(self) -> int:
        """How many vectors the loose rows have."""
        return self.row_count if self.lists is None else int(self._scanned[2][self._positions < 0].sum())

    @cached_property
    def _scanned(self) -> tuple[RowIds, NDArray[np.int64], NDArray[np.int64]]:
        """All rows, sorted, with the number and the count of vectors of each."""
        found = self.table.search().select(["number", "rows"]).with_row_id(True).to_arrow()
        ids = found["_rowid"].to_numpy()
        order = np.argsort(ids)
        return ids[order], found["number"].to_numpy()[order], found["rows"].to_numpy()[order].astype(np.int64)

    @cached_property
    def _positions(self) -> NDArray[np.intp]:
        assert self.lists is not None
        return self.lists.positions(self._scanned[1])

    def matching(self, where: str | None) -> RowIds:
        """Rows for which some SQL is true, sorted."""
        if where is None:
            return self.ids
        found = self.table.search().where(where).select(["number"]).with_row_id(True).to_arrow()
        return np.sort(found["_rowid"].to_numpy())

    def batches(self, columns: Sequence[str], size: int) -> Iterator[Any]:
        """Columns of all rows, in the order in which they lie, at most so many at a time."""
        yield from self.table.search().select(list(columns)).to_batches(batch_size=size)

    def take(self, ids: RowIds, columns: Sequence[str]) -> Any:
        """Columns of some rows and their ``_rowid``, in any order, as an Arrow table."""
        return self.table.take_row_ids(ids.tolist()).select(list(columns)).with_row_id().to_arrow()

    def with_words(self, text: str, limit: int, where: str | None) -> tuple[RowIds, list[float]]:
        """Rows that share words with a text, best first, and their BM25."""
        asked = MatchQuery(text, "text")  # type: ignore[call-arg]  # pydantic's fields have defaults
        search = self.table.search(asked, query_type="fts").select(["_score"]).with_row_id(True)
        found = (search if where is None else search.where(where, prefilter=True)).limit(limit).to_arrow()
        return found["_rowid"].to_numpy(), found["_score"].to_numpy().astype(np.float64).tolist()


class Table:
    """The table in a folder, made at the first write. Any number of processes read it; one at a time writes."""

    def __init__(self, path: Path, encoder: Encoder, rows: RowType | None) -> None:
        self.path, self.encoder = path, encoder
        self._asked_rows = rows
        self.row_type: str = rows or "float32"
        self.folder = Folder(path)
        self._lock = threading.Lock()
        self._latest: Any = None
        if (manifest := path / "manifest.json").exists():  # other indexes keep one
            check_manifest(json.loads(manifest.read_bytes()), encoder, KIND, repr(str(path)))
        self._snapshot: Snapshot | None = None
        self._lists: Lists | None = None
        self._lists_name: str | None = None

    def snapshot(self) -> Snapshot | None:
        """The table as it is now; None where there is none yet."""
        latest = self._opened()
        if latest is None:
            return None
        with self._lock:
            while True:
                name, known = newest(self.path), self._snapshot
                if known is not None and (known.version, self._lists_name) == (latest.version, name):
                    return known
                try:
                    self._snapshot = self._pinned(name)
                except FileNotFoundError:
                    if name == newest(self.path):
                        raise  # otherwise another process has just made newer lists, and removed these

    def writable(self) -> Any:
        """The table to write to, made where there is none; the caller holds `folder.locked()`."""
        if (table := self._opened()) is None:
            schema = schema_of({**manifest_of(self.encoder, KIND), "rows": self.row_type})
            self._database.create_table(_TABLE, schema=schema)
            table = self._opened()
        return table

    def fresh(self) -> Any:
        """A handle of its own for long work: those who use the others do not wait for it."""
        return self._database.open_table(_TABLE)

    def batch(self, pairs: Sequence[tuple[Chunk, TokenEmbeddings]], version: int) -> Any:
        """Chunks and their rows as an Arrow table, to be added to this version."""
        return to_arrow(pairs, version, self.row_type)

    def _opened(self) -> Any:
        """The handle that follows every change, also of other processes; None where there is no table."""
        with self._lock:
            if self._latest is None and (self.path / f"{_TABLE}.lance").exists():
                try:
                    table = self.fresh()
                except ValueError:  # a writer is making it
                    return None
                found = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
                check_manifest(found, self.encoder, KIND, repr(str(self.path)))
                self.row_type = kept_rows(found, self._asked_rows, self.path)
                self._latest = table
            return self._latest

    def _pinned(self, name: str | None) -> Snapshot:
        table = self.fresh()
        version = table.version
        table.checkout(version)
        if name != self._lists_name:
            self._lists = None if name is None else Lists.open(self.path / name)
            self._lists_name = name
        return Snapshot(table, version, self._lists, self.encoder.dim, self.row_type)

    @cached_property
    def _database(self) -> Any:
        return lancedb.connect(self.path, read_consistency_interval=timedelta(0))


def newest(folder: Path) -> str | None:
    """The name of the lists that count; None where there are none."""
    if not folder.exists():
        return None
    names = (path.name for path in folder.iterdir())
    return max((name for name in names if name.startswith(LISTS) and not name.endswith(UNFINISHED)), default=None)


def has_text_index(table: Any) -> bool:
    """Whether words can be searched."""
    return any(index.name == TEXT_INDEX for index in table.list_indices())


def among(column: str, values: Iterable[str | int]) -> str:
    """SQL that is true for rows with one of the values, of which there is at least one."""
    return f"({column} IN ({','.join(map(_literal, values))}))"


def of_document(document_id: str, kept: Sequence[str] = ()) -> str:
    """SQL that is true for the rows of a document, apart from those to be kept."""
    own = f"document_id = {_literal(document_id)}"
    return f"{own} AND NOT {among('id', kept)}" if kept else own


def _literal(value: str | int) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
