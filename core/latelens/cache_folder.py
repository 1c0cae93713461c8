"""The folder of an `EmbeddingCache`: one file an entry, written whole or not at all, believed only if it is right."""

from __future__ import annotations

import hashlib
import json
import math
import re
import secrets
import threading
import time
import warnings
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from latelens.embeddings import TokenEmbeddings

_MAGIC = b"latelens embeddings 1\n"  # raise the number when the layout changes: older files are then misses
_DTYPES: dict[str, Any] = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}
_OUR_FILE = re.compile(r"[0-9a-f]{64}(\.emb|\.[0-9a-f]{16}\.tmp)")
_ABANDONED = 3600  # seconds; a write takes milliseconds, so whoever began an older temporary file is dead


class CacheFolder:
    """Entries as files. There is no fsync: a file that a power cut left unfinished fails its digest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._swept = False
        self._unwarned = threading.Lock()  # taken by the thread that warns, and never given back

    def read(self, key: bytes, text: str) -> TokenEmbeddings | None:
        """Return the entry of a text; None if its file is missing or not to be believed."""
        try:
            with self._file(key).open("rb", buffering=0) as file:
                head = file.read(len(_head(key, b"")))
                payload = file.read() if head.startswith(_MAGIC) else b""
            return _from_bytes(payload, text) if head == _head(key, payload) else None
        except Exception:  # whatever is wrong with a file, encoding its text again puts it right
            return None

    def write(self, key: bytes, entry: TokenEmbeddings) -> None:
        """Write an entry over what is there; the first failure warns."""
        payload = _to_bytes(entry)
        try:
            self._replace(self._file(key), _head(key, payload), payload)
        except OSError as error:
            if self._unwarned.acquire(blocking=False):
                warnings.warn(
                    f"cannot write to the cache folder {str(self.path)!r} ({error}): results are right, but "
                    "their texts will be encoded again; free space, or choose another folder",
                    stacklevel=4,
                )

    def clear(self) -> None:
        """Delete our files, and the sub-folders that this leaves empty."""
        _delete_ours(self.path)
        for folder in list(self.path.glob("[0-9a-f][0-9a-f]")):
            _delete_ours(folder)
            with suppress(OSError):  # a file of somebody else's is in it
                folder.rmdir()

    def _file(self, key: bytes) -> Path:
        return self.path / key.hex()[:2] / f"{key.hex()}.emb"

    def _replace(self, file: Path, head: bytes, payload: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            _delete_ours(self.path, before=time.time() - _ABANDONED)
        # Beside the sub-folders: one short listing finds what killed writers left, however large the cache.
        temporary = self.path / f"{file.stem}.{secrets.token_hex(8)}.tmp"
        try:
            with temporary.open("xb") as out:
                out.writelines([head, payload])
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)


def _delete_ours(folder: Path, *, before: float = math.inf) -> None:
    for file in list(folder.iterdir()) if folder.is_dir() else []:
        with suppress(FileNotFoundError):  # another process was quicker
            if _OUR_FILE.fullmatch(file.name) and file.is_file() and file.stat().st_mtime < before:
                file.unlink()


def _head(key: bytes, payload: bytes) -> bytes:
    # The key is in the digest: a file that stands under another entry's name is not believed.
    return _MAGIC + hashlib.blake2b(payload, key=key, digest_size=16).digest()


def _to_bytes(entry: TokenEmbeddings) -> bytes:
    # Tokens are no JSON: it would read two lone surrogates in a row back as one character.
    letters = "".join(entry.tokens).encode("utf-8", "surrogatepass")
    arrays: dict[str, NDArray[Any]] = {
        "vectors": entry.vectors,
        "spans": entry.spans,
        "kinds": entry.kinds,
        "lengths": np.array([len(token) for token in entry.tokens], dtype=np.int32),
        "letters": np.frombuffer(letters, dtype=np.uint8),
        "complete": np.array([entry.complete], dtype=np.uint8),
    }
    return save(arrays)


def _from_bytes(payload: bytes, text: str) -> TokenEmbeddings:
    # Views of the payload, which nobody can write to.
    # safetensors' `load` copies instead: 55 ms against 43 for 100 entries.
    start = 8 + int.from_bytes(payload[:8], "little")
    data = memoryview(payload)[start:]
    arrays = {
        name: np.frombuffer(data[slice(*x["data_offsets"])], dtype=_DTYPES[x["dtype"]]).reshape(x["shape"])
        for name, x in json.loads(payload[8:start]).items()
    }
    letters = arrays["letters"].tobytes().decode("utf-8", "surrogatepass")
    edges = [0, *np.cumsum(arrays["lengths"]).tolist()]
    tokens = tuple(letters[start:end] for start, end in pairwise(edges))
    complete = bool(arrays["complete"][0])
    return TokenEmbeddings(text, arrays["vectors"], tokens, arrays["spans"], arrays["kinds"], complete)
