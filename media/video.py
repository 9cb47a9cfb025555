"""Footage: its facts, its frames in display order, and writing it back as it was.

    info = probe(path)
    with FootageWriter(out, like=info, sound=sound) as writer:
        for frame in prefetch(read_frames(path)):
            writer.write(frame)

Frame n is the n-th picture shown. Time stamps are exact Fractions of a second from the
first picture. RGB is made with the footage's own matrix and range, and turned back with
the same ones. Nothing here holds more than a few frames.
"""

from __future__ import annotations

from media.colour import ColourTags
from media.footage import FootageInfo, Frame
from media.reader import count_pictures, prefetch, probe, read_frames
from media.writer import FootageWriter

__all__ = [
    "ColourTags",
    "FootageInfo",
    "FootageWriter",
    "Frame",
    "count_pictures",
    "prefetch",
    "probe",
    "read_frames",
]
