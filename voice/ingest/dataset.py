"""The dataset on disk: a folder in the manner of LJ Speech, with where everything comes from.

    wavs/ID.wav            16-bit mono at the dataset's rate
    metadata.csv           ID|text|text as spoken        (coqui-tts: formatter "ljspeech")
    originals/ID.wav       the untouched clip, 24 bit at its own rate, where a repair changed it
    manifest.csv           source, its sha256, in and out, measures, repairs, grade and reasons
    dropped.csv            what fell out, and why
    dataset.toml           the whole in numbers: rate, voice, licence, consent, sources
    report.html            the same to look at

`read_dataset` gives it back; lines that a person took out of metadata.csv or corrected there count.
"""

from __future__ import annotations

import csv
import datetime
import io
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from media.errors import ArchiveError, OutputError
from media.files import atomic_path, output_error, sha256_of
from voice.ingest.facts import SourceFacts
from voice.ingest.grading import GRADES

__all__ = [
    "CARD_NAME",
    "Dataset",
    "Fallen",
    "Row",
    "is_dataset",
    "read_dataset",
    "refuse_foreign_folder",
    "write_dataset",
]

CARD_NAME = "dataset.toml"
_FORMAT = 1
_TABLE, _MANIFEST, _DROPPED, _PAGE = "metadata.csv", "manifest.csv", "dropped.csv", "report.html"
_PARTS = ("wavs", "originals", _TABLE, _MANIFEST, _DROPPED, _PAGE)


@dataclass(frozen=True, slots=True)
class Row:
    """One clip of a dataset, a line of its manifest.

    `in_s` and `out_s` are seconds in `source`; `likeness` is the cosine to the chosen voice.
    `repairs` and `reasons` (why the grade is not better) are joined by "; ". `agreement` is the
    share of words that the transcript beside the recording and what is heard have in common, None
    without a transcript. `wav_sha256` is of the clip as it was made.
    """

    id: str
    grade: str
    reasons: str
    text: str
    spoken: str
    source: str
    source_sha256: str
    source_rate: int
    in_s: float
    out_s: float
    repairs: str
    transcript: str
    confidence: float
    note: str
    likeness: float
    snr_db: float
    snr_before_db: float
    level_dbfs: float
    clipped: float
    clicks: int
    bandwidth_hz: float
    f0_hz: float
    licence: str
    agreement: float | None = None
    wav_sha256: str = ""

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.out_s - self.in_s


@dataclass(frozen=True, slots=True)
class Fallen:
    """What is not in the dataset: a stretch of a recording, or all of it (no times)."""

    source: str
    in_s: float | None
    out_s: float | None
    reason: str
    text: str = ""
    likeness: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """A dataset: where it is, its rate in Hz, its clips, what fell out, its recordings.

    `voices` are the seconds that each voice speaks, longest first; `wanted` the chosen one.
    `f0_counts` are voiced frames a semitone from 50 Hz.
    """

    folder: Path
    rate: int
    rows: tuple[Row, ...]
    fallen: tuple[Fallen, ...]
    sources: tuple[SourceFacts, ...]
    language: str = "en"
    consent_id: str = ""
    licence: str = ""
    voices: tuple[float, ...] = ()
    wanted: int = 0
    f0_counts: tuple[int, ...] = ()

    @property
    def speech_s(self) -> float:
        """Seconds of usable speech."""
        return sum(row.duration_s for row in self.rows)

    def wav(self, row: Row) -> Path:
        """The sound file of a clip."""
        return self.folder / "wavs" / f"{row.id}.wav"

    def reasons(self) -> dict[str, int]:
        """Why clips fell out, most frequent first; figures in a reason do not divide it."""
        counts: dict[str, int] = {}
        for item in self.fallen:
            kind = item.reason.partition(":")[0].partition(" (")[0]
            counts[kind] = counts.get(kind, 0) + 1
        return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))

    def minutes(self) -> dict[str, float]:
        """Minutes of every grade, A to D."""
        return {g: sum(row.duration_s for row in self.rows if row.grade == g) / 60 for g in GRADES}

    def report(self) -> str:
        """A few lines a person can read: amounts, grades, and every reason with its count."""
        lines = [
            f"{len(self.sources)} recordings, {len(self.rows)} clips, "
            f"{self.speech_s / 60:.1f} min of speech"
        ]
        grades = [f"{g}: {m:.1f} min" for g, m in self.minutes().items() if m]
        lines += ["  ".join(grades)] if grades else []
        lines += [f"dropped: {n} x {reason}" for reason, n in self.reasons().items()]
        return "\n".join(lines)


