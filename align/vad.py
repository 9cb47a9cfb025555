"""Where somebody speaks: silero-vad (MIT), with NumPy alone (`align._silero`).

`speech_probability` gives one number per 32 ms; `speech_spans` turns them into stretches
of speech; `pieces_at_pauses` cuts long sounds where it is quiet.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from align._silero import FRAME, Detector, State, read_detector
from media.errors import NoSpeechError
from weights.once import loaded_once

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from media.audio import Sound

__all__ = [
    "BLOCK_S",
    "FRAME_S",
    "pieces_at_pauses",
    "probabilities",
    "require_speech",
    "speech_probability",
    "speech_spans",
]

RATE = 16000
FRAME_S = FRAME / RATE
# A whole number of frames, whatever the rate.
BLOCK_S = 12
_SPEAKS = 0.5
_QUIET = 0.35
_SHORTEST_PAUSE_S = 0.25
_SHORTEST_SPEECH_S = 0.1
_MARGIN_S = 0.06
# Less than this in all is a click or a chance, not a word.
_LEAST_SPEECH_S = 0.16
# Of the length of a piece: no pause before that is cut at.
_LEAST_SHARE = 0.4


@loaded_once
def _detector() -> Detector:
    from align._weights import silero_path

    return read_detector(silero_path())


def speech_probability(sound: Sound) -> NDArray[np.float32]:
    """Probability of speech in each 32 ms frame of `sound`: float32[ceil(duration / 0.032)].

    Works through the sound block by block, so memory does not grow with its length.
    """
    block = sound.rate * BLOCK_S
    count = max(len(sound.samples), 1)
    parts = (sound.samples[at : at + block] for at in range(0, count, block))
    return probabilities(type(sound)(part, sound.rate) for part in parts)


def probabilities(blocks: Iterable[Sound]) -> NDArray[np.float32]:
    """`speech_probability` of consecutive blocks of `BLOCK_S` seconds (the last may be shorter)."""
    from align.recording import at_speech_rate

    state = State.silent()
    found = [np.zeros(0, np.float32)]
    for block in blocks:
        part = at_speech_rate(block).samples
        if len(part):
            odds, state = _detector()(np.pad(part, (0, -len(part) % FRAME)), state)
            found.append(odds)
    return np.concatenate(found)


def speech_spans(
    probability: NDArray[np.float32], duration_s: float
) -> tuple[tuple[float, float], ...]:
    """Stretches of speech in seconds, widened by a small margin, pauses over 0.25 s kept.

    Starts above 0.5 and ends below 0.35 (hysteresis), as silero's authors recommend.
    """
    spans: list[list[float]] = []
    speaking = False
    for index, value in enumerate(probability):
        time = index * FRAME_S
        if not speaking and value >= _SPEAKS:
            speaking = True
            if spans and time - spans[-1][1] < _SHORTEST_PAUSE_S:
                continue
            spans.append([time, time])
        elif speaking and value < _QUIET:
            speaking = False
        if speaking:
            spans[-1][1] = time + FRAME_S
    return tuple(
        (max(0.0, a - _MARGIN_S), min(duration_s, b + _MARGIN_S))
        for a, b in spans
        if b - a >= _SHORTEST_SPEECH_S and a < duration_s
    )


def require_speech(spans: tuple[tuple[float, float], ...], duration_s: float) -> None:
    """Raise `NoSpeechError` when `spans` hold too little to be even one word."""
    if sum(b - a - 2 * _MARGIN_S for a, b in spans) < _LEAST_SPEECH_S:
        raise NoSpeechError(
            f"nobody speaks in this sound ({duration_s:.1f} s); choose a recording of speech"
        )


def pieces_at_pauses(
    spans: tuple[tuple[float, float], ...],
    duration_s: float,
    probability: NDArray[np.float32],
    longest_s: float = 20.0,
    usual_s: float | None = None,
) -> tuple[tuple[float, float], ...]:
    """Cut the whole sound into pieces of at most about `longest_s`, in the middles of pauses.

    The pieces cover the sound from 0 to `duration_s`; of the pauses between 0.4 and 1 times
    `usual_s` (None, `longest_s`) after the last cut the longest is chosen, without any there the
    longest one up to `longest_s`; speech without pauses is cut at the frame least like speech.
    """
    pauses = [(b, a) for (_, b), (a, _) in pairwise(spans)]
    lengths = sorted({min(usual_s or longest_s, longest_s), longest_s})
    cuts = [0.0]
    while duration_s - cuts[-1] > longest_s or (
        duration_s - cuts[-1] > lengths[0] and _longest(pauses, cuts[-1], lengths[0])
    ):
        found = [p for p in (_longest(pauses, cuts[-1], most) for most in lengths) if p]
        cuts.append(0.5 * sum(found[0]) if found else _quietest(probability, cuts[-1], longest_s))
    return tuple(zip(cuts, [*cuts[1:], duration_s], strict=True))


def _longest(
    pauses: list[tuple[float, float]], after: float, most: float
) -> tuple[float, float] | None:
    """The longest pause whose middle ends a piece that begins at `after`, if there is any."""
    low, high = after + _LEAST_SHARE * most, after + most
    inside = [p for p in pauses if low <= 0.5 * (p[0] + p[1]) <= high]
    return max(inside, key=lambda p: p[1] - p[0], default=None)


def _quietest(probability: NDArray[np.float32], after: float, most: float) -> float:
    """Where in the same stretch somebody speaks least."""
    low, high = after + _LEAST_SHARE * most, after + most
    first, last = int(low / FRAME_S), max(int(high / FRAME_S), int(low / FRAME_S) + 1)
    return (first + int(np.argmin(probability[first:last])) + 0.5) * FRAME_S
