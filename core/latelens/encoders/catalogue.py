"""The well-known checkpoints: what each is good for, and on what terms.

`load_encoder` reads lengths, prompts and dimensions from a checkpoint's own files, never from here.
``python -m latelens.encoders.catalogue`` prints the tables of docs/guides/models.md.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from typing import Literal

from latelens.encoders.offline import OFFLINE_MODEL, TRAINED_MODEL
from latelens.refusals import warn_caller


@dataclass(frozen=True)
class ModelInfo:
    """One published checkpoint, as its authors describe it; None where we could not verify a fact.

    `parameters` counts millions; `query_length` and `document_length` count tokens, as the checkpoint is saved.
    `licence` is an SPDX identifier, of an adapter that of the model below it where it is the stricter one. `reads` says
    whether documents are texts or images of pages, and `needs` which packages loading takes beyond latelens' own.
    """

    name: str
    dim: int
    parameters: int
    query_length: int | None
    document_length: int | None
    licence: str | None
    languages: str
    good_for: str
    reads: Literal["texts", "pages"] = "texts"
    needs: tuple[str, ...] = ()


_MODELS = (
    ModelInfo(
        name="lightonai/LateOn",
        dim=128,
        parameters=149,
        query_length=None,
        document_length=300,
        licence="Apache-2.0",
        languages="English",
        good_for="English passages; the default",
    ),
    ModelInfo(
        name="lightonai/mLateOn",
        dim=128,
        parameters=307,
        query_length=None,
        document_length=8192,
        licence="Apache-2.0",
        languages="many; trained on 9",
        good_for="many languages, long documents",
    ),
    ModelInfo(
        name="answerdotai/answerai-colbert-small-v1",
        dim=96,
        parameters=33,
        query_length=32,
        document_length=300,
        licence="Apache-2.0",
        languages="English",
        good_for="small, for a CPU",
    ),
    ModelInfo(
        name=TRAINED_MODEL,
        dim=384,
        parameters=22,
        query_length=256,
        document_length=256,
        licence="Apache-2.0",
        languages="English",
        good_for="no network: it comes with `latelens[offline]`, trained by us to point at evidence",
    ),
    ModelInfo(
        name=f"{TRAINED_MODEL}-192",
        dim=192,
        parameters=22,
        query_length=256,
        document_length=256,
        licence="Apache-2.0",
        languages="English",
        good_for="the same in half the bytes: rows cut to their principal directions",
    ),
    ModelInfo(
        name=OFFLINE_MODEL,
        dim=384,
        parameters=22,
        query_length=256,
        document_length=256,
        licence="Apache-2.0",
        languages="English",
        good_for="no network either: the sentence-embedding model that ours was trained from, used token-wise",
    ),
    ModelInfo(
        name="mixedbread-ai/mxbai-edge-colbert-v0-17m",
        dim=48,
        parameters=17,
        query_length=48,
        document_length=512,
        licence=None,
        languages="English",
        good_for="the smallest model and vectors",
    ),
    ModelInfo(
        name="mixedbread-ai/mxbai-edge-colbert-v0-32m",
        dim=64,
        parameters=32,
        query_length=48,
        document_length=512,
        licence="Apache-2.0",
        languages="English",
        good_for="small, for a CPU; small vectors",
    ),
    ModelInfo(
        name="lightonai/GTE-ModernColBERT-v1",
        dim=128,
        parameters=149,
        query_length=32,
        document_length=300,
        licence="Apache-2.0",
        languages="English",
        good_for="English; also works at 8192 tokens",
    ),
    ModelInfo(
        name="mixedbread-ai/mxbai-colbert-large-v1",
        dim=128,
        parameters=335,
        query_length=128,
        document_length=256,
        licence="Apache-2.0",
        languages="English",
        good_for="reranking with longer queries",
    ),
    ModelInfo(
        name="colbert-ir/colbertv2.0",
        dim=128,
        parameters=110,
        query_length=32,
        document_length=None,
        licence="MIT",
        languages="English",
        good_for="comparing with published results",
    ),
    ModelInfo(
        name="jinaai/jina-colbert-v1-en",
        dim=128,
        parameters=137,
        query_length=32,
        document_length=8192,
        licence="Apache-2.0",
        languages="English",
        good_for="long documents; its authors have superseded it",
    ),
    ModelInfo(
        name="jinaai/jina-colbert-v2",
        dim=128,
        parameters=559,
        query_length=32,
        document_length=300,
        licence="CC-BY-NC-4.0",
        languages="89",
        good_for="many languages, where the licence allows it; also works at 8192 tokens",
    ),
    ModelInfo(
        name="vidore/colSmol-500M",
        dim=128,
        parameters=507,
        query_length=None,
        document_length=None,
        licence="Apache-2.0",
        languages="English",
        good_for="small, for a CPU",
        reads="pages",
        needs=("peft",),
    ),
    ModelInfo(
        name="vidore/colqwen2-v1.0-hf",
        dim=128,
        parameters=2200,
        query_length=None,
        document_length=None,
        licence="Apache-2.0",
        languages="English",
        good_for="pages of any shape, on a GPU",
        reads="pages",
    ),
    ModelInfo(
        name="vidore/colpali-v1.3-hf",
        dim=128,
        parameters=2900,
        query_length=None,
        document_length=None,
        licence="LicenseRef-Gemma",
        languages="English",
        good_for="comparing with published results, on a GPU; every page becomes a square",
        reads="pages",
    ),
    ModelInfo(
        name="vidore/colqwen2.5-v0.2",
        dim=128,
        parameters=3800,
        query_length=None,
        document_length=None,
        licence="LicenseRef-Qwen-Research",
        languages="English",
        good_for="the best of these (NanoViDoRe .540), on a GPU; the adapter is Apache-2.0, its Qwen2.5-VL-3B is not",
        reads="pages",
        needs=("peft", "torchvision"),
    ),
    ModelInfo(
        name="vidore/colSmol-256M",
        dim=128,
        parameters=256,
        query_length=None,
        document_length=None,
        licence="Apache-2.0",
        languages="English",
        good_for="the smallest, for a CPU",
        reads="pages",
        needs=("peft",),
    ),
    ModelInfo(
        name="ModernVBERT/colmodernvbert",
        dim=128,
        parameters=252,
        query_length=None,
        document_length=None,
        licence="MIT",
        languages="English",
        good_for="an encoder of both directions, small, for a CPU",
        reads="pages",
    ),
)

# Not to be used commercially, beside what has -NC in its name.
_RESEARCH = ("LicenseRef-Qwen-Research",)


def list_models() -> tuple[ModelInfo, ...]:
    """The well-known checkpoints, the ones to try first at the top; `load_encoder` takes any other too.

    >>> [model.name for model in list_models() if model.languages != "English"]
    ['lightonai/mLateOn', 'jinaai/jina-colbert-v2']
    """
    return _MODELS


def say_licence(name: str) -> None:
    """Warn if the model of that name may not be used commercially; `load_encoder` calls this before a download."""
    for model in _MODELS:
        restricted = model.licence and ("-NC" in model.licence or model.licence in _RESEARCH)
        if model.name.casefold() == name.casefold() and restricted:
            warn_caller(
                f"{model.name} is published under {model.licence}: its weights may not be used commercially unless "
                "its authors grant you another licence; latelens.list_models() shows the licences of other models"
            )


def check_needs(name: str) -> None:
    """Refuse a model of that name whose packages are missing, before it is downloaded.

    Raises
    ------
    ImportError
        Naming them, and the command to run.
    """
    for model in _MODELS:
        missing = [package for package in model.needs if importlib.util.find_spec(package) is None]
        if model.name.casefold() == name.casefold() and missing:
            fitting = "; take the torchvision that fits your torch, from the same index: another one breaks both"
            raise ImportError(
                f"{model.name} needs {' and '.join(missing)}: run `pip install {' '.join(missing)}`"
                f"{fitting if 'torchvision' in missing else ''}"
            )


def as_markdown() -> str:
    """The table of models for texts in the guide to models, a row each; "?" stands for what we could not verify."""
    rows = [
        "| model | good for | languages | parameters | dim | query / document tokens | licence |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in (model for model in _MODELS if model.reads == "texts"):
        lengths = f"{model.query_length or '?'} / {model.document_length or '?'}"
        cells = [f"`{model.name}`", model.good_for, model.languages, f"{model.parameters}M", str(model.dim), lengths]
        rows.append(f"| {' | '.join([*cells, model.licence or '?'])} |")
    return "\n".join(rows)


def pages_as_markdown() -> str:
    """The table of models for images of pages."""
    rows = ["| model | good for | parameters | dim | needs | licence |", "|---|---|---|---|---|---|"]
    for model in (model for model in _MODELS if model.reads == "pages"):
        needs = ", ".join(f"`{package}`" for package in model.needs)
        cells = [f"`{model.name}`", model.good_for, f"{model.parameters}M", str(model.dim), needs, model.licence or "?"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(f"{as_markdown()}\n\n{pages_as_markdown()}\n")
