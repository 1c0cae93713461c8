"""One model's name with the same options is loaded once, whoever asks for it; the options reach the loader."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import NodeWithScore, TextNode

import langchain_latelens as lc
import llama_index_latelens as li
from latelens import Attributor, Calibration, Encoder, load_encoder
from latelens.encoders import lazy

NAME = "offline/all-MiniLM-L6-v2"
TEXT = "Elephants eat grass and bark."
QUERY = "What do elephants eat?"
LOADING = ["batch_size", "device", "backend", "speed", "engine", "dtype", "calibration"]


@pytest.fixture
def loads(offline: Encoder, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was loaded, by a name that nothing else in the process has."""
    made: list[Any] = []

    def load(model: Any, options: Any) -> Encoder:
        made.append((model, dict(options)))
        return offline

    monkeypatch.setattr(lazy, "load", load)
    return made


def test_all_parts_of_both_frameworks_share_one_encoder(loads: list[Any]) -> None:
    name = "a model that is loaded once"
    documents, nodes = [Document(TEXT, id="a")], [TextNode(text=TEXT, id_="a")]
    scored = [NodeWithScore(node=node) for node in nodes]
    kept = [
        lc.LateInteractionRerank(model=name),
        li.LateInteractionRerank(model=name, top_n=1),
        lc.LateInteractionRetriever.from_documents(documents, name),
        li.LateInteractionRetriever.from_nodes(nodes, name),
        Attributor(name),
        Attributor(name, max_citations=1),
    ]
    kept[0].compress_documents(documents, QUERY)
    kept[1].postprocess_nodes(scored, query_str=QUERY)
    lc.create_evidence_tool(kept[2], "find", "Finds.").invoke({"query": QUERY})
    li.create_evidence_tool(kept[3], "find", "Finds.")(QUERY)
    lc.attach_citations(TEXT, documents, attributor=kept[4])
    li.attach_citations(TEXT, nodes, attributor=kept[5])
    kept[0].model_copy(update={"top_n": 2}).compress_documents(documents, QUERY)
    assert [model for model, _ in loads] == [name]
    other = lc.LateInteractionRerank(model=name, batch_size=2)
    other.compress_documents(documents, QUERY)
    assert [options["batch_size"] for _, options in loads] == [None, 2]


def test_every_option_of_the_loader_reaches_it(loads: list[Any]) -> None:
    given: dict[str, Any] = {
        "batch_size": 3, "device": "cpu", "backend": "sentence-transformers", "speed": "exact", "engine": "openvino",
        "dtype": "bfloat16", "calibration": Calibration("m", 1.0, 0.0, 0.0, "nothing"),
    }  # fmt: skip
    assert list(given) == LOADING
    lc.LateInteractionRerank(model="one", **given).explain(QUERY, TEXT)
    li.LateInteractionRerank(model="two", **given).explain(QUERY, TEXT)
    lc.LateInteractionRetriever.from_texts([TEXT], model="three", **given)
    li.LateInteractionRetriever.from_nodes([TextNode(text=TEXT)], "four", **given)
    Attributor("five", **given)(TEXT, [TEXT])
    assert loads == [(name, given) for name in ("one", "two", "three", "four", "five")]


def test_both_frameworks_name_the_loaders_options_in_one_order() -> None:
    makers = [
        lc.LateInteractionRetriever.from_documents,
        li.LateInteractionRetriever.from_nodes,
        Attributor,
    ]
    orders = [[name for name in inspect.signature(maker).parameters if name in LOADING] for maker in makers]
    orders += [
        [name for name in made.model_fields if name in LOADING]
        for made in (lc.LateInteractionRerank, li.LateInteractionRerank)
    ]
    assert orders == [LOADING] * 5
    taken = inspect.signature(load_encoder).parameters
    assert set(LOADING) <= taken.keys()


def test_a_calibration_survives_json() -> None:
    calibration = Calibration("m", 1.0, 0.5, 0.0, "nothing")
    described = li.LateInteractionRerank(model=NAME, calibration=calibration).to_json()
    assert li.LateInteractionRerank.from_json(described).calibration == calibration
    dumped = lc.LateInteractionRerank(model=NAME, calibration=calibration).model_dump(mode="json")
    assert lc.LateInteractionRerank(**{**dumped, "model": NAME}).calibration == calibration
    with pytest.raises(TypeError, match="calibration must be a Calibration, the path of a file or None, got int: 3"):
        lc.LateInteractionRerank(model=NAME, calibration=3)
