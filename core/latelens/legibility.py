"""How much of a text its rows cannot tell apart: unknown tokens, and words that are spelled out letter by letter."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
import regex
from numpy.typing import NDArray

# With a larger share of unread characters, a text counts as not read. 100 of SQuAD's questions for tuning, a part of
# their words written in Cyrillic letters: with .15, .33, .48 and .89 unread, the first sentence is right for .92, .90,
# .79 and .58 if the model chooses, for .89, .90, .89 and .92 if letters do.
READABLE = 1 / 3
# What letters without a name of their own, and texts without a letter, are called.
SYMBOLS = "symbols"
# How tokenizers write a token for what is not in their vocabulary.
_UNKNOWN = frozenset({"[UNK]", "<unk>", "<UNK>", "<|unk|>"})
# Where a single letter is no word. A Chinese character is one, and is read if it has a token of its own.
_NOT_ASCII = regex.compile(r"[^\x00-\x7f]+")
_WORD = regex.compile(r"(?V1)[[\p{L}\p{M}]--\p{Han}]{3,}")


def unread_share(text: str, tokens: Sequence[str], spans: NDArray[np.int32]) -> float:
    """Share, 0..1, of the characters in `spans`, (n, 2) int32, that a model sees but cannot read.

    Unread are the characters of unknown tokens; those that stand alone in their token inside a word of three letters or
    more, one of them outside of ASCII; and letters that several tokens share. None of them says what a word means.

    >>> spans = np.array([[0, 4], [5, 7], [7, 8]], dtype=np.int32)
    >>> unread_share("Abba она", ["abba", "он", "##а"], spans)  # 1 of 7
    0.14285714285714285
    """
    unknown = not _UNKNOWN.isdisjoint(tokens)
    letters = not text.isascii() and any(map(str.isalpha, "".join(_NOT_ASCII.findall(text))))
    if (not unknown and not letters) or not (spans[:, 0] >= 0).any():  # rows of a page image stand for no character
        return 0.0
    spans = np.clip(spans, -1, len(text))  # rows that were read from a damaged file may lie anywhere
    held = _marked(text, spans[spans[:, 0] >= 0])
    lost = np.zeros(len(spans), dtype=np.bool_)
    if unknown:  # a text may hold the very words "[UNK]"
        places = enumerate(zip(tokens, spans.tolist(), strict=True))
        lost |= np.isin(
            np.arange(len(spans)), [i for i, (name, (a, b)) in places if name in _UNKNOWN and text[a:b] != name]
        )
    if letters:
        lost |= _spelled_out(text, tokens, spans)
    unread = _marked(text, spans[lost & (spans[:, 0] >= 0)])
    return float(unread.sum() / max(held.sum(), 1))


def main_script(text: str) -> str:
    """What most letters outside of ASCII are called, by the first word of their names in Unicode; if none, the others.

    >>> main_script("Panthers 黑豹队"), main_script("Кот"), main_script("👍")
    ('Chinese characters', 'Cyrillic', 'symbols')
    """
    letters = [letter for letter in "".join(_NOT_ASCII.findall(text)) or text if letter.isalpha()]
    names = Counter(unicodedata.name(letter, SYMBOLS).partition(" ")[0] for letter in letters)
    name = names.most_common(1)[0][0] if names else SYMBOLS
    return "Chinese characters" if name == "CJK" else name.title() if name.isupper() else name


def _spelled_out(text: str, tokens: Sequence[str], spans: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Rows of a single letter inside a longer word, and rows that share a letter with the next, (n,) bool."""
    found = [match.span() for match in _WORD.finditer(text) if not match.group().isascii()]
    in_word = np.append(_marked(text, np.array(found, dtype=np.int32).reshape(-1, 2)), False)  # spans of -1 look here
    # A token is as long as its letters in a WordPiece vocabulary; in one of bytes its span says how many it stands for.
    lengths = np.fromiter((len(token.removeprefix("##").removeprefix("▁")) for token in tokens), np.intp, len(tokens))
    alone = (spans[:, 1] - spans[:, 0] <= 1) | (lengths <= 1)
    same = np.zeros(len(spans), dtype=np.bool_)
    same[1:] = (spans[1:] == spans[:-1]).all(axis=1) & (spans[1:, 0] >= 0)
    for i in np.flatnonzero(same).tolist():
        same[i] = text[spans[i, 0] : spans[i, 0] + 1].isalpha()
    same[:-1] |= same[1:]
    result: NDArray[np.bool_] = (in_word[spans[:, 0]] & alone) | same
    return result


def _marked(text: str, spans: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Whether each character of the text lies in one of the spans, (characters,) bool."""
    steps = np.zeros(len(text) + 1, dtype=np.intp)
    np.add.at(steps, spans[:, 0], 1)
    np.subtract.at(steps, spans[:, 1], 1)
    marked: NDArray[np.bool_] = steps[:-1].cumsum() > 0
    return marked
