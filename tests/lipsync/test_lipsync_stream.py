"""Streams: one frame in, one frame out, a few frames late, whatever comes."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from lipsync_film import R25, SIDE, film, talking_marks, track_of
from lipsync_heads import picture
from lipsync_talk import talk, voice

from align.timing import Span, Timing
from align.visemes import curves
from lipsync.crop import CropSpec, lip_shape
from lipsync.engines import BankSource
from lipsync.stream import MOST_DELAY, Finished, MouthModel, MouthStream
from lipsync.track import Absence, FaceTrack
from media.errors import MediaError

SPEC = CropSpec(128)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MouthModel:
    said = talk(9.0, seed=1)
    marks = talking_marks(said, 225)
    path = film(tmp_path_factory.mktemp("stream") / "archive.mp4", marks)
    source = BankSource(path, track_of(marks), said, voice(said))
    return MouthModel.learn([source], crop=SPEC)


@pytest.fixture(scope="module")
def scene() -> tuple[list[np.ndarray], FaceTrack]:
    """80 frames of a still mouth, frames 30 to 33 without a face."""
    marks = talking_marks(Timing((), (), 3.0), 80, sway=4.0)
    frames = [picture(m, SIDE, SIDE, seed=2) for m in marks]
    marks[30:34] = np.nan
    for i in range(30, 34):
        frames[i] = np.full_like(frames[i], 90)
    return frames, track_of(marks)


def run(stream: MouthStream, frames: list[np.ndarray]) -> list[Finished]:
    done = [d for f in frames if (d := stream.push(f)) is not None]
    return [*done, *stream.rest()]


def darkness(done: Finished) -> int:
    """Dark pixels about the mouth: how far it is open, as the picture shows it."""
    rgb = np.array(done.picture)
    if done.change is not None:
        c = done.change
        np.copyto(rgb[c.rows, c.columns], c.rgb, where=c.where[..., None])
    return int((rgb[115:165, 70:130].max(-1) < 75).sum())


@pytest.mark.parametrize("delay", [0, 3, MOST_DELAY])
def test_every_frame_comes_back_in_order_and_never_later_than_promised(
    model: MouthModel, scene: tuple[list[np.ndarray], FaceTrack], delay: int
) -> None:
    frames, track = scene
    stream = model.stream(R25, (SIDE, SIDE), delay=delay, track=track)
    line = talk(2.6, seed=8)
    stream.say(line, voice(line))
    seen: list[int] = []
    for i, frame in enumerate(frames[:40]):
        done = stream.push(frame)
        assert (done is None) == (i < delay)
        if done is not None:
            assert done.index == i - delay
            assert done.picture is frames[done.index]
            assert (done.change is None) == (30 <= done.index < 34)
            seen.append(done.index)
    seen += [d.index for d in stream.rest()]
    assert seen == list(range(40))


def test_the_mouth_says_the_line(
    model: MouthModel, scene: tuple[list[np.ndarray], FaceTrack]
) -> None:
    frames, track = scene
    stream = model.stream(R25, (SIDE, SIDE), track=track)
    line = talk(2.6, seed=8)
    stream.say(line, voice(line))
    done = run(stream, frames[:30])
    want = curves(line, R25, 30)[:, 0]
    assert np.corrcoef([darkness(d) for d in done], want)[0, 1] > 0.7


def test_words_may_come_piece_by_piece(
    model: MouthModel, scene: tuple[list[np.ndarray], FaceTrack]
) -> None:
    frames, track = scene
    stream = model.stream(R25, (SIDE, SIDE), delay=4, track=track)
    first = Timing((), (Span("AA", 0.1, 0.4),), 0.5)
    later = Timing((), (Span("M", 0.0, 0.12), Span("AA", 0.12, 0.5)), 0.6)
    stream.say(first, voice(first), 0.0)
    done: list[Finished] = []
    for i, frame in enumerate(frames[:30]):
        if i == 8:
            stream.say(later, voice(later), 0.61)
        if (d := stream.push(frame)) is not None:
            done.append(d)
    done += stream.rest()
    dark = np.array([darkness(d) for d in done])
    # Open in the first vowel, shut on the m between, open again, shut when all is said.
    shut, open_ = dark[16:18].min(), dark[4:9].max()
    assert shut < 0.4 * open_
    assert dark[19:27].max() > 0.6 * open_
    with pytest.raises(MediaError, match="let one line finish"):
        stream.say(later, voice(later), 0.7)


def test_lips_part_before_a_line_that_begins_with_its_first_word(
    model: MouthModel, scene: tuple[list[np.ndarray], FaceTrack]
) -> None:
    stream = model.stream(R25, (SIDE, SIDE), track=scene[1])
    line = Timing((), (Span("AA", 0.0, 0.4),), 0.5)
    stream.say(line, voice(line), 1.0)
    shapes, tight, _, _ = stream._line.around(np.arange(5, 40))
    assert not tight[15:20].any()
    rest = shapes[0, 0]
    assert shapes[19, 0] > rest + 0.002
    # What was said before comes to rest first.
    stream.say(line, voice(line), 1.6)
    again, _, _, _ = stream._line.around(np.arange(5, 40))
    np.testing.assert_array_equal(again[: 38 - 5], shapes[: 38 - 5])


def test_nothing_said_keeps_the_mouth_shut(
    model: MouthModel, scene: tuple[list[np.ndarray], FaceTrack]
) -> None:
    frames, track = scene
    stream = model.stream(R25, (SIDE, SIDE), delay=2, track=track)
    openings = [darkness(d) for d in run(stream, frames[:20])]
    assert (
        max(openings)
        <= darkness(
            Finished(0, picture(talking_marks(Timing((), (), 1.0), 1)[0], SIDE, SIDE), None)
        )
        + 40
    )


def test_opencv_frames_in_and_out(
    model: MouthModel, scene: tuple[list[np.ndarray], FaceTrack]
) -> None:
    frames, track = scene
    line = talk(2.6, seed=8)
    two = []
    for _ in range(2):
        stream = model.stream(R25, (SIDE, SIDE), delay=3, track=track)
        stream.say(line, voice(line))
        bgr = [stream.apply(np.ascontiguousarray(f[..., ::-1])) for f in frames[:36]]
        assert [b is None for b in bgr] == [True] * 3 + [False] * 33
        two.append([*(b for b in bgr if b is not None), *stream.finish()])
    assert len(two[0]) == 36
    for a, b in zip(*two, strict=True):  # the same input, the same bytes
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(two[0][31], frames[31][..., ::-1])  # no face: untouched
    changed = (two[0][12] != frames[12][..., ::-1]).any(-1)
    assert changed.any()
    assert not changed[: int(track.landmarks[12, 4, 1])].any()


@pytest.mark.parametrize(("delay", "kept"), [(6, [16, 17, 18, 19]), (2, [18, 19]), (0, [])])
def test_frames_that_wait_with_somebody_elses_face_keep_its_mouth(
    model: MouthModel,
    scene: tuple[list[np.ndarray], FaceTrack],
    monkeypatch: pytest.MonkeyPatch,
    delay: int,
    kept: list[int],
) -> None:
    frames, track = scene

    class Follower:
        """At frame 20 it turns out that the four before were somebody else's."""

        def __init__(self, *_: object) -> None:
            self._points = iter(track.landmarks)
            self._steps, self.mistaken = 0, 0

        def step(self, _: object, *, cut: bool) -> tuple[np.ndarray, Absence]:
            del cut
            self.mistaken = 4 if self._steps == 20 else 0
            self._steps += 1
            return next(self._points), Absence.PRESENT

        def close(self) -> None:
            pass

    monkeypatch.setattr("lipsync.follow.FaceFollower", Follower)
    stream = model.stream(R25, (SIDE, SIDE), delay=delay)
    line = talk(2.6, seed=8)
    stream.say(line, voice(line))
    done = run(stream, frames[:28])
    assert [d.index for d in done] == list(range(28))
    assert [d.index for d in done if d.change is None] == kept


