"""Reading our metadata from documents, and taking it off again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document

from latelens.bridge.arguments import listed
from latelens.bridge.metadata import marked, ours, read_evidence, read_regions

SCORE_KEY = "relevance_score"

__all__ = ["SCORE_KEY", "read_evidence", "read_regions", "strip_evidence"]


def strip_evidence(documents: Sequence[Document]) -> list[Document]:
    """Copies of the documents without our metadata, for stores that take flat metadata only.

    The score goes too where it is ours; documents without our metadata are copied as they are.
    """
    return [
        document.model_copy(update={"metadata": _plain(document.metadata)})
        for document in listed("documents", documents, Document)
    ]


def _plain(metadata: dict[str, Any]) -> dict[str, Any]:
    plain = marked(metadata, None)
    if ours(metadata):
        plain.pop(SCORE_KEY, None)
    return plain
