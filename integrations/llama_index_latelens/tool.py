"""A tool that gives an agent quotes to cite, and the nodes behind them to the program."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.schema import NodeWithScore
from llama_index.core.tools.types import AsyncBaseTool, ToolMetadata, ToolOutput

from latelens.bridge.arguments import check_name, check_type
from latelens.bridge.quotes import Found, QuoteNumbers, checked_numbers, numbered_quotes
from latelens.refusals import shown
from llama_index_latelens.nodes import text_of

# What LlamaIndex's own tools make of keyword arguments: "\ninput is capital of france\n".
_NOISE = re.compile(r"\A\n(?:input|query) is ")


class EvidenceQuery(BaseModel):
    """Arguments of the tool."""

    query: str = Field(description="What to find, as a question or a phrase.")


def create_evidence_tool(
    retriever: BaseRetriever,
    name: str,
    description: str,
    *,
    numbers: QuoteNumbers | None = None,
    name_unmatched: bool = False,
) -> EvidenceTool:
    """Make a tool that answers a query with numbered quotes, each a sentence of evidence with its source.

    The model reads the quotes; ``ToolOutput.raw_output`` holds the nodes with scores and evidence, which
    `read_evidence` reads: an agent's `ToolCallResult` events carry it. Nodes without evidence, as those of other
    retrievers, are quoted from their beginning.

    Parameters
    ----------
    retriever
        A `LateInteractionRetriever`, or any retriever whose nodes were reranked.
    name, description
        How the tool is described to the model.
    numbers
        Counts the quotes: several calls in a conversation never give one number to two quotes. Each tool has its own
        by default; give one `QuoteNumbers` to all evidence tools of an agent, and reset it for a new conversation. A
        conversation that goes on in a new process needs `QuoteNumbers(texts)` of its earlier tool messages.
    name_unmatched
        End with a line that names the query's content words that nothing quoted has a close wording for.
    """
    check_type("retriever", retriever, BaseRetriever, instead="of an index pass index.as_retriever()")
    check_name("name", name)
    check_name("description", description)
    metadata = ToolMetadata(description=description, name=name, fn_schema=EvidenceQuery)
    return EvidenceTool(retriever, metadata, checked_numbers(numbers), name_unmatched=name_unmatched)


class EvidenceTool(AsyncBaseTool):
    """Made by `create_evidence_tool`."""

    def __init__(
        self, retriever: BaseRetriever, metadata: ToolMetadata, numbers: QuoteNumbers, *, name_unmatched: bool
    ) -> None:
        self._retriever = retriever
        self._metadata = metadata
        self._numbers = numbers
        self._name_unmatched = name_unmatched

    @property
    def metadata(self) -> ToolMetadata:
        """Name, description and arguments."""
        return self._metadata

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Find quotes for a query, given as ``query``, as ``input`` or as the only argument."""
        query = clean_query(*args, **kwargs)
        return self._output(query, self._retriever.retrieve(query))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        """Like `call`, off the event loop."""
        query = clean_query(*args, **kwargs)
        return self._output(query, await self._retriever.aretrieve(query))

    def _output(self, query: str, nodes: Sequence[NodeWithScore]) -> ToolOutput:
        found = [Found(scored.node.node_id, text_of(scored.node), scored.node.metadata) for scored in nodes]
        return ToolOutput(
            content=numbered_quotes(query, found, numbers=self._numbers, name_unmatched=self._name_unmatched),
            tool_name=self.metadata.get_name(),
            raw_input={"query": query},
            raw_output=list(nodes),
        )


def clean_query(*args: Any, **kwargs: Any) -> str:
    r"""The query among a tool's arguments, without what LlamaIndex adds to it.

    >>> clean_query("capital of france\n\n"), clean_query(input="\ninput is capital of france\n")
    ('capital of france', 'capital of france')

    Raises
    ------
    ValueError
        If there is no query or more than one.
    """
    given = [*args, *kwargs.values()]
    if len(given) != 1 or not isinstance(given[0], str) or not given[0].strip():
        raise ValueError(f"the tool takes one query, a text, got {shown([*args])} and {shown(kwargs)}")
    return _NOISE.sub("", given[0]).strip()
