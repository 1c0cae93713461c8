"""Text that is safe to print: nothing in it moves the cursor, colours the screen or turns the direction of reading."""

from __future__ import annotations

from collections.abc import Iterator

import regex

from latelens.text.sentences import split_sentences

# What would move the cursor, colour the screen or turn the direction of reading, were it printed as it is.
_LINE_END = r"\r\n|[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]"
_DIRECTION = r"[\u202a-\u202e\u2066-\u2069]"
_NOT_AS_IT_IS = regex.compile(rf"(?P<line>(?:{_LINE_END})[ \t]*+)|(?P<direction>{_DIRECTION})|[^\P{{Cc}}\t]|\p{{Cs}}")


def printable(text: str) -> str:
    r"""One line that is safe to print: no escape sequences, no line breaks.

    >>> printable("a\x1b[31m b\nc")
    'a\ufffd[31m b c'
    """
    return "".join(shown for _, shown in _pieces(text))


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Pieces of a text, each as it is and as it is printed; line ends are printed as spaces."""
    position = 0
    for match in _NOT_AS_IT_IS.finditer(text):
        before = text[position : match.start()]
        if match["line"]:
            before = before.rstrip(" \t")
        yield before, before
        as_it_is = text[position + len(before) : match.end()]
        yield as_it_is, " " if match["line"] else "" if match["direction"] else "\ufffd"
        position = match.end()
    yield text[position:], text[position:]


def printable_places(text: str) -> tuple[str, list[int]]:
    """Text to print, and where each character of `text`, and its end, stands there."""
    inside = bytearray(len(text) + 1)  # 1 where a sentence is
    for start, end in split_sentences(text):
        inside[start:end] = b"\1" * (end - start)
    shown: list[str] = []
    places: list[int] = []
    length = 0
    for piece, printed in _pieces(text):
        as_it_is, first, last = piece == printed, len(places), len(places) + len(piece) - 1
        if not as_it_is and printed == " " and not (inside[first] and inside[last]):
            printed = "\n" + piece[len(piece.rstrip(" \t")) :]  # with the next line's indentation
        places += range(length, length + len(piece)) if as_it_is else [length] * len(piece)
        shown.append(printed)
        length += len(printed)
    return "".join(shown), [*places, length]
