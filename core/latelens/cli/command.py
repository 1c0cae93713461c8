"""`main`: from arguments to printed passages and an exit status."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from latelens.cli.arguments import default_model, parse_arguments
from latelens.cli.files import DOCUMENTS, PAGES, FileText, FoundFiles, UnreadableFile, find_files, read_file
from latelens.cli.output import Hit, as_json, check_plot, check_target, show, write_html, write_pdf, write_plot
from latelens.cli.pages import read_pages, search_pages
from latelens.cli.search import cut, search
from latelens.encoders import Encoder, load_encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.encoders.options import Engine
from latelens.encoders.protocol import reads_pages
from latelens.pages.ocr import RapidReader
from latelens.pages.opening import Pages
from latelens.pages.words import WordReader
from latelens.render.terminal.printing import printable

FOUND, NOTHING_FOUND, WRONG_INPUT, INTERRUPTED, OUTPUT_CLOSED = 0, 1, 2, 130, 141
_WRITERS = {"html": write_html, "plot": write_plot, "pdf": write_pdf}


class _WrongInput(Exception):
    """What the user can put right; the message says how."""


@dataclass(frozen=True)
class _Searched:
    """What was found, by which model, in how many passages or pages of how many files."""

    hits: Sequence[Hit]
    model: str | None
    files: int
    searched: int
    noun: str

    @property
    def counted(self) -> str:
        return f"{_count(self.searched, self.noun)} of {_count(self.files, 'file')}"


class _Output(Console):
    """Standard output, which ``| head`` may close."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and give its exit status; wrong arguments exit with 2 at once."""
    if sys.stdout is None:
        _say("error: standard output is closed; give a file or a pipe")
        return WRONG_INPUT
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal's encoding may lack a character of a file
    try:
        parsed = parse_arguments(arguments)
        with _warnings_said():
            return _run(parsed)
    except _WrongInput as error:
        _say(f"error: {error}")
        return WRONG_INPUT
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return OUTPUT_CLOSED


