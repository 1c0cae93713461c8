"""What was found, as numbered quotes for a prompt."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from latelens.bridge.metadata import KEY, read_evidence, read_metadata
from latelens.bridge.regions import NO_WORDS, box_in_words, is_page_image, page_name, regions_of, words_of
from latelens.bridge.sources import name_of
from latelens.pages.files import FilePage
from latelens.refusals import check_is, check_several, check_texts
from latelens.text.function_words import content_words

# Of a chunk without evidence its beginning is quoted: about as much as a long sentence, which evidence may have too.
_MAX_CHARACTERS = 400
_MAX_TITLE = 100
# A mark in an answer is a number of three digits at most.
_MOST = 999

# What nobody sees can carry orders to a model; joiners and what chooses an emoji's look come in twos at most.
_UNSEEN = regex.compile(
    r"[\u200c\u200d\ufe0e\ufe0f]{3,}|(?![\u200c\u200d\ufe0e\ufe0f])[\p{Default_Ignorable_Code_Point}]"
)
_CONTROL = regex.compile(r"[\p{Cc}\p{Cs}\u2028\u2029]")
# What looks like a mark of ours inside a text: "[2]", "[1, 3]", "【4†source】".
_MARK = regex.compile(r"[\[【](\s*\^?\d[\d\s,;:†–-]*[^\[\]【】]{0,20})[\]】]")
_LINE = regex.compile(r'\[(\d+)\] "([^"]*)" \(([^"]*)\)')


@dataclass(frozen=True)
class Found:
    """A chunk as a framework gives it back: its id, its text, and metadata with or without ours.

    `image` is the page that it stands for: where its metadata say, or the bytes of a picture.
    """

    id: str | None
    text: str
    metadata: Mapping[str, Any]
    image: FilePage | bytes | None = None


@dataclass(frozen=True)
class Quote:
    """A line of what a tool says.

    Attributes
    ----------
    number, text, source
        As the line gives them.
    chunk, region
        Positions of the chunk it is from, and of its region; None where it quotes no region.
    """

    number: int
    text: str
    source: str
    chunk: int
    region: int | None = None

    def __str__(self) -> str:
        return f"[{self.number}] {_line(self.text, self.source)}"


class QuoteNumbers:
    """Numbers for quotes, counted on from call to call; a quote that comes again keeps its number.

    A tool holds one, so that two calls in a conversation never give one number to two quotes. Give the same one to
    all evidence tools of an agent, and `reset` it, or make new ones, for a new conversation. After 999 numbers it
    starts again at 1. Threads may share it; a copy and a pickle start at 1.

    A process that goes on with a conversation, as from a checkpoint, does not know its numbers: give it what the
    tools said there.

    >>> numbers = QuoteNumbers(['[1] "They eat bark." (Elephants)'])
    >>> numbers.number(['"They swim." (Elephants)', '"They eat bark." (Elephants)'])
    [2, 1]

    Parameters
    ----------
    seen
        Texts of the conversation's earlier messages, in order: those of tools count, others have no such lines.
    """

    def __init__(self, seen: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}
        check_several("seen", seen, "texts of messages")
        for text in seen:
            check_is("a text in seen", text, str, "a str")
            for number, (quote, source) in read_quotes(text).items():
                self._known.setdefault(_line(quote, source), number)

    def number(self, lines: Sequence[str]) -> list[int]:
        """A number for each line."""
        check_texts("lines", lines)
        with self._lock:
            new = len(set(lines) - self._known.keys())
            if self._highest() + new > _MOST:
                self._known.clear()
            return [self._known.setdefault(line, self._highest() + 1) for line in lines]

    def _highest(self) -> int:
        return max(self._known.values(), default=0)

    def reset(self) -> None:
        """Start again at 1."""
        with self._lock:
            self._known.clear()

    def __reduce__(self) -> tuple[type[QuoteNumbers], tuple[()]]:
        return QuoteNumbers, ()


def checked_numbers(numbers: QuoteNumbers | None) -> QuoteNumbers:
    """What counts a tool's quotes: the caller's, or a new one."""
    check_is("numbers", numbers, (QuoteNumbers, type(None)), "a QuoteNumbers or None")
    return QuoteNumbers() if numbers is None else numbers


def numbered_quotes(
    query: str, found: Sequence[Found], *, numbers: QuoteNumbers | None = None, name_unmatched: bool = False
) -> str:
    r"""Number the evidence sentences of chunks, one a line, each with its source; say so if there is none.

    Nothing in a text or a title can pass for another line's number, quote or source: a line has two double quotes,
    those around its quote, and no number in brackets but its own. White space becomes one space, double quotes
    become single ones, ``[2]`` becomes ``(2)``, and what nobody sees is left out. Titles are cut at 100 characters.

    Of a page image each region is a line: its words, and its box in thousandths of the page.

    With `name_unmatched`, a last line names the query's content words that no quoted chunk has a close wording for.
    That is no sign that the question is unanswered: "The museum opens at ten." has no wording for "When".

    >>> evidence = {"start": 0, "end": 18, "text": "They eat\nmuch bark.", "score": 0.9, "drop": 2.0,
    ...             "query_words": ["eat"], "phrase_start": 0, "phrase_end": 18}
    >>> metadata = {"title": "Elephants", "latelens": {"version": 1, "evidence": [evidence], "uncovered": ["Norway"]}}
    >>> found = [Found("a", "They eat\nmuch bark.", metadata)]
    >>> print(numbered_quotes("What do they eat in Norway?", found, name_unmatched=True))
    [1] "They eat much bark." (Elephants)
    No close wording for: Norway
    """
    return written(query, found, quotes_of(found, numbers), name_unmatched=name_unmatched)


def quotes_of(found: Sequence[Found], numbers: QuoteNumbers | None = None) -> list[Quote]:
    """The quotes of chunks, numbered, each once: chunks may overlap, and then share sentences."""
    first: dict[str, tuple[str, str, int, int | None]] = {}
    for i, chunk in enumerate(found):
        for text, source, region in _regions(chunk) if is_page_image(chunk.metadata) else _sentences(chunk):
            first.setdefault(_line(text, source), (text, source, i, region))
    counted = (numbers or QuoteNumbers()).number(list(first))
    return [Quote(number, *each) for number, each in zip(counted, first.values(), strict=True)]


def written(query: str, found: Sequence[Found], quotes: Sequence[Quote], *, name_unmatched: bool) -> str:
    """`numbered_quotes` of quotes that have their numbers."""
    if not quotes:
        return f'Nothing was found for "{_plain(query, _MAX_CHARACTERS)}". Other words may find more.'
    lines = list(map(str, quotes))
    missing = content_words(_uncovered(found), query) if name_unmatched else ()
    return "\n".join([*lines, f"No close wording for: {_plain(', '.join(missing))}"] if missing else lines)


def read_quotes(text: str) -> dict[int, tuple[str, str]]:
    """The quotes and sources in what `numbered_quotes` wrote, by number; other lines are skipped.

    >>> read_quotes('[1] "They eat much bark." (Elephants)')
    {1: ('They eat much bark.', 'Elephants')}
    """
    read = (_LINE.fullmatch(line) for line in text.split("\n"))
    return {int(line[1]): (line[2], line[3]) for line in read if line}


def _line(quote: str, source: str) -> str:
    return f'"{quote}" ({source})'


def source_name(chunk: Found) -> str:
    """What to call a chunk's source: its title or file, with the page where that is known, else its id."""
    return next(
        filter(None, (_plain(name or "", _MAX_TITLE) for name in (name_of(chunk.metadata), chunk.id))), "untitled"
    )


