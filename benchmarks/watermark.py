"""How the watermark holds, beside the same measures of unmarked speech.

    python benchmarks/watermark.py FOLDER_OF_SPEECH [--files 12]

Confidence (0..1; found from 0.6 on, in pieces under 2.5 s from 0.9 on) of clean and of marked
speech after what happens to files, and what the mark costs: change of level, and the residual
below the speech, in dB.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import soundfile

from media.audio import Sound, read_sound, resample
from studio.watermark import detect, watermark

RATE = 48_000


def coded(sound: Sound, codec: str, container: str, bit_rate: int) -> Sound:
    """Through a lossy codec and back."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=RATE, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(sound.samples[None], format="fltp", layout="mono")
        frame.sample_rate = RATE
        fitting = av.AudioResampler(stream.format, "mono", RATE, frame_size=stream.frame_size)
        for part in [*fitting.resample(frame), *fitting.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as source:
        parts = [f.to_ndarray().mean(0) for f in source.decode(audio=0)]
        rate = source.streams.audio[0].rate
    return Sound(np.concatenate(parts), rate)


def noisy(sound: Sound, snr_db: float) -> Sound:
    """With white noise at a ratio to the speech."""
    level = float(np.sqrt(np.mean(sound.samples**2))) * 10 ** (-snr_db / 20)
    noise = np.random.default_rng(0).normal(0, level, len(sound)).astype(np.float32)
    return Sound(sound.samples + noise, sound.rate)


TREATMENTS: dict[str, Callable[[Sound], Sound]] = {
    "as written": lambda s: s,
    "AAC 192 kb/s": lambda s: coded(s, "aac", "mp4", 192_000),
    "AAC 64 kb/s": lambda s: coded(s, "aac", "mp4", 64_000),
    "Opus 48 kb/s": lambda s: coded(s, "libopus", "ogg", 48_000),
    "16 kHz": lambda s: resample(s, 16_000),
    "1 s cut": lambda s: s.cut(1, 2),
    "noise 20 dB": lambda s: noisy(s, 20),
    "noise 10 dB": lambda s: noisy(s, 10),
}


def decibels(samples: np.ndarray) -> float:
    """Mean power in dB."""
    return float(10 * np.log10(np.mean(np.square(samples, dtype=np.float64))))


def main() -> None:
    """Print one row a treatment: lowest, median and highest confidence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=12)
    chosen = parser.parse_args()
    paths = sorted(p for p in chosen.folder.rglob("*.wav") if soundfile.info(p).duration > 3)
    paths = paths[:: max(1, len(paths) // chosen.files)][: chosen.files]
    speech = [resample(read_sound(p).cut(0, 6), RATE) for p in paths]
    marked = [watermark(s) for s in speech]
    print(f"{len(speech)} recordings of speech\n")
    print(f"{'':14} {'clean (lowest median highest)':>32} {'marked':>22}")
    for name, treat in TREATMENTS.items():
        clean, found = (
            np.array([detect(treat(s)).confidence for s in group]) for group in (speech, marked)
        )
        print(f"{name:14} {_three(clean):>32} {_three(found):>22}")
    pairs = list(zip(speech, marked, strict=True))
    level = np.array([decibels(m.samples) - decibels(s.samples) for s, m in pairs])
    depth = np.array([decibels(s.samples) - decibels(m.samples - s.samples) for s, m in pairs])
    print(
        f"\nchange of level {np.abs(level).max():.3f} dB at most; mark {depth.min():.1f} dB below"
    )


def _three(values: np.ndarray) -> str:
    return f"{values.min():.2f}  {np.median(values):.2f}  {values.max():.2f}"


if __name__ == "__main__":
    main()
