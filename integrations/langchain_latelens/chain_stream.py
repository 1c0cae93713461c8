"""An answer's stream on its way through `AttachCitations`: a sentence's citations come when it has ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import add_ai_message_chunks
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.runnables.utils import AddableDict

from langchain_latelens.annotations import (
    V1,
    Block,
    annotate,
    bare,
    describe,
    is_text,
    standard_blocks,
    text_runs,
)
from langchain_latelens.citations import Citing, find_citations
from langchain_latelens.stored_attribution import record, scores_of
from latelens.attribution.citations import Attribution, Claim, Source
from latelens.attribution.mark_checks import Handling
from latelens.bridge.metadata import KEY
from latelens.bridge.streams import AttributedRuns, Piece


class Attaching(Protocol):
    """What a stream needs of `AttachCitations`."""

    answer_key: str
    sources_key: str
    question_key: str | None
    attributor: Any
    metadata_keys: Sequence[str]
    marks: Handling | None

    def check(self, given: Any) -> None:
        """Refuse what holds no answer."""

    def cite(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What the citations change in a chain's output."""

    def citing(self, given: Mapping[str, Any], sources: Sequence[Source], question: str | None) -> Citing:
        """How an answer from these sources is cited."""

    def sources(self, given: Mapping[str, Any]) -> list[Source]:
        """What an answer rests on."""

    def question(self, given: Mapping[str, Any]) -> str | None:
        """What the user asked."""

    def question_keys(self) -> list[str]:
        """Where the question may be."""


class StreamedAnswer:
    """A stream on its way through `AttachCitations`."""

    def __init__(self, attach: Attaching) -> None:
        self._attach = attach
        self._given = AddableDict()  # the chain's output but for a streamed answer; of the rest, only the keys matter
        self._as_written: list[AIMessageChunk] = []
        self._passed: list[AIMessageChunk] = []
        self._numbers = _Numbers()
        self._text = _Text()
        self._runs: AttributedRuns | None = None
        self._sent: list[Claim] = []  # whose citations were passed on
        self._waits = False  # with further citations until the end

    def take(self, chunk: Any) -> dict[str, Any]:
        """What to pass on of a chunk at once."""
        if not isinstance(chunk, Mapping):
            self._attach.check(chunk)
        key = self._attach.answer_key
        passed = AddableDict({name: value for name, value in chunk.items() if name != key})
        self._remember(passed)
        answer = chunk.get(key)
        if isinstance(answer, str):
            answer = AIMessageChunk(content=answer)
        if isinstance(answer, AIMessageChunk):
            self._as_written.append(answer)
            if self._attach.marks in (None, "keep"):  # what may be rewritten is not passed on
                self._passed.append(self._numbers.in_blocks(answer))
                self._text.add(self._passed[-1])
                passed[key] = self._passed[-1]
        elif answer is not None:
            self._given += AddableDict({key: answer})
        return passed

    def cite(self) -> dict[str, Any] | None:
        """The citations of the sentences that have ended since."""
        attach = self._attach
        needed = [attach.sources_key, *([attach.question_key] if attach.question_key else [])]
        if self._waits or not self._text.new or any(self._given.get(name) is None for name in needed):
            return None
        if self._runs is None:
            self._runs = self._new_runs()
        claims = self._runs.read(self._text.taken())
        if not claims:
            return None
        first, self._sent = len(self._sent), [*self._sent, *claims]
        added = self._added(self._text.blocks, self._runs.with_claims(self._sent), first)
        return AddableDict({attach.answer_key: added}) if added.content else None

    def end(self) -> dict[str, Any]:
        """What the last citations add; the heavy part."""
        attach, key = self._attach, self._attach.answer_key
        if not self._as_written:
            attach.check(self._given)
            return AddableDict(attach.cite(self._given))
        whole = _sum(self._as_written)
        if not self._passed:
            return AddableDict(attach.cite({**self._given, key: message_chunk_to_message(whole)}))
        given = {**self._given, key: ""}
        sources, question = attach.sources(given), attach.question(given)
        passed: Any = _sum(self._passed)
        finding = find_citations(self._parts(text_runs(passed.content)), attach.citing(given, sources, question))
        # A later line may have made a heading of a sentence, or sources have come late: then all are given anew.
        stays = [*map(_place, finding.attribution.claims[: len(self._sent)])] == [*map(_place, self._sent)]
        first, withdrawn = (len(self._sent), 0) if stays else (0, len(self._sent))
        last = self._added(passed.content, finding.attribution, first, withdrawn)
        before = describe(bare(whole))
        written = record(finding.attribution, before, attach.metadata_keys, finding.marks, withdrawn)
        if stays and (scores := scores_of(finding.attribution.claims[:first])) != scores_of(self._sent):
            written["scores"] = scores  # of texts encoded alone the seventh digit differs
        metadata = {**last.response_metadata, KEY: written}
        return AddableDict({key: last.model_copy(update={"response_metadata": metadata, "chunk_position": "last"})})

    def _remember(self, chunk: Mapping[str, Any]) -> None:
        questions = self._attach.question_keys()  # a model may write the question anew, token by token
        for name, value in chunk.items():
            counts = name == self._attach.sources_key or (name in questions and isinstance(value, str))
            self._waits |= counts and self._runs is not None
            if counts:
                self._given += AddableDict({name: value})
            else:
                self._given[name] = value

    def _new_runs(self) -> AttributedRuns:
        given = {**self._given, self._attach.answer_key: ""}
        return AttributedRuns(self._attach.attributor, self._attach.sources(given), self._attach.question(given))

    def _parts(self, texts: Sequence[str]) -> list[Attribution]:
        """The attribution of each text of the answer."""
        if self._runs is None or self._waits:
            self._runs = self._new_runs()
        else:
            self._runs.read(self._text.taken())
        return self._runs.finish(texts)

    def _added(
        self, blocks: Sequence[Block], attribution: Attribution, first: int, withdrawn: int = 0
    ) -> AIMessageChunk:
        found = annotate(blocks, attribution, first=first, withdrawn=withdrawn)
        added: list[Any] = [
            {"type": "text", "text": "", "index": block["index"], "annotations": ours}
            for block, ours in zip(blocks, found, strict=True)
            if ours
        ]
        return AIMessageChunk(content=added, id=self._passed[-1].id, response_metadata={"output_version": V1})


def _place(claim: Claim) -> tuple[Any, ...]:
    """What of a claim says where its citations stand."""
    cited = [(each.source_index, each.key, each.source_start, each.source_end) for each in claim.citations]
    return claim.start, claim.end, claim.label, cited


class _Text:
    """The text blocks of a stream so far, and what of them has not been read."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.new: list[Piece] = []
        self._begins = True

    def add(self, chunk: AIMessageChunk) -> None:
        """Take a chunk in blocks."""
        content: Iterable[Any] = chunk.content
        for block in content:
            if not is_text(block):
                self._begins = True
                continue
            if not self.blocks or self.blocks[-1]["index"] != block["index"]:
                self.blocks.append({**block, "text": ""})
            self.blocks[-1]["text"] += block["text"]
            self.new.append(Piece(block["text"], self._begins))
            self._begins = False

    def taken(self) -> list[Piece]:
        """What is new, once."""
        new, self.new = self.new, []
        return new


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
