"""Make the pictures of the documents: ``python scripts/pictures.py`` writes them to docs/pictures.

They show what the code draws for the texts below, with the packaged model; the page image is the cookbook's, with the
planted model that it explains. HTML is photographed by Chromium.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from latelens import Encoder, Source, attribute, load_encoder, rerank, rerank_pages
from latelens.pages import open_pages
from latelens.render.html.answer import answer_report
from latelens.render.html.ranking import report
from latelens.render.plot import plot_similarity

ROOT = Path(__file__).resolve().parents[1]
PICTURES, PAGES = ROOT / "docs" / "pictures", ROOT / "cookbook" / "19_pages_as_images.ipynb"
QUESTION = "How much do I pay for my toddler?"
MUSEUM = {
    "visit.txt": "The museum opens at ten. Guided tours start at noon. Dogs must wait outside.",
    "prices.txt": "Tickets cost nine euros. Children under six get in free. Cards are accepted.",
    "cafe.txt": "The café is on the first floor. High chairs stand beside the stairs. Lunch costs eleven euros.",
}
ANSWER = (
    "Tickets cost nine euros, and children under six get in free. High chairs are beside the stairs. "
    "In summer the garden stays open until midnight. Guided tours start at three.\n\nShall I book a tour for you?"
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COLUMNS = 88


def main() -> None:
    """Make all of them, in this order."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    names, texts = list(MUSEUM), list(MUSEUM.values())
    encoder = load_encoder("offline/latelens-mini")
    ranked = rerank(QUESTION, texts, encoder)
    heat_map = io.BytesIO()
    plot_similarity(ranked[0].explanation).savefig(heat_map, format="png", dpi=150, bbox_inches="tight")
    _save(Image.open(heat_map), "heat_map.png")
    with tempfile.TemporaryDirectory() as folder:
        page = report(ranked, names=names).save(Path(folder) / "report.html")
        _save(_photograph(page), "report.png")
        _save(_answer(Path(folder), encoder), "answer.png")
        for name, text in MUSEUM.items():
            (Path(folder) / name).write_text(text + "\n", encoding="utf-8")
        _save(_page_image(Path(folder)), "page_image.png")
        (PICTURES / "terminal.svg").write_text(_terminal(Path(folder), names), encoding="utf-8", newline="")


def _save(picture: Image.Image, name: str) -> None:
    """Write a picture with a palette, which takes a third of the bytes, and without its white margins."""
    rgb = picture.convert("RGB")
    margin = ImageChops.difference(rgb, Image.new("RGB", rgb.size, "white")).getbbox() or (0, 0, *rgb.size)
    left, top, right, bottom = margin
    framed = rgb.crop((max(left - 16, 0), max(top - 16, 0), right + 16, bottom + 16))
    framed.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(PICTURES / name, optimize=True)


def _answer(folder: Path, encoder: Encoder) -> Image.Image:
    """An attributed answer; to be sent to a mark gives it the focus, which shows what the pointer would."""
    attribution = attribute(ANSWER, [Source(text, title=name) for name, text in MUSEUM.items()], encoder)
    page = answer_report(attribution).save(folder / "answer.html")
    last = attribution.number_of(attribution.flagged[-1].citations[0])  # of the guided tours
    marks = re.findall(rf'id="(ll-\w+-m{last})"', page.read_text(encoding="utf-8"))
    return _photograph(page, marks[0])


def _page_image(folder: Path) -> Image.Image:
    """The report of a page image: the cookbook's page makes the PDF, then the model, in its first two cells."""
    cells = json.loads(PAGES.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}
    before = Path.cwd()
    os.chdir(folder)  # the cookbook writes and reads beside itself
    try:
        exec("\n".join(code[:2]), names)
        ranked = rerank_pages("net revenue 2025", open_pages("report.pdf"), names["model"], top_n=1)
        return _photograph(report(ranked).save(folder / "page.html"))
    finally:
        os.chdir(before)


def _photograph(page: Path, anchor: str = "") -> Image.Image:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"HTML is photographed by a browser: install one of {', '.join(BROWSERS)}")
    target = page.with_suffix(".png")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [
        f"--user-data-dir={page.parent / 'browser'}",
        "--window-size=860,1500",
        "--force-device-scale-factor=1.5",
    ]
    command += [f"--screenshot={target}", f"{page.as_uri()}#{anchor}"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    picture = Image.open(target)
    picture.load()
    return picture


def _terminal(folder: Path, names: list[str]) -> str:
    """What the command prints, as a picture of a terminal."""
    command = [sys.executable, "-m", "latelens", QUESTION, *names, "--top", "1", "--why"]
    terminal = {"FORCE_COLOR": "1", "COLORTERM": "truecolor", "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    done = subprocess.run(command, check=True, capture_output=True, cwd=folder, env=os.environ | terminal)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(f'$ latelens "{QUESTION}" *.txt --top 1 --why\n', highlight=False, markup=False)
    console.print(Text.from_ansi(done.stdout.decode()))
    svg = console.export_svg(title="latelens", theme=MONOKAI, unique_id="latelens")
    # A code host shows pictures that load nothing: without the web font, letters keep their width and place.
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    main()
