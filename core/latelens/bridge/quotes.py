"""What was found, as numbered quotes for a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latelens.bridge.metadata import KEY, read_evidence, read_metadata
from latelens.bridge.sources import name_of

# Of a chunk without evidence its beginning is quoted: about as much as a long sentence.
_MAX_CHARACTERS = 400


@dataclass(frozen=True)
class Found:
    """A chunk as a framework gives it back: its id, its text, and metadata with or without ours."""

    id: str | None
    text: str
    metadata: Mapping[str, Any]


def numbered_quotes(query: str, found: Sequence[Found]) -> str:
    r"""Number the evidence sentences of chunks, one a line, each with its source; say so if there is none.

    White space inside a sentence becomes one space. The last line names words of the query that nothing answers.

    >>> evidence = {"start": 0, "end": 18, "text": "They eat\nmuch bark.", "score": 0.9, "drop": 2.0,
    ...             "query_words": ["eat"], "phrase_start": 0, "phrase_end": 18}
    >>> metadata = {"title": "Elephants", "latelens": {"version": 1, "evidence": [evidence], "uncovered": ["Norway"]}}
    >>> print(numbered_quotes("What do they eat in Norway?", [Found("a", "They eat\nmuch bark.", metadata)]))
    [1] "They eat much bark." (Elephants)
    Nothing quoted answers: Norway
    """
    # Chunks may overlap, and then share sentences.
    lines = list(dict.fromkeys(f'"{quote}" ({source_name(chunk)})' for chunk in found for quote in _quotes(chunk)))
    if not lines:
        return f'Nothing was found for "{_one_line(query)}". Other words may find more.'
    numbered = [f"[{number}] {line}" for number, line in enumerate(lines, start=1)]
    missing = _uncovered(found)
    return "\n".join([*numbered, f"Nothing quoted answers: {', '.join(missing)}"] if missing else numbered)


def source_name(chunk: Found) -> str:
    """What to call a chunk's source: its title or file, with the page where that is known, else its id."""
    return _one_line(name_of(chunk.metadata) or chunk.id or "untitled")


def _quotes(chunk: Found) -> list[str]:
    spans = read_evidence(_ours(chunk))
    if spans:
        return [_one_line(span.text) for span in spans]
    text = _one_line(chunk.text)
    if len(text) > _MAX_CHARACTERS:
        text = text[:_MAX_CHARACTERS].rsplit(" ", 1)[0] + " …"
    return [text] if text else []


def _uncovered(found: Sequence[Found]) -> list[str]:
    """The words that no chunk answers, as far as the chunks say."""
    each = [read_metadata(_ours(chunk)).get("uncovered") for chunk in found]
    known = [words for words in each if words is not None]
    if len(known) < len(found):
        return []
    return [word for word in known[0] if all(word in words for words in known)]


def _ours(chunk: Found) -> dict[str, Any]:
    return {KEY: chunk.metadata.get(KEY, {})}


def _one_line(text: str) -> str:
    return " ".join(text.split())
