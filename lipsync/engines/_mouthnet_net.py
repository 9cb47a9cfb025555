"""The network of the mouthnet: it joins, moves and lights mouths, it does not invent them.

A U-Net (O. Ronneberger, P. Fischer and T. Brox, MICCAI 2015) sees the target's crop with the
lower face hidden, K pictures of this person's mouth that the mouthbank retrieved and bent to
the wanted lips, and where these lips shall be; the wanted lip shape and the phonemes around the
moment scale and shift its features (E. Perez et al., "FiLM", AAAI 2018). It answers with what to do
with those pictures at every pixel: how far to move each, how much of each to take, and what to
add. An untrained network gives the first picture back, so training starts from the mouthbank.

What to do is worked out at the network's size and done at the pictures' own: detail
is filmed, whatever the network's size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lipsync.engines._mouthnet_input import CONTEXT, MAPS, SHAPE

__all__ = ["MouthNet", "NetShape", "assemble", "compose"]

# How far a picture may be moved, as a share of its side, and how much may be added (of 1).
_MOST_FLOW = 0.04
_MOST_CHANGE = 0.5
# Until something better is learnt, nearly all is taken from the first reference.
_FIRST = 4.0


@dataclass(frozen=True, slots=True)
class NetShape:
    """The architecture: side of the picture in pixels, references, channels, halvings.

    `size` must divide by 2 ** (depth + 1). Raises `ValueError` for what cannot be built.
    """

    size: int = 128
    references: int = 2
    width: int = 32
    depth: int = 3

    def __post_init__(self) -> None:
        small = 16 <= self.size <= 1024 and 1 <= self.references <= 8 and 1 <= self.depth <= 6
        # Bounds come first: a huge depth would be a power that takes for ever.
        fits = small and self.size % 2 ** (self.depth + 1) == 0 and self.width % 8 == 0
        if not (fits and 8 <= self.width <= 256):
            raise ValueError(f"no network has the shape {asdict(self)}")

    @property
    def channels(self) -> int:
        """Channels of a stored sample."""
        return MAPS + 3 * self.references


class _Block(nn.Module):
    """Convolution, group norm, scaled and shifted by what is wanted, SiLU."""

    def __init__(self, inputs: int, outputs: int, known: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.GroupNorm(max(1, outputs // 8), outputs)
        self.film = nn.Linear(known, 2 * outputs)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        scale, shift = self.film(known)[..., None, None].chunk(2, dim=1)
        return functional.silu(self.norm(self.conv(x)) * (1 + scale) + shift)


class MouthNet(nn.Module):
    """inputs [b, C, S, S] and wanted [b, 7 + 105] -> fields [b, 3 K + 3, S, S]; see `compose`.

    `assemble` makes the inputs. Buffers hold the person's mean lip shape and its spread.
    """

    shape_mean: Tensor
    shape_spread: Tensor

    def __init__(self, shape: NetShape) -> None:
        super().__init__()
        self.shape = shape
        widths = [shape.width * m for m in (1, 2, 4, 6, 8, 8, 8)[: shape.depth + 1]]
        known = 4 * shape.width
        self.register_buffer("shape_mean", torch.zeros(SHAPE))
        self.register_buffer("shape_spread", torch.ones(SHAPE))
        self.know = nn.Sequential(
            nn.Linear(SHAPE + CONTEXT, known), nn.SiLU(), nn.Linear(known, known), nn.SiLU()
        )
        self.stem = _Block(4 * shape.channels, widths[0], known)
        self.down = nn.ModuleList(
            nn.ModuleList([_Block(a, b, known, 2), _Block(b, b, known)])
            for a, b in pairwise(widths)
        )
        self.middle = _Block(widths[-1], widths[-1], known)
        self.up = nn.ModuleList(_Block(a + b, b, known) for a, b in pairwise(widths[::-1]))
        self.head = nn.Conv2d(widths[0], 4 * (3 * shape.references + 3), 3, 1, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(cast(Tensor, self.head.bias))

    def forward(self, inputs: Tensor, wanted: Tensor) -> Tensor:
        shape = (wanted[:, :SHAPE] - self.shape_mean) / self.shape_spread
        known = self.know(torch.cat([shape, wanted[:, SHAPE:]], dim=1))
        x = self.stem(functional.pixel_unshuffle(inputs, 2), known)
        kept = []
        for half in self.down:
            kept.append(x)
            for block in cast(nn.ModuleList, half):
                x = block(x, known)
        x = self.middle(x, known)
        for block in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, kept.pop()], dim=1), known)
        return functional.pixel_shuffle(self.head(x), 2)

    def facts(self) -> dict[str, Any]:
        """The architecture for a card."""
        return asdict(self.shape)


def assemble(samples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Stored samples uint8 [b, C, S, S] -> (inputs [b, C, S, S], references [b, K, 3, S, S],
    mask [b, 1, S, S]), float32 in about -1..1, 0..1 and 0..1.

    Where the mask is above 0 the picture is hidden: what the mouth did there must not be seen.
    """
    numbers = samples.float() / 255
    picture, mask, lips = numbers[:, :3], numbers[:, 3:4], numbers[:, 4:MAPS]
    b, _, h, w = numbers.shape
    references = numbers[:, MAPS:].reshape(b, -1, 3, h, w)
    hidden = (mask > 0).float()
    inputs = torch.cat(
        [(2 * picture - 1) * (1 - hidden), hidden, lips, 2 * numbers[:, MAPS:] - 1], dim=1
    )
    return inputs, references, mask


def compose(references: Tensor, fields: Tensor) -> Tensor:
    """The mouth [b, 3, H, H] that `fields` [b, 3 K + 3, S, S] make of [b, K, 3, H, H].

    The fields: x and y of how far to move each picture (shares of the side), the log of how much to
    take of each, red, green and blue to add. They are enlarged where H is not S.
    """
    count, side = references.shape[1], references.shape[-1]
    if fields.shape[-1] != side:
        fields = functional.interpolate(
            fields, size=(side, side), mode="bilinear", align_corners=False
        )
    flow, shares = fields[:, : 2 * count], fields[:, 2 * count : 3 * count]
    change = fields[:, 3 * count :]
    prior = torch.zeros(count, device=fields.device)
    prior[0] = _FIRST
    shares = torch.softmax(shares.float() + prior[:, None, None], dim=1)
    moved = _moved(references, _MOST_FLOW * torch.tanh(flow.float()))
    mixed: Tensor = (shares[:, :, None] * moved).sum(1)
    return mixed + _MOST_CHANGE * torch.tanh(change.float())


def _moved(references: Tensor, flow: Tensor) -> Tensor:
    """Each picture read `flow` [b, 2 K, H, H] (shares of the side) further on."""
    count, side = references.shape[1], references.shape[-1]
    line = (torch.arange(side, device=flow.device, dtype=flow.dtype) + 0.5) * (2 / side) - 1
    rest = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
    # grid_sample counts a whole side as 2.
    grid = rest + 2 * flow.reshape(-1, 2, side, side).permute(0, 2, 3, 1)
    flat = references.reshape(-1, 3, side, side)
    moved = functional.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    return moved.reshape(-1, count, 3, side, side)
