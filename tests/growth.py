"""Time that grows with the input: asked by doubling it."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any


def cpu_time(work: Callable[[], Any], *, times: int = 3) -> float:
    """Seconds of processor time, the least of several: another process can only add to it.

    Without the collector, as `timeit` measures: it walks through what other tests left behind.
    """
    best, collects = float("inf"), gc.isenabled()
    gc.disable()
    try:
        for _ in range(times):
            started = time.process_time()
            work()
            best = min(best, time.process_time() - started)
    finally:
        if collects:
            gc.enable()
    return best


def assert_linear(work: Callable[[str], Any], make: Callable[[int], str], size: int, *, within: float) -> None:
    """Check that twice the input takes about twice as long, and no more than `within` seconds.

    Quadratic work takes four times as long and exponential work never ends; what is too quick to be measured passes.
    """
    small, large = make(size), make(2 * size)
    once = cpu_time(lambda: work(small))
    twice = cpu_time(lambda: work(large))
    assert twice < within, f"{2 * size:,} took {twice:.2f} s"
    assert twice < 3 * once + 0.05, f"{size:,} took {once:.3f} s and {2 * size:,} took {twice:.3f} s"
