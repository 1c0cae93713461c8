"""`Reranker`: what both frameworks' rerankers do, between unwrapping their chunks and wrapping the results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict

from latelens.bridge.arguments import check_names
from latelens.bridge.calibrations import CalibrationSetting
from latelens.bridge.headings import Headed, headed, in_bare_text, matches_in_metadata, without_words
from latelens.bridge.metadata import earlier_score, to_metadata
from latelens.bridge.page_pictures import page_of
from latelens.bridge.sources import start_of
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.cache import CacheSetting, EmbeddingCache, open_cache
from latelens.encoders.lazy import LazyEncoder
from latelens.encoders.options import BackendName, Dtype, EncoderOptions, Engine, Speed
from latelens.encoders.protocol import reads_pages
from latelens.explanation.evidence import find_all_evidence
from latelens.explanation.matches import Explanation
from latelens.explanation.results import ExplainMode, Ranked
from latelens.pages.files import FilePage, PageFiles
from latelens.pages.page import Page
from latelens.ranking import calibration_of, check_options, rerank, rerank_pages
from latelens.text.characters import is_visible


@dataclass(frozen=True)
class RerankOptions:
    """The arguments of both frameworks' rerankers, under the names of their fields; checked when it is made."""

    model: Any = DEFAULT_MODEL
    top_n: int | None = 5
    explain_mode: ExplainMode = "evidence"
    min_score: float | None = None
    min_relevance: float | None = None
    cache: CacheSetting = True
    batch_size: int | None = None
    device: str | None = None
    backend: BackendName = "auto"
    speed: Speed = "exact"
    engine: Engine = "auto"
    dtype: Dtype | None = None
    calibration: CalibrationSetting = None
    show_progress: bool = False
    folders: Sequence[str | os.PathLike[str]] = ()

    def __post_init__(self) -> None:
        check_options(
            top_n=self.top_n,
            explain=self.explain_mode,
            min_score=self.min_score,
            min_relevance=self.min_relevance,
        )

    @property
    def loading(self) -> EncoderOptions:
        """Those of `load_encoder`."""
        return EncoderOptions(
            batch_size=self.batch_size,
            device=self.device,
            backend=self.backend,
            speed=self.speed,
            engine=self.engine,
            dtype=self.dtype,
            calibration=self.calibration,
        )

    @classmethod
    def of(cls, adapter: object) -> RerankOptions:
        """The options that an adapter's fields hold."""
        return cls(**{field.name: getattr(adapter, field.name) for field in fields(cls)})


class RerankAsked(TypedDict, total=False):
    """What may be asked otherwise for one call; what is not given stays as it was set."""

    top_n: int | None
    explain: ExplainMode
    min_score: float | None
    min_relevance: float | None


@dataclass(frozen=True)
class Given:
    """A chunk as a framework holds it: its bare text, its metadata, the score that retrieval gave, and its start.

    `lines` of metadata, each with its key, are read before the text. `image` is the page that it stands for: where its
    metadata say, or the bytes of a picture.
    """

    text: str
    metadata: Mapping[str, Any]
    score: object = None
    start: object = None
    lines: Sequence[tuple[str, str]] = ()
    image: FilePage | bytes | None = None


@dataclass(frozen=True)
class Reranked:
    """Where a chunk was in the input, its score, and what stands under our key; None with ``explain="off"``."""

    index: int
    score: float
    metadata: dict[str, Any] | None


