"""The columns of a `LanceIndex`'s table: chunks and their rows, to Arrow and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.index.exact.stored_rows import StoredRows
from latelens.index.protocol import Chunk
from latelens.index.token_index import digest
from latelens.serialize import to_bytes

CHUNK = ["id", "text", "exact_metadata", "document_id"]  # the columns of a chunk
ROWS = ["rows", "vectors", "steps"]  # and of its rows
KEY = b"latelens"  # of the manifest in the schema


def chunk_of(row: Mapping[str, Any]) -> Chunk:
    """The chunk of a row with the columns `CHUNK`."""
    return Chunk(row["id"], row["text"], json.loads(row["exact_metadata"]), row["document_id"])


def unpack(found: Any, dim: int, row_type: str) -> tuple[NDArray[np.int64], StoredRows]:
    """Where the vectors of each row begin and end, (rows + 1,) int64, and all vectors, end to end.

    `found` has the columns ``rows``, ``vectors`` and ``steps``; nothing is copied where Arrow holds it in one piece.
    """
    values = _joined(found["vectors"]).view(row_type).reshape(-1, dim)
    steps = _joined(found["steps"]).view(np.float32) if row_type == "int8" else None
    return np.cumsum([0, *found["rows"].to_numpy()], dtype=np.int64), StoredRows(values, steps)


def _joined(column: Any) -> NDArray[np.uint8]:
    """The bytes of a column, end to end."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = []
    for chunk in chunks:
        offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        parts.append(np.frombuffer(chunk.buffers()[2], dtype=np.uint8)[offsets[0] : offsets[-1]])
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, dtype=np.uint8), *parts])


def schema_of(manifest: Mapping[str, Any]) -> Any:
    """The table's schema, which keeps what the index says about itself."""
    fields = [
        ("id", pa.string()),
        ("text", pa.string()),
        ("metadata", pa.json_()),  # for SQL alone: it rounds large numbers
        ("exact_metadata", pa.string()),
        ("document_id", pa.string()),
        ("digest", pa.string()),
        ("number", pa.int64()),  # of these rows of this chunk for ever: row ids change when files are merged
        ("rows", pa.int32()),
        ("labels", pa.binary()),
        ("vectors", pa.large_binary()),
        ("steps", pa.large_binary()),
    ]
    return pa.schema(fields, metadata={KEY: json.dumps(manifest).encode()} if manifest else None)


def to_arrow(pairs: Sequence[tuple[Chunk, TokenEmbeddings]], version: int, row_type: str) -> Any:
    """Chunks and their rows as an Arrow table, to be added to this version of the table."""
    metadata = [chunk.metadata_json() for chunk, _ in pairs]
    stored = [StoredRows(rows.vectors).as_type(row_type) for _, rows in pairs]
    columns = {
        "id": [chunk.id for chunk, _ in pairs],
        "text": [chunk.text for chunk, _ in pairs],
        "metadata": pa.array(metadata, type=pa.json_()),
        "exact_metadata": metadata,
        "document_id": [chunk.document_id for chunk, _ in pairs],
        "digest": [digest(chunk) for chunk, _ in pairs],
        "number": [(version << 32) + i for i in range(len(pairs))],  # each write makes a version
        "rows": [len(rows) for _, rows in pairs],
        "labels": [to_bytes(rows, vectors=False) for _, rows in pairs],
        "vectors": [rows.values.tobytes() for rows in stored],
        "steps": [b"" if rows.steps is None else rows.steps.tobytes() for rows in stored],
    }
    return pa.table(columns, schema=schema_of({}))
