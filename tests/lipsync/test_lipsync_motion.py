from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lipsync_talk import example, lips, talk, voice

from align.timing import Span, Timing
from align.visemes import VISEMES, viseme_of
from lipsync._kernel import fit_kernel
from lipsync._rest import CLOSING_S, PARTING_S
from lipsync._speech import Windows, cepstra, viseme_track, windows
from lipsync.motion import (
    ENOUGH_SPEECH_S,
    MotionExample,
    MotionModel,
    closed_below,
    closures,
    in_sync,
    picture_lead,
    silence,
)
from media.audio import Sound
from media.errors import ArchiveError
from media.time import FrameRate

R25 = FrameRate(Fraction(25))
NTSC = FrameRate(Fraction(24000, 1001))


@pytest.fixture(scope="module")
def model() -> MotionModel:
    return MotionModel.fit([example(18, R25, seed=s) for s in (1, 2)])


@given(
    starts=st.lists(st.floats(0.03, 9.0), min_size=1, max_size=8),
    length=st.floats(0.008, 0.2),
    rate=st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(60), Fraction(1350, 61)]),
)
def test_every_closing_sound_has_a_frame_at_any_rate(starts, length, rate):
    phones, end = [], 0.0
    for k, start in enumerate(sorted(starts)):
        if start >= end:
            end = start + length
            phones.append(Span("PBM"[k % 3], start, end))
    frame_rate = FrameRate(rate)
    n = frame_rate.frames_in(10)
    shut = closures(Timing((), tuple(phones), 10.0), frame_rate, n)
    for phone in phones:
        at = int(Fraction(phone.middle_s) * rate)
        assert shut[at]
    assert not closures(Timing((), (Span("AA", 1, 2),), 3.0), frame_rate, n).any()


def test_speech_whose_lips_are_never_seen_is_not_learnt_from():
    heard = example(12, R25, seed=3)
    hidden = replace(heard, shapes=np.full_like(heard.shapes, np.nan))
    assert picture_lead([hidden]) == 0.0
    seen = MotionExample(None, None, heard.shapes, R25)
    model = MotionModel.fit([hidden, seen])
    assert model.kernel is None
    assert model.speech_s == 0


def test_only_speech_that_is_seen_counts():
    heard = example(12, R25, seed=3)
    spoken = sum(p.duration_s for p in heard.timing.phones)
    assert MotionModel.fit([heard]).speech_s == pytest.approx(spoken)
    half = replace(heard, shapes=np.where(np.arange(300)[:, None] < 125, heard.shapes, np.nan))
    seen = sum(max(0.0, min(p.end_s, 5.0) - p.start_s) for p in heard.timing.phones)
    model = MotionModel.fit([half])
    assert model.speech_s == pytest.approx(seen)
    assert model.speech_s < ENOUGH_SPEECH_S < spoken
    assert model.kernel is None


def test_silence_leaves_time_to_close_and_part():
    timing = Timing((), (Span("AA", 1.0, 2.0), Span("AA", 3.0, 4.0), Span("S", 4.2, 5.0)), 6.0)
    middles = (np.arange(200) + 0.5) / 25
    quiet = silence(timing, R25, 200)
    wanted = (middles < 1.0 - PARTING_S) | (middles >= 5.0 + CLOSING_S)
    wanted |= (middles >= 2.0 + CLOSING_S) & (middles < 3.0 - PARTING_S)
    np.testing.assert_array_equal(quiet, wanted)
    # The gap of 0.2 s is part of speech; nothing is said after the timing ends.
    assert quiet[150:].all()


def test_silence_of_an_empty_timing_is_everything():
    assert silence(Timing((), (), 0.0), NTSC, 48).all()


def test_closed_below_separates_shut_from_open_lips():
    rng = np.random.default_rng(0)
    opening = np.concatenate([rng.normal(0.012, 0.003, 300), rng.normal(0.15, 0.03, 700), [np.nan]])
    limit = closed_below(opening)
    assert (opening[:300] <= limit).mean() > 0.97
    assert (opening[300:1000] <= limit).mean() < 0.02
    assert closed_below(opening, 0.2) > limit
    assert closed_below(np.full(4, np.nan)) > 0


def test_windows_pick_the_right_steps():
    track = np.arange(200.0)[:, None]
    rows = windows(track, np.array([0.505, 1.205]), 0.08)
    np.testing.assert_array_equal(rows[:], [[42, 46, 50, 54, 58], [112, 116, 120, 124, 128]])
    last = windows(track, np.array([5.0]), 0.04)
    np.testing.assert_array_equal(last[:], [[199, 199, 199]])
    both = Windows.joined([rows, windows(-track, np.array([0.505, 0.605]), 0.08), rows])
    assert len(both) == 6
    np.testing.assert_array_equal(both[np.array([1, 2, 5])][:, 2], [120, -50, 120])
    np.testing.assert_array_equal(both[3:4], [[-52, -56, -60, -64, -68]])
    assert both[:0].shape == (0, 5)


def test_viseme_track_says_what_is_on():
    timing = Timing((), (Span("P", 0.2, 0.4), Span("AA", 0.4, 0.7)), 1.0)
    track = viseme_track(timing, 100)
    np.testing.assert_allclose(track.sum(1), 1.0)
    assert track[30, VISEMES.index(viseme_of("P"))] == 1
    assert track[55, VISEMES.index(viseme_of("AA"))] == 1
    assert track[85, 0] == 1


