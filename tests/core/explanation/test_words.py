"""Words of a query: which rows are theirs, and how much each says on its own."""

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from latelens import TokenEmbeddings
from latelens.explanation.words import query_words


def rows(text, vectors, spans):
    n = len(vectors)
    return TokenEmbeddings(
        text, np.array(vectors, np.float32), ("t",) * n, np.array(spans, np.int32), np.zeros(n, np.uint8)
    )


def test_pieces_of_a_word_come_together():
    query = rows("the megaherbivore", np.eye(3), [(0, 3), (4, 8), (8, 17)])
    found = query_words(query)
    assert found.words == ("the", "megaherbivore")
    assert [found.rows_of(i).tolist() for i in range(2)] == [[0], [1, 2]]
    assert found.counts.tolist() == [1, 2]


def test_a_word_like_the_rest_of_its_query_weighs_less_by_hand():
    # The first row has similarity .6 with both others, which have none with each other: means .6, .3 and .3.
    query = rows("a b c", [[0.6, 0.6, 0.52915], [1, 0, 0], [0, 1, 0]], [(0, 1), (2, 3), (4, 5)])
    expected = np.array([0.4**2, 0.7**2, 0.7**2])
    np.testing.assert_allclose(query_words(query).weights, expected / expected.sum(), rtol=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_equal_rows_weigh_the_same(count):
    query = rows("a b c"[: 2 * count - 1], [[1, 0]] * count, [(2 * i, 2 * i + 1) for i in range(count)])
    np.testing.assert_allclose(query_words(query).weights, 1 / count)


def test_a_query_without_words_has_no_weights():
    [query] = FakeEncoder().encode_queries([" "])
    assert query_words(query).weights.shape == (0,)
    assert query_words(query).words == ()


@pytest.mark.parametrize(
    ("question", "content"),
    [
        ("What do elephants eat in the dry season?", {"elephants", "eat", "dry", "season"}),
        ("When was the bridge over the river built and who paid for it?", {"bridge", "river", "built", "paid"}),
    ],
)
def test_with_the_offline_model_content_words_outweigh_function_words(offline, question, content):
    [query] = offline.encode_queries([question])
    found = query_words(query)
    weights = dict(zip(found.words, found.weights.tolist(), strict=True))
    asking = {"What", "When", "who"}  # what a question asks for is not like its other words either
    others = [weight for word, weight in weights.items() if word not in content | asking]
    assert sum(found.weights) == pytest.approx(1)
    assert min(weights[word] for word in content) > np.mean(others)
    assert np.mean([weights[word] for word in content]) > 1.5 * np.mean(others)
