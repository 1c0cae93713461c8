"""Filters on metadata: one small language, which each index evaluates or compiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latelens.refusals import described

# Of $and, $or and $not inside each other. Qdrant's server reads JSON of 128 levels, and a level here is two there.
MAX_DEPTH = 50
_COMPARISONS = {"$eq": "eq", "$ne": "ne", "$gt": "gt", "$gte": "gte", "$lt": "lt", "$lte": "lte"}
_MEMBERSHIPS = {"$in": "in", "$nin": "nin"}
# Of a value as a whole, not of its elements.
_CONTAINS = {"$contains": "contains", "$icontains": "icontains"}
_ASKS = {"$exists": "exists", "$is_list": "is_list", "$empty": "empty"}
_JUNCTIONS = {"$and", "$or"}
# Keys for what a chunk has beside its metadata, see `Chunk.fields`.
_FIELDS = {"$id", "$document_id"}


@dataclass(frozen=True)
class Comparison:
    """``metadata[key] op value``.

    `op` is one of eq, ne, gt, gte, lt, lte, in, nin, contains, icontains, exists, is_list, empty.
    """

    key: str
    op: str
    value: Any


@dataclass(frozen=True)
class AllOf:
    """Every one of the conditions; true where there is none."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one of the conditions."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    condition: Condition


Condition = Comparison | AllOf | AnyOf | Not


def parse_filter(filter: Mapping[str, Any]) -> Condition:
    """Read a filter such as ``{"lang": "en", "year": {"$gte": 2000}, "$or": [{...}, {...}]}``.

    Keys are names of the metadata's first level, taken literally; ``$id`` and ``$document_id`` stand for the chunk's
    id and its document's. Operators: ``$eq``, ``$ne``, ``$gt``, ``$gte``, ``$lt``, ``$lte``, ``$in``, ``$nin``;
    ``$contains`` for a str with this part or a list with this element, ``$icontains`` for a str with this part in
    either case; ``$exists``, ``$is_list`` and ``$empty`` (None, "", a list without elements, or no such key) with True
    or False; ``$and``, ``$or`` with a list of filters, ``$not`` with one.

    Raises
    ------
    TypeError, ValueError
        If the filter has another shape, an operator is unknown, or filters nest more than `MAX_DEPTH` deep.
    """
    return _parse(filter, 0)


def _parse(filter: Any, depth: int) -> Condition:
    if not isinstance(filter, Mapping):
        raise TypeError(f"a filter must be a dict such as {{'lang': 'en'}}, got {described(filter)}")
    if depth > MAX_DEPTH:
        raise ValueError(
            f"$and, $or and $not may stand {MAX_DEPTH} deep in a filter, got more around {described(filter)}; put "
            "conditions side by side in one $and or $or"
        )
    conditions: list[Condition] = []
    for key, wanted in filter.items():
        if not isinstance(key, str):
            raise TypeError(f"a filter's keys must be str, got {described(key)}")
        if key in _JUNCTIONS:
            if not isinstance(wanted, Sequence) or isinstance(wanted, str) or not wanted:
                raise ValueError(f"{key} takes a list of filters with at least one, got {described(wanted)}")
            parts = tuple(_parse(part, depth + 1) for part in wanted)
            conditions.append(AllOf(parts) if key == "$and" else AnyOf(parts))
        elif key == "$not":
            conditions.append(Not(_parse(wanted, depth + 1)))
        elif key.startswith("$") and key not in _FIELDS:
            raise ValueError(
                f"unknown operator {key!r} in a filter; known: $and, $or, $not, the keys $id and $document_id, and for "
                "a key $eq, $in, ..."
            )
        else:
            conditions.extend(_of_key(key, wanted))
    return conditions[0] if len(conditions) == 1 else AllOf(tuple(conditions))


