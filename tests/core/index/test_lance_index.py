"""What `LanceIndex` does beyond the suite that every index passes."""

from __future__ import annotations

import importlib
import shutil
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from latelens import TokenEmbeddings
from latelens.index import Chunk
from latelens.index.exact import ExactIndex
from latelens.index.filters import matches, parse_filter

pytest.importorskip("lancedb")

from latelens.index.lance import LanceIndex
from latelens.index.lance import build as lance_build
from latelens.index.lance import lists as lance_lists
from latelens.index.lance import rows as lance_rows
from latelens.index.lance import search as lance_search
from latelens.index.lance.build import _alone
from latelens.index.lance.lists import Lists

WORDS = 60


class Drawn:
    """A chunk ``"7"`` is always the same rows: words of a vocabulary with noise, as contexts give it."""

    def __init__(self, dim: int = 32, length: float = 1.0) -> None:
        self.name, self.dim, self.fingerprint = "drawn", dim, f"drawn-{dim}-{length}"
        vectors = np.random.default_rng(0).standard_normal((WORDS, dim))
        self._words = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._length = length

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return [self._encode(text, 6) for text in texts]

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        return [self._encode(text, 12) for text in texts]

    def _encode(self, text: str, n: int) -> TokenEmbeddings:
        draw = np.random.default_rng(int(text))
        rows = self._words[draw.integers(WORDS, size=n)] + 0.1 * draw.standard_normal((n, self.dim))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows *= draw.uniform(1, self._length, size=(n, 1))
        spans, kinds = np.full((n, 2), -1, dtype=np.int32), np.zeros(n, dtype=np.uint8)
        return TokenEmbeddings(text, rows.astype(np.float32), ("",) * n, spans, kinds)


def drawn(n: int, first: int = 0) -> list[Chunk]:
    return [Chunk(f"c{i}", str(i), {"i": i, "even": i % 2 == 0}) for i in range(first, first + n)]


def indexes(index: LanceIndex) -> list[str]:
    return sorted(folder.name for folder in index.path.glob("lists-*"))


def size(chunks: int) -> int:
    """Bytes of so many of `Drawn`'s chunks as float32 rows."""
    return chunks * 12 * 32 * 4


def ids(hits: Sequence[Any]) -> list[str]:
    return [hit.chunk.id for hit in hits]


@pytest.fixture
def indexed(tmp_path: Path) -> LanceIndex:
    """Four hundred chunks, all in the index."""
    index = LanceIndex(Drawn(), tmp_path / "index", index_from=size(400), candidates=50)
    index.add(drawn(400))
    assert len(indexes(index)) == 1
    return index


# The index of vectors


def test_an_index_is_made_when_it_pays_and_not_before(tmp_path: Path) -> None:
    index = LanceIndex(Drawn(), tmp_path, index_from=size(100))
    index.add(drawn(99))
    assert indexes(index) == []
    index.add(drawn(1, first=99))
    assert len(made := indexes(index)) == 1
    index.add(drawn(99, first=100))
    assert indexes(index) == made
    index.add(drawn(1, first=199))
    assert len(indexes(index)) == 1
    assert indexes(index) != made


def test_persist_makes_the_index_that_an_interrupted_add_did_not(tmp_path: Path) -> None:
    LanceIndex(Drawn(), tmp_path, index_from=None).add(drawn(50))
    index = LanceIndex(Drawn(), tmp_path, index_from=size(50))
    assert indexes(index) == []
    index.persist()
    assert len(indexes(index)) == 1


def test_without_index_from_only_build_index_makes_one(tmp_path: Path) -> None:
    index = LanceIndex(Drawn(), tmp_path, index_from=None)
    index.build_index()  # of nothing
    index.add(drawn(50))
    index.persist()
    assert indexes(index) == []
    index.build_index()
    index.build_index()
    assert len(indexes(index)) == 1


