"""Fewer dimensions: the validation measures of a delta's rows, cut to their principal directions.

python scripts/training/dimensions.py DELTA RECIPE --data FOLDER --states FOLDER [--sizes 384 256 192 128 96]

One rotation serves all sizes: directions by their second moment over the rows of 400 training passages, the largest
first, so a smaller size is the beginning of a larger one. Rows are normalised again after the cut.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomllib
import torch
from batches import batch_of
from layers import StateBatch, States, UpperLayers, load_base
from passages import Examples
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize
from train import read_both, states_of
from transformers import AutoTokenizer
from validation import validate

from latelens.encoders.local.delta import add_delta
from latelens.encoders.offline import offline_model_path


@torch.no_grad()
def directions(layers: UpperLayers, examples: Examples, states: tuple[States, States], count: int) -> torch.Tensor:
    """Orthonormal rows, (dim, dim), the most important first."""
    moments: Any = 0
    for begin in range(0, count, 16):
        batch = batch_of(examples, *states, range(begin, begin + 16), [examples.asked[begin][0]])
        rows = layers(batch.passage_states, batch.passage_mask)[batch.passage_mask]
        moments = moments + rows.T.double() @ rows.double()
    return torch.linalg.eigh(moments).eigenvectors.flip(1).T.float()


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("delta", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--states", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=[384, 256, 192, 128, 96])
    parser.add_argument("--head", type=int, default=192, help="directions that `--output` holds")
    parser.add_argument("--output", type=Path, help="write the delta once more, with its head")
    asked = parser.parse_args(given)
    chosen = tomllib.loads(asked.recipe.read_text(encoding="utf-8"))["model"]
    model = load_base(offline_model_path())
    train, valid = read_both(asked.data, AutoTokenizer.from_pretrained(offline_model_path()), chosen)
    states, held = (states_of(model, each, chosen["first_layer"], asked.states) for each in (train, valid))
    delta = load_file(asked.delta)
    add_delta(dict(model.named_parameters()), delta)
    layers = UpperLayers(model, first_layer=chosen["first_layer"], rank=1, alpha=1)
    rotation = directions(layers, train, states, 400)
    if asked.output:
        save_file({**delta, "head": rotation[: asked.head].half().contiguous()}, asked.output)
    for size in asked.sizes:

        def encode(batch: StateBatch, head: torch.Tensor = rotation[:size]) -> tuple[torch.Tensor, torch.Tensor]:
            queries, passages = layers.encode(batch)
            return normalize(queries @ head.T, dim=-1), normalize(passages @ head.T, dim=-1)

        measured = validate(valid, *held, encode)
        print(size, " ".join(f"{name} {value:.4f}" for name, value in measured.items()), flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
