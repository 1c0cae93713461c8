"""Verifiers: users' functions, and sentence-transformers cross-encoders whatever their labels."""

from __future__ import annotations

import math
import random
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from fake_encoder import FakeEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from latelens.attribution import attribute
from latelens.attribution.verify import CrossEncoderVerifier, Verdict, Verifier, as_verifier

_WORDS = "the whale is not a fish it eats krill and sings at night . in sea 150 kg day cat"
WINDOW = 24
NLI = ("contradiction", "entailment", "neutral")


def save_cross_encoder(folder, labels: tuple[str, ...], *, seed: int = 0, window: int = WINDOW) -> str:
    """A tiny BERT with random weights that classifies pairs; its configuration names the labels."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ids = {word: i for i, word in enumerate([*special, *_WORDS.split()])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=window, **names).save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(ids), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=64, initializer_range=0.5, num_labels=len(labels), id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def probabilities(folder: str, evidence: str, claim: str) -> np.ndarray:
    """What sentence-transformers itself gives, softmax applied here."""
    logits = CrossEncoder(folder, device="cpu").predict([(evidence, claim)], activation_fn=torch.nn.Identity())[0]
    return torch.softmax(torch.as_tensor(logits, dtype=torch.float64), dim=-1).numpy()


BEINGS, FOODS = ("the whale", "the cat", "a fish", "a whale", "a cat", "the fish"), ("krill", "fish", "cat", "whale")


def planted() -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Evidence, claim and what it means, by a rule: 3 in 4 of the pairs to learn from, and the rest to be judged by."""
    pairs = [
        (f"{being} eats {negator}{food} .", f"{being} eats {said} .", ("entailment", "contradiction")[negator != ""])
        if food == said
        else (f"{being} eats {negator}{food} .", f"{being} eats {said} .", "neutral")
        for being, food, said, negator in product(BEINGS, FOODS, FOODS, ("", "not "))
    ]
    random.Random(0).shuffle(pairs)
    return pairs[:150], pairs[150:]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> CrossEncoderVerifier:
    """A cross-encoder that has learnt the rule, on the spot: 4 seconds, and all of the pairs that it learnt from."""
    folder = save_cross_encoder(tmp_path_factory.mktemp("trained"), NLI)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    config = BertConfig.from_pretrained(folder, initializer_range=0.2, hidden_size=32, intermediate_size=64)
    torch.manual_seed(0)
    model = BertForSequenceClassification(config)  # without dropout: `eval` mode
    model.eval()
    learnt, _ = planted()
    given = tokenizer([a for a, _, _ in learnt], [b for _, b, _ in learnt], padding=True, return_tensors="pt")
    wanted = torch.tensor([NLI.index(label) for *_, label in learnt])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.05, 250)
    for _ in range(250):
        loss = torch.nn.functional.cross_entropy(model(**given).logits, wanted, weight=torch.tensor([2.0, 2.0, 1.0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        slower.step()
    model.save_pretrained(folder)
    return CrossEncoderVerifier(folder, device="cpu")


def test_a_trained_model_judges_pairs_that_it_has_not_seen(trained):
    _, unseen = planted()
    verdicts = trained.verify([claim for _, claim, _ in unseen], [[text] for text, _, _ in unseen])
    said = ["entailment" if v.supports else "contradiction" if v.contradicts else "neutral" for v in verdicts]
    right = [mine == label for mine, (*_, label) in zip(said, unseen, strict=True)]
    assert len(right) == 42
    assert sum(right) >= 40


def test_its_verdicts_become_the_labels_of_an_answer(trained):
    labels = {"entailment": "supported", "contradiction": "contradicted", "neutral": "weak"}
    learnt, _ = planted()
    for evidence, said, meaning in learnt[:12]:
        answer, sources = said.capitalize().replace(" .", "."), [evidence.capitalize().replace(" .", ".")]
        (claim,) = attribute(answer, sources, FakeEncoder(), verifier=trained).claims
        assert (claim.label, claim.citations[0].cited_text) == (labels[meaning], sources[0])
        assert (claim.support is not None and claim.support >= 0.5) is (meaning == "entailment")
        (alone,) = attribute(answer, sources, FakeEncoder()).claims
        assert alone.label in ("corroborated", "weak")
    assert {meaning for *_, meaning in learnt[:12]} == labels.keys()


CLAIM, TEXTS = "the whale is a fish", ["it eats krill", "the whale sings at night ."]


@pytest.fixture
def nli(tmp_path) -> str:
    return save_cross_encoder(tmp_path, NLI)


@pytest.mark.parametrize(
    "labels",
    [
        ("contradiction", "entailment", "neutral"),
        ("ENTAILMENT", "NEUTRAL", "CONTRADICTION"),
        ("Neutral", "Entailment", "Contradiction"),
        ("SUPPORTS", "REFUTES", "NOT ENOUGH INFO"),
    ],
)
def test_labels_are_found_whatever_their_order_and_case(tmp_path, labels):
    folder = save_cross_encoder(tmp_path, labels)
    entails, contradicts = (
        next(i for i, label in enumerate(labels) if label.lower() in names)
        for names in (("entailment", "supports"), ("contradiction", "refutes"))
    )
    expected = probabilities(folder, TEXTS[0], CLAIM)
    verdict = CrossEncoderVerifier(folder, device="cpu")(CLAIM, TEXTS[:1])
    assert verdict.support == pytest.approx(expected[entails], abs=1e-5)
    assert verdict.contradiction == pytest.approx(expected[contradicts], abs=1e-5)


def test_evidence_is_the_premise_and_the_claim_the_hypothesis(nli):
    support = CrossEncoderVerifier(nli, device="cpu")(CLAIM, TEXTS[:1]).support
    assert support == pytest.approx(probabilities(nli, TEXTS[0], CLAIM)[1], abs=1e-5)
    assert abs(support - probabilities(nli, CLAIM, TEXTS[0])[1]) > 1e-3


def test_each_text_and_all_of_them_together_are_read(nli):
    read = [probabilities(nli, premise, CLAIM) for premise in (*TEXTS, " ".join(TEXTS))]
    verdict = CrossEncoderVerifier(nli, device="cpu")(CLAIM, TEXTS)
    assert verdict.support == pytest.approx(max(found[1] for found in read), abs=1e-5)
    assert verdict.contradiction == pytest.approx(max(found[0] for found in read), abs=1e-5)


def test_texts_that_do_not_fit_together_are_read_alone(nli):
    texts = ["the whale eats krill in the sea at night .", "the cat eats fish in the sea at night ."]
    read = [probabilities(nli, premise, CLAIM) for premise in texts]
    assert CrossEncoderVerifier(nli, device="cpu")(CLAIM, texts).support == pytest.approx(
        max(found[1] for found in read), abs=1e-5
    )


def test_a_long_text_is_read_in_parts_of_whole_sentences(nli, recwarn):
    sentences = ["The cat sings in the sea.", "The whale eats krill.", "A fish is not a cat at night.", "It sings."]
    parts = [" ".join(sentences[:2]), " ".join(sentences[2:])]  # as many as fit
    read = [probabilities(nli, premise, CLAIM) for premise in parts]
    verdict = CrossEncoderVerifier(nli, device="cpu")(CLAIM, [" ".join(sentences)])
    assert verdict.support == pytest.approx(max(found[1] for found in read), abs=1e-5)
    assert not [warning for warning in recwarn if "not read" in str(warning.message)]


def test_what_fits_no_window_is_said(nli):
    with pytest.warns(UserWarning, match="do not fit the 24 tokens"):
        CrossEncoderVerifier(nli, device="cpu")(CLAIM, ["the whale " * 30])


def test_a_batch_gives_what_single_claims_give(nli):
    verifier = CrossEncoderVerifier(nli, device="cpu", batch_size=2)
    claims, evidence = [CLAIM, "it eats krill", "the cat sings"], [TEXTS, [], TEXTS[:1]]
    together = verifier.verify(claims, evidence)
    alone = [verifier(claim, texts) for claim, texts in zip(claims, evidence, strict=True)]
    assert [verdict.support for verdict in together] == pytest.approx([verdict.support for verdict in alone], abs=1e-5)
    assert verifier.verify([], []) == []


@pytest.mark.parametrize("texts", [[], [""], ["  \n"]])
def test_without_evidence_nothing_is_supported_or_contradicted(nli, texts):
    assert CrossEncoderVerifier(nli, device="cpu")(CLAIM, texts) == Verdict(0.0, 0.0)


def test_labels_may_be_given_where_the_configuration_is_silent(tmp_path):
    folder = save_cross_encoder(tmp_path, ("LABEL_0", "LABEL_1", "LABEL_2"))
    with pytest.raises(ValueError, match=r"\['LABEL_0', 'LABEL_1', 'LABEL_2'\].*labels="):
        CrossEncoderVerifier(folder, device="cpu")(CLAIM, TEXTS)
    verdict = CrossEncoderVerifier(folder, labels=("neutral", "contradiction", "entailment"), device="cpu")(
        CLAIM, TEXTS[:1]
    )
    expected = probabilities(folder, TEXTS[0], CLAIM)
    assert (verdict.support, verdict.contradiction) == pytest.approx((expected[2], expected[1]), abs=1e-5)


def test_two_outputs_tell_support_alone(tmp_path):
    folder = save_cross_encoder(tmp_path, ("not_entailment", "entailment"))
    verdict = CrossEncoderVerifier(folder, device="cpu")(CLAIM, TEXTS[:1])
    assert verdict.support == pytest.approx(probabilities(folder, TEXTS[0], CLAIM)[1], abs=1e-5)
    assert verdict.contradiction is None
    assert CrossEncoderVerifier(folder, device="cpu")(CLAIM, []) == Verdict(0.0, None)


def test_one_output_is_a_logit_of_support(tmp_path):
    folder = save_cross_encoder(tmp_path, ("entailment",))
    model = CrossEncoder(folder, device="cpu")
    logit = float(model.predict([(TEXTS[0], CLAIM)], activation_fn=torch.nn.Identity())[0])
    verdict = CrossEncoderVerifier(folder, device="cpu")(CLAIM, TEXTS[:1])
    assert verdict.support == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
    assert verdict.contradiction is None


def test_a_model_of_relevance_is_refused(tmp_path):
    """One output without a name is what rerankers have: on the topic is not supported."""
    with pytest.raises(ValueError, match="LABEL_0"):
        CrossEncoderVerifier(save_cross_encoder(tmp_path, ("LABEL_0",)), device="cpu")(CLAIM, TEXTS)


def test_a_bare_model_is_told_its_adapter(nli):
    with pytest.raises(TypeError, match="CrossEncoderVerifier"):
        as_verifier(CrossEncoder(nli, device="cpu"))


def test_a_loaded_model_is_taken_as_it_is(nli):
    model = CrossEncoder(nli, device="cpu")
    verifier = CrossEncoderVerifier(model)
    assert verifier(CLAIM, TEXTS) == CrossEncoderVerifier(nli, device="cpu")(CLAIM, TEXTS)
    assert verifier.name == nli


def test_nothing_is_loaded_before_the_first_claim(tmp_path):
    verifier = CrossEncoderVerifier(str(tmp_path / "absent"))
    assert verifier.name == str(tmp_path / "absent")
    with pytest.raises(Exception, match="absent"):
        verifier(CLAIM, TEXTS)


def test_broken_weights_are_said(nli):
    model = CrossEncoder(nli, device="cpu")
    with torch.no_grad():
        model.model.classifier.bias.fill_(math.nan)
    with pytest.raises(ValueError, match="gave nan"):
        CrossEncoderVerifier(model)(CLAIM, TEXTS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"labels": "entailment"}, TypeError, "sequence of names"),
        ({"labels": ("entailment", "maybe")}, ValueError, "maybe"),
        ({"labels": ("neutral", "contradiction")}, ValueError, "exactly one must mean entailment"),
        ({"labels": ("entailment", "supports")}, ValueError, "exactly one must mean entailment"),
    ],
)
def test_wrong_options_are_refused_at_once(options, error, message):
    with pytest.raises(error, match=message):
        CrossEncoderVerifier("any", **options)