def test_a_search_with_the_index_finds_nearly_all_of_the_best_and_scores_them_exactly(indexed: LanceIndex) -> None:
    exact = ExactIndex(Drawn())
    exact.add(drawn(400))
    found = 0
    for query in map(str, range(1000, 1020)):
        best = {hit.chunk.id: hit.score for hit in exact.search(query, 400)}
        hits = indexed.search(query, 10)
        found += len(set(ids(hits)) & set(list(best)[:10]))
        for hit in hits:
            assert hit.score == best[hit.chunk.id]
            assert -6 <= hit.stages["lance"] <= 6  # a MaxSim of six unit rows, or a rough estimate of one
    assert found >= 0.9 * 200


@pytest.mark.parametrize("rows", ["float32", "float16", "int8"])
def test_hits_are_those_of_the_kept_rows_to_the_bit_with_and_without_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: Any
) -> None:
    encoder = Drawn(length=3)
    index, exact = LanceIndex(encoder, tmp_path, rows=rows, index_from=1), ExactIndex(encoder, rows=rows)
    for each in (index, exact):
        each.add(drawn(300))
    assert len(indexes(index)) == 1
    again = LanceIndex(encoder, tmp_path, candidates=40)
    assert again.row_type == rows
    (kept,), (expected,) = again.rows(["c7"]), exact.rows(["c7"])
    assert kept is not None
    assert expected is not None
    assert kept.vectors.tolist() == expected.vectors.tolist()
    found = []
    for keep_all in (False, True):
        if keep_all:
            monkeypatch.setattr(Lists, "may_be_best", lambda self, query, positions, k: positions)
        assert [hit.score for hit in index.search("1000", 10)] == [hit.score for hit in exact.search("1000", 10)]
        found.append([(hit.chunk.id, hit.score) for i in range(20) for hit in again.search(str(1000 + i), 10)])
    assert found[0] == found[1]


