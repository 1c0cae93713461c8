"""Evidence is exact: its characters, its score, its drop, its words; recomputed here the slow way."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import regex
from fake_encoder import FakeEncoder
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import latelens.explanation.evidence as evidence
import latelens.explanation.phrases as phrases
from latelens import EvidenceSpan, TokenEmbeddings, TokenKind, explain, find_evidence
from latelens.explanation.covering import CLEAR
from latelens.explanation.evidence import find_all_evidence
from latelens.explanation.matches import COVERED, Explanation
from latelens.text.characters import is_visible, snap_to_characters, words
from latelens.text.sentences import split_sentences

CONTENT, SPECIAL, MARKER, EXPANSION = TokenKind.CONTENT, TokenKind.SPECIAL, TokenKind.MARKER, TokenKind.EXPANSION


class RandomEncoder:
    """Everything that a tokenizer may do: pieces of words, several rows on one character, rows of punctuation,
    rows without text, control words that the text spells out, and windows that read a part twice.
    """

    def __init__(self, seed: int, dim: int = 6) -> None:
        self.random, self.vectors, self.dim = random.Random(seed), np.random.default_rng(seed), dim

    def encode(self, text: str) -> TokenEmbeddings:
        read = [(SPECIAL, -1, -1), (MARKER, -1, -1), *self._pieces(text)]
        if len(read) > 6 and self.random.random() < 0.5:
            middle = len(read) // 2
            read = [*read[: middle + 2], (SPECIAL, -1, -1), *read[middle - 2 :]]  # a second window
        read += [(EXPANSION, -1, -1)] * self.random.randint(0, 2)
        return self._rows(text, read)

    def _pieces(self, text: str) -> list[tuple[TokenKind, int, int]]:
        pieces: list[tuple[TokenKind, int, int]] = []
        for match in regex.finditer(r"\[MASK\]|\w+|[^\w\s]", text):
            start, end = match.span()
            if not is_visible(match.group()):
                continue
            kind = SPECIAL if match.group() == "[MASK]" else CONTENT
            cut = self.random.randint(start, end)
            pieces += [(kind, start, cut), (kind, cut, end)] if start < cut < end else [(kind, start, end)]
            if self.random.random() < 0.05:
                pieces.append(self.random.choice([(CONTENT, -1, -1), (EXPANSION, -1, -1), pieces[-1]]))
        return pieces

    def _rows(self, text: str, read: list[tuple[TokenKind, int, int]]) -> TokenEmbeddings:
        spans = np.array([span for _, *span in read], dtype=np.int32).reshape(-1, 2)
        return TokenEmbeddings(
            text=text,
            vectors=self.vectors.standard_normal((len(read), self.dim)).astype(np.float32),
            tokens=tuple("row" for _ in read),
            spans=snap_to_characters(text, spans),
            kinds=np.array([kind for kind, *_ in read], dtype=np.uint8),
        )


def fake(query: str, document: str, dim: int = 4096) -> Explanation:
    encoder = FakeEncoder(dim=dim)
    return explain(encoder.encode_queries([query])[0], encoder.encode_documents([document])[0])


def ragged(query: str, document: str, seed: int = 0) -> Explanation:
    encoder = RandomEncoder(seed)
    return explain(encoder.encode(query), encoder.encode(document))


def labelled(text: str, rows: list[tuple[TokenKind, tuple[int, int], list[float]]]) -> TokenEmbeddings:
    return TokenEmbeddings(
        text,
        np.array([vector for *_, vector in rows], dtype=np.float32),
        tuple("row" for _ in rows),
        np.array([span for _, span, _ in rows], dtype=np.int32),
        np.array([kind for kind, *_ in rows], dtype=np.uint8),
    )


# The slow way ---------------------------------------------------------------------------------------------------


def rows_by_range(embeddings: TokenEmbeddings, ranges: list[tuple[int, int]]) -> dict[int, list[int]]:
    """Content rows of each range; a row belongs to the last range that it reaches into."""
    place_of = {character: place for place, pair in enumerate(ranges) for character in range(*pair)}
    rows: dict[int, list[int]] = {}
    for row, (span, kind) in enumerate(zip(embeddings.spans.tolist(), embeddings.kinds.tolist(), strict=True)):
        places = {place_of.get(character, -1) for character in range(*span)} - {-1}
        if kind == CONTENT and span[0] >= 0 and places:
            rows.setdefault(max(places), []).append(row)
    return rows


def words_of(query: TokenEmbeddings) -> list[tuple[int, int]]:
    """The words of a query, or its marks where it has no word."""
    spans = {(start, end) for start, end in words(query.text).tolist()}
    marks = {(start, end) for start, end in query.spans[query.content_rows()].tolist()}
    return sorted(spans or marks)


def check_spans(explanation: Explanation, sentences: list[tuple[int, int]] | None = None) -> int:
    """Assert everything that holds for any evidence; returns how many spans were looked at."""
    text, query = explanation.document.text, explanation.query
    found = find_evidence(explanation, max_spans=10_000, sentences=sentences)
    ranges = list(split_sentences(text)) if sentences is None else sentences
    sentence_rows = rows_by_range(explanation.document, ranges)
    query_ranges = words_of(query)
    word_rows = rows_by_range(query, query_ranges)
    asked = [row for place in word_rows.values() for row in place]
    assert bool(found) == bool(sentence_rows and asked)
    edges = {match.start() for match in regex.finditer(r"\X", text)} | {len(text)}
    for span in found:
        place = ranges.index((span.start, span.end))
        check_characters(span, text, edges)
        own = sentence_rows[place]
        similarity = query.vectors.astype(np.float64) @ explanation.document.vectors[own].T
        earned = [similarity[rows].max(axis=1).mean() for _, rows in sorted(word_rows.items())]
        assert span.score == pytest.approx(np.dot(weights_of(query, word_rows), earned), rel=1e-4, abs=1e-4)
        check_drop(span, explanation, own)
    if found:
        check_choice(found, explanation, ranges, sentence_rows, word_rows)
    return len(found)


def weights_of(query: TokenEmbeddings, word_rows: dict[int, list[int]]) -> np.ndarray:
    """A word weighs the more, the less its rows are like the query's other rows."""
    vectors = query.vectors.astype(np.float64)
    weights = []
    for _, rows in sorted(word_rows.items()):
        alike = [vectors[row] @ np.delete(vectors, row, axis=0).T for row in rows]
        weights.append(max(1 - np.mean([each.sum() / max(len(query) - 1, 1) for each in alike]), 0) ** 2 + 1e-6)
    return np.array(weights) / sum(weights)


