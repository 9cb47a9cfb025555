"""Speech-only cues through the whole batch, with the real voice."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from batch_production import ROWS, Here

from align.formats import read_timing
from media.audio import read_sound
from media.bwf import read_bwf, start_of
from media.errors import ProvenanceError
from studio.batch.plan import Job
from studio.batch.results import cue_results, decide, request_take
from studio.batch.run import run_batch
from studio.batch.speech import LEAD_S
from studio.batch.states import CueState
from studio.cues import Cue, read_cues
from studio.disclosure import read_rows
from studio.ledger import read_ledger, verify
from studio.production import Production, ProductionError, load_production
from studio.verify import verify_file
from voice.voice import load_voice

Produce = Callable[..., Production]


def deliveries(production: Production) -> Counter[tuple[str, str]]:
    """How often each (event, cue) of a delivery is in the ledger."""
    return Counter(
        (e.event, str(e.facts.get("cue")))
        for e in read_ledger(production.ledger)
        if e.event.endswith(".delivered")
    )


def test_cues_are_made_delivered_recorded_and_not_made_again(finished: Production) -> None:
    production = finished
    results = {r.cue.id: r for r in cue_results(production)}
    assert {r.status for r in results.values()} == {"done"}
    first = results["M1"]
    assert (first.chosen, first.passed) == ("1.1", True)
    take = first.take("1.1")
    assert take is not None
    assert take.timing_json.is_file()
    facts = read_bwf(production.out / "M1" / "M1.wav")
    assert facts is not None
    assert (str(facts.timecode), facts.scene, facts.take) == ("01:00:01:00", "1", "1.1")
    names = {p.name for p in (production.out / "M1").iterdir()}
    assert names == {"M1.wav", "M1.TextGrid", "M1.json"}
    assert set(deliveries(production).values()) == {1}
    assert deliveries(production)["cue.delivered", "K1"] == 1
    assert len(read_rows(production.disclosure)) == 3
    exports = {p.suffix for p in production.out.iterdir() if p.is_file()}
    assert exports == {".otio", ".edl", ".srt", ".csv", ".xlsx"}

    lines = verify(production.ledger)
    again = run_batch(production, crew=Here(production))
    assert (again.skipped, again.steps, again.planned) == (3, 0, ())
    assert verify(production.ledger) == lines


def test_the_line_starts_at_the_cue_and_fills_it(finished: Production) -> None:
    sound = read_sound(finished.out / "M1" / "M1.wav")
    timing = read_timing(finished.out / "M1" / "M1.TextGrid")
    assert timing.phones[0].start_s == pytest.approx(LEAD_S, abs=0.002)
    cue = read_cues(finished).cues[0]
    assert cue.start is not None
    assert cue.end is not None
    assert sound.start == start_of(cue.start)
    assert len(sound) == start_of(cue.end) - start_of(cue.start)
    assert verify_file(finished.out / "M1" / "M1.wav", finished.ledger).sound


def test_an_edit_redoes_only_what_hangs_on_it(voiced: Produce) -> None:
    production = voiced(ROWS[:1])
    run_batch(production, crew=Here(production))
    steps = dict(CueState.read(production, "M1").steps)
    # A note goes into the delivered file and nowhere else.
    sheet = production.folder / "cues.csv"
    sheet.write_text(sheet.read_text("utf-8").replace("MARA", "Mara Voss"), "utf-8")
    plan = run_batch(production, dry_run=True)
    assert [p.steps for p in plan.planned] == [("package",)]
    report = run_batch(production, crew=Here(production))
    assert report.steps == 1
    after = dict(CueState.read(production, "M1").steps)
    assert {k for k in steps if steps[k] != after[k]} == {"package"}
    # A threshold changes nothing that is made; only how it is judged.
    path = production.folder / "production.toml"
    path.write_text(path.read_text("utf-8").replace("naturalness = 1.5", "naturalness = 4.9"))
    stricter = load_production(path)
    assert run_batch(stricter, crew=Here(stricter)).planned == ()
    (result,) = cue_results(stricter)
    assert [c.name for c in result.checks if c.passed is False] == ["naturalness"]


def test_retakes_circles_moved_timing_and_approval(voiced: Produce) -> None:
    production = voiced(ROWS[1:2])
    run_batch(production, crew=Here(production))
    request_take(production, "M2", text="Somebody saw the light.", note="brighter")
    run_batch(production, crew=Here(production))
    (result,) = cue_results(production)
    assert [t.id for t in result.takes] == ["1.1", "2.1"]
    assert (result.chosen, result.take("2.1").text) == ("2.1", "Somebody saw the light.")
    assert result.take("2.1").note == "brighter"

    decide(production, "M2", "1.1", by="Ines", circled=True, rating=4, comment="the first one")
    report = run_batch(production, crew=Here(production))
    assert "takes" not in {name for p in report.planned for name in p.steps}
    assert cue_results(production)[0].chosen == "1.1"

    moved = production.work / "moved.json"
    moved.write_bytes(cue_results(production)[0].take("1.1").timing_json.read_bytes())
    moved.write_text(moved.read_text("utf-8").replace('"engine"', '"note": "moved", "engine"'))
    request_take(production, "M2", timing=moved)
    report = run_batch(production, crew=Here(production))
    assert report.done == ("M2",)
    assert len(cue_results(production)[0].takes) == 2

    decide(production, "M2", "1.1", by="Ines", approved=True)
    approvals = [e for e in read_ledger(production.ledger) if e.event == "cue.approved"]
    assert [(e.facts["cue"], e.facts["by"]) for e in approvals] == [("M2", "Ines")]
    counted = Counter(
        (e.facts["job"], e.event)
        for e in read_ledger(production.ledger)
        if e.event.endswith(".delivered")
    )
    assert set(counted.values()) == {1}


def test_decisions_and_requests_that_make_no_sense(voiced: Produce, tmp_path: Path) -> None:
    production = voiced(ROWS[:1])
    CueState().write(production, _cue(production))
    with pytest.raises(ProductionError, match="no cue 'X'"):
        request_take(production, "X", text="Hm.")
    with pytest.raises(ProductionError, match="empty line"):
        request_take(production, "M1", text=" ")
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(ProductionError, match="outside the production"):
        request_take(production, "M1", timing=tmp_path / "t.json")
    with pytest.raises(ProductionError, match="no take '9'"):
        decide(production, "M1", "9", by="Ines", circled=True)


def _cue(production: Production) -> Cue:
    return read_cues(production).cues[0]


def test_force_makes_and_records_anew(voiced: Produce) -> None:
    production = voiced(ROWS[1:2])
    run_batch(production, crew=Here(production))
    report = run_batch(production, crew=Here(production), force=True, only=["m2"])
    assert report.done == ("M2",)
    assert {s for p in report.planned for s in p.steps} == {"takes", "timing", "check", "package"}
    assert deliveries(production)["cue.delivered", "M2"] == 2
    with pytest.raises(ProductionError, match="no cue is called Q"):
        run_batch(production, crew=Here(production), only=["Q*"])


# --- consent and records ---------------------------------------------------------------------


def revoke(folder: Path) -> None:
    path = folder / "consent.toml"
    path.write_text(
        path.read_text("utf-8").replace("# revoked = 2030-01-31", "revoked = 2026-01-02")
    )
    assert tomllib.loads(path.read_text("utf-8"))["revoked"]


def test_consent_revoked_halfway_refuses_the_rest_of_that_person_only(voiced: Produce) -> None:
    production = voiced(ROWS, consent=True)
    begun: list[str] = []

    def before(job: Job) -> None:
        begun.append(job.id)
        if len(begun) == 2:
            revoke(production.folder)

    report = run_batch(production, crew=Here(production, before))
    assert report.done == ("M1", "K1")
    ((cue, reason),) = report.refused
    assert cue == "M2"
    assert "revoked on 2026-01-02" in reason
    assert not (production.out / "M2").exists()
    refusals = [e for e in read_ledger(production.ledger) if e.event == "consent.refused"]
    assert [e.facts["cue"] for e in refusals] == ["M2"]
    assert deliveries(production)["cue.delivered", "M2"] == 0
    assert {r.cue.id: r.status for r in cue_results(production)}["M2"] == "refused"


def test_an_unwritable_ledger_stops_everything(voiced: Produce) -> None:
    production = voiced(ROWS[:2])
    production.ledger.mkdir()
    begun: list[str] = []
    with pytest.raises(ProvenanceError, match="ledger"):
        run_batch(production, crew=Here(production, lambda job: begun.append(job.id)))
    assert begun == ["M1"]
    assert not production.out.exists()
    production.ledger.rmdir()
    report = run_batch(production, crew=Here(production))
    assert report.done == ("M1", "M2")
    assert set(deliveries(production).values()) == {1}


def test_one_bad_cue_does_not_stop_the_rest(voiced: Produce) -> None:
    rows = [("B1", "MARA", "01:00:01:00", "01:00:02:00", "...", "off"), *ROWS[1:2]]
    production = voiced(rows)
    report = run_batch(production, crew=Here(production))
    assert report.done == ("M2",)
    ((cue, reason),) = report.failed
    assert cue == "B1"
    assert "speaking" in reason
    assert "\n" not in reason


@pytest.mark.parametrize("whose", ["Bert Other", ""])
def test_a_voice_of_somebody_else_is_refused_under_this_persons_record(
    voiced: Produce, whose: str
) -> None:
    production = voiced(ROWS[:1], consent=True)
    voice = replace(load_voice("stock:mara"), name="bert", person=whose)
    voice.save(production.folder / "voices" / "bert")
    toml = production.folder / "production.toml"
    text = toml.read_text("utf-8")
    toml.write_text(text.replace('voice = "stock:mara"', 'voice = "voices/bert"', 1), "utf-8")
    production = load_production(production.folder)
    report = run_batch(production, crew=Here(production))
    ((cue, reason),) = report.refused
    assert cue == "M1"
    assert "not of Mara Voss" in reason
    assert report.done == ()
    (refusal,) = [e for e in read_ledger(production.ledger) if e.event == "consent.refused"]
    assert refusal.facts["person"] == "Mara Voss"
