"""Streams that carry the citations of the sentences that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from inspect import GEN_CREATED, getgeneratorstate
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Protocol

from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.chat_engine.types import StreamingAgentChatResponse


class Following(Protocol):
    """Reads a stream beside the user, and writes citations into its metadata."""

    def read(self, metadata: dict[str, Any], token: str) -> None:
        """Take a token; the citations of a sentence that it ends are in the metadata then."""

    def finish(self, metadata: dict[str, Any]) -> str:
        """Write the citations of the whole; the text as it is to be shown."""


@dataclass
class CitedStream(StreamingResponse):
    """A `StreamingResponse` that has the citations of what has been read, and at the end the text with their marks.

    The framework's class forgets tokens that were read one by one, and takes those that it read itself for the text.
    """

    _ended: str | None = None

    def __str__(self) -> str:
        """Read what is left of the stream, and give the whole text."""
        return self._read() or "None"

    def get_response(self) -> Response:
        """Read what is left of the stream, and give the whole answer."""
        return Response(self._read(), self.source_nodes, self.metadata)

    def print_response_stream(self) -> None:
        """Print the tokens as they come."""
        super().print_response_stream()
        self._read()

    def _read(self) -> str | None:
        for _ in self.response_gen:
            pass
        self.response_txt = self._ended
        return self.response_txt


def cite_stream(response: StreamingResponse | StreamingAgentChatResponse, following: Following) -> CitedStream:
    """The stream, with the citations of each sentence when it has ended."""
    _check_unread(response)
    nodes, metadata = list(response.source_nodes), _metadata(response)
    cited = CitedStream(_no_tokens(), source_nodes=nodes, metadata=metadata)
    cited.response_gen = _tokens(response, cited, metadata, following)
    return cited


def cite_async_stream(
    response: AsyncStreamingResponse | StreamingAgentChatResponse, following: Following
) -> AsyncStreamingResponse:
    """The stream, with the citations of each sentence when it has ended, which are found in a thread."""
    _check_unread(response)
    nodes, metadata = list(response.source_nodes), _metadata(response)
    cited = AsyncStreamingResponse(_no_async_tokens(), source_nodes=nodes, metadata=metadata)
    cited.response_gen = _async_tokens(response, cited, metadata, following)
    return cited


def _metadata(response: Any) -> dict[str, Any]:
    return dict(getattr(response, "metadata", None) or {})


def _check_unread(response: StreamingResponse | AsyncStreamingResponse | StreamingAgentChatResponse) -> None:
    """Refuse a stream whose tokens someone has read one by one: the framework keeps none of them."""
    if isinstance(response, StreamingAgentChatResponse):
        if response.unformatted_response:
            raise ValueError(
                "tokens of the chat engine's stream have been read already: attach citations before reading it, or "
                "read it to its end first"
            )
        return
    tokens = response.response_gen
    begun = isinstance(tokens, GeneratorType) and getgeneratorstate(tokens) != GEN_CREATED
    # Python 3.11 does not tell whether an asynchronous one has begun, only whether it has ended.
    ended = isinstance(tokens, AsyncGeneratorType) and tokens.ag_frame is None
    if (begun or ended or getattr(tokens, "ag_suspended", False)) and response.response_txt is None:
        raise ValueError(
            "tokens of this stream have been read already, and its text is not kept: attach citations before reading it"
        )


def _tokens(
    response: StreamingResponse | StreamingAgentChatResponse,
    cited: CitedStream,
    metadata: dict[str, Any],
    following: Following,
) -> Generator[str, None, None]:
    text = getattr(response, "response_txt", None)
    for token in [text] if text is not None else response.response_gen:
        yield _checked(token)
        following.read(metadata, token)
    cited._ended = cited.response_txt = following.finish(metadata)


async def _async_tokens(
    response: AsyncStreamingResponse | StreamingAgentChatResponse,
    cited: AsyncStreamingResponse,
    metadata: dict[str, Any],
    following: Following,
) -> AsyncGenerator[str, None]:
    async for token in response.async_response_gen():
        yield _checked(token)
        await asyncio.to_thread(following.read, metadata, token)
    cited.response_txt = await asyncio.to_thread(following.finish, metadata)


def _checked(token: Any) -> str:
    if not isinstance(token, str):
        raise TypeError(
            f"a stream of texts can be cited, this one gives {type(token).__name__}: of an engine with output_cls, ask "
            "without streaming"
        )
    return token


def _no_tokens() -> Generator[str, None, None]:
    yield from ()


async def _no_async_tokens() -> AsyncGenerator[str, None]:
    nothing: tuple[str, ...] = ()
    for token in nothing:
        yield token