def check_characters(span: EvidenceSpan, text: str, edges: set[int]) -> None:
    assert text[span.start : span.end] == span.text
    assert span.start <= span.phrase_start < span.phrase_end <= span.end
    assert {span.start, span.end, span.phrase_start, span.phrase_end} <= edges
    inside = [(span.start + start, span.start + end) for start, end in words(span.text).tolist()]
    if (span.phrase_start, span.phrase_end) != (span.start, span.end):
        assert span.phrase_start in {start for start, _ in inside}
        assert span.phrase_end in {end for _, end in inside}
    for edge in {span.phrase_start, span.phrase_end} - {span.start, span.end}:
        assert not regex.match(r"[a-zA-Z]{2}|[0-9]{2}", text[edge - 1 : edge + 1])
    assert {type(span.start), type(span.end), type(span.phrase_start), type(span.phrase_end)} == {int}
    assert {type(span.score), type(span.drop)} == {float}


def check_drop(span: EvidenceSpan, explanation: Explanation, own: list[int]) -> None:
    rest = np.delete(explanation.similarity, own, axis=1)
    left = rest.max(axis=1).sum(dtype=np.float64) if rest.shape[1] else 0.0
    assert span.drop == pytest.approx(explanation.score - left, abs=1e-4)


def check_choice(
    found: tuple[EvidenceSpan, ...],
    explanation: Explanation,
    ranges: list[tuple[int, int]],
    sentence_rows: dict[int, list[int]],
    word_rows: dict[int, list[int]],
) -> None:
    """The first sentence earns most, others add words."""
    if found[0].lexical:
        return  # chosen by letters, see test_lexical.py
    places = sorted(sentence_rows)
    best = np.stack([explanation.similarity[:, sentence_rows[place]].max(axis=1) for place in places])
    reached = np.array([best[:, rows].mean(axis=1) for _, rows in sorted(word_rows.items())])  # (words, sentences)
    check_words(
        found, explanation, best[[places.index(ranges.index((span.start, span.end))) for span in found]], word_rows
    )
    weights = weights_of(explanation.query, word_rows)
    assert found[0].score == pytest.approx((weights @ reached).max(), rel=1e-4, abs=1e-4)
    assert len({span.start for span in found}) == len(found)
    deviation = explanation.similarity.std(dtype=np.float64)
    if deviation > 1e-3:
        chosen = [places.index(ranges.index((span.start, span.end))) for span in found]
        check_additions(reached / deviation, weights, chosen)


