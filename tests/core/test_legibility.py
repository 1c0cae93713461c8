"""How much of a text a model can tell apart, from its tokens and their places."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from latelens import TokenEmbeddings
from latelens.embeddings import TokenKind
from latelens.legibility import READABLE, main_script, unread_share
from latelens.serialize import from_bytes, to_bytes


def share(text: str, *pieces: tuple[str, int, int]) -> float:
    return unread_share(text, [name for name, _, _ in pieces], np.array([place for _, *place in pieces], np.int32))


def rows(text: str, *pieces: tuple[str, int, int], complete: bool = True) -> TokenEmbeddings:
    spans = np.array([(-1, -1), *((start, end) for _, start, end in pieces)], dtype=np.int32)
    kinds = np.array([TokenKind.SPECIAL] + [TokenKind.CONTENT] * len(pieces), dtype=np.uint8)
    vectors = np.eye(len(spans), 8, dtype=np.float32)
    return TokenEmbeddings(text, vectors, ("[CLS]", *(name for name, _, _ in pieces)), spans, kinds, complete)


@pytest.mark.parametrize("unknown", ["[UNK]", "<unk>"])
def test_an_unknown_token_hides_its_characters(unknown):
    assert share("abc 黑豹", ("abc", 0, 3), (unknown, 4, 5), (unknown, 5, 6)) == 2 / 5


def test_a_text_that_spells_the_unknown_token_out_is_read():
    assert share("see [UNK]", ("see", 0, 3), ("[UNK]", 4, 9)) == 0


def test_single_letters_say_nothing_inside_a_word_of_other_letters_than_asciis():
    pieces = ("м", 0, 1), ("##о", 1, 2), ("##ск", 2, 4), ("##ва", 4, 6)
    assert share("Москва", *pieces) == 2 / 6
    assert share("в Москве", ("в", 0, 1), ("москве", 2, 8)) == 0  # a word of one letter is one
    assert share("f3ab xyz", ("f", 0, 1), ("##3", 1, 2), ("x", 5, 6), ("##y", 6, 7), ("##z", 7, 8)) == 0


def test_a_chinese_character_with_a_token_of_its_own_is_read_and_one_cut_into_bytes_is_not():
    assert share("中文的字", ("中", 0, 1), ("文", 1, 2), ("的", 2, 3), ("字", 3, 4)) == 0
    assert share("中文", ("ä¸", 0, 1), ("Ń", 0, 1), ("文", 1, 2)) == 1 / 2


def test_the_overlap_of_two_windows_is_no_letter_cut_into_bytes():
    assert share("дом кот спит", ("кот", 4, 7), ("спит", 8, 12), ("[SEP]", -1, -1), ("спит", 8, 12)) == 0


def test_quotes_and_dashes_are_no_other_script():
    assert share("it’s – s", ("it", 0, 2), ("’", 2, 3), ("s", 3, 4), ("–", 5, 6), ("s", 7, 8)) == 0


def test_what_no_row_holds_counts_neither_way():
    assert share("читать дом", ("дом", 7, 10)) == 0
    assert share("", *[("[CLS]", -1, -1)]) == 0


def test_a_text_that_is_not_read_is_not_complete_also_if_it_was_stored_as_complete():
    half = rows("кот dog", ("к", 0, 1), ("##о", 1, 2), ("##т", 2, 3), ("dog", 4, 7))
    assert half.unread == 1 / 2 > READABLE
    assert not half.complete
    old = to_bytes(rows("dog cat", ("dog", 0, 1), ("##o", 1, 2), ("##g", 2, 3), ("cat", 4, 7)))  # written as complete
    assert not from_bytes(old, half.text).complete
    assert rows("кот dog", ("кот", 0, 3), ("dog", 4, 7)).complete
    assert not replace(rows("dog", ("dog", 0, 3)), complete=False).complete


def test_places_outside_of_the_text_are_no_characters():
    assert share("кот", ("к", 0, 1), ("а", 7, 9), ("б", 7, 9)) == 1
    assert share("", ("к", 5, 9)) == 0


def test_the_script_is_the_one_of_most_letters():
    assert main_script("Panthers καλημέρα") == "Greek"
    assert main_script("ไทย") == "Thai"
