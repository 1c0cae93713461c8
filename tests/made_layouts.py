"""PDFs of random words in the layouts that documents have; where each word was drawn is known.

No word stands twice in a document, nor within another, so that the words of any program's text can be told apart.
"""

from __future__ import annotations

import io
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from made_pdfs import turned, written
from pypdf import PdfReader, PdfWriter
from pypdf.generic import StreamObject
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

Point = tuple[float, float]
WIDTH, HEIGHT, SIZE, LEADING = 612, 792, 11, 15
CROP = (36, 90, 560, 780)
_HEBREW, _ARABIC = "אבגדהוזחטילמנסעפצקרשת", "بتثجحخسشصضطظعغفقكلمنهي"
_LIGATURES = {"ffi": "\ufb03", "fi": "\ufb01", "fl": "\ufb02"}


class Piece(NamedTuple):
    """A word, or a part of one that is hyphenated: the line through its middle, as fractions of the page as shown."""

    page: int
    text: str
    start: Point
    end: Point


class Layout(NamedTuple):
    """A PDF and its words, in the order in which one reads them."""

    data: bytes
    pieces: list[Piece]


class _Drawn(NamedTuple):
    """A word as it is drawn: at x and y of its baseline, so wide."""

    page: int
    text: str
    x: float
    y: float
    width: float


def _new_words(chance: random.Random, letters: Callable[[int], str]) -> Iterator[str]:
    known = ""
    while True:
        word = letters(chance.randint(4, 9))
        if word not in known and not any(old in word for old in known.split()):
            known += f" {word}"
            yield word


def _latin(chance: random.Random, parts: Sequence[str] = ()) -> Callable[[int], str]:
    def word(length: int) -> str:
        letters = "".join(chance.choice("bcdgklmnprstvz" if i % 2 else "aeiou") for i in range(length))
        return letters + chance.choice(parts) + chance.choice("aeou") if parts and chance.random() < 0.4 else letters

    return word


def _of(chance: random.Random, alphabet: str) -> Callable[[int], str]:
    return lambda length: "".join(chance.choice(alphabet) for _ in range(length))


class _Sheet:
    """Draws lines of words and remembers where they went."""

    def __init__(self, font: str) -> None:
        if font == "DejaVu":
            pdfmetrics.registerFont(TTFont(font, _dejavu()))
        self._out, self._font = io.BytesIO(), font
        self.canvas = Canvas(self._out, pagesize=(WIDTH, HEIGHT), invariant=1)
        self.drawn: list[_Drawn] = []
        self.page = 1

    def measure(self, text: str) -> float:
        return float(pdfmetrics.stringWidth(text, self._font, SIZE))

    def line(self, words: Sequence[tuple[str, str]], x: float, y: float, *, apart: float | None = None) -> None:
        """Words, each as it is called and as it is drawn; `apart` draws each by itself, with no space between."""
        self.canvas.setFont(self._font, SIZE)
        if apart is None:
            self.canvas.drawString(x, y, " ".join(drawn for _, drawn in words))
        for text, drawn in words:
            if apart is not None:
                self.canvas.drawString(x, y, drawn)
            self.drawn.append(_Drawn(self.page, text, x, y, self.measure(drawn)))
            x += self.measure(drawn) + (self.measure(" ") if apart is None else apart)

    def turn_over(self) -> None:
        self.canvas.showPage()
        self.page += 1

    def saved(self) -> bytes:
        self.canvas.save()
        return self._out.getvalue()


def _dejavu() -> str:
    from matplotlib import font_manager

    return font_manager.findfont("DejaVu Sans")


def _sentences(words: Iterator[str], chance: random.Random, count: int) -> list[str]:
    said = []
    while len(said) < count:
        length = chance.randint(7, 14)
        sentence = [next(words) for _ in range(length)]
        said += [sentence[0].capitalize(), *sentence[1:-1], f"{sentence[-1]}."]
    return said


def _set(sheet: _Sheet, words: Sequence[str], width: float, *, hyphen: str = "") -> list[list[tuple[str, str]]]:
    """Lines of words as they are called and drawn; with `hyphen` those that do not fit are parted."""
    lines: list[list[tuple[str, str]]] = [[]]
    left = width
    for word in words:
        parts = [word]
        if sheet.measure(_shown(word)) > left and lines[-1]:
            plain = word.rstrip(".")
            if hyphen and len(plain) >= 8 and sheet.measure(word[:4] + hyphen) <= left:
                lines[-1].append((word[:4], word[:4] + hyphen))
                parts = [word[4:]]
            lines.append([])
            left = width
        for part in parts:
            lines[-1].append((part, _shown(part)))
            left -= sheet.measure(_shown(part) + " ")
    return lines


