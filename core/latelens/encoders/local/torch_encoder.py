"""What both torch backends do alike: a Hugging Face tokenizer, sizes of batches, and pickling."""

from __future__ import annotations

import threading
import weakref
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from latelens.encoders.reading import TokenEncoder
from latelens.encoders.routes import Route, cores

# On a CPU, 8 sorted texts at a time were 1.5x as fast as 32, with OpenVINO 16 a little faster than 8; an accelerator
# wants more.
_CPU_BATCH, _OPENVINO_BATCH, _ACCELERATOR_BATCH = 8, 16, 64
# Threads that tokenize at once truncate each other's texts, or raise: 51 wrong of 3,678 without a lock. One lock
# a tokenizer, since two encoders can share one model. Behind the lock of the table: two threads may come first.
_LOCKS: weakref.WeakKeyDictionary[Any, threading.Lock] = weakref.WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


class TorchEncoder(TokenEncoder):
    """An encoder around a model of sentence-transformers or PyLate.

    A backend also says what stands before its inputs (`_prompt`) and which ids mark a task (`_marker_ids`).
    """

    def __init__(self, model: Any, *, name: str, tokenizer: Any, batch_size: int | None, route: Route) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ValueError(
                f"{name!r} has no fast tokenizer ({type(tokenizer).__name__}), so its tokens have no character "
                "positions; convert it with transformers' `AutoTokenizer.from_pretrained(..., use_fast=True)` or "
                "take another model"
            )
        on_cpu = model.device.type == "cpu"
        usual = (_OPENVINO_BATCH if route.engine == "openvino" else _CPU_BATCH) if on_cpu else _ACCELERATOR_BATCH
        with _LOCKS_LOCK:
            lock = _LOCKS.setdefault(tokenizer, threading.Lock())
        super().__init__(name=name, batch_size=batch_size or usual, even=on_cpu, lock=lock)
        self.model = model.eval()
        self.route = route
        self._tokenizer = tokenizer

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, dim={self.dim}, route={str(self.route)!r})"

    @abstractmethod
    def _prompt(self, task: str) -> str:
        """Text that is put in front of every input."""

    @abstractmethod
    def _marker_ids(self) -> set[int]:
        """Ids that mark a task, such as ColBERT's ``[Q]`` and ``[D]``."""

    @cached_property
    def _control_ids(self) -> NDArray[np.int64]:
        """Ids that stand for no text, also where a text spells them out."""
        # The unknown token stands for real characters; all others control the model.
        control = set(self._tokenizer.all_special_ids) - {self._tokenizer.unk_token_id}
        return np.array(sorted(control | self._marker_ids()), dtype=np.int64)

    def _lanes(self) -> int:
        # One call of torch keeps so many cores busy; an accelerator wants one large call.
        return max(1, cores() // torch.get_num_threads()) if self._even else 1

    def _tokenize(self, texts: Sequence[str], task: str) -> list[NDArray[np.int32]]:
        prompt = self._prompt(task)
        # Not through transformers, which took as long again to make lists of it; it sets both anew at its next call.
        tokenizer = self._tokenizer.backend_tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        encoded = tokenizer.encode_batch([prompt + text for text in texts])
        return [np.maximum(np.array(each.offsets, dtype=np.int32).reshape(-1, 2) - len(prompt), 0) for each in encoded]

    def _names(self, ids: Sequence[int]) -> list[str]:
        names: list[str] = self._tokenizer.convert_ids_to_tokens(ids)
        return names

    def _reduce_model(self) -> tuple[Any, ...]:
        if self.route.engine != "torch":
            raise TypeError(
                f"{self!r} was made of a model that runs outside torch, which cannot be pickled: load it by its name "
                "or from a folder, with engine='openvino'"
            )
        make = partial(type(self), name=self.name, batch_size=self.batch_size, route=self.route)
        return make, (self.model,), {"calibration": self.calibration}


def widen(features: dict[str, Any], width: int | None, *, pad: int) -> dict[str, Any]:
    """Pad the tensors of a batch, (batch, tokens, ...), to `width` tokens, by tokens that the model leaves out."""
    tokens = features["input_ids"].shape[1]
    if width is None or width <= tokens:
        return features
    fill = {"input_ids": pad, "special_tokens_mask": 1}
    return {key: _widened(value, tokens, width, fill.get(key, 0)) for key, value in features.items()}


def _widened(value: Any, tokens: int, width: int, fill: int) -> Any:
    if not isinstance(value, torch.Tensor) or value.ndim < 2 or value.shape[1] != tokens:
        return value
    extra = value.new_full((value.shape[0], width - tokens, *value.shape[2:]), fill)
    return torch.cat([value, extra], dim=1)


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
