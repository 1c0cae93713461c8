"""Puts the cookbook and CONTRIBUTING.md, which lie outside of docs/, on the site; mkdocs.yml names it as a hook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "cookbook").glob("*.ipynb"))


def on_config(config: MkDocsConfig) -> None:
    """List the pages in the navigation, under their own titles."""
    cookbook = ["cookbook/index.md", *(f"cookbook/{page.stem}.md" for page in PAGES), "cookbook/quickstart.md"]
    assert config.nav is not None
    config.nav += [{"Cookbook": cookbook}, {"Contributing": "contributing.md"}]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages."""
    made = {f"cookbook/{page.stem}.md": markdown(nbformat.read(page, as_version=4)) for page in PAGES}
    made["cookbook/index.md"] = (ROOT / "cookbook/README.md").read_text(encoding="utf-8")
    made["cookbook/quickstart.md"] = "# Quickstart\n\n" + _fenced(_script("cookbook/quickstart.py"), "python")
    made["contributing.md"] = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Let links that hold in the repository hold on the site, too."""
    found = re.sub(r"\]\((?:\.\./)?((?:\.\./)*cookbook/)README\.md", r"](\1index.md", markdown)
    found = re.sub(r"\]\((?:\.\./)?((?:\.\./)*cookbook/\w+)\.(?:ipynb|py)", r"](\1.md", found)
    found = re.sub(r"\]\((\w+)\.(?:ipynb|py)\)", r"](\1.md)", found)
    found = re.sub(r"\]\(docs/", "](", found)
    return found.replace("](../docs/", "](../").replace("](../CONTRIBUTING.md)", "](contributing.md)")


def markdown(notebook: Any) -> str:
    """A notebook as Markdown: its texts, its code, and what the code printed or drew."""
    return "\n\n".join(part for cell in notebook.cells for part in _parts(cell))


def _parts(cell: Any) -> list[str]:
    if cell.cell_type == "markdown":
        return [cell.source]
    return [_fenced(cell.source, "python"), *(_shown(output) for output in cell.outputs)]


def _shown(output: Any) -> str:
    if output.output_type == "stream":
        return _fenced(output.text.rstrip(), "text")
    if "image/png" in output.data:
        return f"![Picture that the cell above draws](data:image/png;base64,{output.data['image/png'].strip()})"
    return _fenced(output.data["text/plain"], "text")


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}{language}\n{text}\n{fence}"


def _script(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8").rstrip()
