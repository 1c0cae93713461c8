"""The options of `load_encoder`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from latelens.encoders.calibration import Calibration
from latelens.refusals import check_is, check_one_of, described, shown

BackendName = Literal["auto", "sentence-transformers", "pylate", "onnx", "remote"]
Api = Literal["vllm", "jina"]
Engine = Literal["auto", "torch", "onnx", "openvino"]
Speed = Literal["exact", "fast"]
Dtype = Literal["float32", "bfloat16", "float16"]


class EncoderOptions(TypedDict, total=False):
    """The keyword arguments of `load_encoder`, which tells what each means."""

    backend: BackendName
    device: str | None
    batch_size: int | None
    speed: Speed
    engine: Engine
    dtype: Dtype | None
    revision: str | None
    local_files_only: bool
    trust_remote_code: bool
    model_kwargs: Mapping[str, Any] | None
    calibration: Calibration | str | os.PathLike[str] | None
    api: Api | None
    api_key: str | None
    served_model: str | None
    tokenizer: str | os.PathLike[str] | None
    concurrency: int | None
    timeout: float | None


# Those that only a server's address takes.
REMOTE = ("api", "api_key", "served_model", "tokenizer", "concurrency", "timeout")
DEFAULTS = EncoderOptions(
    backend="auto",
    device=None,
    batch_size=None,
    speed="exact",
    engine="auto",
    dtype=None,
    revision=None,
    local_files_only=False,
    trust_remote_code=False,
    model_kwargs=None,
    calibration=None,
    api=None,
    api_key=None,
    served_model=None,
    tokenizer=None,
    concurrency=None,
    timeout=None,
)


def without_key(options: EncoderOptions) -> EncoderOptions:
    """Options that may be written: the key stays in the process that it was given to."""
    kept = options.copy()
    kept.pop("api_key", None)
    return kept


def check_options(options: EncoderOptions) -> None:
    """Refuse unknown names and values that mean nothing; loads nothing.

    Raises
    ------
    TypeError, ValueError
        The message names the option and its value.
    """
    known = EncoderOptions.__annotations__
    if unknown := sorted(options.keys() - known.keys()):
        raise TypeError(f"load_encoder has no option {unknown[0]!r}; choose from {', '.join(sorted(known))}")
    size, device = options.get("batch_size"), options.get("device")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
        raise TypeError(f"batch_size must be an int or None, got {described(size)}")
    if size is not None and size < 1:
        raise ValueError(f"batch_size must be at least 1, got {size}")
    if device is not None and not isinstance(device, str):
        raise TypeError(f"device must be a str such as 'cuda' or None, got {described(device)}")
    for name in ("local_files_only", "trust_remote_code"):
        check_is(name, options.get(name, False), bool, "True or False")
    check_is("revision", options.get("revision"), (str, type(None)), "a str, such as a branch or a commit, or None")
    check_is("model_kwargs", options.get("model_kwargs"), (Mapping, type(None)), "a dict or None")
    _check_calibration(options.get("calibration"))
    _check_remote(options)
    _check_route(options.get("engine", "auto"), options.get("dtype"), options.get("speed", "exact"))


def _check_calibration(calibration: object) -> None:
    if calibration is not None and not isinstance(calibration, Calibration | str | os.PathLike):
        raise TypeError(
            f"calibration must be a Calibration, the path of a file or None, got {type(calibration).__name__}: "
            f"{shown(calibration)}"
        )


def _check_remote(options: EncoderOptions) -> None:
    api, count, seconds = options.get("api"), options.get("concurrency"), options.get("timeout")
    check_one_of("api", api, ["vllm", "jina", None])
    if not isinstance(options.get("api_key"), str | None):
        raise TypeError(f"api_key must be a str or None, got {type(options.get('api_key')).__name__}")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise ValueError(f"concurrency must be an int of at least 1 or None, got {count!r:.80}")
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0):
        raise ValueError(f"timeout must be seconds above 0 or None, got {seconds!r:.80}")


def _check_route(engine: str, dtype: str | None, speed: str) -> None:
    check_one_of("speed", speed, ["exact", "fast"])
    check_one_of("engine", engine, ["auto", "torch", "onnx", "openvino"])
    check_one_of("dtype", dtype, ["float32", "bfloat16", "float16", None])
    if speed == "fast" and (engine != "auto" or dtype is not None):
        raise ValueError(f"speed='fast' chooses engine and dtype itself; got engine={engine!r} and dtype={dtype!r}")
