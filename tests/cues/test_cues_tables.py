"""CSV and XLSX sheets: known and mapped headings, exact timecode, and rows that are wrong."""

from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import openpyxl
import pytest
from cue_production import production_at, write
from hypothesis import given
from hypothesis import strategies as st

from media.time import FrameRate, Timecode
from studio.cues import read_cues, read_source, write_sheet
from studio.cues.cue import Cue, safe_name
from studio.production import CueSource

HEAD = "Cue #,Reel,Scene,Character,TC In,TC Out,Dialogue,Reason,On/Off,Priority,Notes\n"


def test_usual_headings_are_known_and_all_of_a_row_is_kept(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.csv",
        HEAD + '12A,2,7,Mara Voss,01:00:10:12,01:00:12:00,"We chose, to go.",noise,off,1,softer\n',
    )
    sheet = read_cues(production_at(tmp_path, "a.csv"))
    assert not sheet.problems
    (cue,) = sheet.cues
    assert (cue.id, cue.reel, cue.scene, cue.character) == ("12A", "2", "7", "Mara Voss")
    assert (str(cue.start), str(cue.end), cue.frames) == ("01:00:10:12", "01:00:12:00", 36)
    assert (cue.dialogue, cue.reason, cue.on_screen) == ("We chose, to go.", "noise", False)
    assert (cue.priority, cue.notes, cue.where) == ("1", "softer", "a.csv:2")
    assert cue.start is not None
    assert cue.start.seconds == Fraction(1001, 24000) * (3610 * 24 + 12)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Cue;Role;Line\nM1;Mara Voss;Über die Hügel\n", "utf-8"),
        ("Cue\tRole\tLine\nM1\tMara Voss\tÜber die Hügel\n", "utf-16"),
        ("Cue,Role,Line\nM1,Mara Voss,Über die Hügel\n", "cp1252"),
        ("\ufeffCue|Role|Line\r\nM1|Mara Voss|Über die Hügel\r\n", "utf-8"),
    ],
)
def test_separators_and_encodings(tmp_path: Path, text: str, encoding: str) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode(encoding))
    sheet = read_cues(production_at(tmp_path, "a.csv"))
    assert [c.dialogue for c in sheet.cues] == ["Über die Hügel"]


def test_mapped_columns_and_variants(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "Loop,Wer,New line,French\n7,Mara Voss,Good night.,Bonne nuit.\n")
    columns = {
        "number": "loop",
        "character": "Wer",
        "dialogue": "New line",
        "variant.fr": "French",
    }
    production = production_at(
        tmp_path,
        cues=[{"file": "a.csv", "columns": columns}],
        variants={"fr": {"language": "fr"}, "slow": {"speed": 0.8}, "9": {"cues": ["99"]}},
    )
    sheet = read_cues(production)
    assert [c.id for c in sheet.cues] == ["7", "7.fr", "7.slow"]
    french, slow = sheet.cues[1:]
    assert (french.dialogue, french.language) == ("Bonne nuit.", "fr")
    assert (slow.dialogue, slow.speed) == ("Good night.", 0.8)
    assert any("no cue '99'" in str(p) for p in sheet.problems)


def test_a_missing_column_is_named_with_what_there_is(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "Cue,TC In,TC Out,Text zum Film\n1,01:00:00:00,01:00:01:00,Hm.\n")
    (problem,) = read_cues(production_at(tmp_path, "a.csv")).problems
    assert (problem.row, problem.column) == (1, "character")
    assert "'Text zum Film'" in problem.sentence
    assert "[cues.columns]" in problem.sentence


def test_a_sheet_without_timecode_columns_says_that_its_cues_are_wild(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "Cue,Role,Line,Beginn\n1,Mara Voss,Good night.,01:00:00:00\n")
    sheet = read_cues(production_at(tmp_path, "a.csv"))
    assert sheet.cues[0].start is None
    assert any("wild line" in p.sentence and not p.fatal for p in sheet.problems)


def test_drop_frame_in_a_25_fps_production_names_row_and_column(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.csv",
        HEAD
        + "1,,,Mara Voss,01:00:00:00,01:00:01:00,One.,,off,,\n"
        + "2,,,Mara Voss,01:00:10;12,01:00:12;00,Two.,,off,,\n",
    )
    sheet = read_cues(production_at(tmp_path, "a.csv", rate="25"))
    assert [c.number for c in sheet.cues] == ["1"]
    first, second = sheet.problems
    assert (first.row, first.column, second.column) == (3, "TC In", "TC Out")
    assert "drop-frame" in first.sentence
    assert "25" in first.sentence


