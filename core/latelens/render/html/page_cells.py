"""Page images in HTML: the map of each word of the query for a browser, and the score row by row."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenKind
from latelens.explanation.maps import page_maps
from latelens.explanation.matches import Explanation
from latelens.explanation.results import Ranked
from latelens.pages.page import Page
from latelens.patches import PatchGrid
from latelens.render.html.escaping import escape
from latelens.render.html.page_pictures import PARTS, in_parts
from latelens.render.ledger import CellLine, LedgerLine, ledger, page_ledger, top_similarity

_WORDS_SHOWN = 4


def cells_json(item: Ranked, patches: PatchGrid) -> dict[str, Any]:
    """For a browser: for each line of the ledger, and last for all words, a map of the finest grid and what it won.

    ``grid`` is columns, lines, and what they cover in ten-thousandths of the page. ``heat`` are bytes in base64, line
    by line, 255 for the end of the scale. ``won`` are boxes in ten-thousandths, on any grid; none for what lies off
    the page.
    """
    explanation, grid = item.explanation, patches.grids[0]
    lines, maps, top = ledger(explanation), page_maps(explanation), top_similarity(explanation.query)
    shades = [maps.similarity[[match.query_row for match in line.matches]].max(axis=0) for line in lines]
    asked = [line for line in lines if line.is_word]
    return {
        "grid": [grid.n_cols, grid.n_rows, round(grid.width * PARTS), round(grid.height * PARTS)],
        "heat": [_bytes(shade / top) for shade in (*shades, maps.highest)],
        "won": [*(_won([line]) for line in lines), _won(asked)],
    }


def score_table(explanation: Explanation, page: Page | None, *, is_open: bool) -> str:
    """What a page's score is made of: the cell of each row of the query, and the sums."""
    told = page_ledger(explanation, page=page)
    places = ("pixels", "points") if page is not None else ("per cent of the page",)
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("query token", "cell", *places, "words", "adds"))
    rows = "".join(_row(line, len(places)) for line in told.lines)
    sums = (("on the page", told.on_page), ("off page", told.off_page), ("score", told.score))
    blank = "<td></td>" * (2 + len(places))
    feet = "".join(f'<tr><th scope="row">{name}</th>{blank}{_number(value)}</tr>' for name, value in sums)
    return (
        f"<details{' open' if is_open else ''}><summary>What the score is made of</summary><table><thead><tr>{heads}"
        f"</tr></thead><tbody>{rows}</tbody><tfoot>{feet}</tfoot></table></details>"
    )


def _bytes(share: NDArray[np.float32]) -> str:
    scaled = np.rint(255 * np.nan_to_num(share).clip(0, 1)).astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode()


def _won(lines: Iterable[LedgerLine]) -> list[list[int]]:
    cells = (cell.box for line in lines for cell in line.cells)
    return [in_parts(box) for box in dict.fromkeys(cells) if box is not None]


def _row(line: CellLine, places: int) -> str:
    cell, is_word = line.cell, line.kind is TokenKind.CONTENT
    where = f"{cell.place} (overview)" if cell.coarse and cell.box else cell.place
    kind = "" if is_word else f" ({line.kind.name.lower()})"
    boxes = [""] * places
    if line.pixels is not None and line.points is not None:
        boxes = [" ".join(map(str, line.pixels)), " ".join(f"{edge:.0f}" for edge in line.points)]
    elif cell.box is not None and places == 1:
        boxes = [" ".join(f"{100 * edge:.0f}" for edge in cell.box)]
    words = ", ".join(cell.words[:_WORDS_SHOWN]) + (" …" if len(cell.words) > _WORDS_SHOWN else "")
    said = "".join(f'<td class="ll-box">{box}</td>' for box in boxes)
    return (
        f'<tr{"" if is_word else _REST}><th scope="row"><bdi>{escape(line.token)}</bdi>{kind}</th><td>{where}</td>'
        f"{said}<td><bdi>{escape(words)}</bdi></td>{_number(cell.similarity)}</tr>"
    )


_REST = ' class="ll-rest"'


def _number(value: float) -> str:
    """A cell with a number to read, and the exact one for programs."""
    return f'<td class="ll-number"><data value="{value!r}">{value:.3f}</data></td>'
