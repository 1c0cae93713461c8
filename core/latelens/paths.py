"""Folders that a user names."""

from __future__ import annotations

import os
from pathlib import Path

from latelens.refusals import check_is, described, shown


def checked_file(name: str, path: str | os.PathLike[str]) -> str:
    """The path of a file, as a str; what no file can be called is refused. `name` is the argument's."""
    check_is(name, path, (str, os.PathLike), "the path of a file")
    text = os.fsdecode(path)
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} must be the path of a file, got {shown(text)} ({error})") from error
    if not text or "\0" in text:
        raise ValueError(f"{name} must be the path of a file, got {shown(text)}")
    return text


def checked_folder(path: str | os.PathLike[str], *, none: str = "") -> Path:
    """The folder, which need not be there; a file is refused. `none` says what None does, where it may be given."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must name a folder{' or be None' if none else ''}, got {described(path)}")
    name = os.fsdecode(path)
    if not name or "\0" in name:
        raise ValueError(f"path must name a folder, got {path!r}{'; None ' if none else ''}{none}")
    try:
        os.fsencode(name)
        folder = Path(name).expanduser()
        is_file = folder.exists() and not folder.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # too long, of a user who has no home, or not UTF-8
        raise ValueError(f"path must name a folder, got {shown(name)} ({error}); choose another place") from error
    if is_file:
        raise ValueError(f"path must name a folder, but {str(path)!r} is a file; choose another place")
    return folder
