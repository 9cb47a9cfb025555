"""How well align places words and phones, printed beside stock PocketSphinx.

    python benchmarks/align.py --data PATH        # PATH holds archive_grid_s1/ and speech/

Rows: GRID word times (machine-made by an older aligner: a sanity check), the hand-labelled
TextGrids of the praatio project, and lines synthesised here with their durations known, clean
and worn (noise at 10 dB, telephone band). Errors are of boundaries: mean and median in ms,
the share within 10/20/25/50 ms, files lost, and the real-time factor.
"""

# Imports follow the mending of sys.path: this file is called like the package it measures.

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from align.engines.exact import timing_from_durations
from align.engines.sphinx import SphinxAligner
from align.formats import read_timing
from align.text import Script, speakable
from align.timing import Span, Timing
from media.audio import Sound, read_sound, resample

SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "These days a chicken leg is a rare dish.",
    "The box was thrown beside the parked truck.",
    "Four hours of steady work faced us.",
    "The boy was there when the sun rose.",
    "A rod is used to catch pink salmon.",
    "In 1963 the source of the huge river was the clear spring.",
)


@dataclass(frozen=True)
class Case:
    """A sound, what is said in it, and the known word and phone edges in seconds."""

    sound: Sound
    script: Script
    words: list[float]
    phones: list[float]


@dataclass
class Score:
    """Errors of one engine on one set."""

    errors: dict[str, list[float]] = field(default_factory=lambda: {"words": [], "phones": []})
    lost: int = 0
    seconds: float = 0.0
    speech: float = 0.0


def edges(spans: tuple[Span, ...]) -> list[float]:
    """Starts and ends, alternating."""
    return [x for s in spans for x in (s.start_s, s.end_s)]


def inner(spans: tuple[Span, ...]) -> list[float]:
    """The same, with NaN at the ends of phrases, which durations alone do not know."""
    known = edges(spans)
    for i in range(len(spans)):
        if i == 0 or spans[i].start_s - spans[i - 1].end_s > 1e-6:
            known[2 * i] = np.nan
        if i + 1 == len(spans) or spans[i + 1].start_s - spans[i].end_s > 1e-6:
            known[2 * i + 1] = np.nan
    return known


def grid(data: Path) -> Iterator[Case]:
    """GRID clips and their word times."""
    for path in sorted((data / "archive_grid_s1").glob("*.mpg")):
        rows = [r.split() for r in path.with_suffix(".align").read_text().splitlines()]
        known = [(int(a) / 25000, int(b) / 25000, w) for a, b, w in rows if w not in ("sil", "sp")]
        script = speakable(" ".join(w for _, _, w in known))
        yield Case(read_sound(path, 16000), script, [x for k in known for x in k[:2]], [])


def hand_labelled(data: Path) -> Iterator[Case]:
    """Two short sentences, labelled by hand."""
    folder = data / "speech" / "praatio"
    grids = {"mary": ("mary", "mary"), "bobby": ("bobby_words", "bobby_phones")}
    for name, (words, phones) in grids.items():
        known = read_timing(folder / f"{words}.TextGrid")
        sounds = read_timing(folder / f"{phones}.TextGrid").phones
        script = speakable(" ".join(w.label.lower() for w in known.words))
        yield Case(read_sound(folder / f"{name}.wav"), script, edges(known.words), edges(sounds))


def synthesised(wear: Callable[[Sound], Sound]) -> Iterator[Case]:
    """Known durations in five voices, the sound worn by `wear`."""
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.voice import load_voice, stock_voices

    engine = KokoroSynthesizer()
    names = stock_voices()
    chosen = [names[round(i * (len(names) - 1) / 4)] for i in range(5)]
    for name in chosen:
        voice = load_voice(f"stock:{name}")
        for text in SENTENCES:
            script = speakable(text)
            said = engine.speak(script, voice)
            # Without the sound: boundaries sharpened by our own refinement would be no judge
            # of it. They stay on the 25 ms grid, which costs every engine about 7 ms.
            known = timing_from_durations(script, said.durations.tolist())
            yield Case(wear(said.sound), script, inner(known.words), inner(known.phones))


def clean(sound: Sound) -> Sound:
    """As it is."""
    return sound


def noisy(sound: Sound) -> Sound:
    """White noise at 10 dB."""
    power = float(np.mean(sound.samples.astype(np.float64) ** 2))
    noise = np.random.default_rng(0).normal(0, np.sqrt(power / 10), len(sound))
    return Sound(sound.samples + noise.astype(np.float32), sound.rate)


