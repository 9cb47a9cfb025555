"""Paste-back: what must not change, does not; what is laid in, fits."""

from __future__ import annotations

import numpy as np
import pytest
from lipsync_heads import head_mm, landmarks, picture, turn

from lipsync.blend import Paster, fade_weights, mouth_mask, paste
from lipsync.crop import crop, crop_transform, landmarks_in_crop
from lipsync.engines import MouthPatch
from lipsync.regions import JAW, OUTER_LIPS, displacement, polygon_distance


def patch_of(frame: np.ndarray, points: np.ndarray) -> MouthPatch:
    transform = crop_transform(points)
    return MouthPatch(crop(frame, transform), landmarks_in_crop(points, transform)[:, :2])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a.astype(float) - b.astype(float)) ** 2) / 255**2 + 1e-12))


def touched(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a != b).any(-1)


@pytest.mark.parametrize("roll", [0.0, 17.0])
def test_a_frames_own_mouth_put_back_is_invisible(roll: float) -> None:
    points = landmarks(scale=1.3, rotation=turn(roll=roll))
    frame = picture(points)
    out = paste(frame, patch_of(frame, points), points, crop_transform(points))
    area = np.zeros(frame.shape[:2], bool)
    x, y = points[list(OUTER_LIPS), :2].mean(0).astype(int)
    area[y - 30 : y + 40, x - 40 : x + 40] = True
    assert psnr(out[area], frame[area]) > 42


def test_every_pixel_outside_the_mask_keeps_its_bits() -> None:
    points = landmarks(scale=1.3)
    wide = landmarks(head_mm(18, 10), scale=1.3)
    frame = np.random.default_rng(1).integers(0, 256, (300, 320, 3), np.uint8)
    out = paste(frame, patch_of(picture(wide), wide), points, crop_transform(points))
    changed = touched(out, frame)
    assert changed.any()
    above = int(points[4, 1])  # the tip of the nose
    assert not changed[:above].any()
    inside = landmarks_in_crop(points, crop_transform(points))
    ys, xs = np.nonzero(changed)
    place = np.c_[xs, ys] @ crop_transform(points)[:, :2].T + crop_transform(points)[:, 2]
    lowest = max(inside[152, 1], patch_of(frame, wide).landmarks[152, 1])
    assert place[:, 1].max() < lowest + 0.21 * 256
    assert frame is not out


def test_with_the_same_jaw_nothing_beyond_the_face_changes() -> None:
    points, open_ = landmarks(head_mm(3), scale=1.3), landmarks(head_mm(12), scale=1.3)
    frame = picture(points)
    out = paste(frame, patch_of(picture(open_, tint=0.8), open_), points, crop_transform(points))
    changed = touched(out, frame)
    rows = np.nonzero(changed)[0]
    assert rows.max() < points[152, 1]
    columns = np.nonzero(changed)[1]
    assert columns.min() > points[172, 0]
    assert columns.max() < points[397, 0]


def test_weight_zero_changes_nothing_and_half_lies_between() -> None:
    points, open_ = landmarks(head_mm(2), scale=1.3), landmarks(head_mm(16, 6), scale=1.3)
    frame, patch = picture(points), patch_of(picture(open_), open_)
    transform = crop_transform(points)
    np.testing.assert_array_equal(paste(frame, patch, points, transform, weight=0.0), frame)
    far, near = (
        np.abs(paste(frame, patch, points, transform, weight=w).astype(int) - frame).mean()
        for w in (1.0, 0.5)
    )
    assert 0.3 * far < near < 0.75 * far


def test_another_light_is_matched_on_skin() -> None:
    points = landmarks(scale=1.3)
    frame, dim = picture(points), picture(points, tint=0.8)
    out = paste(frame, patch_of(dim, points), points, crop_transform(points))
    x, y = points[17, :2].astype(int)
    chin = np.s_[y + 14 : y + 22, x - 10 : x + 10]
    before = np.abs(dim[chin].mean((0, 1)) - frame[chin].mean((0, 1)))
    after = np.abs(out[chin].mean((0, 1)) - frame[chin].mean((0, 1)))
    assert before.min() > 20
    assert after.max() < 3


def test_light_is_not_taken_from_collar_or_background() -> None:
    """The prototype's fault: a bright collar at the rim tinted the whole mouth."""
    points = landmarks(scale=1.3)
    frame = picture(points)
    collar = frame.copy()
    collar[int(points[152, 1]) + 6 :] = (255, 255, 60)
    transform = crop_transform(points)
    with_collar = paste(collar, patch_of(frame, points), points, transform)
    x, y = points[17, :2].astype(int)
    lips_and_chin = np.s_[y - 20 : y + 20, x - 25 : x + 25]
    assert np.abs(with_collar[lips_and_chin].astype(int) - frame[lips_and_chin]).mean() < 1.5


