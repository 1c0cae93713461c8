"""Makes the doctests in docstrings code blocks on the site; mkdocs.yml names it as an extension of griffe."""

from __future__ import annotations

import re
from typing import Any

import griffe

# From a prompt to the next blank line; a section "Examples" is read by griffe itself.
_DOCTEST = re.compile(r"^>>> .*?(?=\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)


class DocstringExamples(griffe.Extension):
    """Fences every doctest."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for each module, class, function and attribute that has been read."""
        docstring = obj.docstring
        if docstring is not None and not re.search(r"^Examples\n-+$", docstring.value, re.MULTILINE):
            docstring.value = _DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", docstring.value)
