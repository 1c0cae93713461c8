"""What the adapters' arguments stand for, the same for both frameworks."""

from __future__ import annotations

import os

from latelens.encoders.cache import EmbeddingCache

CacheSetting = bool | str | os.PathLike[str] | EmbeddingCache | None


def open_cache(setting: CacheSetting) -> EmbeddingCache | None:
    """Turn the setting into a cache: True keeps memory, a path keeps a folder too, False and None keep nothing."""
    if setting is None or isinstance(setting, bool):
        return EmbeddingCache() if setting else None
    if isinstance(setting, str | os.PathLike):
        return EmbeddingCache(setting)
    if not isinstance(setting, EmbeddingCache):
        raise TypeError(
            f"cache must be True, False, a path or an EmbeddingCache, got {type(setting).__name__}: {setting!r:.80}"
        )
    return setting


def describe_cache(setting: CacheSetting) -> bool | str:
    """Write the setting as JSON, from which `open_cache` makes such a cache again."""
    path = setting.path if isinstance(setting, EmbeddingCache) else setting
    return os.fspath(path) if isinstance(path, str | os.PathLike) else setting not in (None, False)
