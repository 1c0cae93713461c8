"""What all pictures share: a figure that notebooks show, colours, fonts, and the import of matplotlib."""

from __future__ import annotations

import io
import math
import textwrap
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from latelens.embeddings import TokenEmbeddings
from latelens.refusals import check_is, check_number, described
from latelens.render.ledger import top_similarity

try:
    from matplotlib import font_manager
except ModuleNotFoundError as error:
    if error.name != "matplotlib":
        raise
    raise ImportError("pictures are drawn with matplotlib: run `pip install 'latelens[plot]'`") from error

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.typing import ColorType

# ColorBrewer's YlOrBr, from white: lightness only falls, so that the order stays in grey and for every eye. Below 0.5
# it is pale: with the offline model, half of all pairs of rows lie between 0.1 and 0.3.
_STOPS = (
    (0, "#ffffff"),
    (0.3, "#fffbe9"),
    (0.5, "#feeaa6"),
    (0.65, "#fec44f"),
    (0.8, "#f08c1e"),
    (0.9, "#c4500a"),
    (1, "#7a2f05"),
)
COLOURS = LinearSegmentedColormap.from_list("latelens", _STOPS)
BLUE, ORANGE, GREY, INK = "#0b5394", "#f0a132", "#8c8c8c", "#1a1a1a"
# Stands for characters that no installed font draws.
MISSING = "□"
_MISSING_NOTE = f"{MISSING}: no installed font has this character"
_SANS = "DejaVu Sans"
MONO = "DejaVu Sans Mono"
# Fonts for what the first lacks, as systems and their packages name them; only installed ones are asked.
_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans Symbols 2",
    "Noto Emoji",
    "Segoe UI Emoji",
    "Arial Unicode MS",
)


class Picture(Figure):
    """A matplotlib figure that notebooks show by themselves, though pyplot never hears of it."""

    def _repr_png_(self) -> bytes:
        """Called by notebooks."""
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=120, bbox_inches="tight", facecolor="white")
        return out.getvalue()


def check_room(
    ax: Axes | None = None, figsize: tuple[float, float] | None = None, scale: tuple[float, float] | None = None
) -> None:
    """Refuse what is no axes, no size in inches and no range of similarities; every picture calls it first."""
    check_is("ax", ax, (Axes, type(None)), "matplotlib axes or None")
    _check_pair("figsize", figsize, "(width, height) in inches", least=0.1)
    _check_pair("scale", scale, "(low, high)")
    if scale is not None and not scale[0] < scale[1]:
        raise ValueError(f"scale must be (low, high) with low below high, got {scale}")


def _check_pair(name: str, pair: object, called: str, *, least: float = -math.inf) -> None:
    if pair is None:
        return
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"{name} must be {called} or None, got {described(pair)}")
    for value in pair:
        check_number(f"{name}, {called},", value, least, none="")


class Sheet:
    """A rectangle to draw on, measured in inches from its lower left corner: a new figure, or the caller's axes."""

    def __init__(self, ax: Axes | None, figsize: tuple[float, float] | None, wanted: tuple[float, float]) -> None:
        if ax is None:
            figure: Figure = Picture(figsize=figsize or wanted, dpi=120, facecolor="white")
            ax = figure.add_axes((0, 0, 1, 1))
        elif figsize is not None:
            raise ValueError(f"figsize={figsize} is for a new figure, and ax has one: give either")
        ax.set_axis_off()
        self.ax, self.figure = ax, figure_of(ax)
        self.width, self.height = size_of(ax)

    def panel(self, label: str, left: float, bottom: float, width: float, height: float) -> Axes:
        """Axes inside the sheet, found again by their label."""
        box = (left / self.width, bottom / self.height, max(width, 0.1) / self.width, max(height, 0.05) / self.height)
        axes = self.ax.inset_axes(box)
        axes.set_label(label)
        return axes

    def head(self, text: str, left: float) -> None:
        """The line on top."""
        place = (left / self.width, 1 - 0.12 / self.height)
        set_plain(self.ax.text(*place, text, transform=self.ax.transAxes, va="top", fontsize=10.5, gid="head"))

    def foot(self, text: str, left: float) -> None:
        """Small print at the bottom, in as many lines as it takes."""
        most = max(20, int((self.width - left) / 0.066))
        wrapped = "\n".join(textwrap.fill(line, most) for line in text.splitlines())
        place = (left / self.width, 0.1 / self.height)
        style: dict[str, Any] = {"va": "bottom", "fontsize": 8.5, "color": "#444444", "linespacing": 1.3, "gid": "foot"}
        set_plain(self.ax.text(*place, wrapped, transform=self.ax.transAxes, **style))


