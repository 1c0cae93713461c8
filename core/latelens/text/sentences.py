"""Sentences of a chunk, as spans: lines first where a text is a list, a table or code, then sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

import numpy as np
import sentencex

from latelens.text.characters import snap_to_characters, trim_to_visible, words

# Longer "sentences" (lists without stops, minified text) are cut at clauses or words: three spans of evidence
# must stay within the 2 KB of metadata that a chunk may carry.
MAX_CHARACTERS = 400

# Where every other character ends a sentence, as in "漢。漢。", the splitter's time grows with the square of what it is
# given at once. A longer block is given in windows; what ends in the last part of one is asked about again in the next,
# since a quotation may end behind the window.
_WINDOW, _AGAIN = 4_000, 1_000

# HTML may come in one line, which then ends where blocks do.
_HTML_LINE = re.compile(r"(?s).+?(?:(?:</(?:p|li|h[1-6]|t[drh]|d[dt]|div|[uo]l|table)>)+|<br\s*/?>|\Z)")
_FENCE = re.compile(r"\s*(?:```|~~~)")
# What stands alone: a heading, a rule, a table row, aligned columns, code.
_ALONE = re.compile(
    r"""\s*(?:\#{1,6}\s | ={3,} | -{3,} | >>>\s) | .*[|\t].*[|\t] | .*\S\ {3,}\S.*\S\ {3,}\S
      | (?:\ {4}|\t)\s*\S | import\s\S+\s*$ | from\s\S+\simport\s
      | (?:(?:const|def|function|let|var)\s)?[\w.]+(?:\(.*[){:;,]\s*$|\s?[-+*/]?=\s)""",
    re.VERBOSE,
)
_CSV = re.compile(r"(?:[^,;]*[,;](?!\s|\d{3}\b)){2}|[^\s,;]+[,;]\S+\s*$")
# What begins anew: a list item, a numbered heading, a reference, a tag, an object, a time, a key, a speaker.
_OPENS = re.compile(
    r"""\s*(?:[-*+•‣▪◦–·]\s | \(?(?:\d{1,3}|[a-zA-Z])[.)]\s | \d+(?:\.\d+)+\.?\s | \[\d+\] | [<{]
      | [\[(<]?(?:\d{4}-\d\d-\d\d|\d{1,2}:\d\d)\b | ["']\w+["']:\s | [A-Z]\w*(?:[ -][A-Z]\w*){0,2}:\s)""",
    re.VERBOSE,
)
_NUMBERED_HEADING, _LOWER_CASE_KEY = re.compile(r"\s*\d+(?:\.\d+)+\.?\s"), re.compile(r"\s*\w[\w-]*:\s")
# No sentence, although it ends in a stop: what opens a list item, and abbreviations unknown to the splitter.
_UNFINISHED = re.compile(r"^\(?(?:\d{1,3}|[a-zA-Z])[.)]$|\b(?:approx|[Vv]ol|[Ee]qs?|[Ff]igs|Ch|eds?|Ms|Proc)\.$")
# White space at which the splitter panics, and surrogates, which it refuses.
_UNSAFE = re.compile("[\t-\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ud800-\udfff]")
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_CLAUSE_END = re.compile(r"[;:,](?=\s)\s*|[،、；，：。](?!\d)\s*|\s[–—]\s")


@lru_cache(maxsize=1024)
def split_sentences(text: str, language: str = "en") -> tuple[tuple[int, int], ...]:
    r"""Spans of the sentences in a text, in order, without the white space around them.

    Headings, list items, table rows and lines of code stand alone; hard-wrapped prose is read through its
    line breaks. Sentences longer than `MAX_CHARACTERS` are cut at clauses. `language` is an ISO 639-1 code,
    which decides about abbreviations; scripts with stops of their own are split whatever it says.

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
    # Between two ASCII characters there is nothing to cut in two, and to ask about a whole text costs 0.1 ms.
    if all(text[max(edge - 1, 0) : edge + 1].isascii() for piece in pieces for edge in piece):
        return tuple(pieces)
    spans = snap_to_characters(text, np.array(pieces, dtype=np.int32).reshape(-1, 2))
    # A boundary that fell inside a character now belongs to both neighbours: the first one keeps it.
    spans[1:, 0] = np.maximum(spans[1:, 0], spans[:-1, 1])
    return tuple((start, end) for start, end in spans.tolist() if start < end)


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Join the lines that may hold one sentence across a line break."""
    lines = text.splitlines(keepends=True)
    if "<" in text:
        lines = [piece for line in lines for piece in _HTML_LINE.findall(line)]
    edges = list(accumulate(map(len, lines), initial=0))
    start, fenced = 0, False
    for i in range(1, len(lines)):
        fenced ^= _FENCE.match(lines[i - 1]) is not None
        if fenced or _FENCE.match(lines[i]) or _breaks(lines, i):
            yield start, edges[i]
            start = edges[i]
    yield start, len(text)


def _breaks(lines: Sequence[str], i: int) -> bool:
    """Whether no sentence goes on from line ``i - 1`` to line ``i``."""
    previous, line = lines[i - 1], lines[i]
    if previous[0] == line[0] == ">":  # a quoted text is read like any other
        previous, line = previous.lstrip("> "), line.lstrip("> ")
    if not previous.strip() or not line.strip() or previous.rstrip()[-1] in "{}|>":
        return True
    if _ALONE.match(previous) or _ALONE.match(line) or _OPENS.match(line):
        return True
    if _CSV.match(previous) and _CSV.match(line):
        return True
    if line.lstrip()[:1].islower() and previous.rstrip()[-1] != ";" and not _LOWER_CASE_KEY.match(line):
        return False
    # A wrapped line is about as long as its neighbours; a shorter one without a stop is a title or an item.
    width = max(map(len, lines[max(i - 2, 0) : i + 1]))
    wrapped = len(previous) > min(max(35, 0.75 * width), 90)
    return not wrapped or _NUMBERED_HEADING.match(previous) is not None


def _sentences(text: str, block: tuple[int, int], language: str) -> Iterator[tuple[int, int]]:
    begin = position = block[0]
    # Spaces in place of line breaks and tags keep the positions and let the splitter see "Dr. Rao" across them.
    plain = _UNSAFE.sub(" ", text[begin : block[1]])
    if "<" in plain:
        plain = _TAG.sub(lambda tag: " " * len(tag.group()), plain)
    for sentence in _segments(plain, language):
        position += len(sentence)
        start, end = trim_to_visible(text, begin, position)
        if position < block[1] and _UNFINISHED.search(text[max(start, end - 9) : end]):
            continue
        if start < end:
            yield start, end
        begin = position


def _segments(plain: str, language: str) -> Iterator[str]:
    """Cut a block into what the splitter holds for sentences, in time that grows with its length."""
    begin = 0
    while len(plain) - begin > _WINDOW:
        limit = begin + _WINDOW
        whole = sentencex.segment(language, plain[begin:limit])[:-1]
        if not whole:  # no sentence ends here, so it is cut up in any case
            whole = [plain[begin : _cut(plain, limit - MAX_CHARACTERS, limit)]]
        for sentence in whole:
            yield sentence
            begin += len(sentence)
            if begin > limit - _AGAIN:
                break
    yield from sentencex.segment(language, plain[begin:])


def _shorten(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut a long sentence at its last clause end, else its last word, that fits."""
    while end - start > MAX_CHARACTERS:
        cut = _cut(text, start, start + MAX_CHARACTERS)
        yield trim_to_visible(text, start, cut)
        start = trim_to_visible(text, cut, end)[0]
    if start < end:
        yield start, end


def _cut(text: str, start: int, limit: int) -> int:
    clauses = [match.end() for match in _CLAUSE_END.finditer(text, start, limit)]
    if clauses and clauses[-1] - start > MAX_CHARACTERS // 3:
        return clauses[-1]
    # Asked about the piece alone, with a margin, so that an endless text is not read again for every cut.
    piece = text[start : limit + MAX_CHARACTERS]
    inside = [begin for begin, _ in words(piece).tolist() if 0 < begin <= limit - start]
    if inside:
        return start + int(inside[-1])
    whole = snap_to_characters(piece, np.array([[0, limit - start]], dtype=np.int32))
    return start + int(whole[0, 1])
