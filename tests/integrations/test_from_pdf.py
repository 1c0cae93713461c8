"""Both adapters' `from_pdf`: pages of files as images, found, kept, filtered, deleted, and refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from made_pdfs import locked
from page_images import ColourEncoder, painted, painted_pdf
from sides import LangChainSide, LlamaIndexSide

from latelens import explain, read_evidence, read_regions
from latelens.bridge.sources import name_of
from latelens.index import Candidate, Chunk, ExactIndex, Hit, RegionWords, TiledIndex, TwoStage, add_pages
from latelens.pages import PageFiles, open_pages
from latelens.patches import Grid

# A red block behind a line of the second page, green on the first.
REPORT = painted_pdf(
    ({"green": (0, 0, 100, 100)}, [("Contents", 150, 60)]),
    ({"red": (0, 200, 400, 300)}, [("Net revenue 4,512", 50, 255), ("Notes", 50, 450)]),
)


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def encoder() -> ColourEncoder:
    return ColourEncoder(Grid(4, 5))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.pdf"
    path.write_bytes(REPORT)
    return path


@pytest.mark.parametrize("tiles", [None, 2])
def test_a_page_is_found_with_its_region_its_words_and_its_name(side: Any, encoder, report: Path, tiles) -> None:
    retriever = side.Retriever.from_pdf([report], encoder, tiles=tiles)
    best, other = side.search(retriever, "red")
    assert side.name(best) == f"{report}:page_2"
    assert (side.score(best), side.score(other)) == (1, 0)
    assert name_of(side.metadata(best)) == "report.pdf, page 2"
    (region,) = read_regions(best)
    assert (region.words, region.query_words) == ("Net revenue 4,512", ("red",))
    assert region.box == (0, 0.4, 1, 0.6)
    told = side.metadata(best)["latelens"]
    assert told["page"] == {"number": 2, "label": "2", "width": 400, "height": 500, "unit": "point"}
    assert told.get("stages", {}).keys() == (set() if tiles is None else {"tiles"})
    assert read_evidence(best) == []
    assert len(json.dumps(told)) < 2048
    assert json.loads(json.dumps(side.as_dict(best))) == side.as_dict(best)
    assert side.text(best) == open_pages(report)[1].text


def test_both_say_the_same_of_a_page(encoder, report: Path) -> None:
    told = [
        side.metadata(side.search(side.Retriever.from_pdf([str(report)], encoder, explain="tokens"), "red")[0])
        for side in (LangChainSide(), LlamaIndexSide())
    ]
    assert told[0].pop("relevance_score") == told[1]["latelens"]["score"]
    assert told[0] == told[1]
    assert told[0]["latelens"]["tokens"][0]["box"] == [0, 0.4, 0.25, 0.6]


@pytest.mark.parametrize("tiles", [None, 4])
def test_a_folder_keeps_the_pages_and_nothing_is_encoded_twice(side: Any, encoder, report: Path, tiles) -> None:
    folder = report.parent / "index"
    for _ in range(2):
        retriever = side.Retriever.from_pdf([report], encoder, path=folder, tiles=tiles)
        assert side.name(side.search(retriever, "green")[0]) == f"{report}:page_1"
    assert encoder.encoded == 2
    changed = side.Retriever.from_pdf([report], encoder, path=folder, tiles=2 if tiles is None else None)
    assert side.name(side.search(changed, "green")[0]) == f"{report}:page_1"
    assert encoder.encoded == 2


def test_filters_and_deletes_are_those_of_texts(side: Any, encoder, report: Path) -> None:
    painted((40, 50), {"red": (30, 0, 40, 10)}).save(report.parent / "red.png")
    retriever = side.Retriever.from_pdf([report, report.parent / "red.png"], encoder, tiles=2)
    assert [side.score(chunk) for chunk in side.search(retriever, "red")] == [1, 1, 0]
    filtered = side.over(retriever.searcher, filter={"file_name": "report.pdf", "page": {"$gte": 1}})
    assert [side.name(chunk) for chunk in side.search(filtered, "red")] == [f"{report}:page_2"]
    assert side.delete(retriever, [f"{report}:page_2", "unknown"]) == 1
    assert [side.score(chunk) for chunk in side.search(retriever, "red")] == [1, 0]
    assert retriever.searcher.delete_document(str(report)) == 1
    assert [side.metadata(chunk)["file_name"] for chunk in side.search(retriever, "red")] == ["red.png"]
    assert add_pages(retriever.searcher, open_pages(report)) == 2
    assert len(side.search(retriever, "red")) == 3


def test_a_page_is_explained_by_its_stored_rows(side: Any, encoder, report: Path) -> None:
    retriever = side.Retriever.from_pdf([report], encoder)
    best = side.search(retriever, "red")[0]
    encoded = encoder.encoded
    explanation = retriever.explain("red green", best)
    assert explanation.document.page.grids == (Grid(4, 5),)
    assert explanation.score == 1
    assert encoder.encoded == encoded


def test_words_are_left_out_where_the_file_is_another_now(side: Any, encoder, report: Path) -> None:
    retriever = side.Retriever.from_pdf([report], encoder)
    report.write_bytes(painted_pdf(({}, [("Other", 50, 50)]), ({}, [("Another text", 50, 255)])))
    (region,) = read_regions(side.search(retriever, "red")[0])
    assert region.words is None
    without = side.over(retriever.searcher)
    assert read_regions(side.search(without, "red")[0])[0].words is None
    with pytest.raises((TypeError, ValueError), match=r"latelens.pages.PageFiles\(\[folder\]\) or None"):
        side.over(retriever.searcher, files=[report.parent])


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("damaged.pdf", b"%PDF-1.7 nothing more", "damaged.pdf: "),
        ("locked.pdf", locked(REPORT, "secret"), "locked.pdf: .*password"),
        ("text.txt", b"only words", "text.txt: "),
        ("empty.pdf", b"", "empty.pdf: "),
    ],
)
def test_a_file_that_cannot_be_read_is_named_before_anything_is_encoded(
    side: Any, encoder, report: Path, name, data, message
) -> None:
    (report.parent / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        side.Retriever.from_pdf([report, report.parent / name], encoder)
    assert encoder.encoded == 0


def test_a_locked_file_is_read_with_its_password(side: Any, encoder, report: Path) -> None:
    report.write_bytes(locked(REPORT, "secret"))
    retriever = side.Retriever.from_pdf([report], encoder, password="secret")
    assert read_regions(side.search(retriever, "red")[0])[0].words == "Net revenue 4,512"


def test_files_that_are_no_list_and_none_at_all_are_refused(side: Any, encoder, report: Path) -> None:
    with pytest.raises(TypeError, match="paths must be a sequence of str or PathLike, got one"):
        side.Retriever.from_pdf(str(report), encoder)
    with pytest.raises(ValueError, match="paths names no file"):
        side.Retriever.from_pdf([], encoder)
    with pytest.raises(FileNotFoundError, match=r"missing\.pdf"):
        side.Retriever.from_pdf([report.parent / "missing.pdf"], encoder)


def test_a_model_for_texts_is_told_how_to_read_the_pages_text(side: Any, report: Path) -> None:
    loader = {"LangChainSide": "PdfPagesLoader", "LlamaIndexSide": "PdfPagesReader"}[type(side).__name__]
    with pytest.raises(TypeError, match=f"'fake' reads text, not images of pages: .* or give {loader}"):
        side.Retriever.from_pdf([report], FakeEncoder())


def test_an_index_and_tiles_are_what_a_retriever_takes(side: Any, encoder, report: Path) -> None:
    pages = ExactIndex(encoder)
    add_pages(pages, open_pages(report))
    best, *_ = side.search(side.over(TiledIndex(pages)), "red")
    assert side.name(best) == f"{report}:page_2"


class CountsWords:
    """A cross-encoder that counts the query's words in what it reads, and says what that was."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def predict(self, inputs: list[tuple[str, str]]) -> list[float]:
        self.read = [text for _, text in inputs]
        return [float(sum(word in text.lower() for word in query.split())) for query, text in inputs]