def test_scores_by_small_rows_are_never_off_by_more_than_is_reckoned_with(
    indexed: LanceIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = indexed._table.snapshot()
    assert snapshot is not None
    assert snapshot.lists is not None
    exact = ExactIndex(Drawn())
    exact.add(drawn(400))
    asked: list[tuple[Any, Any]] = []
    keep = lambda scores, k, errors: asked.append((scores, errors)) or np.arange(len(scores))  # noqa: E731
    monkeypatch.setattr(lance_lists, "may_be_best", keep)
    positions = np.arange(0, 400, 3)
    for query in Drawn().encode_queries(["1000", "1001"]):
        snapshot.lists.may_be_best(query.vectors, positions, 10)
        true = {hit.chunk.id: hit.score for hit in exact._search(query, 400, None)}
        expected = np.array([true[f"c{i}"] for i in positions])
        (coarse, error), (fine, less) = asked[-2:]
        assert 0 < np.abs(coarse - expected).max() < error.max() < 0.5
        assert (np.abs(coarse - expected) <= error).all()
        assert (np.abs(fine - expected) <= less).all()
        assert less.max() < error.max() / 50


def test_a_folder_refuses_rows_of_another_type(tmp_path: Path) -> None:
    LanceIndex(Drawn(), tmp_path, rows="int8").add(drawn(2))
    with pytest.raises(ValueError, match="keeps its rows as int8, and rows='float16' was asked for"):
        LanceIndex(Drawn(), tmp_path, rows="float16")
    with pytest.raises(ValueError, match="rows must be 'float32', 'float16' or 'int8', got 'int4'"):
        LanceIndex(Drawn(), tmp_path, rows="int4")  # type: ignore[arg-type]


def test_the_index_takes_any_dimension_and_any_length_of_rows(tmp_path: Path) -> None:
    encoder = Drawn(dim=13, length=3)
    index, exact = LanceIndex(encoder, tmp_path, index_from=size(200), candidates=100), ExactIndex(encoder)
    for each in (index, exact):
        each.add(drawn(200))
    best = {hit.chunk.id: hit for hit in exact.search("1000", 200)}
    hits = index.search("1000", 10)
    assert len(hits) == 10
    for hit in hits:
        assert hit.score == best[hit.chunk.id].score
        document = hit.explanation.document
        assert document.vectors.tolist() == encoder.encode_documents([hit.chunk.text])[0].vectors.tolist()


def test_chunks_that_came_after_the_index_are_found(indexed: LanceIndex) -> None:
    indexed.add(drawn(30, first=400))
    for i in (0, 399, 400, 429):
        query = np.array(Drawn().encode_documents([str(i)])[0].vectors)
        assert query.shape == (12, 32)
        hits = indexed._find([Drawn().encode_documents([str(i)])[0]], 3, None)[0]
        assert hits[0].chunk.id == f"c{i}"
        assert ("lance" in hits[0].stages) == (i < 400)


def test_what_was_replaced_or_deleted_after_the_index_is_not_found(indexed: LanceIndex) -> None:
    seventh = Drawn().encode_documents(["7"])[0]
    indexed.upsert([Chunk("c7", "500", {"new": True})])
    indexed.delete(["c8"])
    found = {hit.chunk.id: hit.chunk.text for hit in indexed._find([seventh], 1000, None)[0]}
    assert len(found) == 399
    assert found["c7"] == "500"
    assert "c8" not in found


def test_as_many_hits_come_back_as_were_asked_for(indexed: LanceIndex) -> None:
    for k in (1, 39, 100, 399, 400, 1000):
        hits = indexed.search("1000", k)
        assert len(set(ids(hits))) == len(hits) == min(k, 400)


def test_what_a_killed_builder_left_is_not_taken_for_an_index_and_goes_with_the_next(indexed: LanceIndex) -> None:
    (whole,) = indexes(indexed)
    shutil.copytree(indexed.path / whole, unfinished := indexed.path / "lists-999999999999-0a.tmp")
    (unfinished / "members.npy").unlink()
    shutil.copytree(indexed.path / whole, indexed.path / "lists-000000000000-0a")  # it was to be deleted
    indexed.add(drawn(30, first=400))
    again = LanceIndex(Drawn(), indexed.path)
    assert len(again.search("1000", 1000)) == 430
    assert set(again._table.snapshot().listed) | set(again._table.snapshot().loose) >= set(again._table.snapshot().ids)
    again.build_index()
    (made,) = indexes(again)
    assert made != whole
    assert len(again.search("1000", 1000)) == 430


def test_two_processes_do_not_make_the_index_at_once(indexed: LanceIndex) -> None:
    before = indexes(indexed)
    with _alone(indexed.path) as alone:
        assert alone
        indexed.build_index()  # by another descriptor, as another process has it
        assert indexes(indexed) == before
    indexed.build_index()
    assert indexes(indexed) != before


def test_merging_files_changes_no_hit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lance_build, "_MOST_FILES", 3)
    index, reader = LanceIndex(Drawn(), tmp_path, index_from=size(60)), LanceIndex(Drawn(), tmp_path)
    exact = ExactIndex(Drawn())
    for first in range(0, 120, 10):
        index.add(drawn(10, first))
        exact.add(drawn(10, first))
        expected = [(hit.chunk.id, hit.score) for hit in exact.search("1000", 120)]
        for each in (index, reader):
            assert [(hit.chunk.id, hit.score) for hit in each.search("1000", 120)] == expected
            assert len(each.search("1000", 120, filter={"even": True})) == len(expected) / 2
    fragments = index._table.writable().stats()["fragment_stats"]["num_fragments"]
    assert fragments < 12


def test_chunks_added_one_by_one_beside_an_index_do_not_pile_up_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_build, "_MOST_FILES", 2)
    index = LanceIndex(Drawn(), tmp_path, index_from=size(50))
    index.add(drawn(50))
    before = indexes(index)
    for i in range(50, 65):
        index.add(drawn(1, first=i))
    assert indexes(index) == before  # it knows chunks by numbers that outlive their files
    assert index._table.writable().stats()["fragment_stats"]["num_fragments"] <= 10
    assert len(index.search("1000", 100)) == 65


