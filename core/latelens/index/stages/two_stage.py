"""`TwoStage`: candidates from anywhere, exact MaxSim over them, and a cross-encoder on top where wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder
from latelens.encoders.cache import CacheSetting, open_cache
from latelens.encoders.cached import cached
from latelens.explanation.matches import Explanation, explain
from latelens.index.arguments import check_count
from latelens.index.filters import Condition, matches, parse_filter
from latelens.index.protocol import Chunk, Filter, Hit, Index, Searcher
from latelens.index.stages.cross_encoder import CrossEncoderStage, PairScorer
from latelens.index.stages.first_stage import Candidate, FirstStage
from latelens.index.token_index import ranked
from latelens.refusals import check_texts, described


class TwoStage:
    """Searches what a first stage finds: exact MaxSim over its candidates, then a cross-encoder if there is one.

    Each hit says in `Hit.stages` what each stage gave it, such as ``{"bm25": 12.1, "cross_encoder": 0.97}``;
    `Hit.score` is MaxSim in any case, while the order is that of the last stage.

    Parameters
    ----------
    first_stage
        A `FirstStage`, such as `latelens.index.BM25` or the adapters' `first_stage(...)` around any retriever and
        vector store; or an index, whose vectors are then not encoded again if it has the same encoder.
    encoder
        From `load_encoder`.
    candidates
        How many to ask of the first stage; at least as many as a search wants.
    rows
        An index of the same encoder that holds the candidates' rows under the same ids, as `ExactIndex` or
        `LanceIndex` beside a database that finds them: they are then not encoded again. Rows of another text than the
        candidate's, which was changed in the database, are stale: the candidate is encoded.
    cache
        True keeps embeddings in memory, False encodes anew, a path keeps them in a folder too.
    cross_encoder
        A `sentence_transformers.CrossEncoder`, its name, or anything with ``predict(pairs)``; None goes without.
    read_again
        How many of the best by MaxSim the cross-encoder reads; at least as many as a search wants, so that every hit
        was read by it.
    reads
        What the cross-encoder reads of a hit, such as `RegionWords` of a page image; None its whole text.
    """

    def __init__(
        self,
        first_stage: FirstStage | Searcher,
        encoder: Encoder,
        *,
        candidates: int = 100,
        cache: CacheSetting = True,
        cross_encoder: str | PairScorer | None = None,
        read_again: int = 20,
        rows: Index | None = None,
        reads: Callable[[Hit], str] | None = None,
    ) -> None:
        if not callable(getattr(encoder, "encode_queries", None)):
            raise TypeError(f"encoder must come from load_encoder, got {described(encoder)}")
        self.encoder = encoder
        self.first_stage = _as_first_stage(first_stage)
        check_count("candidates", candidates)
        check_count("read_again", read_again)
        if reads is not None and not callable(reads):
            raise TypeError(f"reads must be a function from a Hit to a text, or None, got {described(reads)}")
        self.candidates, self.read_again = candidates, read_again
        self._reads = reads or _text
        self._rows = _checked_rows(rows, encoder)
        self._encoder = cached(encoder, open_cache(cache))
        self._cross_encoder = None if cross_encoder is None else CrossEncoderStage(cross_encoder)

    def search(self, query: str, k: int = 10, *, filter: Filter | None = None) -> list[Hit]:
        """The best `k` hits; fewer where the first stage finds fewer."""
        return self.search_many([query], k, filter=filter)[0]

    def search_many(self, queries: Sequence[str], k: int = 10, *, filter: Filter | None = None) -> list[list[Hit]]:
        """`search` for each query, encoding all of them at once."""
        condition = _check_search(queries, k, filter)
        wanted = max(self.candidates, k)
        found = [self.first_stage.candidates(query, wanted, filter) for query in queries]
        return self._rank_all(queries, found, k, condition)

    async def asearch(self, query: str, k: int = 10, *, filter: Filter | None = None) -> list[Hit]:
        """Like `search`, off the event loop; a first stage with `acandidates` is awaited."""
        return (await self.asearch_many([query], k, filter=filter))[0]

    async def asearch_many(
        self, queries: Sequence[str], k: int = 10, *, filter: Filter | None = None
    ) -> list[list[Hit]]:
        """Like `search_many`, off the event loop; a first stage with `acandidates` is awaited, all queries at once."""
        condition = _check_search(queries, k, filter)
        wanted = max(self.candidates, k)
        found = await asyncio.gather(*(self._acandidates(query, wanted, filter) for query in queries))
        return await asyncio.to_thread(self._rank_all, queries, found, k, condition)

    async def _acandidates(self, query: str, k: int, filter: Filter | None) -> Sequence[Candidate]:
        own = getattr(self.first_stage, "acandidates", None)
        if own is None:
            return await asyncio.to_thread(self.first_stage.candidates, query, k, filter)
        found: Sequence[Candidate] = await own(query, k, filter)
        return found

    def _rank_all(
        self, queries: Sequence[str], found: Sequence[Sequence[Candidate]], k: int, condition: Condition | None
    ) -> list[list[Hit]]:
        if not queries:
            return []
        kept = [_distinct(candidates, condition) for candidates in found]
        return [
            self._rank(query, candidates, k)
            for query, candidates in zip(self._encoder.encode_queries(list(queries)), kept, strict=True)
        ]

    def _rank(self, query: TokenEmbeddings, candidates: Sequence[Candidate], k: int) -> list[Hit]:
        hits = [
            Hit(candidate.chunk, explanation, _stages(candidate, self.first_stage.name, explanation))
            for candidate, explanation in zip(candidates, self._explain(query, candidates), strict=True)
        ]
        if self._cross_encoder is None:
            return ranked(hits, k)
        best = ranked(hits, max(self.read_again, k))
        scores = self._cross_encoder.scores(query.text, list(map(self._reads, best)))
        order = sorted(range(len(best)), key=lambda i: -scores[i])  # equal scores keep the order by MaxSim
        return [replace(best[i], stages={**best[i].stages, "cross_encoder": scores[i]}) for i in order[:k]]

    def _explain(self, query: TokenEmbeddings, candidates: Sequence[Candidate]) -> list[Explanation]:
        known = [candidate.explanation if self._is_ours(candidate) else None for candidate in candidates]
        missing = [candidate.chunk for candidate, have in zip(candidates, known, strict=True) if have is None]
        rows = iter(self._rows_of(missing))
        return [have or explain(query, next(rows)) for have in known]

    def _rows_of(self, chunks: Sequence[Chunk]) -> list[TokenEmbeddings]:
        """Stored rows where they are of the chunk's text; the others are encoded."""
        stored = [None for _ in chunks] if self._rows is None else self._rows.rows([chunk.id for chunk in chunks])
        pairs = zip(chunks, stored, strict=True)
        fresh = [None if rows is None or rows.text != chunk.text else rows for chunk, rows in pairs]
        texts = [chunk.text for chunk, rows in zip(chunks, fresh, strict=True) if rows is None]
        encoded = iter(self._encoder.encode_documents(texts) if texts else [])
        return [next(encoded) if rows is None else rows for rows in fresh]

    def _is_ours(self, candidate: Candidate) -> bool:
        first = self.first_stage
        return candidate.explanation is not None and isinstance(first, _Searched) and first.shares(self.encoder)


