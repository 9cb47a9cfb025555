"""Clips of one tape brought into step: each has its own few milliseconds between picture and sound.

Sentences cut from a tape into files of their own begin the picture at a whole frame and the sound
where it likes; on the GRID corpus pictures lie up to 60 ms (20 ms standard deviation) off. Learnt
as they are, the lips of one clip blur those of the next. What the others teach says how each should
move, and the shift at which it does is undone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lipsync.crop import LIP_FEATURES
from lipsync.motion import HEIGHT, JAW_DROP, OPENING, WIDTH, MotionExample, MotionModel, in_sync
from lipsync.offset import best_shift

__all__ = ["MOST_S", "in_step", "own_lead"]

#: No clip is moved further than this, seconds.
MOST_S = 0.1
_REACH_S = 0.16
# Lips that agree less than this at their best say nothing about their sync.
_SURE = 0.45
_FEWEST = 8  # clips
_GROUPS, _ROUNDS = 3, 2
_SHARES = {OPENING: 0.4, WIDTH: 0.2, HEIGHT: 0.3, JAW_DROP: 0.1}


def own_lead(model: MotionModel, example: MotionExample) -> float | None:
    """Seconds by which this clip's picture runs ahead of its sound, as the model of its person has
    it, never more than `MOST_S`; None where that cannot be told.
    """
    rate, n = float(example.rate), len(example.shapes)
    reach = max(1, round(_REACH_S * rate))
    if example.timing is None or example.sound is None or n <= 3 * reach:
        return None
    expected = model.predict(example.timing, example.sound, example.rate, n)
    weights = np.zeros(len(LIP_FEATURES))
    weights[list(_SHARES)] = list(_SHARES.values())
    late, scores = best_shift(example.shapes, expected, weights, reach)
    if scores.max() < _SURE:
        return None
    return float(np.clip(-late / rate, -MOST_S, MOST_S))


def in_step(examples: Sequence[MotionExample], *, seed: int = 0) -> list[MotionExample]:
    """The examples, each moved by its own lead; those of fewer than eight clips as they are.

    A third of them is always judged by what the other two thirds teach. On average nothing moves,
    and nothing at all that does not tell its lead.
    """
    moved = list(examples)
    if len(moved) < _FEWEST:
        return moved
    total = np.zeros(len(moved))
    for _ in range(_ROUNDS):
        leads = np.full(len(moved), np.nan)
        for group in range(_GROUPS):
            others = [e for i, e in enumerate(moved) if i % _GROUPS != group]
            if not any(np.isfinite(e.shapes).all(1).any() for e in others):
                return moved
            model = MotionModel.fit(others, seed=seed, quick=True)
            if model.kernel is None:
                return list(examples)
            for i in range(group, len(moved), _GROUPS):
                lead = own_lead(model, moved[i])
                leads[i] = np.nan if lead is None else lead
        told = np.isfinite(leads)
        if not told.any():
            return moved
        total[told] += leads[told] - leads[told].mean()
        total = np.clip(total, -MOST_S, MOST_S)
        moved = [in_sync(e, float(lead)) for e, lead in zip(examples, total, strict=True)]
    return moved
