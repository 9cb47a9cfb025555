"""Which of several people is meant: by a still, by their place, or by who is speaking.

    choice = FaceChoice.parse("anna.jpg")      # or "left", "right", "0.3,0.4", "talking"
    track = track_faces(Path("scene.mp4"), face=choice)

People are first told apart inside the footage itself, where light and lens are the same for
all: a few frames are searched for faces, and faces that look alike become one `Person`. Only
then is one of them chosen, so a still taken elsewhere needs to be nearer to one person than to the
others, not near.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lipsync.detect import Box, FaceFinder, FaceMesh, Seen
from lipsync.likeness import STRANGER, Likeness
from lipsync.square import pixel_aspect, squared
from media.errors import MediaError, NoFaceError

if TYPE_CHECKING:
    from media.picture import Picture

__all__ = [
    "PICTURES",
    "FaceChoice",
    "Person",
    "Sighting",
    "choose",
    "face_on",
    "gather",
    "people_in",
]

Kind = Literal["left", "right", "point", "picture", "talking", "likeness"]

#: Endings of still pictures.
PICTURES = frozenset([".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"])
_SAMPLES = 24  # frames that are searched for people
_SMALLEST = 24.0  # pixels
_MOST_FACES = 6  # of one frame
_STRAY = 1.5  # what being elsewhere adds to a distance, at most
_RARE = 0.1  # share of the searched frames below which a face is a passer-by
_NOBODY = 6.5  # kinship beyond which it is nobody of these
_CLEAR = 0.6  # how much nearer the chosen one must be than the next


@dataclass(frozen=True, slots=True)
class FaceChoice:
    """How a person is chosen among several.

    `kind` "picture" has `picture`, "point" has `point` (fractions of width and height), and
    "likeness" has `likeness`. "talking" listens between `span` seconds of the footage (None: all).
    """

    kind: Kind
    picture: Path | None = None
    point: tuple[float, float] | None = None
    likeness: Likeness | None = None
    span: tuple[float, float] | None = None

    @classmethod
    def parse(cls, text: str) -> FaceChoice:
        """ "left", "right", "talking", "x,y" (fractions of width and height) or a picture's path.

        Raises `MediaError` for anything else.
        """
        word = text.strip()
        if word in ("left", "right", "talking"):
            return cls(word)  # type: ignore[arg-type]
        if (point := _point(word)) is not None:
            return cls("point", point=point)
        path = Path(word)
        if path.suffix.lower() not in PICTURES:
            raise MediaError(
                f"a face cannot be chosen by '{text}'; give a picture of the person, left, right, "
                "talking, or its place as x,y from 0,0 (top left) to 1,1"
            )
        if not path.is_file():
            raise MediaError(f"there is no picture at '{path}'; check the path")
        return cls("picture", picture=path)

    @property
    def key(self) -> list[object]:
        """What tells one choice from another, for the track's cache key."""
        from media.files import sha256_of

        who = self.likeness
        own = None if who is None else hashlib.sha256(who.pattern.tobytes()).hexdigest()
        still = None if self.picture is None else sha256_of(self.picture)
        return [self.kind, self.point, still, own, self.span]


def _point(text: str) -> tuple[float, float] | None:
    x, comma, y = text.partition(",")
    if not comma:
        return None
    try:
        point = float(x), float(y)
    except ValueError:
        return None
    if not all(0 <= v <= 1 for v in point):
        raise MediaError(
            f"the place {text} lies outside the picture; count from 0,0 (top left) to 1,1"
        )
    return point


