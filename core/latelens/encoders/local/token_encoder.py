"""What both backends do alike: plan windows, batch them, and join their rows."""

from __future__ import annotations

import threading
import warnings
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm.auto import tqdm
from transformers import AutoModel

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.calibration import Calibration
from latelens.encoders.labels import EncodedWindow, assemble, clean_surrogates
from latelens.encoders.local.batches import PlannedWindow, batches
from latelens.encoders.local.routes import Route
from latelens.encoders.windows import plan_windows
from latelens.text.characters import is_visible, words

# Raise when rows, spans or windows are made differently: old cache entries then no longer match.
FORMAT = 2
TASKS = ("query", "document")
# On a CPU, 8 sorted texts at a time were 1.5x as fast as 32, with OpenVINO 16 a little faster than 8; an accelerator
# wants more.
_CPU_BATCH, _OPENVINO_BATCH, _ACCELERATOR_BATCH = 8, 16, 64
# Texts to tokenize and sort at a time: bounds memory on a large corpus.
_SLAB = 2048
# Over-long queries to remember, so as to warn of each once.
_REMEMBERED = 1000
# Threads that tokenize at once truncate each other's texts, or raise: 51 wrong of 3,678 without a lock. One lock
# a tokenizer, since two encoders can share one model. Behind the lock of the table: two threads may come first.
_LOCKS: weakref.WeakKeyDictionary[Any, threading.Lock] = weakref.WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


