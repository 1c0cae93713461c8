"""Between LangChain's documents and the chunks of an index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from langchain_core.documents import Document
from langchain_core.stores import BaseStore

from langchain_latelens.evidence import SCORE_KEY, strip_evidence
from latelens.bridge.arguments import check_type, listed, streamed
from latelens.bridge.candidates import content_id
from latelens.bridge.metadata import marked
from latelens.bridge.parents import (
    NODE_KEY,
    PARENT_KEY,
    START_KEY,
    WHOLE_KEY,
    FindParents,
    Parent,
    keep_whole,
    passages_of,
    place_of,
)
from latelens.bridge.retrieving import Retrieved
from latelens.index.protocol import Chunk

# What to do with what is no document.
WRAP = "write Document(page_content=text)"

Parents = Mapping[str, Document] | BaseStore[str, Document]


def to_chunks(documents: Iterable[Document], *, split: bool = False) -> Iterator[Chunk]:
    """Documents as chunks, one at a time, for `index.add(to_chunks(documents))` or `BM25(to_chunks(documents))`.

    A document without an id gets one made of its text and metadata; one without ``"parent_id"`` in its metadata is its
    own document. `split` cuts documents into passages, with the document's id under ``"parent_id"`` and the place of
    each passage under ``"start_index"``.
    """
    for document in streamed("documents", documents, Document, wrap=WRAP):
        named = with_id(document, None)
        id, text = cast(str, named.id), named.page_content
        if not split:
            yield Chunk(id, text, named.metadata, place_of(named.metadata)[0] or id)
            continue
        for passage, start, end in passages_of(id, text):
            yield Chunk(passage, text[start:end], {**named.metadata, PARENT_KEY: id, START_KEY: start}, id)


def passages(documents: Iterable[Document], *, whole: bool) -> dict[str, list[Chunk]]:
    """The passages of each document, by its id; with `whole`, the first keeps the document."""
    found: dict[str, list[Chunk]] = {}
    for document in documents:
        chunks = to_chunks([document], split=True)
        (given,) = to_chunks([document])
        if found.setdefault(given.id, kept := list(keep_whole(chunks, given) if whole else chunks)) != kept:
            raise ValueError(f"two different documents have the id {given.id!r}; give each its own, with ids= or on it")
    return found


def documents_of(texts: Iterable[str], metadatas: Iterable[dict[str, Any]] | None) -> list[Document]:
    """Documents of texts, and of as many metadata."""
    given = listed("texts", texts, str, wrap="from_documents and add_documents take Documents")
    each: list[Any] = [{} for _ in given] if metadatas is None else listed("metadatas", metadatas, dict)
    if len(each) != len(given):
        raise ValueError(f"metadatas must be as many as the texts, got {len(each)} for {len(given)}")
    return [Document(text, metadata=metadata) for text, metadata in zip(given, each, strict=True)]


def text_of(document: Document | str) -> str:
    """The text of a document, or a text itself."""
    check_type("document", document, (Document, str))
    return document if isinstance(document, str) else document.page_content


def with_id(document: Document, id: str | None) -> Document:
    """A copy without our metadata: with the given id, else the document's own, else one of its content."""
    (plain,) = strip_evidence([document])
    named = id or plain.id or content_id(plain.page_content, plain.metadata)
    return plain.model_copy(update={"id": named})


def with_ids(documents: Iterable[Document], ids: Iterable[str] | None) -> list[Document]:
    """`with_id` of each document."""
    documents = listed("documents", documents, Document, wrap=WRAP)
    given: list[Any] = [None for _ in documents] if ids is None else listed("ids", ids, str)
    if len(given) != len(documents):
        raise ValueError(f"ids must be as many as the documents, got {len(given)} for {len(documents)}")
    return [with_id(document, id) for document, id in zip(documents, given, strict=True)]


def document_of(found: Retrieved) -> Document:
    """What was retrieved as a new document: the chunk, or the whole document that it stands for."""
    if found.parent is not None:
        parent: Document = found.parent.source
        return Document(parent.page_content, id=found.parent.id, metadata=_marked(parent.metadata, found))
    plain = plain_document(found.chunk)
    return plain.model_copy(update={"metadata": _marked(plain.metadata, found)})


def plain_document(chunk: Chunk) -> Document:
    """The document that a chunk was made of."""
    metadata = {key: value for key, value in chunk.metadata.items() if key not in (NODE_KEY, WHOLE_KEY)}
    start = place_of(chunk.metadata)[1]
    if NODE_KEY in chunk.metadata and start is not None:  # stored by LlamaIndex
        metadata[START_KEY] = start
    return Document(chunk.text, id=chunk.id, metadata=metadata)


def parent_finder(parents: Parents) -> FindParents:
    """Look up whole documents in a mapping or a store, such as `ParentDocumentRetriever`'s."""

    def find(ids: Sequence[str]) -> dict[str, Parent]:
        many = parents.mget(ids) if isinstance(parents, BaseStore) else [parents.get(id) for id in ids]
        return {
            id: Parent(id, document.page_content, document)
            for id, document in zip(ids, many, strict=True)
            if document is not None
        }

    return find


def _marked(metadata: Mapping[str, Any], found: Retrieved) -> dict[str, Any]:
    return {**marked(metadata, found.metadata), SCORE_KEY: found.score}
