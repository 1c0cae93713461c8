"""Page images in a terminal: where the regions are and what stands there, and the cell of each match."""

from __future__ import annotations

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from latelens.embeddings import TokenKind
from latelens.explanation.regions import Region
from latelens.explanation.results import Ranked
from latelens.pages.geometry import in_words
from latelens.render.ledger import CellLine, PageLedger
from latelens.render.terminal.printing import printable
from latelens.text.function_words import content_words

# A cell of an overview covers dozens of words.
_WORDS_SHOWN = 3


def format_regions(result: Ranked) -> RenderableType:
    """For each region what it earns, where it is, what it matches, and the words that stand there."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for region in result.regions:
        query = result.explanation.query.text
        matched = content_words(region.query_words, query) or region.query_words
        shown = Text("<- ").append(printable(", ".join(matched)) or "-", "cyan")
        table.add_row(Text(f"{region.score:.2f}", "bold"), _place(region), shown)
        for line in (region.words or "").splitlines():
            table.add_row("", Text(printable(line), "bold", overflow="ellipsis"), "")
    return table if result.regions else Text("no part of the page stands out", "italic")


def format_cells(ledger: PageLedger) -> RenderableType:
    """For each row of the query the cell that it matched, its boxes and what it adds; then the sums."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    known = any(line.points for line in ledger.lines)
    table.add_column("query token", "on the page\noff page\nscore", min_width=len("on the page"), overflow="fold")
    for name in ("pixels", "points") if known else ("cell", "per cent of the page"):
        table.add_column(name, no_wrap=True)
    table.add_column("words", overflow="fold")
    sums = (ledger.on_page, ledger.off_page, ledger.score)
    table.add_column("adds", "\n".join(f"{value:.3f}" for value in sums), justify="right", no_wrap=True)
    for line in ledger.lines:
        more = " …" if len(line.cell.words) > _WORDS_SHOWN else ""
        words = Text(printable(", ".join(line.cell.words[:_WORDS_SHOWN])) + more)
        table.add_row(_token(line), *_boxes(line), words, f"{line.cell.similarity:.3f}")
    return table


def _place(region: Region) -> Text:
    share = f"{region.area:.0%}" if region.area >= 0.01 else "under 1%"
    where = f"{in_words(region.box)}, {share} of the page"
    return Text(f"{where}, seen in the overview alone" if region.coarse else where)


def _token(line: CellLine) -> Text:
    shown = Text(printable(line.token), "bold" if line.kind is TokenKind.CONTENT else "italic")
    return shown if line.kind is TokenKind.CONTENT else shown.append(f" ({line.kind.name.lower()})", "italic")


def _boxes(line: CellLine) -> tuple[Text, str]:
    if line.cell.box is None:
        return Text("off page", "italic"), ""
    if line.pixels is None or line.points is None:
        place, further = line.cell.place, " ".join(f"{100 * edge:.0f}" for edge in line.cell.box)
    else:
        place, further = " ".join(map(str, line.pixels)), " ".join(f"{edge:.0f}" for edge in line.points)
    return Text(f"{place} (overview)" if line.cell.coarse else place), further
