"""Where each claim of an answer stands in its sources, or that it stands nowhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from latelens.attribution import guards
from latelens.attribution.background import background
from latelens.attribution.citations import Attribution, Citation, Claim, Label, Source
from latelens.attribution.claims import ClaimSpan, split_claims
from latelens.attribution.support import Support, find_support, pool_sentences
from latelens.attribution.verify.verdict import Judge, Verdict, Verifier, as_verifier
from latelens.encoders import Encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.encoders.cached import cached
from latelens.explanation.matches import explain
from latelens.explanation.relevance import relevance as relevance_of
from latelens.ranking import calibration_of
from latelens.refusals import check_is, described, shown

# Of the score, and of the share of the words that nothing backs; chosen on the same halves as the numbers of `backing`.
# Beside the exact checks, which flag 9 % of the attributable claims of generated search and 38 % of its others, these
# flag 7 and 27 % more. Without a bound on absent words, "Dogs must wait outside." corroborates "Dogs fly.".
# Below .3 stand 0, 0 and 5 % of the attributable claims of generated search, long-form answers and dialogue, and 97, 89
# and 96 % of the same claims beside another claim's sources (.2: as many, and 96, 52 and 75 %).
_CORROBORATED, _NO_EVIDENCE, _ABSENT = 0.42, 0.3, 0.38
_MISSING = "not in the evidence: "


def attribute(
    answer: str,
    sources: Sequence[Source | str],
    encoder: Encoder,
    *,
    question: str | None = None,
    cache: EmbeddingCache | None = None,
    max_citations: int = 3,
    verifier: Verifier | Judge | None = None,
) -> Attribution:
    """Find for each claim of an answer the sentences of the sources that back it, and say where there are none.

    All claims meet all sources, whatever the answer itself cites. A claim is encoded as a document is: it is often
    longer than what a model reads of a query (32 tokens with ColBERT), and a statement is compared with statements.
    Claims are not cached. Safe to call from several threads.

    Parameters
    ----------
    answer
        Plain text or Markdown; `split_claims` says what is a claim.
    sources
        Retrieved chunks; a `str` is a source of which nothing else is known. May be empty. Those that a model wrote
        (`Source.by_model`) are never cited.
    encoder
        From `load_encoder`.
    question
        What the user asked: names, dates and numbers that stand there need not stand in the sources as well.
    cache
        Where encoded sources are kept; None encodes them anew.
    max_citations
        Citations for each claim at most.
    verifier
        Tells whether the cited texts support or contradict a claim: a `Verifier`, or a function (claim, texts) ->
        probability. It is asked about claims that have a citation. Without one no label says more than that the
        words of a claim stand in the cited texts.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range.

    Examples
    --------
    >>> from latelens import load_encoder
    >>> encoder = load_encoder("offline/all-MiniLM-L6-v2")
    >>> found = attribute("They eat 150 kg a day.", ["Elephants eat up to 150 kg of plants a day."], encoder)
    >>> found.claims[0].label, found.citations[0].cited_text
    ('corroborated', 'Elephants eat up to 150 kg of plants a day.')
    """
    given = checked(answer, sources, encoder, max_citations, question, cache)
    verify = None if verifier is None else as_verifier(verifier)
    spans = split_claims(answer)
    judged = [span for span in spans if span.checkable]
    found = list(judge(judged, given, encoder, cache, most=max_citations, said=question or ""))
    claims = iter(found if verify is None else verified(judged, found, verify))
    return Attribution(
        answer=answer,
        sources=given,
        claims=tuple(next(claims) if span.checkable else not_checkable(span) for span in spans),
        model=encoder.name,
        verifier=None if verify is None else verify.name,
    )


class _Text(NamedTuple):
    """What can be cited: a source's text, or a value of the metadata that was shown with it."""

    source: int
    key: str | None
    text: str


