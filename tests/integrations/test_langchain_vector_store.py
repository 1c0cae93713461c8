"""`LateInteractionVectorStore` for LangChain: their suites, their indexing, and what it refuses."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from index_kinds import KINDS, Kind, skip_without

pytest.importorskip("langchain_tests")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import VectorStoreIntegrationTests

from langchain_latelens import LateInteractionVectorStore, read_evidence
from latelens.index import BM25, ExactIndex, TwoStage

TALES = [
    Document("Elephants eat grass and bark.", id="diet", metadata={"source": "a.md", "page": 1}),
    Document("Herds live in India.", id="range", metadata={"source": "b.md", "page": 2}),
    Document("Trains kill elephants.", id="danger", metadata={"source": "a.md", "page": 3}),
]


@pytest.fixture(params=KINDS, ids=str)
def kind(request: pytest.FixtureRequest) -> Kind:
    skip_without(request.param)
    return request.param


@pytest.fixture
def store(kind: Kind, tmp_path: Path) -> Iterator[LateInteractionVectorStore]:
    made = kind.open(FakeEncoder(dim=64), tmp_path / "index")
    yield LateInteractionVectorStore(made)
    kind.close(made)


class TestSuite(VectorStoreIntegrationTests):
    """With ``explain="off"``, since the suite compares whole documents."""

    @pytest.fixture
    def vectorstore(self, kind: Kind, tmp_path: Path) -> Iterator[VectorStore]:
        made = kind.open(FakeEncoder(dim=64), tmp_path / "index")
        yield LateInteractionVectorStore(made, explain="off")
        kind.close(made)


def ids(found: list[Document]) -> list[str | None]:
    return [document.id for document in found]


def test_results_carry_their_score_and_their_evidence(store: LateInteractionVectorStore) -> None:
    assert store.add_documents(TALES) == ["diet", "range", "danger"]
    ((best, score),) = store.similarity_search_with_score("What do elephants eat?", k=1)
    assert (best.id, best.page_content, best.metadata["source"]) == ("diet", TALES[0].page_content, "a.md")
    assert [span.text for span in read_evidence(best)] == ["Elephants eat grass and bark."]
    assert score == best.metadata["relevance_score"] == best.metadata["latelens"]["score"]
    assert store.get_by_ids(["diet", "no such", "diet"]) == [TALES[0]]


def test_a_search_takes_a_filter_and_bounds_for_one_call(store: LateInteractionVectorStore) -> None:
    store.add_documents(TALES)
    assert ids(store.similarity_search("elephants", filter={"source": "a.md", "page": {"$gt": 1}})) == ["danger"]
    assert ids(store.similarity_search("elephants", filter={"$id": {"$in": ["range"]}})) == ["range"]
    assert set(ids(store.similarity_search("elephants", min_score=1.5))) == {"diet", "danger"}
    assert store.similarity_search("elephants eat", k=1, explain="off") == [TALES[0]]
    with pytest.raises(TypeError, match="a call takes explain, filter, k, min_relevance, min_score, got 'filters'"):
        store.similarity_search("elephants", filters={"source": "a.md"})
    with pytest.raises(ValueError, match="at least 1, got 0"):
        store.similarity_search("elephants", k=0)


async def test_its_retriever_passes_search_arguments_on(store: LateInteractionVectorStore) -> None:
    await store.aadd_documents(TALES)
    retriever = store.as_retriever(search_kwargs={"k": 2, "filter": {"source": "a.md"}})
    found = retriever.invoke("What do elephants eat?")
    assert ids(found) == ["diet", "danger"]
    assert all(read_evidence(document) for document in found)
    assert await retriever.ainvoke("What do elephants eat?") == found
    assert ids(retriever.invoke("What do elephants eat?", k=1)) == ["diet"]


def test_relevance_scores_are_probabilities_where_the_model_is_calibrated(offline: Any) -> None:
    store = LateInteractionVectorStore.from_documents(TALES, offline)
    found = store.similarity_search_with_relevance_scores("What do elephants eat?", k=3)
    assert ids([document for document, _ in found])[0] == "diet"
    assert all(0 <= relevance <= 1 for _, relevance in found)
    bound = found[0][1]
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": bound, "k": 3}
    )
    assert ids(retriever.invoke("What do elephants eat?")) == ["diet"]
    plain = store.similarity_search_with_relevance_scores("What do elephants eat?", k=1, explain="off")
    assert plain == [(TALES[0], bound)]
    with pytest.raises(ValueError, match=r"need a calibration, and 'fake' has none.*min_score"):
        LateInteractionVectorStore.from_texts(["a"], FakeEncoder()).similarity_search_with_relevance_scores("a")


async def test_what_needs_single_vectors_is_refused_with_the_reason(store: LateInteractionVectorStore) -> None:
    store.add_documents(TALES)
    for search in (store.max_marginal_relevance_search, store.similarity_search_by_vector):
        with pytest.raises(
            NotImplementedError, match="needs one vector for each text, and late interaction keeps many"
        ):
            search("elephants")  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="maximal marginal relevance needs one vector"):
        await store.as_retriever(search_type="mmr").ainvoke("elephants")
    with pytest.raises(TypeError, match="DeterministicFakeEmbedding, which gives one vector a text"):
        LateInteractionVectorStore.from_documents(TALES, DeterministicFakeEmbedding(size=3))


def test_what_is_no_index_and_a_delete_of_all_are_refused() -> None:
    stages = TwoStage(BM25(), FakeEncoder())
    with pytest.raises(TypeError, match=r"got TwoStage.*LateInteractionRetriever"):
        LateInteractionVectorStore(stages)  # type: ignore[arg-type]
    store = LateInteractionVectorStore.from_documents(TALES, FakeEncoder())
    with pytest.raises(ValueError, match=r"delete\(list\(store.index.ids\(\)\)\) deletes all"):
        store.delete()
    with pytest.raises(TypeError, match="got 'filter'"):
        store.delete(["diet"], filter={})
    assert store.delete(list(store.index.ids())) is True
    assert store.index.count() == 0


def test_only_some_documents_may_have_ids() -> None:
    some = [TALES[0], Document("no id here")]
    store = LateInteractionVectorStore.from_documents(some, FakeEncoder())
    first, second = sorted(store.index.ids(), key=lambda id: id != "diet")
    assert (first, len(second)) == ("diet", 32)
    assert store.add_documents(some) == [first, second]
    assert store.index.count() == 2


def test_a_folder_keeps_the_store(tmp_path: Path) -> None:
    encoder = FakeEncoder()
    LateInteractionVectorStore.from_documents(TALES, encoder, path=tmp_path / "index")
    again = LateInteractionVectorStore(ExactIndex.open(tmp_path / "index", encoder))
    assert again.similarity_search("elephants eat", explain="off", k=1) == [TALES[0]]


# langchain_core.indexing


def loaded(*lines: str, source: str = "a.md") -> list[Document]:
    return [Document(line, metadata={"source": source}) for line in lines]


def texts(store: LateInteractionVectorStore) -> list[str]:
    return sorted(chunk.text for chunk in store.index.chunks())


def run(store: LateInteractionVectorStore, records: Any, documents: list[Document], cleanup: Any) -> dict[str, int]:
    result = index(
        documents, records, store, cleanup=cleanup, source_id_key="source", key_encoder="blake2b", batch_size=2
    )
    return dict(result)


@pytest.fixture
def records() -> InMemoryRecordManager:
    records = InMemoryRecordManager("tests")
    records.create_schema()
    return records


@pytest.mark.parametrize("cleanup", [None, "incremental", "full", "scoped_full"])
def test_indexing_cleans_up_as_asked(store: LateInteractionVectorStore, records: Any, cleanup: Any) -> None:
    first = [*loaded("one", "two"), *loaded("three", source="b.md"), *loaded("four", source="c.md")]
    assert run(store, records, first, cleanup)["num_added"] == 4
    again = run(store, records, first, cleanup)
    assert (again["num_added"], again["num_skipped"], again["num_deleted"]) == (0, 4, 0)
    changed = [*loaded("one", "two and a half"), *loaded("three", source="b.md")]
    done = run(store, records, changed, cleanup)
    expected = {
        None: ["four", "one", "three", "two", "two and a half"],
        "incremental": ["four", "one", "three", "two and a half"],
        "full": ["one", "three", "two and a half"],
        "scoped_full": ["four", "one", "three", "two and a half"],
    }[cleanup]
    assert texts(store) == expected
    assert (done["num_added"], done["num_deleted"]) == (1, 5 - len(expected))
    assert ids(store.similarity_search("two and a half", k=1))[0] is not None
    assert store.similarity_search("two and a half", k=1)[0].page_content == "two and a half"


async def test_indexing_works_async_and_encodes_nothing_twice(records: Any) -> None:
    encoder = FakeEncoder()
    store = LateInteractionVectorStore(ExactIndex(encoder))
    arguments = {"cleanup": "full", "source_id_key": "source", "key_encoder": "blake2b"}
    await aindex(loaded("one", "two"), records, store, **arguments)
    await aindex(loaded("one", "three"), records, store, **arguments)
    assert encoder.encoded == ["one", "two", "three"]
    assert texts(store) == ["one", "three"]


def test_a_store_that_is_updated_again_and_again_equals_a_fresh_one(
    store: LateInteractionVectorStore, records: Any, kind: Kind, pytestconfig: pytest.Config
) -> None:
    count, updates = pytestconfig.getoption("corpus")
    chance = random.Random(5)
    version = dict.fromkeys(range(count), 0)

    def corpus(numbers: Any) -> list[Document]:
        return [
            Document(f"document{i} version{version[i]} part{part}", metadata={"source": f"{i}.md"})
            for i in numbers
            for part in range(1 + (i + version[i]) % 2)
        ]

    def update(documents: list[Document]) -> None:
        index(documents, records, store, cleanup="incremental", source_id_key="source", key_encoder="blake2b")

    update(corpus(version))
    for _ in range(updates):
        changed = chance.sample(sorted(version), max(1, count // 200))
        for i in changed:
            version[i] += 1
        update(corpus(changed))
    fresh = corpus(version)
    assert texts(store) == sorted(document.page_content for document in fresh)
    other = LateInteractionVectorStore(ExactIndex(store.index.encoder))
    other.add_documents(fresh)
    for query in ("document1 version1", "part1", f"document{count - 1}"):
        expected = [(doc.page_content, score) for doc, score in other.similarity_search_with_score(query, k=5)]
        found = [(doc.page_content, score) for doc, score in store.similarity_search_with_score(query, k=5)]
        assert [score for _, score in found] == [score for _, score in expected] or not kind.exact
