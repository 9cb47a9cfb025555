"""Paint the new mouths and code the film, side by side and piece by piece.

Decoding, painting and coding run in threads of their own. The film is coded in pieces of some
seconds, which are kept in the cache (`lipsync.unfinished`): the same run started again after a
SIGKILL goes on behind the last whole piece, with the light that the painter remembered there, and
gives the very bytes that it would have given. Engines that cannot begin in the middle (they are no
`RepeatableRenderer`), and stills, begin anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import islice
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

if TYPE_CHECKING:
    from lipsync.blend import Paster
    from media.patch import StillsWriter
    from media.pieces import Pieces
    from media.video import Change, FootageInfo, FootageWriter, Picture

__all__ = ["Changed", "Deliver", "Written", "changed_pictures", "write"]

Floats = NDArray[np.float32]
Deliver = Literal["picture", "patch"]

_BATCH = 4
_AHEAD = 4
_FADE_S = 0.16
_ROOM = 44  # pixels around the crop that the coder may want
# About how many frames are coded as one piece.
_PIECE = 150


class Changed(NamedTuple):
    """A picture, the changes to lay into it, and at the end of a piece the painter's light."""

    picture: Picture
    changes: tuple[Change, ...]
    light: Floats | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A film to be written: what, from what, by whom, and how."""

    info: FootageInfo
    job: RenderJob
    renderer: MouthRenderer
    out: Path
    codec: Literal["h264", "prores"] = "h264"
    quality: int = 14
    deliver: Deliver = "picture"

    @property
    def batch(self) -> int:
        """Frames that are painted at once."""
        return int(getattr(self.renderer, "batch", _BATCH))

    @property
    def piece(self) -> int:
        """Frames of a piece: whole batches, so that a run goes on with the same ones."""
        return -(-_PIECE // self.batch) * self.batch

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


def write(work: Written, cache: Path, progress: Progress | None = None) -> None:
    """Decode, paint and code at once, each in its own thread.

    Raises `MediaError` when the footage has another length now, and `OutputError`.
    """
    from threadpoolctl import threadpool_limits

    from lipsync.unfinished import unfinished
    from media.pieces import Pieces

    total, key = len(work.job.target), work.key
    # Small systems are solved for every frame: threads of the linear algebra would only get
    # in the way of the decoder, the paster and the encoder, which run side by side.
    with ExitStack() as held, threadpool_limits(limits=1, user_api="blas"):
        pieces = None if key is None else Pieces(held.enter_context(unfinished(cache, key)))
        written = _write(work, pieces, progress)
        if written != total:
            raise MediaError(
                f"'{work.info.path}' gave {total} frames at first and {written} at last; copy it "
                "to a local disk and try again"
            )


def _write(work: Written, pieces: Pieces | None, progress: Progress | None) -> int:
    """Frames written."""
    from media.video import FootageWriter, prefetch

    with _writer(work, pieces) as writer:
        first = writer.frames_written
        light = _light(pieces.kept[-1].note) if pieces is not None and first else None
        for picture, changes, after in prefetch(changed_pictures(work, first, light), _AHEAD):
            writer.write_changed(picture, changes)
            if isinstance(writer, FootageWriter) and writer.frames_written % work.piece == 0:
                writer.end_piece(_note(after))
            if progress is not None:
                progress("writing the picture", writer.frames_written, len(work.job.target))
        return writer.frames_written


def _writer(work: Written, pieces: Pieces | None) -> FootageWriter | StillsWriter:
    """What writes whole pictures, or patches as film or stills."""
    from media.patch import StillsWriter
    from media.video import FootageWriter

    if work.deliver == "picture":
        return FootageWriter(
            work.out,
            work.info,
            codec=work.codec,
            sound=work.job.sound,
            quality=work.quality,
            pieces=pieces,
        )
    if work.out.suffix.lower() == ".png":
        return StillsWriter(work.out, work.info)
    return FootageWriter(
        work.out, work.info, codec="prores4444", sound=work.job.sound, pieces=pieces
    )


def _note(light: Floats | None) -> bytes:
    """The painter's light for a piece's note."""
    if light is None:
        return b""
    stream = BytesIO()
    np.save(stream, light, allow_pickle=False)
    return stream.getvalue()


def _light(note: bytes) -> Floats | None:
    return np.load(BytesIO(note), allow_pickle=False) if note else None


def changed_pictures(
    work: Written, first: int = 0, light: Floats | None = None
) -> Iterator[Changed]:
    """Every picture of the footage from `first` on, and what its new mouth changes of it.

    `light` is what the painter remembered before `first`, which is a multiple of a piece.
    """
    from lipsync.blend import Paster, fade_weights
    from media.video import prefetch, read_pictures

    target = work.job.target
    if first >= len(target):
        return
    fade = max(1, round(_FADE_S * float(target.rate)))
    weights = fade_weights(work.job.usable, target.shot, fade)
    paster = Paster(seed=work.job.seed, matte=work.deliver == "patch", light=light)
    pictures = prefetch(read_pictures(work.info.path, first), _AHEAD)
    while group := tuple(islice(pictures, work.batch)):
        for picture, changes in _changed_group(work, paster, group, weights):
            ends = (picture.index + 1) % work.piece == 0
            yield Changed(picture, changes, paster.light if ends else None)


def _changed_group(
    work: Written, paster: Paster, group: tuple[Picture, ...], weights: Floats
) -> Iterator[tuple[Picture, tuple[Change, ...]]]:
    from lipsync.crop import crop, crop_area, crop_transforms, landmarks_in_crop

    track, usable = work.job.target, work.job.usable
    chosen = [p for p in group if p.index < len(usable) and usable[p.index]]
    if not chosen:
        paster.reset()
        yield from ((picture, ()) for picture in group)
        return
    landmarks = track.landmarks[[p.index for p in chosen]]
    transforms = crop_transforms(landmarks, work.job.crop)
    maps = track.from_footage(transforms)
    for picture, to_crop in zip(chosen, maps, strict=True):  # once, for crop, paste and coder
        picture.prepare(*crop_area(to_crop, work.job.crop.size, _ROOM))
    crops = [crop(p, m, work.job.crop) for p, m in zip(chosen, maps, strict=True)]
    inside = landmarks_in_crop(landmarks, transforms)
    patches = _patches(work, chosen, crops, inside, maps)
    stored = track.in_footage(landmarks)
    at = {p.index: k for k, p in enumerate(chosen)}
    for picture in group:
        k, index = at.get(picture.index), picture.index
        if k is None:
            paster.reset()
            yield picture, ()
            continue
        if index and track.shot[index] != track.shot[index - 1]:
            paster.reset()
        change = paster.change(
            picture,
            patches[k],
            stored[k],
            maps[k],
            weight=float(weights[index]),
            index=index,
            target_crop=crops[k],
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
