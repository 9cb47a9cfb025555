"""SRT, VTT, EDL, OTIO and Fountain in; OTIO, EDL and SRT out."""

from __future__ import annotations

from pathlib import Path

import pytest
from cue_production import production_at, write

from studio.cues import read_cues, read_source, write_subtitles, write_timeline
from studio.cues.cue import Cue, CueSheet
from studio.cues.timeline import Placed
from studio.production import CueSource, Production

EDL = """\
TITLE: HARBOUR R2
FCM: {mode}

001  R2       A     C        01:00:20:00 01:00:21:00 {first} {stop}
* FROM CLIP NAME: MAR2001
* COMMENT: NARRATOR: Over the hills.
002  R2       A     C        01:00:20:00 01:00:21:00 01:00:40:00 01:00:39:00
* FROM CLIP NAME: MAR2002
003  R2       A     C        rubbish
004  R2       A     C        01:00:20:00 01:00:21:00 01:01:40:00 01:01:41:00
* FROM CLIP NAME: MAR2004
"""


def test_subtitles_become_cues_at_the_nearest_frame(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a.srt",
        "1\n00:00:10,000 --> 00:00:11,500\nNarrator: We chose\nto go.\n\n"
        "2\n00:00:12,000 --> 00:00:13,000\nOne thing: hurry.\n",
    )
    production = production_at(tmp_path, cues=[{"file": "a.srt", "origin": "01:00:00:00"}])
    sheet = read_cues(production)
    (cue,) = sheet.cues
    assert (cue.character, cue.dialogue) == ("Narrator", "We chose to go.")
    # 10 s at 24000/1001 is frame 239.76, 11.5 s is frame 275.72.
    assert (str(cue.start), cue.frames) == ("01:00:10:00", 36)
    assert (sheet.problems[0].row, sheet.problems[0].column) == (2, "character")


def test_webvtt_voices(tmp_path: Path) -> None:
    write(tmp_path, "a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Mara Voss>Good night.\n")
    (cue,) = read_cues(production_at(tmp_path, "a.vtt")).cues
    assert (cue.character, cue.dialogue, cue.number) == ("Mara Voss", "Good night.", "MAR001")


@pytest.mark.parametrize(
    ("rate", "drop", "mode", "first", "stop"),
    [
        ("24000/1001", False, "NON-DROP FRAME", "01:00:20:05", "01:00:21:05"),
        ("29.97", True, "DROP FRAME", "01:00:59:28", "01:01:00:28"),
    ],
)
def test_edit_lists(
    tmp_path: Path, rate: str, drop: bool, mode: str, first: str, stop: str
) -> None:
    write(tmp_path, "a.edl", EDL.format(mode=mode, first=first, stop=stop))
    sheet = read_cues(production_at(tmp_path, "a.edl", rate=rate, drop_frame=drop))
    (cue,) = sheet.cues
    label = f"{first[:8]};{first[9:]}" if drop else first
    assert (cue.number, cue.character, cue.reel) == ("MAR2001", "NARRATOR", "R2")
    assert (str(cue.start), cue.dialogue) == (label, "Over the hills.")
    rows = {p.row: p for p in sheet.problems}
    assert rows[7].column == "record out"
    assert 9 in rows
    assert "names no dialogue" in rows[10].sentence


def test_a_drop_frame_list_in_a_25_fps_production(tmp_path: Path) -> None:
    text = EDL.format(mode="DROP FRAME", first="01:00:20:05", stop="01:00:21:05")
    write(tmp_path, "a.edl", text)
    (problem,) = read_cues(production_at(tmp_path, "a.edl", rate="25")).problems
    assert (problem.row, problem.column) == (2, "FCM")
    assert "drop-frame" in problem.sentence


FOUNTAIN = """\
Title: The Harbour

INT. BOAT - DAY #12#

A gull. NOBODY speaks.

MARA VOSS (V.O.)
(softly)
We *chose* to go.
And we went.

EXT. QUAY - NIGHT

THE KEEPER
Who goes there?

MARA VOSS (CONT'D) ^
Nobody.
"""


