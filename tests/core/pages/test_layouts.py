"""Boxes of quotes in the layouts that documents have: they cover the words that were drawn, and no others."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from made_layouts import KINDS, Layout, many_pages
from made_pdfs import column, made_pdf
from page_truth import TEXTS, measure, quotes

from latelens.pages import Pages, locate, open_pages
from latelens.pages.marking import PdfMark, write_marks

QUOTES, SEED = 8, 20
# pdfplumber gives the letters of these from the left as shown: backwards.
BACKWARDS = ["hebrew", "arabic", "rotated 180", "rotated 270 and cropped"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    @functools.cache
    def make(kind: str) -> tuple[Path, Layout, Pages]:
        path, layout = tmp_path_factory.mktemp("made") / "made.pdf", KINDS[kind](SEED)
        path.write_bytes(layout.data)
        return path, layout, open_pages(path)

    return make


def _programs():
    for kind in KINDS:
        for program in TEXTS:
            if program != "pdfplumber" or not kind.startswith(("hebrew", "arabic", "rotated 180", "rotated 270")):
                yield pytest.param(kind, program, id=f"{kind}, {program}")


@pytest.mark.parametrize(("kind", "program"), _programs())
def test_boxes_cover_the_words_of_a_quote_and_no_others(made, kind, program):
    if program == "pymupdf":  # AGPL: measured where someone has it, never installed by us
        pytest.importorskip("pymupdf")
    path, layout, pages = made(kind)
    text = "\n".join(TEXTS[program](path))
    found = measure(pages.all(), layout, quotes(text, layout, QUOTES, 3))
    assert (found.asked, found.located, found.wrong_pages) == (QUOTES, 1, 0)
    assert found.coverage >= 0.98
    assert found.precision >= 0.95


@pytest.mark.parametrize("kind", BACKWARDS)
def test_a_text_that_a_program_gives_backwards_has_no_place(made, kind):
    path, _, pages = made(kind)
    lines = [line for text in TEXTS["pdfplumber"](path) for line in text.splitlines()]
    assert len(lines) > 10
    assert [locate(pages.all(), line) for line in lines[:10]] == [None] * 10


def test_quotes_of_five_hundred_pages_lie_on_their_page(tmp_path):
    layout = many_pages(5)
    path = tmp_path / "made.pdf"
    path.write_bytes(layout.data)
    pages = open_pages(path)
    asked = [quotes(pages[i].text, layout, 1, i)[0] for i in range(0, 500, 50)]
    found = measure(pages.all(), layout, asked)
    assert (found.asked, found.located, found.wrong_pages) == (10, 1, 0)
    assert found.coverage >= 0.98
    assert found.precision >= 0.95


def test_what_was_typed_into_a_form_is_read_where_it_is_drawn(made):
    _, layout, pages = made("form")
    (page,) = pages
    value = layout.pieces[-1]
    word = next(word for word in page.words if word.text == value.text)
    left, top, right, bottom = word.boxes[0]
    assert left < (value.start[0] + value.end[0]) / 2 < right
    image = page.image(144)
    box = page.in_pixels((left, top, right, bottom), image)
    assert min(image.crop(box).convert("L").getdata()) < 100  # ink


def test_a_highlight_in_a_form_is_drawn_with_what_was_typed(made, tmp_path):
    path, _, pages = made("form")
    place = locate(pages.all(), pages[0].text[:120])
    marked = write_marks(pages, [PdfMark(place, "title")], tmp_path / "marked.pdf", heading="heading")
    before, after = (np.asarray(open_pages(file)[0].image(72)).astype(int) for file in (path, marked))
    yellow = (after[:, :, 0] > 240) & (after[:, :, 2] < 200)
    assert yellow.sum() > 500
    assert not yellow[350:].any()  # below are the fields
    assert (before[350:] == after[350:]).all()


def test_words_that_another_program_puts_elsewhere_are_not_taken_from_the_page_before(tmp_path):
    first = column("Nobody reads the chapter that follows this function", top=100)
    second = "int valve_open (const unsigned char name, int size): the name that is read, and its size in bytes."
    path = tmp_path / "made.pdf"
    path.write_bytes(made_pdf(first, [*column(second, top=700), ("Function", 480, 720)]))
    place = locate(open_pages(path).all(), f"valve open der [Function] {second}")
    assert [spot.page for spot in place.spots] == [2]