def _text(hit: Hit) -> str:
    return hit.chunk.text


def _checked_rows(rows: Index | None, encoder: Encoder) -> Index | None:
    if rows is not None and not isinstance(rows, Index):
        raise TypeError(f"rows must be an index of latelens.index, got {described(rows)}")
    if rows is not None and rows.encoder.fingerprint != encoder.fingerprint:
        raise ValueError(
            f"rows are of {rows.encoder.name!r} (fingerprint {rows.encoder.fingerprint[:12]}), and the encoder is "
            f"{encoder.name!r} (fingerprint {encoder.fingerprint[:12]}): their vectors do not compare"
        )
    return rows


class _Searched:
    """An index as a first stage, under its encoder's name."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher

    @property
    def name(self) -> str:
        return self._searcher.encoder.name

    def shares(self, encoder: Encoder) -> bool:
        return self._searcher.encoder.fingerprint == encoder.fingerprint

    def candidates(self, query: str, k: int, filter: Filter | None) -> list[Candidate]:
        hits = self._searcher.search(query, k, filter=filter)
        return [Candidate(hit.chunk, hit.score, hit.stages, hit.explanation) for hit in hits]


def _as_first_stage(given: FirstStage | Searcher) -> FirstStage:
    if isinstance(given, Searcher):
        return _Searched(given)
    if isinstance(given, FirstStage):
        return given
    raise TypeError(
        f"first_stage must be an index or have `name` and `candidates(query, k, filter)`, got {type(given).__name__}; "
        "wrap a retriever or a vector store with first_stage(...) of langchain_latelens or llama_index_latelens"
    )


def _distinct(candidates: Sequence[Candidate], condition: Condition | None) -> list[Candidate]:
    """The first candidate of each id; a first stage that knows no filters is held to them here."""
    first: dict[str, Candidate] = {}
    for candidate in candidates:
        if condition is None or matches(condition, candidate.chunk.fields()):
            first.setdefault(candidate.chunk.id, candidate)
    return list(first.values())


def _stages(candidate: Candidate, name: str, explanation: Explanation) -> dict[str, float]:
    # The score of an index with the same encoder is the hit's score: it is not said twice.
    if candidate.score is None or candidate.explanation is explanation:
        return dict(candidate.stages)
    return {**candidate.stages, name: candidate.score}


def _check_search(queries: Sequence[str], k: int, filter: Filter | None) -> Condition | None:
    check_texts("queries", queries)
    check_count("k", k)
    return None if filter is None else parse_filter(filter)
