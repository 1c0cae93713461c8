"""From a tokenizer's output to labelled rows: which rows score, what each stands for, and its characters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from latelens.embeddings import NO_SPAN, TokenEmbeddings, TokenKind
from latelens.text.characters import covers_visible, snap_to_characters, snap_to_visible

_SURROGATE = regex.compile(r"[\ud800-\udfff]")
# SentencePiece's mark for the beginning of a word. Alone it stands for no text, yet it claims the first character.
_WORD_MARK = "▁"


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
    full
        Whether its tokens fill the model's window, so that text after them may have been cut.
    """

    start: int
    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    spans: NDArray[np.int32]
    kinds: NDArray[np.uint8]
    read: NDArray[np.int32]
    full: bool


def clean_surrogates(text: str) -> str:
    """Replace lone surrogates, which no tokenizer takes, one for one: positions stay."""
    return _SURROGATE.sub("\ufffd", text) if not text.isascii() else text


def label_rows(
    text: str,
    ids: NDArray[np.int64],
    offsets: NDArray[np.int32],
    *,
    added: NDArray[np.bool_],
    expansion: NDArray[np.bool_],
    control_ids: NDArray[np.int64],
    prompt_length: int,
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Spans in the slice `text` and kinds of all rows of one input; `offsets` index prompt + slice."""
    kinds = np.full(len(ids), TokenKind.CONTENT, dtype=np.uint8)
    # Control words that a text spells out are not in the tokenizer's own mask: they are known by their ids.
    kinds[added | np.isin(ids, control_ids)] = TokenKind.SPECIAL
    # A row of the prompt may swallow the white space that the text begins with.
    blank = prompt_length + len(text) - len(text.lstrip())
    begins, ends = offsets[:, 0] < prompt_length, offsets[:, 1] <= prompt_length
    in_prompt = ((begins & (offsets[:, 1] <= blank)) | ends) & (prompt_length > 0) & ~added
    kinds[in_prompt] = TokenKind.MARKER
    kinds[expansion] = TokenKind.EXPANSION
    spans = np.maximum(offsets - prompt_length, 0).astype(np.int32)
    spans[added | in_prompt | expansion | (spans[:, 0] >= spans[:, 1])] = NO_SPAN
    return spans, kinds


def label_batch(
    slices: Sequence[str],
    starts: Sequence[int],
    *,
    vectors: NDArray[np.float32],
    ids: NDArray[np.int64],
    offsets: NDArray[np.int32],
    added: NDArray[np.bool_],
    expansion: NDArray[np.bool_],
    scoring: NDArray[np.bool_],
    full: NDArray[np.bool_],
    control_ids: NDArray[np.int64],
    prompt_length: int,
    marker: int | None = None,
) -> list[EncodedWindow]:
    """Make windows of a batch that a model encoded, (batch, tokens, ...) each; only rows of `scoring` are kept.

    `starts` are the places of the slices in their texts; `added` are tokens that the tokenizer put in, `marker` is the
    place of one that was put in afterwards.
    """
    windows = []
    for i, start in enumerate(starts):
        spans, kinds = label_rows(
            slices[i],
            ids[i],
            offsets[i],
            added=added[i],
            expansion=expansion[i],
            control_ids=control_ids,
            prompt_length=prompt_length,
        )
        if marker is not None:
            kinds[marker] = TokenKind.MARKER
        keep = scoring[i]
        windows.append(
            EncodedWindow(start, vectors[i][keep], ids[i][keep], spans[keep], kinds[keep], spans, bool(full[i]))
        )
    return windows


def assemble(text: str, windows: Sequence[EncodedWindow], tokens: Sequence[str]) -> TokenEmbeddings:
    """Join the windows of one text, in order; spans become whole visible characters of `text`."""
    spans = np.concatenate([_shift(window.spans, window.start) for window in windows])
    read = np.concatenate([_shift(window.read, window.start) for window in windows])
    for row in [row for row, token in enumerate(tokens) if token == _WORD_MARK]:
        if _WORD_MARK not in text[spans[row, 0] : spans[row, 1]]:
            spans[row] = NO_SPAN
    one = windows[0] if len(windows) == 1 else None
    return TokenEmbeddings(
        text=text,
        vectors=one.vectors if one else np.concatenate([window.vectors for window in windows]),
        tokens=tuple(tokens),
        spans=snap_to_visible(text, spans),
        kinds=one.kinds if one else np.concatenate([window.kinds for window in windows]),
        complete=_is_complete(text, read),
    )


def _is_complete(text: str, read: NDArray[np.int32]) -> bool:
    if not text.isascii() and _SURROGATE.search(text):
        return False
    # A tokenizer that composes accents or Hangul reports the first code point of each character only.
    return covers_visible(text, read) or covers_visible(text, snap_to_characters(text, read))


def _shift(spans: NDArray[np.int32], start: int) -> NDArray[np.int32]:
    return np.where(spans >= 0, spans + np.int32(start), spans).astype(np.int32)
