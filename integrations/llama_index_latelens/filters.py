"""Between LlamaIndex's filters and ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from latelens.index.filters import AllOf, Comparison, Condition, Not, parse_filter
from latelens.index.protocol import Filter

_OPERATORS = {
    FilterOperator.EQ: "$eq",
    FilterOperator.NE: "$ne",
    FilterOperator.GT: "$gt",
    FilterOperator.GTE: "$gte",
    FilterOperator.LT: "$lt",
    FilterOperator.LTE: "$lte",
    FilterOperator.IN: "$in",
    FilterOperator.NIN: "$nin",
    FilterOperator.ANY: "$in",  # a value that is a list fulfils a comparison if any element does
    FilterOperator.CONTAINS: "$eq",
}
_THEIRS = {
    op.removeprefix("$"): theirs
    for theirs, op in _OPERATORS.items()
    if theirs not in (FilterOperator.ANY, FilterOperator.CONTAINS)
}


def to_filter(filters: MetadataFilters | Filter | None) -> Filter | None:
    """Our filter for LlamaIndex's; a dict passes as it is.

    All conditions nest. ``is_empty`` holds where a key is missing, None, "" or an empty list.

    Raises
    ------
    ValueError
        If an operator is one on texts, or its value does not fit.
    """
    if filters is None or isinstance(filters, Mapping):
        return filters
    if not isinstance(filters, MetadataFilters):
        raise TypeError(f"filters must be MetadataFilters or a dict, got {type(filters).__name__}: {filters!r:.80}")
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
        return to_filter(part) or {}  # which everything fulfils
    key, operator, value = part.key, part.operator, part.value
    if operator == FilterOperator.IS_EMPTY:
        # What is there and comparable is not empty; None and lists without elements compare with nothing.
        return {
            "$not": {"$or": [{key: {"$gt": ""}}, {key: {"$lte": 0}}, {key: {"$gt": 0}}, {key: {"$in": [True, False]}}]}
        }
    if operator == FilterOperator.ALL:
        wanted = [{key: {"$eq": item}} for item in _listed(part)]
        return {"$and": wanted} if wanted else {}
    if operator not in _OPERATORS:
        known = ", ".join(repr(known.value) for known in (*_OPERATORS, FilterOperator.ALL, FilterOperator.IS_EMPTY))
        raise ValueError(f"the operator {operator.value!r} on {key!r} is not supported; known: {known}")
    if operator in (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY):
        return {key: {_OPERATORS[operator]: _listed(part)}}
    if isinstance(value, list):
        raise ValueError(f"{operator.value!r} on {key!r} takes one value, got {value!r:.80}; use 'in' or 'all'")
    return {key: {_OPERATORS[operator]: value}}


def _listed(part: MetadataFilter) -> list[Any]:
    if not isinstance(part.value, list):
        raise ValueError(f"{part.operator.value!r} on {part.key!r} takes a list of values, got {part.value!r:.80}")
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
    if comparison.op not in _THEIRS or not plain:
        return None
    value = list(values) if isinstance(comparison.value, tuple) else comparison.value
    return MetadataFilter(key=comparison.key, operator=_THEIRS[comparison.op], value=value)
