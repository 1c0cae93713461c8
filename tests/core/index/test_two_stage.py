"""Candidates from elsewhere, exact MaxSim over them, a cross-encoder on top."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from latelens import EmbeddingCache, Encoder, rerank
from latelens.bridge.candidates import candidate
from latelens.index import Searcher
from latelens.index.exact import ExactIndex
from latelens.index.protocol import Chunk, Filter
from latelens.index.stages.bm25 import BM25
from latelens.index.stages.first_stage import Candidate
from latelens.index.stages.two_stage import TwoStage

CHUNKS = [
    Chunk("grass", "Herds wander far. Elephants eat grass and bark.", {"year": 2001}),
    Chunk("trains", "Elephants cross the railway. Trains brake late.", {"year": 1999}),
    Chunk("rain", "It rained all night.", {"year": 2020}),
]
QUERY = "What do elephants eat?"


class Fixed:
    """Proposes the same chunks for every query, whatever the filter says."""

    name = "fixed"

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.fixed = candidates
        self.asked: list[tuple[str, int, Filter | None]] = []

    def candidates(self, query: str, k: int, filter: Filter | None) -> Sequence[Candidate]:
        self.asked.append((query, k, filter))
        return self.fixed[:k]


class Awaited(Fixed):
    """Can only be awaited."""

    def candidates(self, query: str, k: int, filter: Filter | None) -> Sequence[Candidate]:
        raise AssertionError("the coroutine is there to be awaited")

    async def acandidates(self, query: str, k: int, filter: Filter | None) -> Sequence[Candidate]:
        assert threading.current_thread() is threading.main_thread()
        await asyncio.sleep(0)
        return super().candidates(query, k, filter)


class Backwards:
    """A cross-encoder that likes short texts."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def predict(self, inputs: list[tuple[str, str]]) -> Any:
        self.read += [text for _, text in inputs]
        return np.array([-len(text) for _, text in inputs], dtype=np.float32)


def ids(hits: Sequence[Any]) -> list[str]:
    return [hit.chunk.id for hit in hits]


def test_it_can_be_searched_like_an_index() -> None:
    assert isinstance(TwoStage(BM25(CHUNKS), FakeEncoder()), Searcher)


def test_hits_are_reranked_with_exact_scores_and_keep_those_of_the_first_stage() -> None:
    proposed = [Candidate(CHUNKS[2], 3.0), Candidate(CHUNKS[1], 2.0), Candidate(CHUNKS[0], 1.0)]
    encoder = FakeEncoder()
    hits = TwoStage(Fixed(proposed), encoder).search(QUERY)
    direct = rerank(QUERY, [chunk.text for chunk in CHUNKS], encoder, explain="off")
    assert ids(hits) == ["grass", "trains", "rain"]
    assert [hit.score for hit in hits] == [ranked.score for ranked in direct]
    assert [dict(hit.stages) for hit in hits] == [{"fixed": 1.0}, {"fixed": 2.0}, {"fixed": 3.0}]
    assert all(math.fsum(match.similarity for match in hit.explanation.matches) == hit.score for hit in hits)


def test_a_first_stage_without_scores_leaves_no_stage() -> None:
    hits = TwoStage(Fixed([Candidate(CHUNKS[0])]), FakeEncoder()).search(QUERY)
    assert dict(hits[0].stages) == {}


def test_with_all_as_candidates_the_result_is_that_of_the_whole_index(offline: Encoder) -> None:
    index = ExactIndex(offline)
    index.add(CHUNKS)
    query = "Which plants are food for the biggest land animals?"
    expected = index.search(query)
    found = TwoStage(Fixed([Candidate(chunk) for chunk in CHUNKS]), offline).search(query)
    assert ids(found) == ids(expected)
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-4)


def test_the_first_stage_is_asked_for_enough() -> None:
    first = Fixed([Candidate(chunk) for chunk in CHUNKS])
    stages = TwoStage(first, FakeEncoder(), candidates=2)
    assert len(stages.search(QUERY, 1)) == 1
    assert len(stages.search(QUERY, 3, filter={"year": {"$gt": 0}})) == 3
    assert first.asked == [(QUERY, 2, None), (QUERY, 3, {"year": {"$gt": 0}})]


def test_a_filter_holds_even_if_the_first_stage_knows_none() -> None:
    stages = TwoStage(Fixed([Candidate(chunk) for chunk in CHUNKS]), FakeEncoder())
    assert ids(stages.search(QUERY, filter={"year": {"$lt": 2010}})) == ["grass", "trains"]
    assert stages.search(QUERY, filter={"year": 1}) == []


