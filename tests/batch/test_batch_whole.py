"""Variants, shared steps, full disks, the commands, and a cue with picture."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from batch_production import ROWS, Here, presenter_clip
from typer.testing import CliRunner

from media.errors import OutputError
from studio.batch import work
from studio.batch.bench import Bench
from studio.batch.results import cue_results
from studio.batch.run import run_batch
from studio.batch.trend import trend_of
from studio.cli import app
from studio.disclosure import read_rows
from studio.ledger import read_ledger
from studio.production import Production, ProductionError, load_production

Produce = Callable[..., Production]


def test_variants_become_outputs_of_their_own(voiced: Produce) -> None:
    production = voiced(ROWS[:2], more='\n[variants.again]\nseed = 0\ncues = ["M1"]\n')
    report = run_batch(production, crew=Here(production))
    assert report.done == ("M1", "M1.again", "M2")
    assert (production.out / "M1.again" / "M1.again.wav").is_file()
    plan = run_batch(production, only=["M1*"], force=False, dry_run=True)
    assert (plan.cues, plan.skipped) == (2, 2)
    edl = (production.out / "The_Harbour.edl").read_text("utf-8")
    assert "again" not in edl  # one version of a line on the track
    assert "M1.again" in (production.out / "The_Harbour.otio").read_text("utf-8")


def test_a_voice_that_may_not_be_fitted_refuses_all_its_cues_and_no_others(
    voiced: Produce, tmp_path: Path
) -> None:
    (tmp_path / "reel.wav").write_bytes(b"")
    more = '\n[people.old]\nname = "Old Tom"\nrecordings = ["../reel.wav"]\n'
    rows = [
        ("T1", "Old Tom", "01:00:01:00", "01:00:02:00", "Never.", "off"),
        ("T2", "Old Tom", "01:00:03:00", "01:00:04:00", "Ever.", "off"),
        *ROWS[1:2],
    ]
    production = voiced(rows, more=more)
    plan = run_batch(production, dry_run=True)
    assert plan.planned[0].steps == ("voice",)  # once, and before its cues
    report = run_batch(production, crew=Here(production))
    assert report.done == ("M2",)
    assert [cue for cue, _ in report.refused] == ["T1", "T2"]
    assert "consent" in report.refused[0][1]
    states = {r.cue.id: r.status for r in cue_results(production)}
    assert states == {"T1": "refused", "T2": "refused", "M2": "done"}


@contextmanager
def _no_file_longer_than(size: int) -> Iterator[None]:
    """As a full disk is, for this process: writing on fails with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_stops_the_batch_and_nothing_half_made_is_left(voiced: Produce) -> None:
    production = voiced(ROWS[:2])
    with _no_file_longer_than(60_000), pytest.raises(OutputError, match="no room left"):
        run_batch(production, crew=Here(production))
    assert not production.out.exists()
    left = [p.name for p in (production.work / "steps").iterdir()]
    assert {name.partition("-")[0] for name in left} == {"takes"}
    report = run_batch(production, crew=Here(production))
    assert report.done == ("M1", "M2")
    counted = [e.facts["cue"] for e in read_ledger(production.ledger) if e.event == "cue.delivered"]
    assert sorted(counted) == ["M1", "M2"]


def test_the_commands_plan_check_and_show_the_trend(voiced: Produce) -> None:
    production = voiced(ROWS[:1])
    place, runner = str(production.folder), CliRunner()
    planned = runner.invoke(app, ["batch", place, "--dry-run", "--jobs", "1"])
    assert planned.exit_code == 0, planned.output
    assert "M1" in planned.output
    assert "1 to do" in planned.output
    checked = runner.invoke(app, ["check", place])
    assert "1 not made yet" in checked.output
    run_batch(production, crew=Here(production))
    path = production.folder / "production.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("naturalness = 1.5", "naturalness = 4.9"), "utf-8")
    red = runner.invoke(app, ["check", place])
    assert red.exit_code == 1
    assert "naturalness" in red.output
    path.write_text(text, "utf-8")
    green = runner.invoke(app, ["check", place])
    assert green.exit_code == 0
    assert "- > red > green" in green.output
    standings = trend_of(load_production(place))["M1"]
    assert [s.passed for s in standings] == [None, False, True]
    missing = runner.invoke(app, ["batch", place, "--only", "Q"])
    assert isinstance(missing.exception, ProductionError)


