"""Paint the new mouths and code the film, side by side and piece by piece.

Decoding, drawing mouths, laying them in and coding run in threads of their own. The film is coded
in pieces of some seconds, which are kept in the cache (`lipsync.unfinished`): the same run started
again after a SIGKILL goes on behind the last whole piece, with the light that the painter
remembered there, and gives the very bytes that it would have given. Engines that cannot begin in
the middle (they are no `RepeatableRenderer`), and stills, begin anew.

A picture is painted only when it is shown at the time at which the track saw it, and a piece is
kept only while the footage is the file that was looked at first: footage that gives other pictures
than it gave to the tracker is a `MediaError`, and nothing of that run is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lipsync.engines import (
    MouthPatch,
    MouthRenderer,
    Progress,
    RenderJob,
    RepeatableRenderer,
    WholeFaceRenderer,
)
from media.errors import MediaError
from media.far import let_go

if TYPE_CHECKING:
    from lipsync.blend import Paster
    from media.audio import Sound
    from media.patch import StillsWriter
    from media.pieces import Pieces
    from media.video import Change, FootageInfo, FootageWriter, Picture

__all__ = ["Begin", "Changed", "Deliver", "Written", "changed_pictures", "footage_seen", "write"]

Floats = NDArray[np.float32]
Deliver = Literal["picture", "patch"]

_BATCH = 4
_AHEAD = 4
_FADE_S = 0.16
_ROOM = 44  # pixels around the crop that the coder may want
# About how many frames are coded as one piece.
_PIECE = 150
# Seconds by which a picture may miss the time that its track noted as a double.
_SLACK = 1e-4


class Begin(NamedTuple):
    """Where a run begins: `frames` are there already, the film's first was shown at `origin`
    (seconds; None: not known yet), and `light` is what the painter remembered behind the last.
    """

    frames: int = 0
    origin: Fraction | None = None
    light: Floats | None = None


_ANEW = Begin()


class Changed(NamedTuple):
    """A picture, the changes to lay into it, and at the end of a piece the painter's light."""

    picture: Picture
    changes: tuple[Change, ...]
    light: Floats | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A film to be written: what, from what, by whom, and how.

    `seen` is the footage as it was before it was tracked (`footage_seen`; None: as it is when the
    writing starts). `batch` frames are painted at once; a `piece` is whole batches, so that a run
    goes on with the same ones. Both stay as they are when the engine halves its batch for want of
    memory. `sound` is the track to be written where it is not the job's, which counts frames.
    """

    info: FootageInfo
    job: RenderJob
    renderer: MouthRenderer
    out: Path
    codec: Literal["h264", "prores"] = "h264"
    quality: int = 14
    deliver: Deliver = "picture"
    seen: tuple[int, int] | None = None
    sound: Sound | None = None
    batch: int = field(init=False)
    piece: int = field(init=False)

    def __post_init__(self) -> None:
        batch = int(getattr(self.renderer, "batch", _BATCH))
        object.__setattr__(self, "batch", batch)
        object.__setattr__(self, "piece", -(-_PIECE // batch) * batch)

    @property
    def heard(self) -> Sound:
        """The sound track."""
        return self.job.sound if self.sound is None else self.sound

    @property
    def key(self) -> str | None:
        """What the run is known by when it is started again; None for one that begins anew."""
        from lipsync.unfinished import job_key

        if not isinstance(self.renderer, RepeatableRenderer) or self.out.suffix.lower() == ".png":
            return None
        facts = str(replace(self.info, path=Path()))
        form = self.out.suffix.lower()
        settings = (form, self.codec, self.quality, self.deliver, self.piece, facts)
        return job_key(self.job, self.renderer.fingerprint, settings)


def footage_seen(path: Path) -> tuple[int, int]:
    """Size (bytes) and time of the last change (ns), by which a file that changed is known.

    Raises `MediaError`.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise MediaError(
            f"cannot read '{path}': {(error.strerror or str(error)).lower()}; check the path"
        ) from error
    return facts.st_size, facts.st_mtime_ns


