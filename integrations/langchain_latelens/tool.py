"""A tool that gives an agent quotes to cite, and the documents behind them to the program."""

from __future__ import annotations

import os
from collections.abc import Sequence

from langchain_core.callbacks import Callbacks
from langchain_core.documents import Document
from langchain_core.messages.content import ContentBlock, create_text_block
from langchain_core.retrievers import RetrieverLike
from langchain_core.runnables import Runnable, run_in_executor
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import BaseModel, Field

from langchain_latelens.pictures import picture_blocks
from latelens.bridge.arguments import check_name, check_type
from latelens.bridge.page_pictures import QuotedPictures
from latelens.bridge.quotes import Found, QuoteNumbers, checked_numbers, quotes_of, written
from latelens.pages.files import file_page


class EvidenceQuery(BaseModel):
    """Arguments of the tool."""

    query: str = Field(description="What to find, as a question or a phrase.")


def create_evidence_tool(
    retriever: RetrieverLike,
    name: str,
    description: str,
    *,
    numbers: QuoteNumbers | None = None,
    name_unmatched: bool = False,
    max_images: int = 0,
    folders: Sequence[str | os.PathLike[str]] = (),
) -> BaseTool:
    """Make a tool that answers a query with numbered quotes, each a sentence of evidence with its source.

    The model reads the quotes; ``ToolMessage.artifact`` holds the documents with scores and evidence, which
    `read_evidence` reads, also after a checkpoint has made dicts of them. Documents without evidence, as those of
    other retrievers, are quoted from their beginning.

    Parameters
    ----------
    retriever
        A `LateInteractionRetriever`, or any retriever whose documents were reranked.
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
    check_type("retriever", retriever, Runnable, instead="of a vector store pass store.as_retriever()")
    check_name("name", name)
    check_name("description", description)
    counted, drawn = checked_numbers(numbers), QuotedPictures.checked(max_images, folders)

    def quote(query: str, documents: Sequence[Document]) -> str | list[ContentBlock]:
        found = [
            Found(document.id, document.page_content, document.metadata, file_page(document.metadata))
            for document in documents
        ]
        quotes = quotes_of(found, counted)
        text = written(query, found, quotes, name_unmatched=name_unmatched)
        pictures = picture_blocks(drawn(quotes, found), end="\n")
        # A message's text is that of its blocks without anything between, and a quote ends with its line.
        return [create_text_block(f"{text}\n"), *pictures] if pictures else text

    def find(query: str, callbacks: Callbacks = None) -> tuple[str | list[ContentBlock], list[Document]]:
        documents = retriever.invoke(query.strip(), config={"callbacks": callbacks})
        return quote(query, documents), documents

    async def afind(query: str, callbacks: Callbacks = None) -> tuple[str | list[ContentBlock], list[Document]]:
        documents = await retriever.ainvoke(query.strip(), config={"callbacks": callbacks})
        return await run_in_executor(None, quote, query, documents), documents

    return StructuredTool(
        name=name,
        description=description,
        func=find,
        coroutine=afind,
        args_schema=EvidenceQuery,
        response_format="content_and_artifact",
    )
