"""Reading footage: its facts, and its frames in display order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from itertools import chain, islice
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from media.colour import ColourTags, RgbConverter, is_full_range_format
from media.errors import MediaError
from media.footage import FootageInfo, Frame
from media.picture import Picture
from media.time import FrameRate, Timecode

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["count_pictures", "prefetch", "probe", "read_frames", "read_pictures"]

T = TypeVar("T")

# Containers without a full index are judged by this many packets from the start.
_SAMPLED_PACKETS = 1000
# Codecs whose colour samples lie between two pixels.
_CENTRED = frozenset(("mpeg1video", "mjpeg", "mjpegb"))
# Nearer to the start than this, decoding from the start is as fast as a seek.
_SEEK_FROM = 24


def probe(path: Path) -> FootageInfo:
    """The facts of a video file; decodes its first frame only.

    Raises `MediaError` when the file is missing, not video, or no frame decodes.
    """
    from media._container import open_input

    path = Path(path)
    with open_input(path) as container:
        stream = _picture(container, path)
        times, whole = _timestamps(container, stream)
    with open_input(path) as container:
        stream = _picture(container, path)
        first = next(_decoded(container, stream), None)
        if first is None:
            raise MediaError(f"no picture in '{path}' can be decoded; copy it again")
        rate, variable = _rate(stream, times)
        return _describe(path, container, first, rate, variable, len(times) if whole else None)


def read_frames(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
    """Frames `start` up to (not including) `stop`, in display order, as RGB.

    Exact: a late `start` is reached from the key frame before it only where the file's
    index proves that time and frame number agree; otherwise by decoding from the start.
    Holds one frame at a time. A damaged or truncated file yields what decodes.

    Raises `MediaError` when the file is missing, not video, or no frame decodes.
    """
    return _frames(read_pictures(path, start, stop))


def read_pictures(path: Path, start: int = 0, stop: int | None = None) -> Iterator[Picture]:
    """The same as `read_frames`, but RGB is only made of the parts that are looked at."""
    info = probe(path)
    if start < 0 or (stop is not None and stop < start):
        raise MediaError(f"frames {start} to {stop} are not a range; count from 0 upwards")
    return _pictures(info, start, stop)


def count_pictures(path: Path) -> int:
    """Pictures stored in a video file, counted without decoding them.

    Raises `MediaError` when the file is missing or not video.
    """
    from media._container import open_input

    with open_input(path) as container:
        stream = _picture(container, path)
        return stream.frames or sum(bool(p.size) for p in container.demux(stream))


def prefetch(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """The same items, made up to `depth` ahead in a thread of their own.

    An exception of the source comes out where the item would have. Leaving the loop (or
    closing the generator) stops the thread and closes the source.
    """
    results: queue.Queue[tuple[bool, Any]] = queue.Queue(maxsize=max(depth, 1))
    stopped = threading.Event()

    def offer(entry: tuple[bool, Any]) -> bool:
        while not stopped.is_set():
            try:
                results.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        source = iter(items)
        ending: BaseException = StopIteration()
        try:
            for item in source:
                if not offer((True, item)):
                    break
        except BaseException as error:  # handed to the consumer, whatever it is
            ending = error
        finally:
            if close := getattr(source, "close", None):
                close()
        offer((False, ending))

    worker = threading.Thread(target=work, name="prefetch", daemon=True)
    worker.start()
    try:
        while True:
            is_item, value = results.get()
            if is_item:
                yield value
            elif isinstance(value, StopIteration):
                return
            else:
                raise value
    finally:
        stopped.set()
        worker.join()


def _picture(container: InputContainer, path: Path) -> VideoStream:
    from media._container import video_stream

    stream = video_stream(container)
    if stream is None:
        raise MediaError(f"'{path}' has sound but no picture; give a video file")
    return stream


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames that decode; damaged packets are left out, a broken end ends the stream."""
    import av.error

    stream.thread_type = "AUTO"
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except av.error.InvalidDataError:
                continue
    except av.error.FFmpegError:
        return  # the end of the file, or a tail that is cut off


def _timestamps(container: InputContainer, stream: VideoStream) -> tuple[list[int], bool]:
    """Time stamps in units of the stream, sorted, and whether they are all of the file's."""
    index = stream.index_entries
    if stream.frames and len(index) == stream.frames:
        return sorted(entry.timestamp for entry in index), True
    packets = islice(container.demux(stream), _SAMPLED_PACKETS + 1)
    stamps = [p.pts if p.pts is not None else p.dts for p in packets if p.size]
    known = sorted(s for s in stamps if s is not None)
    whole = len(stamps) <= _SAMPLED_PACKETS and len(known) == len(stamps)
    return known, whole


def _rate(stream: VideoStream, times: list[int]) -> tuple[FrameRate, bool]:
    """The frame rate, and whether frames come at irregular times.

    Of the rates that the container offers, the first that puts every time stamp within
    one tick (or one millisecond, for Matroska) of its place.
    """
    base = Fraction(stream.time_base or Fraction(1, 1000))
    slack = max(base, Fraction(1, 1000)) * Fraction(11, 10)
    offered = [r for r in (stream.average_rate, stream.guessed_rate, stream.base_rate) if r]
    candidates = [FrameRate.parse(Fraction(r)) for r in offered]
    if not candidates:
        return _average(times, base), True
    for rate in candidates:
        # In whole numbers: index * ticks per frame against the stamp.
        per_frame = 1 / (rate.value * base)
        allowed = slack / base
        if all(abs(t - times[0] - i * per_frame) <= allowed for i, t in enumerate(times)):
            return rate, False
    return candidates[0], True


