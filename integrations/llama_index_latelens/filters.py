"""Between LlamaIndex's filters and ours."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from latelens.index.filters import AllOf, Comparison, Condition, Not, parse_filter
from latelens.index.protocol import Filter
from latelens.refusals import described, shown

_OPERATORS = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
}
_THEIRS = {op.removeprefix("$"): theirs for theirs, op in _OPERATORS.items()}
_ORDERS: dict[FilterOperator, Callable[[Any, Any], bool]] = {
    FilterOperator.GT: operator.gt,
    FilterOperator.GTE: operator.ge,
    FilterOperator.LT: operator.lt,
    FilterOperator.LTE: operator.le,
}
_OPPOSITES = {FilterOperator.NE: FilterOperator.EQ, FilterOperator.NIN: FilterOperator.IN}
_EVERYTHING: Filter = {}
_NOTHING: Filter = {"$not": {}}


def to_filter(filters: MetadataFilters | Filter | None) -> Filter | None:
    """Our filter for LlamaIndex's; a dict passes as it is.

    Each operator means what it means to LlamaIndex's own `SimpleVectorStore`: ``==`` and its like look at a value as a
    whole, ``contains`` at a part of a str or an element of a list, and True equals 1. Conditions nest, which is refused
    there; values that cannot be compared, which raise an error there, do not match.

    Raises
    ------
    ValueError
        If a value does not fit its operator.
    """
    if filters is None or isinstance(filters, Mapping):
        return filters
    if not isinstance(filters, MetadataFilters):
        raise TypeError(f"filters must be MetadataFilters or a dict, got {described(filters)}")
    if not filters.filters:
        return None
    parts = [_one(part) for part in filters.filters]
    if filters.condition == FilterCondition.OR:
        return {"$or": parts}
    return {"$not": {"$or": parts}} if filters.condition == FilterCondition.NOT else {"$and": parts}


def from_filter(filter: Filter) -> MetadataFilters | None:
    """LlamaIndex's filters for ours, where it can say the same on one level; else None."""
    found = _flat(parse_filter(filter))
    if found is None:
        return None
    condition, comparisons = found
    said = [_theirs(comparison) for comparison in comparisons]
    known = [one for one in said if one is not None]
    return MetadataFilters(filters=list(known), condition=condition) if len(known) == len(said) > 0 else None


def _one(part: MetadataFilter | MetadataFilters) -> Filter:
    if isinstance(part, MetadataFilters):
        return to_filter(part) or _EVERYTHING
    if part.operator in _OPPOSITES:
        return _opposite(_one(part.model_copy(update={"operator": _OPPOSITES[part.operator]})))
    if part.operator == FilterOperator.IS_EMPTY:
        return {part.key: {"$empty": True}}
    if part.operator == FilterOperator.IN:
        return _equal(part.key, _listed(part))
    if part.operator in (FilterOperator.ALL, FilterOperator.ANY):
        found = [_containing(part.key, value) for value in _listed(part)]
        if part.operator == FilterOperator.ANY:
            return {"$or": found} if found else _NOTHING
        return {"$and": [{part.key: {"$exists": True}}, _opposite(_equal(part.key, [None])), *found]}
    if isinstance(part.value, list):
        raise ValueError(f"{part.operator.value!r} on {part.key!r} takes one value, got {shown(part.value)}; use 'in'")
    if part.value is None and part.operator != FilterOperator.CONTAINS:
        return _NOTHING
    return _of_value(part.key, part.operator, part.value)


def _of_value(key: str, asked: FilterOperator, value: Any) -> Filter:
    if asked == FilterOperator.EQ:
        return _equal(key, [value])
    if asked == FilterOperator.CONTAINS:
        return _containing(key, value)
    if asked in (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE):
        if not isinstance(value, str):
            raise ValueError(f"{asked.value!r} on {key!r} takes a str, got {shown(value)}")
        named = "$contains" if asked == FilterOperator.TEXT_MATCH else "$icontains"
        return {key: {named: value, "$is_list": False}}
    ordered: list[Filter] = [{key: {_OPERATORS[asked]: value}}]
    if not isinstance(value, str):  # True is 1 to them
        ordered.append({key: {"$in": [each for each in (True, False) if _ORDERS[asked](each, value)]}})
    return {key: {"$is_list": False}, "$or": ordered}


def _equal(key: str, values: Sequence[Any]) -> Filter:
    """Whether the value as a whole is one of these; True is 1 to them."""
    also = [bool(value) for value in values if isinstance(value, int | float) and value in (0, 1)]
    return {key: {"$in": [*values, *also], "$is_list": False}}


def _containing(key: str, value: Any) -> Filter:
    also = [bool(value)] if isinstance(value, int | float) and value in (0, 1) else []
    return {"$or": [{key: {"$contains": each}} for each in (value, *also)]}


def _opposite(filter: Filter) -> Filter:
    return {"$not": filter}


def _listed(part: MetadataFilter) -> list[Any]:
    if not isinstance(part.value, list):
        raise ValueError(f"{part.operator.value!r} on {part.key!r} takes a list of values, got {shown(part.value)}")
    return list(part.value)


def _flat(condition: Condition) -> tuple[FilterCondition, list[Comparison]] | None:
    if isinstance(condition, Comparison):
        return FilterCondition.AND, [condition]
    if isinstance(condition, Not):
        return None
    comparisons = [part for part in condition.conditions if isinstance(part, Comparison)]
    if len(comparisons) < len(condition.conditions):
        return None
    return (FilterCondition.AND if isinstance(condition, AllOf) else FilterCondition.OR), comparisons


def _theirs(comparison: Comparison) -> MetadataFilter | None:
    values = comparison.value if isinstance(comparison.value, tuple) else (comparison.value,)
    plain = all(isinstance(value, str | int | float) and not isinstance(value, bool) for value in values)
    if comparison.op not in _THEIRS or not plain or comparison.key.startswith("$"):
        return None
    value = list(values) if isinstance(comparison.value, tuple) else comparison.value
    return MetadataFilter(key=comparison.key, operator=_THEIRS[comparison.op], value=value)
