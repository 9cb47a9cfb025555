"""The manners in which a person spoke on their tapes, found by measure.

    for group in spoken_groups(clips):
        print(group.name, group.speech_s, group.delivery)      # "higher-faster" 41.2 Delivery(...)

Clips are compared by pitch, range of pitch, pace, loudness within their own recording, and
dynamics, each in units of what a listener notices, and joined from the bottom up (Ward 1963).
A group needs enough speech to fit a manner to, and must differ audibly from the person's
usual one. It is named by what differs most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from media.errors import NoSpeechError
from voice.delivery import Delivery, compare_delivery, mean_delivery, measure_delivery

if TYPE_CHECKING:
    from voice.archive import Clip

__all__ = ["LEAST_GROUP_S", "USUAL", "SpokenGroup", "distance", "spoken_groups"]

Doubles = NDArray[np.float64]

LEAST_GROUP_S = 15.0
"""Seconds of speech that a group needs."""
USUAL = "usual"
_LEAST_CLIPS = 3
_MOST_GROUPS = 4
_APART = 1.5  # what a group must differ from the person's mean, in noticeable steps
# What counts as the same delivery again: names are made of these.
_NAMED = ("pitch", "range", "pace", "level", "dynamics")


@dataclass(frozen=True, slots=True)
class SpokenGroup:
    """Clips (numbers into what was given) spoken alike, and their mean delivery."""

    name: str
    clips: tuple[int, ...]
    delivery: Delivery
    speech_s: float


def spoken_groups(clips: Sequence[Clip]) -> tuple[SpokenGroup, ...]:
    """The manners found in `clips`, the most spoken first; empty where there is only one.

    Clips in which no voice is heard belong to none.
    """
    measured = _measured(clips)
    if len(measured) < 2 * _LEAST_CLIPS:
        return ()
    numbers = list(measured)
    rows = _levelled(clips, measured)
    everything = mean_delivery(rows)
    features = np.array([_steps(row, everything) for row in rows])
    for count in range(min(_MOST_GROUPS, len(rows) // _LEAST_CLIPS), 1, -1):
        groups = [
            _group([numbers[i] for i in chosen], [rows[i] for i in chosen], everything)
            for chosen in _joined(features, count)
        ]
        if _told_apart(groups, everything):
            return tuple(sorted(_named(groups, everything), key=lambda g: -g.speech_s))
    return ()


def distance(a: Delivery, b: Delivery) -> float:
    """How differently two deliveries sound: root of the summed squares of noticeable steps."""
    return float(np.linalg.norm(_steps(a, b)))


def _steps(a: Delivery, b: Delivery) -> Doubles:
    """Differences of the named measures, each over what a listener notices."""
    found = {d.measure: d.amount / d.audible for d in compare_delivery(a, b)}
    return np.array([found[name] for name in _NAMED])


def _measured(clips: Sequence[Clip]) -> dict[int, Delivery]:
    rows: dict[int, Delivery] = {}
    for number, clip in enumerate(clips):
        try:
            rows[number] = measure_delivery(clip.sound)
        except NoSpeechError:
            continue
    return rows


def _levelled(clips: Sequence[Clip], measured: dict[int, Delivery]) -> list[Delivery]:
    """Levels relative to the recording a clip was cut from: tapes differ in gain."""
    levels: dict[Path, list[float]] = {}
    for number, row in measured.items():
        levels.setdefault(clips[number].source, []).append(row.level_dbfs)
    return [
        replace(row, level_dbfs=row.level_dbfs - float(np.median(levels[clips[number].source])))
        for number, row in measured.items()
    ]


def _joined(features: Doubles, count: int) -> list[list[int]]:
    from scipy.cluster.hierarchy import fcluster, linkage

    label = fcluster(linkage(features, "ward"), count, "maxclust")
    return [np.flatnonzero(label == k).tolist() for k in np.unique(label)]


def _group(numbers: list[int], rows: list[Delivery], everything: Delivery) -> SpokenGroup:
    delivery = mean_delivery(rows)
    return SpokenGroup(_name(delivery, everything), tuple(numbers), delivery, delivery.speech_s)


def _told_apart(groups: Sequence[SpokenGroup], everything: Delivery) -> bool:
    """Whether every group is large enough, and all but one differ from the person's mean."""
    if len(groups) < 2:
        return False
    large = all(len(g.clips) >= _LEAST_CLIPS and g.speech_s >= LEAST_GROUP_S for g in groups)
    plain = sum(distance(g.delivery, everything) < _APART for g in groups)
    return large and plain <= 1


def _name(delivery: Delivery, everything: Delivery, words: int = 2) -> str:
    found = [d for d in compare_delivery(delivery, everything) if d.measure in _NAMED]
    found.sort(key=lambda d: -abs(d.amount / d.audible))
    heard = [re.sub(r"\W+", "-", d.word) for d in found if d.notable][:words]
    return "-".join(heard) or USUAL


def _named(groups: Sequence[SpokenGroup], everything: Delivery) -> list[SpokenGroup]:
    """The same with every name used once: more words, at last a number."""
    named: list[SpokenGroup] = []
    for group in groups:
        taken = {g.name for g in named}
        names = [_name(group.delivery, everything, words) for words in range(2, len(_NAMED) + 1)]
        names += [f"{names[0]}-{k}" for k in range(2, _MOST_GROUPS + 2)]
        named.append(replace(group, name=next(n for n in names if n not in taken)))
    return named
