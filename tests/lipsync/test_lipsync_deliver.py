"""Patches that make the whole delivery again, and 10 bits that stay 10 bits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from lipsync_own import TIMING, OwnMouth, grid_frames
from synthetic import synthetic_info, tone

import lipsync.writing as pipeline
from lipsync.blend import Paster
from lipsync.crop import CropSpec, crop_transform
from lipsync.engines import MouthPatch
from lipsync.faces import track_faces
from lipsync.resync import resync
from media.colour import ColourTags, RgbConverter, from_planes, planes
from media.patch import stills_folder
from media.picture import Change, Picture, painted, patched
from media.reader import probe, read_pictures
from media.time import Timecode
from media.video import FootageWriter

FRAMES = 6


@pytest.fixture(scope="module")
def deep_scene(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real face in 10 bits (4:2:2, with real 10-bit steps), lossless."""
    path = tmp_path_factory.mktemp("deep") / "scene.mp4"
    rate = synthetic_info("25").rate
    info = synthetic_info(
        "25", 360, 288, pix_fmt="yuv422p10le", colour=ColourTags(1, 1, 1, False),
        start_timecode=Timecode.parse("10:00:00:00", rate),
    )  # fmt: skip
    convert = RgbConverter(info.colour, 288, "yuv422p10le")
    with FootageWriter(path, info, quality=0) as writer:
        for i, rgb in enumerate(grid_frames(data_dir, FRAMES)):
            soft = cv2.GaussianBlur(rgb.astype(np.float32), (0, 0), 0.7)  # between the codes
            fine = np.rint(soft * 256).astype(np.uint16)
            writer.write_changed(Picture(i, Fraction(i, 25), convert.from_rgb(fine), convert, 0))
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def _rendered(
    scene: Path, out: Path, cache: Path, **how: object
) -> list[tuple[Picture, tuple[Change, ...]]]:
    """Deliver, and what was handed to the writer."""
    seen: list[tuple[Picture, tuple[Change, ...]]] = []
    real = pipeline.changed_pictures

    def watched(*job: object) -> Iterator[pipeline.Changed]:
        for done in real(*job):  # type: ignore[arg-type]
            seen.append((done.picture, done.changes))
            yield done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "changed_pictures", watched)
        resync(scene, tone(0.6), TIMING, out, engine=OwnMouth(0.9), cache=cache, **how)  # type: ignore[arg-type]
    return seen


def test_outside_the_mouth_the_stored_10_bit_samples_themselves_are_written(
    deep_scene: Path, cache: Path, tmp_path: Path
) -> None:
    assert probe(deep_scene).pix_fmt == "yuv422p10le"
    out = tmp_path / "out.mov"
    seen = _rendered(deep_scene, out, cache, codec="prores")
    assert probe(out).pix_fmt == "yuv422p10le"
    assert sum(bool(changes) for _, changes in seen) == FRAMES
    for picture, (change,) in seen:
        assert change.rgb.dtype == np.uint16
        ours, theirs = (
            planes(patched(picture, (change,), picture.converter)),
            planes(picture.stored),
        )
        assert ours is not None
        assert theirs is not None
        where = np.zeros((288, 360), bool)
        where[change.rows, change.columns] = change.where
        np.testing.assert_array_equal(ours[0][~where], theirs[0][~where])
        pairs = where.reshape(288, 180, 2).any(-1)
        for one, other in zip(ours[1:], theirs[1:], strict=True):
            np.testing.assert_array_equal(one[~pairs], other[~pairs])
        assert (ours[0] != theirs[0]).any()


def test_the_edge_of_a_mouth_in_10_bits_has_no_step(deep_scene: Path, cache: Path) -> None:
    # A patch that is the frame's own crop changes nothing but by its way there and back.
    track = track_faces(deep_scene, cache=cache)
    picture = next(read_pictures(deep_scene))
    from lipsync.crop import crop, landmarks_in_crop

    marks = track.landmarks[0]
    transform = crop_transform(marks, CropSpec(256))
    own = crop(picture, transform, CropSpec(256))
    patch = MouthPatch(own, landmarks_in_crop(marks, transform)[:, :2])
    change = Paster(grain=False, matte=True).change(picture, patch, marks, transform)
    assert change is not None
    assert change.matte is not None
    faint = (change.matte > 0) & (change.matte < 0.05)
    before = picture.fine(change.rows, change.columns).astype(int)
    step = np.abs(change.rgb.astype(int) - before)[faint] / 64  # 10-bit codes
    assert np.median(step) < 0.35  # 8 bits would give steps of 0 to 4, 1 on average
    assert np.percentile(step, 99) < 2.0


