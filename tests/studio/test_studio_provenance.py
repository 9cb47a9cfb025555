"""No output without a record, and no record sheet that was half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from media.errors import OutputError, ProvenanceError
from studio.credentials import Ingredient, Statement, read_credentials, sidecar_of
from studio.disclosure import Row, append_row, read_rows
from studio.ledger import Ledger, read_ledger
from studio.provenance import Disclosure, Papers, delivery, publish

SAID = Disclosure(project="P", generated="a spoken line", text="=We went.", tools=["Wildline"])


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _row(**changes: str) -> Row:
    values = dict.fromkeys(Row.__dataclass_fields__, "x") | changes
    return Row(**values)


def _deliver(clip: Path, target: Path, papers: Papers, companions: tuple[str, ...] = ()) -> None:
    statement = Statement("line", target.name, "c0ffee", [Ingredient(clip, "0" * 64, "input")])
    with delivery(target) as stage:
        (stage / target.name).write_bytes(clip.read_bytes())
        for name in companions:
            (stage / name).write_text("{}")
        publish(stage, target, statement, SAID, papers, companions)


def test_a_delivery_is_signed_disclosed_and_in_the_ledger(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    target = tmp_path / "out" / "line.wav"
    target.parent.mkdir()
    papers = Papers.beside(target)
    _deliver(make_clip("source.wav"), target, papers, ("line.json",))
    assert read_credentials(target).state == "intact"
    (row,) = read_rows(papers.sheet)
    (entry,) = read_ledger(papers.ledger.path)
    assert row.sha256 == entry.facts["sha256"]
    assert (row.consent, row.ledger_line, row.approver) == ("c0ffee", "1", "")
    assert row.text == "'=We went."  # not a formula
    assert names_in(target.parent) == [
        "line.json",
        "line.wav",
        "wildline-disclosure.csv",
        "wildline-ledger.jsonl",
    ]


def test_matroska_gets_its_sidecar_and_an_old_one_goes(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    target = tmp_path / "out.mkv"
    _deliver(make_clip("source.mkv"), target, Papers.beside(target))
    assert read_credentials(target).state == "intact"
    assert sidecar_of(target).is_file()


def test_an_unwritable_ledger_means_no_output(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    clip, target = make_clip("source.wav"), tmp_path / "line.wav"
    papers = Papers(Ledger(clip / "ledger.jsonl"), tmp_path / "sheet.csv")
    with pytest.raises(ProvenanceError, match="nothing is made without a record"):
        _deliver(clip, target, papers)
    assert names_in(tmp_path) == ["source.wav"]


def test_an_unwritable_sheet_means_no_output(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    clip, target = make_clip("source.wav"), tmp_path / "line.wav"
    papers = Papers(Ledger(tmp_path / "l.jsonl"), tmp_path)
    with pytest.raises(ProvenanceError, match="the disclosure sheet"):
        _deliver(clip, target, papers)
    assert not target.exists()


@pytest.mark.parametrize("place", ["file/out.wav", "none/out.wav", ""])
def test_a_place_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"), delivery(tmp_path / place):
        pytest.fail("the work began")


def test_failing_work_leaves_the_older_file(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    target = make_clip("line.wav")
    before = target.read_bytes()

    def work() -> None:
        with delivery(target) as stage:
            (stage / "line.wav").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="no room left"):
        work()
    assert target.read_bytes() == before
    assert names_in(tmp_path) == ["line.wav"]


def test_rows_are_appended_and_read_back(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    rows = [_row(text='He said "go",\nthen went.'), _row(project="Ö; ü")]
    for row in rows:
        append_row(sheet, row)
    assert read_rows(sheet) == rows


def test_a_sheet_with_other_columns_is_not_written_into(tmp_path: Path) -> None:
    sheet = tmp_path / "budget.csv"
    sheet.write_text("item,price\n")
    with pytest.raises(ProvenanceError, match="has other columns"):
        append_row(sheet, _row())
    assert sheet.read_text() == "item,price\n"


def test_a_missing_input_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    missing = tmp_path / "elsewhere" / "styles.safetensors"
    target = tmp_path / "out" / "line.wav"
    target.parent.mkdir()
    with pytest.raises(FileNotFoundError, match=r"styles\.safetensors"), delivery(target):
        missing.read_bytes()
