"""Evidence and citations with boxes, and readers of pages: the same in both frameworks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from made_pdfs import column, made_pdf
from sides import LangChainSide, LlamaIndexSide
from tiny_pdf import tiny_pdf

import langchain_latelens
import llama_index_latelens
from latelens import Attributor
from latelens.pages import PageFiles, open_pages
from latelens.render.pdf import highlight

TEXTS = (
    "The filter is changed every 500 hours of operation. A filter that is clogged lets the pressure fall below 2 bar.",
    "Before the cover is opened the pump must be switched off. The line must be without pressure as well.",
)
QUESTION = "How often is the filter changed?"


@pytest.fixture(params=[LangChainSide, LlamaIndexSide], ids=["langchain", "llama_index"])
def side(request):
    return request.param()


@pytest.fixture
def manual(tmp_path):
    path = tmp_path / "manual.pdf"
    path.write_bytes(made_pdf(*(column(text, width=50) for text in TEXTS)))
    return path


def test_evidence_gets_its_page_and_boxes(side, manual, offline):
    chunks = side.read_pages(manual)
    ranked = side.rerank(side.Rerank(model=offline, top_n=1), chunks, QUESTION)
    before = json.dumps(side.metadata(ranked[0])["latelens"])
    (boxed,) = side.add_boxes(ranked, PageFiles([manual.parent]))
    assert json.dumps(side.metadata(ranked[0])["latelens"]) == before
    found = side.metadata(boxed)["latelens"]
    page = open_pages(manual)[0]
    for item in found["evidence"]:
        start = page.text.index(item["text"])
        assert (item["page"], item["place_confidence"]) == (1, 1.0)
        assert np.allclose(item["boxes"], page.boxes_of(start, start + len(item["text"])), atol=1e-4)
    assert len(json.dumps(found)) < 2048
    assert side.text(boxed) == side.text(ranked[0])
    assert side.read_evidence(boxed) == side.read_evidence(ranked[0])
    again = side.add_boxes([boxed], PageFiles([manual.parent]))
    assert side.metadata(again[0])["latelens"] == found


def test_boxes_of_long_evidence_stay_below_two_kilobytes(side, tmp_path, offline):
    sentence = "The filter " + "is changed and the old filter is cleaned with care and then " * 40 + "it is put back."
    (tmp_path / "long.pdf").write_bytes(made_pdf(column(sentence, width=40)))
    chunk = side.chunk(sentence, source="long.pdf", page=0)
    ranked = side.rerank(side.Rerank(model=offline), [chunk], QUESTION)
    (boxed,) = side.add_boxes(ranked, PageFiles([tmp_path]))
    evidence = side.metadata(boxed)["latelens"]["evidence"]
    assert 0 < len(evidence[0]["boxes"]) <= 12
    added = [{key: item[key] for key in ("page", "boxes", "place_confidence")} for item in evidence]
    assert len(json.dumps(added)) < 2048


def test_what_has_no_page_stays_as_it_is(side, manual, offline):
    chunks = [side.chunk(TEXTS[0], "a"), side.chunk(TEXTS[0], "b", source="other.pdf", page=0)]
    ranked = side.rerank(side.Rerank(model=offline), chunks, QUESTION)
    boxed = side.add_boxes([*ranked, side.chunk("plain", "c")], PageFiles([manual.parent]))
    assert [side.metadata(one) for one in boxed[:2]] == [side.metadata(one) for one in ranked]
    assert "latelens" not in side.metadata(boxed[2])
    with pytest.raises(TypeError, match="files must be a PageFiles, got str"):
        side.add_boxes(ranked, str(manual.parent))


def test_boxed_chunks_are_marked_in_the_pdf(side, manual, offline, tmp_path):
    ranked = side.rerank(side.Rerank(model=offline, top_n=1), side.read_pages(manual), QUESTION)
    done = highlight(manual, ranked, tmp_path / "out.pdf")
    assert [mark.place.page for mark in done.marks] == [1] * len(side.read_evidence(ranked[0]))
    assert done.missed == ()


def test_a_reader_gives_a_document_a_page_and_names_those_without_text(side, tmp_path):
    path = tmp_path / "mixed.pdf"
    path.write_bytes(tiny_pdf("first", "", "third"))
    with pytest.warns(UserWarning, match=r"no text layer on page 2 of 3: not read; word_reader="):
        chunks = side.read_pages(path)
    assert [side.text(chunk) for chunk in chunks] == ["first", "third"]
    assert [side.name(chunk) for chunk in chunks] == [f"{path}:page_1", f"{path}:page_3"]
    assert [side.metadata(chunk)["page_label"] for chunk in chunks] == ["1", "3"]
    assert {side.metadata(chunk)["total_pages"] for chunk in chunks} == {3}


def test_the_loader_is_lazy(tmp_path):
    path = tmp_path / "many.pdf"
    path.write_bytes(tiny_pdf(*(f"page {i}" for i in range(40))))
    documents = langchain_latelens.PdfPagesLoader(path).lazy_load()
    assert next(documents).page_content == "page 0"
    nodes = llama_index_latelens.PdfPagesReader().lazy_load_data(path, {"owner": "me"})
    assert next(iter(nodes)).metadata["owner"] == "me"
    with pytest.raises(ValueError, match="reads local files"):
        list(llama_index_latelens.PdfPagesReader().lazy_load_data(path, fs=object()))


def test_citations_carry_the_page_and_the_boxes(manual, offline):
    attributor = Attributor(offline, max_citations=1, files=PageFiles([manual.parent]))
    answer = "The filter is changed every 500 hours."
    documents, nodes = LangChainSide().read_pages(manual), LlamaIndexSide().read_pages(manual)
    message = langchain_latelens.attach_citations(answer, documents, attributor=attributor)
    (citation,) = message.content[0]["annotations"]
    sentence = citation["cited_text"]
    page = open_pages(manual)[0]
    start = page.text.index(sentence)
    boxes = page.boxes_of(start, start + len(sentence))
    assert citation["extras"]["page"] == 1
    assert np.allclose(citation["extras"]["boxes"], boxes, atol=1e-4)
    read = langchain_latelens.read_attribution(message).citations[0]
    assert (read.page, read.boxes) == (1, attributor(answer, _sources(documents)).citations[0].boxes)

    response = llama_index_latelens.attach_citations(answer, nodes, attributor=attributor)
    assert llama_index_latelens.read_attribution(response).citations[0].boxes == read.boxes
    from llama_index.core.base.llms.types import ChatMessage

    said = llama_index_latelens.attach_citations(ChatMessage(answer), nodes, attributor=attributor)
    place = said.blocks[-1].additional_location_info
    edges = [place[name] for name in ("left", "top", "right", "bottom")]
    assert all(isinstance(edge, int) for edge in edges)
    assert edges == pytest.approx(
        [1000 * pick(box[i] for box in boxes) for i, pick in enumerate((min, min, max, max))], abs=1
    )
    assert place["page"] == 1


def test_without_files_citations_are_what_they_were(manual, offline):
    documents = LangChainSide().read_pages(manual)
    message = langchain_latelens.attach_citations("The filter is changed.", documents, attributor=Attributor(offline))
    assert not {"page", "boxes"} & message.content[0]["annotations"][0]["extras"].keys()
    with pytest.raises(TypeError, match="files must be a PageFiles or None"):
        Attributor(offline, files=[manual.parent])


def _sources(documents):
    from langchain_latelens.sources import to_sources

    return to_sources(documents)
