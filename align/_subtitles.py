"""Subtitles: SubRip (.srt) and WebVTT, cues of a line of words each.

A cue ends at a sentence's end, at a pause of 0.6 s, at 42 characters or after 6 s (the
usual limits of broadcast subtitles). WebVTT carries the time of every word inside the
cue, so word times come back from it exactly (to the millisecond); SubRip has none, so
words read from it share their cue's time by their length. Both can also be written with
one cue a word. SubRip and SubStation (.ass, .ssa) are read by pysubs2, which is used to
what people's editors write; it does not know the word times of WebVTT, so that is read here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from align.timing import Span, Timing
from media.errors import AlignError

__all__ = ["from_ass", "from_srt", "from_vtt", "to_srt", "to_srt_words", "to_vtt", "to_vtt_words"]

_PAUSE_S = 0.6
_LONGEST_CHARS = 42
_LONGEST_S = 6.0
_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{1,3})"
_ARROW = re.compile(rf"^\s*{_TIME}\s*-->\s*{_TIME}")
_STAMP = re.compile(rf"<{_TIME}>")


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(ms: int, mark: str) -> str:
    hours, rest = divmod(ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02}{mark}{rest % 1000:03}"


def _seconds(groups: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, part = groups
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + int((part or "0").ljust(3, "0")) / 1000


def _lines(timing: Timing) -> Iterator[list[Span]]:
    line: list[Span] = []
    for word in timing.words:
        if line and (
            word.start_s - line[-1].end_s > _PAUSE_S
            or line[-1].label[-1:] in ".!?…"
            or len(" ".join(w.label for w in line)) + 1 + len(word.label) > _LONGEST_CHARS
            or word.end_s - line[0].start_s > _LONGEST_S
        ):
            yield line
            line = []
        line.append(word)
    if line:
        yield line


def _arrow(line: list[Span], mark: str) -> str:
    start = _milliseconds(line[0].start_s)
    end = max(_milliseconds(line[-1].end_s), start + 1)
    return f"{_clock(start, mark)} --> {_clock(end, mark)}"


def to_srt(timing: Timing) -> str:
    """SubRip, numbered cues, a line of words each."""
    return _srt(list(_lines(timing)))


def to_srt_words(timing: Timing) -> str:
    """SubRip, one cue a word."""
    return _srt([[word] for word in timing.words])


def _srt(lines: list[list[Span]]) -> str:
    cues = [
        f"{number}\n{_arrow(line, ',')}\n{' '.join(w.label for w in line)}\n"
        for number, line in enumerate(lines, 1)
    ]
    return "\n".join(cues)


def to_vtt_words(timing: Timing) -> str:
    """WebVTT, one cue a word."""
    cues = [f"{_arrow([word], '.')}\n{_escape(word.label)}\n" for word in timing.words]
    return "\n".join(["WEBVTT\n", *cues])


def to_vtt(timing: Timing) -> str:
    """WebVTT with the time of every word in the cue."""
    cues = ["WEBVTT\n"]
    for line in _lines(timing):
        words = [_escape(line[0].label)]
        for before, word in pairwise(line):
            start, end = _milliseconds(word.start_s), _milliseconds(before.end_s)
            if start > end:  # a pause: where the word before it ends
                words[-1] += f"<{_clock(end, '.')}>"
            words.append(f"<{_clock(start, '.')}>{_escape(word.label)}")
        cues.append(f"{_arrow(line, '.')}\n{' '.join(words)}\n")
    return "\n".join(cues)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _cues(text: str) -> Iterator[tuple[float, float, str]]:
    """(start, end, text) of every cue."""
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        for index, line in enumerate(lines):
            match = _ARROW.match(line)
            if match:
                groups = match.groups()
                body = " ".join(lines[index + 1 :])
                yield _seconds(groups[:4]), _seconds(groups[4:8]), body
                break


def _shared(start: float, end: float, words: list[str]) -> list[Span]:
    """`words` side by side between `start` and `end`, by their number of letters."""
    sizes = [len(w) + 1 for w in words]
    total, at, spans = sum(sizes), start, []
    for word, size in zip(words, sizes, strict=True):
        stop = at + (end - start) * size / total
        spans.append(Span(word, at, stop, 0.3))
        at = stop
    return spans


def _timing(spans: list[Span], engine: str) -> Timing:
    if not spans:
        raise AlignError("there is no cue in it; write it again")
    return Timing(tuple(spans), (), spans[-1].end_s, engine=engine)


def from_srt(text: str) -> Timing:
    """SubRip: words share the time of their cue (confidence 0.3)."""
    return _timing(_events(text, "srt"), "srt")


def from_ass(text: str) -> Timing:
    """SubStation Alpha: words share the time of their cue, comments are left out."""
    return _timing(_events(text, "ass" if "[V4+ Styles]" in text else "ssa"), "ass")


def _events(text: str, form: str) -> list[Span]:
    from pysubs2 import SSAFile
    from pysubs2.exceptions import Pysubs2Error

    try:
        events = SSAFile.from_string(text, format_=form)
    except Pysubs2Error as error:
        raise AlignError("its subtitles cannot be read; export them again") from error
    spans: list[Span] = []
    for event in sorted(events, key=lambda e: e.start):
        words = [] if event.is_comment else _unescape(event.plaintext).split()
        start = max(event.start / 1000, spans[-1].end_s if spans else 0.0)
        if words and event.end / 1000 > start:  # cues of two speakers may overlap
            spans += _shared(start, event.end / 1000, words)
    return spans


def from_vtt(text: str) -> Timing:
    """Words with their own times where the cue has them, shared times elsewhere."""
    if not text.lstrip("\ufeff").startswith("WEBVTT"):
        raise AlignError("it does not begin with WEBVTT; export it again")
    spans: list[Span] = []
    for start, end, body in _cues(text):
        marks = [start, *(_seconds(m.groups()) for m in _STAMP.finditer(body)), end]
        parts = [p for i, p in enumerate(_STAMP.split(body)) if i % 5 == 0]
        for part, first, last in zip(parts, marks, marks[1:], strict=False):
            words = _unescape(re.sub(r"<[^>]*>", "", part)).split()
            found = _shared(first, last, words)
            spans += [Span(found[0].label, first, last)] if len(words) == 1 else found
    return _timing(spans, "vtt")
