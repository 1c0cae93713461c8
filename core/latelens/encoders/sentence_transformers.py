"""The backend on sentence-transformers 6: its `MultiVectorEncoder`, and any sentence-embedding model token-wise."""

from __future__ import annotations

import string
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import MultiVectorEncoder, SentenceTransformer, __version__
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from tqdm.auto import tqdm

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.batches import PlannedWindow, batches
from latelens.encoders.fingerprint import module_settings, settings_digest, weights_digest
from latelens.encoders.rows import EncodedWindow, assemble, clean_surrogates, label_rows
from latelens.encoders.windows import plan_windows
from latelens.text import is_visible, words

# On a CPU, 8 sorted texts at a time were 1.5x as fast as 32; an accelerator wants more.
_CPU_BATCH, _ACCELERATOR_BATCH = 8, 64
# Texts to tokenize and sort at a time: bounds memory on a large corpus.
_SLAB = 2048
# Raise when rows, spans or windows are made differently: old cache entries then no longer match.
_FORMAT = 1
# Threads that tokenize at once truncate each other's texts, or raise: 51 wrong of 3,678 without a lock. One lock
# a tokenizer, since two encoders can share one model. Behind the lock of the table: two threads may come first.
_LOCKS: weakref.WeakKeyDictionary[Any, threading.Lock] = weakref.WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


def token_wise(model: SentenceTransformer) -> MultiVectorEncoder:
    """Use a sentence-embedding model's token vectors, normalised, without punctuation among the document rows."""
    transformer = next((module for module in model if isinstance(module, Transformer)), None)
    if transformer is None:
        kinds = [type(module).__name__ for module in model]
        raise ValueError(f"the model has no Transformer module, so it has no token vectors: {kinds}")
    modules = [
        transformer,
        Normalize(module_input_name="token_embeddings"),
        MultiVectorMask(skiplist_words=list(string.punctuation)),
    ]
    prompts = {task: model.prompts.get(task) or "" for task in ("query", "document")}
    return MultiVectorEncoder(modules=modules, prompts=prompts, device=str(model.device))


