"""How a `LanceIndex` searches: candidates from LanceDB's indexes, all loose rows, and exact scores for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from latelens.embeddings import TokenEmbeddings
from latelens.index.filters import Condition
from latelens.index.lance.filters import MetadataRows
from latelens.index.lance.rows import Best, LooseRows, fetched
from latelens.index.lance.table import RowIds, Snapshot, among
from latelens.index.protocol import Hit

# How many to score exactly, where nobody says: so many of so many chunks, and more in larger tables.
_CANDIDATES, _CHUNKS = 100, 20_000
# Rows that the index lists for each that is scored exactly: its order is rough, but the best are among the first.
_LISTED = 5
# Under a filter, so many times the candidates are still scored one and all: 2,000 of 20,000 chunks took 190 ms of
# processor time, telling LanceDB their ids 290.
_FEW = 20
# The share of the table from which on it is faster to list more and drop what the filter does not let through.
_MANY = 0.1
_LANCE, _BM25 = "lance", "bm25"


@dataclass(frozen=True, eq=False)
class Allowed:
    """The rows that a filter lets through, sorted, and SQL that says so if the filter itself was SQL."""

    snapshot: Snapshot
    ids: RowIds
    sql: str | None

    @cached_property
    def where(self) -> str | None:
        """What to tell LanceDB; None lets every row through."""
        if self.sql is not None:
            return self.sql
        others = np.setdiff1d(self.snapshot.ids, self.ids, assume_unique=True)
        if not len(others):
            return None
        return f"NOT {among('_rowid', others)}" if len(others) < len(self.ids) else among("_rowid", self.ids)


@dataclass(frozen=True, eq=False)
class Search:
    """What a search needs beside the table; `candidates` and `probes` are those of `LanceIndex`."""

    candidates: int | None
    probes: int
    words: bool
    loose: LooseRows = field(default_factory=LooseRows)
    metadata: MetadataRows = field(default_factory=MetadataRows)

    def find(
        self, snapshot: Snapshot, queries: Sequence[TokenEmbeddings], k: int, condition: Condition | str | None
    ) -> list[list[Hit]]:
        """The best hits for each query."""
        allowed = None if condition is None else self.allowed(snapshot, condition)
        if allowed is not None and not len(allowed.ids):
            return [[] for _ in queries]
        return [self._best(snapshot, query, k, allowed) for query in queries]

    def allowed(self, snapshot: Snapshot, condition: Condition | str) -> Allowed:
        """The rows that fulfil a condition or some SQL."""
        if not isinstance(condition, str):
            return Allowed(snapshot, self.metadata.matching(snapshot, condition), None)
        try:
            return Allowed(snapshot, snapshot.matching(condition), condition)
        except (ValueError, RuntimeError) as error:
            raise ValueError(
                f"the SQL filter {condition!r} cannot be used ({error}); its columns are id, document_id, text and "
                "metadata, and a key of the metadata is read by json_get_string(metadata, 'key') and its like; a dict "
                "filter needs none"
            ) from error

    def _best(self, snapshot: Snapshot, query: TokenEmbeddings, k: int, allowed: Allowed | None) -> list[Hit]:
        best = Best(query, k)
        for part in self.loose.at(snapshot):
            best.look_at(part if allowed is None else part.among(allowed.ids))
        stages: dict[str, dict[int, float]] = {}
        rows = np.empty(0, dtype=np.uint64)
        if snapshot.covered is not None:
            rows, stages[_LANCE] = self._nearest(snapshot, query, k, allowed)
        if self.words:
            where = None if allowed is None else allowed.where
            found, scores = snapshot.with_words(query.text, self._wanted(snapshot, k), where)
            stages[_BM25] = dict(zip(found.tolist(), scores, strict=True))
            rows = np.union1d(rows, np.setdiff1d(found, snapshot.loose))
        for part in fetched(snapshot, rows):
            best.look_at(part)
        return best.hits(snapshot, stages)

    def _nearest(
        self, snapshot: Snapshot, query: TokenEmbeddings, k: int, allowed: Allowed | None
    ) -> tuple[RowIds, dict[int, float]]:
        """Rows to score exactly among those that the index knows, and what it takes their scores for."""
        wanted = self._wanted(snapshot, k)
        pool = None if allowed is None else np.setdiff1d(allowed.ids, snapshot.loose)
        if (snapshot.indexed if pool is None else len(pool) / _FEW) > wanted:
            found, scores = self._listed(snapshot, query, wanted, allowed)
            known = ~np.isin(found, snapshot.loose) if pool is None else np.isin(found, pool)
            if known.sum() >= k:
                return found[known][:wanted], dict(zip(found.tolist(), scores, strict=True))
        # So few are allowed or found, or so many wanted, that all are looked at.
        return np.setdiff1d(snapshot.ids, snapshot.loose) if pool is None else pool, {}

    def _wanted(self, snapshot: Snapshot, k: int) -> int:
        usual = round(_CANDIDATES * max(1.0, snapshot.indexed / _CHUNKS) ** 0.5)
        return max(usual if self.candidates is None else self.candidates, 2 * k)

    def _listed(
        self, snapshot: Snapshot, query: TokenEmbeddings, wanted: int, allowed: Allowed | None
    ) -> tuple[RowIds, list[float]]:
        limit = _LISTED * wanted
        if allowed is None:
            return snapshot.nearest(query, limit, self.probes, None)
        share = len(allowed.ids) / len(snapshot.ids)
        if allowed.sql is None and share > _MANY:
            return snapshot.nearest(query, round(limit / share), self.probes, None)
        return snapshot.nearest(query, limit, self.probes, allowed.where)
