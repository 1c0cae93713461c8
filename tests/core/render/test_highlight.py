"""`highlight`: a copy of a PDF with the evidence as annotations."""

from __future__ import annotations

import io

import pypdfium2
import pytest
from made_layouts import KINDS
from made_pdfs import column, locked, made_pdf, turned
from pypdf import PdfReader
from pypdfium2 import raw

from latelens import Source, attribute, rerank
from latelens.pages import open_pages
from latelens.pages.skeleton import skeleton
from latelens.render.pdf import highlight

TEXTS = (
    "The filter is changed every 500 hours of operation. A filter that is clogged lets the pressure fall below 2 bar.",
    "Before the cover is opened the pump must be switched off. The line must be without pressure as well.",
    "Spare parts are ordered by the numbers in the table at the end of this manual. Orders are shipped in two days.",
)
QUESTION = "How often is the filter changed?"


@pytest.fixture
def manual(tmp_path):
    path = tmp_path / "manual.pdf"
    path.write_bytes(made_pdf(*(column(text, width=50) for text in TEXTS)))
    return path


def annotations(path):
    reader = PdfReader(path)
    return [(i + 1, note.get_object()) for i, page in enumerate(reader.pages) for note in page.annotations or []]


def read_back(path, number, quads):
    """What PDFium says stands under the quads of an annotation, in bands along the middle of each."""
    document = pypdfium2.PdfDocument(path)
    textpage = document[number - 1].get_textpage()
    found = []
    for i in range(0, len(quads), 8):
        xs, ys = sorted(quads[i : i + 8 : 2]), sorted(quads[i + 1 : i + 8 : 2])
        wide = xs[-1] - xs[0] >= ys[-1] - ys[0]
        # A full stop lies low on its line, and the next line is near.
        inset = 1.5
        box = (xs[0], ys[0] + inset, xs[-1], ys[-1] - inset) if wide else (xs[0] + inset, ys[0], xs[-1] - inset, ys[-1])
        found.append(textpage.get_text_bounded(*box))
    document.close()
    return " ".join(" ".join(found).split())


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_text_under_a_mark_is_the_evidence(tmp_path, offline, rotation):
    path = tmp_path / "turned.pdf"
    path.write_bytes(turned(made_pdf(*(column(text, width=50) for text in TEXTS)), rotation=rotation))
    ranking = rerank(QUESTION, TEXTS, offline, top_n=2)
    done = highlight(path, ranking, tmp_path / "out.pdf")
    wanted = [(item.index + 1, span.text) for item in ranking for span in item.evidence]
    notes = annotations(done.path)
    assert done.missed == ()
    assert sorted((page, read_back(done.path, page, note["/QuadPoints"])) for page, note in notes) == sorted(wanted)
    assert [mark.place.page for mark in done.marks] == [page for page, _ in wanted]


@pytest.mark.parametrize(
    "kind",
    ["rotated 90 and cropped", "rotated 180 and cropped", "rotated 270 and cropped", "hebrew", "arabic", "ligatures"],
)
def test_the_text_under_a_mark_is_the_evidence_in_layouts_of_all_kinds(tmp_path, kind):
    path = tmp_path / "made.pdf"
    path.write_bytes(KINDS[kind](8).data)
    page = open_pages(path)[0]
    spans = [(page.words[i].start, page.words[i + 14].end) for i in (20, 50)]
    evidence = [{"start": a, "end": b, "score": 0.5, "query_words": []} for a, b in spans]
    carried = {"version": 1, "query": QUESTION, "evidence": evidence}
    chunk = {"page_content": page.text, "metadata": {"source": str(path), "page": 0, "latelens": carried}}
    done = highlight(path, [chunk], tmp_path / "out.pdf")
    notes = annotations(done.path)
    for (number, note), (start, end), seen in zip(notes, spans, quads_of(done.path, 1), strict=True):
        quads = [float(value) for value in note["/QuadPoints"]]
        assert seen == pytest.approx(quads, abs=0.01)
        assert skeleton(read_back(done.path, number, quads)).text == skeleton(page.text[start:end]).text


def quads_of(path, number):
    """The corners of each annotation of a page as PDFium reads them."""
    document = pypdfium2.PdfDocument(path)
    page, quad, found = document[number - 1], raw.FS_QUADPOINTSF(), []
    for i in range(raw.FPDFPage_GetAnnotCount(page)):
        seen, corners = raw.FPDFPage_GetAnnot(page, i), []
        for j in range(raw.FPDFAnnot_CountAttachmentPoints(seen)):
            assert raw.FPDFAnnot_GetAttachmentPoints(seen, j, quad)
            corners += [quad.x1, quad.y1, quad.x2, quad.y2, quad.x3, quad.y3, quad.x4, quad.y4]
        raw.FPDFPage_CloseAnnot(seen)
        found.append(corners)
    document.close()
    return found


def test_a_mark_says_why_and_viewers_agree_where_it_is(tmp_path, offline, manual):
    ranking = rerank(QUESTION, TEXTS, offline, top_n=1)
    done = highlight(manual, ranking, tmp_path / "out.pdf")
    (number, note), *_ = annotations(done.path)
    span = ranking[0].evidence[0]
    assert note["/Subtype"] == "/Highlight"
    assert note["/Contents"].startswith(f"{QUESTION}\nanswers: ")
    assert note["/Contents"].endswith(f"\nscore {span.score:.2f}, result 1")

    assert quads_of(done.path, number)[0] == pytest.approx([float(value) for value in note["/QuadPoints"]], abs=0.01)


