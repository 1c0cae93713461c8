"""A tool that gives an agent quotes to cite, and the nodes behind them to the program."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.llms.types import TextBlock
from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.schema import NodeWithScore
from llama_index.core.tools.types import AsyncBaseTool, ToolMetadata, ToolOutput

from latelens.bridge.arguments import check_name, check_type
from latelens.bridge.page_pictures import QuotedPictures
from latelens.bridge.quotes import Found, QuoteNumbers, checked_numbers, quotes_of, written
from latelens.refusals import shown
from llama_index_latelens.nodes import image_of, text_of
from llama_index_latelens.pictures import picture_blocks

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
    max_images: int = 0,
    folders: Sequence[str | os.PathLike[str]] = (),
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
    max_images
        Of page images, how many regions the model is given as pictures too, those of the first quotes; each picture
        follows a text with its quote's number and source. A region without a picture is its words and its box.
    folders
        Where the files of those pages lie; no other is opened.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, or a folder is not there.
    """
    check_type("retriever", retriever, BaseRetriever, instead="of an index pass index.as_retriever()")
    check_name("name", name)
    check_name("description", description)
    metadata = ToolMetadata(description=description, name=name, fn_schema=EvidenceQuery)
    pictures = QuotedPictures.checked(max_images, folders)
    return EvidenceTool(retriever, metadata, checked_numbers(numbers), pictures, name_unmatched=name_unmatched)


class EvidenceTool(AsyncBaseTool):
    """Made by `create_evidence_tool`."""

    def __init__(
        self,
        retriever: BaseRetriever,
        metadata: ToolMetadata,
        numbers: QuoteNumbers,
        pictures: QuotedPictures,
        *,
        name_unmatched: bool,
    ) -> None:
        self._retriever = retriever
        self._metadata = metadata
        self._numbers = numbers
        self._pictures = pictures
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
        nodes = await self._retriever.aretrieve(query)
        return await asyncio.to_thread(self._output, query, nodes)

    def _output(self, query: str, nodes: Sequence[NodeWithScore]) -> ToolOutput:
        found = [
            Found(scored.node.node_id, text_of(scored.node), scored.node.metadata, image_of(scored.node))
            for scored in nodes
        ]
        quotes = quotes_of(found, self._numbers)
        text = written(query, found, quotes, name_unmatched=self._name_unmatched)
        blocks: list[Any] = [TextBlock(text=text), *picture_blocks(self._pictures(quotes, found))]
        return ToolOutput(
            tool_name=self.metadata.get_name(), blocks=blocks, raw_input={"query": query}, raw_output=list(nodes)
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
