"""Folders that a user names."""

from __future__ import annotations

import os
from pathlib import Path

from latelens.refusals import described


def checked_folder(path: str | os.PathLike[str], *, none: str) -> Path:
    """The folder, which need not be there; a file is refused. `none` tells what None does in place of a path."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must name a folder or be None, got {described(path)}")
    if not os.fspath(path) or "\0" in os.fspath(path):
        raise ValueError(f"path must name a folder, got {path!r}; None {none}")
    try:
        os.fsencode(path)
        folder = Path(os.fsdecode(path)).expanduser()
        is_file = folder.exists() and not folder.is_dir()
    except UnicodeEncodeError as error:
        raise ValueError(f"path must name a folder, got {path!r:.80}, which no file system can write") from error
    except OSError as error:  # a name that is too long, or a folder above that may not be entered
        raise ValueError(
            f"path must name a folder, got {str(path)!r:.80} ({error.strerror}); choose another"
        ) from error
    if is_file:
        raise ValueError(f"path must name a folder, but {str(path)!r} is a file; choose another place")
    return folder
