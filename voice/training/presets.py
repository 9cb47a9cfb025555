"""Sizes to train at: one for a GPU, one for patience, one for seeing that it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from media.errors import WeightsError

__all__ = ["PRESETS", "Preset", "preset_named"]


@dataclass(frozen=True, slots=True)
class Preset:
    """How large a model is and how it is trained.

    `rate` in Hz and `architecture` (fields of coqui's VitsArgs) hold for VITS trained from
    nothing; a checkpoint brings its own. An epoch, after which the held-out clips are listened
    to if `evaluates`, is `epoch_steps` steps; a checkpoint is written every `save_s` seconds.
    """

    name: str
    steps: int
    batch: int
    rate: int = 24_000
    workers: int = 0
    epoch_steps: int = 200
    log_steps: int = 25
    save_s: float = 300.0
    evaluates: bool = True
    architecture: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


_HALF = {
    "hidden_channels": 96,
    "hidden_channels_ffn_text_encoder": 384,
    "num_layers_text_encoder": 4,
    "num_layers_posterior_encoder": 8,
    "upsample_initial_channel_decoder": 192,
    "periods_multi_period_discriminator": [2, 3, 5],
}
_TINY = {
    "hidden_channels": 32,
    "hidden_channels_ffn_text_encoder": 64,
    "num_layers_text_encoder": 2,
    "num_layers_posterior_encoder": 2,
    "num_layers_flow": 2,
    "upsample_initial_channel_decoder": 32,
    "resblock_kernel_sizes_decoder": [3],
    "resblock_dilation_sizes_decoder": [[1, 3]],
    "resblock_type_decoder": "2",
    "periods_multi_period_discriminator": [2],
    "spec_segment_size": 16,
}
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "gpu": Preset("gpu", steps=100_000, batch=32, workers=4, epoch_steps=1000, log_steps=100),
        "cpu": Preset("cpu", steps=2_000, batch=4, architecture=MappingProxyType(_HALF)),
        "tiny": Preset(
            "tiny",
            steps=100,
            batch=2,
            rate=16_000,
            log_steps=5,
            evaluates=False,
            architecture=MappingProxyType(_TINY),
        ),
    }
)
"""By name. "tiny" speaks no words; it shows in a minute that data and machine work."""


def preset_named(name: str) -> Preset:
    """The preset called `name`; raises `WeightsError` naming those there are."""
    if name not in PRESETS:
        raise WeightsError(
            f"there is no training preset '{name}'; choose one of: {', '.join(PRESETS)}"
        )
    return PRESETS[name]