def test_cepstra_do_not_change_with_loudness_or_silence_around():
    timing = talk(6, seed=4)
    sound = voice(timing)
    plain = cepstra(sound, timing, 600)
    quiet = cepstra(replace(sound, samples=0.1 * sound.samples), timing, 600)
    np.testing.assert_allclose(quiet, plain, atol=1e-3)
    padded = Sound(np.pad(sound.samples, (0, 48000)), 16000)
    np.testing.assert_allclose(cepstra(padded, timing, 900)[:550], plain[:550], atol=0.02)
    assert np.isfinite(cepstra(Sound(np.zeros(16000, np.float32), 16000), timing, 600)).all()


def test_kernel_ridge_equals_the_closed_form():
    rng = np.random.default_rng(3)
    streams = [rng.normal(size=(60, 3)), rng.normal(size=(60, 5))]
    wanted = np.column_stack([np.sin(streams[0][:, 0]), streams[1][:, 1]])
    fit = fit_kernel(streams, wanted, np.arange(60) // 12, judged=(0, 1), strengths=(0.3,))

    def values(a, b):
        far = []
        for x, y in zip(a, b, strict=True):
            d = np.array([[np.sum((p - q) ** 2) for q in y] for p in x])
            far.append(d)
        return far

    spans = [np.median(d) for d in values(streams, streams)]
    new = [rng.normal(size=(7, 3)), rng.normal(size=(7, 5))]

    def kernel(a, b):
        one, two = (d / s for d, s in zip(values(a, b), spans, strict=True))
        sums = (np.exp(-one / 2) + np.exp(-two / 2)) / 2
        return 0.5 * np.exp(-(one + two) / 4) + 0.5 * sums

    alpha = np.linalg.solve(kernel(streams, streams) + 0.3 * np.eye(60), wanted - wanted.mean(0))
    np.testing.assert_allclose(fit(new), kernel(new, streams) @ alpha + wanted.mean(0), atol=2e-3)


def test_a_single_fold_is_fitted_without_a_choice():
    x = np.linspace(0, 3, 40)[:, None]
    fit = fit_kernel([x], np.sin(x), np.zeros(40, int), judged=(0,), strengths=(0.01,))
    np.testing.assert_allclose(fit([x]), np.sin(x), atol=0.04)


def test_held_out_predictions_have_not_seen_their_fold():
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(200, 1))
    fit = fit_kernel([rng.normal(size=(200, 4))], noise, np.arange(200) // 40, judged=(0,))
    # Nothing to learn: only a leak could correlate.
    assert abs(np.corrcoef(fit.held_out[:, 0], noise[:, 0])[0, 1]) < 0.25


def test_motion_follows_speech_never_heard(model: MotionModel):
    fresh = example(15, NTSC, seed=9)
    n = len(fresh.shapes)
    shapes = model.predict(fresh.timing, fresh.sound, NTSC, n)
    assert shapes.shape == (n, 7)
    assert shapes.dtype == np.float32
    for column in (0, 1, 3):
        assert np.corrcoef(shapes[:, column], fresh.shapes[:, column])[0, 1] > 0.85
    ratio = shapes[:, 0].std() / fresh.shapes[:, 0].std()
    assert 0.85 < ratio < 1.15


def test_lips_are_shut_where_the_timing_says_whatever_the_articulation(model: MotionModel):
    timing = talk(10, seed=11)
    n = R25.frames_in(12)
    tight = closures(timing, R25, n) | silence(timing, R25, n)
    for articulation in (0.5, 1.0, 1.6):
        shapes = model.predict(timing, voice(timing), R25, n, articulation=articulation)
        assert (shapes[tight, 0] <= model.closed_below).all()
    wide, narrow = (
        model.predict(timing, voice(timing), R25, n, articulation=a)[~tight, 0].std()
        for a in (1.4, 0.6)
    )
    assert wide > 1.5 * narrow


def test_prediction_is_the_same_every_time(model: MotionModel):
    timing = talk(5, seed=12)
    one, two = (model.predict(timing, voice(timing), NTSC, 100) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_silent_footage_gives_dominance_curves_in_the_persons_range():
    timing = talk(12, seed=2)
    shapes = lips(timing, R25, 300)
    model = MotionModel.fit([MotionExample(None, None, shapes, R25)])
    assert model.kernel is None
    fresh = talk(10, seed=3)
    got = model.predict(fresh, voice(fresh), R25, 250)
    want = lips(fresh, R25, 250)
    assert np.corrcoef(got[:, 0], want[:, 0])[0, 1] > 0.9
    assert got[:, 0].max() < 1.3 * want[:, 0].max()


def test_archive_without_lips_is_refused():
    nothing = np.full((50, 7), np.nan, np.float32)
    with pytest.raises(ArchiveError, match="no lips"):
        MotionModel.fit([MotionExample(None, None, nothing, R25)])


@pytest.mark.parametrize("lead", [-0.3, 0.24])
def test_a_picture_out_of_sync_is_found_and_mended(lead: float):
    true = example(16, R25, seed=21)
    late = in_sync(true, -lead)
    found = picture_lead([late])
    assert found == pytest.approx(lead, abs=0.045)
    mended = in_sync(late, found)
    assert picture_lead([mended]) == 0.0


def test_a_picture_in_sync_is_left_alone():
    assert picture_lead([example(12, R25, seed=22)]) == 0.0
    assert picture_lead([]) == 0.0
    assert picture_lead([MotionExample(None, None, np.zeros((9, 7), np.float32), R25)]) == 0.0
