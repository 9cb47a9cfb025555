"""Sound in, sound out, and the sample rate, against numpy's and scipy's own answers."""

from __future__ import annotations

import os
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import synthetic_frames, synthetic_info, tone

from media.audio import Sound, has_sound, read_sound, resample, write_wav
from media.channels import channel_blocks
from media.errors import MediaError, NoSoundError, OutputError
from media.sound_stream import SoundStream
from media.video import FootageWriter


def sine(n: int, rate: int, hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(n) / rate)


@pytest.mark.parametrize(
    ("old", "new"),
    [(44_100, 48_000), (48_000, 44_100), (24_000, 48_000), (48_000, 16_000), (22_050, 24_000)],
)
def test_resampling_is_a_sine_at_the_other_rate(old: int, new: int) -> None:
    # 8 s: several stretches with their seams.
    hertz = 0.35 * min(old, new)
    sound = Sound(0.5 * sine(8 * old + 123, old, hertz).astype(np.float32), old)
    done = resample(sound, new)
    assert len(done) == -(-len(sound) * new // old)
    error = done.samples - 0.5 * sine(len(done), new, hertz)
    inside = error[new // 20 : -new // 20]
    assert 20 * np.log10(np.sqrt(np.mean(inside**2)) / 0.35) < -80


def test_resampling_removes_what_cannot_be_shown() -> None:
    sound = Sound(0.5 * sine(48_000, 48_000, 10_000).astype(np.float32), 48_000)
    done = resample(sound, 16_000)
    assert np.abs(done.samples[800:-800]).max() < 5e-4


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4000), st.sampled_from([8000, 24_000, 44_100, 48_000]))
def test_stretches_do_not_show(length: int, rate: int) -> None:
    import torch
    import torchaudio.functional

    from media import audio

    rng = np.random.default_rng(length)
    samples = rng.uniform(-1, 1, length).astype(np.float32)
    at_once = torchaudio.functional.resample(
        torch.from_numpy(samples), rate, 16_000, **audio._KAISER
    ).numpy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(audio, "_BLOCK", 256)
        in_pieces = resample(Sound(samples, rate), 16_000).samples
    assert len(in_pieces) == len(at_once)
    assert np.abs(in_pieces - at_once).max() < 2e-6


def test_sound_says_how_long_it_is_and_can_be_cut() -> None:
    sound = Sound(np.arange(44_100, dtype=np.float32) / 44_100, 44_100, start=1000)
    assert sound.duration_s == 1
    part = sound.cut(Fraction(1, 4), 0.5)
    assert len(part) == 11_025
    assert part.samples[0] == sound.samples[11_025]
    assert part.start == 1000 + 11_025
    assert len(sound.cut(-5, 99)) == 44_100
    assert len(sound.cut(0.7, 0.2)) == 0
    assert resample(Sound(np.zeros(441), 44_100, start=44_100), 48_000).start == 48_000


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_numbers(tmp_path: Path, bad: float) -> None:
    samples = np.zeros(100, np.float32)
    samples[50] = bad
    with pytest.raises(MediaError, match="not numbers"):
        Sound(samples, 48_000)
    soundfile.write(tmp_path / "bad.wav", samples, 48_000, subtype="FLOAT")
    with pytest.raises(MediaError, match=r"bad\.wav.*not numbers"):
        read_sound(tmp_path / "bad.wav")


def test_shapes_and_rates_that_are_refused() -> None:
    with pytest.raises(MediaError, match="one channel"):
        Sound(np.zeros((2, 5), np.float32), 48_000)
    for rate in (0, -1):
        with pytest.raises(MediaError, match="sample rate"):
            Sound(np.zeros(5, np.float32), rate)
    with pytest.raises(MediaError, match="sample rate"):
        resample(Sound(np.zeros(5, np.float32), 8000), 0)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_wav_round_trip(tmp_path: Path, subtype: str) -> None:
    rng = np.random.default_rng(1)
    sound = Sound(rng.uniform(-1, 1, 5000).astype(np.float32), 24_000)
    write_wav(tmp_path / "a.wav", sound, subtype)
    back = read_sound(tmp_path / "a.wav")
    assert back.rate == 24_000
    step = {"PCM_16": 2**-15, "PCM_24": 2**-23, "FLOAT": 0}[subtype]
    assert np.abs(back.samples - sound.samples).max() <= 1.5 * step + 1e-7
    first = (tmp_path / "a.wav").read_bytes()
    write_wav(tmp_path / "a.wav", sound, subtype)
    assert (tmp_path / "a.wav").read_bytes()[:4] == first[:4]
    if subtype != "FLOAT":
        assert (tmp_path / "a.wav").read_bytes() == first


