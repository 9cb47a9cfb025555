"""The learned aligner's network, run with NumPy: no framework is loaded to use it.

A frame of 10 ms in, three things out: which of 39 phones or silence sounds, and, on a grid
of 5 ms, whether a boundary lies there. Residual blocks of a dilated convolution over time
(kernel 3), SiLU and a 1x1 convolution, each behind an RMS norm (Zhang & Sennrich 2019); it
sees about half a second to either side. `scripts/train_aligner.py` holds the same network
in PyTorch and writes the file that is read here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from align.phones import ARPABET

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

__all__ = ["PHONES", "SILENCE", "Network", "Tuning", "load_network"]

PHONES = ("SIL", *sorted(ARPABET))
"""The classes, in the order of the network's outputs."""
SILENCE = 0
_KERNEL = 3
_EPSILON = 1e-5
# Frames worked on at once, and those that a chunk borrows from its neighbours.
_CHUNK = 6000


@dataclass(frozen=True, slots=True)
class Tuning:
    """Numbers found on the development voices after training.

    `prior` is the share of the log class priors taken off, `boundary` the weight of the
    boundary head between two phones, `pause` the cost of a pause; a word's confidence is
    the logistic function of `slope` * (its mean log score) + `offset`.
    """

    prior: float = 0.3
    boundary: float = 0.5
    pause: float = 1.0
    slope: float = 2.0
    offset: float = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """Weights by name (float32), the dilation of every block, and the tuning."""

    weights: Mapping[str, Floats]
    dilations: tuple[int, ...]
    tuning: Tuning

    @property
    def reach(self) -> int:
        """Frames of context to either side."""
        return sum(self.dilations) + 1

    def __call__(self, frames: Floats) -> tuple[Floats, Floats]:
        """(log posteriors float32 [n, 40], boundary logits float32 [2 n]) of `frames` [n, 96]."""
        parts: list[tuple[Floats, Floats]] = []
        for at in range(0, len(frames), _CHUNK):
            low, high = max(0, at - self.reach), min(len(frames), at + _CHUNK + self.reach)
            keep = slice(at - low, min(at + _CHUNK, len(frames)) - low)
            out = self._run(frames[low:high])[keep]
            parts.append((_log_softmax(out[:, :-2]), out[:, -2:].reshape(-1)))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _run(self, frames: Floats) -> Floats:
        w = self.weights
        x = _convolved(frames, w["stem.weight"], 1)
        x += w["stem.bias"]
        for number, dilation in enumerate(self.dilations):
            name = f"blocks.{number}."
            inner = _convolved(_normed(x, w[name + "norm"]), w[name + "wide.weight"], dilation)
            inner += w[name + "wide.bias"]
            x += _silu(inner) @ w[name + "out.weight"]
            x += w[name + "out.bias"]
        return _normed(x, w["norm"]) @ w["head.weight"] + w["head.bias"]


def _convolved(x: Floats, weight: Floats, dilation: int) -> Floats:
    """`x` [n, in] with `weight` [3, in, out]; zeros beyond the ends, as in training."""
    count, size = x.shape
    away = min(dilation, count)
    three = np.empty((count, _KERNEL, size), np.float32)  # one product is faster than three
    three[:away, 0] = 0.0
    three[away:, 0] = x[: count - away]
    three[:, 1] = x
    three[: count - away, 2] = x[away:]
    three[count - away :, 2] = 0.0
    return three.reshape(count, -1) @ weight.reshape(_KERNEL * size, -1)


def _normed(x: Floats, gain: Floats) -> Floats:
    mean = np.einsum("ij,ij->i", x, x)[:, None] / np.float32(x.shape[1])
    mean += np.float32(_EPSILON)
    np.sqrt(mean, out=mean)
    found: Floats = x / mean
    found *= gain
    return found


def _silu(x: Floats) -> Floats:
    """`x` / (1 + exp(-x)), in its place."""
    below = np.negative(x)
    np.minimum(below, 60.0, out=below)
    np.exp(below, out=below)
    below += 1.0
    x /= below
    return x


def _log_softmax(x: Floats) -> Floats:
    x = x - x.max(axis=1, keepdims=True)
    return np.asarray(x - np.log(np.exp(x).sum(axis=1, keepdims=True)), dtype=np.float32)


@cache
def load_network(path: Path) -> Network:
    """The network in the safetensors file `path` (float16 inside, float32 here)."""
    from safetensors import safe_open

    with safe_open(str(path), framework="numpy") as stream:
        notes = stream.metadata() or {}
        weights = {k: stream.get_tensor(k).astype(np.float32) for k in stream.keys()}  # noqa: SIM118
    dilations = tuple(int(d) for d in json.loads(notes["dilations"]))
    return Network(weights, dilations, Tuning(**json.loads(notes["tuning"])))
