"""A process that has read the libraries already and forks one worker for each line of its input.

A worker does one thing to an index, in a process of its own, and may be killed; what it prints are JSON lines.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from fake_encoder import FakeEncoder
from index_kinds import kind_named

from latelens.index import Chunk, Index

DIM = 64


def numbered(i: int, *, again: bool = False) -> Chunk:
    """The chunk that a worker adds as number `i`, or puts in its place."""
    return Chunk(f"n{i}", f"chunk number{i} {'again' if again else 'once'}", {"i": i, "again": again})


def fill(index: Index, start: int, count: int) -> None:
    """Add chunk after chunk, and replace every third one; says what is acknowledged."""
    for i in range(start, start + count):
        index.add([numbered(i)])
        say(added=i)
        if i % 3 == 0:
            index.upsert([numbered(i, again=True)])
            say(replaced=i)


def version(v: int) -> list[Chunk]:
    """The chunks of a document's version: some under ids that every version has, one the same in all."""
    parts = [Chunk(f"doc#{i}", f"version{v} part{i}", {"v": v}, "doc") for i in range(1 + v % 3)]
    return [*parts, Chunk(f"doc-{v}", f"version{v} end", {"v": v}, "doc"), Chunk("doc", "the title", {}, "doc")]


def rewrite(index: Index, start: int, count: int) -> None:
    """Replace one document again and again; says what is acknowledged."""
    for v in range(start, start + count):
        index.replace_document("doc", version(v))
        say(written=v)


def show(index: Index, ids: list[str], query: str) -> None:
    """Everything about some chunks, and what a query finds."""
    chunks = [chunk and [chunk.id, chunk.text, chunk.metadata] for chunk in index.get(ids)]
    say(count=index.count(), chunks=chunks, hits=[described(hit) for hit in index.search(query, 100)])


def described(hit: Any) -> list[Any]:
    document = hit.explanation.document
    return [hit.chunk.id, hit.score, list(document.tokens), document.spans.tolist(), document.complete]


def say(**message: Any) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")  # at once and whole


def work(kind: str, folder: str, do: str, arguments: dict[str, Any]) -> None:
    index = kind_named(kind).open(FakeEncoder(dim=DIM), Path(folder))
    say(ready=True)
    {"fill": fill, "rewrite": rewrite, "show": show}[do](index, **arguments)
    kind_named(kind).close(index)


def main() -> None:
    say(serving=True)
    for line in sys.stdin:
        for module in kind_named(json.loads(line)["kind"]).before_fork:
            import_module(module)
        if pid := os.fork():
            say(pid=pid)
            say(exit=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            continue
        try:
            work(**json.loads(line))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


if __name__ == "__main__":
    main()
