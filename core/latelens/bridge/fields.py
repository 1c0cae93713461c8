"""Structured answers: each text field attributed under its path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from latelens.attribution.citations import Attribution, Source
from latelens.bridge.attributor import Attributor
from latelens.refusals import described


def text_fields(answer: Any) -> dict[str, str]:
    """The texts of a structured answer by their paths: a Pydantic object, a dataclass, or dicts and lists of them.

    Numbers, dates, choices of an `Enum` that is no text, and empty texts are left out.

    >>> text_fields({"name": "Ada", "born": 1815, "works": [{"title": "Notes"}]})
    {'name': 'Ada', 'works[0].title': 'Notes'}

    Raises
    ------
    TypeError
        If the answer is none of these.
    """
    if not is_structured(answer):
        raise TypeError(f"fields are of a Pydantic object, a dataclass or a dict, got {described(answer)}")
    return {path: text for path, text in _texts("", answer) if text.strip()}


def is_structured(answer: Any) -> bool:
    """Whether an answer has fields."""
    return isinstance(answer, Mapping) or _is_object(answer)


def attribute_fields(
    answer: Any, sources: Sequence[Source], attributor: Attributor, question: str | None
) -> dict[str, Attribution]:
    """Each text field's attribution to the sources, by its path such as ``author.name`` or ``items[2].text``."""
    return {path: attributor(text, sources, question=question) for path, text in text_fields(answer).items()}


def _is_object(value: Any) -> bool:
    return (hasattr(value, "model_dump") or is_dataclass(value)) and not isinstance(value, type)


def _texts(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, str.__str__(value)
    elif hasattr(value, "model_dump") and not isinstance(value, type):
        yield from _texts(path, {name: getattr(value, name) for name in type(value).model_fields})
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _texts(path, asdict(value))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(f"{path}.{key}" if path else str(key), item)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for i, item in enumerate(value):
            yield from _texts(f"{path}[{i}]", item)
