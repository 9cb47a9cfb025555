"""Transcripts that came along with the recordings."""

from __future__ import annotations

import csv
import difflib
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Given", "Transcripts", "divide", "plain"]

_TABLES = ("metadata.csv", "transcripts.csv", "metadata.tsv")
_TIMED = (".srt", ".vtt", ".ass", ".TextGrid")
_OPENS, _CLOSES = ("[", "(", "<"), ("]", ")", ">")  # [door slams]
_SPEAKER = re.compile(r"(-|>>)?[A-Z][A-Z'-]+:")


@dataclass(frozen=True, slots=True)
class Given:
    """The words of a recording, the name of the file they are from, and when each is said.

    `times` in seconds, one (start, end) a word; None where the file has none.
    """

    words: tuple[str, ...]
    name: str
    times: tuple[tuple[float, float], ...] | None = None

    @property
    def text(self) -> str:
        """All of it, one line."""
        return " ".join(self.words)


class Transcripts:
    """Looks beside a recording for its words; each table is read once.

    Understood: `name.txt` and `name.lab` beside `name.wav`, subtitles and TextGrids of that name,
    and a table in the same folder or the one above whose rows are `name|text|text as spoken`
    (LJ Speech), `name,text` or tab-separated; the last column that is not empty is taken.
    """

    def __init__(self) -> None:
        self._tables: dict[Path, dict[str, str]] = {}

    def of(self, recording: Path) -> str | None:
        """The words of `recording`, one line, or None; subtitles are not looked at."""
        found = self._untimed(recording)
        return None if found is None else found[0]

    def given(self, recording: Path) -> Given | None:
        """The words of `recording`, with their times where it has subtitles; or None."""
        found = self._untimed(recording)
        if found is not None:
            return Given(tuple(found[0].split()), found[1])
        for suffix in _TIMED:
            beside = recording.with_suffix(suffix)
            if beside.is_file() and (given := _read_timed(beside)) is not None:
                return given
        return None

    def _untimed(self, recording: Path) -> tuple[str, str] | None:
        """(words, the name of their file)."""
        for suffix in (".txt", ".lab"):
            text = _read(recording.with_suffix(suffix))
            if text:
                return text, recording.with_suffix(suffix).name
        for folder in (recording.parent, recording.parent.parent):
            for name in _TABLES:
                rows = self._table(folder / name)
                text = rows.get(recording.stem) or rows.get(recording.name)
                if text:
                    return text, name
        return None

    def _table(self, path: Path) -> dict[str, str]:
        if path not in self._tables:
            self._tables[path] = _read_table(path) if path.is_file() else {}
        return self._tables[path]


def _read(path: Path) -> str | None:
    try:
        text = " ".join(path.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError):
        return None
    # A .lab of times and labels, one a line, is no transcript.
    return None if re.fullmatch(r"([\d.]+ +[\d.]+ +\S+ ?)+", text) else text or None


def _read_timed(path: Path) -> Given | None:
    """The words of subtitles without stage directions and speakers' names; None if unreadable."""
    from align.formats import read_timing
    from media.errors import WildlineError

    try:
        spans = read_timing(path).words
    except WildlineError:
        return None
    kept, aside = [], False
    for span in spans:
        sung = span.label.count("♪")
        aside = aside or span.label.startswith(_OPENS)
        spoken = re.search(r"\w", span.label) and not _SPEAKER.fullmatch(span.label)
        if spoken and not aside and not sung:
            kept.append(span)
        aside = aside != bool(sung % 2)
        aside = aside and not span.label.rstrip(".,").endswith(_CLOSES)
    if not kept:
        return None
    times = tuple((s.start_s, s.end_s) for s in kept)
    return Given(tuple(s.label for s in kept), path.name, times)


def _read_table(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    first = text.partition("\n")[0]
    mark = next((m for m in ("|", "\t") if m in first), ",")
    rows: dict[str, str] = {}
    lines = text.splitlines()
    for row in _comma_rows(lines) if mark == "," else (line.split(mark) for line in lines):
        cells = [cell.strip() for cell in row]
        if not cells:
            continue
        words = next((c for c in reversed(cells[1:]) if c), "")
        if words:
            rows[Path(cells[0]).stem if "." in cells[0] else cells[0]] = " ".join(words.split())
    return rows


def _comma_rows(lines: list[str]) -> list[list[str]]:
    """Rows of a CSV; of a damaged one those before the damage."""
    rows: list[list[str]] = []
    with suppress(csv.Error):
        rows.extend(csv.reader(lines))  # keeps what came before the error
    return rows


def plain(word: str) -> str:
    """A word for comparison: small letters, no punctuation."""
    return re.sub(r"[^\w']", "", word.lower())


def divide(text: str, heard: list[str]) -> list[str] | None:
    """One transcript of a whole recording dealt out to its clips.

    `heard` is what the recogniser made of each clip. Its words are matched with those of
    `text`, and each clip gets the words between its neighbours'. Returns None when fewer
    than 60 % of the words agree: then the transcript belongs to something else.
    """
    given = text.split()
    words = [(k, w) for k, line in enumerate(heard) for w in line.split()]
    matcher = difflib.SequenceMatcher(
        None, [plain(w) for w in given], [plain(w) for _, w in words], autojunk=False
    )
    blocks = [b for b in matcher.get_matching_blocks() if b.size]
    if sum(b.size for b in blocks) < 0.6 * max(len(given), len(words)):
        return None
    owner = [-1] * len(given)
    for block in blocks:
        for offset in range(block.size):
            owner[block.a + offset] = words[block.b + offset][0]
    last = 0
    for k, clip in enumerate(owner):
        if clip < 0:
            following = next((c for c in owner[k:] if c >= 0), last)
            # A word nobody heard goes with the word before it unless a clip starts there.
            owner[k] = last if k else following
        last = owner[k]
    return [
        " ".join(w for w, k in zip(given, owner, strict=True) if k == clip)
        for clip in range(len(heard))
    ]