@pytest.mark.parametrize(
    ("start", "end", "column", "words"),
    [
        ("01:00:00:25", "01:00:02:00", "TC In", "does not exist at 25"),
        ("1 hour", "01:00:02:00", "TC In", "not a timecode"),
        ("01:00:02:00", "01:00:02:00", "TC Out", "ends at"),
        ("01:00:02:00", "", "TC Out", "needs both"),
        ("01:00:02.5", "01:00:03:00", "TC In", "not a timecode"),
    ],
)
def test_wrong_timecodes(tmp_path: Path, start: str, end: str, column: str, words: str) -> None:
    write(tmp_path, "a.csv", HEAD + f"1,,,Mara Voss,{start},{end},One.,,off,,\n")
    sheet = read_cues(production_at(tmp_path, "a.csv", rate="25"))
    assert not sheet.cues
    assert sheet.problems[0].column == column
    assert words in sheet.problems[0].sentence


def test_drop_frame_is_exact_and_its_missing_labels_are_refused(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.csv",
        HEAD
        + "1,,,Mara Voss,01:00:59;28,01:01:00;02,One.,,off,,\n"
        + "2,,,Mara Voss,01:01:00;00,01:01:02;02,Two.,,off,,\n"
        + "3,,,Mara Voss,01:01:00:05,01:01:02;02,Two.,,off,,\n",
    )
    production = production_at(tmp_path, "a.csv", rate="29.97", drop_frame=True)
    sheet = read_cues(production)
    (cue,) = sheet.cues
    assert cue.frames == 4 - 2  # two labels are skipped, no frames
    assert cue.start == Timecode.parse("01:00:59;28", FrameRate.parse(29.97))
    assert "skips that label" in sheet.problems[0].sentence
    assert "non-drop" in sheet.problems[1].sentence


