"""A text without what two programs extract differently: spaces, hyphens, ligatures, accents, case, punctuation."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Letters, digits, and signs that carry meaning; "|" and "~" are how Markdown draws.
_KEPT = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Nl", "No", "Sc", "Sm"})
_DROPPED = frozenset("|~^`")


class Skeleton(NamedTuple):
    """The letters and digits of a text, and which of its characters each comes from.

    `origins` is (len(text),) int32, never falling.
    """

    text: str
    origins: NDArray[np.int32]


class _Forms(dict[str, str]):
    """What is left of a character; computed once."""

    def __missing__(self, character: str) -> str:
        parts = unicodedata.normalize("NFKD", character.casefold())
        form = "".join(p for p in parts if (unicodedata.category(p) in _KEPT or p == "%") and p not in _DROPPED)
        if len(self) < 50_000:
            self[character] = form
        return form


_FORMS = _Forms()


def skeleton(text: str) -> Skeleton:
    r"""What is left of a text for comparison.

    >>> skeleton("The ﬁrst co-\noperation").text
    'thefirstcooperation'
    """
    forms = [_FORMS[character] for character in text]
    counts = np.fromiter(map(len, forms), dtype=np.int64, count=len(forms))
    return Skeleton("".join(forms), np.repeat(np.arange(len(text), dtype=np.int32), counts))
