"""Both adapters rerank and retrieve images of pages, and say where each answers."""

from __future__ import annotations

import base64
import copy
import io
import json
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from langchain_core.documents import Document
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.schema import ImageNode, MediaResource, Node, NodeWithScore, TextNode
from page_images import ColourEncoder, painted
from PIL import Image
from reportlab.pdfgen.canvas import Canvas
from sides import LangChainSide, LlamaIndexSide

from latelens import Attributor, read_regions
from latelens.attribution.citations import SourceRegion
from latelens.bridge.marks import numbered_sources
from latelens.bridge.quotes import Found, numbered_quotes, read_quotes
from latelens.bridge.regions import NO_WORDS
from latelens.bridge.sources import source_of
from latelens.index import ExactIndex, add_pages
from latelens.interchange import from_json, to_json
from latelens.pages import PageFiles, open_pages
from latelens.patches import Grid
from llama_index_latelens import to_citable_blocks

ENCODER = ColourEncoder(Grid(4, 5), Grid(2, 2))
RED, BOTH = ({"red": (30, 0, 40, 10)}, {"red": (0, 0, 10, 10), "green": (0, 40, 10, 50)})


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def folder(tmp_path):
    for name, blocks in {"red.png": RED, "both.png": BOTH}.items():
        painted((40, 50), blocks).save(tmp_path / name)
    return tmp_path


def chunks(side: Any) -> list[Any]:
    return [side.chunk("", name, score=0.5, source=name) for name in ("red.png", "both.png")]


def test_pages_that_chunks_name_are_reranked_by_their_image(side: Any, folder) -> None:
    given = chunks(side)
    before = copy.deepcopy(given)
    found = side.rerank(side.Rerank(model=ENCODER, folders=[folder]), given, "red green")
    assert given == before
    assert [side.name(chunk) for chunk in found] == ["both.png", "red.png"]
    assert side.score(found[0]) == 2
    told = side.metadata(found[0])["latelens"]
    assert (told["kind"], told["off_page"], told["retrieval_score"]) == ("page", 0, 0.5)
    assert told["page"] == {"number": 1, "label": "1", "width": 40, "height": 50, "unit": "point"}
    assert [region.box for region in read_regions(found[0])] == [(0, 0, 0.25, 0.2), (0, 0.8, 0.25, 1)]
    assert [region.query_words for region in read_regions(side.as_dict(found[0]))] == [("red",), ("green",)]
    assert side.read_evidence(found[0]) == []
    assert len(json.dumps(told)) < 2048
    plain = side.rerank(side.Rerank(model=ENCODER, folders=[folder], explain="off"), given, "red green")
    assert "latelens" not in side.metadata(plain[0])


def test_both_adapters_say_the_same_of_a_page(folder) -> None:
    told = [
        [side.metadata(chunk)["latelens"] for chunk in side.rerank(made, chunks(side), "red green")]
        for side in (LangChainSide(), LlamaIndexSide())
        for made in [side.Rerank(model=ENCODER, folders=[str(folder)], explain="tokens")]
    ]
    assert told[0] == told[1]
    assert told[0][0]["tokens"][0]["box"] == [0, 0, 0.25, 0.2]


def test_a_page_is_explained_as_it_is_ranked(side: Any, folder) -> None:
    reranker = side.Rerank(model=ENCODER, folders=[folder])
    explanation = reranker.explain("red green", chunks(side)[1])
    assert explanation.score == 2
    assert explanation.document.page.grids == (Grid(4, 5), Grid(2, 2))
    with pytest.raises(ValueError, match=r"chunk 0 \('red'\) names no page of a PDF and no image"):
        reranker.explain("red", "red")


