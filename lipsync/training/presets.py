"""How large, how long, on what: the three ways to train a face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from media.errors import EngineMissingError

__all__ = ["PRESETS", "Preset", "preset_of"]


@dataclass(frozen=True, slots=True)
class Preset:
    """One way to train.

    `size`, `references`, `width`, `depth`: the network (`NetShape`). `crop` is the side of the
    mouthbank's crops, `frames` the most that are learnt from. A step takes `runs` runs of `run`
    consecutive frames; there are `steps` of them (or as many as fit into the asked-for minutes), at
    a learning rate that falls from `rate` to 0. The judge learns for `judge_steps` first.
    `adversarial` adds the discriminators; `check` is the number of steps between two looks at the
    held-out frames, of which at most `held_out` are looked at.
    """

    name: str
    size: int
    references: int
    width: int
    depth: int
    crop: int
    frames: int
    runs: int
    run: int
    steps: int
    judge_steps: int
    rate: float
    adversarial: bool
    check: int
    held_out: int


#: "tiny" is for trying out and for tests, "cpu" for a preview in 20 minutes on two cores,
#: "gpu" for a card with 24 GB and more.
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        p.name: p
        for p in (
            Preset("tiny", 32, 2, 8, 2, 128, 160, 4, 2, 40, 40, 4e-3, False, 20, 24),
            Preset("cpu", 128, 2, 32, 3, 256, 4500, 4, 2, 2400, 500, 1e-3, False, 100, 96),
            Preset("gpu", 256, 3, 64, 4, 384, 16000, 16, 3, 9000, 2000, 6e-4, True, 500, 384),
        )
    }
)


def preset_of(name: str) -> Preset:
    """The preset called `name`. Raises `EngineMissingError` for another."""
    if name not in PRESETS:
        raise EngineMissingError(
            f"there is no training preset '{name}'; choose one of {', '.join(PRESETS)}"
        )
    return PRESETS[name]
