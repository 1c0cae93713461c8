"""Whether the sources that a model named in its marks back its claims."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, get_args

from latelens.attribution.answer import attribute, checked
from latelens.attribution.citations import Attribution, Claim, Source
from latelens.attribution.edits import Edit, edited
from latelens.attribution.marks import WrittenMark, footnote_edits, mark_edits, read_marks
from latelens.attribution.verify.verdict import Judge, Verifier
from latelens.encoders import Encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.encoders.cached import CachedEncoder
from latelens.refusals import check_one_of

Verdict = Literal["backed", "elsewhere", "unbacked", "unknown"]
Handling = Literal["keep", "move", "flag", "strip"]
HANDLINGS = get_args(Handling)
BORNE = frozenset(("corroborated", "supported"))


@dataclass(frozen=True)
class CheckedMark:
    """One number of a mark, and whether its source backs the claim before it.

    Attributes
    ----------
    claim
        Index of the claim in the attribution; None where no claim stands before the mark.
    verdict
        ``"backed"``: the source backs the claim, alone or with the other sources of its marks. ``"elsewhere"``: it does
        not, another one does. ``"unbacked"``: none does. ``"unknown"``: no source has the number, or the claim cannot
        be checked.
    better
        The number of the source that backs the claim best; None where none does.
    """

    mark: WrittenMark
    number: int
    claim: int | None
    verdict: Verdict
    better: int | None = None

    def moved(self, by: int, claims: int) -> CheckedMark:
        """The same in an answer with so many characters, and so many claims, before this one."""
        mark = replace(self.mark, start=self.mark.start + by, end=self.mark.end + by)
        return replace(self, mark=mark, claim=None if self.claim is None else self.claim + claims)


@dataclass(frozen=True)
class MarkedAnswer:
    """An answer with its marks as `handling` left them, what was found of each, and the answer's own attribution.

    `edits` lead from the answer, in which `marks` and `attribution` count their characters, to `text`.
    """

    text: str
    marks: tuple[CheckedMark, ...]
    attribution: Attribution
    edits: tuple[Edit, ...] = ()


def check_marks(
    answer: str,
    sources: Sequence[Source | str],
    encoder: Encoder,
    *,
    numbers: Sequence[int] | None = None,
    handling: Handling = "keep",
    question: str | None = None,
    cache: EmbeddingCache | None = None,
    verifier: Verifier | Judge | None = None,
) -> MarkedAnswer:
    """Read the marks that a model wrote against its numbered sources, and check that each source backs its claim.

    A claim is backed where `attribute` to that source alone calls it corroborated, or supported by the verifier.

    Parameters
    ----------
    sources
        What the model saw.
    numbers
        The number that the model saw at each source; None takes the order of the sources, the first is ``[1]``.
    handling
        ``"keep"`` leaves the marks as they are; ``"move"`` names the source that backs the claim instead, or none;
        ``"flag"`` writes ``[2?]`` for a number that does not back it; ``"strip"`` takes all marks away. Only the
        model's own numbering is ever written.

    Raises
    ------
    TypeError, ValueError
        As `attribute` does, for another handling, and for numbers that are not one for each source.
    """
    check_one_of("handling", handling, HANDLINGS)
    numbered = _numbered(checked(answer, sources, encoder, 1, question, cache), numbers)
    # Each claim is compared with several choices of sources, and encoded once.
    once = CachedEncoder(encoder, EmbeddingCache())
    asked = partial(attribute, encoder=once, question=question, cache=cache, verifier=verifier)
    found = asked(answer, sources)
    marks = read_marks(answer)
    owners = _owners(answer, marks, found.claims)
    read: list[CheckedMark] = []
    for i in dict.fromkeys(owners):
        own = [mark for mark, owner in zip(marks, owners, strict=True) if owner == i]
        read += _check(own, i, found, numbered, asked)
    read.sort(key=lambda each: each.mark.start)
    edits = _handled(answer, read, handling)
    return MarkedAnswer(edited(answer, edits), tuple(read), found, tuple(edits))


def _numbered(sources: Sequence[Source | str], numbers: Sequence[int] | None) -> list[int]:
    given = list(range(1, len(sources) + 1) if numbers is None else numbers)
    if len(set(given)) != len(given) or len(given) != len(sources):
        raise ValueError(f"numbers must be one for each of {len(sources)} sources, each another, got {given!r:.80}")
    return given


def _owners(answer: str, marks: Sequence[WrittenMark], claims: Sequence[Claim]) -> list[int | None]:
    """The claim that each mark stands in or behind; one that opens a line belongs to what follows there."""
    starts, ends = [claim.start for claim in claims], [claim.end for claim in claims]
    breaks = [-1, *(i for i, character in enumerate(answer) if character == "\n"), len(answer)]
    owners: list[int | None] = []
    for mark in marks:
        i = bisect_left(starts, mark.end) - 1  # the last claim that begins before the mark ends
        line = bisect_left(breaks, mark.start)  # the break that ends its line
        on_line = i >= 0 and ends[i] > breaks[line - 1]
        follows = i + 1 < len(claims) and starts[i + 1] < breaks[line]
        owners.append(i if on_line else i + 1 if follows else i if i >= 0 else None)
    return owners


def _check(
    marks: Sequence[WrittenMark],
    index: int | None,
    found: Attribution,
    numbered: Sequence[int],
    asked: Callable[..., Attribution],
) -> Iterator[CheckedMark]:
    """What each number of a claim's marks is worth."""
    claim = None if index is None else found.claims[index]
    named = list(dict.fromkeys(number for mark in marks for number in mark.numbers))
    known = [number for number in named if number in numbered]

    def backs(numbers: Sequence[int]) -> bool:
        own = [found.sources[numbered.index(number)] for number in numbers]
        text = "" if claim is None else claim.text
        alone = asked(text, own)
        return bool(alone.claims) and all(each.label in BORNE for each in alone.claims)

    checkable = claim is not None and claim.label != "not_checkable"
    backed = [number for number in known if checkable and backs([number])]
    if not backed and len(known) > 1 and checkable and backs(known):
        backed = known
    better = None
    if claim is not None and claim.label in BORNE:
        better = backed[0] if backed else numbered[claim.citations[0].source_index]
    for mark in marks:
        for number in mark.numbers:
            verdict: Verdict = "unbacked" if better is None else "elsewhere"
            if not checkable or number not in known:
                verdict = "unknown"
            elif number in backed:
                verdict = "backed"
            yield CheckedMark(mark, number, index, verdict, better)


def _handled(answer: str, checked: Sequence[CheckedMark], handling: Handling) -> list[Edit]:
    if handling == "keep":
        return []
    written: dict[WrittenMark, list[str]] = {each.mark: [] for each in checked}
    placed: set[tuple[int | None, int]] = set()
    for each in checked:
        good = each.verdict == "backed"
        if handling == "flag":
            written[each.mark].append(f"[{each.number}{'' if good else '?'}]")
        elif handling == "move":
            number = each.number if good else each.better
            if number is not None and (each.claim, number) not in placed:
                placed.add((each.claim, number))
                written[each.mark].append(f"[{number}]")
    edits = mark_edits(answer, {mark: "".join(pieces) for mark, pieces in written.items()})
    if handling == "strip":
        edits += footnote_edits(answer)
    return sorted(edits, key=lambda edit: edit.start)
