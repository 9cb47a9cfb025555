"""Recordings -> words: recognise speech, and time any length of it.

`transcribe` writes down what is said (Whisper tiny, int8, on the CPU); `align_sound` and
`align_file` give the `Timing` of a recording whose text is known or not. All listen for
speech first (silero-vad), cut long sounds in the middles of pauses into pieces of at most
20 s, and work through one piece at a time; `align_file` reads large files anew for every
pass, so memory does not grow with length.

A given text is checked against what is heard: pieces that surely say it are only read along
(`align.overhear`), the others recognised. Another text is refused, words left out of it or never
said are noted (`Timing.notes`) and do not push the others away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from align.agreement import compare_spoken
from align.assemble import Part, Stretch, assemble, plan
from align.memory import Memory
from align.overhear import overhear
from align.recognise import LANGUAGE, Segment, Transcript, recognise_piece
from align.recording import Recording, at_speech_rate, recording
from align.text import Script, speakable
from align.timing import Span, Timing
from align.vad import (
    BLOCK_S,
    pieces_at_pauses,
    probabilities,
    require_speech,
    speech_spans,
)
from media.errors import AlignError, NoSpeechError, TextError

if TYPE_CHECKING:
    from align.engines import Aligner
    from align.engines.nnet import Hearing
    from media.audio import Sound

__all__ = ["Segment", "Transcript", "align_file", "align_sound", "transcribe"]

_LONGEST_S = 20.0
# With a text most pieces are cut shorter: PocketSphinx keeps all the sounds of a piece in play, so
# that the seconds of long ones take it half as much again, and less is written down where the text
# is wrong. To write a piece down costs the same however short it is: without a text they are long.
_USUAL_S = 10.0
_MARGIN_S = 0.25
# Nobody speaks faster; above this the text is not what is said.
_FASTEST_PHONES_PER_S = 25.0
# With a smaller share of the text recognised the timing is delivered with a remark.
_CERTAIN = 0.5
# How the work is shared out in time: listening, recognising, aligning.
_LISTENED, _RECOGNISED = 0.05, 0.6

_Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class _Heard:
    """How long a recording is, where somebody speaks in it, and where to cut it (seconds)."""

    duration_s: float
    spans: tuple[Stretch, ...]
    pieces: tuple[Stretch, ...]


def _listen(source: Recording, usual_s: float = _LONGEST_S) -> _Heard:
    length = 0

    def counted() -> Iterator[Sound]:
        nonlocal length
        for block in source.blocks(BLOCK_S):
            length += len(block)
            yield block

    probability = probabilities(counted())
    duration = length / source.rate
    spans = speech_spans(probability, duration)
    require_speech(spans, duration)
    usual = usual_s if duration > _LONGEST_S else _LONGEST_S
    pieces = pieces_at_pauses(spans, duration, probability, _LONGEST_S, usual)
    spoken = [p for p in pieces if any(a < p[1] and b > p[0] for a, b in spans)]
    return _Heard(duration, spans, tuple(_trimmed(p, spans) for p in spoken))


def _trimmed(piece: Stretch, spans: tuple[Stretch, ...]) -> Stretch:
    """`piece` without the silence at its ends, where recognisers hear "thank you"."""
    inside = [(a, b) for a, b in spans if a < piece[1] and b > piece[0]]
    start, end = inside[0][0] - _MARGIN_S, inside[-1][1] + _MARGIN_S
    return max(piece[0], start), min(piece[1], end)


def _spoken(segment: Segment, spans: tuple[Stretch, ...]) -> bool:
    """Whether at least half of the segment lies in stretches of speech."""
    inside = sum(max(0.0, min(segment.end_s, b) - max(segment.start_s, a)) for a, b in spans)
    return inside >= 0.5 * (segment.end_s - segment.start_s)


def transcribe(
    sound: Sound,
    language: str = LANGUAGE,
    *,
    progress: _Progress | None = None,
) -> Transcript:
    """Write down what is said in `sound` (any rate, any length).

    `progress` is called with the share done, 0..1. Raises `NoSpeechError` when nobody
    speaks (silence, noise, tones, music), or another `language` than English.
    """
    source = recording(sound)
    return _transcribe(source, _listen(source), language, progress)


def _transcribe(
    source: Recording,
    heard: _Heard,
    language: str = LANGUAGE,
    progress: _Progress | None = None,
) -> Transcript:
    segments: list[Segment] = []
    cuts = source.cuts(heard.pieces)
    for number, (piece, sound) in enumerate(zip(heard.pieces, cuts, strict=True)):
        segments += _recognised(at_speech_rate(sound), piece, heard, language)
        if progress is not None:
            progress((number + 1) / len(heard.pieces))
    if not segments:
        raise _no_words(heard)
    return Transcript(tuple(segments), heard.duration_s, language)


def _recognised(
    sound: Sound, piece: Stretch, heard: _Heard, language: str = LANGUAGE
) -> list[Segment]:
    """What is said in one piece, where somebody speaks; `sound` is at 16 kHz."""
    found = recognise_piece(sound.samples, language, *piece)
    return [s for s in found if _spoken(s, heard.spans)]


@dataclass(frozen=True, slots=True)
class _Listener:
    """What the text is checked against. See `align.overhear`."""

    heard: _Heard

    def words(self, sound: Sound, piece: Stretch) -> list[Span]:
        return [w for s in _recognised(sound, piece, self.heard) for w in s.words]

    def speech_end(self, piece: Stretch) -> float:
        return max(min(b, piece[1]) for a, b in self.heard.spans if a < piece[1] and b > piece[0])


def _no_words(heard: _Heard) -> NoSpeechError:
    return NoSpeechError(
        f"no words can be heard in this sound ({heard.duration_s:.1f} s); "
        "choose a recording of speech, or give its text"
    )


def align_sound(
    sound: Sound,
    text: str | None = None,
    *,
    engine: str | Aligner | None = None,
    lexicon: Mapping[str, str] | None = None,
    check: bool = True,
    progress: _Progress | None = None,
) -> Timing:
    """Words and phones of a recording of any length.

    With `text`, the recording is anchored by recognising it and matching the words;
    without, the recognised text is aligned. `engine` is an aligner, or the name of one of
    `get_aligner`'s. `check=False` takes a text of at most 20 s at its word, which saves the check.

    Raises `TextError` for a text with nothing to speak, `NoSpeechError` when nobody speaks,
    and `AlignError` when the text is not what is said or cannot be said in so little time.
    """
    return _align(sound, text, engine, lexicon, check, progress or _unwatched)


def align_file(
    path: Path,
    text: str | None = None,
    *,
    engine: str | Aligner | None = None,
    lexicon: Mapping[str, str] | None = None,
    check: bool = True,
    progress: _Progress | None = None,
) -> Timing:
    """`align_sound` of a sound or video file; large ones are never held in memory.

    Raises what `align_sound` does, `NoSoundError` and `MediaError`.
    """
    return _align(path, text, engine, lexicon, check, progress or _unwatched)


def _unwatched(share: float) -> None:
    del share


def _align(
    given: Sound | Path,
    text: str | None,
    engine: str | Aligner | None,
    lexicon: Mapping[str, str] | None,
    check: bool,
    progress: _Progress,
) -> Timing:
    script = speakable(text, lexicon) if text is not None else None
    engine, hearing = _engine(engine)
    source = recording(given)
    heard = _listen(source, _LONGEST_S if script is None else _USUAL_S)
    progress(_LISTENED)
    if script is not None:
        _refuse_too_much(script, heard)
    short = script is not None and len(heard.pieces) == 1
    if script is not None and short and not check:
        parts, remark = [_whole(heard, script)], ""
    else:
        parts, remark = _parts(source, heard, script, lexicon, progress, hearing)
    timing = assemble(
        source,
        parts,
        engine,
        heard.duration_s,
        strict=short,
        progress=lambda share: progress(_RECOGNISED + (1 - _RECOGNISED) * share),
    )
    return _remarked(timing, remark, script)


def _engine(engine: str | Aligner | None) -> tuple[Aligner, Hearing]:
    """The engine asked for, and how a text is followed for it.

    One of ours that is found by its name is told what was heard then; for others nothing is kept.
    """
    from align.engines import DEFAULT, OURS, get_aligner
    from align.engines.nnet import hear

    if engine is not None and not isinstance(engine, str):
        return engine, hear
    name, memory = DEFAULT if engine is None else engine, Memory()
    found = get_aligner(name, memory.recall)
    return found, memory.keep if name in OURS else hear


def _refuse_too_much(script: Script, heard: _Heard) -> None:
    """More words than anybody can say in the time that somebody speaks."""
    time = sum(b - a for a, b in heard.pieces)
    if len(script.phones) > _FASTEST_PHONES_PER_S * time:
        raise AlignError(
            f"{len(script.words)} words cannot be spoken in the {time:.2f} s of speech of this "
            "sound; give the text of this sound, or the whole sound of this text"
        )


def _whole(heard: _Heard, script: Script) -> Part:
    return Part(heard.pieces[0], script, (True,) * len(script.written_words()))


def _parts(
    source: Recording,
    heard: _Heard,
    script: Script | None,
    lexicon: Mapping[str, str] | None,
    progress: _Progress,
    hearing: Hearing,
) -> tuple[list[Part], str]:
    """What is said in each piece, by the recogniser and the text, and a remark on the whole."""

    def listened(share: float) -> None:
        progress(_LISTENED + (_RECOGNISED - _LISTENED) * share)

    if script is None:
        return _own_scripts(_transcribe(source, heard, progress=listened), heard, lexicon), ""

    words = overhear(source, heard.pieces, script, _Listener(heard), listened, hearing)
    if not words:
        if len(heard.pieces) > 1:
            raise _no_words(heard)
        return [_whole(heard, script)], "no word was recognised, so the text is unchecked"
    agreement = compare_spoken(script, words)
    parts = plan(script, agreement, heard.pieces, heard.spans)
    if agreement.share >= _CERTAIN:
        return parts, ""
    return parts, f"only {100 * agreement.share:.0f} % of the text was recognised; listen to it"


def _own_scripts(
    transcript: Transcript, heard: _Heard, lexicon: Mapping[str, str] | None
) -> list[Part]:
    """Each piece with the text recognised in it."""
    parts: list[Part] = []
    for start, end in heard.pieces:
        said = " ".join(s.text for s in transcript.segments if start <= s.start_s < end)
        try:
            script = speakable(said, lexicon)
        except TextError:  # a cough that was written down as "..."
            continue
        parts.append(Part((start, end), script, (True,) * len(script.written_words())))
    if not parts:
        raise NoSpeechError("no words can be heard in this sound; choose a recording of speech")
    return parts


def _remarked(timing: Timing, remark: str, script: Script | None) -> Timing:
    """With remarks on the whole: unchecked, words spelt out, characters not spoken."""
    remarks = [remark] if remark else []
    if script is not None and script.spelt:
        remarks.append(f"spelt letter by letter: {', '.join(script.spelt)}")
    if script is not None and script.dropped:
        remarks.append(f"not spoken: {' '.join(script.dropped)}")
    whole = tuple(Span(r, 0.0, timing.duration_s) for r in remarks)
    return replace(timing, notes=(*whole, *timing.notes)) if whole else timing
