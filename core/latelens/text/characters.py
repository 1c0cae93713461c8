"""Characters and words: where a span may begin and end so that it never cuts what a reader sees as one."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
import regex
from numpy.typing import NDArray

# Unicode's grapheme clusters and default words (UAX #29), from a library that follows the standard's versions.
# A symbol or an emoji counts as a word of its own: "5 €" and "👍" can be what a question asks for. The library
# sees no boundary between a quote and a vowel, so that "'eat'" would be no word: hence the second way to begin.
_CLUSTER = regex.compile(r"\X")
_WORD = regex.compile(r"(?ws)(?:\b|(?<!\w))(?!\p{Join_Control})\w.*?\b|(?=[\p{So}\p{Sc}\p{Sm}\p{No}\p{Co}])\X")
_VISIBLE = regex.compile(r"[^\s\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{M}\p{Default_Ignorable_Code_Point}]")
_INVISIBLE_RUN = regex.compile(r"[\s\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{M}\p{Default_Ignorable_Code_Point}]+")
# Letters, signs and ideographs of which each is a character by itself: Latin, Greek, Cyrillic, kana, Chinese, and the
# dashes, quotes and currencies beside them. A text that holds no other need not be searched for clusters, which took
# a twentieth of the fastest encoding.
_SINGLE = re.compile(
    "[\x00-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u2027\u20a0-\u20bf\u3000-\u3029\u3041-\u3096\u30a0-\u30ff\u4e00-\u9fff]*"
)
# Two letters of these make a flag. The library counts all of them before a place to know whether it is inside one:
# 8,000 in a row took 0.3 s, and twice as many four times as long. A symbol and what modifies it are cut alike.
_FLAG_LETTERS = regex.compile("[\U0001f1e6-\U0001f1ff]{3,}")
_LIKE_A_FLAG = "\u2500\U0001f3fb"


def is_visible(text: str) -> bool:
    """Whether a reader would see any character of the text: not only spaces, controls, joiners and marks."""
    return _VISIBLE.search(text) is not None


@lru_cache(maxsize=2048)
def words(text: str) -> NDArray[np.int32]:
    """Word spans of a text, (words, 2) int32, in order; punctuation and spaces are no words.

    >>> [str("It can't cost 3.5 €!"[a:b]) for a, b in words("It can't cost 3.5 €!")]
    ['It', "can't", 'cost', '3.5', '€']
    """
    found = [match.span() for match in _WORD.finditer(_cut_alike(text))]
    spans = _merge(snap_to_characters(text, np.array(found, dtype=np.int32).reshape(-1, 2)))
    spans.setflags(write=False)  # every caller with this text gets the same array
    return spans


def _cut_alike(text: str) -> str:
    """A text with the same edges of words and characters, which are found in time that grows with its length."""
    alike: str = _FLAG_LETTERS.sub(lambda run: (_LIKE_A_FLAG * len(run.group()))[: len(run.group())], text)
    return alike


def _merge(spans: NDArray[np.int32]) -> NDArray[np.int32]:
    """Join spans, in order, that overlap: Unicode breaks Thai words inside what it calls one character."""
    if not len(spans):
        return spans
    apart = np.append(True, spans[1:, 0] >= np.maximum.accumulate(spans[:-1, 1]))
    first = np.flatnonzero(apart)
    return np.stack([spans[first, 0], np.maximum.reduceat(spans[:, 1], first)], axis=1)


def character_edges(text: str) -> NDArray[np.int32]:
    """Where the characters that a reader sees as one begin, and the text's end, (characters + 1,) int32."""
    if (text.isascii() or _SINGLE.fullmatch(text)) and "\r\n" not in text:
        return np.arange(len(text) + 1, dtype=np.int32)
    edges = np.fromiter((match.start() for match in _CLUSTER.finditer(_cut_alike(text))), dtype=np.int32)
    return np.append(edges, np.int32(len(text)))


def snap_to_characters(text: str, spans: NDArray[np.int32]) -> NDArray[np.int32]:
    """Widen spans, (n, 2) int32, so that none cuts an accent, an emoji or a Hangul syllable in two."""
    if text.isascii() or not len(spans):
        return spans
    edges = character_edges(text)
    real = spans[:, 0] >= 0
    snapped = spans.copy()
    snapped[real, 0] = edges[np.searchsorted(edges, spans[real, 0], side="right") - 1]
    snapped[real, 1] = edges[np.searchsorted(edges, spans[real, 1], side="left")]
    return snapped


def snap_to_visible(text: str, spans: NDArray[np.int32]) -> NDArray[np.int32]:
    r"""Widen spans, (n, 2) int32, to whole characters, then leave out what nobody sees at both ends.

    ``(-1, -1)`` where no visible character is left, as for the space that a byte-level token begins with.

    >>> snap_to_visible("a cafe\u0301", np.array([[1, 6], [1, 2]], dtype=np.int32)).tolist()
    [[2, 7], [-1, -1]]
    """
    if text.isascii():
        codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8)
        shown = (codes > ord(" ")) & (codes < 127)
        real = (spans[:, 0] >= 0) & (spans[:, 0] < spans[:, 1])
        if shown[spans[real, 0]].all() and shown[spans[real, 1] - 1].all():  # nothing to leave out, as most often
            return np.where(real[:, None], spans, np.int32(-1))
    edges = character_edges(text)
    if len(edges) < 2:
        return np.full_like(spans, -1)
    visible = np.ones(len(text), dtype=np.bool_)
    for run in _INVISIBLE_RUN.finditer(text):
        visible[run.start() : run.end()] = False
    seen = np.flatnonzero(np.logical_or.reduceat(visible, edges[:-1]))  # characters with anything to see
    first = np.searchsorted(edges, spans[:, 0], side="right") - 1
    last = np.searchsorted(edges, spans[:, 1], side="left")
    begin, end = np.searchsorted(seen, first), np.searchsorted(seen, last)
    kept = (spans[:, 0] >= 0) & (begin < end)
    snapped = np.full_like(spans, -1)
    snapped[kept, 0] = edges[seen[begin[kept]]]
    snapped[kept, 1] = edges[seen[end[kept] - 1] + 1]
    return snapped


def trim_to_visible(text: str, start: int, end: int) -> tuple[int, int]:
    """Shrink ``[start, end)`` past the white space at both ends; ``start == end`` where nothing is left."""
    piece = text[start:end]
    start += len(piece) - len(piece.lstrip())
    return start, max(start, end - (len(piece) - len(piece.rstrip())))


def covers_visible(text: str, spans: NDArray[np.int32]) -> bool:
    """Whether every visible character of the text lies in one of the spans, (n, 2) int32 with (-1, -1) ignored."""
    spans = spans[spans[:, 0] >= 0]
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reached = np.maximum.accumulate(np.append(0, spans[:, 1]))
    starts = np.append(spans[:, 0], len(text))
    gaps = np.flatnonzero(starts > reached)
    missed = "".join(text[reached[gap] : starts[gap]] for gap in gaps)
    return not is_visible(missed)
