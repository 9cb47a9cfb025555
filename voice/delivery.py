"""How a line is delivered, measured: pitch, range, pace, loudness, pauses; and compared in words.

    mine = measure_delivery(take.sound)
    for difference in compare_delivery(mine, measure_delivery(actor)):
        print(difference.sentence)            # "pitch: 212 Hz against 180 Hz, 2.8 semitones higher"

Everything is measured from the sound alone, the same way for a take, an actor's guide and an old
reel. Pace counts the nuclei of syllables: peaks of the voiced level 2 dB above their dips (de Jong
and Wempe 2009, "Praat script to detect syllable nuclei").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound, resample
from media.errors import NoSpeechError

if TYPE_CHECKING:
    from voice.pitch import Floats

    Doubles = NDArray[np.float64]

__all__ = [
    "Delivery",
    "Difference",
    "compare_delivery",
    "describe_delivery",
    "mean_delivery",
    "measure_delivery",
]

_RATE = 24_000
_STEP = 300  # 12.5 ms, the step of `voice.pitch`
_SILENCE_DB = 28.0  # below the loud parts: silence between words
_LEAST_PAUSE_S = 0.15
_LEAST_SPEECH_S = 0.06
_DIP_DB = 2.0  # between two syllables
_NUCLEUS_DB = 22.0  # below the loud parts: too faint for a syllable


@dataclass(frozen=True, slots=True)
class Delivery:
    """Measures of one recording. Zero where nothing of the kind was heard.

    `f0_hz` is the median pitch, `f0_low_hz` and `f0_high_hz` its 5th and 95th percentile,
    `range_st` the distance of these in semitones, `f0_slope_st_s` how it rises or falls over a
    phrase (semitones a second). `syllables_s` is the pace without pauses, `pause_share` the
    share of the time from first to last sound that is pause, `pauses_min` pauses a minute of it,
    `pause_s` their mean length. `level_dbfs` is the speech's RMS, `dynamics_db` the spread of its
    level (10th to 90th percentile of voiced frames). `speech_s` is the time that is spoken.
    """

    f0_hz: float
    f0_low_hz: float
    f0_high_hz: float
    range_st: float
    f0_slope_st_s: float
    syllables_s: float
    pause_share: float
    pauses_min: float
    pause_s: float
    level_dbfs: float
    dynamics_db: float
    speech_s: float

    def as_dict(self) -> dict[str, float]:
        """Name -> value, rounded for a file."""
        return {name: round(float(value), 3) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two deliveries: `amount` as in the `sentence`, `word` for what is heard.

    `audible` is the amount from which a listener notices it.
    """

    measure: str
    ours: float
    theirs: float
    amount: float
    audible: float
    sentence: str
    word: str

    @property
    def notable(self) -> bool:
        """Whether a listener would hear it."""
        return self.word != "alike"


def measure_delivery(sound: Sound) -> Delivery:
    """Measure any recording in which one person speaks; noise below the speech does not matter.

    Raises `NoSpeechError` when nothing in it is voiced.
    """
    from voice.pitch import track_f0

    sound = resample(sound, _RATE)
    f0 = track_f0(sound).astype(np.float64)
    level = _levels(sound.samples, len(f0))
    voiced = f0 > 0
    if voiced.sum() < 8:
        raise NoSpeechError(
            f"no voice is heard in this sound ({float(sound.duration_s):.1f} s), so there is no "
            "delivery to measure; give a recording of speech"
        )
    loud = float(np.percentile(level[voiced], 90))
    spoken = _spoken(level, loud)
    spans = _runs(spoken)
    pauses = [(b - a) * _seconds() for (_, a), (b, _) in pairwise(spans)]
    whole = (spans[-1][1] - spans[0][0]) * _seconds()
    speech = float(spoken.sum() * _seconds())
    inside = voiced & spoken
    hz = f0[inside] if inside.sum() >= 8 else f0[voiced]
    low, middle, high = np.percentile(hz, (5, 50, 95))
    power = 10 ** (level[spoken] / 10)
    return Delivery(
        f0_hz=float(middle),
        f0_low_hz=float(low),
        f0_high_hz=float(high),
        range_st=float(12 * np.log2(high / low)),
        f0_slope_st_s=_slope(f0, spans),
        syllables_s=_syllables(level, voiced, loud) / max(speech, 0.1),
        pause_share=sum(pauses) / max(whole, 0.01),
        pauses_min=60 * len(pauses) / max(whole, 0.01),
        pause_s=float(np.mean(pauses)) if pauses else 0.0,
        level_dbfs=float(10 * np.log10(power.mean())),
        dynamics_db=float(np.subtract(*np.percentile(level[inside], (90, 10))))
        if inside.any()
        else 0.0,
        speech_s=speech,
    )


def _seconds() -> float:
    return _STEP / _RATE


