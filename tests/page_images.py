"""Page images without a model: colours are words, so that what a cell answers can be seen and computed by hand."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from latelens import TokenEmbeddings, TokenKind
from latelens.embeddings import NO_SPAN
from latelens.pages.images import picture_of, pixels_digest, text_of
from latelens.patches import Grid, PatchGrid
from latelens.text.characters import words

COLOURS = {
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "black": (0, 0, 0),
    "yellow": (255, 255, 0),
}


class ColourEncoder:
    """A cell answers the name of its colour with 1, other words with 0; the first row plays the prompt."""

    def __init__(self, grid: Grid = Grid(4, 5), overview: Grid | None = None, name: str = "colours") -> None:  # noqa: B008
        self.grids = (grid,) if overview is None else (grid, overview)
        self.name, self.fingerprint, self.dim = name, f"{name}-{self.grids}", 16
        self.encoded = 0

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        return [self._query(text) for text in texts]

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        raise ValueError(f"{self.name!r} reads images of pages, not texts")

    def encode_pages(self, pages, *, show_progress: bool = False) -> list[TokenEmbeddings]:
        self.encoded += len(pages)
        return [self._page(text_of(page), picture_of(page)) for page in pages]

    def _query(self, text: str) -> TokenEmbeddings:
        spans = words(text)
        tokens = tuple(text[start:end] for start, end in spans)
        vectors = np.zeros((len(tokens), self.dim), dtype=np.float32)
        for row, token in enumerate(tokens):
            vectors[row, list(COLOURS).index(token) if token in COLOURS else 8 + sum(token.encode()) % 8] = 1
        return TokenEmbeddings(text, vectors, tokens, spans.astype(np.int32), np.zeros(len(tokens), dtype=np.uint8))

    def _page(self, text: str, picture: Image.Image) -> TokenEmbeddings:
        laid = [self._laid(picture, grid) for grid in self.grids]
        vectors = np.concatenate([np.eye(1, self.dim, 7), *laid]).astype(np.float32)
        return page_rows(vectors, self.grids, prompt=1, text=text, image=pixels_digest(picture))

    def _laid(self, picture: Image.Image, grid: Grid) -> np.ndarray:
        seen = picture.resize((grid.n_cols, grid.n_rows), Image.Resampling.BOX)
        pixels = np.asarray(seen, dtype=float).reshape(-1, 1, 3)
        nearest = np.abs(pixels - np.array(list(COLOURS.values()))).sum(axis=2).argmin(axis=1)
        return np.eye(self.dim)[nearest]


def page_rows(
    vectors: np.ndarray, grids: tuple[Grid, ...], *, prompt: int = 0, text: str = "", image: str = ""
) -> TokenEmbeddings:
    """Rows of a page: so many of the prompt, then one for each cell in order."""
    n = len(vectors)
    cells = np.maximum(np.arange(n) - prompt, -1).astype(np.int32)
    kinds = np.where(cells >= 0, TokenKind.PATCH, TokenKind.MARKER).astype(np.uint8)
    tokens = tuple("<image>" if cell >= 0 else "<bos>" for cell in cells)
    spans = np.full((n, 2), NO_SPAN, dtype=np.int32)
    return TokenEmbeddings(text, vectors.astype(np.float32), tokens, spans, kinds, page=PatchGrid(grids, cells, image))


def painted(size: tuple[int, int], blocks: dict[str, tuple[int, int, int, int]], ground: str = "white") -> Image.Image:
    """A picture with blocks of colours, each at its left, top, right, bottom in pixels."""
    picture = Image.new("RGB", size, COLOURS[ground])
    for colour, box in blocks.items():
        picture.paste(COLOURS[colour], box)
    return picture


def painted_pdf(
    *pages: tuple[Mapping[str, tuple[float, float, float, float]], Sequence[tuple[str, float, float]]],
    size: tuple[int, int] = (400, 500),
) -> bytes:
    """A PDF whose pages show blocks of colours, and lines of text, each at its left and baseline.

    Places are in points from the upper left corner.
    """
    from reportlab.pdfgen.canvas import Canvas

    out, height = io.BytesIO(), size[1]
    canvas = Canvas(out, pagesize=size, invariant=1)
    for blocks, lines in pages:
        for colour, (left, top, right, bottom) in blocks.items():
            canvas.setFillColorRGB(*(part / 255 for part in COLOURS[colour]))
            canvas.rect(left, height - bottom, right - left, bottom - top, stroke=0, fill=1)
        canvas.setFillColorRGB(0, 0, 0)
        canvas.setFont("Helvetica", 14)
        for text, left, baseline in lines:
            canvas.drawString(left, height - baseline, text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()
