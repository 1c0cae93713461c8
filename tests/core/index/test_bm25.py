"""Words as a first stage: what BM25 proposes, in which order, under which filter."""

from __future__ import annotations

import math
import subprocess
import sys
import threading

import pytest

from latelens.index.protocol import Chunk
from latelens.index.stages.bm25 import BM25
from latelens.index.stages.first_stage import FirstStage

CHUNKS = [
    Chunk("grass", "Elephants eat grass and bark.", {"year": 2001, "tags": ["food"]}),
    Chunk("trains", "Trains brake late. Elephants cross.", {"year": 1999}),
    Chunk("rain", "It rained all night.", {"year": 2020}),
]


def ids(bm25: BM25, query: str, k: int = 10, **filter: object) -> list[str]:
    return [found.chunk.id for found in bm25.candidates(query, k, filter or None)]


def test_it_is_a_first_stage() -> None:
    assert isinstance(BM25(), FirstStage)


def test_scores_are_those_of_the_formula() -> None:
    k1, b = 1.5, 0.75
    lengths = [5, 5, 4]
    (found,) = BM25(CHUNKS, k1=k1, b=b).candidates("bark", 10)
    idf = math.log(1 + (3 - 1 + 0.5) / (1 + 0.5))
    by_hand = idf * 1 / (1 + k1 * (1 - b + b * lengths[0] / (sum(lengths) / 3)))
    assert found.chunk == CHUNKS[0]
    assert found.score == pytest.approx(by_hand, rel=1e-6)


def test_rare_words_count_more_and_case_does_not() -> None:
    assert ids(BM25(CHUNKS), "ELEPHANTS BRAKE") == ["trains", "grass"]


def test_chunks_without_a_word_of_the_query_are_no_candidates() -> None:
    bm25 = BM25(CHUNKS)
    assert ids(bm25, "rained") == ["rain"]
    assert ids(bm25, "zebra") == ids(bm25, "") == ids(bm25, " … ") == []


def test_nothing_is_found_where_there_is_nothing() -> None:
    assert ids(BM25(), "elephants") == []
    assert ids(BM25([Chunk("blank", " … ")]), "elephants") == []


def test_a_filter_leaves_room_for_the_next_best() -> None:
    bm25 = BM25(CHUNKS)
    assert ids(bm25, "elephants bark", 1) == ["grass"]
    assert ids(bm25, "elephants bark", 1, year={"$lt": 2000}) == ["trains"]
    assert ids(bm25, "elephants bark", 5, tags="food") == ["grass"]
    assert ids(bm25, "elephants", 5, year=1066) == []


def test_equal_scores_come_in_the_order_of_ids() -> None:
    twins = [Chunk(name, "the same words") for name in ("c", "a", "b", "ä")]
    assert ids(BM25(twins), "words", 3) == ["a", "b", "c"]


def test_what_is_added_replaced_and_deleted_counts_at_the_next_query() -> None:
    bm25 = BM25(CHUNKS)
    assert ids(bm25, "zebra") == []
    bm25.add([Chunk("zebra", "A zebra."), Chunk("rain", "No zebra was seen in the rain, none at all.")])
    assert ids(bm25, "zebra") == ["zebra", "rain"]
    assert bm25.delete(["zebra", "zebra", "unknown"]) == 1
    assert ids(bm25, "zebra") == ["rain"]
    assert len(bm25) == 3


@pytest.mark.parametrize(
    ("text", "query"),
    [("Слоны едят траву.", "СЛОНЫ"), ("大象吃草。", "大象吃草"), ("Größe 3.5 €", "grösse 3.5"), ("Straße", "STRASSE")],
)
def test_words_of_any_script_are_found(text: str, query: str) -> None:
    assert ids(BM25([Chunk("x", text), Chunk("y", "other")]), query)[:1] == ["x"]


def test_a_stemmer_joins_forms_of_a_word() -> None:
    assert ids(BM25(CHUNKS), "elephant") == []
    assert ids(BM25(CHUNKS, stem=lambda word: word.removesuffix("s")), "elephant") == ["grass", "trains"]


def test_threads_may_add_and_search_at_once() -> None:
    bm25 = BM25(CHUNKS)
    wrong: list[list[str]] = []

    def search() -> None:
        for _ in range(30):
            if (found := ids(bm25, "bark")) != ["grass"]:
                wrong.append(found)

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for i in range(30):
        bm25.add([Chunk(f"new {i}", f"Something else, number {i}.")])
    for thread in threads:
        thread.join()
    assert wrong == []


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="k1 must be a finite number of at least 0, got -1"):
        BM25(k1=-1)
    with pytest.raises(TypeError, match="what BM25 takes must be a Chunk"):
        BM25(["a text"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="unknown operator '\\$near'"):
        ids(BM25(CHUNKS), "elephants", year={"$near": 2000})


def test_a_missing_bm25s_names_the_command_to_run() -> None:
    code = "import sys; sys.modules['bm25s'] = None; from latelens.index.stages.bm25 import BM25; BM25()"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: BM25 needs bm25s: run `pip install 'latelens[bm25]'`" in out.stderr
