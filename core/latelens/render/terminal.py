"""Evidence in a terminal, with rich: colours where there are any, marks where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from latelens.evidence import EvidenceSpan

_SENTENCE_STYLE = "bold"
_PHRASE_STYLE = "bold black on bright_yellow"


class EvidenceText:
    """A chunk with its evidence marked: sentences in bold, phrases on yellow, or ``»sentence«`` without colour.

    >>> from rich.console import Console
    >>> spans = [EvidenceSpan(5, 15, "They graze.", 3.0, 1.0, ("eat",), 5, 15)]
    >>> Console(no_color=True, color_system=None).print(EvidenceText("Herd. They graze. Rain.", spans))
    Herd. »They graze«. Rain.
    """

    def __init__(self, text: str, evidence: Sequence[EvidenceSpan]) -> None:
        self.text = text
        self.evidence = sorted(evidence, key=lambda span: span.start)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        yield self._marked() if console.color_system is None else self._styled()

    def _styled(self) -> Text:
        styled = Text(self.text)
        for span in self.evidence:
            styled.stylize(_SENTENCE_STYLE, span.start, span.end)
            styled.stylize(_PHRASE_STYLE, span.phrase_start, span.phrase_end)
        return styled

    def _marked(self) -> Text:
        marked, position = Text(), 0
        for span in self.evidence:
            marked.append(self.text[position : span.start] + "»" + self.text[span.start : span.end] + "«")
            position = span.end
        return marked.append(self.text[position:])
