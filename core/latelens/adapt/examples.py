"""Marked questions: a question, a passage, and which of its sentences answer, as people marked them.

A JSON Lines file holds either of two kinds of lines, or both:

- ``{"question", "sentences", "gold"}``: the sentences of a passage, and the indices of those that answer;
- ``{"question", "text", "start", "end", "thumb"}``: a chunk, a sentence that was shown as evidence, as ``start`` and
  ``end`` of its metadata say, and what the reader thought of it, ``"up"`` or ``"down"``. After a thumb down, any other
  sentence of the chunk may be the right one.

``"document"`` names where the passage is from: all of one document is trained on, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from latelens.evaluation.data import digest_of, read_lines
from latelens.refusals import shown
from latelens.text.sentences import split_sentences


@dataclass(frozen=True)
class MarkedQuestion:
    """A question about a passage.

    Attributes
    ----------
    question, text
        As people wrote them.
    sentences
        Spans of the text's sentences, in order and disjoint.
    gold
        Indices of sentences of which one should come first: never all of them, and never none.
    document
        Where the passage is from.
    """

    question: str
    text: str
    sentences: tuple[tuple[int, int], ...]
    gold: tuple[int, ...]
    document: str

    @property
    def held_out(self) -> bool:
        """Whether it belongs to the quarter of the documents, by their sha1, that nothing is trained on."""
        return digest_of(self.document)[0] in "0123"


def read_examples(path: Path) -> list[MarkedQuestion]:
    """Read marked questions; lines that say nothing, since every sentence would do or none, are left out.

    Raises
    ------
    ValueError
        Naming the line that is neither of the two kinds, and what it should hold.
    """
    found = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            example = _thumb(line) if "thumb" in line else _marked(line)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}, example {number} is no marked question ({error!r}): {shown(line)}; it must hold question, "
                "sentences and gold, or question, text, start, end and thumb"
            ) from error
        if 0 < len(example.gold) < len(example.sentences):
            found.append(example)
    return found


def _marked(line: Mapping[str, Any]) -> MarkedQuestion:
    sentences = [_text(sentence) for sentence in line["sentences"]]
    ends = accumulate(len(sentence) + 1 for sentence in sentences)
    spans = tuple((end - 1 - len(each), end - 1) for end, each in zip(ends, sentences, strict=True))
    gold = sorted({int(i) for i in line["gold"]})
    if any(not 0 <= i < len(sentences) for i in gold):
        raise ValueError(f"gold must be indices of the {len(sentences)} sentences, got {gold}")
    return _example(line, " ".join(sentences), spans, gold)


def _thumb(line: Mapping[str, Any]) -> MarkedQuestion:
    text, start, end, thumb = _text(line["text"]), int(line["start"]), int(line["end"]), line["thumb"]
    if thumb not in ("up", "down"):
        raise ValueError(f"thumb must be 'up' or 'down', got {thumb!r}")
    if not 0 <= start < end <= len(text):
        raise ValueError(f"start and end must be a span of the text, got {start} and {end} of {len(text)} characters")
    spans = split_sentences(text)
    shown_there = [a < end and start < b for a, b in spans]
    return _example(line, text, spans, [i for i, there in enumerate(shown_there) if there == (thumb == "up")])


def _example(
    line: Mapping[str, Any], text: str, spans: Sequence[tuple[int, int]], gold: Sequence[int]
) -> MarkedQuestion:
    document = str(line.get("document") or text)
    return MarkedQuestion(_text(line["question"]), text, tuple(spans), tuple(gold), document)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"not a text with letters: {shown(value)}")
    return value
