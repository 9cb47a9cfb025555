"""What is said in a clip: by the short way where that is sure, by the long one where it is not.

    heard = listen(sound)                      # .text, .confidence

Whisper is made to hear half a minute, whatever the clip: four fifths of the work go into silence
after it. `listen` lets it hear the clip and a second more. Where it is then in doubt, stops
before the clip does or repeats itself, it hears the clip again as it was made to (as
`align.recognise.hear` does), so that what is graded low or thrown away is judged by that. Clips may
be heard two at a time, each on one core: two threads for one clip spend as much again on waiting
for each other.
"""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from align.recognise import LANGUAGE, Heard, recogniser
from align.recording import at_speech_rate
from media.audio import Sound
from voice.ingest.grading import Marks, unfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["AT_ONCE", "listen"]

AT_ONCE = 2
"""Clips that can be heard at the same time, each on one processor core."""
_RATE = 16_000
_FRAMES = 3_000  # of 10 ms: all that Whisper can hear
_SILENCE = 100  # frames after the clip
_BEAM = 5
_SURE = 0.62  # of the tokens: what is less sure is graded C at best, and heard again
_NO_SPEECH = 0.6
_RUN = 4  # words in a row that come again: people seldom do that, Whisper's loops always
_UNHEARD_S = 1.0  # left at the end of a clip: it stopped on the way
_FIRST_STAMP = 50  # of 20 ms: speech begins in the first second


def listen(sound: Sound) -> Heard:
    """The words of one English clip of at most 30 s; none, at confidence 0, when none are heard."""
    from faster_whisper.audio import pad_or_trim

    model, tokens, silent = _model()
    samples = at_speech_rate(sound).samples
    frames = model.feature_extractor(samples)
    if frames.shape[-1] + _SILENCE > _FRAMES:
        return _long_way(samples)
    found = model.model.generate(
        model.encode(pad_or_trim(frames, frames.shape[-1] + _SILENCE)),
        [tokens.sot_sequence],
        beam_size=_BEAM,
        return_scores=True,
        return_no_speech_prob=True,
        suppress_tokens=silent,
        max_initial_timestamp_index=_FIRST_STAMP,
    )[0]
    ids = found.sequences_ids[0]
    text = tokens.decode([i for i in ids if i < tokens.eot]).strip()
    sure = math.exp(min(0.0, found.scores[0] * len(ids) / (len(ids) + 1)))  # the end counts, too
    stamps = [i - tokens.timestamp_begin for i in ids if i >= tokens.timestamp_begin]
    length_s = len(samples) / _RATE
    stopped = length_s - 0.02 * max(stamps, default=0) > _UNHEARD_S
    if stopped or found.no_speech_prob > _NO_SPEECH or _doubtful(text, sure, length_s):
        return _long_way(samples)
    return Heard(text, sure)


def _doubtful(text: str, sure: float, length_s: float) -> bool:
    """Whether it is unsure, too much or too little for the time, or says things twice."""
    words = text.lower().split()
    runs = list(zip(*(words[k:] for k in range(_RUN)), strict=False))
    repeated = len(set(runs)) < len(runs)
    fits = unfit(Marks(text, length_s, sure, np.inf, 0.0)) is None
    return repeated or not fits or sure < _SURE


def _long_way(samples: NDArray[np.float32]) -> Heard:
    """The words of samples at 16 kHz as Whisper is meant to hear, in as many goes as it takes."""
    model, _, _ = _model()
    segments, _ = model.transcribe(
        samples,
        language=LANGUAGE,
        beam_size=_BEAM,
        temperature=0.0,
        condition_on_previous_text=False,
    )
    kept = [s for s in segments if s.text.strip() and s.no_speech_prob < _NO_SPEECH]
    if not kept:
        return Heard("", 0.0)
    lengths = [max(s.end - s.start, 0.1) for s in kept]
    sure = float(np.average([s.avg_logprob for s in kept], weights=lengths))
    return Heard(" ".join(s.text.strip() for s in kept), math.exp(min(0.0, sure)))


def _model() -> tuple[Any, Any, list[int]]:
    """(the recogniser on one core for each clip, its tokens, those that it may not write)."""
    from faster_whisper.tokenizer import Tokenizer
    from faster_whisper.transcribe import get_suppressed_tokens

    import_module("torch")  # first: `recogniser` leaves alone how many threads it has
    model, _ = recogniser(AT_ONCE)
    tokens = Tokenizer(
        model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=LANGUAGE
    )
    return model, tokens, list(get_suppressed_tokens(tokens, [-1]))
