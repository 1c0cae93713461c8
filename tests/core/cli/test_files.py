"""Files become text whose positions are exact, and what cannot be read is said."""

from __future__ import annotations

import codecs
import io
import sys

import pytest
from growth import assert_linear
from tiny_pdf import tiny_pdf

from latelens.cli.files import UnreadableFile, find_files, read_file, reading
from latelens.cli.files.html import looks_like_html, read_html
from latelens.pages.numbers import page_numbers


@pytest.mark.parametrize("name", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_byte_order_mark_decides_and_is_left_out(tmp_path, name):
    marks = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    mark = marks.get(name) or {"utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE}[name]
    file = tmp_path / "notes.txt"
    file.write_bytes(mark + "Tee für 2 €\r\n😀".encode(name))
    read = read_file(str(file), encoding="cp1252")
    assert (read.text, read.notes) == ("Tee für 2 €\r\n😀", ())


def test_lines_are_counted_as_editors_count_them(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\r\ntwo\rthree\nfour")
    read = read_file(str(file))
    assert read.text == "one\r\ntwo\rthree\nfour"
    assert [read.line_at(read.text.index(word)) for word in ("one", "two", "three", "four")] == [1, 2, 3, 4]
    assert read.page_at(0) is None


def test_another_encoding_is_said_and_can_be_given(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("Ein Kännchen Kaffee und ein Stück Kuchen".encode("cp1252"))
    read = read_file(str(file))
    assert read.text == "Ein K\ufffdnnchen Kaffee und ein St\ufffdck Kuchen"
    assert read.notes == ("2 places are not utf-8 and show as \ufffd; give its encoding, such as cp1252",)
    assert "Kännchen" in read_file(str(file), encoding="cp1252").text


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("Привет мир".encode("cp1251"), "is not utf-8 text; give its encoding"),
        (b"PK\x03\x04\0\0", "is no text but binary"),
        ("no mark".encode("utf-16-le"), "if it is UTF-16 without a byte order mark, give its encoding"),
        (b"%PDF-1.4 broken", "is no readable PDF"),
        (tiny_pdf(""), "has no text layer.*ocrmypdf"),
    ],
)
def test_what_gives_no_text_is_refused_with_the_reason(tmp_path, data, reason):
    file = tmp_path / "file.txt"
    file.write_bytes(data)
    with pytest.raises(UnreadableFile, match=rf"file\.txt: .*{reason}"):
        read_file(str(file))


def test_an_empty_file_is_read_and_said(tmp_path):
    (tmp_path / "a.md").write_text(" \n")
    assert read_file(str(tmp_path / "a.md")).notes == ("is empty",)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UnreadableFile, match=r"gone\.txt: No such file"):
        read_file(str(tmp_path / "gone.txt"))


def test_an_endless_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", 2**20)
    (tmp_path / "a.txt").write_bytes(b"a" * (2**20 + 1))
    with pytest.raises(UnreadableFile, match="is larger than 1 MiB"):
        read_file(str(tmp_path / "a.txt"))


def test_standard_input_may_be_anything(monkeypatch):
    for data, text in ((b"plain", "plain"), (b"<!doctype html><p>page", "page"), (tiny_pdf("paper"), "paper")):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert read_file("-").text == text


HTML = """<html><head><title>x</title><style>p{}</style></head><body><nav>Home</nav><h1>Prices</h1>
<p>Coffee costs <b>two</b>
   euros.<!-- really --><ul><li>milk<li>sugar</ul><script>alert(1)</script>
<table><tr><th>a</th><th>b</th></tr><tr><td>c<td>d</table><pre>if x:
    y &lt; 2</pre><p hidden>no</p><p>End<br>line</body></html>"""


def test_html_is_read_as_a_browser_shows_it(tmp_path):
    pytest.importorskip("bs4")
    file = tmp_path / "page.html"
    file.write_text(HTML)
    read = read_file(str(file))
    assert read.text == (
        "Prices\n\nCoffee costs two euros.\n\n- milk\n- sugar\n\na\tb\nc\td\n\nif x:\n    y < 2\n\nEnd\nline"
    )
    assert read.line_at(0) is None


def test_a_page_says_its_own_encoding(tmp_path):
    pytest.importorskip("bs4")
    file = tmp_path / "page.htm"
    file.write_bytes('<meta charset="iso-8859-1"><p>5 € für Käse'.encode("cp1252"))
    assert read_file(str(file)).text == "5 € für Käse"
    file.write_bytes('<meta charset="no-such-thing"><p>für'.encode())
    assert read_file(str(file)).text == "für"


def test_a_page_nested_deeper_than_calls_may_be_is_read(tmp_path):
    pytest.importorskip("bs4")
    file = tmp_path / "deep.html"
    file.write_text("<div>" * 3000 + "deep")
    assert read_file(str(file)).text == "deep"


def test_pages_of_a_pdf_are_known_and_those_without_text_are_said(tmp_path):
    pytest.importorskip("pypdfium2")
    file = tmp_path / "paper.pdf"
    file.write_bytes(tiny_pdf("First page.\nSecond line.", "", "Third page."))
    read = read_file(str(file))
    assert read.text == "First page.\nSecond line.\f\fThird page."
    assert [read.page_at(read.text.index(word)) for word in ("First", "Second", "Third")] == [1, 1, 3]
    assert read.notes == ("no text layer on page 2 of 3: not read",)
    assert page_numbers([1, 2, 3, 7]) == "pages 1-3, 7"


def test_real_papers_are_read_page_by_page(shared_data):
    pytest.importorskip("pypdfium2")
    read = read_file(str(shared_data / "pdfs" / "qed_tacl2021.pdf"))
    assert len(read.pages) == 17
    assert "debuggability, extensibility, and trust" in read.text
    assert read.page_at(read.text.index("Two Extensions")) == 3
    assert not set("\r\x02\ufffe") & set(read.text)


@pytest.mark.parametrize(("package", "name", "extra"), [("bs4", "a.html", "files"), ("pypdfium2", "a.pdf", "pdf")])
def test_a_missing_package_names_the_command_to_run(tmp_path, monkeypatch, package, name, extra):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_text("text")
    with pytest.raises(ImportError, match=rf"pip install 'latelens\[{extra}\]'"):
        read_file(str(tmp_path / name))


def test_a_folder_stands_for_its_documents_in_order(tmp_path):
    for name in ("b.md", "a.txt", "sub/c.HTML", ".git/x.md", "node_modules/y.md", "z.png", ".hidden.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    found = find_files([str(tmp_path), str(tmp_path / "a.txt"), str(tmp_path / "z.png"), "-"])
    names = [name.removeprefix(str(tmp_path)).replace("\\", "/") for name in found.names]
    assert names == ["/a.txt", "/b.md", "/sub/c.HTML", "/z.png", "-"]
    (note,) = found.notes
    assert "skipped 1 file of other types (.png)" in note


def test_an_empty_folder_and_a_missing_file_are_said(tmp_path):
    assert find_files([str(tmp_path)]).notes == (f"{tmp_path}: no files in this folder",)
    with pytest.raises(FileNotFoundError, match="there is no file 'gone'"):
        find_files(["gone"])


@pytest.mark.parametrize(
    "unit", ["<a ", "<a b='", '<a b="', "<a/", "<!-- >", "<![CDATA[ >", "<![", "&#1", "<b><i>", "<p>", "&", "</a "]
)
def test_time_grows_with_a_page_that_ends_nothing(unit):
    pytest.importorskip("bs4")
    assert_linear(lambda page: read_html(page.encode()), lambda size: unit * (size // len(unit)), 20_000, within=2)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>a<![ b>c", "ac"),
        ("<p>a<![</b>c", "ac"),
        ("<p>a<![nonsense[b]]>c", "ac"),
        ("<p>a<![[/red]b", "a"),
        ("<p>a<![", "a"),
        ("<![if !IE]><p>a</p><![endif]>b", "a\n\nb"),
        ("<!--[if IE]><p>a</p><![endif]-->b", "b"),
        ("<p>a<![CDATA[b > c]]>d", "ab > cd"),
        ("<p>a<![cdata[b]]>c", "abc"),
        ("<p>a &#65; b", "a A b"),
        pytest.param(f"<p title='&#{'1' * 5000};'>a &#{'1' * 5000}; b", "a \ufffd b", id="a number of 5,000 digits"),
    ],
)
def test_a_declaration_or_a_number_that_means_nothing_does_not_stop_the_reading(markup, text):
    pytest.importorskip("bs4")
    assert read_html(markup.encode()) == (text, None)


def test_comments_before_a_page_are_passed_over_at_once():
    assert looks_like_html(b"<!---->" * 500 + b"<!doctype html>")
    assert_linear(lambda page: looks_like_html(page.encode()), lambda size: "<!---->" * (size // 7), 2_000, within=0.1)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>a <b", "a"),
        ("<p>a <!-- b", "a"),
        ("<p>a</p>b <", "a\n\nb <"),
        ("<p title='<!--'>a</p>b", "a\n\nb"),
        ("<p>a &lt; b", "a < b"),
        ("<p>a<script>b", "a"),
        ("<p>a<!-- b -->c", "ac"),
    ],
)
def test_what_a_page_does_not_end_is_read_as_a_browser_reads_it(tmp_path, markup, text):
    pytest.importorskip("bs4")
    (tmp_path / "page.html").write_text(markup)
    assert read_file(str(tmp_path / "page.html")).text == text
