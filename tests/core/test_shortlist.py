"""A large rerank scores exactly only what may be among the best, and returns what it would have returned anyway."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import near_ties
import pytest
from fake_encoder import FakeEncoder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import latelens.ranking
import latelens.rounded
import latelens.shortlist
from latelens import EmbeddingCache, TokenEmbeddings, rerank
from latelens.encoders.calibration import Calibration
from latelens.explanation.results import Ranking
from latelens.index import Chunk, ExactIndex
from latelens.shortlist import KeptRounded, longest

ANIMALS = ["elephants", "lions", "zebras", "rhinos", "hippos", "monkeys", "parrots", "snakes"]
FOOD = ["grass", "meat", "leaves", "fruit", "fish", "roots", "seeds", "mice"]
TALES = [f"The {animal} eat {food} on day {day}. Rain fell." for day in range(5) for animal in ANIMALS for food in FOOD]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> KeptRounded[TokenEmbeddings]:
    """Rows of documents are rounded when they are first asked for, few as they are, whatever the processor."""
    fresh: KeptRounded[TokenEmbeddings] = KeptRounded(lambda one: one.vectors, lambda one: longest(one.vectors))
    monkeypatch.setattr(latelens.shortlist, "_DOCUMENTS", fresh)
    monkeypatch.setattr(latelens.shortlist, "LEAST_ROWS", 1)
    monkeypatch.setattr(latelens.shortlist, "_ASKED", 1)
    monkeypatch.setattr(latelens.shortlist, "pays", lambda: True)
    return fresh


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts whose exact scores a rerank computes."""
    seen: list[str] = []
    original = latelens.ranking.explain_score
    monkeypatch.setattr(
        latelens.ranking, "explain_score", lambda query, text: seen.append(text.text) or original(query, text)
    )
    return seen


def bits(ranking: Ranking) -> list[tuple[object, ...]]:
    return [(one.index, one.score, one.explanation.similarity.tobytes(), one.relevance) for one in ranking]


