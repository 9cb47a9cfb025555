"""Forced alignment with PocketSphinx: the guide of the default engine, for English.

Our own pronunciations (from the script, with the CMU dictionary's as variants) go into
an otherwise empty dictionary, so no word can be missing. Two passes: words with optional
silences and the best variant, then phones. Beams widen from attempt to attempt; if every
attempt fails the phones are spread over the energy of the sound with a confidence of at
most 0.1, so no recording is ever lost. Acoustic model: CMU Sphinx en-us (BSD).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from align._weights import model_folder
from align.engines._pronunciations import pronunciations
from align.refine import loudness, phrase_end, phrase_start, refine_edges, speech_level
from align.timing import Span, Timing
from media.errors import AlignError

if TYPE_CHECKING:
    from align.text import Script
    from media.audio import Sound

__all__ = ["FASTEST_PHONES_PER_S", "SphinxAligner", "check_fits", "phones_in"]

# Nobody speaks faster; above this the text is not what is said.
FASTEST_PHONES_PER_S = 25.0
_RATE = 16000
_HOP_S = 0.01
# A frame is an analysis window of 25.6 ms that starts at index * 10 ms; the change that it
# reports lies nearer to its middle. Measured on hand-labelled read speech.
_WINDOW_LAG_S = 0.005
_PAD_S = 0.15
_PAUSE_S = 0.03
_LONG_AT_PAUSE_S = 0.08
# Tried in turn. The lattice search ("bestpath") may place a word where the phone pass cannot
# follow, which is what loses clips with the decoder's own settings; the Viterbi path cannot.
_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {"bestpath": False, "fwdflat": False},
    {"bestpath": False, "fwdflat": False, "beam": 1e-100, "pbeam": 1e-100, "wbeam": 1e-80},
    {"bestpath": False, "beam": 0.0, "pbeam": 0.0, "wbeam": 0.0, "maxhmmpf": -1},
)


@dataclass(frozen=True, slots=True)
class _Found:
    """A phone as the decoder reports it: the word it belongs to, frames, score per frame."""

    word: int
    phone: str
    start: int
    stop: int
    score: float


def check_fits(script: Script, duration_s: float) -> None:
    """Raise `AlignError` when `duration_s` is too short to speak the words of `script`."""
    count = len(script.phones)
    if count > FASTEST_PHONES_PER_S * duration_s:
        raise AlignError(
            f"{len(script.words)} words cannot be spoken in {duration_s:.2f} s; "
            "give the text of this sound, or the whole sound of this text"
        )


def _prepare(sound: Sound) -> bytes:
    """16 kHz, 16 bit, speech at a constant level, padded by `_PAD_S` of faint noise."""
    from media.audio import resample

    samples = resample(sound, _RATE).samples.astype(np.float64)
    samples = samples - samples.mean()
    # Level by the loud parts: a long pause must not turn the gain up.
    frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
    loud = np.sqrt((frames**2).mean(axis=1))
    reference = np.percentile(loud, 90) if len(loud) else 0.0
    peak = float(np.abs(samples).max(initial=0.0))
    gain = min(0.1 / max(reference, 1e-6), 0.97 / max(peak, 1e-6))
    pad = np.zeros(round(_PAD_S * _RATE))
    padded = np.concatenate([pad, samples * gain, pad])
    # Digital silence has no logarithm: one fixed sequence of dither for everybody. The pads
    # get the recording's own noise level, or its noise would begin like a first word.
    noise = np.random.default_rng(0).normal(0.0, 1.0, len(padded))
    floor = gain * float(np.percentile(loud, 5)) if len(loud) else 0.0
    padded += 2e-4 * noise
    for end in (slice(0, len(pad)), slice(len(padded) - len(pad), len(padded))):
        padded[end] += min(floor, 0.05) * noise[end]
    return bytes((np.clip(padded, -1, 1) * 32767).astype("<i2").tobytes())


@cache
def _decoder(attempt: int) -> tuple[Any, Lock]:
    """A decoder with the settings of `attempt` and an empty dictionary, and its lock."""
    import pocketsphinx

    with tempfile.TemporaryDirectory(prefix="wildline-") as folder:
        path = Path(folder) / "words.dict"
        path.write_text("ah AH\n", encoding="utf-8")
        decoder = pocketsphinx.Decoder(
            hmm=str(model_folder() / "en-us"),
            lm=None,
            dict=str(path),
            samprate=_RATE,
            loglevel="FATAL",
            **_ATTEMPTS[attempt],
        )
    return decoder, Lock()


def _name(decoder: Any, variants: tuple[str, ...]) -> str:
    """The name under which the decoder knows a word with these pronunciations."""
    name = "|".join(v.replace(" ", "_") for v in variants)
    if decoder.lookup_word(name) is None:
        for number, phones in enumerate(variants):
            mark = f"({number + 1})" if number else ""
            decoder.add_word(name + mark, phones, number + 1 == len(variants))
    return name


def _decode(pcm: bytes, words: Sequence[tuple[str, ...]], attempt: int) -> list[_Found] | None:
    """Two passes; None when the decoder does not reach the end of the words."""
    decoder, lock = _decoder(attempt)
    with lock:
        try:
            decoder.set_align_text(" ".join(_name(decoder, p) for p in words))
            _run(decoder, pcm)
            decoder.set_alignment()
            _run(decoder, pcm)
            alignment = decoder.get_alignment()
        except (RuntimeError, ValueError):
            return None
        found = list(_entries(alignment)) if alignment is not None else []
    count = found[-1].word + 1 if found else 0
    return found if count == len(words) else None


def _run(decoder: Any, pcm: bytes) -> None:
    # The noise tracker remembers earlier sounds; both passes must hear the same.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _entries(alignment: Any) -> Iterator[_Found]:
    index = -1
    for word in alignment:
        if word.name.startswith("<") or word.name.startswith("["):
            continue
        index += 1
        for phone in word:
            if phone.name == "SIL" or phone.duration <= 0:
                continue
            stop = phone.start + phone.duration
            yield _Found(index, phone.name, phone.start, stop, phone.score / phone.duration)


class SphinxAligner:
    """PocketSphinx, English, up to about half a minute at once."""

    name = "sphinx"

    def align(self, sound: Sound, script: Script) -> Timing:
        """Time every word and phone of `script` in `sound`.

        Phones are ARPAbet without stress; silences between words are gaps. Confidence
        comes from the acoustic scores. Raises `AlignError` when the sound is too short
        for the words; never for speech that is merely hard to follow.
        """
        duration = float(sound.duration_s)
        check_fits(script, duration)
        found = phones_in(sound, pronunciations(script))
        if found is None:
            from align.spread import spread

            return spread(sound, script)
        return _timing(script, found, duration)


def phones_in(sound: Sound, words: Sequence[tuple[str, ...]]) -> list[tuple[int, Span]] | None:
    """(word, span) of every phone of `words` (pronunciations, phones joined by spaces) in
    `sound`, or None when no attempt follows them to the end.
    """
    pcm = _prepare(sound)
    for attempt in range(len(_ATTEMPTS)):
        found = _decode(pcm, words, attempt)
        if found is not None:
            return _settled(sound, _phones(found, float(sound.duration_s)))
    return None


def _phones(found: list[_Found], duration: float) -> list[tuple[int, Span]]:
    """Decoder frames -> (word, span) inside [0, duration], in order, each with a length."""
    shift = _WINDOW_LAG_S - _PAD_S
    scores = np.array([f.score for f in found])
    spans: list[tuple[int, Span]] = []
    at = 0.0
    for index, entry in enumerate(found):
        left = len(found) - index
        last_start = duration - left * 0.001
        start = min(max(entry.start * _HOP_S + shift, at), last_start)
        stop = min(max(entry.stop * _HOP_S + shift, start + 0.001), last_start + 0.001)
        confidence = _confidence(scores[index])
        spans.append((entry.word, Span(entry.phone, start, stop, confidence)))
        at = stop
    return spans


def _settled(sound: Sound, phones: list[tuple[int, Span]]) -> list[tuple[int, Span]]:
    """Phrases begun and ended where the sound does.

    The decoder lets the phones beside a pause take much of it: a [b] of 0.3 s is common.
    """
    levels = loudness(sound)
    loud = levels > speech_level(levels)
    settled = list(phones)
    for index, (word, span) in enumerate(phones):
        before = phones[index - 1][1].end_s if index else 0.0
        after = phones[index + 1][1].start_s if index + 1 < len(phones) else np.inf
        start, end = span.start_s, span.end_s
        if (index == 0 or start - before > _PAUSE_S) and end - start > _LONG_AT_PAUSE_S:
            start = max(phrase_start(loud, start, end, span.label), start)
        if after - end > _PAUSE_S and end - start > _LONG_AT_PAUSE_S:
            end = phrase_end(loud, start + 0.5 * _LONG_AT_PAUSE_S, end)
        if end - start >= 0.01:
            settled[index] = (word, replace(span, start_s=start, end_s=end))
    return _on_changes(sound, settled)


def _on_changes(sound: Sound, phones: list[tuple[int, Span]]) -> list[tuple[int, Span]]:
    """The same phones with their boundaries on the changes of the sound."""
    edges: list[float] = []
    places: list[tuple[int, int]] = []
    for _, span in phones:
        if not edges or span.start_s > edges[-1]:
            edges.append(span.start_s)
        places.append((len(edges) - 1, len(edges)))
        edges.append(span.end_s)
    moved = refine_edges(sound, edges, spread_s=0.015, reach_s=0.03)
    return [
        (word, replace(span, start_s=moved[a], end_s=moved[b]))
        if moved[b] > moved[a]
        else (word, span)
        for (word, span), (a, b) in zip(phones, places, strict=True)
    ]


def _confidence(score: float) -> float:
    """Acoustic log score per frame -> 0.12..0.95.

    Clear read speech scores about -5 to -40, words that are not what is said below -100.
    """
    return float(np.clip(np.exp(score / 60.0), 0.12, 0.95))


def _timing(script: Script, phones: list[tuple[int, Span]], duration: float) -> Timing:
    """Written words over their phones."""
    words: list[Span] = []
    for first, last in script.written_words():
        inside = [s for w, s in phones if first <= w < last]
        if inside:
            sure = float(np.mean([s.confidence for s in inside]))
            words.append(
                Span(script.words[first].written, inside[0].start_s, inside[-1].end_s, sure)
            )
    return Timing(tuple(words), tuple(s for _, s in phones), duration, engine="sphinx")
