"""Chunks that PLAID does not hold yet: compared one by one, with their exact rows."""

from __future__ import annotations

import threading
from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from latelens.embeddings import TokenEmbeddings
from latelens.explanation.matches import Explanation, explain
from latelens.index.plaid.store import View
from latelens.index.scoring import rounding
from latelens.maxsim import PackedEmbeddings, maxsim, pack
from latelens.shortlist import longest, may_be_best


@dataclass(frozen=True, eq=False)
class Packed:
    """Waiting chunks of one moment, by ``seq``."""

    seqs: tuple[int, ...] = ()
    rows: tuple[TokenEmbeddings, ...] = ()
    packed: PackedEmbeddings | None = None


class Waiting:
    """Keeps the rows of waiting chunks in memory between searches."""

    def __init__(self) -> None:
        self._packed = Packed()
        self._lock = threading.Lock()

    def at(self, view: View) -> Packed:
        """Those that wait in a view; reads only what came since."""
        seqs = tuple(view.waiting())
        with self._lock:
            if seqs != self._packed.seqs:
                known = dict(zip(self._packed.seqs, self._packed.rows, strict=True))
                known |= view.rows([seq for seq in seqs if seq not in known])
                rows = tuple(known[seq] for seq in seqs)
                self._packed = Packed(seqs, rows, pack([each.vectors for each in rows]) if rows else None)
            return self._packed


def best(
    packed: Packed, query: TokenEmbeddings, k: int, allowed: Container[int] | None = None
) -> list[tuple[int, Explanation]]:
    """At least the best `k` of the allowed chunks, with those that tie with the last."""
    if packed.packed is None:
        return []
    scores = maxsim(query.vectors, packed.packed).scores
    if allowed is not None:
        scores[[seq not in allowed for seq in packed.seqs]] = -np.inf
    chosen = may_be_best(scores, k, rounding(query.vectors, longest(np.asarray(packed.packed.values))))
    return [(packed.seqs[i], explain(query, packed.rows[i])) for i in chosen.tolist() if np.isfinite(scores[i])]
