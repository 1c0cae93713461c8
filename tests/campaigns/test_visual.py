"""A downloaded checkpoint of ColPali's family, checked on this machine before its boxes are trusted.

    python -m pytest tests/campaigns/test_visual.py --model FOLDER

Every row on the cell that it saw, rows that are those of the checkpoint's own classes, maps that sum to the score, and
a planted line of text that is found where it stands. Without a folder it runs on tiny models with random weights, which
prove geometry and arithmetic, and nothing of what a model finds. ``--campaign=5`` looks at five times as many cells.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from made_pdfs import made_pdf
from PIL import Image
from tiny_models import needs_multi_vector
from tiny_visual import checkpoint

from latelens import explain, find_regions, load_encoder, page_maps
from latelens.encoders.protocol import reads_pages
from latelens.pages import open_pages

pytestmark = needs_multi_vector

# Where rows meet, by the names that the families' modules have.
_MIXING = ("o_proj", "out_proj", "Wo")
_SHAPES = [(595, 842), (842, 595), (600, 600), (900, 300)]
_QUESTIONS = ["What was the net revenue?", "net revenue 2025", "How many ships sail to Stavanger?"]
# Pages with one line each that a question asks for, between lines that say something else.
_PLANTED = {
    "How much do children pay?": "Children under six years travel free of charge",
    "When does the museum open?": "The museum opens at ten in the morning",
    "What is the net revenue?": "Net revenue amounted to 4,512 thousand euros",
}
_OTHER = [
    "The harbour was dredged in the spring",
    "A new crane stands on the northern quay",
    "Ropes and sails are stored in the shed",
    "The committee met on three occasions",
]


@pytest.fixture(scope="module", params=["given", "colqwen2", "colidefics3"])
def folder(request: pytest.FixtureRequest) -> Path:
    given = request.config.getoption("--model")
    if (request.param == "given") != (given is not None):
        pytest.skip("with --model FOLDER that one is checked, without it tiny ones")
    return Path(given) if given is not None else checkpoint(request.param)


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Any:
    made = load_encoder(folder)
    assert reads_pages(made), f"{folder} is a model for texts: name one of ColPali's family"
    return made


def textured(size: tuple[int, int]) -> Image.Image:
    """A page without flat parts: of those, the faintest fringe of a painted cell moves the row as much as the cell."""
    drawn = np.random.default_rng(sum(size)).integers(0, 255, (size[1] // 6 + 1, size[0] // 6 + 1, 3), dtype=np.uint8)
    return Image.fromarray(drawn).resize(size, Image.Resampling.BICUBIC)


@contextmanager
def rows_apart(encoder: Any) -> Iterator[int]:
    """Attention adds the same to every row, which so sees its own patch alone; gives how many modules that took."""

    def same(_module: Any, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return torch.full_like(output, 1e-3)  # not 0: the embedding of padding is, and would have no direction

    with ExitStack() as hooks:
        found = 0
        for name, module in encoder.model.named_modules():
            parent, _, last = name.rpartition(".")
            if last in _MIXING or (last == "proj" and "attn" in parent and "patch_embed" not in parent):
                hooks.enter_context(_removed(module.register_forward_hook(same)))
                found += 1
        yield found


@contextmanager
def _removed(hook: Any) -> Iterator[None]:
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("size", _SHAPES, ids=str)
def test_the_row_that_moves_is_on_the_cell_that_was_painted(
    encoder: Any, size: tuple[int, int], campaign: int, record_property: Any
) -> None:
    blank, chance = textured(size), np.random.default_rng(0)
    with rows_apart(encoder) as modules:
        assert modules, "no module is known that mixes rows: add its name to _MIXING"
        before = encoder.encode_pages([blank])[0]
        for number, grid in enumerate(before.page.grids):
            rows = np.flatnonzero(before.page.grid_of(slice(None)) == number)
            for box in chance.choice(grid.boxes(), min(3 * campaign, len(grid)), replace=False, axis=0):
                left, top, right, bottom = np.rint(box * [*size, *size]).astype(int).tolist()
                painted = blank.copy()
                painted.paste((0, 0, 0), (left, top, max(right, left + 1), max(bottom, top + 1)))
                after = encoder.encode_pages([painted])[0]
                change = np.abs(after.vectors - before.vectors).max(axis=1)[rows]
                assert 0 < (change > change.max() / 2).sum() <= 9, "rows still see each other: _MIXING lacks a name"
                moved = before.page.boxes(rows[change.argmax()])
                middle = (box[:2] + box[2:]) / 2
                assert (moved[:2] <= middle).all(), (number, box, moved)
                assert (middle <= moved[2:]).all(), (number, box, moved)
    record_property("grids", [(grid.n_cols, grid.n_rows) for grid in before.page.grids])


def test_rows_are_those_of_the_checkpoints_own_classes_alone_and_in_batches(encoder: Any, folder: Path) -> None:
    pictures, batch_size = [textured(size) for size in _SHAPES[:3]], encoder.batch_size
    wanted = list(_own_rows(encoder, folder, pictures))
    near = 1e-5 if next(encoder.model.parameters()).dtype == torch.float32 else 3e-2
    try:
        for size in (1, 3):
            encoder.batch_size = size
            for page, rows in zip(encoder.encode_pages(pictures), wanted, strict=True):
                np.testing.assert_allclose(page.vectors, rows, atol=near)
    finally:
        encoder.batch_size = batch_size


def _own_rows(encoder: Any, folder: Path, pictures: list[Image.Image]) -> Iterator[np.ndarray]:
    """What transformers' class for the checkpoint makes of each picture; else what sentence-transformers does."""
    config = folder / "config.json"
    name = json.loads(config.read_text())["architectures"][0] if config.exists() else ""
    if not name.endswith("ForRetrieval") or not hasattr(transformers, name):
        for picture in pictures:
            (rows,) = encoder.model.encode_document([picture], convert_to_numpy=True)
            yield np.asarray(rows, dtype=np.float32)
        return
    processor_class = getattr(transformers, name.removesuffix("ForRetrieval") + "Processor")
    processor = processor_class.from_pretrained(folder, local_files_only=True)
    model = getattr(transformers, name).from_pretrained(
        folder, local_files_only=True, dtype=next(encoder.model.parameters()).dtype
    )
    model = model.eval().to(encoder.model.device)
    for picture in pictures:
        batch = processor.process_images([picture], return_tensors="pt").to(encoder.model.device)
        with torch.inference_mode():
            found = model(**{key: value for key, value in batch.items() if key != "labels"})
        yield found.embeddings[0].float().cpu().numpy()


