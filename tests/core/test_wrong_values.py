"""All arguments of the core's public calls x wrong types and values: a result, or an error that names the value."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from fake_encoder import FakeEncoder
from rich.console import Console
from wrong_values import Call, always, assert_done_or_refused, cases

from latelens import (
    Attributor,
    Calibration,
    EmbeddingCache,
    QuoteNumbers,
    Source,
    TokenEmbeddings,
    attribute,
    contrast,
    explain,
    explain_miss,
    find_evidence,
    read_evidence,
    rerank,
)
from latelens.index import Candidate, Chunk, EncodedChunk, ExactIndex
from latelens.index.filters import parse_filter
from latelens.render.html.answer import answer_report
from latelens.render.html.ranking import report
from latelens.render.terminal.answer import format_answer
from latelens.render.terminal.ranking import format_ledger, format_ranking
from latelens.text import content_words, split_passages

TEXT = "Herds eat grass. It rains."


def encoder() -> FakeEncoder:
    return FakeEncoder(dim=64)


class Calibrated(FakeEncoder):
    calibration = Calibration("fake", strength=10.0, length=0.0, intercept=-5.0, fitted_on="by hand")


def rows(text: str = TEXT) -> TokenEmbeddings:
    return encoder().encode_documents([text])[0]


def explanation() -> Any:
    return explain(rows("eat grass"), rows())


def index() -> ExactIndex:
    made = ExactIndex(encoder())
    made.add([Chunk("a", TEXT, {"year": 2001})])
    return made


def printed(renderable: Any) -> None:
    Console(file=io.StringIO()).print(renderable)


CALLS = [
    Call(
        "rerank",
        lambda **given: rerank(**given),
        {
            "query": always("eat"),
            "documents": always([TEXT]),
            "encoder": Calibrated,
            "top_n": always(1),
            "explain": always("evidence"),
            "min_score": always(0.1),
            "min_relevance": always(None),
            "max_spans": always(3),
            "cache": always(None),
            "show_progress": always(False),
        },
    ),
    Call("explain", explain, {"query": lambda: rows("eat"), "document": rows}),
    Call("find_evidence", find_evidence, {"explanation": explanation, "max_spans": always(2)}),
    Call(
        "contrast",
        contrast,
        {"a": explanation, "b": explanation, "page_a": always(None), "page_b": always(None)},
    ),
    Call("explain_miss", explain_miss, {"query": lambda: rows("eat"), "document": rows, "page": always(None)}),
    # `attribute` and the encoders have tables of their own; words and sentences are cached by their text, which
    # every public call has checked.
    Call("Attributor", Attributor, {"model": encoder, "cache": always(None)}),
    Call(
        "Source",
        Source,
        {"text": always("a"), "id": always("a"), "title": always("a"), "url": always("a"), "start": always(0)},
    ),
    Call("Chunk", Chunk, {"id": always("a"), "text": always("a"), "metadata": always({})}),
    Call("a chunk's metadata", lambda value: Chunk("a", "a", {"key": value}), {"value": always(1)}),
    Call(
        "EncodedChunk",
        EncodedChunk,
        {"id": always("a"), "text": always(TEXT), "rows": rows, "fingerprint": always("f")},
    ),
    Call("Candidate", Candidate, {"chunk": lambda: Chunk("a", "a"), "score": always(1.0)}),
    Call(
        "ExactIndex",
        lambda **given: ExactIndex(**given),
        {"encoder": encoder, "path": always(None), "rows": always(None)},
    ),
    *(
        Call(
            f"ExactIndex.{name}",
            lambda name=name, **given: getattr(index(), name)(**given),
            {"chunks": lambda: [Chunk("b", "x")], "batch_size": always(3), "show_progress": always(False)},
        )
        for name in ("add", "upsert")
    ),
    Call(
        "ExactIndex.search",
        lambda **given: index().search(**given),
        {"query": always("eat"), "k": always(2), "filter": always(None)},
    ),
    Call(
        "ExactIndex.search_many",
        lambda **given: index().search_many(**given),
        {"queries": always(["eat"]), "k": always(2), "filter": always(None)},
    ),
    Call("ExactIndex.delete", lambda ids: index().delete(ids), {"ids": always(["a"])}),
    Call("ExactIndex.get", lambda ids: index().get(ids), {"ids": always(["a"])}),
    Call("parse_filter", parse_filter, {"filter": always({})}),
    Call("a filter's value", lambda value: parse_filter({"year": value}), {"value": always(1)}),
    Call("a filter's list", lambda value: parse_filter({"year": {"$in": value}}), {"value": always([1])}),
    Call("EmbeddingCache", lambda **given: EmbeddingCache(**given), {"path": always(None), "max_bytes": always(10)}),
    Call(
        "Calibration",
        Calibration,
        {
            "model": always("m"),
            "strength": always(1.0),
            "length": always(0.0),
            "intercept": always(0.0),
            "fitted_on": always("x"),
        },
    ),
    Call(
        "TokenEmbeddings",
        lambda **given: TokenEmbeddings(**given),
        {
            "text": always("a"),
            "vectors": lambda: np.ones((1, 1), dtype=np.float32),
            "tokens": always(("a",)),
            "spans": lambda: np.array([[0, 1]], dtype=np.int32),
            "kinds": lambda: np.zeros(1, dtype=np.uint8),
            "complete": always(True),
        },
    ),
    Call("read_evidence", read_evidence, {"source": always({"metadata": {}})}),
    Call("split_passages", split_passages, {"text": always("a")}),
    Call("content_words", content_words, {"some": always(["a"]), "query": always("a")}),
    Call("QuoteNumbers.number", lambda lines: QuoteNumbers().number(lines), {"lines": always(["a"])}),
    Call("report", report, {"ranked": lambda: rerank("eat", [TEXT], encoder()), "names": always(["a"])}),
    Call(
        "format_ranking",
        lambda **given: printed(format_ranking(**given)),
        {"ranked": lambda: rerank("eat", [TEXT], encoder()), "names": always(["a"]), "first_rank": always(1)},
    ),
    Call("format_ledger", lambda **given: printed(format_ledger(**given)), {"explanation": explanation}),
    Call(
        "format_answer",
        lambda **given: printed(format_answer(**given)),
        {"attribution": lambda: attribute("It rains.", [TEXT], encoder())},
    ),
    Call(
        "answer_report",
        lambda **given: answer_report(**given).page(),
        {"attribution": lambda: attribute("It rains.", [TEXT], encoder())},
    ),
]


@pytest.mark.parametrize(("call", "name"), cases(CALLS))
def test_a_wrong_value_gives_a_result_or_an_error_that_names_it(call: Call, name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # a text may be taken for a folder's name
    assert_done_or_refused(call, name)
