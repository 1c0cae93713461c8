"""What `scripts/training` trains is what the library computes: the same sentence scores and the same MaxSim."""

import gzip
import json
import sys
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch

from latelens import explain, find_evidence
from latelens.adapt import losses
from latelens.adapt.sampling import Sampler, Share, pad

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts" / "training"
PASSAGES = [
    [
        "The lighthouse is white, says the guide.",
        "Two brothers built it in 1871.",
        "Boats (small ones) leave every hour.",
    ],
    ["Elephants eat grass, bark and fruit.", "They drink 100 litres of water a day."],
    ["Tickets cost nine euros; children under six don't pay."],
]
QUESTIONS = [
    ("Who built the lighthouse?", 0, 1),
    ("how much water do elephants drink", 1, 1),
    ("Is it free for kids?", 2, 0),
]


@pytest.fixture
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield
    for name in ("passages",):
        sys.modules.pop(name, None)


@pytest.fixture
def examples(scripts, tmp_path, offline):
    import passages

    lines = [
        {"source": "selqa", "document": f"selqa:A:{i}", "sentences": PASSAGES[i], "question": question, "gold": [gold]}
        for question, i, gold in QUESTIONS
    ]
    with gzip.open(tmp_path / "train.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return passages.read_examples(
        tmp_path / "train.jsonl.gz", offline.model.tokenizer, longest_query=32, longest_passage=64
    )


def batch_of(examples, offline):
    """The batch that training makes, with the library's rows in place of the frozen states."""

    def rows(texts):
        with torch.inference_mode():
            found = [
                offline.model[0].auto_model(input_ids=torch.tensor(ids[None].astype(np.int64)))[0][0] for ids in texts
            ]
        return torch.from_numpy(pad([torch.nn.functional.normalize(each, dim=-1).numpy() for each in found], 0))

    def masks(texts):
        return torch.from_numpy(pad([np.ones(len(ids), dtype=bool) for ids in texts], 0))

    queries, documents = [each.ids for each in examples.questions], [each.ids for each in examples.passages]
    return losses.TrainingBatch(
        query_before=rows(queries),
        query_mask=masks(queries),
        words=torch.from_numpy(pad([each.words for each in examples.questions], -1)),
        passage_before=rows(documents),
        passage_mask=masks(documents),
        owners=torch.from_numpy(pad([each.owners for each in examples.passages], -2)).long(),
        own=torch.tensor([each.passage for each in examples.questions]),
        gold=[each.gold for each in examples.questions],
    )


def test_the_sentence_scores_and_maxsims_of_training_are_those_of_the_library(examples, offline):
    batch = batch_of(examples, offline)
    similarity = losses.similarities(batch.query_before, batch.passage_before)
    scores = losses.sentence_scores(batch.query_before, similarity, batch)
    maxsims, found = losses.mean_maxsim(similarity, batch), losses.strengths(batch.query_before, similarity, batch)
    documents = offline.encode_documents([" ".join(sentences) for sentences in PASSAGES])
    for i, query in enumerate(offline.encode_queries([question for question, *_ in QUESTIONS])):
        for j, document in enumerate(documents):
            explanation = explain(query, document)
            assert maxsims[i, j].item() * len(query) == pytest.approx(explanation.score, abs=1e-3)
            assert found[i, j].item() == pytest.approx(explanation.strength, abs=1e-4)
        own = QUESTIONS[i][1]
        ends = list(accumulate(len(sentence) + 1 for sentence in PASSAGES[own]))
        spans = [(end - len(s) - 1, end - 1) for end, s in zip(ends, PASSAGES[own], strict=True)]
        (best, *_) = find_evidence(explain(query, documents[own]), sentences=spans)
        assert spans[int(scores[i].argmax())] == (best.start, best.end)
        assert scores[i].max().item() == pytest.approx(best.score, abs=1e-4)


def test_the_loss_falls_where_the_marked_sentence_rises_and_has_finite_gradients():
    scale = torch.tensor(10.0, requires_grad=True)
    scores = torch.tensor([[0.5, 0.6, -1e4]], requires_grad=True)  # the third sentence does not exist
    loss = losses.sentence_loss(scores, [[1]], scale)
    assert loss.item() == pytest.approx(np.log(1 + np.exp(-1)))
    loss.backward()
    assert scores.grad[0, 1] < 0 < scores.grad[0, 0]
    assert torch.isfinite(scale.grad)


def test_the_loss_of_relevance_asks_that_one_bound_serves_all_questions():
    own, one, centre = torch.tensor([0, 0]), torch.tensor(1.0), torch.tensor(0.5)
    found = torch.tensor([[0.7, 0.6, 0.1], [0.4, 0.3, 0.2]], requires_grad=True)  # both right ones are first
    loss = losses.relevance_loss(found, own, one, centre)
    assert loss.item() == pytest.approx(
        np.mean([np.log1p(np.exp(-0.2)) + np.log1p(np.exp(0.1)), np.log1p(np.exp(0.1)) + np.log1p(np.exp(-0.2))])
    )
    loss.backward()
    assert (found.grad[:, 0] < 0).all()
    assert (found.grad[:, 1] > 0).all()
    assert not found.grad[:, 2].any()  # only the best rival counts
    assert found.grad[1, 0] < found.grad[0, 0]  # the weak right one is pulled harder


def test_a_run_is_a_passage_with_its_hardest_rivals():
    share = Share(range(4), wanted=3, run=3, rivals=[(2, 1, 3), (3, 0), (0,), (1,)])
    assert share.run_from(0) == [0, 2, 1]
    assert share.run_from(2) == [2, 0]
    passages, questions = Sampler([share], [(0,), (1,), (2,), (3,)], questions=1, seed=0).draw()
    assert len(set(passages)) == 3
    assert questions == passages


def test_a_question_whose_answer_was_cut_off_is_left_out(scripts, tmp_path, offline):
    import passages

    line = {"source": "selqa", "document": "selqa:A:1", "sentences": PASSAGES[0], "question": "Who?", "gold": [2]}
    with gzip.open(tmp_path / "cut.jsonl.gz", "wt") as file:
        file.write(json.dumps(line))
    options = {"longest_query": 32, "longest_passage": 12}
    found = passages.read_examples(tmp_path / "cut.jsonl.gz", offline.model.tokenizer, **options)
    assert (found.passages, found.questions) == ((), ())
