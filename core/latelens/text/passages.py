"""Cut a text into passages: a few sentences each, under one heading, on one page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from latelens.refusals import check_is
from latelens.text.characters import words
from latelens.text.sentences import split_sentences

# About 100 to 190 word pieces: what models were trained on, and within the shortest window (256).
MAX_WORDS = 140
# A paragraph that ends a passage of this many words ends it; shorter ones are joined with the next.
ENOUGH_WORDS = 70

_PAGE = re.compile(r"[^\f]+")
_PARAGRAPH = re.compile(r"(?:\r\n|\r|\n)[^\S\r\n]*(?:\r\n|\r|\n)")
_MARKDOWN_HEADING = re.compile(r"#{1,6}\s")
_FENCE = re.compile(r"```|~~~")
_UNDERLINE = re.compile(r"([=\-~^\"`#*+])\1{2,}$")
# A title ends without a stop, and is no list item or table row.
_TITLE = re.compile(r"(?s)(?![-*+•>|<]|\d+[.)]\s)[^\t|]*[\w)\]\"'’”?]$")
_TITLE_WORDS = 12


@dataclass(frozen=True)
class _Sentence:
    start: int
    end: int
    words: int
    opens: bool  # begins a paragraph
    heading: bool


def split_passages(text: str) -> tuple[tuple[int, int], ...]:
    r"""Spans of the passages in a text, in order and disjoint; what lies between them is white space.

    A passage holds whole sentences, `MAX_WORDS` words at most unless one sentence has more. It begins at each
    heading and each page (``\f``), and at paragraphs where the one before has `ENOUGH_WORDS`. A heading always
    stands with what follows it. Passages without a word are left out.

    >>> text = "# Diet\n\nThey eat grass.\n\n# Range\n\nThey live in India."
    >>> [text[start:end] for start, end in split_passages(text)]
    ['# Diet\n\nThey eat grass.', '# Range\n\nThey live in India.']
    """
    check_is("text", text, str, "a str")
    return tuple(
        (page.start() + start, page.start() + end)
        for page in _PAGE.finditer(text)
        for start, end in _join(list(_read_sentences(page.group())))
    )


def _join(sentences: list[_Sentence]) -> Iterator[tuple[int, int]]:
    first, count, body = 0, 0, False  # body: whether the passage holds more than headings
    for i, sentence in enumerate(sentences):
        full = count > 0 and count + sentence.words > MAX_WORDS
        ends = sentence.opens and count >= ENOUGH_WORDS
        if full or (body and (ends or sentence.heading)):
            yield sentences[first].start, sentences[i - 1].end
            first, count, body = i, 0, False
        count += sentence.words
        body |= not sentence.heading and sentence.words > 0
    if count:
        yield sentences[first].start, sentences[-1].end


def _read_sentences(text: str) -> Iterator[_Sentence]:
    spans = split_sentences(text)
    opens, fenced = True, False
    for i, (start, end) in enumerate(spans):
        following = text[slice(*spans[i + 1])] if i + 1 < len(spans) else ""
        closes = i + 1 == len(spans) or _PARAGRAPH.search(text, end, spans[i + 1][0]) is not None
        sentence = text[start:end]
        count = len(words(sentence))
        fenced ^= _FENCE.match(sentence) is not None
        alone = opens and closes and not _UNDERLINE.match(following)
        heading = not fenced and _is_heading(sentence, count, alone=alone, following=following)
        yield _Sentence(start, end, count, opens, heading)
        opens = closes


def _is_heading(sentence: str, count: int, *, alone: bool, following: str) -> bool:
    if _MARKDOWN_HEADING.match(sentence):
        return True
    short = 0 < count <= _TITLE_WORDS and _TITLE.match(sentence) is not None
    return short and (alone or _UNDERLINE.match(following) is not None)
