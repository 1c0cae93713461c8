"""Which nodes a model wrote while it answered: they stand among a response's source nodes and are no evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import regex

from latelens.bridge.metadata import KEY

# As `SubQuestionQueryEngine`, `MultiStepQueryEngine`, and `RecursiveRetriever` with query engines write them. A page of
# questions and answers begins with no line break.
_ANSWERED = regex.compile(r"(?s)Sub question: .+?\nResponse: |\nQuestion: .+?\nAnswer: |Query: .+?\nResponse: ")
_UUID = regex.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TABLE_SUMMARY = "col_schema"  # of the `IndexNode` that `MarkdownElementNodeParser` and its like make for a table


def is_by_model(text: str, metadata: Mapping[str, Any], *, related: bool) -> bool:
    """Whether LlamaIndex made a node of a model's words; `related`: whether it is a part of a document.

    Told are the answers of `SubQuestionQueryEngine`, `MultiStepQueryEngine`, `RecursiveRetriever` and of query engines
    behind an `IndexNode`, and what element parsers say of a table. The summaries of `TreeIndex` and
    `DocumentSummaryIndex` look like any node: their retrievers return the chunks below them, `TreeRootRetriever`
    apart, whose nodes need ``"by_model": True`` in their metadata.
    """
    if _TABLE_SUMMARY in metadata:
        return True
    own = {key: value for key, value in metadata.items() if key != KEY}
    if related:
        return False
    if not own:
        return _ANSWERED.match(text) is not None
    # An engine's answer has the metadata of its response: that of each of its nodes under the node's id.
    return all(_UUID.fullmatch(key) and isinstance(value, Mapping | None) for key, value in own.items())
