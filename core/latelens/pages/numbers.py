"""Page numbers as one says them."""

from __future__ import annotations

from collections.abc import Sequence


def page_numbers(pages: Sequence[int]) -> str:
    """Page numbers in words, runs joined.

    >>> page_numbers([1, 2, 3, 7])
    'pages 1-3, 7'
    """
    runs: list[list[int]] = []
    for page in pages:
        if runs and page == runs[-1][-1] + 1:
            runs[-1].append(page)
        else:
            runs.append([page])
    written = ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return f"page{'s' if len(pages) > 1 else ''} {written}"
