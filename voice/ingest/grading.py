"""How good a clip is, A to D, and when it cannot be used at all; with the reasons.

The grade is the worst of its measures': a clip is as good as what is wrong with it. The limits
are those at which a fitted voice begins to suffer, not those of taste.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLIPPED_LIMIT", "GRADES", "LEAST_CONFIDENCE", "LEAST_SNR_DB", "Marks", "grade", "unfit"]

GRADES = "ABCD"
LEAST_CONFIDENCE = 0.40  # mean token probability; whisper's own limit is exp(-1) = .37
CLIPPED_LIMIT = 2e-3  # share of samples at full scale beyond which a clip is spoilt
LEAST_SNR_DB = 6.0
_CHARACTERS_A_SECOND = (4.0, 28.0)  # of a transcript that can belong to the sound
_CONFIDENCE = (0.75, 0.62, 0.5)
_SNR_DB = (25.0, 17.0, 11.0)
_CLIPPED = (1e-5, 2e-4, 1e-3)
_BAND_HZ = (6_500.0, 4_200.0, 2_800.0)
_DIRECT_DB = (4.0, 0.0, -4.0)


@dataclass(frozen=True, slots=True)
class Marks:
    """What a clip is graded by; None is not measured.

    `confidence` of the words 0..1, `snr_db`, `clipped` share of samples, `bandwidth_hz`, and
    `direct_db`, the voice above its reverberation.
    """

    text: str
    duration_s: float
    confidence: float
    snr_db: float
    clipped: float
    bandwidth_hz: float | None = None
    direct_db: float | None = None


def unfit(marks: Marks) -> str | None:
    """The reason a clip cannot be used, or None."""
    if not marks.text.strip():
        return "no words recognised"
    if marks.clipped > CLIPPED_LIMIT:
        return "clipped"
    if marks.snr_db < LEAST_SNR_DB:
        return f"speech less than {LEAST_SNR_DB:.0f} dB above the noise"
    if marks.confidence < LEAST_CONFIDENCE:
        return "the words are not clear (mumbled, noisy, or another language than English)"
    low, high = _CHARACTERS_A_SECOND
    if not low <= len(marks.text) / max(marks.duration_s, 0.1) <= high:
        return "the words do not fit the length of the sound"
    return None


def grade(marks: Marks) -> tuple[str, tuple[str, ...]]:
    """(A to D, why it is not better)."""
    found = [
        (_below(marks.confidence, _CONFIDENCE), f"words sure to {marks.confidence:.2f} only"),
        (_below(marks.snr_db, _SNR_DB), f"{marks.snr_db:.0f} dB above the noise"),
        (sum(marks.clipped > limit for limit in _CLIPPED), f"clipped ({marks.clipped:.2%})"),
    ]
    if marks.bandwidth_hz is not None:
        band = f"nothing above {marks.bandwidth_hz / 1000:.1f} kHz"
        found.append((_below(marks.bandwidth_hz, _BAND_HZ), band))
    if marks.direct_db is not None:
        found.append((_below(marks.direct_db, _DIRECT_DB), "a reverberant room"))
    worst = max(level for level, _ in found)
    return GRADES[worst], tuple(why for level, why in found if level == worst and worst)


def _below(value: float, limits: tuple[float, ...]) -> int:
    return sum(value < limit for limit in limits)
