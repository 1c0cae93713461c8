"""`main`: from arguments to printed passages and an exit status."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from latelens.cli.arguments import default_model, parse_arguments
from latelens.cli.files import FileText, FoundFiles, UnreadableFile, find_files, read_file
from latelens.cli.output import as_json, check_plot, check_target, show, write_html, write_pdf, write_plot
from latelens.cli.search import Finding, Passage, cut, search
from latelens.encoders import Encoder, load_encoder
from latelens.encoders.cache import EmbeddingCache
from latelens.pages.ocr import RapidReader
from latelens.pages.words import WordReader
from latelens.render.terminal.ranking import printable

FOUND, NOTHING_FOUND, WRONG_INPUT, INTERRUPTED, OUTPUT_CLOSED = 0, 1, 2, 130, 141
_WRITERS = {"html": write_html, "plot": write_plot, "pdf": write_pdf}


class _WrongInput(Exception):
    """What the user can put right; the message says how."""


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
        found = find_files(parsed.files)
        for option in _WRITERS:
            check_target(getattr(parsed, option), found.names)
        cache = EmbeddingCache(parsed.cache) if parsed.cache is not None else None
        files = _read(found, parsed.encoding)
        passages = [passage for file in files for passage in cut(file)]
        encoder = _load(parsed.model or default_model()) if passages else None
        hits = _search(parsed, passages, encoder, cache) if encoder else []
    try:
        _print(parsed, hits, encoder, files=len(files), passages=len(passages))
    except BrokenPipeError:
        raise
    except OSError as error:
        _drop_output()
        raise _WrongInput(f"standard output could not be written ({error.strerror})") from error
    if not hits:
        _say(f"nothing found in {_count(len(passages), 'passage')} of {_count(len(files), 'file')}")
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


def _word_reader() -> WordReader | None:
    """Reads scans, where the packages for it are installed."""
    installed = all(importlib.util.find_spec(name) for name in ("rapidocr", "onnxruntime", "PIL"))
    return RapidReader() if installed else None


def _load(model: str) -> Encoder:
    with Console(stderr=True).status(printable(f"Loading {model}")):
        _quiet()
        return load_encoder(model)


def _search(
    parsed: argparse.Namespace, passages: Sequence[Passage], encoder: Encoder, cache: EmbeddingCache | None
) -> list[Finding]:
    with _progress() as progress:
        task = progress.add_task("Searching passages", total=len(passages))
        return search(
            parsed.question,
            passages,
            encoder,
            top=parsed.top,
            min_score=parsed.min_score,
            min_relevance=parsed.min_relevance,
            cache=cache,
            advance=lambda count: progress.advance(task, count),
        )


def _print(
    parsed: argparse.Namespace, hits: list[Finding], encoder: Encoder | None, *, files: int, passages: int
) -> None:
    model = encoder.name if encoder else None
    if parsed.json:
        text = as_json(hits, question=parsed.question, model=model, files=files, passages=passages, why=parsed.why)
        sys.stdout.write(text + "\n")
    elif hits:
        out = _Output(highlight=False)
        out.print(show(hits, why=parsed.why))
        counted = f"{_count(passages, 'passage')} of {_count(files, 'file')}"
        out.print(f"\nbest {len(hits)} of {counted}, by {printable(model or '')}", style="dim", markup=False)
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