def _levels(samples: Floats, count: int) -> Doubles:
    """Level in dB of 25 ms about each step, float64 [count]."""
    power = np.concatenate(([0.0], np.cumsum(samples.astype(np.float64) ** 2)))
    middle = np.arange(count) * _STEP
    first = np.clip(middle - _STEP, 0, len(samples))
    last = np.clip(middle + _STEP, 0, len(samples))
    mean = (power[last] - power[first]) / np.maximum(last - first, 1)
    return np.asarray(10 * np.log10(mean + 1e-12))


def _spoken(level: Doubles, loud: float) -> NDArray[np.bool_]:
    """Steps of speech: loud enough, short dips filled, clicks left out."""
    floor = float(np.percentile(level, 5))
    # In noise the limit stays above it: half way where there is no room for 28 dB.
    limit = max(loud - _SILENCE_DB, min(floor + 8.0, 0.5 * (floor + loud)))
    spoken = level > limit
    for value, least in ((False, _LEAST_PAUSE_S), (True, _LEAST_SPEECH_S)):
        for start, end in _runs(spoken == value):
            edge = not value and (start == 0 or end == len(spoken))
            if (end - start) * _seconds() < least and not edge:
                spoken[start:end] = not value
    return spoken if spoken.any() else level >= loud


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[start, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _syllables(level: Doubles, voiced: NDArray[np.bool_], loud: float) -> int:
    """Voiced peaks of the level that a dip of 2 dB parts from the next."""
    from scipy.signal import find_peaks

    even = np.convolve(np.maximum(level, -100), np.hanning(7)[1:-1] / 3, "same")
    peaks, _ = find_peaks(even, height=loud - _NUCLEUS_DB, prominence=_DIP_DB, distance=5)
    return int(sum(voiced[max(p - 1, 0) : p + 2].any() for p in peaks))


def _slope(f0: Doubles, spans: Sequence[tuple[int, int]]) -> float:
    """Mean trend of the pitch over phrases of at least half a second, semitones a second."""
    slopes, weights = [], []
    for start, end in spans:
        at = start + np.flatnonzero(f0[start:end] > 0)
        if len(at) < 15 or (at[-1] - at[0]) * _seconds() < 0.5:
            continue
        slopes.append(np.polyfit(at * _seconds(), 12 * np.log2(f0[at]), 1)[0])
        weights.append(len(at))
    return float(np.average(slopes, weights=weights)) if slopes else 0.0


def mean_delivery(deliveries: Iterable[Delivery]) -> Delivery:
    """One delivery for many recordings of a person, each weighed by its seconds of speech."""
    rows = list(deliveries)
    if not rows:
        raise NoSpeechError("there is no recording to measure; give at least one with speech")
    weights = [max(r.speech_s, 0.01) for r in rows]
    values = {
        name: float(np.average([asdict(r)[name] for r in rows], weights=weights))
        for name in asdict(rows[0])
    }
    return Delivery(**{**values, "speech_s": float(sum(r.speech_s for r in rows))})


# Measure, unit, scale of the difference, what a listener would hear, words for more and less.
_MEASURES = (
    ("pitch", "f0_hz", "Hz", "semitones", 1.0, "higher", "lower"),
    ("range", "range_st", "semitones", "semitones", 2.0, "livelier", "flatter"),
    ("melody", "f0_slope_st_s", "semitones/s", "semitones/s", 2.0, "rising more", "falling more"),
    ("pace", "syllables_s", "syllables/s", "%", 8.0, "faster", "slower"),
    ("pauses", "pause_share", "of the time", "of the time", 0.08, "more pauses", "fewer pauses"),
    ("level", "level_dbfs", "dBFS", "dB", 2.0, "louder", "softer"),
    ("dynamics", "dynamics_db", "dB", "dB", 3.0, "wider dynamics", "more even"),
)


def compare_delivery(ours: Delivery, theirs: Delivery) -> tuple[Difference, ...]:
    """How `ours` differs from `theirs` (a guide, the archive), measure by measure."""
    return tuple(_difference(row, ours, theirs) for row in _MEASURES)


def _difference(
    row: tuple[str, str, str, str, float, str, str], ours: Delivery, theirs: Delivery
) -> Difference:
    measure, name, unit, scale, audible, more, less = row
    a, b = float(getattr(ours, name)), float(getattr(theirs, name))
    amount = a - b
    if scale == "semitones" and unit == "Hz":
        amount = float(12 * np.log2(max(a, 1.0) / max(b, 1.0)))
    elif scale == "%":
        amount = 100 * (a / max(b, 0.1) - 1)
    word = "alike" if abs(amount) < audible else more if amount > 0 else less
    digits = {"Hz": 0, "of the time": 2}.get(unit, 1)
    verdict = word
    places = {"%": 0, "of the time": 2}.get(scale, 1)
    if word != "alike":
        verdict = f"{word} by {abs(amount):.{places}f} {scale}"
    sentence = f"{measure}: {a:.{digits}f} against {b:.{digits}f} {unit}, {verdict}"
    return Difference(measure, a, b, amount, audible, sentence, word)


def describe_delivery(differences: Iterable[Difference]) -> str:
    """What a listener would hear, as one clause: "faster, flatter, softer"; else "alike"."""
    return ", ".join(d.word for d in differences if d.notable) or "alike"
