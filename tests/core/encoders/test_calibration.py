"""Relevance: a probability made by a calibration, and none where there is no calibration."""

import dataclasses
import json
import math

import numpy as np
import pytest
from fake_encoder import FakeEncoder

from latelens import Calibration, TokenEmbeddings, explain, load_encoder, rerank
from latelens.encoders.calibration import packaged_calibration
from latelens.evaluation import calibrate
from latelens.evaluation.calibrate import Examples, find_examples, fit, measure
from latelens.evaluation.data import read_questions
from latelens.explanation.relevance import best_passage, relevance

OFFLINE = "offline/all-MiniLM-L6-v2"
MADE = Calibration("fake", strength=10.0, length=-0.5, intercept=-4.0, fitted_on="by hand")
DOCUMENTS = ["Elephants eat grass and bark.", "Lions hunt zebras at night.", "Tickets cost nine euros."]


class Calibrated(FakeEncoder):
    calibration = MADE


def test_a_relevance_is_the_logistic_of_strength_and_length():
    (top, *_) = rerank("elephants eat grass", DOCUMENTS, Calibrated())
    logit = 10 * top.explanation.strength - 0.5 * math.log(len(top.explanation.document)) - 4
    assert top.relevance == pytest.approx(1 / (1 + math.exp(-logit)))
    assert 0 < top.relevance < 1


def test_an_encoder_without_a_calibration_gives_none_never_a_made_up_number():
    assert [ranked.relevance for ranked in rerank("elephants", DOCUMENTS, FakeEncoder())] == [None] * 3
    with pytest.raises(ValueError, match=r"'fake' has no calibration.*python -m latelens\.evaluation\.calibrate"):
        rerank("elephants", DOCUMENTS, FakeEncoder(), min_relevance=0.5)


def test_a_threshold_leaves_out_what_is_less_likely_and_top_n_counts_what_is_left():
    ranked = rerank("elephants eat grass", DOCUMENTS, Calibrated())
    line = (ranked[0].relevance + ranked[1].relevance) / 2
    kept = rerank("elephants eat grass", DOCUMENTS, Calibrated(), min_relevance=line)
    assert [each.index for each in kept] == [0]
    assert len(rerank("elephants eat grass", DOCUMENTS, Calibrated(), min_relevance=0, top_n=2)) == 2
    assert rerank("elephants eat grass", DOCUMENTS, Calibrated(), min_relevance=1) == []


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_threshold_outside_0_and_1_is_refused(value):
    with pytest.raises(ValueError, match=f"min_relevance must be between 0 and 1 or None, got {value}"):
        rerank("elephants", DOCUMENTS, Calibrated(), min_relevance=value)


def test_a_document_or_a_query_without_text_answers_nothing(offline):
    assert rerank("What do elephants eat?", [""], offline)[0].relevance == 0
    with pytest.warns(UserWarning, match="no visible text"):
        assert rerank(" ", ["Elephants eat grass."], offline)[0].relevance == 0


def test_the_offline_model_tells_an_answer_from_a_text_on_another_subject(offline):
    question = "How much do I pay for my toddler?"
    answer, other = "Children under six get in free, adults pay nine euros.", "The museum opens at ten."
    ranked = rerank(question, [answer, other, "Rain is expected in the north."], offline)
    assert ranked[0].index == 0
    assert ranked[0].relevance > 3 * ranked[1].relevance
    assert ranked[0].relevance > 3 * ranked[2].relevance


# --- long documents ---


def test_the_relevance_of_a_long_document_is_that_of_its_best_passage():
    encoder = FakeEncoder()
    (asked,) = encoder.encode_queries(["elephants eat grass"])
    filler, answer = encoder.encode_documents(["rain " * 249, "elephants eat grass " + "rain " * 246])
    long = TokenEmbeddings(
        filler.text + answer.text,
        np.concatenate([filler.vectors, answer.vectors, filler.vectors]),
        filler.tokens + answer.tokens + filler.tokens,
        np.concatenate([filler.spans, answer.spans + len(filler.text), filler.spans]).astype(np.int32),
        np.concatenate([filler.kinds, answer.kinds, filler.kinds]),
    )
    alone, whole = best_passage(explain(asked, answer)), best_passage(explain(asked, long))
    assert (alone.passages, whole.passages) == (0, pytest.approx(math.log(3)))
    assert whole.strength == pytest.approx(alone.strength, abs=1e-6)
    assert whole.length == pytest.approx(math.log(250))
    assert relevance(explain(asked, long), MADE) == pytest.approx(relevance(explain(asked, answer), MADE), abs=1e-6)
    paying = dataclasses.replace(MADE, passages=-1.0)
    assert relevance(explain(asked, long), paying) < relevance(explain(asked, answer), paying)


def test_a_short_document_is_one_passage_whose_strength_is_the_whole_ones():
    encoder = FakeEncoder()
    (asked,) = encoder.encode_queries(["elephants eat grass"])
    for count in (0, 1, 30, 372):
        explanation = explain(asked, encoder.encode_documents(["grass " + "rain " * count])[0])
        found = best_passage(explanation)
        assert (found.passages, found.length) == (0, pytest.approx(math.log(count + 2)))
        assert found.strength == pytest.approx(explanation.strength, abs=1e-6)
    assert best_passage(explain(asked, encoder.encode_documents(["rain " * 374])[0])).passages > 0


def test_a_file_of_before_long_documents_were_measured_is_read(tmp_path):
    MADE.save(tmp_path / "old.json")
    saved = json.loads((tmp_path / "old.json").read_text())
    del saved["passages"]
    (tmp_path / "old.json").write_text(json.dumps(saved))
    assert Calibration.load(tmp_path / "old.json") == MADE