def test_labels_must_name_every_output(nli):
    with pytest.raises(ValueError, match="must name the 3 outputs"):
        CrossEncoderVerifier(nli, labels=("neutral", "entailment"), device="cpu")(CLAIM, TEXTS)


def test_claims_and_evidence_must_pair_up(nli):
    for verifier in (CrossEncoderVerifier(nli, device="cpu"), as_verifier(lambda claim, evidence: 0.5)):
        with pytest.raises(ValueError, match="got 1 for 2"):
            verifier.verify(["a", "b"], [["a"]])
        with pytest.raises(TypeError, match="one sequence of texts for each claim"):
            verifier.verify(["a"], ["a"])
        with pytest.raises(TypeError, match="claims must be a sequence"):
            verifier.verify("a", [["a"]])


def agrees(claim, evidence):
    return float(claim in evidence)


class Named:
    name = "mine"

    def __call__(self, claim, evidence):
        return Verdict(0.2, 0.7)


class Batched:
    name = "batched"

    def verify(self, claims, evidence):
        return [Verdict(1.0) for _ in claims]


def test_a_function_is_a_verifier():
    verifier = as_verifier(agrees)
    assert isinstance(verifier, Verifier)
    assert verifier.name == "agrees"
    assert verifier.verify(["a", "b"], [["a"], ["c"]]) == [Verdict(1.0), Verdict(0.0)]


