"""What the adapters' arguments stand for, the same for both frameworks."""

from __future__ import annotations

import os

from latelens.cache import EmbeddingCache

CacheSetting = bool | str | os.PathLike[str] | EmbeddingCache


def open_cache(setting: CacheSetting) -> EmbeddingCache | None:
    """Turn the setting into a cache: True keeps memory, False keeps nothing, a path keeps a folder too."""
    if isinstance(setting, EmbeddingCache):
        return setting
    if isinstance(setting, bool):
        return EmbeddingCache() if setting else None
    if isinstance(setting, str | os.PathLike):
        return EmbeddingCache(setting)
    raise TypeError(
        f"cache must be True, False, a path or an EmbeddingCache, got {type(setting).__name__}: {setting!r}"
    )


def describe_cache(setting: CacheSetting) -> bool | str:
    """The setting as JSON, from which `open_cache` makes an equal cache."""
    if isinstance(setting, EmbeddingCache):
        return True if setting.path is None else str(setting.path)
    return setting if isinstance(setting, bool) else os.fspath(setting)
