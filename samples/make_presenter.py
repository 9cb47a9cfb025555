"""Make the sample material: a fictional presenter who speaks, and old recordings of her.

    python -m samples.make_presenter                # everything, about ten minutes on 2 cores
    python -m samples.make_presenter --only sound   # scene timing and the archive
    python -m samples.make_presenter --only stills  # a few frames as PNG, to look at

Nothing here shows or imitates a person who exists; see samples/README.md.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from align.formats import read_timing, write_timing
from align.timing import Timing
from media.audio import Sound, read_sound, write_wav
from media.colour import ColourTags
from media.time import FrameRate
from media.video import FootageInfo, FootageWriter, Frame
from samples.presenter.film import grain
from samples.presenter.geometry import Pose
from samples.presenter.motion import RATE, Phone, perform
from samples.presenter.text import ARCHIVE, LINE, SCENE

if TYPE_CHECKING:
    from samples.presenter.render import Studio

HERE = Path(__file__).parent
VOICE = "stock:mara"
QUALITY = 22
LIGHT_STEP = 3


def make_scene_sound(out: Path, voice_name: str, work: Path) -> None:
    """Scene sound (work/scene.wav) and its exact timing (presenter.json)."""
    from samples.presenter.sound import at_level, say
    from voice.voice import load_voice

    sound, timing = say(SCENE, load_voice(voice_name), pause=0.28, lead=0.5, tail=0.7, speed=1.04)
    work.mkdir(parents=True, exist_ok=True)
    write_wav(work / "scene.wav", at_level(sound, -20.0))
    write_timing(timing, out / "presenter.json")
    (out / "script.txt").write_text(LINE + "\n", "utf-8")


def make_archive(out: Path, voice_name: str) -> None:
    """The old recordings and what is said in them."""
    import soundfile

    from samples.presenter.sound import AGES, grow_old, say
    from voice.voice import load_voice

    folder = out / "archive"
    folder.mkdir(parents=True, exist_ok=True)
    voice = load_voice(voice_name)
    for number, (name, sentences) in enumerate(ARCHIVE.items()):
        sound, _ = say(sentences, voice, pause=0.35, lead=0.35, tail=0.4, speed=1.0)
        old = grow_old(sound, AGES[name], seed=50 + number)
        soundfile.write(folder / f"{name}.flac", old.samples, old.rate, subtype="PCM_16")
        (folder / f"{name}.txt").write_text("\n".join(sentences) + "\n", "utf-8")


def poses_of(timing: Timing, sound: Sound) -> list[Pose]:
    """The performance, one pose per picture."""
    phones = [Phone(p.label, p.start_s, p.end_s) for p in timing.phones]
    return perform(phones, sound.samples, sound.rate)


class KeyedLight:
    """Light computed at every `LIGHT_STEP`th picture and blended between."""

    def __init__(self, studio: Studio, poses: list[Pose]) -> None:
        self._studio, self._poses = studio, poses
        self._kept: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def _key(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if index not in self._kept:
            self._kept = {k: v for k, v in self._kept.items() if k >= index - LIGHT_STEP}
            self._kept[index] = self._studio.light(self._poses[min(index, len(self._poses) - 1)])
        return self._kept[index]

    def at(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Irradiance and lamps for picture `index`."""
        before = index - index % LIGHT_STEP
        a = self._key(before)
        if before == index:
            return a
        b, t = self._key(before + LIGHT_STEP), np.float32((index - before) / LIGHT_STEP)
        return a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])


def _render_share(share: tuple[list[Pose], range, int, Path]) -> None:
    """Render some pictures into a folder of raw frames (one process)."""
    import cv2

    from samples.presenter.film import develop
    from samples.presenter.render import Studio

    poses, indices, oversample, folder = share
    cv2.setNumThreads(1)
    studio = Studio(oversample=oversample)
    lights = KeyedLight(studio, poses)
    for index in indices:
        target = folder / f"{index:05d}.npy"
        if target.exists():
            continue
        picture = develop(studio.render(poses[index], lights.at(index)))
        part = folder / f"{index:05d}.part.npy"
        np.save(part, picture)
        part.replace(target)


def render_all(poses: list[Pose], folder: Path, oversample: int, processes: int) -> None:
    """Every picture as a .npy in `folder`; pictures already there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    # Whole stretches, so that neighbours share their keyed light.
    edges = np.linspace(0, len(poses), processes + 1).astype(int)
    shares = [
        (poses, range(a, b), oversample, folder) for a, b in itertools.pairwise(edges.tolist())
    ]
    # Small matrices in parallel processes: threads below them only get in each other's way.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(_render_share, shares)


def _pictures(folder: Path, count: int) -> Iterator[Frame]:
    for index in range(count):
        rgb: NDArray[np.uint8] = np.load(folder / f"{index:05d}.npy")
        yield Frame(index, index / RATE, grain(rgb, index))


def encode(folder: Path, count: int, sound: Sound, out: Path, quality: int) -> None:
    """Pictures and sound into one MP4 (x264, 24000/1001 frames a second, BT.709)."""
    first = np.load(folder / "00000.npy")
    like = FootageInfo(
        path=out,
        rate=FrameRate(RATE),
        width=first.shape[1],
        height=first.shape[0],
        frames=count,
        duration_s=count / RATE,
        colour=ColourTags(primaries=1, transfer=1, matrix=1, full_range=False),
    )
    with FootageWriter(out, like, sound=sound, quality=quality, preset="medium") as writer:
        for frame in _pictures(folder, count):
            writer.write(frame)


def make_stills(poses: list[Pose], folder: Path, count: int, oversample: int) -> None:
    """A few pictures as PNG."""
    import cv2

    from samples.presenter.film import develop
    from samples.presenter.render import Studio

    studio = Studio(oversample=oversample)
    for index in np.linspace(4, len(poses) - 5, count).astype(int):
        picture = develop(studio.render(poses[index]))
        cv2.imwrite(str(folder / f"still_{index:05d}.png"), picture[:, :, ::-1])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--work", type=Path, default=HERE.parent / "build" / "presenter")
    parser.add_argument("--voice", default=VOICE)
    parser.add_argument("--only", choices=("sound", "picture", "stills"))
    parser.add_argument("--oversample", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quality", type=int, default=QUALITY)
    parser.add_argument("--stills", type=int, default=6)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.only in (None, "sound"):
        make_scene_sound(args.out, args.voice, args.work)
        make_archive(args.out, args.voice)
    if args.only == "sound":
        return
    timing = read_timing(args.out / "presenter.json")
    sound = read_sound(args.work / "scene.wav")
    poses = poses_of(timing, sound)
    if args.only == "stills":
        make_stills(poses, args.work, args.stills, args.oversample)
        return
    frames = args.work / f"frames{args.oversample}"
    render_all(poses, frames, args.oversample, args.processes)
    encode(frames, len(poses), sound, args.out / "presenter.mp4", args.quality)
    seconds = Fraction(len(poses)) / RATE
    print(f"{args.out / 'presenter.mp4'}: {len(poses)} pictures, {float(seconds):.2f} s")


if __name__ == "__main__":
    main()
