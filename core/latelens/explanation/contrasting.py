"""Why one document scores higher than another: for each word of the query, what it finds in either."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenKind
from latelens.explanation.matches import Explanation
from latelens.explanation.words import query_entries
from latelens.refusals import check_is
from latelens.text.characters import words


@dataclass(frozen=True)
class WordGain:
    """What one word of the query contributes to either score.

    Attributes
    ----------
    word
        The word as the query spells it; for rows that belong to no word, their tokens.
    kind
        Kind of the word's rows: special, marker and expansion rows come last, one entry a kind.
    query_start, query_end
        Place in the query, -1 for rows that belong to no word.
    a, b
        Contribution to either score: the sum of the matches of the word's rows.
    a_matched, b_matched
        The words that were matched in either document, in its order; empty where no row with text was.
    """

    word: str
    kind: TokenKind
    query_start: int
    query_end: int
    a: float
    b: float
    a_matched: tuple[str, ...]
    b_matched: tuple[str, ...]

    @property
    def gain(self) -> float:
        """What the word adds to the lead of A over B; negative where B is better."""
        return self.a - self.b


@dataclass(frozen=True)
class Contrast:
    """Two scores of one query, word by word; ``str(contrast)`` is a table, largest differences first.

    Attributes
    ----------
    gap
        Score of A minus score of B: the sum of the words' gains.
    words
        One entry a word of the query, in its order, then the rows that belong to none.
    """

    gap: float
    words: tuple[WordGain, ...]

    def __str__(self) -> str:
        ranked = sorted(self.words, key=lambda word: -abs(word.gain))
        width = max(len(word.word) for word in ranked)
        lines = [f"{'':{width}}  {'gain':>7}  in A | in B", f"{'total':{width}}  {self.gap:+7.3f}"]
        for word in ranked:
            a, b = (", ".join(matched) or "-" for matched in (word.a_matched, word.b_matched))
            lines.append(f"{word.word:{width}}  {word.gain:+7.3f}  {a} {word.a:.3f} | {b} {word.b:.3f}")
        return "\n".join(lines)


def contrast(a: Explanation, b: Explanation) -> Contrast:
    """Explain the gap between two documents' scores for one query.

    A query row adds ``max_j S_A[i, j] - max_j S_B[i, j]`` to the gap, so the gains sum to it exactly.

    Raises
    ------
    ValueError
        If the two explanations are not of one query.
    """
    for name, one in (("a", a), ("b", b)):
        check_is(name, one, Explanation, "an Explanation, as explain gives it")
    if a.query.text != b.query.text or a.query.tokens != b.query.tokens:
        raise ValueError(
            f"a contrast needs one query and got {a.query.text!r:.60} and {b.query.text!r:.60}; "
            "explain both documents with the same query and model"
        )
    best_a = a.similarity.max(axis=1).astype(np.float64)  # (query rows,) float64
    best_b = b.similarity.max(axis=1).astype(np.float64)
    entries = []
    for text, kind, start, end, rows in query_entries(a.query):
        entry = WordGain(
            word=text,
            kind=kind,
            query_start=start,
            query_end=end,
            a=math.fsum(best_a[rows].tolist()),
            b=math.fsum(best_b[rows].tolist()),
            a_matched=matched_words(a, rows),
            b_matched=matched_words(b, rows),
        )
        entries.append(entry)
    return Contrast(math.fsum([*best_a.tolist(), *(-best_b).tolist()]), tuple(entries))


def matched_words(explanation: Explanation, rows: NDArray[np.intp]) -> tuple[str, ...]:
    """Words of the document that these rows of the query matched, each once, in the document's order."""
    document = explanation.document
    winners = np.unique(explanation.similarity[rows].argmax(axis=1))
    known = words(document.text)
    found = []
    for start, end in document.spans_of(winners).tolist():
        owner = int(known[:, 0].searchsorted(start, side="right")) - 1
        inside = owner >= 0 and start < known[owner, 1]
        begin, stop = (int(known[owner, 0]), max(end, int(known[owner, 1]))) if inside else (start, end)
        found.append((begin, stop))
    return tuple(document.text[begin:stop] for begin, stop in sorted(set(found)))
