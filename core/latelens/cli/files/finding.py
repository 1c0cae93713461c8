"""Which files a command line means: those named, and the documents in the folders named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

STDIN = "-"
# What is read in a folder; a file that is named is read whatever it is called.
DOCUMENTS = frozenset(
    {".adoc", ".asciidoc", ".htm", ".html", ".markdown", ".md", ".mdx", ".org", ".pdf", ".rst", ".tex", ".text", ".txt"}
)
# The same, of files whose pages are read as images.
PAGES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff"})
# Folders of installed packages and builds, which hold thousands of files that nobody wrote here.
_NOT_ENTERED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


@dataclass(frozen=True)
class FoundFiles:
    """Files to read, each once, in the order given; folders in alphabetical order.

    Attributes
    ----------
    names
        Paths as they were given, or joined to the folder given; ``"-"`` is standard input.
    notes
        What was skipped, in words.
    """

    names: tuple[str, ...]
    notes: tuple[str, ...]


def find_files(names: Sequence[str], suffixes: frozenset[str] = DOCUMENTS) -> FoundFiles:
    """Replace folders by the files in them that end in a suffix; hidden ones and links to folders are skipped.

    Raises
    ------
    FileNotFoundError
        If there is nothing of a given name.
    """
    found: dict[str, str] = {}
    notes: list[str] = []
    for name in names:
        if name != STDIN and not os.path.lexists(name):
            raise FileNotFoundError(f"there is no file {name!r}")
        inside = _documents(name, suffixes, notes) if name != STDIN and Path(name).is_dir() else [name]
        for path in inside:
            found.setdefault(path if path == STDIN else os.path.realpath(path), path)
    return FoundFiles(tuple(found.values()), tuple(notes))


def _documents(folder: str, suffixes: frozenset[str], notes: list[str]) -> list[str]:
    """Documents below a folder; adds a note on files of other types."""
    documents: list[str] = []
    others: Counter[str] = Counter()
    for path in _walk(folder, notes):
        suffix = Path(path).suffix.lower()
        if suffix in suffixes:
            documents.append(path)
        else:
            others[suffix or "no suffix"] += 1
    if others:
        types = ", ".join(suffix for suffix, _ in others.most_common(5)) + (", ..." if len(others) > 5 else "")
        count = f"{others.total()} file{'s' if others.total() > 1 else ''} of other types ({types})"
        notes.append(f"{folder}: skipped {count}; name a file to read it whatever its type")
    elif not documents:
        notes.append(f"{folder}: no files in this folder")
    return documents


def _walk(folder: str, notes: list[str]) -> Iterator[str]:
    def note(error: OSError) -> None:
        notes.append(f"{error.filename}: not entered ({error.strerror})")

    for parent, folders, files in os.walk(folder, onerror=note):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _NOT_ENTERED)
        yield from (str(Path(parent, name)) for name in sorted(files) if not name.startswith("."))
