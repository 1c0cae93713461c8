"""The PyLate backend, in an environment that holds PyLate: rows, spans, settings and refusals."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import tiny_models
from tiny_models import one_torch_thread  # noqa: F401

from latelens import TokenKind, load_encoder
from latelens.maxsim import maxsim, pack

if tiny_models.MULTI_VECTOR:
    pytest.skip("needs PyLate, in an environment of its own", allow_module_level=True)

import torch
from pylate.models import ColBERT
from pylate.scores import colbert_scores
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Transformer
from transformers import BertConfig, BertModel, ByT5Tokenizer

C, S, M, E = TokenKind.CONTENT, TokenKind.SPECIAL, TokenKind.MARKER, TokenKind.EXPANSION
SHORT = ["the keeper", "Straßenbahn, Brücke?", "今天早上", "a 😀 龘", "", "3.50 € (x)"]
LONGER = [*tiny_models.SENTENCES[:4], "ラーメン 👍", "...", ""]


def saved(tmp_path, family="wordpiece", **settings):
    """What PyLate itself saves."""
    backbone = tiny_models.save_backbone(tmp_path / "backbone", family)
    torch.manual_seed(3)
    model = ColBERT(str(backbone), embedding_size=tiny_models.DIM, device="cpu", document_length=64, **settings)
    model.save(str(tmp_path / "model"))
    return tmp_path / "model"


def theirs(encoder, texts, task):
    return [np.asarray(rows) for rows in tiny_models.library_rows(encoder, texts, task)]


def pieces(row):
    return [row.text[start:end] if start >= 0 else None for start, end in row.spans.tolist()]


# --- the same rows and scores as PyLate ---


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"do_query_expansion": False},
        {"attend_to_expansion_tokens": True},
        {"query_prefix": "", "document_prefix": ""},
        {"query_length": 40, "skiplist_words": ["a", "."]},
        {"prompts": {"query": "ask: ", "document": "text: "}},
        {"prompts": {"all": "say: "}, "default_prompt_name": "all"},
    ],
    ids=lambda settings: "-".join(settings) or "as-it-comes",
)
def test_rows_and_scores_of_a_save_are_those_of_pylate(tmp_path, family, settings):
    path = saved(tmp_path, family, **settings)
    encoder = load_encoder(path, device="cpu")
    queries, documents = encoder.encode_queries(SHORT), encoder.encode_documents(LONGER)
    prompts = settings.get("prompts", {})
    default = prompts.get(settings.get("default_prompt_name", ""), "")
    model = ColBERT(str(path), device="cpu")
    options = {"show_progress_bar": False}
    their_queries = model.encode(SHORT, is_query=True, prompt=prompts.get("query", default), **options)
    their_documents = model.encode(LONGER, is_query=False, prompt=prompts.get("document", default), **options)
    for own, other in zip([*queries, *documents], [*their_queries, *their_documents], strict=True):
        np.testing.assert_allclose(own.vectors, other, atol=1e-5)
    packed = pack([each.vectors for each in documents])
    for own, other in zip(queries, their_queries, strict=True):
        # One document at a time: PyLate multiplies padding by 0, which beats a negative similarity.
        expected = [float(colbert_scores(other[None], rows[None])[0, 0]) for rows in their_documents]
        np.testing.assert_allclose(maxsim(own.vectors, packed).scores, expected, rtol=1e-4, atol=1e-4)


def test_a_loaded_model_gives_what_its_path_gives(tmp_path):
    path = saved(tmp_path)
    model = ColBERT(str(path), device="cpu")
    encoder = load_encoder(model)
    assert encoder.model is model
    assert encoder.dim == tiny_models.DIM
    assert encoder.fingerprint == load_encoder(path, device="cpu").fingerprint
    (row,), (other,) = encoder.encode_documents(LONGER[:1]), load_encoder(str(path)).encode_documents(LONGER[:1])
    assert (row.vectors == other.vectors).all()


def test_a_sentence_model_is_used_token_wise():
    model = SentenceTransformer(str(tiny_models.checkpoint("wordpiece-plain")), device="cpu")
    row = load_encoder(model).encode_queries(["the keeper"])[0]
    vectors = model.encode("the keeper", output_value="token_embeddings")
    np.testing.assert_allclose(row.vectors, torch.nn.functional.normalize(vectors, dim=-1).cpu(), atol=1e-5)
    assert model.encode(["still works"]).shape == (1, tiny_models.HIDDEN)


# --- settings come from the checkpoint ---


def test_expansion_on_fills_queries_and_off_does_not(tmp_path):
    on = load_encoder(saved(tmp_path / "on", query_length=20)).encode_queries(["the keeper"])[0]
    off = load_encoder(saved(tmp_path / "off", do_query_expansion=False)).encode_queries(["the keeper"])[0]
    assert len(on) == 20
    assert on.tokens[-1] == "[MASK]"
    assert set(on.kinds.tolist()) == {S, M, C, E}
    assert set(off.kinds.tolist()) == {S, M, C}
    assert on.tokens[: len(off)] == off.tokens


def test_attending_to_expansion_changes_content_rows(tmp_path):
    rows = [
        load_encoder(saved(tmp_path / str(attend), attend_to_expansion_tokens=attend)).encode_queries(["keeper"])[0]
        for attend in (False, True)
    ]
    assert rows[0].kinds.tolist() == rows[1].kinds.tolist()
    assert np.abs(rows[0].vectors[2] - rows[1].vectors[2]).max() > 1e-3


def test_prefix_lengths_and_skiplist_are_the_checkpoints_own(tmp_path):
    path = saved(tmp_path, query_prefix="[ask] ", document_prefix="[text] ", query_length=12, skiplist_words=["old"])
    encoder = load_encoder(path)
    query, document = encoder.encode_queries(["the keeper, old"])[0], encoder.encode_documents(["the , old"])[0]
    assert (query.tokens[1], document.tokens[1]) == ("[ask] ", "[text] ")
    assert (query.kinds[1], document.kinds[1]) == (M, M)
    assert len(query) == 12
    assert "," in document.tokens
    assert "old" in query.tokens
    assert "old" not in document.tokens


def test_without_prefixes_there_is_no_marker(tmp_path):
    encoder = load_encoder(saved(tmp_path, query_prefix="", document_prefix=""))
    rows = [encoder.encode_queries(["the keeper"])[0], encoder.encode_documents(["the keeper " * 60])[0]]
    assert not any(M in row.kinds.tolist() for row in rows)
    assert all(row.complete for row in rows)


@pytest.mark.parametrize("name", [f"{family}-bare" for family in tiny_models.FAMILIES])
def test_white_space_at_both_ends_changes_no_row_and_spans_slice_the_callers_text(name):
    encoder = tiny_models.encoder(name)
    padded, bare = "\n \u3000 The old keeper \t ", "The old keeper"
    for encode in (encoder.encode_queries, encoder.encode_documents):
        (row,), (other,) = encode([padded]), encode([bare])
        assert row.text == padded
        assert row.complete
        assert pieces(row) == pieces(other)
        np.testing.assert_allclose(row.vectors, other.vectors, atol=1e-5)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_windows_that_begin_with_white_space_still_fit(family):
    encoder = tiny_models.encoder(f"{family}-bare")
    text = "  ".join(["the keeper counts ships"] * 40)
    document = encoder.encode_documents([text])[0]
    assert document.complete
    read = {i for start, end in document.spans.tolist() for i in range(start, end)}
    assert not [i for i, character in enumerate(text) if not character.isspace() and i not in read]


# --- what PyLate does that needs a word ---


def test_a_skiplist_word_that_is_unknown_warns_and_rows_follow_pylate(tmp_path):
    path = saved(tmp_path, skiplist_words=["a", "龘龘"])
    with pytest.warns(
        UserWarning, match=r"skips \['龘龘'\], which its vocabulary does not have.*every unknown"
    ) as said:
        encoder = load_encoder(path)
    assert len(said) == 1
    text = "see ﷺ here"
    document = encoder.encode_documents([text])[0]
    assert "[UNK]" not in document.tokens
    assert "[UNK]" in encoder.encode_queries([text])[0].tokens
    assert document.complete
    np.testing.assert_allclose(document.vectors, theirs(encoder, [text], "document")[0], atol=1e-5)


def test_a_known_skiplist_does_not_warn(tmp_path):
    path = saved(tmp_path, skiplist_words=["a", "[UNK]"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        load_encoder(path)


def test_a_tokenizer_that_changes_its_mind_is_an_error(tmp_path, monkeypatch):
    encoder = load_encoder(saved(tmp_path))
    original = encoder.model.tokenize

    def other(texts, **options):
        return original([f"{text} more" for text in texts], **options)

    monkeypatch.setattr(encoder.model, "tokenize", other)
    for encode in (encoder.encode_queries, encoder.encode_documents):
        with pytest.raises(RuntimeError, match="gave other tokens the second time, so no token has a place"):
            encode(["the keeper"])


def test_a_slow_tokenizer_is_refused(tmp_path):
    ByT5Tokenizer().save_pretrained(tmp_path)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=400, **shape)).save_pretrained(tmp_path)
    model = ColBERT(modules=[Transformer(str(tmp_path))], embedding_size=8, device="cpu")
    with pytest.raises(ValueError, match=r"has no fast tokenizer \(ByT5Tokenizer\)"):
        load_encoder(model)


def test_lower_casing_outside_the_tokenizer_is_refused(tmp_path):
    path = saved(tmp_path)
    (path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 64, "do_lower_case": True}))
    with pytest.raises(ValueError, match="lower-cases texts outside its tokenizer"):
        load_encoder(path)


@pytest.mark.parametrize(
    ("kind", "last"),
    [
        ("MultiVectorEncoder", "sentence_transformers.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"),
        ("SentenceTransformer", "sentence_transformers.sentence_transformer.modules.pooling.Pooling"),
    ],
)
def test_a_save_of_sentence_transformers_6_is_refused_with_the_command(tmp_path, kind, last):
    tiny_models.save_backbone(tmp_path, "wordpiece")
    types = ["sentence_transformers.base.modules.transformer.Transformer", last]
    modules = [{"idx": i, "name": str(i), "path": str(i) if i else "", "type": name} for i, name in enumerate(types)]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"model_type": kind, "prompts": {}}))
    with pytest.raises(
        ValueError, match=r"saved by sentence-transformers 6, .*`pip install 'sentence-transformers>=6,<7'`"
    ):
        load_encoder(tmp_path)


def test_another_missing_module_is_not_blamed_on_sentence_transformers(tmp_path):
    tiny_models.save_backbone(tmp_path, "wordpiece")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "surely_not_installed.Transformer"}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps({"model_type": "ColBERT"}))
    with pytest.raises(ImportError, match="surely_not_installed"):
        load_encoder(tmp_path)


def test_the_other_backend_is_refused_with_the_command():
    with pytest.raises(ImportError, match=r"pylate 1.*: run `pip install 'sentence-transformers>=6,<7'`"):
        load_encoder(tiny_models.checkpoint("wordpiece-pylate"), backend="sentence-transformers")


def test_this_backend_can_be_asked_for_by_name():
    named = load_encoder(tiny_models.checkpoint("wordpiece-pylate"), backend="pylate", device="cpu")
    assert named.fingerprint == tiny_models.encoder("wordpiece-pylate").fingerprint


# --- fingerprint ---


def weight(model):
    model[1].linear.weight.data[0, 0] += 1e-3


def tokenizer(model):
    model.tokenizer.backend_tokenizer.normalizer = None


def prompts(model):
    model.prompts = {"query": "ask: "}


def default_prompt(model):
    model.prompts, model.default_prompt_name = {"all": "say: "}, "all"


def heads(model):
    model[0].auto_model.config.num_attention_heads = 2


def activation(model):
    model[1].activation_function = torch.nn.Tanh()


CHANGES = {
    "nothing": lambda model: None,
    "one weight": weight,
    "tokenizer": tokenizer,
    "query length": lambda model: setattr(model, "query_length", 33),
    "document length": lambda model: setattr(model, "document_length", 65),
    "query prefix": lambda model: setattr(model, "query_prefix_id", 5),
    "document prefix": lambda model: setattr(model, "document_prefix_id", 6),
    "no query prefix": lambda model: setattr(model, "query_prefix_id", None),
    "prompts": prompts,
    "default prompt": default_prompt,
    "skiplist": lambda model: setattr(model, "skiplist", model.skiplist[1:]),
    "expansion": lambda model: setattr(model, "do_query_expansion", False),
    "attend": lambda model: setattr(model, "attend_to_expansion_tokens", True),
    "expansion token": lambda model: setattr(model.tokenizer, "pad_token", "[UNK]"),
    "float16": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "heads": heads,
    "activation": activation,
}


def test_a_fingerprint_changes_with_everything_that_shapes_vectors_and_with_nothing_else(tmp_path):
    path = saved(tmp_path)
    prints = {}
    for name, change in CHANGES.items():
        model = ColBERT(str(path), device="cpu")
        change(model)
        prints[name] = load_encoder(model).fingerprint
    assert prints["nothing"] == load_encoder(path).fingerprint
    assert len(set(prints.values())) == len(CHANGES), prints


def test_half_precision_gives_float32_rows_near_the_full_ones(tmp_path):
    model = ColBERT(str(saved(tmp_path)), device="cpu")
    full = load_encoder(model).encode_documents(["the keeper"])[0].vectors
    half = load_encoder(model.bfloat16()).encode_documents(["the keeper"])[0].vectors
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.1)
    assert (half != full).any()
