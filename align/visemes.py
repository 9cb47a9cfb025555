"""Phones as mouth shapes: one table for every standard, and curves over time.

`viseme_of("P")` is "PBM"; `oculus("P")` is "PP"; `rhubarb("P")` is "A"; `lip_target("P")`
says how far the lips open, how wide and how round they are, whether they close, whether
the upper teeth touch the lower lip, and how high the tongue is. Phones are ARPAbet (stress
digits ignored) or IPA. `curves` turns a `Timing` into lip shapes at any frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from align.phones import ipa_to_arpabet, without_stress
from align.timing import Span, Timing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from media.time import FrameRate

__all__ = [
    "CHANNELS",
    "GLIDES",
    "GLIDES_AT",
    "LIP_TARGETS",
    "OCULUS",
    "RHUBARB",
    "SILENCE",
    "VISEMES",
    "LipTarget",
    "arpabet_of",
    "closures",
    "curves",
    "lip_target",
    "oculus",
    "rhubarb",
    "silent_frames",
    "to_rate",
    "viseme_of",
]

SILENCE = "sil"


@dataclass(frozen=True, slots=True)
class LipTarget:
    """Where the lips aim at in the middle of a phone; every number lies in 0..1.

    `opening` 0 shut, 1 a wide open "ah"; `width` 0 pursed, 0.5 at rest, 1 spread;
    `roundness` 0 flat, 1 "oo"; `closure` the lips must meet (p, b, m); `teeth` the upper
    teeth touch the lower lip (f, v); `tongue` 0 low, 1 between or behind the teeth.
    `dominance` is how much a phone insists on its shape against its neighbours.
    """

    opening: float
    width: float
    roundness: float
    closure: bool = False
    teeth: bool = False
    tongue: float = 0.0
    dominance: float = 0.5


_REST = LipTarget(0.0, 0.5, 0.0, dominance=0.8)
# viseme: phones, Oculus, Rhubarb, lip target
_TABLE: tuple[tuple[str, str, str, str, LipTarget], ...] = (
    ("PBM", "P B M", "PP", "A", LipTarget(0.0, 0.45, 0.05, closure=True, dominance=1.0)),
    ("FV", "F V", "FF", "G", LipTarget(0.12, 0.5, 0.0, teeth=True, dominance=0.9)),
    ("TH", "TH DH", "TH", "B", LipTarget(0.25, 0.5, 0.0, tongue=1.0, dominance=0.5)),
    ("TDN", "T D N", "DD", "B", LipTarget(0.22, 0.55, 0.0, tongue=0.9, dominance=0.25)),
    ("L", "L", "nn", "H", LipTarget(0.3, 0.52, 0.0, tongue=0.95, dominance=0.3)),
    ("KG", "K G NG HH", "kk", "B", LipTarget(0.28, 0.5, 0.0, tongue=0.3, dominance=0.15)),
    ("CHJ", "CH JH SH ZH", "CH", "B", LipTarget(0.2, 0.35, 0.55, tongue=0.7, dominance=0.8)),
    ("SZ", "S Z", "SS", "B", LipTarget(0.14, 0.65, 0.0, tongue=0.8, dominance=0.6)),
    ("R", "R ER", "RR", "E", LipTarget(0.3, 0.35, 0.5, tongue=0.5, dominance=0.55)),
    ("W", "W UW UH", "ou", "F", LipTarget(0.2, 0.12, 1.0, tongue=0.3, dominance=0.9)),
    ("AA", "AA AE AH AY AW", "aa", "D", LipTarget(0.9, 0.55, 0.05, tongue=0.1, dominance=0.8)),
    ("EH", "EH EY", "E", "C", LipTarget(0.55, 0.7, 0.0, tongue=0.4, dominance=0.7)),
    ("IY", "IY IH Y", "ih", "B", LipTarget(0.3, 0.85, 0.0, tongue=0.6, dominance=0.7)),
    ("AO", "AO OW OY", "oh", "E", LipTarget(0.6, 0.25, 0.75, tongue=0.2, dominance=0.85)),
)
VISEMES: tuple[str, ...] = (SILENCE, *(row[0] for row in _TABLE))

_VISEME = {p: row[0] for row in _TABLE for p in row[1].split()}
OCULUS: dict[str, str] = {p: row[2] for row in _TABLE for p in row[1].split()} | {
    "N": "nn",
    SILENCE: "sil",
}
# As Rhubarb's own animation rules have it.
RHUBARB: dict[str, str] = {p: row[3] for row in _TABLE for p in row[1].split()} | {
    "AH": "C",
    "AE": "C",
    SILENCE: "X",
}
LIP_TARGETS: dict[str, LipTarget] = {p: row[4] for row in _TABLE for p in row[1].split()} | {
    "AE": LipTarget(0.75, 0.75, 0.0, tongue=0.2, dominance=0.8),
    "AH": LipTarget(0.5, 0.52, 0.05, tongue=0.3, dominance=0.5),
    "AW": LipTarget(0.8, 0.5, 0.2, tongue=0.1, dominance=0.8),
    "UH": LipTarget(0.3, 0.3, 0.6, tongue=0.3, dominance=0.6),
    "IH": LipTarget(0.32, 0.68, 0.0, tongue=0.5, dominance=0.5),
    "HH": LipTarget(0.4, 0.5, 0.0, tongue=0.2, dominance=0.05),
    "OY": LipTarget(0.55, 0.3, 0.7, tongue=0.2, dominance=0.85),
    SILENCE: _REST,
}
# Diphthongs move: where they end, for the last part of the phone.
GLIDES = {"AY": "IH", "EY": "IH", "OY": "IH", "AW": "UH", "OW": "UH"}
GLIDES_AT = 0.6
_SILENT = frozenset({"", "sil", "SIL", "sp", "spn", "pau", "<sil>", "<eps>", "_"})

CHANNELS: tuple[str, ...] = ("opening", "width", "roundness", "closure", "teeth", "tongue")


def _arpabet(phone: str) -> str:
    """ARPAbet without stress, from ARPAbet or IPA; `SILENCE` for silence labels."""
    if phone in _SILENT:
        return SILENCE
    base = without_stress(phone)
    if base in _VISEME:
        return base
    # A phone that nobody knows moves the lips as little as a neutral vowel.
    return ipa_to_arpabet(phone) or "AH"


def viseme_of(phone: str) -> str:
    """One of `VISEMES` (14 mouth shapes and silence) for an ARPAbet or IPA phone."""
    base = _arpabet(phone)
    return SILENCE if base == SILENCE else _VISEME[base]


def oculus(phone: str) -> str:
    """The Oculus OVRLipSync viseme, one of 15.

    sil PP FF TH DD kk CH SS nn RR aa E ih oh ou.
    """
    return OCULUS[_arpabet(phone)]


def rhubarb(phone: str) -> str:
    """The Rhubarb Lip Sync / Preston Blair mouth shape: A-H, X for rest."""
    return RHUBARB[_arpabet(phone)]


def arpabet_of(phone: str) -> str:
    """The ARPAbet phone without stress that stands for `phone`; `SILENCE` for silence."""
    return _arpabet(phone)


def lip_target(phone: str) -> LipTarget:
    """The lip target of an ARPAbet or IPA phone; the rest position for silence."""
    return LIP_TARGETS[_arpabet(phone)]


def to_rate(span: Span, rate: FrameRate) -> tuple[int, int]:
    """Frames [first, last) on screen during `span`; at least one frame, exact rates."""
    first = max(0, rate.frame_at(Fraction(span.start_s)))
    last = rate.frame_at(Fraction(span.end_s) - Fraction(1, 10**9)) + 1
    return first, max(last, first + 1)


def _frame_middles(rate: FrameRate, n_frames: int) -> NDArray[np.float64]:
    step = 1.0 / float(rate)
    return np.asarray((np.arange(n_frames) + 0.5) * step, dtype=np.float64)


def closures(timing: Timing, rate: FrameRate, n_frames: int) -> NDArray[np.bool_]:
    """Frames in which the lips must be shut: bool[n_frames].

    Every p, b and m shuts at least the frame at its middle, and every further frame
    whose middle lies inside it, whatever the rate.
    """
    shut = np.zeros(n_frames, dtype=np.bool_)
    middles = _frame_middles(rate, n_frames)
    for phone in timing.phones:
        if lip_target(phone.label).closure:
            shut |= (middles >= phone.start_s) & (middles < phone.end_s)
            at = rate.frame_at(Fraction(phone.middle_s))
            if 0 <= at < n_frames:
                shut[at] = True
    return shut


def silent_frames(
    timing: Timing, rate: FrameRate, n_frames: int, at_least_s: float = 0.12
) -> NDArray[np.bool_]:
    """Frames whose middle lies in a silence of at least `at_least_s` seconds: bool[n_frames]."""
    quiet = np.zeros(n_frames, dtype=np.bool_)
    middles = _frame_middles(rate, n_frames)
    for gap in timing.silences(at_least_s):
        quiet |= (middles >= gap.start_s) & (middles < gap.end_s)
    after = timing.phones[-1].end_s if timing.phones else 0.0
    return quiet | (middles >= max(timing.duration_s, after))


def _segments(timing: Timing) -> list[tuple[float, float, LipTarget]]:
    """(start, end, target) of every phone, diphthongs in two parts, and every silence."""
    segments: list[tuple[float, float, LipTarget]] = []
    for phone in timing.phones:
        target = lip_target(phone.label)
        glide = GLIDES.get(_arpabet(phone.label))
        turn = phone.start_s + (GLIDES_AT if glide else 1.0) * phone.duration_s
        segments.append((phone.start_s, turn, target))
        if glide:
            segments.append((turn, phone.end_s, LIP_TARGETS[glide]))
    segments += [(g.start_s, g.end_s, _REST) for g in timing.silences(0.06)]
    return segments or [(0.0, max(timing.duration_s, 0.1), _REST)]


def curves(timing: Timing, rate: FrameRate, n_frames: int) -> NDArray[np.float32]:
    """Lip shapes over time: float32[n_frames, 6], columns as in `CHANNELS`, values 0..1.

    Coarticulation by dominance functions (Cohen & Massaro 1993, Modeling coarticulation in
    synthetic visual speech): every phone pulls towards its target with a weight that
    decays exponentially from its middle, and the curve is the weighted mean. Then what
    must be true is made true: frames of p, b and m are shut, silences are at rest.
    """
    middles = _frame_middles(rate, n_frames)
    total = np.full(n_frames, 1e-9)
    shape = np.zeros((n_frames, len(CHANNELS)))
    shape[:, 1] = _REST.width * 1e-9
    for start, end, t in _segments(timing):
        # Anticipation is slower than release: lips prepare early and let go fast.
        away = middles - 0.5 * (start + end)
        reach = np.where(away < 0, 0.06, 0.05) + 0.35 * (end - start)
        weight = t.dominance * np.exp(-(np.abs(away / reach) ** 1.5) * 1.5)
        values = (t.opening, t.width, t.roundness, float(t.closure), float(t.teeth), t.tongue)
        total += weight
        shape += weight[:, None] * np.asarray(values)
    shape /= total[:, None]
    shut = closures(timing, rate, n_frames)
    shape[shut, 0] = 0.0
    shape[shut, 3] = 1.0
    shape[~shut, 3] = 0.0
    quiet = silent_frames(timing, rate, n_frames) & ~shut
    shape[quiet, 0] = 0.0
    return np.clip(shape, 0.0, 1.0).astype(np.float32)