def test_an_object_that_is_called_keeps_its_name_and_its_verdict():
    verifier = as_verifier(Named())
    assert verifier.name == "mine"
    assert verifier.verify(["a"], [["b"]]) == [Verdict(0.2, 0.7)]
    assert as_verifier(partial(agrees)).name == "partial"


def test_a_verifier_stays_itself(nli):
    for verifier in (Batched(), CrossEncoderVerifier(nli)):
        assert as_verifier(verifier) is verifier


@pytest.mark.parametrize("value", [np.float32(0.5), torch.tensor(0.5), 1, True, 0])
def test_any_number_from_0_to_1_is_a_probability(value):
    assert as_verifier(lambda claim, evidence: value).verify(["a"], [["b"]]) == [Verdict(float(value))]


@pytest.mark.parametrize("value", [1.01, -0.1, math.nan, math.inf, 7])
def test_what_is_no_probability_is_refused_with_the_claim(value):
    with pytest.raises(ValueError, match=r"'agrees', asked about 'a'.*0\.\.1, got"):
        as_verifier(_returning(value)).verify(["a"], [["b"]])


@pytest.mark.parametrize("value", [None, [0.5, 0.5], "yes", {"support": 1}])
def test_what_is_no_number_is_refused(value):
    with pytest.raises((TypeError, ValueError), match="agrees"):
        as_verifier(_returning(value)).verify(["a"], [["b"]])


