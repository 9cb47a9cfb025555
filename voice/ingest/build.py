"""All recordings into one dataset: what `wildline archive` does.

    made = make_dataset([Path("tapes/")], Path("anna"), Settings(licence="family archive"))

Each recording is worked by itself first (`work`); the choice of the voice, the copies and the names
need all of them and take seconds. A second run with more recordings, or with another speaker, works
only what is new.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from align.recognise import LANGUAGE
from media.audio import read_sound
from media.errors import ArchiveError, MediaError, OutputError
from media.files import output_error, sha256_of
from voice._sidecar import Transcripts
from voice.ingest.dataset import Dataset, Fallen, Row, refuse_foreign_folder, write_dataset
from voice.ingest.duplicates import Performances
from voice.ingest.facts import ClipFacts
from voice.ingest.grading import GRADES, Marks, grade
from voice.ingest.settings import Settings
from voice.ingest.speakers import Choice, VoicePrint, choose_speaker, reference_print
from voice.ingest.tapes import recordings_in
from voice.ingest.work import Ingested, ingest, key_of, stored

__all__ = ["WORK_NAME", "make_dataset"]

Progress = Callable[[str, int, int | None], None]

WORK_NAME = ".ingest"
"""The folder of finished recordings inside a dataset."""
_KEPT = re.compile(r"(\.draft-)?[0-9a-f]{24}")
_HEAVY_NOISE_DB = 10.0
_FEWEST_LIKE = 3  # clips: fewer say nothing about how alike a voice is to itself


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A clip that may be used: its recording, its facts, its prints."""

    home: Ingested
    clip: ClipFacts
    print: VoicePrint
    contour: np.ndarray

    @property
    def duration_s(self) -> float:
        return (self.clip.end - self.clip.start) / self.home.facts.rate

    def times(self) -> tuple[float, float]:
        rate = self.home.facts.rate
        return round(self.clip.start / rate, 6), round(self.clip.end / rate, 6)

    def fallen(self, reason: str, likeness: float | None = None) -> Fallen:
        alike = None if likeness is None else round(likeness, 3)
        return Fallen(self.home.facts.file, *self.times(), reason, self.clip.text, alike)


