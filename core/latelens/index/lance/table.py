"""The table of a `LanceIndex`: its columns, the versions that readers see, and what is asked of LanceDB."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.exact.folder import Folder
from latelens.index.protocol import Chunk
from latelens.index.token_index import check_manifest, digest, manifest_of
from latelens.maxsim import PackedEmbeddings
from latelens.serialize import to_bytes

try:
    import lancedb
    import pyarrow as pa
    from lancedb.query import MatchQuery
except ModuleNotFoundError as error:
    if error.name not in ("lancedb", "pyarrow"):
        raise
    raise ImportError("LanceIndex keeps its chunks in LanceDB: run `pip install 'latelens[lancedb]'`") from error

KIND = "lance"
VECTOR_INDEX = "maxsim_"  # and the generation up to which it knows the rows
TEXT_INDEX = "words"
CHUNK = ["id", "text", "exact_metadata", "document_id"]  # the columns of a chunk
_TABLE = "chunks"
_KEY = b"latelens"

RowIds = NDArray[np.uint64]


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
    covered
        Rows up to this generation are in the vector index, later ones are loose; None without an index.
    dim
        Of the encoder's vectors; those on disk may have zeros after it.
    """

    table: Any
    version: int
    covered: int | None
    dim: int

    @cached_property
    def ids(self) -> RowIds:
        """All rows, sorted."""
        return self.matching(None)

    @cached_property
    def loose(self) -> RowIds:
        """Rows that the vector index does not know, sorted."""
        return self.ids if self.covered is None else self.matching(f"generation > {self.covered}")

    @cached_property
    def indexed(self) -> int:
        """How many rows the vector index knows."""
        return int(self.table.count_rows()) - len(self.loose)

    def matching(self, where: str | None) -> RowIds:
        """Rows for which some SQL is true, sorted."""
        scan = self.table.search()
        found = (scan if where is None else scan.where(where)).select(["generation"]).with_row_id(True).to_arrow()
        return np.sort(found["_rowid"].to_numpy())

    def take(self, ids: RowIds, columns: Sequence[str]) -> Any:
        """Columns of some rows and their ``_rowid``, in any order, as an Arrow table."""
        return self.table.take_row_ids(ids.tolist()).select(list(columns)).with_row_id().to_arrow()

    def vectors(self, ids: RowIds) -> tuple[RowIds, PackedEmbeddings]:
        """The vectors of some rows, in any order, and which rows they are."""
        found = self.take(ids, ["vectors"])
        return found["_rowid"].to_numpy(), unpack(found["vectors"], self.dim)

    def nearest(self, query: TokenEmbeddings, limit: int, probes: int, where: str | None) -> tuple[RowIds, list[float]]:
        """Rows that the vector index finds, best first, and approximations of their scores."""
        vectors = pad(query.vectors)
        # Without `_distance` LanceDB warns. `fast_search` leaves the loose rows out.
        search = self.table.search(vectors, vector_column_name="vectors").distance_type("cosine").fast_search()
        search = search.select(["_distance"]).with_row_id(True).limit(limit).nprobes(probes)
        found = (search if where is None else search.where(where, prefilter=True)).to_arrow()
        scores = len(query) - found["_distance"].to_numpy().astype(np.float64)
        return found["_rowid"].to_numpy(), scores.tolist()

    def with_words(self, text: str, limit: int, where: str | None) -> tuple[RowIds, list[float]]:
        """Rows that share words with a text, best first, and their BM25."""
        asked = MatchQuery(text, "text")  # type: ignore[call-arg]  # pydantic's fields have defaults
        search = self.table.search(asked, query_type="fts").select(["_score"]).with_row_id(True)
        found = (search if where is None else search.where(where, prefilter=True)).limit(limit).to_arrow()
        return found["_rowid"].to_numpy(), found["_score"].to_numpy().astype(np.float64).tolist()


