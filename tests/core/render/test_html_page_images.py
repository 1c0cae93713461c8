"""The report of page images: cells to shade, regions marked and cut out."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from page_images import ColourEncoder, painted

from latelens import rerank_pages
from latelens.pages import open_pages
from latelens.patches import Grid
from latelens.render.html.pages import page_report


@pytest.fixture
def pages(tmp_path):
    for name, blocks in {"a": {"red": (30, 0, 40, 10)}, "b": {"green": (0, 40, 10, 50)}}.items():
        painted((40, 50), blocks).save(tmp_path / f"{name}.png")
    return [open_pages(tmp_path / f"{name}.png")[0] for name in "ab"]


def told(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])


def test_cells_are_told_to_the_browser_where_they_lie(pages):
    ranking = rerank_pages("red", pages, ColourEncoder(Grid(4, 5), Grid(2, 2)))
    html = page_report(ranking, pages).page()
    first, second = told(html)["pages"]
    assert len(first["boxes"]) == 20
    (won,) = first["won"][0]
    assert first["boxes"][won][1:] == [7500, 0, 2500, 2000]  # ten-thousandths: left, top, width, height
    assert first["heat"][0][won] == 100
    assert set(second["heat"][0]) == {0}
    assert "page's cells" in html
    assert 'class="ll-here" style="left:75.00%;top:0.00%;width:25.00%;height:20.00%"' in html
    assert "b.png" in html


def test_a_cell_of_the_overview_is_framed_and_not_shaded(pages):
    encoder = ColourEncoder(Grid(4, 5), Grid(1, 1))
    encoder._laid = lambda picture, grid: np.eye(16)[[1 if len(grid) == 1 else 0] * len(grid)]
    (found, _) = rerank_pages("red", pages, encoder)
    (cells, _) = told(page_report([found], pages).page())["pages"] * 2
    (won,) = cells["won"][0]
    assert cells["boxes"][won] == [20, 0, 0, 10000, 10000]
    assert cells["heat"][0][won] == 0


def test_a_report_of_three_pages_stays_small(tmp_path):
    rng = np.random.default_rng(0)
    grid = Grid(32, 32)
    pages = []
    for i in range(3):
        left, top = rng.integers(0, 600, 2).tolist()
        painted((1224, 1584), {"red": (left, top, 900, 900)}).save(tmp_path / f"{i}.png")
        pages.append(open_pages(tmp_path / f"{i}.png")[0])
    html = page_report(rerank_pages("where is the red and the green of them", pages, ColourEncoder(grid)), pages).page()
    assert len(html) < 500_000
