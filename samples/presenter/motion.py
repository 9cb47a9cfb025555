"""How the presenter moves: the mouth from the phones, the rest from the sound and chance.

The mouth is blended from one target per phone with the dominance functions of Cohen &
Massaro (1993): inside its span a phone rules, outside its influence fades. Lip closures
(p, b, m and silence) are not blended away: they are a channel of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from samples.presenter.geometry import Pose

Array = NDArray[np.float64]

RATE = Fraction(24000, 1001)

CHANNELS = (
    "jaw", "funnel", "pucker", "stretch", "smile", "upper", "lower", "roll", "lift", "out",
)  # fmt: skip
# phone: targets by channel; jaw 1 = wide open, lift and out are mm of the tongue's tip.
TARGETS: dict[str, dict[str, float]] = {
    "AA": {"jaw": 0.41},
    "AE": {"jaw": 0.37, "stretch": 0.30, "upper": 0.18, "lower": 0.15},
    "AH": {"jaw": 0.27},
    "AO": {"jaw": 0.30, "funnel": 0.45, "pucker": 0.10},
    "EH": {"jaw": 0.23, "stretch": 0.20, "lower": 0.15},
    "ER": {"jaw": 0.13, "funnel": 0.38, "pucker": 0.25, "lift": 3},
    "IH": {"jaw": 0.14, "stretch": 0.25, "upper": 0.08, "lower": 0.15},
    "IY": {"jaw": 0.10, "stretch": 0.48, "smile": 0.18, "upper": 0.10, "lower": 0.22},
    "UH": {"jaw": 0.14, "funnel": 0.35, "pucker": 0.35},
    "UW": {"jaw": 0.09, "funnel": 0.30, "pucker": 0.80},
    "W": {"jaw": 0.06, "funnel": 0.20, "pucker": 0.95},
    "Y": {"jaw": 0.09, "stretch": 0.35, "lower": 0.15},
    "R": {"jaw": 0.11, "funnel": 0.40, "pucker": 0.30, "lift": 3},
    "L": {"jaw": 0.15, "lower": 0.12, "lift": 6, "out": 8},
    "P": {"jaw": 0.04}, "B": {"jaw": 0.05}, "M": {"jaw": 0.04},
    "F": {"jaw": 0.035, "roll": 0.75, "upper": 0.38},
    "V": {"jaw": 0.045, "roll": 0.65, "upper": 0.34},
    "TH": {"jaw": 0.12, "lower": 0.18, "lift": 4, "out": 19},
    "DH": {"jaw": 0.12, "lower": 0.18, "lift": 3.5, "out": 17},
    "T": {"jaw": 0.075, "stretch": 0.10, "lower": 0.16, "upper": 0.06, "lift": 7},
    "D": {"jaw": 0.085, "stretch": 0.10, "lower": 0.16, "upper": 0.06, "lift": 7},
    "N": {"jaw": 0.085, "stretch": 0.08, "lower": 0.12, "lift": 7},
    "S": {"jaw": 0.04, "stretch": 0.28, "lower": 0.28, "upper": 0.16, "lift": 4},
    "Z": {"jaw": 0.045, "stretch": 0.25, "lower": 0.28, "upper": 0.14, "lift": 4},
    "SH": {"jaw": 0.055, "funnel": 0.75, "pucker": 0.15, "lower": 0.10, "upper": 0.10},
    "ZH": {"jaw": 0.055, "funnel": 0.70, "pucker": 0.15, "lower": 0.10, "upper": 0.10},
    "CH": {"jaw": 0.055, "funnel": 0.75, "pucker": 0.15, "lower": 0.10, "upper": 0.10},
    "JH": {"jaw": 0.055, "funnel": 0.70, "pucker": 0.15, "lower": 0.10, "upper": 0.10},
    "K": {"jaw": 0.11}, "G": {"jaw": 0.11}, "NG": {"jaw": 0.10}, "HH": {"jaw": 0.14},
}  # fmt: skip
GLIDES = {"AW": ("AA", "UH"), "AY": ("AA", "IH"), "EY": ("EH", "IY"), "OW": ("AO", "UW"),
          "OY": ("AO", "IH")}  # fmt: skip
WEAK = frozenset(["K", "G", "NG", "HH", "T", "D", "N", "L"])
STRONG = frozenset(["P", "B", "M", "F", "V", "W", "UW", "SH", "CH", "JH", "ZH"])
CLOSED = frozenset(["P", "B", "M"])
PAUSE_S = 0.10


@dataclass(frozen=True)
class Phone:
    """An ARPAbet phone without stress and when it sounds, seconds."""

    label: str
    start: float
    end: float


def _segments(phones: Sequence[Phone], length: float) -> list[tuple[str, float, float]]:
    """Phones with diphthongs in two parts and pauses as "SIL"."""
    out: list[tuple[str, float, float]] = []
    at = 0.0
    for phone in phones:
        if phone.start - at >= PAUSE_S:
            out.append(("SIL", at, phone.start))
        if phone.label in GLIDES:
            split = phone.start + 0.55 * (phone.end - phone.start)
            first, second = GLIDES[phone.label]
            out += [(first, phone.start, split), (second, split, phone.end)]
        else:
            out.append((phone.label, phone.start, phone.end))
        at = phone.end
    if length - at > 0.02:
        out.append(("SIL", at, length))
    return out


def mouth_curves(phones: Sequence[Phone], length: float, times: Array) -> dict[str, Array]:
    """Each of `CHANNELS` and "seal" (0..1) at `times` (seconds)."""
    segments = _segments(phones, length)
    total = np.full(len(times), 1e-9)
    sums = {c: np.zeros(len(times)) for c in CHANNELS}
    for label, start, end in segments:
        ahead, behind = np.clip(start - times, 0, None), np.clip(times - end, 0, None)
        reach = 0.052 if label in STRONG else 0.040
        weight = 0.22 if label in WEAK else 1.0
        if label == "SIL":
            weight = 1.2
        inside = (times >= start) & (times <= end)
        # A long phone insists on its middle, a short one only leans towards it.
        rule = weight * np.exp(-((ahead / reach) ** 1.3) - (behind / reach) ** 1.3)
        rule *= np.where(inside, 1.0, 0.6)
        total += rule
        for channel, value in TARGETS.get(label, {}).items():
            sums[channel] += rule * value
    curves = {c: s / total for c, s in sums.items()}
    curves["seal"] = seal_curve(segments, times)
    return curves


def seal_curve(segments: Sequence[tuple[str, float, float]], times: Array) -> Array:
    """1 through every p, b, m and pause, eased in and out beside them."""
    seal = np.zeros(len(times))
    for label, start, end in segments:
        if label not in CLOSED and label != "SIL":
            continue
        closing, opening = (0.055, 0.050) if label in CLOSED else (0.070, 0.060)
        if label == "SIL":
            start = start if start > 0 else -1.0
        else:
            start, end = start - 0.012, end + 0.008
        up = np.clip((times - (start - closing)) / closing, 0, 1)
        down = np.clip(((end + opening) - times) / opening, 0, 1)
        ease = np.minimum(up, down)
        seal = np.maximum(seal, ease * ease * (3 - 2 * ease))
    return seal


def _wander(rng: np.random.Generator, count: int, seconds: float, size: float) -> Array:
    """Smooth random motion of standard deviation `size`."""
    raw = rng.standard_normal(count + 400)
    smooth = ndimage.gaussian_filter1d(raw, seconds * float(RATE))[200:-200]
    return np.asarray(size * smooth / smooth.std())


def _blinks(
    rng: np.random.Generator, segments: Sequence[tuple[str, float, float]], times: Array
) -> Array:
    """Lid closure 0..1: now and then, and preferably in pauses."""
    starts = [s + 0.05 for label, s, e in segments if label == "SIL" and e - s > 0.25][::2]
    at = 1.1
    while at < times[-1]:
        if all(abs(at - s) > 1.3 for s in starts):
            starts.append(at)
        at += rng.uniform(2.2, 4.6)
    lid = np.zeros(len(times))
    for start in starts:
        lid = np.maximum(lid, np.interp(times - start, [0, 0.075, 0.115, 0.275], [0, 1, 1, 0]))
    return lid


def perform(
    phones: Sequence[Phone], sound: NDArray[np.float32], rate: int, seed: int = 1962
) -> list[Pose]:
    """A pose for every picture of the sound (sampled in the middle of its time)."""
    length = len(sound) / rate
    count = int(np.floor(length * float(RATE)))
    times = np.asarray((np.arange(count) + 0.5) / float(RATE), np.float64)
    rng = np.random.default_rng(seed)
    mouth = mouth_curves(phones, length, times)
    segments = _segments(phones, length)
    loud = _loudness(sound, rate, times)
    stress = np.clip(loud - ndimage.gaussian_filter1d(loud, 20), 0, None)
    stress = ndimage.gaussian_filter1d(stress / max(stress.max(), 1e-6), 2.0)
    talking = ndimage.gaussian_filter1d((mouth["seal"] < 0.5).astype(float), 12)
    yaw = _wander(rng, count, 0.9, 2.6) + _wander(rng, count, 0.28, 0.5) * talking
    pitch = _wander(rng, count, 0.8, 1.2) - 5.5 * stress + 0.8 - 0.8 * talking
    roll = _wander(rng, count, 1.1, 1.2) + 0.15 * yaw
    sway = np.stack([_wander(rng, count, 1.4, 2.2) + 0.5 * yaw, _wander(rng, count, 1.2, 0.8)], 1)
    brow = np.clip(_wander(rng, count, 0.45, 0.18) + 1.5 * stress, 0, 0.7)
    frown = np.clip(_wander(rng, count, 0.7, 0.12) - 0.05, 0, 0.4)
    blink = _blinks(rng, segments, times)
    saccade = np.stack([_jumps(rng, times, 1.5), _jumps(rng, times, 0.8)], 1)
    return [
        _pose(
            {c: float(v[i]) for c, v in mouth.items()}, float(blink[i]), float(brow[i]),
            float(frown[i]), (float(yaw[i]), float(pitch[i]), float(roll[i])),
            (float(saccade[i, 0]), float(saccade[i, 1])),
            0.5 + 0.5 * float(np.sin(times[i] * 2 * np.pi / 3.6)),
            (float(sway[i, 0]), float(sway[i, 1])), float(talking[i]),
        )
        for i in range(count)
    ]  # fmt: skip


def _loudness(sound: NDArray[np.float32], rate: int, times: Array) -> Array:
    window = int(0.12 * rate)
    energy = ndimage.uniform_filter1d(sound.astype(np.float64) ** 2, window)
    at = np.clip((times * rate).astype(int), 0, len(sound) - 1)
    return np.asarray(np.sqrt(np.maximum(energy[at], 0)))


def _jumps(rng: np.random.Generator, times: Array, size: float) -> Array:
    """Small sudden changes of gaze, held between."""
    out = np.zeros(len(times))
    at, value = 0.0, 0.0
    while at < times[-1]:
        hold = rng.uniform(0.5, 1.8)
        value = rng.normal(0, size) if rng.random() < 0.7 else 0.0
        out[(times >= at) & (times < at + hold)] = value
        at += hold
    return out


def _pose(
    m: dict[str, float], blink: float, brow: float, frown: float,
    turn: tuple[float, float, float], gaze: tuple[float, float], breath: float,
    sway: tuple[float, float], talking: float,
) -> Pose:  # fmt: skip
    """Channels to face units."""
    smile = m["smile"] + 0.10 + 0.06 * (1 - talking)
    up, down = max(gaze[1], 0) / 12, max(-gaze[1], 0) / 12
    lid = min(0.12 + 0.95 * blink, 1.0)
    jaw = m["jaw"] * (1 - 0.6 * m["seal"])  # the jaw follows the lips that close
    shapes = {"jawOpen": jaw, "mouthFunnel": m["funnel"], "mouthPucker": m["pucker"],
              "mouthRollLower": m["roll"], "browInnerUp": 0.7 * brow}  # fmt: skip
    for side in ("Left", "Right"):
        shapes |= {
            f"mouthStretch{side}": 0.75 * m["stretch"],
            f"mouthSmile{side}": smile,
            f"mouthUpperUp{side}": m["upper"],
            f"mouthLowerDown{side}": m["lower"],
            f"eyeBlink{side}": lid,
            f"eyeSquint{side}": 0.12 + 0.3 * m["smile"],
            f"eyeLookUp{side}": up,
            f"eyeLookDown{side}": down,
            f"browOuterUp{side}": brow,
            f"browDown{side}": frown,
        }
    # The eyes stay on the lens while the head moves.
    look = (gaze[0] - turn[0], gaze[1] + turn[1])
    return Pose(
        shapes=shapes, seal=m["seal"], tongue_lift=m["lift"], tongue_out=m["out"], gaze=look,
        turn=turn, breath=breath, sway=sway,
    )  # fmt: skip
