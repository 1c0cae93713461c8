"""Shards that stop where a test says, so that it can kill them there."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latelens import Encoder
from latelens.index import ExactIndex


class StoppingIndex(ExactIndex):
    """Where its folder holds a file ``stop-NAME``, it tells its process there and waits until the file is gone."""

    def _stop(self, name: str) -> None:
        assert self.path is not None
        stop = self.path.parent / f"stop-{name}"
        if stop.exists():
            stop.with_suffix(".pid.part").write_text(str(os.getpid()))
            stop.with_suffix(".pid.part").rename(stop.with_suffix(".pid"))
        while stop.exists():
            time.sleep(0.01)

    def _search_many(self, *arguments: Any) -> Any:
        self._stop("search")
        return super()._search_many(*arguments)

    def _write(self, chunks: Sequence[Any], rows: Sequence[Any], *, replace: bool) -> None:
        self._stop("before-write")
        super()._write(chunks, rows, replace=replace)
        self._stop("after-write")


def stopping(encoder: Encoder, folder: Path) -> StoppingIndex:
    return StoppingIndex(encoder, folder)
