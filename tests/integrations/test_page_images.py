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
from llama_index.core.schema import ImageNode, MediaResource, Node, NodeWithScore, TextNode
from page_images import ColourEncoder, painted
from PIL import Image
from sides import LangChainSide, LlamaIndexSide

import langchain_latelens
import llama_index_latelens
from latelens import read_regions
from latelens.index import ExactIndex, add_pages
from latelens.pages import open_pages
from latelens.patches import Grid

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
    page_blocks = {"LangChainSide": langchain_latelens, "LlamaIndexSide": llama_index_latelens}[
        type(side).__name__
    ].page_blocks
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
