"""Token embeddings as bytes: safetensors, no pickle; the text itself is kept by whoever stores them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from latelens.embeddings import NO_SPAN, PooledSpans, TokenEmbeddings
from latelens.patches import Grid, PatchGrid

_DTYPES = {"F32": np.float32, "F64": np.float64, "I32": np.int32, "U8": np.uint8}


def to_bytes(entry: TokenEmbeddings, *, vectors: bool = True) -> bytes:
    """Write the rows; ``vectors=False`` leaves the vectors out, for stores that keep them in a column of their own."""
    arrays: dict[str, NDArray[Any]] = {"kinds": entry.kinds, "complete": np.array([entry.complete], dtype=np.uint8)}
    if entry.page is None:
        arrays |= {"spans": entry.spans, **_letters(entry.tokens)}
    else:
        arrays |= _page_arrays(entry, entry.page)
    if entry.pooled is not None:
        arrays["pooled_spans"], arrays["pooled_starts"] = entry.pooled.spans, entry.pooled.starts
    if vectors:
        arrays["vectors"] = entry.vectors
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})  # safetensors ignores strides


def _letters(tokens: Sequence[str]) -> dict[str, NDArray[Any]]:
    # Tokens are no JSON: it would read two lone surrogates in a row back as one character.
    letters = "".join(tokens).encode("utf-8", "surrogatepass")
    return {
        "lengths": np.array([len(token) for token in tokens], dtype=np.int32),
        "letters": np.frombuffer(letters, dtype=np.uint8),
    }


def _page_arrays(entry: TokenEmbeddings, page: PatchGrid) -> dict[str, NDArray[Any]]:
    """Labels of a page image: 6 KB for one of 1,030 rows, not 21, as its patches share one token and have no span."""
    runs = [(token, len(list(same))) for token, same in groupby(entry.tokens)]
    arrays = {
        **_letters([token for token, _ in runs]),
        "repeats": np.array([repeats for _, repeats in runs], dtype=np.int32),
        "cells": page.cells,
        "grids": np.array([[each.n_cols, each.n_rows, each.width, each.height] for each in page.grids]),  # (k, 4)
        "image": np.frombuffer(page.image.encode(), dtype=np.uint8),
    }
    return {**arrays, "spans": entry.spans} if (entry.spans != NO_SPAN).any() else arrays


def from_bytes(payload: bytes, text: str, *, vectors: NDArray[np.float32] | None = None) -> TokenEmbeddings:
    """Read what `to_bytes` wrote, as read-only views of the payload; `vectors` gives those that were left out.

    Raises
    ------
    ValueError, KeyError
        If the payload is damaged.
    """
    # safetensors' `load` copies instead of taking views: 55 ms against 43 for 100 entries.
    start = 8 + int.from_bytes(payload[:8], "little")
    data = memoryview(payload)[start:]
    arrays = {
        name: np.frombuffer(data[slice(*x["data_offsets"])], dtype=_DTYPES[x["dtype"]]).reshape(x["shape"])
        for name, x in json.loads(payload[8:start]).items()
    }
    letters = arrays["letters"].tobytes().decode("utf-8", "surrogatepass")
    edges = [0, *np.cumsum(arrays["lengths"]).tolist()]
    tokens = tuple(letters[start:end] for start, end in pairwise(edges))
    rows = arrays["vectors"] if vectors is None else vectors
    behind = PooledSpans(arrays["pooled_spans"], arrays["pooled_starts"]) if "pooled_spans" in arrays else None
    page = None
    if "cells" in arrays:
        tokens = tuple(np.repeat(np.array(tokens, dtype=object), arrays["repeats"]).tolist())
        arrays.setdefault("spans", np.full((len(tokens), 2), NO_SPAN, dtype=np.int32))
        page = _page(arrays)
    complete = bool(arrays["complete"][0])
    return TokenEmbeddings(text, rows, tokens, arrays["spans"], arrays["kinds"], complete, behind, page)


def _page(arrays: dict[str, NDArray[Any]]) -> PatchGrid:
    grids = tuple(Grid(int(cols), int(rows), width, height) for cols, rows, width, height in arrays["grids"].tolist())
    return PatchGrid(grids, arrays["cells"], arrays["image"].tobytes().decode())
