"""The aligner's network in PyTorch, its batches and its training.

The same network as `align.engines._network`, which runs it with NumPy; `exported` turns one
into the other.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aligner_wear as wear
import numpy as np
import torch
from aligner_corpus import RATE, Clip
from safetensors.numpy import save
from torch.nn import functional

from align.engines._features import BANDS, FINE_S, FRAME_S, features
from align.engines._network import PHONES, Tuning
from media.files import atomic_path

CHANNELS = 160
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8, 16, 1)
# The boundary head is told a Gaussian of this width about each boundary.
BOUNDARY_SPREAD_S = 0.006
BOUNDARY_WEIGHT = 1.0
KNOWN_WEIGHT = 3.0
# Of coarse labels, frames this near to an edge are not learnt.
COARSE_S = 0.03


class Normed(torch.nn.Module):
    """RMS norm over channels of [batch, channels, frames]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, channels, frames] -> the same."""
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-5) * self.gain[:, None]


class Block(torch.nn.Module):
    """x + out(silu(wide(norm(x)))), `wide` dilated over time."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = Normed(channels)
        self.wide = torch.nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.out = torch.nn.Conv1d(channels, channels, 1)
        torch.nn.init.zeros_(self.out.weight)
        torch.nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[batch, channels, frames] -> the same."""
        inner = functional.silu(self.wide(self.norm(x)))
        return x + self.out(functional.dropout(inner, 0.05, self.training))


class Net(torch.nn.Module):
    """[batch, 2 * BANDS, frames] -> [batch, 40 + 2, frames]."""

    def __init__(self, channels: int = CHANNELS, dilations: Sequence[int] = DILATIONS) -> None:
        super().__init__()
        self.dilations = tuple(dilations)
        self.stem = torch.nn.Conv1d(2 * BANDS, channels, 3, padding=1)
        self.blocks = torch.nn.ModuleList(Block(channels, d) for d in dilations)
        self.norm = Normed(channels)
        self.head = torch.nn.Conv1d(channels, len(PHONES) + 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def exported(net: Net, log_prior: np.ndarray) -> dict[str, np.ndarray]:
    """The weights as `align.engines._network.Network` wants them, float16."""
    found: dict[str, np.ndarray] = {"log_prior": log_prior.astype(np.float16)}
    for name, value in net.state_dict().items():
        array = value.detach().float().numpy()
        if array.ndim == 3:  # [out, in, kernel]
            array = array.transpose(2, 1, 0)
            array = array[0] if array.shape[0] == 1 else array
        found[name.removesuffix(".gain")] = np.ascontiguousarray(array, np.float16)
    return found


def write_weights(
    weights: dict[str, np.ndarray], dilations: Sequence[int], tuning: Tuning, path: Path
) -> None:
    """A safetensors file that `align.engines._network.load_network` reads."""
    notes = {"dilations": json.dumps(list(dilations)), "tuning": json.dumps(asdict(tuning))}
    with atomic_path(path) as target:
        target.write_bytes(save(weights, notes))


# -------------------------------------------------------------------------------- batches


@dataclass(frozen=True, eq=False)
class Batch:
    """`x` [batch, 2 * BANDS, n]; `phones` int64 [batch, n], `edges` [batch, 2 n]; -1 is
    unknown in both."""

    x: torch.Tensor
    phones: torch.Tensor
    edges: torch.Tensor


def targets(
    spans: np.ndarray, phones: np.ndarray, rows: int, *, coarse: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(class of each frame int64 [rows], boundary chance float32 [2 rows]) of phones in time.

    `coarse` times say nothing of boundaries, nor of the frames beside them: -1.
    """
    classes = np.zeros(rows, np.int64)
    middles = (np.arange(rows) + 0.5) * FRAME_S
    if len(spans):
        owner = np.searchsorted(spans[:, 0], middles, side="right") - 1
        inside = (owner >= 0) & (middles < spans[np.maximum(owner, 0), 1])
        classes[inside] = phones[owner[inside]]
    if coarse:
        near = np.abs(middles[:, None] - spans.reshape(1, -1)).min(axis=1, initial=1.0)
        classes[near < COARSE_S] = -1
        return classes, np.full(2 * rows, -1.0, np.float32)
    centres = (np.arange(2 * rows) + 0.5) * FINE_S
    chance = np.zeros(2 * rows, np.float32)
    for edge in np.unique(spans.round(4)):
        near = slice(max(0, int(edge / FINE_S) - 6), int(edge / FINE_S) + 8)
        bump = np.exp(-0.5 * ((centres[near] - edge) / BOUNDARY_SPREAD_S) ** 2)
        chance[near] = np.maximum(chance[near], bump)
    return classes, chance


