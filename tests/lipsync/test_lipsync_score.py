from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from lipsync_heads import head_mm, landmarks
from lipsync_talk import lips, talk, voice
from scipy.ndimage import gaussian_filter

import lipsync.recheck as recheck
from align.timing import Span, Timing
from lipsync.score import (
    closure_rate,
    compare_pictures,
    score_lips,
    score_table,
    speech_offset,
)
from lipsync.track import FaceTrack
from media.time import FrameRate

R25 = FrameRate(Fraction(25))


def track_of(openings_mm: np.ndarray, absent: tuple[int, ...] = ()) -> FaceTrack:
    n = len(openings_mm)
    marks = np.stack([landmarks(head_mm(float(o), float(o) / 2)) for o in openings_mm])
    reason = np.zeros(n, np.uint8)
    for i in absent:
        marks[i], reason[i] = np.nan, 1
    return FaceTrack(
        rate=R25,
        width=320,
        height=300,
        landmarks=marks.astype(np.float32),
        reason=reason,
        shot=np.zeros(n, np.int32),
        pose=np.zeros((n, 3), np.float32),
        scale=np.full(n, 172, np.float32),
        times=np.arange(n) / 25,
    )


def test_closure_rate_counts_sounds_not_frames():
    timing = Timing((), (Span("P", 0.0, 0.2), Span("AA", 0.2, 0.4), Span("M", 0.4, 0.6)), 1.0)
    opening = np.full(25, 0.2)
    assert closure_rate(opening, timing, R25, 0.03) == 0.0
    opening[2] = 0.01
    assert closure_rate(opening, timing, R25, 0.03) == 0.5
    opening[12] = 0.0
    assert closure_rate(opening, timing, R25, 0.03) == 1.0
    assert np.isnan(closure_rate(opening, Timing((), (), 1.0), R25, 0.03))


@pytest.mark.parametrize("shift", [-5, 0, 4])
def test_offset_is_found(shift: int):
    timing = talk(20, seed=1)
    # Loudness itself as the lips: offset known exactly.
    from lipsync.score import _loudness

    lips_open = np.roll(_loudness(voice(timing), R25, 500), shift)
    offset, confidence = speech_offset(lips_open, voice(timing), R25)
    assert offset == pytest.approx(40 * shift, abs=6)
    assert confidence > 0.9


def test_real_lips_against_themselves_are_perfect():
    timing = talk(8, seed=5)
    opening = 63 * lips(timing, R25, 200)[:, 0]
    track = track_of(opening, absent=(7, 8))
    scores = score_lips(track, timing, sound=voice(timing), reference=track)
    assert scores.opening == pytest.approx(1)
    assert scores.articulation == pytest.approx(1)
    assert scores.frames == 198
    assert scores.silence_shut > 0.95


def test_a_frozen_and_a_trembling_mouth_are_told_apart():
    timing = talk(8, seed=6)
    still = score_lips(track_of(np.full(200, 4.0)), timing)
    rng = np.random.default_rng(0)
    tremble = score_lips(track_of(4 + rng.normal(0, 1, 200)), timing)
    assert still.flicker < 0.1
    assert tremble.flicker > 1
    assert tremble.silence_motion > still.silence_motion
    assert np.isnan(still.opening)
    assert np.isnan(still.offset_ms)


def test_pictures_equal_blurred_and_flickering():
    rng = np.random.default_rng(1)
    base = gaussian_filter(rng.uniform(0, 255, (64, 64, 3)), (1, 1, 0))
    real = np.stack([base + t for t in range(6)]).clip(0, 255).astype(np.uint8)
    same = compare_pictures(real, real)
    assert same.ssim == pytest.approx(1)
    assert same.psnr > 80
    assert same.sharpness == pytest.approx(1)
    soft = compare_pictures(gaussian_filter(real, (0, 2, 2, 0)), real)
    assert soft.sharpness < 0.6
    assert soft.ssim < 0.9
    noisy = real + np.arange(6)[:, None, None, None] % 2 * 30
    assert compare_pictures(noisy.clip(0, 255).astype(np.uint8), real).flicker > 5


def test_ssim_equals_the_published_formula():
    from lipsync.score import _ssim

    rng = np.random.default_rng(2)
    a = gaussian_filter(rng.uniform(0, 255, (48, 48)), 1).astype(np.float32)
    b = (a + rng.normal(0, 12, a.shape)).astype(np.float32)

    def mean(x):
        return gaussian_filter(x.astype(float), 1.5, radius=5, mode="mirror")

    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = 2.55**2, 7.65**2
    top = (2 * ma * mb + c1) * (2 * vab + c2)
    want = (top / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean()
    assert _ssim(a, b) == pytest.approx(want, abs=1e-3)


def test_lips_that_part_early_are_not_open_in_silence(monkeypatch: pytest.MonkeyPatch):
    at = (np.arange(100) + 0.5) / 25
    # This person's lips part 0.4 s before the phrase.
    track = track_of(np.where((at > 1.6) & (at < 3.05), 10.0, 0.5))
    timing = Timing((), (Span("AA", 2.0, 3.0),), 4.0)
    assert score_lips(track, timing).silence_shut < 1.0
    monkeypatch.setattr(recheck, "track_again", lambda *_: track)
    lips = recheck.finished_lips(Path("a.mp4"), track, timing, voice(timing))
    assert lips is not None
    assert lips.silence_shut == 1.0


def test_table_puts_the_source_first():
    timing = talk(4, seed=7)
    scores = score_lips(track_of(np.full(100, 3.0)), timing)
    lines = score_table({"source": scores, "result": scores}).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("source")
    assert "closure rate" in lines[0]


def test_a_resting_mouth_is_judged_by_how_the_person_speaks():
    # Lips that rest nearly all the time: their own range is nothing but the tracker's noise.
    timing = talk(4, seed=7)
    rng = np.random.default_rng(0)
    resting = track_of(np.abs(rng.normal(0.6, 0.2, 100)))
    person = track_of(np.tile([0.5, 6.0, 14.0, 9.0], 25))
    assert score_lips(resting, timing).silence_shut < 1.0
    assert score_lips(resting, timing, person=person).silence_shut == 1.0
