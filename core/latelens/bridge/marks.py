"""Marks that a model wrote, read against the numbers that it saw: those of quotes, or of the sources in its prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import regex

from latelens.attribution.citations import Attribution, Source
from latelens.attribution.edits import Edit
from latelens.attribution.mark_checks import HANDLINGS, CheckedMark, Handling
from latelens.attribution.marks import WrittenMark
from latelens.attribution.relocated import relocated
from latelens.bridge.attributor import Attributor
from latelens.bridge.quotes import read_quotes
from latelens.bridge.regions import NO_WORDS
from latelens.refusals import check_one_of

# How LlamaIndex's `CitationQueryEngine` opens its nodes.
_LABEL = regex.compile(r"\s*Source (\d{1,3}):\s")


@dataclass(frozen=True)
class MarkReading:
    """What is done with a model's marks, and the sources under the numbers that it saw."""

    handling: Handling
    numbered: Mapping[int, Source]

    @property
    def rewrites(self) -> bool:
        """Whether the answer may change."""
        return self.handling != "keep"


def check_handling(marks: Any) -> None:
    """Refuse what is no way to handle marks; None leaves them unread."""
    check_one_of("marks", marks, [None, *HANDLINGS])


def numbered_sources(told: Iterable[str], sources: Sequence[Source]) -> dict[int, Source]:
    """The sources under the numbers that a model saw.

    Those are of the numbered quotes in what tools `told` it; of two quotes with one number the later counts. Where
    there are none, of the labels "Source 2:" that all sources open with, else of their order, from 1.

    >>> found = numbered_sources(['[7] "They eat much bark." (Elephants)'], [Source("They eat much bark. They sleep.")])
    >>> [(number, source.text, source.title) for number, source in found.items()]
    [(7, 'They eat much bark.', 'Elephants')]
    """
    quotes = {number: quote for text in told for number, quote in read_quotes(text).items()}
    if quotes:
        # A picture whose words nobody has read backs nothing that can be checked here.
        return {number: Source(text, title=name) for number, (text, name) in quotes.items() if text != NO_WORDS}
    labels = [label for source in sources if (label := _LABEL.match(source.text))]
    labelled = {int(label[1]): source for label, source in zip(labels, sources, strict=False)}
    return labelled if len(labelled) == len(sources) else dict(enumerate(sources, start=1))


def handle_marks(
    attribution: Attribution, attributor: Attributor, reading: MarkReading, question: str | None
) -> tuple[Attribution, tuple[Edit, ...], list[CheckedMark]]:
    """The attribution of the answer with its marks handled, the edits that lead there, and what each mark is worth."""
    found = attributor.check_marks(attribution.answer, reading.numbered, reading.handling, question=question)
    return relocated(attribution, found.edits), found.edits, list(found.marks)


def marks_json(marks: Iterable[CheckedMark]) -> list[dict[str, Any]]:
    """Checked marks as JSON."""
    return [{**asdict(each), "mark": {**asdict(each.mark), "numbers": list(each.mark.numbers)}} for each in marks]


def marks_from_json(written: Iterable[Mapping[str, Any]]) -> tuple[CheckedMark, ...]:
    """What `marks_json` wrote."""
    return tuple(
        CheckedMark(**{**item, "mark": WrittenMark(**{**item["mark"], "numbers": tuple(item["mark"]["numbers"])})})
        for item in written
    )
