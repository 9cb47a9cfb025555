"""Whose voice a clip is: the wanted speaker among several.

    prints = voice_print(sound)                      # per clip
    choice = choose_speaker(prints, seconds, reference=None)
    choice.cluster, choice.likeness, choice.wanted

Clips are compared by both encoders of `voice.similarity` at once and joined by average linkage.
Both take a telephone for another person, so every clip is also heard through one, and clips of
different bands are compared by that. The wanted voice is the one of the reference, or whoever
speaks longest. Pieces of 1.6 s show where a clip changes hands in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from media.audio import Sound
from media.errors import ArchiveError, NoSpeechError
from voice.pitch import bandwidth_hz
from voice.similarity import ENCODER_RATE, ge2e, judge, prepare

__all__ = ["Choice", "VoicePrint", "choose_speaker", "reference_print", "voice_print"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

_PIECE = 160  # frames of 10 ms
_STEP = 80
_APART = 0.32  # distance (1 - mean cosine of both encoders) at which voices are different
_THROUGH_TELEPHONE = 1.9  # by which distances are smaller there
_NARROW_HZ = 4_500.0
_TELEPHONE_HZ = (300.0, 3_400.0)
_TELEPHONE_S = 4.0  # of a clip, from its middle
_LEAST_LIKE = 0.62  # a clip less like the wanted voice is another's, or spoilt
_REFERENCE_S = 120.0
_MOST_COMPARED = 400
_MOST_LINKED = 3000  # clips joined by linkage; more are sorted to the clusters found
_OTHER_BY = 0.10  # a piece so much more like another voice is another's
_OTHER_PIECES = 2


@dataclass(frozen=True, slots=True, eq=False)
class VoicePrint:
    """`whole` and `narrow` (through a telephone) float32 [512] of unit length.

    `pieces` float32 [k, 256] are GE2E's of every 0.8 s; `is_narrow` says that the clip has the
    band of a telephone itself.
    """

    whole: Floats
    narrow: Floats
    pieces: Floats
    is_narrow: bool


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """`cluster` int64 [n]: the voice of each clip, numbered by how long they speak (0 longest).

    `wanted` is the chosen number, `seconds` how long each voice speaks, `likeness` float32 [n] of
    each clip to the chosen voice, `mixed` bool [n]: part of the clip is another voice.
    """

    cluster: Ints
    wanted: int
    seconds: tuple[float, ...]
    likeness: Floats
    mixed: NDArray[np.bool_]
    least: float


def voice_print(sound: Sound) -> VoicePrint:
    """The prints of one clip. Raises `NoSpeechError` for silence."""
    is_narrow = bandwidth_hz(sound) < _NARROW_HZ
    samples = prepare(sound)
    whole, pieces = _encoded(samples)
    middle = max(0, len(samples) - int(_TELEPHONE_S * ENCODER_RATE)) // 2
    part = samples[middle : len(samples) - middle]
    narrow, _ = _encoded(_through_telephone(part))
    return VoicePrint(whole, narrow, pieces, is_narrow)


def _through_telephone(samples: Floats) -> Floats:
    """The samples through a telephone."""
    from scipy.signal import butter, sosfiltfilt

    band = butter(6, _TELEPHONE_HZ, "band", fs=ENCODER_RATE, output="sos")
    return np.asarray(sosfiltfilt(band, samples.astype(np.float64)), dtype=np.float32)


def _encoded(samples: Floats) -> tuple[Floats, Floats]:
    """(print float32 [512], pieces float32 [k, 256]) of samples at 16 kHz."""
    encoder = ge2e()
    rms = float(np.sqrt(np.mean(samples**2)))
    level = torch.from_numpy(samples * np.float32(0.05 / max(rms, 1e-9)))[None]
    with torch.no_grad():
        mel = encoder.mel(level)[0]
        if len(mel) < _PIECE:
            mel = torch.nn.functional.pad(mel, (0, 0, 0, _PIECE - len(mel)))
        starts = range(0, len(mel) - _PIECE + 1, _STEP)
        pieces = encoder(torch.stack([mel[s : s + _PIECE] for s in starts])).numpy()
    first = _unit(pieces.mean(axis=0))
    second = judge().embed(Sound(samples, ENCODER_RATE))
    return _unit(np.concatenate([first, second])), pieces.astype(np.float32)


def reference_print(sound: Sound, name: str) -> VoicePrint:
    """The print of a reference recording. Raises `ArchiveError` when nobody speaks in it."""
    from align.vad import speech_probability, speech_spans

    sound = sound.cut(0, _REFERENCE_S)
    spans = speech_spans(speech_probability(sound), float(sound.duration_s))
    if sum(b - a for a, b in spans) < 1.0:
        raise ArchiveError(
            f"nobody speaks in the reference '{name}' for a second; give a recording of the person"
        )
    spoken = np.concatenate([sound.cut(a, b).samples for a, b in spans])
    try:
        return voice_print(Sound(spoken, sound.rate))
    except NoSpeechError as error:
        raise ArchiveError(f"the reference '{name}' cannot be used: {error}") from error


def choose_speaker(
    prints: Sequence[VoicePrint],
    seconds: Sequence[float],
    reference: VoicePrint | None = None,
    *,
    reference_name: str = "",
) -> Choice:
    """Tell the voices in the clips apart and choose one.

    Raises `ArchiveError` when nobody sounds like the `reference`.
    """
    cluster, totals = _by_length(_clusters(prints), np.asarray(seconds))
    wanted = 0
    if reference is not None:
        near = [
            float(_likeness([reference], _of(prints, cluster, k))[0]) for k in range(len(totals))
        ]
        wanted = int(np.argmax(near))
        if near[wanted] < _LEAST_LIKE:
            raise ArchiveError(
                f"nobody in these recordings sounds like '{reference_name}' (the nearest of "
                f"{len(near)} voices is {near[wanted]:.2f} alike, {_LEAST_LIKE:.2f} is "
                "needed); give another reference, or none to take whoever speaks most"
            )
    likeness = _likeness(prints, _of(prints, cluster, wanted))
    mixed = _mixed(prints, cluster, wanted, len(totals))
    return Choice(cluster, wanted, totals, likeness, mixed & (cluster == wanted), _LEAST_LIKE)


def _of(prints: Sequence[VoicePrint], cluster: Ints, number: int) -> list[VoicePrint]:
    """The prints of one voice, a few hundred at most, from all over."""
    own = [p for p, c in zip(prints, cluster, strict=True) if c == number]
    return own[:: max(1, len(own) // _MOST_COMPARED)]


def _likeness(prints: Sequence[VoicePrint], voice: Sequence[VoicePrint]) -> Floats:
    """Mean likeness of each print to those of a voice (itself apart), float32 [n]."""
    distance = _distances(prints, voice)
    same = np.array([[p is q for q in voice] for p in prints])
    others = np.maximum((~same).sum(axis=1), 1)
    return np.asarray(1 - np.where(same, 0, distance).sum(axis=1) / others, dtype=np.float32)


def _distances(a: Sequence[VoicePrint], b: Sequence[VoicePrint]) -> Floats:
    """Float32 [len(a), len(b)]: by what both clips have, their whole band or a telephone's."""
    wide = 1 - np.stack([p.whole for p in a]) @ np.stack([p.whole for p in b]).T
    narrow = 1 - np.stack([p.narrow for p in a]) @ np.stack([p.narrow for p in b]).T
    mine, theirs = (np.array([p.is_narrow for p in part]) for part in (a, b))
    same_band = mine[:, None] == theirs[None]
    return np.asarray(np.where(same_band, wide, _THROUGH_TELEPHONE * narrow), dtype=np.float32)


