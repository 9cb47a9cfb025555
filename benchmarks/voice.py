"""How fast a line is spoken, and how well it is understood.

    python benchmarks/voice.py [--threads N] [--stock NAME]
    python benchmarks/voice.py --stages             # where the time of a take goes
    python benchmarks/voice.py --long 3 [--unheard] # minutes of text into one file: peak memory

Real-time factor (RTF) is seconds of work per second of sound: below 1 is faster than
speech. Targets on two processor cores: RTF <= 0.35 for a whole `say`. Every row is the
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


PARAGRAPH = (
    "The harbour was empty when we came back, and nobody had waited for us on the quay. My "
    "grandmother worked in that factory for thirty years before it closed, and in all that time "
    "she never once complained about the noise, the hours, or the pay. She went home every "
    "evening by the river. Why did you keep it? Put the box back where it was, and close the door."
)


def stages(name: str) -> None:
    """Processor seconds per second of sound of each thing that a scored take costs."""
    from align.text import speakable
    from media.audio import resample
    from studio.watermark import watermark
    from voice.delivery import measure_delivery
    from voice.engines import get_synthesizer
    from voice.scores import intelligibility, naturalness
    from voice.similarity import ge2e, judge
    from voice.voice import load_voice

    voice, script = load_voice(f"stock:{name}"), speakable(LINES[2])
    sound = get_synthesizer().speak(script, voice).sound
    length = float(sound.duration_s)
    rows: dict[str, Callable[[], object]] = {
        "pronunciation": lambda: speakable(LINES[2]),
        "engine": lambda: get_synthesizer().speak(script, voice),
        "words (Whisper)": lambda: intelligibility(sound, LINES[2]),
        "DNSMOS": lambda: naturalness(sound),
        "judge": lambda: judge().embed(sound),
        "GE2E": lambda: ge2e().embed(sound),
        "delivery": lambda: measure_delivery(sound),
        "to 48 kHz": lambda: resample(sound, 48_000),
        "watermark": lambda: watermark(resample(sound, 48_000)),
    }
    print(f"{'stage':16} {'CPU s/s':>8} {'RTF':>6}   ({length:.2f} s of sound)")
    for stage, work in rows.items():

        def timed(work: Callable[[], object] = work) -> float:
            work()
            return length

        _, wall, cpu = factor(timed)
        print(f"{stage:16} {cpu:8.3f} {wall:6.3f}")


def long(minutes: float, name: str, *, heard: bool) -> None:
    """Speak so many minutes into one broadcast WAV; prints time and memory on the way."""
    import tempfile

    from media.audio import resample
    from media.bwf import broadcast_writer
    from voice.takes import say_pieces
    from voice.voice import load_voice

    text = "\n\n".join([PARAGRAPH] * max(1, round(minutes * 60 / 19)))
    begin, next_s = time.perf_counter(), 30.0
    with (
        tempfile.TemporaryDirectory() as folder,
        broadcast_writer(Path(folder) / "long.wav") as writer,
    ):
        for take in say_pieces(text, load_voice(f"stock:{name}"), score=heard):
            writer.write(resample(take.sound, 48_000).samples)
            done_s = writer.samples_written / 48_000
            if done_s >= next_s:
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                print(f"{done_s:6.0f} s spoken, peak memory {peak:.0f} MB", flush=True)
                next_s += 30
    took, busy = time.perf_counter() - begin, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{done_s:.0f} s in {took:.0f} s, CPU {busy:.0f} s, peak memory {peak:.0f} MB")


def main() -> None:
    """Print one row a line: engine alone, whole `say` without and with listening."""
    from align.text import speakable
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.takes import say
    from voice.voice import load_voice, stock_voices

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--stock", default=stock_voices()[0])
    parser.add_argument("--stages", action="store_true")
    parser.add_argument("--long", type=float, metavar="MINUTES")
    parser.add_argument("--unheard", action="store_true", help="with --long: score nothing")
    options = parser.parse_args()
    if options.stages:
        stages(options.stock)
        return
    if options.long:
        long(options.long, options.stock, heard=not options.unheard)
        return
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
