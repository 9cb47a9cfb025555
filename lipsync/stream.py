"""Frames and words in as they come, frames with new mouths out a few frames later.

    model = MouthModel.learn([BankSource(...)])          # once a person
    stream = model.stream(rate, (1280, 720), delay=6)
    stream.say(timing, sound, start_s=2.0)               # any time before it is due
    for picture in camera:                               # OpenCV: uint8 [720, 1280, 3], BGR
        if (done := stream.apply(picture)) is not None:  # the picture of 6 frames ago
            show(done)
    for done in stream.finish():
        show(done)

The delay is bounded: every call takes one frame and, once `delay` frames are waiting, gives
one back. What a frame needs of the future (steadying the head, choosing a mouth from which the
next can go on) is looked for in the waiting frames only. With `delay=0` each frame comes back
at once, a little less steady.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lipsync._rest import CLOSING_S, EARLIEST_S
from lipsync.blend import Paster, fade_weights
from lipsync.crop import CropSpec, crop, crop_transforms, landmarks_in_crop
from lipsync.engines._draw import MouthArtist
from lipsync.engines._plan import Learnt, Weights, bank_of, changes, parts, wanted
from lipsync.engines._select import PathFinder, Wanted
from lipsync.faces import usable_frames
from lipsync.fitness import MIN_SCALE, YAW_LIMIT
from lipsync.pose import FACE_HEIGHT_MM, Pose, fit_pose
from lipsync.shots import CUT_CHANGE, ContentChange, NoseWatch, smooth_landmarks
from lipsync.track import LANDMARKS
from media.errors import MediaError
from media.picture import Change, Picture

if TYPE_CHECKING:
    from align.timing import Timing
    from lipsync.engines import BankSource, Progress
    from lipsync.likeness import Likeness
    from lipsync.track import FaceTrack
    from media.audio import Sound
    from media.time import FrameRate

__all__ = ["MOST_DELAY", "Finished", "MouthModel", "MouthStream"]

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Ints = NDArray[np.intp]

#: Frames that a stream may hold back at most.
MOST_DELAY = 8
# Finished frames remembered, for steadying and for smooth changes.
_PAST = 12
_FADE_S = 0.16
# Speech this far from a frame does not touch its mouth.
_AROUND_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """Frame `index`, as it came in, and what its new mouth changes of it (None: nothing)."""

    index: int
    picture: Pixels | Picture
    change: Change | None


@dataclass(frozen=True, slots=True, eq=False)
class MouthModel:
    """A person's mouths and how their lips follow speech: what streams draw from."""

    learnt: Learnt
    rates: Floats
    crop: CropSpec
    seed: int = 0

    @classmethod
    def learn(
        cls,
        sources: Sequence[BankSource],
        *,
        crop: CropSpec | None = None,
        most: int = 3000,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> MouthModel:
        """Read at most `most` mouths from `sources` and fit the motion.

        Raises `ArchiveError` when the sources hold no usable mouth.
        """
        from lipsync.engines.mouthbank import learn

        size = crop or CropSpec()
        learnt = learn(sources, size, seed=seed, most=most, progress=progress)
        rates = np.array([float(s.track.rate) for s in sources], np.float32)
        return cls(learnt, rates, size, seed)

    def stream(
        self,
        rate: FrameRate,
        size: tuple[int, int],
        *,
        delay: int = 6,
        at: tuple[float, float] | None = None,
        who: Likeness | None = None,
        track: FaceTrack | None = None,
        first: int = 0,
        articulation: float = 1.0,
    ) -> MouthStream:
        """A stream of frames of `size` (width, height) at `rate`, the first numbered `first`.

        `at` chooses the face as in `track_faces`, `who` says whose it is (`lipsync.people.face_on`
        a still); a finished `track` of these very frames saves following the face again.
        """
        watch = _Follower(at, who) if track is None else _Known(track)
        return MouthStream(self, rate, size, delay, watch, first, articulation)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A frame that waits for its future; `raw` landmarks [478, 3] or NaN; `clear` unless
    something hides the mouth.
    """

    index: int
    picture: Pixels | Picture
    raw: Floats
    drift: tuple[float, float]
    shot: int
    clear: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The frames around one, in order: steady landmarks, pose, which of them can be done."""

    index: Ints
    landmarks: Floats
    pose: Floats
    usable: NDArray[np.bool_]
    shot: NDArray[np.int32]


class MouthStream:
    """See the module; made by `MouthModel.stream`. One thread at a time."""

    def __init__(
        self,
        model: MouthModel,
        rate: FrameRate,
        size: tuple[int, int],
        delay: int,
        watch: _Follower | _Known,
        first: int,
        articulation: float,
    ) -> None:
        if not 0 <= delay <= MOST_DELAY:
            raise MediaError(f"a stream can wait for 0 to {MOST_DELAY} frames, not {delay}")
        self.delay, self._rate, self._size = delay, rate, size
        self._model, self._next = model, first
        self._weights = Weights.of(model.learnt)
        bank = bank_of(model.learnt, self._weights, model.rates, float(rate))
        self._finder = PathFinder(bank)
        self._artist, self._paster = MouthArtist(model.learnt.mouths), Paster(seed=model.seed)
        self._watch = watch
        self._line = _Line(model, rate, articulation)
        self._waiting: deque[_Waiting] = deque()
        self._past: deque[_Waiting] = deque(maxlen=_PAST)
        self._shown: deque[tuple[int, int]] = deque(maxlen=4)

    def say(self, timing: Timing, sound: Sound | None = None, start_s: float = 0.0) -> None:
        """Words and phones (and how they sound) from second `start_s` of the stream on.

        May come piece by piece, each before its first frame leaves; what is missing is silence.
        """
        self._line.add(timing, sound, start_s)

    def push(self, picture: Pixels | Picture) -> Finished | None:
        """Take the next frame (RGB), give back the one of `delay` frames ago, if any."""
        if picture.shape != (self._size[1], self._size[0], 3):
            raise MediaError(
                f"frame {self._next} is {picture.shape}, but the stream takes "
                f"{(self._size[1], self._size[0], 3)}; keep the size"
            )
        now = self._watch.look(self._next, picture)
        self._take_back(self._watch.mistaken)
        self._waiting.append(now)
        self._next += 1
        return self._finish_one() if len(self._waiting) > self.delay else None

    def rest(self) -> Iterator[Finished]:
        """The frames that still wait, when no more come."""
        while self._waiting:
            yield self._finish_one()
        self._watch.close()

    def apply(self, picture: Pixels) -> Pixels | None:
        """`push` for OpenCV: uint8[H, W, 3] in blue, green, red, in and out."""
        done = self.push(np.ascontiguousarray(picture[..., ::-1]))
        return None if done is None else _bgr(done)

    def finish(self) -> Iterator[Pixels]:
        """`rest` for OpenCV."""
        return (_bgr(done) for done in self.rest())

    def _take_back(self, mistaken: int) -> None:
        """Forget the face in the last `mistaken` frames: it was somebody else's.

        Those that wait come back as they are; those that have left steady no other any more.
        """
        if mistaken > len(self._waiting):
            self._paster.reset()
        for frames in (self._waiting, self._past):
            for back in range(1, min(mistaken, len(frames)) + 1):
                frames[-back] = replace(frames[-back], raw=_nothing())
            mistaken = max(0, mistaken - len(frames))

    def _finish_one(self) -> Finished:
        now = self._waiting.popleft()
        seen = self._seen(now)
        self._past.append(now)
        change = self._change(now, seen, len(self._past) - 1)
        if change is None:
            self._paster.reset()
            self._shown.clear()
        return Finished(now.index, now.picture, change)

    def _seen(self, now: _Waiting) -> _Seen:
        """Steady landmarks of the remembered frames, this one and those that wait."""
        remembered = list(self._past)[-(_PAST - 1) :]
        around = [*remembered, now, *self._waiting]
        raw = np.stack([w.raw for w in around])
        shot = np.array([w.shot for w in around], np.int32)
        drift = np.array([w.drift for w in around], np.float32)
        landmarks, pose, present = self._watch.steady(raw, drift, shot, float(self._rate))
        angles = np.full((len(around), 3), np.nan, np.float32)
        angles[present] = pose.angles
        usable = present.copy()
        usable[present] = (np.abs(pose.angles[:, 0]) <= YAW_LIMIT) & (
            pose.scale * FACE_HEIGHT_MM >= MIN_SCALE
        )
        usable &= np.array([w.clear for w in around])
        index = np.array([w.index for w in around], np.intp)
        return _Seen(index, landmarks, angles, usable, shot)

    def _change(self, now: _Waiting, seen: _Seen, at: int) -> Change | None:
        """What the new mouth changes of the frame at position `at` of `seen`."""
        if not seen.usable[at]:
            return None
        part, bend = self._choose(seen, at)
        marks = seen.landmarks[at]
        transform = crop_transforms(marks[None], self._model.crop)[0]
        to_crop = self._watch.from_footage(transform)
        own = crop(now.picture, to_crop, self._model.crop)
        patch = self._artist.draw(part, bend, own, landmarks_in_crop(marks, transform))
        if at and seen.shot[at] != seen.shot[at - 1]:
            self._paster.reset()
        fade = max(1, round(_FADE_S * float(self._rate)))
        weight = float(fade_weights(seen.usable, seen.shot, fade)[at])
        return self._paster.change(
            now.picture,
            patch,
            self._watch.in_footage(marks),
            to_crop,
            weight=weight,
            index=now.index,
            target_crop=own,
        )

    def _choose(self, seen: _Seen, at: int) -> tuple[tuple[tuple[int, float], ...], Floats]:
        """The mouths to dissolve at position `at`, and the change of their lips."""
        same = (seen.shot == seen.shot[at]) & seen.usable
        stop = at + 1
        while stop < len(same) and same[stop]:
            stop += 1
        ahead = seen.index[at:stop]
        if not (at and same[at - 1]):
            self._shown.clear()
        before = list(self._shown)
        frames = np.array([*(i for i, _ in before), *ahead], np.intp)
        shapes, tight, timing, origin = self._line.around(frames)
        skip = len(before)
        aims = wanted(
            self._weights,
            timing,
            self._rate,
            frames[skip:] - origin,
            shapes[skip:],
            seen.pose[at:stop],
        )
        after = before[-1][1] if before else None
        path = self._finder.cheapest(Wanted(aims, tight[skip:]), after)
        self._shown.append((int(ahead[0]), int(path[0])))
        whole = np.array([*(m for _, m in before), *path], np.intp)
        shown = parts(self._finder, whole, float(self._rate), tight)
        bend = changes(self._model.learnt.mouths, shown, shapes, tight, float(self._rate))
        return shown[skip], bend[skip]


def _bgr(done: Finished) -> Pixels:
    rgb = np.array(done.picture[0 : done.picture.shape[0], 0 : done.picture.shape[1]])
    if done.change is not None:
        change = done.change
        np.copyto(rgb[change.rows, change.columns], change.pixels, where=change.where[..., None])
    return np.ascontiguousarray(rgb[..., ::-1])


def _nothing() -> Floats:
    """The landmarks of no face."""
    return np.full((LANDMARKS, 3), np.nan, np.float32)


class _Follower:
    """Follows the face while the frames come."""

    def __init__(self, at: tuple[float, float] | None, who: Likeness | None = None) -> None:
        from lipsync.follow import FaceFollower

        self._face, self._content, self._nose = FaceFollower(at, who), ContentChange(), NoseWatch()
        self._shot = 0

    def look(self, index: int, picture: Pixels | Picture) -> _Waiting:
        """One frame's landmarks, tremble and shot."""
        change = self._content.update(picture)
        cut = change > CUT_CHANGE
        self._shot += int(cut)
        points, _ = self._face.step(picture, cut=cut)
        drift = self._nose.update(picture, None if cut else points)
        raw = _nothing() if points is None else points
        return _Waiting(index, picture, raw, drift, self._shot)

    @property
    def mistaken(self) -> int:
        """How many of the frames before the last one looked at show somebody else's face."""
        return self._face.mistaken

    steady = staticmethod(smooth_landmarks)

    @staticmethod
    def in_footage(landmarks: Floats) -> Floats:
        """Frames that come by hand have square pixels."""
        return landmarks

    from_footage = in_footage

    def close(self) -> None:
        """Free the models."""
        self._face.close()


class _Known:
    """A track made before; what was mistaken in it is taken back already."""

    mistaken = 0

    def __init__(self, track: FaceTrack) -> None:
        self._track, self._fit = track, usable_frames(track)
        self.in_footage, self.from_footage = track.in_footage, track.from_footage

    def look(self, index: int, picture: Pixels | Picture) -> _Waiting:
        """The track's own record of a frame."""
        track = self._track
        if index >= len(track):
            return _Waiting(index, picture, _nothing(), (0.0, 0.0), int(track.shot[-1]))
        clear = bool(self._fit[index])
        shot = int(track.shot[index])
        return _Waiting(index, picture, track.landmarks[index], (0.0, 0.0), shot, clear)

    @staticmethod
    def steady(
        raw: Floats, drift: Floats, shot: NDArray[np.int32], rate: float
    ) -> tuple[Floats, Pose, NDArray[np.bool_]]:
        """Landmarks that are steady already, with their pose."""

        del drift, shot, rate
        present = np.isfinite(raw[:, 0, 0])
        return raw, fit_pose(raw[present]), present

    def close(self) -> None:
        """Nothing is held."""


class _Line:
    """What is said when, and the lip shapes that go with it."""

    def __init__(self, model: MouthModel, rate: FrameRate, articulation: float) -> None:
        from align.timing import Timing

        self._model, self._rate, self._articulation = model.learnt.model, rate, articulation
        self._pieces: list[_Piece] = []
        self._rest = self._model.predict(Timing((), (), 0.0), None, rate, 1)[0]

    def add(self, timing: Timing, sound: Sound | None, start_s: float) -> None:
        """Another piece; lip shapes are worked out at once, for this piece alone."""
        from align.timing import Timing

        first = self._rate.frame_at(Fraction(start_s))
        # Lips part before the first word: as much of the silence before it belongs to the piece.
        free = self._rate.frame_at(self._pieces[-1].end_s + CLOSING_S) + 1 if self._pieces else 0
        first -= max(0, min(self._rate.frames_in(EARLIEST_S), first - free))
        # The piece's own clock starts with a frame.
        late = start_s - float(self._rate.time_of(first))
        spoken = timing.phones[0].start_s + start_s if timing.phones else start_s
        if self._pieces and spoken < self._pieces[-1].end_s:
            raise MediaError(
                f"the words at {spoken:.2f} s begin before those before them end "
                f"({self._pieces[-1].end_s:.2f} s); let one line finish first"
            )
        moved = timing.shifted(late) if late > 1e-9 else timing
        n = self._rate.frames_in(Fraction(moved.duration_s)) + self._rate.nominal // 2
        heard = sound
        if sound is not None and late > 1e-9:
            lead = np.zeros(round(late * sound.rate), np.float32)
            heard = replace(sound, samples=np.concatenate([lead, sound.samples]))
        shapes = self._model.predict(moved, heard, self._rate, n, articulation=self._articulation)
        phones = moved.shifted(float(self._rate.time_of(first))).phones
        self._pieces = [p for p in self._pieces if p.first + len(p.shapes) > first - 250]
        self._pieces.append(_Piece(first, shapes, Timing((), phones, 0.0)))

    def around(self, frames: Ints) -> tuple[Floats, NDArray[np.bool_], Timing, int]:
        """Shapes [k, 7] and shut flags [k] of `frames`; the phones near them, and from which
        frame their clock counts.
        """
        from align.timing import Timing

        reach = self._rate.frames_in(Fraction(_AROUND_S))
        origin = max(0, int(frames[0]) - reach)
        start = float(self._rate.time_of(origin))
        stop = float(self._rate.time_of(int(frames[-1]) + 1 + reach))
        phones = sorted(
            (
                replace(s, start_s=max(s.start_s - start, 0.0), end_s=s.end_s - start)
                for piece in self._pieces
                for s in piece.timing.phones
                if s.end_s > start and s.start_s < stop
            ),
            key=lambda s: s.start_s,
        )
        timing = Timing((), tuple(phones), stop - start)
        count = int(frames[-1]) + 1 - origin
        tight = self._model.tight(timing, self._rate, count)
        shapes = np.tile(self._rest, (len(frames), 1))
        for piece in self._pieces:
            at = frames - piece.first
            inside = (at >= 0) & (at < len(piece.shapes))
            shapes[inside] = piece.shapes[at[inside]]
        return shapes, tight[frames - origin], timing, origin


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A stretch of the line: lip shapes from frame `first` on, and its phones."""

    first: int
    shapes: Floats
    timing: Timing

    @property
    def end_s(self) -> float:
        """When its last phone ends, seconds of the stream."""
        return self.timing.phones[-1].end_s if self.timing.phones else 0.0