def test_of_two_candidates_with_one_id_the_first_counts() -> None:
    twice = [Candidate(CHUNKS[0], 2.0), Candidate(Chunk("grass", "Another text."), 1.0), Candidate(CHUNKS[0], 0.5)]
    (hit,) = TwoStage(Fixed(twice), FakeEncoder()).search(QUERY)
    assert (hit.chunk, dict(hit.stages)) == (CHUNKS[0], {"fixed": 2.0})


def test_no_candidates_and_no_queries_give_nothing() -> None:
    stages = TwoStage(Fixed([]), FakeEncoder(), cross_encoder=Backwards())
    assert stages.search(QUERY) == []
    assert stages.search_many([]) == []


def test_candidates_are_encoded_once() -> None:
    first = Fixed([Candidate(chunk) for chunk in CHUNKS])
    cached, plain = FakeEncoder(), FakeEncoder()
    for encoder, cache in ((cached, EmbeddingCache()), (plain, None)):
        stages = TwoStage(first, encoder, cache=cache)
        stages.search_many([QUERY, "And rain?"])
    assert (len(cached.encoded), len(plain.encoded)) == (3, 6)


def test_many_queries_give_what_each_alone_gives() -> None:
    stages = TwoStage(BM25(CHUNKS), FakeEncoder())
    queries = [QUERY, "Did it rain at night?", "zebra"]
    many = stages.search_many(queries, 2)
    assert [ids(hits) for hits in many] == [ids(stages.search(query, 2)) for query in queries]
    assert [ids(hits) for hits in many] == [["grass", "trains"], ["rain"], []]


async def test_a_coroutine_of_the_first_stage_is_awaited_and_the_rest_leaves_the_loop_free() -> None:
    class Watched(FakeEncoder):
        def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> Any:
            assert threading.current_thread() is not threading.main_thread()
            return super().encode_documents(texts, show_progress=show_progress)

    stages = TwoStage(Awaited([Candidate(chunk, 1.0) for chunk in CHUNKS]), Watched())
    assert ids(await stages.asearch(QUERY)) == ["grass", "trains", "rain"]


async def test_without_a_coroutine_a_thread_searches() -> None:
    stages = TwoStage(BM25(CHUNKS), FakeEncoder())
    assert [ids(hits) for hits in await stages.asearch_many([QUERY] * 3, 1)] == [["grass"]] * 3


def test_an_index_before_a_cross_encoder_is_not_encoded_again() -> None:
    encoder = FakeEncoder()
    index = ExactIndex(encoder)
    index.add(CHUNKS)
    encoder.encoded.clear()
    hits = TwoStage(index, encoder, cross_encoder=Backwards()).search(QUERY)
    assert encoder.encoded == []
    assert [list(hit.stages) for hit in hits] == [["cross_encoder"]] * 3
    assert [hit.score for hit in index.search(QUERY)] == sorted((hit.score for hit in hits), reverse=True)


def test_an_index_of_another_model_gives_candidates_under_its_name() -> None:
    small, large = FakeEncoder("small"), FakeEncoder("large", dim=8192)
    index = ExactIndex(small)
    index.add(CHUNKS)
    hits = TwoStage(index, large, candidates=2).search(QUERY, 2)
    assert ids(hits) == ["grass", "trains"]
    assert large.encoded == [CHUNKS[0].text, CHUNKS[1].text]
    assert [dict(hit.stages) for hit in hits] == [{"small": hit.score} for hit in index.search(QUERY, 2)]


def test_stages_may_stand_on_stages() -> None:
    encoder = FakeEncoder()
    inner = TwoStage(BM25(CHUNKS), encoder)
    hits = TwoStage(inner, encoder, cross_encoder=Backwards()).search(QUERY)
    assert [list(hit.stages) for hit in hits] == [["bm25", "cross_encoder"]] * 2


def test_the_cross_encoder_decides_the_order_and_the_score_stays_maxsim() -> None:
    first, reader = Fixed([Candidate(chunk, 1.0) for chunk in CHUNKS]), Backwards()
    hits = TwoStage(first, FakeEncoder(), cross_encoder=reader).search(QUERY)
    assert ids(hits) == ["rain", "grass", "trains"]
    assert [hit.stages["cross_encoder"] for hit in hits] == [-20.0, -47.0, -47.0]
    assert [list(hit.stages) for hit in hits] == [["fixed", "cross_encoder"]] * 3
    assert [hit.score for hit in hits] == [hit.explanation.score for hit in hits]
    assert hits[1].score > hits[2].score > hits[0].score


