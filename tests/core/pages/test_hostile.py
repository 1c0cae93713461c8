"""Files that are damaged or made to harm: an error that names the file, or a bounded result."""

from __future__ import annotations

import io
import random
import re
import time

import numpy as np
import pytest
from made_layouts import form
from made_pdfs import column, made_pdf, written
from PIL import Image
from pypdf import PdfReader, PdfWriter
from pypdf.generic import (
    ArrayObject,
    DictionaryObject,
    IndirectObject,
    NameObject,
    StreamObject,
    TextStringObject,
)

from latelens.pages import locate, open_pages
from latelens.pages.marking import PdfMark, write_marks

TEXT = "The filter is changed every 500 hours of operation. A clogged filter lets the pressure fall."


def damaged(data: bytes, seed: int) -> bytes:
    """Some bytes changed, a part cut out, or a part doubled."""
    generator = random.Random(seed)
    broken = bytearray(data)
    kind = seed % 4
    if kind == 0:
        for _ in range(generator.randint(1, 40)):
            broken[generator.randrange(len(broken))] = generator.randrange(256)
    elif kind == 1:
        start = generator.randrange(len(broken))
        del broken[start : start + generator.randint(1, 400)]
    elif kind == 2:
        start = generator.randrange(len(broken))
        broken[start:start] = broken[start : start + generator.randint(1, 400)]
    else:  # numbers in the structure: lengths, counts, references, boxes
        digits = [i for i, byte in enumerate(broken) if 48 <= byte <= 57]
        for _ in range(generator.randint(1, 20)):
            broken[generator.choice(digits)] = generator.choice(b"0123456789")
    return bytes(broken)


def check(path, target) -> str:
    """Everything that can be done with a file; what is refused is a ValueError that names it."""
    refusal = ""
    try:
        pages = open_pages(path, max_pixels=200_000)
        for page in pages[:5]:
            assert len(page.text) == len(page.boxes) == len(page.lines)
            seen = page.boxes[~np.isnan(page.boxes[:, 0])]
            assert ((seen >= 0) & (seen <= 1)).all()
            assert (seen[:, :2] < seen[:, 2:]).all()
            image = page.image(30)
            assert image.width * image.height <= 200_000
            place = locate([page], TEXT)
            if place is not None:
                write_marks([page], [PdfMark(place, "title", "comment")], target, heading="heading")
                assert len(open_pages(target)) == len(pages)
    except ValueError as error:
        refusal = str(error)
    assert not refusal or str(path) in refusal or str(target) in refusal, refusal
    return "refused" if refusal else "read"


def test_a_damaged_pdf_is_refused_or_read_and_never_worse(tmp_path):
    data = made_pdf(column(TEXT, width=40), column("A second page. " * 5))
    outcomes = []
    for seed in range(160):
        path = tmp_path / f"broken{seed}.pdf"
        path.write_bytes(damaged(data, seed))
        outcomes.append(check(path, tmp_path / "marked.pdf"))
    assert {"refused", "read"} == set(outcomes)


def test_damaged_real_pdfs_are_refused_or_read(tmp_path, shared_data):
    data = (shared_data / "pdfs" / "faa_amt_handbook_sample.pdf").read_bytes()
    for seed in range(12):
        path = tmp_path / f"broken{seed}.pdf"
        path.write_bytes(damaged(data, seed))
        check(path, tmp_path / "marked.pdf")


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF"])
def test_a_damaged_image_is_refused_or_read(tmp_path, name):
    out = io.BytesIO()
    Image.effect_noise((120, 90), 60).save(out, name)
    for seed in range(60):
        path = tmp_path / f"broken{seed}.{name.lower()}"
        path.write_bytes(damaged(out.getvalue(), seed))
        check(path, tmp_path / "marked.pdf")


@pytest.mark.parametrize(
    "box",
    ["0 0 1e30 1e30", "0 0 0 0", "5 5 5 5", "-1e9 -1e9 1e9 1e9", "600 700 0 0", "0 0 14401 14401"],
)
def test_a_page_of_odd_size_has_boxes_on_it(tmp_path, box):
    data = made_pdf([(TEXT, 72, 700)]).replace(b"/MediaBox [ 0 0 612 792 ]", f"/MediaBox [ {box} ]".encode())
    path = tmp_path / "odd.pdf"
    path.write_bytes(data)
    check(path, tmp_path / "marked.pdf")


