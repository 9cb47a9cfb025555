"""Examples to train on: every frame as the mouthbank would draw it, beside what it really is.

The footage is cut into pieces and the pieces dealt to groups. The mouths of one group are
replaced by mouths of the others, chosen as for a new line, bent to the true lips and lit alike:
the network's inputs in a new scene, with the answer known. Pictures lie in one file on disk
that is mapped, not read; memory does not grow with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync.engines._mouthnet_input import (
    CONTEXT,
    MAPS,
    ReferenceArtist,
    phoneme_context,
    sample,
)
from lipsync.engines._plan import Part, Weights, bank_of, parts
from lipsync.engines._select import Bank, PathFinder, Wanted
from lipsync.engines.mouthnet import other_paths
from lipsync.morph import CONTROL, FOLLOW
from media.errors import ArchiveError
from media.files import atomic_path

if TYPE_CHECKING:
    from lipsync.engines import BankSource, Progress
    from lipsync.engines._plan import Learnt
    from lipsync.training.presets import Preset

__all__ = ["Examples", "StandIn", "build_examples", "dealt", "kept_examples", "pieces", "stand_ins"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Ints = NDArray[np.intp]
Flags = NDArray[np.bool_]

_PICTURES, _ROWS = "examples.npy", "examples.npz"
_PIECE_S, _SHORTEST_S = 4.0, 0.5
_GROUPS = 4
# Every so many-th piece is held out.
_HELD_OUT_EVERY = 8
_FEWEST = 40
# References miss the true lips by about so much of the crop, so that the network learns to move
# them; by this share of the examples.
_MISS, _MISSED = 0.006, 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """n examples in the order of the footage.

    `pictures` uint8[n, 6 + 3 K, S, S], mapped from disk (`_mouthnet_input.sample`, with the
    truth for its picture); `wanted` float32[n, 7 + 105] true lip shape and phonemes;
    `tight` bool[n] lips shut; `spoken` bool[n] the phonemes are known; `follows` bool[n] is the
    frame after the one before it; `held_out` bool[n] never learnt from.
    """

    pictures: NDArray[np.uint8]
    wanted: Floats
    tight: Flags
    spoken: Flags
    follows: Flags
    held_out: Flags

    def __len__(self) -> int:
        return len(self.wanted)

    def starts(self, run: int, *, held_out: bool) -> Ints:
        """Where `run` consecutive examples begin that are all held out, or all not."""
        ok = self.held_out if held_out else ~self.held_out
        count = len(self) - run + 1
        if count <= 0:
            return np.zeros(0, np.intp)
        good = ok[:count].copy()
        for later in range(1, run):
            good &= ok[later : count + later] & self.follows[later : count + later]
        return np.flatnonzero(good)


@dataclass(frozen=True, slots=True, eq=False)
class StandIn:
    """What the mouthbank would show instead of mouth `mouth`: `parts`, and `others` beside it."""

    mouth: int
    parts: tuple[Part, ...]
    others: tuple[int, ...]


def pieces(source: Ints, frame: Ints, seconds_each: Floats) -> list[Ints]:
    """Mouths in runs of consecutive frames of one source, cut every four seconds or so.

    `seconds_each` float32[n]: how long each lasts. Short footage gives shorter pieces.
    """
    length = float(np.clip(seconds_each.sum() / 16, _SHORTEST_S, _PIECE_S))
    breaks = np.flatnonzero((np.diff(source) != 0) | (np.diff(frame) != 1)) + 1
    found: list[Ints] = []
    for run in np.split(np.arange(len(source)), breaks):
        found += np.array_split(run, max(1, round(float(seconds_each[run].sum()) / length)))
    return [p for p in found if len(p)]


def dealt(count: int) -> Ints:
    """The group of each of `count` pieces, intp[count]; -1 for those held out."""
    every = min(_HELD_OUT_EVERY, max(3, count))
    held = np.arange(count) % every == every // 2
    group = (np.cumsum(~held) - 1) % _GROUPS
    return np.where(held, -1, group)


def stand_ins(
    bank: Bank, runs: Sequence[Ints], groups: Ints, rate: float, count: int
) -> list[StandIn]:
    """For every mouth in `runs` what the rest of the bank offers for it, in their order.

    `groups` as `dealt` gives them: a piece is drawn from pieces of other groups alone, and
    never from a held-out one. `count` is the number of others. Raises `ArchiveError` when
    there is nothing to draw from.
    """
    if len(np.unique(groups)) < 3:
        raise ArchiveError(
            "the footage is one short stretch, which leaves nothing to draw it from; give at "
            "least a minute of the person speaking"
        )
    found: dict[int, StandIn] = {}
    for group in np.unique(groups).tolist():
        keep = np.concatenate(
            [r for r, g in zip(runs, groups, strict=True) if g not in (group, -1)]
        )
        finder = PathFinder(_taken_from(bank, np.sort(keep)))
        for run in (r for r, g in zip(runs, groups, strict=True) if g == group):
            found |= {s.mouth: s for s in _offered(bank, finder, np.sort(keep), run, rate, count)}
    return [found[m] for run in runs for m in run.tolist()]


def _offered(
    bank: Bank, finder: PathFinder, keep: Ints, run: Ints, rate: float, count: int
) -> list[StandIn]:
    """What the mouths `keep`, among which `finder` searches, offer for one piece."""
    wish, rest = Wanted(bank.target[run], bank.shut[run]), finder.bank
    path = finder.cheapest(wish)
    shown = parts(finder, path, rate, bank.shut[run])
    others = [keep[p] for p in other_paths(rest, path, count, lambda f: f.cheapest(wish))]
    return [
        StandIn(
            mouth,
            tuple((int(keep[m]), weight) for m, weight in shown[k]),
            tuple(int(other[k]) for other in others),
        )
        for k, mouth in enumerate(run.tolist())
    ]


def _taken_from(bank: Bank, keep: Ints) -> Bank:
    names = ("target", "penalty", "look", "shut", "source", "frame", "step")
    return Bank(**{n: getattr(bank, n)[keep] for n in names})


def build_examples(
    learnt: Learnt,
    sources: Sequence[BankSource],
    preset: Preset,
    folder: Path,
    *,
    key: str,
    seed: int = 0,
    progress: Progress | None = None,
) -> Examples:
    """The examples that `learnt` gives, made in `folder` or found there under the same `key`.

    Raises `ArchiveError` when there are too few mouths, `OutputError` when the disk is full.
    """
    known = kept_examples(folder, key)
    if known is not None:
        return known
    rates = np.array([float(s.track.rate) for s in sources], np.float32)
    mouths = learnt.mouths
    if len(mouths) < _FEWEST:
        raise ArchiveError(
            f"the footage shows {len(mouths)} usable mouths and a face is learnt from at least "
            f"{_FEWEST}; give more footage of the person"
        )
    runs = pieces(mouths.source, mouths.frame, np.float32(1) / rates[mouths.source])
    groups, rate = dealt(len(runs)), float(np.median(rates))
    bank = bank_of(learnt, Weights.of(learnt), rates, rate)
    chosen = stand_ins(bank, runs, groups, rate, preset.references - 1)
    lengths = [len(r) for r in runs]
    piece = np.repeat(np.arange(len(runs)), lengths)
    rows = np.concatenate(runs)
    pictures = _draw(learnt, chosen, preset, folder, seed, progress)
    wanted, spoken = _wanted(learnt, rows)
    made = Examples(
        pictures,
        wanted,
        bank.shut[rows],
        spoken,
        np.concatenate([[False], np.diff(piece) == 0]),
        np.repeat(groups < 0, lengths),
    )
    _save(made, folder, key)
    return made


def _wanted(learnt: Learnt, rows: Ints) -> tuple[Floats, Flags]:
    """True shapes and phonemes float32[k, 112] of mouths `rows`, and whether they are known."""
    mouths = learnt.mouths
    phonemes = np.zeros((len(rows), CONTEXT), np.float32)
    spoken = np.zeros(len(rows), np.bool_)
    for number, example in enumerate(learnt.examples):
        here = np.flatnonzero(mouths.source[rows] == number)
        if example.timing is not None and example.timing.phones and len(here):
            frames = mouths.frame[rows[here]]
            phonemes[here] = phoneme_context(example.timing, example.rate, frames)
            spoken[here] = True
    return np.concatenate([mouths.shape[rows], phonemes], axis=1).astype(np.float32), spoken


def _draw(
    learnt: Learnt,
    chosen: Sequence[StandIn],
    preset: Preset,
    folder: Path,
    seed: int,
    progress: Progress | None,
) -> NDArray[np.uint8]:
    """Every stand-in bent to the truth, written to disk as it is made."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(chosen), MAPS + 3 * preset.references, preset.size, preset.size)
    with atomic_path(folder / _PICTURES) as temporary:
        _reserve(temporary, shape)
        written = np.lib.format.open_memmap(temporary, mode="r+", dtype=np.uint8, shape=shape)
        for i, one in enumerate(_drawn(learnt, chosen, preset, seed)):
            written[i] = one
            if progress and i % 25 == 0:
                progress("drawing examples", i, len(chosen))
        written.flush()
        del written
    if progress:
        progress("drawing examples", len(chosen), len(chosen))
    return _mapped(folder)


