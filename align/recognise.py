"""The speech recogniser (Whisper tiny, English, int8, on the CPU), and what it says.

`recogniser` keeps one model for everybody who asks about one sound at a time and one for those
who hear several at once; `align.models.forget_models` lets go of both. `recognise_piece` writes
down up to about 20 s with the time of every word; `read_along` only tells how well a text fits,
in a third of the time; `hear` is the short way for a clip whose words alone are wanted.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from align.timing import Span
from media.errors import ArchiveError, NoSpeechError
from weights.once import loaded_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from media.audio import Sound

__all__ = [
    "LANGUAGE",
    "LIKELY",
    "Heard",
    "Reading",
    "Segment",
    "Transcript",
    "hear",
    "read_along",
    "recognise_piece",
    "recogniser",
    "segments_of",
]

LANGUAGE = "en"
"""The one language that the bundled recogniser knows."""
# Whisper makes words up when nobody speaks, and is then unsure of them: below the first
# always, below the second when it also believes that nobody speaks.
_INVENTED_LOGPROB = -1.6
_DOUBTFUL_LOGPROB = -0.6
_NO_SPEECH = 0.6
_FEW_WORDS, _LEAST_WORD_S, _LEAST_SURE = 4, 0.06, 0.3
# After its first window the recogniser goes on at the last word; with less left than this there
# is nothing but the pause after it.
_TAIL_S = 0.45
_TOKEN_S = 0.02
# Of the 448 places of the decoder, some are for marks.
_MOST_TOKENS = 420
_RATE = 16_000
_MOST_FRAMES, _PAD_FRAMES = 3000, 100
_PUNCTUATION = re.compile(r"^[^\w']+|[^\w']+$")
LIKELY = 0.02
"""A word with a smaller chance is doubtful; see `read_along`. Of 57 pieces of right words the least
likely word had .024; with a small word left out it had .018 at most but in two of 57 (.037, .040),
which pass for right. The limit was chosen on these pieces."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Recognised words of one clip; `confidence` is the mean token probability, 0..1."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of recognised speech: text, times in seconds, words with times, and the
    recogniser's mean log probability per token (near 0 is sure, below -1 is guessing).
    """

    text: str
    start_s: float
    end_s: float
    words: tuple[Span, ...]
    avg_logprob: float
    no_speech_prob: float = 0.0


@dataclass(frozen=True, slots=True)
class Transcript:
    """What is said in a sound, in order."""

    segments: tuple[Segment, ...]
    duration_s: float
    language: str = LANGUAGE

    @property
    def text(self) -> str:
        """The whole text."""
        return " ".join(s.text for s in self.segments)

    @property
    def words(self) -> tuple[Span, ...]:
        """All words with the recogniser's own, rough times (0.1 s)."""
        return tuple(w for s in self.segments for w in s.words)

    @property
    def avg_logprob(self) -> float:
        """Mean log probability, weighted by length; 0 when nothing was recognised."""
        lengths = [s.end_s - s.start_s for s in self.segments]
        if not lengths or sum(lengths) <= 0:
            return 0.0
        return float(np.average([s.avg_logprob for s in self.segments], weights=lengths))


@loaded_once
def recogniser(at_once: int = 1) -> tuple[Any, Lock]:
    """The faster-whisper model, loaded when it is first wanted, and its lock.

    With `at_once` above 1, a model of its own that hears so many sounds at the same time, each on
    one processor core, and needs no lock. Raises `WeightsError` when the model is not there.
    """
    from faster_whisper import WhisperModel

    from align._weights import whisper_folder

    loaded = "torch" in sys.modules
    if loaded:
        import torch  # another thread may still be loading it: this waits

        threads = torch.get_num_threads()
    model = WhisperModel(
        str(whisper_folder()),
        device="cpu",
        compute_type="int8",
        cpu_threads=1 if at_once > 1 else 0,
        num_workers=at_once,
        local_files_only=True,
    )
    if loaded:  # CTranslate2 sets the number for everybody who computes with OpenMP
        torch.set_num_threads(threads)
    return model, Lock()


def segments_of(
    samples: NDArray[np.float32], language: str, *, tail_s: float = 0.0, **settings: Any
) -> list[Any]:
    """The recogniser's own segments of 16 kHz samples, unfiltered; `settings` are its own.

    It stops where less than `tail_s` seconds are left.
    """
    model, lock = recogniser()
    with lock:
        found, _ = model.transcribe(
            samples,
            language=language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            **settings,
        )
        kept = []
        for segment in found:
            kept.append(segment)
            if segment.end > len(samples) / _RATE - tail_s:
                break
        return kept


