"""An attribution with the adapters' arguments: a model that loads once, and a cache that lasts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from latelens.attribution.answer import attribute, check_max_citations
from latelens.attribution.citations import Attribution, Source
from latelens.encoders import DEFAULT_MODEL
from latelens.encoders.cache import EmbeddingCache
from latelens.encoders.cache_setting import CacheSetting, open_cache
from latelens.encoders.lazy import LazyEncoder


class Attributor:
    """Holds the model and the cache with which answers are attributed; the model loads at first use.

    The arguments are those of both frameworks' ``attach_citations``. A model given by its name is loaded once a
    process, and ``cache=True`` is one memory for all attributors of a process: a function that is called for every
    answer must neither load weights nor encode the same chunks again.
    """

    def __init__(
        self,
        model: Any = DEFAULT_MODEL,
        *,
        cache: CacheSetting = True,
        max_citations: int = 3,
        verifier: Any = None,
        device: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        check_max_citations(max_citations)
        by_name = isinstance(model, str)
        self.encoder = (_shared_encoder if by_name else LazyEncoder)(model, device=device, batch_size=batch_size)
        setting = os.fspath(cache) if isinstance(cache, os.PathLike) else cache
        self.cache = _shared_cache(setting) if setting is True or isinstance(setting, str) else open_cache(setting)
        self.max_citations, self.verifier = max_citations, verifier

    def __call__(self, answer: str, sources: Sequence[Source]) -> Attribution:
        """The answer's claims with their citations into the sources."""
        return attribute(
            answer,
            sources,
            self.encoder,
            cache=self.cache,
            max_citations=self.max_citations,
            verifier=self.verifier,
        )


@lru_cache(maxsize=4)
def _shared_encoder(model: str, *, device: str | None, batch_size: int | None) -> LazyEncoder:
    return LazyEncoder(model, device=device, batch_size=batch_size)


@lru_cache(maxsize=4)
def _shared_cache(setting: bool | str) -> EmbeddingCache | None:
    return open_cache(setting)