@contextmanager
def never() -> Iterator[None]:
    """Without the fast path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latelens.shortlist, "pays", lambda: False)
        yield


@given(
    texts=st.lists(near_ties.DOCUMENTS, min_size=40, max_size=80),
    asked=near_ties.QUERIES,
    k=st.integers(1, 5),
    block=st.sampled_from([1, 64, 4096]),
    known=st.sampled_from([1.0, 1.0, 0.5]),
    threshold=st.none() | st.integers(0, 4),
)
@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_a_rerank_is_the_same_to_the_bit_however_near_the_scores(
    kept: KeptRounded[TokenEmbeddings],
    texts: list[str],
    asked: str,
    k: int,
    block: int,
    known: float,
    threshold: int | None,
) -> None:
    encoder, cache = near_ties.NearTies(rows=[1, 3, 40, 1, 700]), EmbeddingCache()
    with never():
        everything = rerank(asked, texts, encoder, explain="off", cache=cache)
        least = None if threshold is None else everything[threshold].score
        expected = rerank(asked, texts, encoder, top_n=k, explain="off", min_score=least, cache=cache)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latelens.rounded, "_COPIED_ROWS", block)  # of which the largest document has more
        some = texts[: int(known * len(texts))]  # only these may be rounded by now
        kept.of(cache.encode_documents(encoder, some))
        patch.setattr(latelens.shortlist, "_ASKED", 10**9)
        assert bits(rerank(asked, texts, encoder, top_n=k, explain="off", min_score=least, cache=cache)) == bits(
            expected
        )
    assert bits(expected) == bits(Ranking(everything[:k]))[: len(expected)]


def test_few_of_many_texts_are_scored_exactly_and_all_that_is_said_of_the_best_is_the_same(
    kept: KeptRounded[TokenEmbeddings], explained: list[str]
) -> None:
    encoder, cache = FakeEncoder(dim=256), EmbeddingCache()
    encoder.calibration = Calibration("fake", 10.0, -1.0, 0.0, "nothing")  # type: ignore[attr-defined]
    found = rerank("What do zebras eat on day 3?", TALES, encoder, top_n=8, cache=cache)
    assert 8 <= len(explained) <= 40
    with never():
        expected = rerank("What do zebras eat on day 3?", TALES, encoder, top_n=8, cache=cache)
    assert bits(found) == bits(expected)
    assert [one.evidence for one in found] == [one.evidence for one in expected]
    assert [TALES[one.index].split()[1] for one in found] == ["zebras"] * 8


def test_of_texts_that_must_be_relevant_all_are_scored(
    kept: KeptRounded[TokenEmbeddings], explained: list[str]
) -> None:
    encoder, cache = FakeEncoder(dim=256), EmbeddingCache()
    encoder.calibration = Calibration("fake", 10.0, -1.0, 0.0, "nothing")  # type: ignore[attr-defined]
    rerank("zebras", TALES, encoder, top_n=2, min_relevance=0.0, cache=cache)
    assert len(explained) == len(TALES)


@pytest.mark.parametrize("options", [{"top_n": None}, {"top_n": 41}, {"top_n": 5, "cache": None}])
def test_where_many_are_wanted_or_nothing_is_kept_no_rows_are_rounded(
    kept: KeptRounded[TokenEmbeddings], explained: list[str], options: dict[str, Any]
) -> None:
    rerank("zebras", TALES, FakeEncoder(dim=64), explain="off", **{"cache": EmbeddingCache(), **options})
    assert len(explained) == len(TALES)
    assert not kept._kept


def test_rows_are_rounded_when_they_were_asked_for_often_and_go_with_the_cache(
    kept: KeptRounded[TokenEmbeddings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latelens.shortlist, "_ASKED", 4)
    encoder, cache = FakeEncoder(dim=64), EmbeddingCache()
    for asked in range(4):
        assert not kept._kept, asked
        rerank("zebras", TALES, encoder, top_n=2, explain="off", cache=cache)
    assert sum(rows.values.nbytes for rows in kept._kept.values() if rows is not None) == len(TALES) * 10 * 64 * 2
    cache.clear()
    gc.collect()
    assert not kept._kept


def test_rounded_rows_take_no_more_memory_than_they_may(
    kept: KeptRounded[TokenEmbeddings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latelens.shortlist, "_MOST_BYTES", 100 * 10 * 64 * 2 + 1)
    encoder, cache = FakeEncoder(dim=64), EmbeddingCache()
    found = [rerank("zebras", TALES, encoder, top_n=2, explain="off", cache=cache) for _ in range(2)]
    assert len(kept._kept) == 100
    with never():
        assert {*map(tuple, map(bits, found))} == {
            tuple(bits(rerank("zebras", TALES, encoder, top_n=2, explain="off", cache=cache)))
        }


def test_texts_without_rows_and_of_another_dimension_are_refused_as_ever(kept: KeptRounded[TokenEmbeddings]) -> None:
    encoder, cache = FakeEncoder(dim=64), EmbeddingCache()
    rerank("zebras", TALES, encoder, top_n=2, cache=cache)
    narrow = FakeEncoder(dim=32)
    narrow.fingerprint = encoder.fingerprint  # it says that it is the same model
    with pytest.raises(ValueError, match="query has dimension 32 and the document 64"):
        rerank("lions", TALES, narrow, top_n=2, cache=cache)

    class Empty(FakeEncoder):
        def _encode(self, text: str) -> TokenEmbeddings:
            whole = super()._encode(text)
            if text != TALES[7]:
                return whole
            return TokenEmbeddings(text, whole.vectors[:0], (), whole.spans[:0], whole.kinds[:0])

    with pytest.raises(ValueError, match="0 document rows"):
        rerank("lions", TALES, Empty("empty", dim=64), top_n=2, cache=cache)


def test_many_threads_find_the_same_while_rows_are_being_rounded(kept: KeptRounded[TokenEmbeddings]) -> None:
    encoder, cache = FakeEncoder(dim=64), EmbeddingCache()
    asked = [f"What do {animal} eat on day {day}?" for animal in ANIMALS for day in range(5)]

    def ask(query: str) -> list[tuple[object, ...]]:
        return bits(rerank(query, TALES, encoder, top_n=5, explain="off", cache=cache))

    with never():
        expected = [ask(query) for query in asked]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ask, asked)) == expected


WITHOUT = """
import sys
sys.modules["torch"] = None
import platform
platform.machine = lambda: "arm64"
from fake_encoder import FakeEncoder
import latelens.rounded, latelens.shortlist
from latelens import EmbeddingCache, attribute, rerank
from latelens.index import Chunk, ExactIndex
latelens.shortlist.LEAST_ROWS = latelens.shortlist._ASKED = 1
texts = [f"Zebras eat {i} leaves. Rain fell." for i in range(40)]
encoder, cache = FakeEncoder(), EmbeddingCache()
for _ in range(2):
    ranked = rerank("Who eats 7 leaves?", texts, encoder, top_n=2, cache=cache)
index = ExactIndex(encoder)
index.add(Chunk(text, text) for text in texts)
hit = index.search("Who eats 7 leaves?", 1)[0]
best = ranked[0]
print(latelens.rounded.pays(), best.index, best.score == hit.score, hit.chunk.text, best.evidence[0].text)
print(attribute("Zebras eat 7 leaves.", texts, encoder).claims[0].citations[0].cited_text)
print([name for name in sys.modules if name.partition(".")[0] == "torch" and sys.modules[name] is not None])
"""


def test_scoring_needs_no_torch_and_loads_none() -> None:
    tests = str(Path(__file__).resolve().parents[1])
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{WITHOUT}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "False 7 True Zebras eat 7 leaves. Rain fell. Zebras eat 7 leaves.",
        "Zebras eat 7 leaves.",
        "[]",
    ]


def test_a_processor_without_bfloat16_searches_and_ranks_in_float32(
    kept: KeptRounded[TokenEmbeddings], explained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latelens.shortlist, "pays", latelens.rounded.pays)
    monkeypatch.setattr(latelens.rounded, "_has_bfloat16", lambda: False)
    found = rerank("zebras", TALES, FakeEncoder(dim=64), top_n=2, explain="off", cache=EmbeddingCache())
    assert len(explained) == len(TALES)
    assert not kept._kept
    index = ExactIndex(FakeEncoder(dim=64))
    index.add(Chunk(f"{i:03}", text) for i, text in enumerate(TALES))
    hits = [index.search("zebras", 2) for _ in range(5)][-1]
    assert [(int(hit.chunk.id), hit.score) for hit in hits] == [(one.index, one.score) for one in found]
    assert not index._rounded.kept._kept
