"""How near a fitted voice comes to the person, with the person's own recordings as ceiling.

    python benchmarks/fit.py RECORDINGS... --test TEST... [--packs FOLDER] [-o VOICE]
    python benchmarks/fit.py --data lj|p225|p226            # from ../shared/data/speech
    python benchmarks/fit.py ... --wear telephone|noise --seconds 20

RECORDINGS are fitted; TEST are recordings of the same person that the fit never sees, and
whose words are then spoken (and other sentences, where there are fewer than six). Every row is
measured on those words: `judge` and `ge2e` are cosines to the person's centroids (the judge
takes part in no loss), WER by Whisper tiny, DNSMOS overall. `--wear` fits to the same
recordings through a telephone (300-3400 Hz at 8 kHz) or
with pink noise 10 dB below the speech, and still compares with the clean person; `--seconds`
fits to the first so many seconds. `--packs` adds a folder of Kokoro packs (*.bin) to the stock
voices among which the best is sought, so that the row to beat is the best there is.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from media.audio import Sound, read_sound
from voice._fit_clean import without_noise
from voice._fit_person import Measured, Person, measure
from voice._sidecar import Transcripts
from voice.archive import Clip, _read_file, read_archive
from voice.engines import get_synthesizer
from voice.fit import Effort, fit_archive
from voice.scores import intelligibility, naturalness
from voice.similarity import cosine, ge2e, judge
from voice.voice import Voice, load_voice, stock_voices

SPEECH = Path(__file__).resolve().parents[2] / "shared" / "data" / "speech"
SENTENCES = 6
# Where the test recordings have fewer; a fit chooses by none of these.
FURTHER = (
    "The old ferry leaves at seven and comes back after dark.",
    "She kept every letter in a box under the stairs.",
    "Most of what they built that summer is still standing.",
    "I would not have believed it if I had not been there.",
    "Nobody could say afterwards who had opened the gate.",
    "In those years we walked to school across the frozen lake.",
)


@dataclass(frozen=True)
class Task:
    """What to fit and what to test on."""

    name: str
    recordings: list[Path]
    test: list[Path]


def real_task(name: str) -> Task:
    """One of the real people: the first two minutes of LJ, 60 s of the others."""
    folder, trained = {
        "lj": (SPEECH / "lj" / "wavs", 18),
        "lj20": (SPEECH / "lj" / "wavs", 3),
        "p225": (SPEECH / "vctk" / "p225", 8),
        "p226": (SPEECH / "vctk" / "p226", 8),
    }[name]
    files = sorted(folder.glob("*.wav"))
    if not files:
        raise SystemExit(f"{folder} is not on this machine; name recordings instead")
    return Task(name, files[:trained], files[18 if name == "lj20" else trained :])


def worn(files: Sequence[Path], folder: Path, wear: str, seconds: float | None) -> list[Path]:
    """The recordings as an old tape has them, in `folder`, with what is written beside them."""
    from scipy.signal import butter, sosfiltfilt

    from media.audio import resample, write_wav

    rng = np.random.default_rng(0)
    made: list[Path] = []
    left = np.inf if seconds is None else seconds
    for file in files:
        if left < 1:
            break
        sound = read_sound(file)
        samples = sound.samples[: int(min(left, 1e4) * sound.rate)].astype(np.float64)
        left -= len(samples) / sound.rate
        if wear == "telephone":
            band = butter(8, (300, 3400), "bandpass", fs=sound.rate, output="sos")
            narrow = Sound(sosfiltfilt(band, samples).astype(np.float32), sound.rate)
            sound = resample(narrow, 8000)
            samples = sound.samples.astype(np.float64)
        if wear == "noise":
            shape = np.fft.rfft(rng.standard_normal(len(samples)))
            noise = np.fft.irfft(shape / np.sqrt(np.arange(len(shape)) + 1.0), len(samples))
            level = np.sqrt((samples**2).mean() / (noise**2).mean()) * 10 ** (-10 / 20)
            samples = samples + level * noise
        target = folder / f"{file.stem}.wav"
        write_wav(target, Sound(samples.astype(np.float32), sound.rate))
        made.append(target)
    return made


def test_clips(files: Sequence[Path]) -> list[Clip]:
    """The clips of the test recordings, however little they hold."""
    tell = Transcripts()
    clips = [clip for file in files for clip in _read_file(file, "en", None, tell)[0]]
    return list(without_noise(clips))  # as the fit hears the others


def packs(folder: Path | None) -> list[Voice]:
    """A folder of raw float32 [510, 256] packs as voices."""
    if folder is None:
        return []
    rows = ((f, np.fromfile(f, np.float32).reshape(-1, 256)) for f in sorted(folder.glob("*.bin")))
    return [Voice(f.stem, row[60:120].mean(0)) for f, row in rows]


def ceiling(clips: Sequence[Clip], person: Person) -> Measured:
    """The person's own test recordings, marked as ours are."""
    rows = [
        (
            cosine(judge().embed(c.sound), person.judge),
            cosine(ge2e().embed(c.sound), person.ge2e),
            intelligibility(c.sound, c.text).wer,
            naturalness(c.sound),
        )
        for c in clips
    ]
    return Measured(*(float(v) for v in np.mean(rows, axis=0)))


