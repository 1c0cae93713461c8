"""What both retrievers promise, asked of each: same results, same evidence, same behaviour."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import math
import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from sides import LangChainSide, LlamaIndexSide

from latelens import Encoder, QuoteNumbers, TokenEmbeddings
from latelens.index.exact import ExactIndex
from latelens.index.protocol import Chunk
from latelens.index.stages.bm25 import BM25
from latelens.index.stages.two_stage import TwoStage

TEXTS = {
    "rain": "It rained all night. The river rose.",
    "grass": "Herds wander far. Elephants eat grass and bark. They sleep little.",
    "trains": "Elephants cross the railway. Trains brake late.",
}
QUERY = "What do elephants eat?"
PAGES = [
    "Elephants eat grass, leaves and bark. A grown bull needs 150 kg a day.",
    "Herds are led by the oldest female. Bulls leave the herd when they are grown.",
    "Trains kill dozens of elephants a year where tracks cross forests.",
    "Calves drink milk for two years. They stay close to their mothers.",
    "The river floods each summer. Farmers then move to higher ground.",
    "Farmers guard their fields at night, because herds come for rice and bananas.",
    "Ivory was traded for centuries. The trade was banned in 1989.",
    "Asian elephants have smaller ears than African ones.",
]
ROUND = "{} In the year {} this was noted again by the warden of block {}."


@pytest.fixture(params=[LangChainSide(), LlamaIndexSide()], ids=["langchain", "llama_index"])
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def library(offline: Encoder) -> tuple[ExactIndex, TwoStage]:
    """Two dozen chunks, eight pages each told three times in other words: an index of them, and stages."""
    chunks = [
        Chunk(
            f"{page}/{year}",
            ROUND.format(text, year, year % 7) if year > 2000 else text,
            {"page": page, "year": year, "tags": ["old"] if year < 2002 else ["new", "late"]},
        )
        for page, text in enumerate(PAGES)
        for year in range(2000, 2003)
    ]
    index = ExactIndex(offline)
    index.add(chunks)
    return index, TwoStage(BM25(chunks), offline, candidates=20)


def chunks_of(side: Any, **metadata: Any) -> list[Any]:
    return [side.chunk(text, name, **metadata) for name, text in TEXTS.items()]


def names(side: Any, found: Sequence[Any]) -> list[str]:
    return [side.name(chunk) for chunk in found]


def ours(side: Any, chunk: Any) -> dict[str, Any]:
    return side.metadata(chunk)["latelens"]


def test_the_best_chunk_comes_first_with_its_id_its_metadata_and_its_evidence(side: Any) -> None:
    best, *_ = side.search(side.retriever(chunks_of(side, page=3), FakeEncoder()), QUERY)
    assert (side.name(best), side.text(best), side.metadata(best)["page"]) == ("grass", TEXTS["grass"], 3)
    assert [span.text for span in side.read_evidence(best)] == ["Elephants eat grass and bark."]
    assert side.score(best) == ours(side, best)["score"]
    assert ours(side, best)["rank"] == 1
    assert ours(side, best)["retrieval_score"] is None
    assert "stages" not in ours(side, best)


def test_any_index_and_any_stage_is_filled_with_chunks_made_of_documents(side: Any) -> None:
    encoder = FakeEncoder()
    chunks = chunks_of(side, page=3)
    index = ExactIndex(encoder)
    assert index.add(side.to_chunks(chunks)) == 3
    expected = side.search(side.retriever(chunks, encoder), QUERY)
    assert side.search(side.over(index), QUERY) == expected
    found = side.search(side.over(TwoStage(BM25(side.to_chunks(chunks)), encoder)), QUERY)
    assert names(side, found) == ["grass", "trains"]
    assert side.text(found[0]) == TEXTS["grass"]
    passages = list(side.to_chunks([side.whole(LONG, "book", lang="en")], split=True))
    assert [chunk.text.splitlines()[0] for chunk in passages] == ["# Diet", "# Range", "# Danger"]


QUESTIONS = [
    "What is food for the biggest land animals?",
    "danger on rails",
    "Was selling tusks forbidden?",
]
FILTERS: list[dict[str, Any] | None] = [
    None,
    {"year": {"$gte": 2001}},
    {"tags": "old", "page": {"$in": [0, 2, 4, 6]}},
    {"$or": [{"page": 1}, {"$not": {"year": {"$lt": 2002}}}]},
]


@pytest.mark.parametrize("filter", FILTERS)
def test_both_give_the_same_ids_in_the_same_order_as_the_index(library: Any, filter: dict[str, Any] | None) -> None:
    index, _ = library
    for question in QUESTIONS:
        expected = [hit.chunk.id for hit in index.search(question, 12, filter=filter)]
        assert len(expected) >= 8
        for side in (LangChainSide(), LlamaIndexSide()):
            found = side.search(side.over(index, k=12, filter=filter), question)
            assert names(side, found) == expected


@pytest.mark.parametrize("filter", FILTERS)
def test_both_give_the_same_through_two_stages(library: Any, filter: dict[str, Any] | None) -> None:
    _, stages = library
    for question in QUESTIONS:
        expected = stages.search(question, 12, filter=filter)
        for side in (LangChainSide(), LlamaIndexSide()):
            found = side.search(side.over(stages, k=12, filter=filter), question)
            assert names(side, found) == [hit.chunk.id for hit in expected]
            assert [ours(side, chunk)["stages"] for chunk in found] == [dict(hit.stages) for hit in expected]
            assert all(ours(side, chunk)["retrieval_score"] == ours(side, chunk)["stages"]["bm25"] for chunk in found)


def test_what_one_framework_stored_the_other_finds(side: Any, tmp_path: Path) -> None:
    encoder = FakeEncoder()
    placed = side.placed_at(TEXTS["grass"], 100)
    stored = side.retriever([*chunks_of(side, page=3), placed], encoder, path=tmp_path / "index")
    expected = side.search(stored, QUERY)
    other = LlamaIndexSide() if isinstance(side, LangChainSide) else LangChainSide()
    found = other.search(other.over(ExactIndex(encoder, tmp_path / "index")), QUERY)
    assert names(other, found) == names(side, expected)
    assert [other.text(chunk) for chunk in found] == [side.text(chunk) for chunk in expected]
    assert [ours(other, chunk) for chunk in found] == [ours(side, chunk) for chunk in expected]
    assert all(other.metadata(chunk)["page"] == 3 for chunk in found if other.name(chunk) in TEXTS)
    assert all("_node" not in other.metadata(chunk) for chunk in found)
    assert {
        item["source_start"] for chunk in found for item in ours(other, chunk)["evidence"] if "source_start" in item
    }


def test_inputs_stay_as_they_were_and_results_are_new(side: Any) -> None:
    chunks = chunks_of(side, source={"page": [1, 2]})
    before = copy.deepcopy(chunks)
    retriever = side.retriever(chunks, FakeEncoder())
    once, twice = side.search(retriever, QUERY), side.search(retriever, QUERY)
    side.metadata(once[0])["source"]["page"].append("mine")
    assert chunks == before
    assert side.metadata(twice[0])["source"] == {"page": [1, 2]}
    assert side.metadata(side.search(retriever, QUERY)[0])["source"] == {"page": [1, 2]}


def test_results_may_be_stored_again(side: Any) -> None:
    encoder = FakeEncoder()
    results = side.search(side.retriever(chunks_of(side, page=3), encoder), QUERY)
    again = side.search(side.retriever(results, encoder), QUERY)
    assert again == results


def test_explain_decides_what_travels(side: Any) -> None:
    encoder = FakeEncoder()
    off = side.search(side.retriever(chunks_of(side), encoder, explain="off"), QUERY)
    assert all("latelens" not in side.metadata(chunk) for chunk in off)
    tokens = side.search(side.retriever(chunks_of(side), encoder, explain="tokens"), QUERY)
    assert [side.score(chunk) for chunk in off] == [side.score(chunk) for chunk in tokens]
    for chunk in tokens:
        assert math.fsum(token["similarity"] for token in ours(side, chunk)["tokens"]) == side.score(chunk)


def test_explain_gives_every_match_on_demand(side: Any) -> None:
    retriever = side.retriever(chunks_of(side), FakeEncoder(), explain="off")
    best = side.search(retriever, QUERY)[0]
    assert retriever.explain(QUERY, best).score == side.score(best)
    assert retriever.explain(QUERY, side.text(best)).score == side.score(best)


def test_metadata_is_finite_json_of_builtin_types(side: Any, library: Any) -> None:
    for searcher in library:
        for chunk in side.search(side.over(searcher), QUESTIONS[0]):
            found = side.metadata(chunk)
            assert json.loads(json.dumps(found, allow_nan=False)) == found
            assert type(side.score(chunk)) is float


def test_thresholds_leave_out_the_rest(side: Any, library: Any) -> None:
    index, _ = library
    everything = side.search(side.over(index, k=20), QUESTIONS[0])
    bound = side.score(everything[3])
    kept = side.search(side.over(index, k=20, min_score=bound), QUESTIONS[0])
    assert names(side, kept) == [side.name(chunk) for chunk in everything if side.score(chunk) >= bound]
    line = sorted(ours(side, chunk)["relevance"] for chunk in everything)[10]
    kept = side.search(side.over(index, k=20, min_relevance=line), QUESTIONS[0])
    assert len(kept) == 10
    assert all(ours(side, chunk)["relevance"] >= line for chunk in kept)
    assert [ours(side, chunk)["rank"] for chunk in kept] == list(range(1, 11))


def test_more_may_be_asked_for_than_there_is(side: Any) -> None:
    assert len(side.search(side.retriever(chunks_of(side), FakeEncoder(), k=50), QUERY)) == 3
    assert side.search(side.retriever([], FakeEncoder()), QUERY) == []


def test_chunks_can_be_added_replaced_and_deleted(side: Any) -> None:
    retriever = side.retriever(chunks_of(side), FakeEncoder(), k=1)
    assert side.add(retriever, [side.chunk("Elephants eat: what do they eat?", "new")]) == ["new"]
    assert names(side, side.search(retriever, QUERY)) == ["new"]
    side.add(retriever, [side.chunk("Nothing to see.", "new")])
    assert names(side, side.search(retriever, QUERY)) == ["grass"]
    assert side.delete(retriever, ["grass", "unknown"]) == 1
    assert names(side, side.search(retriever, QUERY)) == ["trains"]


def test_a_folder_keeps_the_index_and_nothing_is_encoded_twice(side: Any, tmp_path: Path) -> None:
    first, second = FakeEncoder(), FakeEncoder()
    expected = side.search(side.retriever(chunks_of(side), first, path=tmp_path / "index"), QUERY)
    reopened = side.retriever(chunks_of(side), second, path=tmp_path / "index")
    assert side.search(reopened, QUERY) == expected
    assert second.encoded == []
    with pytest.raises(ValueError, match="was filled by 'fake'"):
        side.retriever(chunks_of(side), FakeEncoder("other"), path=tmp_path / "index")


async def test_async_gives_the_same_and_leaves_the_event_loop_free(side: Any) -> None:
    class Watched(FakeEncoder):
        def encode_queries(self, texts: Sequence[str]) -> list[TokenEmbeddings]:
            seen.append(threading.current_thread())
            return super().encode_queries(texts)

    seen: list[threading.Thread] = []
    encoder = Watched()
    retriever = side.retriever(chunks_of(side), encoder)
    seen.clear()
    found = await side.asearch(retriever, QUERY)
    assert seen
    assert threading.main_thread() not in seen
    assert found == side.search(retriever, QUERY)


async def test_fifty_searches_at_once_give_what_one_gives(side: Any) -> None:
    retriever = side.retriever([side.chunk(page, str(i)) for i, page in enumerate(PAGES)], FakeEncoder())
    queries = [QUESTIONS[i % len(QUESTIONS)] for i in range(50)]
    expected = {query: names(side, side.search(retriever, query)) for query in QUESTIONS}
    gathered = await asyncio.gather(*(side.asearch(retriever, query) for query in queries))
    assert [names(side, found) for found in gathered] == [expected[query] for query in queries]


def test_both_take_the_same_arguments_in_the_same_order() -> None:
    langchain = [name for name in LangChainSide.Retriever.model_fields if name not in {"name", "tags", "metadata"}]
    llama_index = list(inspect.signature(LlamaIndexSide.Retriever.__init__).parameters)[1:]
    assert langchain == [
        "searcher", "k", "explain_mode", "min_score", "min_relevance", "filter", "split", "parents", "parent_key",
        "score_threshold", "files",
    ]  # fmt: skip
    assert llama_index == [
        "searcher", "similarity_top_k", "explain", "min_score", "min_relevance", "filters", "split", "parents",
        "parent_key", "files", "callback_manager", "object_map", "verbose",
    ]  # fmt: skip
    made = [
        inspect.signature(LangChainSide.Retriever.from_documents),
        inspect.signature(LlamaIndexSide.Retriever.from_nodes),
    ]
    arguments = [[name for name in each.parameters if name != "ids"][1:] for each in made]
    assert arguments[0] == arguments[1]
    made = [inspect.signature(side.Retriever.from_pdf) for side in (LangChainSide, LlamaIndexSide)]
    assert made[0].parameters.keys() == made[1].parameters.keys()


def test_arguments_have_docstrings(side: Any) -> None:
    documented = inspect.getdoc(side.Retriever) or ""
    for name in ("searcher", "explain", "min_score", "min_relevance", "split", "parents", "parent_key", "files"):
        assert f"\n{name}\n" in documented


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "must be an int of at least 1, got 0"),
        ({"explain": "all"}, "'off', 'evidence' or 'tokens'"),
        ({"min_score": math.nan}, "min_score must be a finite number or None, got nan"),
        ({"min_relevance": 2}, "min_relevance must be between 0 and 1 or None, got 2"),
        ({"filter": {"year": {"$near": 2000}}}, r"unknown operator '\$near' on 'year'"),
        ({"filter": {"year": {}}}, "the filter on 'year' is empty"),
        ({"topk": 5}, "topk"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"return_parents": True}, "return_parents=True needs split=True"),
    ],
)
def test_wrong_arguments_are_refused_at_construction(side: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        side.retriever(chunks_of(side), FakeEncoder(), **arguments)


def test_what_cannot_be_searched_is_refused(side: Any) -> None:
    for wrong in (["texts"], FakeEncoder(), BM25()):
        with pytest.raises((ValueError, TypeError), match="expected an index or a TwoStage, got"):
            side.over(wrong)


def test_an_unknown_model_is_said(side: Any) -> None:
    with pytest.raises(ValueError, match="could not find the model 'nobody/no-such-model'"):
        side.retriever(chunks_of(side), "nobody/no-such-model")


def test_stages_cannot_be_added_to(side: Any) -> None:
    retriever = side.over(TwoStage(BM25(), FakeEncoder()))
    with pytest.raises(TypeError, match="TwoStage searches what others store: add to its first stage"):
        side.add(retriever, chunks_of(side))
    with pytest.raises(TypeError, match="delete there"):
        side.delete(retriever, ["grass"])


def test_one_id_for_two_texts_and_metadata_that_is_no_json_are_refused(side: Any) -> None:
    with pytest.raises(ValueError, match="two different chunks have the id 'x'"):
        side.retriever([side.chunk("one"), side.chunk("two")], FakeEncoder())
    with pytest.raises(ValueError, match=r"the metadata under 'at' is no JSON .*, of chunk 'x'"):
        side.retriever([side.chunk("one", at={1, 2})], FakeEncoder())


def test_a_query_that_is_no_text_is_refused(side: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="a query must be a str, got int: 7"):
        side.search(side.retriever(chunks_of(side), FakeEncoder()), side.as_query(7))


def test_a_blank_query_gives_chunks_without_evidence(side: Any, library: Any) -> None:
    found = side.search(side.over(library[0]), "  ")
    assert len(found) == 5
    assert side.read_evidence(found[0]) == []


LONG = """# Diet

