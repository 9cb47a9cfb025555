"""Recordings into clips: cutting, words, grades, and everything that falls out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from align.recognise import hear
from media.audio import Sound, read_sound, write_wav
from media.errors import ArchiveError, MediaError
from voice import archive as room
from voice._sidecar import Transcripts, divide
from voice.archive import CLIP_RATE, Clip, read_archive, speech_regions
from voice.ingest.cutting import LONGEST_REGION_S, LONGEST_S
from voice.ingest.survey import at_full_scale

LINES = (
    "The committee will meet again on Thursday afternoon to discuss the new budget.",
    "My grandmother worked in that factory for thirty years before it closed down.",
    "Would you please tell me where I can find the nearest hospital?",
)


@pytest.fixture(scope="session")
def spoken(japanese_style: np.ndarray) -> list[Sound]:
    """Three sentences of 3 to 5 s in a bundled voice, 24 kHz."""
    from align.text import speakable
    from voice.engines import get_synthesizer
    from voice.voice import Voice

    voice = Voice("bundled", japanese_style[0])
    return [get_synthesizer().speak(speakable(line), voice).sound for line in LINES]


def silence(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (1e-4 * rng.standard_normal(int(seconds * CLIP_RATE))).astype(np.float32)


def tape(spoken: list[Sound], pauses: list[float]) -> tuple[Sound, list[tuple[float, float]]]:
    """The sentences with pauses before each and after the last, and where they lie."""
    parts, spans, at = [silence(pauses[0])], [], pauses[0]
    for sound, pause in zip(spoken, pauses[1:], strict=True):
        length = float(sound.duration_s)
        spans.append((at, at + length))
        parts += [sound.samples, silence(pause)]
        at += length + pause
    return Sound(np.concatenate(parts), CLIP_RATE), spans


def write(folder: Path, name: str, sound: Sound) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name
    write_wav(path, sound, "PCM_16")
    return path


def test_a_tape_is_cut_at_its_pauses(spoken: list[Sound], tmp_path: Path) -> None:
    sound, spans = tape(spoken, [1.0, 1.5, 1.2, 0.8])
    path = write(tmp_path, "tape.wav", sound)
    archive = read_archive(path)
    assert len(archive.clips) == 3
    for clip, (start, end), line in zip(archive.clips, spans, LINES, strict=True):
        assert float(clip.start_s) == pytest.approx(start, abs=0.3)
        assert float(clip.end_s) == pytest.approx(end, abs=0.45)
        assert clip.sound.rate == CLIP_RATE
        assert len(clip.sound) == pytest.approx(clip.duration_s * CLIP_RATE, abs=1)
        words = line.lower().strip(".?").split()
        heard = clip.text.lower().replace(",", "").strip(".?").split()
        assert len(set(words) & set(heard)) >= 0.8 * len(set(words))
        assert clip.transcript == "recognised"
        assert 0.4 < clip.confidence <= 1
        assert clip.grade in "AB"
    assert "3 clips" in archive.report()
    assert archive.sources[0].duration_s == sound.duration_s


def test_words_come_from_what_lies_beside(spoken: list[Sound], tmp_path: Path) -> None:
    for k, sound in enumerate(spoken):
        write(tmp_path / "wavs", f"line{k}.wav", sound)
    rows = [f"line{k}|{line}|{line.upper()}" for k, line in enumerate(LINES)]
    (tmp_path / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    (tmp_path / "wavs" / "line1.txt").write_text(f"{LINES[1]}\n", encoding="utf-8")
    clips = read_archive(tmp_path).clips
    assert [clip.text for clip in clips] == [LINES[0].upper(), LINES[1], LINES[2].upper()]
    assert {(clip.transcript, clip.confidence) for clip in clips} == {("given", 1.0)}


def test_the_same_recording_twice_counts_once(spoken: list[Sound], tmp_path: Path) -> None:
    import soundfile

    for k, sound in enumerate(spoken):
        write(tmp_path, f"line{k}.wav", sound)
        soundfile.write(tmp_path / f"copy{k}.flac", 0.5 * sound.samples, sound.rate)
    archive = read_archive(tmp_path)
    assert len(archive.clips) == 3
    assert [d.reason for d in archive.dropped] == ["the same recording twice"] * 3


def test_bad_files_never_stop_the_rest(spoken: list[Sound], tmp_path: Path) -> None:
    for k, sound in enumerate(spoken):
        write(tmp_path, f"line{k}.wav", sound)
    (tmp_path / "broken.wav").write_bytes(b"RIFF" + bytes(60))
    (tmp_path / "notes.mp3").write_text("not sound at all")
    write(tmp_path, "silent.wav", Sound(np.zeros(5 * CLIP_RATE, np.float32), CLIP_RATE))
    write(tmp_path, "organ.wav", organ(6.0))
    archive = read_archive(tmp_path)
    assert len(archive.clips) == 3
    reasons = {d.source.name: d.reason for d in archive.dropped}
    assert reasons["broken.wav"].startswith("unreadable")
    assert reasons["notes.mp3"].startswith("unreadable")
    assert reasons["silent.wav"] == "silent"
    assert reasons["organ.wav"] == "nobody speaks in it"


def organ(seconds: float) -> Sound:
    """Music without a voice: chords with harmonics."""
    time = np.arange(int(seconds * CLIP_RATE)) / CLIP_RATE
    samples = np.zeros_like(time)
    for k, root in enumerate((220.0, 261.6, 329.6, 440.0)):
        gate = np.clip(np.sin(2 * np.pi * (0.25 * time + k / 4)), 0, 1)
        for harmonic in range(1, 7):
            samples += gate * np.sin(2 * np.pi * root * harmonic * time) / harmonic
    return Sound((0.05 * samples).astype(np.float32), CLIP_RATE)


def test_too_little_speech_is_refused_with_the_seconds_found(
    spoken: list[Sound], tmp_path: Path
) -> None:
    write(tmp_path, "one.wav", spoken[0])
    (tmp_path / "broken.wav").write_bytes(b"RIFF" + bytes(60))
    with pytest.raises(ArchiveError) as refusal:
        read_archive(tmp_path)
    message = str(refusal.value)
    assert "10 s" in message
    assert "unreadable" in message
    found = re.search(r"holds (\d\.\d) s", message)
    assert found
    assert float(found[1]) == pytest.approx(float(spoken[0].duration_s), abs=1.0)
    assert "\n" not in message


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_silence_alone_is_refused(tmp_path: Path, seconds: float) -> None:
    write(tmp_path, "silent.wav", Sound(np.zeros(int(seconds * 8000), np.float32), 8000))
    with pytest.raises(ArchiveError, match=r"holds 0\.0 s of usable speech"):
        read_archive(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        read_archive(tmp_path / "absent")
    with pytest.raises(MediaError, match="no recordings"):
        read_archive(tmp_path)


def test_clipping_drops_and_grades() -> None:
    time = np.arange(3 * CLIP_RATE) / CLIP_RATE
    wave = np.sin(2 * np.pi * 150 * time).astype(np.float32)
    assert at_full_scale(np.clip(3 * wave, -1, 1), 1.0).mean() > 0.5
    assert at_full_scale(0.9 * wave, 0.9).mean() < 2e-3
    assert not at_full_scale(0.3 * np.clip(3 * wave, -1, 1), 0.3).any()


def a_clip(**changes: object) -> Clip:
    values: dict[str, object] = {
        "source": Path("a.wav"),
        "start_s": Fraction(0),
        "end_s": Fraction(3),
        "text": "twelve words of speech that fit three seconds",
        "sound": Sound(np.zeros(3 * CLIP_RATE, np.float32), CLIP_RATE),
        "confidence": 0.9,
        "snr_db": 40.0,
        "clipped": 0.0,
    }
    return Clip(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": " "}, "no words"),
        ({"confidence": 0.2}, "another language"),
        ({"clipped": 0.01}, "clipped"),
        ({"snr_db": 3.0}, "above the noise"),
        ({"text": "Hi."}, "do not fit the length"),
        ({"text": "word " * 60}, "do not fit the length"),
    ],
)
def test_reasons(changes: dict[str, object], reason: str) -> None:
    assert room._unfit(a_clip()) is None
    assert reason in (room._unfit(a_clip(**changes)) or "")


def test_grades_fall_with_the_worst_measure() -> None:
    assert room._grade(a_clip()) == "A"
    assert room._grade(a_clip(snr_db=20.0)) == "B"
    assert room._grade(a_clip(confidence=0.55)) == "C"
    assert room._grade(a_clip(confidence=0.55, snr_db=8.0)) == "D"


def regions() -> Iterator[list[tuple[float, float]]]:
    yield [(0.5, 1.0), (1.3, 4.0), (5.5, 6.0), (9.0, 20.0), (20.2, 24.0)]
    rng = np.random.default_rng(4)
    for _ in range(40):
        edges = np.cumsum(rng.uniform(0.15, 4.0, size=2 * rng.integers(1, 12)))
        yield [(float(a), float(b)) for a, b in edges.reshape(-1, 2)]


def test_cuts_keep_order_length_and_speech() -> None:
    for given in regions():
        duration = given[-1][1] + 0.4
        spans, lost = room._cuts(given, duration, Path("a.wav"))
        assert all(0 <= a < b <= duration for a, b in spans)
        assert all(b <= c + 1e-9 for (_, b), (c, _) in pairwise(spans))
        assert all(b - a <= LONGEST_S + 0.31 for a, b in spans)
        for start, end in given:  # every region lies in one clip or is accounted for
            middle = (start + end) / 2
            inside = sum(a <= middle <= b for a, b in spans)
            dropped = sum(float(d.start_s) <= middle <= float(d.end_s) for d in lost)
            assert inside + dropped == 1


def test_long_speech_is_divided(spoken: list[Sound]) -> None:
    joined = Sound(np.concatenate([s.samples[2000:-4500] for s in spoken] * 2), CLIP_RATE)
    found = speech_regions(joined)
    assert max(b - a for a, b in found) <= LONGEST_REGION_S + 1e-6
    assert sum(b - a for a, b in found) > 0.8 * float(joined.duration_s)


def test_spread_takes_evenly() -> None:
    spans = [(float(k), k + 1.0) for k in range(100)]
    kept = room._spread(spans, 10)
    assert len(kept) == 10
    assert kept[0][0] < 10
    assert kept[-1][0] >= 90
    assert room._spread(spans, 1000) == spans


def test_divide_deals_a_transcript_out() -> None:
    text = "Printing, in the only sense with which we are at present concerned, differs."
    heard = ["printing in the only scents with which", "we are at present concern differs"]
    assert divide(text, heard) == [
        "Printing, in the only sense with which",
        "we are at present concerned, differs.",
    ]
    assert divide("Something else altogether was written here.", heard) is None


def test_transcripts_understand_tables(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text('a.wav,"One, two."\n\nb.wav,Three.\n', encoding="utf-8")
    (tmp_path / "c.lab").write_text("0.0 0.5 sil\n0.5 0.9 AH\n", encoding="utf-8")
    (tmp_path / "d.txt").write_bytes(b"\xff\xfe\x00broken")
    tell = Transcripts()
    assert tell.of(tmp_path / "a.wav") == "One, two."
    assert tell.of(tmp_path / "b.wav") == "Three."
    assert tell.of(tmp_path / "c.wav") is None
    assert tell.of(tmp_path / "d.wav") is None


def test_no_farewell_is_invented_after_a_clip(data_dir: Path) -> None:
    """The recogniser used to hear "Thank you." in the breath after this sentence."""
    sound = read_sound(data_dir / "speech" / "lj" / "wavs" / "LJ001-0017.wav")
    assert "thank" not in hear(sound).text.lower()


def test_copies_in_other_formats_are_found_in_real_recordings(data_dir: Path) -> None:
    folder = data_dir / "speech" / "lj" / "wavs"
    chosen = [folder / f"LJ001-00{k:02d}.{e}" for k in (4, 6) for e in ("wav", "flac", "mp3")]
    archive = read_archive(chosen)
    assert len(archive.clips) == 2
    assert len(archive.dropped) == 4


def test_another_language_than_english_needs_transcripts() -> None:
    with pytest.raises(ArchiveError, match="transcript"):
        hear(Sound(np.zeros(CLIP_RATE, np.float32), CLIP_RATE), "fr")
