"""`AttachCitations`: citations at the end of a chain, whether it is invoked or streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableSerializable, run_in_executor
from pydantic import ConfigDict, Field, field_serializer, field_validator

from langchain_latelens.chain_stream import StreamedAnswer
from langchain_latelens.citations import Citing, cite
from langchain_latelens.fields import written_fields
from langchain_latelens.sources import conversation_sources, question_in, read_against, to_sources
from latelens.attribution.citations import Source
from latelens.attribution.mark_checks import Handling
from latelens.bridge.arguments import listed
from latelens.bridge.attributor import Attributor, chosen
from latelens.bridge.fields import attribute_fields, is_structured
from latelens.bridge.marks import check_handling

# What LangChain's own chains and most people's call it.
_QUESTION_KEYS = ("question", "input", "query")


class AttachCitations(RunnableSerializable[dict[str, Any], dict[str, Any]]):
    """The last step of a chain: ``rag_chain | AttachCitations()``.

    The chain gives a dict with the answer (an `AIMessage`, a text, or messages of which the last is the answer)
    and what it rests on; out comes the dict with the answer as `attach_citations` makes it. Messages bring their
    sources themselves, in `ToolMessage`s; the sources may then be missing. The model loads at first use; the
    asynchronous calls leave the event loop free.

    A stream passes the tokens on as they come, as chunks in standard content blocks. When a sentence has ended, a
    chunk adds its citations: the sum of the chunks is the message that `invoke` returns, but that each text block
    also has the `index` by which chunks are added, and that the sum is in blocks also where nothing is cited. (Where
    a later line turns a cited sentence into a heading, its citations stay in the sum; `read_attribution` leaves them
    out.) Citations wait for the sources, if those come after the answer. What is not a stream of texts or chunks
    comes once, at the end, and so does an answer whose marks may be moved, flagged or stripped.

    Of a structured answer, a Pydantic object or a dict, each text field is attributed. It stays as it is, and what
    `read_fields` reads comes beside it, under ``"answer_citations"``.

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
    metadata_keys, marks
        As for `attach_citations`.
    """

    answer_key: str = "answer"
    sources_key: str = "context"
    attributor: Any = Field(default=None, validate_default=True)
    question_key: str | None = None
    metadata_keys: Sequence[str] = ()
    marks: Handling | None = None

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    @field_validator("attributor")
    @classmethod
    def _checked(cls, attributor: Any) -> Attributor:
        return chosen(attributor)

    @field_validator("metadata_keys", mode="before")
    @classmethod
    def _keys(cls, keys: Any) -> list[str]:
        return listed("metadata_keys", keys, str)

    @field_validator("marks", mode="before")
    @classmethod
    def _marks(cls, marks: Any) -> Any:
        check_handling(marks)
        return marks

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
        answer = StreamedAnswer(self)
        for chunk in chunks:
            if piece := answer.take(chunk):
                yield piece
            if cited := answer.cite():
                yield cited
        yield answer.end()

    async def _apassed_on(self, chunks: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
        answer = StreamedAnswer(self)
        async for chunk in chunks:
            if piece := answer.take(chunk):
                yield piece
            if cited := await run_in_executor(None, answer.cite):
                yield cited
        yield await run_in_executor(None, answer.end)

    def _cited(self, given: dict[str, Any]) -> dict[str, Any]:
        self.check(given)
        return {**given, **self.cite(given)}

    async def _acited(self, given: dict[str, Any]) -> dict[str, Any]:
        return await run_in_executor(None, self._cited, given)

    def cite(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the citations change in a chain's output."""
        answer = given.get(self.answer_key)
        sources, question = self.sources(given), self.question(given)
        if not isinstance(answer, AIMessage) and is_structured(answer):
            found = attribute_fields(answer, sources, self.attributor, question)
            return {self.answer_key: answer, f"{self.answer_key}_citations": written_fields(found, self.metadata_keys)}
        citing = self.citing(given, sources, question)
        if not isinstance(answer, list):
            return {self.answer_key: cite(answer, sources, citing)}  # type: ignore[arg-type]  # refuses others
        last = answer[-1] if answer else None
        if not isinstance(last, AIMessage):
            raise TypeError(f"the last message under {self.answer_key!r} is no AIMessage but {type(last).__name__}")
        return {self.answer_key: [*answer[:-1], cite(last, sources, citing)]}

    def citing(self, given: Mapping[str, Any], sources: Sequence[Source], question: str | None) -> Citing:
        """How an answer from these sources is cited."""
        answer, named = given.get(self.answer_key), given.get(self.sources_key)
        told = named if isinstance(named, list | tuple) else answer if isinstance(answer, list) else ()
        return Citing(self.attributor, question, self.metadata_keys, read_against(self.marks, told, sources))

    def sources(self, given: Mapping[str, Any]) -> list[Source]:
        """What an answer rests on."""
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

    def question(self, given: Mapping[str, Any]) -> str | None:
        """What the user asked."""
        if self.question_key is not None:
            if given.get(self.question_key) is None:
                raise ValueError(
                    f"the chain's output has no {self.question_key!r}, only {sorted(given)}: name the question's key "
                    "with question_key"
                )
            said: str | None = given[self.question_key]
            return said
        found = (given.get(key) for key in self.question_keys())
        answer = given.get(self.answer_key)
        messages = answer if isinstance(answer, list) else ()
        return next((text for text in found if isinstance(text, str)), None) or question_in(messages)

    def question_keys(self) -> list[str]:
        """Where the question may be."""
        keys = _QUESTION_KEYS if self.question_key is None else (self.question_key,)
        return [key for key in keys if key not in (self.answer_key, self.sources_key)]

    def check(self, given: Any) -> None:
        """Refuse what holds no answer."""
        if not isinstance(given, Mapping):
            raise TypeError(
                f"citations need a dict with {self.answer_key!r} and {self.sources_key!r}, got {type(given).__name__}: "
                f"end the chain with RunnablePassthrough.assign({self.answer_key}=...)"
            )
        if given.get(self.answer_key) is None:
            raise ValueError(
                f"the chain's output has no {self.answer_key!r}, only {sorted(given)}: name its key with answer_key"
            )