def test_vectors_beyond_what_memory_may_take_are_read_at_each_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = LanceIndex(Drawn(), tmp_path)
    index.add(drawn(90))
    expected = ids(index.search("1000", 90))
    monkeypatch.setattr(lance_rows, "_SLICE", 20)
    monkeypatch.setattr(lance_rows, "_MOST_BYTES", 40 * 12 * 32 * 4)
    again = LanceIndex(Drawn(), tmp_path)
    assert ids(again.search("1000", 90)) == expected
    assert sum(len(part.block.ids) for part in again._searching.loose._kept) == 40
    again.delete([expected[0]])
    assert ids(again.search("1000", 90)) == expected[1:]


# Filters


@pytest.mark.parametrize(
    "filter",
    [
        {"i": 5},
        {"i": {"$lt": 30}},
        {"i": {"$gte": 100}, "even": False},
        {"even": True},
        {"$not": {"i": {"$in": [1, 2, 3]}}},
        {"no such key": 1},
    ],
    ids=str,
)
def test_a_filter_holds_for_indexed_and_loose_chunks(indexed: LanceIndex, filter: dict[str, Any]) -> None:
    indexed.add(drawn(20, first=400))
    condition = parse_filter(filter)
    expected = {chunk.id for chunk in drawn(420) if matches(condition, chunk.metadata)}
    assert set(ids(indexed.search("1000", 420, filter=filter))) == expected
    few = ids(indexed.search("1000", 5, filter=filter))
    assert len(few) == min(5, len(expected))
    assert set(few) <= expected


def test_a_filter_is_sql_too(indexed: LanceIndex) -> None:
    indexed.add([Chunk("o'clock", "2000", {"lang": "en", "i": 2000})])
    for sql, expected in [
        ("id IN ('c3', 'c7')", {"c3", "c7"}),
        ("json_get_int(metadata, 'i') BETWEEN 10 AND 12", {"c10", "c11", "c12"}),
        ("json_get_string(metadata, 'lang') = 'en' OR text = '1'", {"o'clock", "c1"}),
        ("id LIKE '%''%'", {"o'clock"}),
        ("id = 'nobody'", set()),
    ]:
        assert set(ids(indexed.search("1000", 10, filter=sql))) == expected
        assert set(indexed.ids(sql)) == {chunk.id for chunk in indexed.chunks(sql)} == expected
    assert len(indexed.search("1000", 5, filter="json_get_bool(metadata, 'even')")) == 5
    assert [ids(hits) for hits in indexed.search_many(["1", "2"], 1, filter="id = 'c3'")] == [["c3"], ["c3"]]


@pytest.mark.parametrize("sql", ["no_such = 1", "id = 'a' OR", ""])
def test_sql_that_cannot_be_used_is_refused_with_the_columns_there_are(indexed: LanceIndex, sql: str) -> None:
    with pytest.raises(ValueError, match=r"SQL filter .* columns are id, document_id, text and metadata"):
        indexed.search("1000", filter=sql)


def test_sql_knows_the_document_and_replacing_it_beside_an_index_loses_nothing(indexed: LanceIndex) -> None:
    for v in range(3):
        assert indexed.replace_document("d", [Chunk(f"d{v}", str(3000 + v)), Chunk("d", str(2000 + v))]) == 2
    assert sorted(indexed.ids("document_id = 'd'")) == ["d", "d2"]
    assert ids(indexed.search("2002", 1, filter="document_id = 'd'")) == ["d"]
    assert ids(indexed.search("2002", 1)) == ["d"]
    assert indexed.count() == 402


def test_ids_are_never_read_as_sql(tmp_path: Path) -> None:
    index = LanceIndex(Drawn(), tmp_path)
    index.add(drawn(3))
    assert index.delete(["c0' OR 1=1 --", "x') OR ('1'='1"]) == 0
    assert index.get(["' OR id='c1"]) == [None]
    assert index.count() == 3


