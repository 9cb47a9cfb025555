"""The two gradient fits behind `voice.fit`: prosody on curves, timbre through the decoder.

The losses compare what is heard and can be heard: several resolutions of a mel
spectrogram (Yamamoto et al. 2020, arXiv:1910.11480), limited to the band that the
recordings have and blind below their noise, from frame to frame, sound by sound and over
the whole; and the distance to the person in the GE2E encoder. A running mean of the late
iterates is kept (Polyak & Juditsky 1992), which is steadier than the last one.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torchaudio.functional
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from voice._band import band_filter
from voice._fit_progress import Unfinished
from voice._fit_targets import FRAME_SAMPLES, Target
from voice.engines.kokoro_model import Encoded, KokoroModel, expand
from voice.similarity import ENCODER_RATE, Ge2e

__all__ = [
    "Clock",
    "MelLoss",
    "Prepared",
    "Timbre",
    "TimbreLoss",
    "fit_prosody",
    "fit_timbre",
    "prepare",
    "with_said_curves",
]

Floats = NDArray[np.float32]

NOTHING_KEPT = Unfinished(None, "")
LAYER_RATE = 0.012
"""How fast the layers leave the common style; faster is nearer to the person and less clear."""
_RATE = 24_000
_TIMBRE = 128  # numbers 0..127 are timbre, the rest prosody
_SEGMENT = 64  # frames, 1.6 s: one partial utterance of the encoder
_CONTEXT = 4  # frames of silence seen around the words
_RESOLUTIONS = ((2048, 300, 80), (1024, 256, 64), (512, 128, 40))  # n_fft, hop, mels
_LOWEST_HZ = 40.0
_AMPLITUDE_FLOOR = 1e-3
_VOICED_HZ = 10.0
_KEPT_EVERY = 15  # steps, some 20 s of two processors
_GOLDEN = (math.sqrt(5) - 1) / 2
_AVERAGED = 0.5  # the share of steps, from the end, that the mean runs over


@dataclass
class Clock:
    """Stops a fit that would take longer than `limit_s` seconds; None never does."""

    limit_s: float | None = None
    started: float = 0.0

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    def over(self, share: float = 1.0) -> bool:
        """Whether `share` of the time is used up."""
        if self.limit_s is None:
            return False
        return time.monotonic() - self.started > share * self.limit_s


class MelLoss(nn.Module):
    """Mean distance of log mel spectrograms at three resolutions, over the source's band.

    `noise` are pauses of the recordings, float32 [m] at 24 kHz and at the targets' level:
    what lies below their spectrum counts as equal, so noise is not learnt. Nothing below
    `low_hz` is compared.

    Each difference counts three times: from frame to frame, as its mean over every speech
    sound, and as its mean over the whole. A colour that is wrong by a decibel throughout hardly
    moves the first, which chance (another phase, a harmonic beside the other's) fills with many
    more; the means keep what stays: the formants of this person's vowels, the whole's colour.
    """

    def __init__(self, top_hz: float, noise: Floats | None, low_hz: float = 0.0) -> None:
        super().__init__()
        from librosa.filters import mel

        self._sizes = _RESOLUTIONS
        lowest = max(_LOWEST_HZ, low_hz)
        for k, (n_fft, hop, n_mels) in enumerate(_RESOLUTIONS):
            filters = mel(sr=_RATE, n_fft=n_fft, n_mels=n_mels, fmin=lowest, fmax=top_hz)
            self.register_buffer(f"filters{k}", torch.from_numpy(filters))
            self.register_buffer(f"window{k}", torch.hann_window(n_fft))
            floor = torch.full((n_mels, 1), _AMPLITUDE_FLOOR)
            self.register_buffer(f"floor{k}", floor)
            if noise is not None and len(noise) >= 2 * n_fft:
                level = self._mel(torch.from_numpy(noise), k, hop).mean(-1, keepdim=True)
                self.register_buffer(f"floor{k}", torch.maximum(floor, level))

    def _within(self, k: int, band: tuple[float, float]) -> Tensor:
        """Which of the mels [mels] lie in `band`, slopes and all."""
        filters = self.get_buffer(f"filters{k}")
        hz = torch.arange(filters.shape[1], device=filters.device) * _RATE / self._sizes[k][0]
        outside = (hz < band[0]) | (hz > band[1])
        return filters[:, outside].sum(dim=1) == 0

    def _mel(self, samples: Tensor, k: int, hop: int) -> Tensor:
        n_fft = self._sizes[k][0]
        window = self.get_buffer(f"window{k}")
        spectrum = torch.stft(samples, n_fft, hop, window=window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        mel: Tensor = self.get_buffer(f"filters{k}") @ (power + 1e-10).sqrt()
        return mel

    def forward(
        self,
        a: Tensor,
        b: Tensor,
        sounds: Tensor | None = None,
        band: tuple[float, float] | None = None,
    ) -> Tensor:
        """Scalar distance of samples [n] and [n] at 24 kHz, in nepers.

        `sounds` int64 [frames of 25 ms] numbers the speech sound that each frame belongs to;
        without it only frames are compared. Nothing outside `band` (Hz) is.
        """
        total = torch.zeros((), device=a.device)
        for k, (_, hop, _) in enumerate(self._sizes):
            floor = self.get_buffer(f"floor{k}")
            difference = torch.log(self._mel(a, k, hop) + floor) - torch.log(
                self._mel(b, k, hop) + floor
            )
            if band is not None:
                difference = difference[self._within(k, band)]
                if len(difference) == 0:  # a band narrower than a mel says nothing
                    continue
            total = total + difference.abs().mean()
            if sounds is not None:
                at = torch.arange(difference.shape[1], device=a.device) * hop // FRAME_SAMPLES
                owner = sounds[at.clamp_max(len(sounds) - 1)]
                total = total + _standing(difference, owner)
                total = total + _standing(difference, torch.zeros_like(owner))
        return total / len(self._sizes)


def _standing(difference: Tensor, owner: Tensor) -> Tensor:
    """What stays of a difference [mels, frames] on the average of all frames of an owner [frames],
    weighed by their number, its loudness apart: how loud a sound is follows the energy curve."""
    # A product, because sums by index come in any order on a GPU.
    sums = difference @ functional.one_hot(owner).to(difference)
    return (sums - sums.mean(0)).abs().sum() / difference.numel()


class TimbreLoss(nn.Module):
    """What the timbre fit minimises for one segment: mel distance plus speaker distance.

    Both see only the band from `low_hz` to `top_hz`.
    """

    def __init__(
        self,
        mel: MelLoss,
        encoder: Ge2e,
        centroid: Floats,
        top_hz: float,
        weight: float = 3.5,
        low_hz: float = 0.0,
    ) -> None:
        super().__init__()
        self.mel, self.encoder, self.weight = mel, encoder, weight
        self.register_buffer("centroid", torch.from_numpy(centroid))
        self.register_buffer("band", band_filter(top_hz, low_hz=low_hz))

    def speaker(self, samples: Tensor) -> Tensor:
        """One minus the cosine between samples [n] at 24 kHz and the person."""
        band = self.get_buffer("band")
        if band is not None:
            samples = torch.conv1d(samples[None, None], band, padding=band.shape[-1] // 2)[0, 0]
        heard = torchaudio.functional.resample(samples, _RATE, ENCODER_RATE)
        return 1 - (self.encoder.embed_samples(heard[None])[0] * self.get_buffer("centroid")).sum()

    def forward(
        self,
        spoken: Tensor,
        target: Tensor,
        sounds: Tensor | None = None,
        band: tuple[float, float] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(mel distance, speaker distance) of samples [n] and [n] at 24 kHz; `sounds` and `band`
        as in `MelLoss`."""
        n = min(len(spoken), len(target))
        return self.mel(spoken[:n], target[:n], sounds, band), self.speaker(spoken[:n])


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A target as tensors, with everything that no style changes computed once.

    `f0` and `energy` are the person's own; `said`, where given, are those that the model
    says for the same words and lengths. `sounds` int64 [frames] is the token of each frame.
    """

    target: Target
    encoded: Encoded
    durations: Tensor
    sounds: Tensor
    f0: Tensor
    energy: Tensor
    samples: Tensor
    acoustic: Tensor
    said: tuple[Tensor, Tensor] | None = None


def _reach(item: Prepared) -> tuple[int, int]:
    """The first and the last frame at which a segment may begin, as far as the words reach."""
    low = max(0, item.target.speech[0] - _CONTEXT)
    return low, max(low, item.target.speech[1] + _CONTEXT - _SEGMENT)


class _Walk:
    """Which segment of which clip a step sees.

    The clips lie end to end and each step goes on by the golden section of them all (Kronecker's
    sequence): every part of every clip is seen equally often, and any few steps in a row are
    spread over the whole, where dice leave some clips out. `offset` 0..1 is where it begins.
    """

    def __init__(self, prepared: Sequence[Prepared], offset: float) -> None:
        self._prepared, self._offset = prepared, offset
        lengths = [_SEGMENT + high - low for low, high in map(_reach, prepared)]
        self._ends = np.cumsum(lengths)

    def at(self, step: int) -> tuple[Prepared, int]:
        """(the clip, the segment's first frame)."""
        place = (self._offset + step * _GOLDEN) % 1.0 * float(self._ends[-1])
        which = int(np.searchsorted(self._ends, place, side="right"))
        begin = float(self._ends[which - 1]) if which else 0.0
        low, high = _reach(self._prepared[which])
        share = (place - begin) / (float(self._ends[which]) - begin)
        return self._prepared[which], round(low + share * (high - low))


def prepare(model: KokoroModel, targets: Sequence[Target]) -> list[Prepared]:
    """Encode every target's words and lay them on its frames."""
    prepared = []
    with torch.no_grad():
        for t in targets:
            encoded = model.encode(model.ids(t.tokens))
            durations = torch.from_numpy(t.durations).to(model.device)
            curves = (torch.from_numpy(c)[None].to(model.device) for c in (t.f0, t.energy))
            f0, energy = curves
            samples = torch.from_numpy(t.samples).to(model.device)
            acoustic = expand(encoded.acoustic, durations)
            sounds = torch.repeat_interleave(durations)
            rows = (encoded, durations, sounds, f0, energy, samples, acoustic)
            prepared.append(Prepared(t, *rows))
    return prepared


def with_said_curves(
    model: KokoroModel, prepared: Sequence[Prepared], style: Floats
) -> list[Prepared]:
    """Add to every target the pitch and energy that `style` [256] would speak it with.

    Where the person's own pitch is unvoiced it takes the model's: the model hums on
    through most consonants, and its decoder expects that.
    """
    whole = torch.from_numpy(style.copy())[None].to(model.device)
    added = []
    with torch.no_grad():
        for item in prepared:
            features, _ = model.predict_durations(item.encoded, whole)
            f0, energy = model.f0_energy(features, item.durations, whole)
            own = torch.where(item.f0 > _VOICED_HZ, item.f0, f0)
            added.append(replace(item, f0=own, said=(f0, energy)))
    return added


class _Descent:
    """Adam on a few tensors with a rate that rises and falls, and the mean of the late iterates.

    `wanted` are (start, peak learning rate). Its state goes to and from arrays, so that a fit
    which was broken off goes on as if it had not been.
    """

    def __init__(self, wanted: Sequence[tuple[Tensor, float]], steps: int) -> None:
        self.values = [start.detach().clone().requires_grad_(True) for start, _ in wanted]
        self._peaks = [peak for _, peak in wanted]
        self._steps = steps
        self._averaged_from = int(steps * (1 - _AVERAGED))
        self._sums = [torch.zeros_like(value) for value in self.values]
        self._optimiser = torch.optim.Adam([{"params": [v]} for v in self.values])
        self.done = 0

    def step(self, loss: Tensor) -> None:
        """Go down the gradient of `loss`."""
        for group, peak in zip(self._optimiser.param_groups, self._peaks, strict=True):
            group["lr"] = _rate_at(self.done, self._steps, peak)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        if self.done >= self._averaged_from:
            for total, value in zip(self._sums, self.values, strict=True):
                total += value.detach()
        self.done += 1

    def means(self) -> list[Tensor]:
        """The means of the late iterates; the last iterates when there are none."""
        count = self.done - self._averaged_from
        if count <= 0:
            return [value.detach() for value in self.values]
        return [total / count for total in self._sums]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Where the descent is."""
        found: dict[str, NDArray[Any]] = {"done": np.array(self.done)}
        for i, value in enumerate(self.values):
            found[f"value.{i}"], found[f"sum.{i}"] = _array(value), _array(self._sums[i])
            for name, part in self._optimiser.state[value].items():
                found[f"adam.{i}.{name}"] = _array(torch.as_tensor(part))
        return found

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Go on from what `arrays` gave."""
        self.done = int(arrays["done"])
        for i, value in enumerate(self.values):
            with torch.no_grad():
                value.copy_(torch.from_numpy(arrays[f"value.{i}"]))
                self._sums[i].copy_(torch.from_numpy(arrays[f"sum.{i}"]))
            prefix = f"adam.{i}."
            self._optimiser.state[value] = {
                name.removeprefix(prefix): torch.from_numpy(part).to(
                    "cpu" if name.endswith(".step") else value.device
                )
                for name, part in arrays.items()
                if name.startswith(prefix)
            }


def _rate_at(step: int, steps: int, peak: float) -> float:
    """Learning rate: a short rise, then a cosine down to a tenth of the peak."""
    rise = min(1.0, (step + 1) / 5)
    return peak * rise * (0.55 + 0.45 * math.cos(math.pi * step / max(1, steps)))


def fit_prosody(
    model: KokoroModel,
    prepared: Sequence[Prepared],
    style: Floats,
    *,
    steps: int,
    rng: random.Random,
    clock: Clock,
    progress: Callable[[float], None],
    peak_rate: float = 0.02,
) -> Floats:
    """The prosody half [128] that best predicts the clips' lengths, pitch and energy.

    `style` float32 [256] is where to start. Each step sees one clip with its true
    lengths: log durations, F0 in units of 100 Hz where both are voiced, a third part
    energy.
    """
    whole = torch.from_numpy(style.copy())[None].to(model.device)
    descent = _Descent([(whole[:, _TIMBRE:], peak_rate)], steps)
    (prosody,) = descent.values
    while descent.done < steps and not clock.over(0.3):
        item = rng.choice(prepared)
        descent.step(_prosody_loss(model, item, torch.cat((whole[:, :_TIMBRE], prosody), dim=1)))
        progress(descent.done / steps)
    return _array(descent.means()[0][0])


def _prosody_loss(model: KokoroModel, item: Prepared, style: Tensor) -> Tensor:
    features, expected = model.predict_durations(item.encoded, style)
    f0, energy = model.f0_energy(features, item.durations, style)
    inner = slice(1, -1)
    wanted = item.durations[None, inner].to(expected)
    lengths = (torch.log(expected[:, inner] + 0.3) - torch.log(wanted + 0.3)).abs().mean()
    voiced = ((item.f0 > _VOICED_HZ) & (f0 > _VOICED_HZ)).to(f0)
    pitch = ((f0 - item.f0).abs() * voiced).sum() / voiced.sum().clamp_min(1) / 100
    return lengths + pitch + 0.2 * (energy - item.energy).abs().mean()


@dataclass(frozen=True, slots=True, eq=False)
class Timbre:
    """What a timbre fit found: the style's first half [128], `layers` as `Voice.layers`, and the
    loss on held-out clips before and after."""

    half: Floats
    layers: Mapping[str, Floats]
    before: float
    after: float


def fit_timbre(
    model: KokoroModel,
    prepared: Sequence[Prepared],
    held_out: Sequence[Prepared],
    style: Floats,
    loss: TimbreLoss,
    *,
    steps: int,
    rng: random.Random,
    clock: Clock,
    progress: Callable[[float], None],
    peak_rate: float = 0.02,
    layer_rate: float = LAYER_RATE,
    kept: Unfinished = NOTHING_KEPT,
) -> Timbre:
    """The timbre that makes the decoder sound like the clips.

    One style for the whole decoder, and for the layers that make the sound how each differs
    from that: the voices the engine was trained on share one style between all layers, a new
    one comes much nearer with some freedom in each (as with StyleGAN's W+: Abdal et al. 2019,
    arXiv:1904.03189). Every step speaks 1.6 s of one clip with its own lengths; pitch and
    energy are the clip's own and, every other time, those the model itself says, since with
    those the voice will speak. When the loss on `held_out` did not fall, the start is returned.
    `kept` is where the descent leaves its state, and goes on from.
    """
    whole = torch.from_numpy(style.copy())[None].to(model.device)
    rest = whole[:, _TIMBRE:]
    shifts = torch.zeros(len(_sounding(model)), _TIMBRE, device=model.device)
    descent = _Descent([(whole[:, :_TIMBRE], peak_rate), (shifts, layer_rate)], steps)
    timbre, shifts = descent.values
    walk = _Walk(prepared, rng.random())
    checked = held_out or prepared[:3]
    before = _held_out_loss(model, checked, whole, loss)
    if (reached := kept.read("timbre")) is not None:
        descent.restore(reached)
    while descent.done < steps and not clock.over(0.85):
        item, first = walk.at(descent.done)
        model.set_layers(_extras(model, shifts))
        full, said = torch.cat((timbre, rest), dim=1), descent.done % 2 == 1
        mel, speaker = _segment_loss(model, item, full, loss, first, said)
        descent.step(mel + loss.weight * speaker)
        if descent.done % _KEPT_EVERY == 0:
            kept.keep("timbre", descent.arrays())
        progress(descent.done / steps)
    half, shift = descent.means()
    extras = _extras(model, shift)
    model.set_layers(extras)
    after = _held_out_loss(model, checked, torch.cat((half, rest), dim=1), loss)
    model.set_layers({})
    if not after < before:
        return Timbre(style[:_TIMBRE].copy(), {}, before, before)
    layers = {name: _array(extra) for name, extra in extras.items()}
    return Timbre(_array(half[0]), layers, before, after)


def _sounding(model: KokoroModel) -> dict[str, Tensor]:
    """The weights, by name, of the layers that may differ: those that make the sound. Freedom in
    the earlier ones, which shape the phonemes, brought no more likeness and doubled the errors.
    """
    return {k: m.fc.weight for k, m in model.layers.items() if k.startswith("generator.")}


def _extras(model: KokoroModel, shifts: Tensor) -> dict[str, Tensor]:
    """What each layer's gains and biases gain when its style is shifted by its row [128]."""
    rows = zip(_sounding(model).items(), shifts, strict=True)
    return {name: weight @ shift for (name, weight), shift in rows}


def _array(tensor: Tensor) -> Floats:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)


def _fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 halves the time of a step here instead of lengthening it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def _segment_loss(
    model: KokoroModel,
    item: Prepared,
    style: Tensor,
    loss: TimbreLoss,
    first: int,
    said: bool = True,
) -> tuple[Tensor, Tensor]:
    last = min(item.acoustic.shape[1], first + _SEGMENT)
    f0, energy = item.said if said and item.said is not None else (item.f0, item.energy)
    with torch.autocast(
        model.device.type, torch.bfloat16, enabled=style.requires_grad and _fast_bf16(model.device)
    ):
        spoken = model.decode(
            item.acoustic[:, first:last],
            f0[:, 2 * first : 2 * last],
            energy[:, 2 * first : 2 * last],
            style,
        )[0].float()
    both: tuple[Tensor, Tensor] = loss(
        spoken,
        item.samples[first * FRAME_SAMPLES : last * FRAME_SAMPLES],
        item.sounds[first:last],
        item.target.band,
    )
    return both


def _held_out_loss(
    model: KokoroModel, items: Sequence[Prepared], style: Tensor, loss: TimbreLoss
) -> float:
    values = []
    with torch.no_grad():
        for item in items[:4]:
            mel, speaker = _segment_loss(model, item, style, loss, _reach(item)[0])
            values.append(float(mel + loss.weight * speaker))
    return float(np.mean(values)) if values else math.inf
