"""Bars of what `python tests/benchmarks` measured: a panel for each table."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Ours, what the processor or Python takes at least, and others.
OURS, LEAST, OTHERS = "#b3541e", "#9a9a9a", "#4c72a0"
FLOORS = ("bare product", "python alone")
_OTHERS = ("sentence-transformers", "PyLate", "rerankers", "maxsim-cpu", "plain encoding")


def draw(tables: Sequence[tuple[str, Mapping[str, float]]]) -> Figure:
    """Milliseconds by path, (title, seconds) for each panel; two panels side by side."""
    rows = math.ceil(len(tables) / 2)
    most = [max(len(times) for _, times in tables[2 * i : 2 * i + 2]) for i in range(rows)]
    figure = Figure(figsize=(12, 0.3 * sum(most) + 0.85 * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
    grid = figure.add_gridspec(rows, 2, height_ratios=[count + 1 for count in most])
    for i, (title, times) in enumerate(tables):
        _bars(figure.add_subplot(grid[i // 2, i % 2]), title, times)
    return figure


def _bars(ax: Axes, title: str, times: Mapping[str, float]) -> None:
    names, values = list(times), [seconds * 1e3 for seconds in times.values()]
    ax.barh(names, values, color=[_colour(name) for name in names], height=0.7)
    ax.invert_yaxis()
    for y, value in enumerate(values):
        shown = f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"
        ax.text(value, y, f"\u00a0{shown} ms", va="center", fontsize=8)
    ax.set_xlim(0, 1.25 * max(values))
    ax.set_title("\n".join(textwrap.wrap(title, 36)), loc="left", fontsize=9.5, fontweight="bold")
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.tick_params(axis="x", bottom=False, labelbottom=False)
    ax.spines[["top", "right", "bottom"]].set_visible(False)


def _colour(name: str) -> str:
    if name.startswith(FLOORS):
        return LEAST
    return OTHERS if name.startswith(_OTHERS) else OURS
