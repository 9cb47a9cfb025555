"""No output without a record, and no record sheet that was half-written."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from media.errors import ConsentError, OutputError, ProvenanceError
from studio.certificate import load_identity
from studio.consent import Consent
from studio.credentials import Ingredient, Statement, read_credentials, sidecar_of
from studio.disclosure import Row, append_row, approve_rows, read_rows
from studio.ledger import Entry, Ledger, read_ledger
from studio.provenance import Disclosure, Papers, approve, delivery, publish, record_export

SAID = Disclosure(
    project="P", generated="a spoken line", text="=We went.", tools=["Wildline"], cue="12A"
)


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
    made, entry = read_ledger(papers.ledger.path)
    assert (made.event, entry.event) == ("line.made", "line.delivered")
    assert row.sha256 == entry.facts["sha256"]
    assert (row.consent, row.ledger_line, row.approver) == ("c0ffee", "1", "")
    assert (row.cue, row.source_type) == ("12A", "trainedAlgorithmicMedia")
    assert row.text == "=We went."
    assert ",'=We went.," in papers.sheet.read_text("utf-8")  # not a formula
    named = read_credentials(target).generation["ledger"]
    assert named == {"line": 1, "sha256": made.line_sha256}
    assert entry.facts["signer"] == load_identity().fingerprint
    assert names_in(target.parent) == [
        "line.json",
        "line.wav",
        "wildline-disclosure.csv",
        "wildline-ledger.jsonl",
    ]


def test_the_cue_at_work_is_named_where_the_job_does_not_know_it(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    target, clip = tmp_path / "line.wav", make_clip("source.wav")
    papers = replace(Papers.beside(target), cue="7B")
    with delivery(target) as stage:
        (stage / target.name).write_bytes(clip.read_bytes())
        statement = Statement("line", target.name, "c0ffee")
        publish(stage, target, statement, replace(SAID, cue=""), papers)
    assert [e.facts["cue"] for e in read_ledger(papers.ledger.path)] == ["7B", "7B"]
    assert read_rows(papers.sheet)[0].cue == "7B"


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
    events = [e.event for e in read_ledger(papers.ledger.path)]
    assert events == ["line.made", "line.withdrawn"]  # nothing claims a delivery


class _LedgerThatFails(Ledger):
    """A ledger whose disk fills up before the line "delivered"."""

    def append(self, event: str, **facts: object) -> Entry:
        if event.endswith(".delivered"):
            raise ProvenanceError("no room")
        return super().append(event, **facts)


def test_a_delivery_that_cannot_be_recorded_takes_its_row_back(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    clip, target, sheet = make_clip("source.wav"), tmp_path / "line.wav", tmp_path / "sheet.csv"
    broken = Papers(_LedgerThatFails(tmp_path / "l.jsonl"), sheet)
    with pytest.raises(ProvenanceError, match="no room"):
        _deliver(clip, target, broken)
    assert not sheet.exists()
    append_row(sheet, _row())
    with pytest.raises(ProvenanceError, match="no room"):
        _deliver(clip, target, broken)
    assert read_rows(sheet) == [_row()]
    assert not target.exists()


def test_a_refusal_on_the_way_is_in_the_ledger(tmp_path: Path) -> None:
    papers = Papers.beside(tmp_path / "line.wav")

    def work() -> None:
        with delivery(tmp_path / "line.wav", papers):
            raise ProvenanceError("the watermark does not hold in this sound")

    with pytest.raises(ProvenanceError):
        work()
    (entry,) = read_ledger(papers.ledger.path)
    assert entry.event == "output.refused"
    assert "does not hold" in entry.facts["reason"]


def test_a_tampered_certificate_stops_a_delivery_and_is_recorded(
    make_clip: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "home"))
    load_identity()
    chain = tmp_path / "home" / "certificates" / "signer-chain.pem"
    lines = chain.read_text().splitlines(keepends=True)
    lines[3] = lines[3].swapcase()
    chain.write_text("".join(lines))
    target, clip = tmp_path / "line.wav", make_clip("source.wav")
    papers = Papers.beside(target)
    with pytest.raises(ProvenanceError, match="certificate"):
        _deliver(clip, target, papers)
    assert not target.exists()
    assert [e.event for e in read_ledger(papers.ledger.path)] == ["line.made", "line.withdrawn"]


def test_exports_and_approvals_are_recorded(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    target, clip = tmp_path / "line.wav", make_clip("source.wav")
    papers = Papers.beside(target)
    _deliver(clip, target, papers)
    made, reel = tmp_path / "made.edl", tmp_path / "reel.edl"
    made.write_text("TITLE: reel")
    entry = record_export(papers.ledger, made, reel)
    assert (entry.event, entry.facts["output"]) == ("file.exported", str(reel))
    entry = approve(papers, [target], by="M. Supervisor", cue="12A", take="t2")
    assert entry.event == "output.approved"
    assert entry.facts["outputs"][0]["sha256"] == read_rows(papers.sheet)[0].sha256
    (row,) = read_rows(papers.sheet)
    assert (row.approver, row.approved) == ("M. Supervisor", entry.time[:10])


def test_a_writer_waiting_while_the_sheet_is_replaced_loses_no_row(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    for i in range(20):
        append_row(sheet, _row(sha256=str(i)))
    context = multiprocessing.get_context("fork")
    writers = [
        context.Process(target=append_row, args=(sheet, _row(sha256=f"new {i}"))) for i in range(10)
    ]
    for i, writer in enumerate(writers):
        writer.start()
        assert approve_rows(sheet, str(i), "A", "2026-06-01") == 1
    for writer in writers:
        writer.join(30)
    rows = read_rows(sheet)
    assert len(rows) == 30
    assert sum(row.approver == "A" for row in rows) == 10


def test_papers_hold_consent_to_where_it_will_be_shown(consent: Consent, tmp_path: Path) -> None:
    record = consent.model_copy(update={"territories": ("DE", "AT")})
    papers = Papers(Ledger(tmp_path / "l.jsonl"), tmp_path / "s.csv", territories=("de", "US"))
    with pytest.raises(ConsentError, match="in DE, AT, not in US"):
        papers.check(record, use="voice-say", today=date(2026, 6, 1))
    (entry,) = read_ledger(papers.ledger.path)
    assert entry.facts["territories"] == ["de", "US"]


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


def test_what_cannot_all_appear_does_not_appear_at_all(
    make_clip: Callable[[str], Path], tmp_path: Path
) -> None:
    target, clip = tmp_path / "out" / "line.wav", make_clip("source.wav")
    target.parent.mkdir()
    (target.parent / "b.json").mkdir()  # in the way of the second companion
    (target.parent / "b.json" / "x").write_text("")
    papers = Papers.beside(target)
    with pytest.raises(OutputError):
        _deliver(clip, target, papers, ("a.json", "b.json"))
    assert not (target.parent / "a.json").exists()
    assert not target.exists()
    assert [e.event for e in read_ledger(papers.ledger.path)][-1] == "line.withdrawn"
