"""Timings written and read back, other people's files, damaged files."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align.animation import curves_csv, write_curves
from align.formats import EXTENSIONS, FORMATS, extension_of, read_timing, write_timing
from align.phones import ARPABET
from align.timing import Span, Timing
from media.errors import AlignError, MediaError, OutputError
from media.time import FrameRate

WORDS = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8
).filter(
    lambda w: (
        w.lower() not in {"sil", "sp", "spn", "pau", "<eps>", "<sil>", "<p:>", "#", "_", "silence"}
    )
)


@st.composite
def spans(draw: st.DrawFn, labels: st.SearchStrategy[str]) -> tuple[Span, ...]:
    at, found = 0, []
    for _ in range(draw(st.integers(1, 8))):
        start = at + draw(st.sampled_from([0, 0, 130, 900]))
        at = start + draw(st.integers(1, 1500))
        found.append(Span(draw(labels), start / 1000, at / 1000, draw(st.sampled_from([1.0, 0.5]))))
    return tuple(found)


@st.composite
def timings(draw: st.DrawFn) -> Timing:
    words, phones = draw(spans(WORDS)), draw(spans(st.sampled_from(sorted(ARPABET))))
    end = max(words[-1].end_s, phones[-1].end_s) + draw(st.sampled_from([0.0, 0.25]))
    return Timing(words, phones, end, "sphinx", "en")


def times(found: tuple[Span, ...]) -> list[tuple[str, float, float]]:
    return [(s.label, round(s.start_s, 6), round(s.end_s, 6)) for s in found]


@settings(max_examples=60, deadline=None)
@given(timings())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, timing: Timing) -> None:
    folder = tmp_path_factory.mktemp("formats")
    for ending in (".json", ".TextGrid", ".csv", ".ctm"):
        path = folder / f"line{ending}"
        write_timing(timing, path)
        back = read_timing(path)
        if ending == ".json":
            assert back == timing
            continue
        assert times(back.words) == times(timing.words)
        if ending != ".ctm":
            assert times(back.phones) == times(timing.phones)
        if ending == ".TextGrid":
            assert back.duration_s == timing.duration_s
            assert [(s.start_s, s.end_s) for s in back.words] == [
                (s.start_s, s.end_s) for s in timing.words
            ]


@settings(max_examples=60, deadline=None)
@given(timings())
def test_subtitles_keep_words(tmp_path_factory: pytest.TempPathFactory, timing: Timing) -> None:
    folder = tmp_path_factory.mktemp("subtitles")
    plain = Timing(
        tuple(Span(f"w{i}", w.start_s, w.end_s) for i, w in enumerate(timing.words)),
        timing.phones,
        timing.duration_s,
    )
    for ending in (".srt", ".vtt"):
        write_timing(plain, folder / f"line{ending}")
        back = read_timing(folder / f"line{ending}")
        assert [w.label for w in back.words] == [w.label for w in plain.words]
        assert back.words[0].start_s == pytest.approx(plain.words[0].start_s, abs=1e-3)
        assert back.words[-1].end_s == pytest.approx(plain.words[-1].end_s, abs=1e-3)
        if ending == ".vtt":
            for a, b in zip(plain.words, back.words, strict=True):
                assert b.start_s == pytest.approx(a.start_s, abs=1e-3)


def test_rhubarb_covers_the_whole_sound(tmp_path: Path) -> None:
    timing = Timing(
        (), (Span("M", 0.1, 0.2), Span("B", 0.2, 0.3), Span("AA", 0.3, 0.5)), 1.0, "exact"
    )
    write_timing(timing, tmp_path / "a.tsv")
    assert (tmp_path / "a.tsv").read_text() == "0\tX\n0.1\tA\n0.3\tD\n0.5\tX\n1\tX\n"
    for ending in (".tsv", ".xml"):
        write_timing(timing, tmp_path / f"b{ending}")
        back = read_timing(tmp_path / f"b{ending}")
        assert times(back.phones) == [("M", 0.1, 0.3), ("AA", 0.3, 0.5)]
        assert back.duration_s == 1.0


SHORT_GRID = '''File type = "ooTextFile"
Object class = "TextGrid"

0
2.5
<exists>
2
"IntervalTier"
"Anna - words"
0
2.5
3
0
0.5
""
0.5
1.25
"say ""no"""
1.25
2.5
"sil"
"TextTier"
"notes"
0
2.5
1
0.7
"a point 3 4"
'''


def test_other_peoples_textgrids(tmp_path: Path) -> None:
    path = tmp_path / "short.TextGrid"
    path.write_bytes(b"\xff\xfe" + SHORT_GRID.encode("utf-16-le"))
    timing = read_timing(path)
    assert times(timing.words) == [('say "no"', 0.5, 1.25)]
    assert timing.phones == ()
    assert timing.duration_s == 2.5


def test_praatio_reads_ours(tmp_path: Path) -> None:
    from praatio import textgrid

    timing = Timing((Span('a "b"', 0.1, 0.3), Span("c", 0.3, 0.4)), (Span("AA", 0.1, 0.3),), 1.0)
    write_timing(timing, tmp_path / "x.TextGrid")
    theirs = textgrid.openTextgrid(str(tmp_path / "x.TextGrid"), includeEmptyIntervals=False)
    entries = theirs.getTier("words").entries
    assert [(e.start, e.end) for e in entries] == [(0.1, 0.3), (0.3, 0.4)]
    assert entries[1].label == "c"


def test_hand_made_grids_are_read(data_dir: Path) -> None:
    timing = read_timing(data_dir / "speech" / "praatio" / "bobby_phones.TextGrid")
    assert timing.phones[1].label == "AA"
    assert timing.phones[1].start_s == pytest.approx(0.0844, abs=1e-4)


@pytest.mark.parametrize("ending", EXTENSIONS)
@pytest.mark.parametrize("content", [b"", b"\xff\x00\x80", b"{]", b'"ooTextFile" "TextGrid" 0'])
def test_damaged_files_give_one_line(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"bad{ending}"
    path.write_bytes(content)
    if not content and ending in (".ctm", ".csv"):
        assert read_timing(path).words == ()  # an empty table is a table
        return
    with pytest.raises(AlignError) as refused:
        read_timing(path)
    assert "bad" in str(refused.value)
    assert "\n" not in str(refused.value)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_cut_or_scrambled_file_never_breaks_out(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    path = folder / f"x{data.draw(st.sampled_from(EXTENSIONS))}"
    write_timing(data.draw(timings()), path)
    raw = bytearray(path.read_bytes())
    if raw:
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    with suppress(AlignError):
        read_timing(path)


def a_line() -> Timing:
    return Timing(
        (Span("We", 0.1, 0.3), Span('go "now"', 0.3, 0.9), Span("home.", 1.0, 1.4)),
        (Span("W", 0.1, 0.2), Span("IY", 0.2, 0.3), Span("AY", 0.3, 0.9), Span("M", 1.0, 1.4)),
        2.0,
        "sphinx",
    )


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_written_by_name(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"line{extension_of(form)}"
    write_timing(a_line(), path, form)
    back = read_timing(path)
    if form.startswith("rhubarb"):
        assert back.phones[0].label == "UW"
    elif form in ("srt", "srt-words"):
        assert [w.label for w in back.words] == ["We", "go", '"now"', "home."]
    elif form.startswith("vtt"):
        assert back.words[0] == Span("We", 0.1, 0.3)
    else:
        assert [round(w.start_s, 6) for w in back.words] == [0.1, 0.3, 1.0]
    with pytest.raises(AlignError, match="choose one of textgrid"):
        write_timing(a_line(), path, "docx")


def test_short_and_long_textgrids_hold_the_same(tmp_path: Path) -> None:
    from praatio import textgrid

    write_timing(a_line(), tmp_path / "long.TextGrid")
    write_timing(a_line(), tmp_path / "short.TextGrid", "textgrid-short")
    assert read_timing(tmp_path / "long.TextGrid") == read_timing(tmp_path / "short.TextGrid")
    theirs = textgrid.openTextgrid(str(tmp_path / "short.TextGrid"), includeEmptyIntervals=False)
    assert [e.label for e in theirs.getTier("phones").entries] == ["W", "IY", "AY", "M"]


def test_notes_travel_in_json_and_textgrid(tmp_path: Path) -> None:
    notes = (Span("not heard: 'the'", 0.2, 0.4), Span("uncertain: 'go'", 0.3, 0.9))
    timing = replace(a_line(), notes=notes)
    write_timing(timing, tmp_path / "line.json")
    assert read_timing(tmp_path / "line.json") == timing
    write_timing(timing, tmp_path / "line.TextGrid")
    (back,) = read_timing(tmp_path / "line.TextGrid").notes
    assert (back.start_s, back.end_s) == (0.2, 0.9)
    assert "not heard: 'the'; uncertain: 'go'" in back.label
    assert timing.shifted(1.0).notes[0].start_s == 1.2


def test_one_cue_a_word(tmp_path: Path) -> None:
    for form in ("srt-words", "vtt-words"):
        path = tmp_path / f"line{extension_of(form)}"
        write_timing(a_line(), path, form)
        assert path.read_text().count("-->") == 3


MESSY_SRT = """\ufeff1
00:00:01,000 --> 00:00:02,000
<i>We go</i> {\\an8}home
2
00:00:02,500 --> 00:00:03,000
- Now?
"""
ASS = """[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,not this
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\i1}We go{\\i0}\\Nhome
"""


def test_subtitles_as_people_write_them(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(MESSY_SRT, "utf-8")
    words = read_timing(tmp_path / "a.srt").words
    assert [w.label for w in words] == ["We", "go", "home", "-", "Now?"]
    (tmp_path / "a.ass").write_text(ASS, "utf-8")
    words = read_timing(tmp_path / "a.ass").words
    assert [w.label for w in words] == ["We", "go", "home"]
    assert (words[0].start_s, words[-1].end_s) == (1.0, 2.0)


def test_json_of_others(tmp_path: Path) -> None:
    mfa = {
        "start": 0,
        "end": 1.5,
        "tiers": {
            "Anna - words": {"type": "interval", "entries": [[0.1, 0.5, "we"], [0.5, 1.5, ""]]},
            "Anna - phones": {
                "type": "interval",
                "entries": [[0.1, 0.3, "W"], [0.3, 0.5, "IY1"]],
            },
        },
    }
    spoken = {
        "duration_s": 1.5,
        "words": [{"label": "we", "start_s": 0.1, "end_s": 0.5}],
        "phones": [
            {"label": "W", "start_s": 0.1, "end_s": 0.3},
            {"label": "IY", "start_s": 0.3, "end_s": 0.5},
        ],
    }
    for document in (mfa, spoken):
        (tmp_path / "a.json").write_text(json.dumps(document))
        timing = read_timing(tmp_path / "a.json")
        assert times(timing.words) == [("we", 0.1, 0.5)]
        assert times(timing.phones) == [("W", 0.1, 0.3), ("IY", 0.3, 0.5)]
        assert timing.duration_s == 1.5


def test_rhubarb_follows_diphthongs_and_length(tmp_path: Path) -> None:
    timing = Timing(
        (),
        (
            Span("HH", 0.0, 0.1),
            Span("AY", 0.1, 0.6),
            Span("AH", 0.6, 0.7),
            Span("OW", 0.7, 1.2),
            Span("AH", 1.2, 1.5),
        ),
        1.5,
    )
    write_timing(timing, tmp_path / "a.tsv")
    cues = [row.split("\t") for row in (tmp_path / "a.tsv").read_text().splitlines()]
    assert [c[1] for c in cues] == ["D", "B", "C", "E", "F", "D", "X"]
    assert [float(c[0]) for c in cues][:2] == [0.0, 0.4]


@pytest.mark.parametrize("text", ["12", "24000/1001", "23.976", "25", "29.97", "59.94", "120"])
def test_curves_at_any_frame_rate(tmp_path: Path, text: str) -> None:
    rate = FrameRate.parse(text)
    rows = list(csv.DictReader(io.StringIO(curves_csv(a_line(), rate))))
    assert len(rows) == -(-2 * rate.value.numerator // rate.value.denominator)
    assert float(rows[-1]["time"]) < 2.0
    shut = [r for r in rows if r["rhubarb"] == "A"]
    assert shut
    assert all(float(r["opening"]) == 0 for r in shut)
    write_curves(a_line(), rate, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == curves_csv(a_line(), rate)


def test_unknown_ending_and_missing_file(tmp_path: Path) -> None:
    timing = Timing((), (), 1.0)
    with pytest.raises(AlignError, match=r"one of \.TextGrid, \.json"):
        write_timing(timing, tmp_path / "x.docx")
    with pytest.raises(MediaError, match="cannot read"):
        read_timing(tmp_path / "none.json")
    with pytest.raises(OutputError):
        write_timing(timing, tmp_path / "nowhere" / "x.json")
