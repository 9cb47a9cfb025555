"""From a box of recordings to clips a voice can be fitted to.

    from voice.archive import read_archive
    archive = read_archive(Path("recordings/"))
    print(archive.report())
    for clip in archive.clips: ...         # 2-12 s each: sound, words, grade

Any file that can be read as sound is taken, however long; words come from a transcript
beside it (`name.txt`, `name.lab`, or a row of `metadata.csv`) and else from speech
recognition. A bad file or a bad stretch is dropped with its reason and never stops the
rest; only when less than ten seconds of speech are left is the archive refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from align.recognise import Heard, hear
from align.vad import FRAME_S, speech_probability, speech_spans
from media.audio import Sound, read_sound, resample
from media.errors import ArchiveError, MediaError
from media.files import sha256_of
from voice import _sidecar

__all__ = [
    "CLIP_RATE",
    "LEAST_SPEECH_S",
    "Archive",
    "Clip",
    "Dropped",
    "Source",
    "read_archive",
    "speech_regions",
]

Floats = NDArray[np.float32]
Progress = Callable[[float, str], None]

CLIP_RATE = 24_000
"""Hz; the rate of the voice engine."""
LEAST_SPEECH_S = 10.0
SHORTEST_S, LONGEST_S = 2.0, 12.0

_SUFFIXES = frozenset(
    {".wav", ".bwf", ".w64", ".rf64", ".aif", ".aiff", ".au", ".caf"}
    | {".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".wma", ".ac3", ".amr", ".g722"}
    | {".mp4", ".m4v", ".mov", ".mkv", ".avi", ".mxf", ".webm", ".mpg", ".mpeg", ".mts", ".ts"}
)
_LONGEST_REGION_S = LONGEST_S - 0.3
_JOIN_GAP_S = 0.7  # a longer silence ends a clip
_MARGIN_S = 0.15  # silence kept around a clip
_TYPICAL_S = 8.0  # a clip this long ends at the next pause
_LEAST_CONFIDENCE = 0.40  # mean token probability; whisper's own limit is exp(-1) = .37
_CLIPPED_LIMIT = 2e-3  # share of samples at full scale beyond which a clip is spoilt
_LEAST_SNR_DB = 6.0
_CHARACTERS_A_SECOND = (4.0, 28.0)  # of a transcript that can belong to the sound
_SAME_RECORDING = 0.98  # correlation of level contours


@dataclass(frozen=True, slots=True)
class Source:
    """One file of the archive: where, what it is, how long (seconds), its own rate (Hz)."""

    path: Path
    sha256: str
    duration_s: Fraction
    rate: int


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of speech with its words, cut at pauses.

    `sound` is mono at 24 kHz; `start_s`, `end_s` are seconds in `source`. `confidence`
    is the mean token probability of the recogniser, 1 for a transcript that came along.
    `snr_db` compares speech with the pauses of the same file. Grade A is clean and
    certain, D is only just usable.
    """

    source: Path
    start_s: Fraction
    end_s: Fraction
    text: str
    sound: Sound
    confidence: float
    snr_db: float
    clipped: float
    grade: str = "A"
    transcript: str = "recognised"

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.end_s - self.start_s)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file (no times) or a stretch of one that is not used, and why."""

    source: Path
    reason: str
    start_s: Fraction | None = None
    end_s: Fraction | None = None


@dataclass(frozen=True, slots=True)
class Archive:
    """What is usable, what is not, and where it came from."""

    clips: tuple[Clip, ...]
    dropped: tuple[Dropped, ...]
    sources: tuple[Source, ...]

    @property
    def speech_s(self) -> float:
        """Seconds of usable speech."""
        return sum(clip.duration_s for clip in self.clips)

    def report(self) -> str:
        """A few lines a person can read: amounts, grades, and every reason with its count."""
        grades = {g: [c for c in self.clips if c.grade == g] for g in "ABCD"}
        lines = [
            f"{len(self.sources)} files, {len(self.clips)} clips, {self.speech_s:.1f} s of speech",
            "  ".join(
                f"{g}: {len(cs)} clips {sum(c.duration_s for c in cs):.1f} s"
                for g, cs in grades.items()
                if cs
            ),
        ]
        lines += [f"dropped: {count} x {reason}" for reason, count in self._reasons().items()]
        return "\n".join(line for line in lines if line)

    def _reasons(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for item in self.dropped:
            counts[item.reason] = counts.get(item.reason, 0) + 1
        return counts


def read_archive(
    recordings: Path | Sequence[Path],
    *,
    language: str = "en",
    limit_s: float | None = None,
    progress: Progress | None = None,
) -> Archive:
    """Cut, transcribe and grade `recordings` (files, or folders searched through).

    `limit_s` stops transcribing once that much speech is at hand, taken evenly over the
    files; `progress` is called with a fraction 0..1 and what is being done. Long files
    are held one at a time, at 24 kHz mono.

    Raises `MediaError` when `recordings` names nothing, and `ArchiveError` when less than
    10 s of usable speech are left; it says how many seconds there were and why the rest
    fell out.
    """
    report = progress or (lambda _fraction, _what: None)
    paths = _recordings(recordings)
    clips: list[Clip] = []
    dropped: list[Dropped] = []
    sources: list[Source] = []
    tell = _sidecar.Transcripts()
    for k, path in enumerate(paths):
        report(k / len(paths), f"reading {path.name}")
        room = None if limit_s is None else (limit_s - _total(clips)) / (len(paths) - k)
        if room is not None and room < SHORTEST_S / 2:
            break
        kept, lost, source = _read_file(path, language, room, tell)
        sources += source
        dropped += lost
        for clip in kept:
            if _known(clip, clips):
                dropped.append(Dropped(path, "the same recording twice", clip.start_s, clip.end_s))
            else:
                clips.append(clip)
    archive = Archive(tuple(clips), tuple(dropped), tuple(sources))
    if archive.speech_s < LEAST_SPEECH_S:
        raise ArchiveError(_too_little(archive, recordings))
    report(1.0, "archive read")
    return archive


def _total(clips: Iterable[Clip]) -> float:
    return sum(clip.duration_s for clip in clips)


def _too_little(archive: Archive, recordings: Path | Sequence[Path]) -> str:
    where = recordings if isinstance(recordings, Path) else f"{len(recordings)} recordings"
    kinds: dict[str, int] = {}
    for reason, count in archive._reasons().items():
        kind = reason.partition(":")[0]
        kinds[kind] = kinds.get(kind, 0) + count
    reasons = "; ".join(f"{count} x {kind}" for kind, count in kinds.items())
    return (
        f"{where} holds {archive.speech_s:.1f} s of usable speech"
        f"{f' ({reasons})' if reasons else ''}; at least {LEAST_SPEECH_S:.0f} s are needed to "
        "fit a voice, so add recordings"
    )


def _recordings(recordings: Path | Sequence[Path]) -> list[Path]:
    """Every file to read, in order of name."""
    given = [recordings] if isinstance(recordings, Path) else list(recordings)
    found: list[Path] = []
    for item in given:
        if item.is_dir():
            inside = (p for p in item.rglob("*") if p.is_file() and not p.name.startswith("."))
            found += sorted(p for p in inside if p.suffix.lower() in _SUFFIXES)
        elif item.is_file():
            found.append(item)
        else:
            raise MediaError(f"{item} does not exist; name a recording or a folder of them")
    if not found:
        raise MediaError(
            f"no recordings in {given[0] if given else 'an empty list'}; "
            "give sound or video files, or a folder that holds some"
        )
    return list(dict.fromkeys(found))


def _read_file(
    path: Path, language: str, limit_s: float | None, tell: _sidecar.Transcripts
) -> tuple[list[Clip], list[Dropped], list[Source]]:
    try:
        native = read_sound(path)
    except MediaError as error:
        return [], [Dropped(path, f"unreadable: {error}")], []
    source = Source(path, sha256_of(path), native.duration_s, native.rate)
    if not len(native.samples) or float(np.abs(native.samples).max()) < 1e-4:
        return [], [Dropped(path, "silent")], [source]
    clipped = _at_full_scale(native.samples)
    sound = resample(native, CLIP_RATE)
    clip_rate = native.rate
    regions = speech_regions(sound)
    if not regions:
        return [], [Dropped(path, "nobody speaks in it")], [source]
    spans, lost = _cuts(regions, float(sound.duration_s), path)
    if limit_s is not None:
        spans = _spread(spans, limit_s)
    floor = _noise_floor_db(sound, regions)
    clips = [_clip(path, sound, span, floor) for span in spans]
    clips = [replace(c, clipped=_share(clipped, c, clip_rate)) for c in clips]
    kept, bad = _worded(clips, path, language, tell)
    return kept, lost + bad, [source]


def speech_regions(sound: Sound) -> list[tuple[float, float]]:
    """Stretches (start, end) in seconds in which somebody speaks, by Silero's detector.

    None is longer than a clip may be: longer ones are divided where they are least like
    speech, and those pieces then touch.
    """
    probability = speech_probability(sound)
    regions: list[tuple[float, float]] = []
    for start, end in speech_spans(probability, float(sound.duration_s)):
        while end - start > _LONGEST_REGION_S:
            low = int((start + 0.4 * _LONGEST_REGION_S) / FRAME_S)
            high = int((start + _LONGEST_REGION_S) / FRAME_S)
            cut = (low + int(np.argmin(probability[low:high])) + 0.5) * FRAME_S
            regions.append((start, cut))
            start = cut
        regions.append((start, end))
    return regions


def _cuts(
    regions: Sequence[tuple[float, float]], duration_s: float, path: Path
) -> tuple[list[tuple[float, float]], list[Dropped]]:
    """Clips as (start, end) seconds: neighbouring regions joined, cut in the pauses."""
    joined: list[tuple[float, float]] = []
    for start, end in regions:
        if joined and _belongs(joined[-1], start, end):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    spans, lost = [], []
    for k, (start, end) in enumerate(joined):
        before = joined[k - 1][1] if k else 0.0
        after = joined[k + 1][0] if k + 1 < len(joined) else duration_s
        span = (
            max(start - _MARGIN_S, (before + start) / 2 if k else 0.0, 0.0),
            min(end + _MARGIN_S, (after + end) / 2 if k + 1 < len(joined) else duration_s),
        )
        if end - start < SHORTEST_S - 2 * _MARGIN_S:
            reason = f"shorter than {SHORTEST_S:.0f} s between pauses"
            lost.append(Dropped(path, reason, _exact(span[0]), _exact(span[1])))
        else:
            spans.append(span)
    return spans, lost


def _belongs(clip: tuple[float, float], start: float, end: float) -> bool:
    """Whether the next region continues a clip instead of starting one."""
    gap, length = start - clip[1], clip[1] - clip[0]
    if end - clip[0] > LONGEST_S - 2 * _MARGIN_S:
        return False
    return gap <= (_JOIN_GAP_S if length < _TYPICAL_S else 0.0) or (
        min(length, end - start) < SHORTEST_S and gap <= 1.5 * _JOIN_GAP_S
    )


def _spread(spans: list[tuple[float, float]], limit_s: float) -> list[tuple[float, float]]:
    """About `limit_s` seconds of `spans`, taken evenly over the file."""
    total = sum(end - start for start, end in spans)
    if total <= limit_s:
        return spans
    keep = max(1, round(len(spans) * limit_s / total))
    return [spans[int((k + 0.5) * len(spans) / keep)] for k in range(keep)]


def _exact(seconds: float) -> Fraction:
    return Fraction(round(seconds * CLIP_RATE), CLIP_RATE)


def _clip(path: Path, sound: Sound, span: tuple[float, float], floor_db: float) -> Clip:
    start, end = _exact(span[0]), min(_exact(span[1]), sound.duration_s)
    piece = sound.cut(start, end)
    level = 10 * np.log10(float(np.mean(piece.samples.astype(np.float64) ** 2)) + 1e-12)
    return Clip(path, start, end, "", piece, 0.0, float(level - floor_db), 0.0)


def _noise_floor_db(sound: Sound, regions: Sequence[tuple[float, float]]) -> float:
    """Level of the pauses in dBFS, or of the quietest twentieth where that is lower.

    Breaths and lips sound in the pauses of a close microphone; they are not its noise.
    """
    frame = CLIP_RATE // 50
    n = len(sound.samples) // frame
    if n == 0:
        return -120.0
    power = (sound.samples[: n * frame].reshape(n, frame).astype(np.float64) ** 2).mean(axis=1)
    quiet = np.ones(n, bool)
    for start, end in regions:
        quiet[int(start * 50) : int(end * 50) + 1] = False
    floor = float(np.percentile(power, 5))
    if quiet.sum() >= 10:
        floor = min(floor, float(np.median(power[quiet])))
    return float(10 * np.log10(floor + 1e-12))


def _at_full_scale(samples: Floats) -> NDArray[np.bool_]:
    """Samples inside a flat top: three or more alike at the recording's own maximum."""
    peak = float(np.abs(samples).max())
    if peak < 0.5:
        return np.zeros(len(samples), bool)
    flat = np.abs(samples) >= peak * 0.9995
    run = flat.copy()
    run[1:-1] = flat[1:-1] & flat[:-2] & flat[2:]
    return run


