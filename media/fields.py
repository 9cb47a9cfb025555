"""Is footage interlaced? Seen in the pictures, because the flag is often wrong.

Half the lines of an interlaced picture show a later moment, so what moves has teeth: lines
differ more from their neighbours than from the next but one. Telecined film shows them in
two pictures of every five. Flags lie both ways (progressive film in an interlaced stream is
the rule in broadcasting; re-encoded fields have none), so they are not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from media.colour import bit_depth, planes
from media.errors import MediaError
from media.footage import FootageInfo

__all__ = ["Scan", "combing", "refuse_interlaced", "scan_of"]

Scan = Literal["progressive", "interlaced", "telecined"]

# Pictures in a row that are looked at, and at how many places of the footage.
_RUN, _PLACES = 11, 3
# Teeth: mean difference of neighbouring lines against that of the next but one.
_TEETH = 1.25
# What must move (share of the pixels, code values of 8 bits), or nothing can be told.
_LEAST_MOTION, _MOVED = 0.004, 14
_REMEDY = {
    "interlaced": "deinterlace it first, for example: ffmpeg -i IN -vf bwdif=mode=send_frame "
    "-c:v prores_ks -profile:v 3 -c:a copy OUT.mov",
    "telecined": "take the telecine out first, for example: ffmpeg -i IN -vf "
    "fieldmatch,decimate -c:v prores_ks -profile:v 3 -c:a copy OUT.mov",
}


def combing(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> float | None:
    """How much more lines differ from their neighbours than from the next but one, where the
    picture moves; below 1 in progressive pictures. None where too little moves.

    `before` and `now` are luma uint8[h, w] of two pictures in a row.
    """
    a, b = before.astype(np.int16), now.astype(np.int16)
    moving = np.abs(b - a)[2:-2] > _MOVED
    if moving.mean() < _LEAST_MOTION:
        return None
    near = np.abs(2 * b[2:-2] - b[1:-3] - b[3:-1])
    far = np.abs(2 * b[2:-2] - b[:-4] - b[4:])
    return float((near[moving].sum() + 1.0) / (far[moving].sum() + 1.0))


def scan_of(info: FootageInfo) -> Scan:
    """What the pictures of some footage look like, from three short runs of them."""
    runs = [_run(info, start) for start in _starts(info)]
    known = [flag for run in runs for flag in run if flag is not None]
    teeth = sum(known)
    if len(known) < 4 or teeth < max(2, 0.15 * len(known)):
        return "progressive"
    moving = [run for run in runs if any(flag is not None for flag in run)]
    return "telecined" if all(_is_telecine(run) for run in moving) else "interlaced"


def refuse_interlaced(info: FootageInfo) -> None:
    """Raise `MediaError` with the remedy when the pictures are not whole."""
    scan = scan_of(info)
    if scan != "progressive":
        raise MediaError(
            f"'{info.path}' is {scan}: moving things have teeth, and a new mouth would lie between "
            f"two moments; {_REMEDY[scan]}"
        )


def _starts(info: FootageInfo) -> list[int]:
    if not info.frames or info.frames <= _PLACES * _RUN:
        return [0]
    return [round(info.frames * (i + 0.5) / _PLACES) for i in range(_PLACES)]


def _run(info: FootageInfo, start: int) -> list[bool | None]:
    """For each picture of a run but the first: has it teeth? None where nothing moves."""
    from media.reader import read_pictures

    flags: list[bool | None] = []
    last: NDArray[np.uint8] | None = None
    for picture in read_pictures(info.path, start, start + _RUN):
        parts = planes(picture.stored)
        if parts is None:
            return []
        shift = bit_depth(picture.stored.format.name) - 8
        # A strip of the columns is enough; lines must stay whole.
        luma = parts[0][:, :: max(1, parts[0].shape[1] // 480)]
        now = (luma >> shift).astype(np.uint8) if shift else luma.copy()
        if last is not None and last.shape == now.shape:
            teeth = combing(last, now)
            flags.append(None if teeth is None else teeth > _TEETH)
        last = now
    return flags


def _is_telecine(run: Sequence[bool | None]) -> bool:
    """Two of five in a row, always the same two."""
    seen: dict[int, set[bool]] = {}
    for at, flag in enumerate(run):
        if flag is not None:
            seen.setdefault(at % 5, set()).add(flag)
    clear = [places.pop() for places in seen.values() if len(places) == 1]
    return len(clear) == len(seen) and 0 < sum(clear) <= 2