def is_dataset(folder: Path) -> bool:
    """Whether `folder` was made by `wildline archive`."""
    return (folder / CARD_NAME).is_file() and (folder / _MANIFEST).is_file()


def refuse_foreign_folder(out: Path, *, work: str, again: bool) -> None:
    """Raise `OutputError` when `out` is somebody else's, or was corrected by hand (not `again`)."""
    try:
        if out.is_file():
            raise OutputError(f"cannot write the dataset '{out}': it is a file; name a folder")
        there = {p.name for p in out.iterdir()} if out.is_dir() else set()
    except OSError as error:
        raise output_error(out / CARD_NAME, error) from error
    if there and work not in there and CARD_NAME not in there:
        raise OutputError(
            f"cannot write the dataset '{out}': the folder holds other things; name a new one"
        )
    if again or not is_dataset(out):
        return
    changed = next(_changed_by_hand(out), None)
    if changed is not None:
        raise OutputError(
            f"'{changed}' was corrected by hand and would be written anew; "
            "name another folder, or use --again to lose the corrections"
        )


def _changed_by_hand(folder: Path) -> Iterator[Path]:
    """The table, if it was corrected, and the sounds that are not as they were made.

    What was taken away is no correction that could be lost. Raises `OutputError` when nobody can
    tell.
    """
    try:
        made = _card(folder).get("metadata_sha256")
        if (folder / _TABLE).is_file() and sha256_of(folder / _TABLE) != made:
            yield folder / _TABLE
        for row in _read_csv(folder / _MANIFEST, Row):
            wav = folder / "wavs" / f"{row.id}.wav"
            if row.wav_sha256 and wav.is_file() and sha256_of(wav) != row.wav_sha256:
                yield wav
    except (ArchiveError, KeyError, ValueError, TypeError, OSError, csv.Error) as error:
        raise OutputError(
            f"the dataset '{folder}' is damaged, and what was corrected there cannot be told; "
            "name another folder, or use --again to make it anew"
        ) from error


