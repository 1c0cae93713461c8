"""Reading texts with any model: plan windows, batch them, join their rows; numpy only."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.batches import PlannedWindow, even_batches, mixed_batches, padded_width
from latelens.encoders.calibration import Calibration
from latelens.encoders.catalogue import list_models
from latelens.encoders.gathering import Gatherer
from latelens.encoders.labels import EncodedWindow, assemble, clean_surrogates
from latelens.encoders.protocol import Encoder
from latelens.encoders.windows import plan_windows
from latelens.legibility import READABLE, SYMBOLS, main_script
from latelens.refusals import described, warn_caller
from latelens.text.characters import is_visible, words

# Part of every fingerprint. Raise it when rows, spans or windows are made differently: old cache entries then no
# longer match.
ROWS_VERSION = 3
TASKS = ("query", "document")
# Texts to tokenize and sort at a time: bounds memory on a large corpus.
_SLAB = 2048
# Queries of several callers to encode together: a caller waits for at most one such run before its own.
_GATHERED = 32
# Over-long queries to remember, so as to warn of each once.
_REMEMBERED = 1000


class TokenEncoder(ABC):
    """An `Encoder` that reads texts in windows; safe to share between threads.

    A backend says how long its inputs may be (`_limit`), how its tokenizer cuts a text (`_tokenize`, `_names`) and how
    to encode slices that fit (`_forward`).

    A deep copy is the same encoder. Pickled, one that was loaded by name or from a folder comes back as a `LazyEncoder`
    with the same options; one around a model that the user loaded carries that model along.

    Parameters
    ----------
    name
        What the user loaded.
    batch_size
        Windows to encode at once.
    even
        Whether all windows of a batch have one width, so that no row depends on its batch; costs where a call should
        be large, as on an accelerator.
    lock
        Held while a text is tokenized.
    """

    def __init__(self, *, name: str, batch_size: int, even: bool, lock: threading.Lock) -> None:
        self.name = name
        self.batch_size = batch_size
        self.calibration: Calibration | None = None
        # Makes it again in another process, from a name or a folder; the calibration may have been changed here.
        self.recipe: Callable[[Calibration | None], Encoder] | None = None
        self._even = even
        self._lock = lock
        self._gatherer: Gatherer[tuple[str, int], EncodedWindow] = Gatherer(most=_GATHERED)
        self._warned: set[str] = set()
        self._unread: set[str] = set()  # scripts that this model was said not to read

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of each vector."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer and every setting that shapes the vectors."""

    @abstractmethod
    def _limit(self, task: str) -> int:
        """Tokens that the tokenizer may give, its control tokens included: never more than there are positions."""

    @abstractmethod
    def _tokenize(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        """Spans of all tokens of each text, (tokens, 2) each, uncut; the caller holds the lock.

        Those of control tokens and of the prompt end at 0. The prompt is in front, as it will be for the model: a
        text's tokens depend on what they follow.
        """

    @abstractmethod
    def _names(self, ids: Sequence[int]) -> list[str]:
        """Tokens as the tokenizer writes them."""

    @abstractmethod
    def _forward(self, slices: list[str], starts: list[int], task: str, width: int | None) -> list[EncodedWindow]:
        """Encode slices that fit the model; `starts` are their places in their texts.

        `width` is how many tokens wide the batch has to be, None as wide as its longest slice.
        """

    def _expanded_width(self) -> int | None:
        """How many tokens a query is filled up to by query expansion; None where it is not expanded."""
        return None

    def _lanes(self) -> int:
        """How many calls with queries the model takes at once; those of further threads are encoded together."""
        return 1

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries; one that is longer than the model's limit warns with the words that were cut.

        Queries that other threads ask for while the model is busy are encoded together.
        """
        texts = _checked(texts)
        if not texts:
            return []
        cleaned = [clean_surrogates(text) for text in texts]
        limit = self._limit("query")
        with self._lock:
            counts = [min(len(spans), limit) for spans in self._tokenize(cleaned, "query")]
        asked = list(zip(cleaned, counts, strict=True))
        results = []
        for text, window in zip(
            texts, self._gatherer.run(self._encode_gathered, asked, lanes=self._lanes()), strict=True
        ):
            results.append(self._assemble(text, [window]))
            if window.full and text not in self._warned:
                self._warn_of_cut(text, reached=int(window.read[:, 1].max(initial=0)))
        return results

    def _encode_gathered(self, asked: list[tuple[str, int]]) -> list[EncodedWindow]:
        """Windows of queries, each given with its number of tokens, in order."""
        plan = [PlannedWindow(i, 0, len(text), tokens) for i, (text, tokens) in enumerate(asked)]
        windows = {planned.text: window for planned, window in self._encode([text for text, _ in asked], plan, "query")}
        return [windows[i] for i in range(len(asked))]

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode documents; texts longer than the model's window are read in overlapping windows."""
        texts = _checked(texts)
        results: list[TokenEmbeddings] = []
        with _progress(len(texts)) if show_progress else nullcontext() as progress:
            for first in range(0, len(texts), _SLAB):
                results.extend(self._encode_slab(texts[first : first + _SLAB], progress))
        return results

    def __deepcopy__(self, memo: dict[int, Any]) -> TokenEncoder:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduce_model() if self.recipe is None else (self.recipe, (self.calibration,))

    def _reduce_model(self) -> tuple[Any, ...]:
        """How an encoder around a model that the user loaded is pickled."""
        raise TypeError(f"{self.name!r} cannot be pickled: load it by its name or from a folder")

    def _encode_slab(self, texts: Sequence[str], progress: Any) -> list[TokenEmbeddings]:
        cleaned = [clean_surrogates(text) for text in texts]
        plan = self._plan(cleaned)
        left = np.bincount([planned.text for planned in plan], minlength=len(texts))
        windows: list[list[EncodedWindow]] = [[] for _ in texts]
        results: list[TokenEmbeddings | None] = [None] * len(texts)
        for planned, window in self._encode(cleaned, plan, "document"):
            i = planned.text
            windows[i].append(window)
            left[i] -= 1
            if not left[i]:
                results[i] = self._assemble(texts[i], sorted(windows[i], key=lambda window: window.start))
                windows[i] = []
                if progress is not None:
                    progress.update()
        return [result for result in results if result is not None]

    def _plan(self, texts: Sequence[str]) -> list[PlannedWindow]:
        limit = self._limit("document")
        with self._lock:
            encoded = self._tokenize(["", *texts], "document")
            overhead = len(encoded[0])
            if overhead >= limit:
                raise ValueError(
                    f"{self.name!r} reads {limit} tokens and its prompt takes {overhead}: no room for text; "
                    "raise the model's document_length"
                )
            return [
                PlannedWindow(i, *window)
                for i, (text, offsets) in enumerate(zip(texts, encoded[1:], strict=True))
                for window in plan_windows(text, offsets, limit, lambda part: self._tokenize([part], "document")[0])
            ]

    def _encode(
        self, texts: Sequence[str], plan: Sequence[PlannedWindow], task: str
    ) -> Iterator[tuple[PlannedWindow, EncodedWindow]]:
        """Encode planned windows, the longest first."""
        for batch, width in self._batches(plan, task):
            slices = [texts[planned.text][planned.start : planned.end] for planned in batch]
            windows = self._forward(slices, [planned.start for planned in batch], task, width)
            yield from zip(batch, windows, strict=True)

    def _batches(self, plan: Sequence[PlannedWindow], task: str) -> Iterator[tuple[list[PlannedWindow], int | None]]:
        if not self._even:
            for batch in mixed_batches(plan, self.batch_size):
                yield batch, None
            return
        limit, filled = self._limit(task), self._expanded_width() if task == "query" else None
        # Query expansion fills a query up itself; others are padded like documents, so that many share a batch.
        widths = [max(each.tokens, filled) if filled else padded_width(each.tokens, limit) for each in plan]
        for batch, width in even_batches(plan, widths, self.batch_size):
            yield batch, None if filled else width

    def _assemble(self, text: str, windows: list[EncodedWindow]) -> TokenEmbeddings:
        ids = [token for window in windows for token in window.ids.tolist()]
        rows = assemble(text, windows, self._names(ids))
        if rows.unread > READABLE:
            self._warn_of_script(rows)
        return rows

    def _warn_of_script(self, rows: TokenEmbeddings) -> None:
        """Say once for each script that this model does not read it, and which models may."""
        script = main_script(rows.text)
        # No model reads a row of stars, or a word of a thousand letters, better.
        if script in self._unread or script == SYMBOLS or rows.text.isascii():
            return
        self._unread.add(script)
        others = [model.name for model in list_models() if model.languages != "English" and model.name != self.name]
        warn_caller(
            f"{self.name!r} cannot read {rows.unread:.0%} of a text in {script}: its score means little, and "
            "evidence is chosen by letters in common with the query; load a model for many languages, such as "
            f"{' or '.join(map(repr, others))}"
        )

    def _warn_of_cut(self, text: str, *, reached: int) -> None:
        """Say once for each query which words were not read to their end."""
        begin = next((start for start, end in words(text).tolist() if start < reached < end), reached)
        cut = text[begin:].strip()
        if not is_visible(text[reached:]):
            return
        if len(self._warned) >= _REMEMBERED:
            self._warned.clear()
        self._warned.add(text)
        warn_caller(
            f"the query is longer than the {self._limit('query')} tokens that {self.name!r} reads; "
            f"not searched for: {cut!r}"
        )


def _progress(count: int) -> Any:
    from tqdm.auto import tqdm  # a twentieth of a second, for a bar that is seldom shown

    return tqdm(total=count, desc="Encoding documents", unit="text")


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}; put one text in a list")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a str, got {described(text)}")
    return list(texts)
