"""What engines do to a finished utterance alike: silences put in, pieces joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from align.timing import Span, Timing
from media.audio import Sound
from media.errors import TextError
from voice.engines import Utterance

if TYPE_CHECKING:
    from align.text import Script
    from voice.prosody import Prosody, WordWishes

__all__ = ["joined", "refuse_beyond", "wishes_by_piece", "with_pauses"]

_FADE_S = 0.006  # on both sides of a silence that is put in


def refuse_beyond(prosody: Prosody, engine: str) -> None:
    """Raise `TextError` for wishes that only Kokoro's stages can meet."""
    if prosody.guide is not None:
        raise TextError(
            f"a voice of the engine '{engine}' cannot follow a guide; fit the person with: "
            "wildline fit"
        )
    if prosody.semitones != 0:
        raise TextError(
            f"a voice of the engine '{engine}' cannot be moved in pitch; leave the pitch alone"
        )


def wishes_by_piece(pieces: Sequence[Script], words: WordWishes) -> Iterator[WordWishes]:
    """The wishes for each piece's own words; the pause at the very end goes to the last one."""
    first = 0
    for number, piece in enumerate(pieces):
        last = first + len(piece.words)
        yield words.select(first, last + int(number == len(pieces) - 1))
        first = last


def with_pauses(said: Utterance, script: Script, words: WordWishes) -> Utterance:
    """The utterance with the wished silences before its words, in whole frames of the engine."""
    for word, seconds in sorted(words.pauses, reverse=True):
        frames = round(seconds / said.frame_s)
        if frames > 0:
            said = _with_silence(said, script, word, frames)
    return said


def _with_silence(said: Utterance, script: Script, word: int, frames: int) -> Utterance:
    at_s = _before(said, script, word)
    seconds = frames * said.frame_s
    sound = _spliced(said.sound, round(at_s * said.sound.rate), round(seconds * said.sound.rate))
    durations = said.durations.copy()
    if len(durations):
        durations[_slot_before(script, word)] += frames
    timing = replace(
        said.timing,
        words=_moved(said.timing.words, at_s, seconds),
        phones=_moved(said.timing.phones, at_s, seconds),
        duration_s=float(sound.duration_s),
    )
    return replace(said, sound=sound, timing=timing, durations=durations)


def _before(said: Utterance, script: Script, word: int) -> float:
    """Seconds between a spoken word and the one before it, at both ends the ends of the sound."""
    runs = script.written_words()
    index = next((i for i, (first, _) in enumerate(runs) if first >= word), len(runs))
    words = said.timing.words
    if index == 0:
        return 0.0
    if index >= len(words):
        return said.timing.duration_s
    return 0.5 * (words[index - 1].end_s + words[index].start_s)


def _slot_before(script: Script, word: int) -> int:
    """The index in [start, *characters, end] whose silence comes before `word`."""
    if word == 0:
        return 0
    if word >= len(script.words):
        return len(script.kokoro) + 1
    return script.word_of.index(word)  # the character before it, counted with the start mark


def _moved(spans: tuple[Span, ...], from_s: float, by_s: float) -> tuple[Span, ...]:
    return tuple(
        replace(s, start_s=s.start_s + by_s, end_s=s.end_s + by_s) if s.middle_s > from_s else s
        for s in spans
    )


def _spliced(sound: Sound, at: int, count: int) -> Sound:
    samples = np.array(sound.samples)
    fade = min(round(_FADE_S * sound.rate), at, len(samples) - at)
    if fade > 0:
        slope = np.linspace(0, 1, fade, dtype=np.float32)
        samples[at - fade : at] *= slope[::-1]
        samples[at : at + fade] *= slope
    return Sound(np.insert(samples, at, np.zeros(count, np.float32)), sound.rate)


def joined(script: Script, pieces: Sequence[Script], parts: Sequence[Utterance]) -> Utterance:
    """Pieces of one script laid end to end as one utterance."""
    if len(parts) == 1:
        return parts[0]
    words: list[Span] = []
    phones: list[Span] = []
    notes: list[Span] = []
    at = 0.0
    for part in parts:
        moved = part.timing.shifted(at)
        words += moved.words
        phones += moved.phones
        notes += moved.notes
        at += float(part.sound.duration_s)
    timing = Timing(tuple(words), tuple(phones), at, parts[0].timing.engine, notes=tuple(notes))
    samples = np.concatenate([p.sound.samples for p in parts])
    return replace(
        parts[0],
        sound=Sound(samples, parts[0].sound.rate),
        timing=timing,
        durations=_joined_durations(script, pieces, parts),
    )


def _joined_durations(
    script: Script, pieces: Sequence[Script], parts: Sequence[Utterance]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """One duration per character of the whole and both ends; silence between goes to the gaps."""
    durations = np.zeros(len(script.kokoro) + 2, np.int64)
    if not all(len(part.durations) for part in parts):
        return durations[:0]
    at = 0
    for number, (piece, part) in enumerate(zip(pieces, parts, strict=True)):
        begin = script.kokoro.index(piece.kokoro, at)
        at = begin + len(piece.kokoro)
        durations[1 + begin : 1 + at] += part.durations[1:-1]
        durations[0 if number == 0 else begin] += part.durations[0]
        durations[min(at + 1, len(durations) - 1)] += part.durations[-1]
    return durations
