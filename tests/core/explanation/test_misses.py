"""What a document lacks for a query, word by word."""

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given
from hypothesis import strategies as st

from latelens import TokenKind, explain, explain_miss

PIECES = ["elephants", "eat", "bark", "megaherbivore", "?", "é", "大象", "Rao,", "dry"]


def miss(query, document, encoder=None):
    encoder = encoder or FakeEncoder()
    return explain_miss(encoder.encode_queries([query])[0], encoder.encode_documents([document])[0])


def test_words_that_the_document_does_not_have_found_nothing():
    told = miss("elephants eat bark", "Elephants sleep all day and then they rest in the shade of trees")
    assert told.uncovered == ("eat", "bark")
    found = {word.word: word for word in told.words}
    assert found["elephants"].found
    assert (found["elephants"].lost, found["elephants"].matched) == (0, ("Elephants",))
    assert (found["bark"].lost, found["bark"].strength) == (1, 0)


@given(query=st.lists(st.sampled_from(PIECES), max_size=8).map(" ".join), document=st.lists(st.sampled_from(PIECES)))
def test_score_and_losses_sum_to_the_number_of_rows(query, document):
    encoder = FakeEncoder()
    [asked], [read] = encoder.encode_queries([query]), encoder.encode_documents([" ".join(document)])
    told = explain_miss(asked, read)
    assert told.score == explain(asked, read).score
    assert told.score + sum(word.lost for word in told.words) == pytest.approx(len(asked), abs=1e-9)
    assert told.uncovered == explain(asked, read).uncovered


def test_the_offline_model_finds_what_is_said_otherwise_and_not_what_is_absent(offline):
    text = "Adult elephants of the savanna need about two hundred litres of water each day."
    told = miss("How much do elephants drink in Norway?", text, offline)
    assert "Norway" in told.uncovered
    assert not {"elephants", "much", "do"} & set(told.uncovered)
    assert [(word.word, word.kind, word.strength) for word in told.words[-2:]] == [
        ("?", TokenKind.CONTENT, None),
        ("[CLS] [SEP]", TokenKind.SPECIAL, None),
    ]


def test_the_table_begins_with_what_found_nothing():
    lines = str(miss("elephants eat bark", "Elephants sleep all day and then they rest in the shade")).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["eat", "bark", "elephants", "[CLS]"]
    assert "nothing" in lines[1]
    assert "nothing" not in lines[3]
