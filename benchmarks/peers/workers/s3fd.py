"""The face detector that Wav2Lip's inference uses, with random weights: for its cost alone.

S. Zhang et al., "S3FD: single shot scale-invariant face detector", ICCV 2017: the sixteen layers
of VGG before its classifier, two made of that classifier, four more, and on six of them a
convolution for scores and one for boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Widths; "P" halves the picture, "*" is a layer that faces are looked for on.
_VGG = "64 64 P 128 128 P 256 256 256 * P 512 512 512 * P 512 512 512 * P"


class S3fd(nn.Module):
    """pictures float32 [n, 3, H, W] -> per scale (scores [n, 2 or 4, h, w], boxes [n, 4, h, w])."""

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        heads: list[nn.Module] = []
        width, layers = 3, []
        for word in _VGG.split():
            if word == "P":
                layers.append(nn.MaxPool2d(2, 2))
            elif word == "*":
                stages.append(nn.Sequential(*layers))
                heads.append(_head(width, 4 if not heads else 2))
                layers = []
            else:
                layers += [nn.Conv2d(width, int(word), 3, 1, 1), nn.ReLU()]
                width = int(word)
        classifier = [nn.Conv2d(512, 1024, 3, 1, 3), nn.ReLU(), nn.Conv2d(1024, 1024, 1), nn.ReLU()]
        stages.append(nn.Sequential(*layers, *classifier))
        for before, inside, after in ((1024, 256, 512), (512, 128, 256)):
            down = nn.Conv2d(inside, after, 3, 2, 1)
            stages.append(nn.Sequential(nn.Conv2d(before, inside, 1), nn.ReLU(), down, nn.ReLU()))
        heads += [_head(width, 2) for width in (1024, 512, 256)]
        self.stages, self.heads = nn.ModuleList(stages), nn.ModuleList(heads)

    def forward(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """See the class."""
        found = []
        for stage, head in zip(self.stages, self.heads, strict=True):
            x = stage(x)
            found.append((head[0](x), head[1](x)))
        return found


def _head(width: int, scores: int) -> nn.ModuleList:
    kinds = (scores, 4)
    return nn.ModuleList(nn.Conv2d(width, out, 3, 1, 1) for out in kinds)


def detector() -> S3fd:
    """Ready to run."""
    torch.manual_seed(0)
    return S3fd().eval()
