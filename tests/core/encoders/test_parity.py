"""One checkpoint, both backends: PyLate's environment writes what it gives, sentence-transformers' compares.

``LATELENS_PARITY`` names the folder between them; run pytest first where PyLate is, then where it is not.
"""

from __future__ import annotations

import json
import os
import random
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from tiny_models import needs_multi_vector, needs_pylate, one_torch_thread  # noqa: F401

from latelens import TokenKind, explain, load_encoder
from latelens.explanation.evidence import find_evidence

FOLDER = os.environ.get("LATELENS_PARITY")
pytestmark = pytest.mark.skipif(not FOLDER, reason="LATELENS_PARITY names no folder to compare backends through")

QUERIES = [
    "Why do swallows return in April?",
    "Straßenbahn über die Brücke",
    "今天早上 学生",
    "ラーメン 港の灯り",
    "un cafe\u0301 noir 👩\u200d👩\u200d👧\u200d👦 👍🏽",
    "(keeper), 3.50 € & [MASK]",
    "القطار السابعة",
    "",
    "x",
]
DOCUMENTS = [
    *tiny_models.SENTENCES,
    " ".join(tiny_models.SENTENCES * 3),
    "the keeper counts " * 80 + "finally",
    "\n  " + " \n\n ".join(tiny_models.SENTENCES * 3) + " \t ",
    "한국어 ½ ﬁ ﷺ 🏳\ufe0f\u200d🌈 龘" * 12,
    "a [D] b </s> ▁ ##ing",
    "...",
    "",
]
SETTINGS = {
    "wordpiece": {},
    "modern_bpe": {"do_query_expansion": False},
    "unigram": {"attend_to_expansion_tokens": True},
    "roberta_bpe": {"prompts": {"query": "ask:", "document": "text:"}},
    "spm_bpe": {"query_length": 48},
}
# Every tokenizer here can say all of these: the known difference with an unknown one has a test of its own.
SKIPLIST = list(".,!?")


def folder(family):
    path = Path(FOLDER) / family
    if tiny_models.MULTI_VECTOR and not (path / "rows.json").is_file():
        pytest.skip(f"PyLate has written nothing for {family} into LATELENS_PARITY yet")
    return path


@cache
def encoder(family):
    path = folder(family) / "model"
    if not tiny_models.MULTI_VECTOR:
        from pylate.models import ColBERT

        backbone = tiny_models.save_backbone(folder(family) / "backbone", family)
        tiny_models.torch.manual_seed(5)
        settings = {"document_length": 64, "skiplist_words": SKIPLIST, "embedding_size": tiny_models.DIM}
        ColBERT(str(backbone), device="cpu", **settings, **SETTINGS[family]).save(str(path))
    return load_encoder(path, device="cpu")


def encode(family, queries, documents):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a query is too long
        return encoder(family).encode_queries(queries), encoder(family).encode_documents(documents)


def written(row):
    return {
        "text": row.text,
        # A control token's name is as its tokenizer stores it: transformers 5.23 says "[q] " where 5.3 says "[Q] ".
        "tokens": [
            token if kind == TokenKind.CONTENT else token.lower()
            for token, kind in zip(row.tokens, row.kinds.tolist(), strict=True)
        ],
        "spans": row.spans.tolist(),
        "kinds": row.kinds.tolist(),
        "complete": row.complete,
    }


def covered(row_spans):
    return {i for start, end in row_spans for i in range(start, end)}


def explanations(queries, documents):
    return [[explain(query, document) for document in documents] for query in queries]


def evidence(explanation):
    return [
        (item.text, item.start, item.end, item.phrase_start, item.phrase_end) for item in find_evidence(explanation)
    ]


@cache
def there(family):
    """What PyLate's environment wrote."""
    return json.loads((folder(family) / "rows.json").read_text()), np.load(folder(family) / "rows.npz")


@needs_pylate
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_pylate_writes_what_it_gives(family):
    queries, documents = encode(family, QUERIES, DOCUMENTS)
    assert any(len(row) > 3 * 64 for row in documents)
    table = explanations(queries, documents)
    rows = {
        "rows": [written(row) for row in [*queries, *documents]],
        "evidence": [[evidence(each) for each in line] for line in table],
        "fingerprint": encoder(family).fingerprint,
    }
    arrays = {f"row{i}": row.vectors for i, row in enumerate([*queries, *documents])}
    arrays["scores"] = np.array([[each.score for each in line] for line in table])
    np.savez(folder(family) / "rows.npz", **arrays)
    (folder(family) / "rows.json").write_text(json.dumps(rows))


