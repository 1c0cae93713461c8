"""How a refusal names the value that it refuses, and a warning the line that caused it."""

from __future__ import annotations

import math
import reprlib
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_OURS = {"latelens", "langchain_latelens", "llama_index_latelens"}
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 80, 80


def shown(value: object) -> str:
    """How a wrong value begins, whatever it is: huge, nested beyond what ``repr`` can, or without one.

    >>> shown("seven"), shown([[[[[1]]]]])
    ("'seven'", '[[[[...]]]]')
    """
    try:
        return _SHORT.repr(value)
    except Exception:  # a number of more digits than Python writes, or a class whose repr fails
        return f"a value of type {type(value).__name__}"


def described(value: object) -> str:
    """A wrong value's type and how it begins, where another type is wanted.

    >>> described(7)
    'int: 7'
    """
    return f"{type(value).__name__}: {shown(value)}"


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


def check_is(
    name: str, value: object, kind: type[Any] | tuple[type[Any], ...], called: str, *, instead: str = ""
) -> None:
    """Refuse a value of another type; `called` says what is wanted and where it comes from, `instead` what to write."""
    if not isinstance(value, kind):
        next_step = f"; {instead}" if instead else ""
        raise TypeError(f"{name} must be {called}, got {described(value)}{next_step}")


def check_several(name: str, items: object, called: str) -> None:
    """Refuse what gives no items one by one, and a text or a mapping, which would give its letters or keys."""
    if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
        raise TypeError(f"{name} must be several {called}, as in a list, got {described(items)}")


def check_texts(name: str, texts: Sequence[str]) -> None:
    """Refuse one text in place of several, whose characters would be taken for texts, and what are no texts."""
    if isinstance(texts, str):
        raise TypeError(f"{name} must be a sequence of str, got one str: {shown(texts)}; put it in a list")
    if isinstance(texts, bytes | Mapping) or not hasattr(texts, "__len__") or not hasattr(texts, "__getitem__"):
        raise TypeError(f"{name} must be a sequence of str, got {described(texts)}")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{name}[{i}] must be a str, got {described(text)} in {described(texts)}")


def check_number(
    name: str, value: object, least: float = -math.inf, most: float = math.inf, *, none: str = " or None"
) -> None:
    """Refuse what is no finite number from `least` to `most`; `none` is empty where None means nothing."""
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) < math.inf
        and least <= value <= most
    ):
        return
    if isinstance(value, bool | bytes | str) or not hasattr(value, "__float__") or getattr(value, "shape", None):
        raise TypeError(f"{name} must be a number{none}, got {described(value)}")
    if not (hasattr(value, "dtype") and math.isfinite(float(value)) and least <= value <= most):  # type: ignore[operator]
        raise ValueError(f"{name} must be {_range(least, most)}{none}, got {shown(value)}")


def _range(least: float, most: float) -> str:
    if most < math.inf:
        return f"between {least:g} and {most:g}"
    return "a finite number" if least == -math.inf else f"a finite number of at least {least:g}"


def check_one_of(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse what is none of the choices, whatever it is: an array compares with nothing, and True is no 1.

    >>> check_one_of("mode", "sparse", ["dense", "hybrid"])
    Traceback (most recent call last):
    ValueError: mode must be 'dense' or 'hybrid', got 'sparse'
    """
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *some, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(some)} or {last}, got {shown(value)}")


def check_count(name: str, value: int, *, least: int = 1) -> None:
    """Refuse what is no int of at least `least`, or counts more than a machine can hold."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}, got {shown(value)}")
    if value > sys.maxsize:
        raise ValueError(f"{name} must be an int of at most {sys.maxsize}, got {shown(value)}")
