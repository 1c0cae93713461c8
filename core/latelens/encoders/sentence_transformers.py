"""The backend on sentence-transformers 6: its `MultiVectorEncoder`, and any sentence-embedding model token-wise."""

from __future__ import annotations

import hashlib
import json
import string
import threading
import warnings
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
from latelens.encoders.rows import EncodedWindow, assemble, clean_surrogates, label_rows
from latelens.encoders.windows import plan_windows

# On a CPU, 8 sorted texts at a time were 1.5x as fast as 32; an accelerator wants more.
_CPU_BATCH, _ACCELERATOR_BATCH = 8, 64
# A batch closes early rather than spend more than this share of its tokens on padding.
_MAX_PADDING = 0.1
# Texts to tokenize and sort at a time: bounds memory on a large corpus.
_SLAB = 2048
# Raise when rows, spans or windows are made differently: old cache entries then no longer match.
_FORMAT = 1


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
        # Threads that tokenize at once truncate each other's texts, or raise: 51 wrong of 3,678 without a lock.
        self._lock = threading.Lock()
        self._warned: set[str] = set()
        # The unknown token stands for real characters; all others control the model.
        control = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
        self._control_ids = np.array(sorted(control), dtype=np.int64)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, dim={self.dim}, device={str(self.model.device)!r})"

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return int(self.model.get_embedding_dimension() or 0)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, tokenizer and every setting that shapes the vectors."""
        transformer: Any = self._transformer
        skiplists = [
            [module.skiplist_words, module.skiplist_tasks, module.keep_only_token_ids]
            for module in self.model
            if isinstance(module, MultiVectorMask)
        ]
        settings = [
            _FORMAT,
            "sentence-transformers",
            __version__,
            self._weights_digest,
            [self._limit("query"), self._limit("document")],
            [self._prompt("query"), self._prompt("document")],
            transformer.query_expansion,
            skiplists,
            [type(module).__name__ for module in self.model],
        ]
        return hashlib.blake2b(json.dumps(settings).encode(), digest_size=16).hexdigest()

    @cached_property
    def _weights_digest(self) -> str:
        digest = hashlib.blake2b(self._tokenizer.backend_tokenizer.to_str().encode(), digest_size=16)
        for key, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode queries; one that is longer than the model's limit warns with the words that were cut."""
        texts = _checked(texts)
        plan = [(i, 0, len(text), len(text)) for i, text in enumerate(texts)]
        results: list[TokenEmbeddings | None] = [None] * len(texts)
        for (i, *_), window in self._encode([clean_surrogates(text) for text in texts], plan, "query"):
            results[i] = self._assemble(texts[i], [window])
            self._warn_if_cut(texts[i], window)
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
        left = np.bincount([i for i, *_ in plan], minlength=len(texts))
        windows: list[list[EncodedWindow]] = [[] for _ in texts]
        results: list[TokenEmbeddings | None] = [None] * len(texts)
        for (i, *_), window in self._encode(cleaned, plan, "document"):
            windows[i].append(window)
            left[i] -= 1
            if not left[i]:
                results[i] = self._assemble(texts[i], sorted(windows[i], key=lambda window: window.start))
                windows[i] = []
                progress.update()
        return [result for result in results if result is not None]

    def _plan(self, texts: Sequence[str]) -> list[tuple[int, int, int, int]]:
        """The windows to encode: (index of the text, start, end, tokens)."""
        with self._lock:
            encoded = self._tokenize(texts)
            overhead = len(self._tokenizer(self._prompt("document"))["input_ids"])
            limit = self._limit("document")
            capacity = limit - overhead
            if capacity < 1:
                raise ValueError(
                    f"{self.name!r} reads {limit} tokens and its prompt takes {overhead}: no room for text; "
                    "raise the model's document_length"
                )
            return [
                (i, *window)
                for i, (text, offsets) in enumerate(zip(texts, encoded, strict=True))
                for window in plan_windows(text, offsets, capacity, lambda part: self._tokenize([part])[0])
            ]

    def _tokenize(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        """Character spans of every token, (tokens, 2) each, uncut; the caller holds the lock."""
        if not texts:
            return []
        encoded = self._tokenizer(
            list(texts), add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        return [np.array(offsets, dtype=np.int32).reshape(-1, 2) for offsets in encoded["offset_mapping"]]

    def _encode(
        self, texts: Sequence[str], plan: Sequence[tuple[int, int, int, int]], task: str
    ) -> Iterator[tuple[tuple[int, int, int, int], EncodedWindow]]:
        """Encode planned windows, longest first, in batches that hardly pad."""
        for batch in _batches(sorted(plan, key=lambda window: -window[3]), self.batch_size):
            slices = [texts[i][start:end] for i, start, end, _ in batch]
            yield from zip(batch, self._forward(slices, [start for _, start, _, _ in batch], task), strict=True)

    def _forward(self, slices: list[str], starts: list[int], task: str) -> list[EncodedWindow]:
        prompt = self._prompt(task)
        # `max_length` guards the position table; query expansion of a fixed width brings its own.
        length = {} if task == "query" and self._fixed_width() else {"max_length": self._limit(task)}
        with self._lock:
            features = self.model.preprocess(
                slices,
                prompt=prompt,
                task=task,
                processing_kwargs={"text": {"return_offsets_mapping": True, "return_special_tokens_mask": True}},
                **length,
            )
        offsets, added = features["offset_mapping"].numpy(), features["special_tokens_mask"].numpy().astype(bool)
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
        windows = []
        for i, start in enumerate(starts):
            spans, kinds = label_rows(
                ids[i],
                offsets[i],
                added=added[i],
                expansion=expanded[i],
                control_ids=self._control_ids,
                prompt_length=len(prompt),
            )
            keep = scoring[i]
            windows.append(EncodedWindow(start, vectors[i][keep], ids[i][keep], spans[keep], kinds[keep], spans))
        return windows

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
        limits = [int(limit) for limit in (asked, positions) if limit]
        return min(limits, default=int(1e9))

    def _warn_if_cut(self, text: str, window: EncodedWindow) -> None:
        reached = int(window.read[:, 1].max(initial=0))
        cut = text[reached:].strip()
        if len(text) - reached > 0 and cut and self._limit("query") <= len(window.read) and text not in self._warned:
            self._warned.add(text)
            warnings.warn(
                f"the query is longer than the {self._limit('query')} tokens that {self.name!r} reads; "
                f"not searched for: {cut!r}",
                stacklevel=2,
            )


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}; put one text in a list")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a str, got {type(text).__name__}: {text!r:.80}")
    return list(texts)


def _batches(
    windows: Sequence[tuple[int, int, int, int]], batch_size: int
) -> Iterator[list[tuple[int, int, int, int]]]:
    """Group windows, sorted from long to short, so that padding stays under `_MAX_PADDING` of a batch."""
    batch: list[tuple[int, int, int, int]] = []
    tokens = 0
    for window in windows:
        if batch:
            padded = (len(batch) + 1) * max(batch[0][3], 1)
            if len(batch) == batch_size or padded - tokens - window[3] > _MAX_PADDING * padded:
                yield batch
                batch, tokens = [], 0
        batch.append(window)
        tokens += window[3]
    if batch:
        yield batch