def telephone(sound: Sound) -> Sound:
    """300-3400 Hz at 8 kHz."""
    from scipy.signal import butter, sosfiltfilt

    narrow = resample(sound, 8000)
    band = butter(4, (300, 3400), "bandpass", fs=8000, output="sos")
    return Sound(sosfiltfilt(band, narrow.samples).astype(np.float32), 8000)


def stock(sound: Sound, script: Script) -> Timing | None:
    """PocketSphinx as its documentation uses it: own dictionary, own settings, two passes."""
    import pocketsphinx

    pcm = (resample(sound, 16000).samples * 32767).astype("<i2").tobytes()
    decoder = pocketsphinx.Decoder(samprate=16000, lm=None, loglevel="FATAL")
    try:
        decoder.set_align_text(" ".join(w.spoken.lower() for w in script.words))
        for again in (False, True):
            if again:
                decoder.set_alignment()
            decoder.start_utt()
            decoder.process_raw(pcm, full_utt=True)
            decoder.end_utt()
        # Entries are valid only while the iteration stands on them.
        found = [
            (w.start, w.duration, [(p.name, p.start, p.duration) for p in w])
            for w in decoder.get_alignment()
            if not w.name.startswith("<")
        ]
    except (RuntimeError, ValueError):
        return None
    if len(found) != len(script.words):
        return None

    def span(label: str, first: int, count: int) -> Span:
        return Span(label, first / 100, (first + count) / 100)

    words = tuple(
        span("w", found[a][0], found[b - 1][0] + found[b - 1][1] - found[a][0])
        for a, b in script.written_words()
    )
    phones = tuple(span(*p) for _, _, inside in found for p in inside if p[2])
    return Timing(words, phones, float(sound.duration_s))


def ours(sound: Sound, script: Script) -> Timing | None:
    """Ours; what only the last resort could place counts as lost."""
    found = SphinxAligner().align(sound, script)
    return found if found.engine != "spread" else None


def measure(engine: Callable[[Sound, Script], Timing | None], cases: list[Case]) -> Score:
    """Run one engine over `cases`."""
    score = Score()
    engine(cases[0].sound, cases[0].script)  # loading is not aligning
    for case in cases:
        began = time.perf_counter()
        found = engine(case.sound, case.script)
        score.seconds += time.perf_counter() - began
        score.speech += float(case.sound.duration_s)
        if found is None:
            score.lost += 1
            continue
        pairs = zip(edges(found.words), case.words, strict=True)
        score.errors["words"] += [1000 * (a - b) for a, b in pairs if b == b]
        at = np.array(edges(found.phones))
        # Pronunciations differ, so each known phone edge is held against the nearest one.
        score.errors["phones"] += [
            1000 * float(at[np.abs(at - b).argmin()] - b) for b in case.phones if b == b
        ]
    return score


def report(name: str, cases: list[Case]) -> None:
    """Print both engines, both tiers."""
    for label, engine in (("stock pocketsphinx", stock), ("ours", ours)):
        score = measure(engine, cases)
        lost = f"{score.lost}/{len(cases)}"
        for tier, found in score.errors.items():
            if not found:
                continue
            off = np.abs(found)
            within = " ".join(f"{100 * np.mean(off <= w):4.0f}" for w in (10, 20, 25, 50))
            print(
                f"{name:34} {label:18} {tier:6} {len(off):5} {off.mean():6.1f} "
                f"{np.median(off):6.1f} {np.median(found):+6.1f}   {within}   {lost:>7} "
                f"{score.seconds / score.speech:6.3f}"
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("WILDLINE_DATA"))
    parser.add_argument("--only", choices=("recorded", "clean", "noise", "telephone"))
    options = parser.parse_args()
    data, only = options.data, options.only
    print(
        f"{'set':34} {'engine':18} {'tier':6} {'n':>5} {'mean':>6} {'median':>6} {'bias':>6}   "
        f"% within 10/20/25/50 ms  {'lost':>6} {'RTF':>6}"
    )
    if data is not None and only in (None, "recorded"):
        report("GRID words (machine labels)", list(grid(Path(data))))
        report("praatio (hand labels)", list(hand_labelled(Path(data))))
    for name, wear in (("clean", clean), ("noise 10 dB", noisy), ("telephone", telephone)):
        if only is None or name.startswith(only):
            report(f"synthesised, {name} (durations)", list(synthesised(wear)))


if __name__ == "__main__":
    main()
