"""The streaming pipeline and the tracker, on footage that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from lipsync_own import TIMING, OwnMouth, grid_frames, write_footage
from synthetic import synthetic_frames, synthetic_info, tone

import align.models
import lipsync.resync
import lipsync.writing as pipeline
from lipsync.crop import lip_shape
from lipsync.engines import MouthPatch, Progress, RenderJob, get_renderer
from lipsync.faces import build_track, track_faces
from lipsync.resync import crop_spec_for, resync
from lipsync.track import Absence, FaceTrack
from media.audio import read_sound
from media.errors import ArchiveError, EngineMissingError, MediaError, NoFaceError, OutputError
from media.video import FootageInfo, FootageWriter, Frame, painted, probe, read_frames


@pytest.fixture(scope="module")
def coming_and_going(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 frames of nobody, 24 of a face, 7 of nobody, 14 of the face: 55 at 25 a second."""
    face = grid_frames(data_dir, 38)
    nobody = np.full_like(face[0], (40, 90, 60))
    pictures = [nobody] * 10 + face[:24] + [nobody] * 7 + face[24:]
    return write_footage(tmp_path_factory.mktemp("faces") / "in.mp4", pictures, tone(2.2))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_faceless_frames_are_recorded_and_the_face_is_found_again(
    coming_and_going: Path, cache: Path
) -> None:
    said: list[int] = []
    track = track_faces(coming_and_going, cache=cache, progress=lambda _w, n, _t: said.append(n))
    assert len(track) == 55
    truth = np.array([0] * 10 + [1] * 24 + [0] * 7 + [1] * 14, bool)
    np.testing.assert_array_equal(track.present, truth)
    assert (track.reason[~truth] == Absence.NO_FACE).all()
    assert np.isnan(track.landmarks[~truth]).all()
    assert np.isfinite(track.landmarks[truth]).all()
    assert (np.abs(track.pose[truth]) < 20).all()
    assert track.shot[9] != track.shot[10]
    assert said == list(range(1, 56))
    # The second time it comes from the cache, the same to the last bit.
    said.clear()
    again = track_faces(coming_and_going, cache=cache, progress=lambda _w, n, _t: said.append(n))
    assert not said
    np.testing.assert_array_equal(again.landmarks, track.landmarks)


def test_a_damaged_cache_is_made_again(coming_and_going: Path, cache: Path, tmp_path: Path) -> None:
    track = track_faces(coming_and_going, cache=cache)
    kept = next(cache.glob("track-*.npz"))
    copy = tmp_path / kept.name
    copy.write_bytes(kept.read_bytes()[:1000])
    again = track_faces(coming_and_going, cache=tmp_path)
    np.testing.assert_array_equal(again.landmarks, track.landmarks)
    assert FaceTrack.load(copy).sha256 == track.sha256


def test_a_small_face_in_a_large_frame_is_found_and_measured(data_dir: Path) -> None:
    face = grid_frames(data_dir, 6)
    reference = _tracked(face, 360, 288)
    wide = []
    for rgb in face:
        frame = np.full((1080, 1920, 3), (90, 100, 110), np.uint8)
        frame[700 : 700 + 288, 1300 : 1300 + 360] = rgb
        wide.append(frame)
    track = _tracked(wide, 1920, 1080)
    assert track.present.all()
    assert np.nanmean(track.scale) / 1080 < 0.15
    moved = track.landmarks[..., :2] - (1300, 700)
    assert np.abs(moved - reference.landmarks[..., :2]).mean() < 1.0
    opening = lip_shape(track.landmarks)[:, 0] - lip_shape(reference.landmarks)[:, 0]
    assert np.abs(opening).max() < 0.05


