"""How values show themselves in a notebook: the one place where data reaches for a renderer, when a notebook asks."""

from __future__ import annotations


class ShowsInNotebooks:
    """Gives a value the method that notebooks call; no renderer is imported before."""

    def _repr_html_(self) -> str:
        from latelens.render.notebook import html_of

        return html_of(self)
