"""`create_attribution_evaluator`: are an answer's claims in its sources? In place of a model that judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from langchain_core.messages import BaseMessage

from langchain_latelens.chain import AttachCitations
from latelens.bridge.attributor import Attributor
from latelens.bridge.judging import Measure, check_measure, judge_answer


class AttributionEvaluator(Protocol):
    """A plain function, as LangSmith's ``evaluate(evaluators=[...])`` and openevals take it."""

    def __call__(
        self,
        *,
        inputs: Any = None,
        outputs: Any,
        reference_outputs: Any = None,
        context: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Score one answer: ``{"key": "supported", "score": 0.75, "comment": "..."}``."""


def create_attribution_evaluator(
    *,
    attributor: Attributor | None = None,
    measure: Measure = "supported",
    answer_key: str = "answer",
    sources_key: str = "context",
    question_key: str | None = None,
    metadata_keys: Sequence[str] = (),
) -> AttributionEvaluator:
    """Make a function that scores answers by the sources that they were made of: offline, and the same each time.

    It takes `inputs`, `outputs` and, unread, `reference_outputs`, all by name, and returns a dict of `key` (the
    measure), `score` (0..1; None where the answer has nothing that can be checked) and `comment`, which names the
    claims to check and says why. So LangSmith's ``evaluate`` and openevals take it as it is; neither is needed. The
    score says that words, names and numbers stand in the sources, not that the answer is true; give the attributor a
    verifier to judge meaning.

    >>> from latelens import Attributor
    >>> evaluator = create_attribution_evaluator(attributor=Attributor("offline/all-MiniLM-L6-v2"))
    >>> outputs = {"answer": "Elephants eat bark. Whales fly.", "context": ["Elephants eat grass and bark."]}
    >>> evaluator(inputs={"question": "What do elephants eat?"}, outputs=outputs)["score"]
    0.5

    Parameters
    ----------
    attributor
        As for `attach_citations`.
    measure
        ``"supported"``: the share of claims that the sources back. Of an answer that cites by itself, ``[1]`` for its
        first source, also ``"citation_precision"``: the share of marks whose source backs the claim; and
        ``"citation_recall"``: the share of claims that a marked source backs.
    answer_key, sources_key, question_key, metadata_keys
        As for `AttachCitations`, in `outputs` first and then in `inputs`. An agent's ``{"messages": [...]}`` needs
        none: its last message is the answer, and its tools' messages are the sources. `context`, as openevals gives
        it, goes before `sources_key`.
    """
    check_measure(measure)
    keys = AttachCitations(
        answer_key=answer_key,
        sources_key=sources_key,
        attributor=attributor,
        question_key=question_key,
        metadata_keys=metadata_keys,
    )

    def evaluate(
        *,
        inputs: Any = None,
        outputs: Any,
        reference_outputs: Any = None,  # noqa: ARG001  # given to every evaluator
        context: Any = None,
        **kwargs: Any,  # noqa: ARG001
    ) -> dict[str, Any]:
        given = _given(keys, inputs, outputs, context)
        keys.check(given)
        answer, sources, question = _text(given[answer_key]), keys.sources(given), keys.question(given)
        score, comment = judge_answer(keys.attributor, question, answer, sources, measure)
        return {"key": measure, "score": score, "comment": comment}

    evaluate.__name__ = evaluate.__qualname__ = measure  # what LangSmith calls it
    return evaluate


def _given(keys: AttachCitations, inputs: Any, outputs: Any, context: Any) -> dict[str, Any]:
    """Everything that is known of one answer, under the keys of a chain's output."""
    asked = {"question": inputs} if isinstance(inputs, str) else dict(inputs or {})
    given = {**asked, **outputs} if isinstance(outputs, Mapping) else {**asked, keys.answer_key: outputs}
    if isinstance(outputs, Mapping) and keys.answer_key not in outputs and "messages" in outputs:
        given[keys.answer_key] = outputs["messages"]
    if context is not None:
        given[keys.sources_key] = context
    found = given.get(keys.sources_key)
    if isinstance(found, Mapping) and "documents" in found:  # as openevals writes it
        given[keys.sources_key] = found["documents"]
    return given


def _text(answer: Any) -> str:
    last = answer[-1] if isinstance(answer, list) and answer else answer
    if isinstance(last, BaseMessage):
        return str(last.text)
    if not isinstance(last, str):
        raise TypeError(f"an answer must be a text, a message or a list of messages, got {type(last).__name__}")
    return last