def test_what_may_pass_by_itself_is_tried_again_and_told(
    voiced: Produce, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = {"timing": 1, "check": 5}  # that the step fails before it works

    def failing(name: str) -> work.Maker:
        make = work._MAKERS[name]

        def maker(bench: Bench, folder: Path) -> Mapping[str, Any]:
            times[name] -= 1
            if times[name] >= 0:
                raise RuntimeError(f"{name}: a hiccup")
            return make(bench, folder)

        return maker

    makers = {name: failing(name) if name in times else m for name, m in work._MAKERS.items()}
    monkeypatch.setattr(work, "_MAKERS", makers)
    monkeypatch.setattr(work, "_BREATH_S", 0.0)
    production = voiced(ROWS[:1])
    report = run_batch(production, crew=Here(production))
    ((cue, reason),) = report.failed
    assert cue == "M1"
    assert "RuntimeError: check: a hiccup (tried 3 times" in reason
    assert "hiccup" in (production.work / "logs" / "M1.txt").read_text("utf-8")
    report = run_batch(production, crew=Here(production))
    assert report.done == ("M1",)
    history = [str(line["reason"]) for line in cue_results(production)[0].history]
    told = [reason for reason in history if reason.startswith("tried again")]
    assert told[0] == "tried again: placing words and phones: RuntimeError: timing: a hiccup"
    assert len(told) == 1 + 2 + 2


def test_damaged_states_and_lost_outputs_are_made_good(voiced: Produce) -> None:
    production = voiced(ROWS[:1])
    run_batch(production, crew=Here(production))
    (production.work / "cues" / "M1.json").write_text("{")
    (production.out / "M1" / "M1.wav").unlink()
    (production.work / "hashes.json").write_text("[]")
    report = run_batch(production, crew=Here(production))
    assert (report.done, report.steps) == (("M1",), 0)
    assert (production.out / "M1" / "M1.wav").is_file()
    assert [e.event for e in read_ledger(production.ledger)].count("cue.delivered") == 1


@pytest.mark.slow
def test_a_cue_with_picture(voiced: Produce, tmp_path: Path) -> None:
    from media.reader import probe

    clip = presenter_clip(tmp_path / "clip.mp4", 24, 84)
    rows = [("P1", "MARA", "01:00:00:16", "01:00:01:22", "Nobody saw it.", "on")]
    production = voiced(rows, consent=True, footage=clip, match=True)
    report = run_batch(production, crew=Here(production))
    assert report.done == ("P1",), report
    assert report.planned[-1].steps == ("takes", "timing", "match", "shot", "check", "package")
    (result,) = cue_results(production)
    info = probe(production.out / "P1" / "P1.mp4")
    assert str(info.start_timecode) == "01:00:00:04"
    assert result.original is not None
    assert result.original.first == 16 - 12  # the cue with its handles
    assert 46 + 12 <= result.original.stop <= 46 + 12 + 1  # a frame more if the line needs it
    assert info.frames == result.original.stop - result.original.first
    matched = next((production.work / "steps").glob("match-*"))
    assert json.loads((matched / "step.json").read_text("utf-8"))["matched"]
    values = result.values
    assert values["closure_rate"] is not None
    assert values["length"] == pytest.approx(0, abs=0.04)  # spoken faster to fit its cue
    events = [e.event for e in read_ledger(production.ledger) if e.event.endswith(".delivered")]
    assert events == ["line.delivered", "mouth.delivered", "cue.delivered"]
    assert {r.source_type for r in read_rows(production.disclosure)} == {
        "trainedAlgorithmicMedia",
        "compositeWithTrainedAlgorithmicMedia",
    }
    lines = len(list(read_ledger(production.ledger)))
    assert run_batch(production, crew=Here(production)).planned == ()
    assert len(list(read_ledger(production.ledger))) == lines
