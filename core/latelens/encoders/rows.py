"""From a tokenizer's output to labelled rows: which rows score, what each stands for, and its characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.embeddings import NO_SPAN, TokenEmbeddings, TokenKind
from latelens.text import covers_visible, snap_to_characters, trim_to_visible

_SURROGATE = regex.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class EncodedWindow:
    """One encoded slice ``text[start:...]`` of a document, or a whole query.

    Attributes
    ----------
    vectors
        (n, dim) float32, the rows that score.
    ids
        (n,) token ids.
    spans
        (n, 2) int32, in characters of the slice, white space included; ``(-1, -1)`` where a row has no text.
    kinds
        (n,) uint8.
    read
        (m, 2) int32: spans of every token that the model saw, also those that do not score.
    """

    start: int
    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    spans: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    read: NDArray[np.int32]


def clean_surrogates(text: str) -> str:
    """Replace lone surrogates, which no tokenizer takes, one for one: positions stay."""
    return _SURROGATE.sub("\ufffd", text) if not text.isascii() else text


def label_rows(
    ids: NDArray[np.int64],
    offsets: NDArray[np.int32],
    *,
    added: NDArray[np.bool_],
    expansion: NDArray[np.bool_],
    control_ids: NDArray[np.int64],
    prompt_length: int,
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Spans in the slice and kinds of all rows of one input; `offsets` index prompt + slice."""
    kinds = np.full(len(ids), TokenKind.CONTENT, dtype=np.uint8)
    # Control words that a text spells out are not in the tokenizer's own mask: they are known by their ids.
    kinds[added | np.isin(ids, control_ids)] = TokenKind.SPECIAL
    in_prompt = (offsets[:, 1] > 0) & (offsets[:, 1] <= prompt_length)
    kinds[in_prompt & ~added] = TokenKind.MARKER
    kinds[expansion] = TokenKind.EXPANSION
    spans = np.maximum(offsets - prompt_length, 0).astype(np.int32)
    spans[added | in_prompt | expansion | (spans[:, 0] >= spans[:, 1])] = NO_SPAN
    return spans, kinds


def assemble(text: str, windows: Sequence[EncodedWindow], tokens: Sequence[str]) -> TokenEmbeddings:
    """Join the windows of one text, in order; spans become whole visible characters of `text`."""
    spans = np.concatenate([_shift(window.spans, window.start) for window in windows])
    read = np.concatenate([_shift(window.read, window.start) for window in windows])
    one = windows[0] if len(windows) == 1 else None
    return TokenEmbeddings(
        text=text,
        vectors=one.vectors if one else np.concatenate([window.vectors for window in windows]),
        tokens=tuple(tokens),
        spans=snap_to_characters(text, _trim(text, spans)),
        kinds=one.kinds if one else np.concatenate([window.kinds for window in windows]),
        complete=covers_visible(text, read) and not _SURROGATE.search(text),
    )


def _shift(spans: NDArray[np.int32], start: int) -> NDArray[np.int32]:
    return np.where(spans >= 0, spans + np.int32(start), spans).astype(np.int32)


def _trim(text: str, spans: NDArray[np.int32]) -> NDArray[np.int32]:
    """Byte-level and SentencePiece tokenizers count the space before a word: take it out."""
    trimmed = spans.copy()
    for row, (start, end) in enumerate(spans.tolist()):
        if start >= 0 and (text[start].isspace() or text[end - 1].isspace()):
            start, end = trim_to_visible(text, start, end)
            trimmed[row] = (start, end) if start < end else NO_SPAN
    return trimmed
