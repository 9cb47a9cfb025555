"""From pieces of a recording and their words to one timing of the whole.

`plan` gives every piece its words: those of the text that belong there, without the ones
that are not said, and with the ones that are said though the text has not got them, so that
neither pushes its neighbours out of place. `assemble` aligns piece by piece and lays the
results end to end. What is not in the text keeps its phones (the lips move) and has no word;
all of it is noted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from align.agreement import Added, Agreement
from align.anchors import divide_script, whole_token
from align.engines.combined import DOUBTFUL
from align.recording import at_speech_rate
from align.spread import spread
from align.text import Script, speakable
from align.timing import Span, Timing
from media.errors import AlignError, TextError

if TYPE_CHECKING:
    from align.engines import Aligner
    from align.recording import Recording

__all__ = ["Part", "Stretch", "assemble", "plan"]

Stretch = tuple[float, float]

# Nobody speaks faster than this; what has less time than that was not said.
_FASTEST_PHONE_S = 0.045
_USUAL_PHONE_S = 0.07
_LEAST_NOTE_S = 0.1
# A word that one engine alone is less sure of gets a remark; of two, see `DOUBTFUL`.
_DOUBTED_BY_ONE = 0.2


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of the recording and what is said in it.

    `own` tells for each written word of `script` whether it is the text's; `unsaid` are the
    words of the text that are left out here, each with the number of own words before it.
    """

    piece: Stretch
    script: Script
    own: tuple[bool, ...]
    unsaid: tuple[tuple[int, str], ...] = ()


def plan(
    script: Script,
    agreement: Agreement,
    pieces: Sequence[Stretch],
    spoken: Sequence[Stretch],
) -> list[Part]:
    """Each of `pieces` (seconds) with its words; `spoken` is where somebody speaks at all.

    Raises `AlignError` when text and speech have next to nothing in common.
    """
    spans = [h.span for h in agreement.heard]
    divided = divide_script(script, spans, [end for _, end in pieces], agreement)
    unsaid = _unsaid(script, agreement, spoken)
    runs = list(script.written_words())
    parts: list[Part] = []
    for number, (piece, (first, last)) in enumerate(zip(pieces, divided, strict=True)):
        begins = piece[0] if number else 0.0
        until = pieces[number + 1][0] if number + 1 < len(pieces) else float("inf")
        added = [
            a
            for a in agreement.added
            if begins <= a.words[0].span.middle_s < until and _in_speech(a, spoken)
        ]
        inside = runs[bisect_left(runs, (first, 0)) : bisect_left(runs, (last, 0))]
        part = _part(script, piece, inside, unsaid, added)
        if part is not None:
            parts.append(part)
    return parts


def _in_speech(added: Added, spoken: Sequence[Stretch]) -> bool:
    """Whether somebody speaks for at least half of the time of words that were heard."""
    spans = [w.span for w in added.words]
    inside = sum(max(0.0, min(s.end_s, b) - max(s.start_s, a)) for s in spans for a, b in spoken)
    return inside >= 0.5 * sum(s.duration_s for s in spans)


def _unsaid(
    script: Script, agreement: Agreement, spoken: Sequence[Stretch]
) -> frozenset[tuple[int, int]]:
    """Written words [first, last) that were not heard and that there is no time for."""
    silent = [
        run for run in script.written_words() if all(i in agreement.unheard for i in range(*run))
    ]
    groups: list[list[tuple[int, int]]] = []
    for run in silent:
        if groups and groups[-1][-1][1] == run[0]:
            groups[-1].append(run)
        else:
            groups.append([run])
    found: set[tuple[int, int]] = set()
    for group in groups:
        if not _time_for(script, agreement, (group[0][0], group[-1][1]), spoken):
            found.update(group)
    return frozenset(found)


def _time_for(
    script: Script, agreement: Agreement, words: tuple[int, int], spoken: Sequence[Stretch]
) -> bool:
    """Whether the speech between the surely heard neighbours of `words` can hold them too."""
    first, last = words
    left = next((i for i in range(first - 1, -1, -1) if agreement.counterpart[i] >= 0), -1)
    right = next((i for i in range(last, len(script.words)) if agreement.counterpart[i] >= 0), -1)
    start = agreement.heard[agreement.counterpart[left]].span.end_s if left >= 0 else 0.0
    end = float("inf")
    if right >= 0:
        end = agreement.heard[agreement.counterpart[right]].span.start_s
    room = sum(max(0.0, min(b, end) - max(a, start)) for a, b in spoken)
    between = range(left + 1, right if right >= 0 else len(script.words))
    others = sum(len(script.words[i].phones) for i in between if not first <= i < last)
    wanted = sum(len(w.phones) for w in script.words[first:last])
    return room - others * _USUAL_PHONE_S >= wanted * _FASTEST_PHONE_S