def recognise_piece(
    samples: NDArray[np.float32], language: str, offset_s: float, end_s: float
) -> list[Segment]:
    """Recognise one piece (16 kHz, at most about 20 s) that starts at `offset_s`.

    Raises `NoSpeechError` for a language other than English.
    """
    if language != LANGUAGE:
        raise NoSpeechError(f"speech in '{language}' cannot be recognised here; give its text")
    raw = segments_of(
        samples,
        language,
        tail_s=_TAIL_S,
        word_timestamps=True,
        vad_filter=False,
        without_timestamps=True,
    )
    segments: list[Segment] = []
    for s in raw:
        if not s.text.strip() or _invented(s):
            continue
        words = _ordered(
            [
                (w.word.strip(), float(w.start + offset_s), float(w.end + offset_s), w.probability)
                for w in s.words
            ]
        )
        start = words[0].start_s if words else offset_s
        end = words[-1].end_s if words else end_s
        segments.append(Segment(s.text.strip(), start, end, words, s.avg_logprob, s.no_speech_prob))
    return segments


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text fits a sound: `first` is the chance (0..1) of its first word, `least` that of its
    least likely one, and the last word begins at `last_s` seconds and ends at `end_s`.
    """

    first: float
    least: float
    last_s: float
    end_s: float


def read_along(samples: NDArray[np.float32], words: Sequence[str]) -> Reading | None:
    """How likely the recogniser would write `words` (as written) of 16 kHz samples.

    It is told the words and asked for the chance of each after those before it, in one pass
    of its decoder. A word that is not said has a chance of 0.0001 or so as a rule, and so has the
    word after one that was said and is not in the text; but after a small word it may have 0.04
    (a first word, with nothing before it, 0.06), and a right word no more than 0.024 (`LIKELY`).
    Only what is said after the last word does not show, but its times do. None when the
    sound is longer than 30 s or the text than the recogniser can hold.
    """
    from faster_whisper.audio import pad_or_trim
    from faster_whisper.tokenizer import Tokenizer

    model, lock = recogniser()
    tokens = Tokenizer(
        model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=LANGUAGE
    )
    plain = [_PUNCTUATION.sub("", w) or w for w in words]
    written = [*(w.replace('"', "") or w for w in words[:-1]), plain[-1]]
    with lock:
        mel = model.feature_extractor(samples)
        if mel.shape[-1] > _MOST_FRAMES:
            return None
        # Half a minute of silence after it, as for writing down, costs ten times as much.
        encoded = model.encode(pad_or_trim(mel, min(_MOST_FRAMES, mel.shape[-1] + _PAD_FRAMES)))
        best: list[float] = []
        for variant in (written, [w.lower() for w in plain]):
            pieces = [tokens.encode(f" {word}") for word in variant]
            ids = [i for piece in pieces for i in piece]
            if len(ids) > _MOST_TOKENS:
                return None
            (found,) = model.model.align(encoded, tokens.sot_sequence, [ids], mel.shape[-1])
            chances = _word_chances(found.text_token_probs, pieces)
            best = [max(a, b) for a, b in zip(best or chances, chances, strict=True)]
            if min(best) >= LIKELY:
                break
    starts = np.array(found.alignments)
    last = starts[starts[:, 0] >= len(ids) - len(pieces[-1]), 1]
    end = starts[starts[:, 0] >= len(ids), 1]
    return Reading(
        best[0],
        min(best),
        float(last.min(initial=mel.shape[-1] // 2)) * _TOKEN_S,
        float(end.min(initial=mel.shape[-1] // 2)) * _TOKEN_S,
    )


def _word_chances(chances: Sequence[float], pieces: Sequence[Sequence[int]]) -> list[float]:
    """The chance of the least likely token of each word."""
    ends = np.cumsum([len(piece) for piece in pieces])
    return [
        float(min(chances[end - len(piece) : end]))
        for end, piece in zip(ends.tolist(), pieces, strict=True)
    ]


def _invented(segment: Any) -> bool:
    """Whether nobody said it: guessed, or words that have next to no time ("Thank you.")."""
    if segment.avg_logprob < _INVENTED_LOGPROB:
        return True
    if segment.no_speech_prob > _NO_SPEECH and segment.avg_logprob < _DOUBTFUL_LOGPROB:
        return True
    if not segment.words:
        return False
    length = sum(w.end - w.start for w in segment.words) / len(segment.words)
    sure = np.exp(np.mean([np.log(max(w.probability, 1e-4)) for w in segment.words]))
    few = len(segment.words) <= _FEW_WORDS
    return bool(length < _LEAST_WORD_S or (few and sure < _LEAST_SURE))


def _ordered(words: list[tuple[str, float, float, float]]) -> tuple[Span, ...]:
    """The recogniser's words as spans that do not overlap."""
    spans: list[Span] = []
    at = 0.0
    for label, start, end, sure in words:
        first = max(start, at)
        spans.append(Span(label, first, max(end, first + 0.01), float(sure)))
        at = spans[-1].end_s
    return tuple(spans)


def hear(sound: Sound, language: str = LANGUAGE) -> Heard:
    """The words of one clip of at most 30 s; none, at confidence 0, when none are heard.

    The recogniser's own time stamps stay on: without them it invents farewells ("Thanks
    for watching!") in the silence after a clip. Raises `ArchiveError` for a language
    other than English.
    """
    from align.recording import at_speech_rate

    if language != LANGUAGE:
        raise ArchiveError(
            f"recordings in '{language}' cannot be transcribed here; put a transcript "
            "(name.txt) beside each recording"
        )
    segments = segments_of(at_speech_rate(sound).samples, language)
    kept = [s for s in segments if s.text.strip() and s.no_speech_prob < _NO_SPEECH]
    if not kept:
        return Heard("", 0.0)
    lengths = [max(s.end - s.start, 0.1) for s in kept]
    sure = float(np.average([s.avg_logprob for s in kept], weights=lengths))
    return Heard(" ".join(s.text.strip() for s in kept), math.exp(min(0.0, sure)))