def test_three_stages_words_page_images_and_a_cross_encoder_on_the_regions(side: Any, encoder, report: Path) -> None:
    pytest.importorskip("bm25s", reason="needs latelens[bm25]")
    from latelens.index import BM25

    report.write_bytes(
        painted_pdf(
            ({"red": (0, 0, 100, 100)}, [("Revenue of others", 10, 60), ("red revenue in 4,512 words", 10, 450)]),
            ({"red": (0, 200, 400, 300)}, [("Net revenue 4,512", 50, 255), ("Notes", 50, 450)]),
            ({"red": (0, 0, 400, 500)}, [("Nothing", 50, 255)]),
        )
    )
    pages = ExactIndex(encoder)
    add_pages(pages, open_pages(report))
    files, judge = PageFiles([report.parent]), CountsWords()
    stages = TwoStage(
        BM25(pages.chunks()), encoder, rows=pages, cross_encoder=judge, reads=RegionWords(files), candidates=2
    )
    found = side.search(side.over(stages, files=files), "red revenue 4,512")
    assert [side.name(chunk)[-6:] for chunk in found] == ["page_2", "page_1"]  # the third shares no word
    assert sorted(judge.read) == ["Net revenue 4,512", "Revenue of others"]
    for chunk, judged in zip(found, (2.0, 1.0), strict=True):
        told = side.metadata(chunk)["latelens"]
        assert told["stages"].keys() == {"bm25", "cross_encoder"}
        assert told["stages"]["cross_encoder"] == judged
        assert told["score"] == side.score(chunk) == 1
        assert told["retrieval_score"] == told["stages"]["bm25"] > 0
    assert encoder.encoded == 3


def test_a_store_of_the_pages_texts_may_be_the_first_stage(side: Any, encoder, report: Path) -> None:
    pages = ExactIndex(encoder)
    add_pages(pages, open_pages(report))

    class Store:
        name = "store"

        def candidates(self, query: str, k: int, filter: Any) -> list[Candidate]:
            return [Candidate(chunk, 0.5) for chunk in side.to_chunks(side.read_pages(report))]

    files = PageFiles([report.parent])
    found = side.search(side.over(TwoStage(Store(), encoder, rows=pages), files=files), "red")
    assert [side.score(chunk) for chunk in found] == [1, 0]
    assert side.metadata(found[0])["latelens"]["stages"] == {"store": 0.5}
    assert read_regions(found[0])[0].words == "Net revenue 4,512"


def test_of_a_text_a_cross_encoder_reads_all() -> None:
    hit = Hit(Chunk("1", "Herds eat grass."), explain(*FakeEncoder().encode_documents(["grass", "Herds eat grass."])))
    assert RegionWords(PageFiles([]))(hit) == "Herds eat grass."
    with pytest.raises(TypeError, match="reads must be a function from a Hit to a text, or None, got"):
        TwoStage(ExactIndex(FakeEncoder()), FakeEncoder(), reads="regions")  # type: ignore[arg-type]
