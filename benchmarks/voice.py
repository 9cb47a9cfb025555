"""How fast a line is spoken, and how well it is understood.

    python benchmarks/voice.py [--threads N] [--stock NAME]

Real-time factor (RTF) is seconds of work per second of sound: below 1 is faster than
speech. Targets on two processor cores: RTF <= 0.6 for a whole `say`. Every row is the
median of three runs after one to warm up.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LINES = (
    "We chose to go, and we went.",
    "I never said he stole the money; I only said that it was missing.",
    "My grandmother worked in that factory for thirty years before it closed down, and in all "
    "that time she never once complained about the noise, the hours, or the pay.",
)
RUNS = 3


def factor(work: Callable[[], float]) -> tuple[float, float, float]:
    """(seconds of sound, median RTF, least processor seconds per second) of `work`.

    `work` returns the seconds of sound it made. Processor time is what counts on a busy
    machine.
    """
    sound_s = work()
    times, busy = [], []
    for _ in range(RUNS):
        begin, cpu = time.perf_counter(), time.process_time()
        work()
        times.append(time.perf_counter() - begin)
        busy.append(time.process_time() - cpu)
    return sound_s, statistics.median(times) / sound_s, min(busy) / sound_s


def main() -> None:
    """Print one row a line: engine alone, whole `say` without and with listening."""
    from align.text import speakable
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.takes import say
    from voice.voice import load_voice, stock_voices

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--stock", default=stock_voices()[0])
    options = parser.parse_args()
    voice = load_voice(f"stock:{options.stock}")
    engine = KokoroSynthesizer(threads=options.threads)

    print(f"voice stock:{options.stock}, {engine.threads} threads")
    print(
        f"{'words':>5} {'sound s':>8} {'engine RTF':>11} {'engine CPU':>11} {'say RTF':>8} "
        f"{'say+scores':>11} {'WER':>5}"
    )
    for line in LINES:
        script = speakable(line)

        def speak(script: object = script) -> float:
            return float(engine.speak(script, voice).sound.duration_s)

        def plain(line: str = line) -> float:
            return float(say(line, voice, score=False)[0].sound.duration_s)

        def scored(line: str = line) -> float:
            return float(say(line, voice)[0].sound.duration_s)

        sound_s, alone, cpu = factor(speak)
        wer = say(line, voice)[0].scores.wer
        print(
            f"{len(script.words):5d} {sound_s:8.2f} {alone:11.2f} {cpu:11.2f} "
            f"{factor(plain)[1]:8.2f} "
            f"{factor(scored)[1]:11.2f} {wer:5.2f}"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
