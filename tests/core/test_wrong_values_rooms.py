"""All arguments of encoders, attribution, formats, pages, measures and plots x wrong types and values."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from page_images import ColourEncoder, painted
from tiny_models import checkpoint
from wrong_values import Call, always, assert_done_or_refused, cases

from latelens import EncoderPool, Source, attribute, explain, load_encoder, rerank
from latelens.attribution import AnswerStream, check_marks, read_marks
from latelens.evaluation.answers import Answered, score_answer, score_answers
from latelens.interchange import (
    from_anthropic_citations,
    from_google_grounding,
    from_json,
    to_anthropic_citations,
    to_google_grounding,
    to_json,
)
from latelens.pages import PageFiles, file_page, lay, locate, locate_span, open_pages
from latelens.render.html.answers import answers_report
from latelens.render.html.ranking import report
from latelens.render.pdf import highlight
from latelens.render.pictures import overlay

TEXT = "Herds eat grass. It rains."
ANSWER = "Herds eat grass [1]."


def encoder() -> FakeEncoder:
    return FakeEncoder(dim=32)


def found() -> Any:
    return attribute(ANSWER, [TEXT], encoder())


def explanation() -> Any:
    made = encoder()
    return explain(made.encode_queries(["eat grass"])[0], made.encode_documents([TEXT])[0])


def page_image() -> Any:
    made = ColourEncoder()
    return explain(made.encode_queries(["red"])[0], made.encode_pages([painted((40, 50), {"red": (0, 0, 9, 9)})])[0])


def ranking() -> Any:
    return rerank("eat grass", [TEXT], encoder())


def a_pdf() -> Path:
    from tiny_pdf import tiny_pdf

    path = Path("tiny.pdf")
    path.write_bytes(tiny_pdf(TEXT))
    return path


def pages() -> Any:
    return open_pages(a_pdf())


def loaded(**given: Any) -> Any:
    """A tiny model that is there; names that no model has are for the hub, which is offline."""
    return load_encoder(**{"model": str(checkpoint("wordpiece-bare")), **given})


def streamed(sources: Any = (TEXT,), made: Any = None, piece: Any = "It rains.", **given: Any) -> Any:
    stream = AnswerStream(sources, encoder() if made is None else made, **given)
    stream.feed(piece)
    return stream.finish()


def made(name: str, call: Any, passed_over: tuple[str, ...] = (), **right: Any) -> Call:
    values = {argument: value if callable(value) else always(value) for argument, value in right.items()}
    return Call(name, call, values, frozenset(passed_over))


def plot(name: str, **right: Any) -> Call:
    def call(**given: Any) -> Any:
        from latelens.render import plot

        return getattr(plot, f"plot_{name}")(**given)

    return made(f"plot_{name}", call, **right)


def figures(**right: Any) -> dict[str, Any]:
    return {**right, "ax": None, "figsize": None, "scale": None}


CALLS = [
    made("load_encoder", loaded, passed_over=("model_kwargs",), model=lambda: str(checkpoint("wordpiece-bare")),
         backend="auto", device="cpu", batch_size=4, speed="exact", engine="torch", dtype=None, revision=None,
         local_files_only=True, trust_remote_code=False, model_kwargs=None, calibration=None),
    made("EncoderPool", EncoderPool, model="offline/all-MiniLM-L6-v2", processes=1, devices=None, options=None),
    made("attribute", attribute, answer=ANSWER, sources=lambda: [TEXT], encoder=encoder, question=None, cache=None,
         max_citations=2, verifier=None),
    made("check_marks", check_marks, answer=ANSWER, sources=lambda: [TEXT], encoder=encoder, handling="keep",
         question=None, cache=None, verifier=None),
    made("read_marks", read_marks, answer=ANSWER),
    made("AnswerStream", streamed, sources=lambda: [TEXT], made=encoder, piece="It rains.", question=None, cache=None,
         max_citations=2, verifier=None),
    made("Answered", Answered, question="What?", answer=ANSWER, sources=(TEXT,), id=None),
    made("score_answer", score_answer, question="What?", answer=ANSWER, sources=lambda: [TEXT], encoder=encoder,
         cache=None, verifier=None),
    made("score_answers", score_answers, examples=lambda: [Answered("What?", ANSWER, (TEXT,))], encoder=encoder,
         cache=None, verifier=None),
    made("answers_report", lambda **given: answers_report(**given).page(),
         scores=lambda: score_answers([Answered("What?", ANSWER, (TEXT,))], encoder()), title="Answers"),
    made("to_json", to_json, attribution=found, source_texts=True),
    made("from_json", from_json, written=lambda: to_json(found()), sources=None),
    made("to_anthropic_citations", to_anthropic_citations, attribution=found),
    made("from_anthropic_citations", from_anthropic_citations, blocks=lambda: to_anthropic_citations(found()),
         sources=lambda: [Source(TEXT)]),
    made("to_google_grounding", to_google_grounding, attribution=found),
    made("from_google_grounding", from_google_grounding, grounding=lambda: to_google_grounding(found()), answer=ANSWER,
         sources=lambda: [Source(TEXT)]),
    made("open_pages", open_pages, path=a_pdf, password=None, word_reader=None, max_pixels=1000),
    made("PageFiles", PageFiles, folders=lambda: [], word_reader=None, password=None),
    made("file_page", file_page, metadata=lambda: {"source": "a.pdf", "page": 0}),
    *(made(f"file_page {key}", lambda key=key, **given: file_page({"source": "a.pdf", key: given["value"]}), value=1)
      for key in ("page", "page_number", "page_label", "source")),
    made("lay", lay, page=lambda: pages()[0], text=TEXT),
    made("locate", locate, pages=pages, text="eat grass", before="", after="", min_confidence=0.8),
    made("locate_span", locate_span, pages=pages, chunk=TEXT, start=0, end=5, min_confidence=0.8),
    made("report", report, ranked=ranking, pages=lambda: [None], names=None),
    made("overlay", overlay, explanation=page_image, page=lambda: pages()[0], word="red", regions=lambda: [], dpi=None),
    made("highlight", highlight, path=a_pdf, found=ranking, target="out.pdf", password=None),
    plot("similarity", **figures(explanation=explanation, max_columns=40)),
    plot("document", **figures(explanation=explanation, max_lines=5, evidence=None)),
    plot("ranking", **figures(ranked=ranking, top=2)),
    plot("contrast", a=explanation, b=explanation, names=("A", "B"), page_a=None, page_b=None, ax=None, figsize=None),
    plot("page", explanation=explanation, page=lambda: pages()[0], scale=None, max_panels=2),
]  # fmt: skip

NEEDS = {
    "plot": ["matplotlib", "pypdfium2"],
    "highlight": ["pypdf"],
    "open": ["pypdfium2"],
    "lay": ["pypdfium2"],
    "locate": ["pypdfium2"],
    "overlay": ["pypdfium2"],
}


def test_what_goes_to_the_models_constructor_must_be_a_dict() -> None:
    with pytest.raises(TypeError, match=r"model_kwargs must be a dict or None, got list: \['a'\]"):
        loaded(model_kwargs=["a"])


@pytest.mark.parametrize(("call", "name"), cases(CALLS))
def test_a_wrong_value_gives_a_result_or_an_error_that_names_it(call: Call, name: str, tmp_path, monkeypatch) -> None:
    for module in NEEDS.get(call.name.split("_")[0], ()):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)  # a text may be taken for a file's name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_done_or_refused(call, name)
