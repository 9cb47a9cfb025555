"""What a fit aims at: each clip's words, phoneme lengths, pitch, energy and sound."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from align.text import speakable
from media.audio import Sound
from media.errors import TextError
from voice._band import band_limited
from voice._side_by_side import side_by_side
from voice.archive import Clip
from voice.dtw import cepstra, warp
from voice.engines import Synthesizer, Utterance
from voice.pitch import frame_energy, track_f0
from voice.voice import Voice
from weights.registry import locate

__all__ = ["FRAME_SAMPLES", "Target", "make_targets", "vocabulary"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

FRAME_SAMPLES = 600
_RATE = 24_000
_LEAD, _TAIL = 12, 8  # frames of silence before and after the words, as the engine likes it
_WORST_COST = 0.5  # of a path step; other words than those said lie above .6
_RELATIVE_COST = 1.4  # and no clip may fit this much worse than the middle one
_TRIM_DB = 40.0
_CEPSTRA_HZ = 7500.0


def _any_band(_clip: Clip) -> tuple[float, float]:
    return 0.0, _RATE / 2


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One clip laid out on the engine's own frames of 25 ms.

    `tokens` are the engine's numbers of the phonemes (without end marks); `durations`
    int64 [tokens + 2] frames with both ends; `f0` (Hz, 0 unvoiced) and `energy` float32
    [2 n] in 12.5 ms steps; `samples` float32 [600 n] at 24 kHz, at the engine's own
    level. `speech` are the first and last frame of the words; `cost` is how ill the
    words fitted (mean cost of a step of the warping path). `number` is the clip's among those
    given, `band` as the clip's.
    """

    text: str
    tokens: tuple[int, ...]
    durations: Ints
    f0: Floats
    energy: Floats
    samples: Floats
    speech: tuple[int, int]
    cost: float
    number: int = 0
    band: tuple[float, float] | None = None


@functools.cache
def vocabulary() -> Mapping[str, int]:
    """Number of each phoneme character that the engine knows."""
    table: dict[str, int] = json.loads(locate("kokoro-vocab").read_text("utf-8"))["vocab"]
    return table


def make_targets(
    clips: Sequence[Clip],
    synthesizer: Synthesizer,
    voice: Voice,
    *,
    f0_limits: tuple[float, float],
    progress: Callable[[float], None],
    band: Callable[[Clip], tuple[float, float]] = _any_band,
    workers: int = 1,
) -> list[Target]:
    """Align every clip with `voice` saying the same words.

    Clips whose words do not fit the sound are left out: a wrong transcript would teach
    the wrong lengths. `f0_limits` (Hz) bound the search for pitch. `band` gives the edges (Hz) of
    what a clip holds: the voice is heard in the same, so that like is laid on like and a level
    means the same. `workers` clips are worked at once.
    """
    made = side_by_side(
        lambda clip: _target(clip, synthesizer, voice, f0_limits, band(clip)),
        clips,
        workers,
        progress,
    )
    found = [replace(target, number=k) for k, target in enumerate(made) if target is not None]
    if not found:
        return []
    limit = min(_WORST_COST, _RELATIVE_COST * float(np.median([t.cost for t in found])))
    return [t for t in found if t.cost <= limit]


def _target(
    clip: Clip,
    synthesizer: Synthesizer,
    voice: Voice,
    f0_limits: tuple[float, float],
    band: tuple[float, float],
) -> Target | None:
    try:
        script = speakable(clip.text)
        spoken = synthesizer.speak(script, voice)
    except TextError:
        return None
    low_hz, top_hz = band
    model = replace(spoken, sound=band_limited(spoken.sound, top_hz, low_hz))
    known = [c in vocabulary() for c in script.kokoro]
    tokens = tuple(vocabulary()[c] for c in script.kokoro if c in vocabulary())
    if not 0 < len(tokens) <= 500:
        return None
    frames = model.durations[np.array([True, *known, True])]
    samples = _levelled(clip.sound, model)
    mine, theirs = (
        cepstra(x, top_hz=min(top_hz, _CEPSTRA_HZ)) for x in (model.sound.samples, samples)
    )
    borders, cost = warp(mine, theirs)
    durations = _durations(frames, borders, len(samples) // FRAME_SAMPLES)
    if durations is None:
        return None
    n = int(durations.sum())
    bias = _energy_bias(model)
    f0 = track_f0(Sound(samples, _RATE), floor_hz=f0_limits[0], ceiling_hz=f0_limits[1])
    return Target(
        text=clip.text,
        tokens=tokens,
        durations=durations,
        f0=_fitted(f0, 2 * n),
        energy=_fitted(frame_energy(samples), 2 * n) + bias,
        samples=samples[: n * FRAME_SAMPLES],
        speech=(int(durations[0]), n - int(durations[-1])),
        cost=cost,
        band=clip.band,
    )


def _fitted(values: Floats, n: int) -> Floats:
    return np.pad(values[:n], (0, max(0, n - len(values))), mode="edge").astype(np.float32)


def _energy_bias(model: Utterance) -> np.float32:
    """What to add to a measured energy to get the engine's own number for it."""
    measured = _fitted(frame_energy(model.sound.samples), len(model.energy))
    loud = model.energy > np.percentile(model.energy, 40)
    return np.float32(np.median((model.energy - measured)[loud]))


def _levelled(sound: Sound, model: Utterance) -> Floats:
    """The clip without its outer silence, as loud as the engine, between quiet ends."""
    from librosa.effects import trim

    speech, _ = trim(sound.samples, top_db=_TRIM_DB, frame_length=1024, hop_length=256)
    loud = _speech_rms(model.sound.samples) / max(_speech_rms(speech), 1e-9)
    rng = np.random.default_rng(0)
    whole = -(-len(speech) // FRAME_SAMPLES) * FRAME_SAMPLES - len(speech)
    parts = (
        rng.standard_normal(_LEAD * FRAME_SAMPLES) * 1e-4,
        speech * loud,
        rng.standard_normal(whole + _TAIL * FRAME_SAMPLES) * 1e-4,
    )
    return np.concatenate(parts).astype(np.float32)


def _speech_rms(samples: Floats) -> float:
    """RMS of the 20 ms frames within 30 dB of the loudest."""
    n = len(samples) // 480
    power = (samples[: n * 480].reshape(n, 480).astype(np.float64) ** 2).mean(axis=1)
    return float(np.sqrt(power[power > power.max() * 1e-3].mean())) if n else 0.0


def _durations(frames: Ints, borders: NDArray[np.float64], n_frames: int) -> Ints | None:
    """Whole lengths of the tokens in the clip; None when there is no room for them.

    `frames` are the engine's own lengths, `borders` where its 12.5 ms frames fall in the
    clip. Every token keeps at least one frame.
    """
    edges = np.concatenate([[0], np.cumsum(frames)]) * 2
    at = np.round(borders[np.clip(edges, 0, len(borders) - 1)] / 2).astype(np.int64)
    if n_frames < len(frames):
        return None
    at[0], at[-1] = 0, n_frames
    steps = np.arange(len(at))
    # At least one frame each: push right, then back from the end.
    at = np.maximum.accumulate(at - steps) + steps
    at[-1] = n_frames
    at = np.minimum.accumulate((at - steps)[::-1])[::-1] + steps
    durations: Ints = np.diff(at)
    return durations if at[0] == 0 and int(durations.min()) >= 1 else None
