"""Pictures of page images without a browser: the overlay, the terminal, and plots that texts have too."""

from __future__ import annotations

import dataclasses
import io
import time

import numpy as np
import pytest
from page_images import ColourEncoder, painted
from reportlab.pdfgen.canvas import Canvas
from rich.console import Console

from latelens import explain, rerank_pages
from latelens.pages import open_pages
from latelens.patches import Grid
from latelens.render.ledger import page_ledger
from latelens.render.pictures import overlay
from latelens.render.terminal import format_ledger, format_ranking

ENCODER = ColourEncoder(Grid(4, 5), Grid(2, 2))


@pytest.fixture
def found(tmp_path):
    """A page of 400 x 500 pixels with text of its own over red, and a green corner."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(200, 250), invariant=1)  # 144 dots an inch: twice as many pixels
    canvas.setFillColorRGB(1, 0, 0)
    canvas.rect(150, 200, 50, 50, stroke=0, fill=1)
    canvas.setFillColorRGB(0, 1, 0)
    canvas.rect(0, 0, 50, 50, stroke=0, fill=1)
    canvas.setFillColorRGB(0, 0, 0)
    canvas.setFont("Helvetica", 8)
    canvas.drawString(160, 225, "4,512")
    canvas.drawString(160, 210, "Net")
    canvas.save()
    (tmp_path / "report.pdf").write_bytes(out.getvalue())
    return rerank_pages("red green x", open_pages(tmp_path / "report.pdf"), ENCODER)[0]


def printed(*shown, width=100) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(*shown)
    return console.file.getvalue()


# Overlay


def test_cells_are_shaded_where_they_lie_and_the_best_is_framed(found):
    picture = np.asarray(overlay(found.explanation, found.page, word="red"))
    assert picture.shape == (500, 400, 3)
    plain = np.asarray(found.page.image())
    changed = np.argwhere((picture != plain).any(axis=2))
    assert changed.min(axis=0).tolist() == [0, 300]
    assert changed.max(axis=0).tolist() == [99, 399]
    assert picture[50, 310].tolist() == [240, 0, 0]  # red times the end of the scale
    assert picture[0, 300].tolist() == [11, 83, 148]
    assert (np.asarray(overlay(found.explanation, found.page, word="x"))[100:400] == plain[100:400]).all()


def test_all_words_together_are_the_warmest_of_them(found):
    picture = np.asarray(overlay(found.explanation, found.page))
    assert picture[50, 310].tolist() == [240, 0, 0]
    assert picture[450, 10].tolist() == [0, 140, 0]  # green times the end of the scale


def test_regions_are_framed(found):
    region = dataclasses.replace(found.regions[0], box=(0.25, 0.5, 0.75, 0.75))
    picture = np.asarray(overlay(found.explanation, found.page, regions=[region]))
    without = np.asarray(overlay(found.explanation, found.page))
    framed = np.argwhere((picture != without).any(axis=2))
    assert (framed.min(axis=0).tolist(), framed.max(axis=0).tolist()) == ([250, 100], [374, 299])
    assert picture[250, 100].tolist() == [200, 40, 40]


def test_a_map_of_a_grid_that_is_not_square_is_not_transposed(tmp_path):
    encoder = ColourEncoder(Grid(n_cols=2, n_rows=5))
    painted((100, 100), {"red": (50, 80, 100, 100)}).save(tmp_path / "a.png")
    (page,) = open_pages(tmp_path / "a.png")
    picture = np.asarray(overlay(rerank_pages("red", [page], encoder)[0].explanation, page))
    changed = np.argwhere((picture != np.asarray(page.image())).any(axis=2))
    assert (changed.min(axis=0).tolist(), changed.max(axis=0).tolist()) == ([80, 50], [99, 99])


def test_a_padded_grid_is_cut_at_the_edges_of_the_page(tmp_path):
    page = painted((100, 100), {"red": (0, 0, 100, 100)})
    page.save(tmp_path / "a.png")
    (opened,) = open_pages(tmp_path / "a.png")
    encoder = ColourEncoder(Grid(4, 4, width=1.25, height=2.0))
    rows = encoder.encode_pages([page])[0]
    vectors = rows.vectors.copy()
    vectors[1:] = 0
    vectors[1 + 1] = encoder.encode_queries(["red"])[0].vectors[0]  # the second column: .3125 to .625 of the width
    explanation = explain(encoder.encode_queries(["red"])[0], dataclasses.replace(rows, vectors=vectors))
    picture = np.asarray(overlay(explanation, opened))
    changed = np.argwhere((picture != np.asarray(page)).any(axis=2))
    assert changed.min(axis=0) == pytest.approx([0, 31], abs=1)
    assert changed.max(axis=0) == pytest.approx([49, 62], abs=1)


def test_an_overlay_names_the_words_that_there_are(found, offline):
    with pytest.raises(ValueError, match="the query has no word 'blue'; its words are 'red', 'green', 'x'"):
        overlay(found.explanation, found.page, word="blue")
    text = explain(offline.encode_queries(["rain"])[0], offline.encode_documents(["It rains."])[0])
    with pytest.raises(ValueError, match="has no cells of a page"):
        overlay(text, found.page)


def test_an_overlay_of_a_large_page_takes_milliseconds(tmp_path):
    painted((1224, 1584), {"red": (0, 0, 300, 300)}).save(tmp_path / "a.png")
    (found,) = rerank_pages("red green blue", open_pages(tmp_path / "a.png"), ColourEncoder(Grid(32, 32)))
    drawn, best = found.page.image(), 1.0
    page = dataclasses.replace(found.page, drawn_by=Drawn(drawn))
    for _ in range(5):
        start = time.process_time()
        overlay(found.explanation, page)
        best = min(best, time.process_time() - start)
    assert best < 0.05, f"{1000 * best:.1f} ms"  # 10 ms on an idle core


@dataclasses.dataclass
class Drawn:
    picture: object

    def draw(self, number, dpi):
        return self.picture


# The score, row by row


def test_each_row_has_its_cell_in_pixels_and_points_and_all_sum_to_the_score(found):
    told = page_ledger(found.explanation, page=found.page)
    red, green, other = told.lines
    assert (red.pixels, red.points) == ((300, 0, 400, 100), (150, 0, 200, 50))
    assert (green.pixels, green.points) == ((0, 400, 100, 500), (0, 200, 50, 250))
    assert (other.pixels, other.points, other.cell.place) == (None, None, "off page")
    assert red.cell.words == ("4,512", "Net")
    assert told.on_page + told.off_page == told.score == sum(line.cell.similarity for line in told.lines) == 2
    assert page_ledger(found.explanation).lines[0].pixels is None


def test_the_terminal_shows_the_ledger_of_a_page(found):
    lines = [" ".join(line.split()) for line in printed(format_ledger(found.explanation, page=found.page)).splitlines()]
    assert "red 300 0 400 100 150 0 200 50 4,512, Net 1.000" in lines
    assert "x off page 0.000" in lines
    assert lines[-4:-1] == ["on the page 2.000", "off page 0.000", "score 2.000"]
    alone = [" ".join(line.split()) for line in printed(format_ledger(found.explanation)).splitlines()]
    assert "red upper half, right 75 0 100 20 1.000" in alone


def test_the_terminal_shows_where_the_regions_are_and_what_stands_there(found):
    lines = [" ".join(line.split()) for line in printed(format_ranking([found])).splitlines()]
    assert lines[:2] == ["1. report.pdf, page 1 score 2.00", "0.33 upper half, right, 5% of the page <- red"]
    assert lines[2:4] == ["4,512", "Net"]
    assert lines[4] == "0.33 lower half, left, 5% of the page <- green"
    assert printed(format_ranking([found], names=["mine"])).startswith("1. mine ")
    none = dataclasses.replace(found, regions=())
    assert "no part of the page stands out" in printed(format_ranking([none]))


def test_nothing_on_a_page_moves_the_cursor(found):
    region = dataclasses.replace(found.regions[0], words="red\x1b[31m\r\nover")
    shown = printed(format_ranking([dataclasses.replace(found, regions=(region,))]))
    assert "\x1b" not in shown
    assert "red\ufffd[31m" in shown


# Plots that texts have too


def test_plots_of_texts_take_pages_or_say_which_one_does(found):
    pytest.importorskip("matplotlib")
    from latelens.render.plot import plot_contrast, plot_document, plot_ranking, plot_similarity

    explanation = found.explanation
    figure = plot_contrast(explanation, explanation, page_a=found.page)
    said = [text.get_text() for axes in figure.axes for each in [axes, *axes.child_axes] for text in each.texts]
    assert "1.00  4,512, Net" in said
    assert "1.00  (upper half, right)" in said
    assert "0.00  (off page)" in said
    ranking = plot_ranking([found])
    labels = [
        label.get_text()
        for axes in ranking.axes
        for each in [axes, *axes.child_axes]
        for label in each.get_yticklabels()
    ]
    assert any("report.pdf, page 1" in label for label in labels)
    heat_map = plot_similarity(explanation)
    labels = [label.get_text() for axes in heat_map.axes for label in axes.get_xticklabels()]
    labels += [text.get_text() for axes in heat_map.axes for each in axes.child_axes for text in each.get_xticklabels()]
    assert {"<bos>", "4, 1", "1, 5", "overview 2, 1"} <= set(labels)  # the prompt, cells, and one of the overview
    with pytest.raises(ValueError, match="an image of a page, of which no word was matched: plot_page draws it"):
        plot_document(explanation)
