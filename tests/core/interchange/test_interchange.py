"""An attribution survives each format that others read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens.attribution import Attribution, Citation, Claim, Source, attribute
from latelens.interchange import (
    from_anthropic_citations,
    from_google_grounding,
    from_json,
    to_anthropic_citations,
    to_google_grounding,
    to_json,
)

LABELS = ("corroborated", "weak", "no_evidence", "not_checkable", "supported", "contradicted")
TEXT = st.text(alphabet=st.sampled_from("ab .é\u0301漢字🐘👩‍👩‍👧\u202eß\n") | st.characters(exclude_categories=["Cs"]))
NAME = st.none() | st.text(max_size=4)


@st.composite
def attributions(draw: st.DrawFn) -> Attribution:
    """Disjoint claims anywhere in an answer, each citing any spans of any sources."""
    answer = draw(TEXT)
    sources = tuple(
        draw(st.lists(st.builds(Source, TEXT, NAME, NAME, NAME, st.none() | st.integers(0, 9)), max_size=4))
    )
    cuts = sorted(draw(st.lists(st.integers(0, len(answer)), max_size=8, unique=True)))
    claims = []
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        citations = (
            () if not sources else tuple(draw(citation(sources, start, end)) for _ in range(draw(st.integers(0, 3))))
        )
        claims.append(
            Claim(
                start,
                end,
                answer[start:end],
                draw(st.sampled_from(LABELS)),
                draw(st.floats(0, 1)),
                tuple(draw(st.lists(TEXT, max_size=2))),
                draw(st.none() | st.floats(0, 1)),
                citations,
            )
        )
    return Attribution(answer, sources, tuple(claims), draw(st.text(max_size=4)), draw(NAME))


@st.composite
def citation(draw: st.DrawFn, sources: tuple[Source, ...], answer_start: int, answer_end: int) -> Citation:
    index = draw(st.integers(0, len(sources) - 1))
    source = sources[index]
    start, end = sorted((draw(st.integers(0, len(source.text))), draw(st.integers(0, len(source.text)))))
    return Citation(
        answer_start,
        answer_end,
        index,
        source.id,
        start,
        end,
        source.text[start:end],
        draw(st.floats(-1, 1)),
        draw(st.none() | st.floats(0, 1)),
        source.title,
        source.url,
        None if source.start is None else source.start + start,
        None if source.start is None else source.start + end,
    )


def places(attribution: Attribution) -> list[tuple[Any, ...]]:
    """What every format must bring back."""
    names = ("answer_start", "answer_end", "source_index", "source_id", "source_start", "source_end", "cited_text")
    more = ("title", "url", "document_start", "document_end")
    return [tuple(getattr(found, name) for name in (*names, *more)) for found in attribution.citations]


def cited(attribution: Attribution) -> list[tuple[int, int, str]]:
    return [(claim.start, claim.end, claim.text) for claim in attribution.claims if claim.citations]


@settings(max_examples=300, deadline=None)
@given(attributions())
def test_json_brings_everything_back(attribution: Attribution) -> None:
    through_text = json.loads(json.dumps(to_json(attribution)))
    assert through_text == to_json(attribution)
    assert from_json(through_text) == attribution


@settings(max_examples=300, deadline=None)
@given(attributions())
def test_anthropics_blocks_join_to_the_answer_and_come_back(attribution: Attribution) -> None:
    blocks = json.loads(json.dumps(to_anthropic_citations(attribution)))
    assert "".join(block["text"] for block in blocks) == attribution.answer
    again = from_anthropic_citations(blocks, attribution.sources)
    assert (again.answer, again.sources) == (attribution.answer, attribution.sources)
    assert places(again) == places(attribution)
    assert cited(again) == cited(attribution)
    assert to_anthropic_citations(again) == blocks


@settings(max_examples=300, deadline=None)
@given(attributions())
def test_googles_segments_are_bytes_of_the_answer_and_come_back(attribution: Attribution) -> None:
    grounding = json.loads(json.dumps(to_google_grounding(attribution)))
    encoded = attribution.answer.encode()
    for support in grounding["groundingSupports"]:
        segment = support["segment"]
        assert encoded[segment["startIndex"] : segment["endIndex"]].decode() == segment["text"]
        for index in support["groundingChunkIndices"]:
            assert grounding["groundingChunks"][index]["retrievedContext"]["text"] is not None
    again = from_google_grounding(grounding, attribution.answer, attribution.sources)
    assert places(again) == places(attribution)
    assert cited(again) == cited(attribution)
    assert [c.score for c in again.citations] == [max(c.score, 0.0) for c in attribution.citations]
    assert to_google_grounding(again) == grounding


ANSWER = "🐘 Élan. Elephants eat grass! Bye."
SOURCE = Source("It rained. Elephants eat grass.", id="zoo", title="Zoo", url="https://zoo.example", start=100)
CITATION = Citation(8, 28, 0, "zoo", 11, 31, "Elephants eat grass.", 0.9, 0.8, "Zoo", "https://zoo.example", 111, 131)
CLAIM = Claim(8, 28, ANSWER[8:28], "corroborated", 0.9, citations=(CITATION,))
SMALL = Attribution(ANSWER, (SOURCE,), (CLAIM,), "fake")


def test_anthropics_form_is_the_one_its_api_returns() -> None:
    assert to_anthropic_citations(SMALL) == [
        {"type": "text", "text": "🐘 Élan. "},
        {
            "type": "text",
            "text": "Elephants eat grass!",
            "citations": [
                {
                    "type": "char_location",
                    "cited_text": "Elephants eat grass.",
                    "document_index": 0,
                    "document_title": "Zoo",
                    "start_char_index": 11,
                    "end_char_index": 31,
                }
            ],
        },
        {"type": "text", "text": " Bye."},
    ]


def test_googles_form_is_the_one_its_api_returns() -> None:
    assert to_google_grounding(SMALL) == {
        "groundingChunks": [
            {
                "retrievedContext": {
                    "title": "Zoo",
                    "uri": "https://zoo.example",
                    "text": "Elephants eat grass.",
                    "customMetadata": [
                        {"key": "source_index", "numericValue": 0},
                        {"key": "source_start", "numericValue": 11},
                        {"key": "source_end", "numericValue": 31},
                        {"key": "source_id", "stringValue": "zoo"},
                    ],
                }
            }
        ],
        "groundingSupports": [
            {  # four bytes of elephant and two of É stand before the claim: 8 characters are 12 bytes
                "segment": {"startIndex": 12, "endIndex": 32, "text": "Elephants eat grass!"},
                "groundingChunkIndices": [0],
                "confidenceScores": [0.9],
            }
        ],
    }


def test_a_span_cited_twice_is_one_chunk_of_google() -> None:
    first = replace(
        CLAIM, start=0, end=7, text=ANSWER[:7], citations=(replace(CITATION, answer_start=0, answer_end=7),)
    )
    grounding = to_google_grounding(replace(SMALL, claims=(first, CLAIM)))
    assert len(grounding["groundingChunks"]) == 1
    assert [support["groundingChunkIndices"] for support in grounding["groundingSupports"]] == [[0], [0]]


def test_googles_own_metadata_is_read_where_zeros_and_scores_are_left_out() -> None:
    grounding = {
        "groundingChunks": [{"retrievedContext": {"uri": "b", "text": "Grass."}}],
        "groundingSupports": [{"segment": {"endIndex": 2, "text": "é"}, "groundingChunkIndices": [0]}],
        "retrievalMetadata": {},
    }
    sources = [Source("Grass.", url="a"), Source("Hay. Grass.", url="b")]
    found = from_google_grounding(grounding, "é!", sources).citations[0]
    assert (found.answer_end, found.source_index, found.source_start, found.score) == (1, 1, 5, 0.0)


def test_blocks_without_text_are_passed_over_in_anthropics_content() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm."}, *to_anthropic_citations(SMALL), {"type": "tool_use", "id": "1"}]
    assert from_anthropic_citations(blocks, SMALL.sources).answer == ANSWER


def test_what_others_cited_stays_to_be_checked() -> None:
    for again in (
        from_anthropic_citations(to_anthropic_citations(SMALL), SMALL.sources),
        from_google_grounding(to_google_grounding(SMALL), ANSWER, SMALL.sources),
    ):
        assert again.flagged == again.claims
        assert again.claims[0].reasons == ("cited, not measured",)


def test_numpys_numbers_become_json() -> None:
    odd = replace(SMALL, claims=(replace(CLAIM, score=np.float32(0.5), start=np.int64(8)),))  # type: ignore[arg-type]
    assert json.loads(json.dumps(to_json(odd)))["claims"][0]["score"] == 0.5


def test_json_keeps_a_lone_surrogate_and_googles_bytes_refuse_it() -> None:
    odd = replace(SMALL, answer=ANSWER + "\ud83d")
    assert from_json(json.loads(json.dumps(to_json(odd)))) == odd
    assert from_anthropic_citations(to_anthropic_citations(odd), odd.sources).answer == odd.answer
    with pytest.raises(ValueError, match=r"lone surrogate, '\\ud83d', at 33"):
        to_google_grounding(odd)


def changed(written: dict[str, Any], *path: Any, value: Any) -> dict[str, Any]:
    """A copy with one place set."""
    copy = json.loads(json.dumps(written))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("version",), 2, "version 2 and this latelens reads version 1"),
        (("answer",), None, "the answer must be a text"),
        (("answer",), "Something else entirely, as long.", "claim 0 of the answer quotes"),
        (("sources", 0, "text"), "Short.", "outside a text of 6 characters"),
        (("claims", 0, "label"), "true", "the label 'true', which is none of"),
        (("claims", 0, "start"), 8.0, "must be a range of ints"),
        (("claims", 0, "colour"), "red", "colour, which is no field of a Claim"),
        (("claims", 0, "citations", 0, "source_index"), 3, "cites source 3 of 1"),
        (("claims", 0, "citations", 0, "answer_end"), 3, "is for 8:3, not for its claim"),
        (("claims", 0, "citations", 0), [], "must be a JSON object, got list"),
        (("claims",), {}, "claims must be a list, got dict"),
    ],
)
def test_json_that_does_not_hold_is_refused(path: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(changed(to_json(SMALL), *path, value=value))


def test_json_without_a_field_or_with_an_infinite_score_is_refused() -> None:
    written = to_json(SMALL)
    del written["claims"]
    with pytest.raises(ValueError, match="has no claims"):
        from_json(written)
    with pytest.raises(ValueError, match="no way to write float: inf"):
        to_json(replace(SMALL, claims=(replace(CLAIM, score=float("inf")),)))


def test_claims_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="claim 1 starts at 8, inside the claim before it, which ends at 28"):
        from_json(to_json(replace(SMALL, claims=(CLAIM, CLAIM))))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("type",), "page_location", "a 'page_location', which names no characters"),
        (("document_index",), 1, "cites source 1 of 1"),
        (("cited_text",), "Lions", "quotes 'Lions', but 11:31 is"),
        (("end_char_index",), 99, "11:99, outside a text of 31"),
    ],
)
def test_anthropics_citations_that_do_not_hold_are_refused(path: tuple[Any, ...], value: Any, message: str) -> None:
    blocks = to_anthropic_citations(SMALL)
    blocks[1] = changed(blocks[1], "citations", 0, *path, value=value)
    with pytest.raises(ValueError, match=message):
        from_anthropic_citations(blocks, SMALL.sources)


SUPPORT: tuple[Any, ...] = ("groundingSupports", 0)
CONTEXT: tuple[Any, ...] = ("groundingChunks", 0, "retrievedContext")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*SUPPORT, "segment", "startIndex"), 2, "not byte positions between characters"),
        ((*SUPPORT, "segment", "text"), "Lions", "quotes 'Lions'"),
        ((*SUPPORT, "segment", "partIndex"), 1, "part 1; only the first part"),
        ((*SUPPORT, "groundingChunkIndices"), [1], "names chunk 1 of 1"),
        ((*SUPPORT, "confidenceScores"), [], "ok"),
        ((*SUPPORT, "confidenceScores"), [0.1, 0.2], "1 chunks and 2 confidence scores"),
        (("groundingChunks", 0), {"web": {"uri": "x"}}, "no retrievedContext but web"),
        (CONTEXT, {"text": "Lions"}, "quotes 'Lions', which stands in none of the 1 sources"),
        ((*CONTEXT, "customMetadata", 1, "numericValue"), 1.5, "source_start of chunk 0 must be a whole number"),
        ((*CONTEXT, "customMetadata", 1, "numericValue"), 11.0, "ok"),
    ],
)
def test_googles_metadata_that_does_not_hold_is_refused(path: tuple[Any, ...], value: Any, message: str) -> None:
    grounding = changed(to_google_grounding(SMALL), *path, value=value)
    read: Callable[[], Attribution] = lambda: from_google_grounding(grounding, ANSWER, SMALL.sources)  # noqa: E731
    if message == "ok":
        assert places(read()) == places(SMALL)
        return
    with pytest.raises(ValueError, match=message):
        read()


def test_an_empty_answer_has_no_blocks_and_no_supports() -> None:
    empty = Attribution("", (), (), "fake")
    assert from_json(to_json(empty)) == empty
    assert to_anthropic_citations(empty) == []
    assert to_google_grounding(empty) == {"groundingChunks": [], "groundingSupports": []}


@settings(max_examples=200, deadline=None)
@given(attributions())
def test_without_the_texts_of_its_sources_an_attribution_is_equal_once_they_are_given_again(attribution):
    written = json.loads(json.dumps(to_json(attribution, source_texts=False)))
    assert not any("text" in source for source in written["sources"])
    assert from_json(written, attribution.sources) == attribution
    blank = from_json(written)
    assert blank.claims == attribution.claims
    assert [len(source.text) for source in blank.sources] == [len(source.text) for source in attribution.sources]


def test_shown_metadata_and_the_nearest_sentence_come_back(offline):
    source = Source("The notes describe how a machine computes.", shown={"author": "Ada Lovelace"})
    found = attribute("The author is Ada Lovelace. Interest rates rose sharply.", [source], offline)
    assert [citation.key for citation in found.citations] == ["author"]
    again = from_json(json.loads(json.dumps(to_json(found))))
    assert again == found
    assert again.claims[1].nearest == found.claims[1].nearest is not None
    light = from_json(to_json(found, source_texts=False))
    assert (light.citations, light.claims[1].nearest) == (found.citations, again.claims[1].nearest)
    assert not any(block.get("citations") for block in to_anthropic_citations(found))
    assert to_google_grounding(found)["groundingSupports"] == []
    broken = to_json(found)
    broken["sources"][0]["shown"] = {}
    with pytest.raises(ValueError, match="names the metadata 'author', which was not shown with the source"):
        from_json(broken)