class SentenceTransformersEncoder:
    """Encodes with a `MultiVectorEncoder`; safe to share between threads.

    Lengths, prompts, query expansion and skiplist are the checkpoint's own.
    """

    def __init__(self, model: MultiVectorEncoder, *, name: str, batch_size: int | None = None) -> None:
        self.name = name
        self.model = model.eval()
        self._transformer = next((module for module in model if isinstance(module, Transformer)), None)
        tokenizer = model.tokenizer
        if self._transformer is None or not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"{name!r} has no fast tokenizer ({type(tokenizer).__name__}), so its tokens have no character "
                "positions; convert it with transformers' `AutoTokenizer.from_pretrained(..., use_fast=True)` or "
                "take another model"
            )
        self._tokenizer: Any = tokenizer
        on_cpu = model.device.type == "cpu"
        self.batch_size = batch_size or (_CPU_BATCH if on_cpu else _ACCELERATOR_BATCH)
        with _LOCKS_LOCK:
            self._lock = _LOCKS.setdefault(tokenizer, threading.Lock())
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, dim={self.dim}, device={str(self.model.device)!r})"

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self.model.get_embedding_dimension() or 0)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer and every setting that shapes the vectors."""
        tasks = ("query", "document")
        return settings_digest(
            _FORMAT,
            "sentence-transformers",
            __version__,
            self._weights_digest,
            [[self._limit(task), self._prompt(task)] for task in tasks],
            module_settings(self.model),
        )

    @cached_property
    def _weights_digest(self) -> str:
        with self._lock:
            return weights_digest(self.model, self._tokenizer)

    @cached_property
    def _control_ids(self) -> NDArray[np.int64]:
        """Ids that stand for no text, also where a text spells them out."""
        # The unknown token stands for real characters; all others control the model.
        control = set(self._tokenizer.all_special_ids) - {self._tokenizer.unk_token_id}
        # A marker that was added to the vocabulary, as PyLate does with "[D] ", need not be listed as special.
        added = set(self._tokenizer.get_added_vocab().values())
        with self._lock:
            for task in ("query", "document"):
                control |= added & set(self._tokenizer(self._prompt(task), add_special_tokens=False)["input_ids"])
        return np.array(sorted(control), dtype=np.int64)

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

    def _forward(self, slices: list[str], starts: list[int], task: str) -> list[EncodedWindow]:
        features = self._preprocess(slices, task)
        offsets, added = features["offset_mapping"].numpy(), features["special_tokens_mask"].numpy().astype(bool)
        tokens = features["attention_mask"].numpy().astype(bool)
        device = self.model.device
        features = {key: value.to(device) if isinstance(value, torch.Tensor) else value for key, value in features.items()}
        with torch.inference_mode():
            output = self.model(features, task=task)
            vectors = output["token_embeddings"].float().cpu().numpy()  # (batch, width, dim) float32
        ids, scoring = output["input_ids"].cpu().numpy(), output["attention_mask"].cpu().numpy().astype(bool)
        expansion = output.get("query_expansion_positions")
        expanded = np.zeros_like(scoring) if expansion is None else expansion.cpu().numpy().astype(bool)
        # Expansion may widen a batch after tokenization: the new columns have no offsets and no text.
        extra = ids.shape[1] - offsets.shape[1]
        offsets = np.pad(offsets, ((0, 0), (0, extra), (0, 0)))
        added = np.pad(added, ((0, 0), (0, extra)), constant_values=True)
        full = (tokens & ~expanded).sum(axis=1) >= self._limit(task)
        windows = []
        for i, start in enumerate(starts):
            spans, kinds = label_rows(
                slices[i],
                ids[i],
                offsets[i],
                added=added[i],
                expansion=expanded[i],
                control_ids=self._control_ids,
                prompt_length=len(self._prompt(task)),
            )
            keep = scoring[i]
            window = EncodedWindow(
                start, vectors[i][keep], ids[i][keep], spans[keep], kinds[keep], spans, bool(full[i])
            )
            windows.append(window)
        return windows

    def _preprocess(self, slices: list[str], task: str) -> dict[str, Any]:
        # `max_length` guards the position table; query expansion of a fixed width brings its own.
        length = {} if task == "query" and self._fixed_width() else {"max_length": self._limit(task)}
        with self._lock:
            features: dict[str, Any] = self.model.preprocess(
                slices,
                prompt=self._prompt(task),
                task=task,
                processing_kwargs={"text": {"return_offsets_mapping": True, "return_special_tokens_mask": True}},
                **length,
            )
        return features

    def _assemble(self, text: str, windows: list[EncodedWindow]) -> TokenEmbeddings:
        ids = [token for window in windows for token in window.ids.tolist()]
        return assemble(text, windows, self._tokenizer.convert_ids_to_tokens(ids))

    def _prompt(self, task: str) -> str:
        return self.model.prompts.get(task) or ""

    def _fixed_width(self) -> int | None:
        expansion = getattr(self._transformer, "query_expansion", None)
        return expansion["length"] if expansion and expansion["strategy"] == "fixed" else None

    def _limit(self, task: str) -> int:
        """Tokens that the model takes, prompt and control tokens included: never more than it has positions."""
        transformer: Any = self._transformer
        asked = transformer.query_length if task == "query" else transformer.document_length
        asked = (self._fixed_width() if task == "query" else None) or asked or self.model.max_seq_length
        positions = getattr(transformer.config, "max_position_embeddings", None)
        if positions is not None:
            positions -= transformer._infer_flatten_position_offset()
        # A table of -1 positions, as XLNet has, is none.
        limits = [int(limit) for limit in (asked, positions) if limit and limit > 0]
        return min(limits, default=int(1e9))

    def _warn_of_cut(self, text: str, *, reached: int) -> None:
        """Say once for each query which words were not read to their end."""
        begin = next((start for start, end in words(text).tolist() if start < reached < end), reached)
        cut = text[begin:].strip()
        if not is_visible(text[reached:]):
            return
        self._warned.add(text)
        warnings.warn(
            f"the query is longer than the {self._limit('query')} tokens that {self.name!r} reads; "
            f"not searched for: {cut!r}",
            stacklevel=3,
        )


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}; put one text in a list")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a str, got {type(text).__name__}: {text!r:.80}")
    return list(texts)
