from __future__ import annotations

import pytest

from latelens.text import content_words


@pytest.mark.parametrize(
    ("query", "words", "expected"),
    [
        ("How often should the filter be replaced?", "How often the be replaced", "often replaced"),
        ("When does it open?", "When it", ""),
        ("Who did die of cancer?", "die cancer", "die cancer"),  # an English word, although German has it too
        ("Wie oft wird der Filter gewechselt?", "Wie oft der gewechselt", "oft gewechselt"),
        ("Quand est-ce que le musée ouvre ?", "Quand le musée", "musée"),
        ("博物馆几点开门", "博物馆 几点", "博物馆 几点"),
        ("THE FILTER", "THE FILTER", "FILTER"),
        ("", "a", ""),
    ],
)
def test_words_that_say_nothing_on_their_own_are_left_out(query: str, words: str, expected: str) -> None:
    assert content_words(words.split(), query) == tuple(expected.split())
