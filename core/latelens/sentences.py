"""Sentences of a chunk, as spans: lines first where a text is a list, a table or code, then sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import sentencex

from latelens.text import snap_to_characters, trim_to_visible, words

# Longer "sentences" (lists without stops, minified text) are cut at clauses or words: three spans of evidence
# must stay within the 2 KB of metadata that a chunk may carry.
MAX_CHARACTERS = 400

# A line that stands alone: a heading, a list item, a table row, a quote, a fence, or indented code.
_STRUCTURE = re.compile(
    r"""\s*(?:\#{1,6}\s | [-*+•‣▪◦–]\s | \(?\d{1,3}[.)]\s | \(?[a-zA-Z][.)]\s | > | \| | ```|~~~ | ={3,} | -{3,})
      | (?:\ {4}|\t)\s*\S | .*[|\t].*[|\t] | .*[{};]\s*$""",
    re.VERBOSE,
)
# What opens a list item and is not a sentence, although it ends in a stop.
_ITEM_NUMBER = re.compile(r"\(?(?:\d{1,3}|[a-zA-Z])[.)]$")
_CLAUSE_END = re.compile(r"[;:,،、，；：。](?=\s|[^\x00-\x7f]|$)\s*|\s[–—]\s")
# A wrapped line of prose is about as long as its neighbours; a shorter one without a stop is a title or an item.
_WRAPPED_LINE = 40


@lru_cache(maxsize=4096)
def split_sentences(text: str, language: str = "en") -> tuple[tuple[int, int], ...]:
    r"""Spans of the sentences in a text, in order, without the white space around them.

    Headings, list items, table rows and lines of code stand alone; hard-wrapped prose is read through its line
    breaks. Sentences longer than `MAX_CHARACTERS` are cut at clauses. `language` is an ISO 639-1 code, which
    decides about abbreviations; scripts with stops of their own are split whatever it says.

    >>> text = "# Diet\nDr. Rao counted them. They eat\ngrass; he said so."
    >>> [text[start:end] for start, end in split_sentences(text)]
    ['# Diet', 'Dr. Rao counted them.', 'They eat\ngrass; he said so.']
    """
    pieces = [
        piece
        for block in _blocks(text)
        for sentence in _sentences(text, block, language)
        for piece in _shorten(text, *sentence)
    ]
    spans = snap_to_characters(text, np.array(pieces, dtype=np.int32).reshape(-1, 2))
    # A boundary that fell inside a character now belongs to both neighbours: the first one keeps it.
    spans[1:, 0] = np.maximum(spans[1:, 0], spans[:-1, 1])
    return tuple((start, end) for start, end in spans.tolist() if start < end)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Runs of lines that may hold one sentence across a line break."""
    start = position = 0
    previous = ""
    for line in text.splitlines(keepends=True):
        if position > start and _breaks(previous, line):
            yield start, position
            start = position
        previous = line
        position += len(line)
    if position > start:
        yield start, position


def _breaks(previous: str, line: str) -> bool:
    """Whether the line break between two lines ends a sentence."""
    if not previous.strip() or not line.strip():
        return True
    if _STRUCTURE.match(line) or _STRUCTURE.match(previous):
        # A list item or a quote may go on, indented or not, in a lower-case line.
        return not (line.lstrip()[:1].islower() and not _STRUCTURE.match(line) and previous.strip()[-1:] not in "|};")
    return len(previous.rstrip()) < _WRAPPED_LINE and not line.lstrip()[:1].islower()


def _sentences(text: str, block: tuple[int, int], language: str) -> Iterator[tuple[int, int]]:
    begin = position = block[0]
    # One space for each break keeps the positions, and lets the splitter see "Dr.\nRao" as it sees "Dr. Rao".
    flat = re.sub(r"[\r\n]", " ", text[slice(*block)])
    for sentence in sentencex.segment(language, flat):
        position += len(sentence)
        start, end = trim_to_visible(text, begin, position)
        if position < block[1] and _ITEM_NUMBER.match(text[start:end]):
            continue
        if start < end:
            yield start, end
        begin = position


def _shorten(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a long sentence at its last clause end, else its last word, that fits."""
    while end - start > MAX_CHARACTERS:
        cut = _cut(text, start, start + MAX_CHARACTERS)
        piece = trim_to_visible(text, start, cut)
        if piece[0] < piece[1]:
            yield piece
        start = trim_to_visible(text, cut, end)[0]
    if start < end:
        yield start, end


def _cut(text: str, start: int, limit: int) -> int:
    clauses = [match.end() for match in _CLAUSE_END.finditer(text, start, limit)]
    late = [cut for cut in clauses if cut - start > MAX_CHARACTERS // 3]
    if late:
        return late[-1]
    # Asked about the piece alone, with a margin, so that an endless text is not read again for every cut.
    piece = text[start : limit + MAX_CHARACTERS]
    inside = [begin for begin, _ in words(piece).tolist() if 0 < begin <= limit - start]
    if inside:
        return start + inside[-1]
    whole = snap_to_characters(piece, np.array([[0, limit - start]], dtype=np.int32))
    return start + int(whole[0, 1])