@pytest.mark.parametrize("modulus", [2, 20], ids=["many", "few"])
def test_a_filtered_search_with_the_index_finds_most_of_the_best(tmp_path: Path, modulus: int) -> None:
    chunks = [Chunk(f"c{i}", str(i), {"group": i % modulus}) for i in range(1000)]
    index, exact = LanceIndex(Drawn(), tmp_path, index_from=size(1000), candidates=2), ExactIndex(Drawn())
    for each in (index, exact):
        each.add(chunks)
    for filter in ({"group": 1}, "json_get_int(metadata, 'group') = 1"):
        found = 0
        for query in map(str, range(1000, 1020)):
            best = {hit.chunk.id: hit.score for hit in exact.search(query, 10, filter={"group": 1})}
            hits = index.search(query, 10, filter=filter)
            assert len(hits) == 10
            assert all(hit.chunk.metadata == {"group": 1} for hit in hits)
            found += len(set(ids(hits)) & set(best))
        assert found >= 0.6 * 200


# Words


def test_hybrid_finds_what_the_index_misses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = FakeEncoder(dim=64)
    chunks = [Chunk(f"c{i}", f"alpha beta {i}") for i in range(300)]
    target = Chunk("target", "alpha beta XK-2041")
    dense = LanceIndex(encoder, tmp_path, index_from=1, candidates=20)
    dense.add([*chunks, target])
    hybrid = LanceIndex(encoder, tmp_path, mode="hybrid", candidates=20)
    query = "alpha beta XK-2041"
    monkeypatch.setattr(Lists, "estimates", lambda self, query, probes: -np.arange(len(self), dtype=np.float32))
    assert dense.search(query, 1)[0].chunk != target  # which was read last
    hit = hybrid.search(query, 1)[0]
    assert hit.chunk == target
    assert hit.stages["bm25"] > 0
    assert "lance" not in hit.stages
    assert hit.score == max(found.score for found in ExactIndexOf(encoder, [*chunks, target]).search(query))


def test_words_of_any_script_are_found_and_new_chunks_at_once(tmp_path: Path) -> None:
    index = LanceIndex(FakeEncoder(dim=64), tmp_path, mode="hybrid", index_from=1)
    texts = ["我喜欢自然语言处理", "ภาษาไทยง่าย", "Zażółć gęślą jaźń", "foo@bar.com v1.2.3", "שלום עולם", "snake_case"]
    index.add([Chunk(text, text) for text in texts])
    index.add([Chunk("late", "a latecomer speaks")])
    for query, found in [
        ("语言", texts[0]),
        ("ง่าย", texts[1]),
        ("GESLA", texts[2]),
        ("bar", texts[3]),
        ("עולם", texts[4]),
        ("case", texts[5]),
        ("latecomer", "late"),
    ]:
        with_words = [hit.chunk.id for hit in index.search(query, 10) if "bm25" in hit.stages]
        assert with_words == [found]
    assert not any("bm25" in hit.stages for hit in index.search('?! "(', 10))
    assert not any("bm25" in hit.stages for hit in index.search("speak", 10))
    only = index.search("latecomer", 10, filter={"no": "such"})
    assert only == []


# Several at once


def test_a_reader_that_was_open_before_sees_what_is_written(tmp_path: Path) -> None:
    reader, writer = LanceIndex(Drawn(), tmp_path), LanceIndex(Drawn(), tmp_path)
    assert reader.search("1000") == []
    writer.add(drawn(20))
    assert len(reader.search("1000", 50, filter={"even": True})) == 10
    writer.build_index()
    writer.add(drawn(20, first=20))
    writer.delete(["c0"])
    assert len(reader.search("1000", 50, filter={"even": True})) == 19
    assert reader.count() == 39


