"""Evaluators of both frameworks give one answer the same score: by hand, on texts in which equal words match with 1."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import datetime, timezone
from typing import Any

import pytest
from fake_encoder import FakeEncoder
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langsmith.evaluation.evaluator import run_evaluator
from langsmith.schemas import Example, Run
from llama_index.core import SummaryIndex
from llama_index.core.base.llms.types import CompletionResponse
from llama_index.core.base.response.schema import PydanticResponse, Response, StreamingResponse
from llama_index.core.evaluation import BatchEvalRunner, EvaluationResult
from llama_index.core.llms.mock import MockLLM
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode
from pydantic import BaseModel

from langchain_latelens import create_attribution_evaluator
from latelens import Attributor
from llama_index_latelens import AttributionEvaluator, attach_citations

QUESTION = "What do they do?"
ANSWER = "Cats eat mice. Dogs bark loudly. Fish climb trees. Dogs bark loudly."
SOURCES = ["Cats eat mice.", "Dogs bark loudly."]
MARKED = "Cats eat mice [1]. Dogs bark loudly [1]. Fish climb trees. Dogs bark loudly."
WRONG = "[1] elsewhere: Dogs bark loudly [1]."
COMMENT = "3 of 4 claims are backed by the sources\nno evidence: Fish climb trees."


@pytest.fixture
def attributor() -> Attributor:
    return Attributor(FakeEncoder())


def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, id_=f"n{i}"), score=0.5) for i, text in enumerate(SOURCES)]


def told(result: EvaluationResult | dict[str, Any]) -> tuple[Any, Any]:
    if isinstance(result, dict):
        return result["score"], result["comment"]
    return result.score, result.feedback


def test_both_score_an_answer_by_hand(attributor: Attributor) -> None:
    theirs = AttributionEvaluator(attributor=attributor).evaluate(QUESTION, ANSWER, SOURCES)
    ours = create_attribution_evaluator(attributor=attributor)(
        inputs={"question": QUESTION}, outputs={"answer": ANSWER, "context": SOURCES}
    )
    assert told(theirs) == told(ours) == (0.75, COMMENT)
    assert (theirs.query, theirs.response, theirs.contexts, theirs.passing) == (QUESTION, ANSWER, SOURCES, False)
    assert ours["key"] == "supported"
    assert json.loads(json.dumps(ours)) == ours


@pytest.mark.parametrize(
    ("measure", "score", "comment"),
    [
        ("supported", 0.75, COMMENT),
        (
            "citation_precision",
            0.5,
            "0.50 of the marked sources back their claim\n[1] elsewhere: Dogs bark loudly [1].",
        ),
        ("citation_recall", 0.25, "1 of 4 claims are backed by their marks\n[1] elsewhere: Dogs bark loudly [1]."),
    ],
)
def test_each_measure_says_what_it_counts(attributor: Attributor, measure: Any, score: float, comment: str) -> None:
    theirs = AttributionEvaluator(attributor=attributor, measure=measure).evaluate(QUESTION, MARKED, SOURCES)
    ours = create_attribution_evaluator(attributor=attributor, measure=measure)(
        outputs={"answer": MARKED, "context": SOURCES}
    )
    assert told(theirs) == told(ours) == (score, comment)


def test_an_answer_without_a_claim_has_no_score(attributor: Attributor) -> None:
    theirs = AttributionEvaluator(attributor=attributor).evaluate(QUESTION, "I do not know.", SOURCES)
    assert (theirs.score, theirs.passing, theirs.invalid_result) == (None, None, True)
    assert theirs.invalid_reason == "no claim can be checked"
    ours = create_attribution_evaluator(attributor=attributor, measure="citation_recall")(
        outputs={"answer": "Cats eat mice.", "context": SOURCES}
    )
    assert told(ours) == (None, "the answer has no marks")


def test_a_threshold_decides_what_passes(attributor: Attributor) -> None:
    assert AttributionEvaluator(attributor=attributor, threshold=0.75).evaluate(QUESTION, ANSWER, SOURCES).passing
    assert not AttributionEvaluator(attributor=attributor, threshold=0.76).evaluate(QUESTION, ANSWER, SOURCES).passing


def test_what_the_user_said_need_not_stand_in_the_sources(attributor: Attributor) -> None:
    answer, sources = "In 1994 cats eat mice.", ["Cats eat mice."]
    ours = create_attribution_evaluator(attributor=attributor)
    for question, score in (("What do they do?", 0.0), ("What do cats eat in 1994?", 1.0)):
        assert AttributionEvaluator(attributor=attributor).evaluate(question, answer, sources).score == score
        assert ours(inputs={"question": question}, outputs={"answer": answer, "context": sources})["score"] == score


def test_metadata_that_the_prompt_showed_backs_a_claim(attributor: Attributor) -> None:
    answer, shown = "The author is Ada Lovelace.", {"author": "Ada Lovelace"}
    node = NodeWithScore(node=TextNode(text="Notes on a machine.", metadata=shown))
    document = {"answer": answer, "context": [Document("Notes on a machine.", metadata=shown)]}
    evaluator = AttributionEvaluator(attributor=attributor)
    assert evaluator.evaluate_response(QUESTION, Response(answer, [node])).score == 1
    blind = AttributionEvaluator(attributor=attributor, metadata_mode=MetadataMode.NONE)
    assert blind.evaluate_response(QUESTION, Response(answer, [node])).score == 0
    for keys, score in (["author"], 1), ([], 0):
        ours = create_attribution_evaluator(attributor=attributor, metadata_keys=keys)
        assert ours(outputs=document)["score"] == score


def test_answers_that_an_engine_joins_are_judged_claim_by_claim(attributor: Attributor) -> None:
    class Says(MockLLM):
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
            return CompletionResponse(text="Cats eat mice." if "Cats" in prompt else "Fish climb trees")

    index = SummaryIndex([TextNode(text=text) for text in SOURCES])
    response = index.as_query_engine(llm=Says(), response_mode="accumulate").query(QUESTION)
    assert "Response 2: Fish climb trees" in str(response)
    assert "---" in str(response)
    result = AttributionEvaluator(attributor=attributor).evaluate_response(QUESTION, response)
    assert told(result) == (0.5, "1 of 2 claims are backed by the sources\nno evidence: Fish climb trees")


# LlamaIndex


def test_the_runner_of_llama_index_takes_it(attributor: Attributor) -> None:
    runner = BatchEvalRunner({"ours": AttributionEvaluator(attributor=attributor)}, workers=2)
    responses = [Response(ANSWER, nodes()), Response(SOURCES[0], nodes())]
    for found in (
        asyncio.run(runner.aevaluate_responses(queries=[QUESTION] * 2, responses=responses)),
        runner.evaluate_response_strs([QUESTION] * 2, [ANSWER, SOURCES[0]], [SOURCES] * 2, reference=["a", "b"]),
    ):
        assert [(result.score, result.passing) for result in found["ours"]] == [(0.75, False), (1.0, True)]


def test_it_works_within_a_running_event_loop(attributor: Attributor) -> None:
    async def both() -> list[EvaluationResult]:
        evaluator = AttributionEvaluator(attributor=attributor)
        return [
            evaluator.evaluate(QUESTION, ANSWER, SOURCES),
            await evaluator.aevaluate_response(QUESTION, Response(ANSWER, nodes())),
        ]

    assert [result.score for result in asyncio.run(both())] == [0.75, 0.75]


def test_our_own_marks_are_not_taken_for_the_models(attributor: Attributor) -> None:
    cited = attach_citations(Response(ANSWER, nodes()), attributor=attributor)
    cited.response = "Cats eat mice. [1] Dogs bark loudly. [2] Fish climb trees. Dogs bark loudly. [2]"
    evaluator = AttributionEvaluator(attributor=attributor, measure="citation_precision")
    assert evaluator.evaluate_response(QUESTION, cited).score is None
    assert evaluator.evaluate_response(QUESTION, cited).response == ANSWER


def test_a_stream_is_read_to_its_end(attributor: Attributor) -> None:
    stream = StreamingResponse((piece for piece in (ANSWER[:20], ANSWER[20:])), nodes())
    assert AttributionEvaluator(attributor=attributor).evaluate_response(QUESTION, stream).score == 0.75


def test_what_a_model_wrote_is_no_context(attributor: Attributor) -> None:
    own = NodeWithScore(node=TextNode(text="Sub question: What do fish do?\nResponse: Fish climb trees."))
    result = AttributionEvaluator(attributor=attributor).evaluate_response(QUESTION, Response(ANSWER, [own, *nodes()]))
    assert told(result) == (0.75, COMMENT)


class Told(BaseModel):
    text: str


def test_what_cannot_be_scored_is_refused(attributor: Attributor) -> None:
    evaluator = AttributionEvaluator(attributor=attributor)
    with pytest.raises(ValueError, match="contexts and response must be provided"):
        evaluator.evaluate(QUESTION, ANSWER)
    with pytest.raises(TypeError, match="evaluate_response takes a Response"):
        evaluator.evaluate(QUESTION, Response(ANSWER), SOURCES)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got PydanticResponse: pass its text"):
        evaluator.evaluate_response(QUESTION, PydanticResponse(Told(text=ANSWER), nodes()))
    for make in (AttributionEvaluator, create_attribution_evaluator):
        with pytest.raises(ValueError, match=r"measure must be one of supported, citation_precision, .* got 'truth'"):
            make(attributor=attributor, measure="truth")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="threshold must be between 0 and 1"):
        AttributionEvaluator(attributor=attributor, threshold=75)


# LangChain


def test_langsmith_takes_it(attributor: Attributor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    evaluator = run_evaluator(create_attribution_evaluator(attributor=attributor))
    now = datetime.now(timezone.utc)
    outputs = {"answer": AIMessage(ANSWER), "context": [Document(text) for text in SOURCES]}
    run = Run(
        id=uuid.uuid4(), name="rag", start_time=now, run_type="chain", trace_id=uuid.uuid4(), dotted_order="",
        inputs={"question": QUESTION}, outputs=outputs,
    )  # fmt: skip
    example = Example(id=uuid.uuid4(), inputs={"question": QUESTION}, outputs={"answer": "unread"}, created_at=now)
    result = evaluator.evaluate_run(run, example)
    assert (result.key, result.score, result.comment) == ("supported", 0.75, COMMENT)  # type: ignore[union-attr]


def test_openevals_call_with_a_context_is_taken(attributor: Attributor) -> None:
    evaluator = create_attribution_evaluator(attributor=attributor)
    found = evaluator(
        inputs=QUESTION, outputs=ANSWER, reference_outputs="unread", context={"documents": SOURCES}, rubric="unread"
    )
    assert told(found) == (0.75, COMMENT)


def test_an_agents_messages_bring_their_sources(attributor: Attributor) -> None:
    found = [ToolMessage(text, tool_call_id=str(i)) for i, text in enumerate(SOURCES)]
    messages = [HumanMessage(QUESTION), *found, AIMessage(ANSWER)]
    evaluator = create_attribution_evaluator(attributor=attributor)
    assert told(evaluator(outputs={"messages": messages})) == (0.75, COMMENT)


def test_an_answer_without_sources_is_refused(attributor: Attributor) -> None:
    evaluator = create_attribution_evaluator(attributor=attributor)
    with pytest.raises(ValueError, match="has no 'context'"):
        evaluator(outputs={"answer": ANSWER})
    with pytest.raises(ValueError, match="has no 'answer'"):
        evaluator(outputs={"text": ANSWER, "context": SOURCES})
    with pytest.raises(TypeError, match="an answer must be a text, a message or a list of messages, got int"):
        evaluator(outputs={"answer": 7, "context": SOURCES})
