"""What is drawn under the picture: the outline of a sound, and its words and phones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from align.timing import Span, Timing
from media.errors import AlignError, MediaError
from studio.screening.desk import stamp_of

__all__ = ["moved", "outline", "read_take_timing", "rows_of"]

_A_SECOND = 400  # points of outline
_MOST = 60_000  # points; beyond it the outline gets coarser


def outline(path: Path) -> dict[str, Any]:
    """The loudest and lowest sample of each slice, -127..127, and the slices in a second.

    Raises `MediaError` when the file cannot be read as sound.
    """
    return _outline(path, stamp_of(path))


@lru_cache(maxsize=64)
def _outline(path: Path, stamp: str) -> dict[str, Any]:
    import numpy as np

    from media.audio import read_sound

    del stamp  # part of the key alone
    sound = read_sound(path)
    n = len(sound)
    per_second = min(_A_SECOND, max(1, int(_MOST * sound.rate / max(n, 1))))
    step = max(1, sound.rate // per_second)
    padded = np.pad(sound.samples, (0, -n % step))
    slices = np.rint(np.clip(padded, -1, 1).reshape(-1, step) * 127).astype(int)
    return {
        "perSecond": sound.rate / step,
        "duration": float(sound.duration_s),
        "high": slices.max(1).tolist() if n else [],
        "low": slices.min(1).tolist() if n else [],
    }


def read_take_timing(path: Path) -> Timing:
    """The words and phones that lie beside a take, in either JSON that is written here.

    Raises `AlignError` or `MediaError` when they cannot be read.
    """
    return _timing(path, stamp_of(path))


@lru_cache(maxsize=512)
def _timing(path: Path, stamp: str) -> Timing:
    from align.formats import read_timing

    del stamp
    if path.suffix.lower() != ".json":
        return read_timing(path)
    try:
        facts = json.loads(path.read_text("utf-8"))
        if facts.get("format") == "wildline-timing":
            return read_timing(path)
        words, phones = (
            tuple(Span(str(r["label"]), float(r["start_s"]), float(r["end_s"])) for r in rows)
            for rows in (facts["words"], facts["phones"])
        )
        return Timing(words, phones, float(facts["duration_s"]), "exact")
    except OSError as error:
        raise MediaError(f"cannot read '{path}': {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise AlignError(f"'{path.name}' holds no words and phones; make the take anew") from error


def rows_of(timing: Timing) -> dict[str, Any]:
    """A timing for the page: [label, start s, end s] each."""
    return {
        "words": [[s.label, s.start_s, s.end_s] for s in timing.words],
        "phones": [[s.label, s.start_s, s.end_s] for s in timing.phones],
        "duration": timing.duration_s,
    }


def moved(timing: Timing, phones: Sequence[Sequence[float]]) -> Timing:
    """The timing with its phones at other (start, end) seconds; the words follow theirs.

    Labels and their order stay. Raises `AlignError` when the phones are not as many, leave
    the sound, overlap, or have no length.
    """
    if len(phones) != len(timing.phones):
        raise AlignError("the phones have changed since this page was loaded; load it again")
    spans = []
    for old, (start, end) in zip(timing.phones, phones, strict=True):
        if not 0 <= start < end <= timing.duration_s + 1e-6:
            raise AlignError(f"phone {old.label} would leave the sound or have no length")
        spans.append(Span(old.label, float(start), float(end)))
    by_old = dict(zip(timing.phones, spans, strict=True))
    words = []
    for word in timing.words:
        own = [by_old[p] for p in timing.phones_of(word)]
        words.append(Span(word.label, own[0].start_s, own[-1].end_s) if own else word)
    return Timing(tuple(words), tuple(spans), timing.duration_s, timing.engine, timing.language)
