"""The network of the Wav2Lip engine, its checkpoints, and the sound it listens to.

After K. R. Prajwal, R. Mukhopadhyay, V. Namboodiri and C. V. Jawahar, "A lip sync expert is all
you need for speech to lip generation in the wild", ACM Multimedia 2020: a face whose lower half is
blacked out and the same person's face as it is go through one encoder, 0.2 s of mel spectrum
through another, and a decoder with skip connections draws the face. Layers are numbered and
named as in the public checkpoints, so that those can be loaded.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from media.errors import WeightsError

if TYPE_CHECKING:
    from media.audio import Sound

__all__ = ["FACE", "MEL_BANDS", "MEL_STEPS", "Wav2Lip", "load_checkpoint", "mel_spectrum", "window"]

Floats = NDArray[np.float32]

#: Side of the face pictures in pixels.
FACE = 96
#: A window of the spectrum: bands and steps (of 12.5 ms).
MEL_BANDS, MEL_STEPS = 80, 16

_RATE, _HOP, _FFT = 16_000, 200, 800
_STEPS_PER_S = _RATE / _HOP

# Layers as (inputs, outputs, kernel, stride, padding); `_again` repeats a width with a skip.
_Layer = tuple[int, int, int, int | tuple[int, int], int]


class _Block(nn.Module):
    """Convolution, batch norm, ReLU; with `skip` the input is added before the ReLU."""

    def __init__(self, layer: _Layer, *, skip: bool = False, up: bool = False) -> None:
        super().__init__()
        inputs, outputs, kernel, stride, padding = layer
        make: Any = nn.ConvTranspose2d if up else nn.Conv2d
        more = {"output_padding": 1} if up and stride != 1 else {}
        convolution = make(inputs, outputs, kernel, stride, padding, **more)
        self.conv_block = nn.Sequential(convolution, nn.BatchNorm2d(outputs))
        self._skip = skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return torch.relu(y + x if self._skip else y)


def _stage(first: _Layer, again: int = 0, *, up: bool = False) -> list[nn.Module]:
    """A block that changes size or width, then `again` blocks that keep both."""
    same: _Layer = (first[1], first[1], 3, 1, 1)
    return [_Block(first, up=up), *(_Block(same, skip=True) for _ in range(again))]


class Wav2Lip(nn.Module):
    """mel [n, 1, 80, 16] and faces [n, 6, 96, 96] in 0..1 -> faces [n, 3, 96, 96] in 0..1.

    Channels are blue, green, red; first the face with its lower half black, then the reference.
    """

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = nn.ModuleList(
            nn.Sequential(*stage)
            for stage in (
                _stage((6, 16, 7, 1, 3)),
                _stage((16, 32, 3, 2, 1), 2),
                _stage((32, 64, 3, 2, 1), 3),
                _stage((64, 128, 3, 2, 1), 2),
                _stage((128, 256, 3, 2, 1), 2),
                _stage((256, 512, 3, 2, 1), 1),
                [*_stage((512, 512, 3, 1, 0)), *_stage((512, 512, 1, 1, 0))],
            )
        )
        self.audio_encoder = nn.Sequential(
            *_stage((1, 32, 3, 1, 1), 2),
            *_stage((32, 64, 3, (3, 1), 1), 2),
            *_stage((64, 128, 3, 3, 1), 2),
            *_stage((128, 256, 3, (3, 2), 1), 1),
            *_stage((256, 512, 3, 1, 0)),
            *_stage((512, 512, 1, 1, 0)),
        )
        # Every decoder stage also takes what the encoder made at its size.
        self.face_decoder_blocks = nn.ModuleList(
            nn.Sequential(*stage)
            for stage in (
                _stage((512, 512, 1, 1, 0)),
                _stage((1024, 512, 3, 1, 0), 1, up=True),
                _stage((1024, 512, 3, 2, 1), 2, up=True),
                _stage((768, 384, 3, 2, 1), 2, up=True),
                _stage((512, 256, 3, 2, 1), 2, up=True),
                _stage((320, 128, 3, 2, 1), 2, up=True),
                _stage((160, 64, 3, 2, 1), 2, up=True),
            )
        )
        self.output_block = nn.Sequential(*_stage((80, 32, 3, 1, 1)), nn.Conv2d(32, 3, 1))

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        made = []
        for encode in self.face_encoder_blocks:
            faces = encode(faces)
            made.append(faces)
        x = self.audio_encoder(mel)
        for decode in self.face_decoder_blocks:
            x = torch.cat([decode(x), made.pop()], dim=1)
        return torch.sigmoid(self.output_block(x))


def load_checkpoint(path: Path) -> Wav2Lip:
    """The generator in a public checkpoint (`wav2lip.pth`, `wav2lip_gan.pth`), ready to run.

    Takes what the authors' training wrote ({"state_dict": ...}) or a bare state dict, with or
    without `module.` before every name. Nothing but numbers is unpickled. Raises `WeightsError` in
    one line for a missing file, another kind of file, or another architecture.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(
            f"'{path}' does not exist; name wav2lip.pth or wav2lip_gan.pth"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"'{path}' is not a PyTorch checkpoint of plain numbers; name wav2lip.pth or "
            "wav2lip_gan.pth as their authors publish them"
        ) from error
    network = Wav2Lip()
    network.load_state_dict(_checked(_numbers(stored, path), network, path))
    return network.eval()


