from .audio import Sound, has_sound, read_sound, resample, write_wav
from .colour import ColourTags
from .files import atomic_path, sha256_of, user_cache_dir
from .footage import FootageInfo, Frame
from .loudness import at_loudness, integrated_lufs, peak_dbfs, rms_dbfs
from .picture import Change, Picture
from .reader import prefetch, probe, read_frames, read_pictures
from .time import FrameRate, Timecode
from .writer import FootageWriter

__all__ = [
    "Change",
    "ColourTags",
    "FootageInfo",
    "FootageWriter",
    "Frame",
    "FrameRate",
    "Picture",
    "Sound",
    "Timecode",
    "at_loudness",
    "atomic_path",
    "has_sound",
    "integrated_lufs",
    "peak_dbfs",
    "prefetch",
    "probe",
    "read_frames",
    "read_pictures",
    "read_sound",
    "resample",
    "rms_dbfs",
    "sha256_of",
    "user_cache_dir",
    "write_wav",
]
