"""Claims are what an answer states, and their spans are its own characters."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latelens.attribution.claims import split_claims
from latelens.attribution.remarks import without_lead_in

MARKDOWN = """# Diet

Hello there! Based on the given context, elephants eat **150 kg** a day [1][2]. [3] They drink【4†source】.

**Details**
1. **Grass**: 80 % of it (Source 2).
   - [x] Bark. It is 5.5 m high.

| Animal | Mass |
|---|---:|
| Elephant | 5 t. Or more. |

```python
x = 1. # no claim
```
Range
=====
> They live in India.
> They swim.
"""


def texts(answer: str, *, checkable: bool = True) -> list[str]:
    return [claim.text for claim in split_claims(answer) if claim.checkable == checkable]


def test_sentences_list_items_and_table_rows_are_claims_and_code_headings_and_headers_are_not():
    assert texts(MARKDOWN) == [
        "Based on the given context, elephants eat **150 kg** a day [1][2].",
        "They drink【4†source】.",
        "**Grass**: 80 % of it (Source 2).",
        "Bark.",
        "It is 5.5 m high.",
        "| Elephant | 5 t. Or more. |",
        "They live in India.",
        "They swim.",
    ]
    assert texts(MARKDOWN, checkable=False) == ["Hello there!"]


def test_marks_and_lead_ins_are_not_compared_with_the_sources():
    found = {claim.text: claim.statement for claim in split_claims(MARKDOWN)}
    assert found["Based on the given context, elephants eat **150 kg** a day [1][2]."] == (
        "elephants eat **150 kg** a day."
    )
    assert found["They drink【4†source】."] == "They drink."
    assert without_lead_in("According to documents 2 and 3, it is stated that they swim.") == "they swim."
    assert without_lead_in("In short: be out by 10.") == "be out by 10."
    assert without_lead_in("In summary, based on the documents, they swim.") == "they swim."
    assert without_lead_in("According to Darwin, they swim.") == "According to Darwin, they swim."


def test_marks_at_the_ends_are_outside_the_claim():
    answer = "They swim. [1][2]\n- [3] They eat grass [4]"
    assert texts(answer) == ["They swim.", "They eat grass"]


@pytest.mark.parametrize(
    "remark",
    [
        "Hello!",
        "Thank you for your question.",
        "Do they swim?",
        "¿Dónde viven?",
        "هل تعيش هنا؟",
        "Πού ζουν;",
        "它们住在哪里？",
        "東京は大きいですか。",
        "I hope this helps!",
        "Let me know if you have more questions.",
        "If you need more information, just ask.",
        "I don't know.",
        "I'm not sure about that.",
        "Here is a summary of the answer.",
        "They eat the following:",
        "Based on the documents provided,",
        "The provided context does not mention their weight.",
        "There is no information about elephants in the given documents.",
        "Ich hoffe, das hilft.",
        "Have a good trip!",
        "Enjoy your stay!",
        "Hope this helps!",
        "Happy to help!",
        "Great, happy to help with your stay.",
        "You're all set.",
        "Exactly!",
        "Best regards, Anna.",
        "There is no information about the wifi password.",
        "The pages do not mention parking.",
        "I am sorry, the house book does not say anything about bicycles.",
        "Je ne sais pas.",
        "No lo sé.",
        "希望这能帮到您。",
        "It does!",
        "That's true.",
        "It is not.",
    ],
)
def test_what_states_nothing_is_not_checkable(remark):
    assert [(claim.text, claim.checkable) for claim in split_claims(remark)] == [(remark, False)]


@pytest.mark.parametrize(
    "statement",
    [
        "Hello Kitty is a character from Japan.",
        "Thanks to the rain, the forest is green.",
        "The source of the river is not clear.",
        "The documents were not found until 1950.",
        "If you have a fever, drink water.",
        "Sure, Paris is in France.",
        "Enjoy your stay in the tower, which is open until ten.",
        "Exactly two guests came.",
        "Have a doctor look at it.",
        "There is no lift in the house.",
        "The book does not mention his wife.",
        "The pages are not numbered.",
        "Yes, they swim.",
        "Sicher ist die Stadt nicht.",
        "I, Claudius is a novel.",
        "It is 5.",
        "It is not red.",
        "中国的首都是北京。",
        "العاصمة هي القاهرة.",
    ],
)
def test_a_statement_is_checkable(statement):
    assert [(claim.text, claim.checkable) for claim in split_claims(statement)] == [(statement, True)]


def test_code_ends_where_its_fence_does():
    answer = "````\n```\nno claim.\n````\nA claim.\n```\nnever closed."
    assert texts(answer) == ["A claim."]
    assert texts("Use ```x``` here.\nIt works.") == ["Use ```x``` here.", "It works."]


def test_bars_in_prose_are_no_table():
    assert texts("The value |x| is positive. It grows.") == ["The value |x| is positive.", "It grows."]


def test_a_table_without_outer_bars_has_rows_too():
    assert texts("Animal | Mass\n--- | ---\nElephant | 5 t\nMouse | 20 g") == ["Elephant | 5 t", "Mouse | 20 g"]


@pytest.mark.parametrize("answer", ["", " \n\n", "```\ncode\n```", "# Title", "---", "...", "[1] [2]", "|---|---|"])
def test_an_answer_without_a_statement_has_no_claim(answer):
    assert split_claims(answer) == ()


def test_responses_that_were_joined_are_claims_without_their_labels_and_rules():
    answer = (
        "Response 1: They eat grass\n-----------------\nResponse 2: They swim.\n-------\nResponse 3: Empty Response"
    )
    assert texts(answer) == ["They eat grass", "They swim."]
    assert texts(answer, checkable=False) == []


@pytest.mark.parametrize("answer", ["Empty Response", "Empty Response.", "**Empty response**"])
def test_an_empty_response_is_no_claim(answer):
    assert split_claims(answer) == ()


def test_a_heading_that_is_a_sentence_is_a_claim():
    assert texts("## They eat 150 kg a day.\n## Diet\n## 2. Diet\n\nDiet\n----\nThey swim.") == [
        "They eat 150 kg a day.",
        "They swim.",
    ]


def test_a_rule_under_a_paragraph_takes_no_sentence_away():
    assert texts("They eat grass. They also\nswim\n---\nThey sleep.") == [
        "They eat grass.",
        "They also\nswim",
        "They sleep.",
    ]


def test_of_a_link_the_text_is_compared_and_a_link_alone_is_not_checkable():
    (claim,) = split_claims('See [the report](https://a.b/c_(d) "x") of 150 kg [1](http://x.y), and www.a.b/c too.')
    assert claim.statement == "See the report of 150 kg , and  too."
    assert texts("[Elephants](https://a.b)", checkable=False) == ["[Elephants](https://a.b)"]
    assert texts("https://a.b/c", checkable=False) == ["https://a.b/c"]


ODD = st.sampled_from(
    [
        "\ud800",
        "\udfff",
        "e\u0301",
        "\u0301",
        "👩\u200d👩\u200d👧",
        "北京。",
        "مرحبا.",
        "\u2028",
        "\r\n",
        "\n",
        "\x00",
        "【1†s】",
    ]
) | st.sampled_from(
    [*"|?¿a \t", "```", "# ", "- ", "1. ", "[1]", "> ", "---", "===", ". ", ": ", "**", "|---|", "Dr. "]
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(st.one_of(ODD, st.text(max_size=8)), max_size=25).map("".join))
def test_claims_are_disjoint_slices_in_order(answer):
    reached = 0
    for claim in split_claims(answer):
        assert reached <= claim.start < claim.end <= len(answer)
        assert answer[claim.start : claim.end] == claim.text == claim.text.strip()
        reached = claim.end


@pytest.mark.parametrize(
    "unit",
    [
        "a ",
        "in the ",
        "| x ",
        "the context not ",
        "[1]",
        "- ",
        "> ",
        "```\n",
        "?",
        "a.\n",
        "![",
        "[a](",
        "www.a",
        "## a b ",
    ],
)
def test_a_long_answer_is_cut_in_time_that_grows_with_its_length(unit):
    answer = unit * (100_000 // len(unit))
    started = process_time()
    claims = split_claims(answer)
    assert process_time() - started < 15  # 2 s at most when it was written; a quadratic search takes minutes
    assert all(answer[claim.start : claim.end] == claim.text for claim in claims)
