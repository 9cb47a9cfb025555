"""Say a line several times, listen to each, and put the best first.

    takes = say("We *chose* to go, and we went.", load_voice("voices/anna"), takes=3, seed=7)
    save_take(takes[0], Path("line.wav"))      # and line.json: words, phones, scores, delivery

Take 1 is the voice as it is; the others differ a little in pace, melody and breath and lean
towards a neutral delivery. Each is checked by a speech recogniser and made again when words
are lost, the sound clips or its length is missed. A lone word, and two that fail, are spoken at
the end of a longer phrase and cut out of it: said alone, 8 of 12 were misheard ("No." as "to
know"), cut out 1. The same text, voice, wishes and seed give the same takes. Marks in the text
direct it (`voice.directing`); `say_pieces` speaks texts of any length in flat memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from align.text import Script, speakable
from align.timing import Span, Timing
from media.audio import Sound
from media.bwf import DELIVERY_RATE, BroadcastFacts, write_bwf
from media.errors import NoSpeechError, TextError
from media.files import atomic_path
from voice.directing import direct, with_pauses
from voice.engines import Synthesizer, Utterance, get_synthesizer
from voice.prosody import NEUTRAL, Prosody, WordWishes
from voice.voice import STYLE_SIZE, Voice, load_voice, stock_voices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from voice.delivery import Delivery
    from voice.guide import Guide

__all__ = [
    "DELIVERY_RATE",
    "Take",
    "TakeScores",
    "joined_takes",
    "save_facts",
    "save_take",
    "say",
    "say_pieces",
    "take_facts",
]

_TRIES = 3  # for one take, before the best of them is kept as it is
_FAILED_WER = 0.2
_FAILED_CLIPPING = 1e-3
_FRAME_S = 0.025
_SHORT_WORDS = 2
_CARRIERS = ("And then I heard them say: ", "The answer was this, and only this: ")
_CUT_LEAD_S = 0.06  # kept before a line that is cut out of its carrier
_CUT_FADE_S = 0.03
_PIECE = 250  # phonemes of one piece of a long text, some fifteen seconds
_BREAK_S, _PARAGRAPH_S = 0.1, 0.45  # between pieces, beside their own quiet ends


@dataclass(frozen=True, slots=True)
class TakeScores:
    """What was measured of one take; None where it was not.

    `wer` word error rate (a fraction) and `heard`, what the recogniser wrote;
    `similarity` the judge's cosine to the person's recordings and `similarity_ge2e` that of the
    encoder that guides fits; `dnsmos` 1..5; `clipped` share of samples at full scale;
    `duration_error_s` against the wished length or the guide's.
    """

    wer: float | None = None
    heard: str = ""
    similarity: float | None = None
    similarity_ge2e: float | None = None
    dnsmos: float | None = None
    clipped: float = 0.0
    duration_error_s: float | None = None

    @property
    def failed(self) -> bool:
        """Whether words were lost, the sound clips or a wished length is missed by over a frame."""
        return (
            (self.wer or 0.0) > _FAILED_WER
            or self.clipped > _FAILED_CLIPPING
            or abs(self.duration_error_s or 0.0) > _FRAME_S
        )

    @property
    def merit(self) -> float:
        """One number to rank by: words first, then likeness, then naturalness."""
        missed = max(0.0, abs(self.duration_error_s or 0.0) - _FRAME_S)
        return (
            -2.0 * min(self.wer or 0.0, 1.0)
            + (self.similarity or 0.0)
            + 0.3 * (self.similarity_ge2e or 0.0)
            + 0.2 * (self.dnsmos or 0.0)
            - 10.0 * self.clipped
            - 2.0 * min(missed, 0.5)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """One spoken line: `sound` (at the engine's rate) and its `timing`, text written and spoken.

    `text` is without marks. `made` says how this take differs from the plain one: "speed",
    "expression", "noise", "lean" (towards a neutral delivery) and "attempts". `delivery` is
    measured when the take is scored.
    """

    sound: Sound
    timing: Timing
    text: str
    spoken: str
    seed: int
    engine: str
    voice: str
    scores: TakeScores
    delivery: Delivery | None = None
    made: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


def say(
    text: str,
    voice: Voice,
    *,
    takes: int = 1,
    seed: int = 0,
    prosody: Prosody = NEUTRAL,
    lexicon: Mapping[str, str] | None = None,
    guide: Sound | None = None,
    score: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Take]:
    """Speak `text` `takes` times and rank the takes, best first.

    `text` may carry directions (`voice.directing`). `lexicon` maps words to pronunciations (see
    `align.text`). `guide` is a performance of the same words to follow: the takes are as long
    as it, and their words lie where its words lie. With ``score=False`` nothing is listened to
    and the order is that of making. `progress` is called with (takes done, takes in all).

    Raises `TextError` when there is nothing to speak, a mark cannot be read, or the wished
    length is out of reach; `AlignError` when the guide says something else.
    """
    script, words = direct(text, lexicon)
    if guide is not None:
        script, prosody = _following(script, prosody, guide)
    wishes = replace(prosody, words=words)
    booth = _Booth(script, script.text, voice, wishes, get_synthesizer(voice.engine), score)
    made = []
    for number in range(max(takes, 1)):
        made.append(booth.take(seed, number))
        if progress is not None:
            progress(number + 1, max(takes, 1))
    return sorted(made, key=lambda t: -t.scores.merit) if score else made


def say_pieces(
    text: str,
    voice: Voice,
    *,
    takes: int = 1,
    seed: int = 0,
    prosody: Prosody = NEUTRAL,
    lexicon: Mapping[str, str] | None = None,
    score: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Take]:
    """Speak a text of any length sentence by sentence: the best take of each piece, in order.

    Laid end to end the sounds are the whole; each piece brings the silence before it. Memory
    holds one piece at a time. `progress` is called with (pieces done, pieces in all).

    Raises `TextError` as `say` does, and for a wished length, which needs the whole at once.
    """
    if prosody.duration_s is not None:
        raise TextError("a text of several minutes cannot be fitted to a length; give --speed")
    script, words = direct(text, lexicon)
    pieces = script.pieces(_PIECE)
    engine = get_synthesizer(voice.engine)
    first = 0
    for number, piece in enumerate(pieces):
        last = first + len(piece.words)
        wishes = words.select(first, last + (number == len(pieces) - 1))
        written = _written(script, first, last)
        booth = _Booth(piece, written, voice, replace(prosody, words=wishes), engine, score)
        made = [booth.take(seed, take) for take in range(max(takes, 1))]
        best = max(made, key=lambda t: t.scores.merit) if score else made[0]
        gap = _gap_before(script, first, wishes) if number else 0.0
        yield _after_silence(best, gap)
        if progress is not None:
            progress(number + 1, len(pieces))
        first = last


def _written(script: Script, first: int, last: int) -> str:
    """The text of the words [first, last) with the punctuation after them."""
    start = script.words[first].start_char
    end = script.words[last].start_char if last < len(script.words) else len(script.text)
    return " ".join(script.text[start:end].split())


def _gap_before(script: Script, word: int, wishes: WordWishes) -> float:
    """Seconds of silence before a piece that begins with `word`."""
    if wishes.pause_before(0) > 0:
        return 0.0  # it brings its own
    between = script.text[script.words[word - 1].end_char : script.words[word].start_char]
    return _PARAGRAPH_S if "\n" in between.strip(" ") else _BREAK_S


def _after_silence(take: Take, seconds: float) -> Take:
    before = round(seconds * take.sound.rate)
    sound = Sound(np.pad(take.sound.samples, (before, 0)), take.sound.rate)
    timing = take.timing.shifted(before / take.sound.rate, float(sound.duration_s))
    return replace(take, sound=sound, timing=timing)


def _following(script: Script, prosody: Prosody, sound: Sound) -> tuple[Script, Prosody]:
    """The script with the guide's pauses in it, and the guide among the wishes."""
    from voice.guide import read_guide

    if prosody.duration_s is not None or prosody.speed != 1.0:
        raise TextError("a guide gives the line its timing; leave the length and the speed to it")
    guide = read_guide(sound, script)
    return with_pauses(script, guide.paused_words(script)), replace(prosody, guide=guide)


def save_take(
    take: Take,
    wav_path: Path,
    facts: BroadcastFacts | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write the take as 48 kHz, 24-bit Broadcast WAV and beside it the same name with `.json`.

    `facts` go into the WAV's bext and iXML; without them it names text, voice and engine. The
    JSON is `take_facts` and what `more` adds. Raises `OutputError`.
    """
    wav_path = Path(wav_path)
    known = facts or BroadcastFacts(description=take.text, note=take.text, track=take.voice)
    if not known.history:
        known = replace(known, history=(f"A=PCM,F={take.sound.rate},W=32,M=mono,T={take.engine}",))
    write_bwf(wav_path, take.sound, known)
    save_facts(take, wav_path.with_suffix(".json"), more)


def save_facts(take: Take, path: Path, more: Mapping[str, Any] | None = None) -> None:
    """Write `take_facts` and what `more` adds as JSON. Raises `OutputError`."""
    with atomic_path(path) as temporary:
        facts = {**take_facts(take), **(more or {})}
        temporary.write_text(json.dumps(facts, indent=1, ensure_ascii=False), "utf-8")


def joined_takes(pieces: Sequence[Take], text: str) -> Take:
    """What is known of pieces laid end to end: one timing, scores weighed by words; no sound."""
    words: list[Span] = []
    phones: list[Span] = []
    at = 0.0
    for piece in pieces:
        moved = piece.timing.shifted(at)
        words += moved.words
        phones += moved.phones
        at += piece.timing.duration_s
    weights = [max(len(p.timing.words), 1) for p in pieces]

    def mean(name: str) -> float | None:
        values = [getattr(p.scores, name) for p in pieces]
        return None if None in values else float(np.average(values, weights=weights))

    scores = TakeScores(
        mean("wer"),
        " ".join(p.scores.heard for p in pieces),
        mean("similarity"),
        mean("similarity_ge2e"),
        mean("dnsmos"),
        max(p.scores.clipped for p in pieces),
    )
    measured = [p.delivery for p in pieces if p.delivery is not None]
    return replace(
        pieces[0],
        timing=Timing(tuple(words), tuple(phones), at, pieces[0].timing.engine),
        text=text,
        spoken=" ".join(p.spoken for p in pieces),
        scores=scores,
        delivery=_mean(measured) if measured else None,
        made=MappingProxyType({"pieces": float(len(pieces))}),
    )


def _mean(deliveries: list[Delivery]) -> Delivery:
    from voice.delivery import mean_delivery

    return mean_delivery(deliveries)


def take_facts(take: Take) -> dict[str, Any]:
    """What is known of a take as JSON values: text, words and phones in seconds, scores."""

    def rows(spans: tuple[Span, ...]) -> list[dict[str, Any]]:
        return [
            {"label": s.label, "start_s": round(s.start_s, 4), "end_s": round(s.end_s, 4)}
            for s in spans
        ]

    scores = {
        k: round(v, 4) if isinstance(v, float) else v
        for k, v in asdict(take.scores).items()
        if v is not None
    }
    facts = {
        "text": take.text,
        "spoken": take.spoken,
        "voice": take.voice,
        "engine": take.engine,
        "seed": take.seed,
        "duration_s": round(take.timing.duration_s, 4),
        "scores": scores,
        "made": {name: round(value, 4) for name, value in take.made.items()},
        "words": rows(take.timing.words),
        "phones": rows(take.timing.phones),
    }
    return facts if take.delivery is None else {**facts, "delivery": take.delivery.as_dict()}


@dataclass(frozen=True, slots=True)
class _Booth:
    """Everything that the takes of one line share."""

    script: Script
    text: str
    voice: Voice
    prosody: Prosody
    engine: Synthesizer
    score: bool

    def take(self, seed: int, number: int) -> Take:
        """Take `number`, made again with other dice when it fails."""
        best: Take | None = None
        attempts = 0
        for attempt in range(_TRIES if self.score else 1):
            made = self._attempt(seed, number, attempt)
            attempts += 1
            if best is None or made.scores.merit > best.scores.merit:
                best = made
            if not made.scores.failed:
                break
        assert best is not None
        return replace(best, made={**best.made, "attempts": attempts})

    def _attempt(self, seed: int, number: int, attempt: int) -> Take:
        dice = np.random.default_rng((seed, number, attempt))
        plain = number == 0 and attempt == 0
        voice, lean = (self.voice, 0.0) if plain else _leaning(self.voice, dice)
        prosody = self.prosody if plain else _varied(self.prosody, dice)
        sound, timing = self._spoken(voice, prosody, attempt)
        made = {
            "speed": prosody.speed,
            "expression": prosody.expression,
            "noise": prosody.noise,
            "lean": lean,
        }
        return Take(
            sound,
            timing,
            self.text,
            self.script.spoken,
            seed,
            self.engine.name,
            self.voice.name,
            self._scores(sound),
            _delivery(sound) if self.score else None,
            made,
        )

    def _spoken(self, voice: Voice, prosody: Prosody, attempt: int) -> tuple[Sound, Timing]:
        if self._carried(attempt):
            carrier, before = _carrier(attempt)
            wishes = replace(prosody, words=prosody.words.moved(before))
            said = self.engine.speak(_after(carrier, self.script), voice, wishes)
            return _cut_out(said, self.script)
        said = self.engine.speak(self.script, voice, prosody)
        if prosody.guide is not None:
            return _placed(said, prosody.guide)
        return _to_length(said, prosody.duration_s)

    def _carried(self, attempt: int) -> bool:
        """Whether to say the line at the end of a longer phrase; not where a length is wished."""
        words = len(self.script.words)
        lone = words == 1 or (attempt > 0 and words <= _SHORT_WORDS)
        free = self.prosody.duration_s is None and self.prosody.guide is None
        return lone and free and not self.prosody.words.pauses

    def _scores(self, sound: Sound) -> TakeScores:
        from voice.scores import clipped_fraction, intelligibility, naturalness

        clipped = clipped_fraction(sound)
        wished = self.prosody.duration_s
        if self.prosody.guide is not None:
            wished = self.prosody.guide.duration_s
        error = None if wished is None else float(sound.duration_s) - wished
        if not self.score:
            return TakeScores(clipped=clipped, duration_error_s=error)
        understood = intelligibility(sound, self.text)
        return TakeScores(
            understood.wer,
            understood.heard,
            _similarity(sound, self.voice, "embedder"),
            _similarity(sound, self.voice, "ge2e"),
            naturalness(sound),
            clipped,
            error,
        )


def _delivery(sound: Sound) -> Delivery | None:
    from voice.delivery import measure_delivery

    try:
        return measure_delivery(sound)
    except NoSpeechError:
        return None


@cache
def _carrier(attempt: int) -> tuple[Script, int]:
    """A phrase to say a lone word after, and how many words it has."""
    script = speakable(_CARRIERS[attempt % len(_CARRIERS)].strip())
    return script, len(script.words)


def _after(carrier: Script, script: Script) -> Script:
    """Both scripts in a row; the characters still point into the second one's text."""
    count = len(carrier.words)
    owner = (*carrier.word_of, -1, *(w + count if w >= 0 else -1 for w in script.word_of))
    words = (*carrier.words, *script.words)
    return Script(words, script.text, f"{carrier.kokoro} {script.kokoro}", owner)


def _similarity(sound: Sound, voice: Voice, encoder: str) -> float | None:
    """An encoder's cosine to the person's recordings, for voices that were fitted."""
    if encoder not in voice.embeddings:
        return None
    from voice.similarity import cosine, ge2e, judge

    try:
        listener = judge() if encoder == "embedder" else ge2e()
        return cosine(listener.embed(sound), voice.embeddings[encoder])
    except NoSpeechError:
        return 0.0


def _placed(said: Utterance, guide: Guide) -> tuple[Sound, Timing]:
    """The line where the guide has it, in a sound as long as the guide's (or the words')."""
    rate = said.sound.rate
    shift = round((float(guide.starts_s[0]) - said.timing.phones[0].start_s) * rate)
    samples = said.sound.samples
    samples = np.pad(samples, (shift, 0)) if shift >= 0 else samples[-shift:]
    last = round((said.timing.phones[-1].end_s + shift / rate) * rate)
    whole = max(round(guide.duration_s * rate), last)
    sound = Sound(samples, rate).fitted(whole)
    return sound, said.timing.shifted(shift / rate, float(sound.duration_s))


def _leaning(voice: Voice, dice: np.random.Generator) -> tuple[Voice, float]:
    """The voice, its delivery (not its timbre) up to a quarter of the way to neutral; the share.

    Voices of engines without a style stay as they are.
    """
    share = np.float32(dice.uniform(0.0, 0.25))
    if not voice.style.any():
        return voice, 0.0
    style = np.array(voice.style)
    half = STYLE_SIZE // 2
    style[half:] += share * (_neutral_delivery() - style[half:])
    return replace(voice, style=style), float(share)


@cache
def _neutral_delivery() -> NDArray[np.float32]:
    """Mean prosody half, float32 [128], of the shipped English voices."""
    voices = (load_voice(f"stock:{name}") for name in stock_voices())
    halves = [v.style[STYLE_SIZE // 2 :] for v in voices if v.language == "en"]
    return np.asarray(np.mean(halves, axis=0), np.float32)


def _varied(prosody: Prosody, dice: np.random.Generator) -> Prosody:
    """The wishes with the small differences that one performance has from the next."""
    return replace(
        prosody,
        speed=float(np.clip(prosody.speed * dice.uniform(0.94, 1.05), 0.3, 3.0)),
        expression=float(np.clip(prosody.expression * dice.uniform(0.9, 1.2), 0.0, 4.0)),
        noise=float(dice.uniform(0.0, 0.5)),
        seed=int(dice.integers(2**31)),
    )


def _to_length(said: Utterance, duration_s: float | None) -> tuple[Sound, Timing]:
    """The sound brought from the engine's 25 ms grid to the wished length, to the sample."""
    if duration_s is None:
        return said.sound, said.timing
    samples = round(Fraction(duration_s) * said.sound.rate)
    sound = said.sound.fitted(samples)
    return sound, said.timing.shifted(0.0, float(sound.duration_s))


def _cut_out(said: Utterance, script: Script) -> tuple[Sound, Timing]:
    """The line alone from the end of its carrier phrase, with `_CUT_LEAD_S` before it."""
    count = len(script.written_words())
    words = said.timing.words[-count:]
    phones = tuple(p for p in said.timing.phones if p.start_s >= words[0].start_s - 1e-6)
    # Never back into the carrier's last phone.
    before = max((p.end_s for p in said.timing.phones if p not in phones), default=0.0)
    begin = max(words[0].start_s - _CUT_LEAD_S, before)
    sound = said.sound.cut(begin, said.sound.duration_s)
    samples = np.array(sound.samples)
    fade = min(int(_CUT_FADE_S * sound.rate), len(samples))
    samples[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    timing = Timing(words, phones, float(said.sound.duration_s), said.timing.engine)
    duration = float(sound.duration_s)
    return Sound(samples, sound.rate), timing.shifted(-begin, duration)
