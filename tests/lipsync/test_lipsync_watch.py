"""Hands, microphones and lost focus before a mouth: found where they are, and only there."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from lipsync_film import SIDE, talking_marks
from lipsync_heads import picture

import lipsync.faces
from align.timing import Span, Timing
from lipsync.pose import fit_pose
from lipsync.regions import OUTER_LIPS
from lipsync.track import Doubt
from lipsync.watch import LOWER, FaceWatch, doubts, foreign_share

N = 80
HIDDEN = slice(30, 42)
SOFT = slice(55, 68)


def speech(n: int) -> Timing:
    """Syllables all the way."""
    phones = [
        Span(("AA", "M", "IY", "F", "OW", "S")[i % 6], i * 0.12, (i + 1) * 0.12)
        for i in range(int(n / 25 / 0.12))
    ]
    return Timing((), tuple(phones), n / 25)


@pytest.fixture(scope="module")
def marks() -> np.ndarray:
    marks = talking_marks(speech(N), N, sway=0.5).astype(np.float32)
    # The head of our own making has no points between lips and chin: put them on rings there.
    skin = [i for i in LOWER if i not in OUTER_LIPS]
    angle = np.arange(len(skin)) * 2.4
    reach = np.linspace(14, 26, len(skin))
    middle = marks[:, [61, 291], :2].mean(1, keepdims=True)
    rings = np.stack([1.2 * reach * np.cos(angle), 0.8 * reach * np.sin(angle) + 3], 1)
    marks[:, skin, :2] = (middle + rings).astype(np.float32)
    return marks


def pictures(marks: np.ndarray) -> list[np.ndarray]:
    """A talking head under a light that drifts, with the grain of a camera."""
    rng = np.random.default_rng(5)
    out = []
    for i, points in enumerate(marks):
        rgb = picture(points, SIDE, SIDE, seed=1, tint=1.0 + 0.1 * np.sin(i / 9))
        noisy = rgb + rng.normal(0, 4, rgb.shape)
        out.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return out


def hand(rgb: np.ndarray, points: np.ndarray) -> None:
    """Four fingers of the face's own skin, lit otherwise, over the mouth."""
    x, y = points[[13, 14], :2].mean(0)
    for k in range(4):
        at = (round(float(x) - 24 + 14 * k), round(float(y) + 2 * (k % 2)))
        cv2.ellipse(rgb, at, (8, 26), 8, 0, 360, (160, 112, 92), -1, cv2.LINE_AA)
        cv2.ellipse(rgb, (at[0] - 7, at[1]), (2, 24), 8, 0, 360, (96, 62, 50), -1, cv2.LINE_AA)


def microphone(rgb: np.ndarray, points: np.ndarray) -> None:
    x, y = points[[14, 17], :2].mean(0)
    cv2.circle(rgb, (round(float(x)), round(float(y)) + 8), 19, (45, 45, 48), -1, cv2.LINE_AA)


def judged(marks: np.ndarray, seen: list[np.ndarray]) -> np.ndarray:
    watch = FaceWatch()
    for rgb, points in zip(seen, marks, strict=True):
        watch.look(rgb, points)
    angles = fit_pose(marks).angles
    return doubts(watch.notes(), marks, angles, np.zeros(len(marks), np.int32), 25.0)


def test_talking_in_drifting_light_raises_no_doubt(marks: np.ndarray) -> None:
    assert not judged(marks, pictures(marks)).any()


@pytest.mark.parametrize("cover", [hand, microphone])
def test_what_covers_the_mouth_is_noticed_while_it_is_there(
    marks: np.ndarray, cover: object
) -> None:
    seen = pictures(marks)
    for i in range(HIDDEN.start, HIDDEN.stop):
        cover(seen[i], marks[i])  # type: ignore[operator]
    covered = np.flatnonzero(judged(marks, seen) == Doubt.COVERED)
    assert set(range(HIDDEN.start, HIDDEN.stop)) <= set(covered.tolist())
    assert covered.min() >= HIDDEN.start - 3
    assert covered.max() < HIDDEN.stop + 3


def test_a_lens_out_of_focus_is_noticed_and_a_quick_blur_is_not(marks: np.ndarray) -> None:
    seen = pictures(marks)
    for i in (*range(SOFT.start, SOFT.stop), 20, 21):
        seen[i] = cv2.GaussianBlur(seen[i], (0, 0), 3.0)
    blurred = np.flatnonzero(judged(marks, seen) == Doubt.BLURRED)
    assert set(range(SOFT.start + 1, SOFT.stop - 1)) <= set(blurred.tolist())
    assert blurred.min() >= SOFT.start - 2
    assert blurred.max() < SOFT.stop + 2


def test_few_frames_and_absent_faces_are_not_judged(marks: np.ndarray) -> None:
    seen = pictures(marks[:30])
    watch = FaceWatch()
    for i, rgb in enumerate(seen):
        watch.look(rgb, marks[i] if i % 3 else None)
    gone = marks[:30].copy()
    gone[::3] = np.nan
    angles = np.zeros((30, 3), np.float32)
    shot = np.repeat(np.arange(3, dtype=np.int32), 10)
    assert not doubts(watch.notes(), gone, angles, shot, 25.0).any()
    assert len(doubts(FaceWatch().notes(), gone[:0], angles[:0], shot[:0], 25.0)) == 0


def test_the_share_of_foreign_points_is_what_is_covered(marks: np.ndarray) -> None:
    watch = FaceWatch()
    for rgb, points in zip(pictures(marks), marks, strict=True):
        watch.look(rgb, points)
    colours = watch.notes().colours.copy()
    colours[10:16, :37] = (20, 200, 30)  # half of the lower points turn green
    share = foreign_share(colours, marks, fit_pose(marks).angles)
    assert np.allclose(share[10:16], 37 / 74, atol=0.05)
    assert np.delete(share, np.arange(10, 16)).max() < 0.1


@pytest.mark.slow
def test_a_real_hand_before_a_real_mouth(data_dir: Path) -> None:
    from lipsync.faces import build_track
    from lipsync.people import FaceChoice, choose, people_in
    from media.reader import probe, read_pictures

    clip = data_dir / "clips" / "vv_interview.mp4"
    info = probe(clip)
    who = choose(people_in(clip, span=(30, 60), samples=4), FaceChoice("right"), clip)
    track = build_track(
        read_pictures(clip, 0, 60), info.rate, (info.width, info.height), who=who.likeness
    )
    assert track.faces == 2
    covered = np.flatnonzero(track.doubt == Doubt.COVERED)
    assert set(range(4)) <= set(covered.tolist())  # fingers before the lips
    assert not (set(range(28, 60)) & set(covered.tolist()))  # the hand is below the chin


def test_notes_do_not_wait_for_what_smoothing_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = threading.Event()
    waited: list[bool] = []
    monkeypatch.setattr(lipsync.faces, "_ready_to_smooth", lambda: waited.append(noted.wait(5)))
    with lipsync.faces._Record() as record:
        record._notes.submit(noted.set).result(5)
    assert waited == [True]
