"""Shards as Ray actors: asked all at once, started again where their process was lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import ray
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError
except ImportError as error:
    raise ImportError("ShardedIndex needs Ray: pip install 'latelens[ray]'") from error

from latelens.index.sharded.worker import KnownEncoder, Open, Shard

# How often a call is made again whose shard was lost; the process itself is started again as often as need be.
_AGAIN = 2
_AT_ONCE = 8  # calls in a shard's threads


class Shards:
    """Actors with one index each; a call gives every answer, or raises."""

    def __init__(
        self, open: Open, encoder: KnownEncoder, folders: Sequence[Path], timeout: float, options: Mapping[str, Any]
    ) -> None:
        if not ray.is_initialized():
            # A cluster of this machine alone, unless RAY_ADDRESS names one; nothing is reported to anybody.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        settings = {"max_restarts": -1, "max_task_retries": _AGAIN, "max_concurrency": _AT_ONCE, **options}
        actor: Any = ray.remote(Shard).options(**settings)
        self._folders, self._timeout = list(folders), timeout
        self._actors: list[Any] = [actor.remote(open, encoder, folder) for folder in folders]

    def __len__(self) -> int:
        return len(self._actors)

    def all(self, method: str, *arguments: Any, **named: Any) -> list[Any]:
        """What each shard answers to the same call."""
        return self.some(method, dict.fromkeys(range(len(self)), arguments), **named)

    def some(self, method: str, arguments: Mapping[int, tuple[Any, ...]], **named: Any) -> list[Any]:
        """What some shards answer, each to its own call, in the order asked."""
        asked = {i: getattr(self._actors[i], method).remote(*each, **named) for i, each in arguments.items()}
        return [self._answer(i, reference) for i, reference in asked.items()]

    def stream(self, method: str, *arguments: Any) -> Iterator[Any]:
        """What the shards yield, one shard after another."""
        for i, actor in enumerate(self._actors):
            for reference in getattr(actor, method).options(num_returns="streaming").remote(*arguments):
                yield self._answer(i, reference)

    def close(self) -> None:
        """End the processes; what was acknowledged is in their folders."""
        for actor in self._actors:
            ray.kill(actor)

    def _answer(self, i: int, reference: Any) -> Any:
        where = f"shard {i} of {len(self)}, in {str(self._folders[i])!r},"
        try:
            return ray.get(reference, timeout=self._timeout)
        except GetTimeoutError as error:
            raise TimeoutError(
                f"{where} gave no answer in {self._timeout:g} seconds; give it more with `timeout`, or see whether "
                "the cluster has room for all shards"
            ) from error
        except RayTaskError as error:
            raise error.cause from error
        except RayError as error:
            raise RuntimeError(
                f"{where} was lost and could not be started again ({type(error).__name__}); nothing is answered "
                "without it: see Ray's log, and open the folder anew"
            ) from error
