"""Which of several faces is meant: by looks, by place, by who talks; and kept when they cross."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from lipsync_film import talking_marks, track_of
from synthetic import synthetic_info

from align.timing import Span, Timing
from lipsync.detect import Box
from lipsync.faces import build_track, track_faces
from lipsync.follow import FaceFollower
from lipsync.likeness import STRANGER, Likeness
from lipsync.people import (
    FaceChoice,
    Person,
    Sighting,
    _Groups,
    choose,
    face_on,
    gather,
    people_in,
)
from lipsync.talking import talking_score, who_talks
from lipsync.track import Absence
from media.audio import Sound
from media.errors import MediaError, NoFaceError
from media.picture import Picture
from media.reader import read_frames
from media.video import FootageWriter, Frame

HERE = Path("scene.mp4")
PRESENTER = Path(__file__).resolve().parents[2] / "samples" / "presenter.mp4"


def somebody(seed: int) -> Likeness:
    rng = np.random.default_rng(seed)
    pattern = rng.normal(size=96).astype(np.float32)
    shape = rng.normal(0, 4, (32, 3))
    return Likeness(shape, rng.normal(128, 9, 3), pattern / np.linalg.norm(pattern))


def near(who: Likeness, seed: int) -> Likeness:
    """The same person a moment later."""
    rng = np.random.default_rng(seed)
    pattern = who.pattern + 0.03 * rng.normal(size=96).astype(np.float32)
    shape = who.shape + rng.normal(0, 0.5, who.shape.shape)
    return replace(who, shape=shape, pattern=pattern / np.linalg.norm(pattern))


ANNA, BEN, CARL = (somebody(s) for s in (1, 2, 3))


# --- what a choice is ---


def test_a_choice_is_read_as_it_is_meant(tmp_path: Path) -> None:
    still = tmp_path / "anna.JPG"
    still.write_bytes(b"any")
    assert FaceChoice.parse("left").kind == "left"
    assert FaceChoice.parse(" talking ").kind == "talking"
    assert FaceChoice.parse("0.25,0.5").point == (0.25, 0.5)
    assert FaceChoice.parse(str(still)).picture == still
    keys = [FaceChoice.parse(t).key for t in ("left", "right", "talking", "0.1,0.2", str(still))]
    assert len({str(k) for k in keys}) == len(keys)
    assert FaceChoice("likeness", likeness=ANNA).key != FaceChoice("likeness", likeness=BEN).key


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("middle", "give a picture"),
        ("300,200", "outside the picture"),
        ("-0.1,0.5", "outside the picture"),
        ("nobody.png", "no picture at"),
        ("", "give a picture"),
        ("0.1,", "give a picture"),
    ],
)
def test_a_choice_that_means_nothing_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(MediaError, match=says) as refusal:
        FaceChoice.parse(text)
    assert "\n" not in str(refusal.value)


# --- who is there ---


def test_faces_of_many_frames_are_put_with_whom_they_belong_to() -> None:
    groups = _Groups()
    for i in range(6):
        # Anna goes from left to right, Ben the other way; Carl looks in once.
        a, b = 50.0 + 20 * i, 250.0 - 20 * i
        faces = [(Box(a, 60, 40), near(ANNA, i)), (Box(b, 60, 50), near(BEN, 50 + i))]
        if i == 3:
            faces.append((Box(150, 20, 30), CARL))
        groups.add(10 * i, faces[:: 1 if i % 2 else -1], (300, 100))
    people = groups.people()
    assert [len(p.sightings) for p in people] == [6, 6, 1]
    anna = min(people, key=lambda p: p.likeness.distance(ANNA))
    assert [s.frame for s in anna.sightings] == [0, 10, 20, 30, 40, 50]
    assert anna.sightings[-1].x == pytest.approx(150 / 300)
    assert anna.likeness.distance(ANNA) < 1.5
    assert anna.likeness.distance(BEN) > STRANGER


def _people() -> list[Person]:
    return [
        Person(BEN, tuple(Sighting(i, 0.3, 0.4) for i in range(5))),
        Person(ANNA, tuple(Sighting(i, 0.7, 0.5) for i in range(4))),
    ]


def test_left_right_and_a_point_are_where_they_are() -> None:
    people = _people()
    assert choose(people, FaceChoice("left"), HERE).likeness is BEN
    assert choose(people, FaceChoice("right"), HERE).likeness is ANNA
    assert choose(people, FaceChoice("point", point=(0.6, 0.5)), HERE).likeness is ANNA
    with pytest.raises(NoFaceError, match="no face that can be followed"):
        choose([], FaceChoice("left"), HERE)


def test_a_likeness_finds_its_person_and_refuses_to_guess() -> None:
    people = _people()
    found = choose(people, FaceChoice("likeness", likeness=near(ANNA, 9)), HERE)
    assert found.likeness is ANNA
    with pytest.raises(NoFaceError, match="nobody in 'scene"):
        choose(people, FaceChoice("likeness", likeness=CARL), HERE)
    twins = [*people, Person(near(ANNA, 4), (Sighting(9, 0.1, 0.1),))]
    with pytest.raises(NoFaceError, match="about as much like"):
        choose(twins, FaceChoice("likeness", likeness=ANNA), HERE)


# --- who talks ---


def _speech(start: float, stop: float, length: float) -> Timing:
    count = int((stop - start) / 0.16)
    labels = ("AA", "M")
    phones = [Span(labels[i % 2], start + 0.16 * i, start + 0.16 * (i + 1)) for i in range(count)]
    return Timing((), tuple(phones), length)


def _voice(timing: Timing, rate: int = 16_000) -> Sound:
    """Noise that is loud where vowels are."""
    rng = np.random.default_rng(0)
    samples = 0.001 * rng.normal(size=round(timing.duration_s * rate))
    for phone in timing.phones:
        if phone.label == "AA":
            part = slice(round(phone.start_s * rate), round(phone.end_s * rate))
            samples[part] += 0.2 * rng.normal(size=len(samples[part]))
    return Sound(samples.astype(np.float32), rate)


def test_the_one_whose_lips_go_with_the_sound_talks() -> None:
    first, second = _speech(0.4, 3.2, 8), _speech(4.4, 7.6, 8)
    tracks = [track_of(talking_marks(t, 200)) for t in (first, second)]
    early = [talking_score(t, _voice(first), (0.0, 4.0)) for t in tracks]
    late = [talking_score(t, _voice(second), (4.0, 8.0)) for t in tracks]
    assert who_talks(early, HERE) == 0
    assert who_talks(late, HERE) == 1
    assert early[0] > 0.4
    assert early[1] < 0.1  # lips that rest
    silence = Sound(np.zeros(8 * 16_000, np.float32), 16_000)
    with pytest.raises(NoFaceError, match="cannot be told whose lips"):
        who_talks([talking_score(t, silence) for t in tracks], HERE)
    gone = tracks[0].landmarks.copy()
    gone[:] = np.nan
    assert talking_score(track_of(gone), _voice(first)) == 0


# --- who was followed ---


class _Stage:
    """Made faces for a follower: `at(frame)` lists (who, x) of those to be seen, 100 pixels wide.

    Stands for finder and mesh. Pictures hold their number in the first pixel, landmarks whose they
    are in the depth of their first point.
    """

    def __init__(self, at: Callable[[int], list[tuple[int, float]]]) -> None:
        self._at = at
        self._face = np.random.default_rng(0).uniform(-50, 50, (478, 3)).astype(np.float32)
        self._face[1:3, :2] = (-50, -50), (50, 50)

    def find(self, rgb: np.ndarray, *, tiles: bool = True) -> list[Box]:
        del tiles
        return [Box(x, 100, 100) for _, x in self._at(int(rgb[0, 0, 0]))]

    def measure(self, rgb: np.ndarray, box: Box, *, settle: int = 1) -> np.ndarray | None:
        del settle
        who, x = min(self._at(int(rgb[0, 0, 0])), key=lambda face: abs(face[1] - box.x))
        if abs(x - box.x) > 50:
            return None
        points = self._face + np.float32((x, 100, 0))
        points[0, 2] = who
        return points

    def close(self) -> None:
        pass


def test_a_mistake_reaches_back_to_the_last_frame_that_was_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stage(frame: int) -> list[tuple[int, float]]:
        # Ben covers Anna in frames 23 to 30, and again from 33 on.
        return [(1, 100)] if 23 <= frame < 31 or frame >= 33 else [(0, 100), (1, 400)]

    monkeypatch.setattr(Likeness, "of", lambda points, _: (ANNA, BEN)[int(points[0, 2])])
    follower = FaceFollower(who=ANNA)
    for name in ("_finder", "_mesh"):
        monkeypatch.setattr(follower, name, _Stage(stage))
    mistaken, reasons = {}, []
    for i in range(40):
        _, reason = follower.step(np.full((200, 500, 3), i, np.uint8), cut=False)
        reasons.append(reason)
        if follower.mistaken:
            mistaken[i] = follower.mistaken
    # Sure were frame 20 (looked at) and 31 (found anew): what lies between is not touched twice.
    assert mistaken == {25: 4, 35: 3}
    strange = [i for i, reason in enumerate(reasons) if reason == Absence.OTHER_PERSON]
    assert strange == [*range(25, 31), *range(35, 40)]


# --- real faces ---


@pytest.fixture(scope="module")
def presenter() -> list[np.ndarray]:
    """Four pictures of the sample presenter, 360 pixels high."""
    if not PRESENTER.is_file():
        pytest.skip("samples/presenter.mp4 is not there; make it with samples/make_presenter.py")
    rgbs = [f.rgb for f in read_frames(PRESENTER, 0, 4)]
    width = 2 * round(180 * rgbs[0].shape[1] / rgbs[0].shape[0])
    return [cv2.resize(rgb, (width, 360), interpolation=cv2.INTER_AREA) for rgb in rgbs]


def test_people_of_anamorphic_footage_look_as_they_do(
    presenter: list[np.ndarray], tmp_path: Path
) -> None:
    height, width = presenter[0].shape[:2]
    thin = [cv2.resize(p, (width // 2, height), interpolation=cv2.INTER_AREA) for p in presenter]
    whole, squeezed = _write(tmp_path / "whole.mp4", presenter), tmp_path / "squeezed.mp4"
    _write(squeezed, thin, aspect=Fraction(2))
    (upright,), (person,) = people_in(whole, samples=2), people_in(squeezed, samples=2)
    assert person.likeness.distance(upright.likeness) < 1.0
    assert person.sightings[0].x == pytest.approx(upright.sightings[0].x, abs=0.01)
    track = track_faces(squeezed, face=FaceChoice("left"))
    assert track.likeness is not None
    assert track.likeness.distance(person.likeness) < 1.0
    assert track.present.all()


def _two(data_dir: Path, count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Heads of two people, cut out of their films: uint8[288, 288, 3] each."""
    man = sorted((data_dir / "archive_grid_s1").glob("*.mpg"))[0]
    woman = data_dir / "clips" / "lp_d10.mp4"
    one = [f.rgb[:, 30:318] for f in read_frames(man, 4, 4 + count)]
    two = [cv2.resize(f.rgb, (288, 288)) for f in read_frames(woman, 0, count)]
    return one, two


