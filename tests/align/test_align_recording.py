"""Files read a piece at a time give the samples that reading them whole gives."""

from __future__ import annotations

import subprocess
import sys
from math import gcd
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import firwin, resample_poly
from synthetic import synthetic_frames, synthetic_info, tone

from align.recording import _odd_taps, at_speech_rate, recording
from align.vad import BLOCK_S, probabilities, speech_probability
from media.audio import Sound, read_sound
from media.errors import MediaError, NoSoundError
from media.sound_stream import SoundStream
from media.writer import FootageWriter

RATE = 22_050


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same eight seconds as WAV (stereo), FLAC, and the sound of a film."""
    folder = tmp_path_factory.mktemp("streams")
    noise = np.random.default_rng(4).normal(0, 0.1, (8 * RATE, 2)).astype(np.float32)
    found = {}
    for ending in (".wav", ".flac"):
        found[ending] = folder / f"a{ending}"
        soundfile.write(found[ending], noise, RATE)
    info = synthetic_info()
    found[".mp4"] = folder / "a.mp4"
    with FootageWriter(found[".mp4"], info, sound=tone(2.0)) as writer:
        for frame in synthetic_frames(48, info):
            writer.write(frame)
    return found


@pytest.mark.parametrize("ending", [".wav", ".flac", ".mp4"])
def test_blocks_lie_end_to_end(files: dict[str, Path], ending: str) -> None:
    whole = read_sound(files[ending])
    stream = SoundStream(files[ending])
    assert stream.rate == whole.rate
    blocks = list(stream.blocks(1))
    assert all(len(b) == whole.rate for b in blocks[:-1])
    assert np.array_equal(np.concatenate([b.samples for b in blocks]), whole.samples)


@given(st.lists(st.floats(0, 8.5), min_size=2, max_size=8))
@settings(max_examples=40, deadline=None)
def test_cuts_are_those_of_the_whole(files: dict[str, Path], edges: list[float]) -> None:
    places = sorted(edges)
    spans = list(zip(places[::2], places[1::2], strict=False))
    whole = read_sound(files[".wav"])
    parts = list(SoundStream(files[".wav"]).cuts(spans))
    assert len(parts) == len(spans)
    for part, (start, end) in zip(parts, spans, strict=True):
        assert np.array_equal(part.samples, whole.cut(start, end).samples)


def test_memory_and_disk_are_the_same_recording(files: dict[str, Path]) -> None:
    whole = recording(read_sound(files[".flac"]))
    small = recording(files[".flac"])
    assert whole.rate == small.rate == RATE
    for one, other in zip(whole.blocks(3), SoundStream(files[".flac"]).blocks(3), strict=True):
        assert np.array_equal(one.samples, other.samples)


def test_speech_is_found_alike_in_blocks() -> None:
    rng = np.random.default_rng(0)
    sound = Sound(rng.normal(0, 0.05, int(16_000 * (BLOCK_S + 3.3))).astype(np.float32), 16_000)
    blocks = recording(sound).blocks(BLOCK_S)
    assert np.array_equal(speech_probability(sound), probabilities(blocks))


@pytest.mark.parametrize("rate", [8000, 11_025, 16_001, 22_050, 44_056, 44_100, 47_952, 48_000])
def test_speech_rate_keeps_tones_and_times_and_lets_nothing_fold_back(rate: int) -> None:
    def tones(at: int) -> np.ndarray:
        time = np.arange(at) / at
        return sum(0.2 * np.sin(2 * np.pi * f * time + f) for f in (200, 1000, 3300))

    found = at_speech_rate(Sound(tones(rate).astype(np.float32), rate))
    assert (found.rate, len(found)) == (16_000, 16_000)
    assert np.abs(found.samples - tones(16_000))[500:-500].max() < 1e-4
    if rate > 20_000:
        high = np.sin(2 * np.pi * 9500 * np.arange(rate) / rate).astype(np.float32)
        assert np.abs(at_speech_rate(Sound(high, rate)).samples[500:-500]).max() < 1e-4


RATES = [8000, 11_025, 22_050, 44_100, 44_056, 47_952, 48_000, 96_000]


def by_scipy(samples: np.ndarray, rate: int) -> np.ndarray:
    common = gcd(16_000, rate)
    up, down = 16_000 // common, rate // common
    widest = max(up, down)
    taps = firwin(64 * widest + 1, 0.95 / widest, window=("kaiser", 9.6))
    return resample_poly(samples.astype(np.float64), up, down, window=taps)


@pytest.mark.parametrize("rate", RATES)
def test_speech_rate_is_that_of_a_polyphase_filter_to_the_last_sample(rate: int) -> None:
    rng = np.random.default_rng(rate)
    for count in (1, 2, 63, 1001):
        samples = rng.uniform(-0.5, 0.5, count).astype(np.float32)
        found = at_speech_rate(Sound(samples, rate)).samples
        np.testing.assert_allclose(found, by_scipy(samples, rate), atol=2e-6)


@pytest.mark.parametrize("rate", [11_025, 22_050, 48_000])
def test_speech_rate_has_no_seams(rate: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(rate).uniform(-0.5, 0.5, 30_011).astype(np.float32)
    monkeypatch.setattr("align.recording._AT_ONCE", 1 << 12)
    found = at_speech_rate(Sound(samples, rate)).samples
    np.testing.assert_allclose(found, by_scipy(samples, rate), atol=2e-6)


def test_a_rate_far_above_speech_needs_no_huge_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """2 999 975 Hz are 119 999 to 640: a table of them would be gigabytes."""
    asked: list[int] = []

    def taps(widest: int) -> np.ndarray:
        asked.append(widest)
        return np.ones(1, np.float32)

    monkeypatch.setattr("align.recording._odd_taps", taps)
    assert len(at_speech_rate(Sound(np.zeros(1000, np.float32), 2_999_975))) == 6
    assert asked == [119_999]


def test_the_window_of_odd_rates_is_made_once() -> None:
    _odd_taps.cache_clear()
    for _ in range(3):
        at_speech_rate(Sound(np.zeros(100, np.float32), 44_056))
    assert _odd_taps.cache_info().misses == 1


def test_timing_a_file_does_not_load_torch(tmp_path: Path) -> None:
    """It would take half a gigabyte of the memory that an hour may have."""
    soundfile.write(tmp_path / "a.wav", np.zeros(48_000), 48_000)
    code = (
        "import sys; from pathlib import Path; from align.transcription import align_file\n"
        "from media.errors import NoSpeechError\n"
        "try: align_file(Path(sys.argv[1]), 'We chose to go.', engine='sphinx')\n"
        "except NoSpeechError: print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.wav")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_cannot_be_streamed(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        SoundStream(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("nothing to hear here")
    with pytest.raises(MediaError, match=r"text\.wav"):
        SoundStream(tmp_path / "text.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(900, np.nan), 16000, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"nan\.wav.*not numbers"):
        list(SoundStream(tmp_path / "nan.wav").blocks(1))
    info = synthetic_info()
    with FootageWriter(tmp_path / "silent.mp4", info) as writer:
        for frame in synthetic_frames(5, info):
            writer.write(frame)
    with pytest.raises(NoSoundError, match="has no sound"):
        SoundStream(tmp_path / "silent.mp4")
