"""`LateInteractionVectorStore` for LlamaIndex: its indexes, pipelines, document life cycle and filters."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from index_kinds import KINDS, Kind, skip_without

pytest.importorskip("llama_index.core")

from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import BaseNode, ImageNode, IndexNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from latelens.index import BM25, ExactIndex, TwoStage
from latelens.index.filters import matches, parse_filter
from llama_index_latelens import LateInteractionVectorStore, read_evidence
from llama_index_latelens.filters import to_filter

EMBED = MockEmbedding(embed_dim=1)
QUERY = "What do elephants eat?"


def node(id: str, text: str, document: str, **metadata: Any) -> TextNode:
    relationships = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
    return TextNode(id_=id, text=text, metadata=metadata, relationships=relationships)


NODES = [
    node("diet", "Elephants eat grass and bark.", "a", page=1, tags=["food", "wild"], title="On food"),
    node("range", "Herds live in India.", "b", page=2, tags=[], title="On land"),
    node("danger", "Trains kill elephants.", "a", page=3, title=""),
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


def over(store: LateInteractionVectorStore, **options: Any) -> VectorStoreIndex:
    return VectorStoreIndex.from_vector_store(store, EMBED, **options)


def where(*filters: Any, condition: str = "and") -> MetadataFilters:
    return MetadataFilters(
        filters=[MetadataFilter(key=key, operator=FilterOperator(op), value=value) for key, op, value in filters],
        condition=FilterCondition(condition),
    )


def ids(nodes: Any) -> list[str]:
    return [each.node_id for each in nodes]


def test_an_index_over_it_finds_nodes_with_their_evidence(store: LateInteractionVectorStore) -> None:
    over(store).insert_nodes(NODES)
    best, second = over(store).as_retriever(similarity_top_k=2).retrieve(QUERY)
    assert ids([best.node, second.node]) == ["diet", "danger"]
    assert [span.text for span in read_evidence(best)] == ["Elephants eat grass and bark."]
    assert best.score == best.node.metadata["latelens"]["score"]
    assert (best.node.ref_doc_id, best.node.metadata["page"]) == ("a", 1)
    assert "latelens" in best.node.excluded_llm_metadata_keys
    assert "latelens" in best.node.excluded_embed_metadata_keys


async def test_async_finds_the_same(store: LateInteractionVectorStore) -> None:
    await over(store).ainsert_nodes(NODES)
    retriever = over(store).as_retriever(similarity_top_k=2)
    assert await retriever.aretrieve(QUERY) == retriever.retrieve(QUERY)
    assert ids(await store.aget_nodes(["diet"])) == ["diet"]
    await store.adelete_nodes(["range"])
    await store.adelete("a")
    assert store.index.count() == 0
    await store.async_add(NODES)
    await store.aclear()
    assert store.get_nodes() == []


def test_a_query_engine_filters(store: LateInteractionVectorStore) -> None:
    store.add(NODES)
    engine = over(store).as_query_engine(llm=MockLLM(), filters=where(("page", ">", 1)), similarity_top_k=3)
    response = engine.query(QUERY)
    assert ids(each.node for each in response.source_nodes) == ["danger", "range"]
    assert all(read_evidence(each) or each.node_id == "range" for each in response.source_nodes)
    assert "latelens" not in str(response)


def test_a_query_may_name_documents_and_nodes(store: LateInteractionVectorStore) -> None:
    store.add(NODES)

    def found(**asked: Any) -> list[str]:
        return store.query(VectorStoreQuery(query_str=QUERY, similarity_top_k=5, **asked)).ids or []

    assert found(doc_ids=["a"]) == ["diet", "danger"]
    assert found(node_ids=["range", "danger"]) == ["danger", "range"]
    assert found(doc_ids=["a"], node_ids=["range"]) == []
    assert found(doc_ids=[], node_ids=[]) == ["diet", "danger", "range"]
    assert found(doc_ids=["a"], filters=where(("page", "==", 3))) == ["danger"]


def test_nodes_are_kept_whole_and_added_again_only_if_changed() -> None:
    encoder = FakeEncoder()
    store = LateInteractionVectorStore(ExactIndex(encoder), "off")
    given: list[BaseNode] = [*NODES, IndexNode(id_="i", text="an index", index_id="x"), ImageNode(id_="p", text="alt")]
    assert store.add([each.model_copy(update={"embedding": [0.1]}) for each in given]) == ids(given)
    by_id = {each.node_id: each for each in store.get_nodes()}
    assert by_id == {each.node_id: each for each in given}
    encoder.encoded.clear()
    store.add([*given[:2], node("danger", "Trains brake.", "a")])
    assert encoder.encoded == ["Trains brake."]
    found = store.query(VectorStoreQuery(query_str=QUERY, similarity_top_k=1))
    assert found.nodes == [NODES[0]]


def test_index_and_image_nodes_do_not_shut_out_the_others(store: LateInteractionVectorStore) -> None:
    index = over(store)
    index.insert_nodes([*NODES, IndexNode(id_="i", text="Elephants eat at the zoo.", index_id="zoo")])
    assert index.index_struct.nodes_dict
    found = index.as_retriever(similarity_top_k=4).retrieve(QUERY)
    assert set(ids(each.node for each in found)) == {"diet", "danger", "range", "i"}


def test_nodes_are_deleted_by_id_by_filter_and_by_document(store: LateInteractionVectorStore) -> None:
    store.add(NODES)
    with pytest.raises(ValueError, match=r"name node_ids, filters or both; clear\(\) deletes all"):
        store.delete_nodes()
    store.delete_nodes(["diet", "range"], where(("page", ">", 1)))
    assert sorted(ids(store.get_nodes())) == ["danger", "diet"]
    store.delete_nodes(filters=where(("page", "==", 3)))
    assert ids(store.get_nodes(filters=where(("page", "<", 9)))) == ["diet"]
    store.delete("a")
    store.delete("no such")
    assert store.get_nodes() == []
    store.add([TextNode(id_="own", text="a node without a source")])
    store.delete("own")
    assert store.get_nodes() == []


def test_what_it_cannot_do_is_refused(store: LateInteractionVectorStore) -> None:
    store.add(NODES)
    for mode in VectorStoreQueryMode:
        if mode != VectorStoreQueryMode.DEFAULT:
            with pytest.raises(NotImplementedError, match=f"the mode {mode.value!r} needs one vector for each text"):
                store.query(VectorStoreQuery(query_str=QUERY, mode=mode))
    with pytest.raises(NotImplementedError, match="a query without query_str"):
        store.query(VectorStoreQuery(query_embedding=[0.1]))
    with pytest.raises(TypeError, match="got 'where'"):
        store.query(VectorStoreQuery(query_str=QUERY), where={})
    with pytest.raises(TypeError, match=r"got TwoStage.*LateInteractionRetriever"):
        LateInteractionVectorStore(TwoStage(BM25(), FakeEncoder()))  # type: ignore[arg-type]


def test_a_retriever_asks_otherwise_for_its_calls(store: LateInteractionVectorStore) -> None:
    store.add(NODES)
    asked = {"explain": "off", "min_score": 1.5, "filter": {"page": {"$lt": 3}}}
    (found,) = over(store).as_retriever(similarity_top_k=9, vector_store_kwargs=asked).retrieve(QUERY)
    assert found.node == NODES[0]


# The life cycle of documents


def documents(*texts: str) -> list[Document]:
    return [Document(text=text, id_=f"d{i}", metadata={"i": i}) for i, text in enumerate(texts)]


def stored(store: LateInteractionVectorStore) -> list[str]:
    return sorted(chunk.text for chunk in store.index.chunks())


def test_documents_are_inserted_updated_refreshed_and_deleted(store: LateInteractionVectorStore) -> None:
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(
        documents("one", "two"), context, embed_model=EMBED, store_nodes_override=True
    )
    assert stored(store) == ["one", "two"]
    index.update_ref_doc(Document(text="one and a half", id_="d0"))
    assert stored(store) == ["one and a half", "two"]
    assert index.refresh_ref_docs([*documents("one", "two"), Document(text="three", id_="d2")]) == [True, False, True]
    assert stored(store) == ["one", "three", "two"]
    index.delete_ref_doc("d1", delete_from_docstore=True)
    assert stored(store) == ["one", "three"]
    assert ids(each.node.source_node for each in index.as_retriever().retrieve("three"))[0] == "d2"


def test_a_document_of_many_nodes_is_updated_as_a_whole(store: LateInteractionVectorStore) -> None:
    long = " ".join(f"Sentence number {i} says little." for i in range(40))
    splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0)
    index = over(store, transformations=[splitter])
    index.insert(Document(text=long, id_="long"))
    count = store.index.count()
    assert count > 3
    assert len(list(store.index.ids({"$document_id": "long"}))) == count
    index.update_ref_doc(Document(text="short", id_="long"))
    assert stored(store) == ["short"]
    found = index.as_retriever().retrieve("short")[0]
    assert found.node.metadata["latelens"]["evidence"][0]["source_start"] == 0


@pytest.mark.parametrize("strategy", [DocstoreStrategy.UPSERTS, DocstoreStrategy.UPSERTS_AND_DELETE])
def test_a_pipeline_upserts_and_deletes(store: LateInteractionVectorStore, strategy: DocstoreStrategy) -> None:
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), EMBED],
        docstore=SimpleDocumentStore(),
        vector_store=store,
        docstore_strategy=strategy,
    )
    pipeline.run(documents=documents("one", "two", "three"))
    assert stored(store) == ["one", "three", "two"]
    pipeline.run(documents=documents("one", "two changed"))
    kept = ["three"] if strategy == DocstoreStrategy.UPSERTS else []
    assert stored(store) == sorted(["one", "two changed", *kept])


def test_a_folder_keeps_what_a_storage_context_persists(tmp_path: Path) -> None:
    encoder = FakeEncoder()
    store = LateInteractionVectorStore(ExactIndex(encoder, tmp_path / "index"))
    context = StorageContext.from_defaults(vector_store=store)
    VectorStoreIndex.from_documents(documents("one", "two"), context, embed_model=EMBED)
    context.persist(tmp_path / "storage")
    again = LateInteractionVectorStore(ExactIndex.open(tmp_path / "index", encoder))
    assert over(again).as_retriever(similarity_top_k=1).retrieve("two")[0].text == "two"
    memory = StorageContext.from_defaults(vector_store=LateInteractionVectorStore(ExactIndex(encoder)))
    with pytest.raises(ValueError, match="this index is in memory; name a folder"):
        memory.persist(tmp_path / "memory")


def test_a_store_that_is_refreshed_again_and_again_equals_a_fresh_one(
    store: LateInteractionVectorStore, kind: Kind, pytestconfig: pytest.Config
) -> None:
    count, updates = pytestconfig.getoption("corpus")
    chance = random.Random(5)
    version = dict.fromkeys(range(count), 0)

    def corpus(numbers: Any) -> list[Document]:
        return [Document(text=f"document{i} version{version[i]}", id_=f"d{i}") for i in numbers]

    context = StorageContext.from_defaults(vector_store=store)
    options: dict[str, Any] = {"embed_model": EMBED, "store_nodes_override": True}
    index = VectorStoreIndex.from_documents(corpus(version), context, **options)
    for _ in range(updates):
        changed = chance.sample(sorted(version), max(1, count // 200))
        for i in changed:
            version[i] += 1
        unchanged = chance.sample(sorted(set(version) - set(changed)), 1)
        assert index.refresh_ref_docs(corpus([*changed, *unchanged])) == [True] * len(changed) + [False]
    fresh = LateInteractionVectorStore(ExactIndex(store.index.encoder))
    context = StorageContext.from_defaults(vector_store=fresh)
    other = VectorStoreIndex.from_documents(corpus(version), context, **options)
    assert stored(store) == stored(fresh)
    for query in ("document1 version1", f"document{count - 1}"):
        scores = [
            [found.score for found in each.as_retriever(similarity_top_k=5).retrieve(query)] for each in (index, other)
        ]
        assert scores[0] == scores[1] or not kind.exact


# Filters mean what they mean to LlamaIndex's own store

_VALUES = st.sampled_from([0, 1, 2, 1.0, 0.5, "", "a", "ab", "AB", "1", "b"])
_METADATA = st.dictionaries(
    st.sampled_from(["k", "l"]),
    _VALUES | st.sampled_from([None, True, False]) | st.lists(_VALUES | st.none(), max_size=3),
)
_LISTS = st.lists(st.sampled_from(["", "a", "ab", "b"]), max_size=3) | st.lists(st.sampled_from([0, 1, 2]), max_size=3)
_LISTED = (FilterOperator.IN, FilterOperator.NIN, FilterOperator.ANY, FilterOperator.ALL)
_TEXTS = (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE)


def _value_for(operator: FilterOperator) -> Any:
    if operator in _LISTED:
        return _LISTS
    return st.sampled_from(["a", "B", "", "ab"]) if operator in _TEXTS else _VALUES | st.none()


_FILTER = st.sampled_from(list(FilterOperator)).flatmap(
    lambda operator: st.builds(
        lambda key, value: MetadataFilter(key=key, operator=operator, value=value),
        st.sampled_from(["k", "l"]),
        _value_for(operator),
    )
)


@settings(max_examples=2000, deadline=None)
@given(
    filters=st.lists(_FILTER, min_size=1, max_size=3),
    condition=st.sampled_from(list(FilterCondition)),
    metadata=_METADATA,
)
def test_any_filter_means_what_it_means_to_the_simple_store(
    filters: list[MetadataFilter], condition: FilterCondition, metadata: dict[str, Any]
) -> None:
    asked = MetadataFilters(filters=filters, condition=condition)
    theirs: Callable[[str], bool] = build_metadata_filter_fn(lambda _: metadata, asked)
    try:
        expected = theirs("a node")
    except TypeError:  # values that do not compare
        return
    said = to_filter(asked)
    assert said is not None
    assert matches(parse_filter(said), metadata) is expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("title", "contains", "food"), ["diet"]),
        (("tags", "contains", "wild"), ["diet"]),
        (("tags", "contains", "wil"), []),
        (("tags", "==", "wild"), []),
        (("tags", "any", ["wild", "tame"]), ["diet"]),
        (("tags", "all", ["wild", "tame"]), []),
        (("title", "all", ["On", "land"]), ["range"]),
        (("title", "text_match", "on"), []),
        (("title", "text_match_insensitive", "on F"), ["diet"]),
        (("title", "is_empty", None), ["danger"]),
        (("tags", "is_empty", None), ["danger", "range"]),
        (("tags", "!=", "wild"), ["danger", "diet", "range"]),
        (("page", "nin", [1, 3]), ["range"]),
        (("page", "in", [1, 3]), ["danger", "diet"]),
    ],
    ids=str,
)
def test_every_store_filters_alike(store: LateInteractionVectorStore, asked: Any, expected: list[str]) -> None:
    store.add(NODES)
    assert sorted(ids(store.get_nodes(filters=where(asked)))) == expected
    found = store.query(VectorStoreQuery(query_str=QUERY, similarity_top_k=5, filters=where(asked))).ids
    assert sorted(found or []) == expected
