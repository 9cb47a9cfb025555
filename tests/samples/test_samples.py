"""The sample material: what it promises, measured on the files themselves."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from align.formats import read_timing
from align.timing import Timing
from align.visemes import closures, silent_frames
from media.audio import read_sound
from media.time import FrameRate
from media.video import probe, read_frames

SAMPLES = Path(__file__).parents[2] / "samples"
CLIP = SAMPLES / "presenter.mp4"
RATE = Fraction(24000, 1001)
LIMIT_BYTES = 15_000_000


@pytest.fixture(scope="module")
def timing() -> Timing:
    return read_timing(SAMPLES / "presenter.json")


@pytest.fixture(scope="module")
def opening() -> NDArray[np.float64]:
    """Tracked inner-lip opening over mouth width for every picture, NaN where no face."""
    import mediapipe as mp

    mesh = mp.solutions.face_mesh.FaceMesh(
        static_image_mode=False, max_num_faces=1, refine_landmarks=True
    )
    found = []
    for frame in read_frames(CLIP):
        faces = mesh.process(np.ascontiguousarray(frame.rgb)).multi_face_landmarks
        if not faces:
            found.append(np.nan)
            continue
        p = np.array([(m.x * 1280, m.y * 720) for m in faces[0].landmark])
        found.append(np.linalg.norm(p[13] - p[14]) / np.linalg.norm(p[61] - p[291]))
    mesh.close()
    return np.array(found)


def test_clip_is_what_the_readme_says(timing: Timing) -> None:
    info = probe(CLIP)
    assert info.rate == FrameRate(RATE)
    assert (info.width, info.height) == (1280, 720)
    assert info.has_sound
    assert info.frames is not None
    assert 20 <= info.frames / RATE <= 31
    assert abs(float(info.frames / RATE) - timing.duration_s) < 0.1


def test_samples_stay_small() -> None:
    files = [p for p in SAMPLES.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert sum(p.stat().st_size for p in files) < LIMIT_BYTES


def test_every_viseme_is_spoken(timing: Timing) -> None:
    from align.visemes import SILENCE, VISEMES, viseme_of

    assert {viseme_of(p.label) for p in timing.phones} >= set(VISEMES) - {SILENCE}


def test_face_is_tracked_in_every_picture(opening: NDArray[np.float64]) -> None:
    assert np.isfinite(opening).all()


def test_lips_close_where_they_must(opening: NDArray[np.float64], timing: Timing) -> None:
    shut = closures(timing, FrameRate(RATE), len(opening))
    quiet = silent_frames(timing, FrameRate(RATE), len(opening))
    assert np.quantile(opening[shut], 0.95) < 0.05
    assert np.quantile(opening[quiet], 0.95) < 0.05


def test_lips_open_on_open_vowels(opening: NDArray[np.float64], timing: Timing) -> None:
    middles = [p.middle_s for p in timing.phones if p.label in ("AA", "AE")]
    at = [int(m * RATE) for m in middles]
    assert np.median(opening[at]) > 0.12


def test_tracked_opening_follows_the_driving_curve(
    opening: NDArray[np.float64], timing: Timing
) -> None:
    from samples.presenter.motion import Phone, mouth_curves

    phones = [Phone(p.label, p.start_s, p.end_s) for p in timing.phones]
    times = (np.arange(len(opening)) + 0.5) / float(RATE)
    curves = mouth_curves(phones, timing.duration_s, times)
    driving = (curves["jaw"] + 0.1 * curves["lower"]) * (1 - curves["seal"])
    assert np.corrcoef(driving, opening)[0, 1] > 0.8


def test_driving_curve_shuts_every_closure(timing: Timing) -> None:
    from samples.presenter.motion import Phone, mouth_curves

    count = int(timing.duration_s * RATE)
    phones = [Phone(p.label, p.start_s, p.end_s) for p in timing.phones]
    times = (np.arange(count) + 0.5) / float(RATE)
    seal = mouth_curves(phones, timing.duration_s, times)["seal"]
    assert seal[closures(timing, FrameRate(RATE), count)].min() > 0.85
    assert seal[silent_frames(timing, FrameRate(RATE), count)].min() > 0.85


def test_archive_recordings_have_transcripts_and_their_age() -> None:
    reels = sorted((SAMPLES / "archive").glob("*.flac"))
    assert len(reels) == 3
    lengths = []
    for reel in reels:
        sound = read_sound(reel)
        lengths.append(float(sound.duration_s))
        assert len(reel.with_suffix(".txt").read_text("utf-8").split()) > 30
        spectrum = np.abs(np.fft.rfft(sound.samples)) ** 2
        hz = np.fft.rfftfreq(len(sound), 1 / sound.rate)
        high = spectrum[hz > (4200 if "telephone" in reel.name else 9000)].sum()
        assert high < 1e-3 * spectrum.sum()
    assert all(12 <= length <= 27 for length in lengths)
    assert sum(lengths) >= 45


def test_consent_covers_the_demonstration() -> None:
    from studio.consent import load_consent

    record = load_consent(SAMPLES / "consent.toml")
    line = (SAMPLES / "script.txt").read_text("utf-8").strip()
    for use in ("voice-fit", "voice-say", "face-alter"):  # what the demonstration does
        refusal = record.refusal(
            use=use, person="Mara Voss", line=line, language="en", today=date(2027, 1, 1)
        )
        assert refusal is None


@pytest.mark.slow
def test_renderer_draws_a_face_that_is_found_and_repeats() -> None:
    import mediapipe as mp

    from samples.presenter.film import develop, grain
    from samples.presenter.geometry import Pose
    from samples.presenter.render import Studio

    studio = Studio(width=640, height=360, oversample=1)
    pose = Pose(shapes={"jawOpen": 0.3, "eyeBlinkLeft": 0.1}, turn=(5.0, -2.0, 1.0))
    first, second = (grain(develop(studio.render(pose)), 3) for _ in range(2))
    assert np.array_equal(first, second)
    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=True) as mesh:
        assert mesh.process(first).multi_face_landmarks


def test_seal_closes_any_mouth() -> None:
    from samples.presenter.geometry import Model, Pose

    model = Model()
    for shapes in ({}, {"jawOpen": 0.3}, {"jawOpen": 0.1, "mouthFunnel": 0.5}):
        points, _ = model.skin(Pose(shapes=shapes, seal=1.0))
        upper, lower = model.lip_gap(points)
        middle = slice(3, -3)
        assert np.nanmax(upper[middle] - lower[middle]) <= 0.05