# --- files ---


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    MADE.save(tmp_path / "made.json")
    assert Calibration.load(tmp_path / "made.json") == MADE


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"strength": "much"}', MADE.__repr__()])
def test_a_file_that_is_no_calibration_says_how_to_make_one(text, tmp_path):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(ValueError, match=r"bad\.json is no calibration .*python -m latelens\.evaluation\.calibrate"):
        Calibration.load(tmp_path / "bad.json")


def test_a_number_that_is_not_finite_is_refused(tmp_path):
    MADE.save(tmp_path / "bad.json")
    saved = json.loads((tmp_path / "bad.json").read_text()) | {"strength": float("inf")}
    (tmp_path / "bad.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="not finite"):
        Calibration.load(tmp_path / "bad.json")


def test_the_offline_model_brings_its_own_and_another_can_be_given(offline, tmp_path):
    assert offline.calibration == packaged_calibration(OFFLINE)
    assert offline.calibration.model == OFFLINE
    MADE.save(tmp_path / "made.json")
    assert load_encoder(OFFLINE, device="cpu", calibration=tmp_path / "made.json").calibration == MADE
    assert load_encoder(OFFLINE, device="cpu", calibration=MADE).calibration == MADE
    assert load_encoder(offline.model).calibration is None  # a loaded model may be any model


@pytest.mark.parametrize("name", ["lightonai/LateOn", "", "../relevance.py", "..", "C:\\x", "unknown"])
def test_no_other_name_has_one(name):
    assert packaged_calibration(name) is None


# --- fitting ---


def examples(n=4000, seed=0):
    """Made so that the right calibration is known: strength 12, length -1, intercept -2."""
    random = np.random.default_rng(seed)
    strengths, lengths = random.uniform(0, 1, n), random.uniform(3, 6, n)
    logits = 12 * strengths - lengths - 2
    return Examples(strengths, lengths, np.zeros(n), random.uniform(size=n) < 1 / (1 + np.exp(-logits)))


def test_a_fit_finds_what_made_the_data_and_is_calibrated_on_more_of_it():
    found = fit(examples(), model="m", fitted_on="made")
    assert (found.strength, found.length, found.intercept) == (
        pytest.approx(12, abs=1),
        pytest.approx(-1, abs=0.2),
        pytest.approx(-2, abs=1),
    )
    assert measure(found, examples(seed=1))["ece"] < 0.03
    assert measure(found, examples(seed=1))["auroc"] > 0.9
    assert found.passages == 0  # nothing was long


def test_measures_on_numbers_that_can_be_checked_by_hand():
    # Two examples at probability .5 of which one is right, two at .9 of which one is right: gaps 0 and .4.
    logits = np.array([0, 0, math.log(9), math.log(9)])
    found = measure(
        Calibration("m", 1.0, 0.0, 0.0, ""),
        Examples(logits, np.zeros(4), np.zeros(4), np.array([True, False, True, False])),
    )
    assert found == {"auroc": pytest.approx(0.5), "ece": pytest.approx(0.2)}


def test_too_few_questions_are_refused():
    with pytest.raises(ValueError, match="at least 50 questions with answers, got 20"):
        fit(examples(n=40), model="m", fitted_on="made")


def write(folder, count=130):
    """Each document repeats most of its own question; every fifth has a twin that repeats more."""
    folder.mkdir(parents=True, exist_ok=True)
    words = [f"word{i}" for i in range(4 * count)]
    queries, documents, qrels = [], [], ["qid\tdocid\trel"]
    for i in range(count):
        asked = words[4 * i : 4 * i + 4]
        queries.append({"id": f"q{i}", "text": " ".join(asked)})
        documents.append({"id": f"d{i}", "text": " ".join([*asked[:3], f"other{i}"])})
        qrels += [f"q{i}\td{i}\t1", f"q{i}\td{(i + 7) % count}\t0"]
    documents += [{"id": f"twin{i}", "text": " ".join(words[4 * i : 4 * i + 4])} for i in range(0, count, 5)]
    for name, lines in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "qrels.tsv").write_text("\n".join(qrels))
    return folder


def test_examples_are_the_best_right_and_the_best_other_document(tmp_path, monkeypatch):
    folder = write(tmp_path / "data")
    monkeypatch.setattr(calibrate, "_SLAB", 16)  # so that the best of several slabs is kept
    questions = read_questions(folder)
    assert len(questions) == 130
    found = find_examples(FakeEncoder(), folder, questions)
    right, other = found.strengths[found.labels], found.strengths[~found.labels]
    assert len(right) == len(other) == 130
    twins = np.array([int(question.id[1:]) % 5 == 0 for question in questions])
    assert (other[twins] > right[twins]).all()
    assert (other[~twins] <= right[~twins]).all()


def test_the_command_fits_measures_and_writes_a_file_that_loads(tmp_path, capsys, monkeypatch):
    folder = write(tmp_path / "data", count=260)
    monkeypatch.setattr(calibrate, "load_encoder", lambda model, speed: FakeEncoder())
    assert calibrate.main(["fake", str(folder), "--test", str(folder), "--output", str(tmp_path / "made.json")]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| fitted on", "| held out", f"| {folder}"]
    made = Calibration.load(tmp_path / "made.json")
    assert made.model == "fake"
    assert made.strength > 0
    fitted = sum(question.fitted for question in read_questions(folder))
    assert made.fitted_on == f"{fitted} queries of {tmp_path.name}/data"


def test_the_command_says_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(calibrate, "load_encoder", lambda model, speed: FakeEncoder())
    assert calibrate.main(["fake", str(tmp_path)]) == 2
    assert "qrels.tsv" in capsys.readouterr().err
    assert calibrate.main(["fake", str(write(tmp_path / "small", count=20))]) == 2
    assert "at least 50 questions" in capsys.readouterr().err
