"""How values show themselves in a notebook: the one place where data reaches for a renderer, when a notebook asks."""

from __future__ import annotations

from importlib import import_module

# By name, since nothing down here may import a renderer.
_RENDERER = "latelens.render.notebook"


class ShowsInNotebooks:
    """Gives a value the method that notebooks call; no renderer is imported before."""

    def _repr_html_(self) -> str:
        html: str = import_module(_RENDERER).html_of(self)
        return html
