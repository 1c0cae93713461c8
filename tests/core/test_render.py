"""What the terminal shows is the evidence, with colours and without."""

from __future__ import annotations

import io

from rich.console import Console

from latelens import EvidenceSpan
from latelens.render.terminal import EvidenceText

TEXT = "Herd [bold]one[/bold]. They eat grass daily. Rain fell."
EVIDENCE = [EvidenceSpan(45, 55, "Rain fell.", 1.0, 0.0, (), 45, 49), EvidenceSpan(23, 44, "They eat grass daily.", 3.0, 1.0, ("eat",), 28, 37)]  # fmt: skip # noqa: E501


def test_without_colour_sentences_stand_between_marks_in_reading_order() -> None:
    out = io.StringIO()
    Console(file=out, width=200).print(EvidenceText(TEXT, EVIDENCE))
    assert out.getvalue().rstrip() == "Herd [bold]one[/bold]. »They eat grass daily.« »Rain fell.«"


def test_with_colour_the_styled_characters_are_the_evidence() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")
    (styled,) = EvidenceText(TEXT, EVIDENCE).__rich_console__(console, console.options)
    assert styled.plain == TEXT
    found = {(span.start, span.end) for span in styled.spans}
    assert found == {(45, 55), (45, 49), (23, 44), (28, 37)}
