"""lipsync.training: a person's own footage in, a trained face for the mouthnet out.

    sources = [BankSource(path, track, timing, sound), ...]
    face = train_face(sources, Path("faces/anna"), preset="cpu", person="Anna Example")
    face.card.scores          # psnr, ssim, lip_error on frames not learnt from, and of copying

`data` lets the mouthbank draw every frame of the footage from other footage, as it would in a
new scene, and keeps drawing and truth on disk. `judge` learns to read lips from crops: lip
shape, the phonemes that go with it, and features for the losses (`losses`). `loop` trains,
checkpoints, resumes and keeps the best by a held-out score; `show` draws previews and curves.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["PRESETS", "Preset", "train_face"]

_HOMES = {
    "lipsync.training.presets": ("PRESETS", "Preset"),
    "lipsync.training.face": ("train_face",),
}

if TYPE_CHECKING:
    from lipsync.training.face import train_face
    from lipsync.training.presets import PRESETS, Preset


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
