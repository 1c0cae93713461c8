"""One folder of PLAID, written once: fast-plaid, the engine of `pylate.indexes.PLAID`.

PyLate's own class is passed by because it reads two pickles of all ids for each query, and keeps the rows of an id
that is added again (seen in 1.6).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from fast_plaid.search import FastPlaid
from numpy.typing import NDArray


class PlaidFolder:
    """A folder that is only searched; its positions are numbers from 0.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or only part of one.
    """

    def __init__(self, path: Path, device: str | None) -> None:
        if not (path / "metadata.json").is_file():  # fast-plaid would make an empty folder
            raise FileNotFoundError(f"there is no PLAID in {str(path)!r}")
        self._plaid = FastPlaid(str(path), device=device)

    def search(
        self, query: NDArray[np.float32], limit: int, *, probes: int, alive: Sequence[int] | None = None
    ) -> list[tuple[int, float]]:
        """Positions and approximate scores of the best, best first; of the given ones where `alive` is given."""
        if alive is not None and not len(alive):  # fast-plaid would take it for no restriction
            return []
        found = self._plaid.search(
            torch.from_numpy(np.array(query)).unsqueeze(0),
            top_k=limit,
            n_full_scores=max(4096, 4 * limit),
            n_ivf_probe=probes,
            show_progress=False,
            subset=None if alive is None else [list(alive)],
            n_processes=1,
        )
        return [(int(position), float(score)) for position, score in found[0]]


def build(path: Path, rows: Sequence[NDArray[np.float32]], *, n_bits: int, device: str | None) -> None:
    """Make a folder of PLAID; the positions are those of `rows`."""
    plaid = FastPlaid(str(path), device=device)
    # Small indexes would keep all rows beside, in a pickle, to be made anew from them.
    plaid.create(_tensors(rows), nbits=n_bits, start_from_scratch=0, use_triton_kmeans=False)
    _sync(path)


def extend(
    old: Path, path: Path, rows: Sequence[NDArray[np.float32]], *, deleted: Sequence[int], device: str | None
) -> None:
    """Copy a folder, take positions out, so that later ones move up, and put `rows` at the end."""
    shutil.copytree(old, path, ignore=shutil.ignore_patterns("merged_*", "plaid.lock"))  # made anew from the rest
    plaid = FastPlaid(str(path), device=device)
    if deleted:
        plaid.delete(list(deleted))
    if rows:
        plaid.update(_tensors(rows), start_from_scratch=0, buffer_size=0, use_triton_kmeans=False)
    _sync(path)


def _tensors(rows: Sequence[NDArray[np.float32]]) -> list[torch.Tensor]:
    return [torch.from_numpy(np.array(each)) for each in rows]  # a copy: torch wants to be able to write


def _sync(path: Path) -> None:
    """Put a folder on disk before anything names it."""
    for file in [*path.iterdir(), path, path.parent]:
        with suppress(PermissionError):  # Windows opens no folders
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
