"""The judge: a small network that reads lips from crops, trained on the same footage.

It says what shape the lips have, and whether phonemes go with them; what it sees on the way are
the features in which pictures are compared. Nothing comes from elsewhere: perceptual loss, sync
expert and lip reading all stand on this person's own frames.

The sync part follows J. S. Chung and A. Zisserman, "Out of time: automated lip sync in the wild"
(ACCV workshops 2016), with phonemes in place of sound: a picture and the phonemes around it are
told from the same picture and phonemes a few tenths of a second away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lipsync.engines._mouthnet_input import CONTEXT, SHAPE

if TYPE_CHECKING:
    from lipsync.engines import Progress
    from lipsync.training.data import Examples

__all__ = ["Judge", "Reading", "seen_by", "train_judge"]

_SIDE = 64
_WIDTHS = (24, 48, 96, 128)
_TOGETHER = 48  # numbers in which lips and phonemes are compared
_RATE, _BATCH = 2e-3, 32
# Phonemes so many frames away are wrong ones.
_OFF = (4, 15)
_NOISE, _LIGHT, _SHIFT = 0.02, 0.1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What the judge sees in b pictures: `features` from fine to coarse, `shape` [b, 7] in the
    person's own spreads, `place` [b, 48] of unit length, to be compared with phonemes'.
    """

    features: tuple[Tensor, ...]
    shape: Tensor
    place: Tensor


class Judge(nn.Module):
    """pictures [b, 3, s, s] in 0..1 -> `Reading`; phonemes [b, 105] -> their place."""

    shape_mean: Tensor
    shape_spread: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.side = min(_SIDE, size)
        self.register_buffer("shape_mean", torch.zeros(SHAPE))
        self.register_buffer("shape_spread", torch.ones(SHAPE))
        levels = round(math.log2(self.side / 4))
        widths = (3, *_WIDTHS[:levels])
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(b // 8, b), nn.SiLU(),
                nn.Conv2d(b, b, 3, 1, 1), nn.GroupNorm(b // 8, b), nn.SiLU(),
            )
            for a, b in pairwise(widths)
        )  # fmt: skip
        self.read = nn.Linear(16 * widths[-1], SHAPE)
        self.see = nn.Linear(16 * widths[-1], _TOGETHER)
        self.hear = nn.Sequential(nn.Linear(CONTEXT, 96), nn.SiLU(), nn.Linear(96, _TOGETHER))
        self.scale = nn.Parameter(torch.tensor([4.0, 0.0]))

    def forward(self, pictures: Tensor) -> Reading:
        """Read pictures [b, 3, s, s]."""
        x, features = 2 * seen_by(self, pictures) - 1, []
        for level in self.levels:
            x = level(x)
            features.append(x)
        flat = x.flatten(1)
        place = functional.normalize(self.see(flat), dim=1)
        return Reading(tuple(features), self.read(flat), place)

    def agreement(self, place: Tensor, phonemes: Tensor) -> Tensor:
        """How well phonemes [b, 105] go with lips at `place`, as the log of odds [b]."""
        heard = functional.normalize(self.hear(phonemes), dim=1)
        together: Tensor = self.scale[0] * (place * heard).sum(1) + self.scale[1]
        return together

    def spreads(self, shape: Tensor) -> Tensor:
        """Lip shapes [b, 7] in the person's own spreads."""
        return (shape - self.shape_mean) / self.shape_spread


def seen_by(judge: Judge, pictures: Tensor) -> Tensor:
    """Pictures at the judge's own size."""
    side = judge.side
    if pictures.shape[-1] == side:
        return pictures
    return functional.interpolate(pictures, size=(side, side), mode="area")


