"""`Hybrid`: by hand, with words that match only each other."""

from __future__ import annotations

import numpy as np
import pytest
from fake_encoder import FakeEncoder

pytest.importorskip("bm25s")

from latelens.evaluation.hybrid import choice_by, choose_weight, ndcg_by_weight
from latelens.index import BM25, Chunk, ExactIndex, Searcher
from latelens.index.stages.hybrid import Hybrid


class FirstLetters(FakeEncoder):
    """Its rows are those of the words' first letters: "zx81" and "zebra" are the same to it."""

    def _encode(self, text: str):
        letters = super()._encode(" ".join(word[0] + "." * (len(word) - 1) for word in text.split()))
        return type(letters)(text, letters.vectors, letters.tokens, letters.spans, letters.kinds)


CHUNKS = [
    Chunk("zebra", "zebra parts", {"shelf": 1}),
    Chunk("zx81", "zx81 parts are out of stock", {"shelf": 1}),
    Chunk("wheels", "spare wheels are round", {"shelf": 2}),
    Chunk("other", "no word in common", {"shelf": 2}),
]
QUERY = "zx81 parts"


@pytest.fixture
def index() -> ExactIndex:
    index = ExactIndex(FirstLetters())
    index.add(CHUNKS)
    return index


def ids(searcher: Searcher, query: str = QUERY, k: int = 4, **options: object) -> list[str]:
    return [hit.chunk.id for hit in searcher.search(query, k, **options)]  # type: ignore[arg-type]


def test_without_a_weight_it_is_the_index(index: ExactIndex) -> None:
    hybrid = Hybrid(index, BM25(CHUNKS))
    assert isinstance(hybrid, Searcher)
    assert ids(hybrid) == ids(index)
    assert ids(index)[0] == "zebra", "the shorter of two that match alike to the model"
    assert [dict(hit.stages) for hit in hybrid.search(QUERY)] == [{}] * 4


def test_the_order_is_that_of_the_weighted_sum_and_the_score_stays_maxsim(index: ExactIndex) -> None:
    words = BM25(CHUNKS)
    found = {one.chunk.id: one.score for one in words.candidates(QUERY, 9)}
    assert list(found) == ["zx81", "zebra"]
    hits = Hybrid(index, words, weight=0.5).search(QUERY, 4)
    assert [hit.chunk.id for hit in hits][:2] == ["zx81", "zebra"]
    exact = {hit.chunk.id: hit for hit in index.search(QUERY, 4)}
    for hit in hits:
        assert hit.score == exact[hit.chunk.id].score
        share = found.get(hit.chunk.id, 0.0) / found["zx81"]
        expected = 0.5 * hit.score / exact["zebra"].score + 0.5 * share
        assert hit.stages["hybrid"] == pytest.approx(expected)
        assert hit.stages.get("bm25") == found.get(hit.chunk.id)


def test_what_only_the_words_find_is_scored_by_stored_rows_and_filters_hold_for_both(index: ExactIndex) -> None:
    words = BM25([*CHUNKS, Chunk("elsewhere", "zx81 zx81 parts parts")])
    hybrid = Hybrid(index, words, weight=0.9, candidates=1)
    assert ids(hybrid, k=1) == ["zebra"], "the first of the words is not in the index"
    index.add([Chunk("elsewhere", "zx81 zx81 parts parts")])
    index.encoder.encoded.clear()  # type: ignore[attr-defined]
    assert ids(hybrid, k=1) == ["elsewhere"]
    assert index.encoder.encoded == []  # type: ignore[attr-defined]
    assert set(ids(Hybrid(index, words, weight=0.5), filter={"shelf": 2})) == {"wheels", "other"}
    assert ids(Hybrid(ExactIndex(FirstLetters()), words, weight=0.5)) == []


def test_a_weight_is_chosen_where_words_help_beyond_doubt_and_only_there(index: ExactIndex) -> None:
    index.add(Chunk(f"z{i}", f"z{i} parts in stock") for i in range(30))
    words = BM25(index.chunks())
    helped = {f"z{i} parts": {f"z{i}"} for i in range(30)}
    choice = choose_weight(index, words, helped)
    assert choice.weight > 0
    assert choice.ndcg[choice.weight] == pytest.approx(1.0)
    assert 0 < choice.gain[1] <= choice.gain[0] <= choice.gain[2]
    assert ids(Hybrid(index, words, weight=choice.weight), "z7 parts", 1) == ["z7"]
    values = ndcg_by_weight(index, words, {"z7 parts": {"z7"}, "spare wheels": {"wheels"}}, weights=[0.0, 0.5])
    assert values[0.5].tolist() == [1.0, 1.0]
    index.add([Chunk("right", "ab cheese"), Chunk("rival", "common and very common")])
    harmed = choose_weight(index, BM25(index.chunks()), {f"a{i} common": {"right"} for i in range(9)})
    assert (harmed.weight, harmed.ndcg[0.0], harmed.ndcg[0.5]) == (0.0, 1.0, 0.5)
    doubtful = choose_weight(index, BM25(index.chunks()), {"z7 parts": {"z7"}, "a1 common": {"right"}})
    assert doubtful.weight == 0.0


def test_a_gain_that_is_beyond_doubt_for_one_weight_may_not_be_for_the_best_of_many() -> None:
    better = np.array([0.1] * 12 + [-0.05] * 9)
    tried = {0.0: np.zeros(21), **{weight / 10: better for weight in range(1, 7)}}
    assert choice_by({0.0: tried[0.0], 0.1: better}).weight == 0.1
    assert choice_by(tried).weight == 0.0
    assert choice_by({0.0: tried[0.0]}).gain == (0.0, 0.0, 0.0)


def test_a_weight_near_zero_keeps_the_order_of_maxsim(index: ExactIndex) -> None:
    """What a sum of relevances did not: they know a text's length."""
    index.add(Chunk(f"long{i}", f"zebra parts {'and more ' * i}") for i in range(9))
    nothing = ExactIndex(FirstLetters())
    assert ids(Hybrid(nothing, BM25(CHUNKS), weight=0.5)) == []
    scores = [hit.score for hit in Hybrid(index, BM25(index.chunks()), weight=1e-9).search(QUERY, 13)]
    assert scores == [hit.score for hit in index.search(QUERY, 13)]
    assert len(set(scores)) > 1


def test_wrong_arguments_are_refused(index: ExactIndex) -> None:
    words = BM25(CHUNKS)
    with pytest.raises(ValueError, match="weight must be between 0 and 1 or None, got 2"):
        Hybrid(index, words, weight=2)
    with pytest.raises(TypeError, match=r"index must be an index of latelens\.index, got BM25"):
        Hybrid(words, words)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="words must be a BM25 or another first stage, got str: 'bm25'"):
        Hybrid(index, "bm25")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give questions with the ids of their right chunks"):
        choose_weight(index, words, {})
