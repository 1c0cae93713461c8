"""What a verifier is: it tells whether the evidence supports a claim, which matching words cannot."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from latelens.refusals import described


@dataclass(frozen=True)
class Verdict:
    """What a verifier says of a claim and its evidence.

    Attributes
    ----------
    support
        Probability, 0..1, that the evidence supports the claim.
    contradiction
        Probability, 0..1, that it contradicts the claim; None where the verifier does not tell that apart from
        evidence that says nothing.
    """

    support: float
    contradiction: float | None = None

    def __post_init__(self) -> None:
        _check_probability("support", self.support)
        if self.contradiction is not None:
            _check_probability("contradiction", self.contradiction)

    @property
    def supports(self) -> bool:
        """Whether support is at least 1/2 and not less likely than contradiction."""
        return self.support >= 0.5 and self.support >= (self.contradiction or 0.0)

    @property
    def contradicts(self) -> bool:
        """Whether contradiction is at least 1/2 and likelier than support; never where the verifier cannot tell."""
        return self.contradiction is not None and self.contradiction >= 0.5 and self.contradiction > self.support


@runtime_checkable
class Verifier(Protocol):
    """Judges claims by their evidence, several at a time."""

    @property
    def name(self) -> str:
        """What judged, for the record."""

    def verify(self, claims: Sequence[str], evidence: Sequence[Sequence[str]]) -> list[Verdict]:
        """Judge each claim by its own texts, ``evidence[i]`` for ``claims[i]``; one verdict for each claim."""


Judge: TypeAlias = Callable[[str, Sequence[str]], "float | Verdict"]


def as_verifier(verifier: Verifier | Judge) -> Verifier:
    """Take a `Verifier`, or a function of a claim and its evidence texts.

    The function gives a probability of support, 0..1, or a `Verdict`; with a bare probability no claim is ever called
    contradicted.

    >>> as_verifier(lambda claim, evidence: 0.9).verify(["It is."], [["It is."]])
    [Verdict(support=0.9, contradiction=None)]
    """
    if isinstance(verifier, type):
        raise TypeError(f"verifier must be an object, got the class {verifier.__name__}: call it first")
    if isinstance(verifier, Verifier):
        return verifier
    if isinstance(verifier, str):
        raise TypeError(f"verifier must be an object, got a name: pass CrossEncoderVerifier({verifier!r})")
    if type(verifier).__name__ == "CrossEncoder":
        raise TypeError("verifier must judge claims, got a bare CrossEncoder: pass CrossEncoderVerifier(model)")
    if not callable(verifier):
        raise TypeError(
            "verifier must have `name` and `verify(claims, evidence)`, or be a function of a claim and its evidence "
            f"texts; got {described(verifier)}"
        )
    if inspect.iscoroutinefunction(verifier) or inspect.iscoroutinefunction(getattr(verifier, "__call__", None)):  # noqa: B004
        raise TypeError("verifier must not be async: wrap it in a function that waits for it")
    return _FunctionVerifier(verifier)


class _FunctionVerifier:
    """Calls a user's function once for each claim."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        named = getattr(judge, "name", None) or getattr(judge, "__name__", None)
        self.name = named if isinstance(named, str) else type(judge).__name__

    def verify(self, claims: Sequence[str], evidence: Sequence[Sequence[str]]) -> list[Verdict]:
        check_lengths(claims, evidence)
        return [self._ask(claim, tuple(texts)) for claim, texts in zip(claims, evidence, strict=True)]

    def _ask(self, claim: str, evidence: tuple[str, ...]) -> Verdict:
        given = self._judge(claim, evidence)
        if isinstance(given, Verdict):
            return given
        try:
            return Verdict(float(given))
        except TypeError as error:
            wanted = f"verifier {self.name!r} must give a probability or a Verdict"
            raise TypeError(f"{wanted}, got {described(given)}") from error
        except ValueError as error:
            raise ValueError(f"verifier {self.name!r}, asked about {claim!r}: {error}") from error


def check_lengths(claims: Sequence[str], evidence: Sequence[Sequence[str]]) -> None:
    """Refuse what is not one sequence of texts for each claim."""
    if isinstance(claims, str) or any(isinstance(texts, str) for texts in evidence):
        raise TypeError("claims must be a sequence of texts, and evidence one sequence of texts for each claim")
    if len(claims) != len(evidence):
        raise ValueError(
            f"evidence must have one sequence of texts for each claim, got {len(evidence)} for {len(claims)}"
        )


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:  # also NaN
        raise ValueError(f"{name} must be a probability, 0..1, got {value}; pass a logit through a sigmoid first")
