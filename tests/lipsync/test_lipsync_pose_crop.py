"""Head pose, the canonical crop and lip shapes, against heads of known pose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lipsync_heads import head_mm, landmarks, turn

from lipsync.crop import (
    LIP_FEATURES,
    CropSpec,
    crop,
    crop_transform,
    crop_transforms,
    landmarks_in_crop,
    lip_shape,
)
from lipsync.pose import fit_pose, to_face, to_frame

angle = st.floats(-40, 40)


@settings(max_examples=40, deadline=None)
@given(angle, angle, angle, st.floats(0.3, 8))
def test_pose_is_found_whatever_the_mouth_does(
    yaw: float, pitch: float, roll: float, scale: float
) -> None:
    points = landmarks(head_mm(15, 12), at=(700, 300), scale=scale, rotation=turn(yaw, pitch, roll))
    pose = fit_pose(points[None])
    np.testing.assert_allclose(pose.angles[0], (yaw, pitch, roll), atol=0.05)
    np.testing.assert_allclose(pose.scale[0], scale, rtol=1e-4)
    np.testing.assert_allclose(pose.place[0, :2], (700, 300), atol=0.02)
    np.testing.assert_allclose(to_frame(to_face(points[None], pose), pose)[0], points, atol=0.01)


def test_signs_of_the_angles_are_as_documented() -> None:
    nose = 4
    front = landmarks()
    right = landmarks(rotation=turn(yaw=20))
    down = landmarks(rotation=turn(pitch=20))
    clockwise = landmarks(rotation=turn(roll=20))
    assert right[nose, 0] > front[nose, 0] + 5  # nose to the right edge of the picture
    assert down[nose, 1] > front[nose, 1] + 5  # nose down
    assert clockwise[263, 1] > clockwise[33, 1]  # the eye on the right sinks


def test_mouth_is_two_fifths_of_the_crop_and_chin_and_nose_are_inside() -> None:
    points = landmarks(scale=2.3, at=(500, 400), rotation=turn(roll=14))
    inside = landmarks_in_crop(points, crop_transform(points))
    assert 0.36 < (inside[291, 0] - inside[61, 0]) / 256 < 0.44
    assert abs(inside[291, 1] - inside[61, 1]) < 0.5  # upright
    for index in (4, 2, 152, 172, 397):
        assert (inside[index, :2] > 0).all()
        assert (inside[index, :2] < 256).all()


def test_crop_holds_still_while_the_jaw_opens() -> None:
    shut, open_ = landmarks(head_mm(0)), landmarks(head_mm(20, 15))
    np.testing.assert_allclose(crop_transform(shut), crop_transform(open_), atol=1e-4)


def test_crop_keeps_its_size_when_the_head_turns() -> None:
    zooms = [
        np.hypot(*crop_transform(landmarks(rotation=turn(yaw=y)))[0, :2]) for y in (-30, 0, 30)
    ]
    np.testing.assert_allclose(zooms, zooms[0], rtol=1e-3)


@pytest.mark.parametrize("scale", [0.6, 1.7, 4.5, 9.0])
def test_crop_pixels_lie_where_the_transform_says(scale: float) -> None:
    """A smooth function of place, cropped, is that function of the place mapped back."""
    width, height = int(420 * scale), int(400 * scale)
    points = landmarks(at=(200 * scale, 130 * scale), scale=scale, rotation=turn(roll=-9))
    y, x = np.mgrid[:height, :width]

    def colour(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        waves = [np.sin(u / (40 * scale)), np.cos(v / (35 * scale)), np.sin((u + v) / (60 * scale))]
        return 127 + 100 * np.stack(waves, -1)

    frame = np.rint(colour(x, y)).astype(np.uint8)
    spec = CropSpec(192)
    transform = crop_transform(points, spec)
    seen = crop(frame, transform, spec)
    assert seen.shape == (192, 192, 3)
    i, j = np.mgrid[:192, :192]
    back = np.linalg.inv(transform[:, :2].astype(float))
    place = (np.stack([j, i], -1) - transform[:, 2]) @ back.T
    truth = colour(place[..., 0], place[..., 1])
    within = (place > 3).all(-1) & (place[..., 0] < width - 4) & (place[..., 1] < height - 4)
    assert within.mean() > 0.9
    assert np.abs(seen - truth)[within].max() < 2.0


def test_transforms_of_many_frames_equal_those_of_each() -> None:
    many = np.stack([landmarks(at=(100 + 3 * k, 90), rotation=turn(roll=k)) for k in range(5)])
    np.testing.assert_allclose(
        crop_transforms(many), [crop_transform(one) for one in many], rtol=1e-5
    )


@settings(max_examples=25, deadline=None)
@given(st.floats(-30, 30), st.floats(-25, 25), angle, st.floats(0.5, 5))
def test_lip_shape_does_not_know_the_pose(
    yaw: float, pitch: float, roll: float, scale: float
) -> None:
    face = head_mm(9, 5)
    front = lip_shape(landmarks(face))
    turned = lip_shape(landmarks(face, scale=scale, at=(300, 200), rotation=turn(yaw, pitch, roll)))
    np.testing.assert_allclose(turned, front, atol=0.004)


def test_lip_shape_measures_what_its_names_say() -> None:
    shape = dict(zip(LIP_FEATURES, lip_shape(landmarks(head_mm(8))), strict=True))
    unit = 63.0
    # Mean of the gap in the middle (8 mm) and at 0.31 of the half width beside it.
    assert shape["opening"] * unit == pytest.approx(8 * (1 + 2 * np.cos(np.pi / 10)) / 3, rel=0.01)
    assert shape["width"] * unit == pytest.approx(46, rel=0.01)
    assert shape["outer_width"] * unit == pytest.approx(52, rel=0.01)
    assert shape["outer_height"] * unit == pytest.approx(26, rel=0.01)
    assert 0.5 < shape["roundness"] < 1
    assert shape["protrusion"] > 0.2
    wide = dict(zip(LIP_FEATURES, lip_shape(landmarks(head_mm(8, 10))), strict=True))
    assert (wide["jaw"] - shape["jaw"]) * unit == pytest.approx(10, rel=0.05)
    shut = dict(zip(LIP_FEATURES, lip_shape(landmarks(head_mm(0))), strict=True))
    assert shut["opening"] < 0.002


def test_lip_shape_in_the_crop_equals_that_in_the_frame_and_gaps_stay_gaps() -> None:
    points = landmarks(head_mm(6), scale=1.8, rotation=turn(15, -5, 10))
    inside = landmarks_in_crop(points, crop_transform(points))
    np.testing.assert_allclose(lip_shape(inside), lip_shape(points), atol=2e-3)
    rows = lip_shape(np.stack([points, np.full_like(points, np.nan)]))
    assert np.isfinite(rows[0]).all()
    assert np.isnan(rows[1]).all()
