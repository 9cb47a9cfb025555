"""Transcripts that came along with the recordings."""

from __future__ import annotations

import csv
import difflib
import re
from pathlib import Path

__all__ = ["Transcripts", "divide"]

_TABLES = ("metadata.csv", "transcripts.csv", "metadata.tsv")


class Transcripts:
    """Looks beside a recording for its words; each table is read once.

    Understood: `name.txt` and `name.lab` beside `name.wav`, and a table in the same
    folder or the one above whose rows are `name|text|text as spoken` (LJ Speech),
    `name,text` or tab-separated; the last column that is not empty is taken.
    """

    def __init__(self) -> None:
        self._tables: dict[Path, dict[str, str]] = {}

    def of(self, recording: Path) -> str | None:
        """The words of `recording`, one line, or None."""
        for suffix in (".txt", ".lab"):
            text = _read(recording.with_suffix(suffix))
            if text:
                return text
        for folder in (recording.parent, recording.parent.parent):
            for name in _TABLES:
                rows = self._table(folder / name)
                text = rows.get(recording.stem) or rows.get(recording.name)
                if text:
                    return text
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


def _read_table(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    first = text.partition("\n")[0]
    mark = next((m for m in ("|", "\t") if m in first), ",")
    rows: dict[str, str] = {}
    lines = text.splitlines()
    for row in csv.reader(lines) if mark == "," else (line.split(mark) for line in lines):
        cells = [cell.strip() for cell in row]
        if not cells:
            continue
        words = next((c for c in reversed(cells[1:]) if c), "")
        if words:
            rows[Path(cells[0]).stem if "." in cells[0] else cells[0]] = " ".join(words.split())
    return rows


def _plain(word: str) -> str:
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
        None, [_plain(w) for w in given], [_plain(w) for _, w in words], autojunk=False
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
