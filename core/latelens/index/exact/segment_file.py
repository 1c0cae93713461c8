"""A segment as one file in the safetensors layout, which is read by mapping it into memory."""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latelens.index.exact.segments import COLUMNS, Column, Draft, Segment, offsets_of
from latelens.index.exact.stored_rows import StoredRows, in_types
from latelens.shortlist import longest

_DTYPES = {"I64": np.int64, "F32": np.float32, "F16": np.float16, "I8": np.int8, "U8": np.uint8}
_NAMES = {"float32": "F32", "float16": "F16", "int8": "I8"}
# Where the vectors begin in the file: a cache line, which the matrix product likes.
_ALIGNMENT = 64


@dataclass(frozen=True)
class SegmentFile:
    """What the manifest keeps of a segment's file: enough to tell a damaged one.

    Attributes
    ----------
    name, size
        Of the file, in bytes.
    labels_digest, vectors_digest
        Of everything but the vectors, and of the vectors.
    norm
        See `Segment`.
    """

    name: str
    size: int
    labels_digest: str
    vectors_digest: str
    norm: float


def write_segment(draft: Draft, file: Path, row_type: str) -> SegmentFile:
    """Write a new file and put it on disk; memory stays bounded however many vectors the draft points to."""
    labels, vectors, norm = _digest(), _digest(), 0.0
    steps: list[bytes] = []
    with file.open("xb") as out:

        def put(digest: Any, payload: Any) -> None:
            digest.update(payload)
            out.write(payload)

        put(labels, _header(draft, row_type))
        for offsets in (offsets_of(draft.rows), *(offsets_of(parts) for parts in draft.columns.values())):
            put(labels, offsets.tobytes())
        for rows in in_types(draft.rows, row_type):
            put(vectors, np.ascontiguousarray(rows.values).data)
            steps += [] if rows.steps is None else [rows.steps.tobytes()]
            norm = max(norm, longest(rows.exact()))
        put(labels, b"".join(steps))
        for parts in draft.columns.values():
            put(labels, b"".join(parts))
        put(labels, _ids_json(draft))
        out.flush()
        os.fsync(out.fileno())
        return SegmentFile(file.name, out.tell(), labels.hexdigest(), vectors.hexdigest(), norm)


def open_segment(folder: Path, file: SegmentFile, *, trusted: bool = False) -> Segment:
    """Map a file into memory; its vectors are checked when they are first used, unless the file is `trusted`.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    ValueError
        If it is not what the manifest says.
    """
    with (folder / file.name).open("rb") as source:
        if os.fstat(source.fileno()).st_size != file.size:
            raise damaged(folder / file.name, f"it has {os.fstat(source.fileno()).st_size} bytes, not {file.size}")
        data = memoryview(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ))
    arrays, begin, end = _arrays(data)
    if not trusted:
        _compare(folder / file.name, (data[:begin], data[end:]), file.labels_digest)

    def check() -> None:
        if not trusted:
            _compare(folder / file.name, (data[begin:end],), file.vectors_digest)

    columns = {name: Column(arrays[name], arrays[f"{name}_offsets"]) for name in COLUMNS}
    ids = tuple(json.loads(arrays["ids"].tobytes()))
    rows = StoredRows(arrays["vectors"], arrays.get("steps"))
    return Segment(ids, arrays["offsets"], columns, rows, file.norm, check)


def damaged(file: Path, reason: str) -> ValueError:
    """The error for a file that is not what was written."""
    return ValueError(f"{str(file)!r} is damaged: {reason}; restore the folder from a copy, or make a new index")


def _arrays(data: memoryview) -> tuple[dict[str, NDArray[Any]], int, int]:
    """Views of a file's arrays, and where its vectors begin and end."""
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(bytes(data[8:start]))
        arrays = {
            name: np.frombuffer(data[start:][slice(*x["data_offsets"])], dtype=_DTYPES[x["dtype"]]).reshape(x["shape"])
            for name, x in header.items()
        }
        begin, end = header["vectors"]["data_offsets"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"a segment's header cannot be read ({error}); restore the folder from a copy") from error
    return arrays, start + begin, start + end


def _compare(file: Path, parts: Iterable[memoryview], expected: str) -> None:
    digest = _digest()
    for part in parts:
        digest.update(part)
    if digest.hexdigest() != expected:
        raise damaged(file, "its content is not what was written")


def _header(draft: Draft, row_type: str) -> bytes:
    """The safetensors header, padded so that the vectors begin at a multiple of `_ALIGNMENT`."""
    chunks, rows = len(draft.ids), sum(map(len, draft.rows))
    shapes: dict[str, tuple[str, list[int]]] = {"offsets": ("I64", [chunks + 1])}
    shapes |= {f"{name}_offsets": ("I64", [chunks + 1]) for name in draft.columns}
    integers = 8 * (chunks + 1) * len(shapes)
    shapes["vectors"] = (_NAMES[row_type], [rows, draft.rows[0].shape[1]])
    if row_type == "int8":
        shapes["steps"] = ("F32", [rows])
    shapes |= {name: ("U8", [sum(map(len, parts))]) for name, parts in draft.columns.items()}
    shapes["ids"] = ("U8", [len(_ids_json(draft))])
    header, begin = {}, 0
    for name, (dtype, shape) in shapes.items():
        end = begin + math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text) + integers) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _ids_json(draft: Draft) -> bytes:
    return json.dumps(draft.ids, ensure_ascii=False).encode()


def _digest() -> Any:
    return hashlib.blake2b(digest_size=16)
