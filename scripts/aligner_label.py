"""Training clips labelled by the aligner itself, and the numbers found after training.

`roughly_labelled` gives recordings PocketSphinx's times to begin with, `labelled` those of a
trained network, without the recordings that it cannot follow; `smoothed` takes the 25 ms grid
out of synthesised ones; `tuned` chooses the weights of the search and calibrates the
confidence on voices that were not trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import aligner_wear as wear
import numpy as np
from aligner_corpus import RATE, Clip

from align.engines._network import PHONES, Network, Tuning
from align.engines.nnet import Heard, Placed, hear, joined, place
from align.engines.sphinx import phones_in
from media.audio import Sound

_NUMBER = {phone: number for number, phone in enumerate(PHONES)}
# A recording whose mean log score is below the first, or which has a word below the second,
# does not say its text.
_WORST_SCORE, _WORST_WORD = -1.8, -4.5
# Known and found edges farther apart than this are not about the same thing.
_AGREE_S = 0.03


def _spans(phones: list[Placed], seconds: float) -> np.ndarray:
    return np.array(joined(phones, seconds)).reshape(-1, 2)


def labelled(clips: Sequence[Clip], network: Network) -> list[Clip]:
    """The clips with the times that `network` finds, without those that it cannot follow."""
    kept: list[Clip] = []
    for clip in clips:
        phones = place(hear(Sound(clip.samples, RATE), network), clip.variants, network)
        scores = [score for _, score in word_scores(phones)]
        if phones is None or np.mean(scores) < _WORST_SCORE or min(scores) < _WORST_WORD:
            print(f"left out: {clip.name}: cannot be followed")
            continue
        numbers = np.array([_NUMBER[p.phone] for p in phones], np.int64)
        spans = _spans(phones, clip.seconds)
        kept.append(replace(clip, spans=spans, phones=numbers, coarse=False))
    return kept


def roughly_labelled(clips: Sequence[Clip]) -> list[Clip]:
    """The clips with PocketSphinx's times, to begin with: right to about 30 ms."""
    kept: list[Clip] = []
    for clip in clips:
        found = phones_in(Sound(clip.samples, RATE), clip.variants)
        if found is not None:
            numbers = np.array([_NUMBER[p.label] for _, p in found], np.int64)
            spans = np.array([(p.start_s, p.end_s) for _, p in found])
            kept.append(replace(clip, spans=spans, phones=numbers, coarse=True))
    return kept


def smoothed(clips: Sequence[Clip], network: Network) -> list[Clip]:
    """Synthesised clips with each edge halfway to where `network` hears it, if it is near."""
    found: list[Clip] = []
    for clip in clips:
        words = [(w,) for w in clip.words]
        phones = place(hear(Sound(clip.samples, RATE), network), words, network)
        if phones is None or len(phones) != len(clip.phones):
            found.append(clip)
            continue
        heard = _spans(phones, clip.seconds)
        near = np.abs(heard - clip.spans) < _AGREE_S
        spans = np.where(near, 0.5 * (heard + clip.spans), clip.spans)
        spans = np.maximum.accumulate(spans.reshape(-1)).reshape(-1, 2)
        found.append(replace(clip, spans=spans))
    return found


def log_prior(clips: Sequence[Clip]) -> np.ndarray:
    """log share of time of every class: float32 [40]; the pauses are silence."""
    time = np.full(len(PHONES), 1.0)
    for clip in clips:
        np.add.at(time, clip.phones, clip.spans[:, 1] - clip.spans[:, 0])
        time[0] += clip.seconds - (clip.spans[:, 1] - clip.spans[:, 0]).sum()
    return np.log(time / time.sum()).astype(np.float32)


def edge_errors(clip: Clip, phones: list[Placed] | None) -> np.ndarray:
    """ms from every edge of a clip to the nearest one found."""
    if phones is None:
        return np.full(2 * len(clip.phones), 250.0)
    found = _spans(phones, clip.seconds).reshape(-1)
    known = clip.spans.reshape(-1)
    return 1000 * np.abs(known[:, None] - found[None]).min(axis=1)


def _wears(clip: Clip, rng: np.random.Generator) -> Iterator[np.ndarray]:
    yield clip.samples
    yield wear.with_noise(clip.samples, 10, rng.normal(0, 1, len(clip.samples)))
    yield wear.in_room(clip.samples, wear.room(0.5, 0.0, RATE, rng))


def tuned(clips: Sequence[Clip], network: Network, seed: int) -> Tuning:
    """The weights of the search with the least mean error on `clips`, clean and worn."""
    rng = np.random.default_rng(seed)
    heard = [
        (c, hear(Sound(s.astype(np.float32), RATE), network)) for c in clips for s in _wears(c, rng)
    ]
    best, least = network.tuning, np.inf
    for prior, boundary, pause in product((0.0, 0.3, 0.6), (0.3, 0.6, 1.0), (0.0, 2.0, 4.0)):
        tuning = replace(network.tuning, prior=prior, boundary=boundary, pause=pause)
        trial = Network(network.weights, network.dilations, tuning)
        errors = [edge_errors(c, place(h, [(w,) for w in c.words], trial)) for c, h in heard]
        mean = float(np.concatenate(errors).mean())
        print(f"prior {prior} boundary {boundary} pause {pause}: {mean:.2f} ms")
        if mean < least:
            best, least = tuning, mean
    network = Network(network.weights, network.dilations, best)
    return _calibrated(heard, network, rng)


def _calibrated(
    heard: Sequence[tuple[Clip, Heard]], network: Network, rng: np.random.Generator
) -> Tuning:
    """Logistic regression: is a word said, given its mean log score? A third of the words of
    each clip are exchanged for others of the clips.
    """
    vocabulary = sorted({w for clip, _ in heard for w in clip.words})
    scores: list[float] = []
    right: list[float] = []
    for clip, sound in heard:
        wrong = rng.random(len(clip.words)) < 0.33
        words = [
            str(rng.choice(vocabulary)) if bad else w
            for w, bad in zip(clip.words, wrong, strict=True)
        ]
        for index, score in word_scores(place(sound, [(w,) for w in words], network)):
            scores.append(score)
            right.append(float(words[index] == clip.words[index]))
    slope, offset = _logistic(np.array(scores), np.array(right))
    return replace(network.tuning, slope=slope, offset=offset)


def word_scores(phones: list[Placed] | None) -> Iterator[tuple[int, float]]:
    """(word, mean log score weighed by length) of what `place` found."""
    groups: dict[int, list[Placed]] = {}
    for phone in phones or ():
        groups.setdefault(phone.word, []).append(phone)
    for word, group in groups.items():
        weights = [p.end_s - p.start_s + 0.01 for p in group]
        yield word, float(np.average([p.score for p in group], weights=weights))


def _logistic(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and offset by Newton's method, a little regularised."""
    design = np.stack([x, np.ones_like(x)], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (y - chance) - 0.01 * weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + 0.01 * np.eye(2)
        weights = weights + np.linalg.solve(curvature, gradient)
    return round(float(weights[0]), 3), round(float(weights[1]), 3)