def _numbers(stored: object, path: Path) -> dict[str, Tensor]:
    """Names without `module.`, and their tensors."""
    if isinstance(stored, Mapping) and isinstance(stored.get("state_dict"), Mapping):
        stored = stored["state_dict"]
    if not isinstance(stored, Mapping):
        raise WeightsError(f"'{path}' holds no named weights; name a Wav2Lip checkpoint")
    return {
        str(name).removeprefix("module."): value
        for name, value in stored.items()
        if isinstance(value, Tensor)
    }


def _checked(found: dict[str, Tensor], network: Wav2Lip, path: Path) -> dict[str, Tensor]:
    """The weights, once all are there in the right shape."""
    wanted = network.state_dict()
    missing = [n for n in wanted if n not in found and not n.endswith("num_batches_tracked")]
    extra = [n for n in found if n not in wanted]
    other = [n for n in wanted if n in found and found[n].shape != wanted[n].shape]
    if not (missing or extra or other):
        return {n: found.get(n, wanted[n]) for n in wanted}
    if other:
        name = other[0]
        fault = f"'{name}' is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
    elif missing:
        fault = f"{len(missing)} of {len(wanted)} weights are missing, '{missing[0]}' first"
    else:
        fault = f"it has {len(extra)} weights too many, '{extra[0]}' first"
    raise WeightsError(
        f"'{path}' is not the 96-pixel Wav2Lip generator: {fault}; name wav2lip.pth or "
        "wav2lip_gan.pth (retrained larger ones and SyncNet checkpoints do not fit)"
    )


def mel_spectrum(sound: Sound) -> Floats:
    """The spectrum that the checkpoints were trained on, float32[80, steps], -4..4.

    16 kHz; preemphasis 0.97; magnitude of 800-sample Hann windows every 200 samples, ends
    mirrored; 80 Slaney mel bands from 55 to 7,600 Hz; decibels, less 20, from -100..0 to
    -4..4. Digital silence gives the floor, never NaN.
    """
    from media.audio import resample

    samples = resample(sound, _RATE).samples if sound.rate != _RATE else sound.samples
    samples = np.asarray(samples, np.float64)
    if len(samples) < _FFT:
        samples = np.pad(samples, (0, _FFT - len(samples)))
    sharp = samples - 0.97 * np.concatenate([[0.0], samples[:-1]])
    padded = np.pad(sharp, _FFT // 2, mode="reflect")
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_FFT) / _FFT)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP]
    parts = [
        _mel_filters() @ np.abs(np.fft.rfft(frames[i : i + 2048] * taper, axis=1)).T
        for i in range(0, len(frames), 2048)
    ]
    mel = np.concatenate(parts, axis=1)
    decibels = 20 * np.log10(np.maximum(mel, 1e-5)) - 20.0
    return np.asarray(np.clip(8 * (decibels + 100) / 100 - 4, -4, 4), np.float32)


def window(mel: Floats, frame: int, rate: float) -> Floats:
    """The 0.2 s that frame `frame` at `rate` a second is drawn from, float32[80, 16].

    Begins with the frame, as in the authors' inference; past the end the floor goes on.
    """
    start = int(frame * _STEPS_PER_S / rate)
    part = mel[:, start : start + MEL_STEPS]
    missing = MEL_STEPS - part.shape[1]
    return np.pad(part, ((0, 0), (0, missing)), constant_values=-4.0) if missing else part


@cache
def _mel_filters() -> NDArray[np.float64]:
    """Triangles of equal area float64[80, 401] (M. Slaney, Auditory Toolbox, 1998)."""
    low, high = (_slaney(f) for f in (55.0, 7600.0))
    edges = _hertz(np.linspace(low, high, MEL_BANDS + 2))
    bins = np.fft.rfftfreq(_FFT, 1 / _RATE)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    filters: NDArray[np.float64] = np.maximum(0, np.minimum(rise, fall)) * area[:, None]
    filters.setflags(write=False)
    return filters


def _slaney(hertz: float) -> float:
    """Mel: linear up to 1 kHz (15 mel), logarithmic beyond, 27 mel per factor 6.4."""
    return 3 * hertz / 200 if hertz < 1000 else 15 + 27 * float(np.log(hertz / 1000) / np.log(6.4))


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `_slaney`."""
    return np.asarray(np.where(mel < 15, 200 * mel / 3, 1000 * 6.4 ** ((mel - 15) / 27)))
