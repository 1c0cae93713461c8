"""Citations are exact, labels say no more than is known, and any answer meets any sources."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens import EmbeddingCache
from latelens.attribution import Source, attribute
from latelens.attribution.background import background
from latelens.attribution.backing import weigh
from latelens.attribution.support import find_support, pool_sentences
from latelens.attribution.verify import Verdict
from latelens.explanation.words import query_words

ELEPHANTS = "Elephants live in India. They eat up to 150 kg of grass and bark every day. They were not seen in 1950."
BERLIN = "Berlin is the capital of Germany."


def check(found, answer, sources):
    """What holds for every attribution."""
    assert found.answer == answer
    assert [source.text for source in found.sources] == [getattr(source, "text", source) for source in sources]
    reached = 0
    for claim in found.claims:
        assert reached <= claim.start < claim.end <= len(answer)
        assert answer[claim.start : claim.end] == claim.text
        assert 0 <= claim.score <= 1
        assert bool(claim.citations) == (claim.label in ("corroborated", "weak", "supported", "contradicted"))
        assert claim.label != "corroborated" or not claim.reasons
        assert len(set(map(place, claim.citations))) == len(claim.citations) <= 3
        for citation in claim.citations:
            source = found.sources[citation.source_index]
            assert (citation.answer_start, citation.answer_end) == (claim.start, claim.end)
            assert source.text[citation.source_start : citation.source_end] == citation.cited_text != ""
            assert (citation.source_id, citation.title, citation.url) == (source.id, source.title, source.url)
            assert -1 <= citation.score <= 1 + 1e-5
            if source.start is None:
                assert citation.document_start is citation.document_end is None
            else:
                assert citation.document_start == source.start + citation.source_start
                assert citation.document_end == source.start + citation.source_end
        reached = claim.end


def place(citation):
    return citation.source_index, citation.source_start, citation.source_end


PIECE = st.one_of(
    st.sampled_from(
        ["Elephants eat grass. ", "They drink 150 l. ", "\n- item one\n", "1,000 km ", "not ", "Hello! ", " "]
    ),
    st.sampled_from(
        ["北京是首都。", "مرحبا بك. ", "e\u0301te\u0301. ", "\u0301", "\ud800", "👩\u200d👩\u200d👧 ", "\u2028", "\r\n"]
    ),
    st.sampled_from(["# Head\n", "| a | b |\n", "```\n", "[1]", "Is it? "]),
    st.text(max_size=6),
)
TEXT = st.lists(PIECE, max_size=8).map("".join)
SOURCE = st.one_of(
    TEXT, st.builds(Source, TEXT, id=st.none() | st.text(max_size=3), start=st.none() | st.integers(0, 10**6))
)


ENCODER = FakeEncoder(dim=64)


@settings(max_examples=5000, deadline=None)
@given(TEXT, st.lists(SOURCE, max_size=4))
def test_every_citation_is_a_slice_of_its_source_and_every_claim_of_the_answer(answer, sources):
    check(attribute(answer, sources, ENCODER), answer, sources)


def test_the_sentence_that_bears_a_claim_is_cited(offline):
    found = attribute("Elephants eat 150 kg of grass a day. Germany's capital is Berlin.", [BERLIN, ELEPHANTS], offline)
    check(found, found.answer, [BERLIN, ELEPHANTS])
    first, second = found.claims
    assert first.citations[0].cited_text == "They eat up to 150 kg of grass and bark every day."
    assert (second.citations[0].source_index, second.citations[0].cited_text) == (0, BERLIN)
    assert [claim.label for claim in found.claims] == ["corroborated", "corroborated"]
    assert found.flagged == ()
    assert first.citations[0].relevance > 0.5
    assert found.marked().endswith(f"Germany's capital is Berlin.[{found.number_of(second.citations[0])}]")


def test_a_wrong_number_makes_a_claim_weak_and_says_why(offline):
    (claim,) = attribute("Elephants eat 250 kg of grass every day.", [ELEPHANTS], offline).claims
    assert (claim.label, claim.reasons) == ("weak", ("number 250 kg not in the evidence",))
    assert claim.citations[0].cited_text == "They eat up to 150 kg of grass and bark every day."
    right = attribute("Elephants eat 150 kg of grass every day.", [ELEPHANTS], offline).claims[0]
    assert right.score > claim.score + 0.15


def test_a_claim_on_another_subject_has_no_evidence_and_no_citation(offline):
    (claim,) = attribute("Interest rates rose sharply in the second quarter.", [ELEPHANTS, BERLIN], offline).claims
    assert (claim.label, claim.citations, claim.support) == ("no_evidence", (), None)
    assert claim.score < 0.4


def test_greetings_questions_and_hedges_are_not_checkable(offline):
    found = attribute("Hello! Do elephants live in India? I hope this helps.", [ELEPHANTS], offline)
    assert {(claim.label, claim.score, claim.citations) for claim in found.claims} == {("not_checkable", 0.0, ())}


def test_words_that_no_source_has_are_named():
    (claim,) = attribute("Elephants eat grass and have red hats.", ["Elephants eat grass."], FakeEncoder()).claims
    assert claim.label == "weak"
    assert claim.reasons == ("not in the evidence: red, hats",)  # "and" and "have" say nothing on their own


def test_several_sentences_bear_a_claim_of_several_parts():
    sources = ["Cats eat mice. Trees grow.", "Dogs chase cars. Birds sing."]
    (claim,) = attribute("Cats eat mice while dogs chase cars.", sources, FakeEncoder()).claims
    assert [citation.cited_text for citation in claim.citations] == ["Cats eat mice.", "Dogs chase cars."]
    (one,) = attribute("Cats eat mice while dogs chase cars.", sources, FakeEncoder(), max_citations=1).claims
    assert one.citations == claim.citations[:1]
    assert one.score == claim.score


def test_a_source_given_twice_is_cited_once_and_changes_nothing():
    once = attribute("Cats eat mice.", ["Cats eat mice."], FakeEncoder()).claims[0]
    twice = attribute("Cats eat mice.", ["Cats eat mice."] * 3, FakeEncoder()).claims[0]
    assert once.citations == twice.citations


def test_a_chunk_that_knows_its_start_gives_places_in_the_whole_document():
    source = Source("Cats eat mice. Dogs bark.", id="pets", title="Pets", url="https://example.org", start=100)
    (citation,) = attribute("Dogs bark.", [source], FakeEncoder()).citations
    assert (citation.source_start, citation.document_start, citation.document_end) == (15, 115, 125)
    assert (citation.source_id, citation.title, citation.url) == ("pets", "Pets", "https://example.org")


@pytest.mark.parametrize("sources", [[], [""], ["", " \n", Source("...")]])
def test_without_a_readable_source_nothing_has_evidence(sources):
    found = attribute("Cats eat mice. Hello!", sources, FakeEncoder())
    assert [(claim.label, claim.score) for claim in found.claims] == [("no_evidence", 0.0), ("not_checkable", 0.0)]


@pytest.mark.parametrize("answer", ["", "\n", "# Title", "```\ncode\n```"])
def test_an_empty_answer_has_no_claims_and_encodes_nothing(answer):
    encoder = FakeEncoder()
    assert attribute(answer, ["Cats eat mice."], encoder).claims == ()
    assert encoder.encoded == []


def test_one_source_of_200_000_characters():
    text = " ".join(f"Cat{i} eats mouse{i}." for i in range(8_500))[:200_000]
    (claim,) = attribute("Cat4242 eats mouse4242.", [text], FakeEncoder(dim=1024)).claims
    assert claim.citations[0].cited_text == "Cat4242 eats mouse4242."
    assert text[claim.citations[0].source_start : claim.citations[0].source_end] == "Cat4242 eats mouse4242."


def test_500_sources():
    sources = [f"Cat{i} eats mouse{i}. It sleeps." for i in range(500)]
    found = attribute("\n".join(f"- Cat{i} eats mouse{i}." for i in range(0, 500, 50)), sources, FakeEncoder())
    check(found, found.answer, sources)
    assert [claim.citations[0].source_index for claim in found.claims] == list(range(0, 500, 50))


def test_a_claim_longer_than_a_query_is_read_to_its_end():
    class Short(FakeEncoder):
        """Reads four words of a query, as ColBERT reads 32 tokens."""

        def encode_queries(self, texts):
            return super().encode_queries([" ".join(text.split()[:4]) for text in texts])

    claim = "Cats eat mice and dogs chase cars and finally all birds sing"
    (found,) = attribute(claim, [f"{claim}."], Short()).claims
    assert found.score > 0.95  # a row of the claim stands for no word, and matches none
    assert (found.label, found.reasons) == ("corroborated", ())


def test_sources_are_cached_and_claims_are_not():
    encoder, cache = FakeEncoder(), EmbeddingCache()
    for _ in range(2):
        attribute("Cats eat mice.", ["Cats eat mice.", "Dogs bark."], encoder, cache=cache)
    assert sorted(encoder.encoded) == ["Cats eat mice.", "Cats eat mice.", "Cats eat mice.", "Dogs bark."]
    assert len(cache) == 2


def test_inputs_are_unchanged_and_the_same_input_gives_the_same_result(offline):
    sources = [Source(ELEPHANTS, id="e"), BERLIN]
    before = copy.deepcopy(sources)
    answer = "Elephants eat grass.\n- Berlin is the capital of Germany."
    first, second = (attribute(answer, sources, offline) for _ in range(2))
    assert first == second
    assert sources == before


def test_threads_get_the_same_result():
    encoder, cache = FakeEncoder(), EmbeddingCache()
    expected = attribute("Cats eat mice. Dogs bark.", [ELEPHANTS, "Cats eat mice."], encoder)
    found = []

    def run():
        for _ in range(20):
            found.append(attribute("Cats eat mice. Dogs bark.", [ELEPHANTS, "Cats eat mice."], encoder, cache=cache))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 80
    assert all(one == expected for one in found)


@pytest.mark.parametrize(
    ("verdict", "label"),
    [
        (Verdict(0.9, 0.05), "supported"),
        (Verdict(0.1, 0.8), "contradicted"),
        (Verdict(0.2, 0.3), "weak"),
        (0.7, "supported"),
        (0.2, "weak"),
    ],
)
def test_a_verifier_decides_about_claims_with_citations(verdict, label):
    asked = []

    def judge(claim, evidence):
        asked.append((claim, list(evidence)))
        return verdict

    found = attribute("Hello! Cats eat mice [1]. Planes fly.", ["Cats eat mice."], FakeEncoder(), verifier=judge)
    assert asked == [("Cats eat mice.", ["Cats eat mice."])]
    assert [claim.label for claim in found.claims] == ["not_checkable", label, "no_evidence"]
    assert found.verifier == "judge"
    assert found.claims[1].support == getattr(verdict, "support", verdict)
    assert found.claims[1].reasons == (
        (f"the verifier gives it {verdict if verdict == 0.2 else 0.2:.2f}",) * (label == "weak")
    )


def test_a_verifier_that_loses_a_verdict_is_named():
    class Short:
        name = "short"

        def verify(self, claims, evidence):
            return [Verdict(0.9)]

    with pytest.raises(ValueError, match="verifier 'short' gave 1 verdicts for 2 claims"):
        attribute("Cats eat mice. Dogs bark.", ["Cats eat mice. Dogs bark."], FakeEncoder(), verifier=Short())


def test_a_result_is_shown_in_one_line():
    found = attribute("Hello! Cats eat mice. Planes fly.", ["Cats eat mice."] * 2, FakeEncoder())
    assert repr(found) == "Attribution(claims=3, cited=1, flagged=1, sources=2, model='fake')"
    assert found == attribute("Hello! Cats eat mice. Planes fly.", ["Cats eat mice."] * 2, FakeEncoder())
    assert found != attribute("Hello! Cats eat mice. Boats swim.", ["Cats eat mice."] * 2, FakeEncoder())


def test_an_exact_check_outweighs_a_verifier():
    (claim,) = attribute("Cats eat 7 mice.", ["Cats eat 5 mice."], FakeEncoder(), verifier=lambda *_: 0.99).claims
    assert (claim.label, claim.reasons, claim.support) == ("weak", ("number 7 not in the evidence",), 0.99)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"answer": 3}, TypeError, "answer must be a str, got int: 3"),
        ({"sources": "text"}, TypeError, "sources must be a sequence of Source or str, got str: 'text'"),
        (
            {"sources": Source("text")},
            TypeError,
            "sources must be a sequence of Source or str, got Source: ",
        ),
        ({"sources": ["a", 3]}, TypeError, r"sources\[1\] must be a Source or a str, got int"),
        ({"encoder": "a/name"}, TypeError, r"encoder must be an encoder, got a name: pass load_encoder\('a/name'\)"),
        ({"max_citations": 0}, ValueError, "max_citations must be at least 1, got 0"),
        ({"max_citations": 1.5}, TypeError, "max_citations must be an int, got float: 1.5"),
        ({"max_citations": True}, TypeError, "max_citations must be an int, got bool: True"),
        ({"verifier": 3}, TypeError, "verifier must have `name`"),
    ],
)
def test_what_cannot_be_used_is_refused(change, error, match):
    arguments = {"answer": "Cats eat.", "sources": ["Cats eat."], "encoder": FakeEncoder()} | change
    with pytest.raises(error, match=match):
        attribute(**arguments)


def test_equal_numbers_are_written_in_many_ways_and_no_other_number_bears_them():
    encoder = FakeEncoder()
    floor = background(encoder)
    pool = pool_sentences(encoder.encode_documents(["It weighs 1,000 kg.", "It weighs 2000 kg."]))
    same, folded = find_support(
        encoder.encode_documents(["It weighs 1000 kg.", "IT WEIGHS ２０００ KG."]), pool, floor, most=3
    )
    assert same.sentences == (0,)
    assert folded.sentences == (1,)
    (other,) = find_support(encoder.encode_documents(["It weighs 3000 kg."]), pool, floor, most=3)
    assert other.score < same.score - 0.2
    assert other.missing == ("3000",)


def test_a_book_long_answer_is_compared_in_parts_with_the_same_result():
    encoder = FakeEncoder(dim=64)
    claims = encoder.encode_documents([f"Cat{i} eats mouse{i % 7}." for i in range(600)])
    pool = pool_sentences(encoder.encode_documents([f"Cat{i} eats mouse{i}." for i in range(0, 40, 3)]))
    floor = background(encoder)
    together = list(find_support(claims, pool, floor, most=2))
    alone = [next(find_support([claim], pool, floor, most=2)) for claim in claims]
    assert [found.sentences for found in together] == [found.sentences for found in alone]
    assert [found.score for found in together] == pytest.approx([found.score for found in alone], abs=1e-5)


MUSEUM = [
    "The museum opens at ten. Guided tours start at noon. Dogs must wait outside.",
    "Tickets cost nine euros. Children under six get in free.",
    "High chairs stand beside the stairs. Lunch costs eleven euros.",
]
IN_DIGITS = [
    "The museum opens at 10. Guided tours start at 12. Dogs must wait outside.",
    "Tickets cost 9 euros. Children under 6 get in free.",
    "High chairs stand beside the stairs. Lunch costs 11 euros.",
]
SWAPPED = {
    "Guided tours start at {}.": ("eleven", "ten"),
    "Tickets cost {} euros.": ("eleven",),
    "Lunch costs {} euros.": ("nine",),
    "Children under {} get in free.": ("nine",),
    "The museum opens at {}.": ("nine",),
}
RIGHT = {
    "Guided tours start at noon.": "Guided tours start at {}.",
    "Guided tours start at 12:00.": "Guided tours start at {}.",
    "Tickets cost 9 euros.": "Tickets cost {} euros.",
    "Tickets cost nine euros, and children under six get in free.": "Tickets cost {} euros.",
    "Lunch costs 11 euros and tickets 9.": "Lunch costs {} euros.",
    "A lunch is 11 euros.": "Lunch costs {} euros.",
    "Children under 6 get in free.": "Children under {} get in free.",
    "The museum opens at 10 am.": "The museum opens at {}.",
    "Doors open at ten.": "The museum opens at {}.",
}
WORTH = {"noon": "12", "ten": "10", "nine": "9", "six": "6", "eleven": "11"}
HOLDS = {"Guided": "noon", "Tickets": "nine", "Lunch": "eleven", "Children": "six", "The": "ten"}


def _true(pattern, *, digits):
    value = HOLDS[pattern.split()[0]]
    return pattern.format(WORTH[value] if digits else value)


@pytest.mark.parametrize("digits", [False, True], ids=["words", "digits"])
@pytest.mark.parametrize(("pattern", "value"), [(p, value) for p, values in SWAPPED.items() for value in values])
def test_a_number_that_belongs_to_something_else_does_not_bear_a_claim(pattern, value, digits, offline):
    said = WORTH[value] if digits else value
    (claim,) = attribute(pattern.format(said), IN_DIGITS if digits else MUSEUM, offline).claims
    unit = " euros" if "euros" in pattern else ""
    assert (claim.label, claim.reasons) == ("weak", (f"number {said}{unit} stands only beside other words",))
    assert [citation.cited_text for citation in claim.citations] == [_true(pattern, digits=digits)]


@pytest.mark.parametrize("digits", [False, True], ids=["words", "digits"])
@pytest.mark.parametrize(("answer", "pattern"), RIGHT.items())
def test_a_number_that_stands_beside_the_claims_words_bears_it_in_any_form(answer, pattern, digits, offline):
    (claim,) = attribute(answer, IN_DIGITS if digits else MUSEUM, offline).claims
    assert (claim.label, claim.reasons) == ("corroborated", ())
    cited = [citation.cited_text for citation in claim.citations]
    assert _true(pattern, digits=digits) in (cited if " 9." in answer or ", and" in answer else cited[:1])


def test_a_date_may_stand_anywhere_in_its_source(offline):
    source = Source("Jane Doe, 5 May 1994. The river rose all night. The old bridge fell into the river.", title="News")
    (claim,) = attribute("The old bridge fell into the river in May 1994.", [source], offline).claims
    assert (claim.label, claim.reasons) == ("corroborated", ())
    (claim,) = attribute("The old bridge fell into the river in June 1994.", [source], offline).claims
    assert (claim.label, claim.reasons) == ("weak", ("date June 1994 not in the evidence",))


def test_a_date_of_the_shown_metadata_counts_and_no_other(offline):
    source = Source("The river rose all night. The old bridge fell into the river.", shown={"published": "2003-06-11"})
    for date, label in (("11 June 2003", "corroborated"), ("12 June 2003", "weak")):
        (claim,) = attribute(f"The old bridge fell into the river on {date}.", [source], offline).claims
        assert claim.label == label


def test_a_number_weighs_twice_a_word_like_it():
    query = FakeEncoder().encode_documents(["Herds walk 40 miles."])[0]
    words = weigh("Herds walk 40 miles.", query_words(query))
    number, word = (words.weights[words.asked.words.index(each)] for each in ("40", "miles"))
    assert number == pytest.approx(2 * word)


def test_a_score_is_no_number_beside_other_words_where_the_claim_has_none():
    sources = ["The highest score was 222 - 0.", "It was so. It was not. The river rose and it was wide."]
    (claim,) = attribute("it was 222 - 0.", sources, FakeEncoder()).claims
    assert (claim.label, claim.reasons) == ("corroborated", ())


def test_pieces_of_foreign_sources_do_not_corroborate_what_the_own_one_does_not():
    answer, own = "Elephants eat bark near rivers.", "Elephants eat bark."
    alone, among = (attribute(answer, [own, *more], FakeEncoder()) for more in ([], ["Ships sail rivers."]))
    assert alone.claims == among.claims
    assert [(claim.label, len(claim.citations)) for claim in among.claims] == [("weak", 1)]


def test_shown_metadata_is_cited_under_its_key(offline):
    source = Source("The notes describe how a machine computes.", id="n", start=7, shown={"author": "Ada Lovelace"})
    found = attribute("The author is Ada Lovelace.", [BERLIN, source], offline)
    (citation,) = found.citations
    assert (citation.source_index, citation.key, citation.cited_text) == (1, "author", "Ada Lovelace")
    assert found.quoted_from(citation)[citation.source_start : citation.source_end] == "Ada Lovelace"
    assert (citation.document_start, found.claims[0].label) == (None, "corroborated")
    (bare,) = attribute("The author is Ada Lovelace.", [BERLIN, replace(source, shown={})], offline).claims
    assert bare.label != "corroborated"
    with pytest.raises(TypeError, match=r"sources\[0\].shown must map each key to a str, got {'year': 1843}"):
        attribute("It is.", [Source("It is.", shown={"year": 1843})], offline)


def test_what_the_user_said_need_not_stand_in_the_sources(offline):
    answer, sources = (
        "The Golden Gate Bridge was painted red in 1937.",
        ["The bridge was painted red in the first year."],
    )
    (claim,) = attribute(answer, sources, offline).claims
    assert claim.label == "weak"
    (claim,) = attribute(answer, sources, offline, question="Was the Golden Gate Bridge red in 1937?").claims
    assert (claim.label, claim.reasons) == ("corroborated", ())
    with pytest.raises(TypeError, match="question must be a str or None, got int: 3"):
        attribute(answer, sources, offline, question=3)


def test_a_word_in_common_does_not_corroborate(offline):
    (claim,) = attribute("Dogs fly.", MUSEUM, offline).claims
    assert (claim.label, claim.reasons) == ("weak", ("not in the evidence: fly",))
    assert claim.citations[0].cited_text == "Dogs must wait outside."


def test_of_a_claim_without_evidence_the_sentence_most_like_it_is_named(offline):
    (claim,) = attribute("Interest rates rose sharply in the second quarter.", [BERLIN, ELEPHANTS], offline).claims
    assert (claim.label, claim.citations) == ("no_evidence", ())
    assert claim.nearest is not None
    assert claim.nearest.cited_text in ELEPHANTS + BERLIN


def test_foreign_sources_change_no_score_of_a_claim_that_its_own_source_bears(offline):
    answer = "Elephants eat up to 150 kg of grass and bark every day. They live in India."
    foreign = [BERLIN, *MUSEUM, *(f"Chapter {i} is about ships and their crews." for i in range(15))]
    alone, among = attribute(answer, [ELEPHANTS], offline), attribute(answer, [*foreign, ELEPHANTS], offline)
    for one, other in zip(alone.claims, among.claims, strict=True):
        assert (one.label, one.score) == (other.label, pytest.approx(other.score, abs=1e-6))
        assert one.citations[0].cited_text == other.citations[0].cited_text


def test_a_negator_elsewhere_is_not_borrowed(offline):
    sources = ["Dogs are welcome for five euros a night. They must not go upstairs."]
    (claim,) = attribute("Dogs are not allowed.", sources, offline).claims
    assert claim.label == "weak"
    assert [citation.cited_text for citation in claim.citations] == ["Dogs are welcome for five euros a night."]


def test_times_of_day_are_one_value_each(offline):
    sources = ["Please be out by ten. You can move in from three o'clock."]
    for right in ("You can move in from 15:00.", "You can move in from 3 pm.", "Please be out by 10:00."):
        (claim,) = attribute(right, sources, offline).claims
        assert (claim.label, claim.reasons) == ("corroborated", ())
    (claim,) = attribute("You can move in from 16:00.", sources, offline).claims
    assert (claim.label, claim.reasons) == ("weak", ("number 16:00 not in the evidence",))
