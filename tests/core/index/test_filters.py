from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latelens.index.filters import MAX_DEPTH, AllOf, AnyOf, Comparison, Not, matches, parse_filter


def finds(filter: dict[str, Any], metadata: dict[str, Any]) -> bool:
    return matches(parse_filter(filter), metadata)


def test_a_filter_is_read_into_conditions() -> None:
    assert parse_filter({"lang": "en"}) == Comparison("lang", "eq", "en")
    assert parse_filter({"year": {"$gte": 2000, "$lt": 2010}, "lang": "en"}) == AllOf(
        (Comparison("year", "gte", 2000), Comparison("year", "lt", 2010), Comparison("lang", "eq", "en"))
    )
    assert parse_filter({"$or": [{"a": 1}, {"$not": {"b": {"$in": ["x", None]}}}]}) == AnyOf(
        (Comparison("a", "eq", 1), Not(Comparison("b", "in", ("x", None))))
    )
    assert parse_filter({}) == AllOf(())


@pytest.mark.parametrize(
    ("filter", "metadata", "expected"),
    [
        ({}, {}, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": True}, {"a": True}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 1}, {}, False),
        ({"a": None}, {}, False),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {"a": False}, False),
        ({"a": {"$exists": True}}, {"a": None}, True),
        ({"a": {"$exists": False}}, {"a": None}, False),
        ({"a": {"$exists": False}}, {}, True),
        ({"a": {"$ne": 1}}, {}, True),
        ({"a": {"$ne": 1}}, {"a": 2}, True),
        ({"a": {"$ne": 1}}, {"a": [1, 2]}, False),
        ({"a": {"$ne": 1}}, {"a": True}, True),
        ({"a": {"$gt": 1}}, {"a": 1}, False),
        ({"a": {"$gt": 1}}, {"a": 1.5}, True),
        ({"a": {"$gt": 1}}, {"a": "2"}, False),
        ({"a": {"$gt": 1}}, {"a": None}, False),
        ({"a": {"$gt": 0}}, {"a": True}, False),
        ({"a": {"$gte": 1}}, {"a": 1}, True),
        ({"a": {"$lt": "b"}}, {"a": "a"}, True),
        ({"a": {"$lt": "b"}}, {"a": "é"}, False),
        ({"a": {"$lte": "b"}}, {"a": "b"}, True),
        ({"a": {"$lt": 1}}, {}, False),
        ({"a": {"$gt": 5, "$lt": 3}}, {"a": [1, 9]}, True),  # each comparison by some element
        ({"a": {"$in": [1, 2]}}, {"a": [3, 2]}, True),
        ({"a": {"$in": [1]}}, {"a": [True]}, False),
        ({"a": {"$in": []}}, {"a": 1}, False),
        ({"a": {"$nin": []}}, {}, True),
        ({"a": {"$nin": [1]}}, {"a": [1, 2]}, False),
        ({"a": {"$nin": [1]}}, {"a": []}, True),
        ({"a": 1}, {"a": []}, False),
        ({"a": 1}, {"a": [[1]]}, False),
        ({"a": 1}, {"a": {"b": 1}}, False),
        ({"a.b": 1}, {"a": {"b": 1}}, False),
        ({"a.b": 1}, {"a.b": 1}, True),
        ({"$and": [{"a": 1}, {"b": 2}]}, {"a": 1, "b": 2}, True),
        ({"$and": [{"a": 1}, {"b": 2}]}, {"a": 1}, False),
        ({"$or": [{"a": 1}, {"b": 2}]}, {"b": 2}, True),
        ({"$or": [{"a": 1}, {"b": 2}], "c": 3}, {"b": 2}, False),
        ({"$not": {"a": 1}}, {}, True),
        ({"$not": {"a": {"$gt": 1}}}, {"a": 1}, True),
        ({"a": 2**53}, {"a": 2**53 + 1}, False),
    ],
    ids=str,
)
def test_a_filter_matches_what_it_says(filter: dict[str, Any], metadata: dict[str, Any], expected: bool) -> None:
    assert finds(filter, metadata) is expected


