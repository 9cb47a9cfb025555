"""Recordings -> words: recognise speech, and time any length of it.

`transcribe` writes down what is said (Whisper tiny, int8, on the CPU); `align_sound` gives
the `Timing` of a recording whose text is known or not. Both listen for speech first
(silero-vad), cut long sounds in the middles of pauses into pieces of at most 20 s, and
work through one piece at a time, so memory does not grow with length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from align.anchors import divide_script
from align.text import Script, speakable
from align.timing import Span, Timing
from align.vad import pieces_at_pauses, require_speech, speech_probability, speech_spans
from media.errors import AlignError, NoSpeechError, TextError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from align.engines import Aligner
    from media.audio import Sound

__all__ = ["Segment", "Transcript", "align_sound", "transcribe"]

_RATE = 16000
_LONGEST_S = 20.0
_MARGIN_S = 0.25
# Whisper makes words up when nobody speaks, and is then unsure of them: below the first
# always, below the second when it also believes that nobody speaks.
_INVENTED_LOGPROB = -1.6
_DOUBTFUL_LOGPROB = -0.6
_NO_SPEECH = 0.6


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
    language: str = "en"

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


@dataclass(frozen=True, slots=True)
class _Heard:
    """Speech in a sound and where to cut it."""

    spans: tuple[tuple[float, float], ...]
    pieces: tuple[tuple[float, float], ...]


@cache
def _recogniser() -> tuple[Any, Lock]:
    from faster_whisper import WhisperModel

    from align._weights import whisper_folder

    model = WhisperModel(
        str(whisper_folder()), device="cpu", compute_type="int8", local_files_only=True
    )
    return model, Lock()


def _listen(sound: Sound) -> _Heard:
    duration = float(sound.duration_s)
    probability = speech_probability(sound)
    spans = speech_spans(probability, duration)
    require_speech(spans, duration)
    pieces = pieces_at_pauses(spans, duration, probability, _LONGEST_S)
    spoken = [p for p in pieces if any(a < p[1] and b > p[0] for a, b in spans)]
    return _Heard(spans, tuple(_trimmed(p, spans) for p in spoken))


def _trimmed(
    piece: tuple[float, float], spans: tuple[tuple[float, float], ...]
) -> tuple[float, float]:
    """`piece` without the silence at its ends, where recognisers hear "thank you"."""
    inside = [(a, b) for a, b in spans if a < piece[1] and b > piece[0]]
    start, end = inside[0][0] - _MARGIN_S, inside[-1][1] + _MARGIN_S
    return max(piece[0], start), min(piece[1], end)


def _recognise(
    samples: NDArray[np.float32], language: str, offset_s: float, end_s: float
) -> list[Segment]:
    """Recognise one piece (16 kHz, at most about 20 s) that starts at `offset_s`."""
    model, lock = _recogniser()
    with lock:
        found, _ = model.transcribe(
            samples,
            language=language,
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            word_timestamps=True,
            vad_filter=False,
            without_timestamps=True,
        )
        raw = list(found)
    segments: list[Segment] = []
    for s in raw:
        doubtful = s.no_speech_prob > _NO_SPEECH and s.avg_logprob < _DOUBTFUL_LOGPROB
        if not s.text.strip() or s.avg_logprob < _INVENTED_LOGPROB or doubtful:
            continue
        words = _ordered(
            [(w.word.strip(), w.start + offset_s, w.end + offset_s, w.probability) for w in s.words]
        )
        start = words[0].start_s if words else offset_s
        end = words[-1].end_s if words else end_s
        segments.append(Segment(s.text.strip(), start, end, words, s.avg_logprob, s.no_speech_prob))
    return segments


def _spoken(segment: Segment, spans: tuple[tuple[float, float], ...]) -> bool:
    """Whether at least half of the segment lies in stretches of speech."""
    inside = sum(max(0.0, min(segment.end_s, b) - max(segment.start_s, a)) for a, b in spans)
    return inside >= 0.5 * (segment.end_s - segment.start_s)


def _ordered(words: list[tuple[str, float, float, float]]) -> tuple[Span, ...]:
    """The recogniser's words as spans that do not overlap."""
    spans: list[Span] = []
    at = 0.0
    for label, start, end, sure in words:
        first = max(start, at)
        spans.append(Span(label, first, max(end, first + 0.01), float(sure)))
        at = spans[-1].end_s
    return tuple(spans)