def test_what_cells_earn_and_what_lies_off_the_page_sum_to_the_score(encoder: Any, record_property: Any) -> None:
    pages = encoder.encode_pages([textured(size) for size in _SHAPES])
    shares = []
    for question in encoder.encode_queries(_QUESTIONS):
        for page in pages:
            explanation = explain(question, page)
            maps = page_maps(explanation)
            earned = sum(float(grid.sum()) for grid in maps.earned)
            assert earned + maps.off_page == pytest.approx(explanation.score, abs=1e-9)
            shares.append(maps.off_page / explanation.score)
    record_property("off the page", f"{np.mean(shares):.0%}")


def test_a_planted_line_is_found_on_its_page(
    encoder: Any, tmp_path: Path, pytestconfig: pytest.Config, record_property: Any
) -> None:
    path = tmp_path / "report.pdf"
    lines = [[_OTHER[0], _OTHER[1], planted, *_OTHER[2:]] for planted in _PLANTED.values()]
    path.write_bytes(made_pdf(*([(text, 72, 700 - 140 * i) for i, text in enumerate(each)] for each in lines), font=18))
    pages = open_pages(path)
    encoded, right = encoder.encode_pages(pages), 0
    for i, (question, planted) in enumerate(_PLANTED.items()):
        (query,) = encoder.encode_queries([question])
        explained = [explain(query, page) for page in encoded]
        best = max(range(len(pages)), key=lambda page: explained[page].score)
        regions = find_regions(explained[i], page=pages[i])
        for region in regions:
            left, top, end, bottom = region.box
            assert 0 <= left < end <= 1
            assert 0 <= top < bottom <= 1
            assert all(line in pages[i].text for line in (region.words or "").split("\n"))
        right += best == i and bool(regions) and planted in (regions[0].words or "")
    record_property("planted lines found", f"{right} of {len(_PLANTED)}")
    if pytestconfig.getoption("--model") is not None:  # random weights find nothing
        assert right == len(_PLANTED), f"{right} of {len(_PLANTED)} planted lines are found"
