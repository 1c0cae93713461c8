"""`BM25`: a first stage that finds chunks by their words."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.index.filters import matches, parse_filter
from latelens.index.protocol import Chunk, Filter
from latelens.index.stages.first_stage import Candidate
from latelens.refusals import check_count, check_is, check_number, check_several, check_texts, described
from latelens.text.characters import words


class BM25:
    """Finds chunks that share words with a query, by BM25 as in Lucene (Robertson and Zaragoza, 2009), with bm25s.

    Words are Unicode's, without case. Chunks that share none with the query are no candidates. Everything is kept in
    memory, and the statistics are those of the whole collection: a change makes the next query count all words anew.

    Parameters
    ----------
    chunks
        What to search; of two with one id the later counts.
    k1, b
        How soon a repeated word stops to count, and how much a long chunk is discounted.
    stem
        What to make of each lower-cased word, such as PyStemmer's ``Stemmer("english").stemWord``; None leaves it.

    Raises
    ------
    ImportError
        If bm25s is missing: ``pip install 'latelens[bm25]'``.
    """

    name = "bm25"

    def __init__(
        self,
        chunks: Iterable[Chunk] = (),
        *,
        k1: float = 1.5,
        b: float = 0.75,
        stem: Callable[[str], str] | None = None,
    ) -> None:
        check_number("k1", k1, 0, none="")
        check_number("b", b, 0, 1, none="")
        if stem is not None and not callable(stem):
            raise TypeError(f"stem must be a function from a word to its stem, or None, got {described(stem)}")
        self.k1, self.b, self._stem = k1, b, stem
        self._chunks: dict[str, Chunk] = {}
        self._built: tuple[list[Chunk], NDArray[np.intp], Any] | None = None
        self._lock = threading.Lock()
        _import_bm25s()
        self.add(chunks)

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, chunks: Iterable[Chunk]) -> int:
        """Add chunks, replacing those with the same ids; returns how many were given."""
        check_several("chunks", chunks, "Chunks")
        given = list(chunks)
        for chunk in given:
            check_is("what BM25 takes", chunk, Chunk, "a Chunk(id, text, metadata)")
        with self._lock:
            self._chunks.update((chunk.id, chunk) for chunk in given)
            self._built = None
        return len(given)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete chunks and return how many there were; unknown ids are skipped."""
        check_texts("ids", ids)
        with self._lock:
            gone = sum(self._chunks.pop(id, None) is not None for id in dict.fromkeys(ids))
            self._built = None
        return gone

    def candidates(self, query: str, k: int, filter: Filter | None = None) -> list[Candidate]:
        """The best `k` chunks that fulfil the filter and share a word with the query; equal scores by their ids."""
        check_is("query", query, str, "a str")
        check_count("k", k)
        condition = None if filter is None else parse_filter(filter)
        chunks, order, engine = self._build()
        asked = [word for word in self._words(query) if engine is not None and word in engine.vocab_dict]
        if not asked:
            return []
        scores = engine.get_scores(asked)  # (chunks,) float32
        found: list[Candidate] = []
        some = np.flatnonzero(scores > 0)
        for i in some[np.lexsort((order[some], -scores[some]))].tolist():
            if len(found) == k:
                break
            if condition is None or matches(condition, chunks[i].fields()):
                found.append(Candidate(chunks[i], float(scores[i])))
        return found

    def _build(self) -> tuple[list[Chunk], NDArray[np.intp], Any]:
        """The chunks, the place of each one's id among all, and the counted words: None without any."""
        with self._lock:
            if self._built is None:
                chunks = list(self._chunks.values())
                order = np.argsort(np.argsort(np.array([chunk.id for chunk in chunks], dtype=object)))
                corpus = [self._words(chunk.text) for chunk in chunks]
                engine = None
                if any(corpus):
                    engine = _import_bm25s().BM25(method="lucene", k1=self.k1, b=self.b)
                    engine.index(corpus, show_progress=False)
                self._built = chunks, order, engine
            return self._built

    def _words(self, text: str) -> list[str]:
        found = [text[start:end].casefold() for start, end in words(text).tolist()]
        return found if self._stem is None else [self._stem(word) for word in found]


def _import_bm25s() -> Any:
    try:
        return import_module("bm25s")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "bm25s":
            raise
        raise ImportError("BM25 needs bm25s: run `pip install 'latelens[bm25]'`") from error
