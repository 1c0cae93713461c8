"""The command: what it prints is exact, and what it cannot do it says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_encoder import FakeEncoder
from tiny_pdf import tiny_pdf

import latelens
from latelens import Calibration
from latelens.cli import command, main
from latelens.cli.files import read_file

NOTES = "# Dogs\r\n\r\nDogs must wait outside.\r\n\r\n# Range\r\n\r\nIt rains. Herds eat grass\r\nevery day."


@pytest.fixture
def notes(tmp_path, monkeypatch) -> str:
    """A file of two passages, and the encoder for logic in place of any model."""
    monkeypatch.setattr(command, "load_encoder", lambda model, **_: FakeEncoder(model))
    monkeypatch.chdir(tmp_path)
    Path("notes.md").write_bytes(NOTES.encode())
    return "notes.md"


def refusal(capsys, *arguments: str) -> str:
    """What is said when arguments are refused with status 2, before or after they are parsed."""
    try:
        status = main(arguments)
    except SystemExit as stopped:
        status = stopped.code
    said = capsys.readouterr()
    assert (status, said.out) == (2, "")
    return said.err


def test_the_best_passages_are_printed_with_their_evidence_and_place(notes, capsys):
    assert main(["herds eat grass", notes, "--top", "1"]) == 0
    said = capsys.readouterr()
    lines = [line.rstrip() for line in said.out.splitlines()]
    assert lines[0] == "1. notes.md:5  score 4.00"
    assert lines[1:5] == ["   # Range", "", "   It rains. »Herds eat grass every day.«", "   1.00  Herds eat grass every day.  <- herds, eat, grass"]  # fmt: skip # noqa: E501
    assert lines[-1] == "best 1 of 2 passages of 1 file, by offline/latelens-mini"
    assert said.err == ""


def test_json_gives_positions_in_the_files_text(notes, capsys):
    assert main(["herds eat grass", notes, "--json", "--why"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["question"], found["files"], found["passages"]) == ("herds eat grass", 1, 2)
    best, other = found["results"]
    assert NOTES[best["start"] : best["end"]] == best["text"]
    (evidence,) = best["evidence"]
    assert NOTES[evidence["start"] : evidence["end"]] == evidence["text"] == "Herds eat grass\r\nevery day."
    assert NOTES[evidence["phrase_start"] : evidence["phrase_end"]] == "Herds eat grass"
    assert (best["rank"], best["file"], best["line"], best["page"]) == (1, "notes.md", 5, None)
    assert sum(line["contribution"] for line in best["ledger"]) == best["score"] == 4.0
    assert other["score"] == 1.0


def test_pages_of_a_pdf_are_named(notes, capsys):
    pytest.importorskip("pypdfium2")
    Path("paper.pdf").write_bytes(tiny_pdf("It rains.", "", "Herds eat grass."))
    assert main(["eat grass", "paper.pdf", "-n", "1"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("1. paper.pdf, page 3, upper half, left  score 3.00")
    assert said.err == "latelens: paper.pdf: no text layer on page 2 of 3: not read\n"
    assert main(["eat grass", "paper.pdf", "-n", "1", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["page"] == 3
    assert read_file("paper.pdf").text[result["start"] : result["end"]] == "Herds eat grass."


def test_why_prints_a_ledger_after_each_passage(notes, capsys):
    assert main(["eat grass", notes, "--why"]) == 0
    out = capsys.readouterr().out
    assert out.count("query word") == 2
    assert "2. notes.md:1" in out


def test_files_that_cannot_be_read_are_said_and_the_others_searched(notes, capsys):
    Path("program.txt").write_bytes(b"\0\1")
    Path("empty.txt").write_bytes(b"")
    Path("picture.png").write_bytes(b"x")
    assert main(["grass", "."]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "latelens: .: skipped 1 file of other types (.png); name a file to read it whatever its type",
        "latelens: empty.txt: is empty",
        "latelens: skipped program.txt: is no text but binary; if it is UTF-16 without a byte order mark, give its "
        "encoding",
    ]


def test_nothing_found_is_status_1(notes, capsys):
    Path("empty.txt").touch()
    assert main(["grass", "empty.txt"]) == 1
    assert main(["grass", notes, "--min-score", "9", "--json", "--html", "report.html"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["results"] == []
    assert said.err.endswith("latelens: nothing found in 2 passages of 1 file\n")
    assert not Path("report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["q"], "the following arguments are required: FILE"),
        (["", "notes.md"], "the question is empty; put it first, in quotes"),
        (["notes.md", "what is it"], "the question comes first, then the files; 'notes.md' is a file"),
        (["q", "gone.txt"], "there is no file 'gone.txt'"),
        (["q", "notes.md", "--top", "0"], "must be a whole number from 1, got '0'"),
        (["q", "notes.md", "--min-score", "nan"], "must be a number, got 'nan'"),
        (["q", "notes.md", "--min-relevance", "2"], "must be between 0 and 1, got '2'"),
        (["q", "notes.md", "--model", ""], "argument --model: the name is empty; leave the option out"),
        (["q", "notes.md", "--encoding", "hex"], "Python knows no encoding 'hex'"),
        (["q", "notes.md", "--cache", "notes.md"], "path must name a folder, but 'notes.md' is a file"),
        (["q", "notes.md", "--html", "no/report.html"], "there is no folder 'no'"),
        (["q", "notes.md", "--html", "notes.md"], "'notes.md' is one of the files to read, and would be overwritten"),
        (["q", "notes.md", "--html", "r" * 300], "cannot be written (File name too long)"),
        (["q", "notes.md", "--plot", "."], "'.' is a folder; name a file"),
        (["q", "notes.md", "--plot", "picture.txt"], "must end in one of"),
        (["q", "binary.txt"], "there is no file to search"),
    ],
)
def test_wrong_arguments_are_refused_with_status_2_and_nothing_on_standard_output(notes, capsys, arguments, message):
    Path("binary.txt").write_bytes(b"\0")
    assert message in refusal(capsys, *arguments)
    assert Path("notes.md").read_bytes() == NOTES.encode()


def test_a_missing_model_or_package_is_status_2_and_names_the_next_step(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("text")
    assert "could not find the model 'no/model'" in refusal(capsys, "q", "a.txt", "--model", "no/model")
    monkeypatch.setitem(sys.modules, "bs4", None)
    Path("a.html").write_text("text")
    assert "pip install 'latelens[files]'" in refusal(capsys, "q", "a.html")


def test_a_picture_of_the_best_passage_is_written(notes, capsys):
    pytest.importorskip("matplotlib")
    assert main(["eat grass", notes, "--plot", "out.png"]) == 0
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().err == "latelens: wrote out.png\n"


def test_a_report_names_every_passage_and_is_escaped(notes, capsys):
    Path("evil.txt").write_text("Herds eat <script>alert(1)</script> grass.")
    assert main(["eat grass", notes, "evil.txt", "--html", "report.html"]) == 0
    page = Path("report.html").read_text(encoding="utf-8")
    assert all(place in page for place in ("notes.md:5", "notes.md:1", "evil.txt:1"))
    assert "<script>alert(1)" not in page
    assert capsys.readouterr().err == "latelens: wrote report.html\n"


def test_a_cache_makes_the_second_question_read_nothing(notes, capsys, monkeypatch):
    encoders = []
    monkeypatch.setattr(command, "load_encoder", lambda model, **_: encoders.append(FakeEncoder()) or encoders[-1])
    for question in ("grass", "rain"):
        assert main([question, notes, "--cache", "kept"]) == 0
    assert [len(encoder.encoded) for encoder in encoders] == [2, 0]


def test_a_warning_of_the_library_is_one_line(notes, capsys, monkeypatch):
    monkeypatch.setattr(command, "load_encoder", latelens.load_encoder)
    assert main(["grass", notes, "--model", "jinaai/jina-colbert-v2"]) == 2  # it is not on this machine
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("latelens: warning: jinaai/jina-colbert-v2 is published under CC-BY-NC-4.0")
    assert "could not find the model" in error


def test_ctrl_c_is_status_130(notes, capsys, monkeypatch):
    def interrupt(model, **_):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "load_encoder", interrupt)
    assert main(["grass", notes]) == 130
    assert capsys.readouterr().err == "latelens: interrupted\n"


def run(*arguments: str, text: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR")}
    command_line = [sys.executable, "-m", "latelens", *arguments]
    return subprocess.run(command_line, input=text, capture_output=True, env={**kept, **variables}, timeout=300)


def test_a_pipe_gets_plain_text_of_80_columns_whatever_its_encoding(tmp_path):
    text = "Children under six get in free. ½ price \x1b[31mfor students. Кофе. " + "Tickets cost nine euros. " * 5
    done = run("How much do I pay for my toddler?", "-", text=text.encode(), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b">>") == done.stdout.count(b"<<") > 0
    assert b">>Tickets cost nine euros.<<" in b" ".join(done.stdout.split())
    assert b"\x1b" not in done.stdout
    assert max(map(len, done.stdout.decode("ascii").splitlines())) <= 80 + 5 * len(
        "½\ufffdКофе"
    )  # \\u041a for one character


def test_version_and_help_are_quick_and_load_no_model(tmp_path):
    done = run("--version")
    assert done.stdout.decode().strip() == f"latelens {latelens.__version__}"
    done = run("--help", COLUMNS="80")
    assert b"--min-score" in done.stdout
    assert max(map(len, done.stdout.decode().splitlines())) <= 80


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does")
def test_ctrl_c_ends_without_a_traceback(tmp_path):
    command_line = [sys.executable, "-m", "latelens", "q", "/dev/stdin"]
    process = subprocess.Popen(command_line, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"a" * 2**20)  # more than a pipe holds: goes on once the command reads
    process.stdin.flush()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr is not None
    assert process.stderr.read().decode().endswith("latelens: interrupted\n")
    process.stdin.close()


@pytest.mark.skipif(os.name != "posix", reason="named pipes are POSIX's")
def test_what_may_never_end_is_passed_over_wherever_it_is_named(notes, capsys):
    os.mkfifo("pipe.txt")
    Path("folder").mkdir()
    for link, target in (("pipe.md", "pipe.txt"), ("zero.md", "/dev/zero"), ("notes.md", "notes.md")):
        Path("folder", link).symlink_to(Path(target).absolute())
    assert main(["grass", "folder", "pipe.txt", "/dev/zero", "--json"]) == 0
    said = capsys.readouterr()
    assert [result["file"] for result in json.loads(said.out)["results"]] == ["folder/notes.md"] * 2
    assert said.err.splitlines() == [
        f"latelens: skipped {name}: is {kind}, which may never end; pipe what it gives into the command and name -"
        for name, kind in (("folder/pipe.md", "a named pipe"), ("folder/zero.md", "a device"))
    ]


@pytest.mark.skipif(os.name != "posix", reason="the shell's <(command) is POSIX's")
def test_what_the_shell_opens_is_read(notes, capsys):
    reader, writer = os.pipe()
    os.write(writer, b"Herds eat grass.")
    os.close(writer)
    assert main(["grass", f"/dev/fd/{reader}"]) == 0
    assert "»Herds eat grass.«" in capsys.readouterr().out
    os.close(reader)


@pytest.mark.parametrize("option", ["--html", "--plot"])
@pytest.mark.parametrize(
    "target", ["folder/a.html", "folder/../folder/a.html", "link.html", "same.html", "linked/a.html"]
)
def test_a_source_found_in_a_folder_is_never_overwritten(notes, capsys, option, target):
    pytest.importorskip("matplotlib")
    suffix = ".html" if option == "--html" else ".pdf"
    Path("folder").mkdir()
    source = Path("folder/a.html").with_suffix(suffix)
    source.write_bytes(tiny_pdf("Herds eat grass.") if suffix == ".pdf" else b"<p>Herds eat grass.")
    before = source.read_bytes()
    Path("link.html").with_suffix(suffix).symlink_to(source.absolute())
    Path("linked").symlink_to(Path("folder").absolute())
    os.link(source, Path("same.html").with_suffix(suffix))
    said = refusal(capsys, "grass", "folder", option, target.replace(".html", suffix))
    assert "is one of the files to read" in said
    assert "would be overwritten; name another" in said
    assert source.read_bytes() == before


def test_standard_input_is_a_source_too(tmp_path):
    (tmp_path / "a.md").write_text("Herds eat grass.")
    with (tmp_path / "a.md").open("rb") as given:
        command_line = [sys.executable, "-m", "latelens", "grass", "-", "--html", str(tmp_path / "a.md")]
        done = subprocess.run(command_line, stdin=given, capture_output=True, timeout=300)
    assert (done.returncode, (tmp_path / "a.md").read_text()) == (2, "Herds eat grass.")
    assert b"is one of the files to read, '-', and would be overwritten" in done.stderr


def test_two_outputs_are_two_files(notes, capsys):
    assert "--html and --plot name the same file 'out.svg'" in refusal(
        capsys, "q", notes, "--html", "out.svg", "--plot", "./out.svg"
    )


class Calibrated(FakeEncoder):
    calibration = Calibration("fake", strength=10.0, length=0.0, intercept=-5.0, fitted_on="by hand")


def test_a_threshold_on_relevance_keeps_what_answers_and_needs_a_calibration(notes, capsys, monkeypatch):
    assert "has no calibration" in refusal(capsys, "herds eat grass", notes, "--min-relevance", "0.5")
    monkeypatch.setattr(command, "load_encoder", lambda model, **_: Calibrated(model))
    assert main(["herds eat grass", notes, "--min-relevance", "0.5"]) == 0
    assert capsys.readouterr().out.startswith("1. notes.md:5  score 4.00  relevance 0.9")
    assert main(["herds eat grass", notes, "--min-relevance", "1"]) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_a_full_or_closed_standard_output_is_status_2(notes, options):
    command_line = [sys.executable, "-m", "latelens", "grass", notes, *options]
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(command_line, stdout=full, stderr=subprocess.PIPE, timeout=300)
    assert (done.returncode, done.stderr) == (
        2,
        b"latelens: error: standard output could not be written (No space left on device)\n",
    )
    closed = ["sh", "-c", '"$@" >&-', "sh", *command_line]
    done = subprocess.run(closed, stderr=subprocess.PIPE, timeout=300)
    assert (done.returncode, done.stderr) == (2, b"latelens: error: standard output is closed; give a file or a pipe\n")


def test_a_folder_name_that_is_too_long_is_status_2(notes, capsys):
    assert "path must name a folder, got 'ccc" in refusal(capsys, "q", notes, "--cache", "c" * 300)
    assert "there is no file" in refusal(capsys, "q", "f" * 300)
