"""Timing and sound of a line -> the lip shapes this person would make, frame by frame.

    model = MotionModel.fit([MotionExample(timing, sound, shapes, rate), ...])
    shapes = model.predict(new_timing, new_sound, rate, n)      # float32[n, 7], LIP_FEATURES

Fitted on the person's own footage, in less than a tenth of its length: kernel ridge regression
from a window of visemes, mel cepstra and (`hear`) what a speech recogniser's encoder makes of the
sound, its strength chosen on held-out stretches. Two things never depend on the regression: the
lips are shut on every p, b, m and in silence (from the timing), and the amount of movement equals
the person's own (`articulation` scales it). Footage without understood speech still gives a
model: dominance curves in the person's measured ranges.

Fitting and predicting use one thread of the linear algebra: on two, sums end in other bits, and
what is learnt from them in other lips.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from align import visemes
from lipsync._ear import HEARD_PER_S, Ear, Spoken
from lipsync._kernel import KernelFit, fit_kernel
from lipsync._network import NetworkFit, fit_networks
from lipsync._rest import (
    PARTING_S,
    closed_below,
    closures,
    inner,
    parting,
    silence,
    softened,
)
from lipsync._speech import STEPS_PER_S, Windows, cepstra, viseme_track, windows
from lipsync.crop import LIP_FEATURES
from media.errors import ArchiveError
from media.far import empty_far, let_go

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound
    from media.time import FrameRate

__all__ = [
    "MotionExample",
    "MotionModel",
    "closed_below",
    "closures",
    "in_sync",
    "one_thread",
    "picture_lead",
    "silence",
]

Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Numbers = NDArray[np.floating[Any]]
Flags = NDArray[np.bool_]

OPENING, WIDTH, HEIGHT, JAW_DROP = (
    LIP_FEATURES.index(n) for n in ("opening", "width", "outer_height", "jaw")
)

#: Lips run ahead of the sound they make, in seconds. Measured where it is sharpest, on shut lips
#: against aligned p, b and m: 10 ms on one speaker in sync.
NATURAL_LEAD_S = 0.01
#: Pictures further than this from the natural lead are out of sync with their sound.
IN_SYNC_S = 0.08
#: Speech needed to learn from, with the lips seen; less gives dominance curves.
ENOUGH_SPEECH_S = 6.0
#: Speech from which listening with the recogniser's ear (and its networks) is worth its time.
ENOUGH_TO_HEAR_S = 20.0

_MOST_FRAMES, _QUICK_FRAMES = 12000, 6000
_CLOSELY: dict[str, Any] = {}
_QUICK: dict[str, Any] = {"most_centres": 600, "strengths": (0.1,)}
_FEW = 1024  # frames whose features are looked at at once
_BLOCK_S = 3.0
_FOLDS = 5
# How much an error of each of `LIP_FEATURES` counts when networks learn, and which shares of them
# are tried beside the kernel.
_IMPORTANCE = (2.0, 1.0, 0.5, 1.0, 0.5, 0.3, 0.5)
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
# Half widths of the two windows, the wide one first.
_REACH_S = (0.2, 0.08)
# The like for what the recogniser hears: its rows know their neighbours.
_HEARD_REACH_S = (0.2, 0.04)
# Silence heard behind a sound that ends before its picture: more than windows reach.
_BEHIND_S = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class MotionExample:
    """A stretch of the person's footage to learn from.

    `shapes` float32[n, 7] as `lipsync.crop.lip_shape` gives them, one row per frame from the
    first on, NaN where the mouth is not seen; `timing` and `sound` are the footage's own
    and start with frame 0.
    """

    timing: Timing | None
    sound: Sound | None
    shapes: Floats
    rate: FrameRate


@dataclass(frozen=True, slots=True, eq=False)
class _Person:
    """How this person's lips are when shut, at rest, and how far they go."""

    closed_below: float
    shut: Doubles
    low: Doubles
    middle: Doubles
    high: Doubles
    follow: Doubles
    parting_s: float = PARTING_S

    @classmethod
    def measure(cls, shapes: Doubles) -> _Person:
        below = closed_below(shapes[:, OPENING])
        tight = shapes[shapes[:, OPENING] <= below]
        if len(tight) < 3:
            tight = shapes[np.argsort(shapes[:, OPENING])[:3]]
        low, middle, high = np.percentile(shapes, (3, 50, 97), axis=0)
        # The other features as a linear function of opening and width.
        known = np.column_stack([shapes[:, (OPENING, WIDTH)], np.ones(len(shapes))])
        known_square = known.T @ known + 1e-3 * np.eye(3)
        follow = np.linalg.solve(known_square, known.T @ shapes).astype(np.float64)
        return cls(below, np.median(tight, axis=0), low, middle, high, follow)

    def tight(self, timing: Timing, rate: FrameRate, n: int) -> Flags:
        """bool[n]: frames on which the timing keeps these lips shut."""
        return closures(timing, rate, n) | silence(timing, rate, n, self.parting_s)

    def shut_softly(self, shapes: Doubles, timing: Timing, rate: FrameRate) -> Doubles:
        """`shapes` within what these lips can do, shut where the timing says so.

        They come together and part softly: at the borders of silence they are only so near that
        they count as shut.
        """
        n = len(shapes)
        sound, rest = closures(timing, rate, n), silence(timing, rate, n, self.parting_s)
        shapes = softened(self.possible(shapes, sound | rest), rate)
        shapes = self.possible(shapes, sound | inner(rest, rate))
        shapes[rest, OPENING] = np.minimum(shapes[rest, OPENING], self.closed_below)
        return shapes

    def possible(self, shapes: Doubles, tight: Flags) -> Doubles:
        """`shapes` within what this person's lips can do, and shut where `tight`."""
        margin = 0.25 * (self.high - self.low)
        shapes = np.clip(shapes, self.low - margin, self.high + margin)
        shapes[:, OPENING] = np.maximum(shapes[:, OPENING], self.shut[OPENING])
        shapes[tight, OPENING] = self.shut[OPENING]
        shapes[tight, HEIGHT] = np.minimum(shapes[tight, HEIGHT], self.shut[HEIGHT])
        return shapes


