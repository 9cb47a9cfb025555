"""lipsync: footage and a new sound in, the mouth re-rendered.

    from lipsync.resync import resync
    report = resync(Path("scene.mp4"), sound, timing, Path("out.mp4"))
    report.passed              # stretches that kept their mouth, with timecode and reason

`track_faces` follows one face through a clip (a record per frame, faceless ones too);
`lipsync.crop` and `lip_shape` turn it into steady mouth pictures and lip shapes in numbers;
`MotionModel` predicts those shapes from timing and sound; a `MouthRenderer` (by name:
`get_renderer`) makes the mouths; `Paster` lays them back in. `MouthModel.stream` does the same
with frames as they come. `score_lips` measures lips, `assess` a finished video beside its source.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = [
    "BankSource",
    "CropSpec",
    "FaceTrack",
    "LIP_FEATURES",
    "LipScores",
    "MotionModel",
    "MouthModel",
    "MouthPatch",
    "MouthRenderer",
    "MouthStream",
    "PassedStretch",
    "Paster",
    "PreviewShot",
    "RenderJob",
    "ResyncReport",
    "Verdict",
    "WholeFaceRenderer",
    "assess",
    "crop_transform",
    "engine_names",
    "get_renderer",
    "lip_shape",
    "score_lips",
    "track_faces",
    "usable_frames",
]

_HOMES = {
    "lipsync.assessment": ("Verdict", "assess"),
    "lipsync.blend": ("Paster",),
    "lipsync.crop": ("LIP_FEATURES", "CropSpec", "crop_transform", "lip_shape"),
    "lipsync.engines": (
        "BankSource",
        "MouthPatch",
        "MouthRenderer",
        "RenderJob",
        "WholeFaceRenderer",
        "engine_names",
        "get_renderer",
    ),
    "lipsync.faces": ("track_faces", "usable_frames"),
    "lipsync.motion": ("MotionModel",),
    "lipsync.preview": ("PreviewShot",),
    "lipsync.resync": ("PassedStretch", "ResyncReport"),
    "lipsync.score": ("LipScores", "score_lips"),
    "lipsync.stream": ("MouthModel", "MouthStream"),
    "lipsync.track": ("FaceTrack",),
}

if TYPE_CHECKING:
    from lipsync.assessment import Verdict, assess
    from lipsync.blend import Paster
    from lipsync.crop import LIP_FEATURES, CropSpec, crop_transform, lip_shape
    from lipsync.engines import (
        BankSource,
        MouthPatch,
        MouthRenderer,
        RenderJob,
        WholeFaceRenderer,
        engine_names,
        get_renderer,
    )
    from lipsync.faces import track_faces, usable_frames
    from lipsync.motion import MotionModel
    from lipsync.preview import PreviewShot
    from lipsync.resync import PassedStretch, ResyncReport
    from lipsync.score import LipScores, score_lips
    from lipsync.stream import MouthModel, MouthStream
    from lipsync.track import FaceTrack


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'lipsync' has no attribute '{name}'")


def __dir__() -> list[str]:
    return list(__all__)
