"""The rows of a document, by sentence."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.words import group_rows, unsplit
from latelens.text.sentences import split_sentences


@dataclass(frozen=True, eq=False)
class SentenceRows:
    """Content rows of a document in the order of its sentences; sentences without a row are left out.

    Attributes
    ----------
    spans
        (sentences, 2) int32, half-open ranges of characters.
    order
        All rows of the document: those of the first sentence, of the second and so on, with the others before or after;
        None where the rows lie like that anyway, as nearly always.
    marks
        (sentences + 2,) in that order: where the rows begin, where those of each sentence begin, and where the last
        one's end.
    ends
        (rows,) int32, in that order: where each row's text ends.
    """

    spans: NDArray[np.int32]
    order: NDArray[np.intp] | None
    marks: NDArray[np.intp]
    ends: NDArray[np.int32]

    def lay(self, similarity: NDArray[np.float32]) -> NDArray[np.float32]:
        """Similarities, (query rows, rows), in that order."""
        return similarity if self.order is None else similarity.take(self.order, axis=1)


# A cached document meets many queries; its sentences go when it goes.
_KNOWN: weakref.WeakKeyDictionary[TokenEmbeddings, SentenceRows] = weakref.WeakKeyDictionary()


def sentence_rows(document: TokenEmbeddings, sentences: Sequence[tuple[int, int]] | None = None) -> SentenceRows:
    """Group a document's rows by the given sentences, or by those of the built-in splitter.

    Raises
    ------
    ValueError
        If the sentences are not disjoint spans of the text, in order.
    """
    if sentences is not None:
        return _by_sentence(document, _checked(sentences, document.text))
    known = _KNOWN.get(document)
    if known is None:
        known = _KNOWN[document] = _by_sentence(document, split_sentences(document.text))
    return known


def _checked(sentences: Sequence[tuple[int, int]], text: str) -> Sequence[tuple[int, int]]:
    previous = 0
    for start, end in sentences:
        if not previous <= start < end <= len(text):
            raise ValueError(
                f"sentences must be disjoint spans in order within 0..{len(text)}, "
                f"got ({start}, {end}) after {previous}"
            )
        previous = end
    return sentences


def _by_sentence(document: TokenEmbeddings, spans: Sequence[tuple[int, int]]) -> SentenceRows:
    sentences = unsplit(document, np.array(spans, dtype=np.int32).reshape(-1, 2))
    rows, present, edges = group_rows(document, sentences)
    if len(rows) and (np.diff(rows) == 1).all():
        return SentenceRows(sentences[present], None, np.append(0, edges + rows[0]), document.spans[:, 1])
    others = np.setdiff1d(np.arange(len(document)), rows)
    order = np.concatenate([rows, others])
    return SentenceRows(sentences[present], order, np.append(0, edges), document.spans[order, 1])
