"""Citations of structured answers, whose texts stand in fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_latelens.sources import to_sources
from latelens.attribution.answer import check_question
from latelens.attribution.citations import Attribution
from latelens.bridge.arguments import listed
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.fields import attribute_fields
from latelens.interchange.fields import fields_from_json, fields_json


def cite_fields(
    answer: Any,
    sources: Iterable[Any],
    *,
    attributor: Attributor | None = None,
    question: str | None = None,
    metadata_keys: Sequence[str] = (),
) -> dict[str, Attribution]:
    """Attribute each text field of a structured answer, under its path such as ``author.name`` or ``items[2].text``.

    Parameters
    ----------
    answer
        What ``with_structured_output`` or an agent's ``response_format`` gives: a Pydantic object, a dataclass or a
        dict.
    sources, attributor, question, metadata_keys
        As for `attach_citations`.

    Raises
    ------
    TypeError
        If the answer has no fields, or an argument is of the wrong type.
    """
    check_question(question)
    found = to_sources(sources, listed("metadata_keys", metadata_keys, str))
    return attribute_fields(answer, found, chosen(attributor), question)


def read_fields(written: Mapping[str, Any], sources: Iterable[Any] | None = None) -> dict[str, Attribution]:
    """The attributions by path that a chain or an agent's state keeps for a structured answer.

    A chain has them under ``"answer_citations"``, the state under ``"structured_response_citations"``. Give the
    `sources` that were cited to have their texts; without them a source holds what was cited from it, at its place,
    and blanks elsewhere.
    """
    keys = written.get("metadata_keys", ())
    return fields_from_json(written, None if sources is None else to_sources(sources, keys))


def written_fields(found: Mapping[str, Attribution], metadata_keys: Sequence[str]) -> dict[str, Any]:
    """What travels with a structured answer, as JSON."""
    return {**fields_json(found), "metadata_keys": list(metadata_keys)}
