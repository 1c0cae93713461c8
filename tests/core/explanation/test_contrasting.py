"""The gap between two scores, word by word."""

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from hypothesis import given
from hypothesis import strategies as st

from latelens import TokenKind, contrast, explain, load_encoder


def _pair(query="dry season eat", a="in the dry season they eat bark", b="lions eat"):
    encoder = FakeEncoder()
    [asked] = encoder.encode_queries([query])
    return [explain(asked, document) for document in encoder.encode_documents([a, b])]


def test_a_word_that_only_one_document_has_makes_the_gap():
    a, b = _pair()
    found = {word.word: word for word in contrast(a, b).words}
    assert found["dry"].gain > 0
    assert found["dry"].a_matched == ("dry",)
    assert found["eat"].gain == pytest.approx(0, abs=1e-6)


@given(
    st.lists(
        st.sampled_from(["dry", "season", "eat", "bark", "lions", "elephants", "grass", ",", "!", "é"]),
        min_size=1,
        max_size=12,
    )
)
def test_the_gains_sum_to_the_gap_and_the_gap_is_the_difference_of_the_scores(document):
    a, b = _pair(a=" ".join(document))
    told = contrast(a, b)
    assert sum(word.gain for word in told.words) == pytest.approx(told.gap, abs=1e-9)
    assert told.gap == pytest.approx(a.score - b.score, abs=1e-9)
    assert contrast(b, a).gap == pytest.approx(-told.gap, abs=1e-12)


def test_every_row_of_the_query_is_counted_once_with_control_rows_last():
    encoder = load_encoder("offline/all-MiniLM-L6-v2")
    [query] = encoder.encode_queries(["What do elephants eat? megaherbivore!"])
    a, b = (explain(query, d) for d in encoder.encode_documents(["Elephants graze, of course.", "It rains."]))
    told = contrast(a, b)
    assert sum(word.a for word in told.words) == pytest.approx(a.score, abs=1e-9)
    assert sum(word.b for word in told.words) == pytest.approx(b.score, abs=1e-9)
    for word in told.words[:5]:
        assert query.text[word.query_start : word.query_end] == word.word
    assert [word.word for word in told.words[:5]] == ["What", "do", "elephants", "eat", "megaherbivore"]
    assert [(word.word, word.kind) for word in told.words[5:]] == [
        ("? !", TokenKind.CONTENT),
        ("[CLS] [SEP]", TokenKind.SPECIAL),
    ]
    assert all(word.query_start == -1 for word in told.words[5:])


def test_the_table_puts_the_largest_difference_first():
    a, b = _pair()
    lines = str(contrast(a, b)).splitlines()
    assert lines[1].startswith("total")
    gains = [abs(float(line.split()[1])) for line in lines[2:]]
    assert gains == sorted(gains, reverse=True)


def test_two_queries_have_no_contrast():
    a, _ = _pair(query="dry season")
    _, b = _pair(query="lions")
    with pytest.raises(ValueError, match="one query and got 'dry season' and 'lions'"):
        contrast(a, b)


def test_matched_words_are_whole_even_where_tokens_are_not():
    encoder = load_encoder("offline/all-MiniLM-L6-v2")
    [query] = encoder.encode_queries(["megaherbivore"])
    a, b = (explain(query, d) for d in encoder.encode_documents(["A megaherbivore.", "Rain."]))
    [word] = [word for word in contrast(a, b).words if word.word == "megaherbivore"]
    assert word.a_matched == ("megaherbivore",)
    assert isinstance(word.a, float)
    assert not isinstance(word.a, np.floating)
