"""Every argument of a call gets values of wrong types and sizes: the outcome is a result or an error of ours.

An error of ours is a TypeError, ValueError or ImportError that our code raised and whose message names the value.
What a user then reads is never an AttributeError of some line inside, nor a library's own words.
"""

from __future__ import annotations

import datetime
import math
import traceback
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = (ROOT / "core", ROOT / "integrations")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def nothing(*_: Any) -> None:
    """A function that takes anything and gives nothing."""


# By name, so that a failing test says which.
WRONG: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "zero": lambda: 0,
    "minus one": lambda: -1,
    "a fraction": lambda: 1.5,
    "not a number": lambda: math.nan,
    "infinity": lambda: math.inf,
    "a huge number": lambda: 10**5000,
    "an empty text": lambda: "",
    "a text": lambda: "yes",
    "half a surrogate pair": lambda: "\ud800",
    "a NUL": lambda: "a\0b",
    "bytes": lambda: b"yes",
    "an empty list": list,
    "a list of numbers": lambda: [1, 2],
    "a list of texts": lambda: ["a", "b"],
    "a list of None": lambda: [None],
    "a deep list": lambda: nested(3_000),
    "a dict": lambda: {"a": 1},
    "a set": lambda: {"a"},
    "a generator": lambda: (each for each in ["a"]),
    "an object": object,
    "a class": lambda: int,
    "a function": lambda: nothing,
    "a path": lambda: Path("no such folder") / "x",
    "an array": lambda: np.zeros((2, 3), dtype=np.float32),
    "numpy's number": lambda: np.float32(0.5),
    "a date": lambda: datetime.date(2026, 11, 21),
    "a UUID": lambda: uuid.UUID(int=7),
}


@dataclass(frozen=True)
class Call:
    """A public call with arguments that are right; those named in `passed_over` take anything."""

    name: str
    call: Callable[..., Any]
    right: Mapping[str, Callable[[], Any]]
    passed_over: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return self.name


def always(value: Any) -> Callable[[], Any]:
    """Makes a value that no call changes."""
    return lambda: value


def cases(calls: list[Call]) -> list[Any]:
    """For `pytest.mark.parametrize`: each argument of each call."""
    return [
        pytest.param(call, name, id=f"{call.name}-{name}")
        for call in calls
        for name in call.right
        if name not in call.passed_over
    ]


def assert_done_or_refused(call: Call, name: str) -> None:
    """Try all wrong values in place of one argument."""
    problems = []
    for called, value_of in WRONG.items():
        value = value_of()
        arguments = {other: make() for other, make in call.right.items()} | {name: value}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if problem := _problem(call.call, arguments, value):
                problems.append(f"{called}: {problem}")
    assert not problems, "\n".join(problems)


def _problem(call: Callable[..., Any], arguments: Mapping[str, Any], value: Any) -> str | None:
    try:
        call(**arguments)
    except (TypeError, ValueError, ImportError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if not any(Path(last.filename).is_relative_to(source) for source in SOURCES):
            return f"{Path(last.filename).name} raised {_said(error)}"
        if not (last.line or "").startswith("raise "):
            return f"an operation of ours raised {_said(error)} at {Path(last.filename).name}:{last.lineno}"
        return None if _names(str(error), value) else f"does not name the value: {_said(error)}"
    except OSError as error:  # a file that is not there: Python's own error, which names it
        return None if error.filename and _names(str(error), value) else _said(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{_said(error)} at {Path(last.filename).name}:{last.lineno}"
    return None


def _names(message: str, value: Any) -> bool:
    """Whether a message shows the value: its type, or how it begins."""
    parts = list(value) if isinstance(value, list | set | dict | bytes) else ["a"] if hasattr(value, "send") else []
    if any(type(part).__name__ in message for part in (value, *parts)):
        return True
    if isinstance(value, list | set) and any(repr(part) in message for part in value if isinstance(part, str)):
        return True
    if callable(value) and getattr(value, "__name__", "?") in message:
        return True
    if hasattr(value, "__len__") and f" {len(value)} " in message:  # one text in place of three tokens
        return True
    if isinstance(value, list | set | dict) and not value:
        return any(word in message for word in ("no ", "empty", "at least", "got 0", "[]"))
    if isinstance(value, np.ndarray):
        return str(value.shape) in message or str(value.dtype) in message
    if isinstance(value, dict):
        return all(repr(key) in message for key in value)
    if isinstance(value, str):
        return repr(value)[1:-1] in message or (not value and "empty" in message)
    try:
        return repr(value)[:10] in message or str(value)[:10] in message
    except Exception:  # nested too deep
        return "[[[" in message


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error!s:.150}"
