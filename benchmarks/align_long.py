"""Long and imperfect recordings: how well, how fast, and in how much memory.

    python benchmarks/align_long.py --minutes 20

A recording is laid together from synthesised sentences, so that the time of every word is known
(two voices in turn, pauses of 0.3 to 1.4 s, silence at both ends), written to a file and aligned
from that file with its transcript. Then again with one word in fifty left out of the transcript
and one in fifty added to it, with music under the speech, and without any transcript. Printed:
word errors, what was noted and whether rightly, real-time factor, peak memory.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import soundfile

if __name__ == "__main__":  # this folder has an `align` of its own
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from align.text import speakable
from align.timing import Span, Timing
from align.transcription import align_file
from media.audio import Sound

RATE = 24_000
SEED = 7
EVERY = 50
STRANGERS_TEXT = "however helicopter seventeen suddenly beautiful winter policeman elephant"
STRANGERS = STRANGERS_TEXT.split()
TEXT = """
Printing, in the only sense with which we are at present concerned, differs from most arts.
The committee will meet again on Thursday afternoon to discuss the new budget.
My grandmother worked in that factory for thirty years before it closed down.
Would you please tell me where I can find the nearest hospital?
In 1963 the river rose higher than anyone in the village could remember.
She put the photographs back into the drawer and never spoke of them again.
We had been waiting on the platform for almost an hour when the train came.
The director asked for another take, because the light had changed.
Nobody believed him until the letter arrived from the ministry.
There were seven boats in the harbor, and only one of them came home.
He painted the kitchen blue, the hall green, and the bedroom a very pale yellow.
If you listen carefully, you can hear the bells from the other side of the valley.
Our neighbors kept chickens, two goats, and an old horse called Major.
The orchestra rehearsed the second movement three times before lunch.
I would not have recognized her without the scar above her left eye.
They measured the distance between the pillars and wrote it in a small notebook.
After the war, my father bought a bicycle shop near the station.
The children threw stones into the pond and counted the rings.
Most of the film was shot in a single room with a borrowed camera.
You can still see the marks of the bullets on the wall of the bank.
It rained so hard that the streets were empty before five o'clock.
The museum opens at nine, but the archive is closed until Monday.
Her brother played the piano badly and the violin even worse.
A thin layer of ice covered the windows on the north side of the house.
"""


@dataclass(frozen=True)
class Line:
    """A spoken sentence and when its words are said."""

    text: str
    sound: Sound
    words: tuple[Span, ...]


def lines() -> list[Line]:
    """Every sentence, in two voices in turn."""
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.voice import load_voice, stock_voices

    voices = [load_voice(f"stock:{stock_voices()[i]}") for i in (0, 3)]
    engine = KokoroSynthesizer()
    found = []
    for number, text in enumerate(TEXT.strip().splitlines()):
        said = engine.speak(speakable(text), voices[number % 2])
        found.append(Line(text, said.sound, said.timing.words))
    return found


def programme(spoken: list[Line], minutes: float) -> Iterator[tuple[Line | None, np.ndarray]]:
    """Sentences in changing order with pauses between them, about `minutes` long."""
    rng = random.Random(SEED)
    noise = np.random.default_rng(SEED)
    left = minutes * 60.0

    def silence(seconds: float) -> np.ndarray:
        return noise.normal(0, 2e-4, round(seconds * RATE)).astype(np.float32)

    yield None, silence(4.0)
    while left > 0:
        for line in rng.sample(spoken, len(spoken)):
            yield line, line.sound.samples
            pause = rng.uniform(0.3, 1.4)
            yield None, silence(pause)
            left -= float(line.sound.duration_s) + pause
            if left <= 0:
                break
    yield None, silence(6.0)


def music(start: int, count: int) -> np.ndarray:
    """Broken chords with overtones, about 12 dB below the speech."""
    time_s = (start + np.arange(count)) / RATE
    out = np.zeros(count)
    for step, notes in enumerate(((220, 277, 330), (196, 247, 294), (175, 220, 262))):
        gate = ((time_s // 1.5).astype(int) % 3) == step
        beat = np.exp(-3 * (time_s % 0.5))
        for note in notes:
            out += gate * beat * sum(np.sin(2 * np.pi * note * k * time_s) / k for k in (1, 2, 3))
    return (0.02 * out).astype(np.float32)


def lay_out(spoken: list[Line], minutes: float, path: Path, *, tune: bool) -> list[Span]:
    """Write the recording; the words of it with their true times."""
    truth: list[Span] = []
    at = 0
    with soundfile.SoundFile(str(path), "w", RATE, 1, subtype="PCM_16") as file:
        for line, samples in programme(spoken, minutes):
            if line is not None:
                truth += [
                    replace(w, start_s=w.start_s + at / RATE, end_s=w.end_s + at / RATE)
                    for w in line.words
                ]
            file.write(samples + music(at, len(samples)) if tune else samples)
            at += len(samples)
    return truth


def tampered(truth: list[Span]) -> tuple[str, set[int], list[str]]:
    """A transcript without every fiftieth word and with a stranger after every fiftieth other.

    Also which words are left out, and the strangers.
    """
    rng = random.Random(SEED)
    out = {i for i in range(EVERY // 2, len(truth) - 5, EVERY) if len(truth[i].label) > 3}
    words, strangers = [], []
    for index, word in enumerate(truth):
        if index not in out:
            words.append(word.label)
        if index % EVERY == 10:
            strangers.append(rng.choice(STRANGERS))
            words.append(strangers[-1])
    return " ".join(words), out, strangers


def errors_ms(truth: list[Span], found: Timing) -> tuple[np.ndarray, int]:
    """Distances of word starts and ends over the words of both, and words not found."""
    one = [w.label.lower().strip(".,?!") for w in truth]
    other = [w.label.lower().strip(".,?!") for w in found.words]
    off: list[float] = []
    for a, b, size in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
        for k in range(size):
            off += [
                abs(truth[a + k].start_s - found.words[b + k].start_s),
                abs(truth[a + k].end_s - found.words[b + k].end_s),
            ]
    return 1000 * np.array(off or [np.nan]), len(truth) - len(off) // 2


def timed(path: Path, text: str | None, engine: str | None) -> tuple[Timing, float, float]:
    """The timing, processor seconds and seconds it took."""
    started, clock = time.process_time(), time.perf_counter()
    timing = align_file(path, text, engine=engine)
    return timing, time.process_time() - started, time.perf_counter() - clock


def report(
    name: str, truth: list[Span], result: tuple[Timing, float, float], minutes: float
) -> None:
    """One row of figures."""
    timing, cpu, wall = result
    off, lost = errors_ms(truth, timing)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    within = " ".join(f"{np.mean(off <= limit):.3f}" for limit in (20, 50, 100))
    print(
        f"{name:28} {len(truth):6} {lost:5} {np.nanmean(off):7.1f} {np.nanmedian(off):7.1f} "
        f"{np.nanmax(off):8.0f}  {within}  {cpu / 60 / minutes:6.3f} {wall / 60 / minutes:6.3f} "
        f"{rss:7.0f}  {len(timing.notes):4}",
        flush=True,
    )


def judge_notes(timing: Timing, truth: list[Span], out: set[int], strangers: list[str]) -> None:
    """How many of the tampered places are noted, and how many other places."""
    added = [n for n in timing.notes if n.label.startswith("not in the text")]
    unsaid = [n for n in timing.notes if n.label.startswith("not heard")]
    right = sum(
        any(n.start_s - 0.2 < truth[i].middle_s < n.end_s + 0.2 for n in added) for i in out
    )
    said = " ".join(n.label for n in unsaid).split("'")
    gone = sum(any(s in part.split() for part in said) for s in strangers)
    kept = sum(w.label in STRANGERS for w in timing.words) - sum(
        w.label in STRANGERS for w in truth
    )
    print(
        f"  left out of the transcript: {len(out)}, noted {right}, "
        f"notes of this kind {len(added)}\n"
        f"  added to the transcript: {len(strangers)}, of them kept as words {max(kept, 0)}, "
        f"noted {gone}, notes of this kind {len(unsaid)}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--engine", default=None)
    parser.add_argument("--rows", default="right,tampered,music,none")
    options = parser.parse_args()
    spoken = lines()
    rows = options.rows.split(",")
    print(
        "recording                     words  lost    mean  median      max  <=20  <=50  <=100"
        "  cpu RTF   RTF  peak MB notes"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        truth = lay_out(spoken, options.minutes, path, tune=False)
        text = " ".join(w.label for w in truth)
        if "right" in rows:
            right = timed(path, text, options.engine)
            report("right transcript", truth, right, options.minutes)
        if "tampered" in rows:
            wrong, out, strangers = tampered(truth)
            result = timed(path, wrong, options.engine)
            kept = [w for i, w in enumerate(truth) if i not in out]
            report("words missing and added", kept, result, options.minutes)
            judge_notes(result[0], truth, out, strangers)
        if "none" in rows:
            none = timed(path, None, options.engine)
            report("no transcript", truth, none, options.minutes)
        if "music" in rows:
            truth = lay_out(spoken, options.minutes, path, tune=True)
            tune = timed(path, text, options.engine)
            report("music under the speech", truth, tune, options.minutes)


if __name__ == "__main__":
    main()
