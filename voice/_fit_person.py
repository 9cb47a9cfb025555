"""The person behind the recordings in numbers, and how near a voice comes to them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np
from numpy.typing import NDArray

from align.text import speakable
from media.audio import Sound
from media.errors import NoSpeechError
from voice._band import ENCODERS_HEAR_HZ, band_limited
from voice._side_by_side import side_by_side
from voice.archive import CLIP_RATE, Clip
from voice.engines import Synthesizer
from voice.pitch import bandwidth_hz, lowest_hz, median_f0, track_f0
from voice.scores import intelligibility, naturalness
from voice.similarity import centroid, cosine, ge2e, judge
from voice.voice import Voice

__all__ = [
    "MARKS",
    "Listener",
    "Measured",
    "Person",
    "ceiling",
    "divide",
    "likeness",
    "listen",
    "measure",
]

Floats = NDArray[np.float32]

MARKS = ("similarity", "ge2e", "wer", "dnsmos")
"""What `Measured` holds, in its order."""
_HELD_OUT = 0.15  # share of the recordings
_MOST_HELD_OUT = 6
_LEAST_TRAINED_S = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """What was measured before anything is fitted.

    `trained` and `held_out` clips are never mixed. `ge2e` and `judge` are the centroids
    float32 [256] of the trained clips, without those of a narrower band where the others are
    enough. `f0` is the median, `f0_range` the 5th and 95th percentile, in Hz; `band_hz` is the
    upper edge of the band the recordings have, `low_hz` the lower one where even the fundamental
    is missing. `unworn` is the GE2E centroid that recordings of the whole band would give,
    where these are narrow (`voice._fit_unworn`).
    """

    trained: tuple[Clip, ...]
    held_out: tuple[Clip, ...]
    ge2e: Floats
    judge: Floats
    f0: float
    f0_range: tuple[float, float]
    band_hz: float
    low_hz: float = 0.0
    unworn: Floats | None = None

    @property
    def narrow(self) -> bool:
        """Whether the recordings lack a part of the band that the encoders hear."""
        return self.low_hz > 0 or self.band_hz < ENCODERS_HEAR_HZ

    def band(self, clip: Clip) -> tuple[float, float]:
        """The edges in Hz of the band in which `clip` shows the person."""
        return clip.band or (self.low_hz, self.band_hz)

    def heard(self, sound: Sound) -> Sound:
        """`sound` as these recordings would have it: in their band."""
        return band_limited(sound, self.band_hz, self.low_hz)

    @property
    def guide(self) -> Floats:
        """The GE2E centroid [256] that a fit goes by."""
        return self.ge2e if self.unworn is None else self.unworn

    def guided(self, sound: Sound) -> Sound:
        """`sound` as it is compared with the guide: whole where that shows the whole band."""
        return self.heard(sound) if self.unworn is None else sound


@dataclass(frozen=True, slots=True)
class Measured:
    """Marks of a voice on some sentences: cosines to a person's centroids by the judge and
    by GE2E, word error rate (a fraction), DNSMOS (1..5); means over the sentences."""

    similarity: float
    ge2e: float
    wer: float
    dnsmos: float


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    """A sentence as one voice says it, and what it was marked so far."""

    sound: Sound | None = None
    marks: Mapping[str, float] = field(default_factory=dict)


def divide(clips: Sequence[Clip]) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """(clips to fit, clips to judge by).

    About every seventh recording is held out whole, or clip where there are few
    recordings; none where less than 8 s would be left to fit.
    """
    sources = sorted({clip.source for clip in clips})
    names = {sources[k] for k in _spread(len(sources))} if len(sources) >= 5 else set()
    trained = tuple(clip for clip in clips if clip.source not in names)
    if not names or _shown_s(clips) >= _LEAST_TRAINED_S > _shown_s(trained):
        # By clips also where all that shows the person best would go.
        chosen = _spread(len(clips))
        trained = tuple(clip for k, clip in enumerate(clips) if k not in chosen)
    if sum(c.duration_s for c in trained) < _LEAST_TRAINED_S:
        return tuple(clips), ()
    kept = set(map(id, trained))
    return trained, tuple(clip for clip in clips if id(clip) not in kept)


def _spread(count: int) -> set[int]:
    """About every seventh of so many."""
    wanted = min(_MOST_HELD_OUT, max(1, round(_HELD_OUT * count)))
    return {int((k + 0.5) * count / wanted) for k in range(wanted)}


def _shown_s(clips: Sequence[Clip]) -> float:
    """Seconds that show as much of the person as any."""
    return sum(clip.duration_s for clip in clips if clip.band is None)


def _whole(clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """Those that show as much of the person as any, where they are enough; all else."""
    if _shown_s(clips) < _LEAST_TRAINED_S:
        return tuple(clips)
    return tuple(clip for clip in clips if clip.band is None)


def listen(clips: Sequence[Clip]) -> Person:
    """Measure the person who speaks in `clips`."""
    trained, held = divide(clips)
    whole = _whole(trained)
    f0 = np.concatenate([track_f0(clip.sound) for clip in trained])
    voiced = f0[f0 > 0]
    low, high = np.percentile(voiced, (5, 95)) if voiced.size else (0.0, 0.0)
    pitch = median_f0(f0)
    return Person(
        trained,
        held,
        centroid(ge2e().embed(clip.sound) for clip in whole),
        centroid(judge().embed(clip.sound) for clip in whole),
        pitch,
        (float(low), float(high)),
        float(np.median([bandwidth_hz(clip.sound) for clip in whole])),
        float(np.median([lowest_hz(clip.sound, pitch) for clip in whole])),
    )


def measure(
    voice: Voice, texts: Sequence[str], person: Person, synthesizer: Synthesizer
) -> Measured:
    """How `voice` does on `texts` beside `person`; a silent line counts as nobody."""
    return Listener(person, synthesizer).measure(voice, texts)


class Listener:
    """Marks voices beside a person, `workers` sentences at once; says and marks nothing twice."""

    def __init__(self, person: Person, synthesizer: Synthesizer, workers: int = 1) -> None:
        self.person, self.synthesizer, self.workers = person, synthesizer, workers
        self._lines: dict[tuple[bytes, str], _Line] = {}

    def measure(self, voice: Voice, texts: Sequence[str], marks: Sequence[str] = MARKS) -> Measured:
        """As the function of that name; what is not among `marks` is NaN."""
        who = _numbers_of(voice)
        lines = {text: self._lines.get((who, text), _Line()) for text in texts}
        new = [text for text, line in lines.items() if not line.marks.keys() >= set(marks)]
        heard = side_by_side(
            lambda text: self._heard(voice, text, lines[text], marks), new, self.workers
        )
        lines.update(zip(new, heard, strict=True))
        self._lines.update({(who, text): line for text, line in lines.items()})
        return Measured(
            *(
                float(np.mean([lines[text].marks[mark] for text in texts]))
                if mark in marks
                else nan
                for mark in MARKS
            )
        )

    def _heard(self, voice: Voice, text: str, line: _Line, marks: Sequence[str]) -> _Line:
        """`line` with these marks too."""
        sound = line.sound
        if sound is None:
            sound = self.synthesizer.speak(speakable(text), voice).sound
        new = {mark: self._mark(mark, sound, text) for mark in marks if mark not in line.marks}
        return _Line(sound, {**line.marks, **new})

    def _mark(self, mark: str, sound: Sound, text: str) -> float:
        if mark == "wer":
            return intelligibility(sound, text).wer
        if mark == "dnsmos":
            return naturalness(sound)
        try:
            if mark == "similarity":
                return cosine(judge().embed(self.person.heard(sound)), self.person.judge)
            return cosine(ge2e().embed(self.person.guided(sound)), self.person.guide)
        except NoSpeechError:
            return 0.0


def _numbers_of(voice: Voice) -> bytes:
    digest = hashlib.sha256(voice.style.tobytes())
    for name, extra in voice.layers.items():
        digest.update(name.encode() + extra.tobytes())
    return digest.digest()


def likeness(
    voice: Voice,
    texts: Sequence[str],
    person: Person,
    synthesizer: Synthesizer,
    workers: int = 1,
) -> float:
    """The judge's mean cosine alone: `Measured.similarity` without listening to the words."""

    def mark(text: str) -> float:
        heard = person.heard(synthesizer.speak(speakable(text), voice).sound)
        try:
            return cosine(judge().embed(heard), person.judge)
        except NoSpeechError:
            return 0.0

    return float(np.mean(side_by_side(mark, texts, workers)))


def ceiling(person: Person) -> float | None:
    """The judge's cosine of the person's own held-out recordings; None without any.

    No synthesis can be expected above it. Recordings of a narrower band than others are no
    measure of it.
    """
    marks = [
        cosine(judge().embed(clip.sound), person.judge)
        for clip in person.held_out
        if clip.sound.rate == CLIP_RATE and clip.band is None
    ]
    return float(np.mean(marks)) if marks else None
