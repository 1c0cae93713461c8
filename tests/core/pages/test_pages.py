"""`open_pages`: text, words and boxes of PDFs and images."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from made_pdfs import column, locked, made_pdf, turned
from PIL import Image
from tiny_pdf import tiny_pdf

from latelens.pages import Page, SeenWord, open_pages
from latelens.pages.characters import assemble
from latelens.pages.geometry import Frame, in_pixels, in_words


def saved(folder: Path, data: bytes, name: str = "report.pdf") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def ink(image: Image.Image) -> tuple[int, int, int, int]:
    """The smallest box around what is not white."""
    rows, columns = np.nonzero(np.asarray(image.convert("L")) < 128)
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def test_a_word_has_its_place_in_points(tmp_path):
    page = open_pages(saved(tmp_path, made_pdf([("Hello world", 100, 500)])))[0]
    hello, world = page.words
    left, top, right, bottom = page.in_points(hello.boxes[0])
    assert (hello.text, world.text) == ("Hello", "world")
    assert left == pytest.approx(100, abs=0.1)
    assert right == pytest.approx(100 + 27.34, abs=0.1)  # Helvetica's widths: H 722, e 556, l 222, l 222, o 556
    assert top < 792 - 500 - 8
    assert 792 - 500 < bottom < 792 - 500 + 4


@pytest.mark.parametrize("crop", [None, (80, 450, 300, 620), (0, 480, 612, 530)])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("turn", [0, 90])
def test_the_box_lies_on_the_ink_however_the_page_is_turned_and_cropped(tmp_path, rotation, crop, turn):
    data = turned(made_pdf([("Egg", 120, 490)], font=24, turn=turn), rotation=rotation, crop=crop)
    page = open_pages(saved(tmp_path, data))[0]
    image = page.image(144)
    (word,) = page.words
    (box,) = word.boxes
    left, top, right, bottom = page.in_pixels(box, image)
    seen = ink(image)
    assert left - 1 <= seen[0]
    assert top - 1 <= seen[1]
    assert seen[2] <= right + 1
    assert seen[3] <= bottom + 1
    shown = (seen[2] - seen[0]) * (seen[3] - seen[1])
    if crop is None:
        assert shown > 0.5 * (right - left) * (bottom - top)
    assert image.size == (round(page.width * 2), round(page.height * 2))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_lines_come_in_order_however_the_page_and_its_text_are_turned(tmp_path, rotation, turn):
    across, down = {0: (0, -15), 90: (15, 0), 180: (0, 15), 270: (-15, 0)}[turn]
    lines = [(text, 300 + i * across, 400 + i * down) for i, text in enumerate(["the first", "the next", "the last"])]
    page = open_pages(saved(tmp_path, turned(made_pdf(lines, turn=turn), rotation=rotation)))[0]
    assert page.text == "the first\nthe next\nthe last"
    assert len(page.boxes_of(0, len(page.text))) == 3


def test_a_box_goes_back_to_the_coordinates_of_the_file():
    generator = np.random.default_rng(3)
    for rotation in (0, 90, 180, 270):
        frame = Frame(10, 20, 210, 320, rotation)
        near, far = generator.uniform((10, 20), (100, 150)), generator.uniform((110, 160), (210, 320))
        shown = frame.shown(np.array([[*near, *far]]))[0]
        assert frame.stored(tuple(shown.tolist())) == pytest.approx((*near, *far), abs=1e-3)


def test_what_lies_outside_the_crop_box_has_text_and_no_box(tmp_path):
    data = turned(made_pdf([("seen", 100, 500), ("hidden", 100, 700)]), crop=(0, 400, 612, 600))
    page = open_pages(saved(tmp_path, data))[0]
    assert {word.text: len(word.boxes) for word in page.words} == {"seen": 1, "hidden": 0}


def test_a_line_has_one_box_and_a_wide_gap_parts_it(tmp_path):
    lines = [
        ("One line of text", 72, 700),
        ("and a second one", 72, 685),
        ("left cell", 72, 600),
        ("right cell", 300, 600),
    ]
    page = open_pages(saved(tmp_path, made_pdf(lines)))[0]
    assert len(page.boxes_of(0, len(page.text))) == 4
    start = page.text.index("line of")
    ((left, _, right, _),) = page.boxes_of(start, start + 7)
    first, second = page.words[1], page.words[2]
    assert (left, right) == (first.boxes[0][0], second.boxes[0][2])
    assert page.boxes_of(3, 4) == ()  # a space


def test_text_and_boxes_have_the_same_characters(shared_data):
    for path in sorted((shared_data / "pdfs").glob("*.pdf")):
        for page in open_pages(path)[:8]:
            assert len(page.text) == len(page.boxes) == len(page.lines)
            assert (np.diff(page.lines) >= 0).all()
            white = np.array([character.isspace() for character in page.text], dtype=bool)
            assert np.isnan(page.boxes[white]).all()
            assert np.nanmin(page.boxes) >= 0
            assert np.nanmax(page.boxes) <= 1
            assert all(page.text[word.start : word.end] == word.text for word in page.words)


def test_a_word_hyphenated_at_the_end_of_a_line_is_one_word_with_two_boxes_and_the_hyphen_in_the_first(shared_data):
    page = open_pages(shared_data / "pdfs" / "qed_tacl2021.pdf")[3]
    word = next(word for word in page.words if word.text == "determine")
    first, second = word.boxes
    assert first[1] < second[1]
    assert second[2] < first[0]
    # The line is set flush: its hyphen ends where the line above ends.
    above = page.text.rindex("\n", 0, page.text.rindex("\n", 0, word.start))
    assert first[2] == pytest.approx(page.boxes_of(above, page.text.index("\n", above + 1))[0][2], abs=0.005)


def test_codes_become_text():
    assert assemble([0x41, 0xFFFE, 0x0D, 0x0A, 0x42]).text == "AB"
    assert assemble([0xD83D, 0xDE00]).text == "\U0001f600"
    assert assemble([0xD83D, 0x41]).text == "\ufffdA"
    assert assemble([0x41, 0x00, 0x07, 0x42]).text == "AB"
    assert assemble([0x41, 0x20, 0x20, 0x0D, 0x0A, 0x0A, 0x42]).text == "A\n\nB"
    assert assemble([0xFB03, 0x09, 0x2028]).text == "ffi\n"
    assert assemble([]).text == ""


def test_right_to_left_text_comes_in_reading_order_with_boxes_from_the_right(tmp_path):
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont
    from reportlab.pdfgen.canvas import Canvas

    pdfmetrics.registerFont(TTFont("DejaVu", _font()))
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(400, 200), invariant=1)
    canvas.setFont("DejaVu", 14)
    canvas.drawString(100, 100, "שלום עולם"[::-1])  # as a program without bidi writes it: glyphs from the left
    canvas.save()
    page = open_pages(saved(tmp_path, out.getvalue()))[0]
    first, second = page.words
    assert (first.text, second.text) == ("שלום", "עולם")
    assert first.boxes[0][0] > second.boxes[0][2]


def _font() -> str:
    from matplotlib import font_manager

    return font_manager.findfont("DejaVu Sans")


def test_pages_are_a_sequence_that_reads_a_page_when_it_is_asked_for(tmp_path):
    pages = open_pages(saved(tmp_path, tiny_pdf("one", "two", "three")))
    assert (len(pages), pages[-1].text, pages[1].number) == (3, "three", 2)
    assert [page.text for page in pages[1:]] == ["two", "three"]
    assert pages[1].id == f"{pages.path}:page_2"
    assert pages[1] is pages[1]
    with pytest.raises(IndexError, match="has 3 pages"):
        pages[3]


def test_pages_have_the_labels_that_the_pdf_gives_them(tmp_path):
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(tiny_pdf("a", "b", "c"))))
    writer.set_page_label(0, 1, style="/r")
    writer.set_page_label(2, 2, style="/D", start=1)
    writer.write(tmp_path / "labels.pdf")
    assert [page.label for page in open_pages(tmp_path / "labels.pdf")] == ["i", "ii", "1"]
    assert [page.label for page in open_pages(saved(tmp_path, tiny_pdf("a", "b")))] == ["1", "2"]


def test_a_page_without_a_text_layer_says_so(tmp_path):
    page = open_pages(saved(tmp_path, tiny_pdf("", "text")))[0]
    assert (page.text, page.text_from, page.words) == ("", "", ())
    assert page.image().size == (1224, 1584)


def test_many_threads_read_and_draw_one_file(tmp_path):
    texts = [f"page {i} of many" for i in range(12)]
    pages = open_pages(saved(tmp_path, tiny_pdf(*texts)))
    found: list[list[str]] = []

    def read() -> None:
        found.append([page.text for page in pages])
        pages[3].image(20)
        found.append([page.text for page in open_pages(pages.path)])

    threads = [threading.Thread(target=read) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [texts] * 12


def test_a_password_is_asked_for(tmp_path):
    path = saved(tmp_path, locked(tiny_pdf("secret"), "open sesame"))
    with pytest.raises(ValueError, match=r"report\.pdf: asks for a password"):
        open_pages(path)
    with pytest.raises(ValueError, match="asks for another password"):
        open_pages(path, password="wrong")
    assert open_pages(path, password="open sesame")[0].text == "secret"


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7 and nothing else", tiny_pdf("x")[:200]])
def test_a_damaged_pdf_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match=r"report\.pdf: is no readable PDF"):
        open_pages(saved(tmp_path, data))


def test_what_is_no_page_is_refused(tmp_path):
    with pytest.raises(ValueError, match="neither a PDF nor a PNG, JPEG or TIFF"):
        open_pages(saved(tmp_path, b"some text", "notes.txt"))
    with pytest.raises(ValueError, match="is a folder"):
        open_pages(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_pages(tmp_path / "nothing.pdf")
    with pytest.raises(ValueError, match="max_pixels must be an int of at least 1"):
        open_pages(tmp_path / "nothing.pdf", max_pixels=0)
    with pytest.raises(ValueError, match="dpi must be"):
        open_pages(saved(tmp_path, tiny_pdf("x")))[0].image(0)


def test_a_huge_page_is_drawn_within_the_limit(tmp_path):
    path = saved(tmp_path, made_pdf([("far", 9000, 9000)], size=(14400, 14400), font=900))
    page = open_pages(path, max_pixels=250_000)[0]
    image = page.image(300)
    assert image.width * image.height <= 250_000
    left, top, right, bottom = page.in_pixels(page.words[0].boxes[0], image)
    seen = ink(image)
    assert left - 1 <= seen[0] <= right
    assert top - 1 <= seen[1] <= bottom


def test_a_page_with_too_many_characters_is_read_in_part_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("latelens.pages.pdfium.MAX_CHARACTERS", 100)
    page = open_pages(saved(tmp_path, made_pdf(column("many words " * 40))))[0]
    assert (len(page.text) <= 100, page.complete) == (True, False)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF"])
def test_an_image_is_a_page(tmp_path, name):
    path = tmp_path / f"scan.{name.lower()}"
    Image.new("RGB", (300, 600), "white").save(path, name, dpi=(150, 150))
    (page,) = open_pages(path)
    assert (page.width, page.height) == pytest.approx((144, 288), abs=0.2)
    assert page.text_from == ""
    assert page.image().size == (300, 600)
    assert page.image(75).size == pytest.approx((150, 300), abs=1)


def test_a_tiff_has_many_pages(tmp_path):
    frames = [Image.new("L", (40 + i, 50), 255 - i) for i in range(3)]
    frames[0].save(tmp_path / "fax.tiff", save_all=True, append_images=frames[1:])
    pages = open_pages(tmp_path / "fax.tiff")
    assert [page.image().size for page in pages] == [(40, 50), (41, 50), (42, 50)]
    assert pages[2].image().getpixel((0, 0)) == (253, 253, 253)


def test_a_photo_is_turned_as_its_exif_says(tmp_path):
    photo = Image.new("RGB", (80, 40), "white")
    photo.paste("black", (0, 0, 10, 10))  # upper left as stored
    exif = Image.Exif()
    exif[274] = 6  # turn clockwise to show
    photo.save(tmp_path / "photo.png", exif=exif)
    (page,) = open_pages(tmp_path / "photo.png")
    assert (page.width, page.height) == (40, 80)
    assert ink(page.image()) == (30, 0, 40, 10)


def test_an_image_with_too_many_pixels_is_refused(tmp_path):
    Image.new("1", (5000, 5000)).save(tmp_path / "big.png")
    with pytest.raises(ValueError, match=r"5,000 x 5,000 pixels, more than 16,000,000"):
        open_pages(tmp_path / "big.png")[0]


def test_a_truncated_image_is_refused(tmp_path):
    Image.effect_noise((200, 200), 50).save(tmp_path / "cut.png")
    data = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="is no readable image"):
        open_pages(tmp_path / "cut.png")[0].image()


class _Reader:
    """Reads the same two lines from every picture."""

    name = "two lines"

    def __init__(self, box=(20, 10, 80, 30)):
        self.box = box

    def read_words(self, image):
        return [
            [SeenWord("Net", self.box), SeenWord(" revenue", (90, 10, 190, 30))],
            [SeenWord("", (0, 0, 5, 5))],
            [SeenWord("4,512", (20, 40, 70, 60))],
        ]


def test_a_reader_of_words_gives_a_scan_its_text(tmp_path):
    Image.new("RGB", (200, 100), "white").save(tmp_path / "scan.png")
    (page,) = open_pages(tmp_path / "scan.png", word_reader=_Reader())
    assert (page.text, page.text_from) == ("Net revenue\n4,512", "two lines")
    assert page.words[0].boxes[0] == pytest.approx((0.1, 0.1, 0.4, 0.3))
    ((left, _, right, _),) = page.boxes_of(0, 11)  # one box a line
    assert (left, right) == pytest.approx((0.1, 0.95))


def test_a_reader_whose_box_is_no_box_is_refused(tmp_path):
    Image.new("RGB", (200, 100), "white").save(tmp_path / "scan.png")
    with pytest.raises(ValueError, match=r"'two lines' read 'Net' in the box"):
        open_pages(tmp_path / "scan.png", word_reader=_Reader(box=(1, float("nan"), 3, 4)))[0]


def test_boxes_become_pixels_and_words():
    assert in_pixels((0.0, 0.0, 1.0, 1.0), 7, 9) == (0, 0, 7, 9)
    assert in_pixels((0.111, 0.5, 0.119, 0.51), 100, 100) == (11, 50, 12, 51)
    assert in_words((0.05, 0.6, 0.45, 0.7)) == "lower half, left"


def test_a_page_shows_itself(tmp_path):
    page = open_pages(saved(tmp_path, tiny_pdf("hello")))[0]
    assert isinstance(page, Page)
    assert repr(page).endswith("report.pdf:page_1', 612 x 792 points, 'hello')")
