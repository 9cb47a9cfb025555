"""What recordings go through on their way: rooms, noise, narrow bands, codecs.

Every function keeps time: sample 0 stays where it was (codecs are put back by their delay).
The benchmark wears its sounds with these too; training draws `worn` at random.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, lfilter, sosfilt, sosfiltfilt

RATE = 16_000


def with_noise(samples: np.ndarray, decibels: float, noise: np.ndarray) -> np.ndarray:
    """`noise` (as long as `samples`) added at a signal-to-noise ratio of `decibels`."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    own = float(np.mean(np.square(noise, dtype=np.float64))) + 1e-20
    gain = np.sqrt(power / own / 10 ** (decibels / 10))
    return (samples + gain * noise).astype(np.float32)


def coloured_noise(count: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls by `slope` (0 white, 1 pink, 2 brown) over frequency."""
    spectrum = np.fft.rfft(rng.normal(0, 1, count))
    shape = np.maximum(np.arange(len(spectrum)), 20.0) ** (-slope / 2)
    return np.fft.irfft(spectrum * shape, count).astype(np.float32)


def room(seconds: float, direct_db: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """Impulse response: the direct sound at sample 0, then noise that falls by 60 dB in
    `seconds` (Polack's model), its energy `direct_db` below the direct sound's.
    """
    count = int(seconds * rate)
    tail = rng.normal(0, 1, count) * 10 ** (-3 * np.arange(count) / count)
    tail[: int(0.003 * rate)] = 0.0
    tail *= np.sqrt(10 ** (-direct_db / 10) / np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def in_room(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`samples` as heard through `response`, as long as before."""
    return fftconvolve(samples, response)[: len(samples)].astype(np.float32)


def telephone(samples: np.ndarray, rate: int) -> np.ndarray:
    """300-3400 Hz."""
    band = butter(4, (300, 3400), "bandpass", fs=rate, output="sos")
    return sosfiltfilt(band, samples).astype(np.float32)


def tilted(samples: np.ndarray, amount: float) -> np.ndarray:
    """Treble raised (amount > 0) or lowered (< 0) by a one-pole shelf; |amount| < 0.9."""
    return lfilter([1.0, -amount], [1.0], samples).astype(np.float32)


def coded(samples: np.ndarray, rate: int, codec: str, bits: int) -> np.ndarray:
    """Through "mp3" or "opus" at `bits` per second, the codec's delay taken out."""
    import av

    name, layout = {"mp3": ("libmp3lame", "mp3"), "opus": ("libopus", "ogg")}[codec]
    stream_rate = 48_000 if codec == "opus" else rate
    held = io.BytesIO()
    with av.open(held, "w", format=layout) as container:
        stream = container.add_stream(name, rate=stream_rate, layout="mono")
        stream.bit_rate = bits
        resampler = av.AudioResampler(stream.codec_context.format or "s16p", "mono", stream_rate)
        frame = av.AudioFrame.from_ndarray(
            np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16)[None], "s16", "mono"
        )
        frame.sample_rate = rate
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    held.seek(0)
    out: list[np.ndarray] = []
    with av.open(held) as container:
        back = av.AudioResampler("flt", "mono", rate)
        for decoded in container.decode(audio=0):
            out += [f.to_ndarray()[0] for f in back.resample(decoded)]
        out += [f.to_ndarray()[0] for f in back.resample(None)]
    return _in_step(np.concatenate(out), samples)


def _in_step(late: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """`late` moved to where it fits `samples` best (the peak of the cross-correlation)."""
    size = 1 << (len(late) + len(samples)).bit_length()
    spectrum = np.fft.rfft(late, size) * np.conj(np.fft.rfft(samples, size))
    peak = int(np.argmax(np.fft.irfft(spectrum, size)))
    delay = peak if peak < size // 2 else peak - size
    moved = late[delay:] if delay >= 0 else np.pad(late, (-delay, 0))
    return np.pad(moved, (0, max(0, len(samples) - len(moved))))[: len(samples)].astype(np.float32)


@dataclass(frozen=True)
class Draw:
    """How often each kind of wear is drawn."""

    noise: float = 0.5
    room: float = 0.4
    telephone: float = 0.2
    low_pass: float = 0.1
    tilt: float = 0.3
    clip: float = 0.1
    codec: float = 0.15


def worn(
    samples: np.ndarray, others: np.ndarray, rng: np.random.Generator, draw: Draw | None = None
) -> np.ndarray:
    """`samples` through a random chain; `others` (as long) is speech for babble."""
    odds = draw or Draw()
    out = samples
    if rng.random() < odds.tilt:
        out = tilted(out, rng.uniform(-0.7, 0.7))
    if rng.random() < odds.room:
        response = room(rng.uniform(0.15, 0.75), rng.uniform(-3, 10), RATE, rng)
        out = in_room(out, response)
    if rng.random() < odds.noise:
        noise = coloured_noise(len(out), rng.choice([0.0, 0.0, 0.5, 1.0, 2.0]), rng)
        if rng.random() < 0.15:
            noise = others
        out = with_noise(out, rng.uniform(5, 30), noise)
    if rng.random() < odds.telephone:
        out = telephone(out, RATE)
    elif rng.random() < odds.low_pass:
        edge = rng.uniform(2500, 7000)
        out = sosfilt(butter(4, edge, fs=RATE, output="sos"), out).astype(np.float32)
    if rng.random() < odds.clip:
        limit = np.percentile(np.abs(out), rng.uniform(97, 99.8)) + 1e-9
        out = np.clip(out, -limit, limit)
    if rng.random() < odds.codec:
        codec = "mp3" if rng.random() < 0.7 else "opus"
        peak = float(np.abs(out).max()) + 1e-9
        bits = int(rng.choice([16_000, 24_000, 32_000, 48_000]))
        out = coded(0.8 / peak * out, RATE, codec, bits)
    return out


def changed_pace(samples: np.ndarray, factor: float) -> np.ndarray:
    """Played `factor` times as fast, pitch and all."""
    count = int(len(samples) / factor)
    return np.interp(np.arange(count) * factor, np.arange(len(samples)), samples).astype(np.float32)
