"""Write the model card from what was run and measured, so that no number in it is typed by hand.

python scripts/training/card.py --run RUN/run.json [--pointing JSON...] [--ranking JSON...] [--evidence BEFORE.json...
    AFTER.json...] [--relevance TABLE.md] --output docs/latelens_mini.md

`run.json` is what `train.py` wrote. Pointing and ranking are what the scripts of those names
wrote, evidence what `tests/benchmarks/evidence.py --json` wrote for both models on the same data, and relevance the
table that `latelens.evaluation.calibrate` printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latelens.encoders.offline import OFFLINE_MODEL, TRAINED_MODEL

_HEAD = Path(__file__).with_name("card_head.md")
_TAIL = Path(__file__).with_name("card_tail.md")
_MEASURES = {
    "sentence Hit@1": "first sentence is a marked one",
    "evidence F1": "F1 of all sentences returned",
    "top = leave-one-out's top": "first = what leave-one-out finds (re-encoded)",
    "sufficiency, by columns": "normalised score of the first sentence alone",
    "sufficiency, re-encoded": "the same, re-encoded",
    "comprehensiveness, by columns": "what its removal costs",
    "comprehensiveness, re-encoded": "the same, re-encoded",
}

Json = dict[str, Any]


def evidence_rows(measured: Sequence[Json]) -> list[str]:
    """A row for each data set and measure: before, after, and the half widths of the intervals."""
    by_model: dict[str, dict[str, Json]] = {}
    for each in measured:
        by_model.setdefault(each["model"], {})[each["dataset"]] = each
    rows = [f"| | queries | `{OFFLINE_MODEL}` | `{TRAINED_MODEL}` |", "|---|---|---|---|"]
    after = next(found for model, found in by_model.items() if model != OFFLINE_MODEL)
    for name, before in by_model[OFFLINE_MODEL].items():
        title = f"{name.removeprefix('data/')}, {before['split']}"
        for measure, words in _MEASURES.items():
            cells = [_cell(each["measures"][measure]["latelens"]) for each in (before, after[name])]
            rows.append(f"| {title}: {words} | {before['queries']} | {' | '.join(cells)} |")
    return rows


def _cell(found: Json) -> str:
    return f"{found['mean']:.3f} ± {(found['high'] - found['low']) / 2:.3f}"


def pointing_rows(measured: Sequence[Json]) -> list[str]:
    """Sentence Hit@1 and F1 before and after, a row for each data set."""
    before, after = (name for name in measured[0] if name not in ("data", "pairs"))
    rows = [f"| | pairs | `{OFFLINE_MODEL}` | `{TRAINED_MODEL}` |", "|---|---|---|---|"]
    return rows + [f"| {m['data']} | {m['pairs']} | {m[before]:.3f} | {m[after]:.3f} |" for m in measured]


def ranking_rows(measured: Sequence[Json]) -> list[str]:
    """NDCG@10 of each model, a row for each data set."""
    models = [name for name in measured[0] if name not in ("data", "questions")]
    rows = [f"| nDCG@10 | questions | {' | '.join(f'`{m}`' for m in models)} |", "|---" * (len(models) + 2) + "|"]
    return rows + [
        f"| {m['data']} | {m['questions']} | {' | '.join(f'{m[n]:.4f}' for n in models)} |" for m in measured
    ]


def validation_rows(run: Json) -> list[str]:
    """What each seed reached on the validation documents, and their mean."""
    names = list(run["before"])
    rows = [f"| validation | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    seeds = [(f"seed {each['seed']}", each["valid"][-1]) for each in run["seeds"]]
    held = [("before", run["before"]), *seeds, ("their mean", run["valid"])]
    return rows + [f"| {title} | {' | '.join(f'{found[name]:.3f}' for name in names)} |" for title, found in held]


def recipe_lines(run: Json) -> list[str]:
    """The recipe that the shipped delta was trained with."""
    sections = [f"{name}: {', '.join(f'{k} {v}' for k, v in each.items())}" for name, each in run["recipe"].items()]
    first, *_ = seeds = run["seeds"]
    seconds = sum(each["cpu_seconds"] for each in seeds)
    versions = ", ".join(f"{name} {version}" for name, version in first["versions"].items())
    return [*(f"- {each}" for each in sections), f"- {seconds:.0f} s of one core for all seeds, {versions}"]


def main(given: Sequence[str] | None = None) -> int:
    """Write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    for name in ("pointing", "ranking", "evidence"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", default=[])
    parser.add_argument("--relevance", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    asked = parser.parse_args(given)
    run = _read(asked.run)
    parts = [
        _HEAD.read_text(encoding="utf-8").strip(),
        "## Recipe\n\n" + "\n".join(recipe_lines(run)),
        "\n".join(validation_rows(run)),
    ]
    for name, rows in (("pointing", pointing_rows), ("ranking", ranking_rows), ("evidence", evidence_rows)):
        if measured := [each for path in getattr(asked, name) for each in _read(path)]:
            parts.append(f"## {name.capitalize()}\n\n" + "\n".join(rows(measured)))
    if asked.relevance:
        parts.append("## Relevance\n\n" + asked.relevance.read_text(encoding="utf-8").strip())
    parts.append(_TAIL.read_text(encoding="utf-8").strip())
    asked.output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return 0


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