def _shown(word: str) -> str:
    for letters, glyph in _LIGATURES.items():
        word = word.replace(letters, glyph)
    return word


def prose(
    seed: int, *, hyphen: str = "", parts: Sequence[str] = (), font: str = "Helvetica", gaps: bool = False
) -> Layout:
    """Two pages of one column; with `gaps` its words are drawn one by one, as justified text is."""
    chance = random.Random(seed)
    sheet, words = _Sheet(font), _new_words(chance, _latin(chance, parts))
    for _ in range(2):
        for i, line in enumerate(_set(sheet, _sentences(words, chance, 160), 420, hyphen=hyphen)):
            free = 430 - sum(sheet.measure(drawn) for _, drawn in line)
            apart = min(free / max(len(line) - 1, 1), 9) if gaps else None
            sheet.line(line, 80, 700 - LEADING * i, apart=apart)
        sheet.turn_over()
    return _laid(sheet)


def columns(seed: int, *, by_rows: bool) -> Layout:
    """Two columns with a heading across; the file writes one after the other, or row by row."""
    chance = random.Random(seed)
    sheet, words = _Sheet("Helvetica"), _new_words(chance, _latin(chance))
    for _ in range(2):
        sheet.line(_set(sheet, _sentences(words, chance, 5), 450)[0], 80, 730)
        sides = [_set(sheet, _sentences(words, chance, 80), 205) for _ in range(2)]
        placed = [(i, side, line) for side in (0, 1) for i, line in enumerate(sides[side])]
        for i, side, line in sorted(placed, key=lambda one: one[0]) if by_rows else placed:
            sheet.line(line, 72 + 245 * side, 700 - LEADING * i)
        sheet.turn_over()
    return _laid(sheet)


def table(seed: int) -> Layout:
    """A table of three columns and numbers between two paragraphs."""
    chance = random.Random(seed)
    sheet, words = _Sheet("Helvetica"), _new_words(chance, _latin(chance))
    for _ in range(2):
        y = 720.0
        for part in range(3):
            if part == 1:
                for row in range(14):
                    y -= 20
                    sheet.canvas.line(72, y - 5, 540, y - 5)
                    for cell in range(3):
                        said = [next(words) for _ in range(chance.randint(1, 2))]
                        sheet.line([(word, word) for word in said], 76 + 150 * cell, y)
                    sheet.canvas.drawRightString(536, y, f"{row * 7 + 0.25:.2f}")
                y -= 30
                continue
            for line in _set(sheet, _sentences(words, chance, 40), 450):
                sheet.line(line, 72, y)
                y -= LEADING
        sheet.turn_over()
    return _laid(sheet)


def from_right(seed: int, alphabet: str) -> Layout:
    """Hebrew, or Arabic in its joined forms, in lines that end at the left; drawn from the left, as PDFs write it."""
    chance = random.Random(seed)
    sheet, words = _Sheet("DejaVu"), _new_words(chance, _of(chance, alphabet))
    for _ in range(2):
        said = [next(words) for _ in range(90)]
        for i, line in enumerate(_set(sheet, said, 400)):
            x = 520 - sheet.measure(" ".join(_joined(word) for word, _ in line))
            sheet.line([(word, _joined(word)[::-1]) for word, _ in reversed(line)], x, 700 - 18 * i)
            sheet.drawn[-len(line) :] = sheet.drawn[: -len(line) - 1 : -1]
        sheet.turn_over()
    return _laid(sheet)


def _joined(word: str) -> str:
    """Arabic letters in the forms in which they join; others as they are."""
    forms = []
    for i, letter in enumerate(word):
        name = unicodedata.name(letter)
        place = "ISOLATED" if len(word) == 1 else "INITIAL" if i == 0 else "FINAL" if i == len(word) - 1 else "MEDIAL"
        forms.append(unicodedata.lookup(f"{name} {place} FORM") if name.startswith("ARABIC") else letter)
    return "".join(forms)


