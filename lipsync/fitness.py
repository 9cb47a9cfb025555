"""Which frames of a track can have another mouth, and why the others cannot."""

from __future__ import annotations

import itertools
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from lipsync.regions import OUTER_LIPS
from lipsync.track import Absence, Doubt, FaceTrack
from media.far import pieces

__all__ = ["MIN_SCALE", "YAW_LIMIT", "Unfit", "reason_words", "settled", "unfitness"]

Flags = NDArray[np.bool_]

#: Degrees of yaw beyond which a mouth is neither replaced nor taken.
YAW_LIMIT = 35.0
#: Face height in pixels below which a mouth is too small to matter.
MIN_SCALE = 40.0

# A usable stretch between two others that is shorter than this would only flash up.
_FLASH_S = 0.2
# Nearer to its limit than this, what was beyond it is not within it again.
_YAW_BACK = 3.0


class Unfit(IntEnum):
    """Why a frame keeps its mouth."""

    FIT = 0
    ABSENT = 1
    TURNED = 2
    SMALL = 3
    LEAVING = 4
    COVERED = 5
    BLURRED = 6
    BRIEF = 7


def unfitness(
    track: FaceTrack, *, yaw_limit: float = YAW_LIMIT, min_scale: float = MIN_SCALE
) -> NDArray[np.uint8]:
    """An `Unfit` for every frame, uint8[n]; the first reason that holds.

    Unfit is a face that is not there, turned by more than `yaw_limit` degrees, less than
    `min_scale` pixels high (forehead to chin), with lips beyond the picture's edge, behind
    something, or out of focus.
    """
    result = np.zeros(len(track), np.uint8)
    with np.errstate(invalid="ignore"):
        turned = np.abs(track.pose[:, 0]) > yaw_limit
        small = track.scale < min_scale
    rules = (
        (track.doubt == Doubt.BLURRED, Unfit.BLURRED),
        (track.doubt == Doubt.COVERED, Unfit.COVERED),
        (_leaving(track), Unfit.LEAVING),
        (small, Unfit.SMALL),
        (turned, Unfit.TURNED),
        (~track.present, Unfit.ABSENT),
    )
    for holds, why in rules:
        result[holds] = why
    return result


def _leaving(track: FaceTrack) -> Flags:
    """Frames in which the lips reach the edge of the picture."""
    leaving = np.zeros(len(track), np.bool_)
    for piece in pieces(track.landmarks):
        lips = track.landmarks[piece][:, OUTER_LIPS, :2]
        with np.errstate(invalid="ignore"):
            outside = (lips < 0) | (lips > (track.width - 1, track.height - 1))
        leaving[piece] = outside.any((1, 2))
    return leaving


def settled(track: FaceTrack, unfit: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`unfit` made calm: no effect that flashes up or hangs on a limit, uint8[n].

    A face that was turned away must come back by a few degrees before it is changed again; a
    usable stretch that is over at once is left alone.
    """
    calm = unfit.copy()
    with np.errstate(invalid="ignore"):
        near = np.abs(track.pose[:, 0]) > YAW_LIMIT - _YAW_BACK
    shortest = max(2, round(_FLASH_S * float(track.rate)))
    for start, stop in _runs(track.shot):
        part = slice(start, stop)
        hanging = near[part] & (calm[part] == Unfit.FIT)
        calm[part][_touching(hanging, calm[part] == Unfit.TURNED)] = Unfit.TURNED
        free = calm[part] == Unfit.FIT
        for a, b in _runs(free):
            inside = a > 0 and b < len(free)
            if free[a] and inside and b - a < shortest:
                calm[start + a : start + b] = Unfit.BRIEF
    return calm


def _touching(flags: Flags, seeds: Flags) -> Flags:
    """Runs of `flags` that touch one of `seeds`."""
    result = np.zeros(len(flags), np.bool_)
    for a, b in _runs(flags):
        beside = (a > 0 and seeds[a - 1]) or (b < len(flags) and seeds[b])
        result[a:b] = bool(flags[a]) and beside
    return result


def _runs(values: NDArray[np.generic]) -> list[tuple[int, int]]:
    """Stretches of equal values."""
    if not len(values):
        return []
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    return list(itertools.pairwise([0, *edges.tolist(), len(values)]))


def reason_words(track: FaceTrack, index: int, why: int) -> str:
    """Why frame `index` keeps its mouth, as a user reads it."""
    if why == Unfit.ABSENT:
        return Absence(int(track.reason[index])).words
    if why in (Unfit.COVERED, Unfit.BLURRED):
        return (Doubt.COVERED if why == Unfit.COVERED else Doubt.BLURRED).words
    return {
        Unfit.TURNED: f"turned away by more than {YAW_LIMIT:.0f} degrees",
        Unfit.SMALL: "face too small",
        Unfit.LEAVING: "mouth at the edge of the picture",
        Unfit.BRIEF: "to be seen too briefly",
    }[Unfit(why)]