def _texts(sources: Sequence[Source]) -> Iterator[_Text]:
    for i, source in enumerate(sources):
        if source.by_model:  # what a model wrote backs nothing, be it never so like the claim
            continue
        yield _Text(i, None, source.text)
        yield from (_Text(i, key, value) for key, value in source.shown.items() if value.strip())


def judge(
    spans: Sequence[ClaimSpan],
    sources: Sequence[Source],
    encoder: Encoder,
    cache: EmbeddingCache | None,
    *,
    most: int,
    said: str,
) -> Iterator[Claim]:
    """One claim for each span, as far as words tell."""
    texts = list(_texts(sources))
    if not spans or not texts:
        yield from (_claim(span, "no_evidence") for span in spans)
        return
    read = list(dict.fromkeys(text.text for text in texts))
    documents = dict(zip(read, cached(encoder, cache).encode_documents(read), strict=True))
    pool = pool_sentences([documents[text.text] for text in texts], [text.source for text in texts])
    asked = encoder.encode_documents([span.statement for span in spans])
    calibration = calibration_of(encoder, needed=False)
    supports = find_support(asked, pool, background(encoder), most=most, said=said)
    for span, query, support in zip(spans, asked, supports, strict=True):
        citations = []
        for i, score in zip(support.sentences, support.similarities, strict=True):
            text = texts[int(pool.texts[i])]
            explanation = explain(query, documents[text.text]) if calibration else None
            relevance = relevance_of(explanation, calibration) if explanation else None
            citations.append(_citation(span, text, sources[text.source], pool.spans[i].tolist(), score, relevance))
        yield _label(span, support, citations, sources, said)


def _label(
    span: ClaimSpan, support: Support, citations: Sequence[Citation], sources: Sequence[Source], said: str
) -> Claim:
    if support.score < _NO_EVIDENCE:
        return replace(_claim(span, "no_evidence", support.score), nearest=next(iter(citations), None))
    cited = [citation.cited_text for citation in citations]
    # A sentence says "he", and a dateline says when: names and dates may stand around it, a number may not.
    around = [text for i in {citation.source_index for citation in citations} for text in _around(sources[i])]
    missing = guards.missing(span.statement, cited, context=around, question=said)
    reasons = _reasons(span.statement, support.displaced, missing)
    low = support.score < _CORROBORATED or support.absent > _ABSENT
    if low and not reasons and support.missing:
        reasons = (_MISSING + ", ".join(support.missing),)
    return _claim(span, "weak" if reasons or low else "corroborated", support.score, reasons, citations)


def _around(source: Source) -> tuple[str, ...]:
    return (source.text, source.title or "", *source.shown.values())


def _reasons(
    statement: str, displaced: Sequence[tuple[int, int]], missing: Sequence[guards.Missing]
) -> tuple[str, ...]:
    """What the exact checks found, and numbers that only sentences on something else have."""
    found = []
    for start, end in displaced:
        known = next((part for part in missing if part.start < end and start < part.end), None)
        kind, text = ("number", statement[start:end]) if known is None else (known.kind, known.text)
        found.append((start, f"{kind} {text} stands only beside other words"))
    elsewhere = [part for part in missing if all(part.end <= a or b <= part.start for a, b in displaced)]
    found += [(part.start, part.reason) for part in elsewhere]
    return tuple(dict.fromkeys(reason for _, reason in sorted(found)))


def verified(spans: Sequence[ClaimSpan], claims: Sequence[Claim], verifier: Verifier) -> Iterator[Claim]:
    """The claims with a verifier's labels; those without a citation as they were."""
    cited = [(span.statement, claim) for span, claim in zip(spans, claims, strict=True) if claim.citations]
    texts = [[citation.cited_text for citation in claim.citations] for _, claim in cited]
    given = verifier.verify([statement for statement, _ in cited], texts) if cited else []
    if len(given) != len(cited):
        raise ValueError(
            f"verifier {verifier.name!r} gave {len(given)} verdicts for {len(cited)} claims: `verify` must return one "
            "for each claim, in order"
        )
    verdicts = iter(given)
    yield from (_with_verdict(claim, next(verdicts)) if claim.citations else claim for claim in claims)