def form(seed: int) -> Layout:
    """A page of prose with fields of a form that a user has filled in."""
    chance = random.Random(seed)
    sheet, words = _Sheet("Helvetica"), _new_words(chance, _latin(chance))
    for i, line in enumerate(_set(sheet, _sentences(words, chance, 60), 420)):
        sheet.line(line, 80, 700 - LEADING * i)
    for row in range(6):
        y = 420 - 30 * row
        sheet.line([(word, word) for word in (next(words), next(words))], 80, y + 6)
        value = [next(words) for _ in range(3)]
        field = {"value": " ".join(value), "x": 240, "y": y, "width": 280, "height": 22, "fontSize": SIZE}
        sheet.canvas.acroForm.textfield(name=f"field{row}", borderWidth=0, **field)
        x = 240.0
        for word in value:
            sheet.drawn.append(_Drawn(1, word, x, y + 10, sheet.measure(word)))
            x += sheet.measure(word + " ")
    sheet.turn_over()
    return _laid(sheet)


def many_pages(seed: int, count: int = 500) -> Layout:
    """Very many short pages."""
    chance = random.Random(seed)
    sheet = _Sheet("Helvetica")
    words = (f"{word}{i}x" for i, word in enumerate(iter(lambda: _latin(chance)(6), None)))
    for _ in range(count):
        for i, line in enumerate(_set(sheet, _sentences(words, chance, 16), 420)):
            sheet.line(line, 80, 700 - LEADING * i)
        sheet.turn_over()
    return _laid(sheet)


def seen_as(layout: Layout, *, rotation: int = 0, crop: tuple[float, float, float, float] | None = None) -> Layout:
    """The same pages rotated and cropped, with the words that a viewer shows."""
    left, bottom, right, top = crop or (0, 0, WIDTH, HEIGHT)

    def moved(point: Point) -> Point:
        x = (point[0] * WIDTH - left) / (right - left)
        y = (top - (1 - point[1]) * HEIGHT) / (top - bottom)
        for _ in range(rotation // 90):
            x, y = 1 - y, x
        return x, y

    pieces = [piece._replace(start=moved(piece.start), end=moved(piece.end)) for piece in layout.pieces]
    seen = [piece for piece in pieces if all(0 < value < 1 for value in (*piece.start, *piece.end))]
    return Layout(turned(layout.data, rotation=rotation, crop=crop), seen)


def spelled_ligatures(layout: Layout) -> Layout:
    """The same with fonts that say of a ligature's one glyph that it is two or three letters, as TeX's do."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(layout.data)))
    for found in writer._objects:
        if isinstance(found, StreamObject) and b"beginbfrange" in (data := found.get_data()):
            for letters, glyph in _LIGATURES.items():
                spelled = "".join(f"{ord(letter):04X}" for letter in letters)
                data = re.sub(f"<{ord(glyph):04X}>(?!\\s*<)".encode(), f"<{spelled}>".encode(), data)
            found.set_data(data)
    return Layout(written(writer), layout.pieces)


def _laid(sheet: _Sheet) -> Layout:
    pieces = []
    for page, text, x, y, width in sheet.drawn:
        middle = 1 - (y + 0.3 * SIZE) / HEIGHT
        pieces.append(Piece(page, text, (x / WIDTH, middle), ((x + width) / WIDTH, middle)))
    return Layout(sheet.saved(), pieces)


KINDS: dict[str, Callable[[int], Layout]] = {
    "prose": prose,
    "justified": lambda seed: prose(seed, gaps=True),
    "hyphens": lambda seed: prose(seed, hyphen="-"),
    "soft hyphens": lambda seed: prose(seed, hyphen="\u00ad"),
    "ligatures": lambda seed: prose(seed, parts=list(_LIGATURES), font="DejaVu"),
    "spelled ligatures": lambda seed: spelled_ligatures(prose(seed, parts=list(_LIGATURES), font="DejaVu")),
    "two columns": lambda seed: columns(seed, by_rows=False),
    "two columns by rows": lambda seed: columns(seed, by_rows=True),
    "table": table,
    "hebrew": lambda seed: from_right(seed, _HEBREW),
    "arabic": lambda seed: from_right(seed, _ARABIC),
    "form": form,
    **{
        f"rotated {angle}{' and cropped' if crop else ''}": lambda seed, angle=angle, crop=crop: seen_as(
            prose(seed), rotation=angle, crop=crop
        )
        for angle in (0, 90, 180, 270)
        for crop in (None, CROP)
        if angle or crop
    },
}
