"""Say a line several times, listen to each, and put the best first.

    takes = say("We chose to go, and we went.", load_voice("voices/anna"), takes=3, seed=7)
    save_take(takes[0], Path("line.wav"))      # and line.json: words, phones, scores

Take 1 is the voice as it is; the others differ a little in pace, melody and breath and lean
towards a neutral delivery. Each is checked by a speech recogniser and made again when words
are lost or the sound clips. A lone word, and two that fail, are spoken at the end of a longer
phrase and cut out of it: said alone, 8 of 12 were misheard ("No." as "to know"), cut out 1.
The same text, voice, wishes and seed give the same takes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from align.text import Script, speakable
from align.timing import Span, Timing
from media.audio import Sound, resample, write_wav
from media.errors import NoSpeechError
from media.files import atomic_path
from voice.engines import Synthesizer, Utterance, get_synthesizer
from voice.prosody import NEUTRAL, Prosody
from voice.voice import STYLE_SIZE, Voice, load_voice, stock_voices

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DELIVERY_RATE", "Take", "TakeScores", "say", "save_take"]

DELIVERY_RATE = 48_000
_TRIES = 3  # for one take, before the best of them is kept as it is
_FAILED_WER = 0.2
_FAILED_CLIPPING = 1e-3
_SHORT_WORDS = 2
_CARRIERS = ("And then I heard them say: ", "The answer was this, and only this: ")
_CUT_LEAD_S = 0.06  # kept before a line that is cut out of its carrier
_CUT_FADE_S = 0.03


@dataclass(frozen=True, slots=True)
class TakeScores:
    """What was measured of one take; None where it was not.

    `wer` word error rate (a fraction) and `heard`, what the recogniser wrote;
    `similarity` the judge's cosine to the person's recordings; `dnsmos` 1..5; `clipped`
    share of samples at full scale; `duration_error_s` against the wished length.
    """

    wer: float | None = None
    heard: str = ""
    similarity: float | None = None
    dnsmos: float | None = None
    clipped: float = 0.0
    duration_error_s: float | None = None

    @property
    def failed(self) -> bool:
        """Whether words were lost or the sound clips."""
        return (self.wer or 0.0) > _FAILED_WER or self.clipped > _FAILED_CLIPPING

    @property
    def merit(self) -> float:
        """One number to rank by: words first, then likeness, then naturalness."""
        return (
            -2.0 * min(self.wer or 0.0, 1.0)
            + (self.similarity or 0.0)
            + 0.2 * (self.dnsmos or 0.0)
            - 10.0 * self.clipped
        )


@dataclass(frozen=True, slots=True, eq=False)
class Take:
    """One spoken line: `sound` (24 kHz) and its exact `timing`, text as written and spoken."""

    sound: Sound
    timing: Timing
    text: str
    spoken: str
    seed: int
    engine: str
    voice: str
    scores: TakeScores


def say(
    text: str,
    voice: Voice,
    *,
    takes: int = 1,
    seed: int = 0,
    prosody: Prosody = NEUTRAL,
    lexicon: Mapping[str, str] | None = None,
    score: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Take]:
    """Speak `text` `takes` times and rank the takes, best first.

    `lexicon` maps words to pronunciations (see `align.text`). With ``score=False``
    nothing is listened to and the order is that of making. `progress` is called with
    (takes done, takes in all).

    Raises `TextError` when there is nothing to speak or the wished length is out of reach.
    """
    script = speakable(text, lexicon)
    booth = _Booth(script, text, voice, prosody, lexicon, get_synthesizer(voice.engine), score)
    made = []
    for number in range(max(takes, 1)):
        made.append(booth.take(seed, number))
        if progress is not None:
            progress(number + 1, max(takes, 1))
    return sorted(made, key=lambda t: -t.scores.merit) if score else made


def save_take(take: Take, wav_path: Path) -> None:
    """Write the take as a 48 kHz, 24-bit WAV and beside it the same name with `.json`.

    The JSON holds text, spoken text, words and phones (seconds), seed, engine, voice and
    scores. Raises `OutputError` when the folder cannot be written.
    """
    wav_path = Path(wav_path)
    write_wav(wav_path, resample(take.sound, DELIVERY_RATE), "PCM_24")
    with atomic_path(wav_path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(_facts(take), indent=1, ensure_ascii=False), "utf-8")


def _facts(take: Take) -> dict[str, Any]:
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
    return {
        "text": take.text,
        "spoken": take.spoken,
        "voice": take.voice,
        "engine": take.engine,
        "seed": take.seed,
        "duration_s": round(float(take.sound.duration_s), 4),
        "scores": scores,
        "words": rows(take.timing.words),
        "phones": rows(take.timing.phones),
    }


@dataclass(frozen=True, slots=True)
class _Booth:
    """Everything that the takes of one line share."""

    script: Script
    text: str
    voice: Voice
    prosody: Prosody
    lexicon: Mapping[str, str] | None
    engine: Synthesizer
    score: bool

    def take(self, seed: int, number: int) -> Take:
        """Take `number`, made again with other dice when it fails."""
        best: Take | None = None
        for attempt in range(_TRIES if self.score else 1):
            made = self._attempt(seed, number, attempt)
            if best is None or made.scores.merit > best.scores.merit:
                best = made
            if not made.scores.failed:
                break
        assert best is not None
        return best

    def _attempt(self, seed: int, number: int, attempt: int) -> Take:
        dice = np.random.default_rng((seed, number, attempt))
        plain = number == 0 and attempt == 0
        voice = self.voice if plain else _leaning(self.voice, dice)
        prosody = self.prosody if plain else _varied(self.prosody, dice)
        if self._carried(attempt):
            carrier = _CARRIERS[attempt % len(_CARRIERS)]
            said = self.engine.speak(speakable(carrier + self.text, self.lexicon), voice, prosody)
            sound, timing = _cut_out(said, self.script)
        else:
            said = self.engine.speak(self.script, voice, prosody)
            sound, timing = _to_length(said, prosody.duration_s)
        return Take(
            sound,
            timing,
            self.text,
            self.script.spoken,
            seed,
            self.engine.name,
            self.voice.name,
            self._scores(sound),
        )

    def _carried(self, attempt: int) -> bool:
        """Whether to say the line at the end of a longer phrase; not where a length is wished."""
        words = len(self.script.words)
        lone = words == 1 or (attempt > 0 and words <= _SHORT_WORDS)
        return lone and self.prosody.duration_s is None

    def _scores(self, sound: Sound) -> TakeScores:
        from voice.scores import clipped_fraction, intelligibility, naturalness

        clipped = clipped_fraction(sound)
        wished = self.prosody.duration_s
        error = None if wished is None else float(sound.duration_s) - wished
        if not self.score:
            return TakeScores(clipped=clipped, duration_error_s=error)
        understood = intelligibility(sound, self.text)
        return TakeScores(
            understood.wer,
            understood.heard,
            _similarity(sound, self.voice),
            naturalness(sound),
            clipped,
            error,
        )


def _similarity(sound: Sound, voice: Voice) -> float | None:
    """The judge's cosine to the person's recordings, for voices that were fitted."""
    if "embedder" not in voice.embeddings:
        return None
    from voice.similarity import cosine, judge

    try:
        return cosine(judge().embed(sound), voice.embeddings["embedder"])
    except NoSpeechError:
        return 0.0


def _leaning(voice: Voice, dice: np.random.Generator) -> Voice:
    """The voice with its delivery (not its timbre) up to a quarter of the way to neutral."""
    share = np.float32(dice.uniform(0.0, 0.25))
    style = np.array(voice.style)
    half = STYLE_SIZE // 2
    style[half:] += share * (_neutral_delivery() - style[half:])
    return replace(voice, style=style)


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
