"""How good lips are, in numbers, always beside the same numbers of the source.

    result = score_lips(track_of_result, timing, sound=line, reference=real_track)
    source = score_lips(track_of_source, its_timing, sound=its_sound)
    print(score_table({"source": source, "result": result}))

Lips are measured on a face track of the finished footage, never on what an engine says it drew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync._rest import PARTING_S
from lipsync.crop import lip_shape
from lipsync.motion import HEIGHT, OPENING, WIDTH, closed_below, silence
from lipsync.offset import best_shift

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.track import FaceTrack
    from media.audio import Sound
    from media.time import FrameRate

__all__ = [
    "LipScores",
    "PictureScores",
    "closure_rate",
    "compare_pictures",
    "score_lips",
    "score_table",
    "speech_offset",
]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]
Pixels = NDArray[np.uint8]

_NAN = float("nan")
_OFFSET_REACH_S = 0.48
#: Share of the opening's range that a tracker may read off shut lips.
SHUT_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class LipScores:
    """Scores of one clip; NaN where a number cannot be had.

    - `closure_rate`: share of all p, b and m whose lips are shut on some frame (0..1).
    - `silence_shut`: share of silent frames with the lips shut; `silence_motion`: mean
      change of the opening from frame to frame there (eye distances x 1000).
    - `opening`, `width`: correlation with the reference lips; `articulation`: spread of the
      opening against the reference's (1.0: as much movement).
    - `offset_ms`: by how much the lips come late against the sound (> 0: late), by
      cross-correlation of opening and loudness; `offset_confidence`: that correlation.
    - `flicker`: tremble of the lips from frame to frame (third difference in time of opening,
      width and height), in eye distances x 1000.
    - `frames`: frames with a face.
    """

    closure_rate: float
    silence_shut: float
    silence_motion: float
    opening: float
    width: float
    articulation: float
    offset_ms: float
    offset_confidence: float
    flicker: float
    frames: int


@dataclass(frozen=True, slots=True)
class PictureScores:
    """Pictures of mouths against the real ones: `psnr` dB, `ssim`, `sharpness` and `flicker`
    as the result's share of the real one's (1.0: equal).
    """

    psnr: float
    ssim: float
    sharpness: float
    flicker: float


def score_lips(
    track: FaceTrack,
    timing: Timing,
    *,
    sound: Sound | None = None,
    reference: FaceTrack | None = None,
    person: FaceTrack | None = None,
    shut_below: float | None = None,
    parting_s: float = PARTING_S,
) -> LipScores:
    """Scores of the lips on `track` against `timing`, which starts at its first frame.

    `reference` is the track of the real lips saying the same, frame for frame. `shut_below`
    is the opening that counts as shut for this person; without it, it is read off `person`
    (a track of them speaking: the source), the reference or the track itself. The last is
    wrong where the lips rest most of the time: their range is then the tracker's noise. Silence
    ends `parting_s` before the next phrase, where lips may part.
    """
    shapes = lip_shape(track.landmarks).astype(np.float64)
    real = lip_shape(reference.landmarks).astype(np.float64) if reference is not None else None
    if shut_below is None:
        own = shapes if real is None else real
        shown = own if person is None else lip_shape(person.landmarks)
        shut_below = closed_below(shown[:, OPENING], SHUT_SHARE)
    quiet = silence(timing, track.rate, len(track), parting_s) & np.isfinite(shapes[:, OPENING])
    steps = np.abs(np.diff(shapes[:, OPENING]))[quiet[1:] & quiet[:-1]]
    offset, confidence = (
        speech_offset(shapes[:, OPENING], sound, track.rate) if sound is not None else (_NAN, _NAN)
    )
    return LipScores(
        closure_rate=closure_rate(shapes[:, OPENING], timing, track.rate, shut_below),
        silence_shut=_mean(shapes[quiet, OPENING] <= shut_below),
        silence_motion=1000 * _mean(steps),
        opening=_likeness(shapes, real, OPENING),
        width=_likeness(shapes, real, WIDTH),
        articulation=_articulation(shapes, real),
        offset_ms=offset,
        offset_confidence=confidence,
        flicker=_flicker(shapes),
        frames=int(np.isfinite(shapes[:, OPENING]).sum()),
    )


def closure_rate(
    opening: Doubles | Floats, timing: Timing, rate: FrameRate, shut_below: float
) -> float:
    """Share of the p, b and m of `timing` with at least one shut frame; NaN without any.

    A sound counts when a frame with a face whose middle lies in it (or the one nearest its
    middle) shows it.
    """
    from align.visemes import lip_target, to_rate

    hits, total = 0, 0
    for phone in timing.phones:
        if not lip_target(phone.label).closure:
            continue
        first, last = to_rate(phone, rate)
        seen = opening[first : min(last, len(opening))]
        seen = seen[np.isfinite(seen)]
        if len(seen):
            total += 1
            hits += bool(seen.min() <= shut_below)
    return hits / total if total else _NAN


def speech_offset(opening: Doubles | Floats, sound: Sound, rate: FrameRate) -> tuple[float, float]:
    """(milliseconds the lips are late, correlation there) of lip opening against loudness.

    Cross-correlation within half a second, the peak refined by a parabola; loudness is the log
    energy between 200 and 4000 Hz around each frame. Natural speech itself gives about
    -40 ms or so: lips run ahead. Compare with the source's own.
    """
    n = len(opening)
    loud = _loudness(sound, rate, n)
    seen = np.isfinite(opening)
    if seen.sum() < 10:
        return _NAN, _NAN
    lips = np.where(seen, opening, np.nanmean(opening)).astype(np.float64)
    reach = max(1, round(_OFFSET_REACH_S * float(rate)))
    if n <= 3 * reach:
        return _NAN, _NAN
    shift, scores = best_shift(lips[:, None], loud[:, None], np.ones(1), reach)
    return 1000 * shift / float(rate), float(scores.max())


def compare_pictures(ours: Pixels, real: Pixels) -> PictureScores:
    """Scores of mouth pictures `ours` against `real`, both uint8[n, h, w, 3].

    SSIM: Wang et al., "Image quality assessment: from error visibility to structural similarity",
    IEEE TIP 13(4), 2004 (Gaussian window of 1.5 pixels, on grey). Flicker: mean energy of the
    second difference in time.
    """
    import cv2

    a, b = ours.astype(np.float32), real.astype(np.float32)
    psnr = [
        -10 * np.log10(max(float(((x - y) ** 2).mean()) / 255**2, 1e-9))
        for x, y in zip(a, b, strict=True)
    ]
    grey = [[cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in part] for part in (a, b)]
    ssim = [_ssim(x, y) for x, y in zip(*grey, strict=True)]
    sharp = [
        np.mean([float((cv2.Laplacian(x, cv2.CV_32F) ** 2).mean()) ** 0.5 for x in part])
        for part in grey
    ]
    return PictureScores(
        psnr=float(np.mean(psnr)),
        ssim=float(np.mean(ssim)),
        sharpness=float(sharp[0] / max(sharp[1], 1e-9)),
        flicker=_tremble(grey[0]) / max(_tremble(grey[1]), 1e-9),
    )


def score_table(rows: Mapping[str, LipScores]) -> str:
    """A plain-text table, one row per name, the ground truth first if given first."""
    names = [f.name for f in fields(LipScores)]
    head = ["", *(n.replace("_", " ") for n in names)]
    body = [[name, *(_number(getattr(scores, n)) for n in names)] for name, scores in rows.items()]
    widths = [max(len(r[i]) for r in [head, *body]) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i == 0 else c.rjust(w)
            for i, (c, w) in enumerate(zip(r, widths, strict=True))
        )
        for r in [head, *body]
    )


def _number(value: float | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if np.isnan(value) else f"{value:.3f}"


def _mean(values: NDArray[np.generic]) -> float:
    return float(values.mean()) if values.size else _NAN


def _correlation(a: Doubles, b: Doubles) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 else 0.0


def _likeness(shapes: Doubles, real: Doubles | None, column: int) -> float:
    """Correlation with the real lips over the frames in which both are seen."""
    if real is None:
        return _NAN
    n = min(len(shapes), len(real))
    a, b = shapes[:n, column], real[:n, column]
    both = np.isfinite(a) & np.isfinite(b)
    return _correlation(a[both], b[both]) if both.sum() > 2 else _NAN


def _articulation(shapes: Doubles, real: Doubles | None) -> float:
    if real is None:
        return _NAN
    spread = float(np.nanstd(real[:, OPENING]))
    return float(np.nanstd(shapes[:, OPENING])) / spread if spread > 1e-9 else _NAN


def _flicker(shapes: Doubles) -> float:
    """Root mean square of the third-difference residue of opening, width and height, x 1000."""
    bent = np.diff(shapes[:, (OPENING, WIDTH, HEIGHT)], n=3, axis=0) / np.sqrt(20.0)
    bent = bent[np.isfinite(bent).all(1)]
    return 1000 * float(np.sqrt((bent**2).mean())) if len(bent) else _NAN


def _loudness(sound: Sound, rate: FrameRate, n: int) -> Doubles:
    """Log energy of the speech band around the middle of each frame, float64[n]."""
    from media.audio import resample

    samples = resample(sound, 16000).samples if sound.rate != 16000 else sound.samples
    half = round(16000 / float(rate))
    middles = ((np.arange(n) + 0.5) * 16000 / float(rate)).astype(np.intp)
    padded = np.pad(samples, (half, int(middles[-1]) + 2 * half))
    frames = padded[middles[:, None] + np.arange(2 * half)]
    power = np.abs(np.fft.rfft(frames * np.hanning(2 * half), axis=1)) ** 2
    hertz = np.fft.rfftfreq(2 * half, 1 / 16000)
    energy = power[:, (hertz >= 200) & (hertz <= 4000)].sum(1)
    return np.asarray(np.log(energy + 1e-4 * max(float(energy.max()), 1e-9)))


def _ssim(a: Floats, b: Floats) -> float:
    import cv2

    def blur(x: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(x, (11, 11), 1.5), np.float32)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ma, mb = blur(a), blur(b)
    va, vb, vab = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    top = (2 * ma * mb + c1) * (2 * vab + c2)
    return float((top / ((ma * ma + mb * mb + c1) * (va + vb + c2))).mean())


def _tremble(pictures: list[Floats]) -> float:
    """Mean absolute second difference in time."""
    if len(pictures) < 3:
        return 0.0
    return float(
        np.mean(
            [
                np.abs(pictures[i - 1] - 2 * pictures[i] + pictures[i + 1]).mean()
                for i in range(1, len(pictures) - 1)
            ]
        )
    )
