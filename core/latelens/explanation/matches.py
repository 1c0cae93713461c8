"""Why a document got its score: for each query row the document row that it matched, summing to the score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings, TokenKind
from latelens.explanation.words import QueryWords, query_words
from latelens.legibility import READABLE
from latelens.refusals import check_is
from latelens.shown import ShowsInNotebooks

# A word is answered if its best match goes this share of the way from what the word finds anywhere in the chunk to
# identity. Offline model, words of SQuAD and SciFact questions: 95 % of those that the chunk repeats are above .64,
# 90 % of content words in a chunk on another subject below .42.
COVERED = 0.4
# A word whose weight is this share of the average one speaks for itself: 95 % of content words do and, of function
# words, 4 % (SciFact claims) to 19 % (SQuAD questions, most of them "what", "who" and the like).
_SPEAKS = 0.8
# So many rows of similarity 0 are added to the chunk's own before averaging: two words have no average to speak of.
PRIOR_ROWS = 10


@dataclass(frozen=True)
class Match:
    """One query row and the document row that it matched best.

    Spans are half-open ranges of characters of the query's and the document's text, ``(-1, -1)`` where a row
    has no text. `kind` is the kind of the query row: expansion, marker and special rows count in the score;
    `document_kind` is that of the document row, PATCH where it stands for a patch of a page image. `one_of` are the
    spans of all tokens that a pooled row of the document stands for, where they are several: the query row matched
    their mean, and `document_span` is the one most like it.
    """

    query_row: int
    document_row: int
    similarity: float
    query_token: str
    document_token: str
    query_span: tuple[int, int]
    document_span: tuple[int, int]
    kind: TokenKind
    document_kind: TokenKind = TokenKind.CONTENT
    one_of: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Explanation(ShowsInNotebooks):
    """A score and everything that it is made of.

    Attributes
    ----------
    score
        MaxSim: the float64 sum of the matches' similarities.
    query, document
        The rows that were compared.
    similarity
        (query rows, document rows) float32: every pair, for pictures and for evidence.
    """

    score: float
    query: TokenEmbeddings
    document: TokenEmbeddings
    similarity: NDArray[np.float32]

    def __repr__(self) -> str:
        text = self.document.text[:40]
        return f"Explanation(score={self.score:.4f}, matches={len(self.query)}, document={text!r})"

    @cached_property
    def matches(self) -> tuple[Match, ...]:
        """One match for each query row, in order; their similarities sum to the score."""
        rows = self.similarity.argmax(axis=1).tolist()
        best = self.similarity.max(axis=1).tolist()
        query_spans = [(start, end) for start, end in self.query.spans.tolist()]
        document_spans = self.document.spans
        return tuple(
            Match(
                query_row=i,
                document_row=row,
                similarity=best[i],
                query_token=self.query.tokens[i],
                document_token=self.document.tokens[row],
                query_span=query_spans[i],
                document_span=(int(document_spans[row, 0]), int(document_spans[row, 1])),
                kind=TokenKind(int(self.query.kinds[i])),
                document_kind=TokenKind(int(self.document.kinds[row])),
                one_of=self._one_of(row),
            )
            for i, row in enumerate(rows)
        )

    def _one_of(self, row: int) -> tuple[tuple[int, int], ...]:
        """Spans of the tokens behind a row of the document, where they are more than one."""
        if self.document.pooled is None:
            return ()
        spans = self.document.spans_of(np.array([row])).tolist()
        return tuple((start, end) for start, end in spans) if len(spans) > 1 else ()

    @cached_property
    def sums(self) -> NDArray[np.float32]:
        """The sum of each query row's similarities, (query rows,) float32."""
        sums: NDArray[np.float32] = self.similarity.sum(axis=1)
        return sums

    @property
    def deviation(self) -> float:
        """Standard deviation of all similarities: what is a clear difference with this model."""
        return float(deviations([self])[0])

    @cached_property
    def word_strengths(self) -> NDArray[np.float64]:
        """How clearly each word of the query is matched, (words,) at most 1, in the order of the query.

        0 is what the word finds anywhere in the chunk, 1 the same token in the same context; averaged over the
        pieces of a word. Models differ in how similar unrelated tokens are, strengths hardly.
        """
        return self.strengths_of(self.similarity.max(axis=1)[:, None])[:, 0]

    def strengths_of(self, best: NDArray[np.float32]) -> NDArray[np.float64]:
        """`word_strengths` within parts of the document.

        `best`, (query rows, parts), is the largest similarity of each query row in each part; returns (words, parts).
        """
        asked = query_words(self.query)
        if not len(asked.rows):
            return np.zeros((0, best.shape[1]))
        floor = found_anywhere(self.sums, self.similarity.shape[1])[asked.rows, None]  # (rows of words, 1)
        return _strengths(asked, best[asked.rows], floor)

    @property
    def strength(self) -> float:
        """How clearly the query as a whole is matched: the weighted mean of its words' strengths, at most 1."""
        return float(query_words(self.query).weights @ self.word_strengths)

    def strengths_between(self, edges: NDArray[np.intp]) -> NDArray[np.float64]:
        """`strength` within each range of the document's rows, (parts,), of (parts + 1,) edges from 0 to the end.

        What a word finds anywhere is then what it finds anywhere in that part.
        """
        asked = query_words(self.query)
        best = np.maximum.reduceat(self.similarity, edges[:-1], axis=1)[asked.rows]  # (rows of words, parts)
        sums = np.add.reduceat(self.similarity, edges[:-1], axis=1)[asked.rows]
        strengths: NDArray[np.float64] = asked.weights @ _strengths(asked, best, found_anywhere(sums, np.diff(edges)))
        return strengths

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The words of the query that nothing in the document answers, in its order; function words are left out.

        Empty where the document is a page image, since COVERED was measured on text, and where the model cannot read.
        """
        if self.document.is_page_image or not self.readable:
            return ()
        asked = query_words(self.query)
        missing = (self.word_strengths < COVERED) & (asked.weights * len(asked.words) >= _SPEAKS)
        return tuple(asked.words[i] for i in np.flatnonzero(missing).tolist())

    @property
    def readable(self) -> bool:
        """Whether the model reads enough of the query and of the document to tell their words apart."""
        return max(self.query.unread, self.document.unread) <= READABLE

    @property
    def mean_similarity(self) -> float:
        """The score divided by the number of query rows that scored."""
        return self.score / len(self.query)


def explain(query: TokenEmbeddings, document: TokenEmbeddings) -> Explanation:
    """Match each query row with its best document row.

    The contributions are the score, term by term (ColBERT's MaxSim; Khattab and Zaharia, SIGIR 2020):
    special, marker and expansion rows are among them and carry their kind.

    >>> import numpy as np
    >>> def rows(text, vectors):
    ...     n = len(vectors)
    ...     spans = np.array([[2 * i, 2 * i + 1] for i in range(n)], dtype=np.int32)
    ...     return TokenEmbeddings(text, np.array(vectors, dtype=np.float32), tuple(text.split()), spans,
    ...                            np.zeros(n, dtype=np.uint8))
    >>> explanation = explain(rows("a b", [[1, 0], [0, 1]]), rows("x y", [[0.6, 0.8], [1, 0]]))
    >>> [(match.query_token, match.document_token) for match in explanation.matches]
    [('a', 'y'), ('b', 'x')]
    >>> round(explanation.score, 3)
    1.8

    Raises
    ------
    ValueError
        If the dimensions differ or a side has no rows.
    """
    check_pair(query, document, to="match")
    similarity = query.vectors @ document.vectors.T  # (query rows, document rows) float32
    # fsum rounds once, so the matches sum to the score whatever their order.
    score = math.fsum(similarity.max(axis=1).tolist())
    return Explanation(score, query, document, similarity)


def check_pair(query: TokenEmbeddings, document: TokenEmbeddings, *, to: str) -> None:
    """Refuse what cannot be compared row by row; `to` says what for."""
    check_is("query", query, TokenEmbeddings, "TokenEmbeddings, as encode_queries gives them")
    check_is("document", document, TokenEmbeddings, "TokenEmbeddings, as encode_documents gives them")
    if query.dim != document.dim:
        raise ValueError(
            f"the query has dimension {query.dim} and the document {document.dim}; encode both with one model"
        )
    if not len(query) or not len(document):
        raise ValueError(f"nothing to {to}: {len(query)} query rows and {len(document)} document rows")


def deviations(explanations: Sequence[Explanation]) -> NDArray[np.float64]:
    """`Explanation.deviation` of documents that were explained with one query, (documents,)."""
    sizes = np.array([explanation.similarity.size for explanation in explanations])
    means = _all_sums(explanations).sum(axis=1) / sizes
    squares = np.array([np.vdot(one.similarity, one.similarity) for one in explanations]) / sizes
    found: NDArray[np.float64] = np.sqrt(np.maximum(squares - means * means, 1e-12))
    return found


def strengths_in(
    explanations: Sequence[Explanation], best: NDArray[np.float32], owners: NDArray[np.intp]
) -> NDArray[np.float64]:
    """`Explanation.strengths_of` for parts of documents that were explained with one query, (words, parts).

    `owners` says which document each part is of.
    """
    asked = query_words(explanations[0].query)
    rows = np.array([[one.similarity.shape[1]] for one in explanations], dtype=np.float32)
    floor = found_anywhere(_all_sums(explanations), rows)[:, asked.rows]  # (documents, rows of words)
    return _strengths(asked, best[asked.rows], floor[owners].T)


def _all_sums(explanations: Sequence[Explanation]) -> NDArray[np.float32]:
    """`Explanation.sums` of each document, (documents, query rows)."""
    return np.concatenate([explanation.sums for explanation in explanations]).reshape(len(explanations), -1)


def found_anywhere(sums: NDArray[np.float32], rows: int | NDArray[Any]) -> NDArray[Any]:
    """What a query's rows or words find anywhere: the mean of `sums` over as many document rows, drawn towards 0."""
    floor: NDArray[Any] = sums / (rows + PRIOR_ROWS)
    return floor


def _strengths(asked: QueryWords, best: NDArray[np.float32], floor: NDArray[Any]) -> NDArray[np.float64]:
    """How far each word goes from `floor` to 1, (words, parts), of what its rows reach, (rows of words, parts)."""
    strength = (best - floor) / np.maximum(1 - floor, 1e-6)
    strengths: NDArray[np.float64] = asked.mean_of_rows(strength).astype(np.float64)
    return strengths
