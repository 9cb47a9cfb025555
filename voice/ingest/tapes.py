"""The recordings given, and which channels of each carry it.

    for tape in ...: path, sha256, rate, weights, peak, note = open_tape(path)

A stereo file may have one dead channel (a cable), one that only hums, or one wired the wrong way
round; averaging those costs level, adds noise or leaves nothing. Film sound in six channels has
its dialogue in the centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media.channels import MixedStream, channel_blocks
from media.errors import MediaError
from media.files import sha256_of

__all__ = ["SUFFIXES", "Tape", "judge_channels", "open_tape", "recordings_in"]

Doubles = NDArray[np.float64]

SUFFIXES = frozenset(
    {".wav", ".bwf", ".w64", ".rf64", ".aif", ".aiff", ".au", ".caf"}
    | {".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".ac3", ".amr", ".g722"}
    | {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".mxf", ".webm", ".mpg", ".mpeg", ".mts", ".ts"}
)
_DEAD_DB = 30.0  # so far below the other channel nothing of it is speech
_FAINT_DB = 14.0  # and so far, where it is also unlike the other
_UNLIKE = 0.3
_INVERTED = -0.5  # correlation
_CENTRE_OF = {6: 2, 8: 2}  # channels -> the one with the dialogue
_SILENT = 1e-4


@dataclass(frozen=True, slots=True)
class Tape:
    """One recording: `weights` of its channels in the mixture (None: their mean), its `peak`.

    `note` says what was wrong with a channel, "" otherwise. `rate` is in Hz.
    """

    path: Path
    sha256: str
    rate: int
    channels: int
    weights: tuple[float, ...] | None
    peak: float
    note: str

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing in it at all."""
        return self.peak < _SILENT

    def stream(self) -> MixedStream:
        """Its sound, read anew. Raises `MediaError`."""
        return MixedStream(self.path, self.weights)


def recordings_in(given: Path | Sequence[Path], *, without: Sequence[Path] = ()) -> list[Path]:
    """Every recording in files and folders, in order of name; hidden ones are left out.

    Nothing inside the folders `without` is taken, nor of datasets inside a folder of recordings:
    their clips are cut from these. A file that is named twice is there once. Raises `MediaError`
    when a place does not exist or nothing is found.
    """
    places = [given] if isinstance(given, Path) else list(given)
    barred = [folder.resolve() for folder in without]
    found: list[Path] = []
    for item in places:
        if item.is_dir():
            named = [p for p in item.rglob("*") if not _hidden(p, item)]
            shut = [*barred, *(p.parent.resolve() for p in named if _is_card(p, item))]
            wanted = (p for p in named if p.suffix.lower() in SUFFIXES and _is_file(p))
            found += sorted(p for p in wanted if not _inside(p, shut))
        elif item.is_file():
            found.append(item)
        else:
            raise MediaError(f"{item} does not exist; name a recording or a folder of them")
    if not found:
        raise MediaError(
            f"no recordings in {places[0] if places else 'an empty list'}; "
            "give sound or video files, or a folder that holds some"
        )
    once: dict[Path, Path] = {}
    for path in found:
        once.setdefault(path.absolute(), path)
    return list(once.values())


def _is_file(path: Path) -> bool:
    """False, too, where the folder does not say."""
    try:
        return path.is_file()
    except OSError:
        return False


def _is_card(path: Path, given: Path) -> bool:
    """Whether it is the card of a dataset inside the folder `given`, not of that itself."""
    beside = path.with_name("manifest.csv")
    return path.name == "dataset.toml" and path.parent != given and _is_file(beside)


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _inside(path: Path, folders: Sequence[Path]) -> bool:
    where = path.resolve()
    return any(where.is_relative_to(folder) for folder in folders)


def open_tape(path: Path) -> Tape:
    """Look at a recording's channels (it is decoded once). Raises `MediaError`."""
    stream = MixedStream(path)
    channels, weights, peak, note = judge_channels(path)
    return Tape(path, sha256_of(path), stream.rate, channels, weights, peak, note)


def judge_channels(path: Path) -> tuple[int, tuple[float, ...] | None, float, str]:
    """(channels, weights or None for their mean, peak of the mixture, note).

    Raises `MediaError` when the file cannot be read.
    """
    power = np.zeros((0, 0))
    peaks: Doubles = np.zeros(0)
    count = 0
    for block in channel_blocks(path):
        if len(power) != len(block):
            if count:
                raise MediaError(
                    f"'{path}' changes its number of channels on the way; divide it there"
                )
            power, peaks = np.zeros((len(block), len(block))), np.zeros(len(block) + 2)
        # Differences, so that neither a steady offset nor hum decides.
        change = np.diff(block, axis=1).astype(np.float64)
        power += change @ change.T
        count += change.shape[1]
        mixes = [block.mean(axis=0)] + ([(block[0] - block[1]) / 2] if len(block) == 2 else [])
        tops = [*np.abs(block).max(axis=1, initial=0.0)]
        tops += [np.abs(mix).max(initial=0.0) for mix in mixes]
        peaks[: len(tops)] = np.maximum(peaks[: len(tops)], tops)
    if count == 0:
        return max(len(power), 1), None, 0.0, ""
    weights, which, note = _choice(power / count)
    return len(power), weights, float(peaks[which]), note


def _choice(power: Doubles) -> tuple[tuple[float, ...] | None, int, str]:
    """(weights, which peak is the mixture's, note) from the channels' covariance."""
    n = len(power)
    level = 10 * np.log10(np.diag(power) + 1e-20)
    if n in _CENTRE_OF and level[_CENTRE_OF[n]] > level.max() - _FAINT_DB:
        centre = _CENTRE_OF[n]
        chosen = tuple(float(k == centre) for k in range(n))
        return chosen, centre, f"the centre of {n} channels"
    if n != 2:
        return None, n, ""
    alike = power[0, 1] / max(float(np.sqrt(power[0, 0] * power[1, 1])), 1e-20)
    strong = int(level[1] > level[0])
    below = level[strong] - level[1 - strong]
    names = ("left", "right")
    if below > _DEAD_DB or (below > _FAINT_DB and abs(alike) < _UNLIKE):
        chosen = (float(strong == 0), float(strong == 1))
        return chosen, strong, f"the {names[1 - strong]} channel is dead; the other one is used"
    if alike < _INVERTED:
        return (0.5, -0.5), 3, "one channel is inverted; it was turned round"
    return None, 2, ""
