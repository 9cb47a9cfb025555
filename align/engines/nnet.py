"""Forced alignment by a small network of our own, for recordings in English.

Trained by `scripts/train_aligner.py` on synthesised speech whose durations are known and on
recordings that it aligned itself (the card is `align/data/aligner.toml`). The network says
for every 10 ms which phone sounds and for every 5 ms whether a boundary lies there; an exact
Viterbi search over the words' pronunciations, with pauses where they fit, divides the sound;
then each boundary moves to where, within 25 ms, the network sees it. In clean sound phrases begin
and end where they are heard, up to 50 and 25 ms from there.

A word's confidence comes from the posteriors of its phones, so words that are not said are
low. No recording is ever lost: where the words cannot be followed they are spread over the
loud parts, with a confidence of at most 0.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from align._weights import aligner_path
from align.engines._features import FINE_S, FRAME_S, RATE, features
from align.engines._fusion import halfway
from align.engines._network import PHONES, SILENCE, Network, load_network
from align.engines._path import Step, best_path, build_graph
from align.engines._pronunciations import pronunciations
from align.engines.sphinx import check_fits
from align.refine import BEFORE_S, HOP_S, loudness, phrase_start, speech_level
from align.timing import Span, Timing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from align.text import Script
    from media.audio import Sound

    Floats = NDArray[np.float32]

__all__ = [
    "Heard",
    "Hearing",
    "NnetAligner",
    "Placed",
    "divided",
    "hear",
    "joined",
    "place",
]

# Below this a pause between words is the slack of the grid: its neighbours share it.
_LEAST_PAUSE_S = 0.03
_LEAST_PHONE_S = 0.005
# Found on all sets alike: fewer frames let phones vanish in noise and rooms, more cut speech short.
_LEAST_FRAMES = 2
# For each second that a word leaves its guide it costs so much log score a
# frame, up to a limit, so that a guide that is quite wrong can be overruled.
_LEASH_COST, _LEASH_LIMIT = 60.0, 3.0
_REACH_S, _SPREAD_S = 0.025, 0.015
# The start of a phrase moves so far at most, and so does the end of what rings on; in sounds
# that rise so far over their noise.
_BURST_S, _RINGING_S, _CLEAN_DB = 0.05, 0.025, 30.0
# Stops keep the silence of their closure.
_STOPS = frozenset("PTKBDG") | {"CH", "JH"}
_VOICELESS = frozenset("PTK")
_LOGIT_LIMIT = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What the network says of a sound.

    `posteriors` float32 [n, 40], natural log, a row per 10 ms; `boundaries` float32 [2 n],
    log odds per 5 ms.
    """

    posteriors: Floats
    boundaries: Floats


@dataclass(frozen=True, slots=True)
class Placed:
    """A phone of word `word` (an index into the script), seconds, and its mean log score."""

    word: int
    phone: str
    start_s: float
    end_s: float
    score: float


def hear(sound: Sound, network: Network) -> Heard:
    """Run `network` over `sound` (any rate)."""
    from media.audio import resample

    return Heard(*network(features(resample(sound, RATE).samples)))


def place(
    heard: Heard,
    words: Sequence[Sequence[str]],
    network: Network,
    guide: Sequence[tuple[float, float]] | None = None,
) -> list[Placed] | None:
    """The phones of `words` (pronunciations, phones joined by spaces) in `heard`.

    `guide` is where another aligner puts each word, in seconds: to leave it costs more the
    farther it leads. None when there are more phones than frames.
    """
    steps = divided(heard, words, network, guide)
    if steps is None:
        return None
    edges = _sharpened([s.start for s in steps] + [steps[-1].stop], heard.boundaries)
    return [
        Placed(s.word, PHONES[s.phone], a, b, _score(heard, s))
        for s, (a, b) in zip(steps, pairwise(edges), strict=True)
        if s.phone != SILENCE
    ]


def divided(
    heard: Heard,
    words: Sequence[Sequence[str]],
    network: Network,
    guide: Sequence[tuple[float, float]] | None = None,
    *,
    whole: bool = True,
) -> list[Step] | None:
    """The best way through `words` and their pauses, in frames; see `place`.

    Unless `whole`, as many of the words, from the first on, as the sound has.
    """
    tuning = network.tuning
    scores = heard.posteriors - tuning.prior * network.weights["log_prior"]
    fine = np.clip(heard.boundaries, -_LOGIT_LIMIT, _LOGIT_LIMIT)
    # Frame t begins between the analyses 2 t - 1 and 2 t.
    edge = np.zeros(len(scores), np.float32)
    edge[1:] = np.maximum(fine[1:-1:2], fine[2::2])
    leash = None if guide is None else _leash(guide, len(scores))
    graph, odds = build_graph(words, _LEAST_FRAMES), tuning.boundary * edge
    found = best_path(graph, scores, odds, tuning.pause, leash, whole=whole)
    return None if found is None else found[0]


