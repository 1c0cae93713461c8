"""`EmbeddingCache`: what was encoded once is not encoded again."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import secrets
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from latelens.embeddings import TokenEmbeddings
from latelens.encoders import Encoder

_MAGIC = b"latelens embeddings 1\n"  # raise the number when the layout changes: older files are then misses
_DTYPES: dict[str, Any] = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}
_OUR_FILE = re.compile(r"[0-9a-f]{64}(\.emb|\.[0-9a-f]{16}\.tmp)")
_ABANDONED = 3600  # seconds; a write takes milliseconds, so whoever began an older temporary file is dead


class EmbeddingCache:
    """Keeps token embeddings, so that reranking the same chunks again does not encode them again.

    An entry is found by its role (query or document), its exact text and the encoder's fingerprint, so models
    never mix. One cache serves any number of encoders and threads; two threads that miss the same text at the
    same moment both encode it. What comes back is shared: its arrays are read-only.

    Bounded is the memory, by `max_bytes`: entries used longest ago go first. Not bounded is the folder, which
    grows by about ``4 * dim`` bytes a token: delete it, or any file in it, whenever you like. It holds the
    tokens of your documents in the clear, so guard it as you guard them.

    Any number of processes may share a folder, and any may be killed at any moment: a file is written whole
    or not at all, and a damaged one counts as missing. If the folder cannot be written, one warning says so.

    Parameters
    ----------
    path
        Folder that keeps documents, made at the first write; None keeps them in memory only, like queries.
    max_bytes
        Bound on `nbytes`. A larger entry is returned but not kept; 0 keeps nothing in memory.

    Raises
    ------
    ValueError, TypeError
        If `path` names a file, or an argument is out of range or of the wrong type.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, *, max_bytes: int = 512 * 2**20) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, int):
            raise TypeError(f"max_bytes must be an int, got {type(max_bytes).__name__}: {max_bytes!r:.80}")
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be at least 0, got {max_bytes}; 0 keeps nothing in memory")
        self.path = None if path is None else _checked_path(path)
        self.max_bytes = max_bytes
        self._folder = None if self.path is None else _Folder(self.path)
        self._entries: OrderedDict[bytes, TokenEmbeddings] = OrderedDict()  # used longest ago first
        self._nbytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes in memory, as `TokenEmbeddings.nbytes` counts them."""
        return self._nbytes

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        path = None if self.path is None else str(self.path)
        return f"EmbeddingCache(path={path!r}, entries={len(self)}, nbytes={self.nbytes})"

    def encode_queries(self, encoder: Encoder, texts: Sequence[str]) -> list[TokenEmbeddings]:
        """Encode the queries that are not in memory; one result each, in order."""
        return self._encode("query", encoder.fingerprint, texts, encoder.encode_queries, None)

    def encode_documents(
        self, encoder: Encoder, texts: Sequence[str], *, show_progress: bool = False
    ) -> list[TokenEmbeddings]:
        """Encode the documents that are neither in memory nor in the folder; one result each, in order."""
        encode = partial(encoder.encode_documents, show_progress=show_progress)
        return self._encode("document", encoder.fingerprint, texts, encode, self._folder)

    def clear(self) -> None:
        """Forget what is in memory, and delete the files that caches wrote under `path`: no others."""
        with self._lock:
            self._entries.clear()
            self._nbytes = 0
        if self._folder is not None:
            self._folder.clear()

    def _encode(
        self,
        role: str,
        fingerprint: str,
        texts: Sequence[str],
        encode: Callable[[Sequence[str]], list[TokenEmbeddings]],
        folder: _Folder | None,
    ) -> list[TokenEmbeddings]:
        _check_texts(texts)
        keys = [_key(role, fingerprint, text) for text in texts]
        found: dict[bytes, TokenEmbeddings] = {}
        missing: dict[bytes, str] = {}
        for key, text in dict(zip(keys, texts, strict=True)).items():
            if (entry := self._find(key, text, folder)) is None:
                missing[key] = text
            else:
                found[key] = entry
        encoded = encode(list(missing.values())) if missing else []
        if len(encoded) != len(missing):
            raise ValueError(f"encoders must return one result a text, got {len(encoded)} for {len(missing)}")
        for (key, text), entry in zip(missing.items(), encoded, strict=True):
            found[key] = self._keep(key, _sealed(text, entry))
            if folder is not None:
                folder.write(key, found[key])
        return [found[key] for key in keys]

    def _find(self, key: bytes, text: str, folder: _Folder | None) -> TokenEmbeddings | None:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        entry = None if folder is None else folder.read(key, text)
        return None if entry is None else self._keep(key, entry)

    def _keep(self, key: bytes, entry: TokenEmbeddings) -> TokenEmbeddings:
        size = entry.nbytes
        with self._lock:
            if key not in self._entries and size <= self.max_bytes and self.max_bytes:
                self._entries[key] = entry
                self._nbytes += size
            while self._nbytes > self.max_bytes:
                self._nbytes -= self._entries.popitem(last=False)[1].nbytes
        return entry


def open_cache(cache: bool | str | os.PathLike[str] | EmbeddingCache | None) -> EmbeddingCache | None:
    """Turn a reranker's `cache` argument into a cache: True is memory, a path a folder too, False nothing."""
    if cache is None or isinstance(cache, bool):
        return EmbeddingCache() if cache else None
    if isinstance(cache, (str, os.PathLike)):
        return EmbeddingCache(cache)
    if not isinstance(cache, EmbeddingCache):
        raise TypeError(f"cache must be True, False, a folder or an EmbeddingCache, got {cache!r:.80}")
    return cache


def cache_setting(cache: bool | str | os.PathLike[str] | EmbeddingCache | None) -> bool | str:
    """Turn a reranker's `cache` argument into JSON from which `open_cache` makes such a cache again."""
    path = cache.path if isinstance(cache, EmbeddingCache) else cache
    return os.fspath(path) if isinstance(path, (str, os.PathLike)) else cache not in (None, False)


class _Folder:
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


def _sealed(text: str, entry: TokenEmbeddings) -> TokenEmbeddings:
    # A view would keep a whole batch in memory, uncounted, and safetensors ignores strides: copy both.
    arrays: list[Any] = [
        array if array.flags.owndata and array.flags.c_contiguous else np.array(array, order="C")
        for array in (entry.vectors, entry.spans, entry.kinds)
    ]
    for array in arrays:
        array.flags.writeable = False
    vectors, spans, kinds = arrays
    return replace(entry, text=text, vectors=vectors, spans=spans, kinds=kinds)


def _key(role: str, fingerprint: str, text: str) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in (role, fingerprint, text):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)  # so "ab", "c" is not "a", "bc"
    return digest.digest()


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}; use a list")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a str, got {type(text).__name__}: {text!r:.80}")


def _checked_path(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must name a folder or be None, got {type(path).__name__}: {path!r:.80}")
    if not os.fspath(path) or "\0" in os.fspath(path):
        raise ValueError(f"path must name a folder, got {path!r}; None keeps embeddings in memory only")
    folder = Path(path).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"path must name a folder, but {str(path)!r} is a file; choose another place")
    return folder
