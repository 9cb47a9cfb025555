"""The mark is found where it is, not where it is not, and leaves the recording alone."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from media.audio import Sound, read_sound, resample
from media.errors import ProvenanceError
from studio.watermark import detect, watermark

RATE = 48_000


def _speech(data_dir: Path) -> Sound:
    files = sorted((data_dir / "speech" / "lj").rglob("*.wav"))
    return resample(read_sound(files[0]).cut(0, 5), RATE)


def _db(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64))))


def _above(sound: Sound, hz: float) -> np.ndarray:
    spectrum = np.fft.rfft(sound.samples.astype(np.float64))
    spectrum[: int(hz * len(sound) / sound.rate)] = 0
    return np.fft.irfft(spectrum, len(sound))


def test_the_definition_gives_the_packages_own_output() -> None:
    from studio._perth import RATE as NATIVE
    from studio.watermark import _network

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports pkg_resources
        perth = pytest.importorskip("perth.perth_net.perth_net_implicit.perth_watermarker")
        original = perth.PerthImplicitWatermarker()
    import torch

    t = np.arange(2 * NATIVE) / NATIVE
    rng = np.random.default_rng(0)
    sound = (0.2 * np.sin(2 * np.pi * 200 * t) + rng.normal(0, 0.05, len(t))).astype(np.float32)
    theirs = original.apply_watermark(sound, NATIVE)
    with torch.inference_mode():
        mark, _ = _network().mark_and_band(torch.from_numpy(sound))
    inner = slice(2048, len(theirs) - 2048)
    assert np.abs(sound + mark.numpy() - sound).max() > 1e-3
    np.testing.assert_allclose((sound + mark.numpy())[inner], theirs[inner], atol=2e-5)
    confidence = float(original.get_watermark(theirs, NATIVE, round=False))
    assert _network().confidence(torch.from_numpy(theirs)) == pytest.approx(confidence, abs=1e-4)


def test_a_marked_sound_is_found_and_keeps_its_level_and_its_air(tone: Sound) -> None:
    marked = watermark(tone)
    assert detect(marked).found
    assert not detect(tone).found
    assert (marked.rate, len(marked), marked.start) == (tone.rate, len(tone), tone.start)
    assert abs(_db(marked.samples) - _db(tone.samples)) < 0.1
    change = Sound(marked.samples - tone.samples, RATE)
    assert _db(_above(change, 16_000)) < _db(_above(tone, 16_000)) - 60


def test_marking_twice_changes_nothing(tone: Sound) -> None:
    marked = watermark(tone)
    assert (watermark(marked).samples == marked.samples).all()


def test_the_same_sound_gives_the_same_bytes(tone: Sound) -> None:
    assert (watermark(tone).samples == watermark(tone).samples).all()


def test_silence_cannot_leave_unmarked() -> None:
    silence = Sound(np.zeros(RATE, np.float32), RATE)
    assert not detect(silence).found
    with pytest.raises(ProvenanceError, match="does not hold"):
        watermark(silence)


def test_an_empty_sound_carries_nothing() -> None:
    assert detect(Sound(np.zeros(0, np.float32), RATE)).confidence == 0.0


def test_blocks_of_a_long_sound_meet_without_a_step(tone: Sound, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    import studio.watermark as module

    long = Sound(np.tile(tone.samples, 4), RATE)
    monkeypatch.setattr(module, "_BLOCK_S", 3)
    marked = module._marked(long, 0.7)
    assert detect(marked).found
    step = np.abs(np.diff(marked.samples - long.samples))
    joint = slice(3 * RATE - 10, 4 * RATE + 10)
    assert step[joint].max() <= step.max()
    assert abs(_db(marked.samples) - _db(long.samples)) < 0.1


@pytest.mark.slow
def test_the_mark_survives_what_happens_to_files(data_dir: Path, tmp_path: Path) -> None:
    from media.writer import FootageWriter

    speech = _speech(data_dir)
    assert not detect(speech).found
    marked = watermark(speech)
    assert abs(_db(marked.samples) - _db(speech.samples)) < 0.1
    assert detect(marked).confidence > 0.9
    assert detect(resample(resample(marked, 16_000), 44_100)).found
    assert detect(marked.cut(1, 2.5)).found
    path = tmp_path / "out.mp4"
    _write_mp4(FootageWriter, path, marked)
    assert detect(read_sound(path)).found


def _write_mp4(writer_type, path: Path, sound: Sound) -> None:  # type: ignore[no-untyped-def]
    """Our own writer: AAC at 48 kHz beside a black picture."""
    from fractions import Fraction

    from media.colour import ColourTags
    from media.footage import FootageInfo, Frame
    from media.time import FrameRate

    rate, n = FrameRate(Fraction(25)), int(sound.duration_s * 25)
    like = FootageInfo(
        path=path,
        rate=rate,
        width=32,
        height=32,
        frames=n,
        duration_s=Fraction(n, 25),
        pix_fmt="yuv420p",
        colour=ColourTags(),
        start_timecode=None,
        has_sound=True,
        rotation=0,
        sample_aspect=Fraction(1),
        variable_rate=False,
    )
    black = np.zeros((32, 32, 3), np.uint8)
    with writer_type(path, like, sound=sound) as writer:
        for i in range(n):
            writer.write(Frame(i, rate.time_of(i), black))
