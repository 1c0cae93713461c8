import itertools
import warnings

import numpy as np
import pytest
import regex
import tiny_models
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_models import one_torch_thread, seen  # noqa: F401

from latelens import TokenKind
from latelens.encoders.windows import plan_windows
from latelens.legibility import READABLE

FAMILY = "👩\u200d👩\u200d👧\u200d👦"
# Byte-level tokenizers read every character; the others drop some.
BYTE_LEVEL = ("modern_bpe", "roberta_bpe", "spm_bpe")
BARE_LIMIT = 24

# One call encodes a list of texts: models are quicker with many.
known = st.text(st.characters(exclude_categories=["Cn"]), max_size=4)
pieces = st.sampled_from([*tiny_models.HOSTILE, *tiny_models.SENTENCES]) | known
batches = st.lists(st.lists(pieces, max_size=12).map("".join), min_size=25, max_size=25)


def edges_of(text):
    return {0, len(text)} | {match.start() for match in regex.finditer(r"\X", text)}


def windows_of(document):
    """The rows of each window: it begins with the control token that the tokenizer adds, and has no text."""
    first = document.tokens[0]
    starts = [i for i, token in enumerate(document.tokens) if token == first and document.spans[i, 0] < 0]
    return [range(a, b) for a, b in zip(starts, [*starts[1:], len(document)], strict=True)]


# --- planning, with tokenizers that can be counted by hand ---


def one_token_a_character(text):
    return np.array([[0, 0]] + [[i, i + 1] for i in range(len(text))] + [[0, 0]], dtype=np.int32)


def shorter_is_more(text):
    """Two characters a token in a long text, one in a short one: slices hold more tokens than expected."""
    size = 2 if len(text) > 20 else 1
    return np.array([[i, min(i + size, len(text))] for i in range(0, len(text), size)], dtype=np.int32).reshape(-1, 2)


def four_tokens_a_character(text):
    return np.repeat([[i, i + 1] for i in range(len(text))], 4, axis=0).astype(np.int32).reshape(-1, 2)


def only_spaces_have_no_width(text):
    return np.array([[i, i + (not c.isspace())] for i, c in enumerate(text)], dtype=np.int32).reshape(-1, 2)


def one_token_for_all(text):
    return np.repeat([[0, len(text)]], 50, axis=0).astype(np.int32)


def test_a_text_that_fits_is_one_window():
    assert plan_windows("abcd", one_token_a_character("abcd"), 6, one_token_a_character) == [(0, 4, 6)]
    assert plan_windows("", one_token_a_character(""), 6, one_token_a_character) == [(0, 0, 2)]


def test_windows_are_even_and_overlap_by_an_eighth():
    text = "x" * 40
    windows = plan_windows(text, one_token_a_character(text), 18, one_token_a_character)
    # 40 characters in slices of at most 16 that share 2: three, of 15, 15 and 14.
    assert windows == [(0, 15, 17), (13, 28, 17), (26, 40, 16)]


def test_a_window_ends_at_a_word_where_one_is_near():
    text = "alpha beta gamma delta"
    windows = plan_windows(text, one_token_a_character(text), 14, one_token_a_character)
    assert [text[start:end] for start, end, _ in windows] == ["alpha beta", "gamma delta"]


def test_an_emoji_is_not_cut_where_a_window_ends():
    text = FAMILY * 6
    windows = plan_windows(text, one_token_a_character(text), 19, one_token_a_character)
    assert len(windows) > 2
    assert all({start, end} <= edges_of(text) for start, end, _ in windows)


def test_a_character_wider_than_the_window_is_cut_rather_than_dropped():
    text = "Z" + "\u0351" * 40
    windows = plan_windows(text, one_token_a_character(text), 12, one_token_a_character)
    assert all(tokens <= 12 for *_, tokens in windows)
    assert windows[-1][1] == 41


def test_slices_that_hold_more_tokens_than_expected_are_cut_again():
    text = "x" * 60
    windows = plan_windows(text, shorter_is_more(text), 10, shorter_is_more)
    assert all(tokens <= 10 for *_, tokens in windows)
    assert {i for start, end, _ in windows for i in range(start, end)} == set(range(60))


tokenizers = [
    one_token_a_character,
    shorter_is_more,
    four_tokens_a_character,
    only_spaces_have_no_width,
    one_token_for_all,
]


@pytest.mark.parametrize("tokenize", tokenizers, ids=lambda tokenize: tokenize.__name__)
@settings(max_examples=150, derandomize=True, deadline=None)
@given(text=st.lists(pieces, max_size=12).map("".join), limit=st.integers(3, 40))
@example(text="ﷺ" * 30, limit=3)
@example(text=" " * 100, limit=5)
def test_windows_leave_out_nothing_but_white_space(tokenize, text, limit):
    windows = plan_windows(text, tokenize(text), limit, tokenize)
    read = {i for start, end, _ in windows for i in range(start, end)}
    assert all(text[i].isspace() for i in set(range(len(text))) - read)
    if len(windows) > 1:
        assert all(text[start:end] == text[start:end].strip() for start, end, _ in windows)
    for start, end, tokens in windows:
        assert start < end or not text.strip()
        assert tokens == len(tokenize(text[start:end]))
        assert tokens <= limit or end - start <= 1
    assert len(windows) <= 4 * len(text) + 1


