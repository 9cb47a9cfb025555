"""From a box of recordings to clips a voice can be fitted to.

    from voice.archive import read_archive
    archive = read_archive(Path("recordings/"))
    print(archive.report())
    for clip in archive.clips: ...         # 2-12 s each: sound, words, grade

Any file that can be read as sound is taken, however long; words come from a transcript
beside it (`name.txt`, `name.lab`, or a row of `metadata.csv`) and else from speech
recognition. A bad file or a bad stretch is dropped with its reason and never stops the
rest; only when less than ten seconds of speech are left is the archive refused. A dataset that
`wildline archive` made (`voice.ingest`) is read with its own words and grades.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from align.recognise import Heard, hear
from align.vad import speech_probability
from media.audio import Sound, read_sound, resample
from media.errors import ArchiveError, MediaError
from media.files import sha256_of
from voice import _sidecar
from voice.ingest.cutting import SHORTEST_S, cut_at_pauses, regions
from voice.ingest.dataset import Row, is_dataset, read_dataset
from voice.ingest.duplicates import Performances, contour
from voice.ingest.grading import GRADES, Marks, grade, unfit
from voice.ingest.survey import at_full_scale, floor_and_speech, frame_power
from voice.ingest.tapes import recordings_in

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
    certain, D is only just usable. `noise` float32 [n] is what was taken out of the sound;
    `band` (Hz) where the sound shows the person, None where all clips show as much.
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
    noise: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    band: tuple[float, float] | None = None

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

    A folder made by `wildline archive` is taken as it is: its clips, words and grades.
    `limit_s` stops transcribing once that much speech is at hand, taken evenly over the
    files; `progress` is called with a fraction 0..1 and what is being done. Long files
    are held one at a time, at 24 kHz mono.

    Raises `MediaError` when `recordings` names nothing, and `ArchiveError` when less than
    10 s of usable speech are left; it says how many seconds there were and why the rest
    fell out.
    """
    report = progress or (lambda _fraction, _what: None)
    given = [recordings] if isinstance(recordings, Path) else list(recordings)
    if len(given) == 1 and is_dataset(given[0]):
        return _enough(_from_dataset(given[0], limit_s), recordings, report)
    paths = recordings_in(recordings)
    clips: list[Clip] = []
    dropped: list[Dropped] = []
    sources: list[Source] = []
    tell = _sidecar.Transcripts()
    seen = Performances()
    for k, path in enumerate(paths):
        report(k / len(paths), f"reading {path.name}")
        room = None if limit_s is None else (limit_s - _total(clips)) / (len(paths) - k)
        if room is not None and room < SHORTEST_S / 2:
            break
        kept, lost, source = _read_file(path, language, room, tell)
        sources += source
        dropped += lost
        for clip in kept:
            where = f"{path} at {float(clip.start_s):.1f} s"
            if seen.meet(where, contour(clip.sound), clip.text) is not None:
                dropped.append(Dropped(path, "the same recording twice", clip.start_s, clip.end_s))
            else:
                clips.append(clip)
    return _enough(Archive(tuple(clips), tuple(dropped), tuple(sources)), recordings, report)


def _enough(archive: Archive, recordings: Path | Sequence[Path], report: Progress) -> Archive:
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
    clipped = at_full_scale(native.samples, float(np.abs(native.samples).max()))
    sound = resample(native, CLIP_RATE)
    clip_rate = native.rate
    spoken = speech_regions(sound)
    if not spoken:
        return [], [Dropped(path, "nobody speaks in it")], [source]
    spans, lost = _cuts(spoken, float(sound.duration_s), path)
    if limit_s is not None:
        spans = _spread(spans, limit_s)
    floor = _noise_floor_db(sound, spoken)
    clips = [_clip(path, sound, span, floor) for span in spans]
    clips = [replace(c, clipped=_share(clipped, c, clip_rate)) for c in clips]
    kept, bad = _worded(clips, path, language, tell)
    return kept, lost + bad, [source]


def speech_regions(sound: Sound) -> list[tuple[float, float]]:
    """Stretches (start, end) in seconds in which somebody speaks, by Silero's detector.

    None is longer than a clip may be (`voice.ingest.cutting.regions`).
    """
    return regions(speech_probability(sound), float(sound.duration_s))


def _cuts(
    found: Sequence[tuple[float, float]], duration_s: float, path: Path
) -> tuple[list[tuple[float, float]], list[Dropped]]:
    """Clips as (start, end) seconds, and the stretches that are too short for one."""
    spans, short = cut_at_pauses(found, duration_s)
    reason = f"shorter than {SHORTEST_S:.0f} s between pauses"
    return spans, [Dropped(path, reason, _exact(a), _exact(b)) for a, b in short]


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


def _noise_floor_db(sound: Sound, spoken: Sequence[tuple[float, float]]) -> float:
    """Level of the pauses in dBFS, or of the quietest twentieth where that is lower."""
    return floor_and_speech(frame_power(sound.samples, sound.rate), spoken)[0]


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


def _marks(clip: Clip) -> Marks:
    return Marks(clip.text, clip.duration_s, clip.confidence, clip.snr_db, clip.clipped)


def _unfit(clip: Clip) -> str | None:
    """The reason a clip cannot be used, or None."""
    return unfit(_marks(clip))


def _grade(clip: Clip) -> str:
    return grade(_marks(clip))[0]


def _from_dataset(folder: Path, limit_s: float | None) -> Archive:
    """The clips of a finished dataset, the best grades first where not all are wanted."""
    made = read_dataset(folder)
    rows: list[Row] = []
    for letter in GRADES:
        own = [row for row in made.rows if row.grade == letter]
        room = None if limit_s is None else limit_s - sum(r.duration_s for r in rows)
        if room is not None and room < SHORTEST_S / 2:
            break
        if room is not None and own:
            kept = _spread([(float(k), k + r.duration_s) for k, r in enumerate(own)], room)
            own = [own[int(k)] for k, _ in kept]
        rows += own
    clips = tuple(_dataset_clip(row, read_sound(made.wav(row), CLIP_RATE)) for row in rows)
    sources = tuple(
        Source(Path(s.file), s.sha256, Fraction(round(s.duration_s * s.rate), s.rate), s.rate)
        for s in made.sources
    )
    dropped = tuple(Dropped(Path(f.source), f.reason) for f in made.fallen)
    return Archive(clips, dropped, sources)


def _dataset_clip(row: Row, sound: Sound) -> Clip:
    start = _exact(row.in_s)
    return Clip(
        source=Path(row.source),
        start_s=start,
        end_s=start + sound.duration_s,
        text=row.text,
        sound=sound,
        confidence=row.confidence,
        snr_db=row.snr_db,
        clipped=row.clipped,
        grade=row.grade,
        transcript=row.transcript,
    )