def renamed(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments under the names of fields: `explain` is a method's name too."""
    return {"explain_mode" if name == "explain" else name: value for name, value in asked.items()}


class Reranker:
    """Holds the options, a model that loads at first use, and a cache; the last two can be those of another."""

    def __init__(self, options: RerankOptions, *, like: Reranker | None = None) -> None:
        self.options = options
        self.encoder: LazyEncoder
        self.cache: EmbeddingCache | None
        if like is None:
            self.encoder = LazyEncoder(options.model, **options.loading)
            self.cache = open_cache(options.cache)
            self.files = PageFiles(options.folders)
        else:
            self.encoder, self.cache, self.files = like.encoder, like.cache, like.files

    def __reduce__(self) -> tuple[type[Reranker], tuple[RerankOptions]]:
        return Reranker, (self.options,)  # what is loaded is loaded again at first use

    def asked(self, asked: Mapping[str, Any]) -> Reranker:
        """The same model and cache with options for one call, under the names of `RerankAsked`."""
        check_names(asked, RerankAsked.__annotations__)
        if not asked:
            return self
        return Reranker(replace(self.options, **renamed(asked)), like=self)

    def rerank(self, query: str, chunks: Sequence[Given]) -> list[Reranked]:
        """The best chunks for a query, best first, each with what travels with it.

        A model of ColPali's family reads the pages that the chunks stand for, others their text.
        """
        options = self.options
        if chunks and reads_pages(self.encoder.loaded()):
            return self._rerank_pages(query, chunks)
        _refuse_images(self.encoder.name, chunks)
        texts = [headed(chunk.text, chunk.lines) for chunk in chunks]
        ranking = rerank(
            query,
            [text.text for text in texts],
            self.encoder,
            top_n=options.top_n,
            explain="off",
            min_score=options.min_score,
            min_relevance=options.min_relevance,
            cache=self.cache,
            show_progress=options.show_progress,
        )
        if options.explain_mode == "off":
            return [Reranked(ranked.index, ranked.score, None) for ranked in ranking]
        return self._described(query, chunks, texts, ranking)

    def _rerank_pages(self, query: str, chunks: Sequence[Given]) -> list[Reranked]:
        options = self.options
        calibration_of(self.encoder, needed=options.min_relevance is not None)
        pages = [self._page(i, chunk) for i, chunk in enumerate(chunks)]
        ranking = rerank_pages(
            query,
            pages,
            self.encoder,
            top_n=options.top_n,
            explain=options.explain_mode,
            min_score=options.min_score,
            cache=self.cache,
            show_progress=options.show_progress,
        )
        found = []
        for rank, ranked in enumerate(ranking, start=1):
            chunk, metadata = chunks[ranked.index], None
            if options.explain_mode != "off":
                metadata = to_metadata(
                    ranked,
                    query=query,
                    model=self.encoder.name,
                    rank=rank,
                    retrieval_score=earlier_score(chunk.metadata, chunk.score),
                    tokens=options.explain_mode == "tokens",
                    page=pages[ranked.index],
                )
            found.append(Reranked(ranked.index, ranked.score, metadata))
        return found

    def _page(self, index: int, chunk: Given) -> Page:
        """The page that a chunk stands for.

        Raises
        ------
        ValueError
            If it stands for none that may be opened.
        """
        page = page_of(self.files, chunk.image)
        if page is None:
            named = "names no page of a PDF and no image"
            if isinstance(chunk.image, FilePage):
                folders = list(map(str, self.options.folders))
                named = f"names {chunk.image.path!r:.120}, no page of a file in folders={folders}"
            raise ValueError(
                f"{self.encoder.name!r} reads images of pages, and chunk {index} ({chunk.text[:40]!r}) {named}: give "
                "folders=[...] where the files lie, or take a model for texts"
            )
        return page

    def explain(self, query: str, text: str, image: FilePage | bytes | None = None) -> Explanation:
        """Every match between a query and one text, or the page that a chunk stands for if the model reads pages."""
        if reads_pages(self.encoder.loaded()):
            page = self._page(0, Given(text, {}, image=image))
            return rerank_pages(query, [page], self.encoder, explain="off", cache=self.cache)[0].explanation
        return rerank(query, [text], self.encoder, explain="off", cache=self.cache)[0].explanation

    def _described(
        self, query: str, chunks: Sequence[Given], texts: Sequence[Headed], ranking: Sequence[Ranked]
    ) -> list[Reranked]:
        """What travels with each chunk; places and evidence are those of its bare text."""
        bare = [in_bare_text(ranked.explanation, texts[ranked.index]) for ranked in ranking]
        found = []
        for rank, (ranked, explanation, evidence) in enumerate(
            zip(ranking, bare, find_all_evidence(bare), strict=True), 1
        ):
            chunk, text = chunks[ranked.index], texts[ranked.index]
            in_metadata = matches_in_metadata(ranked.explanation, text) if text.keys else []
            metadata = to_metadata(
                replace(ranked, explanation=explanation, evidence=without_words(evidence, in_metadata)),
                query=query,
                model=self.encoder.name,
                rank=rank,
                retrieval_score=earlier_score(chunk.metadata, chunk.score),
                source_start=start_of(chunk.start),
                tokens=self.options.explain_mode == "tokens",
            )
            if text.keys:
                metadata["in_metadata"] = in_metadata
            found.append(Reranked(ranked.index, ranked.score, metadata))
        return found


def _refuse_images(model: str, chunks: Sequence[Given]) -> None:
    """Refuse what is an image alone."""
    for i, chunk in enumerate(chunks):
        if isinstance(chunk.image, bytes) and not is_visible(chunk.text):
            raise ValueError(
                f"chunk {i} is an image without text, and {model!r} reads texts: take a model of ColPali's family, or "
                "give the chunk a text"
            )
