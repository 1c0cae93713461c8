"""Opening a checkpoint by its name or folder: where it is, what it was trained for, and the route that takes it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from latelens.encoders.catalogue import check_needs, say_licence
from latelens.encoders.local.delta import with_delta
from latelens.encoders.local.linear import multiply_by_onednn
from latelens.encoders.offline import OFFLINE_MODEL, TRAINED_MODEL, TRAINED_SIZES, offline_model_path, trained_delta
from latelens.encoders.options import EncoderOptions
from latelens.encoders.routes import Route, advice, torch_route

_log = logging.getLogger(__name__)

# What a late-interaction checkpoint writes into config_sentence_transformers.json, by PyLate's versions.
_PYLATE_KEYS = {"query_prefix", "document_prefix", "query_length", "document_length", "do_query_expansion"}
_EXAMPLE = "lightonai/LateOn"


def open_checkpoint(
    model: str | os.PathLike[str], options: EncoderOptions, open_model: Callable[..., Any]
) -> tuple[Any, Route]:
    """Open a name or a folder with a library's `open_model`.

    Raises
    ------
    ValueError
        If there is no such model or device.
    """
    device = _device(options.get("device"))
    route = torch_route(dtype=options.get("dtype"), speed=options.get("speed", "exact"), device=device)
    name = os.fspath(model)
    say_licence(name)
    where = str(offline_model_path()) if name in (OFFLINE_MODEL, *TRAINED_SIZES) else _existing(name)
    if name in TRAINED_SIZES:
        open_model = with_delta(open_model, trained_delta(), TRAINED_SIZES[name])
    source: dict[str, Any] = {
        "revision": options.get("revision"),
        "local_files_only": options.get("local_files_only", False),
    }
    late = _is_late_interaction(where, **source)
    trusted = options.get("trust_remote_code", False)
    with _quietly():
        loaded = open_model(
            where,
            late=late,
            device=device,
            trust_remote_code=trusted,
            **source,
            **route.options(options.get("model_kwargs")),
        )
    multiply_by_onednn(loaded)
    told = advice(route, speed=options.get("speed", "exact"), device=loaded.device.type)
    _log.info("%s runs on %s%s", where, route, told)
    return loaded, route


def name_of(model: Any) -> str:
    """What a model that the user loaded calls itself."""
    card = getattr(model, "model_card_data", None)
    return str(getattr(card, "base_model", None) or type(model).__name__)


@contextmanager
def _quietly() -> Iterator[None]:
    """Leave out what says nothing: transformers' bar over the weights, and its report of weights that are not used.

    The bar of a download stays, and so does a report of weights that are missing or do not fit.
    """
    from transformers.utils import logging as transformers_logging

    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(_says_something)
    try:
        with _without_hook() if not hasattr(transformers_logging, "set_tqdm_hook") else _with_hook():
            yield
    finally:
        logger.removeFilter(_says_something)


def _says_something(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return "LOAD REPORT" not in message or any(word in message for word in ("MISSING", "MISMATCH", "CONVERSION"))


@contextmanager
def _with_hook() -> Iterator[None]:
    from transformers.utils import logging as transformers_logging

    def hook(make: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hidden = {"disable": True} if kwargs.get("desc") == "Loading weights" else {}
        return make(*args, **{**kwargs, **hidden}) if before is None else before(make, args, {**kwargs, **hidden})

    before = transformers_logging.set_tqdm_hook(hook)
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(before)


@contextmanager
def _without_hook() -> Iterator[None]:
    """For releases of transformers that have no hook: their switch also stops the hub's bars, which are put back."""
    import huggingface_hub.utils
    import transformers.utils.logging

    hub: Any = huggingface_hub.utils
    switch: Any = transformers.utils.logging
    if not switch.is_progress_bar_enabled():
        yield
        return
    switch.disable_progress_bar()
    hub.enable_progress_bars()
    try:
        yield
    finally:
        switch.enable_progress_bar()


def _device(device: str | None) -> str | None:
    import torch

    try:
        return None if device is None else str(torch.device(device))
    except RuntimeError as error:
        raise ValueError(
            f"there is no device {device!r}; give 'cpu', 'cuda', 'cuda:0', 'mps' or None, which takes an accelerator "
            "where there is one"
        ) from error


def _existing(name: str) -> str:
    """Refuse a path that is not there, or a model that needs what is not here, before a hub is asked for it."""
    path = Path(name).expanduser()
    if name.strip() and path.is_dir():  # an empty name would be the current folder
        return str(path)
    if not name.strip() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ValueError(
            f"there is no model folder {name!r}; give a folder that a model was saved to, a hub id such as "
            f"{_EXAMPLE!r}, or {TRAINED_MODEL!r}"
        )
    check_needs(name)
    return name


def _is_late_interaction(where: str, *, revision: str | None, local_files_only: bool) -> bool:
    """Whether a checkpoint was trained token-wise; if not, sentence-transformers would add a random projection."""
    from sentence_transformers.util import load_file_path

    configs: dict[str, dict[str, Any]] = {}
    try:
        for file in ("config_sentence_transformers.json", "config.json"):
            path = load_file_path(where, file, revision=revision, local_files_only=local_files_only)
            configs[file] = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except Exception as error:
        raise ValueError(_not_found(where, error)) from error
    saved, config = configs["config_sentence_transformers.json"], configs["config.json"]
    if not saved and not config:
        raise ValueError(_not_found(where, "it has no config.json, here or in the local cache"))
    architectures = config.get("architectures") or []
    return (
        saved.get("model_type") in ("ColBERT", "MultiVectorEncoder")
        or bool(_PYLATE_KEYS & saved.keys())
        or any(name == "HF_ColBERT" or name.endswith("ForRetrieval") for name in architectures)
    )


def _not_found(where: str, reason: object) -> str:
    first_line = (str(reason).splitlines() or [""])[0]
    return (
        f"could not find the model {where!r} ({first_line}); check the name and the network, give a local folder, or "
        f"use {TRAINED_MODEL!r} (`pip install 'latelens[offline]'`)"
    )
