"""Evidence on answers: claims, the source spans that back them, exact checks, and verifiers."""

from latelens.attribution.answer import attribute
from latelens.attribution.citations import Attribution, Citation, Claim, Label, Source
from latelens.attribution.mark_checks import CheckedMark, MarkedAnswer, check_marks
from latelens.attribution.marks import WrittenMark, read_marks
from latelens.attribution.stream import AnswerStream

__all__ = [
    "AnswerStream",
    "Attribution",
    "CheckedMark",
    "Citation",
    "Claim",
    "Label",
    "MarkedAnswer",
    "Source",
    "WrittenMark",
    "attribute",
    "check_marks",
    "read_marks",
]