def test_a_patch_over_its_source_is_the_delivery(
    deep_scene: Path, cache: Path, tmp_path: Path
) -> None:
    whole = _rendered(deep_scene, tmp_path / "whole.mov", cache, codec="prores")
    out = tmp_path / "patch.mov"
    seen = _rendered(deep_scene, out, cache, deliver="patch")
    info, was = probe(out), probe(deep_scene)
    assert (info.frames, info.width, info.height) == (FRAMES, was.width, was.height)
    assert str(info.start_timecode) == "10:00:00:00"
    errors = []
    for patch, (picture, (change,)), (_, (made,)) in zip(
        read_pictures(out), seen, whole, strict=True
    ):
        assert change.matte is not None
        assert change.fill is not None
        # What was handed over is the delivery, to a 16-bit hair ...
        below = picture.fine(change.rows, change.columns).astype(np.float32) / 256
        laid = below + (change.fill - below) * change.matte[..., None]
        np.testing.assert_array_equal(change.where, made.where)
        assert np.abs(laid - made.rgb / np.float32(256))[change.where].max() < 0.05
        # ... and so is what comes out of the file, but for the codec.
        alpha = _alpha(patch)
        where = np.zeros(alpha.shape, bool)
        where[change.rows, change.columns] = change.where
        assert (alpha[~where] == 0).all()
        over = picture.rgb * (1 - alpha[..., None]) + patch.rgb * alpha[..., None]
        errors.append(np.abs(over - painted(picture, (made,)))[where])
    assert np.concatenate(errors).mean() < 1.0
    assert np.percentile(np.concatenate(errors), 99) < 5.0


def _alpha(patch: Picture) -> np.ndarray:
    plane = patch.stored.planes[3]
    lines = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width]
    bits = patch.stored.format.components[3].bits
    return np.asarray(lines / np.float32(2**bits - 1), np.float32)


def test_a_patch_as_stills_over_its_source_is_the_delivery(
    deep_scene: Path, cache: Path, tmp_path: Path
) -> None:
    whole = _rendered(deep_scene, tmp_path / "whole.mov", cache, codec="prores")
    out = tmp_path / "mouth.png"
    seen = _rendered(deep_scene, out, cache, deliver="patch")
    stills = sorted(stills_folder(out).iterdir())
    assert len(stills) == FRAMES == json.loads((tmp_path / "mouth.json").read_text())["frames"]
    for still, (picture, _), (_, (made,)) in zip(stills, seen, whole, strict=True):
        bgra = cv2.imread(str(still), cv2.IMREAD_UNCHANGED)
        alpha, rgb = bgra[..., 3:] / 65535, bgra[..., 2::-1] / 257
        rows, columns = slice(0, 288), slice(0, 360)
        below = picture.fine(rows, columns) / 256
        over = below * (1 - alpha) + rgb * alpha
        wanted = below.copy()
        np.copyto(wanted[made.rows, made.columns], made.rgb / 256, where=made.where[..., None])
        assert np.abs(over - wanted).max() < 0.1  # code values: nothing of 10 bits is lost


def test_8_bit_sources_are_touched_as_before(deep_scene: Path, tmp_path: Path) -> None:
    info = replace(probe(deep_scene), pix_fmt="yuv420p")
    path = tmp_path / "eight.mp4"
    with FootageWriter(path, info, quality=8) as writer:
        for picture in read_pictures(deep_scene, 0, 4):
            writer.write_changed(picture)
    seen = _rendered(path, tmp_path / "out.mp4", tmp_path)
    assert {change.rgb.dtype for _, changes in seen for change in changes} == {np.dtype(np.uint8)}
    assert all(change.matte is None for _, changes in seen for change in changes)
    assert len(from_planes([np.zeros((4, 4), np.uint8)] * 3, "yuv444p").planes) == 3
