"""Chunks of a `PlaidIndex` in one SQLite file: texts, places in PLAID, and the rows of those that have none yet."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latelens.embeddings import TokenEmbeddings
from latelens.index.batches import batches
from latelens.index.filters import Condition, matches
from latelens.index.protocol import Chunk, fields_of
from latelens.index.token_index import digest, refuse_changed
from latelens.serialize import from_bytes, to_bytes

_SCHEMA = """
CREATE TABLE IF NOT EXISTS chunks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    document_id TEXT,
    digest TEXT NOT NULL,
    position INTEGER,
    rows BLOB
);
CREATE INDEX IF NOT EXISTS positions ON chunks (position) WHERE position IS NOT NULL;
CREATE INDEX IF NOT EXISTS waiting ON chunks (seq) WHERE position IS NULL;
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_CHUNK = "id, text, metadata, document_id"
_PARAMETERS = 500  # in one statement
_PATIENCE = 600.0  # seconds that a writer waits for another


@dataclass(frozen=True)
class Generation:
    """A folder that PLAID wrote and nobody changes; `size` counts its positions, deleted ones too."""

    name: str
    size: int


class View:
    """What the store held at one moment; in a `writing` transaction, what it holds."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def setting(self, name: str) -> Any:
        """A setting as JSON, None where there is none."""
        found = self.db.execute("SELECT value FROM settings WHERE name = ?", [name]).fetchone()
        return None if found is None else json.loads(found[0])

    def set(self, name: str, value: Any) -> None:
        """Change a setting."""
        self.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", [name, json.dumps(value)])

    def generation(self) -> Generation | None:
        """The folder that counts."""
        found = self.setting("generation")
        return None if found is None else Generation(**found)

    def count(self, where: str = "TRUE") -> int:
        """How many chunks there are."""
        return int(self.db.execute(f"SELECT count(*) FROM chunks WHERE {where}").fetchone()[0])

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        """`digest` of each chunk that is there, by id."""
        return dict(self._select("SELECT id, digest FROM chunks WHERE id IN", ids))

    def chunks(self, ids: Sequence[str]) -> dict[str, Chunk]:
        """The chunks that are there, by id."""
        found = map(_chunk, self._select(f"SELECT {_CHUNK} FROM chunks WHERE id IN", ids))
        return {chunk.id: chunk for chunk in found}

    def by(self, column: str, values: Sequence[int]) -> dict[int, Chunk]:
        """The chunks with some values of ``seq`` or ``position``, by that."""
        found = self._select(f"SELECT {column}, {_CHUNK} FROM chunks WHERE {column} IN", values)
        return {value: _chunk(rest) for value, *rest in found}

    def all(self) -> Iterator[Chunk]:
        """Every chunk, streamed."""
        return map(_chunk, self.db.execute(f"SELECT {_CHUNK} FROM chunks ORDER BY seq"))

    def index_documents(self) -> None:
        """Make them quick to find; once it is known that the file has them at all."""
        self.db.execute("CREATE INDEX IF NOT EXISTS documents ON chunks (document_id) WHERE document_id IS NOT NULL")

    def of_document(self, document_id: str) -> list[str]:
        """The ids of a document's chunks."""
        return [id for (id,) in self.db.execute("SELECT id FROM chunks WHERE document_id = ?", [document_id])]

    def waiting(self) -> list[int]:
        """``seq`` of the chunks that PLAID does not hold, in order."""
        return [seq for (seq,) in self.db.execute("SELECT seq FROM chunks WHERE position IS NULL ORDER BY seq")]

    def placed(self) -> list[tuple[int, int]]:
        """``position, seq`` of the chunks that PLAID holds, in order."""
        return self.db.execute(
            "SELECT position, seq FROM chunks WHERE position IS NOT NULL ORDER BY position"
        ).fetchall()

    def rows(self, seqs: Sequence[int]) -> dict[int, TokenEmbeddings]:
        """Rows of waiting chunks, by ``seq``."""
        found = self._select("SELECT seq, text, rows FROM chunks WHERE seq IN", seqs)
        return {seq: from_bytes(rows, text) for seq, text, rows in found}

    def rows_by_id(self, ids: Sequence[str]) -> dict[str, TokenEmbeddings]:
        """Rows of those that wait, by id."""
        found = self._select("SELECT id, text, rows FROM chunks WHERE rows IS NOT NULL AND id IN", ids)
        return {id: from_bytes(rows, text) for id, text, rows in found}

    def matching(self, condition: Condition) -> tuple[list[int], list[int]]:
        """``seq`` of the waiting chunks and ``position`` of the others that fulfil a condition."""
        waiting: list[int] = []
        placed: list[int] = []
        found = self.db.execute("SELECT seq, position, id, metadata, document_id FROM chunks")
        for seq, position, id, metadata, document_id in found:
            if matches(condition, fields_of(json.loads(metadata), id, document_id)):
                (waiting if position is None else placed).append(seq if position is None else position)
        return waiting, placed

    def insert(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], *, replace: bool) -> None:
        """Put chunks in; they wait for PLAID."""
        if not replace:  # another process may have come first
            known = self.digests([chunk.id for chunk in chunks])
            refuse_changed(chunks, known)
            pairs = [(chunk, each) for chunk, each in zip(chunks, rows, strict=True) if chunk.id not in known]
        else:
            pairs = list(zip(chunks, rows, strict=True))
        self.db.executemany(
            f"INSERT OR REPLACE INTO chunks ({_CHUNK}, digest, rows) VALUES (?, ?, ?, ?, ?, ?)",
            (
                (chunk.id, chunk.text, chunk.metadata_json(), chunk.document_id, digest(chunk), to_bytes(each))
                for chunk, each in pairs
            ),
        )

    def delete(self, ids: Sequence[str]) -> int:
        """Take chunks out."""
        return sum(self.db.execute("DELETE FROM chunks WHERE id = ?", [id]).rowcount for id in dict.fromkeys(ids))

    def place(self, generation: Generation | None, places: Iterable[tuple[int, int]]) -> None:
        """Make a generation the one that counts, with the ``position, seq`` of its chunks; those gone stay gone."""
        self.db.executemany("UPDATE chunks SET position = ?, rows = NULL WHERE seq = ?", places)
        self.set("generation", None if generation is None else asdict(generation))

    def unplace(self, rows: Mapping[int, TokenEmbeddings]) -> None:
        """Let chunks wait again, with rows encoded anew, by ``seq``."""
        self.db.executemany(
            "UPDATE chunks SET position = NULL, rows = ? WHERE seq = ?",
            ((to_bytes(each), seq) for seq, each in rows.items()),
        )

    def _select(self, statement: str, values: Sequence[Any]) -> Iterator[Any]:
        for some in batches(dict.fromkeys(values), _PARAMETERS):
            yield from self.db.execute(f"{statement} ({','.join('?' * len(some))})", some)


def _chunk(row: Sequence[Any]) -> Chunk:
    id, text, metadata, document_id = row
    return Chunk(id, text, json.loads(metadata), document_id)


class ChunkStore:
    """A file that threads and processes share; a transaction is on disk when it ends, or has not happened."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._idle: list[sqlite3.Connection] = []
        db = self._connect()
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(_SCHEMA)
        self._idle.append(db)

    @contextmanager
    def reading(self) -> Iterator[View]:
        """What the store holds at this moment, whatever others write meanwhile."""
        with self._transaction("BEGIN") as view:
            yield view

    @contextmanager
    def writing(self) -> Iterator[View]:
        """Changes that count together, when this ends without an exception."""
        with self._transaction("BEGIN IMMEDIATE") as view:
            yield view

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[View]:
        try:
            db = self._idle.pop()
        except IndexError:
            db = self._connect()
        try:
            db.execute(begin)
            try:
                yield View(db)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            self._idle.append(db)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA synchronous = FULL")
        return db
