"""An answer attributed while it is written: a claim as soon as its sentence has ended."""

from __future__ import annotations

from collections.abc import Sequence

import regex

from latelens.attribution.answer import attribute, checked, judge, not_checkable, verified
from latelens.attribution.citations import Attribution, Claim, Source
from latelens.attribution.claims import ClaimSpan, fence_after, split_claims
from latelens.attribution.verify.verdict import Judge, Verdict, Verifier, as_verifier
from latelens.encoders import Encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.refusals import described

# What may end a sentence; to split for every token would take time that grows with the square of the answer.
_ENDS = regex.compile(r"[\n.!?…。！？।؟]")
_STOPS = regex.compile(r"[.!?…。！？।؟][\"'”’»)\]*_]*$")
# What may follow a sentence without ending its line's fate: a rule makes a heading of it, a bar a table.
_OPEN = regex.compile(r"[\s=|:*_+-]*$")
# A long paragraph is split again when it has grown by this share.
_GROWN = 0.05


class AnswerStream:
    """Attributes an answer piece by piece; `finish` gives what `attribute` gives for the whole.

    >>> from latelens import load_encoder
    >>> stream = AnswerStream(["Elephants eat grass. They swim."], load_encoder("offline/all-MiniLM-L6-v2"))
    >>> for piece in ("Elephants eat", " grass. They", " swim."):
    ...     print([claim.text for claim in stream.feed(piece)])
    []
    ['Elephants eat grass.']
    []
    >>> [claim.label for claim in stream.finish().claims]
    ['corroborated', 'corroborated']

    A claim is given once, when text after its sentence has come, and stays as it is but for one case: a line that
    later text makes a heading or a row of a table. Sources are encoded once, and a verifier is asked once about each
    claim. Claims are encoded when they end and again at the end, all together: only so do their scores agree with
    those of `attribute` to the last digit. The arguments are those of `attribute`. Not safe to share between threads.
    """

    def __init__(
        self,
        sources: Sequence[Source | str],
        encoder: Encoder,
        *,
        question: str | None = None,
        cache: EmbeddingCache | None = None,
        max_citations: int = 3,
        verifier: Verifier | Judge | None = None,
    ) -> None:
        self._sources = checked("", sources, encoder, max_citations, question, cache)
        self._encoder, self._cache = encoder, EmbeddingCache() if cache is None else cache
        self._question, self._most = question, max_citations
        self._verifier = None if verifier is None else _Remembering(as_verifier(verifier))
        self._pieces: list[str] = []  # of the settled part
        self._settled = 0  # characters before the open paragraph
        self._open = ""
        self._found: list[Claim] = []
        self._given = 0  # claims of the open paragraph that were given
        self._split_at = 0  # characters of it when it was last split
        self._waiting = False

    def feed(self, piece: str) -> tuple[Claim, ...]:
        """Take the next piece of the answer; the claims whose sentences have ended, in order."""
        if not isinstance(piece, str):
            raise TypeError(f"piece must be a str, got {described(piece)}")
        self._open += piece
        self._waiting |= _ENDS.search(piece) is not None
        if not self._waiting or len(self._open) - self._split_at < _GROWN * self._split_at:
            return ()
        self._split_at = len(self._open)
        claims = self._judged(self._ended())
        self._found += claims
        return claims

    @property
    def so_far(self) -> Attribution:
        """What has been written, with the claims that were given."""
        verifier = None if self._verifier is None else self._verifier.name
        answer = "".join([*self._pieces, self._open])
        return Attribution(answer, self._sources, tuple(self._found), self._encoder.name, verifier)

    def finish(self) -> Attribution:
        """The attribution of the whole answer."""
        return attribute(
            "".join([*self._pieces, self._open]),
            self._sources,
            self._encoder,
            question=self._question,
            cache=self._cache,
            max_citations=self._most,
            verifier=self._verifier,
        )

    def _ended(self) -> list[ClaimSpan]:
        """The claims that have ended since, in characters of the whole answer."""
        text, offset = self._open, self._settled
        spans = split_claims(text)
        cut = _last_paragraph(text)
        closed = [span for span in spans if span.end <= cut or _is_over(span, spans, text)]
        count = next((i for i, span in enumerate(spans) if i >= len(closed) or span is not closed[i]), len(spans))
        new = spans[self._given : count]
        self._given, self._waiting = max(count, self._given), count < len(spans)
        if cut:
            self._pieces.append(text[:cut])
            self._open, self._settled, self._split_at = text[cut:], offset + cut, 0
            self._given -= sum(span.end <= cut for span in spans)
        return [span.moved(offset) for span in new]

    def _judged(self, spans: Sequence[ClaimSpan]) -> tuple[Claim, ...]:
        judged = [span for span in spans if span.checkable]
        found = judge(judged, self._sources, self._encoder, self._cache, most=self._most, said=self._question or "")
        claims = iter(found if self._verifier is None else verified(judged, list(found), self._verifier))
        return tuple(next(claims) if span.checkable else not_checkable(span) for span in spans)


def _last_paragraph(text: str) -> int:
    """Where the last paragraph begins, after an empty line outside of code; 0 where there is one paragraph."""
    position = cut = 0
    fence, previous = "", ""
    for line in text.splitlines(keepends=True):
        if not previous.strip() and previous.endswith("\n") and line.strip() and not fence:
            cut = position
        fence, previous = fence_after(fence, line), line
        position += len(line)
    return cut


def _is_over(span: ClaimSpan, spans: Sequence[ClaimSpan], text: str) -> bool:
    """Whether no text can change a claim any more: its sentence has ended, and other words have followed."""
    return span is not spans[-1] and _STOPS.search(span.text) is not None and _OPEN.match(text, span.end) is None


class _Remembering:
    """A verifier that is asked once about the same claim and texts."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._known: dict[tuple[str, tuple[str, ...]], Verdict] = {}

    @property
    def name(self) -> str:
        return self._verifier.name

    def verify(self, claims: Sequence[str], evidence: Sequence[Sequence[str]]) -> list[Verdict]:
        asked = [(claim, tuple(texts)) for claim, texts in zip(claims, evidence, strict=True)]
        new = [pair for pair in dict.fromkeys(asked) if pair not in self._known]
        if new:
            found = self._verifier.verify([claim for claim, _ in new], [texts for _, texts in new])
            self._known.update(zip(new, found, strict=False))
        return [self._known[pair] for pair in asked if pair in self._known]
