"""Training on one's own marks: what is read, what is trained, and that noise is not called a gain."""

import json
import random

import numpy as np
import pytest
import torch
from tiny_models import SENTENCES, checkpoint, encoder, needs_multi_vector, one_torch_thread  # noqa: F401

from latelens import explain, find_evidence, load_encoder
from latelens.adapt import Schedule, adapt_model, read_examples
from latelens.adapt.__main__ import main
from latelens.adapt.examples import MarkedQuestion
from latelens.adapt.lora import Lora, linear_layers
from latelens.adapt.losses import mean_maxsim, sentence_scores, similarities
from latelens.adapt.report import Change, compare
from latelens.adapt.sampling import Sampler, Share
from latelens.adapt.texts import encode_batch, read_texts
from latelens.encoders.local.delta import add_delta

pytestmark = needs_multi_vector
WORDS = [word.strip(",;.()") for text in SENTENCES[:4] for word in text.split() if "lighthouse" not in word]
CHUNK = "The lighthouse is white. Two brothers built it in 1871. Boats leave every hour."


def written(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def marked(rng, number, *, gold=None):
    """A question whose answer is the sentence about a lighthouse, or the one that chance chose."""
    right = rng.randrange(3)
    ends = ["lighthouse" if i == right else "recipe" for i in range(3)]
    sentences = [" ".join([*rng.sample(WORDS, 4), end]) + "." for end in ends]
    question = f"Where do {rng.choice(WORDS)} sleep?"
    return {"question": question, "sentences": sentences, "gold": [right if gold is None else gold], "document": number}


# --- marks ---


def test_marked_sentences_become_spans_of_their_passage(tmp_path):
    line = {"question": "Who?", "sentences": ["It is white.", "Two brothers."], "gold": [1], "document": "a"}
    (found,) = read_examples(written(tmp_path / "m.jsonl", [line]))
    assert found == MarkedQuestion("Who?", "It is white. Two brothers.", ((0, 12), (13, 26)), (1,), "a")


@pytest.mark.parametrize(("thumb", "gold"), [("up", (1,)), ("down", (0, 2))])
def test_a_thumb_up_marks_the_sentence_shown_and_a_thumb_down_all_others(tmp_path, thumb, gold):
    start = CHUNK.index("Two")
    line = {"question": "Who?", "text": CHUNK, "start": start, "end": start + 9, "thumb": thumb}
    (found,) = read_examples(written(tmp_path / "m.jsonl", [line]))
    assert found.gold == gold
    assert found.document == CHUNK


def test_lines_that_say_nothing_are_left_out(tmp_path):
    lines = [
        {"question": "Who?", "sentences": ["All.", "Of it."], "gold": [0, 1]},
        {"question": "Who?", "sentences": ["None."], "gold": []},
        {"question": "Who?", "text": "One sentence.", "start": 0, "end": 3, "thumb": "down"},
    ]
    assert read_examples(written(tmp_path / "m.jsonl", lines)) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"question": "Who?"}, r"example 1 is no marked question \(KeyError\('sentences'\)\)"),
        ({"question": " ", "sentences": ["A.", "B."], "gold": [0]}, "not a text with letters: ' '"),
        ({"question": "Who?", "sentences": ["A.", "B."], "gold": [2]}, r"indices of the 2 sentences, got \[2\]"),
        ({"question": "Who?", "text": "A.", "start": 0, "end": 3, "thumb": "up"}, "got 0 and 3 of 2 characters"),
        ({"question": "Who?", "text": "A.", "start": 0, "end": 2, "thumb": "no"}, "must be 'up' or 'down', got 'no'"),
    ],
)
def test_a_line_of_neither_kind_is_named_and_refused(tmp_path, line, said):
    with pytest.raises(ValueError, match=said):
        read_examples(written(tmp_path / "m.jsonl", [line]))


# --- what is trained is what the library computes ---


@pytest.mark.parametrize("name", ["wordpiece-native", "modern_bpe-plain"])  # with markers and expansion, and without
def test_losses_see_the_rows_the_scores_and_the_evidence_of_the_library(name):
    model, rng = encoder(name), random.Random(0)
    lines = [marked(rng, f"document {i}") for i in range(4)]
    ends = [np.cumsum([len(sentence) + 1 for sentence in line["sentences"]]) for line in lines]
    examples = [
        MarkedQuestion(
            line["question"],
            " ".join(line["sentences"]),
            tuple((int(e) - 1 - len(s), int(e) - 1) for e, s in zip(end, line["sentences"], strict=True)),
            tuple(line["gold"]),
            line["document"],
        )
        for line, end in zip(lines, ends, strict=True)
    ]
    texts = read_texts(model, examples)
    batch = texts.batch(range(4), range(4), "cpu")
    queries, passages = encode_batch(model, batch)
    torch.testing.assert_close(queries.detach(), batch.query_before, atol=1e-5, rtol=0)
    torch.testing.assert_close(passages.detach(), batch.passage_before, atol=1e-5, rtol=0)
    similarity = similarities(queries, passages)
    scores, maxsims = sentence_scores(queries, similarity, batch), mean_maxsim(similarity, batch)
    for i, example in enumerate(texts.examples):
        explanation = explain(texts.queries[i], texts.documents[texts.own[i]])
        assert maxsims[i, texts.own[i]].item() * len(texts.queries[i]) == pytest.approx(explanation.score, abs=1e-3)
        (best, *_) = find_evidence(explanation, sentences=example.sentences)
        assert scores[i].max().item() == pytest.approx(best.score, abs=1e-4)


