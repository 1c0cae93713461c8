"""Filters in Qdrant: what each chunk's payload holds for them, and how a condition becomes a `models.Filter`.

Qdrant's own matching of JSON differs from `filters.matches` and between versions (1 is not 1.0, null, quotes in
keys), so nothing here depends on it. A payload lists its ``facets``, one string for each key and for each value of
a key, which one keyword index serves; and its ``numbers`` under keys that are safe in a path.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from latelens.index.filters import AllOf, AnyOf, Comparison, Condition, Not, is_empty

FACETS, NUMBERS = "facets", "numbers"
_LIST, _FILLED = "list", "filled"  # with four parts, no value of a key
_LONGEST_FACET = 200  # characters; longer ones are kept as a digest
_EXACT = 2.0**53  # below it every integer is a float64, so comparing as float64, as Qdrant does, is exact


@dataclass(frozen=True)
class Compiled:
    """A filter that lets through at least what the condition does.

    Attributes
    ----------
    filter
        None lets everything through.
    exact
        Whether it lets through nothing else; if not, `filters.matches` has to look at each.
    """

    filter: models.Filter | None
    exact: bool


def facets_of(metadata: Mapping[str, Any]) -> list[str]:
    """What equality, ``$in``, ``$exists`` and their like look at: strings for each key, and for each of its values."""
    found = [_facet(key) for key in metadata]
    found += [_facet(key, _LIST, "", "") for key, value in metadata.items() if isinstance(value, list | tuple)]
    found += [_facet(key, _FILLED, "", "") for key, value in metadata.items() if not is_empty(value)]
    found += [_facet(key, value) for key, values in metadata.items() for value in _listed(values) if _is_scalar(value)]
    return sorted(set(found))


def numbers_of(metadata: Mapping[str, Any]) -> dict[str, list[float]]:
    """What ``$gt`` and its like look at: the numbers of each key that has any, by `number_field`."""
    numbers = {
        key: [_float(value) for value in _listed(values) if _is_number(value)] for key, values in metadata.items()
    }
    return {_safe(key): values for key, values in numbers.items() if values}


def number_field(key: str) -> str:
    """Path of a key's numbers in the payload."""
    return f"{NUMBERS}.{_safe(key)}"


def compile_filter(condition: Condition) -> Compiled:
    """Write a condition as a filter on facets and numbers.

    All of the language has an exact filter but parts of strings, their order, and that of numbers from 2 ** 53 on.
    """
    if isinstance(condition, AllOf):
        return _all_of([compile_filter(part) for part in condition.conditions])
    if isinstance(condition, AnyOf):
        return _any_of([compile_filter(part) for part in condition.conditions])
    if isinstance(condition, Not):
        return _opposite(compile_filter(condition.condition))
    return _comparison(condition)


def _comparison(asked: Comparison) -> Compiled:
    if asked.op in ("exists", "is_list", "empty"):
        parts = {"exists": (), "is_list": (_LIST, "", ""), "empty": (_FILLED, "", "")}[asked.op]
        there = Compiled(_has([_facet(asked.key, *parts)]), exact=True)
        return there if asked.value is not (asked.op == "empty") else _opposite(there)
    if asked.op in ("contains", "icontains"):
        return Compiled(_has([_facet(asked.key)]), exact=False)  # a part of a str is no facet
    if asked.op in ("eq", "in"):
        values = asked.value if asked.op == "in" else [asked.value]
        return Compiled(_has([_facet(asked.key, value) for value in values]), exact=True)
    if asked.op in ("ne", "nin"):
        return _opposite(_comparison(Comparison(asked.key, {"ne": "eq", "nin": "in"}[asked.op], asked.value)))
    return _ordered(asked)


def _ordered(asked: Comparison) -> Compiled:
    if isinstance(asked.value, str):
        return Compiled(_has([_facet(asked.key)]), exact=False)
    if not _is_number(asked.value) or asked.value != asked.value:
        return Compiled(_NOTHING, exact=True)  # True, None and NaN are in no order
    if not abs(asked.value) < _EXACT:
        return Compiled(_has([_facet(asked.key)]), exact=False)
    bounds = models.Range(**{asked.op: float(asked.value)})
    return Compiled(models.Filter(must=[models.FieldCondition(key=number_field(asked.key), range=bounds)]), exact=True)


def _all_of(parts: Sequence[Compiled]) -> Compiled:
    must: list[models.Condition] = [part.filter for part in parts if part.filter is not None]
    return Compiled(models.Filter(must=must) if must else None, all(part.exact for part in parts))


def _any_of(parts: Sequence[Compiled]) -> Compiled:
    if not parts:
        return Compiled(_NOTHING, exact=True)  # to Qdrant, no alternatives are no constraint
    should: list[models.Condition] = [part.filter for part in parts if part.filter is not None]
    exact = all(part.exact for part in parts)
    return Compiled(models.Filter(should=should) if len(should) == len(parts) else None, exact)


def _opposite(part: Compiled) -> Compiled:
    if not part.exact:
        return Compiled(None, exact=False)  # the opposite of too much would be too little
    return Compiled(_NOTHING if part.filter is None else models.Filter(must_not=[part.filter]), exact=True)


def _has(facets: Sequence[str]) -> models.Filter:
    sendable = [facet for facet in facets if _is_utf8(facet)]  # half a surrogate pair is in no chunk
    if not sendable:
        return _NOTHING
    match = models.MatchValue(value=sendable[0]) if len(sendable) == 1 else models.MatchAny(any=sendable)
    return models.Filter(must=[models.FieldCondition(key=FACETS, match=match)])


_NOTHING = models.Filter(must=[models.FieldCondition(key=FACETS, match=models.MatchValue(value=""))])


def _facet(*parts: Any) -> str:
    whole = [int(part) if isinstance(part, float) and part.is_integer() else part for part in parts]  # 2.0 equals 2
    text = json.dumps(whole, ensure_ascii=False)
    if len(text) <= _LONGEST_FACET:
        return text
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _safe(key: str) -> str:
    return key if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key) else f"-{key.encode('utf-8', 'surrogatepass').hex()}"


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int | float)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return sys.float_info.max if value > 0 else -sys.float_info.max


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