@dataclass(frozen=True, slots=True, eq=False)
class MotionModel:
    """How one person's lips follow speech. `held_out` are correlations per `LIP_FEATURES`
    on stretches not learnt from (NaN for a model without learnt speech), a little flattering
    since the regression's strength and the `share` were chosen on the same stretches; `speech_s` is
    how much was learnt from: phones while the lips are seen. `network` has this `share` in what
    the `kernel` predicts.
    """

    person: _Person
    kernel: KernelFit | None
    gain: Doubles
    held_out: Doubles
    speech_s: float
    ear: Ear | None = None
    network: NetworkFit | None = None
    share: float = 0.0

    @property
    def closed_below(self) -> float:
        """Lip opening up to which the lips count as shut."""
        return self.person.closed_below

    def tight(self, timing: Timing, rate: FrameRate, n: int) -> Flags:
        """bool[n]: frames on which the timing keeps this person's lips shut: `closures`, and
        `silence` for as long as they rest.
        """
        return self.person.tight(timing, rate, n)

    @classmethod
    def fit(
        cls,
        examples: Sequence[MotionExample],
        *,
        seed: int = 0,
        quick: bool = False,
        hear: bool = False,
    ) -> MotionModel:
        """Learn from footage. Examples whose picture is out of sync must be shifted first.

        `quick` looks at fewer frames, and less closely. `hear` listens with the recogniser's
        encoder, too, where there is one (10 ms of a processor per second of sound, also to
        predict).

        Raises `ArchiveError` when no lips are seen at all.
        """
        shapes = np.concatenate([e.shapes for e in examples] or [np.zeros((0, 7), np.float32)])
        seen = shapes[np.isfinite(shapes).all(1)].astype(np.float64)
        if len(seen) < 2:
            raise ArchiveError(
                "no lips can be seen in the archive footage; give footage in which the person's "
                "face is near enough and turned to the camera"
            )
        with one_thread():
            person = _Person.measure(seen)
            person = replace(person, parting_s=parting(examples, person.closed_below))
            return cls._fit(person, examples, seed=seed, quick=quick, hear=hear)

    @classmethod
    def _fit(
        cls,
        person: _Person,
        examples: Sequence[MotionExample],
        *,
        seed: int,
        quick: bool,
        hear: bool,
    ) -> MotionModel:
        speaking = [e for e in examples if _speaks(e)]
        heard = [_Heard.of(e, person.parting_s) for e in speaking]
        speech = sum(h.speech_s for h in heard)
        if speech < ENOUGH_SPEECH_S:
            ones = np.ones(len(LIP_FEATURES))
            return cls(person, None, ones, ones * np.nan, speech)
        hear = hear and speech >= ENOUGH_TO_HEAR_S
        ear, rows = Ear.learn(_spoken(speaking, heard)) if hear else (None, [])
        if ear is not None:
            heard = [replace(h, heard=r) for h, r in zip(heard, rows, strict=True)]
        data = _stack(heard, seed, at_most=_QUICK_FRAMES if quick else _MOST_FRAMES)
        del heard, rows  # of half an hour 60 MB, and the kernel is to come
        return cls._of(person, data, ear, speech, seed=seed, quick=quick)

    @classmethod
    def _of(
        cls,
        person: _Person,
        data: _Data,
        ear: Ear | None,
        speech_s: float,
        *,
        seed: int,
        quick: bool,
    ) -> MotionModel:
        """Learnt from `data`, which holds what `ear` hears, if there is one."""
        judged = (OPENING, WIDTH, HEIGHT)
        # Visemes count together with the sound, and with what is heard in it.
        how = {**(_QUICK if quick else _CLOSELY), "together": 1 if ear is None else 2}
        kernel = fit_kernel(data.streams, data.shapes, data.folds, judged=judged, seed=seed, **how)
        guess, network, share = kernel.held_out, None, 0.0
        if ear is not None:
            network, share = _network(data, guess, judged, seed)
        gain = _gain(person, _as_shown(guess, network, share), data)
        if network is not None:
            guess = guess + share * (network.held_out - guess)
        held_out = _correlations(guess, data.shapes)
        return cls(person, kernel, gain, held_out, speech_s, ear, network, share)

    def predict(
        self,
        timing: Timing,
        sound: Sound | None,
        rate: FrameRate,
        n: int,
        *,
        articulation: float = 1.0,
    ) -> Floats:
        """Lip shapes float32[n, 7] for frames 0..n-1 at exactly `rate`.

        `articulation` 1.0 moves as much as the person does; less mumbles, more is clearer.
        The lips are shut on `closures` and in `silence` whatever it is.
        """
        if self.kernel is not None and sound is not None and timing.phones:
            with one_thread():
                raw = self._raw(self.kernel, timing, sound, rate, n)
            shapes = self.kernel.mean + self.gain * (raw - self.kernel.mean)
        else:
            shapes = self._from_dominance(timing, rate, n)
        anchor = self.person.middle.copy()
        anchor[OPENING] = self.person.shut[OPENING]
        shapes = anchor + articulation * (shapes - anchor)
        return self.person.shut_softly(shapes, timing, rate).astype(np.float32)

    def _raw(
        self, kernel: KernelFit, timing: Timing, sound: Sound, rate: FrameRate, n: int
    ) -> Doubles:
        """What kernel and networks have to say, which moves too little."""
        length_s = n / float(rate)
        at = ((np.arange(n) + 0.5) / float(rate) + NATURAL_LEAD_S).astype(np.float64)
        heard = None if self.ear is None else self.ear(sound, length_s + _BEHIND_S)
        streams = _streams(*_tracks(timing, sound, length_s), heard, at, _REACH_S)
        raw = kernel(streams)
        if self.network is not None:
            raw = raw + self.share * (self.network(_Features(streams)) - raw)
        return raw

    def _from_dominance(self, timing: Timing, rate: FrameRate, n: int) -> Doubles:
        """Opening and width from dominance curves in this person's ranges, the rest following."""
        person, curve = self.person, visemes.curves(timing, rate, n).astype(np.float64)
        columns = [visemes.CHANNELS.index(c) for c in ("opening", "width", "roundness")]
        opening, width, _ = curve[:, columns].T
        shut = person.shut[OPENING]
        opening = shut + opening * (person.high[OPENING] - shut)
        width = np.interp(
            width, (0, 0.5, 1), (person.low[WIDTH], person.middle[WIDTH], person.high[WIDTH])
        )
        known = np.column_stack([opening, width, np.ones(n)])
        shapes = known @ person.follow
        shapes[:, OPENING], shapes[:, WIDTH] = opening, width
        return np.asarray(shapes)


