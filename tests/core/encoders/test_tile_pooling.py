"""Tiles of patches: means of neighbours, on a grid of their own."""

from __future__ import annotations

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from page_images import ColourEncoder, page_rows, painted

from latelens import PageEncoder, TilePooling
from latelens.encoders.tile_pooling import pool_tiles
from latelens.patches import Grid


def test_a_tile_is_the_mean_of_its_patches_at_length_one():
    vectors = np.eye(7, dtype=np.float32)  # the prompt, then 3 x 2 patches
    pooled = pool_tiles(page_rows(vectors, (Grid(3, 2),), prompt=1))
    prompt, left, right = pooled.vectors.tolist()
    assert prompt == [1, 0, 0, 0, 0, 0, 0]
    assert left == pytest.approx([0, 0.5, 0.5, 0, 0.5, 0.5, 0])
    assert right == pytest.approx([0, 0, 0, 0.5**0.5, 0, 0, 0.5**0.5])  # the last column is alone
    assert pooled.tokens == ("<bos>", "<image>", "<image>")
    assert pooled.page.cells.tolist() == [-1, 0, 1]


def test_tiles_lie_on_the_page_where_their_patches_lay():
    pooled = pool_tiles(page_rows(np.ones((6, 4)), (Grid(3, 2),)))
    assert pooled.page.grids == (Grid(2, 1, width=4 / 3, height=1.0),)
    assert pooled.page.boxes([0, 1]).tolist() == [[0, 0, pytest.approx(2 / 3), 1], [pytest.approx(2 / 3), 0, 1, 1]]


def test_every_grid_of_a_page_has_its_own_tiles():
    pooled = pool_tiles(page_rows(np.ones((16 + 4, 4)), (Grid(4, 4), Grid(2, 2))), side=2)
    assert pooled.page.grids == (Grid(2, 2), Grid(1, 1))
    assert pooled.page.cells.tolist() == [0, 1, 2, 3, 4]
    assert pooled.page.grid_of(slice(None)).tolist() == [0, 0, 0, 0, 1]


def test_rows_that_cancel_out_stay_finite():
    vectors = np.array([[1, 0], [-1, 0], [1, 0], [-1, 0]], dtype=np.float32)
    assert pool_tiles(page_rows(vectors, (Grid(2, 2),))).vectors.tolist() == [[0, 0]]


def test_a_pooled_encoder_finds_the_same_colours_with_fewer_rows():
    encoder = ColourEncoder(Grid(4, 4))
    pooled = TilePooling(encoder)
    assert isinstance(pooled, PageEncoder)
    (page,) = pooled.encode_pages([painted((40, 40), {"red": (0, 0, 20, 20)})])
    assert len(page) == 1 + 4
    (query,) = pooled.encode_queries(["red"])
    assert (query.vectors @ page.vectors.T).tolist() == [[0, 1, 0, 0, 0]]
    assert (pooled.name, pooled.dim) == ("colours, tiles of 2 x 2", encoder.dim)
    assert pooled.fingerprint not in (encoder.fingerprint, TilePooling(encoder, 4).fingerprint)


def test_texts_have_no_tiles():
    with pytest.raises(ValueError, match="'Elephants eat grass' is a text"):
        pool_tiles(FakeEncoder().encode_documents(["Elephants eat grass"])[0])
    with pytest.raises(TypeError, match="'fake' reads text, not images of pages"):
        TilePooling(FakeEncoder()).encode_pages([painted((4, 4), {})])
    with pytest.raises(ValueError, match="side must be an int of at least 1, got 0"):
        TilePooling(ColourEncoder(), 0)