def test_fountain_dialogue_by_character(tmp_path: Path) -> None:
    write(tmp_path, "a.fountain", FOUNTAIN)
    sheet = read_cues(production_at(tmp_path, "a.fountain"))
    assert [(c.id, c.character, c.scene, c.dialogue) for c in sheet.cues] == [
        ("MAR001", "MARA VOSS", "12", "We chose to go. And we went."),
        ("THE001", "THE KEEPER", "2", "Who goes there?"),
        ("MAR002", "MARA VOSS", "2", "Nobody."),
    ]
    first = sheet.cues[0]
    assert (first.on_screen, first.notes, first.start) == (False, "softly", None)
    assert [c.where for c in sheet.cues] == ["a.fountain:7", "a.fountain:14", "a.fountain:17"]
    only = production_at(tmp_path, cues=[{"file": "a.fountain", "only": ["The Keeper"]}])
    assert [c.character for c in read_cues(only).cues] == ["THE KEEPER"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.fountain", "INT. BOAT - DAY\n\nA gull.\n", "no dialogue"),
        ("a.edl", "TITLE: X\n", "no event"),
        ("a.srt", "", "subtitle"),
        ("a.otio", "{", "cannot be read as an OTIO"),
        ("a.docx", "x", "are not read"),
        ("a.csv", "\0\0", "not a text file"),
    ],
)
def test_files_with_nothing_to_read(tmp_path: Path, name: str, text: str, words: str) -> None:
    write(tmp_path, name, text)
    write(tmp_path, "good.csv", "Cue,Role,Line\n1,Mara Voss,Good night.\n")
    sheet = read_cues(production_at(tmp_path, name, "missing.csv", "good.csv"))
    assert [c.dialogue for c in sheet.cues] == ["Good night."]  # the rest goes on
    assert words in sheet.problems[0].sentence
    assert "no cue sheet" in sheet.problems[1].sentence


def _cues(production: Production) -> list[Cue]:
    def at(label: str, frames: int, number: str, who: str = "Mara Voss") -> Cue:
        start = production.timecode(label)
        line = f"Line {number}: go."
        return Cue(number, who, line, start, start + frames, scene="3", notes="soft", reel="2")

    return [
        at("01:00:10:00", 48, "M1"),
        at("01:00:11:00", 48, "M2"),  # overlaps M1: a second track
        at("01:00:20:00", 24, "K1", "The Keeper"),
    ]


@pytest.mark.parametrize(("rate", "drop"), [("24000/1001", False), ("29.97", True), ("25", False)])
def test_a_timeline_comes_back_frame_for_frame(tmp_path: Path, rate: str, drop: bool) -> None:
    production = production_at(tmp_path, rate=rate, drop_frame=drop)
    start = production.timecode("01:00:10;00" if drop else "01:00:10:00")
    cues = [
        Cue("M1", "Mara Voss", "One.", start, start + 48, notes="soft", reel="2"),
        Cue("M2", "Mara Voss", "Two.", start + 24, start + 72),
        Cue("K1", "The Keeper", "Three: go.", start + 2000, start + 2024, on_screen=False),
    ]
    placed = [Placed(c, tmp_path / f"{c.id}.wav", (c.frames or 0) + 3, 0) for c in cues]
    write_timeline(placed, tmp_path / "o.otio", title="Harbour", rate=production.rate)
    back = {c.number: c for c in read_source(_source(tmp_path / "o.otio"), production).cues}
    assert {n: (c.start, c.end, c.dialogue, c.character) for n, c in back.items()} == {
        c.number: (c.start, c.end, c.dialogue, c.character) for c in cues
    }
    assert (back["M1"].notes, back["K1"].on_screen) == ("soft", False)
    write_timeline(placed, tmp_path / "o.edl", title="Harbour", rate=production.rate)
    sheet = read_source(_source(tmp_path / "o.edl"), production)
    assert not sheet.problems
    assert [(c.number, c.start, c.end) for c in sheet.cues] == [
        (c.number, c.start, c.end) for c in cues
    ]


def _source(path: Path) -> CueSource:
    return CueSource(file=path)


def test_handles_stay_outside_the_cut_and_links_are_relative(tmp_path: Path) -> None:
    import opentimelineio as otio

    production = production_at(tmp_path)
    cue = _cues(production)[0]
    (tmp_path / "out").mkdir()
    shot = Placed(cue, tmp_path / "out" / "M1" / "M1.mp4", 48 + 24, lead=12, picture=True)
    write_timeline([shot], tmp_path / "out" / "o.otio", title="H", rate=production.rate)
    timeline = otio.adapters.read_from_file(str(tmp_path / "out" / "o.otio"))
    (clip,) = timeline.find_clips()
    assert clip.media_reference.target_url == "M1/M1.mp4"
    assert clip.source_range.duration.value == 48
    assert clip.source_range.start_time.value - clip.available_range().start_time.value == 12
    assert clip.source_range.start_time.value == cue.start.frames  # type: ignore[union-attr]


def test_subtitles_of_the_new_lines(tmp_path: Path) -> None:
    production = production_at(tmp_path, cues=[])
    write_subtitles(
        _cues(production), tmp_path / "o.srt", origin=production.timecode("01:00:00:00")
    )
    text = (tmp_path / "o.srt").read_text("utf-8")
    assert "00:00:10,010 --> 00:00:12,012\nLine M1: go." in text  # 240 frames at 24000/1001
    source = CueSource(file=tmp_path / "o.srt", origin="01:00:00:00", character="Mara Voss")
    back: CueSheet = read_source(source, production)
    assert [c.start for c in back.cues] == [c.start for c in _cues(production)]
