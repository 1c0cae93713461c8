"""Characters with boxes as a text layer gives them, put together to a page's text and its lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# How PDFium writes a hyphen at the end of a line within a word.
_HYPHENS = frozenset({0x02, 0xFFFE})
_LIGATURES = {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
_BREAKS = frozenset({0x0A, 0x0B, 0x0C, 0x0D, 0x85, 0x2028, 0x2029})
# Two characters further apart than this many line heights stand in different columns or cells: a word space in
# justified text may pass 1.5, the space between columns or cells is mostly wider.
_APART = 1.8


class Assembled(NamedTuple):
    """Text, and where each of its characters comes from.

    Attributes
    ----------
    origins
        (characters,) index of the code point.
    begins
        (characters,) whether it begins a line.
    hyphens
        Characters that a hyphen follows which the text leaves out, with the hyphen's index among the code points.
    """

    text: str
    origins: list[int]
    begins: list[bool]
    hyphens: list[tuple[int, int]]


def assemble(codes: Sequence[int]) -> Assembled:
    r"""Write code points as text.

    Line ends become ``\n`` without spaces before them, a word hyphenated at the end of a line is joined, ligatures are
    spelled out, control characters are left out.

    >>> assemble([0x61, 0x02, 0x62, 0x20, 0x0D, 0x0A, 0xFB01])[:3]
    ('ab\nfi', [0, 2, 5, 6, 6], [False, True, False, True, False])
    """
    text: list[str] = []
    origins: list[int] = []
    begins: list[bool] = []
    hyphens: list[tuple[int, int]] = []
    turned = False  # whether a new line has begun since the last character
    i, n = 0, len(codes)
    while i < n:
        code, origin = codes[i], i
        i += 1
        if 32 <= code < 0x2028 and code != 0x85:  # as most are
            text.append(chr(code))
            origins.append(origin)
            begins.append(turned)
            turned = False
            continue
        if code in _HYPHENS:
            turned = True
            if text:
                hyphens.append((len(text) - 1, origin))
            while i < n and codes[i] in _BREAKS:
                i += 1
            continue
        if code in _BREAKS:
            i += code == 0x0D and i < n and codes[i] == 0x0A
            while text and text[-1] in " \t\xa0":
                del text[-1], origins[-1], begins[-1]
            turned = True
        elif 0xD800 <= code < 0xDC00 and i < n and 0xDC00 <= codes[i] < 0xE000:
            code = 0x10000 + ((code - 0xD800) << 10) + codes[i] - 0xDC00
            i += 1
        for character in _written(code):
            text.append(character)
            origins.append(origin)
            begins.append(turned and character != "\n")
            turned = turned and character == "\n"
    return Assembled("".join(text), origins, begins, hyphens)


def _written(code: int) -> str:
    """A code point as a reader of the text needs it; nothing for controls."""
    if code in _BREAKS:
        return "\n"
    if (code < 32 and code != 9) or code > 0x10FFFF:
        return ""
    return _LIGATURES.get(code) or ("\ufffd" if 0xD800 <= code < 0xE000 else chr(code))


def boxes_of(assembled: Assembled, boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes (characters, 4) from those of the code points, (codes, 4); a left-out hyphen joins the letter before it."""
    found = boxes[assembled.origins]
    for character, hyphen in assembled.hyphens:
        near, far = found[character], boxes[hyphen]
        beside = min(near[3], far[3]) - max(near[1], far[1]) > 0.5 * (near[3] - near[1])
        if character < len(found) and beside:  # False where one of them is NaN
            found[character] = (*np.minimum(near[:2], far[:2]), *np.maximum(near[2:], far[2:]))
    return found


def lines_of(boxes: NDArray[np.float32], begins: NDArray[np.bool_], ratio: float) -> NDArray[np.int32]:
    """Number the lines that characters stand on, (characters,) int32.

    A line ends where the text says so, and at a wide gap. `ratio` is the page's width by its height, so that
    distances of both directions compare.
    """
    starts = begins.copy()
    seen = np.flatnonzero(~np.isnan(boxes[:, 0]))
    if len(seen) > 1:
        scaled = boxes[seen] * np.array([ratio, 1, ratio, 1], dtype=np.float32)  # in page heights
        sizes = scaled[:, 2:] - scaled[:, :2]  # (seen, 2)
        gaps = np.maximum(scaled[1:, :2], scaled[:-1, :2]) - np.minimum(scaled[1:, 2:], scaled[:-1, 2:])
        smaller = np.minimum(sizes[1:], sizes[:-1])
        beside = gaps[:, 1] < -0.3 * smaller[:, 1]  # on one line of horizontal text
        below = gaps[:, 0] < -0.3 * smaller[:, 0]  # on one line of text that runs up or down
        tall, wide = (np.maximum(sizes[1:, axis], sizes[:-1, axis]) for axis in (1, 0))
        joined = (beside & (gaps[:, 0] <= _APART * tall)) | (below & (gaps[:, 1] <= _APART * wide))
        starts[seen[1:][~joined]] = True
    numbers: NDArray[np.int32] = np.cumsum(starts).astype(np.int32)
    return numbers
