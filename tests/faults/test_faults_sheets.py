"""Cue sheets of every kind, damaged: a problem with its file, never an end to the batch."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from fault_material import CUES, EDL, FOUNTAIN, SRT, VTT
from faults_damage import one_line, spliced
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.cues import read_source
from studio.cues.cue import CueSheet
from studio.production import (
    CueSource,
    Production,
    ProductionError,
    load_production,
    parse_production,
)

HEAD = {
    "title": "T",
    "rate": "24",
    "people": {"mara": {"name": "Mara Voss", "voice": "stock:mara"}},
}


def read(name: str, content: bytes) -> CueSheet:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / name).write_bytes(content)
        production = parse_production(HEAD, folder / "production.toml")
        return read_source(CueSource(file=folder / name, character="MARA"), production)


def clip(**changes: Any) -> dict[str, Any]:
    span = {"OTIO_SCHEMA": "TimeRange.1", "start_time": _time(0), "duration": _time(48)}
    gone = {
        "OTIO_SCHEMA": "MissingReference.1",
        "name": "",
        "metadata": {},
        "available_range": None,
    }
    whole = {"OTIO_SCHEMA": "Clip.1", "name": "MARA: Yes.", "metadata": {}, "source_range": span,
             "effects": [], "markers": [], "enabled": True, "media_reference": gone}  # fmt: skip
    return {**whole, **changes}


def _time(value: float, rate: float = 24.0) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": rate, "value": value}


def timeline(*clips: dict[str, Any]) -> bytes:
    base: dict[str, Any] = {"name": "", "metadata": {}, "source_range": None, "effects": [],
                            "markers": [], "enabled": True}  # fmt: skip
    track = {"OTIO_SCHEMA": "Track.1", "kind": "Audio", **base, "children": list(clips)}
    stack = {"OTIO_SCHEMA": "Stack.1", **base, "children": [track]}
    whole = {"OTIO_SCHEMA": "Timeline.1", "name": "x", "metadata": {}, "tracks": stack}
    return json.dumps(whole).encode()


LONG = {"OTIO_SCHEMA": "TimeRange.1", "start_time": _time(0), "duration": _time(1e18)}
WHOLE = {
    "a.csv": CUES.encode(),
    "a.srt": SRT.encode(),
    "a.vtt": VTT.encode(),
    "a.edl": EDL.encode(),
    "a.fountain": FOUNTAIN.encode(),
    "a.otio": timeline(clip()),
}


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_the_whole_sheets_are_read(name: str) -> None:
    sheet = read(name, WHOLE[name])
    assert sheet.cues
    assert not [p for p in sheet.problems if p.fatal]


@pytest.mark.parametrize("name", sorted(WHOLE))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damage_is_a_problem_never_a_crash(name: str, data: st.DataObject) -> None:
    sheet = read(name, spliced(WHOLE[name], data))
    for problem in sheet.problems:
        assert "\n" not in str(problem)
    for cue in sheet.cues:
        assert cue.dialogue
        assert cue.start is None or (cue.end is not None and cue.end.frames > cue.start.frames)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=300))
def test_any_text_may_be_called_a_screenplay_or_subtitles(text: str) -> None:
    for name in ("a.fountain", "a.srt", "a.ass"):
        read(name, text.encode("utf-8", "replace"))


@settings(max_examples=40, deadline=None)
@given(
    start=st.integers(0, 20 * 3600 * 1000),
    length=st.integers(42, 20_000),
    rate=st.sampled_from(("24", "25", "24000/1001", "30000/1001")),
)
def test_subtitles_begin_on_the_nearest_frame(start: int, length: int, rate: str) -> None:
    def clock(ms: int) -> str:
        return f"{ms // 3600000:02}:{ms // 60000 % 60:02}:{ms // 1000 % 60:02},{ms % 1000:03}"

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "a.srt"
        path.write_text(f"1\n{clock(start)} --> {clock(start + length)}\nMARA: Yes.\n")
        production = parse_production({**HEAD, "rate": rate}, Path(place) / "production.toml")
        (cue,) = read_source(CueSource(file=path), production).cues
    assert cue.start is not None
    assert cue.end is not None
    half = Fraction(1, 2) / production.rate.value
    assert abs(cue.start.seconds - Fraction(start, 1000)) <= half
    assert abs(cue.end.seconds - Fraction(start + length, 1000)) <= half


@pytest.mark.parametrize(
    ("changes", "cues"),
    [
        ({"source_range": None}, 0),  # the length of nothing, and no place for what follows
        ({"source_range": LONG}, 0),
        ({"metadata": {"wildline": 5}}, 2),
        ({"metadata": {"cmx_3600": [1]}}, 2),
        ({"metadata": {"cmx_3600": {"comments": 7}}}, 2),
        ({"metadata": {"wildline": {"on_screen": [1], "dialogue": 5}}}, 2),
    ],
)
def test_strange_clips_of_other_programs(changes: dict[str, Any], cues: int) -> None:
    sheet = read("a.otio", timeline(clip(**changes), clip()))
    assert (len(sheet.cues), len(sheet.problems)) == (cues, 2 - cues)


def test_a_timeline_nested_too_deeply_does_not_end_the_process() -> None:
    deep = b'{"OTIO_SCHEMA":"Clip.1","metadata":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    (problem,) = read("a.otio", deep).problems
    assert "export it again" in problem.sentence


def test_subtitles_that_look_like_another_format() -> None:
    assert read("a.srt", b'{"info": 5, "events": [5]}').problems


# --- workbooks ---------------------------------------------------------------------------------


def workbook(part: bytes, name: str = "xl/worksheets/sheet1.xml") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(name, part)
    return packed.getvalue()


@pytest.mark.parametrize("at", [45, 50, 55, 60])
def test_a_bit_turned_over_in_a_packed_part(at: int) -> None:
    content = bytearray(workbook(b"<a>" + b"x y z" * 1000 + b"</a>"))
    content[at] ^= 0xFF
    (problem,) = read("a.xlsx", bytes(content)).problems
    assert "not an Excel workbook" in problem.sentence


@pytest.mark.parametrize("encoding", ["foo", "utf-7"])
def test_a_part_in_an_encoding_that_nobody_knows(encoding: str) -> None:
    part = f'<?xml version="1.0" encoding="{encoding}"?><a/>'.encode()
    assert read("a.xlsx", workbook(part)).problems


def test_a_workbook_of_millions_of_cells_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.cues import tables

    monkeypatch.setattr(tables, "_MOST_ELEMENTS", 10_000)
    (problem,) = read("a.xlsx", workbook(b"<r>" + b"<c/>" * 20_000 + b"</r>")).problems
    assert "more cells than any cue sheet" in problem.sentence


# --- the production's own file -----------------------------------------------------------------

TOML = 'title = "T"\nrate = "24000/1001"\n[people.mara]\nname = "Mara Voss"\nvoice = "stock:mara"\n'


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_damaged_production_is_refused_in_one_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "production.toml"
    path.write_bytes(spliced(TOML.encode(), data))
    try:
        assert isinstance(load_production(path), Production)
    except ProductionError as error:
        one_line(error)
