"""Every span of every row is what stands in the text, whole characters, in five families of tokenizers."""

from __future__ import annotations

import random

import pytest
import regex
from hostile_text import any_character, hostile
from tiny_models import FAMILIES, encoder, seen

SPANS = 4_000  # of each family, in the short form


@pytest.mark.parametrize("family", FAMILIES)
def test_spans_cut_no_character_and_leave_none_out(family: str, campaign: int, record_property) -> None:
    chance, reader, checked = random.Random(5), encoder(f"{family}-bare"), 0
    while checked < SPANS * campaign:
        texts = [hostile(chance, 12) + any_character(chance) + hostile(chance, 6) for _ in range(16)]
        for text, rows in zip(texts, reader.encode_documents(texts), strict=True):
            edges = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
            read = set()
            for start, end in rows.spans.tolist():
                if start < 0:
                    assert (start, end) == (-1, -1)
                    continue
                assert 0 <= start < end <= len(text)
                assert start in edges
                assert end in edges
                read.update(range(start, end))
                checked += 1
            missed = [character for i, character in enumerate(text) if i not in read and seen(character)]
            assert not rows.complete or not missed
    record_property("spans", checked)
