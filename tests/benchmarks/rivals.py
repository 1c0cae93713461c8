"""Other libraries that score, encode or rerank with late interaction, where they are installed."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from numpy.typing import NDArray
from packaging.requirements import Requirement

from latelens import load_encoder
from latelens.encoders.local.linear import OneDnnLinear

Run = Callable[[], object]


@dataclass(frozen=True)
class Rival:
    """A library by its name, the versions that can be measured, what is imported of it, and how it is installed."""

    name: str
    needs: tuple[str, ...]
    module: str
    pip: str

    def loaded(self) -> Any | None:
        """What is imported, or None where it is not installed in such a version."""
        return importlib.import_module(self.module) if all(map(_installed, self.needs)) else None


def _installed(needed: str) -> bool:
    wanted = Requirement(needed)
    try:
        return wanted.specifier.contains(version(wanted.name), prereleases=True)
    except PackageNotFoundError:
        return False


MULTI_VECTOR = Rival(
    "sentence-transformers",
    ("sentence-transformers>=6",),
    "sentence_transformers.util.similarity",
    'pip install "sentence-transformers>=6"',
)
PYLATE = Rival(
    "PyLate", ("pylate",), "pylate.rank", "pip install pylate (an environment of its own: name its python with --also)"
)
RERANKERS = Rival(
    "rerankers",
    ("rerankers", "transformers<5"),
    "rerankers.models.colbert_ranker",
    'pip install rerankers "transformers<5" (an environment of its own: name its python with --also)',
)
MAXSIM_CPU = Rival("maxsim-cpu", ("maxsim-cpu",), "maxsim_cpu", "pip install maxsim-cpu")
RIVALS = MULTI_VECTOR, PYLATE, RERANKERS, MAXSIM_CPU


def missing() -> list[str]:
    """A line for each rival that is not here."""
    return [
        f"{rival.name} is not in the tables: {rival.pip}" for rival in RIVALS if not all(map(_installed, rival.needs))
    ]


def scoring(query: NDArray[Any], documents: Sequence[NDArray[Any]]) -> dict[str, Run]:
    """Scores of one query, (rows, dim), against documents, each (rows, dim)."""
    asked, tensors = [torch.tensor(query)], [torch.tensor(document) for document in documents]
    found: dict[str, Run] = {}
    if (similarity := MULTI_VECTOR.loaded()) is not None:
        found["sentence-transformers, similarity"] = lambda: similarity.maxsim(asked, tensors)
    if (rank := PYLATE.loaded()) is not None:
        ids = [list(range(len(documents)))]
        found["PyLate, rank.rerank"] = lambda: rank.rerank(
            documents_ids=ids, queries_embeddings=asked, documents_embeddings=[tensors]
        )
    if (cpu := MAXSIM_CPU.loaded()) is not None:
        found["maxsim-cpu"] = lambda: cpu.maxsim_scores_variable(query, list(documents))
    return found


def plain_model(name: str) -> Any:
    """The library's model as it computes without latelens."""
    found: Any = load_encoder(name, device="cpu", engine="torch")
    for layer in found.model.modules():
        if type(layer) is OneDnnLinear:
            layer.__class__ = torch.nn.Linear
    return found.model


def plain_encode(model: Any, texts: Sequence[str], batch_size: int) -> object:
    """What the library under an encoder does by itself; PyLate inherits an `encode_document` that it cannot run."""
    if all(map(_installed, MULTI_VECTOR.needs)):
        return model.encode_document(list(texts), batch_size=batch_size)
    return model.encode(list(texts), batch_size=batch_size, is_query=False, show_progress_bar=False)


def encoding(model: Any, texts: Sequence[str]) -> dict[str, Run]:
    """The encoding of texts by the library under the encoder, at two sizes of batches."""
    known = all(map(_installed, MULTI_VECTOR.needs))
    name = "sentence-transformers, encode_document" if known else "PyLate, encode"
    return {f"{name}, batch {size}": lambda n=size: plain_encode(model, texts, n) for size in (32, 8)}


def reranking(model: Any, question: str, texts: Sequence[str]) -> dict[str, Run]:
    """A rerank with nothing kept, by the same transformer under a projection to 128 dimensions that means nothing."""
    ranker = RERANKERS.loaded()
    if ranker is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        model[0].auto_model.save_pretrained(folder)
        model.tokenizer.save_pretrained(folder)
        loaded = ranker.ColBERTRanker(folder, device="cpu", dtype="float32", verbose=0)
    return {"rerankers, ColBERTRanker.rank": lambda: loaded.rank(question, list(texts))}
