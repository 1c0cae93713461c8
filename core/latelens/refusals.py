"""How a refusal names the value that it refuses, and a warning the line that caused it."""

from __future__ import annotations

import reprlib
import sys
import warnings

_OURS = {"latelens", "langchain_latelens", "llama_index_latelens"}
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 80, 80


def described(value: object) -> str:
    """A wrong value's type and how it begins, whatever it is: huge, nested beyond what ``repr`` can, or without one.

    >>> described("seven"), described([[[[[1]]]]])
    ("str: 'seven'", 'list: [[[[...]]]]')
    """
    try:
        shown = _SHORT.repr(value)
    except Exception:  # a number of more digits than Python writes, or a class whose repr fails
        return type(value).__name__
    return f"{type(value).__name__}: {shown}"


def warn_caller(message: str) -> None:
    """Warn at the line outside of the library that led here, however many of our functions lie between.

    The command is outside: it says the warnings that arise at its own lines.
    """
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, stacklevel=level)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] in _OURS and not module.startswith("latelens.cli")
