"""The steps of a line's sound: a fitted voice, its takes, the chosen one in place and matched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from media.errors import NoSoundError, NoSpeechError
from studio._jobs import DELIVERY_RATE, speech_span
from studio.batch.bench import Bench
from studio.speaking import weights_of

if TYPE_CHECKING:
    from align.timing import Timing
    from media.audio import Sound
    from voice.takes import Take
    from voice.voice import Voice

__all__ = [
    "LEAD_S",
    "LINE",
    "TIMING",
    "make_match",
    "make_takes",
    "make_timing",
    "make_voice",
    "production_sound",
    "speech_values",
    "takes_of",
]

LINE, TIMING = "line.wav", "line.json"
LEAD_S = 0.04
"""Seconds between a cue's timecode and the first phone: a frame, so that no onset is cut."""
_FADE_S = 0.005
_AROUND_S = 6.0  # of production sound on either side of a cue, as a reference for its room
_ASKED_ANEW = 0.02  # seconds by which a line may outlast its cue before it is spoken faster


def make_voice(bench: Bench, folder: Path) -> Mapping[str, Any]:
    """Fit the person's voice into `folder`/voice; shared by all cues of the person."""
    from studio.speaking import fit

    voice = fit(
        [Path(p) for p in bench.setting("recordings")],
        folder / "voice",
        consent=bench.person.consent,
        person=bench.person.name,
        project=bench.production.project_name,
        papers=bench.papers(folder, bench.store.place(bench.step.folder)),
        seed=int(bench.setting("seed")),
    )
    return {"voice": voice.name, "person": voice.person}


# --- takes -----------------------------------------------------------------------------------


def make_takes(bench: Bench, folder: Path) -> Mapping[str, Any]:
    """Speak the line; `take-1.wav`, `take-1.json`, ... best first, 48 kHz, each watermarked."""
    from media.audio import resample
    from studio.watermark import watermark
    from voice.takes import save_take

    text, voice = str(bench.setting("text")), bench.voice()
    papers = bench.papers(folder)
    bench.owned(papers, voice)
    if manner := str(bench.setting("delivery")):
        voice = voice.delivered(manner)
    record = bench.permit(
        papers, "voice-say", text, language=voice.language, needed=not bench.is_stock()
    )
    rows = []
    for rank, take in enumerate(_spoken(bench, voice), 1):
        sound = watermark(resample(take.sound, DELIVERY_RATE))
        wav = folder / f"take-{rank}.wav"
        save_take(replace(take, sound=sound), wav)
        rows.append(_row(rank, wav, take, sound))
    facts = {
        "text": text,
        "note": bench.setting("note"),
        "voice": voice.name,
        "person": voice.person,
        "consent": record.id if record else None,
        "sources": [{"file": s.file, "sha256": s.sha256} for s in voice.sources],
        "weights": weights_of(voice),
    }
    papers.ledger.append("line.takes", **facts, project=bench.production.project_name, takes=rows)
    return {**facts, "takes": rows}


def _spoken(bench: Bench, voice: Voice) -> list[Take]:
    """The takes, best first; spoken faster where the best one would outlast its cue a little."""
    wished, room = bench.setting("duration_s"), bench.setting("room_s")
    takes = _say(bench, voice, wished)
    if wished is not None or room is None:
        return takes
    first, last = speech_span(takes[0].timing)
    length = last - max(0.0, first - LEAD_S)
    if not room + _ASKED_ANEW < length <= room * float(bench.setting("squeeze")):
        return takes
    # Pads shrink less than speech does: asked for in proportion, the speech surely fits.
    return _say(bench, voice, float(takes[0].sound.duration_s) * room / length - _ASKED_ANEW)


def _say(bench: Bench, voice: Voice, duration_s: float | None) -> list[Take]:
    from voice.prosody import Prosody
    from voice.takes import say

    return say(
        str(bench.setting("text")),
        voice,
        takes=int(bench.setting("takes")),
        seed=int(bench.setting("seed")),
        prosody=Prosody(speed=float(bench.setting("speed")), duration_s=duration_s),
    )


def _row(rank: int, wav: Path, take: Take, sound: Sound) -> dict[str, Any]:
    from media.files import sha256_of

    scores = {
        name: getattr(take.scores, name)
        for name in ("wer", "heard", "similarity", "dnsmos", "clipped", "duration_error_s")
    }
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in scores.items()}
    return {
        "rank": rank,
        "wav": wav.name,
        "timing": wav.with_suffix(".json").name,
        "sha256": sha256_of(wav),
        "seed": take.seed,
        "engine": take.engine,
        "duration_s": round(float(sound.duration_s), 4),
        "scores": rounded,
    }


# --- the chosen take in its place ------------------------------------------------------------