class TokenEncoder(ABC):
    """An encoder around a loaded model; safe to share between threads.

    A backend says how long its inputs may be (`_limit`), what stands before them (`_prompt`), which ids mark a
    task (`_marker_ids`) and how to encode slices that fit (`_forward`).
    """

    def __init__(
        self, *, name: str, tokenizer: Any, device: torch.device, batch_size: int | None, route: Route
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"{name!r} has no fast tokenizer ({type(tokenizer).__name__}), so its tokens have no character "
                "positions; convert it with transformers' `AutoTokenizer.from_pretrained(..., use_fast=True)` or "
                "take another model"
            )
        self.name = name
        self.route = route
        self.calibration: Calibration | None = None
        usual = _OPENVINO_BATCH if route.engine == "openvino" else _CPU_BATCH
        self.batch_size = batch_size or (usual if device.type == "cpu" else _ACCELERATOR_BATCH)
        self._tokenizer = tokenizer
        with _LOCKS_LOCK:
            self._lock = _LOCKS.setdefault(tokenizer, threading.Lock())
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, dim={self.dim}, route={str(self.route)!r})"

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
    def _prompt(self, task: str) -> str:
        """Text that is put in front of every input."""

    @abstractmethod
    def _marker_ids(self) -> set[int]:
        """Ids that mark a task, such as ColBERT's ``[Q]`` and ``[D]``."""

    @abstractmethod
    def _forward(self, slices: list[str], starts: list[int], task: str) -> list[EncodedWindow]:
        """Encode slices that fit the model; `starts` are their places in their texts."""

    @cached_property
    def _control_ids(self) -> NDArray[np.int64]:
        """Ids that stand for no text, also where a text spells them out."""
        # The unknown token stands for real characters; all others control the model.
        control = set(self._tokenizer.all_special_ids) - {self._tokenizer.unk_token_id}
        return np.array(sorted(control | self._marker_ids()), dtype=np.int64)

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries; one that is longer than the model's limit warns with the words that were cut."""
        texts = _checked(texts)
        plan = [PlannedWindow(i, 0, len(text), len(text)) for i, text in enumerate(texts)]
        results: list[TokenEmbeddings | None] = [None] * len(texts)
        for planned, window in self._encode([clean_surrogates(text) for text in texts], plan, "query"):
            text = texts[planned.text]
            results[planned.text] = self._assemble(text, [window])
            if window.full and text not in self._warned:
                self._warn_of_cut(text, reached=int(window.read[:, 1].max(initial=0)))
        return [result for result in results if result is not None]

    def encode_documents(self, texts: Sequence[str], *, show_progress: bool = False) -> list[TokenEmbeddings]:
        """Encode documents; texts longer than the model's window are read in overlapping windows."""
        texts = _checked(texts)
        results: list[TokenEmbeddings] = []
        with tqdm(total=len(texts), desc="Encoding documents", unit="text", disable=not show_progress) as progress:
            for first in range(0, len(texts), _SLAB):
                results.extend(self._encode_slab(texts[first : first + _SLAB], progress))
        return results

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
                progress.update()
        return [result for result in results if result is not None]

    def _plan(self, texts: Sequence[str]) -> list[PlannedWindow]:
        limit = self._limit("document")
        with self._lock:
            encoded = self._tokenize(["", *texts])
            overhead = len(encoded[0])
            if overhead >= limit:
                raise ValueError(
                    f"{self.name!r} reads {limit} tokens and its prompt takes {overhead}: no room for text; "
                    "raise the model's document_length"
                )
            return [
                PlannedWindow(i, *window)
                for i, (text, offsets) in enumerate(zip(texts, encoded[1:], strict=True))
                for window in plan_windows(text, offsets, limit, lambda part: self._tokenize([part])[0])
            ]

    def _tokenize(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Spans of all tokens of each document, (tokens, 2) each, uncut; the caller holds the lock.

        The prompt is in front, as it will be for the model: a text's tokens depend on what they follow.
        """
        prompt = self._prompt("document")
        encoded = self._tokenizer(
            [prompt + text for text in texts], truncation=False, return_offsets_mapping=True, verbose=False
        )
        return [
            np.maximum(np.array(offsets, dtype=np.int32).reshape(-1, 2) - len(prompt), 0)
            for offsets in encoded["offset_mapping"]
        ]

    def _encode(
        self, texts: Sequence[str], plan: Sequence[PlannedWindow], task: str
    ) -> Iterator[tuple[PlannedWindow, EncodedWindow]]:
        """Encode planned windows, longest first, in batches that hardly pad."""
        for batch in batches(sorted(plan, key=lambda planned: -planned.tokens), self.batch_size):
            slices = [texts[planned.text][planned.start : planned.end] for planned in batch]
            yield from zip(batch, self._forward(slices, [planned.start for planned in batch], task), strict=True)

    def _assemble(self, text: str, windows: list[EncodedWindow]) -> TokenEmbeddings:
        ids = [token for window in windows for token in window.ids.tolist()]
        return assemble(text, windows, self._tokenizer.convert_ids_to_tokens(ids))

    def _warn_of_cut(self, text: str, *, reached: int) -> None:
        """Say once for each query which words were not read to their end."""
        begin = next((start for start, end in words(text).tolist() if start < reached < end), reached)
        cut = text[begin:].strip()
        if not is_visible(text[reached:]):
            return
        if len(self._warned) >= _REMEMBERED:
            self._warned.clear()
        self._warned.add(text)
        warnings.warn(
            f"the query is longer than the {self._limit('query')} tokens that {self.name!r} reads; "
            f"not searched for: {cut!r}",
            stacklevel=3,
        )


def positions(transformer: Any) -> int | None:
    """How many tokens a transformer has positions for; None if it does not say."""
    limit = getattr(transformer.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit < 1:  # a table of -1 positions, as XLNet has, is none
        return None
    if not isinstance(transformer, torch.nn.Module):  # exported: its layers are seen in a copy without weights
        with torch.device("meta"):
            transformer = AutoModel.from_config(transformer.config)  # type: ignore[no-untyped-call]
    for module in transformer.modules():
        # RoBERTa's family counts positions from its padding id on.
        padding = getattr(module, "padding_idx", None)
        if isinstance(padding, int) and isinstance(getattr(module, "position_embeddings", None), torch.nn.Embedding):
            return limit - padding - 1
    return limit


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}; put one text in a list")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a str, got {type(text).__name__}: {text!r:.80}")
    return list(texts)
