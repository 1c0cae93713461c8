"""Bytes to text: byte order marks, then UTF-8; a guess is never made in silence."""

from __future__ import annotations

import codecs

# UTF-32's mark begins with UTF-16's, so it is asked for first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Accents in a Western text are 1 to 5 % of its bytes and it can be read without them; a Cyrillic one cannot.
_READABLE = 0.1


def decode(data: bytes, *, encoding: str | None = None) -> tuple[str, str | None]:
    r"""Text of some bytes, and a note if anything had to be replaced; line ends stay as they are.

    A byte order mark decides and is left out, then `encoding`, then UTF-8. What cannot be decoded becomes
    ``\ufffd``, one for each faulty sequence.

    >>> decode(b"\xff\xfeh\x00i\x00")
    ('hi', None)
    >>> decode(b"a caf\xe9 in Lyon")
    ('a caf\ufffd in Lyon', '1 place is not utf-8 and shows as \ufffd; give its encoding, such as cp1252')

    Raises
    ------
    ValueError
        If the bytes are no text, or not in that encoding.
    """
    mark, marked = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", None))
    if marked is None and encoding is None and b"\0" in data:
        raise ValueError("is no text but binary; if it is UTF-16 without a byte order mark, give its encoding")
    name = marked or encoding or "utf-8"
    body = data[len(mark) :]
    try:
        return body.decode(name), None
    except UnicodeDecodeError:
        text = body.decode(name, errors="replace")
    replaced = text.count("\ufffd")
    if replaced > _READABLE * len(text):
        raise ValueError(f"is not {name} text; give its encoding, such as cp1252")
    places = "1 place is" if replaced == 1 else f"{replaced} places are"
    shown = "shows" if replaced == 1 else "show"
    return text, f"{places} not {name} and {shown} as \ufffd; give its encoding, such as cp1252"
