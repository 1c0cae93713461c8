"""`TiledIndex`: tiles find, whole rows decide; what is written is in both."""

from __future__ import annotations

import importlib.util
import pickle
import random
import sys
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder
from page_images import ColourEncoder, painted

from latelens import TilePooling
from latelens.index import EncodedChunk, ExactIndex, Index, LanceIndex, TiledIndex, add_pages
from latelens.pages import open_pages
from latelens.patches import Grid

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from page_tiles import SyntheticPages, recall

ENCODER = ColourEncoder(Grid(4, 4))
NAMES = ("red", "green", "blue", "black", "yellow")


def page_chunk(id: str, *colours: str, document: str = "report.pdf", **metadata) -> EncodedChunk:
    """A page with one patch of each colour, one below the other."""
    blocks = {colour: (0, 10 * i, 10, 10 * i + 10) for i, colour in enumerate(colours)}
    rows = ENCODER.encode_pages([painted((40, 40), blocks)])[0]
    return EncodedChunk(id, "", metadata, document, rows=rows, fingerprint=ENCODER.fingerprint)


def found(index: Index, query: str, k: int = 10, **filter) -> list[tuple[str, float]]:
    return [(hit.chunk.id, hit.score) for hit in index.search(query, k, filter=filter or None)]


@pytest.mark.parametrize("kind", ["exact", "lance"])
def test_the_first_stage_keeps_the_best_pages_of_many(tmp_path, kind):
    if kind == "lance" and importlib.util.find_spec("lancedb") is None:
        pytest.skip("needs lancedb")
    made = {"exact": ExactIndex, "lance": LanceIndex}[kind]
    encoder = SyntheticPages(3, pages=120, side=24)
    pages = made(encoder, tmp_path / "pages")
    pages.add(encoder.chunks())
    index = TiledIndex(pages, made(TilePooling(encoder), tmp_path / "tiles"), candidates=40)
    assert index.catch_up() == 120
    asked = [str(i) for i in range(12)]
    exact, tiled = ([[hit.chunk.id for hit in hits] for hits in each.search_many(asked)] for each in (pages, index))
    assert recall(exact, tiled) >= 0.8  # tiles of 8 x 8 find .62, chance a third
    stored = index.tiles.rows(list(index.tiles.ids()))
    assert {len(rows) for rows in stored} == {6 + 144}
    for one, other in zip(pages.search("3", 1), index.search("3", 1), strict=True):
        assert one.score == other.score
        assert len(other.explanation.document) == 6 + 576
        assert other.stages.keys() == {"tiles"}
        assert other.stages["tiles"] < other.score


def test_a_filter_counts_before_the_candidates_are_chosen():
    index = TiledIndex(ExactIndex(ENCODER), candidates=1)
    index.add([page_chunk(str(i), "red", part=i) for i in range(5)])
    assert found(index, "red", 1, part=4) == [("4", 1.0)]
    assert found(index, "red", 2) == [("0", 1.0), ("1", 1.0)]  # never fewer candidates than wanted
    assert sorted(index.ids({"part": {"$gt": 2}})) == ["3", "4"]


def test_of_more_than_a_thousand_pages_a_tenth_is_scored(monkeypatch):
    index, asked = TiledIndex(ExactIndex(ENCODER)), []
    monkeypatch.setattr(index.tiles, "search_many", lambda queries, k, **_: asked.append(k) or [[] for _ in queries])
    for count in (5, 1000, 4000):
        monkeypatch.setattr(index.tiles, "count", lambda count=count: count)
        index.search("red", 3)
    index.candidates = 7
    index.search("red", 3)
    index.search("red", 9)
    assert asked == [100, 100, 400, 7, 9]


def test_any_order_of_writes_leaves_what_one_index_would_hold():
    draw = random.Random(7)
    index, plain = TiledIndex(ExactIndex(ENCODER)), ExactIndex(ENCODER)
    for _ in range(60):
        some = [page_chunk(str(i), *draw.sample(NAMES, 2), document=f"d{i % 3}") for i in draw.sample(range(9), 2)]
        step = draw.choice(["upsert", "delete", "delete_document", "replace_document"])
        for each in (index, plain):
            if step == "upsert":
                each.upsert(some)
            elif step == "delete":
                each.delete([chunk.id for chunk in some])
            elif step == "delete_document":
                each.delete_document("d1")
            else:
                each.replace_document("d2", [chunk for chunk in some if chunk.document_id == "d2"])
        assert found(index, "red blue") == found(plain, "red blue")
        assert sorted(index.tiles.ids()) == sorted(index.ids()) == sorted(plain.ids())
        assert (index.count(), len(index)) == (plain.count(), plain.count())
    assert index.catch_up() == 0


def test_an_index_that_was_there_is_caught_up_with_and_stays_on_disk(tmp_path):
    pages = ExactIndex(ENCODER, tmp_path / "pages")
    pages.add([page_chunk("1", "red"), page_chunk("2", "blue")])
    tiles = ExactIndex(TilePooling(ENCODER), tmp_path / "tiles")
    index = TiledIndex(pages, tiles)
    assert found(index, "red") == []  # nothing proposes it yet
    assert index.catch_up() == 2
    assert found(index, "red", 1) == [("1", 1.0)]
    pages.delete(["2"])
    again = TiledIndex(ExactIndex(ENCODER, tmp_path / "pages"), ExactIndex(TilePooling(ENCODER), tmp_path / "tiles"))
    assert found(again, "blue") == [("1", 0.0)]  # what is not among the pages is never returned
    assert (again.catch_up(), again.tiles.count()) == (0, 1)


def test_pages_that_are_stored_are_not_encoded_again(tmp_path):
    encoder = ColourEncoder(Grid(4, 4))
    painted((40, 40), {"red": (0, 0, 10, 10)}).save(tmp_path / "red.png")
    index = TiledIndex(ExactIndex(encoder))
    assert [add_pages(index, open_pages(tmp_path / "red.png")) for _ in range(2)] == [1, 0]
    assert encoder.encoded == 1
    assert found(index, "red") == [(f"{tmp_path / 'red.png'}:page_1", 1.0)]


def test_an_index_with_its_tiles_travels_to_another_process(tmp_path):
    index = TiledIndex(ExactIndex(ENCODER, tmp_path / "pages"))
    index.add([page_chunk("1", "red"), page_chunk("2", "blue")])
    again = pickle.loads(pickle.dumps(index))
    assert found(again, "blue", 1) == [("2", 1.0)]
    assert again.search("blue", 1)[0].stages == index.search("blue", 1)[0].stages


def test_tiles_of_another_encoder_are_refused():
    with pytest.raises(TypeError, match="'fake' reads text, not images of pages"):
        TiledIndex(ExactIndex(FakeEncoder()))
    with pytest.raises(
        ValueError, match=r"must be an index with the encoder TilePooling\(pages.encoder\), got .*'other"
    ):
        TiledIndex(ExactIndex(ENCODER), ExactIndex(TilePooling(ColourEncoder(name="other"))))
    with pytest.raises(ValueError, match="got that of 'colours'"):
        TiledIndex(ExactIndex(ENCODER), ExactIndex(ENCODER))
