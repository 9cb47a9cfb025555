from .face import train_face
from .presets import PRESETS, Preset

__all__ = [
    "PRESETS",
    "Preset",
    "train_face",
]