def test_two_writers_write_nothing_twice_while_a_third_makes_the_index(tmp_path: Path) -> None:
    LanceIndex(Drawn(), tmp_path, index_from=None).add(drawn(50))
    done = threading.Event()

    def write(step: int) -> None:
        index = LanceIndex(Drawn(), tmp_path, index_from=None)
        for chunk in drawn(40, first=50)[::step]:
            index.add([chunk])
        index.upsert([Chunk(f"c{i}", str(i), {"again": True}) for i in range(5)], batch_size=2)
        index.delete(["c10", "c11"])

    def make() -> None:
        index = LanceIndex(Drawn(), tmp_path, index_from=None)
        while not done.is_set():
            index.build_index()
            hits = index.search("1000", 1000)
            assert len(set(ids(hits))) == len(hits) >= 48

    with ThreadPoolExecutor(3) as pool:
        making = pool.submit(make)
        try:
            for future in [pool.submit(write, 1), pool.submit(write, -1)]:
                future.result()
        finally:
            done.set()
        making.result()
    index = LanceIndex(Drawn(), tmp_path)
    assert index.count() == len(index.search("1000", 1000)) == 88
    assert index.get(["c0"])[0] == Chunk("c0", "0", {"again": True})


def test_searches_and_writes_go_on_while_the_index_is_made(tmp_path: Path) -> None:
    index = LanceIndex(Drawn(), tmp_path, index_from=None)
    index.add(drawn(2000))
    with ThreadPoolExecutor(1) as pool:
        making = pool.submit(index.build_index)
        meanwhile = 0
        while not making.done():
            index.upsert([Chunk(f"c{meanwhile}", str(meanwhile), {"again": True})])
            assert index.search("1000", 3, filter={"again": True})
            meanwhile += 1
        making.result()
    assert meanwhile >= 1
    assert len(indexes(index)) == 1
    assert len(index.search("1000", 2100, filter={"again": True})) == meanwhile
    assert index.count() == len(index.search("1000", 2100)) == 2000


# Refusals


def test_without_lancedb_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("latelens.index.lance", "lancedb"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ImportError, match=r"pip install 'latelens\[lancedb\]'"):
        importlib.import_module("latelens.index.lance")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "sparse"}, "mode must be 'dense' or 'hybrid', got 'sparse'"),
        ({"candidates": 0}, "candidates must be an int of at least 1, got 0"),
        ({"index_from": True}, "index_from must be an int of at least 1, got True"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(tmp_path: Path, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LanceIndex(Drawn(), tmp_path, **arguments)


@pytest.mark.parametrize("path", ["", "s3://bucket/folder", "a\0b"])
def test_a_path_that_is_no_folder_here_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path must name a folder"):
        LanceIndex(Drawn(), path)


def test_a_folder_of_another_kind_of_index_is_refused(tmp_path: Path) -> None:
    ExactIndex(Drawn(), tmp_path).add(drawn(1))
    with pytest.raises(ValueError, match="kind 'exact'"):
        LanceIndex(Drawn(), tmp_path)


def test_open_wants_an_index_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="starts one"):
        LanceIndex.open(tmp_path / "none", Drawn())
    LanceIndex(Drawn(), tmp_path / "some").add(drawn(1))
    assert LanceIndex.open(tmp_path / "some", Drawn()).count() == 1


def ExactIndexOf(encoder: Any, chunks: list[Chunk]) -> ExactIndex:
    index = ExactIndex(encoder)
    index.add(chunks)
    return index


def test_larger_tables_take_more_candidates_unless_told_how_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lance_search, "_CANDIDATES", 10)
    monkeypatch.setattr(lance_search, "_CHUNKS", 30)
    index = LanceIndex(Drawn(), tmp_path, index_from=size(50))
    index.add(drawn(120))
    looked_at: list[int] = []
    original = Lists.may_be_best
    monkeypatch.setattr(
        Lists, "may_be_best", lambda self, query, some, k: looked_at.append(len(some)) or original(self, query, some, k)
    )
    index.search("1000", 2)
    LanceIndex(Drawn(), tmp_path, candidates=7).search("1000", 2)
    assert looked_at == [14, 7]  # 10 times the fourth root of 120 / 30
