"""Where recordings are cut: at the pauses, into clips of 2 to 12 seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from align.vad import FRAME_S, speech_spans

__all__ = ["LONGEST_REGION_S", "LONGEST_S", "SHORTEST_S", "cut_at_pauses", "regions"]

Span = tuple[float, float]

SHORTEST_S, LONGEST_S = 2.0, 12.0
LONGEST_REGION_S = LONGEST_S - 0.3
_JOIN_GAP_S = 0.7  # a longer silence ends a clip
_MARGIN_S = 0.15  # silence kept around a clip
_TYPICAL_S = 8.0  # a clip this long ends at the next pause


def regions(probability: NDArray[np.float32], duration_s: float) -> list[Span]:
    """Stretches (seconds) in which somebody speaks, from the detector's frames.

    None is longer than a clip may be: longer ones are divided where they are least like
    speech, and those pieces then touch.
    """
    found: list[Span] = []
    for start, end in speech_spans(probability, duration_s):
        while end - start > LONGEST_REGION_S:
            low = int((start + 0.4 * LONGEST_REGION_S) / FRAME_S)
            high = int((start + LONGEST_REGION_S) / FRAME_S)
            cut = (low + int(np.argmin(probability[low:high])) + 0.5) * FRAME_S
            found.append((start, cut))
            start = cut
        found.append((start, end))
    return found


def cut_at_pauses(found: Sequence[Span], duration_s: float) -> tuple[list[Span], list[Span]]:
    """(clips, what is too short for one) in seconds: neighbouring regions joined."""
    joined: list[Span] = []
    for start, end in found:
        if joined and _belongs(joined[-1], start, end):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    spans: list[Span] = []
    short: list[Span] = []
    for k, (start, end) in enumerate(joined):
        before = joined[k - 1][1] if k else 0.0
        after = joined[k + 1][0] if k + 1 < len(joined) else duration_s
        span = (
            max(start - _MARGIN_S, (before + start) / 2 if k else 0.0, 0.0),
            min(end + _MARGIN_S, (after + end) / 2 if k + 1 < len(joined) else duration_s),
        )
        (short if end - start < SHORTEST_S - 2 * _MARGIN_S else spans).append(span)
    return spans, short


def _belongs(clip: Span, start: float, end: float) -> bool:
    """Whether the next region continues a clip instead of starting one."""
    gap, length = start - clip[1], clip[1] - clip[0]
    if end - clip[0] > LONGEST_S - 2 * _MARGIN_S:
        return False
    return gap <= (_JOIN_GAP_S if length < _TYPICAL_S else 0.0) or (
        min(length, end - start) < SHORTEST_S and gap <= 1.5 * _JOIN_GAP_S
    )
