"""Where on a page each row of the query matched, and what that says of gaps and misses; all answers by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_pdfs import made_pdf
from page_images import ColourEncoder, page_rows, painted

from latelens import cell_matches, contrast, explain, explain_miss
from latelens.pages import open_pages
from latelens.patches import Grid

ENCODER = ColourEncoder(Grid(n_cols=4, n_rows=5))
RED, GREEN = {"red": (30, 0, 40, 10)}, {"green": (0, 40, 10, 50)}


def explained(query, blocks):
    return explain(ENCODER.encode_queries([query])[0], ENCODER.encode_pages([painted((40, 50), blocks)])[0])


def laid(*vectors, grids, prompt=0):
    """A query of two words, a and b, against a page with these rows."""
    query = ENCODER.encode_queries(["red green"])[0]
    page = page_rows(np.array(vectors), grids, prompt=prompt)
    return explain(dataclasses.replace(query, vectors=np.eye(2, 3, dtype=np.float32)), page)


def test_each_row_of_the_query_has_the_cell_that_it_matched():
    red, green = cell_matches(explained("red green", RED | GREEN))
    assert (red.query_row, red.query_token, red.similarity) == (0, "red", 1)
    assert red.box == (0.75, 0, 1, pytest.approx(0.2))
    assert green.box == (0, 0.8, 0.25, 1)
    assert (red.place, green.place) == ("upper half, right", "lower half, left")
    assert not red.coarse


def test_a_match_with_the_prompt_or_with_padding_lies_off_the_page():
    prompt, padding = cell_matches(
        laid([1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], [0, 0, 1], grids=(Grid(2, 2, width=2.0),), prompt=1)
    )
    assert (prompt.box, prompt.place) == (None, "off page")
    assert (padding.box, padding.similarity) == (None, 1)


def test_a_cell_of_the_overview_is_coarse():
    fine, coarse = cell_matches(laid([1, 0, 0], [0, 0, 1], [0, 1, 0], grids=(Grid(2, 1), Grid(1, 1))))
    assert (fine.coarse, fine.box) == (False, (0, 0, 0.5, 1))
    assert (coarse.coarse, coarse.box) == (True, (0, 0, 1, 1))


def test_a_cell_names_whole_words_of_its_page_and_the_page(tmp_path):
    # 612 x 792 points in 4 x 4 cells: "revenue" begins at x = 300 in the second column and reaches into the third.
    (tmp_path / "report.pdf").write_bytes(made_pdf([("revenue", 280, 700), ("profit", 60, 100)]))
    page = open_pages(tmp_path / "report.pdf")[0]
    rows = np.zeros((16, 3))
    rows[1], rows[14] = (1, 0, 0), (0, 1, 0)  # the first line's second cell, and the last line's third
    first, last = cell_matches(laid(*rows, grids=(Grid(4, 4),)), page=page)
    assert (first.words, last.words) == (("revenue",), ())
    assert first.page is page
    assert page.in_points(first.box) == pytest.approx((153, 0, 306, 198))


def test_a_contrast_of_pages_says_where_each_word_is_matched_in_either():
    told = contrast(explained("red green", RED), explained("red green", GREEN))
    red, green = told.words
    assert [cell.box for cell in red.a_cells] == [(0.75, 0, 1, pytest.approx(0.2))]
    assert [cell.box for cell in red.b_cells] == [None]
    assert (red.a, red.b, green.a, green.b) == (1, 0, 0, 1)
    for word in told.words:
        assert (sum(cell.similarity for cell in word.a_cells), sum(cell.similarity for cell in word.b_cells)) == (
            word.a,
            word.b,
        )
    lines = [" ".join(line.split()) for line in str(told).splitlines()]
    assert lines == [
        "gain in A | in B",
        "total +0.000",
        "red +1.000 upper half, right 1.000 | off page 0.000",
        "green -1.000 off page 0.000 | lower half, left 1.000",
    ]


def test_a_miss_says_where_on_the_page_the_best_match_is():
    explanation = explained("red green", RED)
    red, green = explain_miss(explanation.query, explanation.document).words
    assert ([cell.box for cell in red.cells], red.lost) == ([(0.75, 0, 1, pytest.approx(0.2))], 0)
    assert ([cell.box for cell in green.cells], green.lost) == ([None], 1)
    lines = str(explain_miss(explanation.query, explanation.document)).splitlines()
    assert lines[1:] == ["green   1.000  off page", "red     0.000  upper half, right"]


def test_with_the_page_its_words_and_its_name_are_said(tmp_path):
    (tmp_path / "report.pdf").write_bytes(made_pdf([("revenue", 200, 700), ("profit", 60, 100)]))
    page = open_pages(tmp_path / "report.pdf")[0]
    rows = np.zeros((16, 3))
    rows[1], rows[12] = (1, 0, 0), (0, 0.5, 0)
    a, b = laid(*rows, grids=(Grid(4, 4),)), explained("red green", {})
    b = dataclasses.replace(b, query=a.query)
    told = contrast(a, b, page_a=page)
    assert (told.words[0].a_matched, told.words[0].b_matched) == (("revenue",), ())
    assert str(told).splitlines()[0].endswith("in A, report.pdf, page 1 | in B")
    assert "upper half, left (revenue) 1.000 | off page" in str(told)
    red, green = explain_miss(a.query, a.document, page=page).words
    assert (red.matched, green.matched, green.cells[0].page) == (("revenue",), ("profit",), page)
    assert (green.lost, green.cells[0].box) == (0.5, (0, 0.75, 0.25, 1))
    with pytest.raises(TypeError, match="page must be a Page, as open_pages gives them, or None, got str"):
        explain_miss(a.query, a.document, page="report.pdf")


def test_texts_have_no_cells(offline):
    explanation = explain(offline.encode_queries(["rain"])[0], offline.encode_documents(["It rains."])[0])
    assert {word.a_cells for word in contrast(explanation, explanation).words} == {()}
    with pytest.raises(ValueError, match="has no cells of a page"):
        cell_matches(explanation)
