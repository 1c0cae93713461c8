"""The benchmark over all kinds of claims measures what it says: by hand, on texts in which equal words match with 1."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import attribution_kinds
import attribution_squad
from attribution_kinds_tasks import read_kinds
from attribution_measures import bm25_share, dense_sentence
from evidence_methods import WordFrequencies


@pytest.fixture
def data(tmp_path):
    """SciFact's form, with one claim that is backed, one that is contradicted, and one without evidence."""
    texts = {"cats": "Cats eat mice. They sleep.", "dogs": "Dogs chase cars.", "birds": "Birds sing songs."}
    lines = {
        "corpus": [{"id": name, "text": text} for name, text in texts.items()],
        "queries": [
            {"id": "1", "text": "Cats eat mice."},
            {"id": "2", "text": "Dogs never chase cars."},
            {"id": "3", "text": "Planes fly over Berlin."},
        ],
        "evidence": [
            {"qid": "1", "docid": "cats", "label": "SUPPORT", "spans": [[0, 14]]},
            {"qid": "2", "docid": "dogs", "label": "CONTRADICT", "spans": [[0, 16]]},
        ],
    }
    folder = tmp_path / "scifact" / "norm"
    folder.mkdir(parents=True)
    for name, rows in lines.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels_beir.tsv").write_text("qid\tdocid\trel\n1\tcats\t1\n2\tdogs\t1\n3\tbirds\t1\n")
    return tmp_path


def test_contradicting_evidence_is_evidence_but_no_support(data):
    some, support = read_kinds(data, ["scifact, any evidence", "scifact, support"])
    assert sum(pair.attributable for pair in some.claims.pairs) == 2
    assert [pair.id for pair in support.claims.pairs if pair.attributable] == ["1/cats"]
    assert some.marked["1/cats"] == ((0, 14),)
    with pytest.raises(ValueError, match="no set is called flowers; there are gensearch"):
        read_kinds(data, ["flowers"])


def test_baselines_by_hand():
    frequencies = WordFrequencies(["Cats eat mice.", "Dogs bark."])
    assert bm25_share("Cats eat mice.", ["Birds sing. Cats eat mice."], frequencies) == pytest.approx(1)
    assert bm25_share("Planes fly.", ["Cats eat mice."], frequencies) == 0
    assert dense_sentence("Cats eat mice.", ["Birds sing. Cats eat mice."], FakeEncoder()) == pytest.approx(1)
    assert dense_sentence("Cats.", [""], FakeEncoder()) == 0


def test_the_command_measures_a_data_set(data, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(attribution_kinds, "load_encoder", lambda name: FakeEncoder(name))
    out = tmp_path / "out.json"
    given = [str(data), "--sets", "scifact, any evidence", "--json", str(out)]
    assert attribution_kinds.main(given) == 0
    written, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert written["auroc"]["scifact, any evidence, all"]["latelens"]["mean"] == 1
    flags = written["flags"]["scifact, any evidence, attributable"]
    assert (flags["claims"], flags["flagged"], flags["negation"]) == (2, 0.5, 0.5)
    assert written["flags"]["scifact, any evidence, other"]["no evidence"] == 1
    assert written["first citation"]["scifact, any evidence"]["latelens"]["mean"] == 1
    assert "minus the best" in printed
    assert attribution_kinds.main([str(tmp_path / "nothing")]) == 1


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("Who designed the first engine?", "Ada Lovelace", "Ada Lovelace designed the first engine."),
        ("What caused the fire ?", "a spark", "A spark caused the fire."),
        ("What is the name of the river?", "the Rhine.", "The name of the river is the Rhine."),
        ("What types of work did they do?", "farming", None),
        ("When did it open?", "1994", None),
        ("What is the goal they work for?", "peace", None),
    ],
)
def test_a_question_becomes_a_statement_where_that_is_plain(question, answer, expected):
    assert attribution_squad.statement(question, answer) == expected


ASKED = ("Who repaired the engine?", "Who drives the engine?")


def test_statements_of_squad_are_measured(tmp_path, capsys, monkeypatch):
    texts = {"a": "Ada built the engine. Bob sold it.", "b": "Cats eat mice."}
    lines = {
        "corpus": [{"id": name, "text": text} for name, text in texts.items()],
        "queries": [
            {"id": f"q{i}", "text": f"Who {verb} the engine?"} for i, verb in enumerate(("repaired", "drives"))
        ],
        "evidence": [
            {"qid": "q0", "docid": "a", "spans": [[0, 3]]},
            {"qid": "q1", "docid": "a", "spans": [[22, 25]]},
        ],
    }
    for name, rows in lines.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(attribution_squad, "load_encoder", lambda name: FakeEncoder())
    monkeypatch.setattr(attribution_squad, "is_for_tuning", lambda name: False)
    made = list(attribution_squad.read_made(tmp_path, None))
    assert {(one.right, one.wrong) for one in made} == {
        ("Ada repaired the engine.", "Bob repaired the engine."),
        ("Bob drives the engine.", "Ada drives the engine."),
    }
    assert attribution_squad.main([str(tmp_path), "--foreign", "0", "--json", str(tmp_path / "n.json")]) == 0
    assert json.loads((tmp_path / "n.json").read_text())["right"]["claims"] == 2
    assert "right: claims 2.000" in capsys.readouterr().out
