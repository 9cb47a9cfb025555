"""How clear and how natural a spoken line is.

    intelligibility(sound, "Dr. King spoke in 1963.").wer     # 0 is every word understood
    naturalness(sound)                                        # DNSMOS overall, 1..5

Word error rate compares what a speech recogniser (Whisper tiny) writes with the line, both
brought to the same spoken words first, so that "1963" and "nineteen sixty three" agree.
DNSMOS: Reddy et al. 2022, "DNSMOS P.835".
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from align.recognise import segments_of
from media.audio import resample
from media.errors import TextError
from weights.once import loaded_once

if TYPE_CHECKING:
    from media.audio import Sound

__all__ = ["Intelligibility", "clipped_fraction", "intelligibility", "naturalness", "spoken_form"]

_RATE = 16_000
_PAD_S = 0.4  # silence around a line for the recogniser: it misses words at the very edge
_DNSMOS_LEVEL = 0.9
_DNSMOS_WINDOW_S = 9.01
# Raw mark of the network -> mean opinion score, as published with it.
_DNSMOS_OVERALL = (-0.06766283, 1.11546468, 0.04602535)
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
    """DNSMOS overall quality, 1..5, of mono sound at any rate; short lines are repeated.

    The numbers of the package speechmos, without the second model that it runs beside this one
    and whose mark nobody reads here, and with one of the windows over a repeated line, which
    all hold the same (the first is .02 above their mean): an eighth of the time.
    """
    samples = resample(sound, _RATE).samples
    peak = float(np.abs(samples).max(initial=0.0))
    if peak == 0.0:
        return 1.0
    level = np.clip(samples * np.float32(_DNSMOS_LEVEL / peak), -1, 1)
    window = int(_DNSMOS_WINDOW_S * _RATE)
    if len(level) < window:
        level = np.resize(level, window)
    last = int(len(level) // _RATE - _DNSMOS_WINDOW_S) + 1
    marks = []
    for start in range(0, last * _RATE, _RATE):
        piece = level[start : start + window]
        if len(piece) == window:
            raw = float(_dnsmos().run(None, {"input_1": piece[None]})[0][0][2])
            marks.append(np.polyval(_DNSMOS_OVERALL, raw))
    return float(np.mean(marks))


@loaded_once
def _dnsmos() -> Any:
    import onnxruntime

    from weights.registry import locate

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = str(locate("dnsmos") / "sig_bak_ovr.onnx")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


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
    segments = segments_of(np.concatenate((pad, samples, pad)), language)
    return " ".join(segment.text.strip() for segment in segments)
