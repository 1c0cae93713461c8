"""Arguments of both frameworks' classes, refused alike: what was wrong, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast, get_args

from latelens.refusals import check_is, described

Item = TypeVar("Item")


def check_names(asked: Iterable[str], known: Iterable[str]) -> None:
    """Refuse arguments of a call that are not known: dropped in silence, a filter would be a leak."""
    names = sorted(known)
    for name in asked:
        if name not in names:
            raise TypeError(f"a call takes {', '.join(names)}, got {name!r}")


def listed(name: str, items: Iterable[Any], kind: type[Item] | tuple[type[Item], ...], *, wrap: str = "") -> list[Item]:
    """The items of a list, a generator or any other iterable, read once and each of the right type.

    `wrap` says how to make such an item of something else.

    Raises
    ------
    TypeError
        If one item is given in place of several, or an item is of another type.
    """
    return list(streamed(name, items, kind, wrap=wrap))


def streamed(
    name: str, items: Iterable[Any], kind: type[Item] | tuple[type[Item], ...], *, wrap: str = ""
) -> Iterator[Item]:
    """`listed`, one item at a time; what is no iterable of items is refused at once."""
    check_many(name, items, kind)
    return (_checked(f"{name}[{i}]", item, kind, wrap) for i, item in enumerate(items))


def check_many(name: str, items: object, kind: type[Any] | tuple[type[Any], ...]) -> None:
    """Refuse one item in place of several: a text would be taken for its letters."""
    if isinstance(items, (str, bytes, Mapping, *_kinds(kind))):
        wrong = f"one {described(items)}; put it in a list"
    elif not isinstance(items, Iterable):
        wrong = described(items)
    else:
        return
    raise TypeError(f"{name} must be a sequence of {_named(kind)}, got {wrong}")


def _checked(name: str, item: Any, kind: type[Item] | tuple[type[Item], ...], wrap: str) -> Item:
    check_type(name, item, kind, instead=wrap)
    return cast("Item", item)


def check_type(name: str, value: object, kind: type[Any] | tuple[type[Any], ...], *, instead: str = "") -> None:
    """Refuse what is of another type; `instead` says what to write."""
    check_is(name, value, kind, f"a {_named(kind)}", instead=instead)


def check_name(name: str, value: object) -> None:
    """Refuse what is no str, or an empty one."""
    check_type(name, value, str)
    if not str(value).strip():
        raise ValueError(f"{name} must not be empty, got {value!r}")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    check_is(name, value, bool, "True or False")


def _named(kind: type[Any] | tuple[type[Any], ...]) -> str:
    return " or ".join(one.__name__ for one in _kinds(kind))


def _kinds(kind: type[Any] | tuple[type[Any], ...]) -> tuple[type[Any], ...]:
    each = kind if isinstance(kind, tuple) else (kind,)
    return tuple(one for union in each for one in (get_args(union) or (union,)))
