"""Every index keeps page images: their cells, and which image they are of."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from index_kinds import KINDS, skip_without
from page_images import ColourEncoder, painted

from latelens.index.protocol import PAGE_IMAGE, Chunk, EncodedChunk
from latelens.patches import Grid

ENCODER = ColourEncoder(Grid(4, 5), Grid(2, 2))
RED = painted((40, 50), {"red": (30, 0, 40, 10)})
BLUE = painted((40, 50), {"blue": (0, 40, 10, 50)})


def page_chunk(id: str, picture, **metadata) -> EncodedChunk:
    rows = ENCODER.encode_pages([picture])[0]
    return EncodedChunk(id, "", metadata, "report.pdf", rows=rows, fingerprint=ENCODER.fingerprint)


@pytest.fixture(params=KINDS, ids=str)
def kind(request):
    skip_without(request.param)
    return request.param


@contextmanager
def opened(kind, folder):
    index = kind.open(ENCODER, folder / "index")
    try:
        yield index
    finally:
        kind.close(index)


def test_pages_come_back_with_their_cells(kind, tmp_path):
    chunk = page_chunk("report.pdf:page_1", RED, page=0)
    with opened(kind, tmp_path) as index:
        assert index.add([chunk, page_chunk("report.pdf:page_2", BLUE, page=1)]) == 2
    with opened(kind, tmp_path) as index:
        if not kind.durable:
            index.add([chunk, page_chunk("report.pdf:page_2", BLUE, page=1)])
        hit = index.search("red", 1)[0]
        (stored,) = index.rows(["report.pdf:page_1"])
        for rows in (stored, hit.explanation.document):
            assert rows.page.grids == (Grid(4, 5), Grid(2, 2))
            assert rows.page.cells.tolist() == chunk.rows.page.cells.tolist()
            assert rows.page.image == chunk.metadata[PAGE_IMAGE]
            assert rows.tokens == chunk.rows.tokens
        (match,) = hit.explanation.matches
        assert stored.page.boxes([match.document_row]).tolist() == [[0.75, 0, 1, 0.2]]
        assert index.get(["report.pdf:page_1"])[0].metadata == {"page": 0, PAGE_IMAGE: stored.page.image}
        assert sorted(index.ids({PAGE_IMAGE: {"$exists": True}})) == ["report.pdf:page_1", "report.pdf:page_2"]


def test_two_scans_without_text_are_two_contents(kind, tmp_path):
    with opened(kind, tmp_path) as index:
        assert index.add([page_chunk("scan", RED)]) == 1
        assert index.add([page_chunk("scan", RED)]) == 0
        with pytest.raises(ValueError, match="id 'scan' is there already with another text or metadata"):
            index.add([page_chunk("scan", BLUE)])
        assert index.upsert([page_chunk("scan", BLUE)]) == 1
        assert index.search("blue", 1)[0].score == 1
        assert index.replace_document("report.pdf", [page_chunk("scan", BLUE)]) == 0
        assert index.replace_document("report.pdf", [page_chunk("scan", RED)]) == 1


def test_rows_of_another_image_than_the_metadata_name_are_refused():
    known = page_chunk("scan", RED)
    with pytest.raises(ValueError, match="encode the page's own image"):
        EncodedChunk("scan", "", known.metadata, rows=ENCODER.encode_pages([BLUE])[0], fingerprint=ENCODER.fingerprint)
    assert Chunk("scan", "", {}).metadata == {}
