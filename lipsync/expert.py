"""An expert for sync: how this very person's lips go with what they say and how it sounds.

    expert = SyncExpert.fit(MotionExample(timing, sound, shapes, rate))  # of the source
    late_ms, confidence = expert.offset(shapes, timing, sound, rate)     # of the result
    expert.test                                                          # how far to trust it

What SyncNet (J. Chung, A. Zisserman, "Out of time: automated lip sync in the wild", ACCV 2016)
learns from thousands of speakers, whether mouth and sound belong to the same moment, is learnt here
from one: the motion model fitted on the source predicts lips from phonemes and sound, and the
shift at which the measured lips agree with it best is the offset. Its own test is SyncNet's:
stretches that were not learnt from are put out of sync by known amounts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync.crop import LIP_FEATURES
from lipsync.motion import (
    HEIGHT,
    JAW_DROP,
    OPENING,
    WIDTH,
    MotionExample,
    MotionModel,
    in_sync,
    picture_lead,
)
from lipsync.offset import best_shift

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound
    from media.time import FrameRate

__all__ = ["ExpertTest", "SyncExpert"]

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

_NAN = float("nan")
_REACH_S = 0.48
_READ = (OPENING, WIDTH, HEIGHT, JAW_DROP)
# Its test: stretches, the hop between them, and by how much they are put out of sync.
_STRETCH_S, _HOP_S = 3.0, 1.5
_SHIFTS_S = (-0.2, -0.08, 0.0, 0.08, 0.2)
_RIGHT_MS = 40.0
_LEARNT = 2 / 3  # of the footage, for the test


@dataclass(frozen=True, slots=True)
class ExpertTest:
    """`stretches` of 3 s that were not learnt from, each put out of sync by five known amounts.

    `right`: share told to within 40 ms (SyncNet's measure); `error_ms`: mean error of all.
    """

    stretches: int
    right: float
    error_ms: float

    @property
    def words(self) -> str:
        """The test in a sentence."""
        return (
            f"the sync expert, fitted on the source, told {100 * self.right:.0f} % of "
            f"{self.stretches} held-out stretches of {_STRETCH_S:.0f} s to within "
            f"{_RIGHT_MS:.0f} ms (mean error {self.error_ms:.0f} ms)"
        )


@dataclass(frozen=True, slots=True, eq=False)
class SyncExpert:
    """See the module. `weights` of the lip features, by how well each can be predicted."""

    model: MotionModel
    weights: Doubles
    test: ExpertTest | None = None

    @classmethod
    def fit(cls, example: MotionExample, *, seed: int = 0) -> SyncExpert | None:
        """Learn from footage of the person and its own sound; None where that is too little.

        Footage whose picture runs ahead of its sound is brought into sync first.
        """
        synced = in_sync(example, picture_lead([example]))
        whole = _fitted(synced, len(synced.shapes), seed)
        if whole is None:
            return None
        learnt = round(_LEARNT * len(synced.shapes))
        part = _fitted(synced, learnt, seed)
        return whole if part is None else replace(whole, test=_tested(part, synced, learnt))

    def offset(
        self, shapes: Floats, timing: Timing, sound: Sound | None, rate: FrameRate
    ) -> tuple[float, float]:
        """(milliseconds the lips are late, confidence) of lips float32[n, 7] (`lip_shape`).

        The confidence is how much the best shift stands out: its correlation less the median of all
        shifts within half a second; below .2 the offset means little. NaN for too few frames.
        """
        wanted = self.model.predict(timing, sound, rate, len(shapes))
        return self._offset(shapes, wanted, float(rate))

    def _offset(self, shapes: Floats, wanted: Floats, rate: float) -> tuple[float, float]:
        n, reach = len(shapes), max(1, round(_REACH_S * rate))
        if n <= 3 * reach or np.isfinite(shapes[:, OPENING]).sum() < 2 * reach:
            return _NAN, _NAN
        late, scores = best_shift(shapes, wanted, self.weights, reach)
        return 1000 * late / rate, float(scores.max() - np.median(scores))


def _fitted(example: MotionExample, stop: int, seed: int) -> SyncExpert | None:
    """An expert that has seen the first `stop` frames; None where little is said in them."""
    part = replace(example, shapes=example.shapes[:stop])
    if not np.isfinite(part.shapes).all(1).any():
        return None
    model = MotionModel.fit([_cut(part)], seed=seed)
    if model.kernel is None:
        return None
    weights = np.zeros(len(LIP_FEATURES))
    weights[list(_READ)] = np.maximum(np.nan_to_num(model.held_out), 0.0)[list(_READ)] ** 2
    total = float(weights.sum())
    return SyncExpert(model, weights / total) if total > 0 else None


def _cut(example: MotionExample) -> MotionExample:
    """Sound and words no longer than the lips."""
    timing, sound = example.timing, example.sound
    end = len(example.shapes) / float(example.rate)
    if timing is not None:
        timing = replace(
            timing,
            words=tuple(w for w in timing.words if w.end_s <= end),
            phones=tuple(p for p in timing.phones if p.end_s <= end),
            duration_s=min(timing.duration_s, end),
        )
    return replace(example, timing=timing, sound=None if sound is None else sound.cut(0, end))


def _tested(expert: SyncExpert, example: MotionExample, first: int) -> ExpertTest | None:
    """The expert's own test on frames from `first` on."""
    rate, n = float(example.rate), len(example.shapes)
    errors = []
    stretches = list(_stretches(example, first))
    for shift in _SHIFTS_S if stretches else ():
        late = in_sync(example, shift)  # the sound earlier, so the lips late
        assert late.timing is not None
        wanted = expert.model.predict(late.timing, late.sound, example.rate, n)
        for stretch in stretches:
            found, _ = expert._offset(example.shapes[stretch], wanted[stretch], rate)
            if np.isfinite(found):
                errors.append(abs(found - 1000 * shift))
    if not errors:
        return None
    right = float(np.mean(np.array(errors) <= _RIGHT_MS))
    seen = len(errors) // len(_SHIFTS_S)  # in the others the face is turned away
    return ExpertTest(seen, right, float(np.mean(errors)))


def _stretches(example: MotionExample, first: int) -> Iterator[slice]:
    """Stretches in which something is said most of the time."""
    rate = float(example.rate)
    length, hop = round(_STRETCH_S * rate), max(1, round(_HOP_S * rate))
    assert example.timing is not None
    for start in range(first, len(example.shapes) - length + 1, hop):
        a, b = start / rate, (start + length) / rate
        said = sum(max(0.0, min(p.end_s, b) - max(p.start_s, a)) for p in example.timing.phones)
        if said > 0.5 * _STRETCH_S:
            yield slice(start, start + length)
