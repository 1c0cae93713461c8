import dataclasses
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_images import ColourEncoder, page_rows, painted
from safetensors.numpy import save

from latelens import TokenEmbeddings, TokenKind
from latelens.patches import Grid, PatchGrid
from latelens.serialize import from_bytes, to_bytes


def page(grids, cells, image=""):
    return PatchGrid(grids, np.array(cells, dtype=np.int32), image)


def test_cells_are_counted_line_by_line_and_boxes_are_fractions_of_the_page():
    grid = page((Grid(n_cols=2, n_rows=4),), [-1, 0, 1, 2, 7])
    assert grid.boxes([1, 2, 3, 4]).tolist() == [
        [0, 0, 0.5, 0.25],
        [0.5, 0, 1, 0.25],
        [0, 0.25, 0.5, 0.5],
        [0.5, 0.75, 1, 1],
    ]
    assert np.isnan(grid.boxes([0])).all()
    assert grid.on_page.tolist() == [False, True, True, True, True]


def test_the_overview_comes_last_and_covers_the_whole_page():
    grid = page((Grid(4, 2), Grid(2, 1)), [0, 7, -1, 8, 9])
    assert grid.grid_of([0, 1, 2, 3, 4]).tolist() == [0, 0, -1, 1, 1]
    assert grid.boxes([3, 4]).tolist() == [[0, 0, 0.5, 1], [0.5, 0, 1, 1]]
    assert grid.firsts == (0, 8, 10)


def test_a_padded_page_ends_before_its_grid_does():
    # 300 pixels on 10 cells of 32: the last column shows 12 of its 32 pixels, and a line below holds padding alone.
    grid = page((Grid(n_cols=10, n_rows=3, width=320 / 300, height=1.5),), [0, 9, 29])
    boxes = grid.boxes([0, 1, 2])
    assert boxes[0].tolist() == pytest.approx([0, 0, 32 / 300, 0.5])
    assert boxes[1].tolist() == pytest.approx([288 / 300, 0, 1, 0.5])
    assert np.isnan(boxes[2]).all()
    assert grid.on_page.tolist() == [True, True, False]


def test_values_of_the_rows_are_laid_on_a_grid_line_by_line():
    grid = page((Grid(3, 2), Grid(1, 1)), [5, -1, 0, 6])
    laid = grid.lay(np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]))
    assert laid.shape == (2, 2, 3)
    assert (laid[0, 1, 2], laid[0, 0, 0], laid[1, 1, 2]) == (1, 3, 5)
    assert np.isnan(laid[0]).sum() == 4
    assert grid.lay(np.arange(4.0), 1).tolist() == [[3.0]]