def _run(parsed: argparse.Namespace) -> int:
    with _refusals():
        if parsed.plot is not None:
            check_plot(parsed.plot)
        found = find_files(parsed.files, PAGES if parsed.pages else DOCUMENTS)
        for option in _WRITERS:
            check_target(getattr(parsed, option), found.names)
        searched = (_search_pages if parsed.pages else _search_passages)(parsed, found)
    hits, counted = searched.hits, searched.counted
    try:
        _print(parsed, searched)
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_output()
        raise _WrongInput(f"standard output could not be written ({error.strerror})") from error
    if not hits:
        _say(f"nothing found in {counted}")
        return NOTHING_FOUND
    with _refusals():
        for option, write in _WRITERS.items():
            target = getattr(parsed, option)
            if target is not None:
                _say(f"wrote {write(hits, target)}")
    return FOUND


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the library refuses, which says what to do, into a message without a traceback."""
    try:
        yield
    except (BrokenPipeError, ModuleNotFoundError):
        raise  # what the library lacks and can name is a plain ImportError
    except (ValueError, ImportError, OSError) as error:
        raise _WrongInput(str(error)) from error


@contextmanager
def _warnings_said() -> Iterator[None]:
    """Say the library's warnings in a line each, and no other's."""

    def say(message: Warning | str, *_: object) -> None:
        _say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", category=UserWarning, module=r"latelens\.")
        warnings.showwarning = say  # type: ignore[assignment]
        yield


def _read(found: FoundFiles, encoding: str | None) -> list[FileText]:
    for note in found.notes:
        _say(note)
    files = []
    word_reader = _word_reader()
    with _progress() as progress:
        for name in progress.track(found.names, description="Reading files"):
            try:
                file = read_file(name, encoding=encoding, word_reader=word_reader)
            except UnreadableFile as error:
                _say(f"skipped {error}")
                continue
            for note in file.notes:
                _say(f"{name}: {note}")
            files.append(file)
    if not files:
        raise _WrongInput("there is no file to search: name text, Markdown, HTML or PDF files")
    return files


def _open(found: FoundFiles) -> list[Pages]:
    """The files whose pages are read as images; of one that cannot be read it is said why."""
    for note in found.notes:
        _say(note)
    files = []
    for name in found.names:
        try:
            files.append(read_pages(name))
        except (ValueError, OSError) as error:
            _say(f"skipped {error}")
    if not any(map(len, files)):
        raise _WrongInput("there is no page to search: name PDF files, or images (PNG, JPEG, TIFF)")
    return files


def _word_reader() -> WordReader | None:
    """Reads scans, where the packages for it are installed."""
    installed = all(importlib.util.find_spec(name) for name in ("rapidocr", "onnxruntime", "PIL"))
    return RapidReader() if installed else None


def _load(model: str, engine: Engine) -> Encoder:
    with Console(stderr=True).status(printable(f"Loading {model}")):
        _quiet()
        return load_encoder(model, engine=engine)


def _encoder(parsed: argparse.Namespace) -> Encoder:
    """The model that was named, if it reads what is asked of it."""
    encoder = _load(parsed.model or default_model(), parsed.engine)
    if parsed.pages and not reads_pages(encoder):
        raise _WrongInput(
            f"{encoder.name!r} reads texts, and --pages asks for images of pages: name a model of ColPali's family "
            "with --model, or leave --pages out"
        )
    if reads_pages(encoder) and not parsed.pages:
        raise _WrongInput(f"{encoder.name!r} reads images of pages, not texts: add --pages, or name another model")
    return encoder


def _search_passages(parsed: argparse.Namespace, found: FoundFiles) -> _Searched:
    files = _read(found, parsed.encoding)
    passages = [passage for file in files for passage in cut(file)]
    if not passages:
        return _Searched([], None, len(files), 0, "passage")
    encoder = _encoder(parsed)
    with _progress() as progress:
        task = progress.add_task("Searching passages", total=len(passages))
        hits = search(
            parsed.question,
            passages,
            encoder,
            top=parsed.top,
            min_score=parsed.min_score,
            min_relevance=parsed.min_relevance,
            cache=_cache(parsed),
            advance=lambda count: progress.advance(task, count),
        )
    return _Searched(hits, encoder.name, len(files), len(passages), "passage")


def _search_pages(parsed: argparse.Namespace, found: FoundFiles) -> _Searched:
    files = _open(found)
    count = sum(map(len, files))
    encoder = _encoder(parsed)
    with _progress() as progress:
        task = progress.add_task("Searching pages", total=count)
        hits = search_pages(
            parsed.question,
            files,
            encoder,
            top=parsed.top,
            min_score=parsed.min_score,
            cache=_cache(parsed),
            advance=lambda pages: progress.advance(task, pages),
        )
    return _Searched(hits, encoder.name, len(files), count, "page")


def _cache(parsed: argparse.Namespace) -> EmbeddingCache | None:
    return EmbeddingCache(parsed.cache) if parsed.cache is not None else None


def _print(parsed: argparse.Namespace, searched: _Searched) -> None:
    if parsed.json:
        counted = {"files": searched.files, f"{searched.noun}s": searched.searched}
        text = as_json(searched.hits, question=parsed.question, model=searched.model, counted=counted, why=parsed.why)
        sys.stdout.write(text + "\n")
    elif searched.hits:
        out = _Output(highlight=False)
        out.print(show(searched.hits, why=parsed.why))
        shown = f"\nbest {len(searched.hits)} of {searched.counted}, by {printable(searched.model or '')}"
        out.print(shown, style="dim", markup=False)
    sys.stdout.flush()


def _drop_output() -> None:
    """Forget what could not be written: Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _progress() -> Progress:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _quiet() -> None:
    """Keep transformers' reports off the screen; without importing it, since an exported model does not need it."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


def _say(message: str) -> None:
    with suppress(OSError, AttributeError):  # full, or closed and then None
        sys.stderr.write(f"latelens: {printable(message)}\n")
        sys.stderr.flush()


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