@needs_multi_vector
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_both_backends_give_the_same_rows(family):
    rows, arrays = there(family)
    queries, documents = encode(family, QUERIES, DOCUMENTS)
    for i, (own, other) in enumerate(zip([*queries, *documents], rows["rows"], strict=True)):
        assert written(own) == other, own.text[:60]
        np.testing.assert_allclose(own.vectors, arrays[f"row{i}"], atol=1e-5)


@needs_multi_vector
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_both_backends_give_the_same_scores_and_evidence(family):
    rows, arrays = there(family)
    table = explanations(*encode(family, QUERIES, DOCUMENTS))
    for line, their_scores, their_evidence in zip(table, arrays["scores"], rows["evidence"], strict=True):
        for own, score, found in zip(line, their_scores, their_evidence, strict=True):
            assert own.score == pytest.approx(score, rel=1e-4, abs=1e-4)
            assert json.loads(json.dumps(evidence(own))) == found


@needs_multi_vector
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_a_cache_of_one_backend_does_not_answer_for_the_other(family):
    assert there(family)[0]["fingerprint"] != encoder(family).fingerprint


RANDOM = 20  # texts of each family; 50 times as many, with --campaign=50, are 5,000


@needs_pylate
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_pylate_writes_what_it_gives_for_random_texts(family, campaign):
    chance = random.Random(f"parity {family}")
    # Stripped: what stands at the ends of a text is a known difference, below.
    texts = [tiny_models.random_text(chance, chance.randint(0, 60)).strip() for _ in range(RANDOM * campaign)]
    rows = [row for some in encode(family, texts, texts) for row in some]
    arrays = {f"row{i}": row.vectors for i, row in enumerate(rows)}
    np.savez(folder(family) / "random.npz", **arrays)
    (folder(family) / "random.json").write_text(json.dumps([written(row) for row in rows]))


@needs_multi_vector
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_both_backends_read_random_texts_alike(family, record_property):
    rows, arrays = json.loads((folder(family) / "random.json").read_text()), np.load(folder(family) / "random.npz")
    texts = [row["text"] for row in rows[: len(rows) // 2]]
    assert len(texts) >= RANDOM
    for i, (own, other) in enumerate(
        zip((row for some in encode(family, texts, texts) for row in some), rows, strict=True)
    ):
        assert written(own) == other, own.text[:60]
        np.testing.assert_allclose(own.vectors, arrays[f"row{i}"], atol=1e-5)
    record_property("texts", len(texts))


# --- the known differences ---


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_white_space_at_the_ends_is_read_by_one_backend_only_and_spans_are_right_in_both(family):
    # PyLate strips a text and sentence-transformers does not: rows may differ, characters may not.
    padded, bare = " \n The old keeper \t", "The old keeper"
    rows = encode(family, [padded, bare], [padded, bare])
    for first, second in rows:
        assert (first.text, first.complete) == (padded, True)
        read = "".join(padded[i] for i in sorted(covered(first.spans.tolist())))
        assert read.replace(" ", "") == "Theoldkeeper"
        if not tiny_models.MULTI_VECTOR and family != "roberta_bpe":  # that one has a prompt in front
            assert first.tokens == second.tokens


@pytest.mark.parametrize("unknown", [False, True])
def test_an_unknown_skiplist_word_drops_unknown_tokens_in_pylate_only_which_warns(unknown, tmp_path):
    words = ["龘龘", "."] if unknown else ["."]
    path = tiny_models.save_pylate(tmp_path, "wordpiece", skiplist_words=words)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        loaded = load_encoder(path, device="cpu")
    warned = any("every unknown token of a document" in str(each.message) for each in said)
    tokens = loaded.encode_documents(["see ﷺ here"])[0].tokens
    drops = unknown and not tiny_models.MULTI_VECTOR
    assert warned == drops
    assert ("[UNK]" in tokens) != drops
    assert TokenKind.CONTENT in loaded.encode_documents(["see ﷺ here"])[0].kinds


def test_a_word_mark_that_only_begins_a_text_is_there_in_pylate_only(tmp_path):
    # PyLate puts its marker in after tokenizing; sentence-transformers before, so the text begins with the marker.
    path = tiny_models.save_pylate(tmp_path, "spm_bpe")
    tokenizer = json.loads((path / "tokenizer.json").read_text())
    tokenizer["pre_tokenizer"]["prepend_scheme"] = "first"
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    row = load_encoder(path, device="cpu").encode_documents(["Why do swallows"])[0]
    assert (row.tokens[2][0] == "▁") != tiny_models.MULTI_VECTOR
    assert 0 in covered(row.spans.tolist())
    assert row.complete
