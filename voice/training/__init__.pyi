from .dataset import read_dataset
from .loop import TrainingRun
from .presets import PRESETS, Preset
from .train import Trained, train_voice

__all__ = [
    "PRESETS",
    "Preset",
    "Trained",
    "TrainingRun",
    "read_dataset",
    "train_voice",
]
