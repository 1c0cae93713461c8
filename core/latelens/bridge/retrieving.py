"""`retrieve`: the one call that both frameworks' retrievers make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from latelens.bridge.arguments import check_name, check_names, listed
from latelens.bridge.metadata import to_metadata
from latelens.bridge.parents import (
    MAX_CHUNKS,
    MAX_SPANS,
    PARENT_KEY,
    FindParents,
    Parent,
    group_by_parent,
    join,
    place_of,
)
from latelens.encoders import Encoder
from latelens.explanation.evidence import find_evidence
from latelens.explanation.matches import Explanation, explain
from latelens.explanation.results import ExplainMode, Ranked
from latelens.index.filters import parse_filter
from latelens.index.protocol import Chunk, Filter, Hit, Index, Searcher
from latelens.index.stages.region_words import page_of
from latelens.pages.files import PageFiles
from latelens.ranking import check_options, rank_explained, rerank
from latelens.refusals import check_is, described

# Chunks to look at for each whole document that is wanted: at first, and at most where few documents hold them all.
_FIRST, _MOST = 4, 64


# What a retriever may be asked otherwise for one call.
ASKED = ("explain", "filter", "k", "min_relevance", "min_score")


@dataclass(frozen=True)
class Wanted:
    """What a retriever was asked for; checked when it is made.

    Attributes
    ----------
    k
        How many results to return at most.
    explain, min_score, min_relevance
        As in `rerank`, asked of the `k` that were found.
    filter
        As `parse_filter` reads it.
    find_parents
        Gives whole documents by their ids; None returns chunks.
    parent_key
        Which key of a chunk's metadata names its document.
    files
        Where the pages lie whose regions get their words; None leaves them out.
    """

    k: int = 5
    explain: ExplainMode = "evidence"
    min_score: float | None = None
    min_relevance: float | None = None
    filter: Filter | None = None
    find_parents: FindParents | None = None
    parent_key: str = PARENT_KEY
    files: PageFiles | None = None

    def asked(self, asked: Mapping[str, Any]) -> Wanted:
        """The same with arguments of one call; `k`, `filter` and `explain` of None stay as they were set.

        Raises
        ------
        TypeError
            If an argument is none of `ASKED`.
        """
        check_names(asked, ASKED)
        keep = {name for name in ("k", "filter", "explain") if asked.get(name) is None}
        return replace(self, **{name: value for name, value in asked.items() if name not in keep})

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"the number of results must be an int of at least 1, got {self.k!r}")
        check_options(top_n=None, explain=self.explain, min_score=self.min_score, min_relevance=self.min_relevance)
        check_name("parent_key", self.parent_key)
        check_is("files", self.files, (PageFiles, type(None)), "latelens.pages.PageFiles([folder]) or None")
        if self.filter is not None:
            parse_filter(self.filter)

    def first(self) -> int:
        """How many chunks to search for."""
        return self.k if self.find_parents is None else _FIRST * self.k

    def more(self, found: Sequence[Sequence[Hit]], asked: int) -> int:
        """How many chunks to search for again, 0 if the results suffice: a few documents may hold all the best."""
        if self.find_parents is None or asked >= _MOST * self.k:
            return 0
        full = [hits for hits in found if len(hits) == asked]
        kinds = [{place_of(hit.chunk.metadata, self.parent_key)[0] or hit.chunk.id for hit in hits} for hits in full]
        return 4 * asked if any(len(kind) < self.k for kind in kinds) else 0


@dataclass(frozen=True, eq=False)
class Retrieved:
    """A chunk, or the whole document that it stands for, and what travels with it.

    Attributes
    ----------
    chunk
        What was found; of a whole document, the best chunk.
    score
        MaxSim of `chunk`; of a whole document, of all that was found in it.
    metadata
        What stands under our key; None with ``explain="off"``.
    parent
        The whole document, where asked for; positions in `metadata` are then its characters.
    """

    chunk: Chunk
    score: float
    metadata: dict[str, Any] | None
    parent: Parent | None = None


def retrieve(searcher: Searcher, queries: Sequence[str], wanted: Wanted) -> list[list[Retrieved]]:
    """Search for each query and describe what was found, best first; all queries are encoded at once."""
    asked = wanted.first()
    _check_queries(queries)
    found = searcher.search_many(queries, asked, filter=wanted.filter)
    while asked := wanted.more(found, asked):
        found = searcher.search_many(queries, asked, filter=wanted.filter)
    return _describe_all(searcher, queries, found, wanted)


async def aretrieve(searcher: Searcher, queries: Sequence[str], wanted: Wanted) -> list[list[Retrieved]]:
    """Like `retrieve`, off the event loop; a searcher with a coroutine `asearch_many` is awaited."""
    asked = wanted.first()
    _check_queries(queries)
    found = await _asearch(searcher, queries, asked, wanted)
    while asked := wanted.more(found, asked):
        found = await _asearch(searcher, queries, asked, wanted)
    return await asyncio.to_thread(_describe_all, searcher, queries, found, wanted)


def explain_one(searcher: Searcher, query: str, text: str, id: str | None) -> Explanation:
    """Every match between a query and one text or page image; rows that are stored under the id are not made again."""
    if id and isinstance(searcher, Index):
        (rows,) = searcher.rows([id])
        if rows is not None and rows.text == text:
            return explain(searcher.encoder.encode_queries([query])[0], rows)
    return rerank(query, [text], searcher.encoder, explain="off")[0].explanation


def put(index: Searcher, chunks: Iterable[Chunk], *, batch_size: int = 256, show_progress: bool = False) -> list[str]:
    """Store chunks, replacing those with the same ids, and return the ids.

    Raises
    ------
    TypeError
        If nothing can be stored there.
    ValueError
        If two of the chunks have one id and another content.
    """
    store = _writable(index)
    by_id: dict[str, Chunk] = {}
    for chunk in chunks:
        if by_id.setdefault(chunk.id, chunk) != chunk:
            raise ValueError(f"two different chunks have the id {chunk.id!r}; give each its own, with ids= or on it")
    store.upsert(list(by_id.values()), batch_size=batch_size, show_progress=show_progress)
    return list(by_id)


def put_documents(
    index: Searcher, documents: Mapping[str, Sequence[Chunk]], *, show_progress: bool = False
) -> list[str]:
    """Store the passages of documents, in the place of those that the documents had, and return their ids."""
    store = _writable(index)
    known = {chunk.document_id or "" for chunk in store.chunks({"$document_id": {"$in": list(documents)}})}
    new = (chunk for id, chunks in documents.items() if id not in known for chunk in chunks)
    put(store, new, show_progress=show_progress)
    for id in documents:
        if id in known:
            store.replace_document(id, documents[id])
    return [chunk.id for chunks in documents.values() for chunk in chunks]


def remove(index: Searcher, ids: Sequence[str]) -> int:
    """Delete chunks and return how many there were."""
    return _writable(index).delete(listed("ids", ids, str))


def check_searcher(searcher: object) -> None:
    """Refuse what cannot be searched."""
    if not isinstance(searcher, Searcher):
        raise TypeError(
            f"expected an index or a TwoStage, got {described(searcher)}; latelens.index has "
            "them, and from_documents, from_texts or from_nodes make one"
        )


def _check_queries(queries: Sequence[str]) -> None:
    for query in queries:
        if not isinstance(query, str):
            raise TypeError(f"a query must be a str, got {described(query)}")


def _writable(searcher: Searcher) -> Index:
    if not isinstance(searcher, Index):
        raise TypeError(
            f"{type(searcher).__name__} searches what others store: add to its first stage, and delete there"
        )
    return searcher


async def _asearch(searcher: Searcher, queries: Sequence[str], k: int, wanted: Wanted) -> list[list[Hit]]:
    own = getattr(searcher, "asearch_many", None)
    if own is None:
        return await asyncio.to_thread(searcher.search_many, queries, k, filter=wanted.filter)
    found: list[list[Hit]] = await own(queries, k, filter=wanted.filter)
    return found


def _describe_all(
    searcher: Searcher, queries: Sequence[str], found: Sequence[Sequence[Hit]], wanted: Wanted
) -> list[list[Retrieved]]:
    asked = [_Question(query, searcher.encoder, wanted) for query in queries]
    if wanted.find_parents is None:
        return [_chunks(question, hits) for question, hits in zip(asked, found, strict=True)]
    return [_documents(question, hits, wanted.find_parents) for question, hits in zip(asked, found, strict=True)]


@dataclass(frozen=True)
class _Question:
    """A query, and what is to be said of what was found for it."""

    query: str
    encoder: Encoder
    wanted: Wanted

    def rank(self, hits: Sequence[Hit], explain: ExplainMode) -> list[Ranked]:
        """The hits that are good enough, in the searcher's order, which may be a cross-encoder's."""
        return rank_explained(
            [hit.explanation for hit in hits],
            range(len(hits)),
            self.encoder,
            explain=explain,
            min_score=self.wanted.min_score,
            min_relevance=self.wanted.min_relevance,
            pages=[page_of(hit, self.wanted.files) if explain != "off" else None for hit in hits],
        )

    def place(self, chunk: Chunk) -> int | None:
        return place_of(chunk.metadata, self.wanted.parent_key)[1]

    def describe(self, hit: Hit, ranked: Ranked, rank: int, source_start: int | None) -> dict[str, Any] | None:
        if self.wanted.explain == "off":
            return None
        return to_metadata(
            ranked,
            query=self.query,
            model=self.encoder.name,
            rank=rank,
            retrieval_score=next(iter(hit.stages.values()), None),
            source_start=source_start,
            stages=hit.stages,
            tokens=self.wanted.explain == "tokens",
            page=page_of(hit, self.wanted.files),
        )


def _chunks(question: _Question, hits: Sequence[Hit]) -> list[Retrieved]:
    results = []
    for rank, ranked in enumerate(question.rank(hits, question.wanted.explain), start=1):
        hit = hits[ranked.index]
        metadata = question.describe(hit, ranked, rank, question.place(hit.chunk))
        results.append(Retrieved(hit.chunk, ranked.score, metadata))
    return results


def _documents(question: _Question, hits: Sequence[Hit], find_parents: FindParents) -> list[Retrieved]:
    ranking = question.rank(hits, "off")
    chunks = [hits[ranked.index].chunk for ranked in ranking]
    groups = group_by_parent(chunks, find_parents, question.wanted.parent_key)[: question.wanted.k]
    found = [
        (parent, hits[ranking[members[0]].index], _whole(question, parent, [ranking[i] for i in members], hits))
        for parent, members in groups
    ]
    if all(one.score >= other.score for one, other in pairwise(hits)):  # no cross-encoder decided
        found.sort(key=lambda each: -each[2].score)
    results = []
    for rank, (parent, hit, ranked) in enumerate(found, start=1):
        metadata = question.describe(hit, ranked, rank, question.place(hit.chunk) if parent is None else 0)
        results.append(Retrieved(hit.chunk, ranked.score, metadata, parent))
    return results


def _whole(question: _Question, parent: Parent | None, members: Sequence[Ranked], hits: Sequence[Hit]) -> Ranked:
    """A document, ranked by the rows of its best chunks; what answers in one of them answers in it."""
    best = members[: MAX_CHUNKS if parent else 1]
    if parent is None:
        explanation, sentences = best[0].explanation, None
    else:
        places = [question.place(hits[ranked.index].chunk) for ranked in best]
        parts = [(ranked.explanation, start) for ranked, start in zip(best, places, strict=True)]
        explanation, sentences = join(parent.text, parts)
    relevance = None if best[0].relevance is None else max(ranked.relevance or 0.0 for ranked in best)
    if question.wanted.explain == "off":
        return Ranked(0, explanation.score, explanation, (), relevance)
    evidence = find_evidence(explanation, max_spans=MAX_SPANS if parent else 3, sentences=sentences)
    return Ranked(0, explanation.score, explanation, evidence, relevance)