def test_refusals(model: MouthModel) -> None:
    for delay in (-1, MOST_DELAY + 1):
        with pytest.raises(MediaError, match="0 to 8"):
            model.stream(R25, (SIDE, SIDE), delay=delay)
    stream = model.stream(R25, (SIDE, SIDE), track=track_of(np.full((1, 478, 3), np.nan)))
    with pytest.raises(MediaError, match="keep the size"):
        stream.push(np.zeros((10, 10, 3), np.uint8))


def test_a_preview_plays_from_its_first_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lipsync.faces
    from lipsync.preview import PreviewShot

    said = talk(6.0, seed=1)
    marks = talking_marks(said, 150)
    path = film(tmp_path / "scene.mp4", marks, sound=voice(said))
    monkeypatch.setattr(lipsync.faces, "track_faces", lambda *_a, **_k: track_of(marks))
    shot = PreviewShot.open(path, stretch=(40, 100))
    line = talk(2.0, seed=9)

    class Sink(io.BytesIO):
        seekable = lambda _self: False  # noqa: E731 (a pipe cannot go back)

    sink, sizes = Sink(), []
    count = shot.render(voice(line), line, sink, progress=lambda *_: sizes.append(sink.tell()))
    assert count == 60
    # Fragments of a few pictures: something has left long before the end.
    assert sizes[5] > 0
    assert sizes == sorted(sizes)
    (tmp_path / "got.mp4").write_bytes(sink.getvalue())
    with av.open(str(tmp_path / "got.mp4")) as container:
        pictures = list(container.decode(video=0))
    assert len(pictures) == 60
    assert pictures[-1].time - pictures[0].time == pytest.approx(59 / 25, abs=0.01)
    with av.open(str(tmp_path / "got.mp4")) as container:
        assert sum(f.samples for f in container.decode(audio=0)) > 2.2 * 48_000
    # A broken opening plays as far as it goes.
    (tmp_path / "part.mp4").write_bytes(sink.getvalue()[: sizes[30]])
    with av.open(str(tmp_path / "part.mp4")) as container:
        assert len(list(container.decode(video=0))) >= 25
    with pytest.raises(MediaError, match="in and out points"):
        PreviewShot.open(path, stretch=(140, 160))


def test_a_track_that_ends_early_passes_frames_through(
    model: MouthModel, scene: tuple[list[np.ndarray], FaceTrack]
) -> None:
    frames, track = scene
    short = replace(
        track,
        **{
            n: getattr(track, n)[:10]
            for n in ("landmarks", "reason", "shot", "pose", "scale", "times", "doubt")
        },
    )
    done = run(model.stream(R25, (SIDE, SIDE), track=short), frames[:14])
    assert [d.change is None for d in done] == [False] * 10 + [True] * 4
    assert np.isfinite(lip_shape(short.landmarks)).all()
