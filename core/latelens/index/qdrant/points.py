"""A chunk as a point of Qdrant, and back."""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import explain
from latelens.index.protocol import Chunk, Hit, fields_of
from latelens.index.qdrant.filters import FACETS, NUMBERS, facets_of, numbers_of
from latelens.index.qdrant.journal import version_facet
from latelens.index.qdrant.storage import POOLED, ROWS, pooled
from latelens.index.token_index import digest
from latelens.serialize import from_bytes, to_bytes

FETCHED = 32  # points with their vectors in one answer
CHUNK_FIELDS = ["id", "text", "metadata", "document_id", "version"]
FILTER_FIELDS = ["id", "metadata", "document_id", "version"]
HIT_FIELDS = [*CHUNK_FIELDS, "rows"]

# Never change them: point ids are made from them.
_NAMESPACE = uuid.UUID("6c2f4d0e-5b1a-5d0c-9a53-1f0f6d9f7a11")
_SECOND = uuid.UUID("0b3f1f5c-52d6-5c53-8a9b-6b8d2e5f4c27")
# A server takes requests of 32 MB, and a float is about 20 characters of JSON.
_REQUEST_BYTES = 24 * 2**20
_FLOAT_BYTES = 20
_POINT_FLOATS = 2**20  # in one vector of one point; a server refuses more


def point_ids(id: str) -> tuple[str, str]:
    """The UUIDs of the two places for a chunk, one of which holds it: while its document is replaced, both do."""
    return str(uuid.uuid5(_NAMESPACE, id)), str(uuid.uuid5(_SECOND, id))


def point_of(chunk: Chunk, rows: TokenEmbeddings, pool: int, *, at: str, version: str) -> models.PointStruct:
    """A chunk with its rows and, with `pool` > 1, one mean row for so many."""
    metadata = chunk.metadata_json()
    payload = {
        "id": chunk.id,
        "text": chunk.text,
        "metadata": metadata,  # as text: a server would read a large integer as a float, and give that back
        "document_id": chunk.document_id,
        "version": version,
        "digest": digest(chunk),
        # 1.4 KB for a chunk of 120 rows, instead of 3.2; the whole payload is then about 2.3.
        "rows": base64.b64encode(zlib.compress(to_bytes(rows, vectors=False))).decode(),
        FACETS: [*facets_of(fields_of(json.loads(metadata), chunk.id, chunk.document_id)), version_facet(version)],
        NUMBERS: numbers_of(json.loads(metadata)),
    }
    vectors: dict[str, Any] = {ROWS: rows.vectors.tolist()}
    if pool > 1:
        vectors[POOLED] = pooled(rows.vectors, pool).tolist()
    return models.PointStruct(id=at, vector=vectors, payload=payload)


def filtered_by(record: models.Record) -> dict[str, Any]:
    """`Chunk.fields` of a point that came with `FILTER_FIELDS`."""
    payload = record.payload or {}
    return fields_of(json.loads(payload["metadata"]), payload["id"], payload["document_id"])


def chunk_of(record: models.Record) -> Chunk:
    """The chunk of a point that came with `CHUNK_FIELDS`."""
    payload = record.payload or {}
    return Chunk(payload["id"], payload["text"], json.loads(payload["metadata"]), payload["document_id"])


def hit_of(query: TokenEmbeddings, record: models.Record) -> Hit:
    """Score and explain a point that came with `HIT_FIELDS` and its whole rows."""
    return Hit(chunk_of(record), explain(query, rows_of(record)))


def rows_of(record: models.Record) -> TokenEmbeddings:
    """The rows of a point that came with `HIT_FIELDS` and its whole rows."""
    stored: Any = record.vector
    payload = record.payload or {}
    labels = zlib.decompress(base64.b64decode(payload["rows"]))
    return from_bytes(labels, payload["text"], vectors=np.array(stored[ROWS], dtype=np.float32))


def requests(points: Iterable[models.PointStruct]) -> Iterator[list[models.PointStruct]]:
    """Points in lists, each of which a server takes in one request."""
    some: list[models.PointStruct] = []
    size = 0
    for point in points:
        vectors: Any = point.vector
        floats = sum(len(rows) * len(rows[0]) for rows in vectors.values())
        added = floats * _FLOAT_BYTES + len(json.dumps(point.payload))
        if some and size + added > _REQUEST_BYTES:
            yield some
            some, size = [], 0
        some.append(point)
        size += added
    if some:
        yield some


def check_sizes(chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings]) -> None:
    """Refuse a chunk that a server would refuse, before anything is sent."""
    for chunk, each in zip(chunks, rows, strict=True):
        if each.vectors.size > _POINT_FLOATS:
            raise ValueError(
                f"chunk {chunk.id!r} has {len(each)} rows of dimension {each.dim}, and Qdrant takes at most "
                f"{_POINT_FLOATS // each.dim} in one point; split the text"
            )
