"""Rerank a retriever's chunks for a question and see the evidence, in LangChain and in LlamaIndex.

Runs offline on the packaged model. Online, change one line: MODEL = "lightonai/LateOn".
"""

import sys
from typing import Any

import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.schema import TextNode
from rich.console import Console

from langchain_latelens import LateInteractionRerank, read_evidence
from latelens import Encoder, load_encoder
from latelens.render.terminal import EvidenceText
from latelens.text import content_words
from llama_index_latelens import LateInteractionRerank as LlamaIndexRerank

MODEL = "offline/latelens-mini"
QUESTION = "How often should the water filter be replaced?"

HANDBOOK = {
    "cleaning": "Rinse the milk jug right after use. The drip tray lifts out and goes into the dishwasher. Wipe the "
    "steam wand with a damp cloth before the milk dries on it. Never put the grinder's burrs in water.",
    "descaling": "Hard water leaves lime in the boiler. Run the descaling cycle when the blue lamp blinks, about every "
    "two months. The cycle takes half an hour and cannot be paused. Throw the used solution away.",
    "tank": "The tank holds two litres. Fill it with cold tap water only. The carbon cartridge inside takes out "
    "chlorine and has to be changed after sixty days or fifty litres, whichever comes first. Soak a new one for "
    "five minutes.",
    "grinder": "Turn the collar to the left for a finer grind. Change the setting only while the burrs are turning. "
    "Beans with sugar or caramel clog the grinder and void the warranty.",
    "warranty": "The warranty covers two years from the day of purchase. Seals, gaskets and filters are wearing parts "
    "and are not covered. Keep the receipt and the box.",
    "errors": "E1 means that the tank is empty or not seated. E4 means that the pump runs dry: refill the tank and "
    "open the steam valve for ten seconds. Any other code needs a technician.",
}


class MeanEmbeddings(Embeddings):
    """A plain single-vector first stage on the same model: the mean of a text's rows."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        means = [rows.vectors.mean(axis=0) for rows in self.encoder.encode_documents(texts)]
        return [(mean / np.linalg.norm(mean)).tolist() for mean in means]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class LlamaIndexEmbeddings(BaseEmbedding):
    """The same first stage as LlamaIndex wants it."""

    first_stage: Any

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.first_stage.embed_query(text)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def show(console: Console, rank: int, name: str, score: float, text: str, chunk: Any) -> None:
    evidence = read_evidence(chunk)
    console.print(f"\n{rank}. {name}, score {score:.2f}", highlight=False)
    console.print(EvidenceText(text, evidence))
    for span in evidence:
        matched = ", ".join(content_words(span.query_words, QUESTION) or span.query_words) or "-"
        console.print(f"   {span.score:.2f}  matches: {matched}", highlight=False, markup=False)


def main() -> None:
    console = Console(width=min(Console().width, 100))
    console.print(f"[bold]{QUESTION}[/bold]")
    encoder = load_encoder(MODEL)
    first_stage = MeanEmbeddings(encoder)

    console.rule("LangChain")
    store = InMemoryVectorStore(first_stage)
    store.add_documents([Document(text, id=name, metadata={"page": name}) for name, text in HANDBOOK.items()])
    reranker = LateInteractionRerank(model=encoder, top_n=2)
    retriever = reranker.as_retriever(store.as_retriever(search_kwargs={"k": 5}))
    for rank, document in enumerate(retriever.invoke(QUESTION), start=1):
        score = document.metadata["relevance_score"]
        show(console, rank, document.metadata["page"], score, document.page_content, document)

    console.rule("LlamaIndex")
    nodes = [TextNode(text=text, id_=name) for name, text in HANDBOOK.items()]
    index = VectorStoreIndex(nodes, embed_model=LlamaIndexEmbeddings(first_stage=first_stage))
    found = index.as_retriever(similarity_top_k=5).retrieve(QUESTION)
    best = LlamaIndexRerank(model=encoder, top_n=2).postprocess_nodes(found, query_str=QUESTION)
    for rank, node in enumerate(best, start=1):
        show(console, rank, node.node_id, node.get_score(), node.get_content(), node)

    console.rule()
    console.print('Next, your own files: latelens "your question" folder/ --html report.html', highlight=False)


if __name__ == "__main__":
    sys.exit(main())