def picture_lead(examples: Sequence[MotionExample]) -> float:
    """Seconds by which the picture runs ahead of its sound, beyond lips' natural lead.

    0 when in sync or when it cannot be told. Footage from the web is often a tenth of a second
    and more out; learnt as it is, the new line would be out by as much. Found by asking
    at which shift a narrow window of sound and visemes explains the lip shapes best: the
    centre of the peak of the held-out correlation.
    """
    with one_thread():
        return _picture_lead([_Heard.of(e) for e in examples if _speaks(e)])


def _picture_lead(heard: Sequence[_Heard]) -> float:
    speech = np.cumsum([h.speech_s for h in heard])
    if not len(heard) or speech[-1] < ENOUGH_SPEECH_S:
        return 0.0
    heard = heard[: 1 + int(np.searchsorted(speech, 40.0))]
    shifts = np.arange(-0.48, 0.481, 0.04)
    scores = np.array([_explained(heard, float(s)) for s in shifts])
    top = scores.max()
    if top < 0.25:
        return 0.0
    above = np.where(np.abs(shifts - shifts[scores.argmax()]) <= 0.17, scores - 0.85 * top, 0)
    above = np.maximum(above, 0)
    lead = float((shifts * above).sum() / above.sum()) - NATURAL_LEAD_S
    return lead if abs(lead) > IN_SYNC_S else 0.0