def test_missing_grain_is_given_back_and_is_the_same_every_time() -> None:
    points = landmarks(scale=1.3)
    clean = picture(points)
    noise = np.random.default_rng(5).normal(0, 5, clean.shape[:2])[..., None]
    grainy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    transform, patch = crop_transform(points), patch_of(clean, points)
    x, y = points[17, :2].astype(int)
    spot = np.s_[y + 12 : y + 24, x - 14 : x + 14]

    def grain(image: np.ndarray) -> float:
        return float((image[spot].astype(float) - clean[spot]).mean(-1).std())

    with_grain = Paster(seed=7).paste(grainy, patch, points, transform, index=3)
    without = Paster(seed=7, grain=False).paste(grainy, patch, points, transform, index=3)
    assert grain(with_grain) > 0.6 * grain(grainy) > 2 * grain(without)
    again = Paster(seed=7).paste(grainy, patch, points, transform, index=3)
    np.testing.assert_array_equal(again, with_grain)
    other = Paster(seed=7).paste(grainy, patch, points, transform, index=4)
    assert (other != with_grain).any()


def test_a_lower_jaw_moves_the_frames_own_jaw_line() -> None:
    points, dropped = landmarks(head_mm(4), scale=1.3), landmarks(head_mm(16, 12), scale=1.3)
    frame = picture(points)
    out = paste(frame, patch_of(picture(dropped), dropped), points, crop_transform(points))

    def jaw_line(image: np.ndarray) -> int:
        column = image[:, int(points[152, 0])].astype(int)
        skin = column[:, 0] - column[:, 2] > 30
        return int(np.nonzero(skin)[0].max())

    moved = jaw_line(out) - jaw_line(frame)
    assert 0.5 * 12 * 1.3 < moved < 1.2 * 12 * 1.3


def test_mask_covers_both_mouths_and_spares_the_nose() -> None:
    old, new = (
        landmarks_in_crop(landmarks(head_mm(o, j)), crop_transform(landmarks()))[:, :2]
        for o, j in ((2, 0), (20, 12))
    )
    mask = mouth_mask(old, new, 256)
    assert mask.dtype == np.float32
    assert mask.min() == 0
    assert mask.max() <= 1
    for points in (old, new):
        inside, _ = polygon_distance(points[list(OUTER_LIPS)], 256)
        assert mask[inside > 1].min() > 0.9
    assert mask[: int(old[4, 1])].max() == 0
    for index in JAW:
        x, y = np.clip(new[index].round().astype(int), 0, 255)
        assert mask[y, x] < 0.3


def test_mask_feathers_without_a_step() -> None:
    points = landmarks_in_crop(landmarks(), crop_transform(landmarks()))[:, :2]
    mask = mouth_mask(points, points, 256)
    steepest = max(np.abs(np.diff(mask, axis=a)).max() for a in (0, 1))
    assert steepest < 0.2


def test_faces_at_the_edge_and_outside_the_frame_do_no_harm() -> None:
    for at in ((5.0, 250.0), (318.0, -20.0), (160.0, 400.0)):
        points = landmarks(at=at, scale=1.3)
        frame = picture(landmarks())
        out = paste(frame, patch_of(frame, points), points, crop_transform(points))
        assert out.shape == frame.shape


def test_fades_run_inside_usable_stretches_and_stop_at_cuts() -> None:
    usable = np.array([1] * 10 + [0] * 3 + [1] * 7, bool)
    shot = np.array([0] * 13 + [1] * 7, np.int32)
    weights = fade_weights(usable, shot, 4)
    np.testing.assert_allclose(weights[:13], [1] * 6 + [0.8, 0.6, 0.4, 0.2] + [0] * 3, atol=1e-6)
    np.testing.assert_array_equal(weights[13:], 1)


def test_displacement_reaches_its_points_and_fades_away() -> None:
    points = np.array([[60.0, 100.0], [190.0, 100.0]])
    shifts = np.array([[4.0, 0.0], [0.0, -6.0]])
    field = displacement(points, shifts, 256, 15)
    np.testing.assert_allclose(field[100, 60], shifts[0], atol=0.35)
    np.testing.assert_allclose(field[100, 190], shifts[1], atol=0.45)
    assert np.abs(field[220]).max() < 0.01


def test_a_crop_that_is_reduced_again_keeps_its_sharpness() -> None:
    import cv2

    points = landmarks(scale=0.8)  # the crop is enlarged, and reduced again by the paste
    fine = cv2.GaussianBlur(
        np.random.default_rng(3).normal(128, 60, (300, 320, 3)).astype(np.float32), (0, 0), 0.9
    )
    frame = np.clip(fine, 0, 255).astype(np.uint8)
    transform = crop_transform(points)
    assert np.hypot(*transform[0, :2]) > 1.5
    out = Paster(grain=False).paste(frame, patch_of(frame, points), points, transform)
    x, y = points[list(OUTER_LIPS), :2].mean(0).astype(int)
    lips = slice(y - 8, y + 8), slice(x - 12, x + 12)
    sharp = [
        float((cv2.Laplacian(p[lips].astype(np.float32), cv2.CV_32F) ** 2).mean()) ** 0.5
        for p in (out, frame)
    ]
    assert 0.93 < sharp[0] / sharp[1] < 1.05
