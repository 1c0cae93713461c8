"""`Attributor`: with what answers are attributed, settled once and given to whatever attaches citations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from latelens.attribution.answer import attribute, check_max_citations
from latelens.attribution.citations import Attribution, Source
from latelens.attribution.mark_checks import Handling, MarkedAnswer, check_marks
from latelens.attribution.stream import AnswerStream
from latelens.attribution.verify import as_verifier
from latelens.bridge.boxes import place_citations, place_in_regions
from latelens.bridge.calibrations import CalibrationSetting
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.cache import CacheSetting, describe_cache, open_cache
from latelens.encoders.lazy import LazyEncoder
from latelens.encoders.options import BackendName, Dtype, Engine, Speed
from latelens.pages.files import PageFiles
from latelens.refusals import described


class Attributor:
    """Finds the source spans that back the claims of answers: a model that loads at first use, a cache, a verifier.

    Make one and use it for every answer: ``attach_citations(answer, sources, attributor=attributor)`` in both
    frameworks, and whatever else attaches citations there. Called with an answer and sources, it is `attribute`.

    Parameters
    ----------
    model
        What `load_encoder` takes: a hub id, a folder, ``"offline/latelens-mini"``, or a loaded model.
    max_citations
        Citations for one claim at most.
    verifier
        Tells whether the cited text supports a claim: see `attribute`.
    cache
        True keeps the sources' embeddings in memory, False encodes anew, a path keeps them in a folder too.
    batch_size, device, backend, speed, engine, dtype, calibration
        As for `load_encoder`. Attributors, rerankers and retrievers with one model's name and the same of these share
        one encoder in a process.
    files
        Where the sources' PDFs and images lie: citations then say their page and boxes. None leaves them out, but for
        page images that carry regions: a citation of words that stand in one has its box.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Examples
    --------
    >>> attributor = Attributor("offline/latelens-mini", max_citations=1)
    >>> attributor("They eat bark.", ["Elephants eat bark."]).claims[0].label
    'corroborated'
    """

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        max_citations: int = 3,
        verifier: Any = None,
        cache: CacheSetting = True,
        batch_size: int | None = None,
        device: str | None = None,
        backend: BackendName = "auto",
        speed: Speed = "exact",
        engine: Engine = "auto",
        dtype: Dtype | None = None,
        calibration: CalibrationSetting = None,
        files: PageFiles | None = None,
    ) -> None:
        if files is not None and not isinstance(files, PageFiles):
            raise TypeError(f"files must be a PageFiles or None, got {described(files)}")
        check_max_citations(max_citations)
        self.encoder = LazyEncoder(
            model,
            batch_size=batch_size,
            device=device,
            backend=backend,
            speed=speed,
            engine=engine,
            dtype=dtype,
            calibration=calibration,
        )
        self.cache = open_cache(cache)
        self.max_citations = max_citations
        self.verifier = None if verifier is None else as_verifier(verifier)
        self.files = files

    def __call__(self, answer: str, sources: Sequence[Source | str], *, question: str | None = None) -> Attribution:
        """The answer's claims with their citations into the sources; `question` is what the user asked."""
        attribution = attribute(
            answer,
            sources,
            self.encoder,
            question=question,
            cache=self.cache,
            max_citations=self.max_citations,
            verifier=self.verifier,
        )
        return self.placed(attribution)

    def stream(self, sources: Sequence[Source | str], *, question: str | None = None) -> AnswerStream:
        """Attributes an answer while it is written; what it gives is to be `placed`."""
        return AnswerStream(
            sources,
            self.encoder,
            question=question,
            cache=self.cache,
            max_citations=self.max_citations,
            verifier=self.verifier,
        )

    def check_marks(
        self,
        answer: str,
        numbered: Mapping[int, Source],
        handling: Handling,
        *,
        question: str | None = None,
    ) -> MarkedAnswer:
        """What the marks in an answer are worth; `numbered` are the sources under the numbers that the model saw."""
        return check_marks(
            answer,
            list(numbered.values()),
            self.encoder,
            numbers=list(numbered),
            handling=handling,
            question=question,
            cache=self.cache,
            verifier=self.verifier,
        )

    def placed(self, attribution: Attribution) -> Attribution:
        """The attribution with the places of its citations on the pages of `files`, else in regions of page images."""
        return place_in_regions(attribution if self.files is None else place_citations(attribution, self.files))

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.describe().items() if name != "model")
        return f"Attributor({self.encoder.name!r}, {settings})"

    def describe(self) -> dict[str, Any]:
        """Its settings as JSON: what a framework shows of it."""
        return {
            "model": self.encoder.name,
            "max_citations": self.max_citations,
            "verifier": None if self.verifier is None else self.verifier.name,
            "cache": describe_cache(self.cache),
        }


def chosen(attributor: Attributor | None) -> Attributor:
    """The attributor that was given; for None the default model's, of which there is one a process.

    Raises
    ------
    TypeError
        If something else was given.
    """
    if attributor is None:
        return _default()
    if not isinstance(attributor, Attributor):
        raise TypeError(
            f"attributor must be an Attributor, got {described(attributor)}; write "
            "attributor=latelens.Attributor(model)"
        )
    return attributor


@lru_cache(maxsize=1)
def _default() -> Attributor:
    return Attributor()
