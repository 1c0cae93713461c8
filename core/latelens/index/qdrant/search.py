"""Searching a collection: the server lists candidates, and their stored rows score them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from qdrant_client import models

from latelens.embeddings import TokenEmbeddings
from latelens.index.batches import batches
from latelens.index.filters import Condition, matches
from latelens.index.protocol import Hit
from latelens.index.qdrant.collection import QdrantCollection
from latelens.index.qdrant.filters import Compiled, compile_filter
from latelens.index.qdrant.journal import Journal
from latelens.index.qdrant.points import FETCHED, FILTER_FIELDS, HIT_FIELDS, filtered_by, hit_of
from latelens.index.qdrant.storage import POOLED, ROWS, QdrantStorage
from latelens.index.scoring import TOLERANCE
from latelens.index.token_index import ranked
from latelens.shortlist import may_be_best

_FILTER_IDS = 50_000  # in one filter
# Candidates beyond k: what the server's float32 sums put in another order than exact ones, and equal scores.
_MARGIN, _TIES = 8, 4096
# Candidates of small rows for one of whole rows. Of the true best 10 among 572 paragraphs of SQuAD (offline model),
# four times as many candidates hold .999 with `pool` 2 or 3, .995 with 4, and all of them with 8 or 1 bit.
_OVERSAMPLING = 8


@dataclass(frozen=True)
class QdrantSearch:
    """Finds the best chunks of a collection that is stored in a known way."""

    points: QdrantCollection
    storage: QdrantStorage

    def find(self, query: TokenEmbeddings, k: int, condition: Condition | None, journal: Journal) -> list[Hit]:
        """The best `k` hits that fulfil the condition, of what counts."""
        filters = self._filters(condition, journal)
        points = [point for allowed in filters for point in self._candidates(query, k, allowed)]
        hits: list[Hit] = []
        for some in batches(_best(points, k), FETCHED):
            records = self.points.fetch(some, HIT_FIELDS, [ROWS])
            hits += [hit_of(query, record) for record in records]
        # A chunk may have been replaced since its rows were compared.
        return ranked((hit for hit in hits if condition is None or matches(condition, hit.chunk.fields())), k)

    def _filters(self, condition: Condition | None, journal: Journal) -> Iterator[models.Filter | None]:
        """Filters that together let through what a condition does, of what counts."""
        compiled = Compiled(None, exact=True) if condition is None else compile_filter(condition)
        if condition is None or compiled.exact:
            yield journal.visible(compiled.filter)
            return
        records = self.points.scroll(journal.visible(compiled.filter), FILTER_FIELDS)
        found = (record for record in records if "id" in (record.payload or {}))  # no notes
        allowed = (record.id for record in found if matches(condition, filtered_by(record)))
        for ids in batches(allowed, _FILTER_IDS):
            yield models.Filter(must=[models.HasIdCondition(has_id=ids)])

    def _candidates(self, query: TokenEmbeddings, k: int, allowed: models.Filter | None) -> list[models.ScoredPoint]:
        """At least the best `k` points by the server's scores, and those that it gives the same score as the last."""
        rows, limit = query.vectors.tolist(), k + _MARGIN
        while True:
            points = self.points.query(**self._asked(rows, limit, allowed))
            if len(points) < limit or points[-1].score < _floor(points[k - 1].score) or limit >= k + _TIES:
                return points
            limit = min(4 * limit, k + _TIES)

    def _asked(self, rows: list[list[float]], limit: int, allowed: models.Filter | None) -> dict[str, Any]:
        quantized = None
        if self.storage.quantization is not None and not self.points.local:  # local mode compares all, and warns
            oversampled = models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLING)
            quantized = models.SearchParams(quantization=oversampled)
        asked: dict[str, Any] = {"query": rows, "using": ROWS, "limit": limit, "with_payload": ["id"]}
        if self.storage.pool == 1:
            return {**asked, "query_filter": allowed, "search_params": quantized}
        many = _OVERSAMPLING * limit
        first = models.Prefetch(query=rows, using=POOLED, limit=many, filter=allowed, params=quantized)
        return {**asked, "prefetch": [first]}


def _floor(score: float) -> float:
    return score - TOLERANCE * max(1.0, abs(score))


def _best(points: Sequence[models.ScoredPoint], k: int) -> list[Any]:
    """Ids of the points among which the best `k` are: those, and some that nearly or exactly tie with the last."""
    best = sorted(points, key=lambda point: (-point.score, (point.payload or {}).get("id", "")))
    scores = np.array([point.score for point in best])
    error = TOLERANCE * max(1.0, abs(scores[k - 1])) / 2 if len(best) > k else 0.0
    return [best[i].id for i in may_be_best(scores, k, error)[: k + 64].tolist()]