# --- encoding, with real tokenizers ---


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_a_long_text_is_read_to_its_last_character(family):
    encoder = tiny_models.encoder(f"{family}-bare")
    text = " ".join(tiny_models.SENTENCES * 3) + " finis"
    document = encoder.encode_documents([text])[0]
    covered = {i for start, end in document.spans.tolist() for i in range(start, end)}
    missed = [i for i in range(len(text)) if seen(text[i]) and i not in covered]
    assert document.complete
    assert not missed
    assert len(text) - 1 in covered


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_each_window_keeps_its_marker_rows_and_the_limit(family):
    encoder = tiny_models.encoder(f"{family}-bare")
    document = encoder.encode_documents([" ".join(tiny_models.SENTENCES[:6])])[0]
    markers = encoder.encode_documents(["a"])[0].kinds.tolist().count(TokenKind.MARKER)
    windows = windows_of(document)
    assert markers
    assert len(windows) > 3
    for window in windows:
        kinds = document.kinds[window.start : window.stop].tolist()
        assert kinds[0] == kinds[-1] == TokenKind.SPECIAL
        assert kinds[1 : markers + 1] == [TokenKind.MARKER] * markers
        # A byte-level tokenizer may join the prompt's space to the first word, or not.
        rest = kinds[markers + 1 :]
        assert TokenKind.MARKER not in rest[rest[0] == TokenKind.MARKER :]
        assert len(kinds) <= BARE_LIMIT


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_windows_overlap_and_go_forward(family):
    document = tiny_models.encoder(f"{family}-bare").encode_documents([" ".join(tiny_models.SENTENCES[:6])])[0]
    spans = [document.spans[window.start : window.stop] for window in windows_of(document)]
    reach = [(part[part[:, 0] >= 0, 0].min(), part[:, 1].max()) for part in spans]
    for (start, end), (following, last) in itertools.pairwise(reach):
        assert start < following < end < last


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_the_rows_of_a_window_are_those_of_its_slice(family):
    encoder = tiny_models.encoder(f"{family}-bare")
    text = " ".join(tiny_models.SENTENCES[:4])
    document = encoder.encode_documents([text])[0]
    planned = [(window.start, window.end) for window in encoder._plan([text])]
    assert len(planned) > 2
    alone = tiny_models.library_rows(encoder, [text[a:b] for a, b in planned], "document")
    np.testing.assert_allclose(document.vectors, np.concatenate(alone), atol=1e-5)


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@pytest.mark.parametrize(
    "text",
    [
        "x" * 3000,
        "http://example.org/" + "?a=1&b=2" * 100,
        "図書館門口" * 80,
        "😀👍🏽🚀" * 60,
        FAMILY * 40,
        "cafe\u0301" * 100,
        "한국어" * 100,
        "½" * 100,
        "ﷺ" * 40,
        "Z" + "\u0351\u036b" * 200,
        "... " * 200,
        "[MASK]" * 60,
        "[D] " * 60,
        "▁" * 90,
        "a" + "\n" * 300 + "b",
    ],
    ids=lambda text: ascii(text[:6]),
)
def test_a_hostile_long_text_is_read_whole(family, text):
    document = tiny_models.encoder(f"{family}-bare").encode_documents([text])[0]
    covered = {i for start, end in document.spans.tolist() for i in range(start, end)}
    assert document.complete or document.unread > READABLE  # a tiny vocabulary has no word for some of them
    assert not [i for i in range(len(text)) if seen(text[i]) and i not in covered]
    assert max(map(len, windows_of(document))) <= BARE_LIMIT


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
@settings(max_examples=25, derandomize=True, deadline=None)
@given(texts=batches)
def test_every_visible_character_of_any_text_is_encoded_or_reported(family, texts):
    for text, document in zip(texts, tiny_models.encoder(f"{family}-bare").encode_documents(texts), strict=True):
        assert document.text == text
        covered = {i for start, end in document.spans.tolist() for i in range(start, end)}
        missed = [i for i in range(len(text)) if seen(text[i]) and i not in covered]
        surrogate = regex.search(r"[\ud800-\udfff]", text) is not None
        assert not (missed and document.complete), (text, missed)
        assert not (surrogate and document.complete)
        if family in BYTE_LEVEL:
            assert document.complete != (surrogate or document.unread > READABLE)


@pytest.mark.parametrize("name", tiny_models.AVAILABLE)
@settings(max_examples=12, derandomize=True, deadline=None)
@given(texts=batches)
def test_spans_are_whole_visible_characters_of_any_text(name, texts):
    encoder = tiny_models.encoder(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a query is too long
        results = encoder.encode_queries(texts) + encoder.encode_documents(texts)
    for text, result in zip(texts * 2, results, strict=True):
        edges = edges_of(text)
        assert result.text is text
        for start, end in result.spans.tolist():
            if (start, end) == (-1, -1):
                continue
            assert 0 <= start < end <= len(text)
            assert {start, end} <= edges
            characters = regex.findall(r"\X", text[start:end])
            assert any(map(seen, characters[0]))
            assert any(map(seen, characters[-1]))
