"""The attribution benchmark measures what it says: by hand, on texts in which equal words match with 1."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import attribution
import attribution_measures as measures
from attribution_tasks import distractors, read_claims, shuffled, texts_of
from evidence_methods import WordFrequencies

from latelens.attribution import attribute
from latelens.evaluation.measures import auroc

PASSAGES = {"cats": "Cats eat mice. They sleep.", "dogs": "Dogs chase cars.", "birds": "Birds sing songs."}
PASSAGES |= {f"other{i}": f"Number {i} stands in the north." for i in range(4)}


@pytest.fixture
def folder(tmp_path):
    lines = {
        "corpus": [{"id": name, "text": text} for name, text in PASSAGES.items()],
        "queries": [
            {"id": "q5", "text": "Cats eat mice.", "question": "What do cats eat?"},
            {"id": "q2", "text": "Planes fly over Berlin.", "question": "What flies?"},
            {"id": "q1", "text": "Dogs chase cars. Birds sing songs.", "question": "Who sings?"},
        ],
        "pairs": [
            {"qid": "q5", "docids": ["cats"], "label": 1},
            {"qid": "q2", "docids": ["dogs"], "label": 0},
            {"qid": "q1", "docids": ["dogs", "birds"], "label": 1},
        ],
    }
    (tmp_path / "small").mkdir()
    for name, rows in lines.items():
        (tmp_path / "small" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    labels = np.array([True, False, True, False])
    assert auroc(np.array([4.0, 1.0, 3.0, 2.0]), labels) == 1
    assert auroc(np.array([4.0, 3.0, 2.0, 1.0]), labels) == 0.75
    assert auroc(np.ones(4), labels) == 0.5
    assert auroc(np.array([4.0, 3.0, 2.0, 1.0]), labels, np.array([1.0, 0, 5, 1])) == 1
    assert math.isnan(auroc(np.ones(2), np.array([True, True])))


def test_resamples_keep_the_claims_of_a_question_together():
    draws = measures.Resamples(["a", "a", "b"], seed=0)
    seen = set()
    draws.estimate(lambda weights: seen.add(tuple(weights)) or 1.0)
    assert {weights[:2] for weights in seen} == {(float(n), float(n)) for n in range(3)}


def test_baselines_by_hand():
    frequencies = WordFrequencies(PASSAGES.values())
    rare, common = frequencies.idf("cats"), frequencies.idf("north")
    assert measures.overlap("cats north", ["Cats sleep."], frequencies) == pytest.approx(rare / (rare + common))
    assert measures.overlap("", ["Cats"], frequencies) == 0
    encoder = FakeEncoder()
    assert measures.mean_maxsim("cats eat", ["Cats sleep."], encoder) == pytest.approx(2 / 3)  # [CLS] and cats
    # The first sentence alone is the claim; the whole passage is not.
    assert measures.dense("Cats eat mice.", [PASSAGES["cats"]], encoder) == pytest.approx(1)


def test_the_score_of_a_claim_is_the_mean_of_what_can_be_checked():
    found = attribute("Hello! Cats eat mice. Planes fly.", ["Cats eat mice."], FakeEncoder())
    # Of the rows of "Cats eat mice." three of four match: the first stands for no word.
    assert measures.score_of(found) == pytest.approx(((1 + 3 / 4) / 2 + 0) / 2)
    assert measures.score_of(attribute("Hello!", ["Cats."], FakeEncoder())) == 0


def test_distractors_are_no_passages_of_the_same_question(folder):
    claims = read_claims(folder / "small")
    pair = next(pair for pair in claims.pairs if pair.id == "q1")
    vectors = {name: np.eye(9, dtype=np.float32)[i] for i, name in enumerate([*PASSAGES, "q5", "q1"])}
    vectors["q1"] = vectors["other3"]
    found = distractors(claims, vectors, pair, 4)
    assert found[0] == "other3"
    assert len(set(found)) == 4
    assert not set(found) & {"dogs", "birds"}
    assert found == distractors(claims, vectors, pair, 4)
    assert sorted(shuffled(found, "q1")) == sorted(found)


def test_every_text_that_a_method_asks_for_is_encoded_beforehand(folder):
    claims, encoder = read_claims(folder / "small"), FakeEncoder()
    wanted = set(texts_of(claims))
    remembering = measures.Remembering(encoder, attribution.EmbeddingCache())
    attribution.score_pairs(claims, remembering)
    assert set(encoder.encoded) <= wanted


def test_a_passage_that_is_not_there_is_named(folder):
    with (folder / "small" / "pairs.jsonl").open("a") as lines:
        lines.write(json.dumps({"qid": "q5", "docids": ["lost"], "label": 1}) + "\n")
    with pytest.raises(ValueError, match=r"cite passages that its corpus lacks: \['lost'\]"):
        read_claims(folder / "small")


def test_the_command_measures_a_data_set(folder, monkeypatch, capsys):
    monkeypatch.setattr(attribution, "load_encoder", lambda name: FakeEncoder(name))
    out = folder / "out.json"
    given = [
        str(folder),
        "--set",
        "small",
        "--model",
        "fake",
        "--json",
        str(out),
        "--rounds",
        "1",
        "--distractors",
        "3",
    ]
    assert attribution.main(given) == 0
    written, printed = json.loads(out.read_text()), capsys.readouterr().out
    title = next(name for name in written if name.endswith("3 claims"))
    row = written[title]["AUROC, one by one, all"]
    assert row["latelens"]["mean"] == 1
    cited = written["Citations among 3 other passages"]["all"]
    assert (cited["citation precision"]["mean"], cited["citation recall"]["mean"]) == (1, 1)
    assert written["labels, all"]["attributable"] == {"corroborated": 3}
    assert written["labels, all"]["not attributable"] == {"no_evidence": 1}
    assert written["speed"]["claims"] == 3
    assert "| untouched |" in printed


def test_a_folder_that_cannot_be_read_is_named(tmp_path, capsys):
    assert attribution.main([str(tmp_path / "nothing")]) == 1
    assert "nothing" in capsys.readouterr().err
