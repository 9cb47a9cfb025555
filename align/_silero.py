"""The voice detector's network (Silero VAD, MIT), run with NumPy.

ONNX Runtime takes five times as long for it, since it is called for every 32 ms: here all but the
recurrent cell is worked out for many of them at once. The weights are read out of the ONNX file,
from the branch for 16 kHz; of its format (Protocol Buffers) just so much is understood as that
takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["CONTEXT", "FRAME", "Detector", "State", "read_detector"]

FRAME = 512
"""Samples (16 kHz) that get one probability."""
CONTEXT = 64
"""Samples before them that it looks at as well."""
_PAD, _SIZE, _HOP = 64, 256, 128
_CELLS = 128
_FAR = np.float32(60.0)
# Fields of ONNX messages: model, graph, node, attribute, tensor.
_GRAPH, _NODE, _ATTRIBUTE, _NODE_OUTPUT = 7, 1, 5, 2
_TENSOR, _BRANCH, _DIMS, _RAW = 5, 6, 1, 9
_BYTES = 2  # a wire type: so many bytes follow


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What the detector remembers: the samples before, float32 [64], and its cells, [128]."""

    before: Floats
    hidden: Floats
    cell: Floats

    @classmethod
    def silent(cls) -> State:
        """At the start of a sound."""
        hidden, cell = (np.zeros(_CELLS, np.float32) for _ in range(2))
        return cls(np.zeros(CONTEXT, np.float32), hidden, cell)


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """Weights float32, laid out for products from the right.

    `basis` [256, 258]; `layers` (weight [3 * in, out], bias [out], stride); `entry` [128, 512] and
    `bias` [512] of what comes in, `again` [128, 512] of what was there; the four gates are those
    of input, forgetting, output and value. `last` [128] and `offset` give the odds.
    """

    basis: Floats
    layers: tuple[tuple[Floats, Floats, int], ...]
    entry: Floats
    again: Floats
    bias: Floats
    last: Floats
    offset: float

    def __call__(self, samples: Floats, state: State) -> tuple[Floats, State]:
        """Probabilities of speech, float32 [n], of `samples` float32 [512 n], n > 0."""
        whole = np.concatenate([state.before, samples])
        parts = np.lib.stride_tricks.sliding_window_view(whole, CONTEXT + FRAME)[::FRAME]
        gates = self._seen(parts) @ self.entry + self.bias
        hidden, cell = state.hidden, state.cell
        outputs = np.empty((len(gates), _CELLS), np.float32)
        for row, output in zip(gates, outputs, strict=True):
            row += hidden @ self.again
            doors = 1.0 / (1.0 + np.exp(np.minimum(-row[: 3 * _CELLS], _FAR)))
            cell = doors[_CELLS : 2 * _CELLS] * cell
            cell += doors[:_CELLS] * np.tanh(row[3 * _CELLS :])
            hidden = np.multiply(doors[2 * _CELLS :], np.tanh(cell), out=output)
        odds = np.maximum(outputs, 0.0) @ self.last + np.float32(self.offset)
        return 1.0 / (1.0 + np.exp(np.minimum(-odds, _FAR))), State(
            whole[-CONTEXT:].copy(), hidden.copy(), cell
        )

    def _seen(self, parts: Floats) -> Floats:
        """What the layers before the cell make of stretches [n, 576]: [n, 128]."""
        echo = parts[:, -2 : -2 - _PAD : -1]  # mirrored at the end
        frames = np.lib.stride_tricks.sliding_window_view(
            np.concatenate([parts, echo], axis=1), _SIZE, axis=1
        )[:, ::_HOP]
        # As they lie they overlap, and NumPy before 2.3 multiplies such ones one number at a time.
        whole = frames.reshape(-1, _SIZE) @ self.basis
        both = whole.reshape(*frames.shape[:2], -1)
        half = both.shape[2] // 2
        x: Floats = np.sqrt(both[:, :, :half] ** 2 + both[:, :, half:] ** 2)
        for weight, bias, stride in self.layers:
            padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
            three = np.lib.stride_tricks.sliding_window_view(padded, 3, axis=1)[:, ::stride]
            flat = three.transpose(0, 1, 3, 2).reshape(*three.shape[:2], -1)
            x = np.maximum(flat @ weight + bias, 0.0)
        return x[:, 0]


def read_detector(path: Path) -> Detector:
    """The detector in the ONNX file `path`; raises `KeyError` for another model's."""
    found = dict(_tensors(memoryview(path.read_bytes()), (_GRAPH,)))

    def tensor(name: str) -> Floats:
        return found[f"If_0_then_branch__Inline_0__{name}"]

    layers = []
    for number, stride in enumerate((1, 2, 2, 1)):
        name = f"encoder.{number}.reparam_conv."
        weight = tensor(name + "weight")
        flat = weight.transpose(2, 1, 0).reshape(-1, len(weight))
        layers.append((np.ascontiguousarray(flat), tensor(name + "bias"), stride))
    # The cell's gates are those of PyTorch: input, forgetting, value, output.
    order = np.arange(4 * _CELLS).reshape(4, _CELLS)[[0, 1, 3, 2]].ravel()
    rnn = {k: tensor("decoder.rnn." + k)[order] for k in ("weight_ih", "weight_hh")}
    return Detector(
        np.ascontiguousarray(tensor("stft.forward_basis_buffer")[:, 0].T),
        tuple(layers),
        np.ascontiguousarray(rnn["weight_ih"].T),
        np.ascontiguousarray(rnn["weight_hh"].T),
        (tensor("decoder.rnn.bias_ih") + tensor("decoder.rnn.bias_hh"))[order],
        tensor("decoder.decoder.2.weight").ravel(),
        float(tensor("decoder.decoder.2.bias")[0]),
    )


def _tensors(message: memoryview, path: tuple[int, ...]) -> Iterator[tuple[str, Floats]]:
    """Names and values of all constants of numbers in a graph and the branches in it."""
    for number, value in _fields(message):
        if number == path[0] and isinstance(value, memoryview):
            if len(path) > 1:
                yield from _tensors(value, path[1:])
            else:
                yield from _nodes(value)


def _nodes(graph: memoryview) -> Iterator[tuple[str, Floats]]:
    for number, node in _fields(graph):
        if number != _NODE:
            continue
        parts = list(_fields(node))
        names = [bytes(v).decode() for k, v in parts if k == _NODE_OUTPUT]
        for kind, attribute in parts:
            if kind != _ATTRIBUTE:
                continue
            for part, value in _fields(attribute):
                if part == _TENSOR:
                    yield from ((names[0], t) for t in _numbers(value))
                elif part == _BRANCH:
                    yield from _nodes(value)


def _numbers(tensor: memoryview) -> Iterator[Floats]:
    fields = list(_fields(tensor))
    shape = [v for k, v in fields if k == _DIMS]
    raw = [v for k, v in fields if k == _RAW]
    if raw and all(isinstance(d, int) for d in shape):
        count = int(np.prod(shape))
        if len(raw[0]) == 4 * count:
            yield np.frombuffer(raw[0], "<f4").reshape(shape).astype(np.float32)


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """Number and value of each field of a message: an integer, or bytes."""
    at = 0
    while at < len(message):
        key, at = _integer(message, at)
        kind = key & 7
        if kind == 0:
            value, at = _integer(message, at)
            yield key >> 3, value
        else:
            size = {1: 8, 5: 4}.get(kind, 0)
            if kind == _BYTES:
                size, at = _integer(message, at)
            yield key >> 3, message[at : at + size]
            at += size


def _integer(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    found = shift = 0
    while True:
        byte = message[at]
        found |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return found, at