@given(st.integers(1, 9), st.integers(1, 9), st.floats(1, 1.5), st.floats(1, 1.5))
@settings(max_examples=200, deadline=None)
def test_boxes_cover_the_page_once(n_cols, n_rows, width, height):
    grid = page((Grid(n_cols, n_rows, width, height),), range(n_cols * n_rows))
    left, top, right, bottom = grid.boxes(np.flatnonzero(grid.on_page)).T
    assert ((left >= 0) & (top >= 0) & (right <= 1) & (bottom <= 1)).all()
    assert ((right - left) * (bottom - top)).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid(0, 3), "n_cols must be an int of at least 1, got 0"),
        (lambda: Grid(3, 2.0), "n_rows must be an int of at least 1, got 2.0"),
        (lambda: Grid(3, 2, width=float("nan")), "width is a number of pages above 0, got nan"),
        (lambda: page((), [0]), "at least one grid"),
        (lambda: page((Grid(2, 2),), [0, 4]), r"cells must lie in -1..3 for grids of 4 cells, got 0..4"),
        (lambda: page((Grid(2, 2),), [-2, 1]), r"cells must lie in -1..3 for grids of 4 cells, got -2..1"),
        (lambda: page((Grid(2, 2),), [1, 1]), "2 rows have cell 1"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_cells_of_another_type_are_refused():
    with pytest.raises(TypeError, match=r"cells must be a numpy array \(n,\) of int32, got int64 \(1,\)"):
        PatchGrid((Grid(1, 1),), np.zeros(1, dtype=np.int64))
    with pytest.raises(TypeError, match="got list"):
        PatchGrid((Grid(1, 1),), [0])


def test_rows_with_a_cell_are_the_patches_and_no_others():
    rows = page_rows(np.eye(5, 8), (Grid(2, 2),), prompt=1)
    kinds = rows.kinds.copy()
    kinds[3] = TokenKind.CONTENT
    with pytest.raises(ValueError, match="row 3 has cell 2 and kind CONTENT"):
        dataclasses.replace(rows, kinds=kinds)
    with pytest.raises(ValueError, match="a cell for each of 5 tokens, got 1"):
        dataclasses.replace(rows, page=page((Grid(2, 2),), [0]))


def assert_same_page(found: TokenEmbeddings, wanted: TokenEmbeddings) -> None:
    assert (found.text, found.tokens, found.complete) == (wanted.text, wanted.tokens, wanted.complete)
    for name in ("vectors", "spans", "kinds"):
        assert np.array_equal(getattr(found, name), getattr(wanted, name)), name
    assert (found.page.grids, found.page.image) == (wanted.page.grids, wanted.page.image)
    assert np.array_equal(found.page.cells, wanted.page.cells)


@given(
    n_cols=st.integers(1, 6),
    n_rows=st.integers(1, 6),
    width=st.floats(0.1, 3),
    prompt=st.integers(0, 4),
    text=st.text(),
    image=st.text(alphabet="0123456789abcdef", max_size=32),
    overview=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_page_comes_back_from_bytes_as_it_was(n_cols, n_rows, width, prompt, text, image, overview):
    grids = (Grid(n_cols, n_rows, width), Grid(2, 2, height=width))[: 1 + overview]
    rows = page_rows(np.eye(prompt + sum(map(len, grids)), 3), grids, prompt=prompt, text=text, image=image)
    assert_same_page(from_bytes(to_bytes(rows), text), rows)
    assert_same_page(from_bytes(to_bytes(rows, vectors=False), text, vectors=rows.vectors), rows)
    assert_same_page(pickle.loads(pickle.dumps(rows)), rows)


def test_tokens_spans_and_missing_cells_of_a_page_survive():
    rows = page_rows(np.eye(6, 4), (Grid(3, 2),), prompt=2, text="net revenue")
    spans = rows.spans.copy()
    spans[0] = (0, 3)
    tokens = ("\ud800", "\udfff", "a", "a", "", "")
    odd = dataclasses.replace(rows, spans=spans, tokens=tokens)
    assert_same_page(from_bytes(to_bytes(odd), "net revenue"), odd)


def test_labels_of_a_page_take_six_kilobytes():
    rows = page_rows(np.zeros((1030, 8)), (Grid(32, 32),), prompt=6, image="0" * 32)
    assert len(to_bytes(rows, vectors=False)) < 6 * 1024


def test_what_was_stored_before_there_were_pages_is_read_and_texts_are_written_as_then():
    rows = TokenEmbeddings(
        "a b", np.eye(2, 3, dtype=np.float32), ("a", "b"), np.array([[0, 1], [2, 3]], np.int32), np.zeros(2, np.uint8)
    )
    letters = np.frombuffer(b"ab", dtype=np.uint8)
    old = save(
        {
            "spans": rows.spans,
            "kinds": rows.kinds,
            "lengths": np.array([1, 1], dtype=np.int32),
            "letters": letters,
            "complete": np.array([True], dtype=np.uint8),
            "vectors": rows.vectors,
        }
    )
    assert to_bytes(rows) == old
    found = from_bytes(old, "a b")
    assert found.page is None
    assert found.tokens == ("a", "b")


def test_a_damaged_grid_is_no_page():
    payload = to_bytes(page_rows(np.eye(4), (Grid(2, 2),)))
    header = 8 + int.from_bytes(payload[:8], "little")
    begin, _ = json.loads(payload[8:header])["grids"]["data_offsets"]
    wrong = payload[: header + begin] + bytes(8) + payload[header + begin + 8 :]
    with pytest.raises(ValueError, match="n_cols"):
        from_bytes(wrong, "")


def test_colours_are_read_where_they_are_painted():
    rows = ColourEncoder(Grid(4, 5)).encode_pages([painted((40, 50), {"red": (30, 0, 40, 10)})])[0]
    red = rows.page.lay(rows.vectors[:, 1])
    assert np.argwhere(red == 1).tolist() == [[0, 3]]