def train_judge(
    judge: Judge,
    examples: Examples,
    steps: int,
    *,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Teach `judge` the examples that are not held out; then it is frozen.

    Returns what it can do on the held-out ones: lip_error, the mean error of the opening in
    eye distances, and sync, the share of pictures whose own phonemes go better with them than
    phonemes from elsewhere (0.5 is a guess; NaN without speech).
    """
    known = np.flatnonzero(~examples.held_out)
    shapes = examples.wanted[known, :SHAPE]
    judge.shape_mean.copy_(torch.from_numpy(shapes.mean(0)))
    judge.shape_spread.copy_(torch.from_numpy(np.maximum(shapes.std(0), 1e-3)))
    judge.to(device).train()
    optimiser = torch.optim.AdamW(judge.parameters(), _RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, max(steps, 2))
    for step in range(steps):
        rng = np.random.default_rng((seed, 1, step))
        rows = rng.choice(known, min(_BATCH, len(known)), replace=False)
        loss = _judge_loss(judge, examples, rows, rng, device)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if progress:
            progress("learning to read lips", step + 1, steps)
    judge.eval().requires_grad_(False)
    return _judge_scores(judge, examples, device, seed)


def _judge_loss(
    judge: Judge,
    examples: Examples,
    rows: NDArray[np.intp],
    rng: np.random.Generator,
    device: str,
) -> Tensor:
    pictures, wanted, wrong, spoken = _rows(judge, examples, rows, rng, device)
    reading = judge(_disturbed(pictures, rng))
    loss = functional.smooth_l1_loss(reading.shape, judge.spreads(wanted[:, :SHAPE]))
    right = judge.agreement(reading.place, wanted[:, SHAPE:])
    other = judge.agreement(reading.place, wrong)
    told = functional.softplus(-right) + functional.softplus(other)
    return loss + 0.5 * (told * spoken).sum() / spoken.sum().clamp(min=1)


def _rows(
    judge: Judge,
    examples: Examples,
    rows: NDArray[np.intp],
    rng: np.random.Generator,
    device: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pictures, what goes with them, phonemes that do not, and whether phonemes are known."""
    off = rng.integers(*_OFF, len(rows), endpoint=True) * rng.choice((-1, 1), len(rows))
    elsewhere = (rows + off) % len(examples)
    spoken = examples.spoken[rows] & examples.spoken[elsewhere]
    pictures = torch.from_numpy(np.ascontiguousarray(examples.pictures[rows, :3])).to(device)
    return (
        seen_by(judge, pictures.float() / 255),
        torch.from_numpy(examples.wanted[rows]).to(device),
        torch.from_numpy(examples.wanted[elsewhere, SHAPE:]).to(device),
        torch.from_numpy(spoken.astype(np.float32)).to(device),
    )


def _disturbed(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """The same in other light, a little noisy, a little aside."""
    b = len(pictures)
    light = 1 + _LIGHT * rng.standard_normal((b, 3, 1, 1)).astype(np.float32)
    noise = _NOISE * rng.standard_normal(tuple(pictures.shape), dtype=np.float32)
    down, right = (int(s) for s in rng.integers(-_SHIFT, _SHIFT, 2, endpoint=True))
    moved = torch.roll(pictures, (down, right), (2, 3))
    device = pictures.device
    return moved * torch.from_numpy(light).to(device) + torch.from_numpy(noise).to(device)


@torch.no_grad()
def _judge_scores(judge: Judge, examples: Examples, device: str, seed: int) -> dict[str, float]:
    held = np.flatnonzero(examples.held_out)
    errors, hits, count = [], 0.0, 0.0
    rng = np.random.default_rng((seed, 2))
    for part in np.array_split(held, max(1, len(held) // 64)):
        pictures, wanted, wrong, spoken = _rows(judge, examples, part, rng, device)
        reading = judge(pictures)
        off = (reading.shape - judge.spreads(wanted[:, :SHAPE])).abs() * judge.shape_spread
        errors.append(off[:, 0].cpu().numpy())
        better = judge.agreement(reading.place, wanted[:, SHAPE:]) > judge.agreement(
            reading.place, wrong
        )
        hits += float((better * spoken).sum())
        count += float(spoken.sum())
    error = float(np.concatenate(errors).mean())
    return {"lip_error": error, "sync": hits / count if count else float("nan")}
