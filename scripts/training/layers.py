"""The model in two parts: frozen lower layers, whose output is kept on disk, and upper layers with a LoRA."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from latelens.adapt.lora import Lora, linear_layers
from latelens.adapt.losses import TrainingBatch
from latelens.adapt.sampling import pad

_BATCH = 32


@dataclass(frozen=True)
class States:
    """What the frozen model makes of each text, laid end to end on disk.

    Attributes
    ----------
    offsets
        (texts + 1,) int64.
    lower, last
        (tokens, dim) float16: input of the first layer that is trained, and the output of the last one.
    """

    offsets: NDArray[np.int64]
    lower: NDArray[np.float16]
    last: NDArray[np.float16]

    def of(self, i: int) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
        """Both states of one text, (tokens, dim) each."""
        here = slice(self.offsets[i], self.offsets[i + 1])
        return self.lower[here], self.last[here]


@dataclass(frozen=True)
class StateBatch(TrainingBatch):
    """A batch with the states of the frozen layers, (questions or passages, longest, dim) float32."""

    query_states: torch.Tensor
    passage_states: torch.Tensor


def load_base(path: Path) -> Any:
    """The transformer, in eager attention: its backward pass is 1.75 times as fast on a CPU as SDPA's in bfloat16."""
    from transformers import AutoModel

    options = {"add_pooling_layer": False, "attn_implementation": "eager", "local_files_only": True}
    return AutoModel.from_pretrained(path, **options).eval().requires_grad_(False)


def frozen_states(model: Any, texts: Sequence[NDArray[np.int32]], first_layer: int, folder: Path) -> States:
    """Read what an earlier run kept in `folder`, or compute it."""
    key = hashlib.sha256(b"".join(text.tobytes() for text in texts)).hexdigest()[:16]
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    shape = (int(offsets[-1]), model.config.hidden_size)
    paths = [folder / f"{key}-{name}.f16" for name in (f"layer{first_layer}", "last")]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = [path.with_suffix(".part") for path in paths]
        _compute(model, texts, offsets, first_layer, [np.memmap(p, np.float16, "w+", shape=shape) for p in unfinished])
        for part, path in zip(unfinished, paths, strict=True):
            part.rename(path)
    lower, last = (np.memmap(path, np.float16, "r", shape=shape) for path in paths)
    return States(offsets, lower, last)


def _compute(
    model: Any,
    texts: Sequence[NDArray[np.int32]],
    offsets: NDArray[np.int64],
    first_layer: int,
    kept: Sequence[NDArray[np.float16]],
) -> None:
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for begin in range(0, len(order), _BATCH):
        batch = order[begin : begin + _BATCH]
        ids = torch.from_numpy(pad([texts[i] for i in batch], 0)).long()
        mask = torch.from_numpy(pad([np.ones(len(texts[i]), dtype=np.int64) for i in batch], 0))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            hidden = model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        for array, states in zip(kept, (hidden[first_layer], hidden[-1]), strict=True):
            for i, rows in zip(batch, states.half().numpy(), strict=True):
                array[offsets[i] : offsets[i + 1]] = rows[: len(texts[i])]
        if begin % (50 * _BATCH) == 0:
            print(f"states of {begin} of {len(order)} texts", file=sys.stderr, flush=True)  # noqa: T201


class UpperLayers(torch.nn.Module):
    """The trained layers; the adapters alone have gradients."""

    def __init__(self, model: Any, *, first_layer: int, rank: int, alpha: int) -> None:
        super().__init__()
        self.lora = Lora(model, linear_layers(model, first_layer), rank=rank, alpha=alpha)
        self.layers = torch.nn.ModuleList(model.encoder.layer[first_layer:])

    def encode(self, batch: StateBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit rows of a batch's questions and passages."""
        return self(batch.query_states, batch.query_mask), self(batch.passage_states, batch.passage_mask)

    def forward(self, lower: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        """Unit rows, (texts, longest, dim) float32, of states and of a mask of real tokens, (texts, longest) bool.

        Texts of like length go through together, so that little is spent on padding.
        """
        order = attended.sum(1).argsort()
        found = torch.zeros_like(lower)
        parts, places = [], []
        for some in order.split(6 if lower.shape[1] > 64 else len(order)):
            width = int(attended[some].sum(1).max())
            rows = self._through(lower[some, :width], attended[some, :width])
            parts.append(torch.nn.functional.pad(rows, (0, 0, 0, found.shape[1] - width)))
            places.append(some)
        return normalize(torch.cat(parts)[torch.cat(places).argsort()], dim=-1)

    def _through(self, states: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        bias = (~attended)[:, None, None, :].to(torch.bfloat16) * -1e4
        with torch.autocast("cpu", torch.bfloat16):
            for layer in self.layers:
                states = layer(states, attention_mask=bias)
                states = states[0] if isinstance(states, tuple) else states
        return states.float()
