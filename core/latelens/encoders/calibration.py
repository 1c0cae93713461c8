"""A score that a person can read: how likely it is, in 0..1, that a chunk answers the query."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from latelens.refusals import shown

Number = TypeVar("Number", float, NDArray[np.float64])


@dataclass(frozen=True)
class Calibration:
    """What turns scores of one model into probabilities; made by ``python -m latelens.evaluation.calibrate``.

    Attributes
    ----------
    model
        The model that it was fitted for: vectors of another one mean something else.
    strength, length, passages, intercept
        Of a logistic regression on the strength of the document's best passage, on the logarithm of the passage's rows,
        since a long passage finds something for every word, and on that of the number of passages.
    fitted_on
        Data and number of queries, for those who ask what a number rests on.
    pages
        Whether it was fitted on page images: it then says nothing of texts, and one of texts nothing of page images.
    """

    model: str
    strength: float
    length: float
    intercept: float
    fitted_on: str
    passages: float = 0.0
    pages: bool = False

    def probability(self, strength: Number, length: Number, passages: Number | float = 0.0) -> Number:
        """Probability of an answer, 0..1, where a right document and its best rival are as likely.

        `strength` is that of the best passage, `length` the logarithm of its rows, `passages` that of how many passages
        the document has; numbers or arrays.

        >>> Calibration("m", strength=10.0, length=-1.0, intercept=0.0, fitted_on="").probability(0.4, 4.0)
        0.5
        """
        logit = self.strength * strength + self.length * length + self.passages * passages + self.intercept
        if isinstance(logit, float):  # numpy takes ten times as long for one number, and each chunk of a rerank has one
            return 1 / (1 + math.exp(-min(max(logit, -500.0), 500.0)))
        return 1 / (1 + np.exp(-np.clip(logit, -500, 500)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON, as `load` reads it."""
        Path(path).write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is no calibration.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:  # not there, no UTF-8, or a name that no file has
            raise ValueError(
                f"calibration must be a file that can be read, got {shown(path)} ({error}); make one with `python -m "
                "latelens.evaluation.calibrate`"
            ) from error
        return _parse(text, os.fspath(path))


@cache
def packaged_calibration(model: str) -> Calibration | None:
    """The calibration that comes with latelens for a model's name; None for all others, never a guess."""
    file = resources.files("latelens.encoders") / "calibrations" / f"{model.replace('/', '--')}.json"
    if any(sign in model for sign in "\\:") or not file.is_file():
        return None
    return _parse(file.read_text(encoding="utf-8"), str(file))


def _parse(text: str, where: str) -> Calibration:
    try:
        saved = json.loads(text)
        strength, length, intercept = (float(saved[name]) for name in ("strength", "length", "intercept"))
        passages = float(saved.get("passages", 0))  # files of before are of short texts
        if not all(map(math.isfinite, (strength, length, intercept, passages))):
            raise ValueError("a number is not finite")
        of_pages = saved.get("pages", False) is True
        return Calibration(
            str(saved["model"]), strength, length, intercept, str(saved["fitted_on"]), passages, of_pages
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where} is no calibration ({error!r}); make one with `python -m latelens.evaluation.calibrate`"
        ) from error
