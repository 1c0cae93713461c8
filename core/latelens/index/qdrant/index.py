"""`QdrantIndex`: chunks in a Qdrant server or cluster, for those who outgrow one machine."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

try:
    from qdrant_client import QdrantClient, models
except ModuleNotFoundError as error:
    if error.name != "qdrant_client":
        raise
    raise ImportError("QdrantIndex needs qdrant-client: run `pip install 'latelens[qdrant]'`") from error

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.arguments import check_ids
from latelens.index.batches import batches
from latelens.index.filters import Condition, matches, parse_filter
from latelens.index.protocol import Chunk, Hit
from latelens.index.qdrant.collection import QdrantCollection, check_name
from latelens.index.qdrant.filters import FACETS, Compiled, compile_filter, number_field
from latelens.index.qdrant.journal import Journal, Replacement
from latelens.index.qdrant.points import (
    CHUNK_FIELDS,
    FETCHED,
    HIT_FIELDS,
    check_sizes,
    chunk_of,
    point_ids,
    point_of,
    requests,
    rows_of,
)
from latelens.index.qdrant.search import QdrantSearch
from latelens.index.qdrant.storage import ROWS, QdrantStorage
from latelens.index.token_index import TokenIndex, check_manifest, manifest_of
from latelens.refusals import check_is, check_texts, described

__all__ = ["QdrantIndex", "QdrantStorage"]

_IDS = 1000  # in one request


class QdrantIndex(TokenIndex):
    """Chunks in a collection of Qdrant, which compares all rows by MaxSim itself.

    The collection is made at the first use of its name. Any number of processes may write and read it; an
    acknowledged batch is on the server, on as many replicas as `QdrantStorage.write_replicas` says. A failure of the
    network is waited out, and an `add` that was interrupted is simply run again. One process at a time should write
    the chunks of a document; others see it whole, as it was before or as it is after.

    Filters have exactly the meaning of `latelens.index.filters.matches`. Equality, ``$in``, ``$exists`` and their
    opposites use one keyword index; ranges of numbers are fast for keys in `range_indexes`. Only parts and an order
    of strings make the client read the metadata of all chunks that the rest of the filter lets through.

    Parameters
    ----------
    client
        Yours: ``QdrantClient(url="http://localhost:6333", timeout=60)``, a cluster, or local mode for tests and small
        collections (``":memory:"`` or ``path=``; one process, a few thousand chunks). Closing it is yours, too.
    collection
        Its name, or an alias.
    storage
        What a new collection is made with; None takes the defaults, or what an existing one was made with.
    range_indexes
        Keys of the metadata whose numbers are indexed for ``$gt`` and its like.

    Raises
    ------
    ValueError
        If the collection was filled by another encoder, made with another storage, or not by this class.
    ConnectionError
        If the server cannot be reached.
    """

    def __init__(
        self,
        encoder: Encoder,
        client: QdrantClient,
        collection: str,
        *,
        storage: QdrantStorage | None = None,
        range_indexes: Sequence[str] = (),
    ) -> None:
        super().__init__(encoder)
        if not isinstance(client, QdrantClient):
            raise TypeError(
                f"client must be a qdrant_client.QdrantClient, got {described(client)}; make one, such as "
                "QdrantClient(url='http://localhost:6333', timeout=60)"
            )
        check_name(collection)
        check_is("storage", storage, (QdrantStorage, type(None)), "a QdrantStorage or None")
        check_texts("range_indexes", range_indexes)
        self.client, self.collection = client, collection
        self._points = QdrantCollection(client, collection)
        self.storage = self._open(storage, [FACETS, *map(number_field, range_indexes)])

    @property
    def loss(self) -> str:
        """What the collection's storage loses, in words; empty where it is nothing."""
        return self.storage.loss

    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks and return how many there were; unknown ids are skipped."""
        check_ids(ids)
        deleted = 0
        self._settle()
        for some in batches(dict.fromkeys(ids), _IDS):
            there = [record.id for record in self._records(some, [])]
            if there:
                self._points.delete(there)
            deleted += len(there)
        return deleted

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The chunks with these ids, None where there is none."""
        check_ids(ids)
        records = self._records(ids, CHUNK_FIELDS)
        found = {chunk.id: chunk for chunk in map(chunk_of, records)}
        return [found.get(id) for id in ids]

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The stored rows of the chunks with these ids, with the text that they are of; None where there are none."""
        check_ids(ids)
        found: dict[str, TokenEmbeddings] = {}
        for some in batches(dict.fromkeys(ids), FETCHED):
            records = self._records(some, HIT_FIELDS, [ROWS])
            found |= {str((record.payload or {})["id"]): rows_of(record) for record in records}
        return [found.get(id) for id in ids]

    def count(self) -> int:
        """How many chunks there are."""
        return self._points.steady(lambda journal: self._points.count(journal.visible(None)) - journal.notes)

    def _open(self, asked: QdrantStorage | None, indexed: Sequence[str]) -> QdrantStorage:
        where = f"collection {self.collection!r}"
        made = not self._points.exists() and self._create(asked or QdrantStorage())
        info = self._points.info()
        manifest = (info.config.metadata or {}).get("latelens")
        if manifest is None:
            if made:
                self._points.drop()
                raise RuntimeError(f"the server kept no metadata of {where}; run Qdrant 1.16 or later")
            raise ValueError(f"{where} was not made by QdrantIndex; choose another name")
        check_manifest(manifest, self.encoder, "qdrant", where)
        _check_vectors(info.config.params.vectors, self.encoder, where)
        stored = QdrantStorage(**manifest["storage"])
        if asked not in (None, stored):
            raise ValueError(f"{where} was made with {stored}, not {asked}; leave storage out, or choose another name")
        for field in indexed:
            if field not in info.payload_schema and not self._points.local:  # local mode has no indexes, and warns
                self._points.index_payload(field)
        return stored

    def _create(self, storage: QdrantStorage) -> bool:
        manifest = {**manifest_of(self.encoder, "qdrant"), "storage": storage.as_json()}
        return self._points.create(storage, self.encoder.dim, {"latelens": manifest})

    def _digests(self, ids: Sequence[str]) -> dict[str, str]:
        records = self._records(ids, ["id", "digest"])
        return {record.payload["id"]: record.payload["digest"] for record in records if record.payload is not None}

    def _write(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], *, replace: bool) -> None:  # noqa: ARG002
        self._settle()
        known = {(record.payload or {})["id"]: str(record.id) for record in self._records(_ids(chunks), ["id"])}
        places = [known.get(chunk.id) or point_ids(chunk.id)[0] for chunk in chunks]
        self._send(chunks, rows, places, uuid.uuid4().hex)

    def _exchange(
        self, document_id: str, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], kept: Mapping[str, str]
    ) -> int | None:
        with self._points.turn:
            self._settle()
            if self._digests(list(kept)) != kept:
                return None
            old = self._replaced(document_id, [*kept], _ids(chunks))
            replacement = Replacement.begun(local=self._points.local)
            if chunks:
                taken = {str(record.id) for record in old}
                pairs = [point_ids(chunk.id) for chunk in chunks]
                places = [first if first not in taken else second for first, second in pairs]
                self._points.upsert(replacement.notes())
                try:
                    self._send(chunks, rows, places, replacement.version)
                except BaseException:
                    with suppress(ConnectionError):
                        self._finish(replacement)
                    raise
            if chunks or old:
                self._points.upsert((done := replacement.commit(old)).notes())
                self._finish(done)
        return len({(record.payload or {})["id"] for record in old} - {*_ids(chunks)})

    def _replaced(self, document_id: str, kept: Sequence[str], new: Sequence[str]) -> list[models.Record]:
        """The points that a document's new chunks take the place of."""
        of_document = compile_filter(parse_filter({"$document_id": document_id, "$id": {"$nin": kept}})).filter
        old = {record.id: record for record in self._points.scroll(of_document, ["id", "version"])}
        old |= {record.id: record for record in self._records(new, ["id", "version"])}
        return list(old.values())

    def _settle(self) -> None:
        """Finish what writers that were killed have left."""
        with self._points.turn:
            for replacement in self._points.journal().replacements:
                if replacement.is_over(local=self._points.local):
                    self._finish(replacement)

    def _finish(self, replacement: Replacement) -> None:
        if replacement.points or not replacement.committed:
            self._points.delete_matching(replacement.dead())
        self._points.delete([replacement.note])

    def _send(
        self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], places: Sequence[str], version: str
    ) -> None:
        if not self._points.local:
            check_sizes(chunks, rows)
        points = (
            point_of(chunk, each, self.storage.pool, at=at, version=version)
            for chunk, each, at in zip(chunks, rows, places, strict=True)
        )
        for some in requests(points):
            self._points.upsert(some)

    def _chunks(self, condition: Condition | None) -> Iterator[Chunk]:
        compiled = Compiled(None, exact=True) if condition is None else compile_filter(condition)
        journal = self._points.journal()
        for record in self._points.scroll(journal.visible(compiled.filter), CHUNK_FIELDS):
            if "id" in (record.payload or {}):  # no note
                chunk = chunk_of(record)
                if condition is None or compiled.exact or matches(condition, chunk.fields()):
                    yield chunk

    def _search(self, query: TokenEmbeddings, k: int, condition: Condition | None) -> list[Hit]:
        search = QdrantSearch(self._points, self.storage)
        return self._points.steady(lambda journal: search.find(query, k, condition, journal))

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            "a QdrantIndex holds your client, which cannot be pickled or copied; make the client and the index in the "
            "other process"
        )

    def _records(self, ids: Sequence[str], fields: list[str], vectors: list[str] | bool = False) -> list[models.Record]:
        """The points of chunks that count."""

        def read(journal: Journal) -> list[models.Record]:
            parts = batches((point for id in ids for point in point_ids(id)), _IDS)
            found = [record for points in parts for record in self._points.fetch(points, [*fields, "version"], vectors)]
            return [record for record in found if not journal.hides(record)]

        return self._points.steady(read) if ids else []


def _ids(chunks: Iterable[Chunk]) -> list[str]:
    return [chunk.id for chunk in chunks]


def _check_vectors(vectors: Any, encoder: Encoder, where: str) -> None:
    rows = vectors.get(ROWS) if isinstance(vectors, dict) else None
    size = None if rows is None else rows.size
    if size != encoder.dim:
        raise ValueError(
            f"{where} holds rows of dimension {size}, and the encoder {encoder.name!r} gives {encoder.dim}; load the "
            "model that filled it, or choose another name"
        )
