"""One recording, from file to finished clips in a work folder.

    found = stored(folder) or ingest(path, "tapes/a.wav", folder, settings, given)
    found.facts, found.prints

Each recording has a folder, named by its content and the settings; what is in it is whole, because
the folder gets its name last. A run that is broken off loses at most the recording in hand, and a
second run takes what is there.

Clips go through two lanes at once, each on one core. None leaves anything behind for the next: the
same recording gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from align.recognise import LANGUAGE, Heard
from media.audio import Sound, resample, write_wav
from media.errors import MediaError, NoSpeechError, OutputError
from media.files import output_error, sha256_of
from voice._sidecar import Given
from voice.ingest.cutting import SHORTEST_S
from voice.ingest.duplicates import contour
from voice.ingest.facts import ClipFacts, Loss, SourceFacts, facts_of, text_of
from voice.ingest.grading import Marks, unfit
from voice.ingest.hum import remove_hum
from voice.ingest.listening import AT_ONCE, listen
from voice.ingest.overlap import TWO_VOICES, second_voice
from voice.ingest.repair import CONTEXT_S, Plan, Workshop, plan_repairs
from voice.ingest.settings import Settings
from voice.ingest.speakers import VoicePrint, voice_print
from voice.ingest.survey import Survey, at_full_scale, floor_and_speech, frame_power, survey
from voice.ingest.tapes import Tape, open_tape
from voice.ingest.words import Worded, word_clips
from voice.pitch import bandwidth_hz, median_f0, track_f0
from voice.similarity import ge2e, judge

__all__ = ["Ingested", "ingest", "key_of", "stored"]

Floats = NDArray[np.float32]
Span = tuple[float, float]

_VERSION = 4  # of what is measured: raise it and everything is done again
_LANES = AT_ONCE
_AHEAD = 3  # clips waiting in each lane
_REPAIR_HELPS_DB = 15.0  # at most: what was under noise is partly the network's invention
_F0_BINS = 48
_ORIGINAL_BITS = "PCM_24"
_DATASET_BITS = "PCM_16"
_LEAST_SPEECH_S = 1.0
_LOST_S = 0.5
_UNREAD = "'{}' went away or changed while it was read; leave it alone until it is done"
# What reading a damaged file of numbers or facts ends in.
_DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile),
    *(ValueError, LookupError, TypeError, AttributeError),
)
_UNSURE_SHARE, _UNSURE_CLIPS, _CLEAN_DB = 0.6, 3, 12.0


@dataclass(frozen=True, slots=True, eq=False)
class Ingested:
    """A recording's facts, its work folder, and a print and a level contour of every clip."""

    facts: SourceFacts
    folder: Path
    prints: tuple[VoicePrint | None, ...]
    contours: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Done:
    facts: ClipFacts
    heard: Heard | None
    print: VoicePrint | None
    contour: Floats


def key_of(sha256: str, settings: Settings, given: Given | None) -> str:
    """The name of a recording's work folder: its content, its words, and what is done with it."""
    words = None if given is None else [given.words, given.times]
    parts = [_VERSION, sha256, settings.repair, settings.rate, settings.language, words]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]


def stored(folder: Path) -> Ingested | None:
    """What an earlier run left in `folder`; None when there is nothing whole."""
    try:
        facts = facts_of((folder / "facts.json").read_text("utf-8"))
        with (folder / "prints.npz").open("rb") as stream, np.load(stream) as data:
            prints, contours = _unpacked(data)
    except _DAMAGED:
        return None
    if not len(prints) == len(contours) == len(facts.clips):
        return None
    if not all(_is_whole(folder, clip) for clip in facts.clips):
        return None
    return Ingested(facts, folder, prints, contours)


def _is_whole(folder: Path, clip: ClipFacts) -> bool:
    """Whether a clip's sound is what was measured, and its original is there."""
    if clip.original and not (folder / clip.original).is_file():
        return False
    try:
        return sha256_of(folder / clip.wav) == clip.wav_sha256
    except MediaError:
        return False