def test_the_person_asked_for_is_followed_not_the_larger_one(data_dir: Path) -> None:
    import cv2

    face = grid_frames(data_dir, 4)
    both = []
    for rgb in face:
        frame = np.full((400, 900, 3), 120, np.uint8)
        frame[:288, :360] = rgb
        large = cv2.resize(rgb, (450, 360))[:, ::-1]
        frame[:360, 450:] = large
        both.append(frame)
    largest, left = _tracked(both, 900, 400), _tracked(both, 900, 400, at=(0.2, 0.4))
    assert (largest.landmarks[:, 4, 0] > 450).all()
    assert (left.landmarks[:, 4, 0] < 360).all()


def _tracked(
    pictures: Sequence[np.ndarray], width: int, height: int, at: tuple[float, float] | None = None
) -> FaceTrack:
    frames = (Frame(i, Fraction(i, 25), rgb) for i, rgb in enumerate(pictures))
    return build_track(frames, synthetic_info("25").rate, (width, height), at=at)


def test_footage_without_a_face_is_refused_in_one_line(small_footage: Path, tmp_path: Path) -> None:
    with pytest.raises(NoFaceError, match="shows no face") as refusal:
        track_faces(small_footage, cache=tmp_path)
    assert "\n" not in str(refusal.value)


def test_every_frame_comes_out_and_faceless_ones_untouched(
    coming_and_going: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Frame] = []
    real = pipeline.changed_pictures

    def watched(*job: object) -> Iterator[pipeline.Changed]:
        for done in real(*job):  # type: ignore[arg-type]
            picture = done.picture
            seen.append(Frame(picture.index, picture.pts, painted(picture, done.changes)))
            yield done

    monkeypatch.setattr(pipeline, "changed_pictures", watched)
    out, own = tmp_path / "out.mp4", OwnMouth()
    report = resync(coming_and_going, tone(1.0), TIMING, out, engine=own, cache=cache)
    assert report.frames == 55 == probe(out).frames
    assert report.replaced == 38
    assert report.faceless == 17
    assert report.cut_s == 0
    assert report.filled_s == pytest.approx(1.2, abs=1e-6)
    assert own.asked == [*range(10, 34), *range(41, 55)]
    stretches = [(p.first, p.last, p.timecode, p.reason) for p in report.passed]
    assert stretches == [
        (0, 9, "10:00:00:00", "no face found"),
        (34, 40, "10:00:01:09", "no face found"),
    ]
    track = track_faces(coming_and_going, cache=cache)
    for before, after in zip(read_frames(coming_and_going), seen, strict=True):
        assert before.index == after.index
        different = (before.rgb != after.rgb).any(-1)
        assert different.any() == (after.index in own.asked)
        if different.any():
            nose, chin = track.landmarks[after.index][[4, 152], 1]
            rows = np.flatnonzero(different.any(1))
            assert nose <= rows.min()
            assert rows.max() <= chin + 2
    info = probe(out)
    assert str(info.start_timecode) == "10:00:00:00"
    assert (info.width, info.height, info.rate) == (360, 288, probe(coming_and_going).rate)
    assert read_sound(out).duration_s == pytest.approx(Fraction(55, 25), abs=0.03)


