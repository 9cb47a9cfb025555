"""What a drawn mouth is held to: the true picture, its edges and detail, its motion, the judge.

Everything is weighed by the paste-back's own mask (what is never shown does not count),
doubled on and around the lips, and more on frames whose lips are shut: p, b, m and silence.
The discriminators (hinge loss; T. Miyato et al., "Spectral normalization", ICLR 2018) look at
patches (P. Isola et al., CVPR 2017) of one frame, and of all frames of a run at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from lipsync.engines._mouthnet_input import SHAPE
from lipsync.training.judge import Judge

__all__ = ["WEIGHTS", "Critic", "Drawn", "critic_loss", "mouth_losses", "total"]

#: How much each part of the loss counts.
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "pixel": 10.0,
        "edges": 10.0,
        "detail": 0.05,
        "features": 0.5,
        "motion": 5.0,
        "lips": 0.1,
        "sync": 0.02,
        "fooled": 0.05,
    }
)
_LIPS_MORE = 2.0
_SHUT_MORE = 1.0
_DETAIL_FLOOR = (1.5 / 255) ** 2


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """n runs of r frames, flattened to b = n r: drawn and true pictures [b, 3, S, S] in 0..1,
    `mask` [b, 1, S, S], `lips` [b, 1, S, S], `wanted` [b, 112], `tight` and `spoken` [b].
    """

    made: Tensor
    truth: Tensor
    mask: Tensor
    lips: Tensor
    wanted: Tensor
    tight: Tensor
    spoken: Tensor
    run: int

    @property
    def shown(self) -> Tensor:
        """What is seen in the end: drawn inside the mask, true outside."""
        return self.truth + self.mask * (self.made - self.truth)


def mouth_losses(
    drawn: Drawn, judge: Judge, critics: tuple[Critic, Critic] | None
) -> dict[str, Tensor]:
    """Every part of the loss, not yet weighted (`total`)."""
    weight = _weight(drawn)
    away = drawn.made - drawn.truth
    parts = {
        "pixel": _mean(away.abs(), weight),
        "edges": _edges(away, weight),
        "detail": _detail(drawn, weight),
    }
    if drawn.run > 1:
        change = _runs(away, drawn.run).diff(dim=1).flatten(0, 1)
        both = _runs(weight, drawn.run)[:, 1:].flatten(0, 1)
        parts["motion"] = _mean(change.abs(), both)
    parts |= _judged(drawn, judge)
    if critics is not None:
        still, moving = critics
        parts["fooled"] = -(
            still(drawn.shown).mean() + moving(joined(drawn.shown, drawn.run)).mean()
        )
    return parts


def total(parts: Mapping[str, Tensor]) -> Tensor:
    """The weighted sum."""
    return cast(Tensor, sum(WEIGHTS[name] * value for name, value in parts.items()))


def joined(pictures: Tensor, run: int) -> Tensor:
    """Frames of a run side by side in the channels, [n, 3 r, S, S]."""
    return _runs(pictures, run).flatten(1, 2)


def _runs(x: Tensor, run: int) -> Tensor:
    return x.reshape(-1, run, *x.shape[1:])


def _weight(drawn: Drawn) -> Tensor:
    side = drawn.lips.shape[-1]
    reach = 2 * (side // 32) + 1
    near = functional.max_pool2d(drawn.lips, reach, 1, reach // 2)
    frames = 1 + _SHUT_MORE * drawn.tight
    return drawn.mask * (1 + _LIPS_MORE * near) * frames[:, None, None, None]


def _mean(x: Tensor, weight: Tensor) -> Tensor:
    return (x * weight).sum() / (weight.sum() * x.shape[1]).clamp(min=1e-6)


def _edges(away: Tensor, weight: Tensor) -> Tensor:
    down, right = away.diff(dim=2), away.diff(dim=3)
    return _mean(down.abs(), weight[:, :, 1:]) + _mean(right.abs(), weight[..., 1:])


def _detail(drawn: Drawn, weight: Tensor) -> Tensor:
    """How far the energy of fine detail is off, patch by patch, as a logarithm."""
    side = drawn.made.shape[-1]
    patch = max(4, side // 8)

    def energy(pictures: Tensor) -> Tensor:
        grey = pictures.mean(1, keepdim=True)
        fine = grey - functional.avg_pool2d(grey, 3, 1, 1, count_include_pad=False)
        return torch.log(functional.avg_pool2d(fine**2, patch, patch // 2) + _DETAIL_FLOOR)

    off = (energy(drawn.made) - energy(drawn.truth)).abs()
    return _mean(off, functional.avg_pool2d(weight, patch, patch // 2))


def _judged(drawn: Drawn, judge: Judge) -> dict[str, Tensor]:
    """Features, lip shape and phonemes, as the judge sees them."""
    ours = judge(drawn.shown)
    with torch.no_grad():
        real = judge(drawn.truth)
    features = [
        (a - b).abs().mean() / b.abs().mean().clamp(min=1e-3)
        for a, b in zip(ours.features[:3], real.features[:3], strict=True)
    ]
    shape = functional.smooth_l1_loss(ours.shape, judge.spreads(drawn.wanted[:, :SHAPE]))
    agreed = functional.softplus(-judge.agreement(ours.place, drawn.wanted[:, SHAPE:]))
    return {
        "features": cast(Tensor, sum(features)) / len(features),
        "lips": shape,
        "sync": (agreed * drawn.spoken).sum() / drawn.spoken.sum().clamp(min=1),
    }


class Critic(nn.Module):
    """Tells drawn patches from true ones: pictures [b, channels, S, S] -> marks [b, 1, s, s]."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [spectral_norm(nn.Conv2d(a, b, 4, 2, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 3, 1, 1)))

    def forward(self, pictures: Tensor) -> Tensor:
        """Above 0 for what looks true."""
        marks: Tensor = self.layers(2 * pictures - 1)
        return marks


def critic_loss(drawn: Drawn, critics: tuple[Critic, Critic]) -> Tensor:
    """The hinge loss of both critics."""
    still, moving = critics
    made, real = drawn.shown.detach(), drawn.truth
    loss = torch.zeros((), device=made.device)
    for critic, a, b in (
        (still, made, real),
        (moving, joined(made, drawn.run), joined(real, drawn.run)),
    ):
        loss = loss + functional.relu(1 + critic(a)).mean() + functional.relu(1 - critic(b)).mean()
    return loss
