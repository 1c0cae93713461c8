"""`load_encoder`: a name, a folder or a loaded model in, an encoder out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from latelens.encoders.backends import check_backend
from latelens.encoders.calibration import Calibration
from latelens.encoders.lazy import load
from latelens.encoders.options import Api, BackendName, Dtype, EncoderOptions, Engine, Speed, check_options
from latelens.encoders.protocol import Encoder

DEFAULT_MODEL = "lightonai/LateOn"


def load_encoder(
    model: Any = DEFAULT_MODEL,
    *,
    backend: BackendName = "auto",
    device: str | None = None,
    batch_size: int | None = None,
    speed: Speed = "exact",
    engine: Engine = "auto",
    dtype: Dtype | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
    model_kwargs: Mapping[str, Any] | None = None,
    calibration: Calibration | str | os.PathLike[str] | None = None,
    api: Api | None = None,
    api_key: str | None = None,
    served_model: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    concurrency: int | None = None,
    timeout: float | None = None,
) -> Encoder:
    """Load a late-interaction encoder.

    On a CPU a text's rows are the same bits in every call, whatever is encoded with it, as long as the number of
    torch's threads stays the same; on an accelerator the last bits depend on the batch (about 1e-6 of a score).

    Parameters
    ----------
    model
        A hub id such as ``"lightonai/LateOn"``, a local folder (PyLate, Stanford ColBERT or sentence-transformers
        saves, what ``encoder.export`` wrote, or ONNX models of the hub as FastEmbed serves them; the last two load
        without torch), ``"offline/latelens-mini"`` for the packaged model, ``"offline/all-MiniLM-L6-v2"`` for what it
        was trained from, the address of a server (``"http://localhost:8000"``), a loaded `MultiVectorEncoder`,
        `SentenceTransformer` or `pylate.models.ColBERT`, or an `Encoder`, which is returned as it is.
        Sentence-embedding models are used token-wise: no projection, rows normalised, punctuation out of the document
        rows. A model of ColPali's family makes a `PageEncoder`, which reads images of pages instead of texts; it needs
        sentence-transformers 6.
    backend
        ``"auto"`` takes what is installed: sentence-transformers 6, or PyLate in an environment of its own; for an
        exported folder ONNX Runtime (`pip install 'latelens[onnx]'`) or OpenVINO, as it was written.
    device
        A torch device; None takes an accelerator where there is one. Only for names and folders.
    batch_size
        Texts to encode at once; None takes 8 on a CPU, 16 with OpenVINO, 64 elsewhere.
    speed
        ``"fast"`` takes the fastest way that is installed, at the price of rounding: on a CPU OpenVINO
        (`pip install 'latelens[fast]'`) or torch, in bfloat16 where the processor has instructions for it; on CUDA
        bfloat16. ``encoder.route`` says which it was. Only for names and folders, as are `engine` and `dtype`.
    engine, dtype
        Choose by hand instead, for a name or a checkpoint's folder. ``"onnx"`` (ONNX Runtime, the extra ``onnx``) and
        ``"openvino"`` (the extra ``fast``) run an export, which the first use makes (about 10 s) and keeps in
        ``~/.cache/latelens``, or the folder that the environment variable ``LATELENS_CACHE`` names; where that is
        empty, nothing is kept. ``"auto"`` takes a kept ONNX export that is there, where the model would stay on the
        CPU in float32: it has the model's fingerprint, and its numbers to 1e-5, and starts without torch. Otherwise,
        and with ``"torch"``, torch runs the model. `dtype` is the number format of weights and products.
    revision, local_files_only, trust_remote_code, model_kwargs
        Passed to sentence-transformers. Code from a hub never runs unless you say so.
    calibration
        What makes a relevance of a score: a `Calibration`, or the file that ``python -m latelens.evaluation.calibrate``
        wrote. None takes the one that comes with latelens for this name, if any. Not for an `Encoder`, which has its
        own.
    api
        For a server: ``"vllm"`` (its ``/pooling``) or ``"jina"`` (``/v1/multi-vector``). Texts are sent to the address
        that was given and nowhere else.
    api_key
        For a server; None takes the environment variable ``VLLM_API_KEY`` or ``JINA_API_KEY``. It is never printed,
        pickled or stored: a pickled encoder finds it in the other process' environment.
    served_model
        For a server: what it calls the model; None takes the name that was exported.
    tokenizer
        For a server: the folder that ``encoder.export`` wrote for the served model, of which only ``tokenizer.json``
        and ``latelens_onnx.json`` are needed here. A reply with another number of vectors than tokens is refused.
    concurrency, timeout
        For a server: requests at once, 8 by default, and seconds that one may take, 60 by default. Timeouts, cut
        connections and the statuses 429 and 5xx are asked again, as ``Retry-After`` says.

    Raises
    ------
    TypeError, ValueError
        If there is no such model, it has no fast tokenizer, or an option means nothing.
    ImportError
        If a package is missing; the message names the command to run.
    """
    options = EncoderOptions(
        backend=backend,
        device=device,
        batch_size=batch_size,
        speed=speed,
        engine=engine,
        dtype=dtype,
        revision=revision,
        local_files_only=local_files_only,
        trust_remote_code=trust_remote_code,
        model_kwargs=model_kwargs,
        calibration=calibration,
        api=api,
        api_key=api_key,
        served_model=served_model,
        tokenizer=tokenizer,
        concurrency=concurrency,
        timeout=timeout,
    )
    check_options(options)
    check_backend(backend)
    return load(model, options)