def _sentences(chunk: Found) -> Iterator[tuple[str, str, None]]:
    for quote in _quotes(chunk):
        yield quote, source_name(chunk), None


def _regions(chunk: Found) -> Iterator[tuple[str, str, int | None]]:
    """The regions of a page image; of one without, the beginning of its text."""
    name = _plain(page_name(chunk.metadata) or "", _MAX_TITLE) or source_name(chunk)
    regions = regions_of(chunk.metadata)
    for i, region in enumerate(regions):
        yield (
            _plain(words_of(region, chunk.text) or "") or NO_WORDS,
            f"{name}, region {i + 1}, {box_in_words(region)}",
            i,
        )
    if not regions:
        yield _plain(chunk.text) or NO_WORDS, name, None


def _quotes(chunk: Found) -> list[str]:
    # Metadata may come from anywhere: what it quotes must stand in the text.
    spans = [span for span in read_evidence(_ours(chunk)) if chunk.text[span.start : span.end] == span.text]
    # A long sentence of few characters, such as one of marks alone, is bounded like any other text.
    quotes = [_plain(span.text, _MAX_CHARACTERS) for span in spans] or [_plain(chunk.text, _MAX_CHARACTERS)]
    return [quote for quote in quotes if quote]


def _uncovered(found: Sequence[Found]) -> list[str]:
    """The words that no chunk has a close wording for, as far as the chunks say."""
    each = [read_metadata(_ours(chunk)).get("uncovered") for chunk in found]
    known = [words for words in each if words is not None]
    if len(known) < len(found):
        return []
    return [word for word in known[0] if all(word in words for words in known)]


def _ours(chunk: Found) -> dict[str, Any]:
    return {KEY: chunk.metadata.get(KEY, {})}


def _plain(text: str, longest: int = _MAX_CHARACTERS) -> str:
    """One line that holds no double quote, no mark and nothing unseen, cut at a space."""
    text = text[: 20 * longest]  # what is left out and joined is not read without end
    text = _MARK.sub(r"(\1)", _CONTROL.sub(" ", _UNSEEN.sub("", text)).replace('"', "'"))
    text = " ".join(text.split())
    if len(text) <= longest:
        return text
    cut = text[:longest]
    return (cut.rsplit(" ", 1)[0] if " " in cut[longest // 2 :] else cut) + " …"
