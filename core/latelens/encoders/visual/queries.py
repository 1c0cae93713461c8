"""Which rows of a query for pages are its words, its prompt and its expansion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import NO_SPAN, TokenKind


def label_query(
    text: str,
    ids: NDArray[np.int64],
    offsets: NDArray[np.int64],
    *,
    begin: int,
    control_ids: NDArray[np.int64],
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Spans in `text`, (n, 2) int32, and kinds, (n,) uint8, of the rows of one query.

    `offsets` count characters of what the tokenizer read: the prompt, the text from `begin` on, and control tokens that
    expand the query, always several of a kind. They are told by their ids and places: a text that spells one of them
    out has a control row, with its characters.
    """
    end = begin + len(text)
    control = np.isin(ids, control_ids)
    visible = offsets[:, 0] < offsets[:, 1]
    inside = visible & (offsets[:, 1] > begin) & (offsets[:, 0] < end)
    after = visible & (offsets[:, 0] >= end)
    kinds = np.where(inside, TokenKind.CONTENT, TokenKind.MARKER)
    kinds[control] = TokenKind.SPECIAL
    behind, counts = np.unique(ids[after & control], return_counts=True)
    kinds[after & np.isin(ids, behind[counts > 1])] = TokenKind.EXPANSION
    spans = (offsets - begin).clip(0, len(text)).astype(np.int32)
    spans[~inside] = NO_SPAN
    return spans, kinds.astype(np.uint8)
