"""Every page of the cookbook runs from top to bottom offline, and prints what its committed copy shows.

``python tests/test_cookbook.py`` runs the pages and writes their outputs; names of pages after it run only those.
"""

from __future__ import annotations

import base64
import io
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image
from PIL.Image import Quantize
from printed import assert_same

from latelens.encoders import DEFAULT_MODEL

COOKBOOK = Path(__file__).resolve().parents[1] / "cookbook"
PAGES = sorted(COOKBOOK.glob("*.ipynb"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)

# A page is read on a code host and reviewed as a diff.
MOST_BYTES = 400_000
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@each_page
def test_a_page_prints_what_its_committed_copy_shows(page: Path, tmp_path: Path) -> None:
    committed, fresh = _read(page), run(page, tmp_path)
    for number, (before, after) in enumerate(zip(_code(committed), _code(fresh), strict=True), start=1):
        assert _kinds(after) == _kinds(before), f"cell {number}"
        for shown, printed in zip(_texts(before), _texts(after), strict=True):
            assert_same(printed, shown, f"cell {number}")


@each_page
def test_a_page_is_small_and_carries_nothing_of_the_machine_that_ran_it(page: Path) -> None:
    text, notebook = page.read_text(encoding="utf-8"), _read(page)
    assert len(text.encode()) < MOST_BYTES
    assert notebook.metadata == METADATA
    assert [cell.metadata for cell in notebook.cells] == [{}] * len(notebook.cells)
    assert [cell.execution_count for cell in _code(notebook)] == list(range(1, len(list(_code(notebook))) + 1))
    assert not [output for cell in _code(notebook) for output in cell.outputs if output.get("name") == "stderr"]
    seen = "\n".join([*(cell.source for cell in notebook.cells), *(t for c in _code(notebook) for t in _texts(c))])
    assert not re.search(r"(?<![\w/])/(home|Users|tmp|work|root|usr|opt|var|private)/|[A-Z]:\\\\|object at 0x", seen)


@each_page
def test_a_page_names_the_online_model_and_stands_in_the_index(page: Path) -> None:
    notebook = _read(page)
    assert DEFAULT_MODEL in "\n".join(cell.source for cell in notebook.cells)
    assert re.match(r"# \w", notebook.cells[0].source)
    assert f"]({page.name})" in (COOKBOOK / "README.md").read_text(encoding="utf-8")


def test_the_index_lists_every_page_once_and_no_other() -> None:
    listed = re.findall(r"\]\(([\w.-]+)\)", (COOKBOOK / "README.md").read_text(encoding="utf-8"))
    here = [path.name for path in (*PAGES, COOKBOOK / "quickstart.py")]
    assert sorted(listed) == sorted(here)
    assert len(PAGES) >= 15


def run(page: Path, folder: Path) -> Any:
    """The page run in a fresh kernel inside an empty folder, without what differs from run to run."""
    notebook = _read(page)
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",  # "Loading weights" too
        "TRANSFORMERS_VERBOSITY": "error",  # older ones report on each model that they load
        "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm's: no widgets here
        "TOKENIZERS_PARALLELISM": "false",
        "IPYTHONDIR": str(folder / "ipython"),
    }
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources, record_timing=False)
    client.coalesce_streams = True  # or what is printed comes in pieces, by chance
    client.execute(env=environment)
    return _cleaned(notebook)


def _cleaned(notebook: Any) -> Any:
    """Fixed metadata and ids, and no text beside a picture, which would be its size in this machine's fonts."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells, start=1):
        cell.metadata, cell.id = nbformat.NotebookNode(), f"cell-{number}"
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["text/plain"] = "<Picture>"
                output.data["image/png"] = _smaller(output.data["image/png"])
            if "metadata" in output:
                output.metadata = nbformat.NotebookNode()
    nbformat.validate(notebook)
    return notebook


def _smaller(picture: str) -> str:
    """The picture with a palette of 256 colours, which takes a third of the bytes and looks the same."""
    out = io.BytesIO()
    Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB").quantize(256, method=Quantize.MAXCOVERAGE).save(
        out, "png", optimize=True
    )
    return base64.b64encode(out.getvalue()).decode()


def _read(page: Path) -> Any:
    return nbformat.read(page, as_version=4)


def _code(notebook: Any) -> Iterator[Any]:
    return (cell for cell in notebook.cells if cell.cell_type == "code")


def _kinds(cell: Any) -> list[Any]:
    return [(output.output_type, output.get("name"), sorted(output.get("data", {}))) for output in cell.outputs]


def _texts(cell: Any) -> Iterator[str]:
    for output in cell.outputs:
        yield output.text if output.output_type == "stream" else output.data["text/plain"]


def _write(pages: list[Path]) -> None:
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            notebook = run(page, Path(folder))
        page.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="")
        print(f"{page.name}: {page.stat().st_size:,} bytes")


if __name__ == "__main__":
    _write([page for page in PAGES if page.stem in sys.argv[1:] or len(sys.argv) == 1])
