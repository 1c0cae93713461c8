"""Numbers beside a line of text: the values of a table's row, whose label alone may be what answers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latelens.pages.page import Page


def row_of(page: Page, lines: NDArray[np.int32]) -> NDArray[np.int32]:
    """Some of a page's lines, the numbers that stand level with them, and the label before a number: a table's row.

    A line is a number where digits are at least half of what is seen of it. Other words on the same level stay out, as
    they may be those of another column; so does everything beside a line that runs up or down.
    """
    firsts = np.flatnonzero(np.diff(page.lines, prepend=page.lines[:1] - 1))
    numbers, ends = page.lines[firsts], np.append(firsts[1:], len(page.lines))
    left, top = np.fmin.reduceat(page.boxes[:, :2], firsts, axis=0).T  # (lines,), NaN where nothing is seen
    right, bottom = np.fmax.reduceat(page.boxes[:, 2:], firsts, axis=0).T
    values = np.array([_is_value(page.text[a:b]) for a, b in zip(firsts.tolist(), ends.tolist(), strict=True)])
    middle, level = (top + bottom) / 2, (right - left) * page.width >= (bottom - top) * page.height
    taken = np.isin(numbers, lines)
    found = taken.copy()
    for i in np.flatnonzero(taken & level).tolist():
        beside = (middle >= top[i]) & (middle <= bottom[i])
        found |= beside & values
        labels = np.flatnonzero(beside & ~values & (right <= left[i]))
        if values[i] and len(labels):
            found[labels[right[labels].argmax()]] = True
    return numbers[found]


def _is_value(text: str) -> bool:
    seen = "".join(text.split())
    return 2 * sum(map(str.isdigit, seen)) >= max(len(seen), 1)
