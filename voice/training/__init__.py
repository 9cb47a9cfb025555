"""Train a person's voice with coqui-tts, from clips to a folder that `say` speaks with.

    trained = train_voice(Path("dataset/"), Path("voices/anna"), person="Anna", consent_id="...",
                          engine="vits", preset="gpu", steps=100_000)
    trained.voice.scores, trained.run.steps, trained.run.losses

A dataset is LJ Speech's layout (`metadata.csv` beside `wavs/`, as `wildline archive` writes it)
or any folder of recordings. VITS is trained from nothing or goes on from a checkpoint; XTTS
takes a voice from a few recordings and, with steps, trains its language model further. Called
again after it was stopped, training goes on from the last checkpoint.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["PRESETS", "Preset", "Trained", "TrainingRun", "read_dataset", "train_voice"]

_HOME = {
    "PRESETS": "voice.training.presets",
    "Preset": "voice.training.presets",
    "Trained": "voice.training.train",
    "TrainingRun": "voice.training.loop",
    "read_dataset": "voice.training.dataset",
    "train_voice": "voice.training.train",
}


def __getattr__(name: str) -> Any:
    """Re-export lazily: importing the package loads neither torch nor coqui-tts."""
    if name not in _HOME:
        raise AttributeError(f"module 'voice.training' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