def _speaks(example: MotionExample) -> bool:
    """Whether something is said there by lips that are seen."""
    said = example.timing is not None and example.timing.phones and example.sound is not None
    return bool(said) and bool(np.isfinite(example.shapes).all(1).any())


def in_sync(example: MotionExample, lead_s: float) -> MotionExample:
    """`example` with sound and timing moved `lead_s` earlier, so that they meet the picture."""
    if lead_s == 0 or example.timing is None or example.sound is None:
        return example
    shift = round(lead_s * example.sound.rate)
    samples = example.sound.samples[max(shift, 0) :]
    if shift < 0:
        samples = np.pad(samples, (-shift, 0))
    sound = replace(example.sound, samples=samples)
    timing = example.timing
    spans = (
        tuple(
            replace(s, start_s=max(0.0, s.start_s - lead_s), end_s=s.end_s - lead_s)
            for s in tier
            if s.end_s - lead_s > 0.005
        )
        for tier in (timing.words, timing.phones)
    )
    words, phones = spans
    moved = replace(
        timing, words=words, phones=phones, duration_s=max(timing.duration_s - lead_s, 0.0)
    )
    return replace(example, timing=moved, sound=sound)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for the linear algebra, so that its sums end in the same bits everywhere.

    The number is the whole process's: around work of several threads the one that starts them
    holds it.
    """
    import scipy.linalg  # noqa: F401  it has its own copy: what is loaded later is not limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _seen_speech_s(timing: Timing, shapes: Floats, rate: float) -> float:
    """Seconds of phones during which the lips are seen."""
    seen = np.isfinite(shapes).all(1)
    clock = np.concatenate([[0.0], np.cumsum(seen) / rate])
    ends = np.array([(p.start_s, p.end_s) for p in timing.phones]).reshape(-1, 2)
    return float(np.diff(np.interp(ends, np.arange(len(clock)) / rate, clock)).sum())


def _spoken(examples: Sequence[MotionExample], heard: Sequence[_Heard]) -> list[Spoken]:
    """What an ear is to hear, as long as lips are seen and a little silence."""
    return [
        Spoken(e.sound, e.timing, len(h.shapes) / h.rate + _BEHIND_S)
        for e, h in zip(examples, heard, strict=True)
        if e.sound is not None and e.timing is not None
    ]


def _explained(heard: Sequence[_Heard], shift_s: float) -> float:
    """Held-out correlation of opening and height with a narrow window `shift_s` later."""
    data = _stack(heard, 0, at_most=1000, reach=(0.06,), shift_s=shift_s)
    wanted = data.shapes[:, (OPENING, HEIGHT)]
    fit = fit_kernel(
        data.streams, wanted, data.folds, judged=(0, 1), most_centres=250, strengths=(0.3,)
    )
    return float(_correlations(fit.held_out, wanted).mean())


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    """An example as tracks at 100 Hz, so that windows can be cut at any shift."""

    said: Doubles
    sounds: Doubles
    shapes: Floats
    rate: float
    tight: Flags
    speech_s: float
    heard: Floats | None = None  # by the recogniser, 50 Hz

    @classmethod
    def of(cls, example: MotionExample, parting_s: float = PARTING_S) -> _Heard:
        timing, sound, rate = example.timing, example.sound, example.rate
        assert timing is not None
        assert sound is not None
        n = min(len(example.shapes), rate.frames_in(sound.duration_s) + 1)
        said, sounds = _tracks(timing, sound, n / float(rate))
        tight = closures(timing, rate, n) | silence(timing, rate, n, parting_s)
        speech = _seen_speech_s(timing, example.shapes[:n], float(rate))
        return cls(said, sounds, example.shapes[:n], float(rate), tight, speech)

    def streams(
        self, frames: NDArray[np.intp], reach: Sequence[float], shift_s: float
    ) -> list[Windows]:
        """Windows around `frames`, see `_streams`."""
        at = ((frames + 0.5) / self.rate + shift_s).astype(np.float64)
        return _streams(self.said, self.sounds, self.heard, at, reach)


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    streams: list[Windows]
    shapes: Doubles
    folds: NDArray[np.intp]
    tight: Flags


def _streams(
    said: Doubles, sounds: Doubles, heard: Floats | None, at: Doubles, reach: Sequence[float]
) -> list[Windows]:
    """Windows at seconds `at` of visemes, of what is heard (if it is), and of sound.

    The order matters to the kernel: the first counts together with the last, or the last two.
    """
    streams = [windows(said, at, r) for r in reach]
    streams += [windows(sounds, at, r) for r in reach]
    if heard is not None:
        streams[-1:-1] = [windows(heard, at, r, per_s=HEARD_PER_S) for r in _HEARD_REACH_S]
    return streams


def _tracks(timing: Timing, sound: Sound, length_s: float) -> tuple[Doubles, Doubles]:
    steps = int(np.ceil((max(length_s, timing.duration_s) + 1.0) * STEPS_PER_S))
    return viseme_track(timing, steps), cepstra(sound, timing, steps)


def _stack(
    heard: Sequence[_Heard],
    seed: int,
    *,
    at_most: int = _MOST_FRAMES,
    reach: Sequence[float] = _REACH_S,
    shift_s: float = NATURAL_LEAD_S,
) -> _Data:
    """Streams, shapes and fold numbers of the frames to learn from, at most `at_most`."""
    counts = [len(h.shapes) for h in heard]
    owner = np.repeat(np.arange(len(heard)), counts)
    frame = np.concatenate([np.arange(c) for c in counts])
    shapes = np.concatenate([h.shapes for h in heard]).astype(np.float64)
    tight = np.concatenate([h.tight for h in heard])
    keep = np.flatnonzero(np.isfinite(shapes).all(1))
    if len(keep) > at_most:
        keep = np.sort(np.random.default_rng(seed).permutation(keep)[:at_most])
    parts = [h.streams(frame[keep[owner[keep] == i]], reach, shift_s) for i, h in enumerate(heard)]
    streams = [Windows.joined(same) for same in zip(*parts, strict=True)]
    # Whole blocks of a few seconds are one fold: neighbours in time are nearly copies.
    ends = np.cumsum([0, *(int(np.ceil(len(h.shapes) / h.rate / _BLOCK_S)) for h in heard)])
    rates = np.array([h.rate for h in heard])[owner[keep]]
    block = ends[owner[keep]] + (frame[keep] / rates / _BLOCK_S).astype(np.intp)
    folds = block * _FOLDS // ends[-1] if ends[-1] >= _FOLDS else block
    return _Data(streams, shapes[keep], folds.astype(np.intp), tight[keep])


class _Features:
    """The wide windows of all three inputs side by side, for networks: float32[k, d] of the
    frames that are asked for.
    """

    def __init__(self, streams: Sequence[Windows]) -> None:
        said, _, sounds, heard, *_ = streams
        self._wide = said, sounds, heard

    def __len__(self) -> int:
        return len(self._wide[0])

    def __getitem__(self, key: slice) -> Floats:
        return np.concatenate([w[key] for w in self._wide], axis=1, dtype=np.float32)

    def all(self) -> Floats:
        """Of all frames, a few at a time."""
        parts = range(0, len(self), _FEW)
        features = empty_far((len(self), self[:1].shape[1]), np.float32)
        for i in parts:
            features[i : i + _FEW] = self[i : i + _FEW]
            let_go(features)
        return features


def _network(
    data: _Data, guess: Doubles, judged: Sequence[int], seed: int
) -> tuple[NetworkFit | None, float]:
    """Networks fitted on the same examples, and the share at which they help `guess` most on
    stretches that were not learnt from; None where they do not.
    """
    network = fit_networks(
        _Features(data.streams).all(), data.shapes, data.folds, importance=_IMPORTANCE, seed=seed
    )
    if network is None:
        return None, 0.0
    wanted = data.shapes[:, judged]
    away = network.held_out - guess
    scores = [
        float(_correlations((guess + share * away)[:, judged], wanted).mean()) for share in _SHARES
    ]
    share = _SHARES[int(np.argmax(np.nan_to_num(scores, nan=-1.0)))]
    return (network, share) if share > 0 else (None, 0.0)


def _as_shown(guess: Doubles, network: NetworkFit | None, share: float) -> Doubles:
    """The kernel's `guess` and the held-out predictions of networks, moving as much as in a new
    line: that has the mean of all networks, which moves less than each.
    """
    if network is None:
        return guess
    said = network.mean + network.calm * (network.held_out - network.mean)
    return np.asarray(guess + share * (said - guess))


def _gain(person: _Person, guess: Doubles, data: _Data) -> Doubles:
    """Factor per feature that makes held-out predictions (`guess`) move as much as the person does.

    Regression pulls towards the mean; what the timing shuts moves on its own account, so the
    spread is compared after shutting.
    """
    mean, wanted = data.shapes.mean(0), data.shapes.std(0)
    away = guess - mean
    low, high = np.full(len(wanted), 0.8), np.full(len(wanted), 2.5)
    for _ in range(20):
        middle = 0.5 * (low + high)
        spread = person.possible(mean + middle * away, data.tight).std(0)
        low, high = np.where(spread < wanted, middle, low), np.where(spread < wanted, high, middle)
    return np.asarray(0.5 * (low + high))


def _correlations(a: Doubles, b: Doubles) -> Doubles:
    """Column by column; 0 where a column does not move."""
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.asarray((a * b).sum(0) / np.maximum(size, 1e-12))
