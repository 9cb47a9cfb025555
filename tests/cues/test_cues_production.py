"""The production file, and cues held against scenes and their footage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cue_production import production_at, write
from typer.testing import CliRunner

from studio.cli import app
from studio.cues import read_cues
from studio.production import ProductionError, load_production, parse_production

HEAD = "Cue,Scene,Role,In,Out,Line,On/Off\n"


def test_cues_outside_their_footage_missing_media_and_unknown_scenes(
    tmp_path: Path, small_footage: Path
) -> None:
    rows = [
        "1,7,Mara Voss,01:00:00:00,01:00:02:00,Inside to the last frame.,on",
        "2,7,Mara Voss,00:59:59:23,01:00:01:00,Too early.,on",
        "3,7,Mara Voss,01:00:01:00,01:00:02:01,One frame too late.,on",
        "4,8,Mara Voss,01:00:00:00,01:00:01:00,No footage there.,on",
        "5,9,Mara Voss,01:00:00:00,01:00:01:00,No such scene.,on",
        "6,9,Mara Voss,01:00:00:00,01:00:01:00,Heard only.,off",
        "7,9,Mara Voss,01:00:00:00,01:00:01:00,Not said.,",
    ]
    write(tmp_path, "a.csv", HEAD + "\n".join(rows) + "\n")
    scenes = {"7": {"footage": str(small_footage)}, "8": {"footage": "lost.mov"}}
    sheet = read_cues(production_at(tmp_path, "a.csv", scenes=scenes))
    assert [c.number for c in sheet.cues] == ["1", "6", "7"]
    told = {p.row: (p.column, p.sentence) for p in sheet.problems if p.fatal}
    assert told[3][0] == "start"
    assert told[4][0] == "end"
    assert "01:00:00:00 to 01:00:02:00" in told[4][1]
    assert "there is no footage" in told[5][1]
    assert "not in production.toml" in told[6][1]
    assert set(told) == {3, 4, 5, 6}


def test_footage_at_another_rate_is_refused(tmp_path: Path, small_footage: Path) -> None:
    write(tmp_path, "a.csv", HEAD + "1,7,Mara Voss,01:00:00:00,01:00:01:00,One.,on\n")
    scenes = {"7": {"footage": str(small_footage), "start": "01:00:00:00"}}
    (problem,) = read_cues(production_at(tmp_path, "a.csv", rate="25", scenes=scenes)).problems
    assert "runs at 23.976 and the production at 25" in problem.sentence


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"rate": "fast"}, "rate"),
        ({"rate": 25, "titel": "x"}, "titel: there is no such key"),
        ({"rate": 25, "folder": "/"}, "folder: there is no such key"),
        ({"rate": 25, "drop_frame": True}, "drop-frame"),
        ({"rate": 25, "scenes": {"1": {"start": "01:00:00;00"}}}, "drop-frame"),
        ({"rate": 25, "scenes": {"1": {"thresholds": {"wer": -1}}}}, "scenes.1.thresholds.wer"),
        ({"rate": 25, "people": {"a": {"name": "A"}}}, "give a voice, or recordings"),
        ({"rate": 25, "certificate": "c.pem"}, "belong together"),
    ],
)
def test_wrong_production_files_name_the_key(
    tmp_path: Path, data: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProductionError, match="production") as refusal:
        parse_production({"title": "x", **data}, tmp_path / "production.toml")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_thresholds_of_a_scene_come_before_the_productions(tmp_path: Path) -> None:
    production = production_at(
        tmp_path,
        objectives={"wer": 0.2, "naturalness": 3},
        scenes={"7": {"thresholds": {"wer": 0.0}}},
    )
    assert production.thresholds_of("7").wer == 0.0
    assert production.thresholds_of("7").naturalness == 3
    assert production.thresholds_of("8").wer == 0.2


def test_init_writes_a_production_that_loads_and_is_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WILDLINE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "harbour"
    made = CliRunner().invoke(
        app, ["init", str(folder), "--title", 'The "Harbour"', "--rate", "23.976"]
    )
    assert made.exit_code == 0, made.output
    production = load_production(folder)
    assert (production.title, str(production.rate)) == ('The "Harbour"', "23.976")
    assert read_cues(production).cues == ()
    assert {p.name for p in folder.iterdir()} >= {"cues", "footage", "consent", "out", "work"}
    key = tmp_path / "home" / "certificates" / "signer-key.pem"
    assert key.stat().st_mode & 0o077 == 0
    again = CliRunner().invoke(app, ["init", str(folder)])
    assert "exists already" in str(again.exception)
