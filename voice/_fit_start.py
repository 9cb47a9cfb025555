"""Where a fit begins: the stock voices, how each sounds, and the nearest to a person."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from align.text import speakable
from media.audio import Sound
from media.errors import MediaError, NoSpeechError
from media.files import atomic_path, user_cache_dir
from voice.engines import Synthesizer
from voice.pitch import median_f0, semitones, track_f0
from voice.similarity import cosine, ge2e, judge
from voice.voice import Voice, load_voice, stock_voices
from weights.registry import describe

__all__ = ["Known", "blend", "known_voices", "nearest", "within_reach"]

Floats = NDArray[np.float32]

SENTENCE = "The committee will meet again on Thursday afternoon to discuss the new budget."
_REACH = 6.0  # semitones between a person's median F0 and that of a voice to start from
_PER_SEMITONE = 0.01  # of cosine that a nearer pitch is worth
_AT_LEAST = 3  # voices considered even when none is within reach
_HEARD_AGAIN = 4  # through a narrow band
_FORMAT = "1"
_SHIPPED = Path(__file__).parent / "data" / "heard.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A voice and how it sounds on one sentence: both embeddings, median F0 in Hz."""

    voice: Voice
    ge2e: Floats
    judge: Floats
    f0: float


def known_voices(
    synthesizer: Synthesizer,
    voices: Sequence[Voice] | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> list[Known]:
    """`voices` (every stock voice by default) with how they sound.

    Those of the stock voices ship with the package; others take a second each, are kept
    in the user's cache, and are made again when a style or the model changes.
    """
    chosen = list(voices) if voices is not None else [load_voice(f"stock:{n}") for n in _names()]
    mark = _fingerprint(chosen)
    path = user_cache_dir() / f"stock-{mark}.npz"
    found = _read(_SHIPPED, mark) or _read(path, mark)
    if found is None:
        heard = []
        for k, voice in enumerate(chosen):
            heard.append(listen(synthesizer, voice))
            progress((k + 1) / len(chosen))
        found = _stacked(heard)  # rounded as kept, so that every run sees the same numbers
        _write(path, found, mark)
    return [Known(v, g, j, float(f)) for v, g, j, f in zip(chosen, *found, strict=True)]


def listen(
    synthesizer: Synthesizer, voice: Voice, heard: Callable[[Sound], Sound] | None = None
) -> Known:
    """How `voice` sounds on the one sentence, through `heard` where given; a style that makes no
    sound is far from all."""
    sound = synthesizer.speak(speakable(SENTENCE), voice).sound
    sound = sound if heard is None else heard(sound)
    try:
        return Known(voice, ge2e().embed(sound), judge().embed(sound), median_f0(track_f0(sound)))
    except NoSpeechError:
        nothing = np.zeros(256, np.float32)
        return Known(voice, nothing, nothing, float("nan"))


def _names() -> tuple[str, ...]:
    return tuple(name.removeprefix("stock:") for name in stock_voices())


def _fingerprint(voices: Sequence[Voice]) -> str:
    digest = hashlib.sha256((_FORMAT + SENTENCE + describe("kokoro-onnx").sha256).encode())
    for voice in voices:
        digest.update(voice.style.tobytes())
    return digest.hexdigest()[:16]


_Table = tuple[Floats, Floats, Floats]


def _stacked(heard: Sequence[Known]) -> _Table:
    def rounded(rows: list[Floats]) -> Floats:
        return np.stack(rows).astype(np.float16).astype(np.float32)

    f0 = np.array([k.f0 for k in heard], np.float32)
    return rounded([k.ge2e for k in heard]), rounded([k.judge for k in heard]), f0


def _read(path: Path, mark: str) -> _Table | None:
    """The table in `path` when it belongs to these voices."""
    try:
        with np.load(path) as saved:
            if str(saved["mark"]) != mark:
                return None
            ge2e_, judge_, f0 = (saved[k].astype(np.float32) for k in ("ge2e", "judge", "f0"))
            return ge2e_, judge_, f0
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, table: _Table, mark: str) -> None:
    """Keep the table; a cache that cannot be written costs only time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            np.savez_compressed(
                temporary,
                mark=np.array(mark),
                ge2e=table[0].astype(np.float16),
                judge=table[1].astype(np.float16),
                f0=table[2],
            )
    except (OSError, MediaError):
        return


def within_reach(known: Sequence[Known], f0: float) -> list[Known]:
    """The voices whose pitch is near `f0` (Hz): similarity alone may pick the wrong sex."""
    usable = [k for k in known if np.isfinite(k.f0) and k.f0 > 0]
    if not np.isfinite(f0) or f0 <= 0:
        return usable
    usable.sort(key=lambda k: abs(semitones(f0, k.f0)))
    near = [k for k in usable if abs(semitones(f0, k.f0)) <= _REACH]
    return near if len(near) >= _AT_LEAST else usable[:_AT_LEAST]


def blend(known: Sequence[Known], target: Floats) -> Voice | None:
    """The mixture of `known` whose embeddings mix to the nearest of `target`.

    Non-negative least squares (Lawson & Hanson 1974) on the GE2E embeddings; the styles
    are mixed with the same weights.
    """
    from scipy.optimize import nnls

    weights, _ = nnls(np.stack([k.ge2e for k in known], axis=1).astype(np.float64), target)
    if float(weights.sum()) <= 0 or int((weights > 0.05 * weights.sum()).sum()) < 2:
        return None
    weights /= weights.sum()
    style = sum(w * k.voice.style.astype(np.float64) for w, k in zip(weights, known, strict=True))
    return Voice("blend", np.asarray(style, np.float32))


def nearest(
    synthesizer: Synthesizer,
    known: Sequence[Known],
    target: Floats,
    f0: float,
    heard: Callable[[Sound], Sound] | None = None,
) -> tuple[Known, float]:
    """(the voice to start from, its GE2E cosine to `target`).

    The nearest stock voice within reach of `f0`, or a mixture of them when that sounds
    nearer still. `heard`, for recordings of a narrow band, gives a sound that band: the nearest
    few are then heard again through it.
    """
    near = within_reach(known, f0)

    def worth(k: Known) -> float:
        away = abs(semitones(f0, k.f0)) if f0 > 0 and k.f0 > 0 else 0.0
        return cosine(k.ge2e, target) - _PER_SEMITONE * away

    mixed = blend(near, target)
    if heard is not None:
        near = sorted(near, key=worth)[-_HEARD_AGAIN:]
        near = [listen(synthesizer, k.voice, heard) for k in near]
    more = [] if mixed is None else [listen(synthesizer, mixed, heard)]
    best = max([*near, *more], key=worth)
    return best, cosine(best.ge2e, target)