@given(st.integers(0, 24 * 3600 * 24 - 1), st.integers(1, 5000))
def test_any_timecode_comes_through_a_sheet_unchanged(first: int, length: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        production = production_at(folder, rate="30000/1001", drop_frame=True)
        start = Timecode(first, production.rate, True)
        cue = Cue("1", "Mara Voss", "One.", start, start + length)
        write_sheet([(cue, {})], folder / "o.csv")
        (back,) = read_source(CueSource(file=folder / "o.csv"), production).cues
        assert str(back.start) == str(cue.start)
        assert str(back.end) == str(cue.end)


def test_duplicates_overlaps_unknown_characters_and_empty_cells(tmp_path: Path) -> None:
    rows = [
        "1,,,Mara Voss,01:00:00:00,01:00:02:00,One.,,off,,",
        "1,,,Mara Voss,01:00:05:00,01:00:06:00,Again.,,off,,",
        "2,,,narrator,01:00:01:00,01:00:03:00,Two.,,off,,",
        "3,,,Mara Voss,01:00:01:00,01:00:03:00,Three.,,off,,",
        "4,,,Bob,01:00:07:00,01:00:08:00,Four.,,off,,",
        "5,,,Mara Voss,01:00:09:00,01:00:10:00,,,off,,",
        ",,,,,,,,,,",
        "6,,,Mara Voss,01:00:11:00,01:00:12:00,Six.,,perhaps,,",
    ]
    write(tmp_path, "a.csv", HEAD + "\n".join(rows) + "\n")
    sheet = read_cues(production_at(tmp_path, "a.csv"))
    assert [c.number for c in sheet.cues] == ["1", "2", "3", "6"]
    told = {(p.row, p.column, p.fatal): p.sentence for p in sheet.problems}
    assert "also in a.csv:2" in told[3, "number", True]
    assert "before 1 ends" in told[5, "start", False]
    assert "Mara Voss" in told[6, "character", True]
    assert "empty" in told[7, "Dialogue", True]
    assert "neither on nor off" in told[9, "On/Off", False]


# --- XLSX ------------------------------------------------------------------------------------


def _book(path: Path) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    page = book.active
    page.title = "ADR"
    page.append(["The Harbour, ADR reel 2"])
    page.merge_cells("A1:F1")
    page.append(["Cue", "Role", "Timecode", None, "Line", "Scene"])
    page.append([None, None, "In", "Out", None, None])
    for area in ("C2:D2", "A2:A3", "B2:B3", "E2:E3", "F2:F3"):
        page.merge_cells(area)
    page.append([12.0, "Mara Voss", "01:00:30:00", "01:00:31:00", "Good night.", 7])
    page.append([13, "Mara Voss", "01:00:40", "01:00:41:00", "Good day.", 7])
    book.save(path)
    return book


@pytest.mark.parametrize("header", [None, 2, 3])
def test_merged_heading_cells_over_two_rows(tmp_path: Path, header: int | None) -> None:
    _book(tmp_path / "a.xlsx")
    source = {"file": "a.xlsx", "sheet": "ADR"} | ({"header": header} if header else {})
    sheet = read_cues(production_at(tmp_path, cues=[source]))
    (cue,) = sheet.cues
    assert (cue.number, str(cue.start), cue.scene, cue.where) == (
        "12",
        "01:00:30:00",
        "7",
        "a.xlsx:4",
    )
    assert [(p.row, p.column) for p in sheet.problems] == [(5, "Timecode In")]


def test_an_unknown_worksheet_and_a_file_that_is_no_workbook(tmp_path: Path) -> None:
    _book(tmp_path / "a.xlsx")
    write(tmp_path, "b.xlsx", "Cue,Role,Line\n")
    production = production_at(
        tmp_path, cues=[{"file": "a.xlsx", "sheet": "Reel 9"}, {"file": "b.xlsx"}]
    )
    first, second = read_cues(production).problems
    assert "'ADR'" in first.sentence
    assert "not an Excel workbook" in second.sentence


def test_a_bomb_and_external_entities_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    _book(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx") as whole:
        parts = {i.filename: whole.read(i) for i in whole.infolist()}
    entity = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    sheet = parts["xl/worksheets/sheet1.xml"]
    wicked = entity + sheet[sheet.index(b"<worksheet") :]
    for name, content in (("entity", wicked), ("bomb", b" " * (300 << 20))):
        with zipfile.ZipFile(tmp_path / f"{name}.xlsx", "w", zipfile.ZIP_DEFLATED) as package:
            for part, data in parts.items():
                package.writestr(part, content if part.endswith("sheet1.xml") else data)
    production = production_at(tmp_path, "entity.xlsx", "bomb.xlsx")
    first, second = read_cues(production).problems
    assert "XML entities" in first.sentence
    assert "would unpack to 300 MB" in second.sentence


def test_sheets_are_read_back_and_no_formula_runs(tmp_path: Path) -> None:
    production = production_at(tmp_path)
    start = production.timecode("01:00:00:00")
    cue = Cue("1", "Mara Voss", "=1+1 is two.", start, start + 24, notes="soft", on_screen=False)
    for name in ("o.csv", "o.xlsx"):
        write_sheet([(cue, {"Status": "done"})], tmp_path / name, extra=("Status",))
        (back,) = read_source(CueSource(file=tmp_path / name), production).cues
        assert back.dialogue.lstrip("'") == cue.dialogue
        assert (back.start, back.notes, back.on_screen) == (cue.start, "soft", False)
    page = openpyxl.load_workbook(tmp_path / "o.xlsx").active
    assert page is not None
    assert not any(c.data_type == "f" for row in page.iter_rows() for c in row)


@given(st.text(max_size=60))
def test_names_of_files_are_safe(text: str) -> None:
    name = safe_name(text)
    assert name
    assert not name.startswith(".")
    assert "/" not in name
    assert name.isascii()


def test_a_cue_and_a_variant_may_each_ask_for_a_delivery(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.csv",
        "Cue #,Character,Dialogue,Voice delivery\n1,Mara,We go.,flatter\n2,Mara,We stay.,\n",
    )
    rules = {"urgent": {"delivery": "higher-faster"}, "slow": {"speed": 0.8}}
    cues = read_cues(production_at(tmp_path, "a.csv", variants=rules)).cues
    found = {cue.id: cue.delivery for cue in cues}
    assert (found["1"], found["1.slow"], found["1.urgent"]) == (
        "flatter",
        "flatter",
        "higher-faster",
    )
    assert (found["2"], found["2.slow"], found["2.urgent"]) == ("", "", "higher-faster")
