"""A trained delta beside published weights: ``weight + up @ down`` for some weights, as a LoRA leaves them.

The file holds ``NAME.down``, (rank, inputs), and ``NAME.up``, (outputs, rank), of each weight that changes. It may hold
a ``head``, (directions, dim), orthonormal, the most important first: rows that are cut to it are smaller.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load, load_file, save_file


def with_delta(open_model: Callable[..., Any], content: bytes, dim: int | None = None) -> Callable[..., Any]:
    """`open_model` for a checkpoint with a delta, given as the content of its file; `dim` cuts its rows by the head."""

    def opened(where: str, **options: Any) -> Any:
        model = open_model(where, **options)
        transformer = next(module.auto_model for module in model if hasattr(module, "auto_model"))
        add_delta(dict(transformer.named_parameters()), load(content))
        if dim:
            add_head(model, load(content)["head"][:dim])
        return model

    return opened


@torch.no_grad()
def add_delta(weights: Mapping[str, torch.Tensor], factors: Mapping[str, torch.Tensor]) -> None:
    """Change weights in place; the sum is computed in float32, then rounded to the weight's own format.

    Raises
    ------
    ValueError
        If a factor has no weight or partner, or their shapes do not fit.
    """
    names = sorted({name.rpartition(".")[0] for name in factors} - {""})
    for name in names:  # all of them before any weight is changed
        _check(name, weights, factors)
    for name in names:
        weight, up, down = weights[name], factors[f"{name}.up"].float(), factors[f"{name}.down"].float()
        weight.copy_(weight.float() + (up @ down).to(weight.device))


def add_head(model: Any, head: torch.Tensor) -> None:
    """Project rows, behind the transformer: PyLate's projection is replaced, sentence-transformers gets one."""
    weight = head.to(model.device, next((each.dtype for each in model.parameters()), torch.float32))
    for module in model:
        if hasattr(module, "linear"):
            module.linear.weight, module.out_features = torch.nn.Parameter(weight), len(head)
            return
    from sentence_transformers.base.modules import Dense

    options: dict[str, Any] = {"bias": False, "activation_function": None, "module_input_name": "token_embeddings"}
    model.insert(1, Dense(head.shape[1], len(head), init_weight=weight, **options))


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
