"""How clear and how natural a spoken line is.

    intelligibility(sound, "Dr. King spoke in 1963.").wer     # 0 is every word understood
    naturalness(sound)                                        # DNSMOS overall, 1..5

Word error rate compares what a speech recogniser (Whisper tiny) writes with the line, both
brought to the same spoken words first, so that "1963" and "nineteen sixty three" agree.
DNSMOS: Reddy et al. 2022, "DNSMOS P.835".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from media.audio import resample
from media.errors import TextError

if TYPE_CHECKING:
    from media.audio import Sound

__all__ = ["Intelligibility", "clipped_fraction", "intelligibility", "naturalness", "spoken_form"]

_RATE = 16_000
_PAD_S = 0.4  # silence around a line for the recogniser: it misses words at the very edge
_DNSMOS_LEVEL = 0.9
_FULL_SCALE = 0.999
# The recogniser writes "3.30 p.m." for half past three.
_CLOCK = re.compile(r"\b(\d{1,2})\.(\d{2})(?=\s*[ap]\.?m\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Intelligibility:
    """`wer` (word error rate, a fraction, may pass 1), `heard` as the recogniser wrote it."""

    wer: float
    heard: str


def intelligibility(sound: Sound, text: str, language: str = "en") -> Intelligibility:
    """How much of `text` a recogniser understands in `sound`.

    Homophones count as right: words that differ on paper but have the same phones agree.
    """
    import jiwer

    heard = _recognise(sound, language)
    wanted, got = _pronounced(text), _pronounced(heard)
    if not wanted:
        return Intelligibility(0.0 if not got else 1.0, heard)
    return Intelligibility(float(jiwer.wer(" ".join(wanted), " ".join(got) or "-")), heard)


def naturalness(sound: Sound) -> float:
    """DNSMOS overall quality, 1..5, of mono sound at any rate; short lines are repeated."""
    from speechmos import dnsmos

    samples = resample(sound, _RATE).samples
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        return 1.0
    level = np.clip(samples * (_DNSMOS_LEVEL / peak), -1, 1)
    return float(dnsmos.run(level, _RATE)["ovrl_mos"])


def clipped_fraction(sound: Sound) -> float:
    """Share of samples at full scale, 0..1."""
    if not len(sound):
        return 0.0
    return float(np.mean(np.abs(sound.samples) >= _FULL_SCALE))


def spoken_form(text: str) -> str:
    """The words as spoken, lower case, without punctuation: "nineteen sixty three"."""
    from align.text import speakable

    try:
        spoken = speakable(text).spoken
    except TextError:
        return ""
    return re.sub(r"\s+", " ", re.sub(r"[^\w' ]", " ", spoken.lower())).strip()


def _pronounced(text: str) -> list[str]:
    """One token a spoken word: its phones without stress, so that homophones are equal."""
    from align.text import speakable

    try:
        script = speakable(_CLOCK.sub(r"\1:\2", text))
    except TextError:
        return []
    return ["".join(re.sub(r"\d", "", p) for p in word.phones) for word in script.words]


def _recognise(sound: Sound, language: str) -> str:
    samples = resample(sound, _RATE).samples
    pad = np.zeros(int(_PAD_S * _RATE), np.float32)
    segments, _ = _whisper().transcribe(
        np.concatenate((pad, samples, pad)),
        language=language,
        beam_size=5,
        temperature=0.0,
        condition_on_previous_text=False,
    )
    return " ".join(segment.text.strip() for segment in segments)


@cache
def _whisper() -> Any:
    from faster_whisper import WhisperModel

    from weights.registry import locate

    return WhisperModel(str(locate("whisper-tiny")), device="cpu", compute_type="int8")
