"""A chunk's text laid on its page: words and token rows have boxes."""

from __future__ import annotations

import numpy as np
import pytest
from made_pdfs import column, made_pdf

from latelens.pages import lay, open_pages

TEXT = "The filter is changed every 500 hours of operation. A clogged filter lets the pressure fall below two bar."


@pytest.fixture
def page(tmp_path):
    (tmp_path / "made.pdf").write_bytes(made_pdf(column(TEXT, width=40)))
    return open_pages(tmp_path / "made.pdf")[0]


def test_every_row_of_a_page_has_the_box_of_its_word(page, offline):
    (encoded,) = offline.encode_documents([page.text])
    boxes = lay(page, page.text).row_boxes(encoded.spans)
    assert boxes.shape == (len(encoded), 4)
    assert boxes.dtype == np.float32
    content = encoded.content_rows()
    assert np.isnan(np.delete(boxes, content, axis=0)).all()
    for row in content.tolist():
        start, end = encoded.spans[row].tolist()
        (word,) = [word for word in page.words if word.start <= start and end <= word.end]
        left, top, right, bottom = word.boxes[0]
        assert left - 1e-6 <= boxes[row, 0] < boxes[row, 2] <= right + 1e-6
        assert (top, bottom) == pytest.approx(boxes[row, [1, 3]].tolist(), abs=1e-6)


def test_text_by_another_program_has_the_boxes_of_its_words(page):
    other = TEXT.replace("filter", "ﬁlter").replace("changed every", "changed  every").upper()
    laid = lay(page, other)
    start = other.index("500")
    assert laid.boxes_of(start, start + 3) == next(word for word in page.words if word.text == "500").boxes
    lines = laid.boxes_of(0, len(other))
    assert len(lines) == 3


def test_a_text_that_is_elsewhere_has_no_boxes(page):
    laid = lay(page, "Nothing of this stands on the page that was opened for the test of it.")
    assert laid.boxes_of(0, 20) == ()
    assert np.isnan(laid.row_boxes(np.array([[0, 7], [-1, -1]], dtype=np.int32))).all()
    assert lay(page, "").boxes_of(0, 0) == ()
