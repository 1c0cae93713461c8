"""`rerank`: the one call that both frameworks' rerankers make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from latelens.encoders import Encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.encoders.cached import cached
from latelens.encoders.calibration import Calibration
from latelens.encoders.protocol import page_encoder
from latelens.explanation.evidence import find_all_evidence
from latelens.explanation.matches import Explanation
from latelens.explanation.matches import explain as explain_score
from latelens.explanation.regions import Region, find_regions
from latelens.explanation.relevance import relevance as relevance_of
from latelens.explanation.results import ExplainMode, Ranked, Ranking
from latelens.pages.images import as_page, check_pages
from latelens.pages.page import Page
from latelens.refusals import check_count, check_is, check_number, check_texts, described, shown, warn_caller
from latelens.shortlist import shortlist
from latelens.text.characters import is_visible

if TYPE_CHECKING:
    from latelens.pages.images import PageImage


def rerank(
    query: str,
    documents: Sequence[str],
    encoder: Encoder,
    *,
    top_n: int | None = None,
    explain: ExplainMode = "evidence",
    min_score: float | None = None,
    min_relevance: float | None = None,
    max_spans: int = 3,
    cache: EmbeddingCache | None = None,
    show_progress: bool = False,
) -> Ranking:
    """Order documents by MaxSim with a query, best first; equal scores keep the input order.

    Parameters
    ----------
    query, documents
        Texts; nothing is stripped, so that every position means the caller's characters.
    encoder
        From `load_encoder`.
    top_n
        How many to return at most; None returns all.
    explain
        ``"off"`` skips the evidence; ``"evidence"`` and ``"tokens"`` find it.
    min_score
        Leave out documents with a lower score. The raw score grows with the query's length.
    min_relevance
        Leave out documents that answer the query with a lower probability, 0..1: one threshold for short and long
        queries. The encoder needs a calibration, see `latelens.evaluation.calibrate`. Page images, whose relevance is
        not known, stay.
    max_spans
        Evidence sentences for each document at most.
    cache
        Where encoded texts are kept; None encodes anew.
    show_progress
        Show a progress bar while documents are encoded.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.
    """
    check_options(top_n=top_n, explain=explain, min_score=min_score, min_relevance=min_relevance)
    if not isinstance(query, str):
        raise TypeError(f"query must be a str, got {described(query)}")
    check_texts("documents", documents)
    check_is("encoder", encoder, Encoder, "an encoder from load_encoder")
    check_is("cache", cache, (EmbeddingCache, type(None)), "an EmbeddingCache or None")
    check_count("max_spans", max_spans)
    if not len(documents):
        return Ranking()
    _warn_of_blank(query)
    # Of texts in a cache that are met often, the best may be known before all are scored; any may be relevant enough.
    wanted = top_n if cache is not None and min_relevance is None else None
    explanations = _explanations(query, documents, cached(encoder, cache), wanted, show_progress=show_progress)
    return rank_explained(
        explanations,
        sorted(explanations, key=lambda i: -explanations[i].score),
        encoder,
        top_n=top_n,
        explain=explain,
        min_score=min_score,
        min_relevance=min_relevance,
        max_spans=max_spans,
    )


def rerank_pages(
    query: str,
    pages: Sequence[PageImage],
    encoder: Encoder,
    *,
    top_n: int | None = None,
    explain: ExplainMode = "evidence",
    min_score: float | None = None,
    min_relevance: float | None = None,
    max_regions: int = 3,
    cache: EmbeddingCache | None = None,
    show_progress: bool = False,
) -> Ranking:
    """Order images of pages by MaxSim with a query, best first; equal scores keep the input order.

    ``ranked.regions`` say where on each page the query is answered, and of a page with a text layer which words stand
    there; ``ranked.page`` is the page.

    Parameters
    ----------
    query
        A text; nothing is stripped.
    pages
        What `open_pages` gives, pictures of Pillow's, or paths or bytes of files with one page.
    encoder
        From `load_encoder`, of ColPali's family.
    top_n, explain, min_score, min_relevance, cache, show_progress
        As in `rerank`; ``explain="off"`` skips the regions, and a relevance needs a calibration for pages.
    max_regions
        Regions for each page at most.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type, or the encoder reads text alone.
    """
    check_options(top_n=top_n, explain=explain, min_score=min_score, min_relevance=min_relevance)
    if not isinstance(query, str):
        raise TypeError(f"query must be a str, got {described(query)}")
    check_pages(pages)
    check_is("encoder", encoder, Encoder, "an encoder from load_encoder")
    check_is("cache", cache, (EmbeddingCache, type(None)), "an EmbeddingCache or None")
    check_count("max_regions", max_regions)
    if not len(pages):
        return Ranking()
    _warn_of_blank(query)
    reader = page_encoder(cached(encoder, cache))
    rows = reader.encode_queries([query])[0]
    explanations = [explain_score(rows, page) for page in reader.encode_pages(pages, show_progress=show_progress)]
    return rank_explained(
        explanations,
        sorted(range(len(pages)), key=lambda i: -explanations[i].score),
        encoder,
        top_n=top_n,
        explain=explain,
        min_score=min_score,
        min_relevance=min_relevance,
        max_spans=max_regions,
        pages=[as_page(page) for page in pages],
    )


def rank_explained(
    explanations: Sequence[Explanation] | Mapping[int, Explanation],
    order: Sequence[int],
    encoder: Encoder,
    *,
    top_n: int | None = None,
    explain: ExplainMode = "evidence",
    min_score: float | None = None,
    min_relevance: float | None = None,
    max_spans: int = 3,
    pages: Sequence[Page | None] | None = None,
) -> Ranking:
    """What `rerank` returns, from documents that are explained already, in the order given.

    `order` lists positions in `explanations`, best first; `pages` are those of page images, where they are known. The
    other arguments are `rerank`'s.
    """
    calibration = calibration_of(encoder, needed=min_relevance is not None)
    kept: list[tuple[int, float | None]] = []
    for i in order:
        if len(kept) == top_n:
            break
        if min_score is not None and explanations[i].score < min_score:
            continue
        relevance = relevance_of(explanations[i], calibration)
        if min_relevance is None or relevance is None or relevance >= min_relevance:
            kept.append((i, relevance))
    some = [explanations[i] for i, _ in kept]
    evidence = [()] * len(kept) if explain == "off" else find_all_evidence(some, max_spans=max_spans)
    found = Ranking()
    for (i, relevance), explanation, spans in zip(kept, some, evidence, strict=True):
        page = pages[i] if pages and explanation.document.page is not None else None
        regions: tuple[Region, ...] = ()
        if explain != "off" and explanation.document.page is not None:
            regions = find_regions(explanation, page=page, max_regions=max_spans)
        found.append(Ranked(i, explanation.score, explanation, spans, relevance, regions, page))
    return found


def _warn_of_blank(query: str) -> None:
    if not is_visible(query):
        warn_caller(
            f"the query {query!r:.40} has no visible text, so scores rest on control tokens alone and there is no "
            "evidence; pass the user's question"
        )


def calibration_of(encoder: Encoder, *, needed: bool) -> Calibration | None:
    """The calibration that an encoder carries.

    Raises
    ------
    ValueError
        If it is needed and there is none.
    """
    calibration: Calibration | None = getattr(encoder, "calibration", None)
    if calibration is None and needed:
        raise ValueError(
            f"{encoder.name!r} has no calibration, so min_relevance means nothing: make one with `python -m "
            "latelens.evaluation.calibrate` and give it to load_encoder(..., calibration=FILE), or use min_score"
        )
    return calibration


def check_options(
    *, top_n: int | None, explain: str, min_score: float | None, min_relevance: float | None = None
) -> None:
    """Refuse options that are out of range; adapters call it when they are made."""
    if top_n is not None and (isinstance(top_n, bool) or not isinstance(top_n, int)):
        raise TypeError(f"top_n must be an int or None, got {described(top_n)}")
    if top_n is not None and top_n < 1:
        raise ValueError(f"top_n must be at least 1, got {top_n}; None returns every document")
    if not isinstance(explain, str) or explain not in ("off", "evidence", "tokens"):
        raise ValueError(f"explain must be 'off', 'evidence' or 'tokens', got {shown(explain)}")
    if min_score is not None:
        check_number("min_score", min_score)
    if min_relevance is not None:
        check_number("min_relevance", min_relevance, 0, 1)


def _explanations(
    query: str, documents: Sequence[str], encoder: Encoder, wanted: int | None, *, show_progress: bool
) -> dict[int, Explanation]:
    """Documents by position, explained: all of them, or all that may be among the best so many."""
    # One product a document, not one over all packed: copying rows into a pack costs more than it saves
    # (1.5x of the bare product against 1.3x), and a document's score never depends on its neighbours.
    rows = encoder.encode_queries([query])[0]
    encoded = encoder.encode_documents(documents, show_progress=show_progress)
    chosen = range(len(encoded)) if wanted is None else shortlist(rows, encoded, wanted)
    return {i: explain_score(rows, encoded[i]) for i in chosen}
