"""Regions on rendered pages: what is painted red is found where it stands, with the words that stand there."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from made_pdfs import turned
from page_images import ColourEncoder
from reportlab.pdfgen.canvas import Canvas

from latelens import explain
from latelens.explanation.regions import find_regions
from latelens.pages import Page, open_pages
from latelens.patches import Grid

# Left, bottom, right, top in points of what is painted, and the lines of each page: text, x, y.
TABLE = (
    (60, 395, 540, 485),
    [(f"{label} item", 72, y) for label, y in zip("abcdefgh", range(700, 460, -30), strict=True)]
    + [("Net revenue", 72, 460), ("4,512", 440, 460), ("Net income", 72, 430), ("1,203", 440, 430)]
    + [("Dividend", 72, 400), ("77", 440, 400), ("Notes follow below", 72, 300)],
)
COLUMNS = (
    (310, 535, 560, 625),
    [(f"left column {i}", 60, y) for i, y in enumerate(range(700, 200, -30))]
    + [(f"right column {i}", 320, y) for i, y in enumerate((700, 670, 640))]
    + [("planted one", 320, 600), ("planted two", 320, 570), ("planted three", 320, 540)]
    + [("right column again", 320, 450)],
)
PLANTED = {
    "table": (TABLE, {"Net revenue", "4,512", "Net income", "1,203", "Dividend", "77"}),
    "columns": (COLUMNS, {"planted one", "planted two", "planted three"}),
}


def rendered(folder: Path, painted, lines, rotation: int) -> Page:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(612, 792), invariant=1)
    left, bottom, right, top = painted
    canvas.setFillColorRGB(1, 0, 0)
    canvas.rect(left, bottom, right - left, top - bottom, stroke=0, fill=1)
    canvas.setFillColorRGB(0, 0, 0)
    canvas.setFont("Helvetica", 14)
    for text, x, y in lines:
        canvas.drawString(x, y, text)
    canvas.showPage()
    canvas.save()
    path = folder / "report.pdf"
    path.write_bytes(turned(out.getvalue(), rotation=rotation))
    return open_pages(path)[0]


def overlap(a, b) -> float:
    """Shared area of two boxes over the area of both."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - shared)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("name", PLANTED)
def test_the_planted_region_is_found_with_its_words(tmp_path, name, rotation):
    (painted, lines), words = PLANTED[name]
    page = rendered(tmp_path, painted, lines, rotation)
    grid = Grid(24, 32) if rotation % 180 == 0 else Grid(32, 24)
    encoder = ColourEncoder(grid)
    explanation = explain(encoder.encode_queries(["red"])[0], encoder.encode_pages([page])[0])
    (region,) = find_regions(explanation, page=page)
    truth = page.frame.shown(np.array([painted], dtype=float))[0].tolist()
    assert overlap(region.box, truth) > 0.5
    assert set(region.words.splitlines()) == words
    assert explanation.document.text == page.text
    crop = region.crop(0)
    red = (np.asarray(crop) == (255, 0, 0)).all(axis=2).mean()
    assert red > 0.5


def test_a_region_on_a_page_without_words_has_none(tmp_path):
    picture = tmp_path / "scan.png"
    page = rendered(tmp_path, *TABLE, 0)
    page.image(72).save(picture)
    scan = open_pages(picture)[0]
    encoder = ColourEncoder(Grid(24, 32))
    explanation = explain(encoder.encode_queries(["red"])[0], encoder.encode_pages([scan])[0])
    (region,) = find_regions(explanation, page=scan)
    assert region.words is None
    assert region.crop(0).size[0] == pytest.approx(480, abs=30)


def test_a_region_grows_to_the_whole_of_the_lines_that_it_touches(tmp_path):
    line = "a long line of words that goes on from side to side of it"
    page = rendered(tmp_path, (250, 495, 350, 540), [(line, 72, 512)], 0)  # painted is its middle
    encoder = ColourEncoder(Grid(24, 32))
    explanation = explain(encoder.encode_queries(["red"])[0], encoder.encode_pages([page])[0])
    (region,) = find_regions(explanation, page=page)
    assert region.words == line
    assert region.box[0] == pytest.approx(72 / 612, abs=0.01)
    assert region.box[2] > 400 / 612


def only_region(page: Page):
    encoder = ColourEncoder(Grid(24, 32))
    (region,) = find_regions(explain(encoder.encode_queries(["red"])[0], encoder.encode_pages([page])[0]), page=page)
    return region


def test_the_label_of_a_row_brings_its_values_and_a_value_its_label(tmp_path):
    label = only_region(rendered(tmp_path, (60, 455, 160, 477), TABLE[1], 0))
    assert label.words.splitlines() == ["Net revenue", "4,512"]
    assert label.box[0] < 0.13
    assert label.box[2] > 440 / 612
    value = only_region(rendered(tmp_path, (430, 425, 500, 447), TABLE[1], 0))
    assert value.words.splitlines() == ["Net income", "1,203"]


def test_words_of_another_column_stay_out_and_so_does_what_stands_beside_a_line_that_runs_up(tmp_path):
    columns = [("left column", 60, 460), ("12 of its words", 320, 460), ("4,512", 520, 700)]
    assert only_region(rendered(tmp_path, (60, 455, 130, 477), columns, 0)).words == "left column"
    encoder, page = ColourEncoder(Grid(32, 24)), rendered(tmp_path, (60, 455, 160, 477), TABLE[1], 90)
    (region,) = find_regions(explain(encoder.encode_queries(["red"])[0], encoder.encode_pages([page])[0]), page=page)
    assert region.words == "Net revenue"
