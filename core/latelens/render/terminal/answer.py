"""An attributed answer in a terminal, with rich: numbered marks, flagged claims, and the sentences they rest on.

Print it with rich: ``rich.print(format_answer(attribution))``. Nothing in an answer or a source is read as rich's
markup, and no control character reaches the terminal.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from latelens.attribution import Attribution, Citation, Label
from latelens.refusals import check_is
from latelens.render.labels import (
    LABELS,
    NO_PROOF,
    link,
    numbers,
    place_of,
    position,
    reasons,
    source_name,
    tally,
)
from latelens.render.terminal.printing import printable, printable_places

_MARK = "bold cyan"
_COLOURS: dict[Label, str] = {"weak": "yellow", "no_evidence": "magenta", "contradicted": "red"}


class AnswerText:
    """An answer with marks such as ``[1]`` after each cited claim, and ``[△ weak]`` after each that is flagged.

    Flagged claims are underlined where there are styles. A line break inside a sentence is shown as a space.

    >>> from rich.console import Console
    >>> from latelens.attribution import Claim
    >>> claim = Claim(0, 10, "They hunt.", "no_evidence", 0.1)
    >>> Console(color_system=None).print(AnswerText(Attribution("They hunt. ", (), (claim,), "fake")))
    They hunt.[○ no evidence]
    """

    def __init__(self, attribution: Attribution) -> None:
        self.attribution = attribution

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Called by rich."""
        shown, places = printable_places(self.attribution.answer)
        number, marked, reached = numbers(self.attribution), Text(), 0
        flagged = {claim.start for claim in self.attribution.flagged}
        for claim in self.attribution.claims:
            start, end = places[claim.start], places[claim.end]
            is_flagged = claim.start in flagged
            marked.append(shown[reached:start])
            marked.append(shown[start:end], f"underline {_COLOURS[claim.label]}" if is_flagged else "")
            for mark in sorted(number[place_of(citation)] for citation in claim.citations):
                marked.append(f"[{mark}]", _MARK)
            if is_flagged:
                marked.append(f"[{_named(claim.label, options)}]", f"bold {_COLOURS[claim.label]}")
            reached = end
        yield marked.append(shown[reached:].rstrip())


class _Named:
    """A line that names labels; where the terminal is ASCII, without their signs."""

    def __init__(self, *parts: Label | Text) -> None:
        self.parts = parts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        line = Text()
        for part in self.parts:
            styled = part if isinstance(part, Text) else Text(_named(part, options), f"bold {_COLOURS.get(part, '')}")
            line.append_text(styled)
        yield line


def format_answer(attribution: Attribution) -> RenderableType:
    """Show an answer with its marks, then the claims to check with the reasons, then each cited sentence by its mark.

    The last lines count the claims by label.
    """
    check_is("attribution", attribution, Attribution, "an Attribution, as attribute gives it")
    parts: list[RenderableType] = [AnswerText(attribution)]
    for heading, lines in (("To check", _to_check(attribution)), ("Sources", _sources(attribution))):
        if found := list(lines):
            parts += [Text(), Text(heading, "bold"), *found]
    if counted := tally(attribution):
        claims = [part for label, count in counted.items() for part in (Text(f"  {count} "), label)]
        parts += [Text(), _Named(Text("Claims:"), *claims)]
    return Group(*parts, Text(NO_PROOF, "italic"))


def _to_check(attribution: Attribution) -> Iterator[RenderableType]:
    for claim in attribution.flagged:
        yield Padding(_Named(claim.label, Text(f": {printable(claim.text)}")), (0, 0, 0, 3))
        for reason in reasons(claim):
            yield Padding(Text(printable(reason), "italic"), (0, 0, 0, 6))


def _sources(attribution: Attribution) -> Iterator[RenderableType]:
    for number, citation in enumerate(attribution.references, start=1):
        yield Padding(_heading(attribution, number, citation), (0, 0, 0, 3))
        for line in (citation.cited_text, link(citation.url)):
            if line:
                yield Padding(Text(printable(line)), (0, 0, 0, 6))


def _heading(attribution: Attribution, number: int, citation: Citation) -> Text:
    source = attribution.sources[citation.source_index]
    name = source_name(source, citation.source_index, len(attribution.sources))
    called = [citation.source_id] if citation.source_id and citation.source_id != name else []
    place = printable(", ".join([*called, position(citation)]))
    return Text.assemble((f"[{number}] ", _MARK), (printable(name), "bold"), f"  {place}")


def _named(label: Label, options: ConsoleOptions) -> str:
    words = LABELS[label]
    return words.name if options.ascii_only else f"{words.sign} {words.name}"