@pytest.mark.parametrize(
    ("filter", "error", "match"),
    [
        ("lang = 'en'", TypeError, "must be a dict"),
        ([("a", 1)], TypeError, "must be a dict"),
        ({1: 2}, TypeError, "keys must be str"),
        ({"$nor": []}, ValueError, r"unknown operator '\$nor'"),
        ({"a": {"$near": 1}}, ValueError, r"unknown operator '\$near' on 'a'; known: .*\$exists"),
        ({"a": {}}, ValueError, "the filter on 'a' is empty"),
        ({"a": {"b": 1}}, ValueError, "unknown operator 'b'"),
        ({"a": [1]}, TypeError, "compares with a str, number, bool or None, got list"),
        ({"a": {"$eq": {}}}, TypeError, "got dict"),
        ({"a": {"$in": "abc"}}, ValueError, r"\$in on 'a' takes a list"),
        ({"a": {"$in": [[1]]}}, TypeError, "got list"),
        ({"a": {"$exists": 1}}, ValueError, "takes True or False"),
        ({"$or": []}, ValueError, "at least one"),
        ({"$and": {"a": 1}}, ValueError, "a list of filters"),
        ({"$and": "abc"}, ValueError, "a list of filters"),
        ({"$or": ["a"]}, TypeError, "must be a dict"),
        ({"$not": [{"a": 1}]}, TypeError, "must be a dict"),
    ],
    ids=str,
)
def test_what_is_no_filter_is_refused(filter: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        parse_filter(filter)


def nested(depth: int, around: str) -> dict[str, Any]:
    filter: dict[str, Any] = {"a": 1}
    for _ in range(depth):
        filter = {around: filter if around == "$not" else [filter, {"b": 1}]}
    return filter


@pytest.mark.parametrize("around", ["$not", "$and", "$or"])
def test_filters_nest_to_a_depth_that_every_backend_takes_and_no_deeper(around: str) -> None:
    assert finds(nested(MAX_DEPTH, around), {"a": 1, "b": 1})
    for deeper in (MAX_DEPTH + 1, 3_000):
        with pytest.raises(ValueError, match=r"may stand 50 deep in a filter, got more around dict: "):
            parse_filter(nested(deeper, around))
    with pytest.raises(ValueError, match=r"takes a list of filters .* got dict"):
        parse_filter({"$or": nested(3_000, around)})


_VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3) | st.sampled_from(["", "a", "b"])
_METADATA = st.dictionaries(st.sampled_from("abc"), _VALUES | st.lists(_VALUES, max_size=3))


@given(_METADATA, st.sampled_from("abc"), _VALUES)
def test_ne_is_not_eq_and_in_of_one_is_eq(metadata: dict[str, Any], key: str, value: Any) -> None:
    equal = finds({key: value}, metadata)
    assert finds({key: {"$ne": value}}, metadata) is not equal
    assert finds({key: {"$in": [value]}}, metadata) is equal
    assert finds({key: {"$nin": [value]}}, metadata) is not equal
    assert finds({"$not": {key: value}}, metadata) is not equal


@given(_METADATA, st.sampled_from("abc"), st.integers(-3, 3) | st.floats(-3, 3) | st.sampled_from(["", "a", "b"]))
def test_an_order_includes_its_border(metadata: dict[str, Any], key: str, value: Any) -> None:
    for inclusive, strict in (("$gte", "$gt"), ("$lte", "$lt")):
        either = finds({"$or": [{key: {strict: value}}, {key: value}]}, metadata)
        assert finds({key: {inclusive: value}}, metadata) is either


@given(_METADATA, _METADATA)
def test_metadata_matches_the_same_after_a_round_trip(metadata: dict[str, Any], wanted: dict[str, Any]) -> None:
    filter = {key: {"$in": value} if isinstance(value, list) else value for key, value in wanted.items()}
    assert finds(filter, json.loads(json.dumps(metadata))) is finds(filter, metadata)
