"""Broadcast WAV: written here, read back here, by libsndfile and by an independent reader."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from media import bwf
from media.audio import Sound, read_sound
from media.bwf import BroadcastFacts, BroadcastWriter, broadcast_writer, read_bwf, start_of
from media.errors import MediaError, OutputError
from media.loudness import integrated_lufs
from media.time import FrameRate, Timecode

RATE = FrameRate.parse("23.976")
FACTS = BroadcastFacts(
    description="Reel 3, scene 12A: We chose to go.",
    originator_reference="WILDLINE0007",
    originated=datetime(2026, 3, 4, 5, 6, 7),
    history=("A=PCM,F=24000,W=32,M=mono,T=kokoro",),
    project="The Long Summer",
    scene="12A",
    take="3",
    note='softer, "warm" & schön — 2 < 3',
    circled=True,
    track="Anna",
    rate=RATE,
    other={"CONSENT": "c0ffee"},
)


def voice_like(seconds: float = 2.0, rate: int = 48_000) -> Sound:
    t = np.arange(int(seconds * rate)) / rate
    return Sound((0.4 * np.sin(2 * np.pi * 997 * t)).astype(np.float32), rate)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bwf") / "line.wav"
    start = start_of(Timecode.parse("01:00:10:12", RATE))
    bwf.write_bwf(path, replace(voice_like(), start=start), FACTS)
    return path


def test_the_time_reference_is_real_time_since_midnight() -> None:
    # 86,652 frames at 24000/1001 are 3614.1105 s.
    assert start_of(Timecode.parse("01:00:10:12", RATE)) == 86_652 * 2002
    assert start_of(Timecode.parse("01:00:00;00", FrameRate.parse("29.97"))) == 172_799_827


def test_everything_written_is_read_back(written: Path) -> None:
    facts = read_bwf(written)
    assert facts is not None
    assert str(facts.timecode) == "01:00:10:12"
    assert facts.history == (*FACTS.history, "A=PCM,F=48000,W=24,M=mono,T=Wildline")
    same = replace(facts, history=FACTS.history, loudness=None, time_reference=0)
    assert same == FACTS
    assert read_sound(written).start == facts.time_reference


def test_loudness_fields_are_what_the_standard_says(written: Path) -> None:
    facts = read_bwf(written)
    assert facts is not None
    assert facts.loudness is not None
    # A 997 Hz sine in one channel is its level - 3.01 LUFS.
    assert facts.loudness.integrated_lufs == pytest.approx(20 * np.log10(0.4) - 3.01, abs=0.05)
    assert facts.loudness.true_peak_dbtp == pytest.approx(20 * np.log10(0.4), abs=0.05)
    assert facts.loudness.short_term_lufs is None  # shorter than 3 s


def test_libsndfile_agrees(written: Path) -> None:
    info = soundfile.info(written)
    assert (info.samplerate, info.channels, info.subtype) == (48_000, 1, "PCM_24")
    samples, _ = soundfile.read(written, dtype="float64")
    np.testing.assert_allclose(samples, voice_like().samples, atol=1.01 / 2**23)


def test_an_independent_reader_agrees(written: Path) -> None:
    wavinfo = pytest.importorskip("wavinfo", reason="the package wavinfo is not installed")
    info = wavinfo.WavInfoReader(str(written))
    assert info.fmt.sample_rate == 48_000
    assert info.fmt.bits_per_sample == 24
    assert info.data.frame_count == 96_000
    assert info.bext.time_reference == 86_652 * 2002
    assert info.bext.description == FACTS.description
    assert info.bext.originator == "Wildline"
    assert (info.bext.originator_date, info.bext.originator_time) == ("2026-03-04", "05:06:07")
    assert info.bext.version == 2
    assert info.bext.loudness_value == pytest.approx(-10.97, abs=0.05)
    assert info.bext.coding_history.startswith("A=PCM,F=24000")
    assert (info.ixml.project, info.ixml.scene, info.ixml.take) == ("The Long Summer", "12A", "3")
    assert [t.name for t in info.ixml.track_list] == ["Anna"]


def test_pieces_measure_like_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    swell = np.abs(np.sin(np.arange(48_000 * 8) / 30_000))
    sound = Sound((0.2 * swell * rng.standard_normal(48_000 * 8)).astype(np.float32), 48_000)
    with broadcast_writer(tmp_path / "pieces.wav") as writer:
        for first in range(0, len(sound), 17_001):
            writer.write(sound.samples[first : first + 17_001])
    bwf.write_bwf(tmp_path / "whole.wav", sound)
    assert (tmp_path / "pieces.wav").read_bytes() == (tmp_path / "whole.wav").read_bytes()
    facts = read_bwf(tmp_path / "whole.wav")
    assert facts is not None
    assert facts.loudness is not None
    assert facts.loudness.integrated_lufs == pytest.approx(integrated_lufs(sound), abs=0.1)
    import pyloudnorm

    wanted = pyloudnorm.Meter(48_000).loudness_range(sound.samples.astype(np.float64))
    assert facts.loudness.range_lu == pytest.approx(wanted, abs=0.6)


def test_other_rates_become_48_khz_with_their_start(tmp_path: Path) -> None:
    sound = Sound(voice_like(rate=24_000).samples, 24_000, start=24_000 * 60)
    bwf.write_bwf(tmp_path / "line.wav", sound)
    facts = read_bwf(tmp_path / "line.wav")
    assert facts is not None
    assert facts.time_reference == 48_000 * 60
    assert facts.timecode is None
    assert soundfile.info(tmp_path / "line.wav").samplerate == 48_000


def test_full_scale_is_clipped_not_wrapped(tmp_path: Path) -> None:
    sound = Sound(np.array([1.5, 1.0, -1.0, -1.5], np.float32), 48_000)
    bwf.write_bwf(tmp_path / "loud.wav", sound)
    samples, _ = soundfile.read(tmp_path / "loud.wav", dtype="float64")
    np.testing.assert_allclose(samples, [1, 1, -1, -1], atol=2 / 2**23)


def test_silence_and_nothing_have_no_loudness(tmp_path: Path) -> None:
    for name, samples in (("silent", np.zeros(4800)), ("empty", np.zeros(0))):
        bwf.write_bwf(tmp_path / f"{name}.wav", Sound(samples.astype(np.float32), 48_000))
        facts = read_bwf(tmp_path / f"{name}.wav")
        assert facts is not None
        assert facts.loudness is None
        assert soundfile.info(tmp_path / f"{name}.wav").frames == len(samples)


def test_beyond_4_gb_it_is_rf64(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bwf, "_RIFF_LIMIT", 20_000)  # instead of writing 4 GB
    stream = io.BytesIO()
    writer = BroadcastWriter(stream, replace(FACTS, time_reference=5))
    writer.write(voice_like(0.5).samples)
    writer.finish()
    monkeypatch.undo()
    data = stream.getvalue()
    # The sizes of the head are the mark "see ds64" in a real file.
    data = data.replace(struct.pack("<I", 20_000), b"\xff\xff\xff\xff")
    assert data[:4] + data[12:16] == b"RF64ds64"
    (tmp_path / "long.wav").write_bytes(data)
    assert soundfile.info(tmp_path / "long.wav").frames == 24_000
    facts = read_bwf(tmp_path / "long.wav")
    assert facts is not None
    assert facts.scene == "12A"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a WAV"),
        (b"RIFF\0\0\0\0AVI LIST", "not a WAV"),
        (b"RIFF\0\0\0\0WAVEbext\xff\0\0\0abc", "cut off"),
        (b"RIFF\0\0\0\0WAVEbext\x04\0\0\0abcd", "too short"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "bad.wav").write_bytes(content)
    with pytest.raises(MediaError, match=words):
        read_bwf(tmp_path / "bad.wav")
    with pytest.raises(MediaError, match="cannot read"):
        read_bwf(tmp_path / "none.wav")


def test_a_plain_wav_says_nothing(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "plain.wav", np.zeros(100), 48_000)
    assert read_bwf(tmp_path / "plain.wav") is None


def test_a_start_outside_the_day_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    late = Sound(np.zeros(10, np.float32), 48_000, start=86_400 * 48_000)
    with pytest.raises(MediaError, match="within the day"):
        bwf.write_bwf(tmp_path / "late.wav", late)
    with pytest.raises(OutputError):
        bwf.write_bwf(tmp_path / "no" / "line.wav", voice_like(0.1))
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(
    note=st.text(max_size=80),
    description=st.text(max_size=400),
    start=st.integers(0, 86_400 * 48_000 - 1),
    circled=st.booleans(),
)
def test_any_text_survives_or_is_tamed(
    note: str, description: str, start: int, circled: bool
) -> None:
    stream = io.BytesIO()
    facts = BroadcastFacts(
        note=note, description=description, time_reference=start, circled=circled
    )
    BroadcastWriter(stream, facts).finish()
    stream.seek(0)
    chunks = dict(bwf._chunks(stream, Path("x.wav")))
    back = bwf._parse_ixml(chunks[b"iXML"], bwf._parse_bext(chunks[b"bext"], Path("x.wav")))
    assert back.time_reference == start
    assert back.circled is circled
    kept = "".join(c for c in note if c in "\t\n" or (c >= " " and not "\ud800" <= c <= "\udfff"))
    assert back.note.split() == kept.split() or any(ord(c) in (0xFFFE, 0xFFFF) for c in note)
    assert back.description.isascii()
    assert len(back.description) <= 256