def person_of(voice: Voice, heard: Person) -> Person:
    """The person as the finished voice remembers them, in the band of the recordings."""
    return Person(
        (),
        (),
        np.asarray(voice.embeddings["ge2e"]),
        np.asarray(voice.embeddings["embedder"]),
        voice.f0_median,
        voice.f0_range,
        heard.band_hz,
        heard.low_hz,
    )


def row(name: str, marks: Measured, seconds: float | None = None) -> None:
    """One line of the table."""
    took = "" if seconds is None else f"{seconds:8.0f}"
    print(
        f"{name:34} {marks.similarity:6.3f} {marks.ge2e:6.3f} {marks.wer:6.3f} "
        f"{marks.dnsmos:6.2f} {took}",
        flush=True,
    )


def best_stock(voices: Sequence[Voice], texts: Sequence[str], person: Person) -> None:
    """The row of the voice nearest to the person by the judge: every voice speaks one
    sentence, the best three speak all."""
    engine = get_synthesizer()
    first = sorted(voices, key=lambda v: -measure(v, texts[:1], person, engine).similarity)
    marks = {v.name: measure(v, texts, person, engine) for v in first[:3]}
    name, best = max(marks.items(), key=lambda pair: pair[1].similarity)
    row(f"best of {len(voices)} stock voices ({name})", best)


def main() -> None:
    """Fit, then print the table."""
    from voice._fit_person import listen

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--test", nargs="*", type=Path, default=[])
    parser.add_argument("--data")
    parser.add_argument("--packs", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timbre-steps", type=int, default=Effort().timbre_steps)
    parser.add_argument("--prosody-steps", type=int, default=Effort().prosody_steps)
    parser.add_argument("--wear", choices=("none", "telephone", "noise"), default="none")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--no-stock", action="store_true", help="leave the stock row out")
    parser.add_argument("-o", "--out", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="  %(message)s", stream=sys.stderr)
    if options.data:
        task = real_task(options.data)
    else:
        task = Task("given", options.recordings, options.test)
    if not task.recordings or not task.test:
        parser.error("name recordings, and with --test others of the same person")

    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as tapes:
        changed = options.wear != "none" or options.seconds is not None
        recordings = task.recordings
        if changed:
            recordings = worn(recordings, Path(tapes), options.wear, options.seconds)
        begin, computed = time.perf_counter(), time.process_time()
        archive = read_archive(recordings)
        print(archive.report())
        voice = fit_archive(
            archive,
            options.out or Path(scratch),
            person=task.name,
            consent_id="benchmark",
            seed=options.seed,
            effort=Effort(options.timbre_steps, options.prosody_steps),
            progress=lambda done, what: print(
                f"\r{done:4.0%} {what:32}", end="", file=sys.stderr, flush=True
            ),
        )
    seconds = time.perf_counter() - begin
    computed = time.process_time() - computed
    print(file=sys.stderr)
    clips = test_clips(task.test)
    texts = [*(c.text for c in clips), *FURTHER][:SENTENCES]
    if changed:  # the clean person, as heard through nothing
        person = replace(listen(read_archive(task.recordings).clips), trained=(), held_out=())
    else:
        person = person_of(voice, listen(archive.clips))
    print(f"\n{task.name:34} {'judge':>6} {'ge2e':>6} {'WER':>6} {'DNSMOS':>6} {'seconds':>8}")
    row("their own recordings (ceiling)", ceiling(clips, person))
    if not options.no_stock:
        stock = [load_voice(f"stock:{n}") for n in stock_voices()]
        best_stock([*stock, *packs(options.packs)], texts, person)
    row("fitted", measure(voice, texts, person, get_synthesizer()), seconds)
    print(f"{computed:.0f} s of one processor")
    print("in voice.toml (held out of the same recordings):", voice.scores)


if __name__ == "__main__":
    main()
