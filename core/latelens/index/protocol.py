"""What every index stores and gives back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.explanation.matches import Explanation
from latelens.refusals import check_is, described

Filter = Mapping[str, Any]
# The metadata of a page image name the digest of its pixels under this key, in whatever index: two scans without a text
# layer are two contents, and a filter tells pages from texts.
PAGE_IMAGE = "page_image"


@dataclass(frozen=True)
class Chunk:
    """A text to retrieve, under an id of the caller's.

    Attributes
    ----------
    document_id
        Of the document that the text was cut from, for `replace_document` and `delete_document`; None where it
        belongs to none.

    Raises
    ------
    TypeError, ValueError
        If an id is empty, a part is of another type, or anything cannot be stored as UTF-8 JSON.
    """

    id: str
    text: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    document_id: str | None = None

    def __post_init__(self) -> None:
        for name in ("id", "text", "document_id"):
            value = getattr(self, name)
            if not isinstance(value, str) and not (name == "document_id" and value is None):
                raise TypeError(f"a chunk's {name} must be a str, got {described(value)}")
        if not self.id:
            raise ValueError(f"a chunk's id must not be empty; its text begins {self.text[:40]!r}")
        if self.document_id == "":
            raise ValueError(f"the document_id of chunk {self.id!r} must not be empty; None says that it has none")
        if not isinstance(self.metadata, Mapping):
            raise TypeError(f"the metadata of chunk {self.id!r} must be a dict, got {described(self.metadata)}")
        try:
            f"{self.id}{self.text}{self.document_id}{self.metadata_json()}".encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"chunk {self.id!r} holds {error.object[error.start]!r}, half a surrogate pair, which no store keeps; "
                'repair it with text.encode("utf-8", "replace").decode()'
            ) from error

    def fields(self) -> dict[str, Any]:
        """What filters look at: the metadata, ``$id``, and ``$document_id`` where there is one."""
        return fields_of(self.metadata, self.id, self.document_id)

    def metadata_json(self) -> str:
        """The metadata as JSON, keys sorted."""
        try:
            return json.dumps(dict(self.metadata), ensure_ascii=False, allow_nan=False, sort_keys=True)
        except (TypeError, ValueError, RecursionError) as error:
            wrong = {key: value for key, value in self.metadata.items() if not _is_json(key, value)} or self.metadata
            keys, values = ", ".join(map(repr, wrong)), ", ".join(map(described, wrong.values()))
            raise ValueError(
                f"the metadata under {keys} is no JSON (got {values}), of chunk {self.id!r}: keep strings, finite "
                "numbers, booleans, None, lists and dicts with str keys, and write a date or an id as str(value), a "
                "number of numpy's as value.item()"
            ) from error


def _is_json(key: object, value: object) -> bool:
    try:
        json.dumps({key: value}, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return False
    return isinstance(key, str)


def fields_of(metadata: Mapping[str, Any], id: str, document_id: str | None) -> dict[str, Any]:
    """`Chunk.fields` of its parts."""
    fields = {**metadata, "$id": id, "$document_id": document_id}
    if document_id is None:
        del fields["$document_id"]  # so that ``$exists`` tells
    return fields


@dataclass(frozen=True)
class EncodedChunk(Chunk):
    """A chunk with its rows, encoded elsewhere, as on a cluster: `add` and `upsert` then need not encode it.

    A page image is told from another by the digest of its pixels, which joins the metadata as ``page_image``.

    Attributes
    ----------
    rows
        What `encode_documents` returned for the text, or `encode_pages` for a page with this text.
    fingerprint
        Of the encoder that returned it; an index with another encoder refuses the chunk.

    Raises
    ------
    ValueError
        If the rows are those of another text, or of another image than the metadata name.
    """

    rows: TokenEmbeddings = field(kw_only=True)
    fingerprint: str = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_is(f"the rows of chunk {self.id!r}", self.rows, TokenEmbeddings, "what encode_documents returned")
        if self.rows.text != self.text:
            raise ValueError(
                f"chunk {self.id!r} is {self.text[:40]!r}, and its rows are of {self.rows.text[:40]!r}; encode the "
                "chunk's own text"
            )
        if image := self.rows.page.image if self.rows.page is not None else "":
            if self.metadata.get(PAGE_IMAGE, image) != image:
                raise ValueError(
                    f"chunk {self.id!r} is of the image {self.metadata[PAGE_IMAGE]!r:.80}, and its rows are of "
                    f"{image!r}; encode the page's own image"
                )
            object.__setattr__(self, "metadata", {**self.metadata, PAGE_IMAGE: image})


@dataclass(frozen=True, eq=False)
class Hit:
    """A chunk that a search found, with every match behind its score.

    Attributes
    ----------
    chunk
        What was stored.
    explanation
        Exact MaxSim of the stored rows, whatever the index searched with.
    stages
        Scores of the stages that found the chunk, in their order, such as ``{"bm25": 12.1}`` or
        ``{"plaid": 17.9}`` for an approximate search; empty where nothing came before MaxSim.
    """

    chunk: Chunk
    explanation: Explanation
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """MaxSim: the sum of the explanation's matches."""
        return self.explanation.score


@runtime_checkable
class Searcher(Protocol):
    """Finds chunks for queries: an index, or stages put together by `TwoStage`."""

    @property
    def encoder(self) -> Encoder: ...  # noqa: D102

    def search(self, query: str, k: int = 10, *, filter: Filter | None = None) -> list[Hit]:
        """The best `k` chunks, best first; fewer where there are fewer."""
        ...

    def search_many(self, queries: Sequence[str], k: int = 10, *, filter: Filter | None = None) -> list[list[Hit]]:
        """`search` for each query, encoding all of them at once."""
        ...


@runtime_checkable
class Index(Searcher, Protocol):
    """A store of chunks that is searched by late interaction. `TokenIndex` implements what is common."""

    def add(self, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> int:
        """Add chunks with new ids; those that are already stored, unchanged, are skipped."""
        ...

    def upsert(self, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> int:
        """Add chunks, replacing those with the same ids."""
        ...

    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks; unknown ids are skipped."""
        ...

    def get(self, ids: Sequence[str]) -> list[Chunk | None]:
        """The chunks with these ids, None where there is none."""
        ...

    def ids(self, filter: Filter | None = None) -> Iterator[str]:
        """The ids of all chunks, or of those that fulfil a filter, in no particular order."""
        ...

    def chunks(self, filter: Filter | None = None) -> Iterator[Chunk]:
        """All chunks, or those that fulfil a filter, in no particular order; streamed."""
        ...

    def replace_document(self, document_id: str, chunks: Iterable[Chunk]) -> int:
        """Put chunks in the place of all that a document had; nobody ever sees some of both."""
        ...

    def delete_document(self, document_id: str) -> int:
        """Delete all chunks of a document and return how many there were."""
        ...

    def rows(self, ids: Sequence[str]) -> list[TokenEmbeddings | None]:
        """The stored rows of the chunks with these ids, None where there are none."""
        ...

    def count(self) -> int:
        """How many chunks there are."""
        ...

    def persist(self) -> None:
        """Put everything acknowledged on disk; does nothing where every write already is."""
        ...