def check_words(
    found: tuple[EvidenceSpan, ...], explanation: Explanation, best: np.ndarray, word_rows: dict[int, list[int]]
) -> None:
    """A word belongs to the span that matches it most clearly, if any does; `best` is (spans, query rows)."""
    text, spans = explanation.query.text, words_of(explanation.query)
    strengths, overall = [], []
    for _, rows in sorted(word_rows.items()):
        similarity = explanation.similarity[rows].astype(np.float64)
        floor = similarity.sum(axis=1) / (similarity.shape[1] + 10)
        strengths.append(((best[:, rows] - floor) / np.maximum(1 - floor, 1e-6)).mean(axis=1))
        overall.append(((similarity.max(axis=1) - floor) / np.maximum(1 - floor, 1e-6)).mean())
    np.testing.assert_allclose(explanation.word_strengths, overall, rtol=1e-3, atol=1e-3)
    line = min(COVERED, 0.75 * np.max(strengths))
    owned: list[list[str]] = [[] for _ in found]
    for word, each in zip(sorted(word_rows), strengths, strict=True):
        near = abs(each.max() - line) < 1e-3 * max(1, abs(line))
        if near or (each >= each.max() - 1e-3 * max(1, abs(each.max()))).sum() > 1:
            return  # rounding decides
        if each.max() > line:
            owned[int(each.argmax())].append(text[slice(*spans[word])])
    assert [list(span.query_words) for span in found] == owned


def check_additions(reached: np.ndarray, weights: np.ndarray, chosen: list[int]) -> None:
    """Each further sentence adds what the constants ask for and no other adds more; after the last none is left."""
    for count in range(1, len(chosen) + 1):
        gains = reached - reached[:, chosen[:count]].max(axis=1, keepdims=True)  # (words, sentences)
        if min(np.abs(gains - CLEAR).min(), np.abs(gains - evidence._ALONE).min()) < 1e-4:
            return  # rounding decides
        clear = ((gains > CLEAR).sum(axis=0) > 1) | (gains > evidence._ALONE).any(axis=0)
        clear[chosen[:count]] = False
        added = np.where(clear, weights @ np.maximum(gains - CLEAR, 0), -1)
        if count == len(chosen):
            assert not clear.any()
        else:
            assert clear[chosen[count]]
            assert added[chosen[count]] == pytest.approx(added.max(), rel=1e-4)


