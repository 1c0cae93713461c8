"""What an answer claims: its sentences, list items and table rows, and which of them state nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import regex

from latelens.attribution.remarks import is_remark, without_lead_in
from latelens.text.characters import trim_to_visible
from latelens.text.sentences import MAX_CHARACTERS, split_sentences

# ``` with a backtick further on is code in a line of prose, not a block.
_FENCE = regex.compile(r"[\s>]*(?:\d{1,9}[.)]\s+|[-*+]\s+)?(?:(`{3,})(?=[^`]*$)|(~{3,}))")
_HEADING = regex.compile(r"[\s>]*(?:#{1,6}(?:\s|$)|(?:\*\*|__)[^*_]*[^*_.!?。！？](?:\*\*|__)\s*:?\s*$)")
_UNDERLINE = regex.compile(r"[\s>]*(?:=+|-{2,})\s*$")
# "## They eat 150 kg a day." says something, "## Diet" and "## 2. Diet" name what follows.
_SENTENCE = regex.compile(r"[\s>]*#{1,6}\s+(?:\S+\s+){2,}\S*[\p{L}\p{N})\]][.!。！][*_]*\s*$")
# How responses of several chunks are joined: "Response 1: ...", a rule, "Response 2: ...".
_RESPONSE = regex.compile(r"\s*(?:Response|Answer)\s\d{1,4}:\s*(?!\p{M})")
_EMPTY = regex.compile(r"(?i)\W*empty response\W*$")
_ENDED = regex.compile(r"[.!?…。！？][\"'”’)*_\]]*\s*$")
_RULE = regex.compile(r"[\s>|:=*_+~-]*$")
_ROW = regex.compile(r"[\s>]*\|.*\||.*\S\s+\|\s+\S")
_SEPARATOR = regex.compile(r"[\s>]*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
# Not before a mark that joins the white space: that would cut a character in two.
_BULLET = regex.compile(
    r"(?:>\s*(?!\p{M}))*(?:\#{1,6}\s+(?!\p{M}))?"
    r"(?:(?:[-*+•‣▪◦–·]|\(?(?:\d{1,3}|[a-zA-Z])[.)])\s+(?!\p{M})(?:\[[ xX]\]\s+(?!\p{M}))?)?"
)
# "[1]", "[2, 3]", "[4-6]", "[^1]", "[Source 2]", "(Document 3)", "【4†source】".
_NUMBERS = r"\^?\d{1,3}\??(?:\s*[,;–-]\s*\^?\d{1,3}\??)*"
_NAMED = r"(?:sources?|doc(?:ument)?s?|passages?|contexts?|refs?\.?|references?)\s*" + _NUMBERS
_MARK = rf"(?:\[\s*(?:(?i:{_NAMED})|{_NUMBERS})\s*\]|\((?i:{_NAMED})\)|【[^】]*】)"
_MARKS = regex.compile(rf"\s*{_MARK}(?!\p{{M}})")
# "(1)" is a mark at the end of a sentence alone.
_END_MARK = regex.compile(r"(?<=\S)\s?\(\d{1,3}(?:,\s?\d{1,3}){0,20}\)(?=[.!?。]?$)")
_FOOTNOTE = regex.compile(r"[ \t>]*\[\^?\d{1,3}\]:")
_FIRST_MARKS = regex.compile(rf"(?:{_MARK}\s*(?!\p{{M}}))+")
_LAST_MARKS = regex.compile(rf"(?:\s*{_MARK})+$")
# "[the report](https://...)" says "the report", "[1](https://...)" and "<https://...>" nothing, as a picture.
_LINK = regex.compile(r"(!?)\[([^\[\]\n]{0,300})\]\((?:[^()\s]|\([^()\s]{0,200}\)){0,1000}(?:\s\"[^\"\n]{0,200}\")?\)")
_ADDRESS = regex.compile(r"<?\b(?:https?://|www\.)[^\s<>]{1,2000}(?<![.,;:!?)\]])>?")
_SAYS = regex.compile(r"[\p{L}\p{N}]")


@dataclass(frozen=True)
class ClaimSpan:
    """A claim; ``answer[start:end] == text``.

    Attributes
    ----------
    statement
        What is compared with the sources: the claim without citation marks and without a lead-in such as "Based on
        the given context,".
    checkable
        False for a greeting, a question, an offer, a hedge, a lead-in that ends with a colon, or a link alone.
    """

    start: int
    end: int
    text: str
    statement: str
    checkable: bool

    def moved(self, offset: int) -> ClaimSpan:
        """The same claim in an answer with so many characters before this one."""
        return replace(self, start=self.start + offset, end=self.end + offset)


def split_claims(answer: str) -> tuple[ClaimSpan, ...]:
    r"""Cut an answer into claims, in order and disjoint.

    A claim is a sentence, a list item's sentence or a table row; bullets and citation marks at its ends are left
    outside. Fenced code, headings that are no sentence, a line in bold alone, rules, a table's header, footnotes,
    labels such as "Response 2:" and the answer "Empty Response" are none. Of a Markdown link the text is compared,
    not the address.

    Which claims state nothing is told by question marks of all scripts, a colon at the end, and openings in English
    and, fewer, in German, French, Spanish, Italian, Portuguese, Dutch, Russian, Chinese, Japanese, Korean and
    Arabic. In another language a greeting counts as a statement, for which no source has evidence. Questions
    without a question mark count as statements too.

    >>> answer = "## Diet\nHello! They eat grass [1].\n- They drink 100 l a day. [2]\n\nDo they swim?"
    >>> [claim.text for claim in split_claims(answer) if claim.checkable]
    ['They eat grass [1].', 'They drink 100 l a day.']
    """
    found = (_claim(answer, start, end) for start, end in _pieces(answer))
    return tuple(claim for claim in found if claim is not None)


def _claim(answer: str, start: int, end: int) -> ClaimSpan | None:
    """The claim without what stands around it; None if nothing is left."""
    for pattern in (_BULLET, _RESPONSE, _FIRST_MARKS):
        if match := pattern.match(answer, start, end):
            start = match.end()
    if match := _LAST_MARKS.search(answer, start, end):
        end = match.start()
    start, end = trim_to_visible(answer, start, end)
    text = answer[start:end]
    if _SAYS.search(text) is None or _EMPTY.match(text):
        return None
    unlinked = _ADDRESS.sub("", _LINK.sub(_said, text)) if "](" in text or "//" in text or "www." in text else text
    statement = _MARKS.sub("", unlinked).replace("|", " ").strip()
    if unlinked is not text and _SAYS.search(_ADDRESS.sub("", _LINK.sub("", text))) is None:
        return ClaimSpan(start, end, text, statement, False)
    if len(text) > MAX_CHARACTERS:  # a table row: nothing else is so long, and a search in it may be slow
        return ClaimSpan(start, end, text, statement, True)
    statement = without_lead_in(_END_MARK.sub("", statement))
    return ClaimSpan(start, end, text, statement, _SAYS.search(statement) is not None and not is_remark(statement))


def _said(link: regex.Match[str]) -> str:
    """What a reader sees of a link: nothing of a picture, or of a mark."""
    return "" if link[1] or link[2].strip("[]^ ").isdecimal() else link[2]


def _pieces(answer: str) -> Iterator[tuple[int, int]]:
    """Spans of table rows and, in the text between, of sentences."""
    for start, end, row in _blocks(answer):
        if row:
            yield trim_to_visible(answer, start, end)
        else:
            yield from ((start + begin, start + stop) for begin, stop in split_sentences(answer[start:end]))


def _blocks(answer: str) -> Iterator[tuple[int, int, bool]]:
    """Table rows, and runs of lines between them: code, headings and rules are left out."""
    lines = answer.splitlines(keepends=True)
    start = position = 0
    fence = ""
    for i, line in enumerate(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        opened, fence = fence, fence_after(fence, line)
        row = _is_row(line, following, lines[i - 1] if i else "")
        if opened or fence or row or _is_apart(line, following, lines[i - 1] if i else ""):
            if start < position:
                yield start, position, False
            start = position + len(line)
            if row and not opened and not fence and not _is_header(line, following):
                yield position, start, True
        position += len(line)
    if start < position:
        yield start, position, False


def fence_after(fence: str, line: str) -> str:
    """What closes the code block in which the next line stands; "" outside of one."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    mark: str = match[1] or match[2]
    if not fence:
        return mark
    return "" if mark.startswith(fence) and not line[match.end() :].strip() else fence


def _is_row(line: str, following: str, previous: str) -> bool:
    if _ROW.match(line) is None:
        return False
    # A bar in prose is no table: a row begins with one, or stands beside another row.
    return line.lstrip(" \t>").startswith("|") or any(_ROW.match(beside) for beside in (following, previous))


def _is_header(line: str, following: str) -> bool:
    return _SEPARATOR.match(line) is not None or ("|" in following and _SEPARATOR.match(following) is not None)


def _is_apart(line: str, following: str, previous: str) -> bool:
    if _FOOTNOTE.match(line):
        return True
    if _HEADING.match(line) or _RULE.match(line):
        # An empty line parts paragraphs, which the sentence splitter reads.
        return bool(line.strip()) and _SENTENCE.match(line) is None
    if _UNDERLINE.match(following) is None or "|" in following:
        return False
    # A heading stands alone above its dashes; a rule may follow on a whole paragraph.
    alone = "=" in following or not previous.strip()
    return alone and _RESPONSE.match(line) is None and _ENDED.search(line) is None
