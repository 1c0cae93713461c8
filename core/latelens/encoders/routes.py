"""Which engine runs a model and in which number format: as it was saved, or the fastest way that is installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from latelens.encoders.options import Speed

# Of NVIDIA, AMD and Windows' Linux. Asking torch would be right too, but its import takes seconds.
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


@dataclass(frozen=True)
class Route:
    """A way to run a model.

    Attributes
    ----------
    engine
        ``"torch"``, or ``"onnx"`` or ``"openvino"``, which run what the model was exported to.
    dtype
        Number format of weights and products, None as the checkpoint was saved. Vectors come out as float32.
    """

    engine: str = "torch"
    dtype: str | None = None

    def __str__(self) -> str:
        return f"{self.engine} {self.dtype}" if self.dtype else self.engine

    @property
    def rounding(self) -> str | None:
        """What shapes vectors beside the weights, for a fingerprint; torch's number format is that of the weights."""
        return None if self.engine == "torch" else str(self)

    def options(self, model_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
        """What a sentence-transformers model is opened with; what the user asks for by name wins."""
        chosen = dict(model_kwargs or {})
        return {"model_kwargs": ({"dtype": self.dtype, **chosen} if self.dtype else chosen) or None}


def torch_route(*, dtype: str | None, speed: Speed, device: str | None) -> Route:
    """How torch runs a model; the names are those that `check_options` let through.

    Measured with the offline model on a processor with bfloat16 instructions: see tests/benchmarks/encode.py.
    """
    if speed == "exact":
        return Route("torch", dtype)
    import torch
    from sentence_transformers.util import get_device_name

    kind = torch.device(device or get_device_name()).type
    if kind == "cuda":
        return Route("torch", "bfloat16" if torch.cuda.is_bf16_supported() else "float16")
    return Route("torch", "bfloat16" if kind == "cpu" and _multiplies_bfloat16() else None)


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


def advice(route: Route, *, speed: Speed, device: str) -> str:
    """What to ask for, or to install, so that texts are encoded faster; empty where nothing is known to help."""
    if device != "cpu" or route.engine != "torch" or not _multiplies_bfloat16():
        return ""
    install = "" if has("openvino", "onnx", "onnxscript") else "pip install 'latelens[fast]'"
    if speed == "fast":
        return f"; OpenVINO is faster: {install}" if install else ""
    if route.dtype not in (None, "float32"):
        return ""
    return "; speed='fast' rounds to bfloat16 and is about twice as fast" + (f", after {install}" if install else "")


def stays_on_cpu(device: str | None) -> bool:
    """Whether a model that `device` was given for runs on the CPU, as far as one can tell without importing torch."""
    if device is not None:
        return device == "cpu"
    return (
        sys.platform != "darwin"
        and not shutil.which("nvidia-smi")
        and not any(Path(each).exists() for each in _DRIVERS)
    )


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has(*modules: str) -> bool:
    """Whether packages are installed; imports none."""
    return all(importlib.util.find_spec(module) for module in modules)


def version_of(distribution: str) -> str:
    """The installed version; empty where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; where it has none, bfloat16 is slower than float32."""
    import torch

    try:
        instructions: Mapping[str, Any] = torch.cpu.get_capabilities()
    except AttributeError:  # before torch 2.11
        return bool(torch.cpu._is_avx512_bf16_supported())
    return any(instructions.get(name, False) for name in ("avx512_bf16", "amx_bf16", "amx_tile", "sve_bf16", "bf16"))
