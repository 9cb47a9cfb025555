"""Footage of a variable rate: lips go by the time at which a frame is shown."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from lipsync_film import SIDE, film, talking_marks, track_of
from lipsync_talk import talk, voice
from synthetic import synthetic_info

from align.timing import Span, Timing
from lipsync.clock import (
    frames_between,
    second_on_frames,
    shown_at,
    sound_on_frames,
    timing_on_frames,
)
from lipsync.crop import CropSpec
from lipsync.engines import BankSource
from lipsync.motion import closures
from lipsync.preview import PreviewShot
from lipsync.resync import _job
from lipsync.stream import MouthModel, MouthStream
from lipsync.track import FaceTrack
from lipsync.writing import Written
from media.audio import Sound
from media.time import FrameRate

N = 90


def track_at(times: np.ndarray) -> FaceTrack:
    """A track of frames that are shown at `times`; 22.5 of them a second on average."""
    n = len(times)
    return FaceTrack(
        rate=FrameRate(Fraction(45, 2)),
        width=320,
        height=240,
        landmarks=np.zeros((n, 478, 3), np.float32),
        reason=np.zeros(n, np.uint8),
        shot=np.zeros(n, np.int32),
        pose=np.zeros((n, 3), np.float32),
        scale=np.full(n, 100, np.float32),
        times=times,
    )


def uneven() -> FaceTrack:
    """Two seconds of 30 frames a second, and two of 15."""
    return track_at(np.concatenate([np.arange(60) / 30, 2 + np.arange(30) / 15]))


def even() -> FaceTrack:
    return track_at(np.round(np.arange(N) / 22.5, 3))  # as Matroska counts


def saying(start_s: float) -> Timing:
    spans = (Span("AA", start_s - 0.2, start_s), Span("M", start_s, start_s + 0.08))
    return Timing((Span("am", start_s - 0.2, start_s + 0.08),), spans, 4.0)


@pytest.mark.parametrize("start_s", [0.5, 1.9, 2.01, 3.6])
def test_lips_are_shut_on_the_frames_that_are_shown_then(start_s: float) -> None:
    track, timing = uneven(), saying(start_s)
    on = closures(timing_on_frames(track, timing), track.rate, N)
    ends = np.append(track.times[1:], 4.0)
    seen = (track.times < start_s + 0.08) & (ends > start_s)
    middle = np.searchsorted(track.times, start_s + 0.04, "right") - 1
    assert on[middle]
    assert not (on & ~seen).any()


def test_the_sound_goes_with_the_words() -> None:
    track, rate = uneven(), 8000
    at = np.arange(4 * rate) / rate
    sound = Sound(np.exp(-(((at - 3.0) / 0.01) ** 2)).astype(np.float32), rate, 77)
    moved = sound_on_frames(track, sound)
    assert moved.samples.argmax() / rate == pytest.approx(75 / 22.5, abs=1e-3)
    # The last frame is taken to be shown as long as the average one.
    more = 1 / 15 - 1 / 22.5
    assert float(moved.duration_s) == pytest.approx(4.0 + more, abs=1e-3)
    assert (moved.rate, moved.start) == (rate, 77)
    words = timing_on_frames(track, saying(3.0)).words
    assert words[0].end_s == pytest.approx((60 + 15 * 1.08) / 22.5)
    # Behind the last frame both clocks run on alike.
    long = Sound(np.ones(6 * rate, np.float32), rate)
    assert float(sound_on_frames(track, long).duration_s) == pytest.approx(6.0 + more, abs=1e-3)


def test_frames_that_come_evenly_change_nothing() -> None:
    timing, sound = saying(1.0), Sound(np.ones(800, np.float32), 8000)
    for track in (even(), track_at(np.zeros(0)), track_at(np.zeros(1))):
        assert timing_on_frames(track, timing) is timing
        assert sound_on_frames(track, sound) is sound


def test_a_line_that_starts_later_is_heard_as_one_that_silence_leads_to() -> None:
    track, rate, at = uneven(), 8000, 1.3
    line = Timing((), (Span("AA", 0.3, 0.5), Span("M", 0.5, 0.9)), 1.1)
    whole = timing_on_frames(track, line.shifted(at))
    there = second_on_frames(track, at)
    assert there == pytest.approx(39 / 22.5)
    assert np.allclose(
        [(p.start_s, p.end_s) for p in timing_on_frames(track, line, at).shifted(there).phones],
        [(p.start_s, p.end_s) for p in whole.phones],
    )
    rng = np.random.default_rng(0)
    tone = np.interp(np.arange(8800) / 40, np.arange(221), rng.normal(size=221)).astype(np.float32)
    sound = Sound(tone, rate)
    led = Sound(np.concatenate([np.zeros(round(at * rate), np.float32), tone]), rate)
    ours = sound_on_frames(track, sound, at).samples
    theirs = sound_on_frames(track, led).samples[round(there * rate) :]
    n = min(len(ours), len(theirs)) - 8
    assert n > 7000
    assert np.abs(ours[:n] - theirs[:n]).max() < 0.05


def test_seconds_and_frames_of_the_footage() -> None:
    track = uneven()
    assert frames_between(track, 0.5, 3.01) == (15, 76)
    assert frames_between(track, -1.0, 99.0) == (0, N)
    assert shown_at(track, 75) == pytest.approx(3.0)
    # Where frames come evenly the rate decides, not what a container rounded.
    track = even()
    assert (shown_at(track, 7), second_on_frames(track, 1.23)) == (7 / 22.5, 1.23)
    assert frames_between(track, 1.0, 2.0) == (22, 46)


def test_every_frame_of_long_footage_is_found_at_its_own_time() -> None:
    gaps = np.where(np.arange(2500) % 100 < 50, 1 / 30, 1 / 15)
    track = track_at(np.concatenate([[0.0], np.cumsum(gaps)]))
    for i in (0, 1, 999, 1001, 2100, 2499, 2500):
        assert frames_between(track, track.times[i], track.times[i]) == (i, i + 1)
    # A last picture that is held: a line may begin while it is shown.
    held = track_at(np.append(np.arange(300) / 30, 18.0)[:301])
    assert frames_between(held, 14.0, 15.0) == (299, 300)
    assert frames_between(held, 19.0, 25.0) == (300, 301)


def test_a_stretch_is_named_in_frames_or_in_seconds() -> None:
    with pytest.raises(ValueError, match="not in both"):
        PreviewShot.open(Path("a.mp4"), stretch=(0, 9), seconds=(0.0, 1.0))


def test_a_preview_says_the_line_on_the_frames_that_are_shown_then(tmp_path: Path) -> None:
    """The lips of the picture close on M, which half a second of 12.5 frames a second precedes."""
    said = talk(6.0, seed=1)
    marks = talking_marks(said, 150)
    path = film(tmp_path / "scene.mp4", marks, sound=voice(said))
    slow = np.concatenate([np.arange(75) * 0.08, 6 + np.arange(75) * 0.04])
    track = replace(track_of(marks), times=slow, rate=FrameRate(Fraction(50, 3)))
    info = replace(synthetic_info("50/3", SIDE, SIDE), path=path)
    model = MouthModel.learn([BankSource(path, track_of(marks))], crop=CropSpec(128), most=60)
    shot = PreviewShot(info, track, model, frames_between(track, 6.9, 8.1))
    assert shot.stretch == (97, 128)
    line = Timing((), (Span("AA", 0.2, 0.6), Span("M", 0.6, 0.72), Span("AA", 0.72, 1.0)), 1.1)
    spoken: list[np.ndarray] = []

    class Listening(MouthStream):
        def say(self, timing: Timing, sound: Sound | None = None, start_s: float = 0.0) -> None:
            super().say(timing, sound, start_s)
            _, tight, _, _ = self._line.around(np.arange(*shot.stretch))
            spoken.append(tight)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("lipsync.stream.MouthStream", Listening)
        shot.render(Sound(np.zeros(8800, np.float32), 8000), line, io.BytesIO(), start_s=7.0)
    shut = slow[97 + np.flatnonzero(spoken[0])]
    inside = shut[(shut > 7.25) & (shut < 7.95)]
    assert len(inside)
    assert (inside + 0.04 > 7.6).all()
    assert (inside < 7.72).all()


def test_times_that_stand_still_or_go_back_are_borne() -> None:
    times = uneven().times.copy()
    times[20:25], times[40] = times[20], 0.1
    moved = timing_on_frames(track_at(times), saying(0.68))
    assert all(p.end_s > p.start_s for p in moved.phones)
    assert not len(sound_on_frames(track_at(times), Sound(np.zeros(0, np.float32), 8000)))


def test_the_engine_counts_frames_and_the_sound_track_does_not() -> None:
    track, timing = uneven(), saying(1.9)
    sound = Sound(np.ones(32_000, np.float32), 8000)
    job = _job(track, np.ones(N, np.bool_), timing, sound, [], 0)
    assert job.timing == timing_on_frames(track, timing) != timing
    assert job.sound is not sound
    info = synthetic_info("25")
    work = Written(info, job, object(), Path("a.mp4"), sound=sound)  # type: ignore[arg-type]
    assert work.heard is sound
