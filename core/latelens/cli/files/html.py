"""The text of an HTML page, as a text browser shows it: no scripts, no styles, no navigation."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from latelens.cli.files.decoding import decode

if TYPE_CHECKING:
    from bs4 import Tag

SUFFIXES = frozenset({".htm", ".html"})
# A comment ends at its first "-->": were a later one tried too, 30 comments would take minutes.
_BEGINS = re.compile(rb"(?is)\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html)\b")
# Written behind a page, it is a comment, or ends the tag, comment or CDATA section that the page does not end, and then
# is one. Without an end the parser looks for it from each "<" anew: 8,000 times "<a " took 4 s.
_ENDS_ALL = "<!--]]><!---->"
# Before anything but CDATA, "<![" opens a comment that ends at the first ">", as any other "<!" does. Older parsers of
# Python read a name there, and give the page up where it is none that they know.
_BOGUS = re.compile(r"(?i)<!(?=\[(?!cdata\[))")
# Python turns no number of more than 4,300 digits into a character; the last character has 7.
_NO_CHARACTER = re.compile("&#[0-9]{20,};?")
_DROPPED = frozenset(
    {
        "audio",
        "button",
        "canvas",
        "head",
        "iframe",
        "nav",
        "noscript",
        "object",
        "script",
        "select",
        "style",
        "svg",
        "template",
        "video",
    }
)
_BLOCKS = frozenset(
    {
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "details",
        "dialog",
        "div",
        "dl",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "ul",
    }
)
_LINES = frozenset({"br", "caption", "dd", "dt", "li", "tr"})

# Marks in the text while it is gathered, and the white space of preformatted text, which is kept.
_BLOCK, _LINE, _CELL = "\x01", "\x02", "\x03"
_KEPT = {ord(" "): "\x04", ord("\n"): "\x05", ord("\t"): "\x06"}
_CONTROL, _SPACES, _RUN = (
    re.compile("\r(?=\n)|[\x00-\x08]"),
    re.compile("[ \t-\r]+"),
    re.compile("[ \1-\3]*[\1-\3][ \1-\3]*"),
)


def looks_like_html(data: bytes) -> bool:
    """Whether the bytes begin as a page does."""
    return _BEGINS.match(data.removeprefix(codecs.BOM_UTF8)[:4096]) is not None


def read_html(data: bytes, *, encoding: str | None = None) -> tuple[str, str | None]:
    """Text of a page, and a note if its bytes did not decode.

    Paragraphs and headings stand apart by a blank line, list items begin with ``- ``, cells are parted by tabs.

    Raises
    ------
    ValueError
        If the bytes are no text.
    ImportError
        If beautifulsoup4 is not installed.
    """
    try:
        from bs4 import BeautifulSoup
        from bs4.dammit import EncodingDetector
    except ModuleNotFoundError as error:
        if error.name != "bs4":
            raise
        raise ImportError("reading HTML needs beautifulsoup4: run `pip install 'latelens[files]'`") from error
    declared = EncodingDetector.find_declared_encoding(data, is_html=True, search_entire_document=False)
    markup, note = decode(data, encoding=encoding or _known(declared))
    markup = _NO_CHARACTER.sub("\ufffd", _BOGUS.sub("<! ", markup))
    soup = BeautifulSoup(markup + _ENDS_ALL, "html.parser")
    return _tidy("".join(_pieces(soup))), note


def _known(declared: str | None) -> str | None:
    """A declared encoding that Python knows; Latin-1 means cp1252 on the web, and UTF-16 is never what it says."""
    try:
        name = codecs.lookup(declared or "utf-8").name
    except LookupError:
        return None
    if name.startswith(("utf-16", "utf-32")):
        return None
    return {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-8": None}.get(name, name)


def _pieces(root: Tag) -> Iterator[str]:
    """Text in reading order, with marks where a browser would part it."""
    from bs4.element import CData, NavigableString, Tag

    # A stack of its own: pages nest deeper than Python's calls may.
    stack: list[tuple[Iterator[object], str, bool]] = [(iter(root.children), "", False)]
    while stack:
        children, closing, kept = stack[-1]
        child = next(children, None)
        if child is None:
            yield closing
            stack.pop()
        elif isinstance(child, Tag):
            if child.name not in _DROPPED and not child.has_attr("hidden"):
                opening, ending = _marks(child.name)
                yield opening
                stack.append((iter(child.children), ending, kept or child.name == "pre"))
        elif type(child) in (NavigableString, CData):
            plain = _CONTROL.sub(" ", str(child))
            yield plain.translate(_KEPT) if kept else _SPACES.sub(" ", plain)


def _marks(name: str) -> tuple[str, str]:
    if name in _BLOCKS:
        return _BLOCK, _BLOCK
    if name == "li":
        return f"{_LINE}- ", _LINE
    if name in _LINES:
        return _LINE, _LINE
    return (_CELL, "") if name in ("td", "th") else ("", "")


def _tidy(marked: str) -> str:
    """Write marks as white space: in a run of them the strongest counts."""

    def strongest(run: re.Match[str]) -> str:
        return "\n\n" if _BLOCK in run[0] else "\n" if _LINE in run[0] else "\t"

    text = _RUN.sub(strongest, _SPACES.sub(" ", marked)).strip()
    return text.translate({ord(kept): chr(plain) for plain, kept in _KEPT.items()})
