"""Write a run as a folder that `load_encoder` takes: python scripts/training/merge.py RUN/delta.safetensors FOLDER.

The delta holds ``NAME.down``, (rank, inputs), and ``NAME.up``, (outputs, rank), of each weight that it changes; that
weight becomes ``weight + up @ down``.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save_file

from latelens.encoders.offline import offline_model_path


@torch.no_grad()
def add_delta(weights: Mapping[str, torch.Tensor], factors: Mapping[str, torch.Tensor]) -> None:
    """Change weights in place; the sum is computed in float32, then rounded to the weight's own format.

    Raises
    ------
    ValueError
        If a factor has no weight or partner, or their shapes do not fit.
    """
    names = sorted({name.rpartition(".")[0] for name in factors})
    for name in names:  # all of them before any weight is changed
        _check(name, weights, factors)
    for name in names:
        weight, up, down = weights[name], factors[f"{name}.up"].float(), factors[f"{name}.down"].float()
        weight.copy_(weight.float() + (up @ down).to(weight.device))


def _check(name: str, weights: Mapping[str, torch.Tensor], factors: Mapping[str, torch.Tensor]) -> None:
    weight, up, down = weights.get(name), factors.get(f"{name}.up"), factors.get(f"{name}.down")
    if weight is None:
        raise ValueError(f"the delta does not fit the model: it changes {name!r}, which the model has not")
    if up is None or down is None:
        raise ValueError(f"the delta does not fit the model: it has only one of the two factors of {name!r}")
    if (up.shape[0], down.shape[1]) != weight.shape or up.shape[1] != down.shape[0]:
        raise ValueError(
            f"the delta does not fit the model: {name} has shape {tuple(weight.shape)}, its factors have "
            f"{tuple(up.shape)} and {tuple(down.shape)}"
        )


def write_merged(base: Path, target: Path, content: bytes) -> None:
    """Write a checkpoint once more, into a new folder, with the delta in its weights."""
    shutil.copytree(base, target, ignore=shutil.ignore_patterns("*.safetensors"))
    with safe_open(base / "model.safetensors", "pt") as saved:
        about = saved.metadata()
    weights = load_file(base / "model.safetensors")
    add_delta(weights, load(content))
    save_file(weights, target / "model.safetensors", metadata=about)


def main(given: Sequence[str]) -> int:
    """Write the folder."""
    delta, folder = given
    write_merged(offline_model_path(), Path(folder), Path(delta).read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
