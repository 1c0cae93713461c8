"""Page images: the score laid on the page, and the regions that answer the query; all answers are known by hand."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from fractions import Fraction

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from page_images import ColourEncoder, page_rows, painted

from latelens import contrast, explain, explain_miss, find_evidence
from latelens.explanation.maps import page_maps
from latelens.explanation.regions import find_regions
from latelens.patches import Grid

ENCODER = ColourEncoder(Grid(n_cols=4, n_rows=5))
SIZE = (40, 50)  # cells of 10 x 10 pixels


def explained(query, blocks, encoder=ENCODER, size=SIZE):
    return explain(encoder.encode_queries([query])[0], encoder.encode_pages([painted(size, blocks)])[0])


# Maps


def test_each_match_is_laid_on_the_cell_that_won_it():
    maps = page_maps(explained("red green", {"red": (30, 0, 40, 10), "green": (0, 40, 10, 50)}))
    (earned,) = maps.earned
    assert earned.shape == (5, 4)
    assert np.argwhere(earned).tolist() == [[0, 3], [4, 0]]
    assert (earned[0, 3], earned[4, 0], maps.off_page) == (1, 1, 0)


def test_what_a_row_of_the_prompt_wins_is_off_the_page():
    explanation = explained("red other", {"red": (30, 0, 40, 10)})
    prompt = explanation.document.vectors.copy()
    prompt[0] = 0.25 * explanation.query.vectors[1]  # the row of the prompt is like the other word
    again = explain(explanation.query, dataclasses.replace(explanation.document, vectors=prompt))
    maps = page_maps(again)
    assert (maps.off_page, maps.off_page_rows) == (0.25, (1,))
    assert maps.earned[0].sum() == 1


def test_similarity_maps_have_the_shape_of_the_page_and_one_scale():
    maps = page_maps(explained("red green blue", {"red": (30, 0, 40, 10)}))
    assert maps.similarity.shape == (3, 5, 4)
    assert maps.highest.shape == (5, 4)
    assert np.argwhere(maps.similarity[0] == 1).tolist() == np.argwhere(maps.highest == 1).tolist() == [[0, 3]]
    assert maps.scale == (0, 1)


@st.composite
def any_page(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))  # one draw: 5,000 pages in seconds
    extents = (1.0, 1.3, 2.0)
    grids = tuple(
        Grid(*rng.integers(1, 5, 2).tolist(), width=rng.choice(extents).item(), height=rng.choice(extents).item())
        for _ in range(rng.integers(1, 3))
    )
    prompt, queries = rng.integers(0, 4), rng.integers(1, 6)
    # Eighths, so that every sum of their products is exact.
    values = rng.integers(-8, 9, (queries + prompt + sum(map(len, grids)), 3)) / 8
    query = page_rows(values[:queries], (Grid(int(queries), 1),))
    return query, page_rows(values[queries:], grids, prompt=prompt)


@given(any_page())
@settings(max_examples=5000, deadline=None)
def test_the_maps_and_what_is_off_the_page_are_the_score(pair):
    explanation = explain(*pair)
    maps = page_maps(explanation)
    assert [each.shape for each in maps.earned] == [(g.n_rows, g.n_cols) for g in explanation.document.page.grids]
    assert math.fsum([maps.off_page, *(value for each in maps.earned for value in each.ravel().tolist())]) == (
        explanation.score
    )


def test_the_maps_of_any_similarities_are_the_score_to_the_last_bits():
    rng = np.random.default_rng(0)
    for _ in range(200):
        query = page_rows(rng.standard_normal((20, 8)), (Grid(20, 1),))
        page = page_rows(rng.standard_normal((1 + 42 + 4, 8)), (Grid(6, 7), Grid(2, 2)), prompt=1)
        explanation = explain(query, page)
        maps = page_maps(explanation)
        terms = [maps.off_page, *(value for each in maps.earned for value in each.ravel().tolist())]
        assert abs(float(sum(map(Fraction, terms))) - explanation.score) <= 1e-13 * abs(explanation.score)


# Regions


def test_a_region_is_the_cells_that_answer_joined():
    (region,) = find_regions(explained("red", {"red": (20, 10, 40, 30)}))
    assert region.box == (0.5, 0.2, 1.0, 0.6)
    assert region.area == pytest.approx(0.2)
    assert region.query_words == ("red",)
    assert (region.score, region.words, region.coarse) == (1, None, False)
    assert region.cells == (6, 7, 10, 11)


def test_the_drop_is_what_the_score_loses_without_the_regions_rows():
    explanation = explained("red green", {"red": (30, 0, 40, 10), "green": (0, 40, 10, 50)})
    one, other = find_regions(explanation)
    assert (one.drop, other.drop) == (1, 1)
    twice = explained("red", {"red": (30, 0, 40, 10)}, size=SIZE)
    rows = twice.document
    vectors = rows.vectors.copy()
    vectors[0] = 0.5 * twice.query.vectors[0]
    (region,) = find_regions(explain(twice.query, dataclasses.replace(rows, vectors=vectors)))
    assert region.drop == 0.5


@given(any_page())
@settings(max_examples=300, deadline=None)
def test_drops_are_scores_without_the_region_and_boxes_lie_on_the_page(pair):
    query, page = pair
    words = "abcdefg"[: len(query)]
    spans = np.array([[2 * i, 2 * i + 1] for i in range(len(query))], dtype=np.int32)
    kinds = np.zeros(len(query), dtype=np.uint8)
    query = dataclasses.replace(query, text=" ".join(words), spans=spans, kinds=kinds, page=None)
    explanation = explain(query, page)
    for region in find_regions(explanation):
        left, top, right, bottom = region.box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1
        rest = ~np.isin(page.page.cells, region.cells)
        without = explanation.similarity[:, rest].max(axis=1).astype(float).sum() if rest.any() else 0
        assert region.drop == pytest.approx(explanation.score - without)
        assert region.drop >= 0 or not rest.any()


def test_regions_apart_are_listed_until_every_word_is_answered():
    blocks = {"red": (30, 0, 40, 10), "green": (0, 40, 10, 50), "blue": (0, 0, 10, 10)}
    regions = find_regions(explained("red green blue yellow", blocks))
    assert sorted(region.query_words for region in regions) == [("blue",), ("green",), ("red",)]
    assert len(find_regions(explained("red green blue", blocks), max_regions=2)) == 2


def test_a_second_place_that_adds_nothing_is_not_listed():
    regions = find_regions(explained("red green", {"red": (0, 0, 10, 10), "green": (10, 0, 20, 10)}))
    assert [region.query_words for region in regions] == [("red", "green")]
    assert regions[0].box == (0, 0, 0.5, 0.2)


def test_what_only_the_overview_saw_is_coarse():
    # Two of the overview's four pixels are blended: red covers its upper right quarter, but no finer cell of the page.
    encoder = ColourEncoder(Grid(4, 4), Grid(2, 2))
    page = encoder.encode_pages([painted((40, 40), {})])[0]
    vectors = page.vectors.copy()
    vectors[1 + 16 + 1] = encoder.encode_queries(["red"])[0].vectors[0]
    explanation = explain(encoder.encode_queries(["red"])[0], dataclasses.replace(page, vectors=vectors))
    (region,) = find_regions(explanation)
    assert region.coarse
    assert region.box == (0.5, 0, 1, 0.5)
    maps = page_maps(explanation)
    assert (maps.earned[1][0, 1], maps.earned[0].sum(), maps.off_page) == (1, 0, 0)


def test_a_region_seen_by_both_is_the_finer_one():
    encoder = ColourEncoder(Grid(4, 4), Grid(2, 2))
    (region,) = find_regions(explained("red", {"red": (20, 0, 40, 20)}, encoder, (40, 40)))
    assert not region.coarse
    assert region.box == (0.5, 0, 1, 0.5)


def test_a_query_that_nothing_answers_and_one_without_words_have_no_regions():
    assert find_regions(explained("yellow", {"red": (0, 0, 10, 10)})) == ()
    query = dataclasses.replace(
        ENCODER.encode_queries(["red"])[0], text="", spans=np.array([[-1, -1]], np.int32), kinds=np.ones(1, np.uint8)
    )
    assert find_regions(explain(query, ENCODER.encode_pages([painted(SIZE, {})])[0])) == ()


def test_a_region_is_cropped_with_a_margin_as_far_as_the_page_goes():
    picture = painted((400, 500), {"red": (300, 0, 400, 100)})
    (region,) = find_regions(explained("red", {"red": (30, 0, 40, 10)}))
    assert region.crop(0, image=picture).size == (100, 100)
    assert region.crop(0, image=picture).getcolors() == [(10000, (255, 0, 0))]
    assert region.crop(0.1, image=picture).size == (140, 150)
    with pytest.raises(ValueError, match="the region knows no page to draw"):
        region.crop()
    with pytest.raises(ValueError, match="margin must be"):
        region.crop(2, image=picture)


def test_texts_have_no_maps_and_no_regions():
    encoder = FakeEncoder()
    text = encoder.encode_documents(["Elephants eat grass."])[0]
    explanation = explain(encoder.encode_queries(["what do elephants eat"])[0], text)
    with pytest.raises(ValueError, match="has no cells of a page: encode_pages gives page images"):
        page_maps(explanation)
    with pytest.raises(ValueError, match="find_evidence explains texts"):
        find_regions(explanation)


# The other explanations


def test_contrast_and_miss_take_pages_and_nothing_is_said_to_be_uncovered():
    a = explained("red green", {"red": (30, 0, 40, 10)})
    b = explained("red green", {"green": (0, 40, 10, 50)})
    found = contrast(a, b)
    assert [(word.word, word.gain) for word in found.words] == [("red", 1), ("green", -1)]
    assert found.gap == 0
    miss = explain_miss(a.query, a.document)
    assert (miss.score, miss.uncovered, a.uncovered) == (1, (), ())
    assert [(word.lost, word.strength, word.found) for word in miss.words] == [(0, None, True), (1, None, True)]
    assert "green" in str(found)
    assert "green" in str(miss)
    assert find_evidence(a) == ()


def test_maps_and_regions_of_a_page_take_milliseconds():
    rng = np.random.default_rng(0)
    grid = Grid(32, 32)
    page = page_rows(rng.standard_normal((1030, 128)), (grid,), prompt=6)
    rows = ENCODER.encode_queries([" ".join(f"w{i}" for i in range(20))])[0]
    query = dataclasses.replace(rows, vectors=page.vectors[100:120] + rng.standard_normal((20, 128)).astype(np.float32))
    explanation = explain(query, page)
    best = math.inf
    for _ in range(5):
        start = time.process_time()
        page_maps(explanation)
        assert find_regions(explanation)
        best = min(best, time.process_time() - start)
    assert best < 0.05, f"{1000 * best:.1f} ms"  # 5 ms on an idle core
    json.dumps([region.box for region in find_regions(explanation)])
