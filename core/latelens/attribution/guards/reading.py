"""How the guards read a text: digits of any script, marks left out, and the language by its small words."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# One character for one, so that every position stays one of the caller's text.
_PLAIN = {ord(dash): "-" for dash in "‐‑‒–−﹣"} | {ord(quote): "'" for quote in "’‘ʼ"}
_PLAIN |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # fullwidth
# "[1]", "[2, 3]", "[citation needed]", "【4†source】", web addresses, "contexts 1 and 2", and a list item's number.
_MARK = re.compile(
    r"\[\s*(?:\^?\d{1,3}(?:\s*[,;-]\s*\^?\d{1,3})*|citation needed|note \d+)\s*\]|【[^】]{0,40}】|https?://\S+|www\.\S+"
    r"|(?i:\b(?:contexts?|sources?|passages?|documents?)\s\d{1,3}(?:(?:,|\sand|,\sand)\s\d{1,3})*\b)"
    r"|(?m:^[ \t]*\(?\d{1,3}[.)](?=\s))"
)


@lru_cache(maxsize=256)
def plain(text: str) -> str:
    """The text, as long as before, with ASCII digits, hyphens and apostrophes, and spaces in place of marks."""
    if not text.isascii():
        text = "".join(map(_digit, text.translate(_PLAIN)))
    return _MARK.sub(lambda mark: " " * len(mark.group()), text)


def _digit(character: str) -> str:
    if character.isascii() or not character.isdecimal():
        return character
    return str(unicodedata.decimal(character))


_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


@lru_cache(maxsize=256)
def lower_words(text: str) -> tuple[str, ...]:
    """Words of a `plain` text in lower case, without digits: a quick look at what there is to read."""
    return tuple(_WORD.findall(text.lower()))


# Letters that have no decomposition.
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})


@lru_cache(maxsize=16384)
def fold(word: str) -> str:
    """A word without case and diacritics: José and jose are one."""
    word = word.casefold()
    if word.isascii():
        return word
    letters = unicodedata.normalize("NFKD", word).translate(_LETTERS)
    return "".join(letter for letter in letters if not unicodedata.combining(letter)) or word


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """A folded word without possessive and plural: only so much that "Germans" and "German" are one."""
    word = fold(word).removesuffix("'s").removesuffix("'")
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


SMALL_WORDS = {
    "en": "the of and is was were are to in that it with for by as on at from has had not an be this they he she his",
    "de": "der die das und ist war ein eine den dem des nicht mit von zu auf für sich im wurde sind auch es als bei am",
    "fr": "le la les et est un une des du en dans que qui pas ne n'est il elle pour sur au par sont été avec ce",
    "es": "el la los las y es un una de del en que no se por con su para fue al como lo son más está",
    "it": "il lo la gli e è un una di del della in che non si per con dei nel sono da al è stato i le",
    "pt": "o a os as e é um uma de do da em que não se por com para foi ao no na dos são mais",
    "nl": "de het een en is van in dat niet op te zijn met voor door werd aan er ook bij om was",
}
_LANGUAGES: dict[str, list[str]] = {}
for _language, _line in SMALL_WORDS.items():
    for _word in dict.fromkeys(_line.split()):
        _LANGUAGES.setdefault(_word, []).append(_language)


@lru_cache(maxsize=256)
def language_of(text: str) -> str:
    """ISO 639-1 code of the language whose small words the text uses most; "en" where it uses none."""
    counts = dict.fromkeys(SMALL_WORDS, 0)
    for word in lower_words(text):
        for language in _LANGUAGES.get(word, ()):
            counts[language] += 1
    return max(counts, key=lambda language: counts[language])
