"""When PLAID is built and changed, losing no chunk: a new folder, then one transaction that names it."""

from __future__ import annotations

import math
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from latelens.index.plaid.folder import build, extend
from latelens.index.plaid.store import ChunkStore, Generation

_SHARE = 0.125  # of what PLAID holds: when so much waits or is deleted, it is changed, which copies its folder
_FEWEST = 16  # chunks: of fewer, fast-plaid may not have rows enough to train on


class PlaidBuilder:
    """Puts waiting chunks into PLAID; chunks may be written and searched meanwhile."""

    def __init__(self, store: ChunkStore, path: Path, *, n_bits: int, build_from: int, device: str | None) -> None:
        self._store, self._path = store, path
        self._n_bits, self._build_from, self._device = n_bits, build_from, device
        self._lock = threading.Lock()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other builders away, in this process and in others."""
        with self._lock, FileLock(self._path / "build.lock"):
            yield

    def settle(self, least: int | None = None) -> None:
        """Build or change PLAID if enough chunks wait, at least `least` where given, or are deleted."""
        if not self._due(least):
            return
        with self.alone():
            if self._due(least):
                self._change()

    def _due(self, least: int | None) -> bool:
        with self._store.reading() as view:
            waiting, generation = view.count("position IS NULL"), view.generation()
            if generation is None:
                return waiting >= max(least or self._build_from, _FEWEST)
            deleted = generation.size - view.count("position IS NOT NULL")
        share = max(self._build_from // 4, math.ceil(_SHARE * generation.size))
        return waiting >= (least or share) or deleted >= share

    def _change(self) -> None:
        with self._store.reading() as view:
            old, placed = view.generation(), view.placed()
            rows = view.rows(view.waiting())
        name = f"plaid-{secrets.token_hex(8)}"
        vectors = [each.vectors for each in rows.values()]
        if old is None or not placed:
            order = list(rows) if len(rows) >= _FEWEST else []
            if order:
                build(self._path / name, vectors, n_bits=self._n_bits, device=self._device)
        else:
            order = [seq for _, seq in placed] + list(rows)
            alive = {position for position, _ in placed}
            deleted = [position for position in range(old.size) if position not in alive]
            extend(self._path / old.name, self._path / name, vectors, deleted=deleted, device=self._device)
        with self._store.writing() as view:
            new = Generation(name, len(order)) if order else None
            view.place(new, ((position, seq) for position, seq in enumerate(order)))
        for folder in self._path.glob("plaid-*"):  # the old one, and those of builders that were killed
            if folder.name != name:
                with suppress(OSError):
                    shutil.rmtree(folder)
