"""`rerank_pages`, and pages in an index: where each page answers, and what travels with it."""

from __future__ import annotations

import dataclasses
import json

import pytest
from fake_encoder import FakeEncoder
from made_pdfs import made_pdf
from page_images import ColourEncoder, painted

from latelens import EmbeddingCache, find_regions, read_evidence, read_regions, rerank_pages
from latelens.bridge.metadata import to_metadata
from latelens.index import ExactIndex, add_pages
from latelens.index.protocol import PAGE_IMAGE
from latelens.pages import open_pages
from latelens.patches import Grid

ENCODER = ColourEncoder(Grid(4, 5), Grid(2, 2))
RED = painted((40, 50), {"red": (30, 0, 40, 10)})
BOTH = painted((40, 50), {"red": (0, 0, 10, 10), "green": (0, 40, 10, 50)})


@pytest.fixture
def report(tmp_path):
    (tmp_path / "report.pdf").write_bytes(made_pdf([("Net revenue 4,512", 100, 500)], [("Notes", 100, 500)]))
    return tmp_path / "report.pdf"


def test_pages_are_ordered_by_their_score_and_keep_their_place_in_the_input():
    ranking = rerank_pages("red green", [RED, BOTH, painted((40, 50), {})], ENCODER)
    assert [(found.index, found.score) for found in ranking] == [(1, 2), (0, 1), (2, 0)]
    assert [region.query_words for region in ranking[0].regions] == [("red",), ("green",)]
    assert ranking[0].evidence == ()
    assert ranking[0].relevance is None
    assert [found.index for found in rerank_pages("red", [RED, BOTH], ENCODER, top_n=1)] == [0]
    assert len(rerank_pages("red green", [RED, BOTH], ENCODER, min_score=1.5)) == 1
    assert rerank_pages("red", [RED], ENCODER, explain="off")[0].regions == ()
    assert len(rerank_pages("red green", [BOTH], ENCODER, max_regions=1)[0].regions) == 1
    assert rerank_pages("red", [], ENCODER) == []


def test_pages_are_encoded_once_with_a_cache():
    encoder, cache = ColourEncoder(), EmbeddingCache()
    for _ in range(2):
        rerank_pages("red", [RED, BOTH], encoder, cache=cache)
    assert encoder.encoded == 2


def test_a_page_of_a_file_gives_its_words(report):
    pages = open_pages(report)
    (best, _) = rerank_pages("black white", pages, ColourEncoder(Grid(1, 40)))
    assert any(region.page is pages[best.index] for region in best.regions)


def test_whatever_is_given_as_a_page_comes_back_as_one(tmp_path):
    RED.save(tmp_path / "red.png")
    data = (tmp_path / "red.png").read_bytes()
    ranking = rerank_pages("red", [RED, tmp_path / "red.png", data], ENCODER)
    assert [found.page.name for found in ranking] == ["picture, page 1", "red.png, page 1", "the bytes given, page 1"]
    for found in ranking:
        assert (found.page.width, found.page.height, found.page.image().size) == (40, 50, (40, 50))
        assert found.page.image(144).size == (80, 100)
        assert found.regions[0].crop(0).getcolors() == [(100, (255, 0, 0))]


def test_what_is_wrong_is_refused():
    with pytest.raises(TypeError, match="'fake' reads text, not images of pages"):
        rerank_pages("red", [RED], FakeEncoder())
    with pytest.raises(TypeError, match="pages must be a sequence of pages, got str"):
        rerank_pages("red", "report.pdf", ENCODER)
    with pytest.raises(TypeError, match="query must be a str, got int"):
        rerank_pages(3, [RED], ENCODER)
    with pytest.raises(ValueError, match="max_regions"):
        rerank_pages("red", [RED], ENCODER, max_regions=0)
    with pytest.warns(UserWarning, match="no visible text"):
        rerank_pages(" ", [RED], _Silent())


class _Silent(ColourEncoder):
    def _query(self, text):
        return super()._query("white")


def test_what_travels_with_a_page_is_small_json_that_is_read_back():
    (found,) = rerank_pages("red green", [BOTH], ENCODER)
    metadata = to_metadata(found, query="red green", model="colours", rank=1, tokens=True)
    assert json.loads(json.dumps(metadata)) == metadata
    assert (metadata["kind"], metadata["grid"], metadata["off_page"]) == ("page", [4, 5], 0)
    assert (metadata["evidence"], metadata["uncovered"], metadata["relevance"]) == ([], [], None)
    assert [token["box"] for token in metadata["tokens"]] == [[0, 0, 0.25, 0.2], [0, 0.8, 0.25, 1]]
    chunk = {"metadata": {"latelens": metadata}}
    assert read_evidence(chunk) == []
    read = read_regions(chunk)
    assert [(region.box, region.query_words, region.drop) for region in read] == [
        (region.box, region.query_words, region.drop) for region in found.regions
    ]
    assert len(json.dumps({**metadata, "tokens": None})) < 2048
    assert read_regions({"metadata": {}}) == []


def test_words_of_a_region_are_cut_to_stay_small(tmp_path):
    lines = [(f"line {i} of many words that stand on a dense page", 60, 760 - 14 * i) for i in range(50)]
    (tmp_path / "dense.pdf").write_bytes(made_pdf(lines))
    (found,) = rerank_pages("white", open_pages(tmp_path / "dense.pdf"), ColourEncoder(Grid(2, 2)))
    metadata = to_metadata(found, query="white", model="colours", rank=1)
    assert len(found.regions[0].words) > 1000
    assert metadata["regions"][0]["words"].endswith("…")
    assert len(json.dumps(metadata)) < 2048


@pytest.mark.parametrize("letter", ["a", "é", "界", "😀"])
def test_what_travels_with_a_page_is_small_in_every_script(letter):
    blocks = {"red": (0, 0, 10, 10), "green": (30, 40, 40, 50), "blue": (30, 0, 40, 10)}
    (found,) = rerank_pages("red green blue", [painted((40, 50), blocks)], ENCODER)
    regions = tuple(dataclasses.replace(region, words=letter * 3000) for region in found.regions)
    assert len(regions) == 3
    metadata = to_metadata(dataclasses.replace(found, regions=regions), query="red green blue", model="colours", rank=1)
    for region in metadata["regions"]:
        assert region["words"].strip(letter) == "…"
        assert len(region["words"].encode()) <= 240
    assert len(json.dumps(metadata, ensure_ascii=False).encode()) < 2048


def test_pages_of_a_file_are_added_once_and_found(report):
    encoder = ColourEncoder()
    index = ExactIndex(encoder)
    assert add_pages(index, open_pages(report), metadata={"year": 2026}) == 2
    assert add_pages(index, open_pages(report), metadata={"year": 2026}) == 0
    assert encoder.encoded == 2
    (chunk,) = index.get([f"{report}:page_1"])
    assert (chunk.text, chunk.document_id) == ("Net revenue 4,512", str(report))
    assert {key: chunk.metadata[key] for key in ("source", "page", "year")} == {
        "source": str(report),
        "page": 0,
        "year": 2026,
    }
    report.write_bytes(made_pdf([("Net revenue 4,512", 300, 500)], [("Notes", 100, 500)]))  # moved: the same text
    assert add_pages(index, open_pages(report), metadata={"year": 2026}) == 1
    assert add_pages(index, open_pages(report)) == 2
    hit = index.search("white", 1, filter={PAGE_IMAGE: {"$exists": True}})[0]
    assert find_regions(hit.explanation)
    with pytest.raises(TypeError, match="reads text, not images"):
        add_pages(ExactIndex(FakeEncoder()), open_pages(report))