def test_a_mark_colours_the_words_and_nothing_else(tmp_path, offline, manual):
    done = highlight(manual, rerank(QUESTION, TEXTS, offline, top_n=1), tmp_path / "out.pdf")
    before, after = (open_pages(path)[0].image(72) for path in (manual, done.path))
    left, top, right, bottom = open_pages(done.path)[0].in_pixels(done.marks[0].place.boxes[0], after)
    changed = [
        (x, y)
        for x in range(after.width)
        for y in range(after.height)
        if before.getpixel((x, y)) != after.getpixel((x, y))
    ]
    boxes = [open_pages(done.path)[0].in_pixels(box, after) for mark in done.marks for box in mark.place.boxes]
    assert all(any(a - 2 <= x <= c + 2 and b - 2 <= y <= d + 2 for a, b, c, d in boxes) for x, y in changed)
    assert len(changed) > 0.5 * (right - left) * (bottom - top)


def test_the_outline_leads_to_the_marks(tmp_path, offline, manual):
    ranking = rerank(QUESTION, TEXTS, offline, top_n=2)
    done = highlight(manual, ranking, tmp_path / "out.pdf")
    reader = PdfReader(done.path)
    heading, entries = reader.outline
    assert heading.title == f"Evidence: {QUESTION}"
    assert [reader.get_destination_page_number(entry) + 1 for entry in entries] == [m.place.page for m in done.marks]
    assert entries[0].title.startswith("1. The filter is changed every 500")


def test_the_bytes_of_the_pdf_stay_as_they_are(tmp_path, offline, shared_data):
    path = shared_data / "pdfs" / "nasa_tm_2014_216638_tmats.pdf"
    text = open_pages(path)[9].text
    done = highlight(path, rerank("What does the library hold?", [text], offline), tmp_path / "out.pdf")
    data = path.read_bytes()
    assert done.marks
    assert done.path.read_bytes().startswith(data)
    before, after = PdfReader(io.BytesIO(data)), PdfReader(done.path)
    assert len(after.pages) == len(before.pages)
    assert len(annotations(done.path)) == len(annotations(path)) + len(done.marks)
    assert [item for item in after.outline if not isinstance(item, list)][:5] == [
        item for item in before.outline if not isinstance(item, list)
    ][:5]


def test_citations_are_marked_with_the_claims_that_they_bear(tmp_path, offline, manual):
    sources = [Source(text, title="manual.pdf") for text in TEXTS]
    answer = "The filter is changed every 500 hours. Orders are shipped in two days."
    done = highlight(manual, attribute(answer, sources, offline, max_citations=1), tmp_path / "out.pdf")
    notes = annotations(done.path)
    assert [page for page, _ in notes] == [1, 3]
    assert "corroborated: The filter is changed every 500 hours." in notes[0][1]["/Contents"]
    assert notes[0][1]["/C"] != notes[1][1]["/C"]
    assert PdfReader(done.path).outline[0].title == "Sources of the answer"


def test_chunks_that_carry_evidence_are_marked_on_the_page_they_name(tmp_path, offline, manual):
    text = f"{TEXTS[0]} {TEXTS[1]}"
    path = tmp_path / "twice.pdf"
    path.write_bytes(made_pdf(column(text, width=50), column("Nothing."), column(text, width=50)))
    evidence = [{"start": 0, "end": 50, "text": text[:50], "score": 0.5, "drop": 0.1, "query_words": ["filter"]}]
    carried = {"version": 1, "query": QUESTION, "evidence": evidence}
    chunks = [
        {"page_content": text, "metadata": {"source": "twice.pdf", "page": 2, "latelens": carried}},
        {"page_content": text, "metadata": {"source": "other.pdf", "page": 0, "latelens": carried}},
    ]
    done = highlight(path, chunks, tmp_path / "out.pdf")
    assert [page for page, _ in annotations(done.path)] == [3]
    without = [{"page_content": text, "metadata": {"latelens": carried}}]
    assert highlight(path, without, tmp_path / "out2.pdf").missed == (text[:50],)  # it stands on two pages


def test_nothing_to_mark_is_a_copy(tmp_path, manual):
    done = highlight(manual, [], tmp_path / "out.pdf")
    assert (done.marks, done.missed, annotations(done.path)) == ((), (), [])
    assert [page.text for page in open_pages(done.path)] == [page.text for page in open_pages(manual)]


def test_what_cannot_be_marked_is_refused(tmp_path, offline, manual):
    ranking = rerank(QUESTION, TEXTS, offline, top_n=1)
    with pytest.raises(ValueError, match="is the PDF itself"):
        highlight(manual, ranking, manual)
    with pytest.raises(TypeError, match="expected a ranking, chunks with evidence or an attribution, got str"):
        highlight(manual, "filter", tmp_path / "out.pdf")
    secret = tmp_path / "secret.pdf"
    secret.write_bytes(locked(manual.read_bytes(), "open"))
    with pytest.raises(ValueError, match="is encrypted"):
        highlight(secret, ranking, tmp_path / "out.pdf", password="open")
    open_pages(manual)[0].image().save(tmp_path / "scan.png")
    with pytest.raises(ValueError, match="only a PDF can be marked"):
        highlight(tmp_path / "scan.png", ranking, tmp_path / "out.pdf")
    assert not (tmp_path / "out.pdf").exists()
