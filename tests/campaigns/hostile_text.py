"""Text as an attacker or a bad converter makes it: pieces of every kind, drawn by a seed."""

from __future__ import annotations

import random
import unicodedata

from tiny_models import HOSTILE, SENTENCES

MARKUP = ["<", ">", "<a ", "<b>", "</b>", "<script>", "</script>", "<!--", "-->", "<![CDATA[", "]]>", "<style>", "&lt;",
          "&#0;", "&#x110000;", "<img src=x onerror=alert(1)>", "<p hidden>", "<table><td>", "'", '"', "javascript:",
          "[red]", "[/red]", ":smile:", "\x1b[31m", "\x1b]8;;http://evil\x07", "\x9b2J", "\u202e", "\u2066", "\r", "\f",
          "```", "| a | b |", "](x)", "![", "漢。", "🇩", " " * 50, "\t", "\n\n"]  # fmt: skip


def hostile(chance: random.Random, most: int = 30) -> str:
    """A text of up to `most` pieces."""
    pieces = (chance.choice((HOSTILE, SENTENCES, MARKUP)) for _ in range(chance.randint(1, most)))
    return "".join(chance.choice(some) for some in pieces)


def any_character(chance: random.Random) -> str:
    """Any character that Python's Unicode knows, half of a surrogate pair included."""
    while True:
        character = chr(chance.choice((chance.randrange(0x3000), chance.randrange(0x110000))))
        if unicodedata.category(character) != "Cn":
            return character
