"""The mean of seeds' deltas: python scripts/training/soup.py RUN/delta.safetensors... --output FILE [--rank 32].

The mean of the products ``up @ down`` is cut to a rank again, by its largest singular values, so that the file stays
small. With `--data` and `--states` as in training, the validation measures of the result are printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomllib
import torch
from safetensors.torch import load_file, save_file

Factors = Mapping[str, torch.Tensor]


def mean_of(deltas: Sequence[Factors], rank: int) -> dict[str, torch.Tensor]:
    """Factors of the mean change of each weight: `NAME.down`, (rank, inputs), and `NAME.up`, (outputs, rank)."""
    found: dict[str, torch.Tensor] = {}
    for name in sorted({name.rpartition(".")[0] for name in deltas[0]}):
        changes = [delta[f"{name}.up"].double() @ delta[f"{name}.down"].double() for delta in deltas]
        left, values, right = torch.linalg.svd(torch.stack(changes).mean(0), full_matrices=False)
        root = values[:rank].sqrt()
        found[f"{name}.up"] = (left[:, :rank] * root).half().contiguous()
        found[f"{name}.down"] = (root[:, None] * right[:rank]).half().contiguous()
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("delta", type=Path, nargs="+")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--states", type=Path)
    parser.add_argument("--recipe", type=Path, default=Path(__file__).with_name("latelens_mini.toml"))
    asked = parser.parse_args(given)
    found = mean_of([load_file(path) for path in asked.delta], asked.rank)
    save_file(found, asked.output)
    if asked.data:
        from train import validated

        recipe = tomllib.loads(asked.recipe.read_text(encoding="utf-8"))
        measures = validated(found, recipe, asked.data, asked.states)
        print(" ".join(f"{name} {value:.4f}" for name, value in measures.items()))  # noqa: T201
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
