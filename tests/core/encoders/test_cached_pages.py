"""The cache keeps pages by their pixels."""

from __future__ import annotations

import pytest
from fake_encoder import FakeEncoder
from page_images import ColourEncoder, painted

from latelens import EmbeddingCache
from latelens.encoders.cached import cached
from latelens.encoders.protocol import PageEncoder, page_encoder
from latelens.patches import Grid

RED = painted((40, 50), {"red": (0, 0, 10, 10)})
BLUE = painted((40, 50), {"blue": (0, 0, 10, 10)})


def test_a_page_is_encoded_once_and_found_by_its_pixels(tmp_path):
    encoder = ColourEncoder(Grid(4, 5), Grid(2, 2))
    behind = page_encoder(cached(encoder, EmbeddingCache(tmp_path)))
    first, second, again = behind.encode_pages([RED, BLUE, RED.copy()])
    assert encoder.encoded == 2
    assert again is first
    assert first.page.image != second.page.image
    (read,) = page_encoder(cached(encoder, EmbeddingCache(tmp_path))).encode_pages([RED])
    assert encoder.encoded == 2
    assert read.page.grids == (Grid(4, 5), Grid(2, 2))
    assert read.page.cells.tolist() == first.page.cells.tolist()
    assert (read.vectors == first.vectors).all()
    assert read.page.image == first.page.image


def test_what_the_cache_returns_is_read_only():
    (page,) = page_encoder(cached(ColourEncoder(), EmbeddingCache())).encode_pages([RED])
    with pytest.raises(ValueError, match="read-only"):
        page.page.cells[0] = 3


def test_an_encoder_of_texts_is_no_page_encoder_behind_a_cache_either():
    behind = cached(FakeEncoder(), EmbeddingCache())
    assert not isinstance(behind, PageEncoder)
    with pytest.raises(TypeError, match="'fake' reads text, not images of pages"):
        page_encoder(behind)


@pytest.mark.parametrize(
    ("pages", "error", "message"),
    [
        ("report.pdf", TypeError, r"pages must be a sequence of pages, got str: open_pages\(path\)"),
        ([RED, 3], TypeError, r"pages\[1\] must be a Page, a picture of Pillow's, a path or .* got int: 3"),
        (["https://example.org/a.png"], ValueError, "nothing is fetched"),
    ],
)
def test_what_is_no_page_is_refused_before_anything_is_encoded(pages, error, message):
    encoder = ColourEncoder()
    with pytest.raises(error, match=message):
        page_encoder(cached(encoder, EmbeddingCache())).encode_pages(pages)
    assert encoder.encoded == 0
