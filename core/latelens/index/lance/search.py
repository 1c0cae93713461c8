"""How a `LanceIndex` searches: candidates from its lists and LanceDB's words, all loose rows, exact scores for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from latelens.embeddings import TokenEmbeddings
from latelens.index.filters import Condition
from latelens.index.lance.filters import MetadataRows
from latelens.index.lance.lists import best
from latelens.index.lance.rows import Best, LooseRows, fetched
from latelens.index.lance.table import RowIds, Snapshot, among
from latelens.index.protocol import Hit

# How many chunks the lists choose, where nobody says: so many of so many, and more in larger tables.
_CANDIDATES, _CHUNKS = 1000, 20_000
# Under a filter, so many times the candidates are still scored one and all.
_FEW = 4
_GROWTH = 0.25
# How many to take from BM25.
_WORDS = 100
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
        if snapshot.lists is not None:
            rows, stages[_LANCE] = self._nearest(snapshot, query, k, allowed)
        if self.words:
            where = None if allowed is None else allowed.where
            found, scores = snapshot.with_words(query.text, self._words_wanted(k), where)
            stages[_BM25] = dict(zip(found.tolist(), scores, strict=True))
            rows = np.union1d(rows, np.setdiff1d(found, snapshot.loose))
        for part in fetched(snapshot, rows, whole=True):
            best.look_at(part)
        return best.hits(snapshot, stages)

    def _nearest(
        self, snapshot: Snapshot, query: TokenEmbeddings, k: int, allowed: Allowed | None
    ) -> tuple[RowIds, dict[int, float]]:
        """Rows that may be among the best `k` that the lists choose, and the estimates by which they did."""
        lists, rows = snapshot.lists, snapshot.listed
        assert lists is not None
        positions = snapshot.living if allowed is None else np.flatnonzero(np.isin(rows, allowed.ids))
        wanted = self._wanted(snapshot, k)
        estimates = None
        if len(positions) > (wanted if allowed is None else _FEW * wanted):
            estimates = lists.estimates(query.vectors, self.probes)
            positions = np.sort(positions[best(estimates[positions], wanted)])
        positions = lists.may_be_best(query.vectors, positions, k)
        found = rows[positions]
        told = {} if estimates is None else dict(zip(found.tolist(), estimates[positions].tolist(), strict=True))
        return found, told

    def _wanted(self, snapshot: Snapshot, k: int) -> int:
        """How many chunks the lists choose."""
        assert snapshot.lists is not None
        usual = round(_CANDIDATES * max(1.0, len(snapshot.lists) / _CHUNKS) ** _GROWTH)
        return max(usual if self.candidates is None else self.candidates, 2 * k)

    def _words_wanted(self, k: int) -> int:
        return max(_WORDS if self.candidates is None else self.candidates, 2 * k)
