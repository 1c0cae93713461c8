"""Are statements flagged that their own paragraph says? Made of SQuAD's questions and answers. Run by hand.

python tests/benchmarks/attribution_squad.py FOLDER [--limit 400] [--foreign 19] [--json numbers.json]

FOLDER is SQuAD's development set as `latelens.evaluation.data` reads it. A question that asks for its subject or
complement becomes a statement when the answer takes the place of the question word: "Who designed it?", "Ada", "Ada
designed it." Other questions, which need another order of words or form of the verb, are left out. Each statement meets
its paragraph, without the question, and then among foreign paragraphs. The same statement with the answer to another
question of the paragraph is counted beside it. Only questions whose id's sha1 begins with 8 to f ("report").
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from attribution_kinds import reason_of
from attribution_measures import Remembering

from latelens import EmbeddingCache, Encoder, load_encoder
from latelens.attribution import Attribution, Source, attribute
from latelens.evaluation.data import digest_of, is_for_tuning, read_lines

_BE = r"(?:is|was|are|were)"
# "What is the name of the river?": the rest is the subject.
_COMPLEMENT = re.compile(rf"(?:What|Who) (?P<be>{_BE}) (?P<rest>(?:the|a|an|his|her|its|their) .+?)\s?\?$")
# "Who designed it?", "What caused it?": the question word is the subject. "What types of work did they do?" is not so.
_SUBJECT = re.compile(r"(?:Who (?P<who>[a-z]+(?:ed|s)\b.*?)|What (?P<what>[a-z]+ed\b.*?))\s?\?$")
_INVERTED = re.compile(r"\b(?:do|does|did)\b")
_PREPOSITION = re.compile(r"\b(?:to|in|of|for|by|with|from|at|on|as|about|like|called)$")


@dataclass(frozen=True)
class Made:
    """A statement of a paragraph, and the same one with a wrong answer, where the paragraph has one."""

    id: str
    question: str
    paragraph: str
    right: str
    wrong: str | None


def statement(question: str, answer: str) -> str | None:
    """The question as a statement, with the answer in the place of what was asked for; None where that is not plain.

    >>> statement("Who designed the first engine?", "Ada Lovelace")
    'Ada Lovelace designed the first engine.'
    >>> statement("What is the name of the river?", "the Rhine")
    'The name of the river is the Rhine.'
    >>> statement("When did it open?", "1994") is None
    True
    """
    answer = answer.strip().rstrip(".")
    if found := _COMPLEMENT.fullmatch(question):
        if _PREPOSITION.search(found["rest"]):
            return None
        return f"{found['rest'][0].upper()}{found['rest'][1:]} {found['be']} {answer}."
    if (found := _SUBJECT.fullmatch(question)) and not _INVERTED.search(question):
        return f"{answer[0].upper()}{answer[1:]} {found['who'] or found['what']}."
    return None


def read_made(folder: Path, limit: int | None) -> Iterator[Made]:
    """Statements of the report half, in the order of their questions' sha1."""
    texts = {line["id"]: line["text"] for line in read_lines(folder / "corpus.jsonl")}
    answers: dict[str, tuple[str, str]] = {}
    for line in read_lines(folder / "evidence.jsonl"):
        start, end = line["spans"][0]
        answers[line["qid"]] = line["docid"], texts[line["docid"]][start:end]
    of_paragraph: dict[str, list[str]] = {}
    for name, answer in answers.values():
        of_paragraph.setdefault(name, []).append(answer)
    asked = {line["id"]: line["text"] for line in read_lines(folder / "queries.jsonl")}
    count = 0
    for qid in sorted((qid for qid in asked if qid in answers and not is_for_tuning(qid)), key=digest_of):
        name, answer = answers[qid]
        right = statement(asked[qid].strip(), answer)
        if right is None or count == limit:
            continue
        others = sorted({other for other in of_paragraph[name] if other not in answer and answer not in other})
        wrong = statement(asked[qid].strip(), random.Random(qid).choice(others)) if others else None
        count += 1
        yield Made(qid, asked[qid], name, right, wrong)


def measure(made: Sequence[Made], texts: dict[str, str], encoder: Encoder, foreign: int) -> dict[str, dict[str, float]]:
    """Shares of statements that are flagged, with their reasons; and of labels that foreign paragraphs change."""
    alone = [attribute(one.right, [texts[one.paragraph]], encoder) for one in made]
    told = [attribute(one.right, [texts[one.paragraph]], encoder, question=one.question) for one in made]
    wrong = [attribute(one.wrong, [texts[one.paragraph]], encoder) for one in made if one.wrong]
    names, changed, worse = sorted({one.paragraph for one in made}), 0, 0
    for one, found in zip(made, alone, strict=True):
        others = random.Random(one.id).sample([name for name in names if name != one.paragraph], foreign)
        among = attribute(one.right, [Source(texts[name]) for name in (*others, one.paragraph)], encoder)
        labels = [[claim.label for claim in each.claims] for each in (found, among)]
        changed += labels[0] != labels[1]
        worse += bool(not found.flagged and among.flagged)
    return {
        "right": _flags(alone),
        "right, the question given": _flags(told),
        "with another answer of the paragraph": _flags(wrong),
        f"label changed by {foreign} foreign paragraphs": {
            "claims": len(made), "changed": changed / len(made), "newly flagged": worse / len(made)
        },
    }  # fmt: skip


def _flags(found: Sequence[Attribution]) -> dict[str, float]:
    reasons = Counter(reason for one in found for reason in set().union(*map(reason_of, one.flagged)))
    shares = {reason: count / len(found) for reason, count in reasons.most_common()}
    return {"claims": len(found), "flagged": sum(bool(one.flagged) for one in found) / len(found), **shares}


def main(given: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="offline/latelens-mini")
    parser.add_argument("--limit", type=int, default=400, help="statements")
    parser.add_argument("--foreign", type=int, default=19)
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings between runs")
    parser.add_argument("--json", type=Path, help="write the numbers here as well")
    asked = parser.parse_args(given)
    try:
        made = list(read_made(asked.folder, asked.limit))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    texts = {line["id"]: line["text"] for line in read_lines(asked.folder / "corpus.jsonl")}
    encoder = Remembering(load_encoder(asked.model), EmbeddingCache(asked.cache, max_bytes=2**31))
    encoder.encode_documents([texts[name] for name in sorted({one.paragraph for one in made})])
    found = measure(made, texts, encoder, asked.foreign)  # type: ignore[arg-type]
    for name, row in found.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.3f}" for key, value in row.items()))
    if asked.json is not None:
        asked.json.write_text(json.dumps({"model": asked.model, **found}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
