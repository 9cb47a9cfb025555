"""Clips with their words, brought to one rate for a trainer to read.

    clips = read_dataset(Path("dataset/"), Path("run/clips"), rate=24_000)
    clips.trained, clips.held_out, clips.dropped

Sound is read by `media.read_sound`, mixed to mono and written once as 16-bit WAV at the model's
rate; nothing of coqui-tts opens a recording of the user's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from align.text import speakable
from media.audio import Sound, read_sound, resample, write_wav
from media.errors import ArchiveError, MediaError, TextError
from media.files import atomic_path, output_error, sha256_of
from voice._sidecar import Transcripts
from voice.ingest.tapes import recordings_in
from voice.voice import Source

__all__ = ["Clips", "Example", "dataset_sha256", "read_dataset"]

Progress = Callable[[float, str], None]

_LIST_NAME = "clips.json"
_SHORTEST_S, _LONGEST_S = 0.8, 11.5
_LEAST_CLIPS = 4
_HELD_OUT, _MOST_HELD_OUT = 0.1, 12  # share of the clips, and how many
_MOST_SOURCES = 500  # recordings named one by one on a card
_SILENT = 1e-4
_WORDS = ("*.txt", "*.lab", "*.srt", "*.vtt", "*.ass", "*.TextGrid", "*.csv", "*.tsv")


@dataclass(frozen=True, slots=True)
class Example:
    """One clip: its words as written, and a WAV of `duration_s` at the trainer's rate."""

    name: str
    text: str
    path: Path
    duration_s: float


@dataclass(frozen=True, slots=True)
class Clips:
    """What is trained on, what is kept to judge by, what fell out and why, and where all is from.

    `dropped` are (clip, reason).
    """

    trained: tuple[Example, ...]
    held_out: tuple[Example, ...]
    dropped: tuple[tuple[str, str], ...]
    sources: tuple[Source, ...]

    @property
    def trained_s(self) -> float:
        """Seconds of speech to train on."""
        return sum(example.duration_s for example in self.trained)


@dataclass(frozen=True, slots=True)
class _Raw:
    name: str
    text: str
    sound: Sound
    source: Path


def read_dataset(
    dataset: Path, folder: Path, *, rate: int, progress: Progress | None = None
) -> Clips:
    """Read a dataset (or a folder of recordings) and write its clips into `folder`.

    A clip that is unreadable, silent, shorter than 0.8 s, longer than 11.5 s or without words
    is dropped with its reason. About every tenth is held out. Clips written before are used
    again. Raises `MediaError` when there is no dataset, `ArchiveError` when fewer than four
    clips are left, `OutputError`.
    """
    report = progress or (lambda _share, _what: None)
    if not dataset.exists():
        raise MediaError(f"there is no dataset '{dataset}'; name a folder of recordings")
    written = folder / _LIST_NAME
    if written.is_file():
        return _read_list(written)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    examples: list[Example] = []
    dropped: list[tuple[str, str]] = []
    used: dict[Path, float] = {}
    for raw in _raw(dataset, dropped, report):
        reason = _unfit(raw)
        if reason:
            dropped.append((raw.name, reason))
            continue
        examples.append(_written(raw, folder, rate))
        used[raw.source] = used.get(raw.source, 0.0) + examples[-1].duration_s
    if len(examples) < _LEAST_CLIPS:
        raise ArchiveError(_too_few(dataset, len(examples), dropped))
    trained, held_out = _divided(examples)
    clips = Clips(trained, held_out, tuple(dropped), _sources(dataset, used))
    _write_list(written, clips)
    return clips


def dataset_sha256(dataset: Path, *, without: Sequence[Path] = ()) -> str:
    """Hexadecimal SHA-256 over the recordings of a dataset and the words beside them.

    Another name, sound or transcript makes another sum; the place of the folder and the times
    of its files do not. Nothing inside the folders `without` counts. Raises `MediaError` when
    there is no dataset.
    """
    if not dataset.exists():
        raise MediaError(f"there is no dataset '{dataset}'; name a folder of recordings")
    root = dataset if dataset.is_dir() else dataset.parent
    recordings = recordings_in(dataset, without=without)
    folders = {root, *(path.parent for path in recordings)}
    words = (path for folder in folders for pattern in _WORDS for path in folder.glob(pattern))
    digest = hashlib.sha256()
    for path in sorted({*recordings, *(p for p in words if p.is_file() and p.name[0] != ".")}):
        try:
            content = sha256_of(path)
        except MediaError:  # its clip is dropped as unreadable
            content = "unreadable"
        name = path.relative_to(root).as_posix()
        digest.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _raw(dataset: Path, dropped: list[tuple[str, str]], report: Progress) -> Iterator[_Raw]:
    """Every clip with its sound, one at a time; unreadable ones go into `dropped`."""
    if (dataset / "metadata.csv").is_file() and (dataset / "wavs").is_dir():
        yield from _of_lj_layout(dataset, dropped, report)
        return
    from voice.archive import read_archive

    archive = read_archive(dataset, progress=report)
    for number, clip in enumerate(archive.clips):
        name = f"{number:05d}-{clip.source.stem}"
        yield _Raw(name, clip.text, clip.sound, clip.source)
    dropped += [(item.source.name, item.reason) for item in archive.dropped]