def _part(
    script: Script,
    piece: Stretch,
    inside: Sequence[tuple[int, int]],
    unsaid: frozenset[tuple[int, int]],
    added: Sequence[Added],
) -> Part | None:
    """One piece's words: those of `inside` (written words) that are said, and `added` ones."""
    first = inside[0][0] if inside else 0
    scripts: list[Script] = []
    own: list[bool] = []
    missing: list[tuple[int, str]] = []
    waiting = sorted(added, key=lambda a: a.at)

    def insert(until: float) -> None:
        while waiting and max(first, whole_token(script, waiting[0].at)) <= until:
            extra = _script_of(waiting.pop(0))
            if extra is not None:
                scripts.append(extra)
                own.extend([False] * len(extra.written_words()))

    for said, group in groupby(inside, key=lambda run: run not in unsaid):
        runs = list(group)
        if not said:
            text = script.text[
                script.words[runs[0][0]].start_char : script.words[runs[-1][1] - 1].end_char
            ]
            missing.append((sum(own), text))
            continue
        start = runs[0][0]
        for run in runs:
            if waiting and max(first, whole_token(script, waiting[0].at)) <= run[0]:
                if run[0] > start:
                    scripts.append(script.select(start, run[0]))
                    start = run[0]
                insert(run[0])
            own.append(True)
        scripts.append(script.select(start, runs[-1][1]))
    insert(float("inf"))
    if not scripts:
        return None
    joined = script.joined(scripts) if len(scripts) > 1 else scripts[0]
    return Part(piece, joined, tuple(own), tuple(missing))


def _script_of(added: Added) -> Script | None:
    try:
        return speakable(added.text)
    except TextError:
        return None


def assemble(
    recording: Recording,
    parts: Sequence[Part],
    aligner: Aligner,
    duration_s: float,
    *,
    strict: bool,
    progress: Callable[[float], None] | None = None,
) -> Timing:
    """Align every part and lay them end to end.

    A piece whose words do not fit is spread over its sound, with a note, and costs the rest
    nothing; when `strict` it raises `AlignError`.
    """
    words: list[Span] = []
    phones: list[Span] = []
    notes: list[Span] = []
    engine = ""
    for number, (sound, part) in enumerate(
        zip(recording.cuts([p.piece for p in parts]), parts, strict=True)
    ):
        sound = at_speech_rate(sound)
        try:
            timing = aligner.align(sound, part.script)
        except AlignError:
            if strict:
                raise
            timing = spread(sound, part.script)
            notes.append(Span("these words do not fit this stretch", *part.piece))
        moved = timing.shifted(part.piece[0])
        kept, remarks = _kept(part, moved)
        words += kept
        notes += remarks
        phones += moved.phones
        engine = engine or timing.engine
        if progress is not None:
            progress((number + 1) / len(parts))
    notes.sort(key=lambda n: (n.start_s, n.end_s))
    return Timing(tuple(words), tuple(phones), duration_s, engine=engine, notes=tuple(notes))


def _kept(part: Part, timing: Timing) -> tuple[list[Span], list[Span]]:
    """The words of the text, and remarks on what is not: added, unsaid, doubtful."""
    own = part.own if len(part.own) == len(timing.words) else (True,) * len(timing.words)
    kept = [w for w, mine in zip(timing.words, own, strict=True) if mine]
    notes: list[Span] = []
    for mine, group in groupby(zip(timing.words, own, strict=True), key=lambda pair: pair[1]):
        spans = [w for w, _ in group]
        if not mine:
            text = " ".join(w.label for w in spans)
            notes.append(Span(f"not in the text: '{text}'", spans[0].start_s, spans[-1].end_s))
    for before, text in part.unsaid:
        left = kept[before - 1].end_s if 0 < before <= len(kept) else part.piece[0]
        right = kept[before].start_s if before < len(kept) else part.piece[1]
        spare = max(0.0, _LEAST_NOTE_S - (right - left)) / 2
        start = max(0.0, left - spare)
        notes.append(Span(f"not heard: '{text}'", start, max(right + spare, start + 0.01)))
    least = DOUBTFUL if "+" in timing.engine else _DOUBTED_BY_ONE
    for doubtful, some in groupby(kept, key=lambda w: w.confidence < least):
        spans = list(some)
        if doubtful and timing.engine != "spread":
            text = " ".join(w.label for w in spans)
            notes.append(Span(f"uncertain: '{text}'", spans[0].start_s, spans[-1].end_s))
    return kept, notes
