r"""Evidence in a terminal, with rich: colours where there are any, marks where there are none.

Print what the functions give with rich: ``rich.print(format_ledger(explanation))``. Nothing in a text or a name is
read as rich's markup, and no control character reaches the terminal: each is shown as ``\ufffd``.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from latelens.embeddings import TokenKind
from latelens.explanation.evidence import EvidenceSpan
from latelens.explanation.matches import Explanation
from latelens.explanation.results import Ranked
from latelens.pages.page import Page
from latelens.refusals import check_count, check_is, check_several, check_texts, described
from latelens.render.ledger import ledger, page_ledger, unread_note
from latelens.render.terminal.pages import format_cells, format_regions
from latelens.render.terminal.printing import printable, printable_places
from latelens.text.function_words import content_words

_SENTENCE, _PHRASE, _PHRASE_WITHOUT_COLOUR = "bold", "bold black on bright_yellow", "bold underline"
_BAR_WIDTH = 16
_QUOTE_WIDTH = 40
# Expansion rows may match dozens of words.
_MATCHED_SHOWN = 4


class EvidenceText:
    """A chunk with its evidence marked: sentences in bold, phrases on yellow, or ``»sentence.«`` without colour.

    A line break inside a sentence is shown as a space.

    >>> from rich.console import Console
    >>> spans = [EvidenceSpan(6, 17, "They graze.", 3.0, 1.0, ("eat",), 11, 16)]
    >>> Console(no_color=True, color_system=None).print(EvidenceText("Herd. They graze. Rain.", spans))
    Herd. »They graze.« Rain.
    """

    def __init__(self, text: str, evidence: Sequence[EvidenceSpan]) -> None:
        self.text = text
        self.evidence = sorted(evidence, key=lambda span: span.start)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        shown, places = printable_places(self.text)
        if console.color_system is None:
            marks = (">>", "<<") if options.ascii_only else ("»", "«")
            yield self._marked(shown, places, *marks)
        else:
            yield self._styled(shown, places, _PHRASE_WITHOUT_COLOUR if console.no_color else _PHRASE)

    def _styled(self, shown: str, places: list[int], phrase: str) -> Text:
        styled = Text(shown)
        for span in self.evidence:
            styled.stylize(_SENTENCE, places[span.start], places[span.end])
            styled.stylize(phrase, places[span.phrase_start], places[span.phrase_end])
        return styled

    def _marked(self, shown: str, places: list[int], opening: str, closing: str) -> Text:
        marked, position = Text(), 0
        for span in self.evidence:
            start, end = places[span.start], places[span.end]
            marked.append(shown[position:start] + opening + shown[start:end] + closing)
            position = end
        return marked.append(shown[position:])


def format_ranking(
    ranked: Sequence[Ranked], *, names: Sequence[str] | None = None, first_rank: int = 1
) -> RenderableType:
    """Show a ranking: each document with its evidence marked, and what each sentence earns for which words.

    Of a page image its regions are named: where they are, how much of the page, and the words that stand there.

    `names` are the documents' names, in the order in which they were given to `rerank`; `first_rank` is the first
    one's number.
    """
    if names is not None:
        check_texts("names", names)
    check_several("ranked", ranked, "Ranked")
    check_count("first_rank", first_rank)
    parts: list[RenderableType] = []
    for rank, result in enumerate(ranked, start=first_rank):
        check_is("what is ranked", result, Ranked, "a Ranked, as rerank gives it")
        if names is not None and len(names) <= result.index:
            raise ValueError(f"names must have one name for each document given to rerank, got {described(names)}")
        known = f"document {result.index}" if result.page is None else result.page.name
        name = printable(known if names is None else names[result.index])
        relevance = "" if result.relevance is None else f"  relevance {result.relevance:.2f}"
        heading = Text.assemble((f"{rank}. ", "bold"), (name, "bold cyan"), f"  score {result.score:.2f}{relevance}")
        explanation = result.explanation
        if explanation.document.page is not None:
            parts += [heading, Padding(format_regions(result), (0, 0, 0, 3)), Text()]
            continue
        parts += [heading, Padding(EvidenceText(explanation.document.text, result.evidence), (0, 0, 0, 3))]
        if result.evidence:
            parts.append(Padding(_earned(result.evidence, explanation.query.text), (0, 0, 0, 3)))
        if missing := content_words(explanation.uncovered, explanation.query.text):
            parts.append(Text(f"   no close wording for: {printable(', '.join(missing))}", "italic"))
        if unread := unread_note(explanation, result.evidence):
            parts.append(Text(f"   {unread}", "italic"))
        parts.append(Text())
    return Group(*parts[:-1])


def format_ledger(explanation: Explanation, *, page: Page | None = None) -> RenderableType:
    """Show what a score is made of: for each word of the query what it matched and what that adds.

    Rows that stand for no word of the query, such as ``[CLS]``, are summed by kind. All rows add up to the score. Of a
    page image each row of the query is a line, with the cell that it matched: `page`, as `open_pages` gives it, says
    its words, and its box in pixels of ``page.image()`` and in points.
    """
    check_is("explanation", explanation, Explanation, "an Explanation, as explain gives it")
    if explanation.document.page is not None:
        return format_cells(page_ledger(explanation, page=page))
    lines = ledger(explanation)
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    table.add_column("query word", "score", overflow="fold")
    table.add_column("matched", overflow="fold")
    table.add_column("adds", f"{explanation.score:.3f}", justify="right", no_wrap=True)
    table.add_column("", width=_BAR_WIDTH)
    most = max(line.contribution for line in lines)
    for line in lines:
        bar = ProgressBar(most, max(line.contribution, 0), _BAR_WIDTH, complete_style="yellow", finished_style="yellow")
        asked = _asked(line.label, line.kind, is_word=line.is_word)
        table.add_row(asked, _matched(line.matched), f"{line.contribution:.3f}", bar if most > 0 else "")
    return table


def _earned(evidence: Sequence[EvidenceSpan], query: str) -> RenderableType:
    """For each sentence what it earns, how it begins and what it matches: function words where that is all."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True, max_width=_QUOTE_WIDTH)
    table.add_column(overflow="fold")
    for span in evidence:
        matched = content_words(span.query_words, query) or span.query_words
        shown = Text("<- ").append(printable(", ".join(matched)) or "-", "cyan")
        table.add_row(Text(f"{span.score:.2f}", "bold"), Text(printable(span.text), overflow="ellipsis"), shown)
    return table


def _asked(label: str, kind: TokenKind, *, is_word: bool) -> Text:
    if is_word:
        return Text(printable(label), "bold")
    named = "punctuation" if kind is TokenKind.CONTENT else kind.name.lower()
    return Text.assemble(printable(label), (f" ({named})", "italic"))


def _matched(found: Sequence[str]) -> Text:
    more = len(found) - _MATCHED_SHOWN
    shown = Text(printable(", ".join(found[:_MATCHED_SHOWN])) or "-")
    return shown.append(f" and {more} more", "italic") if more > 0 else shown
