"""`AttachCitations`: citations at the end of a chain, whether it is invoked or streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.runnables import RunnableConfig, RunnableSerializable, run_in_executor
from langchain_core.runnables.utils import AddableDict
from pydantic import ConfigDict, Field, field_serializer, field_validator

from langchain_latelens.annotations import V1, Block, bare, describe, standard_blocks
from langchain_latelens.citations import cite, find_citations
from langchain_latelens.sources import conversation_sources, question_in, to_sources
from latelens.attribution.citations import Source
from latelens.bridge.arguments import listed
from latelens.bridge.attributor import Attributor, chosen

# What LangChain's own chains and most people's call it.
_QUESTION_KEYS = ("question", "input", "query")


class AttachCitations(RunnableSerializable[dict[str, Any], dict[str, Any]]):
    """The last step of a chain: ``rag_chain | AttachCitations()``.

    The chain gives a dict with the answer (an `AIMessage`, a text, or messages of which the last is the answer)
    and what it rests on; out comes the dict with the answer as `attach_citations` makes it. Messages bring their
    sources themselves, in `ToolMessage`s; the sources may then be missing. The model loads at first use; the
    asynchronous calls leave the event loop free.

    A stream passes the tokens on as they come, as chunks in standard content blocks, and ends with a chunk that
    adds the citations: the sum of the chunks is the message that `invoke` returns, but that each text block also has
    the `index` by which chunks are added, and that the sum is in blocks also where nothing is cited. What is not a
    stream of texts or chunks comes once, at the end.

    Parameters
    ----------
    answer_key
        Where the answer is in the dict.
    sources_key
        Where the documents are.
    attributor
        As for `attach_citations`.
    question_key
        Where the user's question is, as a text. None takes the first of ``question``, ``input`` and ``query`` that
        holds a text, else of messages the last human one; a chain without any is cited without a question.
    metadata_keys
        As for `attach_citations`.
    """

    answer_key: str = "answer"
    sources_key: str = "context"
    attributor: Any = Field(default=None, validate_default=True)
    question_key: str | None = None
    metadata_keys: Sequence[str] = ()

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @field_validator("attributor")
    @classmethod
    def _checked(cls, attributor: Any) -> Attributor:
        return chosen(attributor)

    @field_validator("metadata_keys", mode="before")
    @classmethod
    def _keys(cls, keys: Any) -> list[str]:
        return listed("metadata_keys", keys, str)

    @field_serializer("attributor")
    def _described(self, attributor: Attributor) -> dict[str, Any]:
        return attributor.describe()

    def invoke(self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """The chain's output with the answer cited."""
        return self._call_with_config(self._cited, input, config, **kwargs)

    async def ainvoke(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Like `invoke`, off the event loop."""
        return await self._acall_with_config(self._acited, input, config, **kwargs)

    def stream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """The output of a chain that has run, in pieces."""
        yield from self.transform(iter([input]), config, **kwargs)

    async def astream(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Like `stream`, off the event loop."""

        async def once() -> AsyncIterator[dict[str, Any]]:
            yield input

        async for chunk in self.atransform(once(), config, **kwargs):
            yield chunk

    def transform(
        self, input: Iterator[dict[str, Any]], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """Pass a chain's stream on, then the citations."""
        yield from self._transform_stream_with_config(input, self._passed_on, config, **kwargs)

    async def atransform(
        self, input: AsyncIterator[dict[str, Any]], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        """Like `transform`, off the event loop."""
        async for chunk in self._atransform_stream_with_config(input, self._apassed_on, config, **kwargs):
            yield chunk

    def _passed_on(self, chunks: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        passage = _Passage(self)
        for chunk in chunks:
            if piece := passage.take(chunk):
                yield piece
        yield passage.end()

    async def _apassed_on(self, chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        passage = _Passage(self)
        async for chunk in chunks:
            if piece := passage.take(chunk):
                yield piece
        yield await run_in_executor(None, passage.end)

    def _cited(self, given: dict[str, Any]) -> dict[str, Any]:
        self._check(given)
        return {**given, self.answer_key: self._cite(given)}

    async def _acited(self, given: dict[str, Any]) -> dict[str, Any]:
        return await run_in_executor(None, self._cited, given)

    def _cite(self, given: Mapping[str, Any]) -> Any:
        answer = given.get(self.answer_key)
        sources, question = self._sources(given), self._question(given)
        if not isinstance(answer, list):
            return cite(answer, sources, self.attributor, question, self.metadata_keys)  # type: ignore[arg-type]  # refuses others
        last = answer[-1] if answer else None
        if not isinstance(last, AIMessage):
            raise TypeError(f"the last message under {self.answer_key!r} is no AIMessage but {type(last).__name__}")
        return [*answer[:-1], cite(last, sources, self.attributor, question, self.metadata_keys)]

    def _sources(self, given: Mapping[str, Any]) -> list[Source]:
        if given.get(self.sources_key) is not None:
            return to_sources(given[self.sources_key], self.metadata_keys)
        answer = given.get(self.answer_key)
        if isinstance(answer, list):
            messages = [message for message in answer if isinstance(message, BaseMessage)]
            return conversation_sources(messages, (), self.metadata_keys)
        raise ValueError(
            f"the chain's output has no {self.sources_key!r}, only {sorted(given)}: keep the retrieved documents with "
            f"RunnablePassthrough.assign({self.sources_key}=retriever), or name their key with sources_key"
        )

    def _question(self, given: Mapping[str, Any]) -> str | None:
        if self.question_key is not None:
            if given.get(self.question_key) is None:
                raise ValueError(
                    f"the chain's output has no {self.question_key!r}, only {sorted(given)}: name the question's key "
                    "with question_key"
                )
            said: str | None = given[self.question_key]
            return said
        found = (given.get(key) for key in self._question_keys())
        answer = given.get(self.answer_key)
        messages = answer if isinstance(answer, list) else ()
        return next((text for text in found if isinstance(text, str)), None) or question_in(messages)

    def _question_keys(self) -> list[str]:
        keys = _QUESTION_KEYS if self.question_key is None else (self.question_key,)
        return [key for key in keys if key not in (self.answer_key, self.sources_key)]

    def _check(self, given: Any) -> None:
        if not isinstance(given, Mapping):
            raise TypeError(
                f"citations need a dict with {self.answer_key!r} and {self.sources_key!r}, got {type(given).__name__}: "
                f"end the chain with RunnablePassthrough.assign({self.answer_key}=...)"
            )
        if given.get(self.answer_key) is None:
            raise ValueError(
                f"the chain's output has no {self.answer_key!r}, only {sorted(given)}: name its key with answer_key"
            )


class _Passage:
    """A stream on its way through `AttachCitations`."""

    def __init__(self, attach: AttachCitations) -> None:
        self._attach = attach
        self._given = AddableDict()  # the chain's output but for a streamed answer; of the rest, only the keys matter
        self._as_written: list[AIMessageChunk] = []
        self._passed: list[AIMessageChunk] = []
        self._numbers = _Numbers()

    def take(self, chunk: Any) -> dict[str, Any]:
        """What to pass on of a chunk at once."""
        if not isinstance(chunk, Mapping):
            self._attach._check(chunk)
        key = self._attach.answer_key
        passed = AddableDict({name: value for name, value in chunk.items() if name != key})
        questions = self._attach._question_keys()  # a model may write the question anew, token by token
        for name, value in passed.items():
            if name == self._attach.sources_key or (name in questions and isinstance(value, str)):
                self._given += AddableDict({name: value})
            else:
                self._given[name] = value
        answer = chunk.get(key)
        if isinstance(answer, str):
            answer = AIMessageChunk(content=answer)
        if isinstance(answer, AIMessageChunk):
            self._as_written.append(answer)
            self._passed.append(self._numbers.in_blocks(answer))
            passed[key] = self._passed[-1]
        elif answer is not None:
            self._given += AddableDict({key: answer})
        return passed

    def end(self) -> dict[str, Any]:
        """What the citations add; the heavy part."""
        attach, key = self._attach, self._attach.answer_key
        if not self._as_written:
            attach._check(self._given)
            return AddableDict({key: attach._cite(self._given)})
        whole = bare(_sum(self._as_written))
        passed = _sum(self._passed)
        blocks: list[Block] = passed.content  # type: ignore[assignment]  # `in_blocks` wrote them
        given = {**self._given, key: ""}
        sources, question = attach._sources(given), attach._question(given)
        found, written = find_citations(
            blocks, sources, attach.attributor, question, describe(whole), attach.metadata_keys
        )
        added: list[Any] = [
            {"type": "text", "text": "", "index": block["index"], "annotations": ours}
            for block, ours in zip(blocks, found, strict=True)
            if ours
        ]
        return AddableDict(
            {key: AIMessageChunk(content=added, id=passed.id, response_metadata=written, chunk_position="last")}
        )


class _Numbers:
    """Gives the blocks of a stream the `index` by which they are added to one another."""

    def __init__(self) -> None:
        self._kind, self._number = "", -1

    def in_blocks(self, chunk: AIMessageChunk) -> AIMessageChunk:
        """The chunk in standard blocks; a new kind of block begins a new block, as in LangChain's own streams."""
        chunk = bare(chunk)
        blocks = standard_blocks(chunk)
        for block in blocks:
            if block["type"] != self._kind:
                self._kind, self._number = block["type"], self._number + 1
            block.setdefault("index", f"lc_{self._kind}_{self._number}")
        metadata = {**chunk.response_metadata, "output_version": V1}
        # The chunk with the citations is the last.
        return chunk.model_copy(update={"content": blocks, "response_metadata": metadata, "chunk_position": None})


def _sum(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    return add_ai_message_chunks(*chunks)