def test_a_passage_is_cut_behind_the_last_sentence_that_one_window_holds():
    model = encoder("wordpiece-native")  # 64 tokens
    sentences = [" ".join(WORDS[:12]) + "."] * 9
    ends = np.cumsum([len(sentence) + 1 for sentence in sentences]) - 1
    spans = tuple((int(end) - len(sentences[0]), int(end)) for end in ends)
    asked = [MarkedQuestion("Who?", " ".join(sentences), spans, gold, "a") for gold in ((0,), (8,))]
    texts = read_texts(model, asked)
    (kept,) = texts.examples  # the answer of the other lies behind the end
    assert 1 < len(kept.sentences) < 9
    assert kept.text == asked[0].text[: kept.sentences[-1][1]]
    assert texts.documents[0].text == kept.text


def test_factors_added_to_the_weights_give_what_the_lora_gave_and_are_gone_before():
    torch.manual_seed(0)
    model = load_encoder(checkpoint("wordpiece-native"), device="cpu")
    transformer = model.model[0].auto_model
    text = ["The keeper counts ships."]
    before = model.encode_documents(text)[0].vectors
    weights = {name: each.clone() for name, each in transformer.named_parameters()}
    lora = Lora(transformer, linear_layers(transformer), rank=2, alpha=4)
    with torch.no_grad():
        for each in lora.parameters:
            each.normal_(std=0.1)
    during = model.encode_documents(text)[0].vectors
    factors = lora.factors()
    lora.remove()
    np.testing.assert_array_equal(model.encode_documents(text)[0].vectors, before)
    assert all((each == weights[name]).all() for name, each in transformer.named_parameters())
    add_delta(dict(transformer.named_parameters()), factors)
    np.testing.assert_allclose(model.encode_documents(text)[0].vectors, during, atol=1e-5)
    assert np.abs(during - before).max() > 1e-3
    assert {int(name.split(".")[2]) for name in factors} == {1}  # the upper one of two layers


def test_a_draw_takes_runs_of_each_source_and_some_questions_of_each_passage():
    asked = [(2 * i, 2 * i + 1) for i in range(10)]
    sampler = Sampler([Share(range(6), 3, 3), Share(range(6, 10), 9)], asked, questions=1, seed=0)
    for _ in range(20):
        passages, questions = sampler.draw()
        assert len(set(passages)) == len(passages)
        assert len([i for i in passages if i < 6]) == 3
        assert {i for i in passages if i >= 6} == {6, 7, 8, 9}  # fewer than are wanted: all
        assert [question // 2 for question in questions] == passages


# --- the report ---


def test_an_interval_that_holds_0_is_neither_a_gain_nor_a_loss():
    examples = [MarkedQuestion("q", "text", ((0, 2), (2, 4)), (0,), str(i // 2)) for i in range(40)]
    before = np.zeros((40, 2))
    after = np.stack([np.ones(40), np.tile([1.0, -1.0], 20)], axis=1)  # the second: each document gains and loses
    hit, rank = compare(before, after, examples)
    assert (hit.before, hit.after, hit.low, hit.high, hit.verdict) == (0, 1, 1, 1, "a gain")
    assert (rank.low, rank.high, rank.verdict) == (0, 0, "no safe difference")
    assert Change("Hit@1", 0.5, 0.4, -0.2, -0.05).verdict == "a loss"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng, folder = random.Random(0), tmp_path_factory.mktemp("marks")
    written(folder / "rule.jsonl", [marked(rng, str(i)) for i in range(200)])
    written(folder / "chance.jsonl", [marked(rng, str(i), gold=rng.randrange(3)) for i in range(200)])
    return folder


def test_a_model_that_learned_a_rule_is_written_and_its_gain_is_said(data, tmp_path):
    schedule = Schedule(steps=40, learning_rate=1e-2)
    said = []
    examples = read_examples(data / "rule.jsonl")
    found = adapt_model(checkpoint("modern_bpe-plain"), examples, tmp_path / "out", schedule=schedule, say=said.append)
    assert found.is_gain
    assert found.changes[0].after > found.changes[0].before + 0.1
    assert (found.trained + found.held_out, said[-1][:7]) == (200, "step 25")
    report = json.loads((tmp_path / "out" / "latelens_adapt.json").read_text())
    assert report["is_gain"]
    assert report["changes"][0]["after"] == found.changes[0].after
    adapted, base = load_encoder(tmp_path / "out", device="cpu"), encoder("modern_bpe-plain")
    assert adapted.encode_documents([CHUNK])[0].tokens == base.encode_documents([CHUNK])[0].tokens
    assert adapted.fingerprint != base.fingerprint


def test_the_command_does_not_call_noise_a_gain(data, tmp_path, capsys):
    given = [str(checkpoint("modern_bpe-plain")), str(data / "chance.jsonl"), "--output", str(tmp_path / "out")]
    assert main([*given, "--steps", "25", "--learning-rate", "0.01"]) == 1
    assert "No gain beyond noise: keep the model that you have." in capsys.readouterr().out
    assert main(given) == 2  # the folder is there now
    assert "is there already" in capsys.readouterr().err


def test_too_few_documents_and_models_that_cannot_be_trained_are_refused(data, tmp_path):
    few = read_examples(data / "rule.jsonl")[:30]
    with pytest.raises(ValueError, match="needs marked questions of at least 20 documents, got"):
        adapt_model("offline/all-MiniLM-L6-v2", few, tmp_path / "out")
    with pytest.raises(ValueError, match="Linear has no numbered layers"):
        linear_layers(torch.nn.Linear(2, 2).requires_grad_(False))