PIECES = st.one_of(
    st.sampled_from(["elephants", "eat", "grass,", "leaves.", "Dr.", "Rao", "150", "kg!", "Why?", "can't", "3.5"]),
    st.sampled_from(["大象吃草。", "ช้างกินหญ้า", "हाथी घास खाता है।", "الفيلة تأكل؟", "שלום.", "한국어", "नि"]),
    st.sampled_from(["\U0001f469\u200d\U0001f469\u200d\U0001f467", "🇮🇳🇫🇷", "🐘🏽", "5 €", "²", "ﬁ", "e\u0301a\u0308"]),
    st.sampled_from(["[MASK]", "[CLS].", "[SEP]", "\x00", "\r\n", "\n- ", "| a | b |\n", "\u200b", "\u2028", "\ud800"]),
    st.text(max_size=6),
)
DOCUMENTS = st.one_of(
    st.lists(PIECES, max_size=20).map(" ".join),
    st.lists(st.lists(PIECES, min_size=3, max_size=4).map(" ".join), min_size=12, max_size=16).map(". ".join),
)
QUERIES = st.lists(PIECES, max_size=8).map(" ".join)
QUICK = settings(
    max_examples=200,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_twenty_thousand_spans_over_any_unicode_are_what_the_slow_way_finds(monkeypatch):
    monkeypatch.setattr(evidence, "_ALONE", -1e3)  # so that every sentence is looked at
    spans = Counter()

    @given(document=DOCUMENTS, query=QUERIES, seed=st.integers(0, 2**31))
    @QUICK
    def check(document: str, query: str, seed: int) -> None:
        spans["short query"] += check_spans(ragged(query, document, seed))
        # Many words ask, so that many sentences answer.
        spans["fake"] += check_spans(fake(f"{query} {document}", document, dim=64))
        for more in range(2):
            spans["random"] += check_spans(ragged(f"{query} {document}", document, seed + more))

    while spans.total() < 20_000:
        check()
    assert min(spans["fake"], spans["short query"]) >= 1000, spans


@given(document=DOCUMENTS, query=QUERIES, seed=st.integers(0, 99))
@settings(QUICK, max_examples=30)
def test_a_drop_is_what_scoring_again_without_the_rows_loses(document, query, seed):
    explanation = ragged(query, document, seed)
    read = explanation.document
    sentence_rows = rows_by_range(read, list(split_sentences(document)))
    for span in find_evidence(explanation):
        own = sentence_rows[split_sentences(document).index((span.start, span.end))]
        kept = np.delete(np.arange(len(read)), own)
        tokens = tuple(read.tokens[row] for row in kept)
        rest = TokenEmbeddings(document, read.vectors[kept], tokens, read.spans[kept], read.kinds[kept])
        assert span.drop == pytest.approx(explanation.score - explain(explanation.query, rest).score, abs=1e-4)


@given(document=DOCUMENTS, query=QUERIES, cuts=st.lists(st.integers(0, 400), max_size=12), seed=st.integers(0, 99))
@settings(QUICK, max_examples=200)
def test_sentences_of_the_caller_are_used_as_they_are(document, query, cuts, seed):
    text = f"Elephants eat grass {document}"
    characters = [match.start() for match in regex.finditer(r"\X", text)]
    edges = sorted({characters[cut] for cut in cuts if cut < len(characters)})
    sentences = list(zip(edges[::2], edges[1::2], strict=False))
    explanation = ragged(f"eat {query}", text, seed)
    check_spans(explanation, sentences)
    assert {(span.start, span.end) for span in find_evidence(explanation, sentences=sentences)} <= set(sentences)


@pytest.mark.parametrize(
    "sentences", [[(5, 3)], [(0, 0)], [(0, 6), (5, 9)], [(6, 9), (0, 5)], [(0, 100)], [(-2, 5)], [(0, 5), (5, 5)]]
)
def test_sentences_that_overlap_or_leave_the_text_are_refused(sentences):
    with pytest.raises(ValueError, match=r"sentences must be disjoint spans in order within 0\.\.19, got \("):
        find_evidence(fake("grass", "Elephants eat grass"), sentences=sentences)


@pytest.mark.parametrize("max_spans", [0, -1])
def test_no_spans_cannot_be_asked_for(max_spans):
    with pytest.raises(ValueError, match=f"max_spans must be an int of at least 1, got {max_spans}"):
        find_evidence(fake("grass", "Elephants eat grass."), max_spans=max_spans)


def test_the_sentence_that_answers_is_first_and_its_phrase_is_the_answer():
    text = (
        "Cats sleep at night. In all these forests every average elephant consumes 150 kg of food a day, says Rao. "
        "Rain fell."
    )
    (top,) = find_evidence(fake("elephant consumes 150 kg food", text))
    assert top.text == text[21:-11]
    assert text[top.phrase_start : top.phrase_end] == "elephant consumes 150 kg of food"
    assert (top.score, top.drop) == (pytest.approx(1.0), 5.0)  # all words are answered, and nowhere else
    assert top.query_words == ("elephant", "consumes", "150", "kg", "food")


def test_each_word_of_the_query_goes_to_the_sentence_that_answers_it():
    text = "Elephants eat grass. Cats eat mice. Cows drink."
    spans = find_evidence(fake("What do elephants and cows eat or drink", text))
    assert [(span.text, span.score, span.drop) for span in spans] == [
        ("Elephants eat grass.", pytest.approx(0.25), 1.0),  # two words of eight; without it, cats still eat
        ("Cows drink.", pytest.approx(0.25), 2.0),
    ]
    assert spans[0].query_words == ("elephants", "eat")  # cats eat too: ties go to the first sentence
    assert spans[1].query_words == ("cows", "drink")  # what, do, and, or: no sentence has them


def test_a_sentence_that_adds_little_is_left_out():
    text = "Elephants eat grass, leaves, bark and fruit. Cats drink milk. Rain fell."
    query = "elephants eat grass leaves bark fruit and "
    assert [span.text for span in find_evidence(fake(query, text))] == [text[:44]]
    # Two words that no other sentence has, of nine.
    scores = [span.score for span in find_evidence(fake(f"{query} cats drink", text))]
    assert scores == pytest.approx([7 / 9, 2 / 9])
    # Nothing is lost without the repetition, which earns as much as the first.
    assert [span.drop for span in find_evidence(fake("elephants eat", f"{text} {text}"))] == [0.0]


def test_a_sentence_without_a_best_match_is_left_out_however_near_it_is():
    explanation = fake("elephants eat grass", "Elephants eat grass. All elephants eat grass.")
    assert [span.start for span in find_evidence(explanation)] == [0]


def test_a_sentence_that_is_there_twice_is_worth_nothing_alone():
    first, *others = find_evidence(fake("elephants eat grass", "Elephants eat grass. Elephants eat grass."))
    assert (first.start, first.score, first.drop, others) == (0, pytest.approx(1.0), 0.0, [])


def test_a_document_of_one_sentence_and_nothing_else_loses_its_whole_score():
    row = labelled("grass", [(CONTENT, (0, 5), [0.6, 0.8])])
    (span,) = find_evidence(explain(row, row))
    assert (span.score, span.drop) == (pytest.approx(1.0), pytest.approx(1.0))
    assert (span.phrase_start, span.phrase_end) == (0, 5)


@pytest.mark.parametrize("query", ["elephants eat grass", "rain"])
def test_where_all_words_earn_the_same_the_phrase_is_all_of_them(query):
    (span,) = find_evidence(fake(query, "Elephants eat grass."), max_spans=1)
    assert (span.phrase_start, span.phrase_end) == (0, 19)


@pytest.mark.parametrize("document", ["", " ", "\n\t\r\n", "\u200b\u200d\ufeff", "\x00\x01"])
def test_a_document_without_visible_text_has_no_evidence(document):
    assert find_evidence(fake("What do elephants eat?", document)) == ()


def test_a_query_without_visible_text_has_no_evidence():
    assert find_evidence(fake(" ", "Elephants eat grass.")) == ()


def test_a_query_of_control_words_alone_has_no_evidence():
    document = labelled("grass", [(CONTENT, (0, 5), [1, 0])])
    for kind in (SPECIAL, MARKER, EXPANSION):
        query = labelled("[MASK] [MASK]", [(kind, (0, 6), [1, 0]), (kind, (-1, -1), [1, 0])])
        assert find_evidence(explain(query, document)) == ()


def test_a_query_of_punctuation_asks_with_its_marks():
    document = labelled("What? No.", [(CONTENT, (0, 4), [0, 1]), (CONTENT, (4, 5), [1, 0]), (CONTENT, (6, 8), [0, 1])])
    query = labelled("?!", [(CONTENT, (0, 1), [1, 0]), (CONTENT, (1, 2), [0.8, 0.6])])
    (span,) = find_evidence(explain(query, document))
    assert (span.text, span.query_words, span.score) == ("What?", ("?", "!"), pytest.approx(0.9))


def test_control_rows_are_in_the_score_but_make_no_span():
    text = "[MASK] rules. Grass grows."
    document = labelled(
        text,
        [
            (SPECIAL, (-1, -1), [1, 0]),
            (SPECIAL, (0, 6), [1, 0]),  # spelled out in the text, and the best match
            (EXPANSION, (7, 12), [1, 0]),
            (CONTENT, (14, 19), [0.6, 0.8]),
        ],
    )
    explanation = explain(labelled("grass", [(CONTENT, (0, 5), [1, 0])]), document)
    assert explanation.score == 1.0
    (span,) = find_evidence(explanation)
    assert (span.text, span.score, span.drop) == ("Grass grows.", pytest.approx(0.6), 0.0)


def test_expansion_rows_of_the_query_count_in_the_drop_and_not_in_the_score():
    query = labelled("grass", [(CONTENT, (0, 5), [1, 0]), (EXPANSION, (-1, -1), [0, 1])])
    document = labelled("Grass grows. Rain.", [(CONTENT, (0, 5), [1, 0]), (CONTENT, (13, 17), [0, 1])])
    (span,) = find_evidence(explain(query, document))
    assert (span.text, span.score, span.drop) == ("Grass grows.", 1.0, 1.0)
    second = find_evidence(explain(query, document), sentences=[(13, 18)])[0]
    assert (second.text, second.score, second.drop) == ("Rain.", 0.0, 1.0)


def test_rows_of_two_windows_belong_to_one_sentence():
    text = "Grass grows. Rain falls."
    document = labelled(
        text,
        [
            (CONTENT, (0, 5), [0.5, 0.5]),
            (CONTENT, (13, 17), [0, 0.1]),
            (CONTENT, (0, 5), [1, 0]),  # read again, later and better
        ],
    )
    (span,) = find_evidence(explain(labelled("grass", [(CONTENT, (0, 5), [1, 0])]), document))
    assert (span.text, span.score, span.drop) == ("Grass grows.", 1.0, 1.0)


def test_a_row_that_begins_with_the_space_before_its_sentence_belongs_to_it():
    # Byte-level tokenizers count that space to the word, and a caller's encoder may leave it there.
    document = labelled("Hay. Grass grows.", [(CONTENT, (0, 3), [0, 1]), (CONTENT, (4, 10), [1, 0])])
    (span,) = find_evidence(explain(labelled("grass", [(CONTENT, (0, 5), [1, 0])]), document))
    assert (span.text, span.phrase_start, span.phrase_end) == ("Grass grows.", 5, 10)


def test_pieces_of_one_word_of_the_query_come_together_as_that_word():
    query = labelled("the megaherbivore", [(CONTENT, (4 + 2 * i, 6 + 2 * i), [1, i / 10]) for i in range(6)])
    document = labelled("Elephants. Cats.", [(CONTENT, (0, 9), [1, 1]), (CONTENT, (11, 15), [0.1, 0])])
    (span,) = find_evidence(explain(query, document))
    assert span.query_words == ("megaherbivore",)


@given(document=DOCUMENTS, query=QUERIES, seed=st.integers(0, 99), max_spans=st.integers(1, 5))
@settings(QUICK, max_examples=100)
def test_the_same_question_gets_the_same_evidence_and_a_limit_keeps_the_first(document, query, seed, max_spans):
    found = find_evidence(ragged(query, document, seed), max_spans=10_000)
    assert found == find_evidence(ragged(query, document, seed), max_spans=10_000)
    fewer = find_evidence(ragged(query, document, seed), max_spans=max_spans)
    assert [replace(span, query_words=()) for span in found[:max_spans]] == [
        replace(span, query_words=()) for span in fewer
    ]  # the words are shared out among those that are listed
    assert max_spans < len(found) or fewer == found


@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=6), query=QUERIES, seed=st.integers(0, 99))
@settings(QUICK, max_examples=60)
def test_no_document_changes_the_evidence_of_another(documents, query, seed):
    encoder = RandomEncoder(seed)
    asked = encoder.encode(query)
    explanations = [explain(asked, encoder.encode(document)) for document in documents]
    together = find_all_evidence(explanations, max_spans=10)
    assert together == [find_evidence(explanation, max_spans=10) for explanation in explanations]
    assert together[::-1] == find_all_evidence(explanations[::-1], max_spans=10)


