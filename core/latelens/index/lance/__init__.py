"""LanceDB: one machine, up to a million chunks."""

try:
    from latelens.index.lance.index import LanceIndex
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in ("lancedb", "pyarrow"):
        raise
    raise ImportError("LanceIndex keeps its chunks in LanceDB: run `pip install 'latelens[lancedb]'`") from error

__all__ = ["LanceIndex"]