Elephants eat grass and bark. A bull needs much of it.

# Range

They live in India and in Sri Lanka. Few are left in the south.

# Danger

Trains kill elephants. Elephants eat crops, and farmers are angry. 🐘 Elephants eat what they find."""


def test_split_finds_passages_that_know_their_place(side: Any) -> None:
    retriever = side.retriever([side.whole(LONG, "book", lang="en")], FakeEncoder(), split=True, k=2)
    found = side.search(retriever, "Where do they live? In India?")
    assert names(side, found)[0] == f"book#{LONG.index('# Range')}"
    assert side.metadata(found[0])["lang"] == "en"
    for chunk in found:
        for item in ours(side, chunk)["evidence"]:
            assert LONG[item["source_start"] : item["source_end"]] == item["text"]
            assert side.text(chunk)[item["start"] : item["end"]] == item["text"]


def test_whole_documents_come_back_with_evidence_at_its_place(side: Any) -> None:
    books = [side.whole(LONG, "book", lang="en"), side.whole("Rain fell.\n\nIt was cold.", "weather")]
    before = copy.deepcopy(books)
    retriever = side.retriever(books, FakeEncoder(), split=True, return_parents=True, k=2, explain="tokens")
    best, second = side.search(retriever, "What do elephants eat?")
    assert (side.name(best), side.text(best), side.metadata(best)["lang"]) == ("book", LONG, "en")
    assert side.name(second) == "weather"
    found = ours(side, best)
    assert "Elephants eat" in side.read_evidence(best)[0].text
    assert math.fsum(token["similarity"] for token in found["tokens"]) == side.score(best) == 4.0
    for item in found["evidence"]:
        assert LONG[item["source_start"] : item["source_end"]] == item["text"] == LONG[item["start"] : item["end"]]
        assert item["start"] <= item["phrase_start"] < item["phrase_end"] <= item["end"]
    for token in found["tokens"]:
        if token["start"] is not None:
            assert LONG[token["start"] : token["end"]] == token["document"]
    assert [ours(side, chunk)["rank"] for chunk in (best, second)] == [1, 2]
    assert books == before


def test_evidence_of_a_whole_document_is_gathered_from_its_passages(side: Any) -> None:
    retriever = side.retriever([side.whole(LONG, "book")], FakeEncoder(), split=True, return_parents=True)
    (found,) = side.search(retriever, "elephants eat bark, they live in Lanka, and farmers are angry")
    evidence = side.read_evidence(found)
    assert {span.text for span in evidence} == {
        "They live in India and in Sri Lanka.",
        "Elephants eat crops, and farmers are angry.",
        "Elephants eat grass and bark.",
    }
    assert ours(side, found)["uncovered"] == []
    assert side.score(found) == 12.0  # eleven words and [CLS]
    passages = side.search(side.retriever([side.whole(LONG, "book")], FakeEncoder(), split=True), "elephants eat bark")
    assert all(ours(side, chunk)["uncovered"] for chunk in passages[1:])


def test_whole_documents_come_from_chunks_of_any_splitter(side: Any) -> None:
    encoder = FakeEncoder()
    halves = [
        side.chunk(LONG[start : start + 130], f"half {start}", book="b", start_index=start) for start in (0, 90, 180)
    ]
    index = ExactIndex(encoder)
    side.add(side.over(index), halves)
    retriever = side.over(index, parents={"b": side.whole(LONG, "b")}, parent_key="book")
    (found,) = side.search(retriever, "What do elephants eat?")
    spans = side.read_evidence(found)
    assert (side.name(found), side.text(found)) == ("b", LONG)
    assert spans
    assert all(LONG[span.start : span.end] == span.text for span in spans)
    ordered = sorted(spans, key=lambda span: span.start)
    assert all(one.end <= other.start for one, other in pairwise(ordered))  # halves overlap


def test_a_splitter_that_does_not_say_where_is_forgiven(side: Any) -> None:
    encoder = FakeEncoder()
    respaced = " ".join(LONG.split())
    index = ExactIndex(encoder)
    side.add(side.over(index), [side.chunk(LONG[60:200], "plain", parent_id="b"),
                                side.chunk(respaced[-100:], "respaced", parent_id="b", start_index=-1)])  # fmt: skip
    (found,) = side.search(side.over(index, parents={"b": side.whole(LONG, "b")}), "Trains kill elephants in India.")
    spans = side.read_evidence(found)
    assert len(spans) >= 2
    assert all(LONG[span.start : span.end] == span.text for span in spans)


def test_documents_that_hold_all_the_best_chunks_do_not_crowd_out_others(side: Any) -> None:
    loud = "\n\n".join(f"# Part {i}\n\nElephants eat grass. {i}" for i in range(60))
    books = [side.whole(loud, "loud"), side.whole("Lions eat.", "lions"), side.whole("Do fish eat?", "fish")]
    retriever = side.retriever(books, FakeEncoder(), split=True, return_parents=True, k=3)
    assert sorted(names(side, side.search(retriever, "elephants eat grass"))) == ["fish", "lions", "loud"]


def test_chunks_without_a_known_document_come_back_themselves(side: Any) -> None:
    encoder = FakeEncoder()
    index = ExactIndex(encoder)
    side.add(side.over(index), [side.chunk("Elephants eat.", "child", parent_id="b"),
                                side.chunk("Elephants rest.", "lost", parent_id="gone")])  # fmt: skip
    found = side.search(side.over(index, parents={"b": side.whole("They say: Elephants eat.", "b")}), "elephants eat")
    assert names(side, found) == ["b", "lost"]
    plain = ExactIndex(encoder)
    side.add(side.over(plain), [side.chunk("Elephants eat.", "child")])
    with pytest.raises(ValueError, match="no chunk that was found has 'book' in its metadata"):
        side.search(side.over(plain, parents={}, parent_key="book"), "elephants eat")


def test_new_documents_are_split_and_kept_too(side: Any) -> None:
    retriever = side.retriever([], FakeEncoder(), split=True, return_parents=True)
    stored = side.add(retriever, [side.whole(LONG, "book")])
    assert stored == [f"book#{LONG.index(title)}" for title in ("# Diet", "# Range", "# Danger")]
    assert names(side, side.search(retriever, "Where do they live?")) == ["book"]
    assert side.delete(retriever, stored) == 3
    assert side.search(retriever, "Where do they live?") == []


def test_a_reopened_folder_returns_whole_documents_as_the_first_process_did(side: Any, tmp_path: Path) -> None:
    books = [side.whole(f"\n\n  {LONG}", "book", lang="en"), side.whole("Lions eat.", "lions", lang="de")]
    options: dict[str, Any] = {"path": tmp_path / "index", "split": True, "return_parents": True}
    expected = side.search(side.retriever(books, FakeEncoder(), **options), "What do elephants eat?")
    assert names(side, expected) == ["book", "lions"]
    assert side.text(expected[0]) == f"\n\n  {LONG}"
    encoder = FakeEncoder()
    assert side.search(side.retriever([], encoder, **options), "What do elephants eat?") == expected
    assert side.search(side.retriever(books, encoder, **options), "What do elephants eat?") == expected
    assert encoder.encoded == []
    assert all("_document" not in side.metadata(chunk) for chunk in expected)
    index = ExactIndex(encoder, tmp_path / "index")
    other = LlamaIndexSide() if isinstance(side, LangChainSide) else LangChainSide()
    found = other.search(other.over(index, parents="index"), "What do elephants eat?")
    assert [ours(other, chunk) for chunk in found] == [ours(side, chunk) for chunk in expected]
    assert [other.text(chunk) for chunk in found] == [side.text(chunk) for chunk in expected]
    passages = other.search(other.over(index), "What do elephants eat?")
    assert all("_document" not in other.metadata(chunk) for chunk in passages)


def test_a_document_that_became_shorter_leaves_no_passage_behind(side: Any) -> None:
    for parents in (False, True):
        retriever = side.retriever([side.whole(LONG, "book")], FakeEncoder(), split=True, return_parents=parents)
        side.add(retriever, [side.whole("Elephants rest.", "book"), side.whole("Lions eat.", "lions")])
        assert sorted(chunk.text for chunk in retriever.searcher.chunks()) == ["Elephants rest.", "Lions eat."]
        side.add(retriever, [side.whole(" ", "book")])
        assert [chunk.document_id for chunk in retriever.searcher.chunks()] == ["lions"]


def test_parents_kept_with_the_index_need_an_index(side: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"parents='index' are kept with an index, and TwoStage is none"):
        side.over(TwoStage(BM25(), FakeEncoder()), parents="index")
    with pytest.raises(ValueError, match="parents must be a mapping, a store or 'index', got 'book'"):
        side.over(ExactIndex(FakeEncoder()), parents="book")


def test_the_tool_gives_numbered_quotes(side: Any) -> None:
    chunks = [
        side.chunk(TEXTS["grass"], "g", title="Diet", page_label="7"),
        side.chunk(TEXTS["trains"], "t", source="rails.md"),
    ]
    tool = side.create_evidence_tool(side.retriever(chunks, FakeEncoder()), "find_evidence", "Finds evidence.")
    expected = '[1] "Elephants eat grass and bark." (Diet, page 7)\n[2] "Elephants cross the railway." (rails.md)'
    assert side.quotes(tool, "elephants eat") == expected
    assert side.quotes(tool, " \nelephants eat\n\n") == expected
    assert side.quotes(tool, "elephants eat in Norway") == expected


def test_the_tool_names_words_without_a_close_wording_where_that_is_asked_for(side: Any) -> None:
    retriever = side.retriever([side.chunk(TEXTS["grass"], "g")], FakeEncoder())
    tool = side.create_evidence_tool(retriever, "find_evidence", "Finds evidence.", name_unmatched=True)
    said = side.quotes(tool, "what do elephants eat in Norway")
    assert said.splitlines()[-1] == "No close wording for: Norway"


def test_numbers_run_on_from_call_to_call_and_over_the_tools_of_an_agent(side: Any) -> None:
    numbers = QuoteNumbers()
    retriever = side.retriever([side.chunk(TEXTS["grass"], "g")], FakeEncoder())
    other = side.retriever([side.chunk(TEXTS["trains"], "t")], FakeEncoder())
    tools = [side.create_evidence_tool(one, "find", "Finds.", numbers=numbers) for one in (retriever, other)]
    grass, trains = (side.quotes(tool, "elephants eat") for tool in tools)
    assert (grass[:4], trains[:4]) == ("[1] ", "[2] ")
    assert side.quotes(tools[0], "elephants eat") == grass  # a quote keeps its number
    numbers.reset()
    assert side.quotes(tools[1], "elephants cross")[:4] == "[1] "


def test_a_conversation_that_goes_on_in_another_process_goes_on_counting(side: Any) -> None:
    retriever = side.retriever([side.chunk(TEXTS["grass"], "g"), side.chunk(TEXTS["trains"], "t")], FakeEncoder())
    before = side.quotes(side.create_evidence_tool(retriever, "find", "Finds."), "eat grass bark")
    resumed = QuoteNumbers(["What do elephants eat?", before, "They eat grass [1]."])
    tool = side.create_evidence_tool(retriever, "find", "Finds.", numbers=resumed)
    assert side.quotes(tool, "eat grass bark") == before
    new = [side.chunk("Whales sing.", "w")]
    tool = side.create_evidence_tool(side.retriever(new, FakeEncoder()), "find", "Finds.", numbers=resumed)
    assert side.quotes(tool, "sing") == f'[{len(before.splitlines()) + 1}] "Whales sing." (w)'


def test_a_sentence_that_overlapping_chunks_share_is_quoted_once(side: Any) -> None:
    chunks = [side.chunk(f"{TEXTS['grass']} {more}", str(i), source="a") for i, more in enumerate(["It rains.", "So."])]
    tool = side.create_evidence_tool(side.retriever(chunks, FakeEncoder()), "find_evidence", "Finds evidence.")
    assert side.quotes(tool, "elephants eat") == '[1] "Elephants eat grass and bark." (a)'


async def test_the_tool_works_async_and_says_when_nothing_was_found(side: Any) -> None:
    tool = side.create_evidence_tool(side.retriever([], FakeEncoder()), "find_evidence", "Finds evidence.")
    assert await side.aquotes(tool, "zebras") == 'Nothing was found for "zebras". Other words may find more.'


def test_the_tool_quotes_what_another_retriever_found_without_evidence(side: Any) -> None:
    long = " ".join(["Elephants eat grass."] * 40)
    retriever = side.retriever([side.chunk(long, "g"), side.chunk("", "empty")], FakeEncoder(), explain="off")
    text = side.quotes(side.create_evidence_tool(retriever, "find", "Finds."), "elephants")
    assert text.startswith('[1] "Elephants eat grass. Elephants')
    assert text.endswith(' …" (g)')
    assert len(text) < 450