def _clusters(prints: Sequence[VoicePrint]) -> Ints:
    """A number for the voice of each clip, by average linkage."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(prints) == 1:
        return np.zeros(1, np.int64)
    step = -(-len(prints) // _MOST_LINKED)
    chosen = list(prints[::step])
    distance = np.maximum(_distances(chosen, chosen).astype(np.float64), 0)
    distance = (distance + distance.T) / 2
    np.fill_diagonal(distance, 0)
    labels = fcluster(linkage(squareform(distance), "average"), _APART, "distance") - 1
    if step == 1:
        return np.asarray(labels, dtype=np.int64)
    near = [_likeness(prints, _of(chosen, labels, k)) for k in range(int(labels.max()) + 1)]
    return np.asarray(np.argmax(near, axis=0), dtype=np.int64)


def _by_length(labels: Ints, seconds: NDArray[np.float64]) -> tuple[Ints, tuple[float, ...]]:
    """The labels numbered by how long each voice speaks, longest first; and how long."""
    names = np.unique(labels)
    totals = np.array([seconds[labels == k].sum() for k in names])
    order = np.argsort(-totals, kind="stable")
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    cluster = rank[np.searchsorted(names, labels)]
    return cluster, tuple(float(t) for t in totals[order])


def _mixed(
    prints: Sequence[VoicePrint], cluster: Ints, wanted: int, count: int
) -> NDArray[np.bool_]:
    """Clips in which some seconds are more like another voice than like the wanted one."""
    mixed = np.zeros(len(prints), bool)
    for is_narrow in (False, True):  # bands are not compared with each other
        centres: dict[int, Floats] = {}
        for k in range(count):
            own = [p.pieces for p in _of(prints, cluster, k) if p.is_narrow == is_narrow]
            if own:
                centres[k] = _unit(np.concatenate(own).mean(axis=0))
        if wanted not in centres or len(centres) < 2:
            continue
        others = np.stack([c for k, c in centres.items() if k != wanted])
        for i, found in enumerate(prints):
            if found.is_narrow == is_narrow and len(found.pieces):
                gain = (found.pieces @ others.T).max(axis=1) - found.pieces @ centres[wanted]
                run = np.convolve(gain > _OTHER_BY, np.ones(_OTHER_PIECES))
                mixed[i] = bool(run.max(initial=0) >= _OTHER_PIECES)
    return mixed


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), dtype=np.float32)
