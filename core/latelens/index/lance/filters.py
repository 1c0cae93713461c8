"""Metadata in memory, by key and value, so that a filter finds its rows without reading each."""

from __future__ import annotations

import json
import threading
from array import array
from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.index.filters import AllOf, Comparison, Condition, Not, is_empty, matches
from latelens.index.lance.table import RowIds, Snapshot
from latelens.index.protocol import fields_of

_SLICE = 10_000  # rows to read at a time


class MetadataRows:
    """Which rows hold which value of which key; read at the first filter, and then only what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forget()

    def matching(self, snapshot: Snapshot, condition: Condition) -> RowIds:
        """The rows whose metadata fulfils a condition as `filters.matches` says, sorted."""
        with self._lock:
            self._read(snapshot)
            ids = np.frombuffer(self._ids, dtype=np.uint64)
            found: RowIds = np.intersect1d(ids[self._mask(condition, len(ids))], snapshot.ids)
            return found

    def _read(self, snapshot: Snapshot) -> None:
        known = np.frombuffer(self._ids, dtype=np.uint64)
        gone = len(known) - int(np.isin(known, snapshot.ids).sum())
        del known  # an array cannot grow while it is looked at
        if 2 * gone > len(self._ids):
            self._forget()
        new = np.setdiff1d(snapshot.ids, np.array(self._ids, dtype=np.uint64), assume_unique=True)
        for first in range(0, len(new), _SLICE):
            found = snapshot.take(new[first : first + _SLICE], ["id", "exact_metadata", "document_id"])
            for row in found.to_pylist():
                metadata = json.loads(row["exact_metadata"])
                self._keep(row["_rowid"], fields_of(metadata, row["id"], row["document_id"]))

    def _keep(self, id_: int, fields: dict[str, Any]) -> None:
        position = len(self._ids)
        self._ids.append(id_)
        self._names.append(fields.pop("$id"))  # as many values as rows: a list of them is smaller
        for key, values in fields.items():
            self._present[key].append(position)
            if isinstance(values, list):
                self._lists[key].append(position)
            if not is_empty(values):
                self._filled[key].append(position)
            for value in values if isinstance(values, list) else [values]:
                if value is None or isinstance(value, str | bool | int | float):
                    self._values[key][_typed(value)].append(position)

    def _forget(self) -> None:
        self._ids = array("Q")
        self._names: list[str] = []
        self._present, self._lists, self._filled = _positions(), _positions(), _positions()
        self._values: dict[str, dict[tuple[str, Any], array[int]]] = defaultdict(
            lambda: defaultdict(lambda: array("q"))
        )

    def _mask(self, condition: Condition, n: int) -> NDArray[np.bool_]:
        if isinstance(condition, Not):
            return ~self._mask(condition.condition, n)
        if isinstance(condition, Comparison):
            return self._compared(condition, n)
        mask = np.full(n, isinstance(condition, AllOf))
        for part in condition.conditions:
            mask = mask & self._mask(part, n) if isinstance(condition, AllOf) else mask | self._mask(part, n)
        return mask

    def _compared(self, asked: Comparison, n: int) -> NDArray[np.bool_]:
        if asked.op in ("ne", "nin"):
            return ~self._compared(Comparison(asked.key, {"ne": "eq", "nin": "in"}[asked.op], asked.value), n)
        if asked.key == "$id":
            wanted = set(asked.value) if asked.op == "in" else None
            return np.array([matches(asked, {"$id": n}) if wanted is None else n in wanted for n in self._names], bool)
        mask = np.zeros(n, dtype=bool)
        if asked.op in ("exists", "is_list", "empty"):
            known = {"exists": self._present, "is_list": self._lists, "empty": self._filled}[asked.op]
            _set(mask, known.get(asked.key))
            return mask if asked.value is not (asked.op == "empty") else ~mask
        if asked.op in ("contains", "icontains"):
            return self._containing(asked, n)
        values = self._values.get(asked.key, {})
        if asked.op in ("eq", "in"):
            for value in asked.value if asked.op == "in" else [asked.value]:
                _set(mask, values.get(_typed(value)))
            return mask
        for (_, value), positions in values.items():
            if matches(asked, {asked.key: value}):
                _set(mask, positions)
        return mask

    def _containing(self, asked: Comparison, n: int) -> NDArray[np.bool_]:
        lists, elements, texts = (np.zeros(n, dtype=bool) for _ in range(3))
        _set(lists, self._lists.get(asked.key))
        values = self._values.get(asked.key, {})
        if asked.op == "contains":
            _set(elements, values.get(_typed(asked.value)))
        for (_, value), positions in values.items():
            if matches(asked, {asked.key: value}):
                _set(texts, positions)
        return (elements & lists) | (texts & ~lists)


def _positions() -> dict[str, array[int]]:
    return defaultdict(lambda: array("q"))


def _set(mask: NDArray[np.bool_], positions: array[int] | None) -> None:
    if positions:
        mask[np.frombuffer(positions, dtype=np.int64)] = True


def _typed(value: Any) -> tuple[str, Any]:
    """What equals in a filter is one key: 1 and 1.0 are, True and 1 are not."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if number else type(value).__name__, value
