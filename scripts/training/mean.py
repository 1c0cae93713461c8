"""The mean of several seeds' deltas, in one file of a low rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

Factors = Mapping[str, torch.Tensor]


def mean_of(deltas: Sequence[Factors], rank: int) -> dict[str, torch.Tensor]:
    """Factors of the mean change of each weight: `NAME.down`, (rank, inputs), and `NAME.up`, (outputs, rank), float16.

    Two seeds learn the same and change other weights, so the mean keeps what they have in common. The mean of the
    products ``up @ down`` is cut to `rank` by its largest singular values, so that the file stays small.
    """
    found: dict[str, torch.Tensor] = {}
    for name in sorted({name.rpartition(".")[0] for name in deltas[0]}):
        changes = [delta[f"{name}.up"].double() @ delta[f"{name}.down"].double() for delta in deltas]
        left, values, right = torch.linalg.svd(torch.stack(changes).mean(0), full_matrices=False)
        root = values[:rank].sqrt()
        found[f"{name}.up"] = (left[:, :rank] * root).half().contiguous()
        found[f"{name}.down"] = (root[:, None] * right[:rank]).half().contiguous()
    return found
