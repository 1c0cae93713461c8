"""A calibration for pages: fitted on images, and about images alone."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder
from page_images import ColourEncoder, painted

from latelens import Calibration, explain, rerank, rerank_pages
from latelens.evaluation import calibrate
from latelens.explanation.relevance import relevance

COLOURS = ("red", "green", "blue", "black", "yellow")
PAIRS = list(combinations(COLOURS, 2))


def write(folder: Path, count: int = 160) -> Path:
    """A page for each pair of colours, and questions that name both."""
    folder.mkdir()
    pages, queries, judged = [], [], ["qid\tdocid\trel"]
    for name, (left, right) in zip(("-".join(pair) for pair in PAIRS), PAIRS, strict=True):
        painted((100, 80), {left: (0, 0, 40, 40), right: (60, 40, 100, 80)}).save(folder / f"{name}.png")
        pages.append({"id": name, "image": f"{name}.png"})
    for i in range(count):
        left, right = PAIRS[i % len(PAIRS)]
        queries.append({"id": f"q{i}", "text": f"{left} {right}"})
        judged.append(f"q{i}\t{left}-{right}\t1")
    for file, lines in (("corpus", pages), ("queries", queries)):
        (folder / f"{file}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "qrels.tsv").write_text("\n".join(judged))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    folder = tmp_path_factory.mktemp("calibrate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "load_encoder", lambda model, speed: ColourEncoder())
        patch.setattr(calibrate, "_PAGES", 3)  # so that the best of several slabs is kept
        assert calibrate.main(["colours", str(write(folder / "data")), "--output", str(folder / "made.json")]) == 0
    return Calibration.load(folder / "made.json")


def test_a_model_that_reads_pages_is_calibrated_on_them_and_ranks_by_relevance(made: Calibration) -> None:
    assert made.pages
    encoder = ColourEncoder()
    encoder.calibration = made
    pictures = [
        painted((100, 80), {"red": (0, 0, 40, 40)}),
        painted((100, 80), {"red": (0, 0, 40, 40), "blue": (60, 40, 100, 80)}),
    ]
    both, one = rerank_pages("red blue", pictures, encoder)
    assert (both.index, one.index) == (1, 0)
    assert both.relevance > 0.5 > one.relevance
    assert [each.index for each in rerank_pages("red blue", pictures, encoder, min_relevance=0.5)] == [1]


def test_it_says_nothing_of_texts_and_one_of_texts_nothing_of_pages(made: Calibration) -> None:
    words = FakeEncoder()
    words.calibration = made
    assert rerank("red blue", ["red and blue"], words)[0].relevance is None
    of_texts = Calibration("fake", strength=8.0, length=-0.5, intercept=0.0, fitted_on="")
    encoder = ColourEncoder()
    (page,) = encoder.encode_pages([painted((100, 80), {"red": (0, 0, 100, 80)})])
    (query,) = encoder.encode_queries(["red"])
    assert relevance(explain(query, page), of_texts) is None
    assert relevance(explain(query, page), made) is not None


def test_what_only_the_prompt_answers_is_not_relevant(made: Calibration) -> None:
    """Rows of the prompt show nothing of the page, however well they match."""
    encoder = ColourEncoder()
    (page,) = encoder.encode_pages([painted((100, 80), {})])
    (query,) = encoder.encode_queries(["red"])
    (prompted,) = encoder.encode_pages([painted((100, 80), {})])
    prompted.vectors[0] = query.vectors[0]
    assert explain(query, prompted).score == 1.0
    # The floor, what the word finds anywhere, rises by the prompt's row: less relevant, if anything.
    assert relevance(explain(query, prompted), made) <= relevance(explain(query, page), made)


def test_a_corpus_without_images_is_refused_by_name(tmp_path: Path, capsys, monkeypatch) -> None:
    folder = write(tmp_path / "data")
    (folder / "corpus.jsonl").write_text(json.dumps({"id": "red-green", "text": "red green"}))
    monkeypatch.setattr(calibrate, "load_encoder", lambda model, speed: ColourEncoder())
    assert calibrate.main(["colours", str(folder)]) == 2
    assert "document 'red-green' has no 'image'" in capsys.readouterr().err
