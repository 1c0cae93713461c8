"""A page of its own for a piece of HTML: it holds everything, and its content policy lets nothing be loaded."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from latelens.render.html.escaping import escape

_GROUND = ":root{color-scheme:light dark}body{margin:0;background:light-dark(#fff,#14161a)}"


@lru_cache(maxsize=8)
def resource(name: str) -> str:
    """A style or a script that lies beside the renderers."""
    return files("latelens.render.html").joinpath(name).read_text(encoding="utf-8")


def whole_page(piece: str, *, title: str, scripts: Sequence[str]) -> str:
    """The whole document around a piece; no script runs but those given, and nothing is loaded.

    Pictures are shown that the piece itself holds.
    """
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}; base-uri 'none'"
    lines = (
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{_GROUND}</style></head>",
        f"<body><main>{piece}</main></body></html>\n",
    )
    return "\n".join(lines)


def write_page(page: str, path: str | os.PathLike[str]) -> Path:
    """Write a page, in UTF-8, and say where."""
    saved = Path(path)
    saved.write_text(page, encoding="utf-8", newline="")
    return saved
