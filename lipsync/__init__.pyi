from .assessment import Verdict, assess
from .blend import Paster
from .crop import LIP_FEATURES, CropSpec, crop_transform, lip_shape
from .engines import (
    BankSource,
    MouthPatch,
    MouthRenderer,
    RenderJob,
    RepeatableRenderer,
    WholeFaceRenderer,
    engine_names,
    get_renderer,
)
from .faces import track_faces, usable_frames
from .motion import MotionModel
from .preview import PreviewShot
from .resync import PassedStretch, ResyncReport
from .score import LipScores, score_lips
from .stream import MouthModel, MouthStream
from .track import FaceTrack

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
    "RepeatableRenderer",
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
