"""How a refusal names the value that it refuses."""

from __future__ import annotations

import reprlib

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