def ingest(
    path: Path,
    name: str,
    folder: Path,
    settings: Settings,
    given: Given | None,
    progress: Callable[[float, float], None] = lambda _done, _total: None,
) -> Ingested:
    """Make the clips of a recording in `folder`, which appears when all is done.

    `progress` is called with seconds done and in all. Raises `MediaError` when the recording
    cannot be read, `OutputError` when the folder cannot be written.
    """
    import soundfile

    draft = folder.with_name(f".draft-{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True)
        with _one_thread_each():
            _work(path, name, draft, settings, given, progress)
        shutil.rmtree(folder, ignore_errors=True)
        draft.replace(folder)
    except soundfile.LibsndfileError as error:
        raise MediaError(_UNREAD.format(path)) from error
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) == path:
            raise MediaError(_UNREAD.format(path)) from error
        raise output_error(folder, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    found = stored(folder)
    if found is None:
        raise OutputError(f"what was written to '{folder}' is gone or damaged; check the disk")
    return found


def _work(
    path: Path,
    name: str,
    draft: Path,
    settings: Settings,
    given: Given | None,
    progress: Callable[[float, float], None],
) -> None:
    """Everything that is known of a recording, and its clips, into the folder `draft`."""
    tape = open_tape(path)
    facts = _facts(tape, name)
    done: list[_Done] = []
    if tape.is_silent:
        facts = replace(facts, reason="silent")
    else:
        seen = survey(tape, lambda seconds: progress(seconds / 4, 0.0))
        facts = _surveyed(facts, seen, plan := plan_repairs(seen, settings))
        if not facts.reason:
            done = _clips(tape, seen, plan, settings, draft, progress)
            facts = replace(facts, clips=_worded(done, facts, seen, given, settings))
    _store(draft, facts, done)


def _facts(tape: Tape, name: str) -> SourceFacts:
    return SourceFacts(name, tape.sha256, tape.rate, tape.channels, note=tape.note)


def _surveyed(facts: SourceFacts, seen: Survey, plan: Plan) -> SourceFacts:
    why = f"shorter than {SHORTEST_S:.0f} s between pauses"
    losses = tuple(Loss(round(a * facts.rate), round(b * facts.rate), why) for a, b in seen.short)
    reason = ""
    if seen.speech_s < _LEAST_SPEECH_S or not (seen.clips or seen.short):
        reason = (
            "music or tones only: nobody speaks in it" if seen.tonal else ("nobody speaks in it")
        )
    return replace(
        facts,
        duration_s=round(seen.duration_s, 6),
        speech_s=round(seen.speech_s, 3),
        reason=reason,
        noise_dbfs=round(seen.noise_dbfs, 2),
        speech_dbfs=round(seen.speech_dbfs, 2),
        hum_hz=seen.hum.fundamental_hz if seen.hum.present else 0.0,
        hum_dbfs=round(seen.hum.level_dbfs, 2) if seen.hum.present else -120.0,
        clicks_min=round(seen.clicks_min, 2),
        clipped=round(seen.clipped, 7),
        rt60_s=None if seen.room is None else round(seen.room.rt60_s, 3),
        direct_db=None if seen.room is None else round(seen.room.direct_db, 2),
        repairs=plan.names,
        losses=losses,
    )


def _clips(
    tape: Tape,
    seen: Survey,
    plan: Plan,
    settings: Settings,
    draft: Path,
    progress: Callable[[float, float], None],
) -> list[_Done]:
    """Every clip cut, mended, measured, heard and written, in order."""
    _load(settings.language)
    spans = [(max(0.0, a - CONTEXT_S), b + CONTEXT_S) for a, b in seen.clips]
    done: list[_Done] = []
    with ExitStack() as stack:
        count = min(_LANES, len(spans))
        lanes = [stack.enter_context(_Lane(plan)) for _ in range(count)]
        waiting: deque[Future[_Done]] = deque()
        for k, window in enumerate(tape.stream().windows(spans)):
            if (window.start + len(window)) / tape.rate < seen.clips[k][1] - _LOST_S:
                raise MediaError(_UNREAD.format(tape.path))
            job = _Job(k, window, seen.clips[k], tape, seen, settings, draft)
            waiting.append(lanes[k % count].submit(job))
            if len(waiting) > _AHEAD * _LANES:
                done.append(waiting.popleft().result())
                at = seen.clips[len(done) - 1][1]
                progress(seen.duration_s / 4 + 0.75 * at, seen.duration_s)
        done += [future.result() for future in waiting]
    progress(seen.duration_s, seen.duration_s)
    return done


@cache
def _load(language: str) -> None:
    """The models, before two lanes would each load their own."""
    ge2e()
    judge()
    if language == LANGUAGE:
        listen(Sound(np.zeros(1_600, np.float32), 16_000))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """No threads below those of this module: what is computed is small, and threads that wait for
    each other keep a core busy that the other lane has use for.
    """
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    _alone()
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _alone() -> None:
    import torch

    torch.set_num_threads(1)  # counts for the thread that says it


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """One clip to be made: its window of sound, and where in its tape it lies."""

    number: int
    window: Sound
    span: Span
    tape: Tape
    seen: Survey
    settings: Settings
    draft: Path


class _Lane:
    """A thread with a workshop of its own."""

    def __init__(self, plan: Plan) -> None:
        self._shop = Workshop(plan)
        self._thread = ThreadPoolExecutor(1, initializer=_alone)

    def __enter__(self) -> _Lane:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def submit(self, job: _Job) -> Future[_Done]:
        """Queue a clip."""
        return self._thread.submit(_made, self._shop, job)


def _made(shop: Workshop, job: _Job) -> _Done:
    """One clip, from its window to its files."""
    rate = job.window.rate
    first, last = (round(t * rate) for t in job.span)
    lead = first - job.window.start
    last = min(last, job.window.start + len(job.window))

    def inner(sound: Sound) -> Sound:
        return Sound(sound.samples[lead : lead + last - first], rate)

    original = inner(job.window)
    clipped = float(at_full_scale(original.samples, job.tape.peak).mean()) if len(original) else 0.0
    mended = shop.mend(job.window)
    sound = inner(mended.sound)
    facts = ClipFacts(first, last, clipped=round(clipped, 7), repairs=mended.repairs)
    facts = replace(
        _measured(facts, job, original, sound),
        clicks=mended.clicks,
        wav=f"{job.number:05d}.wav",
        original=f"{job.number:05d}.original.wav" if mended.repairs else "",
        second_voice=round(second_voice(_without_hum(sound, job, mended.repairs)), 4),
    )
    write_wav(job.draft / facts.wav, resample(sound, job.settings.rate), _DATASET_BITS)
    if facts.original:
        write_wav(job.draft / facts.original, original, _ORIGINAL_BITS)
    facts = replace(facts, wav_sha256=sha256_of(job.draft / facts.wav))
    heard = listen(sound) if job.settings.language == LANGUAGE else None
    try:
        found = voice_print(sound)
    except NoSpeechError:
        found = None
    return _Done(facts, heard, found, contour(sound))


def _without_hum(sound: Sound, job: _Job, repairs: tuple[str, ...]) -> Sound:
    """For measuring alone, where hum was found and is to stay."""
    heard = job.seen.hum.present and "dehum" not in repairs
    return remove_hum(sound, job.seen.hum) if heard else sound


def _measured(facts: ClipFacts, job: _Job, original: Sound, sound: Sound) -> ClipFacts:
    """Level, noise, band and pitch of a clip; `original` before its repairs."""
    before = _level(original) - job.seen.noise_dbfs
    after = before
    if facts.repairs:
        power = frame_power(sound.samples, sound.rate)
        floor, _ = floor_and_speech(power, [])
        after = min(max(_level(sound) - floor, before), before + _REPAIR_HELPS_DB)
    f0 = track_f0(sound)
    voiced = f0[f0 > 0]
    bins = np.clip(12 * np.log2(np.maximum(voiced, 1.0) / 50.0), 0, _F0_BINS - 1).astype(np.int64)
    pitch = median_f0(f0)
    return replace(
        facts,
        level_dbfs=round(_level(sound), 2),
        snr_before_db=round(before, 2),
        snr_db=round(after, 2),
        bandwidth_hz=round(bandwidth_hz(sound)),
        f0_hz=round(pitch, 1) if np.isfinite(pitch) else 0.0,
        f0_counts=tuple(int(n) for n in np.bincount(bins, minlength=_F0_BINS)),
    )


def _level(sound: Sound) -> float:
    return float(10 * np.log10(float(np.mean(sound.samples.astype(np.float64) ** 2)) + 1e-12))


def _worded(
    done: Sequence[_Done],
    facts: SourceFacts,
    seen: Survey,
    given: Given | None,
    settings: Settings,
) -> tuple[ClipFacts, ...]:
    """The clips with their words, and a reason where they cannot be used."""
    spans = [(c.facts.start / facts.rate, c.facts.end / facts.rate) for c in done]
    worded = word_clips(spans, [c.heard for c in done], given, whole=not seen.short)
    clips = [_judged(c.facts, w, facts) for c, w in zip(done, worded, strict=True)]
    return tuple(_another_language(clips, settings))


def _judged(clip: ClipFacts, worded: Worded, source: SourceFacts) -> ClipFacts:
    clip = replace(
        clip,
        text=" ".join(worded.text.replace("|", " ").split()),
        origin=worded.origin,
        confidence=round(worded.confidence, 3),
        agreement=None if worded.agreement is None else round(worded.agreement, 3),
        note=worded.note,
    )
    seconds = (clip.end - clip.start) / source.rate
    marks = Marks(clip.text, seconds, clip.confidence, clip.snr_db, clip.clipped)
    reason = unfit(marks)
    if clip.second_voice > TWO_VOICES and reason != "clipped":
        reason = "two people over each other"
    elif reason == "clipped":
        reason = "clipped beyond repair"
    elif worded.reason is not None:
        reason = worded.reason
    return replace(clip, reason=reason or "")


def _another_language(clips: Sequence[ClipFacts], settings: Settings) -> Iterator[ClipFacts]:
    """Say so where the recogniser, in clean sound, is unsure of most of what it hears."""
    clean = [c for c in clips if c.snr_db > _CLEAN_DB and c.origin == "recognised"]
    unsure = [c for c in clean if "not clear" in c.reason or c.reason == "no words recognised"]
    foreign = (
        settings.language == LANGUAGE
        and len(clean) >= _UNSURE_CLIPS
        and len(unsure) >= _UNSURE_SHARE * len(clean)
    )
    for clip in clips:
        if foreign and clip in unsure:
            why = "another language than English, by the sound of the whole recording"
            yield replace(clip, reason=why)
        else:
            yield clip


def _store(draft: Path, facts: SourceFacts, done: Sequence[_Done]) -> None:
    none = np.zeros(512, np.float32)
    nothing = VoicePrint(none, none, np.zeros((0, 256), np.float32), False)
    prints = [c.print or nothing for c in done]
    counts = [(len(p.pieces), len(c.contour)) for p, c in zip(prints, done, strict=True)]
    np.savez(
        draft / "prints.npz",
        whole=np.stack([p.whole for p in [nothing, *prints]])[1:],
        narrow=np.stack([p.narrow for p in [nothing, *prints]])[1:],
        is_narrow=np.array([p.is_narrow for p in prints], bool),
        pieces=np.concatenate([nothing.pieces, *(p.pieces for p in prints)]),
        level=np.concatenate([np.zeros(0, np.float32), *(c.contour for c in done)]),
        n=np.array(counts, np.int64).reshape(-1, 2),
    )
    (draft / "facts.json").write_text(text_of(facts), "utf-8", "backslashreplace")


def _unpacked(
    data: Mapping[str, NDArray[Any]],
) -> tuple[tuple[VoicePrint | None, ...], tuple[Floats, ...]]:
    ends = np.cumsum(data["n"], axis=0)
    parts = np.split(data["pieces"], ends[:-1, 0]) if len(ends) else []
    levels = np.split(data["level"], ends[:-1, 1]) if len(ends) else []
    rows = zip(data["whole"], data["narrow"], parts, data["is_narrow"], strict=True)
    prints = [VoicePrint(w, n, p, bool(b)) if w.any() else None for w, n, p, b in rows]
    return tuple(prints), tuple(levels)
