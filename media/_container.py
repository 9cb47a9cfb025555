"""What audio and video reading share: opening a container, and where its picture starts.

Imports PyAV, so only functions import this module.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.logging

from media.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = [
    "check_readable",
    "open_input",
    "picture_start",
    "sound_rate",
    "stream_seconds",
    "video_stream",
]


def check_readable(path: Path) -> None:
    """Raise a `MediaError` in one line when `path` is missing, a folder, empty or forbidden."""
    if not path.exists():
        raise MediaError(f"'{path}' does not exist; check the path")
    if path.is_dir():
        raise MediaError(f"'{path}' is a folder; name a file inside it")
    if not path.is_file():  # a pipe would be waited for, a device read without end
        raise MediaError(f"'{path}' is a pipe or a device; name a file")
    try:
        with path.open("rb") as stream:
            first = stream.read(1)
    except OSError as error:
        raise MediaError(f"'{path}' cannot be opened; check its permissions") from error
    if not first:
        raise MediaError(f"'{path}' is empty; copy it again from its source")


def open_input(path: Path) -> InputContainer:
    """Open `path` for reading. Raises `MediaError` when it is not sound or picture."""
    check_readable(path)
    try:
        container: InputContainer = av.open(str(path), "r", metadata_errors="replace")
    except UnicodeEncodeError as error:  # FFmpeg is given UTF-8 alone
        raise MediaError(
            f"the name {str(path)!a} is not UTF-8; rename that file or folder"
        ) from error
    except (av.error.FFmpegError, ValueError) as error:
        raise MediaError(
            f"'{path}' is not sound or video that can be read; "
            "give a media file, or copy it again if it is damaged"
        ) from error
    if not container.streams.video and not container.streams.audio:
        container.close()
        raise MediaError(f"'{path}' has neither picture nor sound; give a media file")
    return container


def video_stream(container: InputContainer) -> VideoStream | None:
    """The first moving picture; cover art of a sound file does not count."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    for stream in container.streams.video:
        if not stream.disposition & still and stream.codec_context is not None:
            return stream
    return None


def sound_rate(container: InputContainer) -> int:
    """Samples a second of the first sound track, 0 where nobody knows how to decode it."""
    # PyAV types it as always there; a coding that FFmpeg does not know has none.
    context: Any = container.streams.audio[0].codec_context
    return int(context.sample_rate or 0) if context is not None else 0


def stream_seconds(pts: int | None, time_base: Fraction | None) -> Fraction | None:
    """A time stamp in seconds, exact; None when there is none."""
    if pts is None or time_base is None:
        return None
    return pts * Fraction(time_base)


def picture_start(path: Path) -> Fraction | None:
    """Container time (seconds) of the first picture shown; None without moving picture."""
    with open_input(path) as container:
        stream = video_stream(container)
        if stream is None:
            return None
        try:
            frame: Any = next(iter(container.decode(stream)), None)
        except av.error.FFmpegError:
            frame = None
        if frame is None or frame.pts is None:
            return stream_seconds(stream.start_time, stream.time_base)
        return stream_seconds(frame.pts, frame.time_base)
