"""The Perth watermark network, written out so that nothing else of its package is imported.

The architecture and the weights are Resemble AI's Perth (MIT licence): a stack of 1-D
convolutions over the level spectrogram below 2 kHz adds a mark (`encoder`) and another
finds it at three speeds (`decoder`). The package itself imports pkg_resources, prints
while it loads and, through its own resampling, removes everything above 16 kHz; the
network is all that is needed, and a test holds this definition to the package's output.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["HOP", "RATE", "PerthNet", "load_perth"]

RATE = 32_000  # Hz, the only rate the network knows
HOP = 320  # samples
_WINDOW = 2048  # samples, also the transform's length
_BINS = 128  # the band that carries the mark: bins below 2 kHz
_HIDDEN = 256
_FLOOR = 1e-9  # magnitudes below are treated as this
_FLOOR_DB, _HEADROOM_DB = -180.0, 15.0
_SOUNDING = 0.05  # a frame counts when its summed level exceeds this part of the loudest


class _Conv(nn.Module):
    def __init__(self, inputs: int, outputs: int, width: int, active: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, width, padding=(width - 1) // 2)
        self.active = active

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return functional.leaky_relu(x) if self.active else x


def _stack(outputs: int) -> nn.Sequential:
    middle = [_Conv(_HIDDEN, _HIDDEN, 7) for _ in range(5)]
    return nn.Sequential(_Conv(_BINS, _HIDDEN, 1), *middle, _Conv(_HIDDEN, outputs, 1, False))


def _sounding(level: Tensor) -> Tensor:
    """float [1, 1, T]: 1 where a frame of level [1, F, T] is loud enough to count."""
    total = level.sum(dim=1)
    return (total > total.amax(dim=1, keepdim=True) * _SOUNDING).float()[:, None]


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = _stack(_BINS)

    def forward(self, level: Tensor) -> Tensor:
        """The change of level to make, [1, 128, T] for level [1, F, T]."""
        change: Tensor = self.layers(level[:, :_BINS]) * _sounding(level)
        return change


class _Decoder(nn.Module):
    _SPEEDS = (("slow_layers", 1.25), ("normal_layers", 1.0), ("fast_layers", 0.75))

    def __init__(self) -> None:
        super().__init__()
        for name, _ in self._SPEEDS:
            setattr(self, name, _stack(2))

    def forward(self, level: Tensor) -> Tensor:
        """How surely level [1, F, T] carries the mark: [1], about 0 to about 1."""
        mask, band, frames = _sounding(level), level[:, :_BINS], level.shape[2]
        weights, marks = [], []
        for name, speed in self._SPEEDS:
            size = int(frames * speed)
            at_speed = functional.interpolate(band, size=size, mode="linear", align_corners=True)
            counted = functional.interpolate(mask, size=size, mode="nearest")
            mean = (getattr(self, name)(at_speed) * counted).sum(dim=2) / counted.sum(dim=2)
            weights.append(mean[:, 0])
            marks.append(mean[:, 1])
        weight = torch.softmax(torch.stack(weights, dim=1), dim=1)
        return (weight * torch.stack(marks, dim=1)).sum(dim=1)


class PerthNet(nn.Module):
    """Encoder, decoder and the spectrogram they work on; 32 kHz sound in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Encoder()
        self.decoder = _Decoder()
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)

    def spectrum(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """float [n] -> (normalised level [1, 1025, T], phase in radians [1, 1025, T])."""
        window = self.get_buffer("window")
        spec = torch.stft(samples[None], _WINDOW, HOP, window=window, return_complex=True)
        level = 20 * torch.log10(spec.abs().clamp(min=_FLOOR))
        return (level - _FLOOR_DB) / (_HEADROOM_DB - _FLOOR_DB), spec.angle()

    def samples(self, level: Tensor, phase: Tensor, length: int) -> Tensor:
        """The inverse of `spectrum`: float [length]."""
        decibels = level * (_HEADROOM_DB - _FLOOR_DB) + _FLOOR_DB
        spec = torch.polar(10.0 ** (decibels / 20), phase)
        window = self.get_buffer("window")
        return torch.istft(spec, _WINDOW, HOP, window=window, length=length)[0]

    def mark_and_band(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """For float [n]: the mark to add, and the part of the sound in the mark's band."""
        level, phase = self.spectrum(samples)
        marked, without = level.clone(), level.clone()
        marked[:, :_BINS] += self.encoder(level)
        without[:, :_BINS] = 0
        plain = self.samples(level, phase, len(samples))
        mark = self.samples(marked, phase, len(samples)) - plain
        return mark, plain - self.samples(without, phase, len(samples))

    def confidence(self, samples: Tensor) -> float:
        """How surely float [n] carries the mark; 0 for digital silence."""
        if not bool(samples.any()):
            return 0.0
        return float(self.decoder(self.spectrum(samples)[0])[0].clamp(0, 1))


def load_perth(checkpoint: Path) -> PerthNet:
    """The network with its published weights, in evaluation mode on the CPU."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    wanted = {k: v for k, v in state.items() if k.startswith(("encoder.", "decoder."))}
    network = PerthNet()
    network.load_state_dict(wanted)
    return network.eval().requires_grad_(False)
