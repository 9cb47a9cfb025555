"""Find one person's face in every frame of a clip."""

from lipsync.track import Absence, FaceTrack

__all__ = ["Absence", "FaceTrack"]
