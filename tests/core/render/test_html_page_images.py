"""The report of page images: maps to shade, regions marked and cut out, and what the score is made of."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from browser import BROWSER
from browser import Page as Browser
from page_images import ColourEncoder, painted
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from latelens import Ranking, find_regions, rerank_pages
from latelens.pages import open_pages
from latelens.patches import Grid
from latelens.render.html import report


@pytest.fixture
def pages(tmp_path):
    for name, blocks in {"a": {"red": (30, 0, 40, 10)}, "b": {"green": (0, 40, 10, 50)}}.items():
        painted((40, 50), blocks).save(tmp_path / f"{name}.png")
    return [open_pages(tmp_path / f"{name}.png")[0] for name in "ab"]


def told(html: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])


def map_of(page: dict, line: int) -> np.ndarray:
    columns, rows, _, _ = page["grid"]
    return np.frombuffer(base64.b64decode(page["heat"][line]), dtype=np.uint8).reshape(rows, columns)


def test_maps_of_the_query_words_are_told_to_the_browser_as_the_grid_lies(pages):
    html = report(rerank_pages("red green", pages, ColourEncoder(Grid(4, 5), Grid(2, 2)))).page()
    first, second = told(html)["pages"]
    assert first["grid"] == [4, 5, 10_000, 10_000]
    red, green, every = (map_of(first, line) for line in range(3))
    assert np.argwhere(red).tolist() == [[0, 3]]
    assert (red[0, 3], green.any(), (red == every).all()) == (255, False, True)
    assert first["won"] == [[[7500, 0, 2500, 2000]], [], [[7500, 0, 2500, 2000]]]  # left, top, width, height
    assert np.argwhere(map_of(second, 1)).tolist() == [[4, 0]]
    assert 'class="ll-here" style="left:75.00%;top:0.00%;width:25.00%;height:20.00%"' in html
    assert "b.png, page 1" in html
    assert html.count('class="ll-page"') == 2
    assert 'aria-label="Explained ranking"' not in html  # no text report: none of them is a text


def test_a_padded_grid_reaches_over_the_page(pages):
    html = report(rerank_pages("red", pages, ColourEncoder(Grid(4, 5, width=1.25, height=1.5)))).page()
    assert told(html)["pages"][0]["grid"] == [4, 5, 12_500, 15_000]


def test_a_cell_of_the_overview_is_framed_and_not_shaded(pages):
    encoder = ColourEncoder(Grid(4, 5), Grid(1, 1))
    encoder._laid = lambda picture, grid: np.eye(16)[[1 if len(grid) == 1 else 0] * len(grid)]
    html = report(rerank_pages("red", pages[:1], encoder)).page()
    (page,) = told(html)["pages"]
    assert page["won"][0] == [[0, 0, 10000, 10000]]
    assert not map_of(page, 0).any()
    assert "(overview)" in html


def test_the_table_sums_to_the_score_with_what_lies_off_the_page(pages):
    (found, _) = rerank_pages("red <b>", pages, ColourEncoder(Grid(4, 5)))
    html = report([found]).page()
    rows = re.findall(r'<tr><th scope="row">(?:<bdi>)?(.*?)(?:</bdi>)?</th>(.*?)</tr>', html)
    cells = {name: re.sub(r"<[^>]*>", " ", rest).split() for name, rest in rows}
    assert cells["red"] == ["upper", "half,", "right", "30", "0", "40", "10", "30", "0", "40", "10", "1.000"]
    assert cells["b"] == ["off", "page", "0.000"]
    exact = [float(value) for value in re.findall(r'<data value="([^"]*)"', html)]
    *lines, on_page, off_page, score = exact
    assert sum(lines) == on_page + off_page == score == 1
    assert "<b>" not in html


def test_one_page_and_its_explanation_show_themselves_in_a_notebook(pages):
    (found, _) = rerank_pages("red", pages, ColourEncoder(Grid(4, 5)))
    assert 'class="ll-page"' in found._repr_html_()
    assert 'class="ll-page"' in Ranking([found])._repr_html_()
    alone = found.explanation._repr_html_()  # knows no page to draw
    assert "per cent of the page" in alone
    assert '<td class="ll-box">75 0 100 20</td>' in alone
    unknown = report([dataclasses.replace(found, page=None, regions=find_regions(found.explanation))])
    assert "per cent of the page" in unknown.page()


def test_pages_that_are_not_drawn_keep_their_ledger(pages, monkeypatch):
    monkeypatch.setattr("latelens.render.html.pages.MOST", 1)
    monkeypatch.setattr("latelens.render.html.ranking.MOST", 1)
    html = report(rerank_pages("red green", pages, ColourEncoder(Grid(4, 5)))).page()
    assert html.count('class="ll-page"') == 1
    assert html.count("What the score is made of") == 2


def test_what_stands_on_a_page_and_in_a_query_is_escaped(tmp_path):
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(612, 792), invariant=1)
    canvas.setFillColorRGB(1, 0, 0)
    canvas.rect(0, 600, 612, 192, stroke=0, fill=1)
    canvas.setFillColorRGB(0, 0, 0)
    canvas.drawString(60, 700, "<script>alert(1)</script> & 'more'")
    canvas.save()
    (tmp_path / "<i>.pdf").write_bytes(out.getvalue())
    pages = open_pages(tmp_path / "<i>.pdf")
    html = report(rerank_pages("red </script><img src=x>", pages, ColourEncoder(Grid(4, 5)))).page()
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "&lt;i&gt;.pdf, page 1" in html
    assert {address[:11] for address in re.findall(r'(?:src|href)="([^"#]+)', html)} == {"data:image/"}


def dense_pages(folder, count=3):
    """Pages full of small text, some lines of it on red."""
    out, rng = io.BytesIO(), np.random.default_rng(0)
    canvas = Canvas(out, pagesize=(612, 792), invariant=1)
    for _ in range(count):
        canvas.setFont("Helvetica", 9)
        canvas.setFillColorRGB(1, 0, 0)
        canvas.rect(40, 400, 530, 100, stroke=0, fill=1)
        canvas.setFillColorRGB(0, 0, 0)
        for y in range(740, 50, -11):
            for x in range(50, 560, 40):
                canvas.drawString(x, y, "".join(map(chr, rng.integers(97, 123, 8).tolist())))
        canvas.showPage()
    canvas.save()
    (folder / "dense.pdf").write_bytes(out.getvalue())
    return open_pages(folder / "dense.pdf")


def test_a_report_of_three_dense_pages_stays_small(tmp_path):
    pages = dense_pages(tmp_path)
    assert min(len(page.text) for page in pages) > 5_000
    query = " ".join(f"word{i}" for i in range(18)) + " red black"
    ranking = rerank_pages(query, pages, ColourEncoder(Grid(32, 32)))
    assert all(found.regions for found in ranking)
    html = report(ranking).page()
    assert html.count('class="ll-page"') == 3
    assert len(html) < 500_000, len(html)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_a_word_shades_its_cells_in_a_browser_and_nothing_is_fetched(pages, tmp_path):
    path = report(rerank_pages("red green", pages, ColourEncoder(Grid(4, 5, width=1.25)))).save(tmp_path / "r.html")
    browser = Browser(tmp_path / "profile")
    try:
        browser.call("Emulation.setDeviceMetricsOverride", width=1000, height=2400, deviceScaleFactor=1, mobile=False)
        browser.open(path)
        press = "[...document.querySelectorAll('.ll-onpages button')].find(b => b.textContent === '{}').click()"
        browser.run(press.format("red"))
        browser.screenshot(tmp_path / "red.png")
        left, top, right, bottom = browser.run(
            "(r => [r.left, r.top, r.right, r.bottom])(document.querySelector('.ll-page').getBoundingClientRect())"
        )
        seen = np.asarray(Image.open(tmp_path / "red.png").convert("RGB")).astype(int)
        page = seen[round(top) + 2 : round(bottom) - 2, round(left) + 2 : round(right) - 2]
        # Red of the page's upper right corner times the warmth of its cell, which reaches from 3/4 * 1.25 of the width.
        rows, columns = np.nonzero((page[:, :, 0] > 180) & (page[:, :, 2] < 60))
        assert rows.max() / len(page) == pytest.approx(0.2, abs=0.02)
        assert columns.min() / page.shape[1] == pytest.approx(0.75, abs=0.02)
        warm = page[round(0.1 * len(page)), round(0.97 * page.shape[1])]
        assert warm.tolist() == pytest.approx([240, 0, 0], abs=12)  # (255, 0, 0) times (240, 140, 30)
        assert browser.run("document.querySelectorAll('.ll-won').length") == 1
        assert browser.run("document.querySelector('.ll-here').hidden")
        browser.run(press.format("all words"))
        assert browser.run("document.querySelectorAll('.ll-won').length") == 2
        assert [one for one in browser.complaints() if not one.startswith("data:")] == []
    finally:
        browser.close()