def _reserve(path: Path, shape: tuple[int, ...]) -> None:
    """Give the file its size on the disk now: a full disk met later would kill the process."""
    import os

    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    del made
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def _drawn(
    learnt: Learnt, chosen: Sequence[StandIn], preset: Preset, seed: int
) -> Iterator[Pixels]:
    from lipsync.blend import mouth_mask

    mouths, artist = learnt.mouths, ReferenceArtist(learnt.mouths)
    for one in chosen:
        rng = np.random.default_rng((seed, one.mouth))
        truth, points = mouths.picture(one.mouth), mouths.points[one.mouth]
        size = truth.shape[0]
        miss = rng.normal(0, _MISS * size, (1, 2)) + rng.normal(
            0, 0.3 * _MISS * size, (len(CONTROL), 2)
        )
        miss *= FOLLOW[:, None] * float(rng.random() < _MISSED)
        drawn = artist.references(
            one.parts,
            one.others,
            points,
            points,
            np.ascontiguousarray(truth),
            miss.astype(np.float32),
        )
        # In a scene the frame's own mouth is another: the hidden part covers both.
        there = np.flatnonzero(mouths.source == mouths.source[one.mouth])
        before = mouths.points[rng.choice(there)]
        mask = mouth_mask(before, points, size)
        yield sample(truth, mask, points, drawn, preset.size)


def _mapped(folder: Path) -> NDArray[np.uint8]:
    mapped: NDArray[np.uint8] = np.load(folder / _PICTURES, mmap_mode="r", allow_pickle=False)
    return mapped


def _save(examples: Examples, folder: Path, key: str) -> None:
    with atomic_path(folder / _ROWS) as temporary:
        np.savez(
            temporary,
            facts=np.array(json.dumps({"key": key})),
            wanted=examples.wanted,
            tight=examples.tight,
            spoken=examples.spoken,
            follows=examples.follows,
            held_out=examples.held_out,
        )


def kept_examples(folder: Path, key: str) -> Examples | None:
    """Examples made before in `folder` for the same `key`, if they are whole."""
    from zipfile import BadZipFile

    try:
        with np.load(folder / _ROWS, allow_pickle=False) as stored:
            if json.loads(str(stored["facts"]))["key"] != key:
                return None
            rows = {name: stored[name] for name in stored.files if name != "facts"}
        pictures = _mapped(folder)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
    return Examples(pictures, **rows) if len(pictures) == len(rows["wanted"]) else None