def write(
    work: Written,
    cache: Path,
    progress: Progress | None = None,
    held: ExitStack | None = None,
) -> None:
    """Decode, draw, lay in and code at once, each in its own thread.

    What is finished stays in `cache` until `held` is closed, or only until the film is written.
    Raises `MediaError` when the footage gives other pictures now than it gave to the tracker, and
    `OutputError`.
    """
    from threadpoolctl import threadpool_limits

    from lipsync.unfinished import unfinished
    from media.pieces import Pieces

    total, key = len(work.job.target), work.key
    # Small systems are solved for every frame: threads of the linear algebra would only get
    # in the way of the decoder, the paster and the encoder, which run side by side.
    with ExitStack() as own, threadpool_limits(limits=1, user_api="blas"):
        pieces = None
        if key is not None:
            folder = (held or own).enter_context(unfinished(cache, key))
            pieces = Pieces(folder, every=work.piece, total=total)
        _write(work, pieces, progress)


def _write(work: Written, pieces: Pieces | None, progress: Progress | None) -> None:
    from media.video import FootageWriter, prefetch

    total = len(work.job.target)
    work = replace(work, seen=work.seen or footage_seen(work.info.path))
    changed = prefetch(changed_pictures(work, _begin(pieces)), _AHEAD)
    with closing(changed), _writer(work, pieces) as writer:
        for picture, changes, after in changed:
            writer.write_changed(picture, changes)
            if isinstance(writer, FootageWriter) and writer.frames_written % work.piece == 0:
                _refuse_replaced(work)
                writer.end_piece(_note(after))
            if progress is not None:
                progress("writing the picture", writer.frames_written, total)
        if writer.frames_written != total:  # before the end of the block gives the film its name
            raise MediaError(
                f"'{work.info.path}' gave {total} frames at first and {writer.frames_written} at "
                "last; copy it to a local disk and try again"
            )
        _refuse_replaced(work)


def _refuse_replaced(work: Written) -> None:
    if footage_seen(work.info.path) != work.seen:
        raise MediaError(
            f"'{work.info.path}' was changed while it was worked on; start again when it is whole"
        )


def _begin(pieces: Pieces | None) -> Begin:
    """Behind the last piece that is there."""
    if pieces is None or not pieces.kept:
        return _ANEW
    last = pieces.kept[-1]
    return Begin(last.frames, last.origin, _light(last.note))


def _writer(work: Written, pieces: Pieces | None) -> FootageWriter | StillsWriter:
    """What writes whole pictures, or patches as film or stills."""
    from media.patch import StillsWriter
    from media.video import FootageWriter

    if work.deliver == "picture":
        return FootageWriter(
            work.out,
            work.info,
            codec=work.codec,
            sound=work.heard,
            quality=work.quality,
            pieces=pieces,
        )
    if work.out.suffix.lower() == ".png":
        return StillsWriter(work.out, work.info)
    return FootageWriter(work.out, work.info, codec="prores4444", sound=work.heard, pieces=pieces)


def _note(light: Floats | None) -> bytes:
    """The painter's light for a piece's note."""
    if light is None:
        return b""
    stream = BytesIO()
    np.save(stream, light, allow_pickle=False)
    return stream.getvalue()


def _light(note: bytes) -> Floats | None:
    return np.load(BytesIO(note), allow_pickle=False) if note else None