def _share(flags: NDArray[np.bool_], clip: Clip, rate: int) -> float:
    piece = flags[int(clip.start_s * rate) : int(clip.end_s * rate)]
    return float(piece.mean()) if piece.size else 0.0


def _worded(
    clips: Sequence[Clip], path: Path, language: str, tell: _sidecar.Transcripts
) -> tuple[list[Clip], list[Dropped]]:
    """The clips with their words and grades, and those that fell out."""
    known = tell.of(path)
    kept: list[Clip] = []
    lost: list[Dropped] = []
    spoken = list(_words(clips, known, language))
    for clip in spoken:
        reason = _unfit(clip)
        if reason:
            lost.append(Dropped(path, reason, clip.start_s, clip.end_s))
        else:
            kept.append(replace(clip, grade=_grade(clip)))
    return kept, lost


def _words(clips: Sequence[Clip], known: str | None, language: str) -> Iterator[Clip]:
    if known is not None and len(clips) == 1:
        yield replace(clips[0], text=known, confidence=1.0, transcript="given")
        return
    heard: list[Heard] = [hear(clip.sound, language) for clip in clips]
    texts = _sidecar.divide(known, [h.text for h in heard]) if known is not None else None
    for k, (clip, h) in enumerate(zip(clips, heard, strict=True)):
        given = texts[k] if texts else None
        yield replace(
            clip,
            text=given or h.text,
            confidence=1.0 if given else h.confidence,
            transcript="given" if given else "recognised",
        )