def write_dataset(made: Dataset, files: Mapping[str, tuple[Path, Path | None]], page: str) -> None:
    """Put the dataset in its folder, all of it or as it was before.

    `files` gives each clip's sound and untouched original by id, to be copied; `page` is
    the report. Raises `OutputError`.
    """
    draft = made.folder / ".draft"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        (draft / "wavs").mkdir(parents=True)
        for row in made.rows:
            sound, original = files[row.id]
            # No links: an editor that saves in place would change what is kept as well.
            shutil.copyfile(sound, draft / "wavs" / f"{row.id}.wav")
            if original is not None:
                (draft / "originals").mkdir(exist_ok=True)
                shutil.copyfile(original, draft / "originals" / f"{row.id}.wav")
        _write(draft / _TABLE, "".join(f"{r.id}|{r.text}|{r.spoken}\n" for r in made.rows))
        _write(draft / _MANIFEST, _csv(Row, made.rows))
        _write(draft / _DROPPED, _csv(Fallen, made.fallen))
        _write(draft / _PAGE, page)
        card = _card_text(made, sha256_of(draft / _TABLE))
        _swap(draft, made.folder)
    except OSError as error:
        raise output_error(made.folder / CARD_NAME, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    with atomic_path(made.folder / CARD_NAME) as temporary:
        temporary.write_text(card, encoding="utf-8", errors="replace")


def _swap(draft: Path, folder: Path) -> None:
    """The new parts in the place of the old ones; without its card it is no dataset meanwhile."""
    (folder / CARD_NAME).unlink(missing_ok=True)
    for name in _PARTS:
        old = folder / name
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink(missing_ok=True)
        if (draft / name).exists():
            (draft / name).replace(old)


def _write(path: Path, text: str) -> None:
    # The name of a file in a note need not be UTF-8.
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def _csv(kind: type[Row] | type[Fallen], rows: Sequence[Row] | Sequence[Fallen]) -> str:
    names = [f.name for f in fields(kind)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = (getattr(row, name) for name in names)
        writer.writerow("" if value is None else value for value in values)
    return stream.getvalue()


def _card_text(made: Dataset, table_sha256: str) -> str:
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment("A dataset of one voice. The clips are listed in manifest.csv."))
    facts: dict[str, Any] = {
        "format": _FORMAT,
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rate": made.rate,
        "language": made.language,
        "licence": made.licence,
        "consent_id": made.consent_id,
        "clips": len(made.rows),
        "minutes": round(made.speech_s / 60, 3),
        "voices_s": [round(s, 1) for s in made.voices],
        "voice": made.wanted,
        "f0_counts": list(made.f0_counts),
        "metadata_sha256": table_sha256,
    }
    for name, value in facts.items():
        document.add(name, tomlkit.item(value))
    grades = {g: round(m, 3) for g, m in made.minutes().items()}
    document.add("minutes_by_grade", tomlkit.item(grades))
    sources = tomlkit.aot()
    for source in made.sources:
        sources.append(tomlkit.item(dict(_source_facts(source))))
    document.add("source", sources)
    return tomlkit.dumps(document)


def _source_facts(source: SourceFacts) -> Iterator[tuple[str, Any]]:
    for field in fields(source):
        value = getattr(source, field.name)
        if field.name in ("clips", "losses") or value is None:
            continue
        yield field.name, list(value) if isinstance(value, tuple) else value


def _card(folder: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((folder / CARD_NAME).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArchiveError(
            f"'{folder / CARD_NAME}' cannot be read; make the dataset again: wildline archive"
        ) from error


def read_dataset(folder: Path) -> Dataset:
    """A dataset from its folder; what was corrected in metadata.csv counts.

    Raises `ArchiveError` when it is none, or damaged.
    """
    card = _card(folder)
    try:
        if card["format"] != _FORMAT:
            raise ValueError
        rows = tuple(_corrected(folder, _read_csv(folder / _MANIFEST, Row)))
        fallen = tuple(_read_csv(folder / _DROPPED, Fallen))
        sources = tuple(_source(entry) for entry in card.get("source", []))
        made = Dataset(
            folder,
            int(card["rate"]),
            rows,
            fallen,
            sources,
            language=str(card["language"]),
            consent_id=str(card["consent_id"]),
            licence=str(card["licence"]),
            voices=tuple(card["voices_s"]),
            wanted=int(card["voice"]),
            f0_counts=tuple(card["f0_counts"]),
        )
    except (KeyError, ValueError, TypeError, OSError, csv.Error) as error:
        raise ArchiveError(
            f"the dataset '{folder}' is damaged; make it again: wildline archive"
        ) from error
    missing = [row.id for row in made.rows if not made.wav(row).is_file()]
    if missing:
        raise ArchiveError(
            f"the dataset '{folder}' lacks {len(missing)} of its sounds (wavs/{missing[0]}.wav "
            "first); make it again: wildline archive"
        )
    return made


def _source(entry: Mapping[str, Any]) -> SourceFacts:
    known = {f.name for f in fields(SourceFacts)}
    facts: dict[str, Any] = {}
    for name in known & set(entry):
        facts[name] = tuple(entry[name]) if isinstance(entry[name], list) else entry[name]
    return SourceFacts(**facts)


def _read_csv(path: Path, kind: type[Any]) -> Iterator[Any]:
    """Lines of a table as `kind`, numbers as numbers."""
    with path.open(encoding="utf-8", newline="") as stream:
        for line in csv.DictReader(stream):
            there = (f for f in fields(kind) if line.get(f.name) is not None)
            yield kind(**{f.name: _value(line[f.name], str(f.type)) for f in there})


def _value(text: str, kind: str) -> Any:
    if kind.startswith("float"):
        return None if text == "" else float(text)
    return int(text) if kind == "int" else text


def _corrected(folder: Path, rows: Iterator[Row]) -> Iterator[Row]:
    """The rows with the texts of metadata.csv; those not in it are left out."""
    lines = (folder / _TABLE).read_text("utf-8-sig").splitlines()
    cells = [line.split("|") for line in lines if line.strip()]
    texts = {c[0]: (c[1], c[2] if len(c) > 2 else c[1]) for c in cells if len(c) > 1}
    for row in rows:
        if row.id in texts:
            text, spoken = texts[row.id]
            yield replace(row, text=text, spoken=spoken)