def _of_lj_layout(
    dataset: Path, dropped: list[tuple[str, str]], report: Progress
) -> Iterator[_Raw]:
    tell = Transcripts()
    paths = sorted(p for p in (dataset / "wavs").iterdir() if p.is_file() and p.name[0] != ".")
    for number, path in enumerate(paths):
        report(number / len(paths), "reading the clips")
        text = tell.of(path)
        if text is None:
            dropped.append((path.name, "metadata.csv has no words for it"))
            continue
        try:
            yield _Raw(path.stem, text, read_sound(path), path)
        except MediaError as error:
            dropped.append((path.name, f"unreadable: {error}"))


def _unfit(raw: _Raw) -> str | None:
    """The reason a clip cannot be trained on, or None."""
    seconds = float(raw.sound.duration_s)
    if seconds < _SHORTEST_S:
        return f"shorter than {_SHORTEST_S:g} s"
    if seconds > _LONGEST_S:
        return f"longer than {_LONGEST_S:g} s"
    if float(np.abs(raw.sound.samples).max(initial=0.0)) < _SILENT:
        return "silent"
    try:
        speakable(raw.text)
    except TextError:
        return "its words cannot be spoken"
    return None


def _written(raw: _Raw, folder: Path, rate: int) -> Example:
    sound = resample(raw.sound, rate)
    peak = float(np.abs(sound.samples).max(initial=0.0))
    if peak > 1.0:  # resampling overshoots clipped recordings
        sound = Sound(sound.samples / np.float32(peak), rate)
    path = folder / f"{raw.name}.wav"
    write_wav(path, sound, subtype="PCM_16")
    return Example(raw.name, " ".join(raw.text.split()), path, float(sound.duration_s))


def _too_few(dataset: Path, kept: int, dropped: list[tuple[str, str]]) -> str:
    counts: dict[str, int] = {}
    for _, reason in dropped:
        kind = reason.partition(":")[0]
        counts[kind] = counts.get(kind, 0) + 1
    why = "; ".join(f"{count} x {kind}" for kind, count in counts.items())
    return (
        f"'{dataset}' has {kept} usable clips{f' ({why})' if why else ''}; at least "
        f"{_LEAST_CLIPS} are needed to train at all, so add recordings"
    )


def _divided(examples: list[Example]) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """(to train on, to judge by): the latter spread evenly over the dataset."""
    count = min(_MOST_HELD_OUT, max(1, round(_HELD_OUT * len(examples))))
    chosen = {int((k + 0.5) * len(examples) / count) for k in range(count)}
    held = tuple(e for k, e in enumerate(examples) if k in chosen)
    return tuple(e for k, e in enumerate(examples) if k not in chosen), held


def _sources(dataset: Path, used: dict[Path, float]) -> tuple[Source, ...]:
    """The recordings with their sums, or of very many only the table that lists them."""
    table = dataset / "metadata.csv"
    if len(used) > _MOST_SOURCES and table.is_file():
        return (Source(table.name, sha256_of(table), round(sum(used.values()) / 60, 3)),)
    return tuple(Source(p.name, sha256_of(p), round(s / 60, 3)) for p, s in used.items())


def _write_list(path: Path, clips: Clips) -> None:
    def row(example: Example) -> dict[str, object]:
        return {**asdict(example), "path": example.path.name}

    facts = {
        "trained": [row(e) for e in clips.trained],
        "held_out": [row(e) for e in clips.held_out],
        "dropped": list(clips.dropped),
        "sources": [asdict(s) for s in clips.sources],
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, ensure_ascii=False), "utf-8")


def _read_list(path: Path) -> Clips:
    """Clips that were written before. Raises `ArchiveError` when their list is damaged."""
    try:
        facts = json.loads(path.read_text("utf-8"))
        trained, held = (
            tuple(Example(**{**row, "path": path.parent / row["path"]}) for row in facts[key])
            for key in ("trained", "held_out")
        )
        dropped = tuple((str(name), str(reason)) for name, reason in facts["dropped"])
        sources = tuple(Source(**row) for row in facts["sources"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(
            f"'{path}' cannot be read ({error}); delete that file and train again"
        ) from error
    missing = [e.path.name for e in (*trained, *held) if not e.path.is_file()]
    if missing:
        raise ArchiveError(
            f"{len(missing)} clips such as '{missing[0]}' are gone from '{path.parent}'; delete "
            f"'{path}' and train again"
        )
    return Clips(trained, held, dropped, sources)