def test_many_documents_are_looked_through_in_blocks_and_one_may_be_larger_than_a_block(monkeypatch):
    texts = [f"Elephants eat {word}. " * times for word, times in (("grass", 3), ("leaves", 40), ("bark", 1), ("", 2))]
    encoder = RandomEncoder(0)
    asked = encoder.encode("What do elephants eat?")
    explanations = [explain(asked, encoder.encode(text)) for text in texts]
    whole = find_all_evidence(explanations)
    monkeypatch.setattr(evidence, "_BLOCK_ROWS", 30)
    blocks = [[len(one.document) for one in block] for block in evidence._blocks(explanations)]
    assert len(blocks) > 1
    assert [size for block in blocks for size in block] == [len(one.document) for one in explanations]
    assert all(sum(block) <= 30 or len(block) == 1 for block in blocks)
    assert find_all_evidence(explanations) == whole
    assert find_all_evidence([]) == []


def test_documents_explained_with_several_queries_have_the_evidence_for_each():
    several = [fake("grass", "Elephants eat grass."), fake("milk", "Cats drink milk."), fake("grass", "Grass grows.")]
    assert find_all_evidence(several) == [find_evidence(each) for each in several]
    assert [spans[0].query_words for spans in find_all_evidence(several)] == [("grass",), ("milk",), ("grass",)]