def test_the_cross_encoder_reads_the_best_and_every_hit_was_read() -> None:
    first = Fixed([Candidate(chunk) for chunk in CHUNKS])
    reader = Backwards()
    assert len(TwoStage(first, FakeEncoder(), cross_encoder=reader, read_again=2).search(QUERY, 1)) == 1
    assert reader.read == [CHUNKS[0].text, CHUNKS[1].text]
    hits = TwoStage(first, FakeEncoder(), cross_encoder=reader, read_again=1).search(QUERY, 3)
    assert all("cross_encoder" in hit.stages for hit in hits)


def test_a_real_cross_encoder_reads_pairs_by_object_and_by_name(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder
    from tiny_models import save_backbone

    save_backbone(tmp_path / "model", "wordpiece")
    model = CrossEncoder(str(tmp_path / "model"), num_labels=1)
    first = Fixed([Candidate(chunk) for chunk in CHUNKS])
    hits = TwoStage(first, FakeEncoder(), cross_encoder=model).search(QUERY)
    alone = model.predict([(QUERY, hit.chunk.text) for hit in hits])
    assert [hit.stages["cross_encoder"] for hit in hits] == pytest.approx(alone.tolist(), abs=1e-5)
    assert sorted(alone.tolist(), reverse=True) == alone.tolist()
    model.save_pretrained(str(tmp_path / "reader"))
    named = TwoStage(first, FakeEncoder(), cross_encoder=str(tmp_path / "reader")).search(QUERY)
    assert ids(named) == ids(hits)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (np.zeros((3, 2)), r"one number a pair, got shape \(3, 2\)"),
        (np.zeros(2), r"got shape \(2,\) for 3 pairs"),
        (np.array([1.0, math.nan, 0.0]), "not finite"),
    ],
)
def test_a_cross_encoder_of_another_kind_is_refused(scores: Any, message: str) -> None:
    class Wrong:
        def predict(self, inputs: Any) -> Any:
            return scores

    with pytest.raises(ValueError, match=message):
        TwoStage(Fixed([Candidate(chunk) for chunk in CHUNKS]), FakeEncoder(), cross_encoder=Wrong()).search(QUERY)


def test_candidates_from_a_framework_need_no_id_and_no_json() -> None:
    metadata = {"page": np.int64(3), "seen": {1}, "at": Path("x"), "p": np.float32(0.5), "bad": math.nan, 7: "n"}
    one, same = (candidate("text", metadata, score=np.float32(0.25)) for _ in range(2))
    assert one.chunk == same.chunk
    assert dict(one.chunk.metadata) == {"page": 3, "seen": [1], "at": "x", "p": 0.5, "bad": None, "7": "n"}
    assert one.score == 0.25
    assert candidate("text", {"page": 4}).chunk.id != one.chunk.id
    assert candidate("text", metadata, id="mine").chunk.id == "mine"
    assert candidate("text", {}, score=math.nan).score is None
    assert candidate("text", {}, score="high").score is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"candidates": 0}, ValueError, "candidates must be an int of at least 1, got 0"),
        ({"read_again": True}, ValueError, "read_again must be an int of at least 1, got True"),
        ({"first_stage": ["texts"]}, TypeError, "first_stage must be an index or have `name`"),
        ({"encoder": "lightonai/LateOn"}, TypeError, "encoder must come from load_encoder, got str"),
        ({"cross_encoder": 7}, TypeError, r"cross_encoder must be a model's name or have a method predict"),
        ({"cache": 7}, TypeError, "cache must be True, False, a path or an EmbeddingCache"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TwoStage(**{"first_stage": BM25(CHUNKS), "encoder": FakeEncoder(), **arguments})


def test_wrong_searches_are_refused() -> None:
    stages = TwoStage(BM25(CHUNKS), FakeEncoder())
    with pytest.raises(ValueError, match="k must be an int of at least 1, got 0"):
        stages.search(QUERY, 0)
    with pytest.raises(TypeError, match="put it in a list"):
        stages.search_many(QUERY)
    with pytest.raises(TypeError, match=r"queries\[0\] must be a str, got int: 7"):
        stages.search(7)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown operator '\\$near'"):
        stages.search(QUERY, filter={"year": {"$near": 2000}})


def test_rows_of_another_model_or_of_no_index_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rows are of 'other'.*the encoder is 'fake'"):
        TwoStage(BM25(), FakeEncoder(), rows=ExactIndex(FakeEncoder("other")))
    with pytest.raises(TypeError, match=r"rows must be an index of latelens\.index, got BM25"):
        TwoStage(BM25(), FakeEncoder(), rows=BM25())