def test_too_loud_is_clipped_not_wrapped(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", Sound(np.array([1.5, -1.5, 0.0], np.float32), 8000), "PCM_16")
    assert read_sound(tmp_path / "a.wav").samples == pytest.approx([1, -1, 0], abs=1e-4)


def test_channels_are_averaged(tmp_path: Path) -> None:
    pair = np.stack([np.full(100, 0.5), np.full(100, -0.1)], axis=1)
    soundfile.write(tmp_path / "pair.flac", pair, 44_100)
    assert read_sound(tmp_path / "pair.flac").samples == pytest.approx(0.2, abs=1e-4)


def test_a_name_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    try:
        write_wav(path, tone(0.1))
    except OSError:
        pytest.skip("this disk takes UTF-8 names alone")
    sound = read_sound(path)
    (stretch,) = SoundStream(path).blocks(1)
    np.testing.assert_array_equal(stretch.samples, sound.samples)
    blocks = np.concatenate(list(channel_blocks(path)), axis=1)
    np.testing.assert_array_equal(blocks[0], sound.samples)


def test_the_start_of_a_broadcast_wav_is_read(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", tone(0.1))
    data = (tmp_path / "a.wav").read_bytes()
    bext = bytearray(602)
    struct.pack_into("<Q", bext, 338, 48_000 * 3600)
    chunk = b"bext" + struct.pack("<I", len(bext)) + bytes(bext)
    whole = data[:12] + chunk + data[12:]
    whole = whole[:4] + struct.pack("<I", len(whole) - 8) + whole[8:]
    (tmp_path / "b.wav").write_bytes(whole)
    sound = read_sound(tmp_path / "b.wav")
    assert sound.start == 48_000 * 3600
    assert np.array_equal(sound.samples, read_sound(tmp_path / "a.wav").samples)


@pytest.mark.parametrize("ending", [".m4a", ".mp3", ".mov"])
def test_other_containers(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    sound = tone(1.0, 44_100, 1000.0)
    codec = {".m4a": "aac", ".mp3": "libmp3lame", ".mov": "pcm_s16le"}[ending]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound.samples[None], format="fltp", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    back = read_sound(path)
    assert back.rate == 44_100
    assert abs(len(back) - 44_100) <= 1200
    middle = back.samples[10_000:30_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 44_100 / len(middle) == pytest.approx(1000, abs=3)
    level = 0.95 if ending == ".mp3" else 1.0  # LAME's own headroom
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(level * 0.25 / np.sqrt(2), rel=0.02)


def test_reading_at_another_rate(small_footage: Path) -> None:
    at_16 = read_sound(small_footage, 16_000)
    assert at_16.rate == 16_000
    assert abs(at_16.duration_s - 48 * Fraction(1001, 24_000)) < Fraction(1, 8000)


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_reading_at_another_rate_is_reading_and_resampling(tmp_path: Path, rate: int) -> None:
    """Though the recording, longer than a stretch, is never held at its own rate."""
    noise = np.random.default_rng(rate).uniform(-0.5, 0.5, 600_001).astype(np.float32)
    write_wav(tmp_path / "long.wav", Sound(noise, 44_100, start=44_100), "FLOAT")
    read = read_sound(tmp_path / "long.wav", rate)
    converted = resample(read_sound(tmp_path / "long.wav"), rate)
    assert (read.rate, read.start) == (converted.rate, converted.start)
    np.testing.assert_array_equal(read.samples, converted.samples)


def test_silent_footage(tmp_path: Path, small_footage: Path) -> None:
    info = synthetic_info("25")
    with FootageWriter(tmp_path / "silent.mp4", info) as writer:
        for frame in synthetic_frames(3, info):
            writer.write(frame)
    assert not has_sound(tmp_path / "silent.mp4")
    assert has_sound(small_footage)
    with pytest.raises(NoSoundError, match="has no sound"):
        read_sound(tmp_path / "silent.mp4")


def test_missing_and_unwritable(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="does not exist"):
        read_sound(tmp_path / "none.wav")
    with pytest.raises(OutputError, match="create it first"):
        write_wav(tmp_path / "no" / "a.wav", tone(0.1))


def test_sound_before_the_first_picture_is_left_out(tmp_path: Path) -> None:
    """A file whose picture starts 0.4 s after its sound: sample 0 belongs to frame 0."""
    path = tmp_path / "late.mkv"
    click = np.zeros(48_000, np.float32)
    click[24_000] = 0.9  # half a second into the sound
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = index + 10, Fraction(1, 25)
            container.mux(video.encode(frame))
        for at in range(0, 48_000, 4800):
            block = (click[None, at : at + 4800] * 32767).astype(np.int16)
            piece = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48_000, at, Fraction(1, 48_000)
            container.mux(audio.encode(piece))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    sound = read_sound(path)
    assert abs(int(sound.samples.argmax()) - 4800) <= 48  # 0.1 s after the first picture


@pytest.mark.parametrize("length", [120_427, 120_574, 148_218])
def test_the_last_sample_of_a_long_piece_is_kept(length: int) -> None:
    # torchaudio's own count, in float32, is one short for some of these.
    done = resample(Sound(np.zeros(length, np.float32), 22_050), 24_000)
    assert len(done) == -(-length * 24_000 // 22_050)