def test_sound_longer_than_the_picture_is_cut_and_said_so(
    coming_and_going: Path, cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mov"
    report = resync(coming_and_going, tone(5.0), TIMING, out, engine=OwnMouth(), cache=cache)
    assert report.cut_s == pytest.approx(2.8, abs=1e-6)
    assert report.filled_s == 0
    assert probe(out).frames == 55


def test_only_the_stretch_asked_for_is_touched_and_it_fades(
    coming_and_going: Path, cache: Path, tmp_path: Path
) -> None:
    own = OwnMouth()
    arguments = {"engine": own, "cache": cache, "stretch": (14, 30)}
    report = resync(coming_and_going, tone(1.0), TIMING, tmp_path / "o.mp4", **arguments)  # type: ignore[arg-type]
    assert own.asked == list(range(14, 30))
    assert report.frames == 55
    assert report.passed == ()
    for wrong in ((-1, 5), (5, 5), (10, 99)):
        arguments["stretch"] = wrong
        with pytest.raises(MediaError, match="in and out points"):
            resync(coming_and_going, tone(1.0), TIMING, tmp_path / "p.mp4", **arguments)  # type: ignore[arg-type]
    arguments["stretch"] = (0, 9)
    with pytest.raises(NoFaceError, match="that stretch"):
        resync(coming_and_going, tone(1.0), TIMING, tmp_path / "p.mp4", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "p.mp4").exists()


def test_archive_only_keeps_the_scene_itself_out_of_the_bank(
    coming_and_going: Path, small_footage: Path, data_dir: Path, cache: Path, tmp_path: Path
) -> None:
    other = write_footage(tmp_path / "archive.mp4", grid_frames(data_dir, 12))
    own = OwnMouth()
    report = resync(
        coming_and_going, tone(1.0), TIMING, tmp_path / "o.mp4", engine=own, cache=cache,
        archive=[other, small_footage], archive_only=True,
    )  # fmt: skip
    assert own.job is not None
    assert [s.path for s in own.job.sources] == [other]
    assert own.job.sources[0].timing is None  # no sound to align
    assert report.skipped == (small_footage.name,)
    with pytest.raises(ArchiveError, match="--archive"):
        resync(
            coming_and_going, tone(1.0), TIMING, tmp_path / "p.mp4", cache=cache, archive_only=True
        )
    with pytest.raises(ArchiveError, match="none of the 1"):
        resync(
            coming_and_going, tone(1.0), TIMING, tmp_path / "p.mp4", engine=own, cache=cache,
            archive=[small_footage], archive_only=True,
        )  # fmt: skip


def test_an_input_is_never_overwritten_and_a_failure_leaves_nothing(
    coming_and_going: Path, cache: Path, tmp_path: Path
) -> None:
    before = coming_and_going.read_bytes()
    with pytest.raises(OutputError, match="also an input"):
        resync(
            coming_and_going, tone(1.0), TIMING, coming_and_going, engine=OwnMouth(), cache=cache
        )
    assert coming_and_going.read_bytes() == before

    class Breaks(OwnMouth):
        def render(self, *_: object) -> list[MouthPatch]:
            raise MediaError("the engine broke; try another")

    with pytest.raises(MediaError, match="engine broke"):
        resync(
            coming_and_going, tone(1.0), TIMING, tmp_path / "o.mp4", engine=Breaks(), cache=cache
        )
    assert list(tmp_path.iterdir()) == []


def test_the_same_inputs_give_the_same_bytes(
    coming_and_going: Path, cache: Path, tmp_path: Path
) -> None:
    for name in ("a.mp4", "b.mp4"):
        resync(coming_and_going, tone(1.0), TIMING, tmp_path / name, engine=OwnMouth(), cache=cache)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_only_before_a_long_film_are_models_forgotten(
    coming_and_going: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[bool | str] = []
    monkeypatch.setattr(
        align.models, "forget_models", lambda *, recogniser=True: done.append(recogniser)
    )

    class Notes(OwnMouth):
        def prepare(self, job: RenderJob, progress: Progress | None = None) -> None:
            done.append("learnt")
            super().prepare(job, progress)

    def made(name: str) -> bytes:
        out = tmp_path / name
        resync(coming_and_going, tone(1.0), TIMING, out, engine=Notes(), cache=cache)
        return out.read_bytes()

    short = made("short.mp4")
    assert done == ["learnt"]
    done.clear()
    monkeypatch.setattr(lipsync.resync, "_LONG_FRAMES", 54)
    assert made("long.mp4") == short
    # The recogniser stays until the motion is learnt.
    assert done == [False, "learnt", True]


def test_close_ups_get_a_larger_crop() -> None:
    info: FootageInfo = synthetic_info("25")
    n = 3
    for tall, size in ((200, 256), (500, 384), (900, 512)):
        track = FaceTrack(
            info.rate, 10, 10, np.zeros((n, 478, 3), np.float32), np.zeros(n, np.uint8),
            np.zeros(n, np.int32), np.zeros((n, 3), np.float32),
            np.full(n, tall, np.float32), np.zeros(n),
        )  # fmt: skip
        assert crop_spec_for(track).size == size


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(EngineMissingError, match="mouthbank"):
        get_renderer("nonsense")


def test_tracking_reads_a_stream_and_needs_no_file() -> None:
    info = synthetic_info("25")
    track = build_track(synthetic_frames(5, info), info.rate, (info.width, info.height))
    assert len(track) == 5
    assert not track.present.any()
    np.testing.assert_allclose(track.times, np.arange(5) / 25)


def test_a_broken_opening_does_not_decide_who_is_followed(data_dir: Path) -> None:
    # The first twelve pictures of this clip are undecoded grey with a ghost of a face.
    track = track_faces(data_dir / "archive_grid_s1" / "sran9s.mpg")
    assert len(track) == 75
    assert track.present[13:].all()


def test_anamorphic_faces_are_seen_as_they_look_and_painted_as_they_are_stored(
    data_dir: Path, tmp_path: Path
) -> None:
    import cv2

    face = grid_frames(data_dir, 8)
    info = synthetic_info("25", 270, 288, sample_aspect=Fraction(4, 3))
    path = tmp_path / "squeezed.mp4"
    with FootageWriter(path, info, quality=4) as writer:
        for i, rgb in enumerate(face):
            small = cv2.resize(rgb, (270, 288), interpolation=cv2.INTER_AREA)
            writer.write(Frame(i, Fraction(i, 25), small))
    track, upright = track_faces(path, cache=tmp_path), _tracked(face, 360, 288)
    assert (track.width, track.height, track.aspect) == (360, 288, pytest.approx(4 / 3))
    assert np.abs(track.landmarks[..., :2] - upright.landmarks[..., :2]).mean() < 1.0
    assert np.abs(lip_shape(track.landmarks) - lip_shape(upright.landmarks))[:, :3].max() < 0.06
    again = FaceTrack.load(next(tmp_path.glob("track-*.npz")))
    assert again.aspect == track.aspect
    out, seen = tmp_path / "out.mov", []
    own = OwnMouth()
    real = pipeline._pasted

    def watched(work, paster, drawn, weights):  # type: ignore[no-untyped-def]
        for picture, changes in real(work, paster, drawn, weights):
            seen.append((picture.rgb.copy(), painted(picture, changes)))
            yield picture, changes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_pasted", watched)
        resync(path, tone(0.3), TIMING, out, engine=own, cache=tmp_path)
    assert probe(out).sample_aspect == Fraction(4, 3)
    assert probe(out).width == 270
    for i, (before, after) in enumerate(seen):
        rows, columns = np.nonzero((before != after).any(-1))
        mouth = upright.landmarks[i, [13, 14], :2].mean(0)
        assert abs(columns.mean() - mouth[0] * 0.75) < 6
        assert abs(rows.mean() - mouth[1]) < 12


def test_interlaced_footage_is_refused_with_the_remedy(data_dir: Path, tmp_path: Path) -> None:
    fields = grid_frames(data_dir, 40)
    rows = np.arange(fields[0].shape[0]) % 2 == 0
    pictures = []
    for i in range(20):
        both = np.roll(fields[2 * i], 6 * i, axis=1)
        both[rows] = np.roll(fields[2 * i + 1], 6 * i + 3, axis=1)[rows]
        pictures.append(both)
    path = write_footage(tmp_path / "fields.mp4", pictures)
    with pytest.raises(MediaError, match=r"interlaced.*bwdif"):
        resync(path, tone(0.3), TIMING, tmp_path / "o.mp4", engine=OwnMouth(), cache=tmp_path)
    assert not (tmp_path / "o.mp4").exists()
