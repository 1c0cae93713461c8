"""What each server is asked and what it answers: a line for each way to serve a late-interaction model."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


class WrongReply(ValueError):
    """A server answered something else than it was asked for; asking again would not help."""


@dataclass(frozen=True)
class Batch:
    """What is asked for: texts and their ids, for the task ``"query"`` or ``"document"``, in vectors of `dim`."""

    model: str
    texts: list[str]
    ids: list[list[int]]
    task: str
    dim: int


@dataclass(frozen=True)
class Api:
    """One way to ask a server for vectors of tokens.

    Attributes
    ----------
    path
        What follows the server's address, unless the address ends with it.
    key_variable
        The environment variable that may hold a key.
    body
        The request for a batch.
    vectors
        Under which key each item of the reply has them.
    """

    path: str
    key_variable: str
    body: Callable[[Batch], dict[str, Any]]
    vectors: str


def _vllm(batch: Batch) -> dict[str, Any]:
    # Ids and no texts: the server then tokenizes nothing, and prompt, length and expansion are ours.
    return {
        "model": batch.model,
        "task": "token_embed",
        "input": batch.ids,
        "encoding_format": "base64",
        "embed_dtype": "float32",
        "endianness": "little",
    }


def _jina(batch: Batch) -> dict[str, Any]:
    return {
        "model": batch.model,
        "input_type": batch.task,
        "embedding_type": "float",
        "dimensions": batch.dim,
        "input": batch.texts,
    }


APIS = {
    "vllm": Api("/pooling", "VLLM_API_KEY", _vllm, "data"),
    "jina": Api("/v1/multi-vector", "JINA_API_KEY", _jina, "embeddings"),
}


def read_reply(reply: Any, api: Api, count: int, dim: int) -> list[NDArray[np.float32]]:
    """The vectors of each text of a batch, (rows, dim) float32, in the order in which they were sent.

    Raises
    ------
    WrongReply
        If there is not one result for each text, or one holds anything but finite numbers of that dimension.
    """
    items = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise WrongReply(f"its reply has no list under 'data': {reply!s:.200}")
    order = [item.get("index", i) for i, item in enumerate(items)]
    if sorted(order, key=str) != sorted(range(count), key=str):
        raise WrongReply(f"it was sent {count} texts and answered for {len(items)}, of the numbers {order!r:.100}")
    found: list[NDArray[np.float32]] = [np.empty((0, dim), np.float32)] * count
    for place, item in zip(order, items, strict=True):
        found[place] = _rows(item.get(api.vectors), dim)
    return found


def _rows(written: Any, dim: int) -> NDArray[np.float32]:
    try:
        if isinstance(written, str):
            rows = np.frombuffer(base64.b64decode(written, validate=True), dtype="<f4").reshape(-1, dim)
        else:
            rows = np.array(written, dtype=np.float32)
    except (binascii.Error, TypeError, ValueError) as error:
        raise WrongReply(f"vectors of {dim} numbers were wanted, which this is not: {written!r:.80}") from error
    if rows.ndim != 2 or rows.shape[1] != dim:
        raise WrongReply(f"vectors of {dim} numbers were wanted, it sent an array of the shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise WrongReply("it sent vectors that hold NaN or infinity")
    return rows.astype(np.float32)


def align(rows: NDArray[np.float32], given: NDArray[np.bool_], scoring: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Unit vectors for all places of a text, (width, dim): a server answers for each token given, or each that scores.

    Raises
    ------
    WrongReply
        If it is neither: which vector belongs to which token would be a guess.
    """
    wanted: Sequence[NDArray[np.bool_]] = (given, scoring)
    places = next((mask for mask in wanted if int(mask.sum()) == len(rows)), None)
    if places is None:
        raise WrongReply(
            f"a text of {int(given.sum())} tokens, {int(scoring.sum())} of which score, came back as {len(rows)} "
            "vectors: the tokenizer's folder is that of another model, or the server cuts texts in its own way"
        )
    aligned = np.zeros((len(given), rows.shape[1]), dtype=np.float32)
    # Some servers leave the length of a vector to whoever compares them.
    aligned[places] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return aligned