def matches(condition: Condition, metadata: Mapping[str, Any]) -> bool:
    """Whether metadata, or the `fields` of a chunk, fulfil a condition.

    A value that is a list fulfils a comparison if any element does. ``$ne`` and ``$nin`` are the opposites of ``$eq``
    and ``$in``, so a missing key fulfils them, and no other comparison. True is not 1, and values of different types
    are neither equal nor in any order.
    """
    if isinstance(condition, AllOf):
        return all(matches(part, metadata) for part in condition.conditions)
    if isinstance(condition, AnyOf):
        return any(matches(part, metadata) for part in condition.conditions)
    if isinstance(condition, Not):
        return not matches(condition.condition, metadata)
    if condition.op in ("exists", "is_list", "empty"):
        return _asked(condition, metadata) is condition.value
    if condition.op == "ne":
        return not matches(Comparison(condition.key, "eq", condition.value), metadata)
    if condition.op == "nin":
        return not matches(Comparison(condition.key, "in", condition.value), metadata)
    if condition.key not in metadata:
        return False
    value = metadata[condition.key]
    if condition.op in ("contains", "icontains"):
        return _contains(value, condition)
    values = value if isinstance(value, list | tuple) else [value]
    wanted = condition.value if condition.op == "in" else [condition.value]
    op = "eq" if condition.op == "in" else condition.op
    return any(_compare(value, op, other) for value in values for other in wanted)


def _of_key(key: str, wanted: Any) -> list[Condition]:
    if not isinstance(wanted, Mapping):
        return [Comparison(key, "eq", _scalar(key, wanted))]
    if not wanted:
        raise ValueError(f"the filter on {key!r} is empty; give a value, or an operator such as {{'$gte': 2000}}")
    conditions: list[Condition] = []
    for op, value in wanted.items():
        if op in _COMPARISONS:
            conditions.append(Comparison(key, _COMPARISONS[op], _scalar(key, value)))
        elif op in _MEMBERSHIPS:
            if not isinstance(value, Sequence | set | frozenset) or isinstance(value, str):
                raise ValueError(f"{op} on {key!r} takes a list of values, got {described(value)}")
            conditions.append(Comparison(key, _MEMBERSHIPS[op], tuple(_scalar(key, item) for item in value)))
        elif op in _CONTAINS:
            if op == "$icontains" and not isinstance(value, str):
                raise ValueError(f"$icontains on {key!r} takes a str, got {described(value)}")
            conditions.append(Comparison(key, _CONTAINS[op], _scalar(key, value)))
        elif op in _ASKS:
            if not isinstance(value, bool):
                raise ValueError(f"{op} on {key!r} takes True or False, got {described(value)}")
            conditions.append(Comparison(key, _ASKS[op], value))
        else:
            known = ", ".join([*_COMPARISONS, *_MEMBERSHIPS, *_CONTAINS, *_ASKS])
            raise ValueError(f"unknown operator {op!r} on {key!r}; known: {known}")
    return conditions


def is_empty(value: Any) -> bool:
    """Whether a value is None, "" or a list without elements."""
    return value is None or (isinstance(value, str | list | tuple) and not value)


def _asked(condition: Comparison, metadata: Mapping[str, Any]) -> bool:
    if condition.op == "exists":
        return condition.key in metadata
    value = metadata.get(condition.key)
    return is_empty(value) if condition.op == "empty" else isinstance(value, list | tuple)


def _contains(value: Any, condition: Comparison) -> bool:
    wanted = condition.value
    if isinstance(value, list | tuple):
        return condition.op == "contains" and any(_compare(item, "eq", wanted) for item in value)
    if not isinstance(value, str) or not isinstance(wanted, str):
        return False
    return wanted in value if condition.op == "contains" else wanted.lower() in value.lower()


def _scalar(key: str, value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"the filter on {key!r} compares with a str, number, bool or None, got {described(value)}")


def _compare(value: Any, op: str, wanted: Any) -> bool:
    if isinstance(value, bool) is not isinstance(wanted, bool):
        return False
    numbers = isinstance(value, int | float) and isinstance(wanted, int | float)
    if op == "eq":
        return bool(value == wanted) and (numbers or type(value) is type(wanted))
    if isinstance(value, bool) or not (numbers or (isinstance(value, str) and isinstance(wanted, str))):
        return False
    if op in ("gt", "gte"):
        return bool(value > wanted or (op == "gte" and value == wanted))
    return bool(value < wanted or (op == "lte" and value == wanted))
