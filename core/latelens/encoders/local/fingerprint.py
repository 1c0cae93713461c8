"""A digest of all that shapes a model's vectors: what was cached for one model must not answer for another."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

# A folder's path and the version that wrote it do not shape vectors.
_ORIGIN = {"_name_or_path", "transformers_version"}


def weights_digest(model: torch.nn.Module, tokenizer: Any, *, exported: Any = None) -> str:
    """Digest of every weight and of the fast tokenizer.

    `exported` is a transformer outside torch, whose weights no state dict shows: OpenVINO's are its constants.
    """
    # Truncation and padding are what the last call happened to set.
    saved = {**json.loads(tokenizer.backend_tokenizer.to_str()), "truncation": None, "padding": None}
    # Which token expands a query, or pads, is not in the fast tokenizer's own file.
    saved["special_tokens_map"] = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    digest = hashlib.blake2b(json.dumps(saved).encode("utf-8", "surrogatepass"), digest_size=16)
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    if exported is not None and not isinstance(exported, torch.nn.Module):
        for constant in exported.model.get_ordered_ops():
            if constant.get_type_name() == "Constant":
                digest.update(f"{constant.get_element_type()} {constant.get_output_shape(0)}".encode())
                digest.update(constant.data.tobytes())
    return digest.hexdigest()


def module_settings(model: torch.nn.Module) -> list[Any]:
    """What each module of a sentence-transformers model was built with: two heads or four have equal weights."""
    settings: list[Any] = []
    module: Any
    for module in model.children():
        config = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
        inner: Any = getattr(module, "config", None)
        inner = inner.to_dict() if hasattr(inner, "to_dict") else {}
        settings.append([type(module).__name__, config, {key: inner[key] for key in inner.keys() - _ORIGIN}])
    return settings
