"""Citations among the messages that a graph streams: a chunk with them follows on each sentence that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler, BaseCallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langgraph.graph.message import push_message

from langchain_latelens.annotations import V1, annotate, is_text, standard_blocks
from latelens.attribution.citations import Source
from latelens.bridge.attributor import Attributor
from latelens.bridge.streams import AttributedRuns, Piece


def cite_while_streaming(model: Any, attributor: Attributor, sources: Sequence[Source], question: str | None) -> Any:
    """A copy of a chat model that, inside a graph, sends the citations of its sentences after its tokens."""
    if not isinstance(model, BaseChatModel):
        return model
    handler = _Sender(attributor, sources, question)
    before: Any = model.callbacks
    if isinstance(before, BaseCallbackManager):
        own: Any = before.copy()
        own.add_handler(handler)
    else:
        own = [*(before or ()), handler]
    return model.model_copy(update={"callbacks": own})


class _Sender(BaseCallbackHandler):
    """Reads a model's tokens, and sends the citations of what has ended as messages of the graph."""

    # What fails here must not go unseen, as errors of callbacks do by default.
    raise_error = True

    def __init__(self, attributor: Attributor, sources: Sequence[Source], question: str | None) -> None:
        self._arguments = attributor, sources, question
        self._written: dict[UUID, _Written] = {}

    def on_llm_new_token(
        self,
        token: Any,  # noqa: ARG002  # the hooks' signatures
        *,
        chunk: Any = None,
        run_id: UUID,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Take a token."""
        if isinstance(chunk, ChatGenerationChunk) and isinstance(chunk.message, AIMessageChunk):
            written = self._written.setdefault(run_id, _Written(AttributedRuns(*self._arguments)))
            written.take(chunk.message)

    def on_llm_end(self, response: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Forget a run: the last sentence's citations come with the final message."""
        self._written.pop(run_id, None)

    def on_llm_error(self, error: Any, *, run_id: UUID, **kwargs: Any) -> None:  # noqa: ARG002
        """Forget a run."""
        self._written.pop(run_id, None)


class _Written:
    """What a model has written in one run."""

    def __init__(self, runs: AttributedRuns) -> None:
        self._runs = runs
        self._text, self._begins, self._claims = "", True, 0

    def take(self, message: AIMessageChunk) -> None:
        """Read a chunk, and send what it ends."""
        pieces = []
        for block in standard_blocks(message):
            if is_text(block):
                pieces.append(Piece(block["text"], self._begins))
                self._text += block["text"]
            self._begins = not is_text(block)
        claims = self._runs.read(pieces)
        if not claims:
            return
        whole = [{"type": "text", "text": self._text}]
        # Numbered on from the claims that were sent.
        (found,) = annotate(whole, self._runs.with_claims(claims), withdrawn=self._claims)
        self._claims += len(claims)
        if found:
            block = {"type": "text", "text": "", "annotations": found}
            metadata = {"output_version": V1}
            push_message(AIMessageChunk(content=[block], id=message.id, response_metadata=metadata), state_key=None)