def _leash(guide: Sequence[tuple[float, float]], frames: int) -> Floats:
    """What each word costs in each frame: float32 [frames, words + 1], 0 for pauses."""
    times = (np.arange(frames)[:, None] + 0.5) * FRAME_S
    starts, ends = np.array(guide).T
    away = np.maximum(np.maximum(starts - times, times - ends), 0.0)
    cost = np.minimum(_LEASH_COST * away, _LEASH_LIMIT)
    return np.pad(cost, ((0, 0), (0, 1))).astype(np.float32)


def _score(heard: Heard, step: Step) -> float:
    """Mean log posterior of the phone in its frames: 0 is perfect, -3.7 knows nothing."""
    return float(np.mean(heard.posteriors[step.start : step.stop, step.phone]))


def _sharpened(frames: list[int], logits: Floats) -> list[float]:
    """Seconds of the boundaries before each of `frames`: the centre of what the boundary
    head sees within 25 ms, never past the middle of a neighbouring phone.
    """
    chance = 1.0 / (1.0 + np.exp(-np.clip(logits, -30, 30).astype(np.float64)))
    edges = [f * FRAME_S for f in frames]
    found = list(edges)
    for i in range(1, len(edges) - 1):
        low = max(edges[i] - _REACH_S, 0.5 * (edges[i - 1] + edges[i]))
        high = min(edges[i] + _REACH_S, 0.5 * (edges[i] + edges[i + 1]))
        first, last = int(np.ceil(low / FINE_S - 0.5)), int(np.floor(high / FINE_S - 0.5)) + 1
        first, last = max(first, 0), min(last, len(chance))
        if last <= first:
            continue
        times = (np.arange(first, last) + 0.5) * FINE_S
        weights = chance[first:last] * np.exp(-0.5 * ((times - edges[i]) / _SPREAD_S) ** 2)
        peak = int(np.argmax(weights))
        near = slice(max(0, peak - 2), peak + 3)
        mass = weights[near] ** 2
        if mass.sum() > 1e-6:
            found[i] = float((times[near] * mass).sum() / mass.sum())
    return found


def joined(phones: list[Placed], duration_s: float) -> list[tuple[float, float]]:
    """Start and end of every phone inside the sound, in order, small gaps closed."""
    edges = [[p.start_s, p.end_s] for p in phones]
    for i in range(1, len(edges)):
        gap = edges[i][0] - edges[i - 1][1]
        if 0 < gap < _LEAST_PAUSE_S:
            share = 0.0 if phones[i].phone in _STOPS else 0.5 * gap
            edges[i][0] = edges[i - 1][1] = edges[i - 1][1] + share
    at, left = 0.0, len(edges)
    least = min(_LEAST_PHONE_S, duration_s / (2 * left))
    found: list[tuple[float, float]] = []
    for start, end in edges:
        begin = min(max(start, at), duration_s - left * least)
        left -= 1
        at = min(max(end, begin + least), duration_s - left * least)
        found.append((begin, at))
    return found


def _timing(script: Script, phones: list[Placed], duration_s: float, network: Network) -> Timing:
    """Written words over their phones."""
    tuning = network.tuning

    def sure(group: Sequence[Placed]) -> float:
        lengths = np.array([p.end_s - p.start_s for p in group]) + 0.01
        score = float(np.average([p.score for p in group], weights=lengths))
        value = 1.0 / (1.0 + np.exp(-(tuning.slope * score + tuning.offset)))
        return float(np.clip(value, 0.02, 0.99))

    times = joined(phones, duration_s)
    spans = [Span(p.phone, a, b, sure([p])) for p, (a, b) in zip(phones, times, strict=True)]
    words: list[Span] = []
    for first, last in script.written_words():
        inside = [i for i, p in enumerate(phones) if first <= p.word < last]
        if inside:
            start, end = spans[inside[0]].start_s, spans[inside[-1]].end_s
            confidence = sure([phones[i] for i in inside])
            words.append(Span(script.words[first].written, start, end, confidence))
    return Timing(tuple(words), tuple(spans), duration_s, engine="nnet")


