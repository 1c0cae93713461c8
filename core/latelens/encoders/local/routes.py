"""Which engine runs a model and in which number format: as it was saved, or the fastest way that is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latelens.encoders.options import Engine, Speed

# OpenVINO's names; without a hint it rounds to bfloat16 by itself wherever the processor can.
_OPENVINO_PRECISION = {None: "f32", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}


@dataclass(frozen=True)
class Route:
    """A way to run a model.

    Attributes
    ----------
    engine
        ``"torch"``, or ``"openvino"``, which the model is exported to at loading.
    dtype
        Number format of weights and products, None as the checkpoint was saved. Vectors come out as float32.
    """

    engine: Engine = "torch"
    dtype: str | None = None

    def __str__(self) -> str:
        return f"{self.engine} {self.dtype}" if self.dtype else self.engine

    @property
    def rounding(self) -> str | None:
        """What shapes vectors beside the weights, for a fingerprint; torch's number format is that of the weights."""
        return None if self.engine == "torch" else str(self)

    def options(self, model_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
        """What a sentence-transformers model is opened with; what the user asks for by name wins."""
        chosen: dict[str, Any] = dict(model_kwargs or {})
        if self.engine == "openvino":
            given = chosen.get("ov_config", {})
            if isinstance(given, Mapping):
                chosen["ov_config"] = {"INFERENCE_PRECISION_HINT": _OPENVINO_PRECISION[self.dtype], **given}
        elif self.dtype:
            chosen = {"dtype": self.dtype, **chosen}
        options: dict[str, Any] = {"model_kwargs": chosen or None}
        return options if self.engine == "torch" else {**options, "backend": self.engine}


def routes(*, engine: Engine, dtype: str | None, speed: Speed, device: str | None, exports: bool) -> list[Route]:
    """Ways to run a model, best first; more than one only for ``speed="fast"``, where an export can fail.

    The names are those that `check_options` let through.
    `exports` says whether the library behind can run a model outside torch: PyLate cannot.
    Measured with the offline model on a processor with bfloat16 instructions: see tests/benchmarks/encode.py.
    """
    if engine == "openvino" and not exports:
        raise ValueError("PyLate runs on torch only; engine='openvino' needs sentence-transformers 6")
    if engine == "openvino" and not _has_openvino():
        raise ImportError("engine='openvino' needs optimum-intel: run `pip install 'latelens[fast]'`")
    if speed == "exact":
        return [Route(engine, dtype)]
    import torch
    from sentence_transformers.util import get_device_name

    kind = torch.device(device or get_device_name()).type
    if kind == "cuda":
        return [Route("torch", "bfloat16" if torch.cuda.is_bf16_supported() else "float16")]
    if kind != "cpu":
        return [Route()]
    rounded = "bfloat16" if _multiplies_bfloat16() else None
    exported = [Route("openvino", rounded)] if exports and _has_openvino() else []
    return [*exported, Route("torch", rounded)]


def route_of(transformer: Any) -> Route:
    """How a model that the user loaded runs."""
    import torch

    if not isinstance(transformer, torch.nn.Module):
        # Without a hint OpenVINO decides by the processor.
        precision = getattr(transformer, "ov_config", {}).get("INFERENCE_PRECISION_HINT", "auto")
        names = {"f32": None, "bf16": "bfloat16", "f16": "float16"}
        return Route("openvino", names.get(precision, str(precision)))
    dtype = next((str(each.dtype).removeprefix("torch.") for each in transformer.parameters()), None)
    return Route("torch", dtype)


def _has_openvino() -> bool:
    return bool(importlib.util.find_spec("optimum")) and bool(importlib.util.find_spec("optimum.intel"))


def _multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; where it has none, bfloat16 is slower than float32."""
    import torch

    try:
        instructions: Mapping[str, Any] = torch.cpu.get_capabilities()
    except AttributeError:  # before torch 2.11
        return bool(torch.cpu._is_avx512_bf16_supported())
    return any(instructions.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "sve_bf16", "bf16"))
