"""README and docs: every Python block runs and prints what the page says, links resolve, and lists are complete.

``python tests/test_docs.py PAGE...`` runs pages and writes what their blocks print.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import io
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from printed import assert_same

from latelens.cli.arguments import parse_arguments

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [README, *DOCS, ROOT / "CONTRIBUTING.md", ROOT / "cookbook" / "README.md"]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
ARGUMENTS = ROOT / "docs" / "reference" / "arguments.md"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())

_FENCE = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code, with what the page says that it prints: None where it says nothing."""

    source: str
    shown: str | None


@each_page
def test_the_blocks_of_a_page_print_what_it_says(page: Path) -> None:
    for number, (block, printed) in enumerate(run(page), start=1):
        assert_same(printed.rstrip(), (block.shown or "").rstrip(), f"{page.name}, block {number}")


def test_readme_has_the_two_commands_first() -> None:
    commands = [text for language, text in _FENCE.findall(_text(README)) if language == "sh"]
    assert len(commands) == 2
    assert all(len(command.strip().splitlines()) == 1 for command in commands)


def test_readme_is_two_pages_long_and_shows_a_block_for_each_task() -> None:
    assert len(_text(README).splitlines()) <= 200
    assert len(list(blocks(README))) >= 5
    assert all(block.shown for block in blocks(README))


def test_every_guide_shows_what_its_code_prints() -> None:
    guides = [page for page in DOCS if page.parent.name == "guides"]
    assert len(guides) >= 6
    assert all(any(block.shown for block in blocks(guide)) for guide in guides)


@each_page
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", _text(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in _anchors(target), f"{page.name} links to {link}"


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in DOCS)


@each_page
def test_the_commands_of_a_page_are_commands(page: Path) -> None:
    lines = [line for kind, text in _FENCE.findall(_text(page)) if kind == "console" for line in text.splitlines()]
    for words in (shlex.split(line.removeprefix("$ ")) for line in lines if line.startswith("$ ")):
        if words[0] == "latelens":
            parse_arguments(words[1:])
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]), words


def test_the_map_of_the_house_names_only_what_exists() -> None:
    named = re.findall(
        r"`((?:core|integrations|tests|cookbook|docs)/[\w./-]*|[\w-]+\.(?:toml|yml))`", _text(ARCHITECTURE)
    )
    assert len(named) > 40
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_map_of_the_house_names_every_room() -> None:
    rooms = {path.name for path in (ROOT / "core" / "latelens").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"`core/latelens/{room}/`" not in _text(ARCHITECTURE)} == set()


def callables() -> dict[str, list[Any]]:
    """Whose arguments the headings of the page on arguments promise: those of both adapters."""
    import langchain_latelens as langchain
    import llama_index_latelens as llama_index
    from latelens import Attributor, load_encoder, rerank
    from latelens.index import Hybrid, TiledIndex, TwoStage

    adapters = (langchain, llama_index)
    return {
        "LateInteractionRerank": [adapter.LateInteractionRerank for adapter in adapters],
        "LateInteractionRetriever": [adapter.LateInteractionRetriever for adapter in adapters],
        "from_documents, from_nodes": [
            langchain.LateInteractionRetriever.from_documents,
            llama_index.LateInteractionRetriever.from_nodes,
        ],
        "from_pdf": [adapter.LateInteractionRetriever.from_pdf for adapter in adapters],
        "LateInteractionVectorStore": [adapter.LateInteractionVectorStore for adapter in adapters],
        "LateInteractionEmbeddings": [adapter.LateInteractionEmbeddings for adapter in adapters],
        "create_evidence_tool": [adapter.create_evidence_tool for adapter in adapters],
        "attach_citations": [adapter.attach_citations for adapter in adapters],
        "Attributor": [Attributor],
        "TwoStage": [TwoStage],
        "Hybrid": [Hybrid],
        "TiledIndex": [TiledIndex],
        "load_encoder": [load_encoder],
        "rerank": [rerank],
    }


@pytest.mark.parametrize("heading", callables())
def test_the_page_on_arguments_lists_each_one_and_no_other(heading: str) -> None:
    section = _text(ARGUMENTS).split(f"\n## {heading}\n")[1].split("\n## ")[0]
    cells = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    listed = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    taken = {name for made in callables()[heading] for name in _arguments(made)}
    assert sorted(set(listed)) == sorted(taken)


def _arguments(made: Any) -> list[str]:
    parameters = inspect.signature(made).parameters.values()
    return [parameter.name for parameter in parameters if "VAR" not in parameter.kind.name]


def blocks(page: Path) -> Iterator[Block]:
    """The Python blocks of a page, each with the block of text that follows it."""
    found = _FENCE.findall(_text(page))
    for (language, source), (following, shown) in pairwise([*found, ("", "")]):
        if language == "python":
            yield Block(source, shown if following == "text" else None)


def run(page: Path) -> Iterator[tuple[Block, str]]:
    """The blocks of a page with what each printed; they share their names, as a reader's session would."""
    namespace: dict[str, Any] = {"__name__": "page"}
    for block in blocks(page):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(block.source, str(page), "exec"), namespace)
        yield block, out.getvalue()


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", _text(page)), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _write(page: Path) -> None:
    text, pieces = _text(page), []
    for block, printed in run(page):
        if block.shown is not None:
            head, text = text.split(f"```python\n{block.source}```\n\n```text\n{block.shown}```", 1)
            pieces.append(f"{head}```python\n{block.source}```\n\n```text\n{printed.rstrip()}\n```")
    page.write_text("".join([*pieces, text]), encoding="utf-8", newline="")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        _write(Path(name).resolve())