def _unfit(clip: Clip) -> str | None:
    """The reason a clip cannot be used, or None."""
    if not clip.text.strip():
        return "no words recognised"
    if clip.confidence < _LEAST_CONFIDENCE:
        return "the words are not clear (mumbled, noisy, or another language than English)"
    if clip.clipped > _CLIPPED_LIMIT:
        return "clipped"
    if clip.snr_db < _LEAST_SNR_DB:
        return f"speech less than {_LEAST_SNR_DB:.0f} dB above the noise"
    low, high = _CHARACTERS_A_SECOND
    if not low <= len(clip.text) / clip.duration_s <= high:
        return "the words do not fit the length of the sound"
    return None


def _grade(clip: Clip) -> str:
    worst = max(
        sum(clip.confidence < limit for limit in (0.75, 0.62, 0.5)),
        sum(clip.snr_db < limit for limit in (25.0, 17.0, 11.0)),
        sum(clip.clipped > limit for limit in (1e-5, 2e-4, 1e-3)),
    )
    return "ABCD"[worst]


def _contour(clip: Clip) -> Floats:
    """Level in dB every 50 ms, without its mean: the fingerprint of a performance."""
    frame = CLIP_RATE // 20
    n = len(clip.sound.samples) // frame
    power = (clip.sound.samples[: n * frame].reshape(n, frame) ** 2).mean(axis=1)
    level = 10 * np.log10(power + 1e-7)
    return np.asarray(level - level.mean(), dtype=np.float32)


def _known(clip: Clip, clips: Iterable[Clip]) -> bool:
    """Whether the same performance is among `clips`: the same file in another format."""
    mine = _contour(clip)
    for other in clips:
        if other.source == clip.source or abs(other.duration_s - clip.duration_s) > 0.15:
            continue
        theirs = _contour(other)
        for lag in (-1, 0, 1):
            a, b = mine[max(0, lag) :], theirs[max(0, -lag) :]
            n = min(len(a), len(b))
            if n >= 20 and float(np.corrcoef(a[:n], b[:n])[0, 1]) > _SAME_RECORDING:
                return True
    return False
