"""How well align places words and phones, printed beside stock PocketSphinx.

    python benchmarks/align.py --data PATH        # PATH holds archive_grid_s1/ and speech/

Sets: GRID word times (machine-made by an older aligner: a sanity check); "sounding", the same
without first starts and last ends that lie in silence; the hand-labelled TextGrids of the praatio
project; and lines synthesised here in five voices with their durations known. Each clean, in
noise at 10 dB, over a telephone, in a room that rings for 0.6 s, and through mp3 at 32 kbit/s.
Errors are of boundaries: mean and median in ms, the share within 10/20/25/50 ms, files lost
(those that only the last resort could place), processor seconds per second of sound, and the mean
error's ratios to stock PocketSphinx on the same sounds and to the same engine's on clean ones.

The learned aligner (nnet) was trained on none of these speakers, voices or sentences.
"""

# Imports follow the mending of sys.path: this file is called like the package it measures.

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from align.engines import get_aligner
from align.engines.exact import timing_from_durations
from align.formats import read_timing
from align.refine import HOP_S, loudness, speech_level
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
    """Errors of one engine on one set, in ms; `seconds` of processor, `speech` of sound."""

    errors: dict[str, list[float]] = field(default_factory=lambda: {"words": [], "phones": []})
    lost: int = 0
    files: int = 0
    seconds: float = 0.0
    speech: float = 0.0

    def mean(self, tier: str) -> float:
        """Mean absolute error in ms."""
        return float(np.abs(self.errors[tier]).mean())


Engine = Callable[[Sound, Script], Timing | None]


# ----------------------------------------------------------------------------------- sets


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


def grid(data: Path, every: int) -> Iterator[Case]:
    """GRID clips and their word times, one in `every`."""
    for path in sorted((data / "archive_grid_s1").glob("*.mpg"))[::every]:
        rows = [r.split() for r in path.with_suffix(".align").read_text().splitlines()]
        known = [(int(a) / 25000, int(b) / 25000, w) for a, b, w in rows if w not in ("sil", "sp")]
        script = speakable(" ".join(w for _, _, w in known))
        yield Case(read_sound(path, 16000), script, [x for k in known for x in k[:2]], [])


def sounding(case: Case) -> Case:
    """The same without the first start and the last end, where they lie 80 ms off any sound.

    GRID's aligner often began a clip's first word in the silence before it.
    """
    levels = loudness(case.sound)
    loud = levels > speech_level(levels)
    words = list(case.words)
    begin, end = round(words[0] / HOP_S), round(words[-1] / HOP_S)
    near = round(0.08 / HOP_S)
    if not loud[begin : begin + near].any():
        words[0] = np.nan
    if not loud[max(0, end - near) : end].any():
        words[-1] = np.nan
    return Case(case.sound, case.script, words, case.phones)


def hand_labelled(data: Path) -> Iterator[Case]:
    """Two short sentences, labelled by hand."""
    folder = data / "speech" / "praatio"
    grids = {"mary": ("mary", "mary"), "bobby": ("bobby_words", "bobby_phones")}
    for name, (words, phones) in grids.items():
        known = read_timing(folder / f"{words}.TextGrid")
        sounds = read_timing(folder / f"{phones}.TextGrid").phones
        script = speakable(" ".join(w.label.lower() for w in known.words))
        yield Case(read_sound(folder / f"{name}.wav"), script, edges(known.words), edges(sounds))


def synthesised(keep: Path | None) -> Iterator[Case]:
    """Known durations in five voices; kept in the folder `keep` if there is one."""
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.voice import load_voice, stock_voices

    engine = KokoroSynthesizer()
    names = stock_voices()
    for voice in (names[round(i * (len(names) - 1) / 4)] for i in range(5)):
        for number, text in enumerate(SENTENCES):
            script = speakable(text)
            kept = keep / f"{voice}-{number}.npz" if keep else None
            if kept is not None and kept.exists():
                with np.load(kept) as stored:
                    samples, durations = stored["samples"], stored["durations"]
            else:
                said = engine.speak(script, load_voice(f"stock:{voice}"))
                samples, durations = said.sound.samples, said.durations
                if kept is not None:
                    np.savez(kept, samples=samples, durations=durations)
            # Without the sound: boundaries sharpened by our own refinement would be no judge
            # of it. They stay on the 25 ms grid, which costs every engine about 7 ms.
            known = timing_from_durations(script, durations.tolist())
            yield Case(Sound(samples, 24000), script, inner(known.words), inner(known.phones))


# ---------------------------------------------------------------------------------- wears


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


def reverberant(sound: Sound) -> Sound:
    """A room that falls by 60 dB in 0.6 s, as loud as the direct sound (Polack's model)."""
    from scipy.signal import fftconvolve

    count = round(0.6 * sound.rate)
    tail = np.random.default_rng(0).normal(0, 1, count) * 10 ** (-3 * np.arange(count) / count)
    tail[: round(0.003 * sound.rate)] = 0
    tail /= np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    heard = fftconvolve(sound.samples, tail)[: len(sound)]
    return Sound(heard.astype(np.float32) / max(1.0, float(np.abs(heard).max())), sound.rate)