def number(value: float) -> str:
    """Two decimals, and no minus in front of a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


def missing_note(drawn: Sequence[str]) -> str:
    """A line of small print where a character could not be drawn."""
    return f"\n{_MISSING_NOTE}" if any(MISSING in text for text in drawn) else ""


def size_of(ax: Axes) -> tuple[float, float]:
    """Width and height in inches."""
    extent, dpi = ax.get_window_extent(), figure_of(ax).dpi
    return float(extent.width / dpi), float(extent.height / dpi)


def figure_of(ax: Axes) -> Figure:
    """The figure that axes belong to, through panels and subfigures."""
    figure = ax.figure
    while not isinstance(figure, Figure):  # a subfigure
        figure = figure.figure
    return figure


def colour_range(query: TokenEmbeddings, scale: tuple[float, float] | None) -> Normalize:
    """One range for all pictures of a query: 0 to its rows' largest similarity with themselves, 1 for unit rows."""
    return Normalize(*(scale or (0.0, top_similarity(query))))


def ink_on(colour: ColorType) -> str:
    """Black or white, whichever reads better on a colour (WCAG 2 relative luminance)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(colour)]
    return "black" if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.18 else "white"


@lru_cache(maxsize=2)
def families(first: str = _SANS) -> tuple[str, ...]:
    """The first font and what is installed to stand in for it."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return (first, *(name for name in (_SANS, *_FALLBACKS) if name in installed and name != first))


@lru_cache(maxsize=1)
def _drawn_characters() -> frozenset[int]:
    paths = (font_manager.findfont(name) for name in families())
    return frozenset(code for path in paths for code in font_manager.get_font(path).get_charmap())


def drawable(text: str) -> str:
    """The text with one character for each: spaces for controls, `MISSING` for what no font draws.

    Two texts of one length, so that a position in one is a position in the other.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_drawable_character, text))


def _drawable_character(character: str) -> str:
    if character.isprintable() and ord(character) in _drawn_characters():
        return character
    invisible = character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Mn", "Me")
    return " " if invisible else MISSING


def shorten(text: str, most: int) -> str:
    """One line of at most `most` characters."""
    line = drawable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def set_plain(*texts: Text, mono: bool = False) -> None:
    """Draw texts as they are: a dollar sign is no formula, and fonts stand in for each other."""
    for text in texts:
        text.set_parse_math(False)
        text.set_fontfamily(list(families(MONO if mono else _SANS)))


def width_of(labels: Sequence[str]) -> float:
    """About how many inches the longest of some labels takes in the size of tick labels."""
    return max((0.072 * sum(2 if is_wide(character) else 1 for character in label) for label in labels), default=0.0)


def is_wide(character: str) -> bool:
    """Whether a character takes the room of two, as Chinese and emoji do."""
    return unicodedata.east_asian_width(character) in "WF"


def name_lines(ax: Axes, places: Sequence[float], labels: Sequence[str], is_text: Sequence[bool]) -> None:
    """Labels at the left; in grey italics those of rows that are no text."""
    ax.set_yticks(places, labels, fontsize=9)
    ax.tick_params(length=0)
    for label, upright in zip(ax.get_yticklabels(), is_text, strict=True):
        set_plain(label)
        if not upright:
            label.set(color="#666666", fontstyle="italic")
