"""An answer in texts that are attributed apart, while they are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from latelens.attribution.citations import Attribution, Claim, Source
from latelens.attribution.relocated import placed_at
from latelens.attribution.stream import AnswerStream
from latelens.bridge.attributor import Attributor


class Piece(NamedTuple):
    """A piece of an answer; one that `begins` a text ends the text, and the sentence, before it."""

    text: str
    begins: bool


class AttributedRuns:
    """Attributes the texts of an answer while they are written, such as those before and behind a call of a tool.

    Claims are placed in the texts put together.
    """

    def __init__(self, attributor: Attributor, sources: Sequence[Source], question: str | None) -> None:
        self._attributor, self._sources, self._question = attributor, sources, question
        self._stream: AnswerStream | None = None
        self._parts: list[Attribution] = []
        self._start = 0  # of the open text
        self._given = 0  # claims of it

    def read(self, pieces: Iterable[Piece]) -> list[Claim]:
        """Take pieces; the claims whose sentences have ended, in order."""
        found: list[Claim] = []
        for piece in pieces:
            if piece.begins:
                found += self._close()
            if self._stream is None:
                self._stream = self._attributor.stream(self._sources, question=self._question)
            claims = self._stream.feed(piece.text)
            self._given += len(claims)
            found += self._placed(claims)
        return found

    def finish(self, texts: Sequence[str]) -> list[Attribution]:
        """The attribution of each text; those that were not read as they are now are attributed anew."""
        self._close()
        if texts and [part.answer for part in self._parts] == list(texts):
            return self._parts
        return [self._attributor(text, self._sources, question=self._question) for text in texts or [""]]

    def with_claims(self, claims: Sequence[Claim]) -> Attribution:
        """An attribution with these claims and no text."""
        return Attribution("", tuple(self._sources), tuple(claims), self._attributor.encoder.name)

    def _close(self) -> list[Claim]:
        """End the open text; the claims that were not given yet."""
        if self._stream is None:
            return []
        part = self._attributor.placed(self._stream.finish())
        rest = self._placed(part.claims[self._given :])
        self._parts.append(part)
        self._stream, self._start, self._given = None, self._start + len(part.answer), 0
        return rest

    def _placed(self, claims: Sequence[Claim]) -> list[Claim]:
        placed = self._attributor.placed(self.with_claims(claims)).claims
        return [placed_at(claim, claim.start + self._start, claim.end + self._start) for claim in placed]