def make_timing(bench: Bench, folder: Path) -> Mapping[str, Any]:
    """The chosen take from its first phone on (with `LEAD_S` before it), and its timing.

    Words and phones are the synthesiser's own, or those that were moved by hand.
    """
    from align.formats import read_timing, write_timing
    from media.audio import read_sound, write_wav

    source = bench.other("takes")
    rank = int(bench.setting("rank"))
    take = bench.store.facts(source.name)["takes"][rank - 1]
    sound = read_sound(source / take["wav"])
    own = read_timing(source / take["timing"])
    override = bench.setting("override")
    timing = own if override is None else read_timing(Path(override))
    cut_s = max(Fraction(0), Fraction(speech_span(own)[0]) - Fraction(LEAD_S))
    if speech_span(timing)[0] < cut_s:  # an onset that was moved forward is not cut either
        cut_s = max(Fraction(0), Fraction(speech_span(timing)[0]) - Fraction(LEAD_S))
    sound, timing = _from(sound, timing, cut_s)
    write_wav(folder / LINE, sound)
    write_timing(timing, folder / TIMING)
    return {
        "take": take,
        "lead_s": round(float(cut_s), 4),
        "speech_s": round(speech_span(timing)[1], 4),
        "duration_s": round(float(sound.duration_s), 4),
    }


def _from(sound: Sound, timing: Timing, cut_s: Fraction) -> tuple[Sound, Timing]:
    """Both without their first `cut_s` seconds, faded in where they were cut."""
    import numpy as np

    if not cut_s:
        return sound, replace(timing, duration_s=float(sound.duration_s))
    kept = sound.cut(cut_s, sound.duration_s)
    samples = np.array(kept.samples)
    fade = min(round(_FADE_S * kept.rate), len(samples))
    samples[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    kept = replace(kept, samples=samples, start=0)
    begin = (len(sound) - len(kept)) / sound.rate
    return kept, timing.shifted(-begin, float(kept.duration_s))


# --- matched to the room ---------------------------------------------------------------------


def make_match(bench: Bench, folder: Path) -> Mapping[str, Any]:
    """The line as if recorded with the production sound around its cue, marked again.

    Where the production sound has no speech to go by, the line stays as it is and the
    facts say so.
    """
    from media.audio import read_sound, write_wav
    from studio.watermark import watermark

    line = _filling_the_cue(bench, read_sound(bench.other("timing") / LINE))
    try:
        matched, why = _matched(bench, line), ""
    except (NoSpeechError, NoSoundError) as error:
        matched, why = None, str(error)
    write_wav(folder / LINE, line if matched is None else watermark(matched))
    return {"matched": matched is not None, "reason": why}


def _filling_the_cue(bench: Bench, line: Sound) -> Sound:
    """The line at least as long as its cue, so that the room's noise does not end before it."""
    rate = bench.production.rate
    frames = int(bench.setting("cue_stop")) - int(bench.setting("cue_first"))
    return line.fitted(max(len(line), rate.sample_of(frames, line.rate)))


def _matched(bench: Bench, line: Sound) -> Sound:
    from voice.match import match_sound

    scene = production_sound(Path(bench.setting("footage")))
    rate = bench.production.rate
    first, stop = (rate.time_of(int(bench.setting(n))) for n in ("cue_first", "cue_stop"))
    around = Fraction(_AROUND_S)
    near = scene.cut(max(Fraction(0), first - around), stop + around)
    try:
        return match_sound(line, near)
    except NoSpeechError:
        return match_sound(line, scene)


@lru_cache(maxsize=2)
def production_sound(footage: Path) -> Sound:
    """The scene's sound; kept, because the next cue is most likely of the same scene."""
    from media.audio import read_sound

    return read_sound(footage, DELIVERY_RATE)


# --- measures --------------------------------------------------------------------------------


def speech_values(
    take: Mapping[str, Any], sound: Sound, speech_s: float, room_s: float | None
) -> dict[str, float | None]:
    """What was measured of the line: of its take, its loudness, and how far it outlasts its cue."""
    from media.loudness import integrated_lufs

    scores = take["scores"]
    loudness = integrated_lufs(sound)
    over = None if room_s is None else round(max(0.0, speech_s - room_s), 4)
    return {
        "wer": scores.get("wer"),
        "similarity": scores.get("similarity"),
        "naturalness": scores.get("dnsmos"),
        "loudness": round(loudness, 2) if math.isfinite(loudness) else None,
        "length": over,
    }


def takes_of(facts: Mapping[str, Any], folder: str, generation: int) -> Sequence[dict[str, Any]]:
    """A takes step's rows as the state file names them; paths relative to the production."""
    base = f"work/steps/{folder}"
    return [
        {
            "id": f"{generation}.{row['rank']}",
            "wav": f"{base}/{row['wav']}",
            "timing": f"{base}/{row['timing']}",
            "scores": row["scores"],
            "seed": row["seed"],
            "note": facts.get("note", ""),
            "text": facts.get("text", ""),
            "step": folder,
        }
        for row in facts["takes"]
    ]
