"""Page encoders: every row on the cell that it saw, for every family that installs; tiny random weights."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
import torch
import transformers
from fake_encoder import FakeEncoder
from made_pdfs import made_pdf
from PIL import Image
from tiny_models import ANY, checkpoint, needs_multi_vector, one_torch_thread  # noqa: F401
from tiny_visual import DIM, FAMILIES, NATIVE, visual
from tiny_visual import checkpoint as visual_checkpoint

from latelens import TokenKind, explain, find_regions, load_encoder
from latelens.encoders.lazy import LazyEncoder
from latelens.encoders.protocol import PageEncoder
from latelens.encoders.visual.cells import CellRules, lay_cells
from latelens.pages import open_pages
from latelens.patches import Grid, PatchGrid

pytestmark = needs_multi_vector
SHAPES = [(180, 300), (400, 150), (256, 256), (333, 97)]


def noise(*sizes):
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)) for width, height in sizes]


# Geometry


def moved(encoder, size, grid: int, cells: int = 5):
    """For cells of one of a page's grids, painted alone: the middle of the paint, and the row that moved most."""
    rng = np.random.default_rng(sum(size))
    width, height = size
    white = Image.new("RGB", size, "white")
    page = encoder.encode_pages([white])[0].page
    boxes = page.grids[grid].boxes()
    chosen = rng.choice(len(boxes), min(cells, len(boxes)), replace=False)
    pictures = []
    for left, top, right, bottom in boxes[chosen] * [width, height, width, height]:
        picture = white.copy()
        x, y = round(left), round(top)
        spot = (x, y, max(round(right), x + 1), max(round(bottom), y + 1))
        picture.paste(tuple(rng.integers(0, 80, 3).tolist()), spot)
        pictures.append(picture)
    before = encoder.encode_pages([white])[0].vectors
    rows = np.flatnonzero(page.grid_of(slice(None)) == grid)
    for picture, box in zip(encoder.encode_pages(pictures), boxes[chosen], strict=True):
        change = np.abs(picture.vectors - before).max(axis=1)
        assert change[rows].max() > 0
        yield ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2), rows[change[rows].argmax()], page


def on_their_cells(found, patches=None) -> list[bool]:
    right = []
    for (x, y), row, page in found:
        left, top, end, bottom = (patches or page).boxes(row)
        right.append(bool(left <= x <= end and top <= y <= bottom))
    return right


