"""How a Qdrant collection keeps its rows, and what is lost where it keeps less than all of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from latelens.refusals import check_is, check_one_of, shown

ROWS, POOLED = "rows", "pooled"
_DATATYPES = ("float32", "float16")
_QUANTIZATIONS = ("scalar", "binary", None)
_LOSS = {
    "float16": "rows are stored as float16, so scores and explanations are those of the rounded rows",
    "scalar": "candidates are found with rows of 8-bit integers, so a hit can be missed",
    "binary": "candidates are found with rows of one bit a dimension, so a hit can be missed",
    "pool": "candidates are found with one mean row for about {} similar ones, so a hit can be missed",
    "hnsw_m": "candidates are found in a graph, so a hit can be missed",
}


@dataclass(frozen=True)
class QdrantStorage:
    """What a collection is created with. The defaults lose nothing: every row as float32, every row compared.

    Whatever finds the candidates, a hit is scored and explained with the rows that are stored whole.

    Attributes
    ----------
    shards, replicas
        Over how many shards of a cluster chunks are spread, and how many copies of each there are; None leaves it to
        the server.
    write_replicas
        How many copies must have a batch before it is acknowledged; None leaves it to the server (1).
    on_disk
        Keep the whole rows on disk instead of in memory; always so beside pooled rows.
    datatype
        ``"float16"`` halves memory and disk.
    quantization
        ``"scalar"`` (a quarter of float32) or ``"binary"`` (1/32) adds small rows in memory that find the candidates.
    pool
        With N > 1, rows are clustered within each chunk into one for N, and these find the candidates (Clavié et al.,
        *Reducing the Footprint of Multi-Vector Retrieval with Minimal Performance Impact via Token Pooling*, 2024).
    hnsw_m
        Edges of the graph over what is searched; 0 builds none. A graph over multivectors takes very long to build.
    """

    shards: int | None = None
    replicas: int | None = None
    write_replicas: int | None = None
    on_disk: bool = False
    datatype: str = "float32"
    quantization: str | None = None
    pool: int = 1
    hnsw_m: int = 0

    def __post_init__(self) -> None:
        for name in ("shards", "replicas", "write_replicas", "pool"):
            _check_count(name, getattr(self, name), 1, optional=name != "pool")
        _check_count("hnsw_m", self.hnsw_m, 0, optional=False)
        check_is("on_disk", self.on_disk, bool, "True or False")
        check_one_of("datatype", self.datatype, _DATATYPES)
        check_one_of("quantization", self.quantization, _QUANTIZATIONS)

    @property
    def loss(self) -> str:
        """What these settings lose, in words; empty where it is nothing."""
        lost = [_LOSS[name] for name in (self.datatype, self.quantization) if name in _LOSS]
        if self.pool > 1:
            lost.append(_LOSS["pool"].format(self.pool))
        if self.hnsw_m:
            lost.append(_LOSS["hnsw_m"])
        return "; ".join(lost)

    @property
    def searched(self) -> str:
        """Name of the vectors that find the candidates."""
        return POOLED if self.pool > 1 else ROWS

    def as_json(self) -> dict[str, Any]:
        """The settings as builtin types."""
        return asdict(self)


def vectors_config(storage: QdrantStorage, dim: int) -> dict[str, models.VectorParams]:
    """The named vectors of a collection: the whole rows and, where asked for, the pooled ones."""
    config = {ROWS: _vectors(storage, dim, searched=storage.pool == 1)}
    if storage.pool > 1:
        config[POOLED] = _vectors(storage, dim, searched=True)
    return config


def pooled(vectors: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Cluster rows, (n, dim) float32, into ``ceil(n / factor)`` and give the unit mean of each cluster."""
    from sklearn.cluster import AgglomerativeClustering

    count = -(-len(vectors) // factor)
    if count == len(vectors):
        return vectors
    labels = AgglomerativeClustering(n_clusters=count, linkage="ward").fit_predict(vectors)
    means = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    np.add.at(means, labels, vectors)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    return means


def _vectors(storage: QdrantStorage, dim: int, *, searched: bool) -> models.VectorParams:
    # DOT keeps rows as they are; COSINE would divide them by their norm once more and so change their last bits.
    return models.VectorParams(
        size=dim,
        distance=models.Distance.DOT,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        datatype=models.Datatype(storage.datatype),
        on_disk=storage.on_disk if storage.pool == 1 else not searched,
        hnsw_config=models.HnswConfigDiff(m=storage.hnsw_m if searched else 0),
        quantization_config=_quantization(storage.quantization) if searched else None,
    )


def _quantization(kind: str | None) -> models.QuantizationConfig | None:
    if kind == "scalar":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=scalar)
    if kind == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    return None


def _check_count(name: str, value: Any, least: int, *, optional: bool) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(
            f"{name} must be an int of at least {least}{' or None' if optional else ''}, got {shown(value)}"
        )