@dataclass(frozen=True, slots=True)
class Sighting:
    """A face in one frame: the frame's number, and its middle as fractions of the picture."""

    frame: int
    x: float
    y: float


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Somebody who is seen in some footage: how they look, and where they were seen."""

    likeness: Likeness
    sightings: tuple[Sighting, ...]


def face_on(picture: Path) -> Likeness:
    """The face on a still; the largest, where there are several.

    Raises `MediaError` when the picture cannot be read, `NoFaceError` when it shows no face.
    """
    import cv2

    data = np.fromfile(picture, np.uint8) if picture.is_file() else np.zeros(0, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if bgr is None:
        raise MediaError(f"'{picture}' cannot be read as a picture; give a JPEG or PNG")
    faces = _Faces()
    try:
        found = faces.of(np.ascontiguousarray(bgr[..., ::-1]))
    finally:
        faces.close()
    if not found:
        raise NoFaceError(
            f"'{picture}' shows no face; give a still in which the person looks at the camera"
        )
    return found[0][1]


class _Faces:
    """All faces of a picture, measured."""

    def __init__(self) -> None:
        self._finder, self._mesh = FaceFinder(), FaceMesh()

    def of(self, rgb: Seen) -> list[tuple[Box, Likeness]]:
        """Boxes and likenesses, the largest first."""
        found = []
        for box in self._finder.find(rgb)[:_MOST_FACES]:
            points = self._mesh.measure(rgb, box, settle=4) if box.size >= _SMALLEST else None
            if points is not None:
                found.append((Box.around(points), Likeness.of(points, rgb)))
        return found

    def close(self) -> None:
        self._finder.close()
        self._mesh.close()


def people_in(
    path: Path, *, span: tuple[int, int] | None = None, samples: int = _SAMPLES
) -> list[Person]:
    """The people in the footage at `path`, those seen most often first.

    `samples` frames, spread over frames `span` (first, stop) or all, are searched, with square
    pixels as `track_faces` sees them. Raises `MediaError` when the footage cannot be read.
    """
    from media.video import probe, read_pictures

    info = probe(path)
    total = info.frames or info.rate.frames_in(info.duration_s)
    first, stop = span or (0, max(total, 1))
    wanted = {first + round((i + 0.5) * (stop - first) / samples - 0.5) for i in range(samples)}
    pictures = (p for p in read_pictures(path, first, stop) if p.index in wanted)
    return gather(squared(pictures, pixel_aspect(info)))


def gather(pictures: Iterable[Picture]) -> list[Person]:
    """The people on these pictures (square pixels) of one film, those seen most often first."""
    faces, groups, count = _Faces(), _Groups(), 0
    try:
        for picture in pictures:
            count += 1
            height, width = picture.shape[:2]
            groups.add(picture.index, faces.of(picture), (width, height))
    finally:
        faces.close()
    people = groups.people()
    often = [p for p in people if len(p.sightings) > _RARE * count]
    return often or people


class _Groups:
    """Faces of frame after frame, put with those they look like."""

    def __init__(self) -> None:
        self._who: list[Likeness] = []
        self._seen: list[list[Sighting]] = []

    def add(self, frame: int, faces: Sequence[tuple[Box, Likeness]], size: tuple[int, int]) -> None:
        """The faces of a frame are different people: each goes to another group."""
        places = [Sighting(frame, b.x / size[0], b.y / size[1]) for b, _ in faces]
        free = set(range(len(self._who)))
        for cost, face, group in sorted(self._costs(faces, places)):
            if cost > STRANGER or group not in free or places[face] is None:
                continue
            self._who[group] = self._who[group].joined(faces[face][1])
            self._seen[group].append(places[face])
            free.discard(group)
            places[face] = None  # type: ignore[call-overload]
        for place, (_, likeness) in zip(places, faces, strict=True):
            if place is not None:
                self._who.append(likeness)
                self._seen.append([place])

    def _costs(
        self, faces: Sequence[tuple[Box, Likeness]], places: Sequence[Sighting]
    ) -> Iterator[tuple[float, int, int]]:
        for i, (_, likeness) in enumerate(faces):
            for k, who in enumerate(self._who):
                last = self._seen[k][-1]
                away = float(np.hypot(places[i].x - last.x, places[i].y - last.y))
                yield who.distance(likeness) + min(_STRAY, 4 * away), i, k

    def people(self) -> list[Person]:
        """The groups, the largest first; those alike and never seen together are one."""
        people = [Person(w, tuple(s)) for w, s in zip(self._who, self._seen, strict=True)]
        people.sort(key=lambda p: -len(p.sightings))
        kept: list[Person] = []
        for person in people:
            for i, other in enumerate(kept):
                if _same(person, other):
                    both = sorted((*other.sightings, *person.sightings), key=lambda s: s.frame)
                    kept[i] = Person(other.likeness, tuple(both))
                    break
            else:
                kept.append(person)
        return kept


def _same(one: Person, other: Person) -> bool:
    together = {s.frame for s in one.sightings} & {s.frame for s in other.sightings}
    return not together and one.likeness.distance(other.likeness) < 0.5 * STRANGER


def choose(people: Sequence[Person], choice: FaceChoice, footage: Path) -> Person:
    """The person of `people` whom a choice by looks or place means ("talking" needs their tracks).

    Raises `NoFaceError` when nobody, or more than one, could be meant.
    """
    if not people:
        raise NoFaceError(f"'{footage}' shows no face that can be followed; choose other footage")
    if choice.kind in ("picture", "likeness"):
        return _alike(people, choice, footage)
    together = _company(people)
    side = {"left": (0.0, None), "right": (1.0, None)}.get(choice.kind)
    if side is not None:
        ordered = sorted(people, key=lambda p: _middle(p, together))
        return ordered[0 if choice.kind == "left" else -1]
    assert choice.point is not None
    x, y = choice.point
    return min(people, key=lambda p: min(np.hypot(s.x - x, s.y - y) for s in p.sightings))


def _company(people: Sequence[Person]) -> set[int]:
    """Frames that show most of the people at once."""
    count: dict[int, int] = {}
    for person in people:
        for sighting in person.sightings:
            count[sighting.frame] = count.get(sighting.frame, 0) + 1
    most = max(count.values())
    return {frame for frame, n in count.items() if n == most}


def _middle(person: Person, frames: set[int]) -> float:
    """Where a person stands from left to right, in `frames` as far as they are there."""
    there = [s.x for s in person.sightings if s.frame in frames]
    return float(np.median(there or [s.x for s in person.sightings]))


def _alike(people: Sequence[Person], choice: FaceChoice, footage: Path) -> Person:
    wanted = choice.likeness
    if choice.picture is not None:
        wanted = face_on(choice.picture)
    assert wanted is not None
    what = f"the face on '{choice.picture.name}'" if choice.picture else "the person"
    ordered = sorted((p.likeness.kinship(wanted), i) for i, p in enumerate(people))
    best, index = ordered[0]
    if best > _NOBODY:
        raise NoFaceError(
            f"nobody in '{footage}' looks like {what}; give another picture, or say left, right or "
            "x,y"
        )
    if len(ordered) > 1 and ordered[1][0] - best < _CLEAR:
        raise NoFaceError(
            f"{what} is about as much like {_count(len(ordered))} people in '{footage}'; give a "
            "picture in which they look the way they do there, or say left, right or x,y"
        )
    return people[index]


def _count(n: int) -> str:
    return {2: "two", 3: "three", 4: "four", 5: "five"}.get(n, str(n))