def mp3(sound: Sound) -> Sound:
    """Through mp3 at 32 kbit/s and back, the codec's delay taken out."""
    import av

    held = io.BytesIO()
    with av.open(held, "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=sound.rate, layout="mono")
        stream.bit_rate = 32_000
        pcm = np.round(np.clip(sound.samples, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, "s16p", "mono")
        frame.sample_rate = sound.rate
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    held.seek(0)
    with av.open(held) as container:
        back = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    size = 1 << (len(back) + len(sound)).bit_length()
    product = np.fft.rfft(back, size) * np.conj(np.fft.rfft(sound.samples, size))
    lag = int(np.argmax(np.fft.irfft(product, size)[: size // 2]))
    return Sound(back[lag:].astype(np.float32), sound.rate).fitted(len(sound))


WEARS: dict[str, Callable[[Sound], Sound]] = {
    "clean": clean,
    "noise 10 dB": noisy,
    "telephone": telephone,
    "reverb 0.6 s": reverberant,
    "mp3 32k": mp3,
}


# -------------------------------------------------------------------------------- engines


def stock(sound: Sound, script: Script) -> Timing | None:
    """PocketSphinx as its documentation uses it: own dictionary, own settings, two passes."""
    import pocketsphinx

    pcm = (np.clip(resample(sound, 16000).samples, -1, 1) * 32767).astype("<i2").tobytes()
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


def ours(name: str, sound: Sound, script: Script) -> Timing | None:
    """One of our engines; what only the last resort could place counts as lost."""
    found = get_aligner(name).align(sound, script)
    return found if found.engine != "spread" else None


def measure(engine: Engine, cases: list[Case]) -> Score:
    """Run one engine over `cases`."""
    score = Score(files=len(cases))
    engine(cases[0].sound, cases[0].script)  # loading is not aligning
    for case in cases:
        began = time.process_time()
        found = engine(case.sound, case.script)
        score.seconds += time.process_time() - began
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


# ---------------------------------------------------------------------------------- table


class Table:
    """Rows measured so far, kept in `keep`/rows.json when there is such a folder."""

    def __init__(self, keep: Path | None) -> None:
        self.path = keep / "rows.json" if keep else None
        self.rows: dict[str, Score] = {}
        if self.path is not None and self.path.exists():
            stored = json.loads(self.path.read_text("utf-8"))
            self.rows = {key: Score(**row) for key, row in stored.items()}

    def score(self, name: str, wear: str, engine: str, cases: Callable[[], list[Case]]) -> Score:
        """One row: as kept, or measured now."""
        key = f"{name}|{wear}|{engine}"
        if key not in self.rows:
            run = stock if engine == "stock" else partial(ours, engine)
            self.rows[key] = measure(run, cases())
            if self.path is not None:
                rows = {k: asdict(v) for k, v in self.rows.items()}
                self.path.write_text(json.dumps(rows), encoding="utf-8")
        return self.rows[key]

    def show(self, name: str, wear: str, engine: str) -> None:
        """Print one row per tier."""
        score = self.rows[f"{name}|{wear}|{engine}"]
        for tier, found in score.errors.items():
            if not found:
                continue
            off = np.abs(found)
            within = " ".join(f"{100 * np.mean(off <= w):4.0f}" for w in (10, 20, 25, 50))
            ratios = "".join(
                f" {score.mean(tier) / other.mean(tier):6.2f}"
                if other is not None and other.errors[tier]
                else "      -"
                for other in (
                    self.rows.get(f"{name}|{wear}|stock"),
                    self.rows.get(f"{name}|clean|{engine}"),
                )
            )
            print(
                f"{name:8} {wear:12} {engine:8} {tier:6} {len(off):5} {off.mean():6.1f} "
                f"{np.median(off):6.1f} {np.median(found):+6.1f}  {within} "
                f"{score.lost:>4}/{score.files:<4}{score.seconds / score.speech:6.3f}{ratios}",
                flush=True,
            )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("WILDLINE_DATA"))
    parser.add_argument("--sets", nargs="+", default=["grid", "sounding", "hand", "synth"])
    parser.add_argument("--wears", nargs="+", choices=WEARS, default=list(WEARS))
    parser.add_argument("--engines", nargs="+", default=["stock", "sphinx", "nnet", "combined"])
    parser.add_argument("--every", type=int, default=1, help="of GRID's worn clips, one in this")
    parser.add_argument("--keep", type=Path, help="folder; rows in it are not measured again")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    options = arguments()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    table = Table(options.keep)
    print(
        f"{'set':8} {'wear':12} {'engine':8} {'tier':6} {'n':>5} {'mean':>6} {'median':>6} "
        f"{'bias':>6}  % within 10/20/25/50 {'lost':>8} {'RTF':>6} {'/stock':>6} {'/clean':>6}"
    )
    for name in options.sets:
        if name == "synth" or options.data is not None:
            for wear in options.wears:
                cases = partial(worn_cases, name, wear, options)
                for engine in options.engines:
                    table.score(name, wear, engine, cases)
                    table.show(name, wear, engine)


@cache
def clean_cases(name: str, data: Path | None, keep: Path | None, every: int) -> list[Case]:
    """A set as it is."""
    if name == "synth":
        return list(synthesised(keep))
    if name == "hand":
        return list(hand_labelled(data))
    cases = grid(data, every)
    return list(cases) if name == "grid" else [sounding(case) for case in cases]


def worn_cases(name: str, wear: str, options: argparse.Namespace) -> list[Case]:
    """A set through one wear; of GRID's worn clips one in `--every`."""
    every = 1 if wear == "clean" else options.every
    cases = clean_cases(name, options.data, options.keep, every)
    return [Case(WEARS[wear](c.sound), c.script, c.words, c.phones) for c in cases]


if __name__ == "__main__":
    main()