@pytest.mark.parametrize("size", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_row_that_moves_is_on_the_cell_that_was_painted(family, size):
    encoder = visual(family, attention=False)
    found = list(moved(encoder, size, 0))
    assert all(on_their_cells(found))
    if len(found[0][2].grids) > 1:
        assert all(on_their_cells(list(moved(encoder, size, 1))))


@pytest.mark.parametrize("family", ["colqwen2", "colmodernvbert", "colidefics3"])
def test_a_transposed_grid_is_noticed(family):
    found = list(moved(visual(family, attention=False), (400, 150), 0))
    page = found[0][2]
    (detail, *others) = page.grids
    assert detail.n_cols != detail.n_rows
    turned = PatchGrid((Grid(detail.n_rows, detail.n_cols), *others), page.cells)
    assert not all(on_their_cells(found, turned))
    assert all(on_their_cells(found))


def test_a_cut_page_has_its_overview_last_and_other_rows_off_the_page():
    page = visual("colidefics3").encode_pages([Image.new("RGB", (180, 300))])[0]
    assert page.page.grids == (Grid(n_cols=24, n_rows=32), Grid(8, 8))
    assert (page.page.cells >= 0).sum() == 24 * 32 + 64
    assert set(page.kinds[page.page.cells < 0].tolist()) == {TokenKind.SPECIAL, TokenKind.MARKER}
    assert page.is_page_image
    assert page.complete


RULES = CellRules(image_id=9, tiles={5: (0, 0), 6: (0, 1)}, tile_cells=4, merged=2, square=False)


@pytest.mark.parametrize(
    ("ids", "rules", "size", "message"),
    [
        ([9] * 5, RULES, (1, 4, 6), r"wrote 5 patches for a page, which are not a grid of 3 x 2"),
        ([9] * 12, RULES, (2, 4, 6), "12 patches .* not a grid of 3 x 2"),
        ([9] * 5, RULES, None, "5 patches .* not one square"),
        ([9] * 9, RULES, None, "9 patches .* not one square"),  # a square, but of no size that the processor named
        ([1, 2], dataclasses.replace(RULES, square=True), None, "0 patches"),
        ([5, 9, 9, 9, 9, 9, 9, 9, 9, 9], RULES, None, "9 patches .* not 1 x 1 tiles and an overview of 4 patches each"),
        ([6, 9, 9, 9, 9, 9, 9, 9, 9], RULES, None, "8 patches .* not 1 x 2 tiles"),
        ([5, 9, 9, 1, 9, 9, 9, 9, 9, 9], RULES, None, "8 patches"),
    ],
)
def test_a_layout_that_is_not_known_is_refused_rather_than_guessed(ids, rules, size, message):
    with pytest.raises(ValueError, match=message):
        lay_cells(np.array(ids), rules, size)


def test_tiles_are_laid_beside_each_other():
    ids = np.array([1, 5, 9, 9, 9, 9, 6, 9, 9, 9, 9, 2, 9, 9, 9, 9])
    grids, cells = lay_cells(ids, RULES)
    assert grids == (Grid(n_cols=4, n_rows=2), Grid(2, 2))
    assert cells.tolist() == [-1, -1, 0, 1, 4, 5, -1, 2, 3, 6, 7, -1, 8, 9, 10, 11]


# Rows


@pytest.mark.parametrize("family", NATIVE)
def test_rows_are_those_of_transformers_alone_and_in_batches(family):
    encoder = visual(family)
    model_class, processor_class = (getattr(transformers, name) for name in NATIVE[family])
    folder = visual_checkpoint(family)
    model = model_class.from_pretrained(folder, local_files_only=True).eval()
    processor = processor_class.from_pretrained(folder, local_files_only=True)
    pictures = noise((180, 300), (400, 150), (97, 333))
    encoder.batch_size = 3
    try:
        together = encoder.encode_pages(pictures)
        questions = encoder.encode_queries(["how much?", "what is the net revenue?"])
    finally:
        encoder.batch_size = 1
    alone = encoder.encode_pages(pictures)
    for picture, one, other in zip(pictures, together, alone, strict=True):
        batch = processor.process_images([picture], return_tensors="pt")
        with torch.inference_mode():
            wanted = model(**{key: value for key, value in batch.items() if key != "labels"}).embeddings[0].numpy()
        for found in (one, other):
            assert found.tokens == tuple(processor.tokenizer.convert_ids_to_tokens(batch["input_ids"][0].tolist()))
            np.testing.assert_allclose(found.vectors, wanted, atol=1e-5)
    for question in questions:
        batch = processor.process_queries([question.text], return_tensors="pt")
        with torch.inference_mode():
            wanted = model(**batch).embeddings[0].numpy()
        np.testing.assert_allclose(question.vectors, wanted, atol=1e-5)


@pytest.mark.parametrize("family", ["colidefics3", "colqwen2.5", "colqwen3"])
def test_rows_are_those_of_sentence_transformers(family):
    encoder = visual(family)
    pictures = noise((180, 300), (400, 150))
    for found, wanted in zip(
        encoder.encode_pages(pictures), encoder.model.encode_document(pictures, convert_to_numpy=True), strict=True
    ):
        np.testing.assert_allclose(found.vectors, wanted, atol=1e-5)
    (question,) = encoder.encode_queries(["how much?"])
    np.testing.assert_allclose(question.vectors, encoder.model.encode_query("how much?").numpy(), atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_words_prompt_and_expansion_of_a_query_are_told_apart(family):
    text = "  how much <pad> <|endoftext|>? "
    question = visual(family).encode_queries([text])[0]
    content = question.content_rows()
    assert question.text == text
    letters = "".join(text[start:end] for start, end in question.spans[content].tolist())
    spelled = [text[slice(*question.spans[row])] for row in np.flatnonzero(question.kinds == TokenKind.SPECIAL)]
    assert letters in ("howmuch<pad>?", "howmuch<|endoftext|>?", "howmuch<pad><|endoftext|>?")
    assert ("<pad>" in letters) != ("<pad>" in spelled)
    expansion = [question.tokens[row] for row in np.flatnonzero(question.kinds == TokenKind.EXPANSION)]
    assert len(expansion) == 10
    assert len(set(expansion)) == 1
    assert (question.spans[question.kinds == TokenKind.MARKER] == -1).all()
    prompt = "".join(question.tokens[row] for row in np.flatnonzero(question.kinds == TokenKind.MARKER))
    assert prompt.startswith("Query:") or family.startswith(("colidefics3", "colmodernvbert"))


@pytest.mark.parametrize("family", ["colpali", "colqwen2"])
def test_a_checkpoint_may_keep_the_rows_of_patches_alone(family):
    encoder = visual(family)
    (mask,) = (module for module in encoder.model if hasattr(module, "keep_only_token_ids"))
    mask.keep_only_token_ids = [encoder._rules.image_id]
    try:
        page = encoder.encode_pages(noise((180, 300)))[0]
    finally:
        mask.keep_only_token_ids = None
    assert page.page.on_page.all()
    assert len(page) == len(page.page.grids[0])


# From a question to a region


def test_a_page_of_a_pdf_is_explained_in_one_call(tmp_path):
    path = tmp_path / "report.pdf"
    path.write_bytes(made_pdf([("Net revenue 4,512", 100, 500)]))
    pages = open_pages(path)
    encoder = visual("colqwen2")
    explanation = explain(encoder.encode_queries(["net revenue"])[0], encoder.encode_pages(pages)[0])
    assert explanation.document.text == pages[0].text
    assert explanation.uncovered == ()
    for region in find_regions(explanation, page=pages[0]):
        assert 0 <= region.box[0] < region.box[2] <= 1
        assert region.crop().size[0] > 0


# Loading


@pytest.mark.parametrize("family", ["colpali", "colidefics3"])
def test_load_encoder_makes_a_page_encoder_that_travels(family):
    encoder = load_encoder(visual_checkpoint(family), device="cpu")
    assert isinstance(encoder, PageEncoder)
    assert encoder.dim == DIM
    again = pickle.loads(pickle.dumps(encoder))
    assert isinstance(again, LazyEncoder)
    assert again.fingerprint == encoder.fingerprint
    picture = noise((100, 100))[0]
    one, other = (each.encode_pages([picture])[0] for each in (encoder, again))
    assert (one.vectors == other.vectors).all()


def test_a_fingerprint_tells_how_pages_are_prepared():
    encoder = load_encoder(visual_checkpoint("colqwen2"), device="cpu")
    other = load_encoder(visual_checkpoint("colqwen2"), device="cpu")
    other._processor.image_processor.size = {"shortest_edge": 1, "longest_edge": 10**6}
    assert encoder.fingerprint != other.fingerprint
    assert encoder.fingerprint == visual("colqwen2").fingerprint


def test_texts_and_pages_are_not_taken_for_one_another():
    with pytest.raises(ValueError, match="reads images of pages, not texts: give it open_pages"):
        visual("colpali").encode_documents(["a text"])
    assert visual("colpali").encode_documents([]) == []
    assert not isinstance(FakeEncoder(), PageEncoder)
    with pytest.raises(TypeError, match="reads text, not images of pages"):
        LazyEncoder(checkpoint(ANY)).encode_pages(noise((10, 10)))


def test_paths_bytes_and_pictures_are_the_same_page(tmp_path):
    picture = noise((60, 80))[0]
    path = tmp_path / "scan.png"
    picture.save(path)
    pages = visual("colpali").encode_pages([picture, path, str(path), path.read_bytes(), open_pages(path)[0]])
    assert len({page.page.image for page in pages}) == 1
    assert all((page.vectors == pages[0].vectors).all() for page in pages)


def test_a_file_of_several_pages_is_refused(tmp_path):
    path = tmp_path / "report.pdf"
    path.write_bytes(made_pdf([("one", 100, 500)], [("two", 100, 500)]))
    with pytest.raises(ValueError, match="has 2 pages: give open_pages"):
        visual("colpali").encode_pages([path])
