"""One filter finds the same chunks in every backend."""

from __future__ import annotations

import random
from typing import Any

from fake_encoder import FakeEncoder
from index_kinds import KINDS

from latelens.index import Chunk
from latelens.index.filters import matches, parse_filter

FILTERS = 15
VALUES = [None, True, False, 0, 1, 1.0, -3, 2001.5, "", "en", "de", "2001", 2**53 + 1, ["en", 1], [], [None]]
SCALARS = [value for value in VALUES if not isinstance(value, list)]
KEYS = ["lang", "year", "a.b", "$x'", "tags"]


def drawn(chance: random.Random, depth: int = 3) -> dict[str, Any]:
    kind = chance.randrange(7 if depth else 4)
    key = chance.choice([key for key in KEYS if not key.startswith("$")])
    if kind == 0:
        return {key: chance.choice(SCALARS)}
    if kind == 1:
        return {key: {chance.choice(["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"]): chance.choice(SCALARS)}}
    if kind == 2:
        return {key: {chance.choice(["$in", "$nin"]): chance.sample(SCALARS, chance.randrange(4))}}
    if kind == 3:
        return {key: {"$exists": chance.random() < 0.5}}
    if kind == 4:
        return {"$not": drawn(chance, depth - 1)}
    return {chance.choice(["$and", "$or"]): [drawn(chance, depth - 1) for _ in range(chance.randint(1, 3))]}


def test_every_backend_finds_what_a_filter_says(tmp_path, campaign: int, record_property) -> None:
    chance = random.Random(6)
    keys = [key for key in KEYS if not key.startswith("$")]
    chunks = [
        Chunk(f"c{i}", "herds eat", {key: chance.choice(VALUES) for key in chance.sample(keys, chance.randrange(4))})
        for i in range(60)
    ]
    indexes = {}
    for kind in KINDS:
        try:
            index = kind.open(FakeEncoder(dim=16), tmp_path / kind.name)
        except ImportError:
            continue
        index.add(chunks)
        indexes[kind] = index
    for _ in range(FILTERS * campaign):
        filter = drawn(chance)
        condition = parse_filter(filter)
        expected = sorted(chunk.id for chunk in chunks if matches(condition, chunk.metadata))
        for kind, index in indexes.items():
            found = sorted(hit.chunk.id for hit in index.search("eat", 100, filter=filter))
            assert found == expected, (kind.name, filter)
    for kind, index in indexes.items():
        kind.close(index)
    record_property("filters", FILTERS * campaign)
    record_property("backends", ", ".join(kind.name for kind in indexes))
