"""Where the model cannot read a text, its letters choose the evidence, and whoever reads it is told."""

from __future__ import annotations

import json
import warnings
from io import StringIO

import pytest
from rich.console import Console

from latelens import explain, find_evidence, rerank
from latelens.bridge.metadata import read_evidence, to_metadata
from latelens.evaluation.data import read_lines
from latelens.explanation.lexical import by_characters
from latelens.render.terminal.ranking import format_ranking
from latelens.text.sentences import split_sentences

TEXT = "Музей открывается в девять часов. Собаки должны ждать снаружи. Дети платят четыре евро."
QUERY = "Сколько платят дети?"


pytestmark = pytest.mark.filterwarnings("ignore:.*cannot read")


@pytest.fixture(scope="module")
def ranked(offline):
    return rerank(QUERY, [TEXT], offline)[0]


def test_the_sentence_with_the_rare_letters_of_the_query_comes_first():
    found = by_characters("abc xyz", ["abc abc abc", "abc def", "xyz abc"], most=1)
    assert found.chosen == (2,)
    assert found.query_words == (("abc", "xyz"),)
    assert found.weights[0].argmax() == 0  # "xyz" is in one sentence of three, "abc" in all


def test_a_question_of_two_parts_gets_a_sentence_for_each():
    found = by_characters("кошка и собака", ["Кошка спит.", "Идёт дождь.", "Собака ест."], most=3)
    assert sorted(found.chosen) == [0, 2]
    assert {word for words in found.query_words for word in words} >= {"кошка", "собака"}


def test_no_letters_in_common_choose_nothing():
    assert by_characters("кот", ["dogs bark", "!"], most=3).chosen == ()
    assert by_characters("?", ["!"], most=3).chosen == ()


def test_two_chinese_characters_are_enough():
    assert by_characters("首都在哪里", ["他们吃草。", "北京是首都。"], most=1).chosen == (1,)


def test_a_text_that_the_model_cannot_read_is_cited_by_its_letters_and_says_so(ranked):
    (first, *_) = ranked.evidence
    assert first.text == "Дети платят четыре евро."
    assert first.lexical
    assert TEXT[first.start : first.end] == first.text
    assert set(first.query_words) == {"платят", "дети"}
    assert first.text.startswith(TEXT[first.phrase_start : first.phrase_end])
    assert not ranked.explanation.document.complete
    assert ranked.relevance is None
    assert ranked.explanation.uncovered == ()


def test_a_readable_text_is_cited_by_the_model_without_a_word_on_letters(offline):
    found = rerank("What do children pay?", ["Dogs wait outside. Children pay four euros."], offline)[0]
    assert not any(span.lexical for span in found.evidence)
    assert "lexical" not in json.dumps(to_metadata(found, query="q", model="m", rank=1))


def test_metadata_and_what_people_read_name_it_lexical(ranked):
    written = json.loads(json.dumps(to_metadata(ranked, query=QUERY, model="m", rank=1)))
    assert written["evidence"][0]["lexical"] is True
    assert tuple(read_evidence({"metadata": {"latelens": written}})) == tuple(
        type(span)(**{**vars(span), "score": round(span.score, 6), "drop": round(span.drop, 6)})
        for span in ranked.evidence
    )
    console = Console(file=StringIO(), width=200)
    console.print(format_ranking([ranked]))
    for shown in (console.file.getvalue(), ranked._repr_html_()):
        assert "The model cannot read 9" in shown
        assert "chosen by the letters that they share with the query" in shown


def test_an_unreadable_script_is_warned_of_once_with_a_model_that_reads_more(offline):
    offline._unread.clear()
    with pytest.warns(UserWarning, match=r"cannot read 100% of a text in Thai.*'lightonai/mLateOn'") as caught:
        offline.encode_documents(["ประเทศไทย", "กรุงเทพ", "plain"])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="Greek"):
        offline.encode_queries(["Αθήνα πρωτεύουσα"])


def test_a_query_in_another_script_than_the_text_leaves_the_choice_to_the_model(offline):
    explanation = explain(
        offline.encode_queries(["Сколько"])[0], offline.encode_documents(["Dogs wait. Children pay."])[0]
    )
    assert not explanation.readable
    assert not any(span.lexical for span in find_evidence(explanation))


def test_letters_find_the_right_chinese_sentence_as_often_as_trigrams_do(offline, shared_data):
    folder = shared_data / "xquad/small/zh"
    texts = {line["id"]: line["text"] for line in read_lines(folder / "corpus.jsonl")}
    asked = {line["id"]: line["text"] for line in read_lines(folder / "queries.jsonl")}
    gold = list(read_lines(folder / "evidence.jsonl"))[:25]
    queries = offline.encode_queries([asked[line["qid"]] for line in gold])
    documents = offline.encode_documents([texts[line["docid"]] for line in gold])
    ours = theirs = 0
    for line, query, document in zip(gold, queries, documents, strict=True):
        sentences = split_sentences(document.text)
        shared = [len(trigrams(query.text) & trigrams(document.text[start:end])) for start, end in sentences]
        start, end = sentences[shared.index(max(shared))]
        theirs += any(start <= begin < end for begin, _ in line["spans"])
        best = find_evidence(explain(query, document))[0]
        ours += any(best.start <= begin < best.end for begin, _ in line["spans"])
    assert ours >= theirs


def trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


def test_symbols_and_endless_words_warn_of_no_script(offline):
    offline._unread.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = offline.encode_documents(["👍 👍 👍", "y" * 900])
    assert [each.complete for each in found] == [False, False]