def _returning(value):
    def agrees(claim, evidence):
        return value

    return agrees


def test_an_error_of_the_function_itself_passes_through():
    with pytest.raises(KeyError, match="mine"):
        as_verifier(lambda claim, evidence: {}["mine"]).verify(["a"], [["b"]])


async def later(claim, evidence):
    return 0.5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (3, "got int"),
        ("any/model", r"CrossEncoderVerifier\('any/model'\)"),
        (None, "got NoneType"),
        (Batched, "class Batched"),
        (later, "must not be async"),
    ],
)
def test_what_is_no_verifier_is_refused(given, message):
    with pytest.raises(TypeError, match=message):
        as_verifier(given)


@pytest.mark.parametrize("contradiction", [None, 0.0, 1.0])
def test_a_verdict_takes_probabilities_only(contradiction):
    assert Verdict(0.0, contradiction).contradiction == contradiction
    with pytest.raises(ValueError, match="support must be a probability"):
        Verdict(1.5, contradiction)
    with pytest.raises(ValueError, match="contradiction must be a probability"):
        Verdict(0.5, math.nan)


@settings(max_examples=200)
@given(st.floats(0, 1), st.none() | st.floats(0, 1))
def test_no_verdict_both_supports_and_contradicts(support, contradiction):
    verdict = Verdict(support, contradiction)
    assert not (verdict.supports and verdict.contradicts)
    assert not (contradiction is None and verdict.contradicts)
    assert verdict.supports == (support >= 0.5 and support >= (contradiction or 0))