EARNED = st.lists(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 0.1, 1 / 3]), min_size=1, max_size=9), min_size=1)


@given(earned=EARNED, most=st.sampled_from([1, 10, 1 << 20]))
@settings(QUICK, max_examples=300)
def test_a_phrase_is_the_run_of_words_that_gathers_most_above_the_average_however_sentences_are_padded(earned, most):
    counts = np.array([len(words) for words in earned])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phrases, "_MOST", most)
        runs = phrases.densest(np.concatenate([np.array(words) for words in earned]), counts)
    begins = np.cumsum([0, *counts[:-1]])
    for words_of_one, begin, (first, last) in zip(earned, begins.tolist(), runs.tolist(), strict=True):
        above = np.array(words_of_one) - np.mean(words_of_one)
        gathered = {(i, j): above[i:j].sum() for i in range(len(above)) for j in range(i + 1, len(above) + 1)}
        most_of_all = max(gathered.values())
        if most_of_all < 1e-6:
            assert (first - begin, last - begin) == (0, len(above))
        else:
            assert gathered[first - begin, last - begin] == pytest.approx(most_of_all)


def test_finding_evidence_changes_no_input():
    explanation = ragged("What do elephants eat?", "Elephants eat grass. Cats sleep.")
    sentences = [(0, 20), (21, 32)]
    before = explanation.similarity.copy(), explanation.document.vectors.copy(), list(sentences)
    find_evidence(explanation, sentences=sentences)
    np.testing.assert_array_equal(explanation.similarity, before[0])
    np.testing.assert_array_equal(explanation.document.vectors, before[1])
    assert sentences == before[2]


