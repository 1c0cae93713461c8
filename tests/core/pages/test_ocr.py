"""RapidOCR reads the words of a scan, with the weights of its package."""

from __future__ import annotations

import pytest
from made_pdfs import column, made_pdf
from PIL import Image

from latelens.pages import RapidReader, locate, open_pages

pytest.importorskip("rapidocr", reason="the extra latelens[ocr] is not installed")
pytest.importorskip("onnxruntime", reason="the extra latelens[ocr] is not installed")

TEXT = "The filter is changed every 500 hours of operation. Net revenue rose to 4,512 in 2024."


def test_the_words_of_a_scan_have_the_boxes_of_the_text_that_was_printed(tmp_path):
    (tmp_path / "printed.pdf").write_bytes(made_pdf(column(TEXT, width=50, top=120), size=(612, 160)))
    printed = open_pages(tmp_path / "printed.pdf")[0]
    printed.image(150).save(tmp_path / "scan.png", dpi=(150, 150))
    plain = open_pages(tmp_path / "scan.png")[0]
    assert (plain.text, plain.text_from) == ("", "")

    scan = open_pages(tmp_path / "scan.png", word_reader=RapidReader(threads=1))[0]
    assert scan.text_from == "rapidocr"
    assert scan.text.split() == TEXT.split()
    for read, there in zip(scan.words, printed.words, strict=True):
        assert scan.in_points(read.boxes[0]) == pytest.approx(printed.in_points(there.boxes[0]), abs=5)
    place = locate([scan], "Net revenue rose to 4,512")
    assert scan.text[slice(*place.spots[0].spans[0])].split() == ["Net", "revenue", "rose", "to", "4,512"]


def test_an_empty_picture_has_no_words():
    assert RapidReader(threads=1).read_words(Image.new("RGB", (200, 100), "white")) == []


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="threads must be at least 1"):
        RapidReader(threads=0)
    with pytest.raises(ValueError, match="min_confidence must be between 0 and 1"):
        RapidReader(min_confidence=2)
