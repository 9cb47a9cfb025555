"""Footage: its facts, its frames in display order, and writing it back as it was.

    info = probe(path)
    with FootageWriter(out, like=info, sound=sound) as writer:
        for frame in prefetch(read_frames(path)):
            writer.write(frame)

`read_pictures` and `writer.write_changed` do the same without converting what nobody looks at:
parts are cut out of a `Picture` as RGB, and all that is not changed is written as it was stored.

Frame n is the n-th picture shown. Time stamps are exact Fractions of a second from the
first picture. RGB is made with the footage's own matrix and range, and turned back with
the same ones. Nothing here holds more than a few frames.
"""

from __future__ import annotations

from media.colour import ColourTags
from media.footage import FootageInfo, Frame
from media.picture import Change, Picture, painted
from media.reader import count_pictures, prefetch, probe, read_frames, read_pictures
from media.writer import FootageWriter

__all__ = [
    "Change",
    "ColourTags",
    "FootageInfo",
    "FootageWriter",
    "Frame",
    "Picture",
    "count_pictures",
    "painted",
    "prefetch",
    "probe",
    "read_frames",
    "read_pictures",
]
