"""What all indexes do alike: check and encode what comes in, stream it, and explain what is found."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tqdm.auto import tqdm

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.index.arguments import check_count, check_document
from latelens.index.batches import batches
from latelens.index.filters import Condition, parse_filter
from latelens.index.protocol import Chunk, EncodedChunk, Filter, Hit
from latelens.refusals import check_is, check_several, check_texts

FORMAT = 2  # 1 kept no documents


class TokenIndex(ABC):
    """An index around an encoder.

    A backend says which of some ids it holds and with what content (`_digests`), writes encoded chunks (`_write`: when
    it returns, they are acknowledged), exchanges those of a document for others (`_exchange`), deletes, reads chunks by
    id or all of them (`_chunks`), counts, and finds the best hits (`_search`).
    """

    def __init__(self, encoder: Encoder) -> None:
        check_is("encoder", encoder, Encoder, "an encoder from load_encoder")
        self.encoder = encoder

    def add(self, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> int:
        """Add chunks with new ids and return how many were written.

        Streams: at most `batch_size` chunks are in memory, and each batch is acknowledged before the next is read. A
        chunk that is already stored, unchanged, is skipped without being encoded, so an `add` that was interrupted
        is simply run again.

        Raises
        ------
        ValueError
            If an id is there with another text or other metadata: `upsert` replaces.
        """
        return self._load(chunks, batch_size, show_progress, replace=False)

    def upsert(self, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> int:
        """Add chunks, replacing those with the same ids; returns how many were written. Streams like `add`."""
        return self._load(chunks, batch_size, show_progress, replace=True)

    def replace_document(self, document_id: str, chunks: Iterable[Chunk]) -> int:
        """Put chunks in the place of all that a document had, and return how many were written.

        Whoever searches or lists, in this process or another, sees all of the old ones or all of the new ones, also
        if the writer is killed. Chunks that are there already, unchanged, are not encoded again. A chunk without a
        `document_id` gets this one. All of them are in memory at once.

        Raises
        ------
        ValueError
            If two of the chunks have one id and another content, or a chunk is, here or in the index, one of another
            document's.
        """
        check_document(document_id)
        check_several("chunks", chunks, "Chunks")
        by_id: dict[str, Chunk] = {}
        for chunk in chunks:
            _check_chunk(chunk)
            own = replace(chunk, document_id=document_id) if chunk.document_id is None else chunk
            _check_owner(own, document_id)
            if digest(by_id.setdefault(own.id, own)) != digest(own):
                raise ValueError(f"two different chunks have the id {own.id!r}; give each its own")
        for known in self.get(list(by_id)):
            if known is not None:
                _check_owner(known, document_id)
        while True:
            known_digests = self._digests(list(by_id))
            changed = [chunk for chunk in by_id.values() if known_digests.get(chunk.id) != digest(chunk)]
            kept = {id: known_digests[id] for id in by_id if id not in {chunk.id for chunk in changed}}
            if self._exchange(document_id, changed, self._rows(changed), kept) is not None:
                return len(changed)

    def delete_document(self, document_id: str) -> int:
        """Delete all chunks of a document, at once, and return how many there were."""
        check_document(document_id)
        return self._exchange(document_id, [], [], {}) or 0

    def ids(self, filter: Filter | None = None) -> Iterator[str]:
        """The ids of all chunks, or of those that fulfil a filter, in no particular order."""
        return (chunk.id for chunk in self.chunks(filter))

    def chunks(self, filter: Filter | None = None) -> Iterator[Chunk]:
        """All chunks, or those that fulfil a filter, in no particular order; streamed, so any number fits.

        >>> from latelens.index import Chunk, ExactIndex
        >>> index = ExactIndex(encoder)  # doctest: +SKIP
        >>> [chunk.id for chunk in index.chunks({"$document_id": "manual"})]  # doctest: +SKIP
        ['manual#0', 'manual#812']
        """
        return self._chunks(self._condition(filter))

    def search(self, query: str, k: int = 10, *, filter: Filter | None = None) -> list[Hit]:
        """The best `k` chunks by MaxSim, best first; equal scores in the order of their ids."""
        check_is("query", query, str, "a str")
        return self.search_many([query], k, filter=filter)[0]

    def search_many(self, queries: Sequence[str], k: int = 10, *, filter: Filter | None = None) -> list[list[Hit]]:
        """`search` for each query, encoding all of them at once."""
        check_texts("queries", queries)
        check_count("k", k)
        condition = self._condition(filter)
        if not len(queries) or not self.count():
            return [[] for _ in queries]
        return self._search_many(self.encoder.encode_queries(list(queries)), k, condition)

    def __len__(self) -> int:
        return self.count()

    @abstractmethod
    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks and return how many there were; unknown ids are skipped."""

    @abstractmethod
    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The chunks with these ids, None where there is none."""

    @abstractmethod
    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The stored rows of the chunks with these ids, with the text that they are of; None where there are none."""

    @abstractmethod
    def count(self) -> int:
        """How many chunks there are."""

    def persist(self) -> None:  # noqa: B027 - most backends have nothing to do
        """Put everything acknowledged on disk; does nothing where every write already is."""

    @abstractmethod
    def _digests(self, ids: Sequence[str]) -> dict[str, str]:
        """`digest` of each chunk that is there, by id."""

    @abstractmethod
    def _write(self, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], *, replace: bool) -> None:
        """Store a batch of chunks with distinct ids; with `replace` some of the ids may be there already."""

    @abstractmethod
    def _exchange(
        self, document_id: str, chunks: Sequence[Chunk], rows: Sequence[TokenEmbeddings], kept: Mapping[str, str]
    ) -> int | None:
        """Store chunks and delete what else the document has, but those with the ids of `kept`, all at once.

        Returns how many were deleted; None, having done nothing, where `kept` is no longer there with these digests.
        """

    @abstractmethod
    def _chunks(self, condition: Condition | None) -> Iterator[Chunk]:
        """All chunks that fulfil a condition, streamed."""

    @abstractmethod
    def _search(self, query: TokenEmbeddings, k: int, condition: Condition | None) -> list[Hit]:
        """The best hits by exact MaxSim of the stored rows, ties by id."""

    def _search_many(self, queries: Sequence[TokenEmbeddings], k: int, condition: Condition | None) -> list[list[Hit]]:
        """`_search` for each query; a backend that can share work between queries does it here."""
        return [self._search(query, k, condition) for query in queries]

    def _condition(self, filter: Filter | None) -> Condition | None:
        return None if filter is None else parse_filter(filter)

    def _load(self, chunks: Iterable[Chunk], batch_size: int, show_progress: bool, *, replace: bool) -> int:
        check_several("chunks", chunks, "Chunks")
        check_count("batch_size", batch_size)
        check_is("show_progress", show_progress, bool, "True or False")
        written = 0
        total = len(chunks) if isinstance(chunks, Sequence) else None
        with tqdm(total=total, desc="Indexing", unit="chunk", disable=not show_progress) as progress:
            for batch in batches(chunks, batch_size):
                written += self._load_batch(batch, replace=replace)
                progress.update(len(batch))
        return written

    def _load_batch(self, batch: Sequence[Chunk], *, replace: bool) -> int:
        by_id: dict[str, Chunk] = {}
        for chunk in batch:
            _check_chunk(chunk)
            if not replace and chunk.id in by_id and digest(by_id[chunk.id]) != digest(chunk):
                raise ValueError(_TWICE.format(id=chunk.id))
            by_id[chunk.id] = chunk
        known = self._digests(list(by_id))
        changed = [chunk for chunk in by_id.values() if known.get(chunk.id) != digest(chunk)]
        if not replace:
            refuse_changed(changed, known)
        if changed:
            self._write(changed, self._rows(changed), replace=replace)
        return len(changed)

    def _rows(self, chunks: Sequence[Chunk]) -> list[TokenEmbeddings]:
        """What the encoder makes of the chunks, apart from those that bring their rows."""
        for chunk in chunks:
            if isinstance(chunk, EncodedChunk) and chunk.fingerprint != self.encoder.fingerprint:
                raise ValueError(
                    f"chunk {chunk.id!r} was encoded with fingerprint {chunk.fingerprint[:12]}, and the index has "
                    f"{self.encoder.name!r} with {self.encoder.fingerprint[:12]}: their vectors do not compare"
                )
        texts = [chunk.text for chunk in chunks if not isinstance(chunk, EncodedChunk)]
        encoded = iter(self.encoder.encode_documents(texts) if texts else ())
        rows = [chunk.rows if isinstance(chunk, EncodedChunk) else next(encoded) for chunk in chunks]
        for chunk, one in zip(chunks, rows, strict=True):
            _check(chunk, one, self.encoder.dim)
        return rows