def example(
    clips: Sequence[Clip], seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A random stretch of a random clip, worn: features, classes, boundary chances."""
    clip = clips[int(rng.integers(len(clips)))]
    factor = float(rng.uniform(0.9, 1.1)) if rng.random() < 0.5 else 1.0
    samples = wear.changed_pace(clip.samples, factor) if factor != 1.0 else clip.samples
    spans = clip.spans / factor
    count = int(seconds * RATE)
    # Silence before and after, or a cut within the speech.
    start = int(rng.integers(-RATE // 2, max(1, len(samples) - count + RATE // 2)))
    window = np.zeros(count, np.float32)
    low, high = max(0, start), min(len(samples), start + count)
    window[low - start : high - start] = samples[low:high]
    other = clips[int(rng.integers(len(clips)))].samples
    window = wear.worn(window, np.resize(other, count), rng)
    rows = round(seconds / FRAME_S)
    moved = spans - start / RATE
    held = (moved[:, 1] > 0) & (moved[:, 0] < seconds)
    classes, chance = targets(moved[held], clip.phones[held], rows, coarse=clip.coarse)
    return features(window * np.float32(rng.uniform(0.1, 1.0)))[:rows], classes, chance


def batches(
    clips: Sequence[Clip], size: int, seconds: float, rng: np.random.Generator
) -> Iterator[Batch]:
    """Endless random batches."""
    # Times that are known are worth more than times that were found.
    weights = np.array([c.seconds * (KNOWN_WEIGHT if c.known else 1.0) for c in clips])
    while True:
        chosen = [clips[i] for i in rng.choice(len(clips), 4 * size, p=weights / weights.sum())]
        made = [example(chosen, seconds, rng) for _ in range(size)]
        yield Batch(
            torch.from_numpy(np.stack([m[0].T for m in made])),
            torch.from_numpy(np.stack([m[1] for m in made])),
            torch.from_numpy(np.stack([m[2] for m in made])),
        )


def loss_of(net: Net, batch: Batch) -> tuple[torch.Tensor, float]:
    """(loss, share of frames whose class is right)."""
    # bfloat16 halves the time on processors that have it, and the loss does not notice.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(batch.x)
    out = out.float()
    classes, edges = out[:, :-2], out[:, -2:].transpose(1, 2).flatten(1)
    known = batch.phones >= 0
    spoken = functional.cross_entropy(classes, batch.phones, label_smoothing=0.02, ignore_index=-1)
    told = batch.edges >= 0
    boundary = functional.binary_cross_entropy_with_logits(edges[told], batch.edges[told])
    right = (classes.detach().argmax(1) == batch.phones)[known].float().mean()
    # Where no clip of the batch knows its boundaries there is nothing to learn of them.
    total = spoken + BOUNDARY_WEIGHT * boundary if bool(told.any()) else spoken
    return total, float(right)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train."""

    steps: int
    batch: int = 8
    seconds: float = 4.0
    rate: float = 2e-3


def train(net: Net, clips: Sequence[Clip], plan: Plan, seed: int) -> Net:
    """Train `net` in place; returns the running mean of its weights (decay 0.99).

    AdamW, one cycle: linear warm-up over 40 steps, cosine to zero.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=plan.rate, weight_decay=0.01)
    source, began = batches(clips, plan.batch, plan.seconds, rng), time.monotonic()
    heard: list[tuple[float, float]] = []
    net.train()
    for step in range(plan.steps):
        pace = min((step + 1) / 40, 1.0) * 0.5 * (1 + np.cos(np.pi * step / plan.steps))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * pace
        loss, right = loss_of(net, next(source))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        mean.update_parameters(net)
        heard.append((float(loss.detach()), right))
        if step % 25 == 24:
            shown = np.mean(heard[-25:], axis=0)
            took = time.monotonic() - began
            print(
                f"step {step + 1:5} loss {shown[0]:.3f} frames {shown[1]:.3f} {took:5.0f} s",
                flush=True,
            )
    return mean.module.eval()
