"""Cuts and smoothing, on signals whose truth is known."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
from lipsync_heads import head_mm, landmarks, picture, turn

from lipsync.crop import lip_shape
from lipsync.shots import ContentChange, NoseWatch, shot_numbers, smooth_landmarks


def texture(seed: int, tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.normal(0, 1, (120, 160)).astype(np.float32), (0, 0), 6)
    grey = 128 + 90 * grey / np.abs(grey).max()
    return np.clip(grey[..., None] * np.array(tint), 0, 255).astype(np.uint8)


def changes(frames: list[np.ndarray]) -> np.ndarray:
    content = ContentChange()
    return np.array([content.update(f) for f in frames], np.float32)


def test_a_cut_to_another_set_starts_a_shot_and_a_pan_does_not() -> None:
    a, b = texture(1, (1.0, 0.7, 0.5)), texture(2, (0.4, 0.6, 1.0))
    pan = [np.roll(a, 2 * k, axis=1) for k in range(12)]
    other = [np.roll(b, 2 * k, axis=1) for k in range(12)]
    away = np.full((24, 478, 3), np.nan, np.float32)
    shots = shot_numbers(changes(pan + other), away)
    np.testing.assert_array_equal(shots, [0] * 12 + [1] * 12)


def test_a_jump_cut_on_the_same_background_is_found_by_the_face() -> None:
    rng = np.random.default_rng(0)
    change = np.full(20, 1.0, np.float32) + rng.normal(0, 0.05, 20).astype(np.float32)
    change[10] = 5.0
    points = np.stack([landmarks(at=(100 + 0.3 * k + 25 * (k >= 10), 100)) for k in range(20)])
    np.testing.assert_array_equal(shot_numbers(change, points), [0] * 10 + [1] * 10)


def test_a_quick_head_without_a_change_of_picture_is_no_cut() -> None:
    points = np.stack([landmarks(at=(100 + 9.0 * k, 100)) for k in range(20)])
    shots = shot_numbers(np.full(20, 4.0, np.float32), points)
    assert shots.max() == 0


def test_no_frames_and_one_frame() -> None:
    none = np.zeros((0, 478, 3), np.float32)
    assert len(shot_numbers(np.zeros(0, np.float32), none)) == 0
    steady, pose, present = smooth_landmarks(
        none, np.zeros((0, 2), np.float32), np.zeros(0, np.int32), 25
    )
    assert len(steady) == len(pose.scale) == len(present) == 0
    one = landmarks()[None]
    steady, _, _ = smooth_landmarks(
        one, np.full((1, 2), np.nan, np.float32), np.zeros(1, np.int32), 25
    )
    np.testing.assert_allclose(steady, one, atol=0.01)


def test_tremble_is_taken_off_and_a_nod_is_kept_whole() -> None:
    rng = np.random.default_rng(3)
    n, rate = 80, 25.0
    t = np.arange(n) / rate
    nod = 30 * np.sin(2 * np.pi * 1.8 * t)  # a quick nod of 30 pixels
    error = rng.normal(0, 1.5, (n, 2)).astype(np.float32)
    true = np.stack([landmarks(at=(200, 150 + y), scale=1.5) for y in nod])
    seen = true + np.r_["2,3,0", error[:, None], np.zeros((n, 1, 1))].reshape(n, 1, -1)[..., :3]
    seen = true.copy()
    seen[..., :2] += error[:, None]
    # The nose moves against its landmarks by the opposite of their error's change.
    drift = np.vstack([[np.nan, np.nan], -np.diff(error, axis=0)]).astype(np.float32)
    steady, _, _ = smooth_landmarks(seen, drift, np.zeros(n, np.int32), rate)
    left = (steady - true)[..., :2].mean(1)
    assert left[5:-5].std() < 0.3 * error.std()
    followed = np.polyfit(nod[5:-5], steady[5:-5, 4, 1] - true[5:-5, 4, 1], 1)[0]
    assert abs(followed) < 0.01  # a low-pass filter would lose a tenth of it


def test_smoothing_does_not_damp_lips() -> None:
    n = 60
    opening = 5 + 5 * np.sin(2 * np.pi * 5.5 * np.arange(n) / 25)  # faster than speech
    points = np.stack([landmarks(head_mm(o, 0.5 * o)) for o in opening])
    still = np.zeros((n, 2), np.float32)
    steady, _, _ = smooth_landmarks(points, still, np.zeros(n, np.int32), 25)
    np.testing.assert_allclose(lip_shape(steady)[:, 0], lip_shape(points)[:, 0], atol=1e-3)


def test_nothing_is_smoothed_across_a_cut_or_a_gap() -> None:
    points = np.stack(
        [
            landmarks(at=(100 if k < 15 else 220, 100), rotation=turn(0 if k < 15 else 25))
            for k in range(30)
        ]
    )
    shot = np.repeat([0, 1], 15).astype(np.int32)
    drift = np.zeros((30, 2), np.float32)
    steady, _, _ = smooth_landmarks(points, drift, shot, 25)
    np.testing.assert_allclose(steady, points, atol=0.01)
    points[7:9] = np.nan
    steady, pose, present = smooth_landmarks(points, drift, shot, 25)
    assert np.isnan(steady[7:9]).all()
    assert present.sum() == len(pose.scale) == 28
    np.testing.assert_allclose(steady[present], points[present], atol=0.01)


def test_the_nose_is_watched_to_a_tenth_of_a_pixel() -> None:
    points = landmarks(scale=2.0, at=(160, 100))
    still = picture(points)
    # Skin texture is all there is to hold on to.
    error = np.array([(0, 0), (0.7, -0.4), (0.2, 1.1), (-0.9, 0.3)], np.float32)
    watch = NoseWatch()
    seen = []
    for e in error:
        wrong = points.copy()
        wrong[:, :2] += e
        seen.append(watch.update(still, wrong))
    assert np.isnan(seen[0]).all()
    np.testing.assert_allclose(seen[1:], -np.diff(error, axis=0), atol=0.12)
    assert np.isnan(watch.update(still, None)).all()
    assert np.isnan(watch.update(still, points)).all()


def test_a_long_take_is_smoothed_and_measured_in_little_memory() -> None:
    one = landmarks(head_mm())[None].astype(np.float32)
    film = np.repeat(one, 3000, axis=0)
    film[1500:, :, 0] += 3.0  # across the pieces that the work is cut into
    drift, shot = np.zeros((3000, 2), np.float32), np.zeros(3000, np.int32)
    tracemalloc.start()
    smooth, pose, _ = smooth_landmarks(film, drift, shot, 25.0)
    shapes = lip_shape(smooth)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3.5 * film.nbytes
    assert len(pose.scale) == 3000
    for i in (0, 1023, 1024, 2999):
        np.testing.assert_allclose(shapes[i], lip_shape(smooth[i]), atol=1e-6)