def _average(times: list[int], base: Fraction) -> FrameRate:
    if len(times) < 2 or times[-1] == times[0]:
        return FrameRate(Fraction(25))
    return FrameRate((len(times) - 1) / ((times[-1] - times[0]) * base))


def _describe(
    path: Path,
    container: InputContainer,
    first: VideoFrame,
    rate: FrameRate,
    variable: bool,
    count: int | None,
) -> FootageInfo:
    stream = _picture(container, path)
    rotation = round(first.rotation / 90) * 90 % 360
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    size = (first.width, first.height)
    width, height = size[::-1] if rotation % 180 else size
    return FootageInfo(
        path=path,
        rate=rate,
        width=width,
        height=height,
        frames=count,
        duration_s=_duration(container, stream, rate, variable, count),
        pix_fmt=first.format.name,
        colour=_colour(first),
        start_timecode=_timecode(container, stream, rate),
        has_sound=bool(container.streams.audio),
        rotation=rotation,
        sample_aspect=1 / aspect if rotation % 180 else aspect,
        variable_rate=variable,
        time_base=Fraction(stream.time_base) if stream.time_base else None,
        centred_chroma=stream.codec_context.name in _CENTRED,
    )


def _duration(
    container: InputContainer,
    stream: VideoStream,
    rate: FrameRate,
    variable: bool,
    count: int | None,
) -> Fraction:
    if count is not None and not variable:
        return rate.time_of(count)
    if stream.duration and stream.time_base:
        return Fraction(stream.duration * stream.time_base)
    return Fraction(container.duration or 0, 1_000_000)


def _colour(frame: VideoFrame) -> ColourTags:
    full = {1: False, 2: True}.get(int(frame.color_range))
    if full is None and is_full_range_format(frame.format.name):
        full = True
    return ColourTags(int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace), full)


def _timecode(container: InputContainer, stream: VideoStream, rate: FrameRate) -> Timecode | None:
    """The start timecode of a timecode track, the picture's or the file's own metadata."""
    data = [s for s in container.streams if s.type == "data"]
    for metadata in (stream.metadata, *(s.metadata for s in data), container.metadata):
        label = metadata.get("timecode") or metadata.get("TIMECODE")
        if label is None:
            continue
        try:
            return Timecode.parse(label, rate)
        except MediaError:
            continue
    return None


def _frames(pictures: Iterator[Picture]) -> Iterator[Frame]:
    for picture in pictures:
        yield picture.frame()


def _pictures(info: FootageInfo, start: int, stop: int | None) -> Iterator[Picture]:
    """`read_pictures` after its checks (a generator, so that those come at the call)."""
    if stop == start:
        return
    convert = RgbConverter(
        info.colour, info.stored_lines, info.pix_fmt, centred=info.centred_chroma
    )
    for index, pts, stored in _numbered(info, start):
        if stop is not None and index >= stop:
            return
        if index >= start:
            yield Picture(index, pts, stored, convert, info.rotation)
        if stop is not None and index + 1 >= stop:
            return


def _numbered(info: FootageInfo, start: int) -> Iterator[tuple[int, Fraction, VideoFrame]]:
    """(index, seconds since frame 0, picture), from `start` or from somewhere before it."""
    from media._container import open_input, picture_start

    origin = picture_start(info.path)
    if start >= _SEEK_FROM and info.frames is not None and not info.variable_rate:
        for back in (0, 2 * _SEEK_FROM):
            with open_input(info.path) as container:
                found = _sought(container, info, max(start - back, 0), origin or Fraction(0))
                first = next(found, None)
                if first is not None and first[0] <= start:
                    yield first
                    yield from found
                    return
    with open_input(info.path) as container:
        pictures = _decoded(container, _picture(container, info.path))
        yield from _counted(pictures, 0, origin, info.rate)


def _sought(
    container: InputContainer, info: FootageInfo, target: int, origin: Fraction
) -> Iterator[tuple[int, Fraction, VideoFrame]]:
    """From the key frame before `target`; nothing when times do not fall on frame numbers."""
    stream = _picture(container, info.path)
    time_base = Fraction(stream.time_base or Fraction(1, 1000))
    container.seek(floor((origin + info.rate.time_of(target)) / time_base), stream=stream)
    pictures = _decoded(container, stream)
    first = next(pictures, None)
    at = None if first is None else _time(first)
    if first is None or at is None:
        return
    index = info.rate.frames_in(at - origin)
    if abs(at - origin - info.rate.time_of(index)) * 4 > info.rate.time_of(1):
        return
    yield from _counted(chain((first,), pictures), index, origin, info.rate)


def _time(picture: VideoFrame) -> Fraction | None:
    """Container time of a picture in seconds."""
    if picture.pts is None or picture.time_base is None:
        return None
    return picture.pts * Fraction(picture.time_base)


def _counted(
    pictures: Iterable[VideoFrame], index: int, origin: Fraction | None, rate: FrameRate
) -> Iterator[tuple[int, Fraction, VideoFrame]]:
    """Number pictures from `index`; missing or backward time stamps become the next frame's."""
    last: Fraction | None = None
    for number, picture in enumerate(pictures, index):
        at = _time(picture)
        if origin is None:
            origin = at
        if at is None or origin is None or (last is not None and at - origin <= last):
            at = rate.time_of(number) if last is None else last + rate.time_of(1)
        else:
            at -= origin
        last = at
        yield number, at, picture