def _write(path: Path, pictures: Sequence[np.ndarray], *, aspect: Fraction = Fraction(1)) -> Path:
    height, width = pictures[0].shape[:2]
    info = synthetic_info("25", width, height, sample_aspect=aspect)
    with FootageWriter(path, info, quality=10) as writer:
        for i, rgb in enumerate(pictures):
            writer.write(Frame(i, Fraction(i, 25), rgb))
    return path


def test_a_still_chooses_the_person_and_nobody_else(data_dir: Path, tmp_path: Path) -> None:
    man, woman = _two(data_dir, 8)
    film = _write(tmp_path / "both.mp4", [np.hstack(pair) for pair in zip(man, woman, strict=True)])
    still = tmp_path / "her.png"
    later = next(f.rgb for f in read_frames(data_dir / "clips" / "lp_d10.mp4", 60, 61))
    darker = (255 * (later / 255.0) ** 1.5).astype(np.uint8)
    cv2.imwrite(str(still), darker[..., ::-1])
    people = people_in(film, samples=4)
    assert [len(p.sightings) for p in people] == [4, 4]
    assert people[0].likeness.distance(people[1].likeness) > STRANGER
    track = track_faces(film, face=FaceChoice("picture", picture=still), cache=tmp_path)
    assert track.present.all()
    assert (track.landmarks[:, 4, 0] > 288).all()
    assert track.faces == 2
    assert track.likeness is not None
    him, her = sorted(people, key=lambda p: p.sightings[0].x)
    unlike = track.likeness.distance(her.likeness)
    assert unlike < STRANGER < track.likeness.distance(him.likeness)
    bare = tmp_path / "wall.png"
    cv2.imwrite(str(bare), np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(NoFaceError, match="shows no face"):
        face_on(bare)
    bare.write_bytes(b"not a picture")
    with pytest.raises(MediaError, match="cannot be read as a picture"):
        face_on(bare)
    with pytest.raises(NoFaceError, match="no sound that could tell"):
        track_faces(film, face=FaceChoice("talking"))


def test_faces_that_cross_keep_their_names(data_dir: Path) -> None:
    n = 36
    man, woman = _two(data_dir, n)
    y, x = np.mgrid[0:288, 0:288]
    head = np.clip(6 - 6 * np.hypot((x - 144) / 92, (y - 140) / 125), 0, 1)[..., None]
    scenes, places = [], []
    for i in range(n):
        scene = np.full((288, 900, 3), (70, 80, 90), np.float32)
        # She stands still at first, he passes in front of her.
        at = {"woman": 306 - 4 * max(0, i - 20), "man": 20 + 18 * i if i < 32 else 20 + 18 * 32}
        for name, heads in (("woman", woman), ("man", man)):
            part = scene[:, at[name] : at[name] + 288]
            part += (heads[i] - part) * head
        scenes.append(scene.astype(np.uint8))
        places.append((at["woman"] + 144, at["man"] + 144))
    frames = [Frame(i, Fraction(i, 25), rgb) for i, rgb in enumerate(scenes)]
    track = build_track(frames, synthetic_info("25").rate, (900, 288), at=(0.5, 0.5))
    noses = track.landmarks[:, 4, 0]
    hers, his = np.array(places, float).T
    apart = np.abs(hers - his) > 150
    followed = track.present & apart
    wrong = followed & (np.abs(noses - his) < np.abs(noses - hers))
    assert not wrong.any()
    assert followed[:6].all()
    assert followed[-3:].all()
    other = track.reason == Absence.OTHER_PERSON
    assert other[np.abs(hers - his) < 50].all()  # he covers her: the face there is his
    assert not other[apart].any()


def test_of_identical_twins_the_one_who_stands_there_is_taken(data_dir: Path) -> None:
    clip = sorted((data_dir / "archive_grid_s1").glob("*.mpg"))[0]
    frames = [Frame(f.index, f.pts, np.hstack([f.rgb, f.rgb])) for f in read_frames(clip, 0, 3)]
    people = gather(_pictures(frames))
    assert len(people) == 2
    rate = synthetic_info("25").rate
    for word, right in (("left", False), ("right", True), ("0.8,0.5", True)):
        person = choose(people, FaceChoice.parse(word), HERE)
        for who in people:  # whoever of them looks a little more like it
            track = build_track(frames, rate, (720, 288), who=who.likeness, places=person.sightings)
            assert track.present.all()
            assert ((track.landmarks[:, 4, 0] > 360) == right).all()


def _pictures(frames: list[Frame]) -> list[Picture]:
    """Frames as the search for people takes them."""
    return [cast(Picture, _Still(frame)) for frame in frames]


class _Still(np.ndarray):
    """An array that knows its number."""

    index: int

    def __new__(cls, frame: Frame) -> _Still:
        still = frame.rgb.view(cls)
        still.index = frame.index
        return still
