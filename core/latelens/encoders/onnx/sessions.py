"""The two engines that run an exported model: ONNX Runtime and OpenVINO, each imported only where it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.encoders.routes import Route

# From ids and mask, (batch, width) int64 each, to rows, (batch, width, dim) float32; from any number of threads.
Session = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
INSTALL = {"onnx": "pip install 'latelens[onnx]'", "openvino": "pip install 'latelens[fast]'"}
_MODULES = {"onnx": "onnxruntime", "openvino": "openvino"}
# OpenVINO's names; without a hint it rounds to bfloat16 by itself wherever the processor can.
_PRECISION = {None: "f32", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def open_session(file: Path, route: Route) -> Session:
    """Read a model's file and make it ready to run on the CPU; raises what the engine raises."""
    return _openvino(file, route.dtype) if route.engine == "openvino" else _onnx(file)


def engine_module(engine: str) -> Any:
    """The engine's package.

    Raises
    ------
    ImportError
        If it is missing; the message names the command to run.
    """
    try:
        return import_module(_MODULES[engine])
    except ModuleNotFoundError as error:
        if error.name != _MODULES[engine]:
            raise
        raise ImportError(f"the engine {engine!r} needs {error.name}: run `{INSTALL[engine]}`") from error


def rounds_to_bfloat16() -> bool:
    """Whether OpenVINO finds instructions for bfloat16 in this processor; where it has none, it would be slower."""
    return "BF16" in engine_module("openvino").Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _onnx(file: Path) -> Session:
    session = engine_module("onnx").InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        rows: NDArray[np.float32] = session.run(None, {name: given[name] for name in names})[0]
        return rows

    return run


def _openvino(file: Path, dtype: str | None) -> Session:
    core = engine_module("openvino").Core()
    hints = {"INFERENCE_PRECISION_HINT": _PRECISION[dtype], "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(core.read_model(file), "CPU", hints)
    # One request for all calls: two threads at once would read each other's output.
    turn = threading.Lock()

    def run(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        with turn:
            return np.array(compiled({"input_ids": ids, "attention_mask": mask})[0], dtype=np.float32)

    return run