def transcribe(
    sound: Sound,
    language: str = "en",
    *,
    progress: Callable[[float], None] | None = None,
) -> Transcript:
    """Write down what is said in `sound` (any rate, any length).

    `language` is a code that Whisper knows ("en", "fr", ...). `progress` is called with
    the share done, 0..1. Raises `NoSpeechError` when nobody speaks (silence, noise,
    tones, music).
    """
    return _transcribe(sound, _listen(sound), language, progress)


def _transcribe(
    sound: Sound,
    heard: _Heard,
    language: str,
    progress: Callable[[float], None] | None = None,
) -> Transcript:
    from media.audio import resample

    segments: list[Segment] = []
    for number, (start, end) in enumerate(heard.pieces):
        samples = resample(sound.cut(start, end), _RATE).samples
        found = _recognise(samples, language, start, end)
        segments += [s for s in found if _spoken(s, heard.spans)]
        if progress is not None:
            progress((number + 1) / len(heard.pieces))
    if not segments:
        raise NoSpeechError(
            f"no words can be heard in this sound ({float(sound.duration_s):.1f} s); "
            "choose a recording of speech, or give its text"
        )
    return Transcript(tuple(segments), float(sound.duration_s), language)


def align_sound(
    sound: Sound,
    text: str | None = None,
    *,
    engine: str = "sphinx",
    lexicon: Mapping[str, str] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Timing:
    """Words and phones of a recording of any length.

    With `text`, long recordings are anchored by recognising them and matching the words;
    without, the recognised text is aligned. Raises `TextError` for a text with nothing
    to speak, `NoSpeechError` when nobody speaks, and `AlignError` when the text is not
    what is said.
    """
    from align.engines import get_aligner

    aligner = get_aligner(engine)
    script = speakable(text, lexicon) if text is not None else None
    heard = _listen(sound)
    if script is not None and len(heard.pieces) == 1:
        return _join(sound, [(heard.pieces[0], script)], aligner, strict=True)
    transcript = _transcribe(sound, heard, "en", progress)
    if script is None:
        parts = _own_scripts(transcript, heard, lexicon)
    else:
        parts = _given_script(script, transcript, heard)
    return _join(sound, parts, aligner, strict=False)


_Part = tuple[tuple[float, float], Script]


def _own_scripts(
    transcript: Transcript, heard: _Heard, lexicon: Mapping[str, str] | None
) -> list[_Part]:
    """Each piece with the text recognised in it."""
    parts: list[_Part] = []
    for start, end in heard.pieces:
        said = " ".join(s.text for s in transcript.segments if start <= s.start_s < end)
        try:
            parts.append(((start, end), speakable(said, lexicon)))
        except TextError:  # a cough that was written down as "..."
            continue
    if not parts:
        raise NoSpeechError("no words can be heard in this sound; choose a recording of speech")
    return parts


def _given_script(script: Script, transcript: Transcript, heard: _Heard) -> list[_Part]:
    """Each piece with those words of `script` that are said in it."""
    ends = [end for _, end in heard.pieces]
    divided = divide_script(script, transcript.words, ends)
    return [
        (piece, script.select(first, last))
        for piece, (first, last) in zip(heard.pieces, divided, strict=True)
        if last > first
    ]


def _join(sound: Sound, parts: list[_Part], aligner: Aligner, *, strict: bool) -> Timing:
    """Align every piece and lay them end to end."""
    from align.spread import spread

    words: list[Span] = []
    phones: list[Span] = []
    engine = ""
    for (start, end), script in parts:
        piece = sound.cut(start, end)
        try:
            timing = aligner.align(piece, script)
        except AlignError:
            # One piece with too many words (a transcript that says more than the voice)
            # must not cost the rest; its confidence says what it is worth.
            if strict:
                raise
            timing = spread(piece, script)
        moved = timing.shifted(start)
        words += moved.words
        phones += moved.phones
        engine = engine or timing.engine
    return Timing(tuple(words), tuple(phones), float(sound.duration_s), engine=engine)
