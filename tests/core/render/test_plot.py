"""What the pictures draw, read back from their artists: frames, bars, colours and lines, not pixels."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import warnings

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from hypothesis import given
from hypothesis import strategies as st

from latelens import Encoder, Explanation, Ranked, TokenEmbeddings, contrast, explain, find_evidence, rerank

pytest.importorskip("matplotlib", reason="matplotlib is not installed")

from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from latelens.render.plot import Picture, plot_contrast, plot_document, plot_ranking, plot_similarity
from latelens.render.plot.lines import wrap
from latelens.render.plot.sheet import COLOURS, MISSING, drawable

QUERY = "What do elephants eat in the dry season?"
PAGE = (
    "The park opens at six. Elephants live in herds led by an old female, and they walk far. In the dry season they "
    "eat bark, roots and dry grass. It costs $5 or $6 to enter.\n\nLions sleep most of the day. Bring water!"
)
RAIN = "The rain in Spain falls mainly on the plain."


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", ".*cannot read")  # of a script, which is not what is drawn here
        yield


@pytest.fixture(scope="module")
def page(offline: Encoder) -> Explanation:
    return _explain(offline, QUERY, PAGE)


@pytest.fixture(scope="module")
def ranked(offline: Encoder) -> list[Ranked]:
    return rerank(QUERY, [RAIN, PAGE, "Elephants eat grass."], offline)


def _explain(encoder: Encoder, query: str, document: str) -> Explanation:
    [asked], [found] = encoder.encode_queries([query]), encoder.encode_documents([document])
    return explain(asked, found)


def _panel(figure: Figure, label: str) -> Axes:
    [axes] = [axes for axes in figure.findobj(Axes) if axes.get_label() == label]
    return axes


def _drawn(axes: Axes, kind: type, gid: str) -> list:
    return [artist for artist in axes.findobj(kind) if artist.get_gid() == gid]


def _bars(axes: Axes) -> list[Rectangle]:
    return [bar for container in axes.containers for bar in container.patches]


def _said(figure: Figure, gid: str) -> str:
    [text] = [text for text in figure.findobj(Text) if text.get_gid() == gid]
    return text.get_text()


def _framed_values(figure: Figure) -> list[float]:
    """Similarities of the framed cells, from the top."""
    cells = _panel(figure, "similarity")
    [mesh] = [child for child in cells.get_children() if isinstance(child, QuadMesh)]
    corners, values = mesh.get_coordinates(), mesh.get_array()
    found = []
    for frame in sorted(_drawn(cells, Rectangle, "winner"), key=lambda frame: frame.get_y()):
        column = corners[0, :, 0].searchsorted(frame.get_x() + 0.5) - 1
        row = corners[:, 0, 1].searchsorted(frame.get_y() + 0.5) - 1
        found.append(float(values[row, column]))
    return found


def test_the_frames_stand_on_the_winners(page):
    figure = plot_similarity(page, max_columns=1000)
    cells = _panel(figure, "similarity")
    columns = {x: i for i, x in enumerate(cells.get_xticks())}
    rows = {y: i for i, y in enumerate(cells.get_yticks())}
    frames = [(frame.get_y() + 0.5, frame.get_x() + 0.5) for frame in _drawn(cells, Rectangle, "winner")]
    expected = [(match.query_row, match.document_row) for match in page.matches]
    assert [(rows[y], columns[x]) for y, x in frames] == expected
    assert _framed_values(figure) == pytest.approx([match.similarity for match in page.matches])


def test_a_frame_is_not_cut_by_the_white_around_its_neighbour(page):
    cells = _panel(plot_similarity(page), "similarity")
    frames, halos = _drawn(cells, Rectangle, "winner"), _drawn(cells, Rectangle, "halo")
    assert [halo.get_xy() for halo in halos] == [frame.get_xy() for frame in frames]
    assert max(halo.get_zorder() for halo in halos) < min(frame.get_zorder() for frame in frames)


def test_the_bars_are_the_contributions_and_sum_to_the_score_in_the_title(page):
    figure = plot_similarity(page)
    bars = _bars(_panel(figure, "contributions"))
    assert [bar.get_width() for bar in bars] == pytest.approx([match.similarity for match in page.matches])
    assert math.fsum(bar.get_width() for bar in bars) == pytest.approx(page.score)
    assert _said(figure, "head") == f"score {page.score:.3f} = sum of {len(page.query)} framed similarities"
    centres = [bar.get_y() + bar.get_height() / 2 for bar in bars]
    assert centres == pytest.approx(list(_panel(figure, "similarity").get_yticks()))


def test_rows_without_text_stand_apart_in_grey(page):
    figure = plot_similarity(page)
    cells = _panel(figure, "similarity")
    places = cells.get_yticks()
    assert places[1] - places[0] > 1.2  # [CLS]
    assert places[2] - places[1] == pytest.approx(1)
    names = {label.get_text(): label for label in cells.get_yticklabels()}
    assert names["[CLS]"].get_color() != names["elephants"].get_color()
    grey, blue = (_bars(_panel(figure, "contributions"))[i].get_facecolor() for i in (0, 1))
    assert grey != blue


def test_a_long_document_shows_every_match_and_says_what_it_leaves_out(page):
    figure = plot_similarity(page, max_columns=24)
    cells = _panel(figure, "similarity")
    assert len(cells.get_xticks()) <= 24 < len(page.document)
    assert _framed_values(figure) == pytest.approx([match.similarity for match in page.matches])
    shown = len(cells.get_xticks())
    assert f"{shown} of {len(page.document)} document rows shown" in _said(figure, "foot")
    assert len(_drawn(cells, Text, "gap")) == sum(np.diff(cells.get_xticks()) > 1.6)


def test_a_long_query_shows_its_strongest_words_and_the_rest_as_a_sum():
    words = [f"word{i}" for i in range(80)]
    explanation = _explain(FakeEncoder(), " ".join(words), " ".join(words[::2]))
    figure = plot_similarity(explanation)
    shown = [bar.get_width() for bar in _bars(_panel(figure, "contributions"))]
    assert shown == pytest.approx([1.0] * 36)
    rest = explanation.score - 36
    assert (
        _said(figure, "head")
        == f"score {explanation.score:.3f} = 36.000 for the 36 rows shown + {rest:.3f} for 45 more"
    )


def test_a_piece_of_a_word_is_labelled_by_its_characters(offline):
    figure = plot_similarity(_explain(offline, "megaherbivore", "A megaherbivore"))
    labels = [label.get_text() for label in _panel(figure, "similarity").get_xticklabels()]
    assert labels[:4] == ["[CLS]", "A", "mega", "·her"]


def test_all_pictures_of_a_query_share_their_colours(offline, ranked):
    maps = [plot_similarity(item.explanation) for item in ranked]
    meshes = [mesh for figure in maps for mesh in _panel(figure, "similarity").findobj(QuadMesh)]
    assert {mesh.get_clim() for mesh in meshes} == {(0.0, 1.0)}
    [mesh] = _panel(plot_similarity(ranked[0].explanation, scale=(0.2, 0.8)), "similarity").findobj(QuadMesh)
    assert mesh.get_clim() == (0.2, 0.8)
    with pytest.raises(ValueError, match="low below high"):
        plot_similarity(ranked[0].explanation, scale=(1, 0))


def test_rows_that_are_not_unit_vectors_stretch_the_scale():
    spans, kinds = np.array([[0, 1]], dtype=np.int32), np.zeros(1, dtype=np.uint8)
    query = TokenEmbeddings("a", np.array([[3.0, 4.0]], dtype=np.float32), ("a",), spans, kinds)
    [mesh] = _panel(plot_similarity(explain(query, query)), "similarity").findobj(QuadMesh)
    assert mesh.get_clim() == (0.0, 25.0)


def test_lightness_falls_all_along_the_scale():
    colours = COLOURS(np.linspace(0, 1, 64))[:, :3]
    grey = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(grey) < 0).all()


def _cells_of_text(strip: Axes) -> dict[tuple[int, int], str]:
    """The characters that stand in each (line, cell) of a text strip of narrow characters."""
    found = {}
    for text in strip.texts:
        if text.get_gid() is None:
            x, y = text.get_position()
            found.update({(int(y), int(x) + i): character for i, character in enumerate(text.get_text())})
    return found


def _characters_over(strip: Axes, gid: str) -> str:
    """The visible characters over the lines of a kind, in the order of drawing."""
    cells = _cells_of_text(strip)
    found = []
    for line in _drawn(strip, Line2D, gid):
        (left, right), (y, _) = line.get_data()
        found += [cells.get((int(y), cell), "") for cell in range(int(left), int(right))]
    return "".join("".join(found).split())


def test_the_underlined_characters_are_the_evidence(page):
    evidence = find_evidence(page)
    strip = _panel(plot_document(page), "text")
    assert _characters_over(strip, "evidence") == "".join("".join(span.text for span in evidence).split())
    phrases = "".join(PAGE[span.phrase_start : span.phrase_end] for span in evidence)
    assert _characters_over(strip, "phrase") == "".join(phrases.split())
    thin, thick = (_drawn(strip, Line2D, gid)[0].get_linewidth() for gid in ("evidence", "phrase"))
    assert thin < thick


def test_every_character_of_a_short_document_is_drawn(page):
    cells = _cells_of_text(_panel(plot_document(page), "text"))
    assert "".join(cells[place] for place in sorted(cells)).replace(" ", "") == "".join(PAGE.split())


def test_the_framed_words_hold_the_matches_and_are_as_warm_as_they_are_similar(page):
    strip = _panel(plot_document(page), "text")
    cells = _cells_of_text(strip)
    framed = {}
    for box in _drawn(strip, Rectangle, "match"):
        left, right = round(box.get_x()), round(box.get_x() + box.get_width())
        framed["".join(cells[int(box.get_y()), cell] for cell in range(left, right))] = box.get_facecolor()
    matched = {PAGE[slice(*match.document_span)] for match in page.matches if match.document_span[0] >= 0}
    assert matched == set(framed)
    asked = [match.query_row for match in page.matches if match.query_token.isalpha()]
    row = page.document.tokens.index("season")
    assert framed["season"] == pytest.approx(COLOURS(float(page.similarity[asked, row].max())))


def test_a_long_document_shows_all_matches_and_says_how_many_lines_it_leaves_out(offline):
    filler = "\n".join(f"Line {i} says nothing of note." for i in range(100))
    explanation = _explain(offline, QUERY, f"{filler}\n{PAGE}\n{filler}")
    figure = plot_document(explanation, max_lines=12)
    strip = _panel(figure, "text")
    gaps = [text.get_text() for text in _drawn(strip, Text, "gap")]
    left_out = sum(int(gap.split()[1]) for gap in gaps)
    shown = {int(text.get_position()[1]) for text in strip.texts if text.get_gid() is None}
    assert left_out > 180
    assert len(shown) + len(gaps) <= 12
    assert len(_drawn(strip, Rectangle, "match")) >= 5
    assert figure.get_size_inches()[1] < 6
    overview = _panel(figure, "overview")
    [evidence] = find_evidence(explanation)[:1]
    starts = [line.get_xdata()[0] for line in _drawn(overview, Line2D, "evidence")]
    assert evidence.start in starts
    spots = {match.document_span[0] for match in explanation.matches if match.document_span[0] >= 0}
    [marks] = _drawn(overview, Line2D, "matches")
    assert spots <= set(marks.get_xdata().tolist())


@given(st.text(st.characters(codec="utf-8"), max_size=80), st.integers(4, 30))
def test_wrapped_lines_hold_every_visible_character_once_and_in_order(text, columns):
    lines = wrap(text, columns)
    taken = [(run.line, cell) for run in lines.runs(0, len(text)) for cell in range(run.left, run.right)]
    assert len(taken) == len(set(taken)) == lines.width.sum()
    assert all(cell < columns for _, cell in taken)
    assert taken == sorted(taken)
    shown = [text[i] for i in np.flatnonzero(lines.width)]
    assert [c for c in shown if not c.isspace()] == [
        c for c, width in zip(text, lines.width, strict=True) if width and not c.isspace()
    ]
    assert all(lines.width[i] for i, character in enumerate(text) if character.isalnum())


def test_contrast_draws_both_scores_and_gains_that_sum_to_the_gap(ranked):
    a, b = ranked[0].explanation, ranked[-1].explanation
    told = contrast(a, b)
    figure = plot_contrast(a, b, names=("page", "rain"))
    both = _panel(figure, "contributions")
    widths = [bar.get_width() for bar in _bars(both)]
    half = len(widths) // 2
    assert widths[:half] == pytest.approx([word.a for word in told.words])
    assert widths[half:] == pytest.approx([word.b for word in told.words])
    gains = [bar.get_width() for bar in _bars(_panel(figure, "gains"))]
    assert math.fsum(gains) == pytest.approx(told.gap)
    assert _said(figure, "head") == f"page {a.score:.3f} − rain {b.score:.3f} = {told.gap:+.3f}"


def test_a_gain_that_rounds_to_zero_has_no_minus(offline, page):
    other = _explain(offline, QUERY, PAGE + " ")
    said = [text.get_text() for text in _panel(plot_contrast(other, page), "gains").texts]
    assert set(said) == {"+0.00"}
    assert "-0.00" not in [text.get_text() for text in _panel(plot_contrast(page, other), "gains").texts]


def test_contrast_of_a_long_query_keeps_the_sum():
    words = [f"word{i}" for i in range(60)]
    a, b = (_explain(FakeEncoder(), " ".join(words), " ".join(words[:n])) for n in (40, 10))
    figure = plot_contrast(a, b)
    gains = [bar.get_width() for bar in _bars(_panel(figure, "gains"))]
    assert len(gains) == 24
    assert math.fsum(gains) == pytest.approx(a.score - b.score)
    assert _panel(figure, "contributions").get_yticklabels()[-1].get_text() == "38 more"


def test_the_pieces_of_a_ranking_sum_to_the_scores_and_touch(ranked):
    bars = _panel(plot_ranking(ranked), "ranking")
    pieces = [bar for bar in _bars(bars) if bar.get_width() > 0]
    for y, item in enumerate(ranked):
        row = sorted((bar for bar in pieces if round(bar.get_y() + 0.37) == y), key=lambda bar: bar.get_x())
        assert math.fsum(bar.get_width() for bar in row) == pytest.approx(item.score)
        for left, right in itertools.pairwise(row):
            assert left.get_x() + left.get_width() == pytest.approx(right.get_x())
    assert [text.get_text() for text in _drawn(bars, Text, "score")] == [f"{item.score:.2f}" for item in ranked]
    labels = [label.get_text() for label in bars.get_yticklabels()]
    assert [label.split()[1] for label in labels] == [f"#{item.index}" for item in ranked]


def test_an_upright_word_of_a_ranking_is_no_longer_than_its_bar_is_high(offline):
    query = "Camels swallow 100 litres of lukewarm drinking water within ten minutes, 大象每天 too."
    figure = plot_ranking(rerank(query, [RAIN, "Hens drink 250 ml of water a day."], offline))
    figure.canvas.draw()
    axes = _panel(figure, "ranking")
    high = _bars(axes)[0].get_window_extent().height
    upright = [text for text in axes.texts if text.get_rotation() == 90 and text.get_text()]
    assert any(text.get_text().endswith("…") for text in upright)
    assert max(text.get_window_extent().height for text in upright) <= 1.1 * high  # bars are 1.35 apart


def test_negative_contributions_go_to_the_left():
    spans, kinds = np.array([[0, 1], [2, 3]], dtype=np.int32), np.zeros(2, dtype=np.uint8)
    query = TokenEmbeddings("a b", np.eye(2, dtype=np.float32), ("a", "b"), spans, kinds)
    document = TokenEmbeddings("c", np.array([[0.8, -0.6]], dtype=np.float32), ("c",), spans[:1], kinds[:1])
    explanation = explain(query, document)
    bars = _bars(_panel(plot_ranking([Ranked(0, explanation.score, explanation, ())]), "ranking"))
    assert [bar.get_x() for bar in bars] == [0, 0]
    assert [bar.get_width() for bar in bars] == pytest.approx([0.8, -0.6])
    widths = [bar.get_width() for bar in _bars(_panel(plot_similarity(explanation), "contributions"))]
    assert widths == pytest.approx([0.8, -0.6])


def test_a_ranking_shows_its_top_and_says_so(ranked):
    figure = plot_ranking(ranked, top=2)
    assert len(_panel(figure, "ranking").get_yticks()) == 2
    assert "the best 2 of 3" in " ".join(_said(figure, "foot").split())


def test_pictures_refuse_what_has_no_picture(offline, ranked, page):
    with pytest.raises(ValueError, match="ranking is empty"):
        plot_ranking([])
    with pytest.raises(ValueError, match="has one query and this one has"):
        plot_ranking([*ranked, *rerank("rain?", [RAIN], offline)])
    with pytest.raises(ValueError, match="top must be an int of at least 1"):
        plot_ranking(ranked, top=0)
    with pytest.raises(ValueError, match="max_columns must be an int of at least 1"):
        plot_similarity(page, max_columns=0)
    with pytest.raises(ValueError, match="max_lines must be an int of at least 1"):
        plot_document(page, max_lines=0)
    with pytest.raises(ValueError, match="one query"):
        plot_contrast(page, rerank("rain?", [RAIN], offline)[0].explanation)


CASES = {
    "short": (QUERY, "Elephants eat grass."),
    "one word": ("elephants", PAGE),
    "a dollar": ("cost $5 or $6?", "It costs $5, not $6^2_x."),
    "not Latin": ("大象吃什么 👍?", "大象 每天吃 $5 食物 👍 العربية ไทย e\u0301 \x07\x00\t end\r\n\n\n\nof it"),
    "no text": (QUERY, "   "),
    "no question": ("", "Elephants eat grass."),
    "one long word": ("x" * 90, "y" * 900),
    "many lines": (QUERY, PAGE * 8),
    "a long query": (PAGE, PAGE[::-1]),
}


@pytest.mark.parametrize("case", CASES)
def test_no_picture_is_huge_and_no_label_is_cut(offline, case):
    query, document = CASES[case]
    explanation, other = _explain(offline, query, document), _explain(offline, query, RAIN)
    ranking = [Ranked(i, one.score, one, find_evidence(one)) for i, one in enumerate((explanation, other))]
    figures = (plot_similarity(explanation), plot_document(explanation), plot_contrast(explanation, other))
    for figure in (*figures, plot_ranking(ranking)):
        assert max(figure.get_size_inches()) < 13.5
        figure.canvas.draw()
        in_legends = [text for legend in figure.findobj(Legend) for text in legend.findobj(Text)]
        for text in figure.findobj(Text):
            if text not in in_legends and text.get_text().strip() and text.get_visible():
                box = text.get_window_extent()
                assert box.x0 >= -2, text
                assert box.x1 <= figure.bbox.x1 + 2, text
                assert box.y0 >= -2, text
                assert box.y1 <= figure.bbox.y1 + 2, text
                assert text.get_fontsize() >= 8


@pytest.mark.parametrize("size", [None, (6, 4)])
def test_labels_of_a_heat_map_do_not_run_into_each_other(page, size):
    figure = plot_similarity(page, figsize=size)
    figure.canvas.draw()
    cells = _panel(figure, "similarity")
    for labels, edge in ((cells.get_xticklabels(), "x"), (cells.get_yticklabels(), "y")):
        boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: getattr(box, f"{edge}0"))
        for first, second in itertools.pairwise(boxes):
            assert getattr(second, f"{edge}0") - getattr(first, f"{edge}1") > -1.5


def test_text_is_drawn_as_it_is_and_missing_characters_are_said(offline):
    assert drawable("a $x$ \U0010ffff\t") == f"a $x$ {MISSING} "
    figure = plot_document(_explain(offline, "cost", "$5$ \U000f0000 end"))
    assert "no installed font" in _said(figure, "foot")
    assert not any(text.get_parse_math() for text in _panel(figure, "text").texts if text.get_gid() is None)
    assert "no installed font" not in _said(plot_document(_explain(offline, "cost", "$5$ end")), "foot")


def test_pictures_are_drawn_into_the_callers_axes(page, ranked):
    figure = Figure(figsize=(12, 16))
    axes = figure.subplots(2, 2).ravel()
    assert plot_similarity(page, ax=axes[0]) is figure
    assert plot_document(page, ax=axes[1]) is figure
    assert plot_contrast(page, ranked[-1].explanation, ax=axes[2]) is figure
    assert plot_ranking(ranked, ax=axes[3]) is figure
    figure.canvas.draw()
    for ax in axes:
        assert ax.child_axes
        for child in ax.child_axes:
            inside, outside = child.get_window_extent(), ax.get_window_extent()
            assert inside.x0 >= outside.x0 - 1
            assert inside.x1 <= outside.x1 + 1
    with pytest.raises(ValueError, match="give either"):
        plot_similarity(page, ax=axes[0], figsize=(3, 3))


def test_notebooks_show_a_picture_by_themselves(page):
    picture = plot_similarity(page, figsize=(7, 4))
    assert isinstance(picture, Picture)
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert picture.get_size_inches().tolist() == [7, 4]


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_latelens_imports_neither_matplotlib_nor_rich():
    names = ("matplotlib", "rich")
    assert _python(f"import latelens, sys; print([name for name in {names} if name in sys.modules])") == "[]"


def test_pictures_leave_pyplot_alone_and_a_missing_matplotlib_names_the_command():
    assert _python("import latelens.render.plot, sys; print('matplotlib.pyplot' in sys.modules)") == "False"
    code = """
import sys
sys.modules["matplotlib"] = None
try:
    import latelens.render.plot
except ImportError as error:
    print(error)
"""
    assert "pip install 'latelens[plot]'" in _python(code)
