"""Footage of a variable rate: what is said and heard, on the clock that counts its frames.

    said = timing_on_frames(track, timing)       # seconds at which frame i is at i / track.rate
    heard = sound_on_frames(track, sound)
    first, stop = frames_between(track, 2.0, 7.5)     # seconds of the footage

All that moves and judges lips counts frames. Where these come at irregular times their rate is an
average, and a word is not on screen at the frame that the average gives for its time: so its time
is exchanged for the place of the frame that is shown then, and the sound stretched with it.
Footage whose frames come evenly leaves both as they are.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.far import empty_far, let_go, pieces

if TYPE_CHECKING:
    from align.timing import Span, Timing
    from lipsync.track import FaceTrack
    from media.audio import Sound

__all__ = ["frames_between", "second_on_frames", "shown_at", "sound_on_frames", "timing_on_frames"]

Doubles = NDArray[np.float64]

# Of a frame: frames that miss their place by no more come evenly.
_EVEN = 0.25
_SOON_S = 1e-6  # a frame that is shown so soon is on screen already
_BLOCK = 1 << 18  # samples worked on at once


def timing_on_frames(track: FaceTrack, timing: Timing, start_s: float = 0.0) -> Timing:
    """`timing` on the clock that counts frames; it begins at second `start_s` of the footage, and
    there at the second that `second_on_frames` gives for it.
    """
    clocks = _clocks(track)
    if clocks is None:
        return timing
    shown, counted = clocks
    origin = _exchanged(np.array(start_s), shown, counted)

    def moved(spans: tuple[Span, ...]) -> tuple[Span, ...]:
        times = np.array([(s.start_s, s.end_s) for s in spans]).reshape(-1, 2)
        there = (_exchanged(start_s + times, shown, counted) - origin).tolist()
        return tuple(replace(s, start_s=a, end_s=b) for s, (a, b) in zip(spans, there, strict=True))

    end = _exchanged(np.array(start_s + timing.duration_s), shown, counted)
    words, phones, notes = (moved(s) for s in (timing.words, timing.phones, timing.notes))
    return replace(timing, words=words, phones=phones, notes=notes, duration_s=float(end - origin))


def sound_on_frames(track: FaceTrack, sound: Sound, start_s: float = 0.0) -> Sound:
    """`sound` on the same clock, from `start_s` on as a timing: for engines, not for ears."""
    clocks = _clocks(track)
    if clocks is None or not len(sound):
        return sound
    shown, counted = clocks
    ends = np.array([start_s, start_s + float(sound.duration_s)])
    origin, end = _exchanged(ends, shown, counted).tolist()
    samples = empty_far((ceil((end - origin) * sound.rate),), np.float32)
    for piece in pieces(samples, _BLOCK):
        here = origin + np.arange(piece.start, piece.stop) / sound.rate
        at = (_exchanged(here, counted, shown) - start_s) * sound.rate
        first = min(max(int(at[0]), 0), len(sound) - 1)
        near = sound.samples[first : int(at[-1]) + 2]
        samples[piece] = np.interp(at - first, np.arange(len(near)), near, right=0.0)
        let_go(sound.samples)
    return replace(sound, samples=samples)


def second_on_frames(track: FaceTrack, at_s: float) -> float:
    """Second `at_s` of the footage on the clock that counts its frames."""
    clocks = _clocks(track)
    return at_s if clocks is None else float(_exchanged(np.array(at_s), *clocks))


def shown_at(track: FaceTrack, frame: int) -> float:
    """The second of the footage at which `frame` is shown; by the rate where frames come evenly."""
    even = _clocks(track) is None or not 0 <= frame < len(track)
    return float(track.rate.time_of(frame)) if even else float(track.times[frame])


def frames_between(track: FaceTrack, start_s: float, end_s: float) -> tuple[int, int]:
    """The frame that is on screen at second `start_s` of the footage (never before the first), and
    the one after that of `end_s`, as far as there are any.
    """
    first, last = (_on_screen(track, max(s, 0.0) + _SOON_S) for s in (start_s, end_s))
    return first, min(last + 1, len(track))


def _on_screen(track: FaceTrack, at_s: float) -> int:
    """The frame that is shown at second `at_s`: where they come unevenly the last one stays."""
    if _clocks(track) is None:
        return track.rate.frame_at(at_s)
    # Asked of the times themselves: `_clocks` moves them by more than `_SOON_S` in long footage.
    return max(int(np.searchsorted(np.maximum.accumulate(track.times), at_s, "right")) - 1, 0)


def _clocks(track: FaceTrack) -> tuple[Doubles, Doubles] | None:
    """When each frame of n is shown and the last one ends, float64[n + 1] seconds, and the same by
    their number and the rate; None where frames come evenly.
    """
    step = 1 / float(track.rate)
    counted = (np.arange(len(track) + 1) * step).astype(np.float64)
    if not len(track) or np.abs(track.times - counted[:-1]).max() <= _EVEN * step:
        return None
    shown: Doubles = np.append(track.times, track.times[-1] + step)
    # Times of damaged files stand still, or go back.
    return np.asarray(np.maximum.accumulate(shown) + 1e-9 * np.arange(len(shown))), counted


def _exchanged(at: Doubles, here: Doubles, there: Doubles) -> Doubles:
    """Times `at` of one clock on the other; before the first frame and behind the last both run on
    alike.
    """
    beyond = np.minimum(at - here[0], 0) + np.maximum(at - here[-1], 0)
    return np.asarray(np.interp(at, here, there) + beyond)
