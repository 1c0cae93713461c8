"""The evidence benchmark measures what it says: by hand, on texts in which equal words match with 1."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_encoder import FakeEncoder

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import evidence
import evidence_measures as measures
from evidence_methods import Choice, Reading, WordFrequencies, choices, in_context, winning_mass
from evidence_table import Bootstrap, markdown
from evidence_tasks import Document, Task, read_dataset, split_of, touched

from latelens import explain

TEXT = "Cats eat fish. Dogs eat bones. Birds sing."
CATS, DOGS, BIRDS = SENTENCES = ((0, 14), (15, 30), (31, 42))
OTHER = Document("other", "Trees", "Trees grow slowly in the north.", None)


def task(query="dogs bones", gold=((1,),), sentences=SENTENCES, text=TEXT):
    answers = tuple(tuple(sentences[i] for i in group) for group in gold)
    return Task("q", query, Document("d", "Pets", text, None), sentences, answers, tuple(map(frozenset, gold)))


def read(asked):
    encoder = FakeEncoder()
    query, document = encoder.encode_queries([asked.query])[0], encoder.encode_documents([asked.document.text])[0]
    alone = tuple(encoder.encode_documents([asked.document.text[start:end] for start, end in asked.sentences]))
    return Reading(asked, explain(query, document), alone)


def write(folder, **files):
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path,
        corpus=[
            {"id": "d", "title": "Pets", "text": TEXT},
            {"id": "other", "title": "Trees", "text": OTHER.text},
            {"id": "g", "title": "", "text": "One two. Three four.", "sents": [[0, 8], [9, 20]]},
        ],
        queries=[{"id": "q5", "text": "dogs bones"}, {"id": "q2", "text": "three four"}],
        evidence=[
            {"qid": "q5", "docid": "d", "spans": [[24, 29], [24, 29], [20, 29]], "mode": "any"},
            {"qid": "q2", "docid": "g", "groups": [[1], [0, 1]], "spans": [[9, 20], [0, 8]], "mode": "any_group"},
        ],
    )
    return tmp_path


def test_a_sentence_is_gold_if_an_answer_touches_it(folder):
    found = {task.query_id: task for task in read_dataset(folder).tasks}
    assert found["q5"].sentences == SENTENCES
    assert found["q5"].answers == (((24, 29),), ((20, 29),))
    assert found["q5"].gold_sentences == {1}
    assert found["q2"].sentences == ((0, 8), (9, 20))
    assert found["q2"].gold == (frozenset({1}), frozenset({0, 1}))
    assert touched([(14, 15)], SENTENCES) == frozenset()
    assert touched([(13, 16)], SENTENCES) == {0, 1}


def test_the_sha1_of_a_query_id_decides_about_its_split(folder):
    # echo -n q5 | sha1sum begins with 3, q2 with f
    assert [split_of(name) for name in ("q5", "q2")] == ["tune", "report"]
    assert read_dataset(folder, split="tune").query_ids == ["q5"]
    assert read_dataset(folder, limit=1).query_ids == ["q5"]
    write(folder, evidence=[{"qid": "q5", "docid": "d", "spans": [[24, 29]], "mode": "any"}])
    with pytest.raises(ValueError, match=r"no query of .* is in the split 'report'.*--split all"):
        read_dataset(folder, split="report")


def test_evidence_outside_every_sentence_is_refused(folder):
    write(folder, evidence=[{"qid": "q5", "docid": "d", "spans": [[14, 15]], "mode": "any"}])
    with pytest.raises(ValueError, match=r"evidence of query 'q5' lies outside the sentences of 'd'"):
        read_dataset(folder)


def test_baselines_score_sentences_as_named():
    reading = read(task("dogs eat bones"))
    # [CLS] wins itself and lies in no sentence; "eat" is first found among the cats.
    assert winning_mass(reading.explanation, SENTENCES) == [1, 2, 0]
    assert in_context(reading.explanation, SENTENCES) == [1, 3, 0]
    found = choices(reading, WordFrequencies([TEXT, OTHER.text]))
    assert found["A4 isolated"].spans == (DOGS, CATS, BIRDS)
    assert found["lead sentence"].spans == SENTENCES
    assert found["latelens"].spans[0] == DOGS


def test_a_rare_word_outweighs_common_ones():
    frequencies = WordFrequencies(["cats eat", "dogs eat", "birds eat", TEXT])
    scores = frequencies.overlap(task("eat sing"))
    assert scores == pytest.approx([frequencies.idf("eat"), frequencies.idf("eat"), frequencies.idf("sing")])
    assert scores[2] == pytest.approx(math.log(1 + 3.5 / 1.5))
    assert np.argmax(frequencies.bm25(task("eat sing"))) == 2


def test_f1_asks_for_one_alternative_and_forgives_the_others():
    gold = frozenset({0, 1, 2})
    groups = [frozenset({0, 1}), frozenset({2})]
    assert measures.f1(frozenset({2}), gold, groups) == 1
    assert measures.f1(frozenset({0}), gold, groups) == pytest.approx(2 / 3)  # precision 1, recall 1/2
    assert measures.f1(frozenset({2, 3}), gold, groups) == pytest.approx(2 / 3)  # precision 1/2, recall 1
    assert measures.f1(frozenset({2}), gold, [gold]) == pytest.approx(1 / 2)  # precision 1, recall 1/3
    assert measures.f1(frozenset({3}), gold, groups) == measures.f1(frozenset(), gold, groups) == 0


def test_an_answer_is_found_if_every_visible_character_is():
    asked = task(gold=((0, 1), (2,)))
    assert measures.answered(asked, [CATS]) == 0.5
    assert measures.answered(asked, [CATS, DOGS]) == 1
    assert measures.answered(asked, [BIRDS]) == 1
    assert measures.answered(asked, [(31, 41)]) == 0  # the stop is missing
    assert measures.answered(asked, []) == 0


def test_a_span_counts_for_the_sentence_that_holds_most_of_it_and_none_is_a_miss():
    assert set(measures.against_gold(task(), Choice((), returned=0)).values()) == {0}
    assert measures.sentence_of((12, 25), SENTENCES) == 1
    assert measures.sentence_of((14, 15), SENTENCES) is None


def test_chance_is_computed_and_not_drawn():
    values = measures.expected_against_gold(task())
    assert values[measures.HIT] == values[measures.F1] == pytest.approx(1 / 3)
    assert values[measures.RECALL[1]] == pytest.approx(2 / 3)
    one = measures.expected_against_gold(task("a", gold=((0,),), sentences=((0, 2),), text="a."))
    assert one[measures.HIT] == one[measures.RECALL[1]] == 1


def test_faithfulness_by_hand():
    reading, encoder = read(task()), FakeEncoder()
    pool = [(OTHER, encoder.encode_documents([OTHER.text])[0])]
    floor = measures.floor(reading.explanation, reading.task.document, pool)
    assert (reading.explanation.score, floor) == (3, 1)  # [CLS], dogs, bones against [CLS] alone
    without, alone = measures.cuts(TEXT, DOGS)
    assert (without, alone) == ("Cats eat fish.  Birds sing.", "Dogs eat bones.")
    score = explain(reading.explanation.query, encoder.encode_documents([alone])[0]).score
    values = measures.Faithfulness(reading.explanation, floor, {alone: score}).of(DOGS)
    assert values[measures.SHARE] == pytest.approx(3 / 8)
    assert values[measures.COMPREHENSIVENESS[0]] == 1  # [CLS] stays: (3 - 1) / (3 - 1)
    assert values[measures.SUFFICIENCY[0]] == 0.5  # dogs and bones, without [CLS]: (2 - 1) / (3 - 1)
    assert values[measures.SUFFICIENCY[1]] == 1  # encoded alone the sentence has a [CLS] of its own
    assert math.isnan(values[measures.COMPREHENSIVENESS[1]])  # that text was not encoded
    assert math.isnan(values[measures.SHORT[0]])  # 3 of 8 tokens are more than 20 %


def test_a_document_that_scores_like_any_text_says_nothing_about_faithfulness():
    reading = read(task())
    assert math.isnan(measures.Faithfulness(reading.explanation, floor=3.0).of(DOGS)[measures.COMPREHENSIVENESS[0]])


def test_the_floor_leaves_out_the_same_title_and_cuts_to_the_same_length():
    reading, encoder = read(task()), FakeEncoder()
    others = [("same", "Pets", "dogs bones"), ("long", "Long", "one two three four five six seven eight dogs bones")]
    pool = [(Document(*other, None), encoder.encode_documents([other[2]])[0]) for other in others]
    assert measures.floor(reading.explanation, reading.task.document, pool) == 1  # its ninth word is cut off
    assert math.isnan(measures.floor(reading.explanation, reading.task.document, pool[:1]))


def test_random_spans_have_as_many_words_and_are_the_same_each_time():
    drawn = measures.draws(TEXT, DOGS, seed="0 q d")
    assert drawn == measures.draws(TEXT, DOGS, seed="0 q d")
    assert len(drawn) == 5
    assert {len(TEXT[start:end].split()) for start, end in drawn} == {3}
    assert measures.draws(TEXT, (14, 15), seed="0") == ()


def test_leave_one_out_wants_each_sentence_cut_and_alone():
    texts = measures.texts_to_rescore(task(), [DOGS])
    assert len(texts) == 6
    lost = measures.leave_one_out(task(), {text: float("Dogs" in text) for text in texts}, 1.0)
    assert lost == [0, 1, 0]
    assert measures.texts_to_rescore(task("a", gold=((0,),), sentences=((0, 2),), text="a."), []) == []


def test_the_bootstrap_keeps_the_pairs_of_a_query_together():
    together = Bootstrap(["a", "a", "b"], seed=0)
    constant = together.mean(np.ones(3))
    assert (constant.mean, constant.low, constant.high, constant.n) == (1, 1, 1, 3)
    some = together.mean(np.array([1.0, math.nan, 0.0]))
    assert (some.mean, some.low, some.high, some.n) == (0.5, 0, 1, 2)
    # Both pairs of query "a" come or go together, so every resample has the same mean.
    assert together.mean(np.array([1.0, 0.0, 0.5])).low == 0.5
    assert together.ratio(np.array([2.0, 4.0, 6.0]), np.array([1.0, 2.0, 3.0])).high == 2
    assert str(together.mean(np.full(3, math.nan))) == "-"


def test_the_table_says_where_a_method_has_fewer_pairs():
    bootstrap = Bootstrap(["a", "b"], seed=0)
    row = {"all": bootstrap.mean(np.ones(2)), "half": bootstrap.mean(np.array([1.0, math.nan]))}
    last = markdown("t", {"m": row, "n": {"half": row["half"]}}).splitlines()[-2:]
    assert last == [
        "| m | 2 | 1.000 (1.000 to 1.000) | 1.000 (1.000 to 1.000), n=1 |",
        "| n | 1 | - | 1.000 (1.000 to 1.000) |",
    ]


@pytest.fixture
def run(folder, monkeypatch, capsys):
    def call(*options):
        monkeypatch.setattr(evidence, "load_encoder", lambda name: FakeEncoder(name))
        assert evidence.main([str(folder), "--model", "fake", "--json", str(folder / "out.json"), *options]) == 0
        written = json.loads((folder / "out.json").read_text(encoding="utf-8"))[0]
        return written, capsys.readouterr().out

    return call


def test_the_command_measures_a_data_set(run):
    written, table = run()
    assert (written["queries"], written["pairs"]) == (2, 2)
    found = written["measures"]
    assert found[measures.HIT]["latelens"] == {"mean": 1, "low": 1, "high": 1, "n": 2}
    assert found[measures.HIT]["lead sentence"]["mean"] == 0.5  # a group of q2 begins with the first one
    assert found[measures.HIT]["random"]["mean"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-4)
    assert found[f"{measures.HIT}, latelens minus this"]["lead sentence"]["mean"] == 0.5
    assert found[measures.AGREEMENT]["latelens"]["mean"] == found[measures.AGREEMENT]["leave one out"]["mean"] == 1
    assert found[measures.COMPREHENSIVENESS[1]]["latelens"]["mean"] == 1
    assert f"| {measures.HIT} | 2 | 1.000 (1.000 to 1.000) |" in table


def test_a_second_run_gives_the_same_numbers_and_reads_them_from_the_cache(run, folder):
    first, second = (run("--cache", str(folder / "cache"))[0] for _ in range(2))
    assert first == second
    assert list((folder / "cache").rglob("*.emb"))


def test_a_folder_that_cannot_be_read_is_named(tmp_path, capsys):
    assert evidence.main([str(tmp_path / "nothing")]) == 1
    assert "nothing" in capsys.readouterr().err


def test_without_cut_texts_what_needs_them_is_not_measured(run):
    found = run("--no-reencode")[0]["measures"]
    assert found[measures.COMPREHENSIVENESS[1]]["latelens"] == {"mean": None, "low": None, "high": None, "n": 0}
    assert found[measures.AGREEMENT]["latelens"]["n"] == 0
    assert found[measures.COMPREHENSIVENESS[0]]["latelens"]["n"] == 2