def _with_verdict(claim: Claim, verdict: Verdict) -> Claim:
    if verdict.contradicts:
        return replace(claim, label="contradicted", support=verdict.support)
    # An exact check outweighs a model; that some words are missing does not, which is how a paraphrase looks.
    guarded = any(not reason.startswith(_MISSING) for reason in claim.reasons)
    if verdict.supports and not guarded:
        return replace(claim, label="supported", support=verdict.support, reasons=())
    reasons = claim.reasons if verdict.supports else (*claim.reasons, f"the verifier gives it {verdict.support:.2f}")
    return replace(claim, label="weak", support=verdict.support, reasons=reasons)


def not_checkable(span: ClaimSpan) -> Claim:
    """The claim that a remark is."""
    return _claim(span, "not_checkable")


def _claim(
    span: ClaimSpan, label: Label, score: float = 0.0, reasons: tuple[str, ...] = (), citations: Sequence[Citation] = ()
) -> Claim:
    return Claim(span.start, span.end, span.text, label, score, reasons, None, tuple(citations))


def _citation(
    span: ClaimSpan, text: _Text, source: Source, place: Sequence[int], score: float, relevance: float | None
) -> Citation:
    start, end = place
    offset = source.start if text.key is None else None
    return Citation(
        answer_start=span.start,
        answer_end=span.end,
        source_index=text.source,
        source_id=source.id,
        source_start=start,
        source_end=end,
        cited_text=text.text[start:end],
        score=score,
        relevance=relevance,
        title=source.title,
        url=source.url,
        document_start=None if offset is None else offset + start,
        document_end=None if offset is None else offset + end,
        key=text.key,
    )


def check_max_citations(max_citations: int) -> None:
    """Refuse a bound that is out of range; the adapters call it when they are made."""
    if isinstance(max_citations, bool) or not isinstance(max_citations, int):
        raise TypeError(f"max_citations must be an int, got {described(max_citations)}")
    if max_citations < 1:
        raise ValueError(f"max_citations must be at least 1, got {shown(max_citations)}")


def check_question(question: object) -> None:
    """Refuse what is neither a text nor None; an adapter calls it before a stream begins."""
    if question is not None and not isinstance(question, str):
        raise TypeError(f"question must be a str or None, got {described(question)}")


def checked(
    answer: str,
    sources: Sequence[Source | str],
    encoder: Encoder,
    max_citations: int,
    question: str | None,
    cache: EmbeddingCache | None,
) -> tuple[Source, ...]:
    """The sources, once all arguments are such as `attribute` takes."""
    if isinstance(encoder, str):
        raise TypeError(f"encoder must be an encoder, got a name: pass load_encoder({encoder!r})")
    check_is("encoder", encoder, Encoder, "an encoder from load_encoder")
    check_is("cache", cache, (EmbeddingCache, type(None)), "an EmbeddingCache or None")
    if not isinstance(answer, str):
        raise TypeError(f"answer must be a str, got {described(answer)}")
    check_question(question)
    if isinstance(sources, (str, Source)) or not isinstance(sources, Sequence):
        raise TypeError(f"sources must be a sequence of Source or str, got {described(sources)}; use a list")
    check_max_citations(max_citations)
    for i, source in enumerate(sources):
        if not isinstance(source, (Source, str)):
            raise TypeError(
                f"sources[{i}] must be a Source or a str, got {described(source)}; "
                "attach_citations takes the documents of a framework"
            )
        if isinstance(source, Source) and not all(isinstance(value, str) for value in source.shown.values()):
            raise TypeError(f"sources[{i}].shown must map each key to a str, got {shown(dict(source.shown))}")
    return tuple(source if isinstance(source, Source) else Source(source) for source in sources)
