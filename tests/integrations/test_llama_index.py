"""What LlamaIndex asks of a node postprocessor, beyond what both adapters promise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from llama_index.core import VectorStoreIndex
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms.mock import MockLLM
from llama_index.core.node_parser import HierarchicalNodeParser, SentenceSplitter, get_leaf_nodes
from llama_index.core.postprocessor import MetadataReplacementPostProcessor
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
from llama_index.core.schema import Document, ImageNode, MetadataMode, NodeWithScore, QueryBundle, TextNode

from llama_index_latelens import LateInteractionRerank, LateInteractionRetriever, read_evidence, strip_evidence
from llama_index_latelens.sources import to_source

QUERY = "What do elephants eat?"


def nodes() -> list[NodeWithScore]:
    texts = {"rain": "It rained all night.", "grass": "Elephants eat grass and bark. They sleep little."}
    return [NodeWithScore(node=TextNode(text=text, id_=name), score=0.5) for name, text in texts.items()]


class EventRecorder(BaseEventHandler):
    """Keeps the rerank events."""

    events: list[Any] = []

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, ReRankStartEvent | ReRankEndEvent):
            self.events.append(event)


@pytest.fixture
def events() -> Any:
    root, recorder = get_dispatcher(), EventRecorder(events=[])
    root.add_event_handler(recorder)
    yield recorder.events
    root.event_handlers.remove(recorder)


def test_it_is_a_node_postprocessor() -> None:
    assert isinstance(LateInteractionRerank(model=FakeEncoder()), BaseNodePostprocessor)


def test_start_and_end_events_come_with_nodes_unchanged(events: list[Any]) -> None:
    LateInteractionRerank(model=FakeEncoder("tiny"), top_n=1).postprocess_nodes(nodes(), query_str=QUERY)
    start, end = events
    assert (start.model_name, start.top_n, start.query.query_str) == ("tiny", 1, QUERY)
    assert [found.score for found in start.nodes] == [0.5, 0.5]
    assert [found.node.node_id for found in end.nodes] == ["grass"]


def test_the_end_event_comes_on_empty_input_and_on_errors(events: list[Any]) -> None:
    LateInteractionRerank(model=FakeEncoder(), top_n=None).postprocess_nodes([], query_str=QUERY)
    assert [type(event).__name__ for event in events] == ["ReRankStartEvent", "ReRankEndEvent"]
    with pytest.raises(ValueError, match="could not find"):
        LateInteractionRerank(model="nobody/no-such-model").postprocess_nodes(nodes(), query_str=QUERY)
    assert [type(event).__name__ for event in events[2:]] == ["ReRankStartEvent", "ReRankEndEvent"]


def test_the_legacy_callback_manager_sees_the_rerank() -> None:
    handler = LlamaDebugHandler(print_trace_on_end=False)
    reranker = LateInteractionRerank(model=FakeEncoder())
    reranker.callback_manager = CallbackManager([handler])  # query engines assign it after construction
    reranker.postprocess_nodes(nodes(), query_str=QUERY)
    assert len(handler.get_event_pairs(CBEventType.RERANKING)) == 1


def test_a_missing_query_is_said() -> None:
    with pytest.raises(ValueError, match="pass query_bundle= or query_str="):
        LateInteractionRerank(model=FakeEncoder()).postprocess_nodes(nodes())


def test_evidence_reaches_no_prompt_and_no_embedding() -> None:
    found = LateInteractionRerank(model=FakeEncoder()).postprocess_nodes(nodes(), query_str=QUERY)
    again = LateInteractionRerank(model=FakeEncoder()).postprocess_nodes(found, query_str=QUERY)
    for result in [*found, *again]:
        for mode in (MetadataMode.LLM, MetadataMode.EMBED, MetadataMode.NONE):
            assert "latelens" not in result.node.get_content(metadata_mode=mode)
        assert result.node.excluded_llm_metadata_keys.count("latelens") == 1
        assert result.node.excluded_embed_metadata_keys.count("latelens") == 1


def test_a_query_engine_answers_without_evidence_in_its_prompt() -> None:
    index = VectorStoreIndex([found.node for found in nodes()], embed_model=MockEmbedding(embed_dim=8))
    prompts: list[str] = []

    class Listener(MockLLM):
        def complete(self, prompt: str, *args: Any, **kwargs: Any) -> Any:
            prompts.append(prompt)
            return super().complete(prompt, *args, **kwargs)

    engine = RetrieverQueryEngine(
        retriever=index.as_retriever(similarity_top_k=2),
        response_synthesizer=get_response_synthesizer(llm=Listener(), response_mode=ResponseMode.COMPACT),
        node_postprocessors=[LateInteractionRerank(model=FakeEncoder(), top_n=1)],
    )
    response = engine.query(QUERY)
    assert prompts
    assert "Elephants eat grass" in prompts[0]
    assert not any("latelens" in prompt or "query_words" in prompt for prompt in prompts)
    assert read_evidence(response.source_nodes[0])[0].text == "Elephants eat grass and bark."
    stored = index.docstore.get_node(response.source_nodes[0].node.node_id)
    assert "latelens" not in stored.metadata


def test_the_sentence_splitter_takes_reranked_nodes() -> None:
    (best, *_) = LateInteractionRerank(model=FakeEncoder()).postprocess_nodes(nodes(), query_str=QUERY)
    assert SentenceSplitter(chunk_size=64, chunk_overlap=0).get_nodes_from_documents([best.node])


def test_spans_fit_the_bare_text_whatever_metadata_the_node_carries() -> None:
    node = TextNode(text="  Elephants eat grass.  ", metadata={"title": "A long title that embeddings see"})
    found = NodeWithScore(node=node, score=None)
    (result,) = LateInteractionRerank(model=FakeEncoder()).postprocess_nodes([found], query_str=QUERY)
    span = read_evidence(result)[0]
    assert node.text[span.start : span.end] == span.text == "Elephants eat grass."
    assert result.node.metadata["latelens"]["retrieval_score"] is None


def test_image_nodes_without_text_are_ranked_and_kept() -> None:
    image = NodeWithScore(node=ImageNode(image_path="x.png", text=""), score=0.9)
    results = LateInteractionRerank(model=FakeEncoder()).postprocess_nodes([image, *nodes()], query_str=QUERY)
    assert results[0].node.node_id == "grass"
    assert sorted(type(found.node).__name__ for found in results) == ["ImageNode", "TextNode", "TextNode"]


def test_results_and_reranker_survive_serialization() -> None:
    reranker = LateInteractionRerank(model="offline/all-MiniLM-L6-v2", top_n=1, explain="tokens", cache=False)
    described = json.loads(reranker.to_json())
    again = LateInteractionRerank.from_dict(described)
    assert (again.model, again.top_n, again.explain_mode, again.cache) == (
        "offline/all-MiniLM-L6-v2", 1, "tokens", False,
    )  # fmt: skip
    (result,) = again.postprocess_nodes(nodes(), query_str=QUERY)
    dumped = json.loads(json.dumps(result.to_dict()))
    assert dumped["node"]["metadata"]["latelens"] == result.node.metadata["latelens"]


async def test_async_takes_a_query_bundle() -> None:
    reranker = LateInteractionRerank(model=FakeEncoder())
    results = await reranker.apostprocess_nodes(nodes(), query_bundle=QueryBundle(QUERY))
    assert results[0].node.node_id == "grass"


# Places in the document: the right one or none


def places(found: list[NodeWithScore]) -> list[int | None]:
    return [span.source_start for one in found for span in read_evidence(one)]


def test_a_replaced_text_has_no_place() -> None:
    node = TextNode(
        text="Elephants eat.", start_char_idx=40, end_char_idx=54, metadata={"window": "They eat grass all day."}
    )
    rerank = LateInteractionRerank(model=FakeEncoder())
    assert places(rerank.postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)) == [40]
    replaced = MetadataReplacementPostProcessor("window").postprocess_nodes([NodeWithScore(node=node.model_copy())])
    assert places(rerank.postprocess_nodes(replaced, query_str="eat grass")) == [None]
    assert to_source(replaced[0]).start is to_source(replaced[0].to_dict()).start is None
    retriever = LateInteractionRetriever.from_nodes([replaced[0].node], FakeEncoder())
    assert places(retriever.retrieve("eat grass")) == [None]


def test_every_place_of_a_hierarchy_is_one_of_the_document_or_none() -> None:
    text = " ".join(f"Sentence number {i} says that elephants eat grass." for i in range(90))
    parser = HierarchicalNodeParser.from_defaults(chunk_sizes=[512, 128])
    nodes = parser.get_nodes_from_documents([Document(text=text, id_="doc")])
    leaves = get_leaf_nodes(nodes)
    counted_from_parents = [node for node in leaves if not text.startswith(node.text, node.start_char_idx)]
    assert counted_from_parents
    scored = [NodeWithScore(node=node) for node in nodes]
    rerank = LateInteractionRerank(model=FakeEncoder(), top_n=None)
    retriever = LateInteractionRetriever.from_nodes(nodes, FakeEncoder(), similarity_top_k=len(nodes))
    for found in (rerank.postprocess_nodes(scored, query_str="Sentence 7"), retriever.retrieve("Sentence 7")):
        known = [span for one in found for span in read_evidence(one) if span.source_start is not None]
        assert known
        assert all(text[span.source_start : span.source_end] == span.text for span in known)
    for node in nodes:
        for source in (to_source(node), to_source(node.to_dict())):
            assert source.start is None or text.startswith(node.text, source.start)


# Fusion: the framework tells nodes apart by their hash


class Fixed(BaseRetriever):
    def __init__(self, found: list[TextNode]) -> None:
        self._found = found
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=node, score=1.0 - 0.1 * i) for i, node in enumerate(self._found)]


@pytest.mark.parametrize("mode", list(FUSION_MODES))
@pytest.mark.parametrize("ours_first", [True, False])
def test_evidence_changes_no_score_and_loses_no_node_in_fusion(mode: Any, ours_first: bool) -> None:
    stored = [TextNode(text=text, id_=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]
    other = Fixed(stored[::-1])

    def fused(explain: Any) -> list[tuple[str, float]]:
        ours = LateInteractionRetriever.from_nodes(stored, FakeEncoder(), explain=explain)
        retrievers = [ours, other] if ours_first else [other, ours]
        made = QueryFusionRetriever(
            retrievers, llm=MockLLM(), mode=mode, num_queries=1, use_async=False, similarity_top_k=10
        )
        found = made.retrieve(QUERY)
        # Ours wins in the first place or in the last, by the mode; where it does, the evidence is there.
        assert all(read_evidence(one) for one in found if "latelens" in one.node.metadata)
        return [(one.node.node_id, one.get_score()) for one in found]

    bare = fused("off")
    assert len(bare) == len(TEXTS)
    assert fused("evidence") == fused("tokens") == bare


TEXTS = ["Elephants eat grass.", "Elephants roam.", "What is it?"]


def test_evidence_changes_no_hash_and_shows_in_no_repr() -> None:
    for found in LateInteractionRerank(model=FakeEncoder()).postprocess_nodes(nodes(), query_str=QUERY):
        (plain,) = strip_evidence([found])
        assert found.node.hash == plain.node.hash
        assert "latelens" in found.node.metadata
        for shown in (repr(found), str(found), repr([found]), str(found.node.metadata)):
            assert "latelens" not in shown.replace("excluded_embed_metadata_keys=['latelens']", "").replace(
                "excluded_llm_metadata_keys=['latelens']", ""
            )
            assert "query_words" not in shown
        again = NodeWithScore(node=TextNode.from_dict(found.node.to_dict()))
        assert read_evidence(again) == read_evidence(found)
