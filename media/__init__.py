"""Sound, picture and exact time: the only code that touches a codec.

    from media import FootageWriter, probe, read_frames, read_sound

    info = probe(Path("scene.mp4"))               # rate, size, colour tags, timecode
    line = read_sound(Path("line.wav"), 48_000)   # mono float32
    with FootageWriter(Path("out.mp4"), like=info, sound=line) as writer:
        for frame in read_frames(info.path):      # index, exact pts, rgb uint8 [H, W, 3]
            writer.write(frame)

Rates and times are Fractions (`FrameRate`, `Timecode`); refusals come from `media.errors`.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Change": "picture",
    "ColourTags": "colour",
    "FootageInfo": "footage",
    "FootageWriter": "writer",
    "Frame": "footage",
    "FrameRate": "time",
    "Picture": "picture",
    "Sound": "audio",
    "Timecode": "time",
    "at_loudness": "loudness",
    "atomic_path": "files",
    "has_sound": "audio",
    "integrated_lufs": "loudness",
    "peak_dbfs": "loudness",
    "prefetch": "reader",
    "probe": "reader",
    "read_frames": "reader",
    "read_pictures": "reader",
    "read_sound": "audio",
    "resample": "audio",
    "rms_dbfs": "loudness",
    "sha256_of": "files",
    "user_cache_dir": "files",
    "write_wav": "audio",
}

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


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"media.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