_TWICE = "id {id!r} is there already with another text or metadata; `upsert` replaces it, `add` never does"


def digest(chunk: Chunk) -> str:
    """Tells one content of a chunk from another: 32 hexadecimal digits of its text, metadata and document."""
    parts = [chunk.text.encode(), chunk.metadata_json().encode(), (chunk.document_id or "").encode()]
    described = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return hashlib.blake2b(described, digest_size=16).hexdigest()


def refuse_changed(chunks: Iterable[Chunk], known: Mapping[str, str]) -> None:
    """Refuse to `add` chunks that are there with another content; `known` is their `digest` by id."""
    for chunk in chunks:
        if known.get(chunk.id, expected := digest(chunk)) != expected:
            raise ValueError(_TWICE.format(id=chunk.id))


def ranked(hits: Iterable[Hit], k: int) -> list[Hit]:
    """The best `k` hits by exact score, best first; equal scores in the order of their ids."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk.id))[:k]


def manifest_of(encoder: Encoder, kind: str) -> dict[str, Any]:
    """What an index keeps about itself, as JSON: enough to refuse another encoder."""
    return {
        "format": FORMAT,
        "kind": kind,
        "model": encoder.name,
        "fingerprint": encoder.fingerprint,
        "dim": encoder.dim,
    }


def check_manifest(found: Mapping[str, Any], encoder: Encoder, kind: str, where: str) -> None:
    """Refuse an index of another kind or version, or one that another encoder filled.

    Raises
    ------
    ValueError
        Naming both models and the next step.
    """
    if found.get("kind") == kind and found.get("format") == 1:
        raise ValueError(
            f"{where} was filled by an earlier latelens, whose indexes knew no documents (format 1; this one reads "
            f"{FORMAT}): fill a new index from the same documents"
        )
    if found.get("format") != FORMAT or found.get("kind") != kind:
        raise ValueError(
            f"{where} holds an index of kind {found.get('kind')!r}, format {found.get('format')!r}; this is {kind!r}, "
            f"format {FORMAT}: open it with the class that made it, or choose another place"
        )
    if (found.get("fingerprint"), found.get("dim")) != (encoder.fingerprint, encoder.dim):
        raise ValueError(
            f"{where} was filled by {found.get('model')!r} (dimension {found.get('dim')}, fingerprint "
            f"{str(found.get('fingerprint'))[:12]}), and the encoder is {encoder.name!r} (dimension {encoder.dim}, "
            f"fingerprint {encoder.fingerprint[:12]}): their vectors do not compare; load that model with the same "
            "settings, or make a new index"
        )


def _check_chunk(chunk: object) -> None:
    check_is("a chunk to add", chunk, Chunk, "a Chunk(id, text, metadata)")


def _check_owner(chunk: Chunk, document_id: str) -> None:
    if chunk.document_id not in (None, document_id):
        raise ValueError(
            f"chunk {chunk.id!r} belongs to document {chunk.document_id!r}, not to {document_id!r}; give it an id of "
            "its own, or delete the other first"
        )


def _check(chunk: Chunk, rows: TokenEmbeddings, dim: int) -> None:
    if not len(rows) or rows.dim != dim:
        raise ValueError(
            f"chunk {chunk.id!r} was encoded into {len(rows)} rows of dimension {rows.dim}, where at least one row of "
            f"dimension {dim} is needed; leave it out, or check the encoder"
        )