def changed_pictures(work: Written, begin: Begin = _ANEW) -> Iterator[Changed]:
    """Every picture of the footage from `begin` on, and what its new mouth changes of it.

    `begin.frames` is a multiple of a piece, or all. Raises `MediaError` when a picture is not where
    the track saw it.
    """
    from lipsync.blend import Paster, fade_weights
    from media.video import prefetch

    target = work.job.target
    if begin.frames >= len(target):
        return
    fade = max(1, round(_FADE_S * float(target.rate)))
    weights = fade_weights(work.job.usable, target.shot, fade)
    paster = Paster(seed=work.job.seed, matte=work.deliver == "patch", light=begin.light)
    # Mouths are drawn in one thread and laid in by another: neither waits for the other. A group
    # is drawn while half of the last one is laid in, so that there are never two of them whole.
    with closing(prefetch(_tracked_pictures(work, begin), _AHEAD)) as pictures:
        ahead = max(_AHEAD, work.batch // 2)
        with closing(prefetch(_drawn(work, pictures), ahead)) as drawn:
            for picture, changes in _pasted(work, paster, drawn, weights):
                ends = (picture.index + 1) % work.piece == 0
                yield Changed(picture, changes, paster.light if ends else None)


def _tracked_pictures(work: Written, begin: Begin) -> Iterator[Picture]:
    """The footage's pictures from `begin` on, each shown when the track saw it.

    A seek finds a picture by its time; where damaged packets make that another one than the
    track counted, the pictures are counted from the first one again.
    """
    from media.video import read_pictures

    times, origin, path = work.job.target.times, begin.origin, work.info.path

    def shown(picture: Picture) -> bool:
        late = float(picture.pts - (origin or 0))
        return picture.index < len(times) and abs(late - times[picture.index]) <= _SLACK

    pictures = read_pictures(path, begin.frames)
    head = next(pictures, None)
    if begin.frames and (head is None or not shown(head)):
        counted = (p for p in read_pictures(path) if p.index >= begin.frames)
        pictures, head = counted, next(counted, None)
    if origin is None and head is not None:
        origin = head.pts
    for picture in chain(() if head is None else (head,), pictures):
        if not shown(picture):
            raise MediaError(
                f"'{path}' gave other pictures at first than now (frame {picture.index}); copy it "
                "to a local disk and try again"
            )
        yield picture


class _Mouth(NamedTuple):
    """A new mouth and where it goes: the frame's own `crop`, its points, and the map to the crop,
    both in the pixels that the footage stores.
    """

    patch: MouthPatch
    crop: NDArray[np.uint8]
    landmarks: Floats
    to_crop: Floats


_Drawn = tuple["Picture", _Mouth | None]


def _drawn(work: Written, pictures: Iterator[Picture]) -> Iterator[_Drawn]:
    """Pictures of the footage with their new mouths, None where they keep their own.

    A batch is drawn at once; nothing of it is held that was handed on.
    """
    while group := tuple(islice(pictures, work.batch)):
        done = deque(_drawn_at_once(work, group))
        del group
        while done:
            yield done.popleft()


def _drawn_at_once(work: Written, group: tuple[Picture, ...]) -> list[_Drawn]:
    from lipsync.crop import crop, crop_area, crop_transforms, landmarks_in_crop

    track, usable = work.job.target, work.job.usable
    chosen = [p for p in group if p.index < len(usable) and usable[p.index]]
    if not chosen:
        return [(picture, None) for picture in group]
    landmarks = track.landmarks[[p.index for p in chosen]]
    let_go(track.landmarks)
    transforms = crop_transforms(landmarks, work.job.crop)
    maps = track.from_footage(transforms)
    for picture, to_crop in zip(chosen, maps, strict=True):  # once, for crop, paste and coder
        picture.prepare(*crop_area(to_crop, work.job.crop.size, _ROOM))
    crops = [crop(p, m, work.job.crop) for p, m in zip(chosen, maps, strict=True)]
    inside = landmarks_in_crop(landmarks, transforms)
    patches = _patches(work, chosen, crops, inside, maps)
    stored = track.in_footage(landmarks)
    mouths = map(_Mouth, patches, crops, stored, maps)
    new = {p.index: mouth for p, mouth in zip(chosen, mouths, strict=True)}
    return [(picture, new.get(picture.index)) for picture in group]


def _pasted(
    work: Written, paster: Paster, drawn: Iterable[_Drawn], weights: Floats
) -> Iterator[tuple[Picture, tuple[Change, ...]]]:
    """Every picture with what its new mouth changes of it."""
    shot = work.job.target.shot
    for picture, mouth in drawn:
        index = picture.index
        if mouth is None:
            paster.reset()
            yield picture, ()
            continue
        if index and shot[index] != shot[index - 1]:
            paster.reset()
        change = paster.change(
            picture,
            mouth.patch,
            mouth.landmarks,
            mouth.to_crop,
            weight=float(weights[index]),
            index=index,
            target_crop=mouth.crop,
        )
        yield picture, () if change is None else (change,)


def _patches(
    work: Written,
    pictures: Sequence[Picture],
    crops: Sequence[NDArray[np.uint8]],
    inside: Floats,
    maps: Floats,
) -> list[MouthPatch]:
    """New mouths for these pictures; engines that want it see the whole face.

    `inside` are landmarks in crop pixels, `maps` take the footage's pixels to the crop.
    """
    from lipsync.crop import CropSpec, crop

    renderer, indices = work.renderer, [p.index for p in pictures]
    if not isinstance(renderer, WholeFaceRenderer):
        return renderer.render(indices, np.stack(crops), inside)
    size = CropSpec(renderer.view_size)
    views = []
    for picture, there, on in zip(pictures, maps, renderer.views(inside), strict=True):
        both = np.vstack([on, (0, 0, 1)]) @ np.vstack([there, (0, 0, 1)])
        views.append(crop(picture, both[:2].astype(np.float32), size))
    return renderer.render_views(indices, np.stack(crops), inside, np.stack(views))
