from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from lipsync_heads import head_mm, landmarks, picture
from lipsync_talk import talk, voice
from synthetic import synthetic_info

from align.timing import Span, Timing
from align.visemes import curves
from lipsync.crop import CropSpec, crop, crop_transforms, landmarks_in_crop, lip_shape
from lipsync.engines import BankSource, RenderJob, get_renderer
from lipsync.engines._bank import Pictures, _choose
from lipsync.engines._plan import parts as mouths_shown
from lipsync.engines._select import Bank, PathFinder, Wanted, cheapest_path
from lipsync.engines.mouthbank import MouthBankRenderer
from lipsync.faces import usable_frames
from lipsync.morph import CONTROL, FOLLOW, dissolve, match_light, reshape, spread_follow, warp
from lipsync.motion import closures, silence
from lipsync.track import FaceTrack
from media.errors import ArchiveError, OutputError
from media.time import FrameRate
from media.video import ColourTags, FootageWriter, Frame

R25 = FrameRate(Fraction(25))
SPEC = CropSpec(128)


# --- choosing -------------------------------------------------------------------------


def small_bank(seed: int = 0, n: int = 6) -> Bank:
    rng = np.random.default_rng(seed)
    return Bank(
        target=rng.normal(size=(n, 3)).astype(np.float32),
        penalty=rng.uniform(0, 0.5, n).astype(np.float32),
        look=rng.normal(size=(n, 4)).astype(np.float32),
        shut=np.arange(n) % 3 == 0,
        source=np.array([0] * (n // 2) + [1] * (n - n // 2), np.intp),
        frame=np.r_[np.arange(n // 2), np.arange(n - n // 2)].astype(np.intp),
        step=np.ones(n, np.float32),
    )


def total_cost(bank: Bank, wanted: Wanted, path: tuple[int, ...]) -> float:
    """The documented cost, spelled out."""
    cost = 0.0
    for t, m in enumerate(path):
        cost += float(((wanted.target[t] - bank.target[m]) ** 2).sum() + bank.penalty[m])
        cost += 1e3 * bool(wanted.shut[t] and not bank.shut[m])
        if t == 0:
            continue
        a = path[t - 1]
        join = float(((bank.look[a] - bank.look[m]) ** 2).sum()) + 2.5
        ahead = int(bank.frame[m] - bank.frame[a])
        if bank.source[a] == bank.source[m]:
            if ahead == 1:
                join = 0.0
            elif ahead in (0, 2):
                join = min(join, 0.8)
        cost += join
    return cost


@pytest.mark.parametrize("seed", range(4))
def test_path_is_the_cheapest_of_all(seed: int):
    bank = small_bank(seed)
    rng = np.random.default_rng(seed + 50)
    wanted = Wanted(2 * rng.normal(size=(4, 3)).astype(np.float32), rng.random(4) < 0.4)
    best = min(total_cost(bank, wanted, p) for p in itertools.product(range(6), repeat=4))
    found = cheapest_path(bank, wanted)
    assert total_cost(bank, wanted, tuple(found)) == pytest.approx(best, rel=1e-4)
    assert bank.shut[found[wanted.shut]].all()


def test_a_big_bank_is_searched_at_far_more_than_playing_speed():
    import time

    bank = small_bank(1, 4000)
    wanted = Wanted(
        np.random.default_rng(2).normal(size=(60, 3)).astype(np.float32), np.zeros(60, bool)
    )
    start = time.perf_counter()
    path = cheapest_path(bank, wanted)
    print(f"{60 / (time.perf_counter() - start):.0f} frames/s")
    assert len(path) == 60


def test_footage_that_goes_on_is_followed():
    bank = small_bank(3, 40)
    wanted = Wanted(bank.target[5:15], np.zeros(10, bool))
    np.testing.assert_array_equal(cheapest_path(bank, wanted), np.arange(5, 15))


def test_parts_dissolve_only_at_joins_and_sum_to_one():
    bank = small_bank(4, 40)
    path = np.array([3, 4, 5, 6, 25, 26, 27, 28], np.intp)
    parts = mouths_shown(PathFinder(bank), path, 25.0, np.zeros(8, bool))
    assert [len(p) for p in parts] == [1, 1, 1, 2, 2, 1, 1, 1]
    assert all(sum(w for _, w in p) == pytest.approx(1) for p in parts)
    # What fades is the old footage going on, not a frozen picture.
    assert {m for m, _ in parts[4]} == {25, 7}


# --- bending --------------------------------------------------------------------------


def test_warp_to_itself_changes_nothing_and_moves_what_it_should():
    image = picture(landmarks(at=(64, 30), scale=0.8), 128, 128)
    points = landmarks(at=(64, 30), scale=0.8)[CONTROL, :2].astype(np.float32)
    same = warp(image, points, points)
    assert np.abs(same.astype(int) - image).max() <= 1
    moved = warp(image, points, points + np.float32([5, 3]))
    inner = np.abs(moved[20:110, 20:110].astype(int) - image[17:107, 15:105])
    assert np.median(inner) <= 1
    assert inner.mean() < 2


def test_reshape_changes_what_is_measured_by_as_much():
    face = head_mm(5.0)
    before = lip_shape(landmarks(face))
    more = lip_shape(landmarks(reshape(face, opening=0.05)))
    assert more[0] - before[0] == pytest.approx(0.05, abs=0.004)
    wider = lip_shape(landmarks(reshape(face, width=0.04)))
    assert wider[1] - before[1] == pytest.approx(0.04, abs=0.004)
    jaw = lip_shape(landmarks(reshape(face, jaw=0.05)))
    assert jaw[6] - before[6] == pytest.approx(0.05, abs=0.004)
    shut = lip_shape(landmarks(reshape(face, opening=-1.0)))
    assert shut[0] == pytest.approx(0, abs=1e-3)


def test_a_dissolve_keeps_the_mean_and_the_detail():
    rng = np.random.default_rng(0)
    grain = [rng.normal(0, 12, (64, 64, 3)) for _ in range(2)]
    a, b = ((128 + g).clip(0, 255).astype(np.uint8) for g in grain)
    mixed = dissolve([a, b], [0.5, 0.5]).astype(float)
    assert mixed.mean() == pytest.approx(127.5, abs=1)
    plain = (a.astype(float) + b) / 2
    assert plain.std() < 0.75 * a.std()
    assert 1.1 * plain.std() < mixed.std() < 1.1 * a.std()
    np.testing.assert_array_equal(dissolve([a], [1.0]), a)


def test_another_white_balance_is_matched():
    points = landmarks(at=(64, 30), scale=0.8)
    flat = points[:, :2].astype(np.float32)
    ours = picture(points, 128, 128, seed=1)
    tinted = (picture(points, 128, 128, seed=2) * [1.1, 0.9, 0.3]).clip(0, 255).astype(np.uint8)
    matched = match_light(ours, tinted, flat, flat)
    x, y = flat[199].astype(int)
    for image, close in ((ours, False), (matched, True)):
        off = np.abs(
            image[y - 4 : y + 4, x - 4 : x + 4].mean((0, 1))
            - tinted[y - 4 : y + 4, x - 4 : x + 4].mean((0, 1))
        )
        assert (off.max() < 12) == close


def test_lips_follow_the_new_mouth_and_eyes_do_not():
    follow = spread_follow(landmarks()[:, :2])
    np.testing.assert_array_equal(follow[CONTROL], FOLLOW)
    assert follow[13] == 1
    assert follow[33] < 0.05


# --- keeping --------------------------------------------------------------------------


def track_of(
    marks: np.ndarray, rate: FrameRate = R25, size: tuple[int, int] = (200, 200)
) -> FaceTrack:
    n = len(marks)
    return FaceTrack(
        rate=rate,
        width=size[0],
        height=size[1],
        landmarks=marks.astype(np.float32),
        reason=np.where(np.isnan(marks[:, 0, 0]), 1, 0).astype(np.uint8),
        shot=np.zeros(n, np.int32),
        pose=np.zeros((n, 3), np.float32),
        scale=np.full(n, 140, np.float32),
        times=np.arange(n) / float(rate),
    )


def test_long_footage_is_thinned_in_runs_and_short_clips_are_not_all_kept():
    track = track_of(np.zeros((1000, 478, 3)))
    clip = track_of(np.zeros((75, 478, 3)))
    everything = [(t, np.ones(len(t), bool)) for t in (track, *[clip] * 20)]
    kept = _choose(everything, 800)
    total = sum(len(k) for k in kept)
    assert 600 <= total <= 880
    assert len(kept[0]) > 200
    assert sum(bool(len(k)) for k in kept[1:]) >= 8
    assert all((np.diff(k) > 0).all() for k in kept)
    # Runs, so that footage can go on: most neighbours are consecutive.
    assert (np.diff(kept[0]) == 1).mean() > 0.9
    assert [len(k) for k in _choose(everything[:2], 5000)] == [1000, 75]


# --- the whole engine on a head of our own making ----------------------------------------


def talking_marks(timing: Timing, n: int, *, sway: float = 2.0) -> np.ndarray:
    opening = 1.0 + 12.0 * curves(timing, R25, n)[:, 0]
    return np.stack(
        [
            landmarks(
                head_mm(float(o), float(o) / 3),
                at=(100 + sway * np.sin(i / 9), 75 + sway * np.cos(i / 11)),
                scale=0.8,
            )
            for i, o in enumerate(opening)
        ]
    )


def film(path: Path, marks: np.ndarray) -> None:
    info = synthetic_info("25", 200, 200, colour=ColourTags(1, 1, 1, False))
    with FootageWriter(path, info) as writer:
        for i, points in enumerate(marks):
            rgb = picture(points, 200, 200, seed=1)
            writer.write(Frame(index=i, pts=Fraction(i, 25), rgb=rgb))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> RenderJob:
    folder = tmp_path_factory.mktemp("bank")
    said = talk(9.0, seed=1)
    marks = talking_marks(said, 225)
    film(folder / "archive.mp4", marks)
    source = BankSource(folder / "archive.mp4", track_of(marks), said, voice(said))
    line = talk(3.0, seed=8)
    target = track_of(talking_marks(Timing((), (), 3.0), 90, sway=4.0))
    usable = usable_frames(target)
    usable[40:44] = False
    return RenderJob(target, usable, line, voice(line), [source], SPEC)


def draw(renderer: MouthBankRenderer, job: RenderJob, frames: list[int]) -> list:
    marks = job.target.landmarks[frames]
    transforms = crop_transforms(marks, SPEC)
    inside = landmarks_in_crop(marks, transforms)
    crops = np.stack(
        [
            crop(picture(m, 200, 200, seed=2), t, SPEC)
            for m, t in zip(marks, transforms, strict=True)
        ]
    )
    return renderer.render(frames, crops, inside)


def test_the_engine_says_the_line_with_filmed_mouths(job: RenderJob):
    renderer = get_renderer("mouthbank")
    assert isinstance(renderer, MouthBankRenderer)
    renderer.prepare(job)
    frames = [i for i in range(90) if job.usable[i]]
    patches = draw(renderer, job, frames)
    assert all(p.rgb.shape == (128, 128, 3) and p.rgb.dtype == np.uint8 for p in patches)
    drawn = np.array([lip_shape(p.landmarks)[0] for p in patches])
    want = curves(job.timing, R25, 90)[frames, 0]
    assert np.corrcoef(drawn, want)[0, 1] > 0.85
    tight = (closures(job.timing, R25, 90) | silence(job.timing, R25, 90))[frames]
    assert tight.any()
    assert (drawn[tight] <= renderer.model.closed_below + 0.005).all()
    assert renderer.path[41] is None
    assert {s for p in renderer.path if p for s in p[:1]} == {0}
    # Not the landmarks alone: the picture's dark inside is wide where they say so.
    dark = np.array([(p.rgb.max(-1) < 70).sum() for p in patches])
    assert np.corrcoef(dark, drawn)[0, 1] > 0.8
    assert dark[tight].mean() < 0.35 * dark[~tight].max()


def test_the_same_job_gives_the_same_bytes_and_a_new_line_needs_no_new_reading(job: RenderJob):
    pictures = []
    for _ in range(2):
        renderer = MouthBankRenderer()
        renderer.prepare(job)
        pictures.append(np.stack([p.rgb for p in draw(renderer, job, [10, 20, 30])]))
    np.testing.assert_array_equal(*pictures)
    said: list[str] = []
    renderer.prepare(job, lambda what, _done, _total: said.append(what))
    assert said == ["choosing mouths"]


def test_open_mouths_only_are_bent_shut(job: RenderJob, tmp_path: Path):
    marks = np.stack(
        [landmarks(head_mm(7.0 + 3 * np.sin(i / 3)), at=(100, 75), scale=0.8) for i in range(40)]
    )
    film(tmp_path / "open.mp4", marks)
    line = Timing((), (Span("M", 0.2, 0.4), Span("AA", 0.4, 0.7)), 0.9)
    from dataclasses import replace

    source = BankSource(tmp_path / "open.mp4", track_of(marks))
    renderer = MouthBankRenderer()
    renderer.prepare(replace(job, sources=[source], timing=line, sound=voice(line)))
    drawn = [lip_shape(p.landmarks)[0] for p in draw(renderer, job, [6, 7, 8, 9])]
    assert max(drawn) <= renderer.model.closed_below + 0.01


def test_refusals(job: RenderJob):
    from dataclasses import replace

    renderer = MouthBankRenderer()
    with pytest.raises(RuntimeError, match="prepare"):
        renderer.render([0], np.zeros((1, 128, 128, 3), np.uint8), job.target.landmarks[:1])
    nobody = track_of(np.full((20, 478, 3), np.nan))
    empty = replace(job, sources=[BankSource(job.sources[0].path, nobody)])
    with pytest.raises(ArchiveError, match="no usable mouth"):
        renderer.prepare(empty)
    with pytest.raises(ArchiveError, match="no usable mouth"):
        renderer.prepare(replace(job, sources=[]))


def test_pictures_come_back_from_their_file_in_any_order() -> None:
    rng = np.random.default_rng(3)
    coded = [rng.bytes(n) for n in (5, 0, 70_000, 1, 20_000)]
    pictures = Pictures()
    for data in coded:
        pictures.append(data)
    assert len(pictures) == 5
    assert [pictures[i] for i in (4, 0, 2, 1, 3, 2)] == [coded[i] for i in (4, 0, 2, 1, 3, 2)]


def test_a_full_disk_ends_the_reading_of_mouths_in_one_line() -> None:
    pictures = Pictures()
    full = Path("/dev/full")
    if not full.is_char_device():
        pytest.skip("this system has no /dev/full")
    with full.open("wb", buffering=0) as nowhere:
        pictures._file = nowhere
        with pytest.raises(OutputError, match="no room left"):
            pictures.append(b"mouth")
