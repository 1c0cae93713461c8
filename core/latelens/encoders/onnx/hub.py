"""Folders of the hub that carry a late-interaction model as ONNX, read as FastEmbed reads them.

Such a folder says nothing of markers, lengths and masks: they are known by the model's family, which its tokenizer
tells. The rows are those of FastEmbed, normalised, but texts longer than the window are read to their end.
"""

from __future__ import annotations

import json
import string
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers

from latelens.encoders.onnx.sessions import Session
from latelens.encoders.onnx.settings import (
    TOKENIZER_CONFIG,
    TOKENIZER_FILE,
    Expansion,
    ExportSettings,
    TaskSettings,
)


@dataclass(frozen=True)
class Family:
    """How models of one kind are read.

    Attributes
    ----------
    markers
        Name and usual id of the token after the first one, of queries and of documents.
    mask
        The token that expands queries to `length` rows; with no length, queries are not expanded.
    attends
        Whether the model sees the expansion.
    counted
        Whether the tokenizer's length leaves no room for the marker.
    skips
        Whether punctuation is left out of the document rows.
    """

    markers: tuple[tuple[str, int], tuple[str, int]]
    mask: str
    length: int | None = None
    attends: bool = False
    counted: bool = False
    skips: bool = True


# In this order: the first whose mask and markers a tokenizer has.
_FAMILIES = (
    # lightonai/LateOn, lightonai/mLateOn
    Family((("[Q] ", 50368), ("[D] ", 50369)), "[MASK]"),
    Family((("[Q] ", 256000), ("[D] ", 256001)), "<mask>", skips=False),
    # colbert-ir/colbertv2.0, answerdotai/answerai-colbert-small-v1
    Family((("[unused0]", 1), ("[unused1]", 2)), "[MASK]", length=32, counted=True),
    # jinaai/jina-colbert-v2
    Family((("[QueryMarker]", 250002), ("[DocumentMarker]", 250003)), "<mask>", length=32, attends=True, counted=True),
)


def hub_settings(folder: Path, session: Session) -> ExportSettings:
    """What FastEmbed takes for this kind of model; one forward pass tells the length of a vector.

    Raises
    ------
    ValueError
        If the tokenizer is of no kind that FastEmbed serves, or its length is not known.
    """
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    config = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8"))
    family, mask, markers = _family(tokenizer)
    limit = _limit(config) - family.counted
    padding = (tokenizer.padding or {}).get("pad_id", tokenizer.token_to_id(str(_content(config.get("pad_token")))))
    # Of a symbol that is several tokens FastEmbed leaves out the first wherever it stands.
    symbols = [tokenizer.encode(symbol, add_special_tokens=False).ids[0] for symbol in string.punctuation]
    skipped = {*symbols, *([padding] if family.length and padding is not None else [])} if family.skips else set()
    expansion = Expansion(family.length, family.attends, mask) if family.length else None
    special = [token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special]
    unknown = tokenizer.token_to_id(str(_content(config.get("unk_token"))))
    rows = session(np.array([[mask, mask]]), np.array([[1, 1]]))
    return ExportSettings(
        model=folder.name,
        dim=int(rows.shape[-1]),
        query=TaskSettings(limit, "", [], expansion, markers[0]),
        document=TaskSettings(limit, "", sorted(skipped), None, markers[1]),
        control_ids=sorted({*special, *markers, mask} - ({unknown} if unknown is not None else set())),
        pad_id=mask if padding is None else padding,
    )


def _family(tokenizer: tokenizers.Tokenizer) -> tuple[Family, int, tuple[int, int]]:
    for family in _FAMILIES:
        named = [tokenizer.token_to_id(name) for name, _ in family.markers]
        # Jina's are rows of the model beyond the tokenizer's words: no name need lead to them.
        ids = [usual if found is None else found for found, (_, usual) in zip(named, family.markers, strict=True)]
        mask = tokenizer.token_to_id(family.mask)
        if mask is not None and (None not in named or family.attends):
            return family, mask, (ids[0], ids[1])
    raise ValueError(
        "its tokenizer has the markers of no late-interaction model that FastEmbed serves ([unused0], [QueryMarker] or "
        "[Q]); load the model with sentence-transformers and write it with encoder.export"
    )


def _limit(config: dict[str, Any]) -> int:
    lengths = [config.get(name) for name in ("model_max_length", "max_length")]
    known = [length for length in lengths if isinstance(length, int) and 0 < length <= sys.maxsize]
    if not known:
        raise ValueError(f"{TOKENIZER_CONFIG} says neither model_max_length nor max_length")
    return min(known)


def _content(token: Any) -> Any:
    """A token that is written as a string, or as an object with its settings."""
    return token.get("content") if isinstance(token, dict) else token
