"""Encoders of which latelens knows the tokenizer and the settings: ids go in, vectors of every token come out."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tokenizers
from numpy.typing import NDArray

from latelens.encoders.labels import EncodedWindow, label_batch
from latelens.encoders.onnx.settings import TOKENIZER_FILE, ExportSettings
from latelens.encoders.reading import TokenEncoder


@dataclass(frozen=True)
class TokenBatch:
    """What a model is given of some texts for the task ``"query"`` or ``"document"``, (batch, width) each.

    Attributes
    ----------
    texts, task
        The slices behind the ids, without the prompt.
    ids
        int64, filled up with padding.
    tokens, expanded
        bool: the tokens of the text with its prompt, and the rows that query expansion adds after them.
    seen
        bool: what the model attends to.
    scoring
        bool: the rows that take part in MaxSim.
    """

    texts: list[str]
    task: str
    ids: NDArray[np.int64]
    tokens: NDArray[np.bool_]
    expanded: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    scoring: NDArray[np.bool_]


class TokenizedEncoder(TokenEncoder):
    """Cuts texts with the tokenizer of an exported folder; a backend says what the model makes of the ids."""

    def __init__(self, folder: Path, settings: ExportSettings, *, name: str, batch_size: int, even: bool) -> None:
        super().__init__(name=name, batch_size=batch_size, even=even, lock=threading.Lock())
        self.folder = folder
        self.calibration = settings.calibration
        self._settings = settings
        self._control_ids = np.array(settings.control_ids, dtype=np.int64)
        self._tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_padding()

    @property
    def dim(self) -> int:
        """Length of each vector."""
        return self._settings.dim

    @abstractmethod
    def _vectors(self, batch: TokenBatch) -> NDArray[np.float32]:
        """A vector for each token, (batch, width, dim) float32; what is not scored may be anything."""

    def _limit(self, task: str) -> int:
        return self._settings.of(task).limit

    def _expanded_width(self) -> int | None:
        query = self._settings.query
        return query.expansion.length - (query.marker is not None) if query.expansion else None

    def _tokenize(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        prompt = self._settings.of(task).prompt
        self._tokenizer.no_truncation()
        encoded = self._tokenizer.encode_batch([prompt + text for text in texts])
        return [np.maximum(np.array(each.offsets, dtype=np.int32).reshape(-1, 2) - len(prompt), 0) for each in encoded]

    def _names(self, ids: Sequence[int]) -> list[str]:
        return [self._tokenizer.id_to_token(token) or "" for token in ids]

    def _forward(self, slices: list[str], starts: list[int], task: str, width: int | None) -> list[EncodedWindow]:
        settings = self._settings.of(task)
        with self._lock:
            self._tokenizer.enable_truncation(settings.limit)
            encoded = self._tokenizer.encode_batch([settings.prompt + text for text in slices])
        room = int(settings.marker is not None)
        counts = np.array([len(each.ids) + room for each in encoded])
        expansion = settings.expansion
        width = max((width or 0) + room, int(counts.max()), expansion.length if expansion else 0)
        tokens = np.arange(width) < counts[:, None]  # (batch, width) bool
        ids = np.full(tokens.shape, self._settings.pad_id, dtype=np.int64)
        offsets = np.zeros((*tokens.shape, 2), dtype=np.int32)
        added = np.ones(tokens.shape, dtype=bool)
        places = np.delete(np.arange(width), 1) if room else np.arange(width)  # the marker's is the second
        for i, each in enumerate(encoded):
            own = places[: len(each.ids)]
            ids[i, own] = each.ids
            offsets[i, own] = np.array(each.offsets, dtype=np.int32).reshape(-1, 2)
            added[i, own] = each.special_tokens_mask
        if settings.marker is not None:
            ids[:, 1] = settings.marker
        expanded = np.zeros_like(tokens)
        if expansion:
            expanded = ~tokens & (np.arange(width) < expansion.length)
            ids[expanded] = expansion.token_id
        seen = tokens | expanded if expansion and expansion.attend else tokens
        scoring = (tokens | expanded) & ~np.isin(ids, settings.skipped)
        batch = TokenBatch(slices, task, ids, tokens, expanded, seen, scoring)
        return label_batch(
            slices,
            starts,
            vectors=self._vectors(batch),
            ids=ids,
            offsets=offsets,
            added=added,
            expansion=expanded,
            scoring=scoring,
            full=counts - room >= settings.limit,
            marker=1 if room else None,
            control_ids=self._control_ids,
            prompt_length=len(settings.prompt),
        )