def test_a_page_tree_in_a_circle_ends(tmp_path):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(made_pdf([(TEXT, 72, 700)]))))
    tree = writer._root_object["/Pages"].get_object()
    tree["/Kids"].append(tree.indirect_reference)
    writer.write(tmp_path / "circle.pdf")
    started = time.monotonic()
    check(tmp_path / "circle.pdf", tmp_path / "marked.pdf")
    assert time.monotonic() - started < 20


def looped(kind: str) -> bytes:
    """A PDF one of whose trees leads back to itself."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(made_pdf(column(TEXT, width=40)))))
    root, page = writer._root_object, writer.pages[0]
    node = DictionaryObject()
    itself = writer._add_object(node)
    node[NameObject("/Kids")] = ArrayObject([itself])
    if kind == "labels":
        root[NameObject("/PageLabels")] = itself
    elif kind == "form":
        node.update({NameObject("/Parent"): itself, NameObject("/FT"): NameObject("/Tx")})
        node.update({NameObject("/Subtype"): NameObject("/Widget"), NameObject("/Rect"): page.mediabox})
        page[NameObject("/Annots")] = ArrayObject([itself])
        root[NameObject("/AcroForm")] = DictionaryObject({NameObject("/Fields"): ArrayObject([itself])})
    elif kind == "outline":
        writer.add_outline_item(title="a", page_number=0)
        first = root["/Outlines"]["/First"]
        first[NameObject("/Next")] = root["/Outlines"].raw_get("/First")
    else:
        picture = StreamObject()
        picture.update({NameObject("/Subtype"): NameObject("/Form"), NameObject("/BBox"): page.mediabox})
        resources = DictionaryObject({NameObject("/XObject"): DictionaryObject()})
        resources["/XObject"][NameObject("/X")] = writer._add_object(picture)
        picture[NameObject("/Resources")] = resources
        picture.set_data(b"/X Do")
        page["/Resources"][NameObject("/XObject")] = resources["/XObject"]
        redraw(writer, page.get_contents().get_data() + b" /X Do")
    return written(writer)


def redraw(writer: PdfWriter, commands: bytes) -> None:
    """Let the first page be drawn by other commands."""
    stream = StreamObject()
    stream.set_data(commands)
    writer.pages[0][NameObject("/Contents")] = writer._add_object(stream.flate_encode())


@pytest.mark.parametrize("kind", ["labels", "form", "outline", "picture"])
def test_what_leads_back_to_itself_ends(tmp_path, kind):
    path = tmp_path / "loop.pdf"
    path.write_bytes(looped(kind))
    pages = open_pages(path)  # PDFium overflows its stack on a circle of labels
    assert pages[0].text.replace("\n", " ") == TEXT
    assert pages.labels == ("1",)
    assert check(path, tmp_path / "marked.pdf") == ("refused" if kind == "outline" else "read")


def test_references_to_anything_are_refused_or_read(tmp_path):
    data = form(3).data
    for seed in range(40):
        chance, writer = random.Random(seed), PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
        objects = [found for found in writer._objects if found is not None]
        tables = [found for found in objects if isinstance(found, dict)]
        references = [(one, key) for one in tables for key in one if isinstance(one.raw_get(key), IndirectObject)]
        one, key = chance.choice(references)
        one[key] = chance.choice(objects).indirect_reference
        path = tmp_path / f"wild{seed}.pdf"
        path.write_bytes(written(writer))
        check(path, tmp_path / "marked.pdf")


def test_a_table_of_objects_that_is_wrong_is_no_obstacle(tmp_path):
    data = made_pdf(column(TEXT, width=40))
    elsewhere = re.sub(rb"startxref\s+\d+", b"startxref\n999999999", data)
    shifted = re.sub(rb"\n(\d{10}) 00000 n", lambda found: b"\n%010d 00000 n" % (int(found[1]) + 7), data)
    for broken in (elsewhere, shifted):
        path = tmp_path / "broken.pdf"
        path.write_bytes(broken)
        assert open_pages(path)[0].text.replace("\n", " ") == TEXT
        check(path, tmp_path / "marked.pdf")
    path.write_bytes(data[: data.rindex(b"xref\n0 ")])
    with pytest.raises(ValueError, match=r"broken\.pdf: is no readable PDF"):
        open_pages(path)


def test_a_million_words_on_a_page_are_read_in_part(tmp_path):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(made_pdf([("x", 1, 1)], size=(14400, 14400)))))
    line = b"1 0 0 1 %d %d Tm (pump valve filter gasket lamp cover line bar tank cell ) Tj "
    drawn = b"".join(line % (20 + 100 * (i % 140), 14300 - 19 * (i // 140)) for i in range(100_000))
    redraw(writer, b"BT /F1 2 Tf " + drawn + b"ET")
    writer.write(tmp_path / "million.pdf")
    started = time.process_time()
    page = open_pages(tmp_path / "million.pdf")[0]
    assert (page.complete, len(page.text) <= 200_000) == (False, True)
    assert len(page.words) > 30_000
    assert locate([page], "None of these words stands on the page anywhere at all.") is None
    assert time.process_time() - started < 30


def test_scripts_and_embedded_files_are_neither_run_nor_read_and_stay(tmp_path):
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(made_pdf(column(TEXT, width=40)))))
    action = {"/S": "/JavaScript", "/JS": "app.alert('no')"}
    writer._root_object[NameObject("/OpenAction")] = DictionaryObject(
        {NameObject(key): (NameObject if key == "/S" else TextStringObject)(value) for key, value in action.items()}
    )
    writer.add_attachment("evil.exe", b"MZ evil")
    writer.write(tmp_path / "active.pdf")
    pages = open_pages(tmp_path / "active.pdf")
    assert pages[0].text.replace("\n", " ") == TEXT
    place = locate(pages, "A clogged filter lets the pressure fall.")
    write_marks(pages, [PdfMark(place, "title")], tmp_path / "marked.pdf", heading="heading")
    marked = PdfReader(tmp_path / "marked.pdf")
    assert marked.attachments["evil.exe"] == [b"MZ evil"]
    assert marked.trailer["/Root"]["/OpenAction"]["/JS"] == "app.alert('no')"


def test_more_pages_than_anyone_reads_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("latelens.pages.opening.MAX_PAGES", 3)
    (tmp_path / "many.pdf").write_bytes(made_pdf(*([("x", 72, 700)] for _ in range(4))))
    with pytest.raises(ValueError, match=r"many\.pdf: has 4 pages, more than 3"):
        open_pages(tmp_path / "many.pdf")


def test_a_file_that_is_too_large_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("latelens.pages.opening.MAX_BYTES", 2**20)
    (tmp_path / "large.pdf").write_bytes(b"%PDF-1.7" + bytes(2**20))
    with pytest.raises(ValueError, match=r"large\.pdf: is larger than 1 MiB"):
        open_pages(tmp_path / "large.pdf")


def test_a_quote_of_a_page_full_of_one_word_takes_no_time(tmp_path):
    (tmp_path / "same.pdf").write_bytes(made_pdf(column("pump " * 3000, leading=3, width=120)))
    (page,) = open_pages(tmp_path / "same.pdf")
    started = time.monotonic()
    assert locate([page], "pump " * 60) is None
    assert locate([page], "pump " * 60 + "valve") is None
    assert time.monotonic() - started < 5


def test_five_hundred_pages_are_read_and_searched(tmp_path):
    texts = [f"Machine {i} is checked after {7 * i} hours of operation by people." for i in range(1, 501)]
    (tmp_path / "long.pdf").write_bytes(made_pdf(*(column(text) for text in texts)))
    pages = open_pages(tmp_path / "long.pdf")
    assert locate(pages.all(), texts[410]).page == 411
    assert locate(pages.all(), "Machine 411 is checked after 7 hours of operation by people.") is None


def test_an_empty_file_is_refused_and_an_empty_page_has_no_text(tmp_path):
    (tmp_path / "empty.pdf").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.pdf: is no readable PDF"):
        open_pages(tmp_path / "empty.pdf")
    (tmp_path / "blank.pdf").write_bytes(made_pdf([], [(TEXT, 72, 700)]))
    blank, page = open_pages(tmp_path / "blank.pdf").all()
    assert (blank.text, blank.words, locate([blank], TEXT)) == ("", (), None)
    assert locate([blank, page], TEXT).page == 2