def _rung_out(phones: list[Placed], loud: NDArray[np.bool_], duration_s: float) -> list[Placed]:
    """Phrases ended up to 25 ms later, where the sound (`loud` or not every `HOP_S`) goes on.

    The network has learnt phrases' ends from durations, which hardly know them.
    """
    settled = list(phones)
    for i, phone in enumerate(phones):
        after = phones[i + 1].start_s if i + 1 < len(phones) else duration_s
        if i + 1 == len(phones) or after - phone.end_s > _LEAST_PAUSE_S:
            last = min(after, phone.end_s + _RINGING_S)
            ringing = np.flatnonzero(loud[round(phone.end_s / HOP_S) : round(last / HOP_S)])
            if len(ringing):
                end = (round(phone.end_s / HOP_S) + ringing[-1] + 1) * HOP_S
                settled[i] = replace(phone, end_s=max(phone.end_s, end))
    return settled


def _opened(phones: list[Placed], loud: NDArray[np.bool_]) -> list[Placed]:
    """Phrases begun where they are heard.

    [p], [t] and [k] get the closure before their burst; voiced stops do not, for their closure is
    heard where it is voiced.
    """
    settled = list(phones)
    for i, phone in enumerate(phones):
        before = phones[i - 1].end_s if i else 0.0
        if i == 0 or phone.start_s - before > _LEAST_PAUSE_S:
            start = _begun(loud, phone, before)
            if phone.end_s - start > _LEAST_PHONE_S:
                settled[i] = replace(phone, start_s=start)
    return settled


def _begun(loud: NDArray[np.bool_], phone: Placed, before: float) -> float:
    """Where a phrase's first phone begins, given which frames of `HOP_S` are loud.

    At most `_BURST_S` from where the network puts it, and never past its middle. What is too
    faint to be loud by then begins where the network says, and so does what follows a breath or
    a noise that reaches farther back than is looked: no start is to be heard there.
    """
    middle = 0.5 * (phone.start_s + phone.end_s)
    earliest = max(before, phone.start_s - _BURST_S)
    if not loud[round(earliest / HOP_S) : round(middle / HOP_S)].any():
        return phone.start_s
    farthest = max(0, round((earliest - BEFORE_S) / HOP_S)) * HOP_S
    if 0 < phrase_start(loud, earliest, middle, "") <= farthest:
        return phone.start_s
    label = phone.phone if phone.phone in _VOICELESS else ""
    start = phrase_start(loud, earliest, middle, label)
    return float(np.clip(start, earliest, min(phone.start_s + _BURST_S, middle)))


Hearing = Callable[["Sound", Network], Heard]
"""How a network hears a sound (any rate): `hear`, or what remembers that (`align.memory`)."""


class NnetAligner:
    """The learned aligner. `weights` is a file of the training command's; None, the shipped one.

    `hearing` runs the network.
    """

    name = "nnet"

    def __init__(self, weights: Path | None = None, hearing: Hearing = hear) -> None:
        self._weights, self._hear = weights, hearing

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time every word and phone of `script` in `sound` (any rate).

        What cannot be followed is spread over the sound with a confidence of at most 0.1
        (`engine` is then "spread"). Raises `AlignError` when the words could not be spoken
        in so short a sound.
        """
        return self.align_near(sound, script, None)

    def align_near(
        self,
        sound: Sound,
        script: Script,
        guide: Sequence[tuple[float, float]] | None,
        other: Timing | None = None,
    ) -> Timing:
        """The same with a `guide`: where another aligner puts each spoken word (seconds).

        Where the sound is clean, boundaries meet those of `other`, a second timing, halfway.
        """
        duration = float(sound.duration_s)
        check_fits(script, duration)
        network = load_network(self._weights or aligner_path())
        phones = place(self._hear(sound, network), pronunciations(script), network, guide)
        if phones is None:
            from align.spread import spread

            return spread(sound, script)
        levels = loudness(sound)
        floor, top = np.percentile(levels, (5, 97))
        if top - floor >= _CLEAN_DB:
            loud = levels > speech_level(levels)
            phones = _rung_out(phones, loud, duration)
            if other is not None:
                phones = halfway(phones, script, other)
            phones = _opened(phones, loud)
        return _timing(script, phones, duration, network)