# Meaning --------------------------------------------------------------------------------------------------------


def test_the_only_relevant_sentence_at_the_end_of_a_long_document_is_the_top_evidence(offline):
    chosen = random.Random(5)
    filler = ""
    while len(filler) < 20_000:
        who = chosen.choice(["The council", "A committee", "The treasurer", "Our neighbour", "The new architect"])
        what = chosen.choice(["postponed", "approved", "discussed", "criticised", "signed", "archived"])
        which = chosen.choice(["the parking plan", "a bridge repair", "last year's budget", "the library roof"])
        filler += f"{who} {what} {which} on day {chosen.randint(1, 365)}. "
    answer = "Adult elephants devour a hundred kilos of leaves and bark daily."
    text = filler + answer
    query, document = offline.encode_queries(["How much do elephants eat?"])[0], offline.encode_documents([text])[0]
    assert document.complete
    top, *others = find_evidence(explain(query, document))
    assert top.text == answer
    assert top.drop > max((span.drop for span in others), default=0.0)


def test_the_sentence_about_the_elephants_diet_is_the_top_evidence(offline, shared_data):
    folder = shared_data / "indian_elephant" / "norm"
    text = json.loads((folder / "corpus.jsonl").read_text("utf-8").splitlines()[0])["text"]
    question = json.loads((folder / "queries.jsonl").read_text("utf-8").splitlines()[0])["text"]
    expected = json.loads((folder / "evidence.jsonl").read_text("utf-8").splitlines()[0])["texts"][0]
    explanation = explain(offline.encode_queries([question])[0], offline.encode_documents([text])[0])
    assert find_evidence(explanation)[0].text == expected


def test_texts_score_higher_the_closer_they_are_to_the_query(offline, shared_data):
    lines = (shared_data / "indian_elephant" / "norm" / "notebook_pairs.jsonl").read_text("utf-8").splitlines()
    pairs = [json.loads(line) for line in lines]
    scores = {}
    for pair in pairs:
        query, document = offline.encode_queries([pair["query"]])[0], offline.encode_documents([pair["doc"]])[0]
        name = "same" if pair["doc"] == pair["query"] else pair["doc"].split()[0]
        scores[name] = explain(query, document).score
    ranking = sorted(scores, key=scores.__getitem__, reverse=True)
    # The same text, its rephrasing "Every day, ...", the cats, the employees, the rain.
    assert [name for name in ranking if name != "The"] == ["same", "Every", "Cats", "Employees"]
    assert len(pairs) == 6
