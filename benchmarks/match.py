"""How near a spoken line comes to the sound of a recording it is to sit in.

    python benchmarks/match.py [RECORDING...] [--line WAV] [--pictures FOLDER]
    python benchmarks/match.py --make-dry

Rows: one a recording. "spectrum" is the long-term spectrum distance (dB, third octaves, 100 Hz
to 10 kHz) before and after, with the share it fell by; level and noise are line minus recording.
"lufs" is measured independently (BS.1770). The first row splits a recording in two and compares
its halves: what the same voice in the same sound differs by. WER and DNSMOS say what the match
costs. Targets: spectrum falls by 60 %, level within 1 dB, noise within 2 dB.
`--make-dry` makes `voice/data/dry_speech.npz` anew.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from media.audio import Sound, read_sound, resample, write_wav
from media.errors import WildlineError
from media.loudness import integrated_lufs
from voice.match import compare, match_sound

TEXT = (
    "The harbour was empty when we came back, and nobody had waited for us. "
    "My grandmother worked in that factory for thirty years before it closed."
)
DRY_TEXTS = (
    "The harbour was empty when we came back, and nobody had waited.",
    "Why did you keep it? Stop. Put the box back where it was.",
    "Thirty-six people took the bus to Kettle Creek that Sunday.",
)
ROOT = Path(__file__).resolve().parents[1]


@cache
def say_line(name: str) -> Sound:
    """A line by a stock voice, clean and full-band."""
    from align.text import speakable
    from voice.engines import get_synthesizer
    from voice.voice import load_voice

    voice = load_voice(f"stock:{name}")
    return resample(get_synthesizer().speak(speakable(TEXT), voice).sound, 48_000)


def nearest_voice(reference: Sound) -> str:
    """The stock voice of the recording's pitch: a line is laid among the same person's."""
    from voice.delivery import measure_delivery
    from voice.voice import load_voice, stock_voices

    hz = measure_delivery(reference).f0_hz
    named = [(n, load_voice(f"stock:{n}").f0_median) for n in stock_voices()]
    known = [(n, f0) for n, f0 in named if f0 > 0 and not n.startswith("j")]
    return min(known, key=lambda item: abs(np.log(item[1] / hz)))[0]


def make_dry() -> None:
    """Envelopes of stock voices, high and low, in no room."""
    from align.text import speakable
    from voice.engines import get_synthesizer
    from voice.reverberation import envelopes
    from voice.voice import load_voice, stock_voices

    names = [n for n in stock_voices() if not n.startswith("j")]
    chosen = [names[round(k * (len(names) - 1) / 2)] for k in range(3)]
    said = [
        get_synthesizer().speak(speakable(text), load_voice(f"stock:{name}")).sound
        for name, text in zip(chosen, DRY_TEXTS, strict=True)
    ]
    level = [s.samples / np.sqrt(np.mean(s.samples**2)) * 0.1 for s in said]
    power = envelopes(Sound(np.concatenate(level), said[0].rate))
    target = ROOT / "voice" / "data" / "dry_speech.npz"
    np.savez_compressed(
        target, level_db=(10 * np.log10(np.maximum(power, 1e-14))).astype(np.float16)
    )
    print(f"{target.name}: {chosen}, {power.shape[1]} steps, {target.stat().st_size} bytes")


def recordings() -> list[Path]:
    """The presenter's archive, and real recordings where they are at hand."""
    shared = ROOT.parent / "shared" / "data"
    found = sorted((ROOT / "samples" / "archive").glob("*.flac"))
    extra = [shared / "speech" / "jfk" / "jfk.wav", *sorted((shared / "clips").glob("vrt_1.mp4"))]
    return [*found, *(p for p in extra if p.is_file())]


def halves(reference: Sound) -> str:
    """A recording's first half against its second: the ceiling."""
    middle = float(reference.duration_s) / 2
    try:
        found = compare(reference.cut(0, middle), reference.cut(middle, 2 * middle))
    except WildlineError:
        return "-"
    return f"{found.spectrum_db:.1f}/{abs(found.level_db):.1f}/{abs(found.noise_db):.1f}"


def row(line: Sound | None, path: Path, pictures: Path | None) -> None:
    """Match, measure, print."""
    from voice.acoustics import measure_acoustics
    from voice.scores import intelligibility, naturalness

    reference = read_sound(path)
    line = say_line(nearest_voice(reference)) if line is None else line
    facts = measure_acoustics(reference)
    begin = time.process_time()
    matched = match_sound(line, facts, seed=1)
    busy = (time.process_time() - begin) / float(line.duration_s)
    before, after = compare(line, facts), compare(matched, facts)
    fell = 100 * (1 - after.spectrum_db / before.spectrum_db)
    wer = intelligibility(matched, TEXT).wer
    room = facts.room
    shown = "dry" if room is None or room.is_dry else f"{room.rt60_s:.2f} s {room.direct_db:+.0f}"
    low, high = facts.bandwidth_hz
    print(
        f"{path.name[:26]:26} {low:4.0f}-{high:5.0f} {shown:>11} {halves(reference):>12} "
        f"{before.spectrum_db:6.1f} {after.spectrum_db:6.1f} {fell:4.0f} % {after.level_db:+6.2f} "
        f"{integrated_lufs(matched) - integrated_lufs(reference):+6.2f} {after.noise_db:+6.2f} "
        f"{wer:5.2f} {naturalness(matched):6.2f} {naturalness(reference):6.2f} {busy:5.2f}"
    )
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        write_wav(pictures / f"{path.stem}.wav", matched)
        draw(line, matched, resample(reference, 48_000), pictures / f"{path.stem}.png")


def draw(line: Sound, matched: Sound, reference: Sound, path: Path) -> None:
    """Spectrograms of the line, the matched line and the recording, one above the other."""
    import librosa
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(12, 10), sharey=True)
    for axis, (name, sound) in zip(
        axes, (("line", line), ("matched", matched), ("recording", reference)), strict=True
    ):
        power = np.abs(librosa.stft(sound.cut(0, 8).samples, n_fft=1024, hop_length=512)) ** 2
        level = 10 * np.log10(power + 1e-9)
        axis.imshow(level, origin="lower", aspect="auto", vmin=-60, vmax=25, extent=(0, 8, 0, 24))
        axis.set_ylim(0, 12)
        axis.set_title(name)
    figure.tight_layout()
    figure.savefig(path, dpi=70)
    plt.close(figure)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--line", type=Path, help="a line instead of the stock voice's")
    parser.add_argument("--pictures", type=Path, help="write spectrograms and WAVs here")
    parser.add_argument("--make-dry", action="store_true")
    options = parser.parse_args()
    if options.make_dry:
        make_dry()
        return
    line = read_sound(options.line, 48_000) if options.line else None
    print(
        f"{'recording':26} {'band Hz':>10} {'room':>11} {'halves':>12} {'before':>6} {'after':>6} "
        f"{'fell':>6} {'level':>6} {'lufs':>6} {'noise':>6} {'WER':>5} {'DNSMOS':>6} {'theirs':>6} "
        f"{'CPU/s':>5}"
    )
    for path in options.recordings or recordings():
        row(line, path, options.pictures)


if __name__ == "__main__":
    main()
