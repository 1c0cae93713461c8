"""A LoRA on a transformer's upper layers (Hu et al., 2022), by PEFT; what it changed can be taken out again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch


class Lora:
    """Low-rank factors beside linear layers of a model, in training; the model's own weights stay as they are.

    Parameters
    ----------
    model
        Changed in place until `remove`.
    layers
        Names of its linear layers.
    rank, alpha
        As PEFT has them: a layer's weight becomes ``weight + alpha / rank * up @ down``.
    """

    def __init__(self, model: torch.nn.Module, layers: Sequence[str], *, rank: int, alpha: int) -> None:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ModuleNotFoundError as error:
            if error.name != "peft":
                raise
            raise ImportError("training needs peft: run `pip install 'latelens[train]'`") from error
        model.requires_grad_(False)
        inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(layers)), model)
        self._model, self._scale = model, alpha / rank
        self._modules: dict[str, Any] = {name: model.get_submodule(name) for name in layers}

    @property
    def parameters(self) -> list[torch.nn.Parameter]:
        """What is trained."""
        return [each for module in self._modules.values() for each in module.parameters() if each.requires_grad]

    def factors(self) -> dict[str, torch.Tensor]:
        """`NAME.down`, (rank, inputs), and `NAME.up`, (outputs, rank): the weight NAME becomes weight + up @ down."""
        found: dict[str, torch.Tensor] = {}
        for name, module in self._modules.items():
            found[f"{name}.weight.down"] = module.lora_A["default"].weight.detach().clone()
            found[f"{name}.weight.up"] = self._scale * module.lora_B["default"].weight.detach().clone()
        return found

    def remove(self) -> None:
        """Put the layers back as they were."""
        for name, module in self._modules.items():
            parent, _, leaf = name.rpartition(".")
            setattr(self._model.get_submodule(parent), leaf, module.base_layer)


def linear_layers(model: Any, first: int | None = None) -> list[str]:
    """Names of the linear layers in a transformer's layers from `first` on, or in the upper half.

    Raises
    ------
    ValueError
        If the model does not count its layers.
    """
    count = getattr(getattr(model, "config", None), "num_hidden_layers", 0)
    first = count // 2 if first is None else first
    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    found = [name for name in linear if (number := re.search(r"\.(\d+)\.", name)) and int(number[1]) >= first]
    if not count or not found:
        raise ValueError(f"{type(model).__name__} has no numbered layers that a LoRA could be trained on")
    return found
