"""Streams that carry citations once they have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from inspect import GEN_CREATED, getgeneratorstate
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse

# Takes the metadata, to write the citations into, and the text; gives the text as it is to be shown.
Finish = Callable[[dict[str, Any], str], str]


@dataclass
class CitedStream(StreamingResponse):
    """A `StreamingResponse` that has citations, and the text with their marks, once its tokens have been read.

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


def cite_stream(response: StreamingResponse, finish: Finish) -> CitedStream:
    """The stream, with citations at its end."""
    _check_unread(response)
    nodes, metadata = list(response.source_nodes), dict(response.metadata or {})
    cited = CitedStream(_no_tokens(), source_nodes=nodes, metadata=metadata)
    cited.response_gen = _tokens(response, cited, metadata, finish)
    return cited


def cite_async_stream(response: AsyncStreamingResponse, finish: Finish) -> AsyncStreamingResponse:
    """The stream, with citations at its end, which are found in a thread."""
    _check_unread(response)
    nodes, metadata = list(response.source_nodes), dict(response.metadata or {})
    cited = AsyncStreamingResponse(_no_async_tokens(), source_nodes=nodes, metadata=metadata)
    cited.response_gen = _async_tokens(response, cited, metadata, finish)
    return cited


def _check_unread(response: StreamingResponse | AsyncStreamingResponse) -> None:
    """Refuse a stream whose tokens someone has read one by one: the framework keeps none of them."""
    tokens = response.response_gen
    begun = isinstance(tokens, GeneratorType) and getgeneratorstate(tokens) != GEN_CREATED
    # Python 3.11 does not tell whether an asynchronous one has begun, only whether it has ended.
    ended = isinstance(tokens, AsyncGeneratorType) and tokens.ag_frame is None
    if (begun or ended or getattr(tokens, "ag_suspended", False)) and response.response_txt is None:
        raise ValueError(
            "tokens of this stream have been read already, and its text is not kept: attach citations before reading it"
        )


def _tokens(
    response: StreamingResponse, cited: CitedStream, metadata: dict[str, Any], finish: Finish
) -> Generator[str, None, None]:
    text = ""
    for token in [response.response_txt] if response.response_txt is not None else response.response_gen:
        text += token
        yield token
    cited._ended = cited.response_txt = finish(metadata, text)


async def _async_tokens(
    response: AsyncStreamingResponse, cited: AsyncStreamingResponse, metadata: dict[str, Any], finish: Finish
) -> AsyncGenerator[str, None]:
    text = ""
    async for token in response.async_response_gen():
        text += token
        yield token
    cited.response_txt = await asyncio.to_thread(finish, metadata, text)


def _no_tokens() -> Generator[str, None, None]:
    yield from ()


async def _no_async_tokens() -> AsyncGenerator[str, None]:
    nothing: tuple[str, ...] = ()
    for token in nothing:
        yield token
