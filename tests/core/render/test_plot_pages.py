"""`plot_page`: the words of a page shaded by what a word of the query finds in them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from made_pdfs import column, made_pdf
from page_images import ColourEncoder, painted

from latelens import explain, rerank
from latelens.pages import open_pages
from latelens.patches import Grid

pytest.importorskip("matplotlib")
from matplotlib.colors import to_rgba

from latelens.render.plot import plot_page
from latelens.render.plot.sheet import COLOURS

TEXT = "The filter is changed every 500 hours of operation. A clogged filter lets the pressure fall below two bar."


@pytest.fixture
def page(tmp_path):
    (tmp_path / "made.pdf").write_bytes(made_pdf(column(TEXT, width=40)))
    return open_pages(tmp_path / "made.pdf")[0]


def panels(figure):
    found = [axes for axes in figure.axes for axes in [axes, *axes.child_axes]]
    return [axes for axes in found if axes.get_label().startswith("page-")]


def test_each_panel_frames_the_words_that_hold_a_match(page, offline):
    (found,) = rerank("filter changed", [page.text], offline)
    for panel in panels(plot_page(found.explanation, page)):
        framed = [patch.get_bbox().extents for patch in panel.patches if patch.get_gid() == "won"]
        word = panel.get_title().split()[0]
        boxes = [one.boxes[0] for one in page.words if one.text == word]
        assert framed
        assert all(any(pytest.approx(box, abs=1e-6) == tuple(frame) for box in boxes) for frame in framed)


def test_a_word_has_the_colour_of_its_similarity_on_one_scale(page, offline):
    (found,) = rerank("filter changed", [page.text], offline)
    figure = plot_page(found.explanation, page, scale=(0.0, 2.0))
    best = max(match.similarity for match in found.explanation.matches)
    for panel in panels(figure):
        colours = [patch.get_facecolor()[:3] for patch in panel.patches if patch.get_fill()]
        assert len(colours) == len(page.words)
        assert min(sum(colour) for colour in colours) >= sum(to_rgba(COLOURS(best / 2))[:3]) - 1e-6


def test_words_that_are_left_out_are_counted(page, offline):
    (found,) = rerank("How often is the filter changed?", [page.text], offline)
    figure = plot_page(found.explanation, page, max_panels=2)
    assert len(panels(figure)) == 2
    foot = [text.get_text() for axes in figure.axes for text in axes.texts if text.get_gid() == "foot"]
    assert "left out: 4" in " ".join(foot[0].split())
    with pytest.raises(ValueError, match="max_panels must be an int of at least 1"):
        plot_page(found.explanation, page, max_panels=0)


def test_cells_of_a_page_image_are_shaded_and_those_that_won_framed(tmp_path):
    picture = tmp_path / "scan.png"
    (scan := painted((40, 50), {"red": (30, 0, 40, 10)})).save(picture)
    encoder = ColourEncoder(Grid(4, 5), Grid(2, 2))
    explanation = explain(encoder.encode_queries(["red"])[0], encoder.encode_pages([scan])[0])
    (panel,) = panels(plot_page(explanation, open_pages(picture)[0]))
    _, cells = panel.images
    assert np.argwhere(cells.get_array() == 1).tolist() == [[0, 3]]
    assert cells.get_extent() == [0, 1, 1, 0]
    assert (panel.get_xlim(), panel.get_ylim()) == ((0, 1), (1, 0))
    framed = [tuple(patch.get_bbox().extents) for patch in panel.patches if patch.get_gid() == "won"]
    assert framed == [pytest.approx((0.75, 0, 1, 0.2))]
    assert "off page" not in panel.get_title()


def test_what_the_prompt_won_is_said_to_be_off_the_page(tmp_path):
    picture = tmp_path / "scan.png"
    (scan := painted((40, 50), {})).save(picture)
    encoder = ColourEncoder(Grid(4, 5))
    page = encoder.encode_pages([scan])[0]
    query = encoder.encode_queries(["red"])[0]
    vectors = page.vectors.copy()
    vectors[0] = query.vectors[0]
    explanation = explain(query, dataclasses.replace(page, vectors=vectors))
    (panel,) = panels(plot_page(explanation, open_pages(picture)[0]))
    assert panel.get_title() == "red  1.00  (off page: 1 of 1)"
    assert not [patch for patch in panel.patches if patch.get_gid() == "won"]
