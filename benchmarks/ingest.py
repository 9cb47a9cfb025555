"""How fast is a box of tapes made into a dataset, and does memory stay flat?

    python benchmarks/ingest.py SPEECH... [--minutes 5 60] [--noise 8] [--keep FOLDER]

The recordings in SPEECH (files or folders) are joined with pauses, over and over, each round at
another pace and level so that no clip is a copy, until a tape is long enough. Half of the rounds
get mains hum, clicks and tape noise; with `--noise` everything has pink noise so many dB below the
speech, which sends every clip through the denoiser. The tape goes through the installed `wildline
archive` in a process of its own, repairs on auto: decoding, measuring, cutting, mending,
recognition, voices and the page are all in the time. Targets on two processor cores: 8 times real
time, 2 GB.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from media.audio import Sound, read_sound, resample  # noqa: E402
from voice.ingest import read_dataset  # noqa: E402
from voice.ingest.tapes import recordings_in  # noqa: E402

RATE = 44_100
FAULTY_S = 120.0  # a stretch of clean tape, then one of bad tape


def tape(speech: list[Path], seconds: float, noise_db: float | None) -> Iterator[np.ndarray]:
    """Pieces of a tape at 44.1 kHz, float32."""
    rng = np.random.default_rng(0)
    at = turn = 0
    level = 0.0
    while at < seconds * RATE:
        path = speech[turn % len(speech)]
        pace = 1 + 0.02 * ((turn // len(speech)) % 5) * (-1) ** (turn // len(speech))
        sound = read_sound(path)
        part = resample(Sound(sound.samples, round(sound.rate * pace)), RATE).samples
        part = np.pad(part, (0, int(rng.uniform(0.5, 1.5) * RATE)))
        part = part * np.float32(rng.uniform(0.5, 1.0))
        part = part + 2e-4 * rng.standard_normal(len(part)).astype(np.float32)
        if (at / RATE) % (2 * FAULTY_S) > FAULTY_S:
            part = worn(part, at, rng)
        if noise_db is not None:
            level = level or float(np.sqrt(np.mean(sound.samples**2))) * 10 ** (-noise_db / 20)
            part = part + pink(len(part), level, rng)
        yield np.clip(part, -1, 1)
        at += len(part)
        turn += 1


def pink(count: int, level: float, rng: np.random.Generator) -> np.ndarray:
    """Noise with the same power in every octave, float32 [count]; `level` is its RMS."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    drawn = np.fft.irfft(spectrum, count)
    return np.asarray(level * drawn / np.sqrt(np.mean(drawn**2)), dtype=np.float32)


def worn(part: np.ndarray, at: int, rng: np.random.Generator) -> np.ndarray:
    """With 50 Hz hum and harmonics, 40 clicks a minute, and hiss 20 dB below the speech."""
    clock = (at + np.arange(len(part))) / RATE
    hum = sum(np.sin(2 * np.pi * 50 * k * clock) / k for k in (1, 2, 3, 5))
    level = float(np.sqrt(np.mean(part**2)))
    bad = part + 0.004 * hum + 0.1 * level * rng.standard_normal(len(part))
    for _ in range(rng.poisson(40 / 60 * len(part) / RATE)):
        where, width = int(rng.integers(0, len(part) - 12)), int(rng.integers(2, 8))
        bad[where : where + width] += rng.uniform(0.2, 0.6) * np.hanning(width + 2)[1:-1]
    return np.asarray(bad, dtype=np.float32)


def run(source: Path, out: Path) -> tuple[float, float, float]:
    """(wall seconds, processor seconds, peak megabytes) of `wildline archive`."""
    command = [sys.executable, "-m", "studio.cli", "archive", str(source), "-o", str(out)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ})
    wall = time.monotonic() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return wall, busy, used.ru_maxrss / 1024


def main() -> None:
    """Print a line for each length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("speech", nargs="+", type=Path)
    parser.add_argument("--minutes", nargs="+", type=float, default=[5.0, 60.0])
    parser.add_argument("--noise", type=float, help="pink noise, dB below the speech, everywhere")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    speech = list({path.stem: path for path in recordings_in(options.speech)}.values())
    print("min   | wall s | CPU s | x real time | peak MB | clips | min used")
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.keep or Path(scratch)
            source, out = folder / f"tape-{minutes:g}.wav", folder / f"data-{minutes:g}"
            with soundfile.SoundFile(source, "w", RATE, 1, "PCM_16") as stream:
                for part in tape(speech, 60 * minutes, options.noise):
                    stream.write(part)
            length = soundfile.info(source).duration
            wall, busy, peak = run(source, out)
            made = read_dataset(out)
            speed = f"{wall:6.0f} | {busy:5.0f} | {length / wall:11.1f} | {peak:7.0f}"
            print(f"{length / 60:5.1f} | {speed} | {len(made.rows):5d} | {made.speech_s / 60:6.1f}")


if __name__ == "__main__":
    main()