class Table:
    """The table in a folder, made at the first write. Any number of processes read it; one at a time writes."""

    def __init__(self, path: Path, encoder: Encoder) -> None:
        self.path, self.encoder = path, encoder
        self.folder = Folder(path)
        self._lock = threading.Lock()
        self._latest: Any = None
        if (manifest := path / "manifest.json").exists():  # other indexes keep one
            check_manifest(json.loads(manifest.read_bytes()), encoder, KIND, repr(str(path)))
        self._snapshot: Snapshot | None = None

    def snapshot(self) -> Snapshot | None:
        """The table as it is now; None where there is none yet."""
        latest = self._opened()
        if latest is None:
            return None
        with self._lock:
            if self._snapshot is None or self._snapshot.version != latest.version:
                self._snapshot = self._pinned()
            return self._snapshot

    def writable(self) -> Any:
        """The table to write to, made where there is none; the caller holds `folder.locked()`."""
        if (table := self._opened()) is None:
            schema = _schema(self.encoder.dim, manifest_of(self.encoder, KIND))
            self._database.create_table(_TABLE, schema=schema)
            table = self._opened()
        return table

    def fresh(self) -> Any:
        """A handle of its own for long work: those who use the others do not wait for it."""
        return self._database.open_table(_TABLE)

    def batch(self, pairs: Sequence[tuple[Chunk, TokenEmbeddings]], generation: int) -> Any:
        """Chunks and their rows as an Arrow table; the generation is above the version that they are added to."""
        return _to_arrow(pairs, generation, _schema(self.encoder.dim, {}))

    def _opened(self) -> Any:
        """The handle that follows every change, also of other processes; None where there is no table."""
        with self._lock:
            if self._latest is None and (self.path / f"{_TABLE}.lance").exists():
                try:
                    table = self.fresh()
                except ValueError:  # a writer is making it
                    return None
                found = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
                check_manifest(found, self.encoder, KIND, repr(str(self.path)))
                self._latest = table
            return self._latest

    def _pinned(self) -> Snapshot:
        table = self.fresh()
        version = table.version
        table.checkout(version)
        # A builder that was killed may leave two: LanceDB may then search the older one.
        known = [generation for generation, _ in vector_indexes(table)]
        return Snapshot(table, version, min(known, default=None), self.encoder.dim)

    @cached_property
    def _database(self) -> Any:
        return lancedb.connect(self.path, read_consistency_interval=timedelta(0))


def vector_indexes(table: Any) -> list[tuple[int, str]]:
    """Generation and name of each vector index, the oldest first."""
    names = [index.name for index in table.list_indices() if index.name.startswith(VECTOR_INDEX)]
    return sorted((int(name.removeprefix(VECTOR_INDEX)), name) for name in names)


def has_text_index(table: Any) -> bool:
    """Whether words can be searched."""
    return any(index.name == TEXT_INDEX for index in table.list_indices())


def chunk_of(row: Mapping[str, Any]) -> Chunk:
    """The chunk of a row with the columns `CHUNK`."""
    return Chunk(row["id"], row["text"], json.loads(row["exact_metadata"]), row["document_id"])


def among(column: str, values: Iterable[str | int]) -> str:
    """SQL that is true for rows with one of the values, of which there is at least one."""
    return f"({column} IN ({','.join(map(_literal, values))}))"


def of_document(document_id: str, kept: Sequence[str] = ()) -> str:
    """SQL that is true for the rows of a document, apart from those to be kept."""
    own = f"document_id = {_literal(document_id)}"
    return f"{own} AND NOT {among('id', kept)}" if kept else own


def _literal(value: str | int) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


def pad(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Fill rows up with zeros to a multiple of 8 dimensions, which is what the index takes."""
    return np.pad(vectors, ((0, 0), (0, -vectors.shape[1] % 8))) if vectors.shape[1] % 8 else vectors


def unpack(column: Any, dim: int) -> PackedEmbeddings:
    """The column of vectors as packed documents, without copying where Arrow holds it in one piece."""
    lists = column.combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    offsets = lists.offsets.to_numpy().astype(np.int64)
    rows = lists.flatten()
    values = rows.flatten().to_numpy().reshape(-1, rows.type.list_size)
    return PackedEmbeddings(np.ascontiguousarray(values[:, :dim]), offsets - offsets[0])


def _schema(dim: int, manifest: dict[str, Any]) -> Any:
    fields = [
        ("id", pa.string()),
        ("text", pa.string()),
        ("metadata", pa.json_()),  # for SQL alone: it rounds large numbers
        ("exact_metadata", pa.string()),
        ("document_id", pa.string()),
        ("digest", pa.string()),
        ("generation", pa.int64()),
        ("rows", pa.int32()),
        ("labels", pa.binary()),
        ("vectors", pa.list_(pa.list_(pa.float32(), dim + -dim % 8))),
    ]
    return pa.schema(fields, metadata={_KEY: json.dumps(manifest).encode()} if manifest else None)


def _to_arrow(pairs: Sequence[tuple[Chunk, TokenEmbeddings]], generation: int, schema: Any) -> Any:
    values = pad(np.concatenate([rows.vectors for _, rows in pairs]))
    offsets = np.cumsum([0, *(len(rows) for _, rows in pairs)]).astype(np.int32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    metadata = [chunk.metadata_json() for chunk, _ in pairs]
    columns = {
        "id": [chunk.id for chunk, _ in pairs],
        "text": [chunk.text for chunk, _ in pairs],
        "metadata": pa.array(metadata, type=pa.json_()),
        "exact_metadata": metadata,
        "document_id": [chunk.document_id for chunk, _ in pairs],
        "digest": [digest(chunk) for chunk, _ in pairs],
        "generation": [generation] * len(pairs),
        "rows": [len(rows) for _, rows in pairs],
        "labels": [to_bytes(rows, vectors=False) for _, rows in pairs],
        "vectors": pa.ListArray.from_arrays(pa.array(offsets), lists),
    }
    return pa.table(columns, schema=schema)