def make_dataset(
    recordings: Path | Sequence[Path],
    out: Path,
    settings: Settings | None = None,
    *,
    again: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> Dataset:
    """Cut, mend, write down, grade and sort `recordings` into the dataset `out`.

    `progress` is called with what is being done, and how much of it. A dataset whose
    metadata.csv or wavs were corrected by hand is replaced only with `again`. What is kept of
    recordings or settings that this run has not used is removed when all is done.

    Raises `MediaError` when nothing is there, `OutputError` when `out` cannot be written, and
    `ArchiveError` when nothing usable is left; it says why.
    """
    settings = settings or Settings()
    refuse_foreign_folder(out, work=WORK_NAME, again=again)
    paths = recordings_in(recordings, without=[out])
    reference = _reference(settings)
    try:
        (out / WORK_NAME).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(out / WORK_NAME, error) from error
    homes, fallen, whole = _all_ingested(paths, out / WORK_NAME, settings, progress)
    progress("sorting clips", 0, None)
    made, files = _assembled(homes, fallen, out, settings, reference)
    if not made.rows:
        raise ArchiveError(_nothing_left(made, recordings))
    from voice.ingest.report import render_page

    write_dataset(made, files, render_page(made, settings.name or out.name))
    if whole:
        _prune(out / WORK_NAME, {home.folder.name for home in homes})
    progress("sorting clips", 1, 1)
    return made


def _reference(settings: Settings) -> VoicePrint | None:
    if settings.speaker is None:
        return None
    return reference_print(read_sound(settings.speaker), settings.speaker.name)


def _all_ingested(
    paths: Sequence[Path], work: Path, settings: Settings, progress: Progress
) -> tuple[list[Ingested], list[Fallen], bool]:
    """Every recording's clips, from an earlier run where that is possible; what fell out whole.

    And whether all could be read: of one that could not, nobody knows what is kept of it.
    """
    tell = Transcripts()
    names = _names(paths)
    homes: list[Ingested] = []
    fallen: list[Fallen] = []
    known: dict[str, str] = {}
    whole = True
    for number, path in enumerate(paths):
        progress("recordings", number, len(paths))
        name = names[number]
        try:
            content = sha256_of(path)
        except MediaError as error:
            fallen.append(Fallen(name, None, None, f"unreadable: {_utf8(str(error))}"))
            whole = False
            continue
        if content in known:
            fallen.append(Fallen(name, None, None, f"the same file twice: also {known[content]}"))
            continue
        known[content] = name
        try:
            given = tell.given(path)
            folder = work / key_of(content, settings, given)
            found = stored(folder) or ingest(
                path,
                name,
                folder,
                settings,
                given,
                lambda done, total: progress("this recording (s)", int(done), int(total) or None),
            )
        except OutputError:
            raise
        except MediaError as error:
            fallen.append(Fallen(name, None, None, f"unreadable: {_utf8(str(error))}"))
            continue
        homes.append(replace(found, facts=replace(found.facts, file=name)))
    progress("recordings", len(paths), len(paths))
    return homes, fallen, whole


def _prune(work: Path, used: set[str]) -> None:
    """Remove what is kept of other recordings and settings, and drafts that were broken off."""
    for folder in work.iterdir():
        if folder.name not in used and _KEPT.fullmatch(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _names(paths: Sequence[Path]) -> list[str]:
    """The paths without what is common to all: short, and still different."""
    folders = [path.resolve().parent for path in paths]
    common = folders[0]
    while not all(folder.is_relative_to(common) for folder in folders):
        common = common.parent
    return [_utf8(path.resolve().relative_to(common).as_posix()) for path in paths]


def _utf8(text: str) -> str:
    """Tables and the card are UTF-8; what is no UTF-8 in a name is written as \\xe9."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _assembled(
    homes: Sequence[Ingested],
    fallen: Sequence[Fallen],
    out: Path,
    settings: Settings,
    reference: VoicePrint | None,
) -> tuple[Dataset, dict[str, tuple[Path, Path | None]]]:
    """The dataset, and where the sound and the original of each clip lie."""
    lost = [*fallen, *_lost_alone(homes)]
    candidates = _candidates(homes)
    made = Dataset(
        out,
        settings.rate,
        (),
        tuple(lost),
        tuple(home.facts for home in homes),
        language=settings.language,
        consent_id=settings.consent_id,
        licence=settings.licence,
    )
    if not candidates:
        return made, {}
    name = "" if settings.speaker is None else settings.speaker.name
    choice = choose_speaker(
        [c.print for c in candidates],
        [c.duration_s for c in candidates],
        reference,
        reference_name=name,
    )
    chosen, others = _of_the_voice(candidates, choice)
    chosen, copies = _once(chosen)
    ids = _ids([c for c, _ in chosen])
    rows = [_row(c, alike, name, settings) for (c, alike), name in zip(chosen, ids, strict=True)]
    files = {name: _files(c) for (c, _), name in zip(chosen, ids, strict=True)}
    counts = [c.clip.f0_counts for c, _ in chosen]
    made = replace(
        made,
        rows=tuple(rows),
        fallen=_in_order([*lost, *others, *copies]),
        voices=choice.seconds,
        wanted=choice.wanted,
        f0_counts=tuple(int(n) for n in np.sum(counts, axis=0)) if counts else (),
    )
    return made, files


def _lost_alone(homes: Sequence[Ingested]) -> list[Fallen]:
    """What fell out of each recording by itself."""
    lost: list[Fallen] = []
    for home in homes:
        facts = home.facts
        if facts.reason:
            lost.append(Fallen(facts.file, None, None, facts.reason))
        pieces = [(x.start, x.end, x.reason, "") for x in facts.losses]
        pieces += [(c.start, c.end, c.reason, c.text) for c in facts.clips if c.reason]
        for start, end, reason, text in pieces:
            first, last = (round(t / facts.rate, 6) for t in (start, end))
            lost.append(Fallen(facts.file, first, last, reason, text))
    return lost


def _candidates(homes: Sequence[Ingested]) -> list[_Candidate]:
    return [
        _Candidate(home, clip, print_, level)
        for home in homes
        for clip, print_, level in zip(home.facts.clips, home.prints, home.contours, strict=True)
        if not clip.reason and print_ is not None
    ]


def _of_the_voice(
    candidates: Sequence[_Candidate], choice: Choice
) -> tuple[list[tuple[_Candidate, float]], list[Fallen]]:
    """(clips of the chosen voice with their likeness, the others with why)."""
    chosen: list[tuple[_Candidate, float]] = []
    others: list[Fallen] = []
    for k, candidate in enumerate(candidates):
        alike = float(choice.likeness[k])
        if choice.cluster[k] != choice.wanted:
            others.append(candidate.fallen(f"another speaker ({alike:.2f} alike)", alike))
        elif choice.mixed[k]:
            others.append(candidate.fallen("another speaker in part of it", alike))
        elif alike < choice.least and len(candidates) >= _FEWEST_LIKE:
            others.append(candidate.fallen(f"unlike the wanted voice ({alike:.2f} alike)", alike))
        else:
            chosen.append((candidate, alike))
    return chosen, others


def _once(
    chosen: Sequence[tuple[_Candidate, float]],
) -> tuple[list[tuple[_Candidate, float]], list[Fallen]]:
    """Every performance once, in its best copy; the other copies fall out."""
    order = sorted(range(len(chosen)), key=lambda k: (*_rank(chosen[k][0]), k))
    seen = Performances()
    copies: dict[int, Fallen] = {}
    for k in order:
        candidate, alike = chosen[k]
        where = f"{candidate.home.facts.file} at {candidate.times()[0]:.1f} s"
        first = seen.meet(where, candidate.contour, candidate.clip.text)
        if first is not None:
            copies[k] = candidate.fallen(f"the same recording twice: also {first}", alike)
    kept = [pair for k, pair in enumerate(chosen) if k not in copies]
    return kept, [copies[k] for k in sorted(copies)]


def _rank(candidate: _Candidate) -> tuple[float, ...]:
    """Better copies first: by grade, band, and what was not repaired."""
    letter, _ = _graded(candidate)
    clip = candidate.clip
    return GRADES.index(letter), -round(clip.bandwidth_hz / 1000), len(clip.repairs)


def _graded(candidate: _Candidate) -> tuple[str, tuple[str, ...]]:
    clip, facts = candidate.clip, candidate.home.facts
    marks = Marks(
        clip.text,
        candidate.duration_s,
        clip.confidence,
        clip.snr_db,
        clip.clipped,
        clip.bandwidth_hz,
        facts.direct_db,
    )
    letter, reasons = grade(marks)
    if "denoise" in clip.repairs and clip.snr_before_db < _HEAVY_NOISE_DB and letter in "AB":
        return "C", (f"cleaned of heavy noise ({clip.snr_before_db:.0f} dB before)",)
    return letter, reasons


def _ids(candidates: Sequence[_Candidate]) -> list[str]:
    """Names for the clips: their file's, and a number in it."""
    stems: dict[str, str] = {}
    for candidate in candidates:
        file = candidate.home.facts.file
        if file not in stems:
            plain = re.sub(r"[^A-Za-z0-9]+", "-", Path(file).stem).strip("-")[:40] or "tape"
            taken = {s.lower() for s in stems.values()}
            stem, n = plain, 2
            while stem.lower() in taken:
                stem, n = f"{plain}-{n}", n + 1
            stems[file] = stem
    counts: dict[str, int] = {}
    names = []
    for candidate in candidates:
        stem = stems[candidate.home.facts.file]
        counts[stem] = counts.get(stem, 0) + 1
        names.append(f"{stem}_{counts[stem]:04d}")
    return names


def _row(candidate: _Candidate, alike: float, name: str, settings: Settings) -> Row:
    clip, facts = candidate.clip, candidate.home.facts
    letter, reasons = _graded(candidate)
    start, end = candidate.times()
    return Row(
        id=name,
        grade=letter,
        reasons="; ".join(reasons),
        text=clip.text,
        spoken=_spoken(clip.text, settings.language),
        source=facts.file,
        source_sha256=facts.sha256,
        source_rate=facts.rate,
        in_s=start,
        out_s=end,
        repairs="; ".join(clip.repairs),
        transcript=clip.origin,
        confidence=clip.confidence,
        note=clip.note,
        likeness=round(alike, 3),
        snr_db=clip.snr_db,
        snr_before_db=clip.snr_before_db,
        level_dbfs=clip.level_dbfs,
        clipped=clip.clipped,
        clicks=clip.clicks,
        bandwidth_hz=clip.bandwidth_hz,
        f0_hz=clip.f0_hz,
        licence=settings.licence,
        agreement=clip.agreement,
        wav_sha256=clip.wav_sha256,
    )


def _spoken(text: str, language: str) -> str:
    """English as it is spoken, with its punctuation: figures and abbreviations written out."""
    from align.normalise import normalise

    if language != LANGUAGE:
        return text
    words: list[str] = []
    for piece in normalise(text).pieces:
        if piece.kind == "punct" and words and piece.text in ",.;:!?…":
            words[-1] += piece.text
        elif piece.kind != "punct":
            words.append(" ".join(piece.text) if piece.kind == "letters" else piece.text)
    return " ".join(words) or text


def _files(candidate: _Candidate) -> tuple[Path, Path | None]:
    folder, clip = candidate.home.folder, candidate.clip
    return folder / clip.wav, folder / clip.original if clip.original else None


def _in_order(fallen: Sequence[Fallen]) -> tuple[Fallen, ...]:
    return tuple(sorted(fallen, key=lambda f: (f.source, -1.0 if f.in_s is None else f.in_s)))


def _nothing_left(made: Dataset, recordings: Path | Sequence[Path]) -> str:
    one = recordings if isinstance(recordings, Path) else recordings[0]
    where = (
        f"'{_utf8(str(one))}'"
        if isinstance(recordings, Path) or len(recordings) == 1
        else (f"these {len(recordings)} places")
    )
    reasons = "; ".join(f"{n} x {reason}" for reason, n in made.reasons().items())
    return (
        f"nothing usable is left of {where} ({reasons or 'no speech'}); add recordings of clear "
        "speech, or correct what the reasons name"
    )
