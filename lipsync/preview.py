"""Look at a line in a face's mouth while it is being rendered.

    shot = PreviewShot.open(Path("scene.mp4"), stretch=(100, 300))
    shot.render(sound, timing, sink)     # fragmented MP4 into anything with write()
    shot.render(other, its_timing, sink) # at once: the shot is known by now

Quick rather than best: mouths come from the footage around the stretch, the motion model is a
small one, the choice looks a few frames ahead only (`MouthStream`), and the picture is
encoded fast. In footage of a variable rate lips go by the time at which a frame is shown
(`lipsync.clock`). What is delivered is made by `resync`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from lipsync.clock import (
    frames_between,
    second_on_frames,
    shown_at,
    sound_on_frames,
    timing_on_frames,
)
from lipsync.engines import BankSource, Progress
from lipsync.stream import MOST_DELAY, Finished, MouthModel, MouthStream
from media.errors import MediaError, NoFaceError

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.people import FaceChoice
    from lipsync.track import FaceTrack
    from media.audio import Sound
    from media.footage import FootageInfo
    from media.picture import Picture

__all__ = ["PreviewShot"]

# Mouths read for a preview: at 25 frames a second seven seconds of speech, read in one.
_MOUTHS = 180


@dataclass(frozen=True, slots=True, eq=False)
class PreviewShot:
    """A stretch of footage ready to be shown with any line: `stretch` is (first, stop)."""

    info: FootageInfo
    track: FaceTrack
    model: MouthModel
    stretch: tuple[int, int]

    @classmethod
    def open(
        cls,
        footage: Path,
        *,
        stretch: tuple[int, int] | None = None,
        seconds: tuple[float, float] | None = None,
        at: tuple[float, float] | None = None,
        face: FaceChoice | None = None,
        cache: Path | None = None,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> PreviewShot:
        """Track `footage` (or read the kept track) and learn its mouths around `stretch`.

        `stretch` are frames; `seconds` says the same in seconds of the footage; both are a
        `ValueError`. `at` or `face` chooses whose, as in `track_faces`.
        Raises `NoFaceError`, `MediaError`, `ArchiveError` as `resync` does.
        """
        from lipsync.faces import track_faces
        from lipsync.resync import crop_spec_for
        from media.files import user_cache_dir
        from media.video import probe

        if stretch is not None and seconds is not None:
            raise ValueError("name the stretch in frames or in seconds, not in both")
        info = probe(footage)
        kept = cache or user_cache_dir() / "lipsync"
        track = track_faces(footage, at=at, face=face, progress=progress, cache=kept)
        if stretch is None and seconds is not None:
            stretch = frames_between(track, *seconds)
        first, stop = stretch or (0, len(track))
        if not 0 <= first < stop <= len(track):
            raise MediaError(
                f"frames {first} to {stop} do not lie inside the footage's {len(track)}; check the "
                "in and out points"
            )
        near = _around(track, (first, stop))
        source = BankSource(footage, near)
        model = MouthModel.learn(
            [source], crop=crop_spec_for(track), most=_MOUTHS, seed=seed, progress=progress
        )
        return cls(info, track, model, (first, stop))

    def render(
        self,
        sound: Sound,
        timing: Timing,
        sink: BinaryIO,
        *,
        start_s: float | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Write the stretch with the line spoken in it to `sink`; the number of frames.

        The line starts at second `start_s` of the footage (None: with the stretch).
        """
        from media.fragments import FragmentWriter
        from media.video import prefetch, read_pictures

        first, stop = self.stretch
        begin = shown_at(self.track, first)
        at = begin if start_s is None else start_s
        stream = self.model.stream(
            self.info.rate,
            (self.info.width, self.info.height),
            delay=MOST_DELAY - 2,
            track=self.track,
            first=first,
        )
        said = timing_on_frames(self.track, timing, at)
        stream.say(said, sound_on_frames(self.track, sound, at), second_on_frames(self.track, at))
        heard = _placed(sound, at - begin)
        pictures = prefetch(read_pictures(self.info.path, first, stop), 8)
        count = 0
        with FragmentWriter(sink, self.info, sound=heard) as writer:
            for done in _finished(stream, pictures):
                assert not isinstance(done.picture, np.ndarray)
                writer.write_changed(done.picture, () if done.change is None else (done.change,))
                count += 1
                if progress is not None:
                    progress("rendering the preview", count, stop - first)
        return count


def _around(track: FaceTrack, stretch: tuple[int, int]) -> FaceTrack:
    """The track with everything but the usable frames nearest to `stretch` taken for absent."""
    from lipsync.faces import usable_frames
    from lipsync.track import Absence

    usable = np.flatnonzero(usable_frames(track))
    if not len(usable):
        raise NoFaceError(
            "no frame shows the face well enough to take a mouth from it; choose footage in which "
            "it is nearer and turned to the camera"
        )
    middle = 0.5 * (stretch[0] + stretch[1])
    near = usable[np.argsort(np.abs(usable - middle), kind="stable")[:_MOUTHS]]
    away = np.ones(len(track), np.bool_)
    away[near] = False
    landmarks, reason = track.landmarks.copy(), track.reason.copy()
    landmarks[away] = np.nan
    reason[away] = Absence.NO_FACE
    return replace(track, landmarks=landmarks, reason=reason)


def _placed(sound: Sound, late_s: float) -> Sound:
    """`sound` as heard from the first frame of the stretch on."""
    shift = round(late_s * sound.rate)
    if shift <= 0:
        return replace(sound, samples=sound.samples[-shift:])
    return replace(sound, samples=np.concatenate([np.zeros(shift, np.float32), sound.samples]))


def _finished(stream: MouthStream, pictures: Iterable[Picture]) -> Iterator[Finished]:
    for picture in pictures:
        if (done := stream.push(picture)) is not None:
            yield done
    yield from stream.rest()
