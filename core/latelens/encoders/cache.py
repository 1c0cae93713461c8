"""`EmbeddingCache`: what was encoded once is not encoded again."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from latelens.embeddings import TokenEmbeddings
from latelens.encoders.cache_folder import CacheFolder
from latelens.encoders.protocol import Encoder, PageEncoder
from latelens.pages.images import check_pages, picture_of, pixels_digest, text_of
from latelens.paths import checked_folder
from latelens.refusals import described

if TYPE_CHECKING:
    from latelens.pages.images import PageImage

_Source = TypeVar("_Source")


class EmbeddingCache:
    """Keeps token embeddings, so that reranking the same chunks again does not encode them again.

    An entry is found by its role (query, document or page), its exact text, for a page also its pixels, and the
    encoder's fingerprint, so models never mix. One cache serves any number of encoders and threads; two threads
    that miss the same text at the same moment both encode it. What comes back is shared: its arrays are read-only.

    Bounded is the memory, by `max_bytes`: entries used longest ago go first. Not bounded is the folder, which
    grows by about ``4 * dim`` bytes a token: delete it, or any file in it, whenever you like. It holds the
    tokens of your documents in the clear, so guard it as you guard them.

    Any number of processes may share a folder, and any may be killed at any moment: a file is written whole
    or not at all, and a damaged one counts as missing. If the folder cannot be written, one warning says so.

    A pickled cache keeps its folder and its bound, and comes back with an empty memory; a deep copy is the same cache.

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
            raise TypeError(f"max_bytes must be an int, got {described(max_bytes)}")
        if max_bytes < 0:
            raise ValueError(f"max_bytes must be at least 0, got {max_bytes}; 0 keeps nothing in memory")
        self.path = None if path is None else checked_folder(path, none="keeps embeddings in memory only")
        self.max_bytes = max_bytes
        self._folder = None if self.path is None else CacheFolder(self.path)
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
        keys = _keys("query", encoder.fingerprint, texts)
        return self._encode(keys, texts, texts, encoder.encode_queries, None)

    def encode_documents(
        self, encoder: Encoder, texts: Sequence[str], *, show_progress: bool = False
    ) -> list[TokenEmbeddings]:
        """Encode the documents that are neither in memory nor in the folder; one result each, in order."""
        encode = partial(encoder.encode_documents, show_progress=show_progress)
        return self._encode(_keys("document", encoder.fingerprint, texts), texts, texts, encode, self._folder)

    def encode_pages(
        self, encoder: PageEncoder, pages: Sequence[PageImage], *, show_progress: bool = False
    ) -> list[TokenEmbeddings]:
        """Encode the pages that are neither in memory nor in the folder; one result each, in order.

        Each page is drawn to see whether its pixels are known: milliseconds, where encoding takes seconds.
        """
        fingerprint, texts = encoder.fingerprint, [text_of(page) for page in check_pages(pages)]
        keys = [
            _key("page", fingerprint, text, pixels_digest(picture_of(page)))
            for page, text in zip(pages, texts, strict=True)
        ]
        encode = partial(encoder.encode_pages, show_progress=show_progress)
        return self._encode(keys, texts, pages, encode, self._folder)

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process begins with an empty memory; a folder serves both.
        return partial(type(self), self.path, max_bytes=self.max_bytes), ()

    def __deepcopy__(self, memo: dict[int, Any]) -> EmbeddingCache:
        return self  # one memory with one bound, however often what holds it is copied

    def clear(self) -> None:
        """Forget what is in memory, and delete the files that caches wrote under `path`: no others."""
        with self._lock:
            self._entries.clear()
            self._nbytes = 0
        if self._folder is not None:
            self._folder.clear()

    def _encode(
        self,
        keys: Sequence[bytes],
        texts: Sequence[str],
        sources: Sequence[_Source],
        encode: Callable[[Sequence[_Source]], list[TokenEmbeddings]],
        folder: CacheFolder | None,
    ) -> list[TokenEmbeddings]:
        """What is kept under each key, and for the others what `encode` makes of their sources."""
        entries: dict[bytes, TokenEmbeddings] = {}
        missing: dict[bytes, int] = {}
        for i, (key, text) in enumerate(zip(keys, texts, strict=True)):
            if key in entries or key in missing:
                continue
            if (entry := self._find(key, text, folder)) is None:
                missing[key] = i
            else:
                entries[key] = entry
        encoded = encode([sources[i] for i in missing.values()]) if missing else []
        if len(encoded) != len(missing):
            raise ValueError(f"encoders must return one result a text, got {len(encoded)} for {len(missing)}")
        for (key, i), entry in zip(missing.items(), encoded, strict=True):
            entries[key] = self._keep(key, _sealed(texts[i], entry))
            if folder is not None:
                folder.write(key, entries[key])
        return [entries[key] for key in keys]

    def _find(self, key: bytes, text: str, folder: CacheFolder | None) -> TokenEmbeddings | None:
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


CacheSetting = bool | str | os.PathLike[str] | EmbeddingCache | None


def open_cache(setting: CacheSetting) -> EmbeddingCache | None:
    """Turn an argument into a cache: True keeps memory, a path keeps a folder too, False and None keep nothing."""
    if setting is None or isinstance(setting, bool):
        return EmbeddingCache() if setting else None
    if isinstance(setting, str | os.PathLike):
        return EmbeddingCache(setting)
    if not isinstance(setting, EmbeddingCache):
        raise TypeError(f"cache must be True, False, a path or an EmbeddingCache, got {described(setting)}")
    return setting


def describe_cache(setting: CacheSetting) -> bool | str:
    """Write the argument as JSON, from which `open_cache` makes such a cache again."""
    path = setting.path if isinstance(setting, EmbeddingCache) else setting
    return os.fspath(path) if isinstance(path, str | os.PathLike) else setting not in (None, False)


def _sealed(text: str, entry: TokenEmbeddings) -> TokenEmbeddings:
    vectors, spans, kinds = map(_own, (entry.vectors, entry.spans, entry.kinds))
    page = None if entry.page is None else replace(entry.page, cells=_own(entry.page.cells))
    return replace(entry, text=text, vectors=vectors, spans=spans, kinds=kinds, page=page)


def _own(array: Any) -> Any:
    # A view would keep a whole batch in memory, uncounted, and safetensors ignores strides: copy both.
    owned = array if array.flags.owndata and array.flags.c_contiguous else np.array(array, order="C")
    owned.flags.writeable = False
    return owned


def _keys(role: str, fingerprint: str, texts: Sequence[str]) -> list[bytes]:
    _check_texts(texts)
    return [_key(role, fingerprint, text) for text in texts]


def _key(*parts: str) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)  # so "ab", "c" is not "a", "bc"
    return digest.digest()


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"texts must be a sequence of str, got {type(texts).__name__}; use a list")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts[{i}] must be a str, got {described(text)}")