def test_no_file_is_opened_but_below_the_folders(side: Any, folder, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    painted((40, 50), RED).save(elsewhere)
    for named in (str(elsewhere), "../elsewhere0/secret.png", "missing.png"):
        with pytest.raises(ValueError, match=r"no page of a file in folders=.* give folders="):
            side.rerank(side.Rerank(model=ENCODER, folders=[str(folder)]), [side.chunk("", "x", source=named)], "red")
    with pytest.raises(ValueError, match="there is no folder"):
        side.Rerank(model=ENCODER, folders=[str(folder / "missing")])


def test_a_model_for_pages_refuses_chunks_that_are_texts(side: Any, folder) -> None:
    with pytest.raises(ValueError, match=r"chunk 1 \('A text'\) names no page of a PDF and no image"):
        side.rerank(side.Rerank(model=ENCODER, folders=[folder]), [*chunks(side)[:1], side.chunk("A text", "x")], "red")


def test_pages_in_an_index_are_retrieved_with_their_regions(side: Any, folder) -> None:
    index = ExactIndex(ENCODER)
    for name in ("red.png", "both.png"):
        assert add_pages(index, open_pages(folder / name)) == 1
    found = side.search(side.over(index), "red green")
    assert [side.score(chunk) for chunk in found] == [2, 1]
    assert [region.query_words for region in read_regions(found[0])] == [("red",), ("green",)]
    assert side.metadata(found[0])["source"] == str(folder / "both.png")
    assert side.metadata(found[0])["page"] == 0
    assert len(json.dumps(side.metadata(found[0])["latelens"])) < 2048


def pictures(side: Any, blocks: list[Any]) -> list[tuple[str, Image.Image]]:
    """Captions and images of what `page_blocks` gave."""
    if isinstance(side, LangChainSide):
        assert [block["type"] for block in blocks] == ["text", "image"] * (len(blocks) // 2)
        texts = [block["text"] for block in blocks[::2]]
        data = [base64.b64decode(block["base64"]) for block in blocks[1::2]]
    else:
        texts = [block.text for block in blocks[::2]]
        data = [block.resolve_image().read() for block in blocks[1::2]]
    return list(zip(texts, [Image.open(io.BytesIO(one)) for one in data], strict=True))


def test_pages_become_blocks_for_a_model_that_sees(side: Any, folder) -> None:
    page_blocks = side.page_blocks
    found = side.rerank(side.Rerank(model=ENCODER, folders=[folder]), chunks(side), "red green")
    (first, crop), (second, _), (third, _) = pictures(side, page_blocks(found, folders=[folder], margin=0))
    assert (first, second, third) == (
        "both.png, page 1, region 1",
        "both.png, page 1, region 2",
        "red.png, page 1, region 1",
    )
    assert crop.size == (10, 10)
    assert crop.getcolors() == [(100, (255, 0, 0))]
    whole = pictures(side, page_blocks(found, folders=[folder], crops=False, max_pixels=500))
    assert [caption for caption, _ in whole] == ["both.png, page 1", "red.png, page 1"]
    assert all(picture.width * picture.height <= 500 for _, picture in whole)
    with pytest.raises(ValueError, match="chunk 0 names no page of a file in folders="):
        page_blocks(found)


WORDS = [("Net revenue 4,512", 60, 700), ("Notes", 60, 100)]
RED_LINE = "Net revenue 4,512"


@pytest.fixture
def report(tmp_path):
    """A page whose first line stands on red."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(612, 792), invariant=1)
    canvas.setFillColorRGB(1, 0, 0)
    canvas.rect(0, 660, 306, 132, stroke=0, fill=1)
    canvas.setFillColorRGB(0, 0, 0)
    for text, x, y in WORDS:
        canvas.drawString(x, y, text)
    canvas.showPage()
    canvas.save()
    (tmp_path / "report.pdf").write_bytes(out.getvalue())
    return tmp_path


def evidence_tool(side: Any, folder, **options: Any) -> Any:
    """Finds the pages that a reranker finds: the report, and a picture that holds no text."""
    given = [
        side.chunk(RED_LINE if name == "report.pdf" else "", name, source=name, page=0)
        for name in ("report.pdf", "red.png")
    ]
    found = side.rerank(side.Rerank(model=ENCODER, folders=[folder]), given, "red")
    return side.create_evidence_tool(side.fixed(found), "find", "Finds.", **options)


QUOTES = (
    '[1] "Net revenue 4,512" (report.pdf, page 1, region 1, box 0 0 500 200 of 1000)\n'
    '[2] "a picture, whose words are not known" (red.png, page 1, region 1, box 750 0 1000 200 of 1000)'
)


async def test_the_tool_says_of_a_page_its_words_and_where_they_stand(side: Any, folder, report) -> None:
    tool = evidence_tool(side, report)
    assert side.quotes(tool, "red") == QUOTES
    assert await side.aquotes(tool, "red") == QUOTES


async def test_the_tool_gives_pictures_of_the_regions_where_that_is_asked_for(side: Any, folder, report) -> None:
    tool = evidence_tool(side, report, max_images=2, folders=[report])
    text, *blocks = side.tool_blocks(tool, "red")
    assert side.text_of_blocks([text]).strip() == QUOTES
    (first, crop), (second, _) = pictures(side, blocks)
    assert first.strip() == "[1] report.pdf, page 1, region 1, box 0 0 500 200 of 1000"
    assert second.strip() == "[2] red.png, page 1, region 1, box 750 0 1000 200 of 1000"
    assert crop.size == pytest.approx((0.52 * 1224, 0.22 * 1584), abs=4)
    _, *others = await side.atool_blocks(tool, "red")
    assert [caption for caption, _ in pictures(side, others)] == [first, second]
    read = read_quotes(side.text_of_blocks([text, *blocks]))
    assert [quote for quote, _ in read.values()] == [RED_LINE, NO_WORDS]
    one = side.tool_blocks(evidence_tool(side, report, max_images=1, folders=[report]), "red")
    assert len(one) == 3


def test_the_tool_opens_no_file_but_below_its_folders(side: Any, folder, report) -> None:
    with pytest.raises(ValueError, match=r"chunk 0 names no page of a file in folders=\[\]: give folders="):
        side.tool_blocks(evidence_tool(side, report, max_images=1), "red")
    with pytest.raises(ValueError, match="max_images must be an int of at least 0, got -1"):
        evidence_tool(side, report, max_images=-1)
    with pytest.raises(ValueError, match="there is no folder 'nowhere'"):
        evidence_tool(side, report, folders=["nowhere"])


def test_nothing_that_is_drawn_or_quoted_changes_what_was_given(side: Any, folder, report) -> None:
    given = chunks(side)
    found = side.rerank(side.Rerank(model=ENCODER, folders=[report]), given, "red green")
    before = copy.deepcopy(found)
    side.page_blocks(found, folders=[report])
    side.tool_blocks(
        side.create_evidence_tool(side.fixed(found), "find", "Finds.", max_images=9, folders=[report]), "red"
    )
    side.cite(ANSWER, found, attributor=ATTRIBUTOR)
    assert found == before


def test_words_that_do_not_stand_in_the_text_of_a_page_are_not_quoted() -> None:
    region = {"box": [0, 0, 0.5, 0.2], "area": 0.1, "score": 1, "drop": 1, "query_words": [], "coarse": False}
    for words, quoted in (("Net\nRevenue: 4,5…", "Net Revenue: 4,5…"), ("Net loss", NO_WORDS), (None, NO_WORDS)):
        ours = {"version": 1, "kind": "page", "evidence": [], "regions": [{**region, "words": words}]}
        found = Found("id", RED_LINE, {"source": "r.pdf", "page": 6, "latelens": ours})
        (read,) = read_quotes(numbered_quotes("red", [found])).values()
        assert read == (quoted, "r.pdf, page 7, region 1, box 0 0 500 200 of 1000")
        assert list(numbered_sources([numbered_quotes("red", [found])], [])) == ([] if quoted == NO_WORDS else [1])


def test_a_page_without_regions_is_quoted_from_its_beginning() -> None:
    ours = {"version": 1, "kind": "page", "evidence": [], "regions": []}
    found = [Found(None, text, {"source": "r.pdf", "page": 6, "latelens": ours}) for text in (RED_LINE, " ")]
    assert numbered_quotes("red", found) == (f'[1] "{RED_LINE}" (r.pdf, page 7)\n[2] "{NO_WORDS}" (r.pdf, page 7)')


ANSWER = "Net revenue is 4,512."
# What a claim is compared with, the words of the region, and the offline model that reads them.
ATTRIBUTOR = Attributor("offline/all-MiniLM-L6-v2")


def found_in(side: Any, folder, *, text: str) -> list[Any]:
    given = [side.chunk(text, "report", source="report.pdf", page=0)]
    return side.rerank(side.Rerank(model=ENCODER, folders=[folder]), given, "red")


@pytest.mark.parametrize("text", [f"{RED_LINE}\nNotes", ""], ids=["text", "no text"])
def test_a_citation_points_at_the_region_that_holds_its_words(side: Any, report, text) -> None:
    cited = side.cite(ANSWER, found_in(side, report, text=text), attributor=ATTRIBUTOR)
    (place,) = side.citation_places(cited)
    assert place == {"page": 1, "boxes": [[0, 0, 0.5, 0.2]]}
    (citation,) = side.read_attribution(cited).citations
    assert (citation.page, citation.boxes) == (1, ((0, 0, 0.5, 0.2),))
    exact = Attributor(ATTRIBUTOR.encoder, files=PageFiles([report]))
    (place,) = side.citation_places(side.cite(ANSWER, found_in(side, report, text=text), attributor=exact))
    assert place["boxes"][0] == pytest.approx([0.098, 0.104, 0.26, 0.12], abs=0.02)  # the line itself


def test_words_outside_of_every_region_have_no_box(side: Any, report) -> None:
    text = f"{RED_LINE}. Dogs must wait outside."
    cited = side.cite("Dogs must wait outside.", found_in(side, report, text=text), attributor=ATTRIBUTOR)
    assert side.citation_places(cited) == [{}]


def test_an_attribution_to_regions_is_json_that_reads_back(report) -> None:
    side = LangChainSide()
    (document,) = found_in(side, report, text="")
    source = source_of(document.page_content, document.id, document.metadata, None)
    assert source.text == RED_LINE
    assert source.regions == (SourceRegion(1, (0, 0, 0.5, 0.2), RED_LINE),)
    found = ATTRIBUTOR(ANSWER, [source])
    assert from_json(json.loads(json.dumps(to_json(found)))) == found
    with pytest.raises(ValueError, match="a region of source 0 has no words"):
        from_json(
            {**to_json(found), "sources": [{**to_json(found)["sources"][0], "regions": [{"page": 1, "box": []}]}]}
        )


def test_a_model_that_cites_by_itself_is_given_regions(folder, report) -> None:
    side = LlamaIndexSide()
    nodes = [
        *found_in(side, report, text=RED_LINE),
        *side.rerank(side.Rerank(model=ENCODER, folders=[report]), [side.chunk("", "red", source="red.png")], "red"),
    ]
    (block,) = to_citable_blocks(nodes)
    assert (block.title, block.source) == ("report.pdf, page 1, region 1", "report#box=0,0,500,200")
    assert [part.text for part in block.content] == [RED_LINE]
    report_block, picture_block = to_citable_blocks(nodes, crops=True, folders=[report])
    assert [part.block_type for part in report_block.content] == ["image", "text"]
    assert (picture_block.title, picture_block.source) == ("red.png, page 1, region 1", "red#box=750,0,1000,200")
    assert [part.block_type for part in picture_block.content] == ["image"]
    again = ChatMessage.model_validate_json(ChatMessage(role="user", blocks=[report_block]).model_dump_json())
    assert again.blocks[0].title == report_block.title
    with pytest.raises(ValueError, match="give folders="):
        to_citable_blocks(nodes, crops=True)


def as_bytes() -> bytes:
    out = io.BytesIO()
    painted((40, 50), BOTH).save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    "node",
    [
        ImageNode(image=base64.b64encode(as_bytes()).decode(), id_="n"),
        Node(image_resource=MediaResource(data=as_bytes()), id_="n"),
    ],
    ids=["ImageNode", "Node"],
)
def test_an_image_inside_a_node_needs_no_folder(node) -> None:
    side = LlamaIndexSide()
    (found,) = side.rerank(side.Rerank(model=ENCODER), [NodeWithScore(node=node)], "red green")
    assert found.score == 2
    told = json.dumps(found.node.metadata)
    assert len(told) < 2048
    assert base64.b64encode(as_bytes()).decode()[:40] not in told
    assert [region.query_words for region in read_regions(found)] == [("red",), ("green",)]
    with pytest.raises(ValueError, match="chunk 0 is an image without text, and 'fake' reads texts"):
        side.rerank(side.Rerank(model=FakeEncoder()), [NodeWithScore(node=node)], "red green")


def test_the_path_of_an_image_node_lies_below_a_folder(folder) -> None:
    side, node = LlamaIndexSide(), ImageNode(image_path=str(folder / "both.png"), id_="n")
    (found,) = side.rerank(side.Rerank(model=ENCODER, folders=[folder]), [NodeWithScore(node=node)], "red green")
    assert found.score == 2
    with pytest.raises(ValueError, match="give folders="):
        side.rerank(side.Rerank(model=ENCODER), [NodeWithScore(node=node)], "red green")


def test_texts_are_reranked_as_before() -> None:
    document = Document("red grass", metadata={"source": "red.png"})
    assert LangChainSide().rerank(LangChainSide.Rerank(model=FakeEncoder()), [document], "red")[0].page_content
    node = NodeWithScore(node=TextNode(text="red grass", metadata={"source": "red.png"}))
    assert LlamaIndexSide().rerank(LlamaIndexSide.Rerank(model=FakeEncoder()), [node], "red")[0].score == 2
